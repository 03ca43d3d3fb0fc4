"""Decides how far a boot's wall clock is believed: a vouched-for clock that jumps is wrong once, nobody knows when.

- A better quality is believed, wherever it puts the time: that is what a clock being set looks like.
- Two readings of like quality agree with the boot clock between them, to `JUMP_NS`.  One that does not is unknown,
  and so do all that follow it, until the clock is back where it was or the device starts again.

So a time server that lies by ten years ages nothing, and makes no match certain that was not.

Source: FORMAT.md, invariant 8.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from agent.core.timebase import NS_PER_S, ClockQuality, ClockReading
from agent.core.vault.spans import RANK

__all__ = ["JUMP_NS", "ClockJudge"]

JUMP_NS: Final = 120 * NS_PER_S
"""More than any slewing and any leap second."""


class ClockJudge:
    """One boot's readings, in the order they are made."""

    def __init__(self) -> None:
        self._offset_ns = 0
        self._quality = ClockQuality.UNKNOWN

    def judge(self, read: ClockReading) -> ClockReading:
        """`read`, its quality lowered to unknown when it contradicts the ones before it."""
        if read.quality is ClockQuality.UNKNOWN:
            return read
        offset_ns = read.utc_ns - read.boot_ns
        if RANK.index(read.quality) <= RANK.index(self._quality) and abs(offset_ns - self._offset_ns) > JUMP_NS:
            return replace(read, quality=ClockQuality.UNKNOWN)
        self._offset_ns = offset_ns
        self._quality = max(self._quality, read.quality, key=RANK.index)
        return read
