"""A small share of `make test-fleet`: seven doorbells, each a process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.clients.broker.private_broker import PrivateBroker
from tests.fleet_processes import NEW, OLD, Fleet
from tests.fleets import EstSide
from tests.lengths import LONG

pytestmark = [
    LONG,
    pytest.mark.broker,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed"),
]


def test_seven_processes_enrol_update_in_waves_stop_at_a_broken_one_and_replace_a_dead_one(tmp_path: Path) -> None:
    with (
        EstSide(tmp_path / "broker") as side,
        PrivateBroker(tmp_path / "broker") as broker,
        Fleet(tmp_path, 7, side, broker) as fleet,
    ):
        fleet.enrol()
        fleet.connect()
        fleet.update()
        assert [door.version for door in fleet.doors] == [NEW, NEW, OLD, NEW, NEW, NEW, NEW]
        fleet.replace()
