"""A tip: only its owner's signature makes one, the ledger has it first, and what leaves names no one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from agent.clients.opening import open_bytes
from agent.core.consent import RequestState
from agent.core.disclosure import check_tip_part, read_tip
from agent.core.timebase import ClockQuality
from agent.custodian.release_records import StoredTip, sha256_of_recipient
from agent.errors import OpenError, RequestError
from agent.wire import disclosures, strictjson
from agent.wire.control import Frame
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.statements import Erasure, Revocation, SealedItem, Tip
from agent.wire.topics import ANONYMOUS, ReceiptTopic, RequestTopic, cell_of
from agent.wire.trust import RequesterKey
from tests import custodians
from tests.custodians import (
    APPROVER,
    DOOR,
    FIRE,
    NOW_S,
    OWNERS_HEADER,
    POLICE,
    REPLY,
    REPLY_IDENTITY,
    ROOT,
    Door,
    new_id,
    signed,
    stated,
)
from tests.damage import with_another_end
from tests.wire import samples

DAY_S = 86_400
LIFE_S = 30 * DAY_S


def with_tips(version: int = 2, **changes: Any) -> Any:
    listed = custodians.bundle(version)
    entries = tuple(msgspec.structs.replace(entry, tips=REPLY, **changes) for entry in listed.requesters)
    return msgspec.structs.replace(listed, requesters=entries)


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    made.custodian.control._trust.accept(signed(with_tips(), ROOT))
    yield made
    made.close()


def tip(door: Door, *shown: str, **changes: Any) -> tuple[Tip, tuple[bytes, ...]]:
    """Words, and the segments that are named."""
    headers = tuple(custodians.new_header(number) for number, _ in enumerate(shown))
    items = tuple(
        SealedItem(
            id=name,
            payload_sha256=hashlib.sha256(door.vault.kept[name].file[len(OWNERS_HEADER) :]).hexdigest(),
            header_sha256=hashlib.sha256(header).hexdigest(),
        )
        for name, header in zip(shown, headers, strict=True)
    )
    values: dict[str, Any] = {"tip": new_id(), "trust_root": samples.ROOT_KEY.id, "requester": "harbour-police"}
    values |= {"reply": REPLY, "message": "e30=", "segments": items}
    return Tip(**{**stated(), **values, **changes}), headers


def state(door: Door, sent: Tip) -> RequestState:
    listed = door.custodian.control.answer(Frame({"op": "tips"})).head["result"]["tips"]
    return next(RequestState(each["state"]) for each in listed if each["id"] == sent.tip)


def receipt(door: Door, sent: Tip, **changes: Any) -> disclosures.Receipt:
    parts = next(record.parts for record in door.journal.outbox() if record.disclosure == sent.tip)
    values: dict[str, Any] = {"disclosure": sent.tip, "request": sent.tip, "incomplete": (), "seq": 10**6}
    values |= {"state": disclosures.ReceiptState.COMPLETE, "manifest": parts[0].sha256, "requester": "harbour-police"}
    values |= {"stored": (disclosures.PartRange(first=0, last=len(parts) - 1),)}
    return samples.receipt(**{**values, **changes})


def heard(door: Door, said: disclosures.Receipt, by: Any = POLICE) -> Any:
    return door.hear(said, by, ReceiptTopic(ANONYMOUS, said.disclosure))


@pytest.mark.parametrize("quality", [ClockQuality.SYNCED, ClockQuality.UNKNOWN])
def test_a_tip_is_kept_with_its_end_by_the_clock_of_its_owner_if_the_doorbell_has_none(
    door: Door, quality: ClockQuality
) -> None:
    door.clock.quality = quality
    sent, _ = tip(door, owner_time_ms=NOW_S * 1000 + 5_000)
    door.obey(sent)
    began_s = NOW_S + 5 if quality is ClockQuality.UNKNOWN else door.clock.now().utc_ns // 10**9
    assert door.custodian.tips.listed() == [
        StoredTip(
            tip=sent.tip, trust_root=samples.ROOT_KEY.id, requester="harbour-police", state=RequestState.APPROVED,
            not_after_s=began_s + LIFE_S, sealed_to=sha256_of_recipient(REPLY), by=samples.OWNER_KEY.id,
        )
    ]  # fmt: skip


def test_words_alone_leave_without_a_name(door: Door) -> None:
    sent, _ = tip(door)
    verdict = door.obey(sent)
    assert (verdict.state, verdict.disclosure) == (RequestState.APPROVED, sent.tip)
    assert door.kinds()[-2:] == ["tip", "sealed"]
    assert door.entries()[-2]["reason"] == "anna"
    assert door.outgoing() == [sent.tip]
    opened = open_bytes(door.outbox.objects[sent.tip][0], [REPLY_IDENTITY])
    manifest, items = read_tip(opened, sent.tip)
    assert (manifest.message, manifest.device, items) == ("e30=", None, ())
    for name in (samples.DEVICE_KEY.text, samples.DEVICE_KEY.id, "anna", samples.OWNER_KEY.text):
        assert name.encode() not in opened


def test_footage_in_a_tip_is_what_was_sealed_at_capture(door: Door) -> None:
    sent, headers = tip(door, door.segments[0], door.segments[2])
    door.obey(sent, headers)
    parts = door.outbox.objects[sent.tip]
    manifest, items = read_tip(open_bytes(parts[0], [REPLY_IDENTITY]), sent.tip)
    assert manifest.device == samples.DEVICE_KEY.text
    for number, item in enumerate(items, start=1):
        check_tip_part(item, parts[number])
        with pytest.raises(OpenError):
            check_tip_part(item, with_another_end(parts[number]))
    assert door.entries()[-1]["segments"] == 2


def test_its_first_byte_is_ledgered_and_its_requesters_receipt_ends_it(door: Door) -> None:
    sent, _ = tip(door)
    door.obey(sent)
    assert door.begin(sent.tip)
    assert state(door, sent) is RequestState.SENDING
    assert door.kinds()[-1] == "sending"
    assert heard(door, receipt(door, sent, requester="harbour-fire"), FIRE) is None
    assert heard(door, receipt(door, sent, manifest="00" * 32)) is None
    assert state(door, sent) is RequestState.SENDING
    assert heard(door, receipt(door, sent)) is not None
    assert state(door, sent) is RequestState.SENT
    assert door.kinds()[-1] == "receipt"
    assert (door.outgoing(), door.outbox.objects) == ([], {})
    assert not door.begin(sent.tip)


def test_partial_receipts_go_to_the_transfer_and_old_ones_nowhere(door: Door) -> None:
    sent, _ = tip(door)
    door.obey(sent)
    partial = receipt(door, sent, state=disclosures.ReceiptState.PARTIAL, manifest=None, seq=10)
    assert heard(door, partial) == partial
    assert heard(door, partial) is None
    refused = receipt(door, sent, state=disclosures.ReceiptState.REFUSED, manifest=None)
    heard(door, refused)
    assert state(door, sent) is RequestState.STOPPED


def test_until_its_first_byte_it_can_be_taken_back(door: Door) -> None:
    sent, _ = tip(door)
    door.obey(sent)
    assert door.obey(Revocation(**stated(), disclosure=sent.tip)).state is RequestState.REVOKED
    assert door.kinds()[-1] == "revoked"
    assert (door.outgoing(), door.outbox.objects) == ([], {})


def test_it_waits_as_long_as_every_answer_does() -> None:
    door = Door.enrolled(delay_s=60)
    door.custodian.control._trust.accept(signed(with_tips(), ROOT))
    sent, _ = tip(door)
    door.obey(sent)
    assert door.outgoing() == []
    assert not door.begin(sent.tip)
    door.clock.advance(60)
    assert door.begin(sent.tip)
    door.close()


def test_what_nobody_takes_for_a_month_is_given_up(door: Door) -> None:
    sent, _ = tip(door)
    door.obey(sent)
    door.clock.advance(30 * DAY_S)
    door.custodian.on_time()
    assert state(door, sent) is RequestState.APPROVED
    door.clock.advance(1)
    door.custodian.on_time()
    assert state(door, sent) is RequestState.EXPIRED
    assert door.outbox.objects == {}


def test_a_power_cut_loses_no_tip(door: Door) -> None:
    sent, _ = tip(door)
    door.obey(sent)
    door.start()
    assert door.outgoing() == [sent.tip]
    assert door.begin(sent.tip)


def test_nothing_that_arrives_makes_a_tip(door: Door) -> None:
    sent, _ = tip(door)
    before = door.kinds()
    for by in (POLICE, ROOT, APPROVER):
        for topic in (RequestTopic(cell_of(*DOOR), "harbour-police", 0), ReceiptTopic(ANONYMOUS, sent.tip)):
            assert door.hear(signed(sent, by), by, topic) is None
    assert (door.kinds(), door.outgoing(), door.outbox.objects) == (before, [], {})


def test_only_an_owner_sends_one_and_each_once(door: Door) -> None:
    sent, _ = tip(door)
    with pytest.raises(OpenError):
        door.obey(sent, by=private_key_from_seed(b"x" * 32))
    door.obey(sent)
    with pytest.raises(RequestError):
        door.obey(sent)
    with pytest.raises(RequestError, match="already in use"):
        door.obey(msgspec.structs.replace(sent, nonce=new_id()))
    assert door.outgoing() == [sent.tip]


def test_a_tip_cannot_take_the_name_of_a_disclosure(door: Door) -> None:
    asked = door.ask()
    disclosure = door.approve(asked, door.segments[0]).disclosure
    sent, _ = tip(door, tip=disclosure)
    with pytest.raises(RequestError, match="already in use"):
        door.obey(sent)
    assert disclosure in door.outbox.objects


@pytest.mark.parametrize(
    "changes",
    [
        {"requester": "nobody"},
        {"trust_root": "0" * 16},
        {"reply": str(custodians.OWNER_IDENTITY.recipient())},
    ],
)
def test_it_goes_only_to_the_key_that_a_root_of_the_owners_gives(door: Door, changes: dict[str, str]) -> None:
    sent, _ = tip(door, **changes)
    with pytest.raises(RequestError, match="takes no tips"):
        door.obey(sent)
    assert door.outbox.objects == {}


def test_a_requester_whose_keys_are_revoked_gets_none(door: Door) -> None:
    revoked = with_tips(3)
    keys = tuple(msgspec.structs.replace(key, revoked=True) for key in revoked.requesters[0].keys)
    entries = (msgspec.structs.replace(revoked.requesters[0], keys=keys), *revoked.requesters[1:])
    door.custodian.control._trust.accept(signed(msgspec.structs.replace(revoked, requesters=entries), ROOT))
    sent, _ = tip(door)
    with pytest.raises(RequestError, match="takes no tips"):
        door.obey(sent)


def test_a_requester_with_a_new_key_beside_a_revoked_one_gets_tips(door: Door) -> None:
    listed = with_tips(3)
    old, new = (private_key_from_seed(bytes([number]) * 32) for number in (1, 2))
    keys = tuple(
        RequesterKey(key=public_key_of(key).text, from_s=0, until_s=NOW_S * 2, revoked=key is old) for key in (old, new)
    )
    entries = (msgspec.structs.replace(listed.requesters[0], keys=keys), *listed.requesters[1:])
    door.custodian.control._trust.accept(signed(msgspec.structs.replace(listed, requesters=entries), ROOT))
    sent, _ = tip(door)
    assert door.obey(sent).state is RequestState.APPROVED
    assert door.outgoing() == [sent.tip]


def test_where_it_takes_two_a_tip_is_no_way_around_the_other(door: Door) -> None:
    door.enrol(**custodians.two_owners(door, private_key_from_seed(b"b" * 32)))
    shown, headers = tip(door, door.segments[0])
    with pytest.raises(RequestError, match="takes two owners"):
        door.obey(shown, headers)
    assert door.outbox.objects == {}
    still = msgspec.structs.replace(shown, segments=(), posters=shown.segments)
    with pytest.raises(RequestError, match="takes two owners"):
        door.obey(still, headers)
    assert door.outbox.objects == {}
    words, _ = tip(door)
    assert door.obey(words).state is RequestState.APPROVED


def test_footage_that_is_not_what_was_stored_is_refused_and_leaves_nothing(door: Door) -> None:
    sent, headers = tip(door, door.segments[0])
    (item,) = sent.segments
    wrong = msgspec.structs.replace(item, payload_sha256="00" * 32)
    with pytest.raises(RequestError, match="names bytes that differ"):
        door.obey(msgspec.structs.replace(sent, segments=(wrong,)), headers)
    with pytest.raises(RequestError, match="header"):
        door.obey(sent, ())
    door.vault.evict(door.segments[0])
    with pytest.raises(RequestError, match="no longer in the vault"):
        door.obey(sent, headers)
    assert (door.outbox.objects, door.outbox.making) == ({}, {})


def test_what_an_owner_has_deleted_is_in_no_tip(door: Door) -> None:
    sent, headers = tip(door, door.segments[0])
    door.obey(Erasure(**stated(), segments=(door.segments[0],)))
    with pytest.raises(RequestError, match="no longer in the vault"):
        door.obey(sent, headers)
    assert (door.outbox.objects, door.outgoing()) == ({}, [])


def test_a_tip_on_its_way_ends_with_footage_that_an_owner_deletes_and_one_of_words_leaves(door: Door) -> None:
    words, with_footage = tip(door), tip(door, *door.segments[:2])
    for sent, headers in (words, with_footage):
        door.obey(sent, headers)
    door.obey(Erasure(**stated(), segments=(door.segments[1],)))
    assert door.outgoing() == [words[0].tip]
    assert door.entries()[-1]["disclosure"] == with_footage[0].tip
    assert door.kinds()[-2:] == ["erased", "revoked"]


def test_what_is_deleted_while_a_tip_is_copied_does_not_go_with_it(door: Door) -> None:
    sent, headers = tip(door, door.segments[0])
    maker = door.custodian.tips._maker
    make = maker.making

    @contextmanager
    def interrupted(*arguments: Any) -> Iterator[Any]:
        with make(*arguments) as made:
            door.obey(Erasure(**stated(), segments=(door.segments[0],)))
            yield made

    maker.making = interrupted  # type: ignore[method-assign]
    with pytest.raises(RequestError, match="just been deleted"):
        door.obey(sent, headers)
    assert (door.outbox.objects, door.outgoing()) == ({}, [])


def test_a_tip_is_not_sealed_to_a_key_that_is_revoked_while_it_is_copied(door: Door) -> None:
    sent, headers = tip(door, door.segments[0])
    revoked = with_tips(3)
    keys = tuple(msgspec.structs.replace(key, revoked=True) for key in revoked.requesters[0].keys)
    entries = (msgspec.structs.replace(revoked.requesters[0], keys=keys), *revoked.requesters[1:])
    maker = door.custodian.tips._maker
    make = maker.making

    @contextmanager
    def interrupted(*arguments: Any) -> Iterator[Any]:
        with make(*arguments) as made:
            door.custodian.control._trust.accept(signed(msgspec.structs.replace(revoked, requesters=entries), ROOT))
            yield made

    maker.making = interrupted  # type: ignore[method-assign]
    with pytest.raises(RequestError, match="takes no tips"):
        door.obey(sent, headers)
    assert (door.outbox.objects, door.outgoing()) == ({}, [])


@pytest.mark.parametrize("call", ["begin", "write", "commit"])
def test_a_full_disk_stops_a_tip_and_leaves_nothing(door: Door, call: str) -> None:
    sent, _ = tip(door)
    before = door.kinds()
    door.outbox.fault = call
    with pytest.raises(Exception, match="full"):
        door.obey(sent)
    door.outbox.fault = None
    assert (door.kinds(), door.outbox.objects, door.outgoing()) == (before, {}, [])
    assert door.obey(sent).state is RequestState.APPROVED


def test_a_tip_is_no_request_and_counts_as_none(door: Door) -> None:
    sent, _ = tip(door)
    door.obey(sent)
    listed = door.custodian.control.answer(Frame({"op": "requests", "all": True})).head["result"]
    assert listed["requests"] == []
    assert door.journal.requests_since((NOW_S - DAY_S) * 1000) == 0


def test_a_stranger_with_the_part_reads_nothing(door: Door) -> None:
    sent, _ = tip(door)
    door.obey(sent)
    with pytest.raises(OpenError):
        open_bytes(door.outbox.objects[sent.tip][0], [custodians.OWNER_IDENTITY])
    with pytest.raises(Exception, match="differs from the id"):
        read_tip(open_bytes(door.outbox.objects[sent.tip][0], [REPLY_IDENTITY]), new_id())
    assert strictjson.encode(sent)
