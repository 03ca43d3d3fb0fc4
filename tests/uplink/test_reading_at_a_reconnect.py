"""A doorbell connects to a broker on which everyone has left as much as the access lists let them.

A real mosquitto with the configuration and the rights that `doorward broker` writes, its digest service, and a counter
between doorbell and broker.  The doorbell reads at most 64 KiB and a page beside the handshake. In the end it hears the
one request that concerns it.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.clients.broker import digest_service
from agent.clients.broker.broker_pki import DIGEST_CLIENT
from agent.clients.broker.digest_service import DigestService
from agent.core.bus import BusConnected
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.mqtt import MqttBus
from agent.platform.certificates import signing_request
from agent.platform.system_clock import SystemClock
from agent.uplink.cell_reading import BURST_BYTES
from agent.uplink.uplink import Uplink
from agent.wire.cell_digest import MAX_PAGE_BYTES
from agent.wire.topics import RequestTopic, TrustTopic, cell_filter
from agent.wire.trust_package import TRUST_SLOTS, split_package
from tests.brokers import NOW, BrokerWithClients, broker_with_clients

pytestmark = [pytest.mark.broker]

DEVICE, ROOT = "a1" * 8, "b2" * 8
CELL = "287-379"
FLOODS, SLOTS = 3, 8
LARGEST = 12_288
SLOT_BYTES = 15_360
GENUINE = b"the request that concerns this door"
OVERHEAD_BYTES = 10_000
"""TLS handshake, subscriptions and the frames of MQTT."""
PATIENCE_S = 60.0


def until(holds: Callable[[], bool], what: str) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_s, what
        time.sleep(0.02)


class Counter:
    """Passes one connection on to the broker, and counts the bytes that come from it."""

    def __init__(self, port: int) -> None:
        self._broker_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.came_bytes = 0
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        client, _ = self._listener.accept()
        broker = socket.create_connection(("127.0.0.1", self._broker_port))
        up = threading.Thread(target=self._pass, args=(client, broker))
        up.start()
        self._pass(broker, client)
        up.join()
        client.close()
        broker.close()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):  # a side that stops may reset the connection
            while data := source.recv(65_536):
                if target.getsockname()[1] == self.port:
                    self.came_bytes += len(data)
                target.sendall(data)
        with contextlib.suppress(OSError):  # the other side has gone
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._threads[0].join()
        self._listener.close()


@dataclass
class Custody:
    """Takes each message, as a custodian does."""

    heard: set[bytes] = field(default_factory=set)

    def on_message(self, _topic: str, data: bytes) -> None:
        self.heard.add(data)

    def outgoing(self) -> list[Any]:
        return []


class FastClock:
    """Boot time passes this many times as fast, from the moment that it is told to."""

    def __init__(self) -> None:
        self.times = 1
        self._began_ns = time.monotonic_ns()

    def now(self) -> ClockReading:
        passed_ns = (time.monotonic_ns() - self._began_ns) * self.times
        return ClockReading(BootNs(self._began_ns + passed_ns), UtcNs(time.time_ns()), ClockQuality.SYNCED)


def publish(bus: MqttBus, messages: dict[str, bytes]) -> None:
    waiting, token = list(messages.items()), 0
    while waiting:
        token += 1
        topic, data = waiting[-1]
        if bus.publish(topic, data, token=token, retain=True):
            waiting.pop()
        while bus.next_event(0.01 if waiting and not bus._window.admits(LARGEST) else 0) is not None:
            pass
    until(lambda: bus.next_event(0.05) is None and not len(bus._window), "the broker to take all messages")


def connected(world: BrokerWithClients, name: str) -> MqttBus:
    bus = world.bus(name)
    bus.hurry(True)
    bus.start()
    until(lambda: isinstance(bus.next_event(1.0), BusConnected), f"{name} to connect")
    return bus


def fill(world: BrokerWithClients) -> None:
    """The genuine request first, so that all others are newer."""
    topic = str(RequestTopic(CELL, "genuine", 0))
    publish(connected(world, "genuine"), {topic: GENUINE})
    for number in range(FLOODS):
        name = f"flood-{number}"
        topics = [str(RequestTopic(CELL, name, slot)) for slot in range(SLOTS)]
        publish(connected(world, name), {each: each.encode().ljust(LARGEST, b".") for each in topics})


def fill_trust(world: BrokerWithClients, slots: int) -> None:
    name = f"{ROOT}.root"
    request = signing_request(world.pki.client(name).key, name)
    world.pki.add_root(ROOT, NOW, request=request, slots=slots)
    world.broker.reload()
    chunks = split_package(random.Random(3).randbytes(slots * SLOT_BYTES))
    publish(connected(world, name), {str(TrustTopic(ROOT, slot)): chunk for slot, chunk in enumerate(chunks)})


@contextmanager
def digest_of(world: BrokerWithClients) -> Iterator[DigestService]:
    service = DigestService(world.bus(DIGEST_CLIENT), time.monotonic)
    thread = threading.Thread(target=service.run, name="digest")
    thread.start()
    try:
        until(lambda: service.is_current, "the digest to be complete")
        yield service
    finally:
        service.stop()
        thread.join()


@contextmanager
def doorbell(world: BrokerWithClients, clock: FastClock | SystemClock) -> Iterator[tuple[Uplink, Custody, Counter]]:
    world.settings(DEVICE)  # its certificate
    counter, custody = Counter(world.broker.device_port), Custody()
    bus = world.bus(DEVICE, port=counter.port)
    link = Uplink(bus, custody, None, clock, device=DEVICE, cell_filter=cell_filter(CELL))  # type: ignore[arg-type]
    thread = threading.Thread(target=link.run, name="uplink")
    thread.start()
    try:
        until(lambda: link.status().link == "connected", "the doorbell to connect")
        yield link, custody, counter
    finally:
        link.stop()
        thread.join()
        counter.close()


def is_quiet(counter: Counter) -> bool:
    """Returns True if nothing has come for three seconds: longer than between two pages of one burst."""
    before = counter.came_bytes
    time.sleep(3)
    return counter.came_bytes == before > 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BrokerWithClients]:
    with broker_with_clients(tmp_path / "broker") as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_service, "_QUIET_S", 0.02)
    monkeypatch.setattr(digest_service, "_PUBLISH_EVERY_S", 0.2)


def test_a_doorbell_reads_no_more_than_its_budget_whatever_requesters_and_roots_have_left(
    world: BrokerWithClients,
) -> None:
    fill(world)
    fill_trust(world, 4)
    with digest_of(world), doorbell(world, SystemClock()) as (_, custody, counter):
        until(lambda: is_quiet(counter), "the doorbell to have read")
        assert len(custody.heard) > 4, "packages of roots fill the budget, and leave room for one page"
        assert 60_000 < counter.came_bytes <= BURST_BYTES + MAX_PAGE_BYTES + OVERHEAD_BYTES


def test_of_roots_with_all_slots_of_a_broker_a_doorbell_reads_128_kib_and_the_newest_requests(
    world: BrokerWithClients,
) -> None:
    fill(world)
    fill_trust(world, TRUST_SLOTS)
    clock = FastClock()
    with digest_of(world), doorbell(world, clock) as (_, custody, counter):
        until(lambda: is_quiet(counter), "the doorbell to have read")
        assert len(custody.heard) > TRUST_SLOTS
        assert 2 * 60_000 < counter.came_bytes <= 2 * BURST_BYTES + MAX_PAGE_BYTES + OVERHEAD_BYTES
        clock.times = 20
        until(lambda: GENUINE in custody.heard, "the next pages")


def test_the_newest_of_each_requester_comes_first_and_the_rest_without_end(world: BrokerWithClients) -> None:
    clock = FastClock()
    with digest_of(world) as service:
        fill(world)
        until(lambda: service.is_current, "the digest to be complete")
        _read_all(world, clock)


def _read_all(world: BrokerWithClients, clock: FastClock) -> None:
    with doorbell(world, clock) as (_, custody, counter):
        until(lambda: is_quiet(counter), "the doorbell to have read")
        first = {data.split(b".")[0] for data in custody.heard}
        assert counter.came_bytes <= BURST_BYTES + OVERHEAD_BYTES
        assert GENUINE in custody.heard, "one requester's only message, among those of three floods"
        newest = {str(RequestTopic(CELL, f"flood-{number}", 0)).encode() for number in range(FLOODS)}
        assert newest <= first
        clock.times = 100
        until(lambda: len(custody.heard) == FLOODS * SLOTS + 1, "the doorbell to have read everything")


def test_without_a_digest_a_doorbell_reads_all_that_the_broker_retains(world: BrokerWithClients) -> None:
    """As it did before there was one: an operator who runs no digest has no bound."""
    fill(world)
    with doorbell(world, SystemClock()) as (_, custody, counter):
        until(lambda: len(custody.heard) == FLOODS * SLOTS + 1, "the doorbell to have read")
        assert counter.came_bytes > FLOODS * SLOTS * LARGEST
