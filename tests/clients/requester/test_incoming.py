"""Incoming disclosures: each message has its whole effect on the disk, in memory, in receipts and in events."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from types import SimpleNamespace
from typing import Any, Final

import msgspec
import pytest

from agent.clients.requester import messages
from agent.clients.requester.answer_index import AnswerState, QuotaUsage, ReceivedAnswer
from agent.clients.requester.checks import AnswerSummary, Grade
from agent.clients.requester.claims import Claims
from agent.clients.requester.disclosure_folder import AnswerFolder, DisclosureOrigin, ReceiveOutcome
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.incoming import AddressedRequest, IncomingDisclosures
from agent.clients.requester.known_doorbells import KnownDoorbells
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind, ReceivingLimits
from agent.clients.requester.sealed_parts import FolderParts
from agent.clients.requester.upload_share import UploadShare
from agent.clients.requester.verification import examine
from agent.core.disclosure import reply_stanza
from agent.core.media import Gop
from agent.core.timebase import seconds
from agent.core.transfer import ReceiverLimits, TransferProgress
from agent.core.transfer.receiver import NEWS_NS
from agent.core.vault.age.recipients import Recipient, parse_recipient
from agent.core.vault.age.sealing import Sealer
from agent.errors import ConfigurationError, NetworkError, StorageError
from agent.wire.disclosures import PartKind, ReceiptState
from agent.wire.statements import ClipClaim
from agent.wire.topics import ANONYMOUS
from agent.wire.uploads import UploadNote
from tests.clients.requester.conftest import NOW_S, ROOT_ID, filmed
from tests.clients.requester.conftest import question as draft
from tests.clients.requester.doors import TestClock, answer_folders, stored_bytes
from tests.clients.requester.house import Changes, Disclosure, House
from tests.clients.requester.test_incoming_tips import TIP, sealed, shown
from tests.clients.requester.test_receiving_service import clock, tip_of
from tests.clients.requester.test_shared_receivers import Ledger, TableClaims
from tests.clients.requester.test_verification import STRANGER, lay_down
from tests.damage import with_another_end
from tests.fake_bus import FakeBroker, FakeBus

__all__ = ["clock"]

NOW_MS: Final = NOW_S * 1000
OTHER_DEVICE: Final = "cd" * 8
CHUNK_BYTES: Final = 128 << 10


class Receiving:
    """The incoming disclosures of a requester, with everything that they report and answer."""

    def __init__(self, requester: Requester, clock: TestClock, claims: Claims | None = None, **limits: Any) -> None:
        self.requester = Requester.open(requester.folder, claims=claims) if claims is not None else requester
        self.clock = clock
        self.told: list[ReceiverEvent] = []
        self.answered: list[tuple[str, str, TransferProgress, AddressedRequest | None]] = []
        self.bus = FakeBus(FakeBroker(), requester.id)
        self.incoming = IncomingDisclosures(
            self.requester,
            clock,
            ReceivingLimits(**{"free_bytes": 0, **limits}),
            self.told.append,
            lambda *said: self.answered.append(said),
            UploadShare(self.requester.claims, self.bus, requester.id),
        )

    def announce(self, disclosure: Disclosure, device: str | None = None, question: int | None = None) -> bool:
        """Returns True if it is open afterwards."""
        first = disclosure.sizes[0]
        note = UploadNote(
            v=1, parts=len(disclosure.parts), size_bytes=first.size_bytes, sha256=first.sha256, question=question
        )
        self.incoming.init(device or disclosure.device, disclosure.id, note)
        return disclosure.id in self.incoming._reception

    def send(self, disclosure: Disclosure, *parts: int, device: str | None = None) -> None:
        sender = device or disclosure.device
        for part in parts:
            data = disclosure.parts[part]
            for offset in range(0, len(data), CHUNK_BYTES):
                piece = data[offset : offset + CHUNK_BYTES]
                hashed = hashlib.sha256(piece).hexdigest()
                self.incoming.chunk(sender, disclosure.id, part, offset, piece, hashed)
            self.incoming.fin(sender, disclosure.id, part)

    def deliver(self, disclosure: Disclosure) -> None:
        self.deliver_rest(disclosure, 0)

    def deliver_rest(self, disclosure: Disclosure, parts: int) -> None:
        """All but the first `parts`, which are here."""
        self.announce(disclosure)
        self.send(disclosure, *range(parts, len(disclosure.parts)))

    @property
    def kinds(self) -> list[ReceiverEventKind]:
        return [each.kind for each in self.told if each.kind is not ReceiverEventKind.PROGRESS]

    @property
    def last_state(self) -> ReceiptState:
        return self.answered[-1][2].state

    def remembered(self) -> dict[str, Any]:
        """All that is in memory about single disclosures, except the ids that are not taken again."""
        names = ("_unread", "_requests", "_tips", "_heard_ns", "_waiting_for_room", "_answering_later", "_not_kept")
        turns = self.incoming._turns
        here = {name: getattr(self.incoming, name) for name in names}
        here |= {"open": self.incoming._reception.ids(), "waits": turns._waiting, "sends": turns._moved_ns}
        return {name: value for name, value in here.items() if value}

    def row(self, disclosure: str) -> ReceivedAnswer | None:
        """The row of the index, without the number of its last change."""
        found = self.requester.answers.get(disclosure)
        return None if found is None else dataclasses.replace(found, change=0)


@pytest.fixture
def receiving(requester: Requester, clock: TestClock) -> Receiving:
    return Receiving(requester, clock)


def size_of(disclosure: Disclosure) -> int:
    return sum(map(len, disclosure.parts))


def event(kind: ReceiverEventKind, disclosure: Disclosure, request: str = "", **more: Any) -> ReceiverEvent:
    return ReceiverEvent(kind, disclosure.id, request, **{"device": disclosure.device, "at_ms": NOW_MS, **more})


def on_disk(requester: Requester) -> dict[str, bytes]:
    """Every file below `disclosures/`, by its path."""
    below = requester.folder / "disclosures"
    return {str(path.relative_to(below)): path.read_bytes() for path in below.rglob("*") if path.is_file()}


def named(asked: SentRequest) -> AddressedRequest:
    return AddressedRequest(asked.request.id, ROOT_ID, 90)


# -- an answer from its announcement to its end ------------------------------------------------------------------------


def test_an_answer_is_told_answered_and_listed_step_by_step(
    receiving: Receiving, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    sizes = [len(part) for part in disclosure.parts]
    first, key = disclosure.sizes[0].sha256, asked.request.id
    assert receiving.announce(disclosure, question=7)
    assert receiving.told == []
    assert receiving.row(disclosure.id) == ReceivedAnswer(
        disclosure.id, disclosure.device, "", AnswerState.RECEIVING, size_bytes=sizes[0], parts=1, live=True,
        begun_ms=NOW_MS,
    )  # fmt: skip
    folder = receiving.requester.answer(disclosure.id)
    assert folder.origin() == DisclosureOrigin(
        v=1, device=disclosure.device, parts=len(sizes), size_bytes=sizes[0], sha256=first, begun_ms=NOW_MS
    )
    assert receiving.remembered().keys() == {"_unread", "_heard_ns", "open"}
    receiving.send(disclosure, 0)
    assert receiving.row(disclosure.id) == ReceivedAnswer(
        disclosure.id, disclosure.device, key, AnswerState.RECEIVING, size_bytes=sum(sizes), parts=len(sizes),
        live=True, begun_ms=NOW_MS,
    )  # fmt: skip
    assert folder.request() == asked.envelope
    assert receiving.told == [
        event(ReceiverEventKind.BEGUN, disclosure, key, held_bytes=sizes[0], expected_bytes=sum(sizes))
    ]
    receiving.clock.boot_ns += seconds(10)
    receiving.send(disclosure, *range(1, len(sizes)))
    verification = examine(receiving.requester, disclosure.id)
    summary = AnswerSummary(
        Grade.SEGMENTS,
        min(each.span.start_ms for each in verification.items),
        max(each.span.end_ms for each in verification.items),
    )
    later = {"at_ms": NOW_MS + 10_000, "expected_bytes": sum(sizes)}
    assert [dataclasses.replace(each, verification=None) for each in receiving.told[1:]] == [
        *(
            event(ReceiverEventKind.PROGRESS, disclosure, key, held_bytes=sum(sizes[: number + 1]), **later)
            for number in range(1, len(sizes))
        ),
        event(ReceiverEventKind.COMPLETE, disclosure, key, held_bytes=sum(sizes), answer=summary, **later),
    ]
    told = receiving.told[-1].verification
    assert told is not None
    assert told.ok
    assert told.items == verification.items
    assert receiving.answered == [
        (disclosure.device, disclosure.id, progress, request)
        for progress, request in (
            (TransferProgress(ReceiptState.PARTIAL, None, question=7), None),
            (TransferProgress(ReceiptState.PARTIAL, first, ((0, 0),), question=7), named(asked)),
            (TransferProgress(ReceiptState.PARTIAL, first, ((0, 1),), question=7), named(asked)),
            (TransferProgress(ReceiptState.COMPLETE, first, ((0, len(sizes) - 1),), question=7), named(asked)),
        )
    ]
    assert folder.outcome() == ReceiveOutcome(
        v=1, state="complete", ended_ms=NOW_MS + 10_000, grade=Grade.SEGMENTS, from_ms=summary.from_ms,
        to_ms=summary.to_ms,
    )  # fmt: skip
    assert receiving.row(disclosure.id) == ReceivedAnswer(
        disclosure.id, disclosure.device, key, AnswerState.COMPLETE, size_bytes=stored_bytes(folder), parts=len(sizes),
        begun_ms=NOW_MS, ended_ms=NOW_MS + 10_000, grade=Grade.SEGMENTS, from_ms=summary.from_ms, to_ms=summary.to_ms,
    )  # fmt: skip
    assert receiving.remembered() == {}


def test_an_answer_that_is_complete_is_acknowledged_again_from_the_disk_and_not_written(
    receiving: Receiving, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    receiving.deliver(disclosure)
    stored, told, answered = on_disk(receiving.requester), len(receiving.told), len(receiving.answered)
    assert not receiving.announce(disclosure, question=8), "it is closed again after the answer"
    assert receiving.answered[answered:] == [
        (
            disclosure.device,
            disclosure.id,
            TransferProgress(
                ReceiptState.COMPLETE, disclosure.sizes[0].sha256, ((0, len(disclosure.parts) - 1),), question=8
            ),
            named(asked),
        )
    ]
    receiving.send(disclosure, 0, 1)
    assert (on_disk(receiving.requester), len(receiving.told)) == (stored, told)
    assert receiving.remembered() == {}


@pytest.mark.parametrize("state", ["complete", "refused", "arriving"])
def test_another_device_that_announces_the_id_of_a_stored_answer_changes_nothing(
    requester: Requester, clock: TestClock, asked: SentRequest, gops: list[Gop], state: str
) -> None:
    """It knows the id, for example from a broker. Its announcement once opened the answer for its own data, and as that
    opens with no key, the stored answer was deleted."""
    house = filmed(gops, Changes(approval_key=STRANGER) if state == "refused" else None)
    disclosure, first = house.disclose(asked), Receiving(requester, clock)
    assert first.announce(disclosure)
    first.send(disclosure, *range(len(disclosure.parts) - (state == "arriving")))
    before = on_disk(requester)
    again = Receiving(requester, clock)
    assert not again.announce(disclosure, device=OTHER_DEVICE)
    again.send(disclosure, *range(len(disclosure.parts)), device=OTHER_DEVICE)
    foreign = Disclosure(disclosure.id, OTHER_DEVICE, [b"foreign bytes", b"more"])
    assert not again.announce(foreign)
    again.send(foreign, 0, 1)
    assert (on_disk(requester), again.told, again.answered) == (before, [], [])
    assert again.remembered() == {}


def test_an_answer_goes_on_after_a_restart_with_the_parts_that_are_missing(
    receiving: Receiving, asked: SentRequest, house: House, clock: TestClock
) -> None:
    disclosure = house.disclose(asked)
    receiving.announce(disclosure)
    receiving.send(disclosure, 0, 1)
    last = len(disclosure.parts) - 1
    again = Receiving(receiving.requester, clock)
    again.incoming.sweep()
    assert again.announce(disclosure, question=3)
    assert again.answered == [
        (
            disclosure.device,
            disclosure.id,
            TransferProgress(ReceiptState.PARTIAL, disclosure.sizes[0].sha256, ((0, 1),), question=3),
            named(asked),
        )
    ]
    again.send(disclosure, *range(2, last + 1))
    assert again.kinds == [ReceiverEventKind.BEGUN, ReceiverEventKind.COMPLETE]
    assert again.last_state is ReceiptState.COMPLETE
    assert again.remembered() == {}


# -- ends that are no success ------------------------------------------------------------------------------------------


def test_a_refusal_is_told_kept_listed_and_answered_with_its_reason(
    receiving: Receiving, asked: SentRequest, gops: list[Gop]
) -> None:
    disclosure = filmed(gops, Changes(approval_key=STRANGER)).disclose(asked)
    assert receiving.announce(disclosure)
    receiving.send(disclosure, *range(len(disclosure.parts)))
    reason = receiving.told[-1].detail
    assert "No trusted key" in reason
    assert receiving.told == [event(ReceiverEventKind.REFUSED, disclosure, asked.request.id, detail=reason)]
    folder = receiving.requester.answer(disclosure.id)
    assert folder.outcome() == ReceiveOutcome(v=1, state="refused", reason=reason, ended_ms=NOW_MS)
    assert folder.sealed() == {0}
    assert folder.request() == asked.envelope
    assert receiving.row(disclosure.id) == ReceivedAnswer(
        disclosure.id, disclosure.device, asked.request.id, AnswerState.QUARANTINED, reason,
        size_bytes=stored_bytes(folder), parts=1, begun_ms=NOW_MS, ended_ms=NOW_MS,
    )  # fmt: skip
    assert [each[2:] for each in receiving.answered] == [
        (TransferProgress(ReceiptState.PARTIAL, None), None),
        (TransferProgress(ReceiptState.REFUSED, disclosure.sizes[0].sha256), named(asked)),
    ]
    assert receiving.remembered() == {}


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("withdrawn", "The request was withdrawn."),
        ("another id", "The manifest names another disclosure than its topic."),
        ("another device", "The manifest names another disclosure than its topic."),
        ("too large", "It exceeds this machine's limits or its own announcement."),
    ],
)
def test_an_answer_that_must_not_arrive_is_refused_after_its_first_part(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House, case: str, reason: str
) -> None:
    disclosure = house.disclose(asked)
    limits = ReceiverLimits(part_bytes=100) if case == "too large" else ReceiverLimits()
    receiving = Receiving(requester, clock, transfer=limits)
    match case:
        case "withdrawn":
            messages.make_withdrawal(requester, asked.request.id, "Solved.")
        case "another id":
            disclosure.id = "0d" * 16
        case "another device":
            disclosure.device = OTHER_DEVICE
    receiving.announce(disclosure)
    receiving.send(disclosure, 0)
    assert receiving.told == [event(ReceiverEventKind.REFUSED, disclosure, asked.request.id, detail=reason)]
    outcome = requester.answer(disclosure.id).outcome()
    assert outcome == ReceiveOutcome(v=1, state="refused", reason=reason, ended_ms=NOW_MS)
    assert receiving.last_state is ReceiptState.REFUSED
    assert receiving.remembered() == {}


def test_an_answer_with_one_wrong_file_is_refused_after_all_of_it_arrived(
    receiving: Receiving, asked: SentRequest, gops: list[Gop]
) -> None:
    house = filmed(gops, Changes(context=lambda context: msgspec.structs.replace(context, ordinal=77)))
    disclosure = house.disclose(asked)
    receiving.deliver(disclosure)
    failed = examine(receiving.requester, disclosure.id).failed
    assert failed is not None
    assert receiving.told[-1] == event(ReceiverEventKind.REFUSED, disclosure, asked.request.id, detail=failed.said)
    outcome = receiving.requester.answer(disclosure.id).outcome()
    assert outcome == ReceiveOutcome(v=1, state="refused", reason=failed.said, ended_ms=NOW_MS)
    assert receiving.answered[-1][2:] == (
        TransferProgress(ReceiptState.REFUSED, disclosure.sizes[0].sha256),
        named(asked),
    )
    assert receiving.remembered() == {}


def test_a_first_part_that_no_key_opens_is_dropped_in_silence_and_not_taken_again(
    receiving: Receiving, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    disclosure.parts[0] = bytes(len(disclosure.parts[0]))
    assert receiving.announce(disclosure)
    receiving.send(disclosure, 0)
    assert receiving.told == [event(ReceiverEventKind.DROPPED, disclosure)]
    assert [each[2].state for each in receiving.answered] == [ReceiptState.PARTIAL]
    assert (on_disk(receiving.requester), receiving.row(disclosure.id)) == ({}, None)
    assert receiving.remembered() == {}
    assert not receiving.announce(disclosure)
    assert on_disk(receiving.requester) == {}


def test_parts_that_keep_differing_from_their_hashes_end_the_answer(
    receiving: Receiving, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    disclosure.parts[1] = with_another_end(disclosure.parts[1])
    receiving.announce(disclosure)
    receiving.send(disclosure, 0, 1, 1, 1)
    assert receiving.requester.answer(disclosure.id).outcome() == ReceiveOutcome(
        v=1, state="refused", reason="Its parts differ from their announced hashes.", ended_ms=NOW_MS
    )
    listed = receiving.row(disclosure.id)
    assert listed is not None
    assert (listed.state, listed.live) == (AnswerState.QUARANTINED, False)
    assert receiving.last_state is ReceiptState.REFUSED
    assert receiving.remembered() == {}


def test_an_announcement_of_a_first_part_above_the_limit_leaves_nothing(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    receiving, disclosure = (
        Receiving(requester, clock, transfer=ReceiverLimits(manifest_bytes=100)),
        house.disclose(asked),
    )
    assert not receiving.announce(disclosure)
    assert (receiving.answered, receiving.told, on_disk(requester)) == ([], [], {})
    assert (receiving.row(disclosure.id), receiving.remembered()) == (None, {})
    assert list(receiving.incoming._unreadable) == [disclosure.id]


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_an_answer_that_its_owner_takes_back_stays_as_far_as_it_is_known(
    receiving: Receiving, asked: SentRequest, house: House, parts: int
) -> None:
    disclosure = house.disclose(asked)
    receiving.announce(disclosure)
    receiving.send(disclosure, *range(parts))
    told = len(receiving.told)
    receiving.incoming.abort(OTHER_DEVICE, disclosure.id)
    assert len(receiving.told) == told
    receiving.incoming.abort(disclosure.device, disclosure.id)
    request = asked.request.id if parts else ""
    device = disclosure.device
    assert receiving.told[told:] == [
        ReceiverEvent(ReceiverEventKind.STOPPED, disclosure.id, request, device=device, at_ms=NOW_MS)
    ]
    assert receiving.remembered() == {}
    folder, listed = receiving.requester.answer(disclosure.id), receiving.row(disclosure.id)
    if not parts:
        assert (on_disk(receiving.requester), listed) == ({}, None)
        return
    assert folder.sealed() == set(range(parts))
    assert listed == ReceivedAnswer(
        disclosure.id, device, request, AnswerState.RECEIVING, size_bytes=stored_bytes(folder), parts=parts,
        begun_ms=NOW_MS,
    )  # fmt: skip


@pytest.mark.parametrize("parts", [0, 2])
def test_an_answer_that_another_process_deletes_ends_with_its_next_data(
    receiving: Receiving, asked: SentRequest, house: House, parts: int
) -> None:
    disclosure = house.disclose(asked)
    receiving.announce(disclosure)
    receiving.send(disclosure, *range(parts))
    told = len(receiving.told)
    receiving.requester.answer(disclosure.id).delete()
    receiving.send(disclosure, parts)
    request = asked.request.id if parts else ""
    assert receiving.told[told:] == [event(ReceiverEventKind.STOPPED, disclosure, request)]
    assert receiving.remembered() == {}
    assert list(receiving.incoming._unreadable) == [disclosure.id]
    assert not receiving.announce(disclosure)
    assert not receiving.requester.answer(disclosure.id).path.exists()


def test_a_disk_that_fails_is_no_deletion(
    receiving: Receiving, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise StorageError("The disk is full.")

    disclosure = house.disclose(asked)
    receiving.announce(disclosure)
    monkeypatch.setattr(AnswerFolder, "write", fails)
    with pytest.raises(StorageError, match="The disk is full"):
        receiving.send(disclosure, 0)
    assert receiving.requester.answer(disclosure.id).is_known()
    assert receiving.told == []
    monkeypatch.undo()
    monkeypatch.setattr(AnswerFolder, "create", fails)
    with pytest.raises(StorageError, match="The disk is full"):
        receiving.announce(house.disclose(asked))
    assert receiving.told == []


# -- after a crash, and between receivers ------------------------------------------------------------------------------


def lay_part(requester: Requester, disclosure: Disclosure, sealed_parts: int) -> AnswerFolder:
    """An answer as a crash leaves it: some whole parts, and one that is incomplete."""
    receiving = Receiving(requester, TestClock())
    receiving.announce(disclosure)
    receiving.send(disclosure, *range(sealed_parts))
    folder = requester.answer(disclosure.id)
    (folder.path / f"{sealed_parts}.part").write_bytes(b"half")
    return folder


def test_a_crash_leaves_the_whole_parts_of_answers_that_were_read(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House, gops: list[Gop]
) -> None:
    unread, read = (house.disclose(asked) for _ in range(2))
    ended = filmed(gops, name="the neighbour's").disclose(asked)
    for disclosure, sealed_parts in ((unread, 0), (read, 1), (ended, 1)):
        lay_part(requester, disclosure, sealed_parts)
    requester.answer(ended.id).end(ReceiptState.REFUSED, "Too large.", ended_ms=5)
    put_back = house.disclose(asked)
    lay_down(requester, asked, put_back)
    requester.answers.remove(put_back.id)
    receiving = Receiving(requester, clock)
    receiving.incoming.sweep()
    assert receiving.row(unread.id) is None
    assert not requester.answer(unread.id).path.exists()
    for disclosure, state in ((read, AnswerState.RECEIVING), (ended, AnswerState.QUARANTINED)):
        listed = receiving.row(disclosure.id)
        assert listed is not None
        assert (listed.state, listed.parts, listed.live) == (state, 1, False)
        assert requester.answer(disclosure.id).sealed() == {0}
        assert list(requester.answer(disclosure.id).path.glob("*.part")) == []
    assert receiving.row(put_back.id) is not None, "a folder that a person put back is listed"
    assert (receiving.told, receiving.answered, receiving.remembered()) == ([], [], {})


class Shared(Receiving):
    """A receiver that shares the uploads with others, and notes what it claims and releases."""

    def __init__(
        self, requester: Requester, clock: TestClock, name: str = "this", ledger: Ledger | None = None, **limits: Any
    ) -> None:
        self.ledger = ledger or Ledger()
        super().__init__(requester, clock, TableClaims(self.ledger, name), **limits)

    def subscriptions(self) -> set[str]:
        return set(self.bus._filters)


def test_after_a_crash_one_of_several_receivers_cleans_up_what_none_has_claimed(
    requester: Requester, clock: TestClock, asked: SentRequest, gops: list[Gop]
) -> None:
    mine, theirs = (filmed(gops, name=name).disclose(asked) for name in ("mine", "theirs"))
    for disclosure in (mine, theirs):
        lay_part(requester, disclosure, 2)
    (requester.folder / "disclosures" / "notes of a person").mkdir()
    receiving = Shared(requester, clock)
    receiving.ledger.of[theirs.id] = "other"
    receiving.incoming.sweep()
    assert list((requester.folder / "disclosures").glob("*/*.part")) == [], "a part is of use to its assembler only"
    receiving.incoming.sweep_on()
    rows = [receiving.row(each.id) for each in (mine, theirs)]
    assert [row and row.live for row in rows] == [False, True]
    assert receiving.ledger.of == {theirs.id: "other"}
    assert receiving.subscriptions() == set()
    assert receiving.told == []


def test_an_answer_that_ended_before_its_receiver_could_list_that_is_told(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    lay_part(requester, disclosure, 2).end(ReceiptState.COMPLETE, ended_ms=5)
    receiving = Shared(requester, clock)
    receiving.incoming.sweep()
    receiving.incoming.sweep_on()
    row = receiving.row(disclosure.id)
    assert row is not None
    assert row.state is AnswerState.COMPLETE
    assert receiving.kinds == [ReceiverEventKind.TAKEN_OVER], "a desk writes its row now"


def test_one_of_several_receivers_starts_without_a_call_for_each_answer_under_way(
    requester: Requester, clock: TestClock, asked: SentRequest, gops: list[Gop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 270 answers under way and a fault of the store every few seconds, receivers once began this again and again,
    and took nothing for ten minutes."""
    under_way = [filmed(gops, name=f"house {number}").disclose(asked) for number in range(5)]
    for disclosure in under_way:
        lay_part(requester, disclosure, 2)
    calls: list[str] = []
    held = AnswerFolder.sealed

    def counted(folder: AnswerFolder) -> frozenset[int]:
        calls.append(folder.disclosure)
        clock.boot_ns += seconds(0.1)
        return held(folder)

    monkeypatch.setattr(AnswerFolder, "sealed", counted)
    receiving = Shared(requester, clock)
    receiving.incoming.sweep()
    assert calls == []
    assert receiving.announce(under_way[4]), "an answer that goes on waits for none of the others"
    calls.clear()
    receiving.incoming.sweep_on()
    assert len(set(calls)) == 3, "a quarter of a second at a time"
    receiving.incoming.sweep_on()
    assert set(calls) == {each.id for each in under_way[:4]}, "and never one that arrives here"
    assert requester.answers.receiving(live=True) == [under_way[4].id]
    again = Shared(requester, clock)
    again.incoming.sweep()
    calls.clear()
    again.incoming.sweep_on()
    assert set(calls) == {under_way[4].id}, "the next start goes on where this one ended"


def test_a_receiver_among_several_claims_an_answer_takes_its_data_and_releases_it(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    disclosure, receiving = house.disclose(asked), Shared(requester, clock)
    receiving.announce(disclosure)
    assert receiving.ledger.of == {disclosure.id: "this"}
    assert receiving.subscriptions() == {f"doorward/v1/up/{requester.id}/{disclosure.device}/#"}
    receiving.send(disclosure, *range(len(disclosure.parts)))
    assert receiving.last_state is ReceiptState.COMPLETE
    assert (receiving.ledger.of, receiving.subscriptions(), receiving.remembered()) == ({}, set(), {})


def test_an_announcement_that_is_not_let_in_is_left_to_the_other_receivers(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    receiving = Shared(requester, clock, unread=0)
    assert not receiving.announce(house.disclose(asked))
    assert (receiving.ledger.of, receiving.subscriptions(), on_disk(requester)) == ({}, set(), {})


def test_an_answer_that_another_receiver_has_claimed_is_not_touched(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    receiving, disclosure = Shared(requester, clock), house.disclose(asked)
    receiving.ledger.of[disclosure.id] = "other"
    assert not receiving.announce(disclosure)
    receiving.send(disclosure, 0)
    assert (on_disk(requester), receiving.answered, receiving.told) == ({}, [], [])
    assert receiving.ledger.of == {disclosure.id: "other"}


def test_a_receiver_goes_on_where_another_one_left(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    disclosure, ledger = house.disclose(asked), Ledger()
    first, second = (Shared(requester, clock, name, ledger) for name in ("first", "second"))
    first.announce(disclosure)
    first.send(disclosure, 0, 1)
    folder = requester.answer(disclosure.id)
    (folder.path / "2.part").write_bytes(b"half")
    first.incoming.leave_all()
    assert (first.remembered(), ledger.of, first.subscriptions()) == ({}, {}, set())
    assert list(folder.path.glob("*.part")) == []
    listed = first.row(disclosure.id)
    assert listed is not None
    assert (listed.state, listed.live) == (AnswerState.RECEIVING, False)
    (folder.path / "2.part").write_bytes(bytes(2 * len(disclosure.parts[2])))  # of a run on this machine before
    assert second.announce(disclosure)
    assert second.told[0] == event(ReceiverEventKind.TAKEN_OVER, disclosure)
    second.send(disclosure, *range(2, len(disclosure.parts)))
    assert second.kinds == [ReceiverEventKind.TAKEN_OVER, ReceiverEventKind.BEGUN, ReceiverEventKind.COMPLETE]
    assert second.last_state is ReceiptState.COMPLETE


def test_an_answer_that_is_left_before_it_was_read_is_forgotten(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    receiving, disclosure = Shared(requester, clock), house.disclose(asked)
    receiving.announce(disclosure)
    receiving.incoming.leave_all()
    assert (on_disk(requester), receiving.row(disclosure.id), receiving.remembered()) == ({}, None, {})
    assert receiving.ledger.of == {}
    assert receiving.announce(disclosure), "it may come again"
    assert receiving.told == [], "of an unread one there is nothing to take over"


def test_an_answer_is_left_when_nothing_was_heard_of_it_for_more_than_five_minutes(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    receiving = Shared(requester, clock)
    silent, heard = house.disclose(asked), house.disclose(asked)
    receiving.announce(silent)
    clock.boot_ns += seconds(100)
    receiving.announce(heard)
    clock.boot_ns += seconds(200)
    receiving.incoming.leave_silent()
    assert set(receiving.ledger.of) == {silent.id, heard.id}
    clock.boot_ns += 1
    receiving.incoming.leave_silent()
    assert set(receiving.ledger.of) == {heard.id}
    clock.boot_ns += seconds(100) - 1
    receiving.send(heard, 0)
    clock.boot_ns += seconds(300)
    receiving.incoming.leave_silent()
    assert set(receiving.ledger.of) == {heard.id}, "its data was heard"
    clock.boot_ns += 1
    receiving.incoming.leave_silent()
    assert receiving.remembered() == {}


def begun_before(requester: Requester, clock: TestClock, house: House, most: int) -> list[Disclosure]:
    """Answers to one request each. Their first parts are here, and the receiver left them."""
    receiving = Receiving(requester, clock, open_per_device=most, unread_per_device=most)
    answers = []
    for number in range(most):
        another = messages.make_request(requester, draft(case=f"2027-{number}"), now_s=NOW_S).id
        answers.append(house.disclose(requester.sent_request(another)))
        receiving.announce(answers[-1])
        receiving.send(answers[-1], 0)
    receiving.incoming.leave_all()
    return answers


def test_of_answers_that_a_doorbell_began_earlier_only_so_many_arrive_at_once(
    requester: Requester, clock: TestClock, house: House
) -> None:
    answers = begun_before(requester, clock, house, 5)
    receiving = Receiving(requester, clock, open_per_device=2)
    assert [receiving.announce(each) for each in answers] == [True, True, False, False, False]
    refused = [each for each in receiving.told if each.kind is ReceiverEventKind.NO_ROOM]
    reason = "Its doorbell sends too many at once."
    assert refused == [event(ReceiverEventKind.NO_ROOM, each, detail=reason) for each in answers[2:]]
    clock.boot_ns += seconds(60)
    receiving.send(answers[1], 1)
    assert receiving.announce(answers[2]), "a silent one makes room"
    assert receiving.incoming._reception.ids() == [answers[1].id, answers[2].id]
    receiving.deliver_rest(answers[2], 1)
    receiving.deliver_rest(answers[3], 1)
    done = [each.disclosure for each in receiving.told if each.kind is ReceiverEventKind.COMPLETE]
    assert done == [answers[2].id, answers[3].id]
    assert not receiving.announce(answers[3])
    assert receiving.last_state is ReceiptState.COMPLETE, "an answer that has ended is acknowledged again"


def test_answers_of_all_doorbells_together_have_only_so_many_places(
    requester: Requester, clock: TestClock, house: House, gops: list[Gop]
) -> None:
    answers = begun_before(requester, clock, house, 3)
    receiving = Receiving(requester, clock)
    receiving.incoming._reception._most = 2
    assert [receiving.announce(each) for each in answers] == [True, True, False]
    new = filmed(gops, name="another").disclose(requester.sent_request(receiving.told[0].request))
    assert not receiving.announce(new)
    assert new.id not in receiving.remembered().get("_unread", {})
    assert not requester.answer(new.id).path.exists(), "nothing is written for an announcement without a place"
    clock.boot_ns += seconds(60)
    assert receiving.announce(new), "one that has been silent for a minute makes room"


def test_an_announcement_of_something_else_under_a_known_id_opens_nothing(
    receiving: Receiving, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    receiving.deliver(disclosure)
    first = disclosure.sizes[0]
    for wrong in ({"parts": 99}, {"size_bytes": 99}, {"sha256": "0" * 64}):
        note = UploadNote(v=1, parts=len(disclosure.parts), size_bytes=first.size_bytes, sha256=first.sha256)
        receiving.incoming.init(disclosure.device, disclosure.id, msgspec.structs.replace(note, **wrong))
        assert receiving.remembered() == {}


# -- turns, and room ---------------------------------------------------------------------------------------------------


def test_an_answer_without_a_turn_gets_no_receipt_until_another_one_ends(
    requester: Requester, clock: TestClock, asked: SentRequest, gops: list[Gop]
) -> None:
    receiving = Receiving(requester, clock, at_once=1)
    first, second, third = (filmed(gops, name=name).disclose(asked) for name in ("left", "middle", "right"))
    for each in (first, second, third):
        receiving.announce(each)
        receiving.send(each, 0)
    assert [each.disclosure for each in receiving.told] == [first.id]
    answered = [each[1] for each in receiving.answered]
    assert [answered.count(each.id) for each in (first, second, third)] == [2, 1, 1]
    receiving.announce(third)
    assert [each[1] for each in receiving.answered] == answered, "a question does not jump the queue"
    receiving.send(first, *range(1, len(first.parts)))
    assert receiving.kinds == [ReceiverEventKind.BEGUN, ReceiverEventKind.COMPLETE, ReceiverEventKind.BEGUN]
    assert receiving.told[-1].disclosure == second.id
    assert receiving.answered[-1][1:] == (
        second.id,
        TransferProgress(ReceiptState.PARTIAL, second.sizes[0].sha256, ((0, 0),)),
        named(asked),
    )
    receiving.incoming.abort(second.device, second.id)
    assert (receiving.told[-1].kind, receiving.told[-1].disclosure) == (ReceiverEventKind.BEGUN, third.id)
    receiving.send(third, *range(1, len(third.parts)))
    assert receiving.remembered() == {}


@pytest.mark.parametrize("ended", ["dropped", "silent, and asked", "silent, and a fin"])
def test_a_place_of_an_answer_that_is_gone_goes_to_the_next_at_the_next_message(
    requester: Requester, clock: TestClock, asked: SentRequest, gops: list[Gop], ended: str
) -> None:
    receiving = Receiving(requester, clock, at_once=1)
    first, second = (filmed(gops, name=name).disclose(asked) for name in ("left", "right"))
    for each in (first, second):
        receiving.announce(each)
        receiving.send(each, 0)
    if ended == "dropped":
        receiving.requester.answer(first.id).delete()
        receiving.send(first, 1)
    else:
        clock.boot_ns += seconds(60) - 1
        receiving.incoming.fin(second.device, second.id, 0)
        assert receiving.told[-1].disclosure == first.id
        clock.boot_ns += 1
        if ended == "silent, and asked":
            receiving.announce(first)
        else:
            receiving.incoming.fin(second.device, second.id, 0)
    assert (receiving.told[-1].kind, receiving.told[-1].disclosure) == (ReceiverEventKind.BEGUN, second.id)


def test_an_answer_keeps_its_turn_for_a_minute_after_its_last_data(
    requester: Requester, clock: TestClock, asked: SentRequest, gops: list[Gop]
) -> None:
    receiving = Receiving(requester, clock, at_once=1)
    first, second = (filmed(gops, name=name).disclose(asked) for name in ("left", "right"))
    for each in (first, second):
        receiving.announce(each)
        receiving.send(each, 0)
    clock.boot_ns += seconds(50)
    receiving.send(first, 1)
    clock.boot_ns += seconds(59)
    receiving.announce(second)
    assert receiving.kinds == [ReceiverEventKind.BEGUN]
    clock.boot_ns += seconds(1)
    receiving.announce(second)
    assert receiving.kinds == [ReceiverEventKind.BEGUN, ReceiverEventKind.BEGUN]


def test_an_answer_that_waits_for_room_counts_with_its_first_part_and_begins_when_it_asks_again(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure, receiving = house.disclose(asked), Receiving(requester, clock, share=1.0)
    free_bytes = size_of(disclosure) + 8192
    monkeypatch.setattr(
        "agent.clients.requester.incoming.shutil.disk_usage", lambda _path: SimpleNamespace(free=free_bytes)
    )
    receiving.announce(disclosure)
    free_bytes = size_of(disclosure) - 1
    receiving.send(disclosure, 0)
    key = asked.request.id
    no_room = event(ReceiverEventKind.NO_ROOM, disclosure, key, detail="The disk is too full.")
    assert receiving.told == [no_room]
    assert len(receiving.answered) == 1, "silence makes the doorbell wait"
    usage = receiving.requester.answers.of(disclosure.device, key)
    assert usage == QuotaUsage(1, len(disclosure.parts[0]), 1)
    receiving.announce(disclosure)
    assert receiving.told == [no_room, no_room]
    free_bytes += 1
    receiving.announce(disclosure)
    receiving.announce(disclosure)
    assert receiving.kinds[2:] == [ReceiverEventKind.BEGUN]
    assert receiving.requester.answers.of(disclosure.device, key) == QuotaUsage(
        1, size_of(disclosure), len(disclosure.parts)
    )
    receiving.send(disclosure, *range(1, len(disclosure.parts)))
    assert receiving.remembered() == {}


def test_a_newer_answer_to_the_same_request_replaces_one_that_is_still_arriving(
    receiving: Receiving, asked: SentRequest, house: House
) -> None:
    older, newer = house.disclose(asked), house.disclose(asked)
    for each in (older, newer):
        receiving.announce(each)
        receiving.send(each, 0)
    assert receiving.kinds == [ReceiverEventKind.BEGUN, ReceiverEventKind.BEGUN]
    assert not receiving.requester.answer(older.id).is_known()
    assert receiving.row(older.id) is None
    assert receiving.incoming._reception.ids() == [newer.id]
    assert not receiving.announce(older), "it was replaced"


def test_a_newer_answer_does_not_replace_one_that_another_receiver_assembles(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    older, newer, ledger = house.disclose(asked), house.disclose(asked), Ledger()
    for name, each in (("one", older), ("two", newer)):
        receiving = Shared(requester, clock, name, ledger)
        receiving.announce(each)
        receiving.send(each, 0)
    assert {each.disclosure for each in answer_folders(requester.folder)} == {older.id, newer.id}


def test_an_answer_beyond_the_quota_of_its_doorbell_is_refused_answered_and_not_kept(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    receiving = Receiving(requester, clock, per_device_and_request=1, share=1.0)
    first, second = house.disclose(asked), house.disclose(asked)
    receiving.deliver(first)
    receiving.announce(second)
    receiving.send(second, 0)
    reason = "This doorbell has already answered this request 1 times."
    assert receiving.told[-1] == event(ReceiverEventKind.REFUSED, second, asked.request.id, detail=reason)
    assert receiving.answered[-1][1:] == (
        second.id,
        TransferProgress(ReceiptState.REFUSED, second.sizes[0].sha256),
        named(asked),
    )
    assert [each.disclosure for each in answer_folders(requester.folder)] == [first.id]
    assert (receiving.row(second.id), receiving.remembered()) == (None, {})
    assert not receiving.announce(second)


# -- receipts that wait ------------------------------------------------------------------------------------------------


def due(receiving: Receiving) -> int | None:
    return receiving.incoming.deadline_ns


def test_news_of_progress_wait_half_a_second_and_then_go_out(
    receiving: Receiving, asked: SentRequest, house: House, clock: TestClock
) -> None:
    disclosure = house.disclose(asked)
    receiving.announce(disclosure)
    assert due(receiving) is None
    began_ns = clock.boot_ns
    receiving.send(disclosure, 0, 1)
    assert due(receiving) == began_ns + NEWS_NS
    clock.boot_ns += NEWS_NS - 1
    receiving.incoming.answer_what_is_due()
    assert len(receiving.answered) == 2
    assert due(receiving) == began_ns + NEWS_NS
    clock.boot_ns += 1
    receiving.incoming.answer_what_is_due()
    assert receiving.answered[2:] == [
        (
            disclosure.device,
            disclosure.id,
            TransferProgress(ReceiptState.PARTIAL, disclosure.sizes[0].sha256, ((0, 1),)),
            named(asked),
        )
    ]
    assert due(receiving) is None
    assert "_answering_later" not in receiving.remembered()


def test_the_end_of_a_part_of_which_data_was_lost_is_answered_with_what_is_missing(
    receiving: Receiving, asked: SentRequest, house: House, clock: TestClock
) -> None:
    disclosure = house.disclose(asked)
    receiving.announce(disclosure)
    receiving.send(disclosure, 0)
    clock.boot_ns += NEWS_NS
    receiving.incoming.answer_what_is_due()
    before, half = len(receiving.answered), disclosure.parts[1][:1000]
    device, name = disclosure.device, disclosure.id
    receiving.incoming.chunk(device, name, 1, 0, half, hashlib.sha256(half).hexdigest())
    clock.boot_ns += NEWS_NS
    assert len(receiving.answered) == before
    receiving.incoming.fin(OTHER_DEVICE, name, 1)
    assert len(receiving.answered) == before
    receiving.incoming.fin(device, name, 1)
    missing = ((1, ((1000, len(disclosure.parts[1])),)),)
    assert [each[2] for each in receiving.answered[before:]] == [
        TransferProgress(ReceiptState.PARTIAL, disclosure.sizes[0].sha256, ((0, 0),), missing)
    ]


def test_an_answer_that_is_deleted_before_a_receipt_is_due_ends_then(
    receiving: Receiving, asked: SentRequest, house: House, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store of notes that another process has emptied may raise, where a folder on the disk only lacks the file."""
    disclosure = house.disclose(asked)
    receiving.announce(disclosure)
    receiving.send(disclosure, 0, 1)
    receiving.requester.answer(disclosure.id).delete()
    origin, raised = AnswerFolder.origin, []

    def gone_at_first(folder: AnswerFolder) -> DisclosureOrigin | None:
        if not raised:
            raised.append(folder.disclosure)
            raise StorageError("It is gone.")
        return origin(folder)

    monkeypatch.setattr(AnswerFolder, "origin", gone_at_first)
    clock.boot_ns += NEWS_NS
    receiving.incoming.answer_what_is_due()
    at_ms = NOW_MS + NEWS_NS // 10**6
    assert receiving.told[-1] == ReceiverEvent(ReceiverEventKind.STOPPED, disclosure.id, asked.request.id, at_ms=at_ms)
    assert receiving.remembered() == {}


# -- tips --------------------------------------------------------------------------------------------------------------


def test_a_tip_is_told_answered_and_listed(requester: Requester, clock: TestClock, house: House) -> None:
    requester.change_defaults(30, "en")
    receiving, tip = Receiving(requester, clock), tip_of(requester, *shown(requester, house, *house.stored[:2]))
    receiving.announce(tip)
    receiving.send(tip, 0)
    named_tip = AddressedRequest(TIP, ROOT_ID, 30)
    assert receiving.row(TIP) == ReceivedAnswer(
        TIP, ANONYMOUS, "", AnswerState.RECEIVING, size_bytes=size_of(tip), parts=3, live=True, begun_ms=NOW_MS
    )
    receiving.send(tip, 1, 2)
    assert receiving.told == [event(ReceiverEventKind.TIP, tip)]
    first = tip.sizes[0].sha256
    assert [each[2:] for each in receiving.answered] == [
        (TransferProgress(ReceiptState.PARTIAL, None), None),
        (TransferProgress(ReceiptState.PARTIAL, first, ((0, 0),)), named_tip),
        (TransferProgress(ReceiptState.COMPLETE, first, ((0, 2),)), named_tip),
    ]
    assert requester.answer(TIP).outcome() == ReceiveOutcome(v=1, state="complete", ended_ms=NOW_MS)
    listed = receiving.row(TIP)
    assert listed is not None
    assert (listed.state, listed.live, listed.ended_ms) == (AnswerState.COMPLETE, False, NOW_MS)
    assert receiving.remembered() == {}
    again = Receiving(requester, clock)
    assert not again.announce(tip)
    assert [each[2:] for each in again.answered] == [
        (TransferProgress(ReceiptState.COMPLETE, first, ((0, 2),)), named_tip)
    ]
    assert (again.told, again.remembered()) == ([], {})


def test_a_tip_with_a_wrong_file_is_refused_kept_and_listed(
    receiving: Receiving, requester: Requester, gops: list[Gop]
) -> None:
    house = filmed(gops, Changes(context=lambda context: msgspec.structs.replace(context, ordinal=77)))
    tip = tip_of(requester, *shown(requester, house, house.stored[0]))
    receiving.deliver(tip)
    outcome = requester.answer(TIP).outcome()
    assert outcome is not None
    assert outcome == ReceiveOutcome(v=1, state="refused", reason=outcome.reason, ended_ms=NOW_MS)
    listed = receiving.row(TIP)
    assert listed is not None
    assert (listed.state, listed.live, listed.reason) == (AnswerState.QUARANTINED, False, outcome.reason)
    assert receiving.answered[-1][2:] == (
        TransferProgress(ReceiptState.REFUSED, tip.sizes[0].sha256),
        AddressedRequest(TIP, ROOT_ID, None),
    )
    assert (receiving.told, receiving.remembered()) == ([], {})


def test_a_tip_beyond_this_machine_is_refused_after_its_first_part(
    requester: Requester, clock: TestClock, house: House
) -> None:
    receiving = Receiving(requester, clock, transfer=ReceiverLimits(part_bytes=100))
    tip = tip_of(requester, *shown(requester, house, house.stored[0]))
    receiving.announce(tip)
    receiving.send(tip, 0)
    assert requester.answer(TIP).outcome() == ReceiveOutcome(
        v=1, state="refused", reason="It exceeds this machine's limits or its own announcement.", ended_ms=NOW_MS
    )
    listed = receiving.row(TIP)
    assert listed is not None
    assert (listed.state, listed.live) == (AnswerState.QUARANTINED, False)
    assert receiving.remembered() == {}


def test_a_tip_that_cannot_be_read_is_dropped_and_not_taken_again(receiving: Receiving, requester: Requester) -> None:
    tip = Disclosure(TIP, ANONYMOUS, [sealed(requester, b"no tip")])
    receiving.announce(tip)
    receiving.send(tip, 0)
    assert receiving.told == [event(ReceiverEventKind.DROPPED, tip)]
    assert (on_disk(requester), receiving.row(TIP), receiving.remembered()) == ({}, None, {})
    assert not receiving.announce(tip)


def test_a_tip_waits_for_room(
    requester: Requester, clock: TestClock, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip, receiving = (
        tip_of(requester, *shown(requester, house, *house.stored[:2])),
        Receiving(requester, clock, share=1.0),
    )
    receiving.announce(tip)
    monkeypatch.setattr(IncomingDisclosures, "_room", lambda _: size_of(tip) - 1)
    receiving.send(tip, 0)
    assert receiving.told == [event(ReceiverEventKind.NO_ROOM, tip, detail="The disk is too full.")]
    monkeypatch.setattr(IncomingDisclosures, "_room", lambda _: size_of(tip))
    receiving.announce(tip)
    receiving.send(tip, 1, 2)
    assert receiving.kinds == [ReceiverEventKind.NO_ROOM, ReceiverEventKind.TIP]
    assert receiving.remembered() == {}


# -- keys, requests and files that are not as they should be -----------------------------------------------------------


def sealed_to(asked: SentRequest, recipient: Recipient, data: bytes) -> bytes:
    """Part 0 with the tag of the reply key, sealed to any recipient."""
    sealer = Sealer(b"f" * 16, [recipient], nonce=b"n" * 16, remarks=(reply_stanza(asked.request.reply),))
    return sealer.header + sealer.update(data) + sealer.finish()


def test_a_request_with_a_damaged_key_is_told_once_and_its_answers_are_dropped(
    receiving: Receiving, requester: Requester, asked: SentRequest, house: House
) -> None:
    (requester.folder / "requests" / asked.request.id / "reply.identity").write_text("spoiled")
    first, second = house.disclose(asked), house.disclose(asked)
    for each in (first, second):
        receiving.announce(each)
        receiving.send(each, 0)
    with pytest.raises(ConfigurationError) as raised:
        requester.reply_identity(asked.request.id)
    assert receiving.told == [
        ReceiverEvent(ReceiverEventKind.DAMAGED, request=asked.request.id, detail=str(raised.value), at_ms=NOW_MS),
        event(ReceiverEventKind.DROPPED, first),
        event(ReceiverEventKind.DROPPED, second),
    ]


def test_a_first_part_of_no_known_key_reaches_requests_that_cannot_be_read(
    requester: Requester, clock: TestClock, asked: SentRequest
) -> None:
    """An index that was made again knows no reply key of a damaged request, so that one is tried last."""
    damaged = messages.make_request(requester, draft(case="2"), now_s=NOW_S).id
    for name in ("request.dsse", "reply.identity"):
        (requester.folder / "requests" / damaged / name).write_text("spoiled")
    again = Requester.open(requester.folder)
    again.index._path = requester.folder / "made again"  # type: ignore[attr-defined]
    receiving = Receiving(again, clock)
    data = sealed_to(asked, House(0, name="elsewhere").identity.recipient(), b"no manifest")
    disclosure = Disclosure("0d" * 16, "ab" * 8, [data])
    receiving.announce(disclosure)
    receiving.send(disclosure, 0)
    assert [(each.kind, each.request) for each in receiving.told] == [
        (ReceiverEventKind.DAMAGED, damaged),
        (ReceiverEventKind.DROPPED, ""),
    ]


def test_a_request_with_a_deleted_key_has_no_answers(receiving: Receiving, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    messages.make_deletion(receiving.requester, asked.request.id, NOW_S)
    receiving.announce(disclosure)
    receiving.send(disclosure, 0)
    assert receiving.told == [event(ReceiverEventKind.DROPPED, disclosure)]


@pytest.mark.parametrize("content", ["another key", "cut off", "no manifest"])
def test_a_first_part_with_our_tag_is_dropped_if_it_does_not_open_and_refused_if_it_says_nothing(
    receiving: Receiving, asked: SentRequest, content: str
) -> None:
    ours, stranger = parse_recipient(asked.request.reply), House(0, name="elsewhere").identity.recipient()
    data = sealed_to(asked, stranger if content == "another key" else ours, b"no manifest")
    if content == "cut off":
        data = data[:-1]
    disclosure = Disclosure("0d" * 16, "ab" * 8, [data, b"part"])
    receiving.announce(disclosure)
    receiving.send(disclosure, 0)
    if content == "no manifest":
        (told,) = receiving.told
        assert told == event(ReceiverEventKind.REFUSED, disclosure, asked.request.id, detail=told.detail)
        assert told.detail
    else:
        assert receiving.told == [event(ReceiverEventKind.DROPPED, disclosure)]
    assert receiving.remembered() == {}


@pytest.mark.parametrize("place", ["reply_tag_in", "open_bytes", "read_manifest", "summary_of"])
def test_an_error_that_no_check_foresees_ends_one_answer_and_stops_no_other(
    receiving: Receiving, asked: SentRequest, gops: list[Gop], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("Nobody foresaw this.")

    disclosure, other = (filmed(gops, name=name).disclose(asked) for name in ("left", "right"))
    monkeypatch.setattr(f"agent.clients.requester.incoming.{place}", fails)
    receiving.announce(disclosure)
    receiving.send(disclosure, *range(len(disclosure.parts)))
    monkeypatch.undo()
    last = receiving.told[-1]
    if place in ("reply_tag_in", "open_bytes"):
        assert last == event(ReceiverEventKind.DROPPED, disclosure)
    else:
        assert last == event(ReceiverEventKind.REFUSED, disclosure, asked.request.id, detail=last.detail)
        assert last.detail.startswith("The check ended with an unexpected error (ValueError in fails")
    assert receiving.remembered() == {}
    receiving.deliver(other)
    assert receiving.last_state is ReceiptState.COMPLETE


def test_a_damaged_copy_of_the_request_is_told_once_and_its_answer_is_not_acknowledged(
    receiving: Receiving, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    disclosure = house.disclose(asked)
    receiving.deliver(disclosure)
    (requester.answer(disclosure.id).path / "request.dsse").write_bytes(b"spoiled")
    again = Receiving(requester, clock)
    for _ in range(2):
        again.announce(disclosure)
    (told,) = again.told
    assert (told.kind, told.at_ms, bool(told.detail)) == (ReceiverEventKind.DAMAGED, NOW_MS, True)
    assert again.answered == []
    assert again.remembered() == {}


@pytest.mark.parametrize("parts", [1, 3])
def test_a_store_of_parts_that_is_away_ends_no_tip(
    requester: Requester, clock: TestClock, house: House, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    def away(*_: object) -> None:
        raise NetworkError("The store does not answer.")

    receiving, tip = Receiving(requester, clock), tip_of(requester, *shown(requester, house, *house.stored[:2]))
    receiving.announce(tip)
    receiving.send(tip, *range(parts - 1))
    monkeypatch.setattr(FolderParts, "pieces", away)
    with pytest.raises(NetworkError):
        receiving.send(tip, parts - 1)
    monkeypatch.undo()
    assert requester.answer(TIP).outcome() is None
    assert requester.answer(TIP).sealed() == set(range(parts))
    again = Receiving(requester, clock)
    again.deliver_rest(tip, parts)
    assert again.kinds == [ReceiverEventKind.TIP]


def test_an_answer_with_a_file_that_does_not_open_says_how_many_and_which(
    receiving: Receiving, asked: SentRequest, gops: list[Gop]
) -> None:
    broken = iter([False, True, False])
    house = filmed(gops, Changes(media=lambda film: b"\0\0\0\x08free" if next(broken) else film))
    disclosure = house.disclose(asked, [each for each in house.stored if each.kind is PartKind.SEGMENT])
    receiving.deliver(disclosure)
    assert receiving.told[-1].kind is ReceiverEventKind.COMPLETE
    assert receiving.told[-1].detail == "1 of its 3 files cannot be opened."
    outcome = receiving.requester.answer(disclosure.id).outcome()
    assert outcome is not None
    assert outcome.unopened == ((2, 2),)
    assert receiving.last_state is ReceiptState.COMPLETE


def test_a_tip_with_a_file_that_does_not_open_says_which(receiving: Receiving, gops: list[Gop]) -> None:
    broken = iter([False, True, False])
    house = filmed(gops, Changes(media=lambda film: b"\0\0\0\x08free" if next(broken) else film))
    films = [each for each in house.stored if each.kind is PartKind.SEGMENT]
    receiving.deliver(tip_of(receiving.requester, *shown(receiving.requester, house, *films)))
    assert receiving.requester.answer(TIP).outcome() == ReceiveOutcome(
        v=1, state="complete", unopened=((2, 2),), ended_ms=NOW_MS
    )


def test_an_answer_that_only_says_that_there_is_footage_has_no_span(
    receiving: Receiving, asked: SentRequest, house: House
) -> None:
    at_ms = asked.request.from_s * 1000
    claim = ClipClaim(from_ms=at_ms, to_ms=at_ms + 20_000, segments=4)
    disclosure = house.disclose(asked, [], told=(claim,))
    receiving.deliver(disclosure)
    assert receiving.requester.answer(disclosure.id).outcome() == ReceiveOutcome(
        v=1, state="complete", ended_ms=NOW_MS, grade=Grade.EXISTENCE
    )


def test_an_answer_of_a_still_has_the_span_of_the_still(receiving: Receiving, asked: SentRequest, house: House) -> None:
    poster = next(each for each in house.stored if each.kind is PartKind.POSTER)
    disclosure = house.disclose(asked, [poster])
    receiving.deliver(disclosure)
    outcome = receiving.requester.answer(disclosure.id).outcome()
    assert outcome is not None
    (item,) = examine(receiving.requester, disclosure.id).items
    assert (outcome.grade, outcome.from_ms, outcome.to_ms) == (Grade.POSTER, item.span.start_ms, item.span.end_ms)


def test_a_doorbell_is_known_from_its_first_answer_on(receiving: Receiving, asked: SentRequest, house: House) -> None:
    receiving.clock.boot_ns += seconds(7)
    disclosure = house.disclose(asked)
    receiving.deliver(disclosure)
    (known,) = KnownDoorbells(receiving.requester.notes).all()
    assert (known.id, known.first, known.seen_s) == (house.device_id, disclosure.id, NOW_S + 7)


# -- folders that people move ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [True, False])
def test_room_is_counted_again_before_a_doorbell_waits_for_it(
    requester: Requester,
    clock: TestClock,
    asked: SentRequest,
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    moved: bool,
) -> None:  # fmt: skip
    first, second = house.disclose(asked), house.disclose(asked)
    receiving = Receiving(requester, clock, share=0.9)
    monkeypatch.setattr(IncomingDisclosures, "_room", lambda _: size_of(second) * 23 // 20)
    receiving.deliver(first)
    if moved:
        shutil.rmtree(requester.answer(first.id).path)
    receiving.announce(second)
    receiving.send(second, 0)
    assert receiving.kinds[-1] is (ReceiverEventKind.BEGUN if moved else ReceiverEventKind.NO_ROOM)
    if not moved:
        assert receiving.told[-1] == event(
            ReceiverEventKind.NO_ROOM,
            second,
            asked.request.id,
            detail="Its doorbell has used up its share of the disk. Move old folders out of disclosures/.",
        )


def test_all_folders_are_counted_again_if_there_are_too_many_in_all(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House, gops: list[Gop]
) -> None:
    receiving = Receiving(requester, clock, disclosures=1)
    first, second = filmed(gops, name="the neighbour's").disclose(asked), house.disclose(asked)
    receiving.deliver(first)
    assert not receiving.announce(second)
    assert receiving.told[-1] == event(
        ReceiverEventKind.NO_ROOM, second, detail="Move old folders out of disclosures/."
    )
    shutil.rmtree(requester.answer(first.id).path)
    assert receiving.announce(second)


def test_of_the_open_answers_of_a_doorbell_the_one_that_is_silent_for_longest_gives_up_its_place(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    receiving = Receiving(requester, clock, open_per_device=2)
    first, second, third, fourth = (house.disclose(asked) for _ in range(4))
    receiving.announce(first)
    clock.boot_ns += seconds(1)
    receiving.announce(second)
    clock.boot_ns += seconds(59)
    assert receiving.announce(third)
    assert receiving.incoming._reception.ids() == [second.id, third.id]
    receiving.announce(second)
    assert not receiving.announce(fourth), "both were heard"


def test_an_announcement_beyond_the_share_of_a_device_drops_its_oldest_and_none_of_others(
    requester: Requester, clock: TestClock
) -> None:
    receiving = Receiving(requester, clock, unread_per_device=2)
    names = [(f"{number:032x}", device) for number, device in enumerate(["ab" * 8, "cd" * 8, "ab" * 8, "ab" * 8])]
    for name, device in names:
        receiving.announce(Disclosure(name, device, [b"first", b"second"]))
    there = [name for name, _ in names[1:]]
    assert receiving.incoming._reception.ids() == there
    assert [each.disclosure for each in answer_folders(requester.folder)] == there
    assert receiving.row(names[0][0]) is None
    assert receiving.told == []


def test_folders_of_one_doorbell_are_counted_again_if_it_has_too_many(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    receiving = Receiving(requester, clock, per_device=1)
    first, second = house.disclose(asked), house.disclose(asked)
    receiving.deliver(first)
    assert not receiving.announce(second)
    shutil.rmtree(requester.answer(first.id).path)
    assert receiving.announce(second)


def test_a_question_that_finds_no_place_again_costs_no_look_at_what_is_stored(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After many faults 26 doorbells asked about 370 answers again and again. Each question took every worker a claim,
    several notes and two rows, and three workers together received one answer in three seconds."""
    receiving = Receiving(requester, clock, open_per_device=2)
    answers = [house.disclose(asked) for _ in range(4)]
    assert [receiving.announce(each) for each in answers] == [True, True, False, False]
    told, looked = len(receiving.told), list[str]()
    folder, claim = receiving.incoming._folder, receiving.incoming._share.claim
    monkeypatch.setattr(receiving.incoming, "_folder", lambda of: (looked.append(of), folder(of))[1])
    monkeypatch.setattr(
        receiving.incoming._share, "claim", lambda of, device: (looked.append(of), claim(of, device))[1]
    )
    for _ in range(3):
        assert [receiving.announce(each) for each in answers[2:]] == [False, False]
    assert looked == []
    assert len(receiving.told) == told, "each is told once"
    receiving.deliver_rest(answers[0], 0)
    assert receiving.announce(answers[3]), "there is a place"
    assert not receiving.announce(answers[2])
    clock.boot_ns += seconds(60)
    assert receiving.announce(answers[2]), "a silent one makes room"


def test_a_doorbell_that_sends_too_many_at_once_is_told_with_the_answer_that_was_not_let_in(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    receiving = Receiving(requester, clock, open_per_device=1)
    first, second = house.disclose(asked), house.disclose(asked)
    assert receiving.announce(first)
    assert not receiving.announce(second)
    assert not receiving.announce(second)
    told = [event(ReceiverEventKind.NO_ROOM, second, detail="Its doorbell sends too many at once.")]
    assert receiving.told == told, "once, although it asks again and again"
    assert receiving.row(second.id) is None
    clock.boot_ns += seconds(60)
    assert receiving.announce(second), "the silent one gives up its place"
    assert receiving.incoming._reception.ids() == [second.id]
