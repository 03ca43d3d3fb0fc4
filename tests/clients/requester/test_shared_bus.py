"""One connection serves a publisher and a receiver, and neither waits for the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from agent.clients.requester.shared_bus import BusShare, SharedBus
from agent.core.bus import BusConnected, BusDisconnected, BusEvent, MessageReceived, PublishAcknowledged
from agent.wire.topics import ChunkVerb, RequestTopic, UploadTopic
from tests.fake_bus import FakeBroker, FakeBus

NAME = "rijnstad-police"
DEVICE = "a1" * 8
REQUEST = str(RequestTopic("287-379", NAME, 0))
PATIENCE_S = 30.0


class World:
    """A requester's connection, its two shares, and a doorbell that uploads."""

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.bus, self.doorbell = FakeBus(self.broker, NAME), FakeBus(self.broker, DEVICE)
        self.bus.start()
        self.doorbell.start()
        self.shared = SharedBus(self.bus)

    def upload(self, number: int) -> None:
        topic = UploadTopic(NAME, DEVICE, "0" * 32, 0, ChunkVerb(number, "0" * 64))
        while self.doorbell.next_event(0) is not None:
            pass
        assert self.doorbell.publish(str(topic), b"%d" % number, token=number)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with made.shared:
        yield made
    made.bus.stop()
    made.doorbell.stop()


def heard(share: BusShare, kind: type[BusEvent]) -> BusEvent:
    ends_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_s:
        event = share.next_event(0.1)
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} came")


def until(holds: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_s
        time.sleep(0.005)


def test_a_publisher_is_answered_while_the_receiver_takes_nothing_and_uploads_wait_in_the_connection(
    world: World,
) -> None:
    publisher, receiver = world.shared.port(), world.shared.port(uploads=True)
    receiver.subscribe(f"doorward/v1/up/{NAME}/#")
    for number in range(400):
        world.upload(number)
    until(lambda: receiver.is_full)
    assert publisher.publish(REQUEST, b"request", token=5, retain=True)
    assert heard(publisher, PublishAcknowledged).token == 5  # type: ignore[union-attr]
    waiting = sum(isinstance(each, MessageReceived) for each in world.bus._events)
    assert waiting >= 100, "a receiver that takes nothing slows its broker down"
    came = [heard(receiver, MessageReceived).payload for _ in range(400)]  # type: ignore[union-attr]
    assert came == [b"%d" % number for number in range(400)], "in their order"


def test_a_broker_that_sends_without_end_fills_no_memory_while_the_publisher_waits_and_uploads_go_on(
    world: World,
) -> None:
    """The publisher waits in a commit, for example, and a hostile broker sends other messages than were asked for."""
    publisher, receiver = world.shared.port(), world.shared.port(uploads=True)
    receiver.subscribe(f"doorward/v1/up/{NAME}/#")
    heard(publisher, BusConnected)
    with world.broker.lock:
        for number in range(400):
            world.bus.deliver(MessageReceived("doorward/v1/anything", b"%d" % number))
    world.upload(1)
    assert heard(receiver, MessageReceived).payload == b"1"  # type: ignore[union-attr]
    assert publisher.is_full
    assert sum(isinstance(each, MessageReceived) for each in world.bus._events) >= 100, "the broker is slowed down"
    came = [heard(publisher, MessageReceived).payload for _ in range(400)]  # type: ignore[union-attr]
    assert came == [b"%d" % number for number in range(400)], "in their order"


def test_each_share_gets_its_own_messages_and_answers(world: World) -> None:
    publisher, receiver = world.shared.port(), world.shared.port(uploads=True)
    publisher.subscribe(f"doorward/v1/areas/+/+/{NAME}/+")
    receiver.subscribe(f"doorward/v1/up/{NAME}/#")
    world.upload(1)
    assert publisher.publish(REQUEST, b"request", token=1, retain=True)
    assert receiver.publish(f"doorward/v1/receipts/{DEVICE}/{'0' * 32}", b"receipt", token=1)
    assert heard(publisher, MessageReceived).payload == b"request"  # type: ignore[union-attr]
    assert heard(receiver, MessageReceived).payload == b"1"  # type: ignore[union-attr]
    assert [heard(each, PublishAcknowledged).token for each in (publisher, receiver)] == [1, 1]  # type: ignore[union-attr]
    assert [each.in_flight for each in (publisher, receiver)] == [0, 0]


def test_a_share_that_comes_later_hears_of_the_connection_and_one_that_is_closed_ends_its_subscriptions(
    world: World,
) -> None:
    first = world.shared.port(uploads=True)
    heard(first, BusConnected)
    with first:
        first.subscribe(f"doorward/v1/up/{NAME}/#")
    assert not world.bus._filters
    assert first.next_event(0) is None
    second = world.shared.port()
    heard(second, BusConnected)
    world.broker.kill()
    heard(second, BusDisconnected)
    assert not world.shared.is_connected
    assert world.shared.port().next_event(0) is None


def test_publications_that_a_killed_broker_did_not_answer_are_lost_to_their_own_share(world: World) -> None:
    publisher = world.shared.port()
    heard(publisher, BusConnected)
    world.broker.freeze()
    assert publisher.publish(REQUEST, b"request", token=7)
    assert publisher.in_flight == 1
    world.broker.kill()
    until(lambda: publisher.in_flight == 0)


def test_a_bug_in_the_connection_ends_its_shares_and_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    share = world.shared.port()
    error = RuntimeError("a bug")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(world.bus, "next_event", fail)
    until(lambda: not share.is_open)
    assert world.shared.failed is error
