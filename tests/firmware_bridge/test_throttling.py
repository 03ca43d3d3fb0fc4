"""Throttling comes before the firmware throttles, and goes when the board has rested."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.throttling import LOWER_LEVEL_NS, RAISE_LEVEL_NS, Throttle, ThrottleLevel

S = 10**9


def climb(temperatures: list[float], *, starved: bool = False, from_c: float = 70.0) -> list[ThrottleLevel]:
    """One reading every five seconds."""
    throttle = Throttle(from_c)
    return [throttle.update(one, power_limited=starved, now_ns=at * 5 * S) for at, one in enumerate(temperatures)]


def test_a_board_that_warms_up_by_a_degree_in_a_minute_is_fully_relieved_before_80_degrees() -> None:
    temperatures = [60 + at / 12 for at in range(12 * 20)]
    levels = climb(temperatures)
    assert levels[0] is ThrottleLevel.NORMAL
    assert temperatures[levels.index(ThrottleLevel.OBJECT_DETECTION)] == 67
    assert temperatures[levels.index(ThrottleLevel.ANALYSIS)] == 70
    assert temperatures[levels.index(ThrottleLevel.SIZE)] < 77


def test_the_level_rises_one_step_at_a_time_and_not_at_once() -> None:
    levels = climb([90.0] * 20)
    assert [level for at, level in enumerate(levels) if at == 0 or level is not levels[at - 1]] == [
        ThrottleLevel.OBJECT_DETECTION,
        ThrottleLevel.ANALYSIS,
        ThrottleLevel.RATE,
        ThrottleLevel.SIZE,
    ]
    assert levels.index(ThrottleLevel.ANALYSIS) * 5 * S >= RAISE_LEVEL_NS


def test_a_weak_supply_takes_three_rungs_at_once_and_keeps_them_while_it_lasts() -> None:
    assert climb([40.0] * 50, starved=True) == [ThrottleLevel.RATE] * 50


def test_rungs_are_left_one_at_a_time_after_a_rest_with_a_margin() -> None:
    throttle = Throttle(70.0)
    for at in range(20):
        throttle.update(90.0, power_limited=False, now_ns=at * 5 * S)
    levels = [throttle.update(60.0, power_limited=False, now_ns=(100 + at * 5) * S) for at in range(120)]
    assert levels[0] is ThrottleLevel.SIZE
    assert levels[-1] is ThrottleLevel.NORMAL
    assert levels.index(ThrottleLevel.RATE) * 5 * S >= LOWER_LEVEL_NS
    hovering = [throttle.update(66.0, power_limited=False, now_ns=(1000 + at * 5) * S) for at in range(90)]
    assert set(hovering) == {ThrottleLevel.NORMAL}


def test_a_board_without_a_thermometer_is_left_alone() -> None:
    throttle = Throttle(70.0)
    assert throttle.update(None, power_limited=False, now_ns=0) is ThrottleLevel.NORMAL


@settings(deadline=None)
@given(st.lists(st.floats(20, 110), max_size=60))
def test_relief_never_jumps(temperatures: list[float]) -> None:
    levels = [ThrottleLevel.NORMAL, *climb(temperatures)]
    assert all(abs(later - earlier) <= 1 for earlier, later in itertools.pairwise(levels))
