"""An owner's client reads what is stored as it was signed and sealed, and nothing that was deleted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.clients.opening import open_bytes
from agent.core.home_news import HomeState
from agent.core.timebase import ClockQuality
from agent.core.vault.coverage import CoverageSpan, CoverageState
from agent.custodian.home_status import HomeStateHandler
from agent.custodian.vault_follower import ReadOnlyDisk
from agent.errors import RequestError
from agent.wire import strictjson
from agent.wire.control import Frame
from agent.wire.identities import private_key_from_seed
from agent.wire.statements import (
    Erasure,
    Hold,
    OptOut,
    PushSubscription,
    PushUnsubscription,
    Scope,
    Settings,
    TrustChange,
)
from agent.wire.topics import cell_of
from tests.custodian.test_inbox import bulletin, deletion
from tests.custodian.test_tips import tip, with_tips
from tests.custodians import (
    APPROVER,
    DOOR,
    MLDSA_KEY,
    NOW_S,
    OWNER_IDENTITY,
    POLICE,
    RECOVERY_IDENTITY,
    ROOT,
    Door,
    Told,
    approval,
    bundle,
    complete,
    enrolment,
    opened,
    sha256_of,
    signed,
    stated,
    two_owners,
)
from tests.fake_disk import FakeDisk
from tests.wire import samples

DAY_S = 86_400
BO = private_key_from_seed(b"b" * 32)


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    yield made
    made.close()


def answer(door: Door, op: str, body: bytes = b"", **arguments: Any) -> tuple[dict[str, Any], bytes]:
    said = door.custodian.control.answer(Frame({"op": op, **arguments}, body))
    assert said.head["ok"] is True
    return said.head["result"], said.body


def last_stated(door: Door) -> str | None:
    (listed,) = answer(door, "requests", all=True)[0]["requests"]
    found: str | None = listed["stated"]
    return found


def test_a_segment_its_poster_and_its_sound_come_with_the_record_that_was_signed(door: Door) -> None:
    name, bare = door.segments[:2]
    paper = door.vault.kept[name]
    paper.sound = b"a sealed sound"
    line = paper.record.line.decode()
    assert answer(door, "segment", id=name) == ({"record": line}, paper.file)
    assert answer(door, "poster", id=name) == ({"record": line}, paper.poster)
    assert answer(door, "sound", id=name) == ({"record": line}, b"a sealed sound")
    for op in ("poster", "sound"):
        with pytest.raises(RequestError, match=f"Segment {bare} has no {op}"):
            answer(door, op, id=bare)
    other = "a" * 26
    for op, said in (("segment", "is not stored"), ("poster", "has no poster"), ("sound", "has no sound")):
        with pytest.raises(RequestError, match=f"Segment {other} {said}"):
            answer(door, op, id=other)


def test_what_an_owner_deleted_is_not_given_out_though_it_is_still_on_the_disk(door: Door) -> None:
    name = door.segments[0]
    door.vault.kept[name].sound = b"a sealed sound"
    until_s = NOW_S + 30 * DAY_S
    door.obey(Hold(**stated(), segments=tuple(door.segments[1:2]), until_s=until_s))
    door.obey(Erasure(**stated(), segments=(name,)))
    for op in ("segment", "poster", "sound"):
        with pytest.raises(RequestError):
            answer(door, op, id=name)
    listed = answer(door, "list", from_ms=0, to_ms=2**50)[0]
    assert [(each["id"], each["held_until_s"]) for each in listed["segments"]] == [
        (door.segments[1], until_s),
        (door.segments[2], None),
    ]
    assert listed["more"] is False
    assert answer(door, "kept")[0] == {"held": {door.segments[1]: until_s}, "being_deleted": [name]}


def test_a_list_names_each_fact_of_a_segment(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    name = door.vault.keep(NOW_S, 3, ClockQuality.HELD, poster=True)
    entry = door.vault.kept[name].entry
    (listed,) = answer(door, "list", from_ms=NOW_S * 1000, to_ms=NOW_S * 1000 + 1)[0]["segments"]
    assert listed == {
        "id": name, "event": entry.event, "ordinal": 3, "start_ms": NOW_S * 1000, "end_ms": NOW_S * 1000 + 3000,
        "quality": "held", "size_bytes": entry.size_bytes, "poster": True, "sound": False, "whole": True,
        "held_until_s": None,
    }  # fmt: skip
    monkeypatch.setattr("agent.custodian.control_handler._MOST_LISTED", 2)
    page = answer(door, "list", from_ms=0, to_ms=2**50)[0]
    assert ([each["id"] for each in page["segments"]], page["more"]) == (door.segments[:2], True)
    monkeypatch.setattr("agent.custodian.control_handler._MOST_LISTED", 4)
    assert answer(door, "list", from_ms=0, to_ms=2**50)[0]["more"] is False, "the list is full and complete"


def test_a_request_that_is_not_here_is_refused_by_every_operation_that_names_one(door: Door) -> None:
    for op in ("request", "asked", "gaps"):
        with pytest.raises(RequestError, match="has no such request"):
            answer(door, op, id="0" * 32)
    with pytest.raises(RequestError, match="does not know that operation"):
        answer(door, "open")


def test_the_ledger_comes_in_pages_and_a_checkpoint_with_its_proof(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = [leaf.decode() for leaf in door.journal.leaves()]
    assert answer(door, "ledger", start=1, end=3)[0] == {"entries": leaves[1:3]}
    monkeypatch.setattr("agent.custodian.control_handler._MOST_ENTRIES", 2)
    assert answer(door, "ledger", start=0, end=len(leaves))[0] == {"entries": leaves[:2]}
    checkpoint, proof = door.custodian.custodian_state.ledger.progress(2)
    assert answer(door, "checkpoint", old_size=2)[0] == {
        "checkpoint": checkpoint.decode(),
        "proof": [each.hex() for each in proof],
    }
    assert proof


def test_trust_is_shown_as_it_was_signed_and_a_bundle_says_what_it_changed(door: Door) -> None:
    newer = signed(bundle(2), ROOT)
    assert answer(door, "trust_bundle", newer, cell=cell_of(*DOOR))[0] == {"added": [], "removed": [], "changed": []}
    assert answer(door, "trust")[0] == {
        "roots": [samples.ROOT_KEY.text],
        "bundles": [newer.decode()],
        "heard": [],
        "cell": cell_of(*DOOR),
        "agreed_in": {},
    }
    gone = samples.bundle(version=3, requesters=bundle().requesters[:1])
    assert answer(door, "trust_bundle", signed(gone, ROOT), cell=cell_of(*DOOR))[0]["removed"] == ["harbour-fire"]
    door.obey(TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,)))
    assert answer(door, "trust")[0] == {
        "roots": [],
        "bundles": [],
        "heard": [],
        "cell": cell_of(*DOOR),
        "agreed_in": {},
    }


def test_a_list_that_an_owner_saw_at_another_place_is_not_taken(door: Door) -> None:
    """At another place, the same bytes let other requesters ask."""
    newer = signed(bundle(2), ROOT)
    for cell in ("1-1", None):
        with pytest.raises(RequestError, match="was moved meanwhile"):
            answer(door, "trust_bundle", newer, cell=cell)
    with pytest.raises(RequestError):
        answer(door, "trust_bundle", newer)
    assert answer(door, "trust")[0]["bundles"] != [newer.decode()]
    door.custodian.move_to(None)
    with pytest.raises(RequestError, match="was moved meanwhile"):
        answer(door, "trust_bundle", newer, cell=cell_of(*DOOR))
    answer(door, "trust_bundle", newer, cell=None)
    assert answer(door, "trust")[0]["bundles"] == [newer.decode()]


def test_a_device_names_its_keys_its_epoch_and_whether_owners_wait(door: Door) -> None:
    named = {
        "device": samples.DEVICE_KEY.text,
        "device_id": samples.DEVICE_KEY.id,
        "device_mldsa": MLDSA_KEY.text,
        "broker_name": None,
    }
    assert answer(door, "device") == ({**named, "epoch": 1, "enrolled": True, "pending": False}, b"")
    assert answer(door, "enrolments", after=0)[1] == answer(door, "enrolment")[0]["envelope"].encode()
    assert answer(door, "enrolments", after=1) == ({}, b"")
    fresh = Door()
    assert answer(fresh, "device") == ({**named, "epoch": 0, "enrolled": False, "pending": False}, b"")
    assert answer(fresh, "enrolment") == ({"envelope": None}, b"")
    fresh.propose(enrolment())
    assert answer(fresh, "device")[0]["pending"] is True
    fresh.close()


def test_the_lists_of_owners_and_the_changes_of_trust_come_one_signed_envelope_a_line(door: Door) -> None:
    door.enrol(epoch=2, previous=sha256_of(door.custodian.enrolments.current))  # type: ignore[arg-type]
    first, second = door.custodian.enrolments.envelopes
    assert answer(door, "enrolments", after=0) == ({}, first + b"\n" + second)
    assert answer(door, "enrolments", after=1) == ({}, second)
    (chosen,) = door.custodian.control._trust.changes()
    removed = TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,))
    door.obey(removed)
    assert answer(door, "trust_changes") == ({}, chosen + b"\n" + signed(removed, APPROVER))


def test_an_enrolment_is_proposed_tested_and_confirmed_over_the_socket() -> None:
    door, wanted = Door(), enrolment()
    proposed, body = answer(door, "enrol", envelope=signed(wanted, APPROVER).decode())
    named = {each.name: each.recipient for each in wanted.recipients} | {"recovery": wanted.recovery}
    assert proposed == {
        "epoch": 1,
        "tests": [{"name": name, "recipient": recipient} for name, recipient in named.items()],
    }
    assert body == b""
    identities = {"anna": OWNER_IDENTITY, "recovery": RECOVERY_IDENTITY}
    tokens = {}
    for name, identity in identities.items():
        shown, test = answer(door, "enrol_test", name=name)
        assert (shown, test) == ({}, door.custodian.enrolments.test(name))
        tokens[name] = open_bytes(test, [identity]).hex()
    first = {"anna": tokens.pop("anna")}
    assert answer(door, "enrol_confirm", tokens=first) == ({"epoch": 1, "waiting": ["recovery"]}, b"")
    assert answer(door, "enrol_confirm", tokens=tokens) == ({"epoch": 1, "waiting": []}, b"")
    assert answer(door, "device")[0]["enrolled"] is True
    door.close()


def test_an_answer_has_a_body_only_where_its_operation_says_so(door: Door) -> None:
    """A client refuses an answer with bytes that it does not expect."""
    asked = door.ask()
    for op, arguments in (
        ("status", {}), ("nonce", {}), ("requests", {}), ("request", {"id": asked.id}), ("gaps", {"id": asked.id}),
        ("bulletins", {}), ("tips", {}), ("shared", {"disclosure": "0" * 32}), ("list", {"from_ms": 0, "to_ms": 2**50}),
        ("kept", {}), ("settings", {}), ("trust", {}), ("checkpoint", {"old_size": 0}), ("place", {}),
        ("ledger", {"start": 0, "end": 1}),
    ):  # fmt: skip
        assert answer(door, op, **arguments)[1] == b"", op
    assert answer(door, "trust_bundle", signed(bundle(2), ROOT), cell=cell_of(*DOOR))[1] == b""
    quiet = signed(OptOut(**stated(), scope=Scope.ALL), APPROVER).decode()
    assert answer(door, "statement", envelope=quiet, sizes=[])[1] == b""


def test_a_nonce_is_given_and_the_status_is_that_of_the_device(door: Door) -> None:
    nonces = [answer(door, "nonce")[0]["nonce"] for _ in range(2)]
    assert len(set(nonces)) == 2
    assert {len(nonce) for nonce in nonces} == {32}
    assert answer(door, "status")[0] == {}, "what the composition gives it"


def test_before_an_owner_set_anything_the_settings_are_empty_and_then_as_they_were_signed(door: Door) -> None:
    assert answer(door, "settings")[0] == {"envelope": None, "sha256": None}
    settings = Settings(**stated(), name="Back door")
    door.obey(settings)
    expected = {"envelope": signed(settings, APPROVER).decode(), "sha256": sha256_of(settings)}  # type: ignore[arg-type]
    assert answer(door, "settings")[0] == expected


def test_bulletins_and_tips_are_listed_as_they_were_kept(door: Door) -> None:
    assert answer(door, "bulletins")[0] == {"bulletins": []}
    assert answer(door, "tips")[0] == {"tips": []}
    door.custodian.control._trust.accept(signed(with_tips(2), ROOT))
    heard = bulletin(area=None)
    door.hear(heard)
    (sealed,) = answer(door, "bulletins")[0]["bulletins"]
    assert opened(sealed) == signed(heard, POLICE), "sealed to its owners"
    sent, headers = tip(door, door.segments[0])
    door.obey(sent, headers)
    assert answer(door, "tips")[0] == {
        "tips": [{"id": sent.tip, "root": samples.ROOT_KEY.id, "requester": "harbour-police", "state": "approved"}]
    }


def test_a_shared_approval_is_sealed_to_owners_and_a_request_then_names_its_disclosure(door: Door) -> None:
    assert answer(door, "shared", disclosure="0" * 32) == ({"kept": False}, b"")
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    assert disclosure is not None
    shared, sealed = answer(door, "shared", disclosure=disclosure)
    assert shared == {"kept": True}
    assert open_bytes(sealed, [OWNER_IDENTITY]), "an owner can open it"
    shown = answer(door, "request", id=asked.id)[0]
    assert (shown["state"], shown["disclosure"], shown["receipt"]) == ("approved", disclosure, None)
    door.begin(disclosure)
    done = complete(door, asked, disclosure)
    door.hear(done)
    shown = answer(door, "request", id=asked.id)[0]
    assert opened(shown["receipt"]) == signed(done, POLICE)
    after_receipt = last_stated(door)
    gone = deletion(asked)
    door.hear(gone)
    assert opened(answer(door, "request", id=asked.id)[0]["deletion"]) == signed(gone, POLICE)
    assert len({None, after_receipt, last_stated(door)}) == 3, "an open page sees by it that there is something new"


def test_a_request_that_waits_for_a_second_owner_shows_what_the_first_one_signed(door: Door) -> None:
    door.enrol(**two_owners(door, BO))
    asked = door.ask()
    statement, headers = approval(door, asked, door.segments[0])
    door.obey(statement, headers)
    shown = answer(door, "request", id=asked.id)[0]
    assert shown["state"] == "waiting for another owner"
    assert shown["first"] == signed(statement, APPROVER).decode()


def test_a_statement_is_answered_with_the_request_the_disclosure_and_the_new_state(door: Door) -> None:
    asked = door.ask()
    statement, headers = approval(door, asked, door.segments[0])
    said, _ = answer(
        door,
        "statement",
        b"".join(headers),
        envelope=signed(statement, APPROVER).decode(),
        sizes=[len(each) for each in headers],
    )
    assert (said["state"], said["request"], said["disclosure"]) == ("approved", asked.id, door.outgoing()[0])
    quiet = signed(OptOut(**stated(), scope=Scope.ALL), APPROVER).decode()
    assert answer(door, "statement", envelope=quiet, sizes=[])[0] == {
        "state": None,
        "request": None,
        "disclosure": None,
    }
    for sizes, body in (([5], b"four"), ([1], b"ab"), ([], b"x")):
        with pytest.raises(RequestError):
            answer(door, "statement", body, envelope=quiet, sizes=sizes)


def test_tokens_that_are_no_hex_digits_are_refused(door: Door) -> None:
    with pytest.raises(RequestError, match="not hex digits"):
        answer(door, "enrol_confirm", tokens={"mira": "zz"})


# -- a browser's alerts ------------------------------------------------------------------------------------------------


def test_a_browser_is_told_only_on_a_device_with_alerts_and_in_the_name_of_the_owner_who_signed(door: Door) -> None:
    on = PushSubscription(
        **stated(),
        endpoint="https://push.example/f00d",
        p256dh="BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA",
        auth="tBHItJI5",
    )
    before = len(door.entries())
    with pytest.raises(RequestError, match="This device has no alerts"):
        door.obey(on)
    assert len(door.entries()) == before
    heard: list[tuple[Any, str]] = []
    door.custodian.control._statements.subscribe = lambda statement, key_id: heard.append((statement, key_id))
    off = PushUnsubscription(**stated(), endpoint="https://push.example/f00d")
    for statement in (on, off):
        door.obey(statement)
    assert heard == [(on, samples.OWNER_KEY.id), (off, samples.OWNER_KEY.id)]
    assert [entry["kind"] for entry in door.entries()[before:]] == ["alerts-changed"] * 2
    assert {entry["reason"] for entry in door.entries()[before:]} == {"anna"}


# -- the disk and the state beside it ----------------------------------------------------------------------------------


def test_the_custodian_reads_the_vault_and_writes_nothing_there() -> None:
    disk = FakeDisk()
    folder, file = Path("/vault"), Path("/vault/file")
    disk.make_directory(folder)
    handle = disk.create(file)
    handle.write(b"0123456789")
    handle.sync()
    handle.close()
    read_only = ReadOnlyDisk(disk)
    assert read_only.names(folder) == ["file"]
    assert (read_only.size(file), read_only.read(file, 2, 3)) == (10, b"234")
    assert b"".join(read_only.chunks(file, 7)) == b"789"
    assert read_only.free_bytes(folder) == disk.free_bytes(folder)
    read_only.truncate(file, 3)
    for refused in (
        lambda: read_only.make_directory(folder / "more"),
        lambda: read_only.create(folder / "more"),
        lambda: read_only.append_to(file),
        lambda: read_only.rename(file, folder / "more"),
        lambda: read_only.unlink(file),
        lambda: read_only.sync_directory(folder),
    ):
        with pytest.raises(OSError, match="this role only reads"):
            refused()
    assert (disk.names(folder), disk.size(file)) == (["file"], 10)


def test_home_assistant_hears_each_press_once_and_the_owner_hears_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.custodian.home_status.state_of", lambda status: status)
    told = Told()
    state = HomeStateHandler(told, lambda: {"clock": "synced"})
    assert state.collect(0, 0) == HomeState(0, b'{"clock":"synced"}')
    state.notify("motion", "Somebody is here.")
    assert state.collect(0, 0).presses == 0
    state.notify("button", "It rang.")
    assert state.collect(0, 60).presses == 1
    assert state.collect(1, 0).presses == 1
    assert told.news == [("motion", "Somebody is here."), ("button", "It rang.")]


def test_home_assistant_hears_of_a_press_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.custodian.home_status._LOOK_S", 3600.0)
    monkeypatch.setattr("agent.custodian.home_status.state_of", lambda status: status)
    state, heard = HomeStateHandler(Told(), dict), list[int]()
    waiting = threading.Thread(target=lambda: heard.append(state.collect(0, 3600.0).presses), daemon=True)
    waiting.start()
    while waiting.is_alive() and not state._pressed._waiters:  # type: ignore[attr-defined]
        time.sleep(0.001)
    state.notify("button", "It rang.")
    waiting.join(30)
    assert heard == [1]
    assert state.collect(0, 3600.0).presses == 1, "also of one before the question"


def test_a_request_is_listed_with_the_facts_that_the_device_can_read(door: Door) -> None:
    asked = door.ask()
    (listed,) = answer(door, "requests")[0]["requests"]
    assert listed == {
        "id": asked.id, "state": "pending", "requester": "harbour-police", "requester_name": "Harbour Police",
        "root": samples.ROOT_KEY.id, "kind": asked.kind.value, "incident": asked.incident.value, "from": asked.from_s,
        "to": asked.to_s, "not_after": asked.not_after_s, "certain": True, "segments": 3,
        "received_ms": door.clock.now().utc_ns // 10**6, "disclosure": None, "trusted": True,
        "stated": None,
    }  # fmt: skip
    door.deny(asked)
    assert answer(door, "requests")[0]["requests"] == []
    assert [each["id"] for each in answer(door, "requests", all=True)[0]["requests"]] == [asked.id]


def test_the_gaps_of_a_request_are_told_with_their_reasons(door: Door) -> None:
    asked = door.ask()
    from_ms, to_ms = asked.from_s * 1000, asked.to_s * 1000
    door.vault.stretches = (
        CoverageSpan(from_ms, from_ms + 1000, CoverageState.FOOTAGE),
        CoverageSpan(from_ms + 1000, to_ms, CoverageState.PRIVACY),
    )
    (gap,) = answer(door, "gaps", id=asked.id)[0]["gaps"]
    assert gap == {"from_ms": from_ms + 1000, "to_ms": to_ms, "reason": CoverageState.PRIVACY.value}


def test_the_gaps_of_a_request_are_those_of_its_window_until_the_present(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The future is no gap yet."""
    asked, looked = door.ask(), list[tuple[int, int, int]]()
    monkeypatch.setattr(door.vault, "coverage", lambda *spans: (looked.append(spans), ())[1])
    answer(door, "gaps", id=asked.id)
    assert looked == [(asked.from_s * 1000, asked.to_s * 1000, door.clock.now().utc_ns // 10**6)]


def test_opt_outs_and_quiet_hours_are_listed_apart_with_the_root_of_a_requester(door: Door) -> None:
    until_s = NOW_S + 30 * DAY_S
    of_one = {"scope": Scope.REQUESTER, "value": "harbour-police", "trust_root": samples.ROOT_KEY.id}
    door.obey(OptOut(**stated(), **of_one))
    door.obey(OptOut(**stated(), scope=Scope.KIND, value="insurer", until_s=until_s))
    door.obey(OptOut(**stated(), scope=Scope.HOURS, value="2200-0600"))
    listed = answer(door, "requests")[0]
    assert sorted(listed["opt_outs"], key=lambda each: str(each["value"])) == [
        {"scope": "requester", "value": "harbour-police", "until_s": None, "trust_root": samples.ROOT_KEY.id},
        {"scope": "kind", "value": "insurer", "until_s": until_s},
    ]
    assert listed["quiet_hours"] == [{"scope": "hours", "value": "2200-0600", "until_s": None}]


def test_what_was_blocked_is_listed_with_its_reason_and_what_was_dropped_is_counted(door: Door) -> None:
    asked = door.ask(not_after_s=NOW_S - 1)
    door.hear(b"nothing", topic="nowhere")
    listed = answer(door, "requests")[0]
    (blocked,) = listed["blocked"]
    assert blocked == {
        "payload_sha256": sha256_of(asked),
        "root": samples.ROOT_KEY.id,
        "requester": "harbour-police",
        "reason": door.journal.blocked()[0].reason,
        "at_ms": door.clock.now().utc_ns // 10**6,
    }
    assert listed["counters"] == door.journal.counters() == {"blocked": 1, "malformed": 1}


def test_a_request_is_shown_with_what_it_matched_and_is_still_here(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = door.ask()
    stored = door.journal.request_named(sha256_of(asked))
    assert stored is not None
    gone, *here = door.segments
    door.vault.evict(gone)
    lines = [door.vault.record(each).line for each in here]
    shown, body = answer(door, "request", id=asked.id)
    assert shown == {
        "sealed": strictjson.encode_base64(stored.sealed), "payload_sha256": sha256_of(asked), "state": "pending",
        "certain": True,
        "segments": here, "records": [line.decode() for line in lines], "disclosure": None, "waits_s": None,
        "first": None, "receipt": None, "deletion": None,
    }  # fmt: skip
    assert body == b""
    monkeypatch.setattr("agent.custodian.control_handler._LONG_BYTES", sum(map(len, lines)) - 1)
    shown, body = answer(door, "request", id=asked.id)
    assert (shown["records"], body) == ([], b"".join(line + b"\n" for line in lines))
    monkeypatch.setattr("agent.custodian.control_handler._LONG_BYTES", sum(map(len, lines)))
    shown, body = answer(door, "request", id=asked.id)
    assert (shown["records"], body) == ([line.decode() for line in lines], b"")
    assert answer(door, "asked", id=asked.id) == ({"payload_sha256": sha256_of(asked)}, stored.sealed)
