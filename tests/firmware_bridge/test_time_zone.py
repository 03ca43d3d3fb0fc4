"""Agent and bridge count local hours by the time zone of the configuration, and else by that of the machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.errors import BridgeError
from firmware_bridge.time_zone import use_time_zone, zone_in

SUMMER_S = 1_785_758_400
"""3 August 2026, 12:00 UTC."""


@pytest.fixture
def _zone_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_zone_afterwards")
def test_a_process_takes_the_zone_and_keeps_the_machines_if_it_is_unknown() -> None:
    for name, known, hour in (("", True, 12), ("Europe/Amsterdam", True, 14), ("Europe/Nowhere", False, 14)):
        assert use_time_zone(name) is known
        assert time.localtime(SUMMER_S).tm_hour == hour
    assert not use_time_zone("America/New_York", Path("/nowhere"))


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ('[device]\ntime_zone = "Asia/Tokyo"\n', "Asia/Tokyo"),
        ("", ""),
        ("[device]\ntime_zone = 1", ""),
        ("\ufeff[device]\ntime_zone = 'UTC'", "UTC"),
    ],
)
def test_the_bridge_reads_it_from_the_same_file(tmp_path: Path, text: str, zone: str) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text(text)
    assert zone_in(path) == zone


@pytest.mark.parametrize("text", ["[device", "device = 1", "\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(BridgeError, match=r"doorward\.toml"):
        zone_in(path)


def test_private_hours_of_a_doorbell_are_by_its_configuration(tmp_path: Path) -> None:
    """The machine is in London, as an image is, and the household in Amsterdam: at 21:30 UTC it is 23:30 there."""
    path = tmp_path / "doorward.toml"
    path.write_text(
        f'[device]\ntime_zone = "Europe/Amsterdam"\nstate_dir = "{tmp_path}"\n'
        '[[privacy.hours]]\nbegins = "23:00"\nends = "23:59"\n'
    )
    program = (
        "import sys, pathlib; from agent.cli.run import _set_up; from agent.config import load\n"
        "from agent.config.effective import is_private_now, local_clock; from agent.core.timebase import *\n"
        "file = load(pathlib.Path(sys.argv[1]))\n"
        f"now = ClockReading(0, {(SUMMER_S + 9 * 3600 + 1800) * 10**9}, ClockQuality.SYNCED)\n"
        "print(is_private_now(file, now)); _set_up(file); print(is_private_now(file, now), local_clock()['zone'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], env={"TZ": "Europe/London"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True", "Europe/Amsterdam"]
