"""Decides how far a boot's wall clock is believed. If a set clock jumps, one of its two readings was wrong.

- A reading of better quality is always believed: a clock that is being set looks like this.
- Two readings of the same quality must agree with the boot clock between them, to `JUMP_NS`. A reading that disagrees
  counts as unknown. So do all later ones, until the clock is back or the device starts again.

For example, a time server that lies by ten years ages no footage, and makes no match certain.

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
    """Judges the readings of one boot, in the order they are made."""

    def __init__(self) -> None:
        self._offset_ns = 0
        self._quality = ClockQuality.UNKNOWN

    def judge(self, read: ClockReading) -> ClockReading:
        """Returns `read`, with its quality lowered to unknown if it contradicts the earlier readings."""
        if read.quality is ClockQuality.UNKNOWN:
            return read
        offset_ns = read.utc_ns - read.boot_ns
        if RANK.index(read.quality) <= RANK.index(self._quality) and abs(offset_ns - self._offset_ns) > JUMP_NS:
            return replace(read, quality=ClockQuality.UNKNOWN)
        # The next reading is compared with this one, and not with the first: slewing adds up over months.
        self._offset_ns = offset_ns
        self._quality = max(self._quality, read.quality, key=RANK.index)
        return read
