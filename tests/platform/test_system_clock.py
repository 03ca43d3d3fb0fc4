"""Two clocks are read as if at once, whatever this process goes through in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from agent.core.timebase import NS_PER_S
from agent.platform import system_clock
from agent.platform.system_clock import SystemClock, boot_ahead_ns
from firmware_bridge.backends import chip

AHEAD_NS = {time.CLOCK_BOOTTIME: 0, time.CLOCK_MONOTONIC: 3_600 * NS_PER_S, time.CLOCK_REALTIME: -(10**18)}


def clocks(pauses: set[int]) -> SimpleNamespace:
    """`time` on a machine that takes a microsecond for every reading, and two seconds before the readings in
    `pauses`."""
    readings = now_ns = 0

    def clock_gettime_ns(clock: int) -> int:
        nonlocal readings, now_ns
        now_ns += 2 * NS_PER_S if readings in pauses else 1000
        readings += 1
        return 10 * 3_600 * NS_PER_S + now_ns - AHEAD_NS[clock]

    replaced = {
        "clock_gettime_ns": clock_gettime_ns,
        "monotonic_ns": lambda: clock_gettime_ns(time.CLOCK_MONOTONIC),
        "time_ns": lambda: clock_gettime_ns(time.CLOCK_REALTIME),
    }
    return SimpleNamespace(**{**vars(time), **replaced})


@pytest.mark.parametrize("pauses", [{0}, {1}, {2}, {1, 4}, {2, 5, 7, 10}])
@pytest.mark.parametrize(
    ("module", "ahead_ns"), [(system_clock, lambda: boot_ahead_ns(time.CLOCK_MONOTONIC)), (chip, chip._boot_ahead_ns)]
)
def test_a_pause_between_two_readings_is_not_in_the_difference(
    module: object, ahead_ns: Callable[[], int], pauses: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", clocks(pauses))
    assert abs(ahead_ns() - AHEAD_NS[time.CLOCK_MONOTONIC]) < 10_000


@pytest.mark.parametrize("pauses", [set(), {1}, {2}, {3}])
def test_a_moment_is_one_moment_on_both_clocks(pauses: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    monkeypatch.setattr(system_clock, "time", clocks(pauses))
    moment = clock.now()
    assert abs(moment.boot_ns - moment.utc_ns - AHEAD_NS[time.CLOCK_REALTIME]) < 10_000
