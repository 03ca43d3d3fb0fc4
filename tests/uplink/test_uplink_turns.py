"""Each turn of the uplink's loop, on one thread: a script gives the events of the bus, which notes each call."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from unittest import mock
from unittest.mock import call

import pytest

from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    Subscribed,
    SubscriptionRefused,
)
from agent.core.requests import OutboxPart, OutboxRecord
from agent.errors import NetworkError, StorageError
from agent.uplink import uplink
from agent.uplink.cell_reading import BURST_BYTES
from agent.uplink.uplink import Uplink
from agent.wire import strictjson
from agent.wire.disclosures import ByteRange, PartMissing, PartRange, Receipt, ReceiptState
from agent.wire.topics import (
    ANONYMOUS,
    TRUST_FILTER,
    ChunkVerb,
    HealthTopic,
    ReceiptTopic,
    TrustIndexTopic,
    TrustTopic,
    UploadTopic,
    UploadVerb,
    parse_topic,
)
from agent.wire.trust_package import index_of, split_package
from agent.wire.uploads import UploadNote
from tests.recorder.thread_owner_check import plant
from tests.vaults import SteppedClock
from tests.wire import samples

DEVICE = samples.DEVICE_KEY.id
CELL, NEXT_CELL = "doorward/v1/in/north/#", "doorward/v1/in/south/#"
BOTH = [("subscribe", TRUST_FILTER), ("subscribe live", CELL)]
"""The news of all trust roots, and the messages that will come to the cell."""
MANIFEST, FILM = b"m" * 100, b"f" * 300
CONNECTED = BusConnected(packet_bytes=147456, window=16)
PAUSE = None


@dataclass
class ScriptedBus:
    """The `Bus` port. An event of the script is given to the uplink, None means that nothing comes, and a function is
    called. The uplink stops at the end of the script."""

    script: Iterator[BusEvent | Callable[[], object] | None] = field(default_factory=lambda: iter(()))
    stop_uplink: Callable[[], None] = lambda: None
    calls: list[tuple[object, ...]] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    dropped: int = 0
    full: bool = False

    def start(self) -> None:
        self.calls.append(("start",))

    def stop(self) -> None:
        self.calls.append(("stop",))

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        self.calls.append(("subscribe", topic_filter) if retained else ("subscribe live", topic_filter))

    def read_retained(self, topic_filter: str) -> None:
        self.calls.append(("read", topic_filter))

    def unsubscribe(self, topic_filter: str) -> None:
        self.calls.append(("unsubscribe", topic_filter))

    def hurry(self, pending: bool) -> None:
        self.calls.append(("hurry", pending))

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool = False, expiry_s: int | None = None,
                properties: tuple[tuple[str, str], ...] = ()) -> bool:  # fmt: skip
        if self.full:
            return False
        self.calls.append(("publish", parse_topic(topic), payload, token, retain, expiry_s))
        return True

    def next_event(self, timeout_s: float) -> BusEvent | None:
        self.waits_s.append(timeout_s)
        self.calls.append(("wait",))
        for step in self.script:
            if not callable(step):
                return step
            step()
        self.stop_uplink()
        return None

    def published(self) -> list[tuple[UploadTopic, bytes, int, bool, int | None]]:
        return [call[1:] for call in self.calls if call[0] == "publish"]  # type: ignore[misc]

    def chunks(self) -> list[tuple[str, int, bytes]]:
        return [
            (topic.disclosure, topic.part, data)
            for topic, data, *_ in self.published()
            if isinstance(topic.verb, ChunkVerb)
        ]

    def subscriptions(self) -> list[tuple[object, ...]]:
        return [call for call in self.calls if call[0] in ("subscribe", "subscribe live", "unsubscribe")]


@dataclass
class ScriptedCustodian:
    """The `CustodyPort`: it takes every message for the receipt with its topic."""

    listed: list[tuple[OutboxRecord, bool]] = field(default_factory=list)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    looks: int = 0
    begun: list[str] = field(default_factory=list)
    ready: bool = True
    full: bool = False

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        if self.full:
            raise StorageError("The journal cannot be written: database or disk is full.")
        self.heard.append(topic)
        return self.receipts.get(topic)

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        self.looks += 1
        return self.listed

    def begin_sending(self, disclosure: str) -> bool:
        self.begun.append(disclosure)
        return self.ready


class TwoParts:
    """The `Outbox` port: a manifest and one film."""

    def read(self, disclosure: str, number: int, offset: int, size: int) -> bytes:
        return (MANIFEST, FILM)[number][offset : offset + size]


@dataclass
class Turns:
    bus: ScriptedBus = field(default_factory=ScriptedBus)
    custodian: ScriptedCustodian = field(default_factory=ScriptedCustodian)
    clock: SteppedClock = field(default_factory=SteppedClock)
    spans_s: list[tuple[float, float]] = field(default_factory=list)
    uplink: Uplink = field(init=False)

    def __post_init__(self) -> None:
        self.uplink = Uplink(
            self.bus, self.custodian, TwoParts(), self.clock,  # type: ignore[arg-type]
            device=DEVICE, cell_filter=CELL, uniform=self._shortest,
        )  # fmt: skip

    def _shortest(self, low: float, high: float) -> float:
        self.spans_s.append((low, high))
        return low

    def run(self, *script: BusEvent | Callable[[], object] | None) -> None:
        self.bus.script, self.bus.stop_uplink = iter(script), self.uplink.stop
        self.uplink.run()

    def passes(self, duration_s: float) -> Callable[[], object]:
        return lambda: self.clock.advance(duration_s)

    def receipt_for(self, record: OutboxRecord, **changes: object) -> MessageReceived:
        """A receipt that asks for everything, unless `changes` say otherwise."""
        topic = str(ReceiptTopic(ANONYMOUS if record.anonymous else DEVICE, record.disclosure))
        values: dict[str, object] = {"manifest": None, "stored": (), "incomplete": ()}
        values |= {"disclosure": record.disclosure, "request": record.request, **changes}
        self.custodian.receipts[topic] = samples.receipt(**values)
        return MessageReceived(topic, b"a receipt")


def disclosure(number: int, *, tip: bool = False) -> OutboxRecord:
    name = f"{number:032x}"
    parts = tuple(
        OutboxPart(part, segment, len(data), hashlib.sha256(data).hexdigest())
        for part, (segment, data) in enumerate([("", MANIFEST), ("segment", FILM)])
    )
    return OutboxRecord(name, name if tip else "0" * 32, "harbour-police", parts)


@pytest.fixture
def turns() -> Turns:
    return Turns()


# -- transfers ---------------------------------------------------------------------------------------------------------


def test_two_disclosures_at_once_never_share_a_number_at_the_bus(turns: Turns) -> None:
    """The bus refuses a number that is in flight, and an answer for one would count for the other."""
    first, second = disclosure(1), disclosure(2)
    turns.custodian.listed = [(first, True), (second, True)]
    turns.run(CONNECTED, PAUSE, turns.receipt_for(first), turns.receipt_for(second), PAUSE)
    questions = [topic.disclosure for topic, *_ in turns.bus.published() if topic.verb is UploadVerb.INIT]
    assert questions == [first.disclosure, second.disclosure]
    tokens = {topic.disclosure: token for topic, _, token, *_ in turns.bus.published()}
    assert abs(tokens[first.disclosure] - tokens[second.disclosure]) > 1 << 31, "room for each chunk of a long one"


def test_an_acknowledgement_counts_for_the_disclosure_that_published_it(turns: Turns) -> None:
    first, second = disclosure(1), disclosure(2)
    turns.custodian.listed = [(first, True), (second, True)]
    script = [PublishAcknowledged(token, heard=True) for token in (1, (1 << 32) + 1)]
    turns.run(CONNECTED, PAUSE, *script, turns.receipt_for(first), turns.receipt_for(second), PAUSE)
    assert [(name, part) for name, part, _ in turns.bus.chunks()] == [(first.disclosure, 0), (second.disclosure, 0)]
    assert min(token for *_, token, _, _ in turns.bus.published()) == 1


def test_the_first_bytes_leave_as_soon_as_their_beginning_is_durable(turns: Turns) -> None:
    one = disclosure(1)
    turns.custodian.listed = [(one, False)]
    script = [CONNECTED, PAUSE, PublishAcknowledged(1, heard=True), turns.receipt_for(one), PAUSE]
    turns.run(*script)
    assert turns.custodian.begun == [one.disclosure]
    assert turns.bus.chunks() == [(one.disclosure, 0, MANIFEST)]
    waits = [number for number, call in enumerate(turns.bus.calls) if call == ("wait",)]
    sent = next(n for n, call in enumerate(turns.bus.calls) if call[0] == "publish" and call[2] == MANIFEST)
    assert sum(number < sent for number in waits) <= len(script), "it waits for no further event first"


def test_what_may_not_begin_is_stopped_and_its_question_taken_back(turns: Turns) -> None:
    one = disclosure(1)
    turns.custodian.listed, turns.custodian.ready = [(one, False)], False
    turns.run(CONNECTED, PAUSE, PublishAcknowledged(1, heard=True), turns.receipt_for(one), PAUSE)
    assert turns.bus.chunks() == []
    last_topic, last, _, retained, _ = turns.bus.published()[-1]
    assert (last_topic.verb, last, retained) == (UploadVerb.INIT, b"", True)
    assert turns.uplink.status().transfers == 0


def test_bytes_that_a_full_bus_did_not_take_are_sent_later_and_counted_once(turns: Turns) -> None:
    one = disclosure(1)
    turns.custodian.listed = [(one, True)]

    def full(now: bool) -> Callable[[], object]:
        return lambda: setattr(turns.bus, "full", now)

    sent: list[int] = []

    def count() -> None:
        sent.append(turns.uplink.status().sent_bytes)

    script = [CONNECTED, PAUSE, PublishAcknowledged(1, heard=True), full(True), turns.receipt_for(one), PAUSE]
    turns.run(*script, count, full(False), PAUSE, count)
    assert sent == [0, len(MANIFEST)]
    assert turns.bus.chunks() == [(one.disclosure, 0, MANIFEST)]


def test_the_question_waits_at_the_broker_for_an_hour_and_nothing_else_stays_there(turns: Turns) -> None:
    one = disclosure(1)
    turns.custodian.listed = [(one, True)]
    turns.run(CONNECTED, PAUSE, PublishAcknowledged(1, heard=True), turns.receipt_for(one), PAUSE)
    (topic, _, _, retained, expiry_s), *others = turns.bus.published()
    assert (topic.verb, retained, expiry_s) == (UploadVerb.INIT, True, 3600)
    assert others
    assert all((retained, expiry_s) == (False, None) for *_, retained, expiry_s in others)


def test_a_transfer_that_ends_leaves_its_topic_and_the_bus_stops_hurrying(turns: Turns) -> None:
    one = disclosure(1)
    turns.custodian.listed = [(one, True)]
    topic = str(ReceiptTopic(DEVICE, one.disclosure))
    done = turns.receipt_for(
        one, state=ReceiptState.COMPLETE, manifest=one.parts[0].sha256, stored=(PartRange(first=0, last=1),)
    )
    turns.run(CONNECTED, PAUSE, PublishAcknowledged(1, heard=True), done, PAUSE)
    assert turns.bus.subscriptions() == [*BOTH, ("subscribe", topic), ("unsubscribe", topic)]
    hurried = [call[1] for call in turns.bus.calls if call[0] == "hurry"]
    assert hurried == [True, False]
    status = turns.uplink.status()
    assert (status.transfers, status.received_messages, status.sent_bytes) == (0, 1, 0)


def test_a_tip_is_published_and_answered_under_no_name(turns: Turns) -> None:
    tip = disclosure(1, tip=True)
    turns.custodian.listed = [(tip, True)]
    turns.run(CONNECTED, PAUSE, PublishAcknowledged(1, heard=True), turns.receipt_for(tip), PAUSE)
    assert {topic.device for topic, *_ in turns.bus.published()} == {ANONYMOUS} != {DEVICE}
    assert ("subscribe", str(ReceiptTopic(ANONYMOUS, tip.disclosure))) in turns.bus.calls
    assert turns.bus.chunks() == [(tip.disclosure, 0, MANIFEST)]


def test_what_leaves_the_custodians_list_is_stopped_and_what_stays_goes_on(turns: Turns) -> None:
    gone, stays = disclosure(1), disclosure(2)
    turns.custodian.listed = [(gone, True), (stays, True)]

    def revoke() -> None:
        turns.custodian.listed = [(stays, True)]
        turns.uplink.wake()

    turns.run(CONNECTED, PAUSE, revoke, PAUSE, PAUSE)
    aborted = [topic.disclosure for topic, *_ in turns.bus.published() if topic.verb is UploadVerb.ABORT]
    assert aborted == [gone.disclosure]
    assert turns.uplink.status().transfers == 1


def test_a_link_that_ends_is_named_with_its_remedy_and_what_was_lost_is_sent_again(turns: Turns) -> None:
    one = disclosure(1)
    turns.custodian.listed = [(one, True)]
    error = NetworkError("No program listens.", remedy="Start the broker.")
    seen: list[tuple[str, str]] = []

    def look() -> None:
        status = turns.uplink.status()
        seen.append((status.link, status.remedy))

    down = BusDisconnected(LinkFault.UNREACHABLE, error, retry_in_s=1.0)
    turns.run(look, CONNECTED, PAUSE, look, PublishLost(1), down, PAUSE, look, CONNECTED, PAUSE, look)
    assert seen[0] == ("connecting", "")
    assert seen[1] == seen[3] == ("connected", "")
    assert seen[2][0] == "unreachable"
    assert "Start the broker." in seen[2][1]
    assert [topic.verb for topic, *_ in turns.bus.published()] == [UploadVerb.INIT] * 2


def test_an_answer_that_is_taken_back_without_a_link_is_cleared_at_the_next_connection(turns: Turns) -> None:
    """Its question is retained, and a requester that was away would have read it."""
    one = disclosure(1)
    turns.custodian.listed = [(one, False)]
    down = BusDisconnected(LinkFault.UNREACHABLE, NetworkError("No program listens."), retry_in_s=1.0)

    def revoke() -> None:
        turns.custodian.listed = []
        turns.uplink.wake()

    turns.run(
        CONNECTED, PAUSE, PublishAcknowledged(1, heard=False), down, revoke, PAUSE, PAUSE, CONNECTED, PAUSE, PAUSE
    )
    (first, question, *_), (last, cleared, _, retained, _) = turns.bus.published()
    assert (first.verb, last.verb, retained, question != b"", cleared) == (
        UploadVerb.INIT, UploadVerb.INIT, True, True, b"",
    )  # fmt: skip
    assert turns.bus.subscriptions()[-1] == ("unsubscribe", str(ReceiptTopic(DEVICE, one.disclosure)))
    assert turns.uplink.status().transfers == 0


# -- what is listened to -----------------------------------------------------------------------------------------------


def test_what_the_broker_retains_is_read_again_only_after_its_time(turns: Turns) -> None:
    turns.run(
        PAUSE, turns.passes(899), PAUSE, PAUSE, turns.passes(1), PAUSE, turns.passes(899), PAUSE, turns.passes(1), PAUSE
    )
    assert turns.bus.subscriptions() == [*BOTH, *BOTH[:1] * 2]
    assert turns.spans_s == [(900.0, 2700.0)] * 3, (
        "the time is drawn anew, so that a street does not do it at one moment"
    )


def test_half_a_minute_after_a_connection_the_digest_is_looked_at_once_more(turns: Turns, reading: mock.Mock) -> None:
    """The moment is drawn from the connection on, and a page that is on its way is waited for."""
    reading.look_again.side_effect = [False, True]
    turns.run(CONNECTED, turns.passes(29), PAUSE, turns.passes(1), PAUSE, PAUSE, turns.passes(100), PAUSE, PAUSE)
    assert turns.spans_s[1] == (30.0, 45.0)
    assert reading.look_again.call_count == 2


def test_a_lost_line_takes_the_second_look_along(turns: Turns, reading: mock.Mock) -> None:
    down = BusDisconnected(LinkFault.UNREACHABLE, NetworkError("No program listens."), retry_in_s=1.0)
    turns.run(CONNECTED, turns.passes(20), down, turns.passes(100), PAUSE, PAUSE)
    assert reading.look_again.call_count == 0


def test_messages_that_were_dropped_are_asked_for_soon_and_once(turns: Turns) -> None:
    def drop() -> None:
        turns.bus.dropped += 3

    turns.run(drop, PAUSE, turns.passes(19), PAUSE, turns.passes(1), PAUSE, turns.passes(60), PAUSE)
    assert turns.bus.subscriptions() == [*BOTH, BOTH[0]]
    assert turns.spans_s[1:] == [(20.0, 60.0), (900.0, 2700.0)]


def test_a_message_that_the_custodian_could_not_take_is_asked_for_soon(turns: Turns) -> None:
    turns.custodian.full = True

    def empty() -> None:
        turns.custodian.full = False

    turns.run(MessageReceived("a", b""), PAUSE, empty, turns.passes(20), PAUSE)
    assert turns.bus.subscriptions() == [*BOTH, BOTH[0]]
    assert turns.custodian.heard == []


def test_a_message_that_was_missed_shortly_before_the_next_subscription_does_not_put_it_off(turns: Turns) -> None:
    def drop() -> None:
        turns.bus.dropped += 1

    turns.run(turns.passes(890), drop, PAUSE, turns.passes(10), PAUSE)
    assert turns.bus.subscriptions() == [*BOTH, BOTH[0]]


def test_a_doorbell_that_was_moved_leaves_the_old_cell_and_subscribes_to_the_new_one(turns: Turns) -> None:
    turns.run(lambda: turns.uplink.listen_to(NEXT_CELL), PAUSE, PAUSE, lambda: turns.uplink.listen_to(None), PAUSE)
    assert turns.bus.subscriptions() == [
        *(*BOTH, ("unsubscribe", CELL), ("subscribe live", NEXT_CELL), ("unsubscribe", NEXT_CELL))
    ]


def test_a_doorbell_without_a_place_subscribes_to_no_cell_until_it_has_one() -> None:
    turns = Turns()
    turns.uplink = Uplink(
        turns.bus, turns.custodian, TwoParts(), turns.clock,  # type: ignore[arg-type]
        device=DEVICE, cell_filter=None,
    )  # fmt: skip
    turns.run(PAUSE, turns.passes(3000), PAUSE, lambda: turns.uplink.listen_to(CELL), PAUSE)
    assert turns.bus.subscriptions() == [BOTH[0], *BOTH]


def test_a_filter_that_the_broker_refuses_ends_nothing(turns: Turns) -> None:
    turns.run(SubscriptionRefused(CELL, 0x87), MessageReceived("a", b""), PAUSE)
    assert turns.custodian.heard == ["a"]


@pytest.mark.parametrize("topic_filter", [CELL, TRUST_FILTER])
def test_an_owner_sees_that_the_broker_refuses_what_carries_requests_or_lists(turns: Turns, topic_filter: str) -> None:
    """The connection itself is up, and no request comes over it."""
    seen: list[tuple[str, str]] = []

    def look() -> None:
        status = turns.uplink.status()
        seen.append((status.link, status.remedy))

    refused, passing = SubscriptionRefused(topic_filter, 0x87), SubscriptionRefused(topic_filter, 0x83)
    granted = Subscribed(topic_filter)
    turns.run(CONNECTED, look, refused, look, granted, look, passing, look, CONNECTED, look)
    good, bad = ("connected", ""), ("not authorised", "Ask who runs the broker to admit this name.")
    busy = ("busy", "Nothing to do: it is tried again.")
    assert seen == [good, bad, good, busy, good], "a new connection asks again"


def test_a_refusal_that_a_person_must_mend_is_shown_before_one_that_passes_and_ends_with_the_cell(turns: Turns) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(turns.uplink.status().link)

    turns.run(
        CONNECTED, SubscriptionRefused(CELL, 0x87), SubscriptionRefused(TRUST_FILTER, 0x80), look,
        lambda: turns.uplink.listen_to(NEXT_CELL), PAUSE, look, Subscribed(TRUST_FILTER), look,
    )  # fmt: skip
    assert seen == ["not authorised", "busy", "connected"]


def test_a_refused_piece_of_a_list_is_no_fault_of_the_link(turns: Turns) -> None:
    seen: list[str] = []
    turns.run(
        CONNECTED, SubscriptionRefused("doorward/v1/trust/a/0", 0x83), lambda: seen.append(turns.uplink.status().link)
    )
    assert seen == ["connected"]


# -- the loop ----------------------------------------------------------------------------------------------------------


def test_the_custodians_list_is_read_at_the_start_at_news_and_every_thirty_seconds(turns: Turns) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(turns.custodian.looks)

    turns.run(look, turns.passes(29.9), PAUSE, look, turns.passes(0.1), PAUSE, look, turns.uplink.wake, PAUSE, look)
    assert looks == [1, 1, 2, 3]


def test_a_window_of_events_is_taken_before_the_list_is_read_again(turns: Turns) -> None:
    """A revocation waits for one window of acknowledgements, and for no more."""
    turns.uplink.wake()
    messages = [MessageReceived(str(number), b"") for number in range(20)]
    looks: dict[int, int] = {}

    def note() -> None:
        looks[len(turns.custodian.heard)] = turns.custodian.looks
        turns.uplink.wake()

    turns.run(*(step for message in messages for step in (note, message)))
    assert looks[15] == 1
    assert looks[16] == 2


def test_it_sleeps_for_half_a_second_until_the_next_question_is_due_and_not_at_all_with_news(turns: Turns) -> None:
    one = disclosure(1)
    turns.custodian.listed = [(one, True)]
    script = [CONNECTED, PAUSE, PublishAcknowledged(1, heard=True), PAUSE, turns.passes(7.9), PAUSE, PAUSE]
    turns.run(*script, turns.uplink.wake, PAUSE, PAUSE)
    assert max(turns.bus.waits_s) == uplink._IDLE_S == 0.5
    assert min(turns.bus.waits_s) == 0.0
    assert any(0.05 < wait_s <= 0.1000001 for wait_s in turns.bus.waits_s), (
        "eight seconds after the question it is asked again"
    )


def test_it_says_when_its_loop_last_came_round_and_when_it_has_stopped(turns: Turns) -> None:
    turned: list[int] = []

    def note() -> None:
        turned.append(turns.uplink.turned_ns)

    turns.run(PAUSE, turns.passes(1), PAUSE, note, turns.passes(1), PAUSE, note)
    assert [later - earlier for earlier, later in pairwise(turned)] == [10**9]
    assert turns.bus.calls[0] == ("start",)
    assert turns.bus.calls[-1] == ("stop",)
    assert (turns.uplink.status().link, turns.uplink.status().remedy) == ("stopped", "")


def test_the_rest_of_the_footage_leaves_after_the_manifest_is_held(turns: Turns) -> None:
    one = disclosure(1)
    turns.custodian.listed = [(one, True)]
    sha = one.parts[0].sha256
    whole = PartMissing(part=1, missing=(ByteRange(start=100, end=len(FILM)),))
    held = turns.receipt_for(one, manifest=sha, stored=(PartRange(first=0, last=0),), incomplete=(whole,))
    acknowledged = [PublishAcknowledged(number, heard=True) for number in (1, 2)]
    turns.run(CONNECTED, PAUSE, acknowledged[0], held, PAUSE, acknowledged[1], PAUSE, PAUSE)
    assert turns.bus.chunks() == [(one.disclosure, 1, FILM[100:])]
    assert turns.uplink.status().sent_bytes == 200
    ends = [
        (topic.part, strictjson.decode(data, UploadNote), retain)
        for topic, data, _, retain, _ in turns.bus.published()
        if topic.verb is UploadVerb.FIN
    ]
    note = UploadNote(v=1, parts=2, size_bytes=len(FILM), sha256=one.parts[1].sha256)
    assert ends == [(1, note, False)], "the end of a part is told once"


# -- what the reading of the cell is told ------------------------------------------------------------------------------


@pytest.fixture
def reading(turns: Turns) -> mock.Mock:
    """A reading of the cell that notes its calls. It wants nothing."""
    made = mock.Mock()
    made.turn.return_value = made.deadline_ns.return_value = None
    made.take.return_value = False
    made.room_bytes = float(BURST_BYTES)
    plant(turns.uplink, _reading=made)
    return made


def told(reading: mock.Mock) -> list[object]:
    """The calls that tell it of something."""
    return [each for each in reading.mock_calls if each[0] not in ("turn", "deadline_ns", "hold")]


def test_the_reading_hears_of_each_connection_subscription_and_message(turns: Turns, reading: mock.Mock) -> None:
    """A package of a trust root counts against what it may read; a message of the cell does not."""
    now = turns.clock.now().boot_ns
    down = BusDisconnected(LinkFault.UNREACHABLE, NetworkError("No program listens."), retry_in_s=1.0)
    trust = str(TrustTopic(samples.ROOT_KEY.id, 0))
    turns.run(
        CONNECTED, Subscribed(CELL), MessageReceived("a", b"bytes"), MessageReceived(trust, b"a package"), down, PAUSE
    )
    assert told(reading) == [
        call.connected(now), call.subscribed(CELL, now), call.take("a", b"bytes", now), call.heard(now),
        call.take(trust, b"a package", now), call.heard(now), call.spent(len(trust) + len(b"a package"), now),
        call.disconnected(),
    ]  # fmt: skip
    assert turns.custodian.heard == ["a"], "a piece without an index is none"
    assert turns.uplink.status().received_messages == 2


def test_pieces_of_a_package_go_to_the_custodian_once_it_is_whole_and_pages_wait_for_them(
    turns: Turns, reading: mock.Mock
) -> None:
    package = b'{"bundle":"b","roots":["r"],"timestamp":"t","v":1}'
    index = str(TrustIndexTopic(samples.ROOT_KEY.id))
    topics = [str(TrustTopic(samples.ROOT_KEY.id, slot)) for slot in range(3)]
    pieces = [MessageReceived(topic, chunk) for topic, chunk in zip(topics, split_package(package), strict=True)]
    steps = [step for piece in pieces for step in (PAUSE, piece, turns.passes(0.2))]
    turns.run(CONNECTED, MessageReceived(index, index_of(package)), *steps, PAUSE, MessageReceived(index, b"junk"))
    asked = [each for each in turns.bus.calls if "trust" in str(each[1:]) and each[0] != "subscribe"]
    assert asked == [(name, topic) for topic in topics for name in ("read", "unsubscribe")]
    assert turns.custodian.heard == [*topics, index], "and what is no index"
    held = [each.args[0] for each in reading.mock_calls if each[0] == "hold"]
    assert (held[0], True in held, held[-1]) == (False, True, False)


def test_a_page_goes_to_the_reading_alone_and_its_messages_to_the_custodian(turns: Turns, reading: mock.Mock) -> None:
    reading.take.return_value = True
    reading.turn.side_effect = [("one", b"1"), ("two", b"2"), *[None] * 9]
    now = turns.clock.now().boot_ns
    turns.run(MessageReceived("a page", b"bytes"), PAUSE)
    assert told(reading) == [call.take("a page", b"bytes", now)]
    assert turns.custodian.heard == ["one", "two"]
    assert turns.uplink.status().received_messages == 3


def test_the_reading_begins_again_after_its_time_and_in_a_new_cell_at_once(turns: Turns, reading: mock.Mock) -> None:
    begins = turns.clock.now().boot_ns
    turns.run(
        PAUSE, turns.passes(899), PAUSE, PAUSE, turns.passes(1), PAUSE, PAUSE,
        lambda: turns.uplink.listen_to(NEXT_CELL), PAUSE, PAUSE,
    )  # fmt: skip
    later = begins + 900 * 10**9
    assert told(reading) == [call.again(later), call.move(NEXT_CELL, later)]


def test_a_doorbell_that_was_moved_does_not_sleep_before_it_listens_there(turns: Turns) -> None:
    assert turns.uplink._patience_s() == 0.5
    turns.uplink.listen_to(NEXT_CELL)
    assert turns.uplink._patience_s() == 0.0


def test_footage_that_is_gone_from_the_disk_stops_its_transfer_and_no_other(turns: Turns) -> None:
    gone, stays = disclosure(1), disclosure(2)

    class OneIsGone(TwoParts):
        def read(self, disclosure: str, number: int, offset: int, size: int) -> bytes:
            if disclosure == gone.disclosure:
                raise StorageError("It was revoked a moment ago.")
            return super().read(disclosure, number, offset, size)

    plant(turns.uplink, _outbox=OneIsGone())
    turns.custodian.listed = [(gone, True), (stays, True)]
    turns.run(CONNECTED, PAUSE, turns.receipt_for(gone), turns.receipt_for(stays), PAUSE, PAUSE)
    aborted = [
        (topic.disclosure, topic.part, data, retain, expiry_s)
        for topic, data, _, retain, expiry_s in turns.bus.published()
        if topic.verb is UploadVerb.ABORT
    ]
    assert aborted == [(gone.disclosure, 0, b"", False, None)], "once, and of no bytes"
    verbs = [call[1].verb if call[0] == "publish" else call[0] for call in turns.bus.calls]  # type: ignore[attr-defined]
    aborts, sends = (
        verbs.index(UploadVerb.ABORT),
        next(n for n, verb in enumerate(verbs) if isinstance(verb, ChunkVerb)),
    )
    assert aborts < sends, "in the turn that found it gone, before the other transfer's"
    retained = [(topic.disclosure, data) for topic, data, _, retain, _ in turns.bus.published() if retain]
    cleared = [data for name, data in retained if name == gone.disclosure]
    assert cleared[-1] == b"", "and its question is taken back"
    assert {name for name, *_ in turns.bus.chunks()} == {stays.disclosure}


def test_one_report_of_health_is_on_its_way_at_a_time(turns: Turns) -> None:
    turns.uplink = Uplink(
        turns.bus, turns.custodian, TwoParts(), turns.clock,  # type: ignore[arg-type]
        device=DEVICE, cell_filter=CELL, uniform=turns._shortest, health=lambda: b"sealed",
    )  # fmt: skip
    reports: list[int] = []

    def count() -> None:
        reports.append(sum(call[0] == "publish" and call[1] == HealthTopic(DEVICE) for call in turns.bus.calls))

    acknowledged = PublishAcknowledged(-1, heard=True)
    turns.run(
        CONNECTED, PAUSE, count, turns.passes(5), PAUSE, PAUSE, count, turns.passes(840), PAUSE, PAUSE, count,
        acknowledged, PAUSE, count, turns.passes(840), PAUSE, PAUSE, count,
    )  # fmt: skip
    assert reports == [0, 1, 1, 2, 2], "the second one has no acknowledgement yet"
    assert [each[1:] for each in turns.bus.calls if each[0] == "publish"] == [
        (HealthTopic(DEVICE), b"sealed", -1, True, 30 * 86_400)
    ] * 2


def test_a_doorbell_looks_at_its_list_in_its_first_turn_also_right_after_its_boot(turns: Turns) -> None:
    turns.clock.boot_ns = 0
    assert turns.uplink.turned_ns == 0
    looks: list[int] = []
    turns.run(lambda: looks.append(turns.custodian.looks), PAUSE)
    assert looks == [1]


def test_each_transfer_hears_of_the_connection_and_of_what_becomes_of_messages(turns: Turns) -> None:
    senders = [mock.Mock(), mock.Mock()]
    for sender in senders:
        sender.next_effect.return_value = sender.deadline_ns = None
    transfers = {
        f"{number:032x}": uplink._Transfer(disclosure(number), sender, "a topic")
        for number, sender in enumerate(senders)
    }
    plant(turns.uplink, _transfers=transfers)
    now = turns.clock.now().boot_ns
    settled = [PublishAcknowledged(7, heard=True), PublishRefused(8, 0x97, "quota"), PublishLost(9)]
    down = BusDisconnected(LinkFault.UNREACHABLE, NetworkError("No program listens."), retry_in_s=1.0)
    for event in (CONNECTED, *settled, down):
        turns.uplink._on_event(event)
    for sender in senders:
        assert sender.mock_calls == [
            call.connected(147456), *(call.settled(event, now) for event in settled),
            call.disconnected(LinkFault.UNREACHABLE),
        ]  # fmt: skip


@pytest.mark.parametrize(("cell", "again_s"), [(NEXT_CELL, 890 + 900), (None, 900)])
def test_a_doorbell_that_was_moved_reads_everything_again_after_its_time_in_the_new_cell(
    turns: Turns, reading: mock.Mock, cell: str | None, again_s: int
) -> None:
    began = turns.clock.now().boot_ns
    turns.run(PAUSE, turns.passes(890), lambda: turns.uplink.listen_to(cell), PAUSE)
    assert turns.uplink._reread_ns == began + again_s * 10**9
    assert turns.spans_s == [(900.0, 2700.0), (30.0, 45.0), (900.0, 2700.0)][: 3 if cell else 2]
    assert told(reading) == [call.move(cell, began + 890 * 10**9)]
