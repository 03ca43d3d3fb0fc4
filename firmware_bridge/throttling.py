"""Decides how much the camera reduces its work, so that the board stays below the firmware's temperature limit.

    level               from                  what the agent does
    0 NORMAL                                  everything as configured
    1 OBJECT_DETECTION  throttle_from_c - 3   no object detection
    2 ANALYSIS          throttle_from_c       also analyses only every second small picture
    3 RATE              throttle_from_c + 3   also fewer frames a second
    4 SIZE              throttle_from_c + 6   also a smaller picture

The level rises by one at most every `RAISE_LEVEL_NS`. It falls by one after `LOWER_LEVEL_NS` below the level's own
temperature minus `MARGIN_C`. Under-voltage, or a firmware that already throttles, counts as level 3 at once.

Pure: the time is an argument. A Zero 2 W in its case throttles at 80 °C after a quarter of an hour of full load.
"""

from __future__ import annotations

import enum

__all__ = ["LOWER_LEVEL_NS", "MARGIN_C", "RAISE_LEVEL_NS", "STEP_C", "Throttle", "ThrottleLevel"]

STEP_C = 3.0
MARGIN_C = 4.0
RAISE_LEVEL_NS = 20 * 10**9
LOWER_LEVEL_NS = 120 * 10**9


class ThrottleLevel(enum.IntEnum):
    """The throttling level: the work that the agent gives up. Each level includes the levels before it."""

    NORMAL = 0
    OBJECT_DETECTION = 1
    ANALYSIS = 2
    RATE = 3
    SIZE = 4


class Throttle:
    """Call `update` for each reading of the board's health."""

    def __init__(self, throttle_from_c: float) -> None:
        self._from_c = throttle_from_c - STEP_C
        """The temperature of the first level. Object detection is the cheapest to give up, so it goes first."""
        self.throttle_level = ThrottleLevel.NORMAL
        self._climbed_ns: int | None = None
        self._cool_ns: int | None = None

    def update(self, temperature_c: float | None, *, power_limited: bool, now_ns: int) -> ThrottleLevel:
        """Returns the new level. `power_limited`: under-voltage, or the firmware throttles now. Without a temperature,
        it alone counts."""
        wanted = max(self._by_temperature(temperature_c), ThrottleLevel.RATE if power_limited else ThrottleLevel.NORMAL)
        # At once: the firmware has lowered the clock already, and each step of waiting would lose frames.
        if power_limited and self.throttle_level < ThrottleLevel.RATE:
            self._raise_level(ThrottleLevel.RATE, now_ns)
        elif wanted > self.throttle_level:
            # A board cools slowly. Without the pause, the next readings would climb to the smallest picture.
            if self._climbed_ns is None or now_ns - self._climbed_ns >= RAISE_LEVEL_NS:
                self._raise_level(ThrottleLevel(self.throttle_level + 1), now_ns)
        elif self.throttle_level > ThrottleLevel.NORMAL and not power_limited and self._is_cool(temperature_c):
            self._cool_ns = now_ns if self._cool_ns is None else self._cool_ns
            if now_ns - self._cool_ns >= LOWER_LEVEL_NS:
                self.throttle_level, self._cool_ns = ThrottleLevel(self.throttle_level - 1), None
        else:
            self._cool_ns = None
        return self.throttle_level

    def _raise_level(self, to: ThrottleLevel, now_ns: int) -> None:
        self.throttle_level, self._climbed_ns, self._cool_ns = to, now_ns, None

    def _by_temperature(self, temperature_c: float | None) -> ThrottleLevel:
        if temperature_c is None or temperature_c < self._from_c:
            return ThrottleLevel.NORMAL
        return ThrottleLevel(min(ThrottleLevel.SIZE, 1 + int((temperature_c - self._from_c) // STEP_C)))

    def _is_cool(self, temperature_c: float | None) -> bool:
        """True below the present level's temperature minus the margin, or if the board reports no temperature."""
        return temperature_c is None or temperature_c < self._from_c + (self.throttle_level - 1) * STEP_C - MARGIN_C
