"""The state of a doorbell in one word, from its newest report and the fleet file."""

from __future__ import annotations

from typing import Any

import pytest

from agent.clients.fleet.inventory import SILENT_S, DoorState, first_heard, inventory
from agent.clients.fleet.status_page import status_page
from agent.wire.fields import ClockQuality
from agent.wire.health import HealthWord, UpdateWord
from tests.wire import samples

NOW = samples.NOW_S
SETTINGS = samples.SHA


def state(listed: dict[str, str] | None = None, now_s: int = NOW, **changes: Any) -> tuple[DoorState, tuple[str, ...]]:
    (row,) = inventory(listed, [samples.health(**changes)], now_s)
    return row.state, row.faults


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"recorder": HealthWord.FAULT}, "recorder"),
        ({"camera": HealthWord.FAULT}, "camera"),
        ({"storage": HealthWord.FAULT}, "storage"),
        ({"supply": HealthWord.FAULT}, "supply"),
        ({"clock": ClockQuality.UNKNOWN}, "clock"),
        ({"throttle": 1}, "heat"),
        ({"update": UpdateWord.ROLLED_BACK, "update_version": "0.2.1"}, "update 0.2.1 rolled back"),
        ({"update": UpdateWord.INTERRUPTED, "update_version": "0.2.1"}, "update 0.2.1 interrupted"),
    ],
)
def test_each_fault_is_named(changes: dict[str, Any], fault: str) -> None:
    assert state(**changes) == (DoorState.FAULT, (fault,))


def test_a_doorbell_that_is_well_and_as_the_file_says_is_ok() -> None:
    assert state() == (DoorState.OK, ())
    assert state({"mill-lane-1": SETTINGS}) == (DoorState.OK, ())
    assert state(supply=HealthWord.UNKNOWN, clock=ClockQuality.HELD) == (DoorState.OK, ())


@pytest.mark.parametrize(
    ("listed", "changes", "now_s", "word"),
    [
        (None, {"has_owner": False}, NOW, DoorState.NO_OWNER),
        ({"mill-lane-3": SETTINGS, "mill-lane-1": "0" * 64}, {}, NOW, DoorState.OTHER_SETTINGS),
        (None, {}, NOW + SILENT_S + 1, DoorState.SILENT),
        (None, {"camera": HealthWord.FAULT}, NOW + SILENT_S + 1, DoorState.SILENT),
        (None, {}, NOW - 601, DoorState.SILENT),
        (None, {}, NOW + SILENT_S, DoorState.OK),
    ],
)
def test_the_other_states(listed: dict[str, str] | None, changes: dict[str, Any], now_s: int, word: DoorState) -> None:
    row = next(row for row in inventory(listed, [samples.health(**changes)], now_s) if row.name == "mill-lane-1")
    assert row.state is word


def test_doorbells_that_are_missing_or_not_listed_are_told() -> None:
    rows = inventory({"a": SETTINGS}, [samples.health(name="b")], NOW)
    assert [(row.name, row.state) for row in rows] == [("a", DoorState.NEVER_HEARD), ("b", DoorState.NOT_LISTED)]


def test_a_doorbell_that_takes_the_name_of_another_is_not_believed() -> None:
    """A broker's operator, or a thief of a ticket, makes up a doorbell in place of one that is broken."""
    first = inventory(None, [samples.health()], NOW)
    known = first_heard(first, {})
    assert known == {"mill-lane-1": samples.DEVICE_KEY.id}
    (row,) = inventory({"mill-lane-1": SETTINGS}, [samples.health(device=samples.OWNER_KEY.text)], NOW, known)
    assert row.state is DoorState.ANOTHER
    assert first_heard([row], known) == known
    assert first_heard([row], {}) == {}
    (row,) = inventory(None, [samples.health()], NOW, known)
    assert row.state is DoorState.OK


def test_a_silent_doorbell_or_one_of_two_is_not_remembered() -> None:
    old = inventory(None, [samples.health()], NOW + SILENT_S + 1)
    two = inventory(None, [samples.health(), samples.health(device=samples.OWNER_KEY.text)], NOW)
    assert [first_heard(rows, {}) for rows in (old, two)] == [{}, {}]


def test_two_doorbells_with_one_name_are_both_shown_and_neither_is_believed() -> None:
    rows = inventory(None, [samples.health(), samples.health(device=samples.OWNER_KEY.text)], NOW)
    assert [row.state for row in rows] == [DoorState.AMBIGUOUS] * 2
    assert {row.device for row in rows} == {samples.DEVICE_KEY.id, samples.OWNER_KEY.id}


def test_the_page_shows_every_row_runs_nothing_and_reads_nothing_from_elsewhere() -> None:
    hostile = "<script>alert(1)</script>"
    rows = inventory({"a": SETTINGS}, [samples.health(name=hostile), samples.health(camera=HealthWord.FAULT)], NOW)
    page = status_page(rows, NOW)
    assert hostile not in page
    assert "&lt;script&gt;" in page
    assert page.count("<tr") == len(rows) + 1
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page
    assert "0 of 3 are well" in page
