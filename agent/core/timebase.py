"""Two kinds of time that never mix: the boot clock for order and duration, UTC with a quality for people and matching.

A Pi before the 5 has no clock battery, so a wall time is only as good as the clock that gave it. Every stored moment
carries that quality, and matching says `possible` instead of `certain` if it is poor. Both clocks are integers in
nanoseconds. `core` reads neither; they are arguments.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import NewType

from agent.wire.fields import ClockQuality

__all__ = ["NS_PER_MS", "NS_PER_S", "BootNs", "ClockQuality", "ClockReading", "UtcNs", "seconds", "utc_date"]

BootNs = NewType("BootNs", int)
"""Nanoseconds of CLOCK_BOOTTIME: monotonic within one boot, meaningless across boots."""

UtcNs = NewType("UtcNs", int)
"""Nanoseconds since 1970-01-01T00:00:00Z. Never used for order or duration."""

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def seconds(value: float) -> int:
    """`value` seconds as whole nanoseconds."""
    return round(value * NS_PER_S)


def utc_date(utc_ms: float) -> datetime.datetime:
    """The date to show for what a stranger's clock said: the nearest one that a calendar has in every time zone."""
    at_s = min(max(utc_ms / 1000, _FIRST.timestamp()), _LAST.timestamp())
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC)


_FIRST = datetime.datetime(2, 1, 1, tzinfo=datetime.UTC)
_LAST = datetime.datetime(9998, 12, 31, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One instant read from both clocks at once."""

    boot_ns: BootNs
    utc_ns: UtcNs
    quality: ClockQuality

    def at(self, boot_ns: BootNs) -> ClockReading:
        """The moment of another boot-clock instant near this one, its UTC carried over by the difference."""
        return ClockReading(boot_ns, UtcNs(self.utc_ns + boot_ns - self.boot_ns), self.quality)
