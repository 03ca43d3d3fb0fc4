"""A doorbell connects to a broker on which everyone has left as much as the access lists let them.

A real mosquitto with the configuration and the rights that `doorward broker` writes, its digest service, and a counter
between doorbell and broker.  The doorbell reads at most 64 KiB beside the handshake. In the end it hears the request
that concerns it, and has the packages of all roots.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.clients.broker import digest_service, private_broker
from agent.clients.broker.broker_pki import DIGEST_CLIENT
from agent.clients.broker.digest_service import DigestService
from agent.core.bus import BusConnected, BusEvent, MessageReceived
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.trust_chunks import TrustChunks
from agent.mqtt import MqttBus, sessionless
from agent.platform.certificates import signing_request
from agent.platform.system_clock import SystemClock
from agent.uplink.cell_reading import BURST_BYTES
from agent.uplink.uplink import Uplink
from agent.wire.topics import RequestTopic, TrustIndexTopic, TrustTopic, cell_filter, parse_topic
from agent.wire.trust_package import MAX_CHUNK_BYTES, TRUST_SLOTS, index_of, split_package
from tests.brokers import NOW, BrokerWithClients, broker_with_clients
from tests.byte_counter import ByteCounter
from tests.clients.requester import test_list_sections
from tests.lengths import LONG

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


@dataclass
class Custody:
    """Takes each message, as a custodian does."""

    heard: set[bytes] = field(default_factory=set)
    packages: TrustChunks = field(default_factory=TrustChunks)

    def on_message(self, topic: str, data: bytes) -> None:
        where = parse_topic(topic)
        if isinstance(where, TrustTopic):
            self.packages.put(where, data, ())
        elif not isinstance(where, TrustIndexTopic):
            self.heard.add(data)

    def outgoing(self) -> list[Any]:
        return []


class FastClock:
    """Boot time passes `times` as fast."""

    def __init__(self) -> None:
        self._times = 1
        self._from_ns = self._boot_ns = time.monotonic_ns()

    @property
    def times(self) -> int:
        return self._times

    @times.setter
    def times(self, times: int) -> None:
        boot_ns = self.now().boot_ns
        self._from_ns, self._boot_ns, self._times = time.monotonic_ns(), boot_ns, times

    def now(self) -> ClockReading:
        passed_ns = (time.monotonic_ns() - self._from_ns) * self._times
        return ClockReading(BootNs(self._boot_ns + passed_ns), UtcNs(time.time_ns()), ClockQuality.SYNCED)


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


def junk(slots: int, seed: int) -> bytes:
    """A package that fills as many slots."""
    return random.Random(seed).randbytes(slots * MAX_CHUNK_BYTES)


def fill_trust(world: BrokerWithClients, packages: dict[str, bytes]) -> dict[str, MqttBus]:
    """Each root has as many slots as its package has chunks. Returns their connections."""
    for root, data in packages.items():
        name = f"{root}.root"
        request = signing_request(world.pki.client(name).key, name)
        world.pki.add_root(root, NOW, request=request, slots=len(split_package(data)))
    world.broker.reload()
    buses = {root: connected(world, f"{root}.root") for root in packages}
    for root, data in packages.items():
        retain(buses[root], root, data)
    return buses


def retain(bus: MqttBus, root: str, data: bytes) -> None:
    messages = {str(TrustTopic(root, slot)): chunk for slot, chunk in enumerate(split_package(data))}
    publish(bus, messages)
    publish(bus, {str(TrustIndexTopic(root)): index_of(data)})


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
def doorbell(
    world: BrokerWithClients, clock: FastClock | SystemClock, cell: str = CELL, session_s: int = 0
) -> Iterator[tuple[Uplink, Custody, ByteCounter]]:
    world.settings(DEVICE)  # its certificate
    counter, custody = ByteCounter(world.broker.device_port), Custody()
    settings = world.settings(DEVICE, port=counter.port, session_s=session_s)
    live = sessionless(settings)
    link = Uplink(
        MqttBus(settings), custody, None, clock, device=DEVICE, cell_filter=cell_filter(cell),  # type: ignore[arg-type]
        live=MqttBus(live) if live is not None else None,
    )  # fmt: skip
    thread = threading.Thread(target=link.run, name="uplink")
    thread.start()
    try:
        until(lambda: link.status().link == "connected", "the doorbell to connect")
        yield link, custody, counter
    finally:
        link.stop()
        thread.join()
        counter.close()


def is_quiet(counter: ByteCounter) -> bool:
    """Returns True if nothing has come for three seconds: longer than between two pages of one burst."""
    before = counter.came_bytes
    time.sleep(3)
    return counter.came_bytes == before > 0


def bytes_after_a_cut(counter: ByteCounter) -> int:
    """Returns the bytes of the connection that the doorbell makes after this one was cut."""
    connections = counter.connections
    counter.cut()
    until(lambda: counter.connections > connections and is_quiet(counter), "the doorbell to have read")
    return counter.came_bytes


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
    """All slots of the broker are full, and one root has left junk in place of its index."""
    fill(world)
    packages = {ROOT: junk(7, 1), "c3" * 8: junk(4, 2), "d4" * 8: junk(1, 3)}
    assert sum(len(split_package(each)) for each in packages.values()) == TRUST_SLOTS
    buses = fill_trust(world, packages)
    publish(buses["d4" * 8], {str(TrustIndexTopic("d4" * 8)): b"." * SLOT_BYTES})
    clock = FastClock()
    with digest_of(world), doorbell(world, clock) as (_, custody, counter):
        until(lambda: is_quiet(counter), "the doorbell to have read")
        assert custody.heard, "there is room for one page"
        assert 40_000 < counter.came_bytes <= BURST_BYTES + OVERHEAD_BYTES
        clock.times = 30
        until(lambda: GENUINE in custody.heard, "the next pages")
        wanted = {root: packages[root] for root in (ROOT, "c3" * 8)}
        until(lambda: {root: custody.packages.whole(root) for root in wanted} == wanted, "the packages")


def test_at_a_reconnection_a_doorbell_reads_only_pieces_that_have_changed(world: BrokerWithClients) -> None:
    before = b'{"bundle":"' + junk(1, 1).hex().encode() + b'","roots":["' + junk(2, 2).hex().encode() + b'"]}'
    after = before.replace(b'{"bundle":"', b'{"bundle":"revoked')
    buses = fill_trust(world, {ROOT: before})
    clock = FastClock()
    clock.times = 30
    with doorbell(world, clock) as (_, custody, counter):
        until(lambda: custody.packages.whole(ROOT) == before, "the package")
        clock.times = 1
        for data, most_bytes in ((before, OVERHEAD_BYTES), (after, len(junk(1, 1).hex()) + 6 + OVERHEAD_BYTES)):
            retain(buses[ROOT], ROOT, data)
            assert bytes_after_a_cut(counter) < most_bytes
            assert custody.packages.whole(ROOT) == data


@LONG
def test_with_a_session_lists_and_pages_come_over_a_second_connection_within_the_same_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker lets a doorbell choose its client id."""
    template = tmp_path / "template"
    template.write_text(private_broker._TEMPLATE.read_text().replace("use_username_as_clientid true\n", ""))
    monkeypatch.setattr(private_broker, "_TEMPLATE", template)
    with broker_with_clients(tmp_path / "broker") as world:
        fill(world)
        package = junk(7, 1)
        fill_trust(world, {ROOT: package})
        _reads_over_two_connections(world, package)


def _reads_over_two_connections(world: BrokerWithClients, package: bytes) -> None:
    clock = FastClock()
    with digest_of(world), doorbell(world, clock, session_s=3600) as (link, custody, counter):
        over_session: list[str] = []
        hand_out = link._bus.next_event

        def next_event(timeout_s: float) -> BusEvent | None:
            event = hand_out(timeout_s)
            over_session.extend([event.topic] if isinstance(event, MessageReceived) else [])
            return event

        link._bus.next_event = next_event  # type: ignore[method-assign]
        until(lambda: is_quiet(counter), "the doorbell to have read")
        assert counter.connections == 2
        assert custody.heard, "there is room for one page"
        assert 40_000 < counter.came_bytes <= BURST_BYTES + 2 * OVERHEAD_BYTES
        # A page that is late by 2 s of this clock means that the broker has no digest, and a busy machine is late.
        clock.times = 10
        until(lambda: custody.packages.whole(ROOT) == package, "the list")
        until(lambda: GENUINE in custody.heard, "the next pages")
        assert over_session == []


@LONG
def test_of_3000_agencies_that_all_publish_a_doorbell_reads_64_kib_and_a_revocation_first(
    world: BrokerWithClients, tmp_path: Path
) -> None:
    """Forty regions. The agencies of the doorbell's region have requests in its cell."""
    region, door = 3, test_list_sections.cells_of(3)[0]
    root = test_list_sections.publish(tmp_path, 3_000, 40)
    broker, name = test_list_sections.at(f"b{region}.example.org"), root.name_key.id
    buses = fill_trust(world, {name: root.package_for(broker)})
    mine = sorted(test_list_sections.expected(3_000, 40, door))
    assert len(mine) > 70
    for agency in mine:
        topics = [str(RequestTopic(door, agency, slot)) for slot in range(2)]
        publish(connected(world, agency), {each: each.encode().ljust(1_500, b".") for each in topics})
    clock = FastClock()
    with digest_of(world), doorbell(world, clock, door) as (_, custody, counter):
        until(lambda: is_quiet(counter), "the doorbell to have read")
        assert 40_000 < counter.came_bytes <= BURST_BYTES + OVERHEAD_BYTES
        clock.times = 30
        until(lambda: custody.packages.whole(name) == root.package_for(broker), "the list")
        until(lambda: len(custody.heard) == 2 * len(mine), "all requests")
        clock.times = 1
        assert bytes_after_a_cut(counter) <= BURST_BYTES + OVERHEAD_BYTES
        stolen = int(mine[-1].removeprefix("agency-"))
        root = test_list_sections.publish(tmp_path, 3_000, 40, version=2, revoked=(stolen,))
        counter.cut()
        retain(buses[name], name, root.package_for(broker))
        until(lambda: custody.packages.whole(name) == root.package_for(broker), "the revocation, within a minute")
        until(lambda: is_quiet(counter), "the doorbell to have read")
        assert counter.came_bytes <= BURST_BYTES + OVERHEAD_BYTES


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
