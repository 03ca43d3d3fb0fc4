"""The doctor names the time zone of private hours, and an unknown one with its place and remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli.checks.finding import CheckStatus
from agent.cli.checks.local_time import check_local_time
from firmware_bridge.time_zone import ZONES, is_zone


def written(folder: Path, zone: str) -> Path:
    path = folder / "doorward.toml"
    path.write_text(f'[device]\nname = "door"\ntime_zone = "{zone}"\n[camera]\nkind = "scripted"\n')
    return path


def machine_in(folder: Path, zone: str) -> Path:
    link = folder / "localtime"
    link.symlink_to(ZONES / zone)
    return link


def test_an_unknown_zone_is_a_fault_with_its_place_and_the_zone_that_counts(tmp_path: Path) -> None:
    path = written(tmp_path, "Europe/Amsterdm")
    found = check_local_time("Europe/Amsterdm", path, machine_in(tmp_path, "Europe/London"))
    assert found.health is CheckStatus.BAD
    assert found.message == (
        f"{path}, line 3, device.time_zone: this machine does not know the time zone 'Europe/Amsterdm'. "
        "Private and quiet hours count by the machine's zone 'Europe/London'."
    )
    assert found.remedy == "Did you mean 'Europe/Amsterdam'? Then run:  sudo doorward apply"


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "leapseconds", "Europe"])
def test_a_zone_that_is_like_no_other_may_lack_a_package(tmp_path: Path, zone: str) -> None:
    """`leapseconds` is a list and `Europe` a folder beside the zones."""
    found = check_local_time(zone, written(tmp_path, zone))
    assert (found.health, is_zone(zone)) == (CheckStatus.BAD, False)
    assert found.remedy.startswith("Check its spelling, or install tzdata and tzdata-legacy.")


def test_without_tzdata_a_right_zone_is_told_with_the_package(tmp_path: Path) -> None:
    found = check_local_time("Europe/Amsterdam", written(tmp_path, "Europe/Amsterdam"), zones=tmp_path)
    assert (found.health, "install tzdata" in found.remedy) == (CheckStatus.BAD, True)


@pytest.mark.parametrize("zone", ["Etc/UTC", "UTC", "missing"])
def test_a_machine_in_utc_and_no_zone_is_a_warning(tmp_path: Path, zone: str) -> None:
    """Also without /etc/localtime: the C library then counts by UTC."""
    path = written(tmp_path, "")
    localtime = tmp_path / "nothing" if zone == "missing" else machine_in(tmp_path, zone)
    found = check_local_time("", path, localtime)
    assert found.health is CheckStatus.POOR
    assert "device.time_zone is not set." in found.message
    assert found.remedy == f'Set device.time_zone in {path}, like "Europe/Amsterdam". Then run:  sudo doorward apply'


def test_a_known_zone_of_the_file_or_of_the_machine_is_well(tmp_path: Path) -> None:
    utc, home = tmp_path / "a", tmp_path / "b"
    utc.mkdir(), home.mkdir()
    by_file = check_local_time("Asia/Tokyo", tmp_path / "unread.toml", machine_in(utc, "Etc/UTC"))
    by_machine = check_local_time("", tmp_path / "unread.toml", machine_in(home, "Europe/Paris"))
    assert [by_file.health, by_machine.health] == [CheckStatus.FINE] * 2
    assert "'Asia/Tokyo', as device.time_zone says" in by_file.message
    assert "'Europe/Paris'" in by_machine.message
    (tmp_path / "copy").write_bytes((ZONES / "Europe/Paris").read_bytes())
    assert check_local_time("", tmp_path / "unread.toml", tmp_path / "copy").health is CheckStatus.FINE


def test_the_doctor_and_the_check_of_the_file_say_it(tmp_path: Path, tool: Callable[..., Any]) -> None:
    path = written(tmp_path, "Europe/Amsterdm")
    report = json.loads(tool("doctor", "--config", path, "--json").out)
    [found] = [each for each in report["findings"] if each["subject"] == "local time"]
    assert (report["ok"], found["health"]) == (False, "bad")
    [note] = [each for each in json.loads(tool("config", "check", "--json", path).out)["notes"] if "zone" in each]
    assert note == f"{found['message']} {found['remedy']}"
