"""`solo` makes its parts as configured, and its timer goes on after any of them fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.settings import BrokerConfig, Configuration, DeviceConfig
from agent.custodian.state_folder import StateFolder
from agent.errors import StorageError
from agent.mqtt import BusSettings
from agent.solo import Solo
from agent.wire.identities import private_key_from_seed
from agent.wire.topics import TRUST_FILTER, TRUST_PIECES_FILTER
from tests.fake_bus import FakeBroker, FakeBus
from tests.recorder.test_recorder_and_hardware import House, until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_requests_expire_in_time_though_the_card_will_not_erase(house: House) -> None:
    refused: list[str] = []
    turns: list[str] = []

    def refuse() -> frozenset[str]:
        refused.append("erase")
        raise StorageError("The card takes nothing.")

    house.solo.custodian.erased = refuse  # type: ignore[method-assign, assignment]
    house.solo.custodian.on_time = lambda: turns.append("on time")  # type: ignore[method-assign, assignment]
    until(lambda: refused and turns)


@pytest.mark.parametrize(("hours", "filters"), [(0, [TRUST_FILTER]), (3, [TRUST_FILTER, TRUST_PIECES_FILTER])])
def test_pieces_of_lists_are_heard_as_they_come_over_a_second_connection_if_the_broker_keeps_a_session(
    tmp_path: Path, hours: int, filters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.initialise(private_key_from_seed(b"s" * 32))
    broker = BrokerConfig(host="broker.example", ca=tmp_path / "ca.pem", session_hours=hours)
    made: dict[str, FakeBus] = {}

    def make(settings: BusSettings) -> FakeBus:
        return made.setdefault(settings.name, FakeBus(FakeBroker(), settings.name))

    monkeypatch.setattr("agent.solo.MqttBus", make)
    solo = Solo(Configuration(device=DeviceConfig(state_dir=tmp_path / "state"), broker=broker))
    assert solo.uplink is not None
    solo.uplink._subscribe()
    names = [solo.device.id, *([f"{solo.device.id}.live"] if hours else [])]
    assert list(made) == names
    assert list(made[names[-1]]._filters) == filters
    solo.close()
