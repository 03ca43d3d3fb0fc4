"""A moment for the tests of updates."""

from __future__ import annotations

import time

from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs

__all__ = ["reading"]


def reading(quality: ClockQuality = ClockQuality.SYNCED) -> ClockReading:
    return ClockReading(BootNs(0), UtcNs(time.time_ns()), quality)
