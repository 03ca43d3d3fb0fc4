"""Ten thousand messages come from untrusted requesters, and a request from a trusted one still arrives.

A real mosquitto with the configuration and access lists that `doorward broker` writes, a real door, and as many
certificates as the broker's operator may have given out.  `make prove-consent` does all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.core.bus import BusConnected
from agent.core.consent import RequestState
from agent.custodian.journal_sqlite import SqliteJournal
from agent.mqtt import MqttBus
from agent.uplink.uplink import Uplink
from agent.wire.identities import private_key_from_seed
from agent.wire.messages import FootageRequest
from agent.wire.topics import BULLETIN_SLOTS, REQUEST_SLOTS, BulletinTopic, RequestTopic, cell_filter, cell_of
from tests.brokers import BrokerWithClients, broker_with_clients
from tests.custodians import DOOR, POLICE, Door, request, signed
from tests.lengths import LONG
from tests.properties.amounts import WHOLE
from tests.uplink.test_uplink import RunningClock
from tests.wire import samples

pytestmark = [pytest.mark.broker, pytest.mark.timeout(0)]

DEVICE = samples.DEVICE_KEY.id
CELL = cell_of(*DOOR)
STRANGER = private_key_from_seed(b"x" * 32)
MESSAGES = 10_000
PATIENCE_S = 60.0
"""A fresh request must be heard within this many seconds. It is no speed: an attacker must not be able to make it
never."""


def until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> float:
    begins = time.monotonic()
    while not condition():
        assert time.monotonic() < begins + patience_s, what
        time.sleep(0.02)
    return time.monotonic() - begins


class House:
    """A door on a real line."""

    def __init__(self, world: BrokerWithClients, folder: Path) -> None:
        self.door = Door.enrolled(journal=SqliteJournal(folder / "journal.sqlite"))
        self.bus = world.bus(DEVICE)
        self.uplink = Uplink(
            self.bus,
            self.door.custodian,
            self.door.outbox,
            RunningClock(),
            device=DEVICE,
            cell_filter=cell_filter(CELL),
        )
        self._thread = threading.Thread(target=self.uplink.run, name="uplink")

    def start(self) -> None:
        self._thread.start()
        until(lambda: self.uplink.status().link == "connected", "the doorbell to connect")

    def stop(self) -> None:
        self.uplink.stop()
        self._thread.join()
        self.door.close()

    def hears(self, asked: FootageRequest) -> bool:
        return self.door.state(asked) is RequestState.PENDING


class Crowd:
    """Certificate holders no one trusts, who publish `MESSAGES` together as fast as the broker takes them."""

    def __init__(self, world: BrokerWithClients, certificates: int, kind: str, *, retained: bool) -> None:
        self._buses = [world.bus(f"crowd-{number}") for number in range(certificates)]
        for bus in self._buses:
            bus.start()
        for bus in self._buses:
            until(lambda bus=bus: isinstance(bus.next_event(1.0), BusConnected), "a certificate holder to connect")  # type: ignore[misc]
        self._kind, self._retained = kind, retained
        self.sent = 0
        self._together = min(4, certificates)
        self._threads = [
            threading.Thread(target=self._publish, args=(self._buses[first :: self._together], first))
            for first in range(self._together)
        ]

    def _publish(self, buses: list[MqttBus], first: int) -> None:
        junk = signed(request(), STRANGER)
        for number in range(first, MESSAGES, self._together):
            at = number // self._together % len(buses)
            who = self._buses.index(buses[at])
            topic: RequestTopic | BulletinTopic
            if self._kind == "requests":
                topic = RequestTopic(CELL, f"crowd-{who}", number // len(self._buses) % REQUEST_SLOTS)
            else:
                topic = BulletinTopic(CELL, f"crowd-{who}", number // len(self._buses) % BULLETIN_SLOTS)
            while not buses[at].publish(str(topic), junk, token=number, retain=self._retained):
                buses[at].next_event(0.01)
            while buses[at].next_event(0) is not None:
                pass
            self.sent += 1

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BrokerWithClients]:
    with broker_with_clients(tmp_path / "broker") as made:
        yield made


@pytest.fixture
def house(world: BrokerWithClients, tmp_path: Path) -> Iterator[House]:
    made = House(world, tmp_path)
    yield made
    made.stop()


def ask(police: MqttBus) -> FootageRequest:
    asked = request(from_s=samples.request().from_s)
    topic = str(RequestTopic(CELL, "harbour-police", 5))
    until(lambda: police.publish(topic, signed(asked, POLICE), token=1, retain=True), "the broker to take it")
    return asked


def police_at(world: BrokerWithClients) -> MqttBus:
    police = world.bus("harbour-police")
    police.start()
    until(lambda: isinstance(police.next_event(1.0), BusConnected), "the police to connect")
    return police


CROWDS = [1, 10, 100] if WHOLE else [10]


@pytest.mark.parametrize("kind", ["requests", pytest.param("bulletins", marks=() if WHOLE else LONG)])
@pytest.mark.parametrize("certificates", CROWDS)
def test_a_request_sent_in_the_middle_of_a_flood_is_heard(
    world: BrokerWithClients, house: House, certificates: int, kind: str
) -> None:
    house.start()
    police, crowd = police_at(world), Crowd(world, certificates, kind, retained=False)
    crowd.start()
    until(lambda: crowd.sent >= MESSAGES // 2, "half of the flood", 10 * PATIENCE_S)
    asked = ask(police)
    took_s = until(lambda: house.hears(asked), "the request to be heard")
    crowd.join()
    print(f"{certificates} certificates, {kind}: heard after {took_s:.1f} s, crowded out {house.bus.crowded_out}")
    assert house.door.journal.counters()["untrusted"] > 0


@pytest.mark.parametrize("certificates", CROWDS if WHOLE else [pytest.param(each, marks=LONG) for each in (30, 100)])
def test_a_request_among_all_that_a_crowd_can_leave_behind_is_heard_by_a_doorbell_that_comes_later(
    world: BrokerWithClients, house: House, certificates: int
) -> None:
    police, crowd = police_at(world), Crowd(world, certificates, "requests", retained=True)
    crowd.start()
    crowd.join()
    asked = ask(police)
    house.start()
    took_s = until(lambda: house.hears(asked), "the request to be heard")
    print(f"{certificates} certificates, retained: heard after {took_s:.1f} s, crowded out {house.bus.crowded_out}")
