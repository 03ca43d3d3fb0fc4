"""The contract of every `Bus`: the one over mosquitto and the one in memory."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from agent.clients.requester.cell_brokers import CellBrokers
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    Subscribed,
)
from agent.errors import InternalError
from agent.mqtt import MqttBus
from agent.ports import Bus
from agent.wire.broker_directory import BrokerAddress, CellBroker, CellRange
from tests.brokers import BrokerWithClients
from tests.fake_bus import FakeBroker, FakeBus
from tests.wire import samples

REQUESTER, DEVICE, OTHER_DEVICE = "springfield-police", "a1" * 8, "b2" * 8
REQUESTS = f"doorward/v1/areas/283-375/requests/{REQUESTER}"
UP = f"doorward/v1/up/{REQUESTER}/{DEVICE}"
PATIENCE_S = 60.0
ANY = (BusConnected, BusDisconnected, PublishAcknowledged, Subscribed)

Event = TypeVar("Event")


class World(Protocol):
    """A broker that can be hurt, and clients of it."""

    def bus(self, name: str, **changes: int) -> Bus: ...
    def freeze(self) -> None: ...
    def kill(self) -> None: ...
    def start(self) -> None: ...
    def close(self) -> None: ...


class RealWorld(BrokerWithClients):
    def start(self) -> None:
        self.broker.start()

    def freeze(self) -> None:
        assert self.broker.pid is not None
        os.kill(self.broker.pid, signal.SIGSTOP)

    def kill(self) -> None:
        self.broker.kill()


class WorldByCells(RealWorld):
    """The same broker, which serves all cells of a directory."""

    def bus(self, name: str, **changes: int) -> Bus:  # type: ignore[override]
        settings = self.settings_of(name, **changes)
        address = BrokerAddress(settings.host, settings.port)
        everywhere = CellRange(south_west="0-0", north_east="359-719")
        broker = CellBroker(host=address.host, port=address.port, cells=(everywhere,))
        bus = CellBrokers(samples.directory(brokers=(broker,)), (address,), lambda _, told: MqttBus(settings, told))
        self._several.append(bus)
        return bus

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._several: list[CellBrokers] = []

    def close(self) -> None:
        for bus in self._several:
            bus.stop()
        super().close()


class FakeWorld(FakeBroker):
    def bus(self, name: str, **changes: int) -> FakeBus:
        return FakeBus(self, name, **changes)

    def close(self) -> None:
        for client in tuple(self.clients):
            client.stop()


@pytest.fixture(
    params=[
        pytest.param("mosquitto", marks=pytest.mark.broker),
        pytest.param("mosquitto by cells", marks=pytest.mark.broker),
        "memory",
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world: World
    # Longer than a test waits: only the call of a connection ends the wait for its event.
    monkeypatch.setattr("agent.clients.requester.cell_brokers._LOOK_S", 2 * PATIENCE_S)
    if request.param == "memory":
        world = FakeWorld()
    else:
        world = RealWorld(tmp_path) if request.param == "mosquitto" else WorldByCells(tmp_path)
        world.start()
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def connect(world: World) -> Callable[..., Bus]:
    """Start a bus, subscribe it, and wait until both are answered."""

    def connect(name: str, *filters: str, **changes: int) -> Bus:
        bus = world.bus(name, **changes)
        bus.hurry(True)
        bus.start()
        expect(bus, BusConnected)
        for each in filters:
            bus.subscribe(each)
            assert expect(bus, Subscribed) == Subscribed(each)
        return bus

    return connect


def expect(bus: Bus, kind: type[Event], *, skipping: type | tuple[type, ...] = ()) -> Event:
    """The next event, which must be of this kind; news named in `skipping` may come before."""
    while True:
        ends_s = time.monotonic() + PATIENCE_S
        event = bus.next_event(PATIENCE_S)
        assert time.monotonic() < ends_s, "an event ends the wait for it"
        if isinstance(event, kind):
            return event
        assert isinstance(event, skipping), f"expected {kind.__name__}, got {event}"


def test_what_one_publishes_the_other_receives_and_the_broker_says_it_was_heard(connect: Callable[..., Bus]) -> None:
    requester, device = connect(REQUESTER, f"doorward/v1/up/{REQUESTER}/#"), connect(DEVICE)
    payload, properties = bytes(range(256)) * 256, (("sha256", "00ff"), ("sha256", "again"))
    assert device.publish(f"{UP}/ab-1/0", payload, token=7, properties=properties)
    assert expect(device, PublishAcknowledged) == PublishAcknowledged(7, heard=True)
    assert expect(requester, MessageReceived) == MessageReceived(f"{UP}/ab-1/0", payload, properties=properties)


def test_the_broker_says_when_nobody_listens(connect: Callable[..., Bus]) -> None:
    device = connect(DEVICE)
    assert device.publish(f"{UP}/ab-0/init", b"x", token=1)
    assert expect(device, PublishAcknowledged) == PublishAcknowledged(1, heard=False)


def test_a_publication_the_acl_forbids_is_refused_and_not_called_published(connect: Callable[..., Bus]) -> None:
    requester, other_device = connect(REQUESTER, f"doorward/v1/up/{REQUESTER}/#"), connect(OTHER_DEVICE)
    assert other_device.publish(f"{UP}/ab-0/init", b"forged", token=1)
    refused = expect(other_device, PublishRefused)
    assert (refused.token, refused.code) == (1, 0x87)
    assert requester.next_event(0.2) is None


def test_a_retained_request_reaches_a_device_that_was_off(connect: Callable[..., Bus]) -> None:
    requester = connect(REQUESTER)
    assert requester.publish(f"{REQUESTS}/1", b"request", token=1, retain=True, expiry_s=3600)
    expect(requester, PublishAcknowledged)
    device = connect(DEVICE, "doorward/v1/areas/#")
    assert expect(device, MessageReceived) == MessageReceived(f"{REQUESTS}/1", b"request")


def test_an_empty_retained_payload_takes_a_request_back(connect: Callable[..., Bus]) -> None:
    requester = connect(REQUESTER)
    for token, payload in enumerate((b"request", b"")):
        assert requester.publish(f"{REQUESTS}/1", payload, token=token, retain=True)
        expect(requester, PublishAcknowledged)
    device = connect(DEVICE, "doorward/v1/areas/#")
    assert device.next_event(0.2) is None


def test_nothing_is_accepted_before_there_is_a_link(world: World) -> None:
    bus = world.bus(DEVICE)
    assert not bus.publish(f"{UP}/ab-0/init", b"x", token=1)
    bus.stop()


def test_the_window_bounds_how_many_are_unsettled(connect: Callable[..., Bus]) -> None:
    device = connect(DEVICE, window_messages=3)
    assert [device.publish(f"{UP}/ab-1/{n}", b"x", token=n) for n in range(5)] == [True, True, True, False, False]
    assert expect(device, PublishAcknowledged).token == 0
    assert device.publish(f"{UP}/ab-1/5", b"x", token=5)
    assert [expect(device, PublishAcknowledged).token for _ in range(3)] == [1, 2, 5]


def test_the_brokers_receive_maximum_lowers_the_window(connect: Callable[..., Bus]) -> None:
    device = connect(DEVICE, window_messages=100)
    assert sum(device.publish(f"{UP}/ab-1/{n}", b"x", token=n) for n in range(100)) == 16


def test_the_window_bounds_the_bytes_but_one_large_message_may_go_alone(connect: Callable[..., Bus]) -> None:
    device = connect(DEVICE, window_bytes=1000)
    assert device.publish(f"{UP}/ab-1/0", bytes(2000), token=0)
    assert not device.publish(f"{UP}/ab-1/1", b"x", token=1)
    expect(device, PublishAcknowledged)
    assert [device.publish(f"{UP}/ab-1/{n}", bytes(400), token=n) for n in (1, 2, 3)] == [True, True, False]


def test_a_packet_larger_than_the_broker_takes_is_refused_and_the_link_lives(connect: Callable[..., Bus]) -> None:
    device = connect(DEVICE)
    assert device.publish(f"{UP}/ab-1/0", bytes(200_000), token=1)
    refused = expect(device, PublishRefused)
    assert (refused.token, refused.code) == (1, 0x95)
    assert device.publish(f"{UP}/ab-1/0", b"small", token=1)
    expect(device, PublishAcknowledged)


def test_a_token_cannot_be_in_flight_twice(world: World, connect: Callable[..., Bus]) -> None:
    device = connect(DEVICE)
    world.freeze()
    assert device.publish(f"{UP}/ab-1/0", b"x", token=1)
    with pytest.raises(InternalError):
        device.publish(f"{UP}/ab-1/0", b"x", token=1)
    world.kill()


def test_what_the_broker_did_not_answer_before_it_died_is_lost_and_never_sent_by_itself(
    world: World, connect: Callable[..., Bus]
) -> None:
    requester, device = connect(REQUESTER, f"doorward/v1/up/{REQUESTER}/#"), connect(DEVICE)
    world.freeze()
    for token in range(3):
        assert device.publish(f"{UP}/ab-1/{token}", b"x", token=token)
    world.kill()
    assert [expect(device, PublishLost).token for _ in range(3)] == [0, 1, 2]
    expect(device, BusDisconnected)
    assert not device.publish(f"{UP}/ab-1/9", b"x", token=9)
    world.start()
    expect(device, BusConnected, skipping=BusDisconnected)
    expect(requester, BusConnected, skipping=BusDisconnected)
    expect(requester, Subscribed)
    assert device.publish(f"{UP}/ab-1/0", b"again", token=0)
    assert expect(requester, MessageReceived).payload == b"again"


def test_a_filter_given_up_is_not_heard_any_more(connect: Callable[..., Bus]) -> None:
    requester, device = connect(REQUESTER), connect(DEVICE, "doorward/v1/areas/#")
    device.unsubscribe("doorward/v1/areas/#")
    device.subscribe("doorward/v1/receipts/#")
    expect(device, Subscribed)  # answered in order, so the other is gone
    assert requester.publish(f"{REQUESTS}/1", b"request", token=1)
    expect(requester, PublishAcknowledged)
    assert device.next_event(0.2) is None


def test_a_slow_taker_loses_nothing_the_broker_waits_for_it(connect: Callable[..., Bus]) -> None:
    """One that acknowledges what it has taken, as a requester does; a device does it at its beat, and has a bound."""
    requester, device = connect(REQUESTER, f"doorward/v1/up/{REQUESTER}/#"), connect(DEVICE)
    for token in range(100):
        assert device.publish(f"{UP}/ab-1/{token}", b"%d" % token, token=token)
        expect(device, PublishAcknowledged)
    assert [int(expect(requester, MessageReceived).payload) for _ in range(100)] == list(range(100))


def test_stop_settles_what_is_in_flight_as_lost_and_ends_the_events(world: World, connect: Callable[..., Bus]) -> None:
    device = connect(DEVICE)
    world.freeze()
    assert device.publish(f"{UP}/ab-1/0", b"x", token=1)
    device.stop()
    device.stop()
    assert expect(device, PublishLost) == PublishLost(1)
    left: BusEvent | None = device.next_event(PATIENCE_S)
    assert left is None
    assert not device.publish(f"{UP}/ab-1/0", b"x", token=2)
    world.kill()


def test_a_subscription_may_leave_out_what_is_retained_and_a_reading_gets_it_once(world: World) -> None:
    requester = world.bus(REQUESTER)
    requester.start()
    expect(requester, BusConnected)
    assert requester.publish(f"{REQUESTS}/1", b"before", token=1, retain=True)
    expect(requester, PublishAcknowledged, skipping=ANY)
    device = world.bus(DEVICE)
    device.subscribe(f"{REQUESTS}/+", retained=False)
    device.read_retained(f"{REQUESTS}/+")  # the link is down: nothing is asked
    device.start()
    expect(device, Subscribed, skipping=ANY)
    assert requester.publish(f"{REQUESTS}/2", b"live", token=2)
    assert expect(device, MessageReceived, skipping=ANY).payload == b"live"
    device.read_retained(f"{REQUESTS}/1")
    assert expect(device, MessageReceived, skipping=ANY).payload == b"before"
    device.unsubscribe(f"{REQUESTS}/1")
    world.kill()
    expect(device, BusDisconnected, skipping=ANY)
    world.start()
    expect(device, Subscribed, skipping=(BusDisconnected, BusConnected))
    assert device.next_event(0.5) is None, "a reading is not repeated on another connection"
