"""An owner's statement: obeyed once, only with an owner's signature, wholly or not at all, and without making others
wait."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from agent.clients.opening import open_bytes
from agent.clients.time_confirmations import TimeTrust, find_time
from agent.core.consent import RequestState
from agent.core.disclosure import check_part, claimed_clips, read_manifest
from agent.core.ledger.checkpoint import open_checkpoint
from agent.core.vault.coverage import CoverageSpan
from agent.core.vault.coverage import CoverageState as Word
from agent.core.vault.excerpt import Cover
from agent.core.vault.manifest import ChainHead, sign_record
from agent.core.vault.records import SoundRecord
from agent.custodian.time_log import TimeLog, WitnessAddress
from agent.errors import DoorwardError, OpenError, RequestError, StorageError
from agent.ipc.control_operations import GetTimeOpening
from agent.ipc.protocol import BeatAnswer
from agent.ipc.rpc import request_frame
from agent.wire import envelope, strictjson
from agent.wire.disclosures import SecondSignature
from agent.wire.identities import approval_mldsa_key, private_key_from_seed, public_key_of
from agent.wire.messages import FootageRequest
from agent.wire.statements import (
    AbsenceReason,
    Denial,
    Erasure,
    FootageAbsence,
    Hold,
    NamedKey,
    OptIn,
    OptOut,
    OwnerStatement,
    Release,
    Revocation,
    Scope,
    Settings,
    TrustChange,
    sign_statement,
)
from agent.wire.time_proofs import TIME_OPENING_LIMIT_BYTES, TimeOpening
from agent.wire.witness_keys import parse_witness
from tests import custodians
from tests.custodian.test_inbox import everything_but_counters
from tests.custodians import APPROVER, DEVICE, NOW_S, POLICE, ROOT, Door, approval, enrolment, sha256_of, signed, stated
from tests.damage import with_another_end
from tests.time_services import LocalWitness
from tests.wire import samples

STRANGER = private_key_from_seed(b"x" * 32)


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    yield made
    made.close()


EVERY: dict[str, Callable[[Door, FootageRequest], tuple[OwnerStatement, tuple[bytes, ...]]]] = {
    "approval": approval,
    "refusal": lambda _, asked: (Denial(**stated(), request=sha256_of(asked)), ()),
    "opt-out": lambda _door, _asked: (OptOut(**stated(), scope=Scope.ALL), ()),
    "opt-in": lambda _door, _asked: (OptIn(**stated(), scope=Scope.ALL), ()),
    "trust change": lambda _door, _asked: (TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,)), ()),
    "hold": lambda door, _: (Hold(**stated(), segments=tuple(door.segments[:1]), until_s=NOW_S + 86_400), ()),
    "release": lambda door, _: (Release(**stated(), segments=tuple(door.segments[:1])), ()),
    "erasure": lambda door, _: (Erasure(**stated(), segments=tuple(door.segments[:1])), ()),
    "settings": lambda _door, _asked: (Settings(**stated(), max_age_days=7), ()),
    "revocation": lambda door, _: (Revocation(**stated(), disclosure=given(door)), ()),
}


def given(door: Door) -> str:
    return door.approve(door.ask()).disclosure or ""


@pytest.mark.parametrize("name", EVERY)
def test_a_statement_acts_once(door: Door, name: str) -> None:
    statement, headers = EVERY[name](door, door.ask())
    before = len(door.kinds())
    door.obey(statement, headers)
    assert len(door.kinds()) > before
    after = everything_but_counters(door)
    with pytest.raises(RequestError):
        door.obey(statement, headers)
    door.start()
    with pytest.raises(RequestError):
        door.obey(statement, headers)
    assert len(door.kinds()) == len(after["ledger"]) + 1  # the boot


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("key", [STRANGER, DEVICE, ROOT, POLICE], ids=["stranger", "device", "root", "requester"])
def test_what_no_owner_signed_changes_nothing(door: Door, name: str, key: Any) -> None:
    statement, headers = EVERY[name](door, door.ask())
    before = everything_but_counters(door)
    with pytest.raises(OpenError):
        door.obey(statement, headers, by=key)
    assert everything_but_counters(door) == before


@pytest.mark.parametrize("name", EVERY)
def test_a_forger_of_ed25519_makes_the_doorbell_do_nothing(door: Door, name: str) -> None:
    statement, headers = EVERY[name](door, door.ask())
    before = everything_but_counters(door)
    for data in (without_second(statement), by_a_forger(statement)):
        with pytest.raises(OpenError, match="ML-DSA-44 signature"):
            door.custodian.control._statements.accept(data, headers)
    assert everything_but_counters(door) == before
    # The same statement with the owner's own second key counts, with the nonce that the forgeries left unused.
    door.obey(statement, headers)
    assert everything_but_counters(door) != before


def test_a_forger_of_ed25519_does_not_become_an_owner(door: Door) -> None:
    thief = (NamedKey.of("thief", STRANGER),)
    wanted = custodians.enrolment(epoch=2, previous=sha256_of(current_enrolment(door)), approvers=thief)
    before = everything_but_counters(door)
    for data in (without_second(wanted), by_a_forger(wanted)):
        with pytest.raises(OpenError, match="ML-DSA-44 signature"):
            door.custodian.enrolments.propose(data)
    assert not door.custodian.enrolments.pending
    assert everything_but_counters(door) == before


def without_second(statement: Any) -> bytes:
    return envelope.sign(statement.PAYLOAD_TYPE, strictjson.encode(statement), APPROVER)


def by_a_forger(statement: Any) -> bytes:
    """By one who can make the owner's Ed25519 signatures, and has another ML-DSA-44 key."""
    return envelope.sign_hybrid(
        statement.PAYLOAD_TYPE, strictjson.encode(statement), APPROVER, approval_mldsa_key(STRANGER)
    )


@pytest.mark.parametrize("name", EVERY)
def test_what_was_meant_for_another_device_changes_nothing(door: Door, name: str) -> None:
    statement, headers = EVERY[name](door, door.ask())
    elsewhere = msgspec.structs.replace(statement, device=public_key_of(STRANGER).text)
    before = everything_but_counters(door)
    with pytest.raises(RequestError, match="another device"):
        door.obey(elsewhere, headers)
    assert everything_but_counters(door) == before


@pytest.mark.parametrize("name", EVERY)
def test_a_statement_the_disk_does_not_take_did_not_happen_and_can_be_made_again(door: Door, name: str) -> None:
    statement, headers = EVERY[name](door, door.ask())
    before, trusted = everything_but_counters(door), door.custodian.custodian_state.trust.store.roots
    write = door.custodian.custodian_state.ledger.write

    def failing(*_: object, **__: object) -> None:
        write(*_, **__)  # type: ignore[arg-type]
        raise StorageError("The disk is full.")

    door.custodian.custodian_state.ledger.write = failing  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        door.obey(statement, headers)
    del door.custodian.custodian_state.ledger.write
    assert everything_but_counters(door) == before
    assert door.custodian.custodian_state.trust.store.roots == trusted
    assert door.outbox.objects.keys() == {record.disclosure for record in door.journal.outbox()}
    door.obey(statement, headers)


def test_a_door_without_an_owner_obeys_nobody() -> None:
    door = Door()
    with pytest.raises(RequestError, match="no owner"):
        door.obey(OptOut(**stated(), scope=Scope.ALL))
    door.close()


@pytest.mark.parametrize("message", [samples.request(), samples.bundle(), enrolment()], ids=lambda m: type(m).__name__)
def test_what_is_no_statement_is_refused_even_from_an_owner(door: Door, message: Any) -> None:
    data = sign_statement(message.PAYLOAD_TYPE, strictjson.encode(message), APPROVER)
    with pytest.raises(RequestError, match="cannot come from an owner"):
        door.custodian.control._statements.accept(data)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 100, b"[" * 5000])
def test_noise_is_refused_in_words(door: Door, data: bytes) -> None:
    with pytest.raises(DoorwardError):
        door.custodian.control._statements.accept(data)


# -- approvals ---------------------------------------------------------------------------------------------------------


def test_an_approval_becomes_one_object_that_its_requester_can_check_down_to_the_capture(door: Door) -> None:
    asked = door.ask()
    verdict = door.approve(asked, *door.segments[:2])
    assert (verdict.state, verdict.request) == (RequestState.APPROVED, asked.id)
    assert door.outgoing() == [verdict.disclosure]
    parts = door.outbox.objects[verdict.disclosure or ""]
    read = read_manifest(open_bytes(parts[0], [custodians.REPLY_IDENTITY]), asked, sha256_of(asked))
    assert [item.part.id for item in read.items] == door.segments[:2]
    for number, item in enumerate(read.items, start=1):
        at = check_part(item, parts[number])
        assert parts[number][at:] == door.vault.kept[item.part.id].file[len(custodians.OWNERS_HEADER) :]
    assert door.kinds()[-2:] == ["approved", "sealed"]
    sealed = door.entries()[-1]
    assert sealed["size_bytes"] == sum(map(len, parts.values()))
    assert sealed["segments"] == 2


def test_an_answer_carries_the_newest_confirmation_of_time_and_an_owner_gets_the_next_one(door: Door) -> None:
    witness, key = LocalWitness(), public_key_of(custodians.DEVICE)
    witness.follow(f"doorward/{key.id}/time", key.raw)
    ledger = door.custodian.custodian_state.ledger
    address = WitnessAddress("w1", "https://w1.test/add-checkpoint", parse_witness(witness.verifier_key))
    time = TimeLog(door.journal, ledger, door.clock, door.entropy, custodians.DEVICE, custodians.MLDSA, [address], 3600)
    door.custodian.use_time(time)

    def beat() -> None:
        door.clock.advance(3600)
        made = time.beat()
        status, body, _ = witness.answer("/add-checkpoint", made.messages[0].body)
        time.take(made.number, [BeatAnswer("w1", status, body)])

    def opening(size: int) -> bytes:
        return door.custodian.control.answer(request_frame(GetTimeOpening(size))).body

    beat()
    asked = door.ask()
    verdict = door.approve(asked, *door.segments[:1])
    part = open_bytes(door.outbox.objects[verdict.disclosure or ""][0], [custodians.REPLY_IDENTITY])
    manifest = read_manifest(part, asked, sha256_of(asked)).manifest
    assert manifest.time == time.newest()
    head = open_checkpoint(manifest.ledger.checkpoint.encode(), custodians.DEVICE_KEYS)
    assert opening(head.size) == b""
    beat()
    found = strictjson.decode(opening(head.size), TimeOpening, limit_bytes=TIME_OPENING_LIMIT_BYTES)
    trust = TimeTrust.of(witness.verifier_key, [])
    times = find_time(custodians.DEVICE_KEYS, head, custodians.NOW_S * 1000, trust, manifest.time, [found])
    assert (times.from_s, times.until_s, times.doubts) == (witness.time_s, witness.time_s, ())


@pytest.mark.parametrize(
    ("cover", "word"),
    [
        (Cover.CAPTURE, SecondSignature.COVERED),
        (Cover.EXPORT, SecondSignature.COVERED),
        (Cover.NONE, SecondSignature.NONE),
    ],
)
def test_an_answer_says_which_second_signature_the_vault_has_behind_each_record(
    door: Door, cover: Cover, word: SecondSignature
) -> None:
    """The vault is asked with the device's keys, and with the lines that leave (`PaperVault.covers` compares them)."""
    door.vault.cover = cover
    asked = door.ask()
    disclosure = door.approve(asked, *door.segments[:2]).disclosure or ""
    part = open_bytes(door.outbox.objects[disclosure][0], [custodians.REPLY_IDENTITY])
    manifest = read_manifest(part, asked, sha256_of(asked)).manifest
    assert manifest.second_signatures == (word, word)


def test_nothing_leaves_if_the_vault_cannot_say_what_is_behind_a_record(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> dict[str, Cover]:
        raise StorageError("Too many open files.")

    monkeypatch.setattr(door.vault, "covers", fails)
    asked = door.ask()
    with pytest.raises(StorageError, match="Too many"):
        door.approve(asked)
    assert (door.outbox.objects, door.outbox.making) == ({}, {})
    monkeypatch.undo()
    assert door.approve(asked).disclosure


def test_a_poster_can_be_shared_without_its_segment_and_is_checked_as_it_is_copied(door: Door) -> None:
    asked = door.ask()
    first = door.segments[0]
    sealed, header = door.vault.kept[first].poster or b"", custodians.new_header(9)
    item = custodians.SealedItem(
        id=first,
        payload_sha256=hashlib.sha256(sealed[len(custodians.OWNERS_HEADER) :]).hexdigest(),
        header_sha256=hashlib.sha256(header).hexdigest(),
    )
    statement = msgspec.structs.replace(approval(door, asked)[0], segments=(), posters=(item,))
    door.vault.kept[first].poster = None
    with pytest.raises(StorageError, match=f"Poster {first} is damaged"):
        door.obey(statement, (header,))
    door.vault.kept[first].poster = sealed
    disclosure = door.obey(statement, (header,)).disclosure or ""
    assert door.outbox.objects[disclosure][1] == header + sealed[len(custodians.OWNERS_HEADER) :]


def test_a_redacted_film_leaves_in_place_of_the_captured_one_and_the_proof_names_both(door: Door) -> None:
    asked = door.ask()
    approval, blobs = custodians.redacted_approval(door, asked)
    disclosure = door.obey(approval, blobs).disclosure or ""
    parts = door.outbox.objects[disclosure]
    assert parts[1] == blobs[0] + custodians.REDACTED_PAYLOAD
    captured = door.vault.kept[door.segments[0]].file[len(custodians.OWNERS_HEADER) :]
    assert not any(captured in part for part in parts.values())
    found = read_manifest(open_bytes(parts[0], [custodians.REPLY_IDENTITY]), asked, sha256_of(asked))
    assert [each.is_redacted for each in found.items] == [True, False, False]
    assert found.items[0].approved.payload_sha256 == hashlib.sha256(captured).hexdigest()


def test_a_redacted_film_that_was_not_handed_in_releases_nothing(door: Door) -> None:
    asked = door.ask()
    approval, blobs = custodians.redacted_approval(door, asked)
    with pytest.raises(RequestError, match="the redacted segment"):
        door.obey(approval, blobs[:-1])
    assert door.outbox.objects == {}


def test_nobody_but_the_requester_can_read_what_is_sent(door: Door) -> None:
    door.approve(door.ask())
    ((manifest, *_),) = [list(parts.values()) for parts in door.outbox.objects.values()]
    for identity in (custodians.OWNER_IDENTITY, custodians.RECOVERY_IDENTITY):
        with pytest.raises(OpenError):
            open_bytes(manifest, [identity])


def test_one_approval_makes_one_object_and_a_second_one_is_refused(door: Door) -> None:
    asked = door.ask()
    first, second = approval(door, asked), approval(door, asked)
    door.obey(*first)
    with pytest.raises(RequestError, match="approved"):
        door.obey(*second)
    assert len(door.outbox.objects) == len(door.journal.outbox()) == 1


def test_expiry_is_judged_by_the_owners_clock(door: Door) -> None:
    asked = door.ask()
    late = {"owner_time_ms": (asked.not_after_s + 1) * 1000}
    with pytest.raises(RequestError, match="over"):
        door.approve(asked, **late)
    assert door.state(asked) is RequestState.PENDING
    assert door.approve(asked, owner_time_ms=asked.not_after_s * 1000).state is RequestState.APPROVED


def test_a_requester_that_lost_its_trust_gets_nothing_any_more(door: Door) -> None:
    asked = door.ask()
    door.custodian.control._trust.accept(signed(custodians.bundle(2, custodians.FIRE), ROOT))
    with pytest.raises(RequestError, match="This request is denied"):
        door.approve(asked, *door.segments)
    assert door.outbox.objects == {}


def test_what_was_evicted_or_is_damaged_is_noticed_before_it_is_shared(door: Door) -> None:
    asked = door.ask()
    statement = approval(door, asked)
    door.vault.damage(door.segments[1])
    with pytest.raises(StorageError, match=f"{door.segments[1]} is damaged"):
        door.obey(*statement)
    door.vault.evict(door.segments[1])
    with pytest.raises(RequestError, match="no longer in the vault"):
        door.obey(*statement)
    assert door.state(asked) is RequestState.PENDING
    assert (door.outbox.objects, door.outbox.making) == ({}, {})
    assert door.approve(asked, door.segments[0]).state is RequestState.APPROVED


@pytest.mark.parametrize("call", ["begin", "write", "commit"])
def test_a_full_disk_stops_an_approval_and_leaves_nothing(door: Door, call: str) -> None:
    asked = door.ask()
    statement = approval(door, asked)
    door.outbox.fault = call
    before = everything_but_counters(door)
    with pytest.raises(StorageError):
        door.obey(*statement)
    assert everything_but_counters(door) == before
    assert (door.outbox.objects, door.outbox.making) == ({}, {})
    door.outbox.fault = None
    door.obey(*statement)


def test_nothing_waits_while_gigabytes_are_copied(door: Door) -> None:
    asked, other = door.ask(), door.ask()
    statement = approval(door, asked)
    copying, go_on = threading.Event(), threading.Event()
    read = door.vault.read

    def slow(*arguments: Any) -> bytes:
        copying.set()
        assert go_on.wait(20)
        return read(*arguments)

    door.vault.read = slow  # type: ignore[method-assign]
    thread = threading.Thread(target=door.obey, args=statement)
    thread.start()
    assert copying.wait(20)
    try:
        assert door.state(door.ask()) is RequestState.PENDING  # the network is heard
        assert door.custodian.requests.held(100) == set(door.segments)  # the recorder can ask what to keep
        assert door.deny(other).state is RequestState.DENIED
        assert door.outgoing() == []
    finally:
        go_on.set()
        thread.join()
    assert door.state(asked) is RequestState.APPROVED


@pytest.mark.parametrize(
    "meanwhile", ["denied", "withdrawn", "expired", "approved", "trust lost", "owners changed", "deleted"]
)
def test_what_changes_while_it_is_copied_is_noticed_and_nothing_stays_behind(door: Door, meanwhile: str) -> None:
    asked = door.ask()
    statement, second = approval(door, asked), approval(door, asked)
    make = door.custodian.control._approvals._maker.making
    again = door.custodian.control._approvals._maker

    def happening() -> None:
        match meanwhile:
            case "denied":
                door.deny(asked)
            case "withdrawn":
                door.hear(custodians.withdrawal(asked))
            case "expired":
                door.clock.advance(8 * 86_400)
                door.custodian.requests.on_time()
            case "approved":
                door.obey(*second)
            case "trust lost":
                door.obey(TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,)))
            case "owners changed":
                door.enrol(epoch=2, previous=sha256_of(current_enrolment(door)))  # type: ignore[arg-type]
            case "deleted":
                door.obey(Erasure(**stated(), segments=(door.segments[1],)))

    @contextmanager
    def interrupted(*arguments: Any) -> Iterator[Any]:
        again.making = make  # type: ignore[method-assign]
        with make(*arguments) as made:
            happening()
            yield made

    again.making = interrupted  # type: ignore[method-assign]
    with pytest.raises(RequestError):
        door.obey(*statement)
    assert door.outbox.objects.keys() == {record.disclosure for record in door.journal.outbox()}
    assert len(door.outbox.objects) == (meanwhile == "approved")


def test_a_copy_that_the_journal_does_not_take_is_removed_and_the_request_still_waits(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox has the whole object by then."""
    asked = door.ask()
    add_outbox = door.custodian.releases.add_outbox

    def full(*arguments: Any) -> None:
        add_outbox(*arguments)
        assert len(door.outbox.objects) == 1
        raise StorageError("The disk is full.")

    with monkeypatch.context() as failing:
        failing.setattr(door.custodian.releases, "add_outbox", full)
        with pytest.raises(StorageError):
            door.approve(asked)
    assert (door.outbox.objects, door.outgoing(), door.state(asked)) == ({}, [], RequestState.PENDING)
    disclosure = door.approve(asked).disclosure
    assert door.outgoing() == [disclosure]


def test_of_what_was_deleted_while_it_was_copied_not_even_its_record_is_told(door: Door) -> None:
    """The approval shares the first segment, and tells that the clip exists to which the deleted one belongs."""
    asked = door.ask()
    records = {name: door.vault.record(name) for name in door.segments}
    statement = approval(door, asked, door.segments[0], clips=claimed_clips(records, door.segments))
    maker = door.custodian.control._approvals._maker
    make = maker.making

    @contextmanager
    def interrupted(*arguments: Any) -> Iterator[Any]:
        maker.making = make  # type: ignore[method-assign]
        with make(*arguments) as made:
            door.obey(Erasure(**stated(), segments=(door.segments[2],)))
            yield made

    maker.making = interrupted  # type: ignore[method-assign]
    with pytest.raises(RequestError, match="no longer in the vault"):
        door.obey(*statement)
    assert (door.outbox.objects, door.outgoing()) == ({}, [])


def current_enrolment(door: Door) -> Any:
    return door.custodian.enrolments.current


def test_what_the_window_holds_besides_is_said_only_word_for_word(door: Door) -> None:
    asked = door.ask()
    door.vault.stretches = (
        CoverageSpan(asked.from_s * 1000, asked.from_s * 1000 + 5, Word.FOOTAGE),
        CoverageSpan(asked.from_s * 1000 + 5, asked.to_s * 1000, Word.PRIVACY),
    )
    truth = (FootageAbsence(from_ms=asked.from_s * 1000 + 5, to_ms=asked.to_s * 1000, reason=AbsenceReason.PRIVACY),)
    with pytest.raises(RequestError, match="just changed"):
        door.approve(asked, gaps=())
    with pytest.raises(RequestError, match="just changed"):
        door.approve(asked, gaps=(msgspec.structs.replace(truth[0], reason=AbsenceReason.OFF),))
    assert door.approve(asked, gaps=truth).state is RequestState.APPROVED


# -- the other decisions -----------------------------------------------------------------------------------------------


def test_a_denial_is_durable_and_quiet(door: Door) -> None:
    asked = door.ask()
    assert door.deny(asked).state is RequestState.DENIED
    assert door.kinds()[-1] == "denied"
    assert door.outgoing() == []
    with pytest.raises(RequestError, match="denied"):
        door.approve(asked, *door.segments)


def test_a_yes_can_be_taken_back_until_the_first_byte_and_stopped_after_it(door: Door) -> None:
    asked, other = door.ask(), door.ask()
    first, second = door.approve(asked).disclosure or "", door.approve(other).disclosure or ""
    door.begin(second)
    assert door.revoke(first).state is RequestState.REVOKED
    assert door.revoke(second).state is RequestState.STOPPED
    assert door.outbox.objects == {}
    assert not door.begin(first)
    assert not door.begin(second)
    with pytest.raises(RequestError, match="revoked"):
        door.revoke(first)


def test_a_first_byte_needs_an_approval_that_still_stands(door: Door) -> None:
    assert not door.begin("00" * 16)
    disclosure = door.approve(door.ask()).disclosure or ""
    assert door.begin(disclosure)
    assert door.begin(disclosure)  # after a restart in the middle
    assert door.kinds().count("sending") == 1


@pytest.mark.parametrize("name", ["request", "disclosure"])
def test_a_decision_about_nothing_is_refused_in_words(door: Door, name: str) -> None:
    unknown: OwnerStatement = Denial(**stated(), request="00" * 32)
    if name == "disclosure":
        unknown = Revocation(**stated(), disclosure="00" * 16)
    with pytest.raises(RequestError, match=f"no such {name}"):
        door.obey(unknown)


def test_a_removed_owner_is_obeyed_no_longer(door: Door) -> None:
    other = private_key_from_seed(b"o" * 32)
    later = {"epoch": 2, "previous": sha256_of(current_enrolment(door))}  # type: ignore[dict-item]
    door.enrol(**later, approvers=(NamedKey.of("bo", other),))
    with pytest.raises(OpenError):
        door.obey(OptOut(**stated(), scope=Scope.ALL))
    door.obey(OptOut(**stated(), scope=Scope.ALL), by=other)


def test_the_uplink_is_woken_by_what_sends_or_stops_an_answer(door: Door) -> None:
    woken: list[int] = []
    door.custodian.releases.wake_uplink = lambda: woken.append(len(door.outgoing()))
    disclosure = door.approve(door.ask()).disclosure or ""
    assert woken
    assert woken[-1] == 1
    door.revoke(disclosure)
    assert woken[-1] == 0


def test_a_no_and_what_concerns_the_owner_alone_wakes_no_uplink(door: Door) -> None:
    """An uplink that was taken over could tell others when an owner decided."""
    woken: list[int] = []
    asked = door.ask()
    door.custodian.releases.wake_uplink = lambda: woken.append(0)
    door.obey(Denial(**stated(), request=door.stored(asked).payload_sha256))
    door.obey(OptOut(**stated(), scope=Scope.ALL))
    door.ask()
    assert door.state(asked) is RequestState.DENIED
    assert woken == []


def test_an_act_that_fails_does_not_undo_the_decision(door: Door) -> None:
    def failing(*_: object, **__: object) -> None:
        raise StorageError("The disk is full.")

    door.told.notify = failing  # type: ignore[method-assign]
    assert door.state(door.ask()) is RequestState.PENDING


def test_the_owner_is_heard_while_the_time_is_unknown(door: Door) -> None:
    asked = door.ask()
    door.clock.utc_offset_ns = 0
    assert door.approve(asked, owner_time_ms=NOW_S * 1000).state is RequestState.APPROVED


def test_a_sound_is_shared_beside_its_segment_and_is_checked_as_it_is_copied(door: Door) -> None:
    asked = door.ask()
    first = door.segments[0]
    paper = door.vault.kept[first]
    sealed, digest = custodians._sealed(b"a sound " * 5)
    record = msgspec.structs.replace(paper.record.record, sound=SoundRecord(file=digest, key="00" * 32))
    paper.record, paper.sound = sign_record(record, ChainHead(), custodians.DEVICE.sign), sealed
    statement, (header,) = approval(door, asked, first)
    heard = custodians.new_header(9)
    item = custodians.SealedItem(
        id=first, payload_sha256=digest.sha256_payload, header_sha256=hashlib.sha256(heard).hexdigest()
    )
    statement = msgspec.structs.replace(statement, sounds=(item,))
    for damaged in (None, with_another_end(sealed), b""):
        paper.sound = damaged
        with pytest.raises(StorageError, match=f"Sound {first} is damaged"):
            door.obey(statement, (header, heard))
        assert door.outbox.objects == {}
    paper.sound = sealed
    disclosure = door.obey(statement, (header, heard)).disclosure or ""
    parts = door.outbox.objects[disclosure]
    assert [parts[1], parts[2]] == [
        header + paper.file[len(custodians.OWNERS_HEADER) :],
        heard + sealed[len(custodians.OWNERS_HEADER) :],
    ]
