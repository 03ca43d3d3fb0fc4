"""Decides, on the device, whether a footage request concerns it, by window and by area, and how certain the match is.

- A segment matches if it overlaps the window. The camera matches if its position is in the area. Only the device knows
  both: the requester asks every device in the area and cannot interpret silence.
- A match is `certain` if the clock of every matching segment was known: `synced` or `held`, which is off by seconds.
  Otherwise it is `possible`, and the owner is told so. For example, a Pi without a battery may have had any date. A
  doubtful clock never widens the window.

Source: docs/security/promises.md, promises 3 and 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.core.timebase import ClockQuality

__all__ = ["Match", "StoredFootage", "TimeWindow", "match"]

_MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A span of UTC in milliseconds, start inclusive, end exclusive."""

    from_ms: int
    to_ms: int

    @classmethod
    def of_seconds(cls, from_s: int, to_s: int) -> TimeWindow:
        return cls(from_s * _MS_PER_S, to_s * _MS_PER_S)

    def overlaps(self, start_ms: int, end_ms: int) -> bool:
        # Half-open on both sides: a segment that ends when the window begins shows nothing of it.
        return start_ms < self.to_ms and end_ms > self.from_ms


class StoredFootage(Protocol):
    """The facts about a stored segment that matching needs."""

    @property
    def id(self) -> str: ...
    @property
    def start_ms(self) -> int: ...
    @property
    def end_ms(self) -> int: ...
    @property
    def quality(self) -> ClockQuality: ...


class Area(Protocol):
    """The requested area (`agent.wire.area`)."""

    def contains(self, lat: float, lon: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Match:
    """The match set, frozen: the device may release only a part of `segments`."""

    segments: tuple[str, ...]
    certain: bool

    def __bool__(self) -> bool:
        return bool(self.segments)


def match(
    window: TimeWindow,
    area: Area,
    position: tuple[float, float] | None,
    candidates: Sequence[StoredFootage],
    *,
    most: int,
) -> Match:
    """Returns the segments out of `candidates` (in order of time) that the request is about.

    `position` is the camera's (lat, lon) in degrees. If the device lacks a position, no request matches. The
    match has at most `most` segments, the earliest first, so that one request cannot hold the whole vault.
    """
    if position is None or not area.contains(*position):
        return Match((), certain=False)
    found = [footage for footage in candidates if window.overlaps(footage.start_ms, footage.end_ms)][:most]
    return Match(
        tuple(footage.id for footage in found),
        certain=bool(found) and all(footage.quality is not ClockQuality.UNKNOWN for footage in found),
    )
