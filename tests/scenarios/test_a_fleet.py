"""A fleet of light doorbells on a real broker with real TLS: fifty enrol with one-time tokens and connect."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import pytest

from agent.clients.broker.private_broker import PrivateBroker
from agent.config import load
from agent.core.bus import BusConnected
from agent.errors import NetworkError
from agent.mqtt import BusSettings, MqttBus
from tests.fleets import EstSide, LightDoor
from tests.lengths import only

pytestmark = pytest.mark.broker


def bus_of(door: LightDoor) -> MqttBus:
    broker = load(door.config).broker
    assert broker is not None
    return MqttBus(BusSettings(broker.host, broker.port, door.device, broker.ca, broker.certificate, broker.key))


def enrol_patiently(door: LightDoor, ticket: bytes) -> None:
    """As the unit does it: a doorbell that finds no free place at the server asks again."""
    while True:
        with contextlib.suppress(NetworkError):
            door.enrol(ticket)
            return
        time.sleep(0.2)


def at_once(doors: list[LightDoor], tickets: dict[int, bytes]) -> None:
    threads = [threading.Thread(target=enrol_patiently, args=(door, tickets[door.number])) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("number", only([6], [6, 50]))
def test_doorbells_enrol_at_once_and_each_reaches_the_broker(number: int, tmp_path: Path) -> None:
    """One has its power cut half-way, one shows a ticket that another has used."""
    with EstSide(tmp_path / "broker") as side, PrivateBroker(tmp_path / "broker") as broker:
        side.broker_port = broker.device_port
        doors = [LightDoor(tmp_path / f"door-{each}", each) for each in range(1, number + 1)]
        tickets = {door.number: side.ticket(f"door-{door.number}") for door in doors}
        started = time.monotonic()
        at_once(doors, tickets)
        print(f"{number} doorbells enrolled in {time.monotonic() - started:.1f} s")
        doors[0].config.write_text(doors[0].config.read_text().partition("[broker]")[0])
        (doors[0].tls / "device.pem").unlink()
        enrol_patiently(doors[0], tickets[1])
        assert sorted({device for _, device in side.enrolled}) == sorted(door.device for door in doors)
        assert not side.tokens.has_open()
        buses = [bus_of(door) for door in doors]
        try:
            for bus in buses:
                bus.start()
            for bus in buses:
                assert isinstance(bus.next_event(60.0), BusConnected)
            print(f"{number} doorbells connected after {time.monotonic() - started:.1f} s")
        finally:
            for bus in buses:
                bus.stop()
