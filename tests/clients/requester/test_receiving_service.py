"""Receiving: whole, once, acknowledged only when durable and verified; strangers fill neither disk nor memory."""

from __future__ import annotations

import dataclasses
import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.clients.requester import messages
from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.checks import AnswerSummary, Grade
from agent.clients.requester.deletion import delete_answers
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.incoming import AddressedRequest, IncomingDisclosures
from agent.clients.requester.incoming_tips import open_tip
from agent.clients.requester.known_doorbells import KnownDoorbells
from agent.clients.requester.receiving_service import (
    DisclosureReceiver,
    ReceiverEvent,
    ReceiverEventKind,
    ReceivingLimits,
)
from agent.clients.requester.sealed_parts import SealedParts
from agent.clients.requester.verification import examine
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishRefused,
)
from agent.core.media import Gop
from agent.core.timebase import seconds
from agent.core.transfer import PartSize, ReceiverLimits, TransferOutcome, TransferProgress, UploadReceiver, receipt_for
from agent.errors import NetworkError, StorageError
from agent.wire import envelope, strictjson
from agent.wire.disclosures import Receipt, ReceiptState, TipManifest
from agent.wire.topics import ANONYMOUS, ChunkVerb, ReceiptTopic, RequestTopic, UploadTopic, UploadVerb
from agent.wire.uploads import UploadNote
from tests.clients.requester.conftest import NOW_S, ROOT_ID, filmed, question
from tests.clients.requester.doors import Door, TestClock, answer_folders
from tests.clients.requester.house import Changes, Disclosure, House
from tests.clients.requester.test_incoming_tips import TIP, sealed, shown, words
from tests.clients.requester.test_verification import STRANGER, lay_down
from tests.damage import with_another_end
from tests.fake_bus import FakeBroker, FakeBus
from tests.lengths import only

LIMITS = ReceivingLimits(free_bytes=0)


class Desk:
    """A requester's receiving service that can be stopped at any moment and started again."""

    def __init__(
        self, broker: FakeBroker, requester: Requester, clock: TestClock, parts: SealedParts | None = None
    ) -> None:
        self.broker, self.requester, self.clock, self.parts = broker, requester, clock, parts
        self.news: list[ReceiverEvent] = []
        self.answered: list[int] = []
        self.limits = LIMITS
        self.begin()

    def begin(self) -> None:
        self.bus = FakeBus(self.broker, self.requester.id)
        self.bus.start()
        again = Requester.open(self.requester.folder, parts=self.parts)
        self.receiver = DisclosureReceiver(
            again, self.bus, self.clock, self.limits, tell=self.news.append, answered=self.answered.append
        )
        self.receiver.start()

    def crash(self) -> None:
        self.bus.stop()

    def step(self) -> bool:
        return self.receiver.step(0) is not None

    @property
    def kinds(self) -> list[ReceiverEventKind]:
        return [
            each.kind
            for each in self.news
            if each.kind not in (ReceiverEventKind.PROGRESS, ReceiverEventKind.PUBLISHED)
        ]


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def desk(broker: FakeBroker, requester: Requester, asked: SentRequest, clock: TestClock) -> Iterator[Desk]:
    desk = Desk(broker, requester, clock)
    yield desk
    desk.bus.stop()


def play(
    clock: TestClock, desk: Desk, *doors: Door, until: Callable[[], bool] | None = None, most_s: int = 600
) -> None:
    """Lets all parties act. If none has work, time passes."""
    done = until or (lambda: all(door.finished for door in doors))
    for _ in range(100_000):
        if done():
            return
        if not any([desk.step(), *(door.step() for door in doors)]):
            clock.boot_ns += seconds(1)
            most_s -= 1
            assert most_s, "nothing happens any more"
    raise AssertionError("it never ends")


def kept(requester: Requester, disclosure: Disclosure) -> bool:
    folder = AnswerFolder(requester.folder, disclosure.id)
    return [(folder.path / f"{number}.age").read_bytes() for number in range(len(disclosure.parts))] == disclosure.parts


def test_a_disclosure_arrives_whole_verified_and_acknowledged(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    assert kept(requester, door.disclosure)
    assert examine(requester, door.disclosure.id).ok
    assert desk.kinds == [ReceiverEventKind.CONNECTED, ReceiverEventKind.BEGUN, ReceiverEventKind.COMPLETE]
    (known,) = KnownDoorbells(requester.notes).all()
    assert (known.id, known.first) == (door.disclosure.device, door.disclosure.id)
    last = door.receipts[-1]
    assert (last.state, last.request, last.manifest) == (
        ReceiptState.COMPLETE,
        asked.request.id,
        door.disclosure.sizes[0].sha256,
    )
    assert examine(requester, door.disclosure.id).receipt == last  # kept as it was signed
    promised = [receipt.retention_days for receipt in door.receipts if receipt.state is ReceiptState.COMPLETE]
    assert promised == [asked.request.retention_days] * len(promised), "a receipt repeats the promise of the request"


class Order:
    """Notes which uploads the receiver handles, in order: ("init" or "chunk", disclosure)."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: list[tuple[str, str]] = []
        arrivals = desk.receiver._arrivals
        for verb in ("init", "chunk"):
            monkeypatch.setattr(arrivals, verb, self._noted(verb, getattr(arrivals, verb)))

    def _noted(self, verb: str, act: Callable[..., None]) -> Callable[..., None]:
        def noted(device: str, disclosure: str, *values: Any) -> None:
            self.taken.append((verb, disclosure))
            act(device, disclosure, *values)

        return noted


def asking(broker: FakeBroker, device: str, disclosure: str, *notes: UploadNote) -> FakeBus:
    """A doorbell that asks about an upload, as its retained messages do."""
    bus = FakeBus(broker, device)
    bus.start()
    for token, note in enumerate(notes):
        topic = UploadTopic("rijnstad-police", device, disclosure, 0, UploadVerb.INIT)
        assert bus.publish(str(topic), strictjson.encode(note), token=token)
    return bus


NOTE = UploadNote(v=1, parts=2, size_bytes=400, sha256="d" * 64, question=1)


def test_data_of_an_upload_under_way_comes_before_the_questions_of_others(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A receiver that starts hears all questions at once. With 200 of them, data waited for longer than the time
    between two faults, and nothing arrived."""
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    play(clock, desk, door, until=lambda: bool(desk.receiver._arrivals._requests))
    while desk.step():
        pass
    order, others = Order(desk, monkeypatch), [f"{number:032x}" for number in range(7)]
    buses = [asking(broker, other[-16:], other, NOTE, msgspec.structs.replace(NOTE, question=2)) for other in others]
    sent = len(door.chunks)
    while len(door.chunks) == sent:
        door.step()
    while desk.step():
        pass
    assert order.taken[0] == ("chunk", door.disclosure.id)
    assert order.taken[1:] == [("init", other) for other in others], "each once, in their order"
    another = asking(broker, "9" * 16, "9" * 32, NOTE)
    broker.kill()
    while desk.step():
        pass
    assert len(order.taken) == 8, "the broker repeats its questions when it is back"
    for bus in (*buses, another, door.bus):
        bus.stop()


def test_while_data_comes_on_and_on_questions_still_get_a_turn(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    play(clock, desk, door, until=lambda: bool(desk.receiver._arrivals._requests))
    while desk.step():
        pass
    order, other = Order(desk, monkeypatch), "1" * 32
    buses = [asking(broker, "1" * 16, other, NOTE)]
    chunk = UploadTopic(requester.id, door.disclosure.device, door.disclosure.id, 1, ChunkVerb(0, "0" * 64))
    desk.bus._events.extend([MessageReceived(str(chunk), b"damaged")] * 40)
    for _ in range(40):
        desk.step()
    verbs = [verb for verb, _disclosure in order.taken]
    assert verbs.count("init") == 1
    assert 10 < verbs.index("init") < 20
    for bus in (*buses, door.bus):
        bus.stop()


def test_it_counts_disclosures_that_are_complete_and_acknowledged_at_the_broker(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    first, second = (Door(broker, requester, house.disclose(asked), clock) for _ in range(2))
    play(clock, desk, first, until=lambda: bool(first.receipts))
    assert desk.answered == [], "the receipts until now are partial"
    play(clock, desk, first, until=lambda: bool(first.finished and desk.answered))
    assert set(desk.answered) == {1}
    play(clock, desk, second, until=lambda: desk.answered[-1] == 2)
    assert second.finished is not None


def test_the_first_receipt_names_no_request_because_nobody_knows_it_yet(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    first = door.receipts[0]
    assert (first.state, first.request, first.manifest) == (ReceiptState.PARTIAL, None, None)
    assert {each.trust_root for each in door.receipts} == {ROOT_ID}


def test_the_broker_learns_nothing_of_what_is_in_a_disclosure(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    uploaded = b"".join(payload for who, _, payload in broker.published if who == door.disclosure.device)
    # Four random bytes of a ciphertext are such a word now and then, five hardly ever.
    for secret in (b"sha256_payload", asked.request.id.encode(), asked.payload_sha256.encode(), b'"mira"', b"\x00ftyp"):
        assert secret not in uploaded


@pytest.mark.parametrize("every", only([7], [3, 7, 20]))
def test_a_disclosure_survives_crashes_of_the_requester_at_any_moment(
    every: int, desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    steps = itertools.count(1)

    def crash_now_and_then() -> bool:
        if next(steps) % (every * 2) == 0 and door.finished is None and clock.boot_ns < 10**12 + seconds(300):
            desk.crash()
            desk.begin()
        return door.finished is not None

    play(clock, desk, door, until=crash_now_and_then, most_s=3000)
    assert kept(requester, door.disclosure)
    assert desk.kinds.count(ReceiverEventKind.COMPLETE) == 1


@pytest.mark.parametrize("losing", [0.1, 0.4])
def test_what_the_broker_loses_is_asked_for_again(
    losing: float, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    dice = random.Random(4)

    def lose(_: MessageReceived) -> bool:
        return dice.random() < losing

    broker = FakeBroker(lose)
    desk = Desk(broker, requester, clock)
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door, most_s=6000)
    assert kept(requester, door.disclosure)
    desk.bus.stop()


def test_the_same_disclosure_delivered_twice_is_received_once(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    door.bus.stop()
    times = {
        path: path.stat().st_mtime_ns for path in AnswerFolder(requester.folder, door.disclosure.id).path.iterdir()
    }
    for restart in (False, True):
        if restart:
            desk.crash()
            desk.begin()
        again = Door(broker, requester, door.disclosure, clock)
        play(clock, desk, again)
        again.bus.stop()
        assert again.finished is not None
        assert again.finished.outcome is TransferOutcome.DELIVERED
        assert again.chunks == [], "the receipt says that everything is here"
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert desk.kinds.count(ReceiverEventKind.COMPLETE) == 1


def test_two_doors_answer_one_request_and_both_are_kept(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, gops: list[Gop], clock: TestClock
) -> None:
    houses = [filmed(gops, name=name) for name in ("left", "right")]
    doors = [Door(broker, requester, each.disclose(asked), clock) for each in houses]
    play(clock, desk, *doors)
    assert all(kept(requester, door.disclosure) for door in doors)


def test_complete_is_durable_before_it_is_said(
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    house: House,
    clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def disk_is_full(*_: object, **_more: object) -> None:
        raise StorageError("The disk is full.")

    door = Door(broker, requester, house.disclose(asked), clock)
    monkeypatch.setattr(AnswerFolder, "end", disk_is_full)
    with pytest.raises(StorageError):
        play(clock, desk, door)
    assert all(receipt.state is ReceiptState.PARTIAL for receipt in door.receipts)
    monkeypatch.undo()
    desk.crash()
    desk.begin()
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED


# -- what is not what it should be -------------------------------------------------------------------------------------


def test_what_opens_with_none_of_our_keys_is_dropped_in_silence(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, gops: list[Gop], clock: TestClock
) -> None:
    house = filmed(gops, Changes(reply=lambda _: str(House(0, name="elsewhere").identity.recipient())))
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door, until=lambda: ReceiverEventKind.DROPPED in desk.kinds)
    silent_since = len(door.receipts)
    play(clock, desk, door, until=lambda: clock.boot_ns > 10**12 + seconds(200))
    assert len(door.receipts) == silent_since
    assert all(receipt.state is ReceiptState.PARTIAL for receipt in door.receipts)
    assert list(answer_folders(requester.folder)) == [], "nothing of it is kept"


def test_a_lie_in_the_manifest_is_refused_before_any_footage_is_taken(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, gops: list[Gop], clock: TestClock
) -> None:
    house = filmed(gops, Changes(approval_key=STRANGER))
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.REFUSED
    assert {chunk.part for chunk in door.chunks} == {0}
    folder = AnswerFolder(requester.folder, door.disclosure.id)
    assert folder.state is ReceiptState.REFUSED
    assert folder.sealed() == {0}
    outcome = folder.outcome()
    assert outcome is not None
    assert "No trusted key" in outcome.reason
    assert not examine(requester, door.disclosure.id).ok


def test_a_disclosure_under_another_id_than_signed_is_refused(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    disclosure = house.disclose(asked)
    disclosure.id = "0d" * 16
    door = Door(broker, requester, disclosure, clock)
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.REFUSED
    assert {chunk.part for chunk in door.chunks} == {0}
    outcome = AnswerFolder(requester.folder, disclosure.id).outcome()
    assert outcome is not None
    assert "names another disclosure" in outcome.reason


def test_footage_that_is_not_what_was_recorded_is_refused_and_the_refusal_outlives_a_restart(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, gops: list[Gop], clock: TestClock
) -> None:
    house = filmed(gops, Changes(context=lambda context: msgspec.structs.replace(context, ordinal=77)))
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    door.bus.stop()
    desk.crash()
    desk.begin()
    again = Door(broker, requester, door.disclosure, clock)
    play(clock, desk, again)
    assert [each.finished and each.finished.outcome for each in (door, again)] == [TransferOutcome.REFUSED] * 2
    assert again.chunks == []
    assert again.receipts[-1].request == asked.request.id


def test_an_answer_to_a_withdrawn_request_is_refused(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    messages.make_withdrawal(requester, asked.request.id, "Solved.")
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.REFUSED


def test_a_device_that_pretends_to_be_another_is_refused(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    disclosure = house.disclose(asked)
    disclosure.device = "ab" * 8
    door = Door(broker, requester, disclosure, clock)
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.REFUSED


def test_a_disclosure_larger_than_this_machine_takes_is_refused(
    broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    desk = Desk(broker, requester, clock)
    desk.crash()
    desk.limits = ReceivingLimits(transfer=ReceiverLimits(part_bytes=50_000), free_bytes=0)
    desk.begin()
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.REFUSED
    assert AnswerFolder(requester.folder, door.disclosure.id).sealed() == {0}
    desk.bus.stop()


def test_the_largest_manifest_that_the_protocol_allows_is_taken_and_no_byte_more() -> None:
    """PROTOCOL.md: the payload of a manifest has 48 MiB at most. In an envelope it grows by a third."""
    limits = ReceivingLimits().transfer
    envelope_bytes = 4 * (48 << 20) // 3 + 1024
    sealed_bytes = envelope_bytes + 16 * (envelope_bytes // (64 << 10) + 1) + 4096  # a tag for each chunk, a header
    assert sealed_bytes <= limits.manifest_bytes
    for size_bytes, state in (
        (sealed_bytes, ReceiptState.PARTIAL),
        (limits.manifest_bytes + 1, ReceiptState.REFUSED),
    ):
        assert UploadReceiver(PartSize(size_bytes, "5e" * 32), 2, limits).state is state


def test_an_announcement_beyond_all_measure_leaves_nothing_behind(
    broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    desk = Desk(broker, requester, clock)
    desk.crash()
    desk.limits = ReceivingLimits(transfer=ReceiverLimits(manifest_bytes=100), free_bytes=0)
    desk.begin()
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door, until=lambda: clock.boot_ns > 10**12 + seconds(60))
    assert door.receipts == []
    assert list(answer_folders(requester.folder)) == []
    assert list(desk.receiver._arrivals._unreadable) == [door.disclosure.id], "it is not begun again and again"
    desk.bus.stop()


def test_without_room_a_disclosure_waits_and_is_taken_when_there_is_room(
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    house: House,
    clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    monkeypatch.setattr(IncomingDisclosures, "_room", lambda _: 100_000)
    play(clock, desk, door, until=lambda: ReceiverEventKind.NO_ROOM in desk.kinds)
    play(clock, desk, door, until=lambda: clock.boot_ns > 10**12 + seconds(30))
    assert {chunk.part for chunk in door.chunks} == {0}
    monkeypatch.undo()
    play(clock, desk, door)
    assert kept(requester, door.disclosure)


def test_one_device_can_open_few_disclosures_that_say_nothing(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    doors = [Door(broker, requester, house.disclose(asked), clock) for _ in range(9)]
    for door in doors:
        door.step()
        door.step()
    while desk.step():
        pass
    assert len(list(answer_folders(requester.folder))) == LIMITS.unread_per_device
    for door in doors[:-1]:
        door.bus.stop()
    play(clock, desk, doors[-1])
    assert kept(requester, doors[-1].disclosure)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("doorward/v1/up/rijnstad-police/nonsense", b"x"),
        (f"doorward/v1/up/rijnstad-police/{'ab' * 8}/{'cd' * 16}-0/init", b"{"),
        (f"doorward/v1/up/rijnstad-police/{'ab' * 8}/{'cd' * 16}-0/init", b""),
        (f"doorward/v1/up/rijnstad-police/{'ab' * 8}/{'cd' * 16}-0/fin", b""),
        (f"doorward/v1/up/rijnstad-police/{'ab' * 8}/{'cd' * 16}-0/abort", b""),
        (f"doorward/v1/up/rijnstad-police/{'ab' * 8}/{'cd' * 16}-1/init", b"{}"),
        (f"doorward/v1/up/rijnstad-police/{'ab' * 8}/{'cd' * 16}-0/0-{'0' * 64}", b"x" * 1000),
    ],
)
def test_nonsense_is_dropped_and_leaves_nothing(topic: str, payload: bytes, desk: Desk, requester: Requester) -> None:
    while desk.step():
        pass
    published = len(desk.broker.published)
    with desk.broker.lock:
        desk.bus.deliver(MessageReceived(topic, payload))
    while desk.step():
        pass
    assert len(desk.broker.published) == published
    assert list(answer_folders(requester.folder)) == []


def test_what_a_revocation_stopped_stays_unopened(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    play(clock, desk, door, until=lambda: ReceiverEventKind.BEGUN in desk.kinds)
    door.sender.stop()
    play(clock, desk, door, until=lambda: ReceiverEventKind.STOPPED in desk.kinds)
    assert not examine(requester, door.disclosure.id).ok


def test_requests_signed_by_another_process_are_published_by_a_running_service(
    desk: Desk, broker: FakeBroker, requester: Requester, clock: TestClock
) -> None:
    while desk.step():
        pass
    signed = messages.make_request(requester, question(case="2027-0116"), now_s=NOW_S)
    clock.boot_ns += seconds(2)
    while desk.step():
        pass
    assert set(signed.topics) <= broker.retained.keys()
    published = len(broker.published)
    clock.boot_ns += seconds(2)
    while desk.step():
        pass
    assert len(broker.published) == published, "and only once"
    named = [(each.request, each.detail) for each in desk.news if each.kind is ReceiverEventKind.PUBLISHED]
    assert named[-1] == (signed.id, "request"), "whoever watches is told which"


def test_the_service_returns_to_a_broker_soon_after_a_long_outage(desk: Desk) -> None:
    """Doorbells and people wait for it, so its pauses stay within seconds (`Bus.hurry`)."""
    assert desk.bus.hurried


def test_parts_that_are_whole_stay_over_a_crash(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    folder = AnswerFolder(requester.folder, door.disclosure.id)
    play(clock, desk, door, until=lambda: len(folder.sealed()) >= 2)
    assert folder.outcome() is None
    whole = folder.sealed()
    desk.crash()
    desk.begin()
    assert folder.sealed() == whole


def test_half_a_manifest_is_swept_at_the_start_and_asked_for_again(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door, until=lambda: bool(door.receipts))
    desk.crash()
    assert len(list(answer_folders(requester.folder))) == 1
    desk.begin()
    assert list(answer_folders(requester.folder)) == []
    play(clock, desk, door)
    assert kept(requester, door.disclosure)


@pytest.mark.parametrize("damage", ["request.dsse", "reply.identity"])
def test_one_damaged_request_does_not_keep_the_answers_of_others_from_coming(
    damage: str,
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    house: House,
    clock: TestClock,
) -> None:
    spoiled = [
        requester.sent_request(messages.make_request(requester, question(case=f"c{n}"), now_s=NOW_S).id)
        for n in range(6)
    ]
    for each in spoiled:
        (requester.folder / "requests" / each.request.id / damage).write_bytes(b"spoiled")
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    assert kept(requester, door.disclosure)
    told = {
        each.request for each in desk.news if each.kind in (ReceiverEventKind.DAMAGED, ReceiverEventKind.NOT_PUBLISHED)
    }
    assert told <= {each.request.id for each in spoiled}
    if damage == "request.dsse":
        assert told


@settings(
    max_examples=settings().max_examples * 4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    verb=st.sampled_from(["init", "fin", "abort", "0-" + "0" * 64, "5-" + "ab" * 32, "x"]),
    part=st.sampled_from(["0", "1", "20000", "20001", "-1", "00"]),
    device=st.sampled_from(["ab" * 8, "zz", "ab" * 9]),
    payload=st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda parts, size, sha: b'{"parts":%d,"sha256":"%b","size_bytes":%d,"v":1}' % (parts, sha, size),
            st.integers(-1, 30_000),
            st.integers(-1, 2**41),
            st.sampled_from([b"ab" * 32, b"AB" * 32, b""]),
        ),
    ),
)
def test_nothing_that_arrives_can_stop_the_service(
    verb: str, part: str, device: str, payload: bytes, desk: Desk
) -> None:
    with desk.broker.lock:
        topic = f"doorward/v1/up/rijnstad-police/{device}/{'cd' * 16}-{part}/{verb}"
        desk.bus.deliver(MessageReceived(topic, payload))
    while desk.step():
        pass


def test_of_doors_that_answer_together_a_few_send_their_footage_and_no_chunk_is_sent_twice(
    broker: FakeBroker, requester: Requester, asked: SentRequest, gops: list[Gop], clock: TestClock
) -> None:
    """With two hundred senders, a slow requester used to get 2.7 times the bytes, because the broker dropped waiting
    messages."""
    desk = Desk(broker, requester, clock)
    desk.crash()
    desk.limits = dataclasses.replace(LIMITS, at_once=2)
    desk.begin()
    houses = [filmed(gops, name=f"house {number}") for number in range(4)]
    doors = [Door(broker, requester, house.disclose(asked), clock) for house in houses]
    going: list[int] = []

    def watched() -> bool:
        begun = {each.disclosure for each in desk.news if each.kind is ReceiverEventKind.BEGUN}
        over = {each.disclosure for each in desk.news if each.kind is ReceiverEventKind.COMPLETE}
        going.append(len(begun - over))
        return all(door.finished for door in doors)

    play(clock, desk, *doors, until=watched, most_s=3000)
    assert max(going) == 2
    assert all(kept(requester, door.disclosure) for door in doors)
    chunks = [topic for _, topic, _ in broker.published if "/up/" in topic and topic.rsplit("/", 1)[1][0].isdigit()]
    assert len(chunks) == len(set(chunks))
    desk.bus.stop()


def test_a_receipt_that_was_put_off_goes_out_when_its_time_comes_and_nothing_else_happens(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    """A doorbell that waits for the receipt sends nothing that would remind the receiver of it."""
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    arrivals = desk.receiver._arrivals

    def put_off() -> bool:
        while desk.step():
            pass
        return arrivals.deadline_ns is not None

    play(clock, desk, door, until=put_off)
    due_ns = arrivals.deadline_ns
    assert due_ns is not None

    def said() -> int:
        return sum(who == requester.id for who, _, _ in broker.published)

    before = said()
    clock.boot_ns = due_ns - 1
    assert not desk.step()
    assert said() == before
    clock.boot_ns = due_ns
    desk.step()
    assert said() == before + 1
    assert arrivals.deadline_ns is None


# -- tips --------------------------------------------------------------------------------------------------------------


def tip_of(requester: Requester, manifest: TipManifest, parts: Sequence[bytes] = ()) -> Disclosure:
    return Disclosure(TIP, ANONYMOUS, [sealed(requester, strictjson.encode(manifest)), *parts])


def send_again(desk: Desk, broker: FakeBroker, requester: Requester, door: Door, clock: TestClock) -> Door:
    """The same disclosure after a restart of the requester."""
    door.bus.stop()
    desk.crash()
    desk.begin()
    again = Door(broker, requester, door.disclosure, clock)
    play(clock, desk, again)
    return again


def test_a_tip_arrives_and_is_acknowledged_under_its_own_id_once(
    desk: Desk, broker: FakeBroker, requester: Requester, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, tip_of(requester, *shown(requester, house, *house.stored[:2])), clock)
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    last = door.receipts[-1]
    assert (last.state, last.request, last.trust_root) == (ReceiptState.COMPLETE, TIP, ROOT_ID)
    assert last.retention_days is None, "the profile of this requester states none"
    assert [len(each.data) for each in open_tip(requester, TIP).files] == [len(e.content) for e in house.stored[:2]]
    assert desk.kinds[-1] is ReceiverEventKind.TIP
    again = send_again(desk, broker, requester, door, clock)
    assert again.chunks == []
    assert (again.receipts[-1].state, again.receipts[-1].request) == (ReceiptState.COMPLETE, TIP)
    assert desk.kinds.count(ReceiverEventKind.TIP) == 1


def test_a_tip_whose_footage_is_not_the_recorded_one_is_refused_and_stays_refused(
    desk: Desk, broker: FakeBroker, requester: Requester, gops: list[Gop], clock: TestClock
) -> None:
    house = filmed(gops, Changes(context=lambda context: msgspec.structs.replace(context, ordinal=77)))
    door = Door(broker, requester, tip_of(requester, *shown(requester, house, house.stored[0])), clock)
    play(clock, desk, door)
    outcome = AnswerFolder(requester.folder, TIP).outcome()
    assert outcome is not None
    assert (outcome.state, "differs from the record" in outcome.reason) == ("refused", True)
    assert (door.receipts[-1].state, door.receipts[-1].request) == (ReceiptState.REFUSED, TIP)
    assert requester.answers.tips() == []
    listed = requester.answers.get(TIP)
    assert listed is not None
    assert (listed.state, listed.reason, listed.live) == (AnswerState.QUARANTINED, outcome.reason, False)
    assert ReceiverEventKind.TIP not in desk.kinds
    again = send_again(desk, broker, requester, door, clock)
    assert (again.chunks, again.receipts[-1].state) == ([], ReceiptState.REFUSED)


def test_a_tip_that_is_larger_than_this_machine_takes_is_refused_before_its_footage(
    broker: FakeBroker, requester: Requester, house: House, clock: TestClock
) -> None:
    desk = Desk(broker, requester, clock)
    desk.crash()
    desk.limits = ReceivingLimits(transfer=ReceiverLimits(part_bytes=50_000), free_bytes=0)
    desk.begin()
    door = Door(broker, requester, tip_of(requester, *shown(requester, house, house.stored[0])), clock)
    play(clock, desk, door)
    assert (door.receipts[-1].state, {chunk.part for chunk in door.chunks}) == (ReceiptState.REFUSED, {0})
    outcome = AnswerFolder(requester.folder, TIP).outcome()
    assert outcome is not None
    assert "exceeds this machine's limits" in outcome.reason
    desk.bus.stop()


@pytest.mark.parametrize("what", ["another id", "no tip"])
def test_a_tip_that_cannot_be_read_is_dropped_in_silence_and_not_taken_again(
    what: str, desk: Desk, broker: FakeBroker, requester: Requester, clock: TestClock
) -> None:
    named = msgspec.structs.replace(words(requester), tip="8" * 32)
    first = sealed(requester, strictjson.encode(named) if what == "another id" else b"no tip")
    door = Door(broker, requester, Disclosure(TIP, ANONYMOUS, [first]), clock)
    play(clock, desk, door, until=lambda: ReceiverEventKind.DROPPED in desk.kinds)
    silent_since = len(door.receipts)
    play(clock, desk, door, until=lambda: clock.boot_ns > 10**12 + seconds(200))
    assert len(door.receipts) == silent_since
    assert all(receipt.state is ReceiptState.PARTIAL for receipt in door.receipts)
    assert list(answer_folders(requester.folder)) == []
    assert desk.kinds.count(ReceiverEventKind.DROPPED) == 1


# -- at the edges ------------------------------------------------------------------------------------------------------


def test_parts_that_are_not_the_announced_ones_are_refused_and_never_opened(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    disclosure = house.disclose(asked)
    disclosure.parts[1] = with_another_end(disclosure.parts[1])
    door = Door(broker, requester, disclosure, clock)
    play(clock, desk, door, until=lambda: bool(door.finished), most_s=6000)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.REFUSED
    outcome = AnswerFolder(requester.folder, disclosure.id).outcome()
    assert outcome is not None
    assert (outcome.state, outcome.reason) == ("refused", "Its parts differ from their announced hashes.")
    assert 1 not in AnswerFolder(requester.folder, disclosure.id).sealed()
    assert not examine(requester, disclosure.id).ok
    assert KnownDoorbells(requester.notes).all() == ()


def test_what_is_taken_back_before_its_first_part_was_read_leaves_nothing(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    play(clock, desk, door, until=lambda: bool(door.receipts))
    assert len(list(answer_folders(requester.folder))) == 1
    door.sender.stop()
    play(clock, desk, door, until=lambda: ReceiverEventKind.STOPPED in desk.kinds)
    assert ReceiverEventKind.BEGUN not in desk.kinds
    assert list(answer_folders(requester.folder)) == []


def test_a_stop_from_another_device_stops_nothing(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    play(clock, desk, door, until=lambda: ReceiverEventKind.BEGUN in desk.kinds)
    desk.receiver._arrivals.abort("cd" * 8, door.disclosure.id)
    assert ReceiverEventKind.STOPPED not in desk.kinds
    play(clock, desk, door)
    assert kept(requester, door.disclosure)


def test_on_a_full_disk_nothing_new_is_begun(
    desk: Desk,
    broker: FakeBroker,
    requester: Requester,
    asked: SentRequest,
    house: House,
    clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    size_bytes = door.disclosure.sizes[0].size_bytes
    monkeypatch.setattr(IncomingDisclosures, "_room", lambda _: size_bytes - 1)
    play(clock, desk, door, until=lambda: clock.boot_ns > 10**12 + seconds(30))
    assert list(answer_folders(requester.folder)) == []
    assert door.receipts == []
    monkeypatch.setattr(IncomingDisclosures, "_room", lambda _: size_bytes)
    play(clock, desk, door, until=lambda: bool(list(answer_folders(requester.folder))))
    assert len(list(answer_folders(requester.folder))) == 1


def test_an_answer_whose_own_copy_of_the_request_is_damaged_is_told_and_not_acknowledged(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door)
    door.bus.stop()
    (AnswerFolder(requester.folder, door.disclosure.id).path / "request.dsse").write_bytes(b"spoiled")
    desk.crash()
    desk.begin()
    again = Door(broker, requester, door.disclosure, clock)
    play(clock, desk, again, until=lambda: ReceiverEventKind.DAMAGED in desk.kinds)
    assert again.receipts == []


def test_of_what_opens_with_no_key_the_newest_few_thousand_are_remembered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.clients.requester.incoming._MOST_REMEMBERED", 2)
    arrivals = desk.receiver._arrivals
    for name in "abc":
        arrivals._remember_unreadable(name)
    assert list(arrivals._unreadable) == ["b", "c"]


def test_what_is_for_another_requester_or_for_none_is_counted_and_dropped(desk: Desk, requester: Requester) -> None:
    while desk.step():
        pass
    note = b'{"parts":1,"sha256":"%b","size_bytes":100,"v":1}' % (b"ab" * 32)
    for number, topic in enumerate(("doorward/v1/up/x", f"doorward/v1/up/other-police/{'ab' * 8}/{'cd' * 16}-0/init")):
        with desk.broker.lock:
            desk.bus.deliver(MessageReceived(topic, note))
        while desk.step():
            pass
        assert desk.receiver.dropped == number + 1
    assert list(answer_folders(requester.folder)) == []


def test_a_place_that_is_free_again_is_given_to_the_next_one_at_once(
    broker: FakeBroker, requester: Requester, asked: SentRequest, gops: list[Gop], clock: TestClock
) -> None:
    desk = Desk(broker, requester, clock)
    desk.crash()
    desk.limits = dataclasses.replace(LIMITS, at_once=1)
    desk.begin()
    houses = [filmed(gops, name=f"house {number}") for number in range(2)]
    doors = [Door(broker, requester, house.disclose(asked), clock) for house in houses]
    play(clock, desk, *doors, until=lambda: ReceiverEventKind.COMPLETE in desk.kinds)
    assert desk.kinds.count(ReceiverEventKind.BEGUN) == 2
    play(clock, desk, *doors, most_s=2)
    desk.bus.stop()


def test_a_tip_counts_with_its_whole_size_as_soon_as_its_first_part_is_read(
    desk: Desk, broker: FakeBroker, requester: Requester, house: House, clock: TestClock
) -> None:
    tip = tip_of(requester, *shown(requester, house, *house.stored[:2]))
    door = Door(broker, requester, tip, clock, window=1)
    arrivals = desk.receiver._arrivals
    play(clock, desk, door, until=lambda: bool(arrivals._tips))
    usage = arrivals._holdings.of_door(ANONYMOUS)
    assert (usage.disclosures, usage.size_bytes) == (1, sum(map(len, tip.parts)))
    assert usage.parts == len(tip.parts)
    door.bus.stop()


def test_an_upload_of_which_nothing_was_heard_for_a_minute_makes_room_for_the_next_of_its_doorbell(
    broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    desk = Desk(broker, requester, clock)
    desk.crash()
    desk.limits = dataclasses.replace(LIMITS, open_per_device=2)
    desk.begin()
    arrivals, doors = desk.receiver._arrivals, []
    for number in (1, 2):
        doors.append(Door(broker, requester, house.disclose(asked), clock, window=1))
        play(clock, desk, doors[-1], until=lambda n=number: len(arrivals._reception.of_device(house.device_id)) == n)
        clock.boot_ns += seconds(1)
    first, second = (door.disclosure.id for door in doors)
    clock.boot_ns = arrivals._heard_ns[first] + seconds(60) - 1
    assert not arrivals._has_place(house.device_id, "another")
    clock.boot_ns += 1
    assert arrivals._has_place(house.device_id, "another")
    assert list(arrivals._reception.of_device(house.device_id)) == [second]
    for door in doors:
        door.bus.stop()
    desk.bus.stop()


def test_an_answer_counts_with_all_its_parts_as_soon_as_its_first_part_is_read(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    disclosure = house.disclose(asked)
    door = Door(broker, requester, disclosure, clock, window=1)
    play(clock, desk, door, until=lambda: bool(desk.receiver._arrivals._requests))
    usage = requester.answers.of(disclosure.device, asked.request.id)
    assert (usage.disclosures, usage.size_bytes) == (1, sum(map(len, disclosure.parts)))
    assert usage.parts == len(disclosure.parts)
    assert requester.answers.live(disclosure.device, asked.request.id) == (disclosure.id,)
    door.bus.stop()


def test_a_doorbell_is_known_as_soon_as_its_first_answer_has_been_verified(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock)
    play(clock, desk, door, until=lambda: ReceiverEventKind.BEGUN in desk.kinds)
    assert KnownDoorbells(requester.notes).all() == ()
    play(clock, desk, door)
    (known,) = KnownDoorbells(requester.notes).all()
    assert known == KnownDoorbells(requester.notes).find(house.device_id)


# -- for a program that watches ----------------------------------------------------------------------------------------


def test_every_event_names_its_disclosure_its_sender_and_its_time(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock
) -> None:
    good, foreign = house.disclose(asked), house.disclose(asked)
    house.changes = Changes(approval_key=STRANGER)
    refused = house.disclose(asked)
    foreign.parts[0] = bytes(len(foreign.parts[0]))
    for each in (good, refused):
        play(clock, desk, Door(broker, requester, each, clock))
    play(clock, desk, Door(broker, requester, foreign, clock), until=lambda: ReceiverEventKind.DROPPED in desk.kinds)
    told = {each.kind: each for each in desk.news}
    for kind, of in {
        ReceiverEventKind.BEGUN: refused,
        ReceiverEventKind.COMPLETE: good,
        ReceiverEventKind.REFUSED: refused,
        ReceiverEventKind.DROPPED: foreign,
    }.items():
        assert told[kind].device == of.device, kind
        assert told[kind].at_ms >= NOW_S * 1000, kind
    complete = told[ReceiverEventKind.COMPLETE]
    assert (complete.disclosure, complete.request) == (good.id, asked.request.id)
    verification = examine(requester, good.id)
    assert complete.answer == AnswerSummary(
        Grade.SEGMENTS,
        min(each.span.start_ms for each in verification.items),
        max(each.span.end_ms for each in verification.items),
    )
    assert told[ReceiverEventKind.REFUSED].detail
    assert all(each.at_ms >= NOW_S * 1000 for each in desk.news)


@pytest.mark.parametrize("when", only([3], [1, 3, 5]))
def test_answers_that_are_deleted_while_one_of_them_arrives_end_it_and_others_go_on(
    desk: Desk, broker: FakeBroker, requester: Requester, asked: SentRequest, house: House, clock: TestClock, when: int
) -> None:
    door = Door(broker, requester, house.disclose(asked), clock, window=1)
    sealed = AnswerFolder(requester.folder, door.disclosure.id)
    play(clock, desk, door, until=lambda: len(sealed.sealed()) >= when)
    delete_answers(requester, asked.request.id, NOW_S)
    assert not sealed.path.exists()
    other = requester.sent_request(messages.make_request(requester, question(case="2"), now_s=NOW_S).id)
    second = Door(broker, requester, house.disclose(other), clock)
    play(clock, desk, door, second, until=lambda: second.finished is not None)
    assert kept(requester, second.disclosure)
    play(clock, desk, door, until=lambda: not sealed.path.exists() and not desk.step())
    assert [each.disclosure for each in answer_folders(requester.folder)] == [second.disclosure.id]
    stopped = [each for each in desk.news if each.kind is ReceiverEventKind.STOPPED]
    assert [(each.disclosure, each.request, each.device) for each in stopped] == [
        (door.disclosure.id, asked.request.id, door.disclosure.device)
    ]


# -- step by step ------------------------------------------------------------------------------------------------------


class WatchedBus(FakeBus):
    """Notes what the service asks of the bus, and for how long it would wait."""

    def __init__(self, broker: FakeBroker, name: str) -> None:
        super().__init__(broker, name)
        self.calls: list[tuple[str, str]] = []
        self.waits: list[float] = []
        self.published_before: list[int] = []
        """The number of publications at the broker before each wait."""

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        self.calls.append(("subscribe", topic_filter))
        super().subscribe(topic_filter, retained=retained)

    def read_retained(self, topic_filter: str, source: str = "") -> None:
        self.calls.append(("read", topic_filter))
        super().read_retained(topic_filter, source)

    def unsubscribe(self, topic_filter: str, source: str = "") -> None:
        self.calls.append(("unsubscribe", topic_filter))
        super().unsubscribe(topic_filter, source)

    def next_event(self, timeout_s: float, leave: Callable[[str], bool] | None = None) -> BusEvent | None:
        self.waits.append(timeout_s)
        self.published_before.append(len(self._broker.published))
        return super().next_event(0, leave)


class Watched:
    """A receiving service with everything that it says and asks for."""

    def __init__(self, requester: Requester, clock: TestClock, broker: FakeBroker | None = None) -> None:
        self.clock, self.broker = clock, broker or FakeBroker()
        self.bus = WatchedBus(self.broker, requester.id)
        self.told: list[ReceiverEvent] = []
        self.receiver = DisclosureReceiver(requester, self.bus, clock, LIMITS, tell=self.told.append)

    def settle(self) -> None:
        while self.receiver.step(0.0) is not None:
            pass


UPLOADS = "doorward/v1/up/rijnstad-police/#"
OURS = "doorward/v1/areas/+/+/rijnstad-police/+"
NOW_MS = NOW_S * 1000


@pytest.fixture
def watched(requester: Requester, clock: TestClock) -> Watched:
    return Watched(requester, clock)


def test_a_service_cleans_up_and_subscribes_before_it_reads_and_ends_when_it_is_told(
    watched: Watched, requester: Requester, asked: SentRequest, house: House
) -> None:
    half = AnswerFolder(requester.folder, house.disclose(asked).id)
    (half.path).mkdir(parents=True)
    stop = threading.Event()

    def end_at_the_third_look(timeout_s: float) -> None:
        watched.bus.waits.append(timeout_s)
        if len(watched.bus.waits) == 3:
            stop.set()

    watched.bus.next_event = end_at_the_third_look  # type: ignore[method-assign, assignment]
    watched.receiver.run(stop)
    assert watched.bus.calls == [("subscribe", UPLOADS)]
    assert watched.bus.waits == [0.5, 0.5, 0.5]
    assert watched.told == []


def test_an_index_that_was_made_again_is_told_with_the_reason(
    watched: Watched, requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requester.index, "rebuilt", "it was damaged")
    watched.receiver.start()
    assert watched.told == [ReceiverEvent(ReceiverEventKind.REBUILT, detail="it was damaged", at_ms=NOW_MS)]


def test_a_connection_its_end_and_another_broker_that_is_away_are_told(watched: Watched, clock: TestClock) -> None:
    fault = NetworkError("No route.", remedy="Wait.")
    clock.boot_ns += seconds(2)
    events = (
        BusConnected(1000, 16),
        BusDisconnected(LinkFault.LOST, fault, 1.0, others=1),
        BusDisconnected(LinkFault.LOST, fault, 1.0),
    )
    for event in events:
        watched.bus._events.append(event)
        assert watched.receiver.step(0.1) == event
    at_ms = NOW_MS + 2000
    assert watched.told == [
        ReceiverEvent(ReceiverEventKind.CONNECTED, at_ms=at_ms),
        ReceiverEvent(ReceiverEventKind.BROKER_AWAY, detail=str(fault), at_ms=at_ms),
        ReceiverEvent(ReceiverEventKind.DISCONNECTED, detail=str(fault), at_ms=at_ms),
    ]
    assert watched.receiver.step(0.1) is None
    assert watched.bus.waits == [0.1] * 4


def test_a_service_waits_until_a_receipt_is_due_and_no_longer(
    watched: Watched, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    due: list[int | None] = [None]
    answered: list[int] = []
    monkeypatch.setattr(IncomingDisclosures, "deadline_ns", property(lambda _: due[0]))
    monkeypatch.setattr(IncomingDisclosures, "answer_what_is_due", lambda _: answered.append(clock.boot_ns))
    for wait_ns, timeout_s, expected in (
        (None, 9.0, 0.5),
        (None, 0.1, 0.1),
        (seconds(0.2), 9.0, 0.2),
        (seconds(0.2), 0.1, 0.1),
        (seconds(3), 9.0, 3.0),
        (1, 9.0, 1e-9),
        (0, 9.0, 0.0),
        (-5, 9.0, 0.0),
    ):
        due[0] = None if wait_ns is None else clock.boot_ns + wait_ns
        before = len(answered)
        watched.receiver.step(timeout_s)
        assert watched.bus.waits[-1] == expected, wait_ns
        assert (len(answered) > before) is (wait_ns in (0, -5)), wait_ns


def test_our_messages_at_the_broker_are_looked_at_after_a_connect_and_then_left(
    watched: Watched, requester: Requester, asked: SentRequest, clock: TestClock
) -> None:
    watched.bus.start()
    watched.receiver.start()
    watched.settle()
    for _ in range(40):
        clock.boot_ns += seconds(1)
        watched.settle()
    assert watched.bus.calls == [("subscribe", UPLOADS), ("read", OURS), ("unsubscribe", OURS)]
    kinds = [(each.kind, each.request, each.detail) for each in watched.told]
    assert kinds == [
        (ReceiverEventKind.CONNECTED, "", ""),
        (ReceiverEventKind.PUBLISHED, asked.request.id, "request"),
    ]
    watched.bus.stop()


def test_a_connection_that_ends_early_is_not_asked_for_our_messages(
    watched: Watched, asked: SentRequest, clock: TestClock
) -> None:
    watched.bus.start()
    watched.receiver.start()
    watched.settle()
    watched.broker.kill()
    for _ in range(10):
        watched.settle()
        clock.boot_ns += seconds(1)
    assert watched.bus.calls == [("subscribe", UPLOADS)]
    watched.bus.stop()


def test_a_new_message_goes_out_before_the_service_waits(
    watched: Watched, requester: Requester, clock: TestClock
) -> None:
    watched.bus.start()
    watched.receiver.start()
    watched.settle()
    signed = messages.make_request(requester, question(), now_s=NOW_S)
    clock.boot_ns += seconds(1)
    watched.receiver.step(0.5)
    assert watched.bus.published_before[-1] == len(signed.topics)
    watched.bus.stop()


def test_new_messages_are_looked_for_once_a_second(
    watched: Watched, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(
        "agent.clients.requester.receiving_service.publish_pending", lambda *_: looks.append(clock.boot_ns)
    )
    began = clock.boot_ns
    for later in (0, 0, seconds(1) - 1, 1, 1, seconds(1) - 1, seconds(5)):
        clock.boot_ns += later
        watched.receiver.step(0.0)
    assert looks == [began, began + seconds(1), began + seconds(2), began + seconds(7)]


def test_a_request_that_the_broker_refuses_is_told_and_left_until_the_next_start(
    watched: Watched, requester: Requester, asked: SentRequest, clock: TestClock
) -> None:
    watched.broker._requesters = []  # it may write nothing
    watched.bus.start()
    watched.receiver.start()
    for _ in range(4):
        watched.settle()
        clock.boot_ns += seconds(1)
    refused = [each for each in watched.told if each.kind is ReceiverEventKind.NOT_PUBLISHED]
    topics = len(messages.signed(requester, asked.request.id).topics)
    assert len(refused) == topics
    assert {(each.request, each.disclosure, each.device, each.at_ms) for each in refused} == {
        (asked.request.id, "", "", NOW_MS)
    }
    assert refused[0].detail.startswith("The broker refused the request (code 0x87 Not authorized).")
    watched.bus.stop()


def receipts_of(broker: FakeBroker, requester: Requester, device: str, disclosure: str) -> list[Receipt]:
    topic = str(ReceiptTopic(device, disclosure))
    data = [payload for _, at, payload in broker.published if at == topic]
    opened = [envelope.open_envelope(each, Receipt.PAYLOAD_TYPE, {requester.key.id: requester.key}) for each in data]
    return [strictjson.decode(each.payload, Receipt) for each in opened]


def test_a_receipt_without_a_request_goes_out_for_each_root_and_one_with_its_request_once(
    requester: Requester, clock: TestClock, asked: SentRequest, house: House
) -> None:
    other = "0f" * 8
    messages.make_request(requester, question(case="2"), now_s=NOW_S, trust_root=other)
    watched, disclosure = Watched(requester, clock), house.disclose(asked)
    watched.bus.start()
    watched.settle()
    first, last = disclosure.sizes[0], len(disclosure.parts) - 1
    reply = watched.receiver._reply
    reply(disclosure.device, disclosure.id, TransferProgress(ReceiptState.PARTIAL, None, question=3), None)
    folder = AnswerFolder(requester.folder, disclosure.id)
    assert folder.receipt() is None
    lay_down(requester, asked, disclosure).end(ReceiptState.COMPLETE, unopened=((2, 2),))
    named = AddressedRequest(asked.request.id, ROOT_ID, 90)
    complete = TransferProgress(ReceiptState.COMPLETE, first.sha256, ((0, last),), question=4)
    partial = TransferProgress(ReceiptState.PARTIAL, first.sha256, ((0, 0),), question=5)
    for progress in (partial, complete):
        reply(disclosure.device, disclosure.id, progress, named)
    found = receipts_of(watched.broker, requester, disclosure.device, disclosure.id)

    def receipt(number: int, progress: TransferProgress, trust_root: str, **more: Any) -> Receipt:
        values = {"disclosure": disclosure.id, "request": None, "requester": requester.id, "time_s": NOW_S, **more}
        return receipt_for(progress, trust_root=trust_root, seq=found[number].seq, **values)

    question_of = {"request": asked.request.id}
    assert found == [
        receipt(0, TransferProgress(ReceiptState.PARTIAL, None, question=3), ROOT_ID),
        receipt(1, TransferProgress(ReceiptState.PARTIAL, None, question=3), other),
        receipt(2, partial, ROOT_ID, **question_of),
        receipt(3, complete, ROOT_ID, **question_of, retention_days=90, unopened=((2, 2),)),
    ]
    numbers = [each.seq for each in found]
    assert numbers == sorted(set(numbers)), "each has the next number"
    assert folder.receipt() == watched.broker.published[-1][2]
    watched.bus.stop()


def test_only_acknowledged_receipts_of_complete_disclosures_are_counted_and_each_once(
    requester: Requester, clock: TestClock
) -> None:
    counted: list[int] = []
    bus = FakeBus(FakeBroker(), requester.id)
    receiver = DisclosureReceiver(requester, bus, clock, answered=counted.append)
    taken, refused = PublishAcknowledged(1, heard=True), PublishRefused(1, 0x87, "No")
    for disclosure, state, answer in (
        ("a", ReceiptState.PARTIAL, taken),
        ("a", ReceiptState.REFUSED, taken),
        ("a", ReceiptState.COMPLETE, refused),
        ("a", ReceiptState.COMPLETE, taken),
        ("b", ReceiptState.COMPLETE, taken),
        ("a", ReceiptState.COMPLETE, taken),
    ):
        receiver._receipt_sent(disclosure, state, answer)
    assert counted == [1, 2, 2]


def test_each_verb_of_an_upload_reaches_the_arrivals_with_its_values(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[object, ...]] = []
    for name in ("init", "chunk", "fin", "abort"):
        monkeypatch.setattr(IncomingDisclosures, name, lambda _, *values, name=name: called.append((name, *values)))
    device, disclosure, sha256 = "ab" * 8, "cd" * 16, "5e" * 32
    note = UploadNote(v=1, parts=2, size_bytes=100, sha256=sha256, question=7)
    for verb, part, payload in (
        (UploadVerb.INIT, 0, strictjson.encode(note)),
        (ChunkVerb(32, sha256), 1, b"data"),
        (UploadVerb.FIN, 1, strictjson.encode(note)),
        (UploadVerb.ABORT, 0, b""),
    ):
        topic = UploadTopic("rijnstad-police", device, disclosure, part, verb)
        with watched.broker.lock:
            watched.bus.deliver(MessageReceived(str(topic), payload))
        watched.settle()
    assert called == [
        ("init", device, disclosure, note),
        ("chunk", device, disclosure, 1, 32, b"data", sha256),
        ("fin", device, disclosure, 1, note),
        ("abort", device, disclosure),
    ]


def test_an_init_that_clears_a_retained_one_and_other_verbs_have_no_note(watched: Watched) -> None:
    place = f"doorward/v1/up/rijnstad-police/{'ab' * 8}/{'cd' * 16}"
    for topic, payload, dropped in (
        (f"{place}-0/init", b"", 0),
        (f"{place}-0/init", b"{}", 1),
        (f"{place}-0/fin", b"{}", 1),
        (f"{place}-0/abort", b"{}", 1),
        (f"{place}-1/init", b"{}", 1),
        (f"{place}-0/init", b'{"v":1}' + b" " * 5000, 2),
        ("doorward/v1/nonsense", b"", 3),
        (str(ReceiptTopic("ab" * 8, "cd" * 16)), b"", 4),
        (str(RequestTopic("287-379", "another", 0)), b"x", 4),
        (f"doorward/v1/up/another/{'ab' * 8}/{'cd' * 16}-0/fin", b"{}", 5),
    ):
        with watched.broker.lock:
            watched.bus.deliver(MessageReceived(topic, payload))
        watched.settle()
        assert watched.receiver.dropped == dropped, topic
