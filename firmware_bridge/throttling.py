"""Decides how much the camera reduces its work, so that the board stays below the firmware's temperature limit.

    rung        at           what the agent does
    0 NORMAL                 everything as configured
    1 OPINION   relief - 3   no object detection
    2 ANALYSIS  relief       also analyses only every second small picture
    3 RATE      relief + 3   also fewer frames a second
    4 SIZE      relief + 6   also a smaller picture

The level rises by one at most every `CLIMB_NS`, because a board reacts that slowly. It falls by one after `REST_NS`
below the level's own temperature minus `MARGIN_C`. Under-voltage, or a firmware that already throttles, counts as rung
3 at once, because waiting would lose frames.

Pure: the time is an argument. A Zero 2 W in its case throttles at 80 °C after a quarter of an hour of full load.
"""

from __future__ import annotations

import enum

__all__ = ["CLIMB_NS", "MARGIN_C", "REST_NS", "STEP_C", "Ladder", "Relief"]

STEP_C = 3.0
MARGIN_C = 4.0
CLIMB_NS = 20 * 10**9
REST_NS = 120 * 10**9


class Relief(enum.IntEnum):
    """The work that the agent gives up. Each level includes the levels before it."""

    NORMAL = 0
    OPINION = 1
    ANALYSIS = 2
    RATE = 3
    SIZE = 4


class Ladder:
    """`step` per reading of the board's health."""

    def __init__(self, relief_from_c: float) -> None:
        self._from_c = relief_from_c - STEP_C
        """The temperature of the first rung. Object detection is the cheapest to give up, so it goes first."""
        self.relief = Relief.NORMAL
        self._climbed_ns: int | None = None
        self._cool_ns: int | None = None

    def step(self, temperature_c: float | None, *, starved: bool, now_ns: int) -> Relief:
        """`starved`: under-voltage or throttled now. Without a temperature only `starved` counts."""
        wanted = max(self._by_temperature(temperature_c), Relief.RATE if starved else Relief.NORMAL)
        if starved and self.relief < Relief.RATE:
            self._climb(Relief.RATE, now_ns)
        elif wanted > self.relief:
            if self._climbed_ns is None or now_ns - self._climbed_ns >= CLIMB_NS:
                self._climb(Relief(self.relief + 1), now_ns)
        elif self.relief > Relief.NORMAL and not starved and self._is_cool(temperature_c):
            self._cool_ns = now_ns if self._cool_ns is None else self._cool_ns
            if now_ns - self._cool_ns >= REST_NS:
                self.relief, self._cool_ns = Relief(self.relief - 1), None
        else:
            self._cool_ns = None
        return self.relief

    def _climb(self, to: Relief, now_ns: int) -> None:
        self.relief, self._climbed_ns, self._cool_ns = to, now_ns, None

    def _by_temperature(self, temperature_c: float | None) -> Relief:
        if temperature_c is None or temperature_c < self._from_c:
            return Relief.NORMAL
        return Relief(min(Relief.SIZE, 1 + int((temperature_c - self._from_c) // STEP_C)))

    def _is_cool(self, temperature_c: float | None) -> bool:
        """True below the present rung's temperature minus the margin, or if the board reports no temperature."""
        return temperature_c is None or temperature_c < self._from_c + (self.relief - 1) * STEP_C - MARGIN_C
