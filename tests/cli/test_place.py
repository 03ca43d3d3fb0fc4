"""A swapped position still names a place, so it is compared with the machine's time zone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli.checks.place import note_on, position_in_words
from agent.config.settings import PositionConfig
from tests.cli.conftest import Seen

TAB = "#code\tcoordinates\tTZ\nNL\t+5222+00454\tEurope/Amsterdam\nUS\t+404251-0740023\tAmerica/New_York\tEastern\n"


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    made = tmp_path / "zoneinfo"
    (made / "Europe").mkdir(parents=True)
    (made / "America").mkdir()
    for name in ("Europe/Amsterdam", "America/New_York"):
        (made / name).write_text("")
    (made / "zone.tab").write_text(TAB)
    return made


def localtime(zones: Path, name: str) -> Path:
    link = zones.parent / "localtime"
    link.symlink_to(zones / name)
    return link


def test_a_position_in_ones_own_time_zone_is_right(zones: Path) -> None:
    assert (
        note_on(PositionConfig(latitude=52.3731, longitude=4.8926), "", localtime(zones, "Europe/Amsterdam"), zones)
        == ""
    )


def test_swapped_coordinates_are_told(zones: Path) -> None:
    note = note_on(PositionConfig(latitude=4.8926, longitude=52.3731), "", localtime(zones, "Europe/Amsterdam"), zones)
    assert "latitude and longitude seem to be swapped" in note
    assert "4.8926° north, 52.3731° east" in note


def test_a_position_on_another_continent_is_asked_about(zones: Path) -> None:
    note = note_on(PositionConfig(latitude=52.3731, longitude=4.8926), "", localtime(zones, "America/New_York"), zones)
    assert note.endswith("America/New_York.  Check it.")


def test_the_time_zone_of_the_configuration_counts_before_that_of_the_machine(zones: Path) -> None:
    home, machine = PositionConfig(latitude=52.3731, longitude=4.8926), localtime(zones, "America/New_York")
    assert note_on(home, "Europe/Amsterdam", machine, zones) == ""
    assert "Europe/Amsterdam.  Check it." in note_on(
        PositionConfig(latitude=40.71, longitude=-74.0), "Europe/Amsterdam", machine, zones
    )


def test_without_a_time_zone_nothing_is_claimed(zones: Path, tmp_path: Path) -> None:
    assert note_on(PositionConfig(latitude=4.8, longitude=52.3), "", tmp_path / "none", zones) == ""
    assert (
        note_on(PositionConfig(latitude=4.8, longitude=52.3), "", localtime(zones, "Europe/Amsterdam"), tmp_path) == ""
    )


def test_config_check_says_where_the_doorbell_stands(tmp_path: Path, tool: Callable[..., Seen]) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text("[device]\nposition = { latitude = -33.87, longitude = 151.21 }\n[camera]\nkind = 'scripted'\n")
    assert "Its position is 33.87° south, 151.21° east." in tool("config", "check", path).out
    assert position_in_words(PositionConfig(latitude=1, longitude=-2)) == "1° north, 2° west"
