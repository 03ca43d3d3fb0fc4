"""Times of a request: local times as UTC, and the two nights in which the clocks change."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.asking.windows import DoubleHour, LocalWindow, TimeFault, WindowError, local_window, utc_window

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
CLOCKS_BACK, CLOCKS_AHEAD = datetime.date(2026, 10, 25), datetime.date(2026, 3, 29)


def at(hour: int, minute: int = 0) -> datetime.time:
    return datetime.time(hour, minute)


def test_a_local_time_is_that_time_in_the_zone_of_the_organisation() -> None:
    window = LocalWindow(datetime.date(2026, 7, 1), at(14), at(15, 30))
    from_s, to_s = utc_window(window, AMSTERDAM)
    assert datetime.datetime.fromtimestamp(from_s, datetime.UTC).isoformat() == "2026-07-01T12:00:00+00:00"
    assert to_s - from_s == 90 * 60


def test_an_end_before_the_beginning_is_on_the_next_day() -> None:
    from_s, to_s = utc_window(LocalWindow(datetime.date(2026, 7, 1), at(23), at(1)), AMSTERDAM)
    assert to_s - from_s == 2 * 3600


def test_a_time_that_happens_twice_is_refused_until_a_person_says_which() -> None:
    window = LocalWindow(CLOCKS_BACK, at(2, 30), at(4))
    with pytest.raises(WindowError, match="happens twice") as refused:
        utc_window(window, AMSTERDAM)
    assert refused.value.fault is TimeFault.DOUBLE
    first, second = (
        utc_window(LocalWindow(CLOCKS_BACK, at(2, 30), at(4), which), AMSTERDAM)[0]
        for which in (DoubleHour.FIRST, DoubleHour.SECOND)
    )
    assert second - first == 3600


def test_a_time_that_the_clocks_leave_out_is_refused() -> None:
    with pytest.raises(WindowError, match="does not exist") as refused:
        utc_window(LocalWindow(CLOCKS_AHEAD, at(2, 30), at(4)), AMSTERDAM)
    assert refused.value.fault is TimeFault.MISSING
    assert refused.value.remedy


@given(
    start=st.integers(1_700_000_000 // 60, 1_900_000_000 // 60),
    minutes=st.integers(1, 12 * 60),
    zone=st.sampled_from(["Europe/Amsterdam", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]),
)
def test_a_window_read_back_is_the_same_window(start: int, minutes: int, zone: str) -> None:
    here, from_s, to_s = ZoneInfo(zone), start * 60, (start + minutes) * 60
    window = local_window(from_s, to_s, here)
    try:
        again = utc_window(window, here)
    except WindowError:
        pytest.fail("a time that was can always be written")
    # Both ends in one double hour would need two answers: the desk asks once, for the whole window.
    local = [datetime.datetime.fromtimestamp(each, here) for each in (from_s, to_s)]
    doubled = [each.replace(fold=0).utcoffset() != each.replace(fold=1).utcoffset() for each in local]
    if not all(doubled) or local[0].fold == local[1].fold:
        assert again == (from_s, to_s)
