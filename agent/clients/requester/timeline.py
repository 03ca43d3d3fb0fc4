"""Clips on a time line, in percent: the whole requested window, and a closer look at the shared part.

Blocks have a minimum width that the eye can see. The words beside them give the exact times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.clients.requester.clips import DisclosedClip

__all__ = ["TimeLine", "TimelineBlock", "TimelineTick", "closer_look", "whole_window"]

_NARROWEST_PERCENT: Final = 0.6
_MOST_INNER_TICKS: Final = 7
_STEPS_MS: Final = tuple(
    1000 * seconds for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)
)
_CLOSER_BELOW: Final = 1 / 4
"""Draw a closer look if the shared footage spans less than this part of the window."""

FormatTime = Callable[[float], str]
"""Formats UTC ms as the time of day."""


@dataclass(frozen=True, slots=True)
class TimelineBlock:
    """A clip. `left` and `width` are in percent of the line."""

    number: int
    left: float
    width: float
    label: str


@dataclass(frozen=True, slots=True)
class TimelineTick:
    left: float
    label: str


@dataclass(frozen=True, slots=True)
class TimeLine:
    blocks: tuple[TimelineBlock, ...]
    ticks: tuple[TimelineTick, ...]


def whole_window(
    from_ms: int, to_ms: int, clips: Sequence[DisclosedClip], clock: FormatTime, minute: FormatTime
) -> TimeLine:
    """Returns the line. `clock` formats hours, minutes and seconds, `minute` hours and minutes."""
    return _line(from_ms, to_ms, clips, clock, minute)


def closer_look(window_ms: int, clips: Sequence[DisclosedClip], clock: FormatTime) -> TimeLine | None:
    """Returns the line from the first clip to the last, with a margin. None if the whole window shows it well
    enough."""
    if not clips:
        return None
    first_ms, last_ms = min(clip.start_ms for clip in clips), max(clip.end_ms for clip in clips)
    room_ms = max(1000, (last_ms - first_ms) // 20)
    if last_ms - first_ms + 2 * room_ms > window_ms * _CLOSER_BELOW:
        return None
    return _line(first_ms - room_ms, last_ms + room_ms, clips, clock, clock)


def _line(from_ms: int, to_ms: int, clips: Sequence[DisclosedClip], clock: FormatTime, tick: FormatTime) -> TimeLine:
    def percent(at_ms: int) -> float:
        return min(100.0, max(0.0, (at_ms - from_ms) * 100 / (to_ms - from_ms)))

    blocks = []
    for clip in clips:
        left, right = percent(clip.start_ms), percent(clip.end_ms)
        width = max(_NARROWEST_PERCENT, right - left)
        label = f"Clip {clip.number}: {clock(clip.start_ms)} to {clock(clip.end_ms)}"
        blocks.append(TimelineBlock(clip.number, min(left, 100 - width), width, label))
    return TimeLine(
        tuple(blocks), tuple(TimelineTick(percent(at_ms), tick(at_ms)) for at_ms in _ticks_ms(from_ms, to_ms))
    )


def _ticks_ms(from_ms: int, to_ms: int) -> list[int]:
    """Returns both ends, and round times between them that are not too close to either."""
    span_ms = to_ms - from_ms
    step_ms = next((step for step in _STEPS_MS if span_ms / step <= _MOST_INNER_TICKS), _STEPS_MS[-1])
    inner = range(-(-from_ms // step_ms) * step_ms, to_ms, step_ms)
    apart = [at for at in inner if min(at - from_ms, to_ms - at) > span_ms / 10]
    return [from_ms, *apart, to_ms]
