"""When something happened, as the vault's formats write it: boot clock in µs for order, UTC in ms for people.

Duration comes from the boot clock alone; the UTC of the end is the UTC of the start plus that duration.  So a wall
clock that is stepped while a segment is written changes neither its length nor its order.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from agent.core.timebase import NS_PER_MS, ClockQuality, ClockReading
from agent.errors import FormatError
from agent.wire import strictjson

__all__ = [
    "LONGEST_SEGMENT_US",
    "RANK",
    "BootId",
    "Sha256",
    "Size",
    "Stamp",
    "TimeSpan",
    "UtcMs",
    "bounded",
    "span_between",
    "stamp",
]

LONGEST_SEGMENT_US: Final = 3_600_000_000
"""No segment is longer.  The index relies on it: what overlaps a window starts at most this long before it."""

BootId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Size = Annotated[int, msgspec.Meta(ge=0)]
_FARTHEST_UTC_MS: Final = 2**45
"""From the year 855 to 3084, more than any clock of 64 bits in ns can say: so every reader's calendar has the date."""
UtcMs = Annotated[int, msgspec.Meta(ge=-_FARTHEST_UTC_MS, le=_FARTHEST_UTC_MS)]

_US_PER_MS: Final = 1000
_NS_PER_US: Final = 1000
RANK: Final = (ClockQuality.UNKNOWN, ClockQuality.HELD, ClockQuality.SYNCED)
"""Clock qualities, the worst first."""


class Stamp(strictjson.Message, frozen=True, kw_only=True):
    """One instant: `at_us` on the clock of `boot`, `utc_ms` worth what `quality` says."""

    boot: BootId
    at_us: Size
    utc_ms: UtcMs
    quality: ClockQuality

    def utc_of_ms(self, boot_us: int) -> int:
        """The wall clock, in ms, when the clock of the same boot showed `boot_us`."""
        return self.utc_ms + (boot_us - self.at_us) // _US_PER_MS


class TimeSpan(strictjson.Message, frozen=True, kw_only=True):
    """From `start_us` up to `end_us` of `boot`; `utc_ms` and `quality` are the start's."""

    boot: BootId
    start_us: Size
    end_us: Size
    utc_ms: UtcMs
    quality: ClockQuality

    def __post_init__(self) -> None:
        if self.end_us < self.start_us:
            raise FormatError("A span ends before it starts.")

    @property
    def start_ms(self) -> int:
        return self.utc_ms

    @property
    def end_ms(self) -> int:
        """UTC; rounded up, so that a span is never empty and never shorter than the footage."""
        return self.utc_ms - (self.start_us - self.end_us) // _US_PER_MS

    @property
    def duration_us(self) -> int:
        return self.end_us - self.start_us


def stamp(boot: str, at: ClockReading) -> Stamp:
    return Stamp(boot=boot, at_us=at.boot_ns // _NS_PER_US, utc_ms=at.utc_ns // NS_PER_MS, quality=at.quality)


def span_between(boot: str, start: ClockReading, end: ClockReading) -> TimeSpan:
    """The span from `start` to `end`, dated by the better of the two clock readings.

    A clock that became good in between dates the start as well: it is the same boot clock that counts the distance.
    """
    dated = start if RANK.index(start.quality) >= RANK.index(end.quality) else end.at(start.boot_ns)
    return TimeSpan(
        boot=boot,
        start_us=start.boot_ns // _NS_PER_US,
        end_us=end.boot_ns // _NS_PER_US,
        utc_ms=dated.utc_ns // NS_PER_MS,
        quality=dated.quality,
    )


def bounded(span: TimeSpan) -> TimeSpan:
    """`span`, if a segment may be that long.  Raises `FormatError`."""
    if span.duration_us > LONGEST_SEGMENT_US:
        raise FormatError(f"A segment of {span.duration_us} µs is longer than the format allows.")
    return span
