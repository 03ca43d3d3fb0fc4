"""Publishing: retained where doors listen, until the broker has it, over the one connection."""

from __future__ import annotations

import contextlib
import itertools
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.requester import messages, publisher
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.publisher import (
    LockHolder,
    PublishQueue,
    connection_lock,
    is_published,
    publish,
    publish_pending,
)
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    LinkFault,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
)
from agent.errors import ConfigurationError, NetworkError
from agent.wire.topics import cell_filter
from tests.clients.requester.conftest import NOW_S, question
from tests.fake_bus import FakeBroker, FakeBus


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def bus_of(broker: FakeBroker, name: str = "rijnstad-police") -> FakeBus:
    bus = FakeBus(broker, name)
    bus.start()
    return bus


def test_a_request_stays_with_the_broker_for_doors_that_come_later(
    broker: FakeBroker, requester: Requester, asked: SentRequest
) -> None:
    bus = bus_of(broker)
    signed = messages.signed(requester, asked.request.id)
    assert not is_published(requester, signed.id)
    publish(signed, bus, now_s=NOW_S)
    assert is_published(requester, signed.id)
    door = bus_of(broker, "ab" * 8)
    door.subscribe(cell_filter(signed.topics[0].split("/")[3]))
    events = [door.next_event(0) for _ in range(3)]
    assert signed.envelope in [getattr(event, "payload", None) for event in events]
    bus.stop()
    door.stop()


def test_a_withdrawal_replaces_the_request(broker: FakeBroker, requester: Requester, asked: SentRequest) -> None:
    bus = bus_of(broker)
    publish(messages.signed(requester, asked.request.id), bus, now_s=NOW_S)
    withdrawn = messages.make_withdrawal(requester, asked.request.id)
    assert not is_published(requester, asked.request.id)
    publish(withdrawn, bus, now_s=NOW_S)
    assert is_published(requester, asked.request.id)
    assert [message.payload for message in broker.retained.values()] == [withdrawn.envelope]
    bus.stop()


def test_a_deletion_replaces_what_stood_there_and_stays_for_doors_that_are_off(
    broker: FakeBroker, requester: Requester, asked: SentRequest
) -> None:
    bus = bus_of(broker)
    publish(messages.signed(requester, asked.request.id), bus, now_s=NOW_S)
    late_s = asked.request.not_after_s + 86_400
    deletion = messages.make_deletion(requester, asked.request.id, late_s)
    outgoing = PublishQueue(bus)
    publish_pending(requester, outgoing, late_s, lambda *_: None)
    outgoing.pump()
    assert [message.payload for message in broker.retained.values()] == [deletion.envelope]
    again = messages.make_deletion(requester, asked.request.id, late_s + 5)
    assert not is_published(requester, asked.request.id)
    assert again.envelope != deletion.envelope
    bus.stop()


def test_bulletins_stand_side_by_side_in_their_cells(broker: FakeBroker, requester: Requester) -> None:
    bus = bus_of(broker)
    cells = ("287-379", "287-380")
    posted = [
        messages.make_bulletin(requester, f"Road {n}", "Closed.", language="en", not_after_s=NOW_S + 9, cells=cells)
        for n in (1, 2)
    ]
    outgoing = PublishQueue(bus)
    publish_pending(requester, outgoing, NOW_S, lambda *_: None)
    outgoing.pump()
    door = bus_of(broker, "ab" * 8)
    door.subscribe(cell_filter("287-380"))
    events = [getattr(door.next_event(0), "payload", None) for _ in range(4)]
    assert {signed.envelope for signed in posted} <= set(events)
    bus.stop()
    door.stop()


def test_a_broker_that_breaks_off_is_asked_again(broker: FakeBroker, requester: Requester, asked: SentRequest) -> None:
    bus = bus_of(broker)
    broker.freeze()
    later = threading.Timer(0.1, lambda: (broker.kill(), broker.start()))
    later.start()
    publish(messages.signed(requester, asked.request.id), bus, now_s=NOW_S, timeout_s=10)
    later.join()
    assert is_published(requester, asked.request.id)
    bus.stop()


def test_a_broker_that_is_away_ends_in_its_own_words(
    broker: FakeBroker, requester: Requester, asked: SentRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()  # a clock that goes on by a second whenever it is looked at
    monkeypatch.setattr(publisher, "time", SimpleNamespace(monotonic=lambda: float(next(looks))))
    broker.kill()
    bus = bus_of(broker)
    with pytest.raises(NetworkError, match="No program listens"):
        publish(messages.signed(requester, asked.request.id), bus, now_s=NOW_S, timeout_s=2)
    assert not is_published(requester, asked.request.id)
    bus.stop()


def test_a_broker_that_refuses_says_whom_to_ask(broker: FakeBroker, requester: Requester, asked: SentRequest) -> None:
    bus = bus_of(broker, "ab" * 8)  # a device's certificate: it may not ask
    with pytest.raises(NetworkError, match="may publish requests"):
        publish(messages.signed(requester, asked.request.id), bus, now_s=NOW_S, timeout_s=5)
    assert not is_published(requester, asked.request.id)
    bus.stop()


def test_what_is_expired_or_published_is_not_published_again(
    broker: FakeBroker, requester: Requester, asked: SentRequest
) -> None:
    bus = bus_of(broker)
    outgoing = PublishQueue(bus)
    publish_pending(requester, outgoing, asked.request.not_after_s + 1, lambda *_: None)
    assert len(outgoing) == 0
    publish(messages.signed(requester, asked.request.id), bus, now_s=NOW_S)
    publish_pending(requester, outgoing, NOW_S, lambda *_: None)
    assert len(outgoing) == 0
    bus.stop()


def test_a_newer_receipt_replaces_one_that_waits(broker: FakeBroker) -> None:
    broker.kill()
    bus = bus_of(broker)
    outgoing = PublishQueue(bus)
    topic = f"doorward/v1/receipts/{'ab' * 8}/{'cd' * 16}"
    for number in range(3):
        outgoing.put(topic, b"%d" % number)
        outgoing.pump()
    broker.start()
    outgoing.pump()
    assert [payload for _, _, payload in broker.published] == [b"2"]
    bus.stop()


def test_a_lost_message_is_sent_again_unless_a_newer_one_waits(broker: FakeBroker) -> None:
    bus = bus_of(broker)
    outgoing = PublishQueue(bus)
    topic = f"doorward/v1/receipts/{'ab' * 8}/{'cd' * 16}"
    broker.freeze()
    outgoing.put(topic, b"old")
    outgoing.pump()
    broker.kill()
    outgoing.put(topic, b"new")
    broker.start()
    while (event := bus.next_event(0)) is not None:
        outgoing.settled(event)
        outgoing.pump()
    assert [payload for _, _, payload in broker.published] == [b"new"]
    assert len(outgoing) == 0
    bus.stop()


def test_what_waits_is_bounded_and_the_oldest_go(broker: FakeBroker) -> None:
    outgoing = PublishQueue(bus_of(broker))
    for number in range(2000):
        outgoing.put("topic", b"", slot=str(number))
    assert len(outgoing) == 1024
    assert outgoing.holds("1999")
    assert not outgoing.holds("0")


def test_news_about_others_is_ignored(broker: FakeBroker) -> None:
    outgoing = PublishQueue(bus_of(broker))
    for event in (PublishAcknowledged(7, heard=True), PublishRefused(7, 0x87, ""), PublishLost(7), None):
        outgoing.settled(event)  # type: ignore[arg-type]


def test_one_process_at_a_time_is_connected_as_a_requester(requester: Requester) -> None:
    refused = pytest.raises(ConfigurationError, match="connected as rijnstad-police")
    with connection_lock(requester), refused, connection_lock(requester, wait_s=600):
        pass  # a service stays connected, so no command waits for it
    with connection_lock(requester):
        pass


def test_a_process_that_is_told_to_stop_waits_no_longer_for_its_turn(requester: Requester) -> None:
    stop = threading.Event()
    refused = pytest.raises(ConfigurationError, match="connected as rijnstad-police")
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    with connection_lock(requester, LockHolder.ERRAND), refused, connection_lock(requester, wait_s=3600, stop=stop):
        pass
    timer.join()


def test_whoever_comes_while_a_request_is_on_its_way_waits_for_its_turn(requester: Requester) -> None:
    refused = pytest.raises(ConfigurationError, match="connected as rijnstad-police")
    with connection_lock(requester, LockHolder.ERRAND), refused, connection_lock(requester):
        pass
    held, go_on = threading.Event(), threading.Event()

    def errand() -> None:
        with connection_lock(requester, LockHolder.ERRAND):
            held.set()
            go_on.wait(60)

    thread = threading.Thread(target=errand, name="errand")
    thread.start()
    held.wait(60)
    threading.Timer(0.3, go_on.set).start()
    with connection_lock(requester, wait_s=60):
        assert go_on.is_set()
    thread.join()


class NotingBus(FakeBus):
    """Notes for how long the broker may keep each message."""

    def __init__(self, broker: FakeBroker) -> None:
        super().__init__(broker, "rijnstad-police")
        self.expiries: list[int | None] = []

    def publish(self, topic: str, payload: bytes, *, expiry_s: int | None = None, **more: Any) -> bool:
        self.expiries.append(expiry_s)
        return super().publish(topic, payload, expiry_s=expiry_s, **more)


@pytest.mark.parametrize(("left_s", "expiry_s"), [(86_400, 86_400), (61, 61), (10, 60)])
def test_the_broker_keeps_a_message_to_its_end_but_for_a_minute_at_least(
    broker: FakeBroker, requester: Requester, asked: SentRequest, left_s: int, expiry_s: int
) -> None:
    bus = NotingBus(broker)
    bus.start()
    publish(messages.signed(requester, asked.request.id), bus, now_s=asked.request.not_after_s - left_s)
    assert set(bus.expiries) == {expiry_s}
    bus.stop()


# -- the queue, call by call -------------------------------------------------------------------------------------------


class ScriptedBus:
    """Takes publications in lanes that a test opens and closes, and notes them."""

    def __init__(self) -> None:
        self.closed: set[str] = set()
        self.room = 99
        self.given: list[tuple[str, bytes, int, bool, int | None]] = []

    def lane(self, topic: str) -> str:
        return topic.partition(".")[0]

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool, expiry_s: int | None) -> bool:
        if self.lane(topic) in self.closed or not self.room:
            return False
        self.room -= 1
        self.given.append((topic, payload, token, retain, expiry_s))
        return True


def queue_of(bus: ScriptedBus) -> PublishQueue:
    return PublishQueue(bus)  # type: ignore[arg-type]


def test_a_message_goes_to_the_bus_as_it_was_put_and_is_answered_once() -> None:
    bus = ScriptedBus()
    answers: list[PublishAcknowledged | PublishRefused] = []
    outgoing = queue_of(bus)
    outgoing.put("a.1", b"one", slot="s", retain=True, expiry_s=60, done=answers.append)
    outgoing.put("a.2", b"two")
    assert (len(outgoing), outgoing.holds("s"), outgoing.holds("a.2"), outgoing.holds("a.1")) == (2, True, True, False)
    outgoing.pump()
    assert bus.given == [("a.1", b"one", 1, True, 60), ("a.2", b"two", 2, False, None)]
    assert (len(outgoing), outgoing.holds("s"), outgoing.holds("a.2")) == (2, True, True), "in flight it is held, too"
    taken, refused = PublishAcknowledged(1, heard=True), PublishRefused(2, 0x87, "Not authorized")
    outgoing.settled(taken)
    assert (outgoing.holds("s"), outgoing.holds("a.2")) == (False, True)
    for event in (refused, taken):
        outgoing.settled(event)
    assert answers == [taken]
    assert (len(outgoing), outgoing.holds("s"), outgoing.holds("a.2")) == (0, False, False)


@pytest.mark.parametrize("code", [0x80, 0x83, 0x97])
def test_a_refusal_that_may_pass_is_tried_again_for_a_minute_and_then_told(code: int) -> None:
    """A cluster of RabbitMQ answers 0x83 while a node with a subscriber's queue is away."""
    bus, now_s = ScriptedBus(), [100.0]
    outgoing = PublishQueue(bus, lambda: now_s[0])  # type: ignore[arg-type]
    answers: list[PublishAcknowledged | PublishRefused] = []
    outgoing.put("a.1", b"one", slot="s", done=answers.append)
    tries_s = []
    while outgoing and now_s[0] < 300.0:
        before = len(bus.given)
        outgoing.pump()
        if len(bus.given) > before:
            tries_s.append(now_s[0])
            outgoing.settled(PublishRefused(bus.given[-1][2], code, "No"))
        now_s[0] += 0.5
    assert tries_s == [100.0, 101.0, 103.0, 107.0, 115.0, 131.0, 163.0]
    assert [answer.code for answer in answers if isinstance(answer, PublishRefused)] == [code]


def test_a_refused_message_that_waits_makes_room_for_a_newer_one_and_holds_up_no_other() -> None:
    bus, now_s = ScriptedBus(), [100.0]
    outgoing = PublishQueue(bus, lambda: now_s[0])  # type: ignore[arg-type]
    outgoing.put("a.1", b"one", slot="s")
    outgoing.pump()
    outgoing.settled(PublishRefused(1, 0x83, "No"))
    outgoing.put("a.2", b"two")
    outgoing.pump()
    assert [payload for _, payload, *_ in bus.given] == [b"one", b"two"]
    outgoing.put("a.1", b"newer", slot="s")
    outgoing.pump()
    now_s[0] += 60.0
    outgoing.pump()
    assert [payload for _, payload, *_ in bus.given] == [b"one", b"two", b"newer"]


def test_a_broker_that_is_out_of_reach_holds_up_its_own_messages_only_and_their_order_stays() -> None:
    bus = ScriptedBus()
    outgoing = queue_of(bus)
    for topic in ("away.1", "here.1", "away.2", "here.2"):
        outgoing.put(topic, b"")
    bus.closed = {"away"}
    outgoing.pump()
    assert [each[0] for each in bus.given] == ["here.1", "here.2"]
    bus.closed = set()
    bus.room = 1
    outgoing.pump()
    bus.room = 1
    outgoing.pump()
    assert [each[0] for each in bus.given] == ["here.1", "here.2", "away.1", "away.2"]


def test_after_one_message_that_is_not_taken_no_later_one_of_its_lane_is_offered() -> None:
    class Full(ScriptedBus):
        def publish(self, topic: str, *_: object, **__: object) -> bool:
            offered.append(topic)
            return False

    offered: list[str] = []
    outgoing = queue_of(Full())
    for topic in ("a.1", "a.2", "b.1"):
        outgoing.put(topic, b"")
    outgoing.pump()
    assert offered == ["a.1", "b.1"]


@pytest.mark.parametrize("newer", ["none", "waits", "in flight", "answered"])
def test_a_lost_message_waits_again_unless_a_newer_one_of_its_slot_is_on_its_way(newer: str) -> None:
    bus = ScriptedBus()
    outgoing = queue_of(bus)
    outgoing.put("a.1", b"old", slot="s")
    outgoing.put("a.2", b"other", slot="t")
    outgoing.pump()
    if newer != "none":
        outgoing.put("a.1", b"new", slot="s")
    if newer in ("in flight", "answered"):
        outgoing.pump()
    if newer == "answered":
        outgoing.settled(PublishAcknowledged(3, heard=True))
    outgoing.settled(PublishLost(1))
    before = len(bus.given)
    outgoing.pump()
    again = [payload for _, payload, *_ in bus.given[before:]]
    assert again == {"none": [b"old"], "waits": [b"new"], "in flight": [], "answered": [b"old"]}[newer]


def test_an_older_message_in_flight_does_not_keep_a_lost_newer_one_from_being_sent_again() -> None:
    bus = ScriptedBus()
    outgoing = queue_of(bus)
    for payload in (b"old", b"new"):
        outgoing.put("a.1", payload, slot="s")
        outgoing.pump()
    outgoing.settled(PublishLost(2))
    outgoing.pump()
    assert [payload for _, payload, *_ in bus.given] == [b"old", b"new", b"new"]


# -- what is published, and what is told -------------------------------------------------------------------------------


def pending(requester: Requester, bus: ScriptedBus, now_s: int = NOW_S, **more: Any) -> tuple[PublishQueue, list[Any]]:
    outgoing, refused = queue_of(bus), []
    publish_pending(requester, outgoing, now_s, lambda *said: refused.append(said), **more)
    return outgoing, refused


def test_each_unsent_message_is_queued_in_each_cell_once(requester: Requester, asked: SentRequest) -> None:
    bulletin = messages.make_bulletin(
        requester, "Flood", "In.", language="en", not_after_s=NOW_S + 5, cells=("287-379", "287-380")
    )
    bus, request = ScriptedBus(), messages.signed(requester, asked.request.id)
    outgoing, refused = pending(requester, bus)
    publish_pending(requester, outgoing, NOW_S, lambda *_: None)
    outgoing.pump()
    publish_pending(requester, outgoing, NOW_S, lambda *_: None)
    outgoing.pump()
    assert sorted((topic, payload, retain, expiry_s) for topic, payload, _, retain, expiry_s in bus.given) == sorted(
        [
            *((topic, request.envelope, True, request.not_after_s - NOW_S) for topic in request.topics),
            *((topic, bulletin.envelope, True, 60) for topic in bulletin.topics),
        ]
    )
    assert outgoing.holds(f"request {bulletin.id} 0")
    assert outgoing.holds(f"request {bulletin.id} 1")
    assert refused == []


def test_a_message_is_not_refused_because_the_database_is_away(
    requester: Requester, asked: SentRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby takes over within seconds. A refused message is skipped, and a person is told that it was not
    published."""

    def away(*_: object) -> None:
        raise NetworkError("PostgreSQL does not answer.")

    monkeypatch.setattr(messages, "signed", away)
    with pytest.raises(NetworkError):
        pending(requester, ScriptedBus())
    assert requester.register.unsent() == [asked.request.id]


def test_a_message_is_published_once_the_last_cell_has_it_and_then_told(requester: Requester) -> None:
    signed = messages.make_bulletin(
        requester, "Flood", "In.", language="en", not_after_s=NOW_S + 5, cells=("287-379", "287-380")
    )
    bus = ScriptedBus()
    told: list[messages.SignedMessage] = []
    outgoing, _ = pending(requester, bus, published=told.append)
    outgoing.pump()
    outgoing.settled(PublishAcknowledged(1, heard=False))
    assert (is_published(requester, signed.id), told) == (False, [])
    outgoing.settled(PublishAcknowledged(2, heard=False))
    assert (is_published(requester, signed.id), told) == (True, [signed])
    assert requester.register.unsent() == [signed.id]
    pending(requester, bus)
    assert requester.register.unsent() == [], "the next look strikes it out"


def test_a_message_that_one_cell_refuses_is_not_published_and_names_the_reason(requester: Requester) -> None:
    signed = messages.make_bulletin(
        requester, "Flood", "In.", language="en", not_after_s=NOW_S + 5, cells=("287-379", "287-380")
    )
    bus = ScriptedBus()
    outgoing, refused = pending(requester, bus)
    outgoing.pump()
    outgoing.settled(PublishAcknowledged(1, heard=True))
    outgoing.settled(PublishRefused(2, 0x07, "No"))
    ((name, error),) = refused
    assert (name, error.message, error.remedy) == (
        signed.id,
        "The broker refused the request (code 0x07 No).",
        "Ask the operator of the broker if this requester may publish requests.",
    )
    assert isinstance(error, NetworkError)
    assert not is_published(requester, signed.id)


def test_a_message_to_skip_or_that_is_not_stored_stays_unsent_and_one_that_has_ended_is_struck_out(
    requester: Requester, asked: SentRequest
) -> None:
    bus, request = ScriptedBus(), asked.request
    requester.register.add_unsent("0d" * 16)
    outgoing, refused = pending(requester, bus, skip={request.id})
    assert (len(outgoing), refused) == (0, [])
    assert set(requester.register.unsent()) == {request.id, "0d" * 16}
    outgoing, _ = pending(requester, bus, request.not_after_s - 1)
    assert len(outgoing) == len(messages.signed(requester, request.id).topics)
    outgoing, _ = pending(requester, bus, request.not_after_s)
    assert len(outgoing) == 0
    assert requester.register.unsent() == ["0d" * 16]


def test_a_message_that_cannot_be_read_is_told_and_others_go(requester: Requester, asked: SentRequest) -> None:
    other = messages.make_request(requester, question(case="2"), now_s=NOW_S).id
    first, second = requester.register.unsent()
    assert {first, second} == {asked.request.id, other}
    (requester.folder / "requests" / first / "request.dsse").write_bytes(b"{}")
    outgoing, refused = pending(requester, ScriptedBus())
    assert [(name, type(error)) for name, error in refused] == [(first, ConfigurationError)]
    assert outgoing.holds(f"request {second} 0")
    assert set(requester.register.unsent()) == {first, second}


class ScriptedEvents(ScriptedBus):
    """Gives a list of events, one a call, and notes for how long each call would wait."""

    def __init__(self, events: list[Any]) -> None:
        super().__init__()
        self.events = events
        self.waits: list[float] = []

    def next_event(self, timeout_s: float) -> Any:
        self.waits.append(timeout_s)
        return self.events.pop(0) if self.events else None


def ticking(monkeypatch: pytest.MonkeyPatch, tick_s: float) -> None:
    """A clock that goes on whenever it is looked at."""
    looks = itertools.count()
    monkeypatch.setattr(publisher, "time", SimpleNamespace(monotonic=lambda: tick_s * next(looks)))


AWAY = NetworkError("No program listens.", remedy="Start the broker.")


@pytest.mark.parametrize(
    ("events", "said", "remedy"),
    [
        ([], "The broker did not answer in time.", "Check its address, and that it runs."),
        ([BusDisconnected(LinkFault.UNREACHABLE, AWAY, retry_in_s=0.0)], AWAY.message, AWAY.remedy),
        ([BusConnected(1000, 10)], "The broker did not acknowledge the request in time.", ""),
        (
            [BusConnected(1000, 10), BusDisconnected(LinkFault.UNREACHABLE, AWAY, retry_in_s=0.0)],
            AWAY.message,
            AWAY.remedy,
        ),
    ],
)
def test_a_publication_without_an_answer_ends_with_the_last_fault_of_the_link(
    requester: Requester, asked: SentRequest, monkeypatch: pytest.MonkeyPatch, events: list[Any], said: str, remedy: str
) -> None:
    ticking(monkeypatch, 0.5)
    bus = ScriptedEvents(events)
    with pytest.raises(NetworkError) as raised:
        publish(messages.signed(requester, asked.request.id), bus, now_s=NOW_S, timeout_s=2.6)  # type: ignore[arg-type]
    assert (raised.value.message, raised.value.remedy) == (said, remedy)
    assert bus.waits == [0.2] * 4 + [pytest.approx(0.1)], "it looks now and then, and never beyond its time"


def test_a_publication_does_not_look_again_when_its_time_is_over(
    requester: Requester, asked: SentRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking(monkeypatch, 0.5)
    bus = ScriptedEvents([])
    with pytest.raises(NetworkError):
        publish(messages.signed(requester, asked.request.id), bus, now_s=NOW_S, timeout_s=2.5)  # type: ignore[arg-type]
    assert bus.waits == [0.2] * 4


def test_a_publication_ends_with_its_last_acknowledgement(
    requester: Requester, asked: SentRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking(monkeypatch, 0.1)
    signed = messages.signed(requester, asked.request.id)
    answers = [PublishAcknowledged(token + 1, heard=True) for token in range(len(signed.topics))]
    bus = ScriptedEvents([BusConnected(1000, 10), None, *answers, "unread"])
    publish(signed, bus, now_s=NOW_S)  # type: ignore[arg-type]
    assert is_published(requester, signed.id)
    assert bus.events == ["unread"]


# -- the lock ----------------------------------------------------------------------------------------------------------


def test_the_lock_says_who_holds_it_and_nothing_afterwards(requester: Requester) -> None:
    path = requester.folder / "connection.lock"
    with connection_lock(requester):
        assert path.read_bytes() == b"receive"
    assert path.read_bytes() == b""
    with contextlib.suppress(KeyError), connection_lock(requester, LockHolder.ERRAND):
        assert path.read_bytes() == b"request"
        raise KeyError
    assert path.read_bytes() == b""


def test_a_role_that_a_killed_process_left_counts_no_more(requester: Requester) -> None:
    path = requester.folder / "connection.lock"
    path.write_bytes(b"receive")
    with connection_lock(requester, LockHolder.ERRAND):
        assert path.read_bytes() == b"request"


def test_a_second_process_is_refused_with_the_remedy_and_leaves_the_holder_named(requester: Requester) -> None:
    with connection_lock(requester):
        with pytest.raises(ConfigurationError) as raised, connection_lock(requester, LockHolder.ERRAND):
            pass
        assert raised.value.message == "Another 'doorward requester' is connected as rijnstad-police."
        assert raised.value.remedy == "Stop it, or let it publish."
        assert (requester.folder / "connection.lock").read_bytes() == b"receive"


def test_an_errand_is_waited_for_in_steps_until_the_time_is_over(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    slept: list[float] = []
    never: Any = SimpleNamespace(is_set=lambda: False, wait=slept.append)
    monkeypatch.setattr(publisher, "time", SimpleNamespace(monotonic=lambda: 0.25 * next(looks)))
    with (
        connection_lock(requester, LockHolder.ERRAND),
        pytest.raises(ConfigurationError),
        connection_lock(requester, wait_s=1.0, stop=never),
    ):
        pass
    assert slept == [0.2] * 3
