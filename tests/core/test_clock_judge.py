"""Tests how far a wall clock is believed: better readings at once, contradicting ones not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.clock_trust import JUMP_NS, ClockJudge
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs, seconds

UNKNOWN, HELD, SYNCED = ClockQuality.UNKNOWN, ClockQuality.HELD, ClockQuality.SYNCED
YEAR_NS = seconds(31_557_600)
T0 = 50 * YEAR_NS


def read(boot_s: float, quality: ClockQuality, shift_ns: int = 0) -> ClockReading:
    return ClockReading(BootNs(seconds(boot_s)), UtcNs(T0 + seconds(boot_s) + shift_ns), quality)


def test_a_clock_that_is_set_is_believed_wherever_it_goes() -> None:
    clock_judge = ClockJudge()
    assert clock_judge.judge(read(1, UNKNOWN, -T0)).quality is UNKNOWN
    assert clock_judge.judge(read(2, HELD, -YEAR_NS)).quality is HELD
    assert clock_judge.judge(read(3, SYNCED)).quality is SYNCED


@pytest.mark.parametrize("years", [-10, 10])
def test_a_vouched_for_clock_that_jumps_is_unknown_until_it_is_back(years: int) -> None:
    clock_judge = ClockJudge()
    assert clock_judge.judge(read(1, SYNCED)).quality is SYNCED
    for quality in (HELD, SYNCED):
        stepped = read(2, quality, years * YEAR_NS)
        judged = clock_judge.judge(stepped)
        assert judged.quality is UNKNOWN
        assert (judged.utc_ns, judged.boot_ns) == (stepped.utc_ns, stepped.boot_ns)
    assert clock_judge.judge(read(3, SYNCED)).quality is SYNCED


@given(st.lists(st.integers(-JUMP_NS // 2, JUMP_NS // 2), max_size=20))
def test_slewing_and_leap_seconds_are_no_jump(slews: list[int]) -> None:
    clock_judge = ClockJudge()
    assert all(clock_judge.judge(read(at, SYNCED, slew)).quality is SYNCED for at, slew in enumerate(slews))


def test_a_clock_that_runs_on_for_hours_has_not_jumped_and_one_that_jumps_by_more_than_two_minutes_has() -> None:
    clock_judge = ClockJudge()
    assert [clock_judge.judge(read(at, SYNCED)).quality for at in (1, 3600, 90_000)] == [SYNCED] * 3
    assert clock_judge.judge(read(90_001, SYNCED, JUMP_NS)).quality is SYNCED
    assert clock_judge.judge(read(90_002, SYNCED, 2 * JUMP_NS + 1)).quality is UNKNOWN
    assert clock_judge.judge(read(90_003, SYNCED, -1)).quality is UNKNOWN
    assert clock_judge.judge(read(90_004, SYNCED, 0)).quality is SYNCED
