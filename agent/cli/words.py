"""The form of counts, times, spans and other people's texts in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from agent.core.object_detection.labels import ObjectLabel
from agent.core.timebase import utc_date
from agent.wire.area import Area, Circle
from agent.wire.statements import Scope

__all__ = [
    "area",
    "clock",
    "counted",
    "day",
    "duration",
    "hours",
    "instant",
    "labels",
    "listed",
    "local_window",
    "opted_out",
    "plain",
    "window",
]

_MS_PER_S = 1000
_WEEK = 7


def plain(value: object) -> str:
    """Returns `value` as text without terminal control characters."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(value))


def counted(number: int, noun: str) -> str:
    """`1 segment`, `2 segments`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def listed(words: Sequence[str]) -> str:
    """`this`, `this and that`, `this, that and those`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def opted_out(scope: Scope, value: str | None, root: str | None = None) -> str:
    """Returns the scope of an opt-out: `all requests`, `requests of the kind 'police'`.

    `root`: the key id of a requester's root. Two roots may give one id to two requesters.
    """
    if scope is Scope.HOURS and value:
        return f"the hours {value[:2]}:{value[2:4]} to {value[5:7]}:{value[7:]}"
    if scope is Scope.BULLETINS and value:
        return f"bulletins of the kind '{plain(value)}'"
    below = f" of the root {plain(root)[:8]}" if root else ""
    return f"requests of the {scope.value} '{plain(value)}'{below}" if value else "all requests"


def day(utc_ms: int) -> str:
    """`Fri 15 Jan 2027, 06:00`."""
    return f"{_moment(utc_ms):%a %d %b %Y, %H:%M}"


def clock(utc_ms: int) -> str:
    """`06:00:12`."""
    return f"{_moment(utc_ms):%H:%M:%S}"


def instant(utc_ms: int) -> str:
    """`Fri 15 Jan 2027, 06:00:12`."""
    return f"{_moment(utc_ms):%a %d %b %Y, %H:%M:%S}"


def hours(begins: str, ends: str, days: Sequence[str] = ()) -> str:
    """`22:00–07:00`, `sat, sun 10:00–12:30`, `every day 10:00–12:30`."""
    named = "every day " if len(days) == _WEEK else f"{', '.join(days)} " if days else ""
    return f"{named}{begins}–{ends}"


def window(from_ms: int, to_ms: int) -> str:
    """Both ends in UTC, the date once when it is the same."""
    start, end = _moment(from_ms), _moment(to_ms)
    until = f"{end:%H:%M}" if start.date() == end.date() else day(to_ms)
    return f"{day(from_ms)} – {until} UTC"


def local_window(from_ms: int, to_ms: int) -> str:
    """Returns the window in this machine's time zone; empty if that is UTC."""
    start, end = _moment(from_ms).astimezone(), _moment(to_ms).astimezone()
    if not start.utcoffset() and not end.utcoffset():
        return ""
    return f"{start:%a %H:%M} – {end:%a %H:%M} where you are"


def duration(ms: int) -> str:
    """`8.0 s`, `4 min 10 s`, `2 h 5 min`."""
    seconds = ms / _MS_PER_S
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def area(asked: Area) -> str:
    """Shape, place and the size of what counts."""
    size = f"{asked.opened_m2 / 1e6:.2f} km²"
    if isinstance(asked, Circle):
        return f"{size}: within {asked.radius_m} m of {asked.lat:.4f}, {asked.lon:.4f}"
    bounds = asked.bounds
    middle = f"{(bounds.south + bounds.north) / 2:.4f}, {(bounds.west + bounds.east) / 2:.4f}"
    return f"{size}: {len(asked.vertices)} corners around {middle}"


def _moment(utc_ms: int) -> datetime:
    return utc_date(utc_ms)


UNSURE: Final = "unsure what"
"""Object detection examined footage, and no label is certain enough to be told."""


def labels(seen: Iterable[ObjectLabel] | None) -> str:
    """Returns the labels of object detection as a suffix; empty if it examined nothing (`seen` is None)."""
    if seen is None:
        return ""
    return f"  {', '.join(label.value for label in seen) or UNSURE}"
