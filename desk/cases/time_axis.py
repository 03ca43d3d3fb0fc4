"""One time axis for all doors of a case: a lane for each door, its clips and gaps, and the doors that cover an instant.

Times are UTC in milliseconds, by each doorbell's clock. A span includes its first millisecond and excludes its last. A
door with an unsynchronised clock has its lane, but no overlap with other doors is claimed for it.
"""

from __future__ import annotations

import enum
import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agent.core.timebase import ClockQuality

__all__ = [
    "AxisClip",
    "DoorView",
    "Lane",
    "Overlap",
    "Shown",
    "Span",
    "Tick",
    "TimeAxis",
    "doors_at",
    "make_axis",
    "merged",
    "overlaps",
    "sections",
    "within",
]

_MOST_TICKS: Final = 8
_SECOND_MS: Final = 1000
_STEPS_MS: Final = tuple(
    _SECOND_MS * seconds
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
)
_SECTION_PAUSE_MS: Final = 600_000
"""Pause without any footage that separates two sections of an axis."""
_SECTION_MARGIN_MS: Final = 2_000
_NARROWEST_PERCENT: Final = 0.6
"""Smallest width of a clip that the eye and a finger can find."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of time."""

    from_ms: int
    to_ms: int

    @property
    def length_ms(self) -> int:
        return self.to_ms - self.from_ms

    def holds(self, at_ms: int) -> bool:
        return self.from_ms <= at_ms < self.to_ms


@dataclass(frozen=True, slots=True)
class AxisClip:
    """A clip of one door. `gaps` lie inside the span. `film` is False if the owner shared only a still."""

    door: str
    clip: int
    span: Span
    quality: ClockQuality
    gaps: tuple[Span, ...] = ()
    film: bool = True

    @property
    def covered(self) -> tuple[Span, ...]:
        """Returns the stretches of the clip with footage. A still covers no time."""
        return _without(self.span, self.gaps) if self.film else ()


@dataclass(frozen=True, slots=True)
class Lane:
    """All clips of one door, in order, and the stretches of the axis that they cover."""

    door: str
    clips: tuple[AxisClip, ...]
    covered: tuple[Span, ...]

    @property
    def doubtful(self) -> bool:
        """True if the clock of the door was not synchronised for at least one clip."""
        return any(clip.quality is ClockQuality.UNKNOWN for clip in self.clips)


@dataclass(frozen=True, slots=True)
class Tick:
    at_ms: int
    left: float
    """In percent of the axis."""


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """The axis with its lanes, in the order in which their doors were given."""

    span: Span
    lanes: tuple[Lane, ...]

    def left(self, at_ms: int) -> float:
        """Returns the place of an instant in percent of the axis, at most 0 to 100."""
        return min(100.0, max(0.0, (at_ms - self.span.from_ms) * 100 / self.span.length_ms))

    def block(self, span: Span) -> tuple[float, float]:
        """Returns the left edge and the width of a span in percent, wide enough to be seen."""
        left = self.left(span.from_ms)
        width = max(_NARROWEST_PERCENT, self.left(span.to_ms) - left)
        return min(left, 100 - width), width

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """Returns round times with an even step, at most eight."""
        step_ms = next((step for step in _STEPS_MS if self.span.length_ms <= step * _MOST_TICKS), 0)
        if not step_ms:
            days = -(-self.span.length_ms // (_STEPS_MS[-1] * _MOST_TICKS))
            step_ms = days * _STEPS_MS[-1]
        first_ms = -(-self.span.from_ms // step_ms) * step_ms
        return tuple(Tick(at, self.left(at)) for at in range(first_ms, self.span.to_ms, step_ms))


class Shown(enum.Enum):
    """Content of a door's lane at an instant."""

    FILM = "film"
    GAP = "gap"
    """Inside a clip, between two of its segments."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class DoorView:
    """One door at one instant. `clip` is None if no clip of the door is there."""

    door: str
    shown: Shown
    clip: AxisClip | None = None


@dataclass(frozen=True, slots=True)
class Overlap:
    """A stretch of time with footage of the same two or more doors."""

    span: Span
    doors: tuple[str, ...]


def make_axis(clips: Iterable[AxisClip], windows: Iterable[Span] = ()) -> TimeAxis | None:
    """Returns the axis over all clips and the windows that were asked about. None if both are empty."""
    by_door: dict[str, list[AxisClip]] = defaultdict(list)
    ends: list[Span] = list(windows)
    for clip in clips:
        by_door[clip.door].append(clip)
        ends.append(clip.span)
    if not ends:
        return None
    from_ms, to_ms = min(each.from_ms for each in ends), max(each.to_ms for each in ends)
    lanes = [_lane(door, found) for door, found in by_door.items()]
    # A still alone has no length. One second keeps the axis from a division by zero.
    return TimeAxis(Span(from_ms, max(to_ms, from_ms + _SECOND_MS)), tuple(lanes))


def within(axis: TimeAxis, span: Span) -> TimeAxis:
    """Returns a closer look: the part of the axis in `span`, with the same lanes and the clips that reach into it."""
    from_ms = max(axis.span.from_ms, span.from_ms)
    to_ms = max(min(axis.span.to_ms, span.to_ms), from_ms + _SECOND_MS)
    seen = Span(from_ms, to_ms)
    return TimeAxis(
        seen,
        tuple(
            Lane(lane.door, tuple(clip for clip in lane.clips if _touches(clip.span, seen)), _cut(lane.covered, seen))
            for lane in axis.lanes
        ),
    )


def sections(axis: TimeAxis) -> tuple[Span, ...]:
    """Returns the stretches that hold clips, each with a margin, separated by long pauses of all doors."""
    spans = merged(clip.span for lane in axis.lanes for clip in lane.clips)
    found: list[Span] = []
    for span in spans:
        if found and span.from_ms - found[-1].to_ms < _SECTION_PAUSE_MS:
            found[-1] = Span(found[-1].from_ms, span.to_ms)
        else:
            found.append(span)
    return tuple(Span(each.from_ms - _SECTION_MARGIN_MS, each.to_ms + _SECTION_MARGIN_MS) for each in found)


def doors_at(axis: TimeAxis, at_ms: int) -> tuple[DoorView, ...]:
    """Returns what each door shows at an instant, in the order of the lanes."""
    return tuple(_view(lane, at_ms) for lane in axis.lanes)


def overlaps(axis: TimeAxis) -> tuple[Overlap, ...]:
    """Returns the stretches that at least two doors cover, in order. Doors with a doubtful clock do not count."""
    changes: dict[int, list[tuple[str, bool]]] = defaultdict(list)
    for lane in axis.lanes:
        reliable = [clip for clip in lane.clips if clip.quality is not ClockQuality.UNKNOWN]
        for span in merged(span for clip in reliable for span in clip.covered):
            changes[span.from_ms].append((lane.door, True))
            changes[span.to_ms].append((lane.door, False))
    found: list[Overlap] = []
    covering: set[str] = set()
    for at_ms, next_ms in itertools.pairwise(sorted(changes)):
        for door, begins in changes[at_ms]:
            (covering.add if begins else covering.discard)(door)
        if len(covering) > 1:
            found.append(Overlap(Span(at_ms, next_ms), tuple(sorted(covering))))
    return tuple(found)


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Returns the same time as separate spans, in order. Joins those that touch, drops empty ones."""
    found: list[Span] = []
    for span in sorted(each for each in spans if each.length_ms > 0):
        if found and span.from_ms <= found[-1].to_ms:
            found[-1] = Span(found[-1].from_ms, max(found[-1].to_ms, span.to_ms))
        else:
            found.append(span)
    return tuple(found)


def _lane(door: str, clips: list[AxisClip]) -> Lane:
    ordered = sorted(clips, key=lambda clip: (clip.span, clip.clip))
    return Lane(door, tuple(ordered), merged(span for clip in ordered for span in clip.covered))


def _view(lane: Lane, at_ms: int) -> DoorView:
    here = [clip for clip in lane.clips if clip.film and clip.span.holds(at_ms)]
    for clip in here:
        if any(span.holds(at_ms) for span in clip.covered):
            return DoorView(lane.door, Shown.FILM, clip)
    return DoorView(lane.door, Shown.GAP, here[0]) if here else DoorView(lane.door, Shown.NOTHING)


def _touches(span: Span, other: Span) -> bool:
    # A still has no length and lies in the span that holds its instant.
    return span.from_ms < other.to_ms and max(span.to_ms, span.from_ms + 1) > other.from_ms


def _cut(spans: Iterable[Span], seen: Span) -> tuple[Span, ...]:
    return merged(Span(max(each.from_ms, seen.from_ms), min(each.to_ms, seen.to_ms)) for each in spans)


def _without(span: Span, holes: Iterable[Span]) -> tuple[Span, ...]:
    found, at_ms = [], span.from_ms
    for hole in merged(holes):
        if hole.from_ms > at_ms:
            found.append(Span(at_ms, min(hole.from_ms, span.to_ms)))
        at_ms = max(at_ms, hole.to_ms)
    if at_ms < span.to_ms:
        found.append(Span(at_ms, span.to_ms))
    return merged(found)
