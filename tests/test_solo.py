"""The timer in `solo` goes on after any of its parts fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import StorageError
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
