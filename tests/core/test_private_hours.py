"""Which minutes of a week are private."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.alerts.policy import minute_of_day, time_of_day
from agent.core.private_hours import is_private
from agent.wire.statements import PrivateHoursSetting

ROOT = Path(__file__).resolve().parents[2]
SATURDAY, SUNDAY, MONDAY = 5, 6, 0
MINUTE = st.integers(0, 1439)
DAY = st.integers(0, 6)


def hours_of(days: Iterable[int], begins: int, ends: int) -> PrivateHoursSetting:
    return PrivateHoursSetting(days=tuple(days), begins_minute=begins, ends_minute=ends)


def test_hours_within_a_day_begin_at_their_minute_and_are_over_at_their_end() -> None:
    lunch = [hours_of({SATURDAY}, 600, 720)]
    assert [is_private(lunch, SATURDAY, minute) for minute in (599, 600, 719, 720)] == [False, True, True, False]
    assert not is_private(lunch, SUNDAY, 650)


def test_hours_over_midnight_belong_to_the_day_they_begin_on() -> None:
    night = [hours_of({SUNDAY}, 22 * 60, 6 * 60)]
    assert is_private(night, SUNDAY, 23 * 60)
    assert is_private(night, MONDAY, 5 * 60)
    assert not is_private(night, SUNDAY, 5 * 60)
    assert not is_private(night, MONDAY, 23 * 60)


@given(days=st.frozensets(DAY, min_size=1), begins=MINUTE, ends=MINUTE)
def test_every_hour_lasts_as_long_as_it_says(days: frozenset[int], begins: int, ends: int) -> None:
    hours = [hours_of(days, begins, ends)]
    lasts = (ends - begins) % 1440 or 1440
    minutes = sum(is_private(hours, day, minute) for day in range(7) for minute in range(1440))
    assert minutes == len(days) * lasts


def test_without_hours_nothing_is_private() -> None:
    assert not is_private([], MONDAY, 0)


def test_a_whole_day_is_two_spans_without_a_gap() -> None:
    day = [hours_of({SATURDAY}, 0, 720), hours_of({SATURDAY}, 720, 0)]
    minutes = [sum(is_private(day, each, minute) for minute in range(1440)) for each in (4, SATURDAY, SUNDAY)]
    assert minutes == [0, 1440, 0]


@pytest.mark.parametrize(
    ("text", "minute"), [("00:00", 0), ("07:05", 425), ("9:30", 570), ("23:59", 1439), ("2200", 1320), ("0001", 1)]
)
def test_a_time_of_day_is_its_minute(text: str, minute: int) -> None:
    assert minute_of_day(text) == minute


@pytest.mark.parametrize(
    "text", ["", ":", "24:00", "12:60", "1:2", "123:00", "12:000", "ab:cd", "-1:00", "١٢:٠٠", "+1:05"]
)
def test_a_text_that_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        minute_of_day(text)


def test_each_minute_of_the_day_is_written_as_it_is_read() -> None:
    written = [time_of_day(minute) for minute in range(1440)]
    assert (written[0], written[425], written[1439]) == ("00:00", "07:05", "23:59")
    assert [minute_of_day(each) for each in written] == list(range(1440))


def test_one_module_reads_and_writes_times_of_day() -> None:
    ways = re.compile(r"// ?60:0?2|// _MINUTES_PER_HOUR:0?2|% ?60:02|strptime\([^)]*%H:%M\b(?!:)")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "agent").rglob("*.py")
        if "node_modules" not in path.parts and ways.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"agent/core/alerts/policy.py"}
