"""Publishing: retained where doors listen, until the broker has it, over the one connection."""

from __future__ import annotations

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
from agent.core.bus import PublishAcknowledged, PublishLost, PublishRefused
from agent.errors import ConfigurationError, NetworkError
from agent.wire.topics import cell_filter
from tests.clients.requester.conftest import NOW_S
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
