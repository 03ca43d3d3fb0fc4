"""The form of counts, times, spans and other people's texts in a terminal, in the reader's language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from agent.cli.language import in_words, measured, spoken
from agent.core.languages import ENGLISH
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
        # Statements write them as `2200-0700`.
        return in_words(f"the hours {value[:2]}:{value[2:4]} to {value[5:7]}:{value[7:]}")
    if scope is Scope.BULLETINS and value:
        return in_words(f"bulletins of the kind '{plain(value)}'")
    if not value:
        return in_words("all requests")
    below = f" {in_words(f'of the root {plain(root)[:8]}')}" if root else ""
    return in_words(f"requests of the {scope.value} '{plain(value)}'") + below


def day(utc_ms: int) -> str:
    """`Fri 15 Jan 2027, 06:00`; in other languages than English `2027-01-15, 06:00`."""
    return f"{_moment(utc_ms):{_date_form()}, %H:%M}"


def clock(utc_ms: int) -> str:
    """`06:00:12`."""
    return f"{_moment(utc_ms):%H:%M:%S}"


def instant(utc_ms: int) -> str:
    """As `day`, with seconds."""
    return f"{_moment(utc_ms):{_date_form()}, %H:%M:%S}"


def hours(begins: str, ends: str, days: Sequence[str] = ()) -> str:
    """`22:00–07:00`, `sat, sun 10:00–12:30`, `every day 10:00–12:30`."""
    named = f"{in_words('every day')} " if len(days) == _WEEK else f"{', '.join(days)} " if days else ""
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
    if spoken() == ENGLISH:
        return f"{start:%a %H:%M} – {end:%a %H:%M} where you are"
    return in_words(f"{start:%Y-%m-%d, %H:%M} – {end:%Y-%m-%d, %H:%M} where you are")


def duration(ms: int) -> str:
    """`8.0 s`, in German `8,0 s`; `4 min 10 s`, `2 h 5 min`."""
    seconds = ms / _MS_PER_S
    if seconds < 60:
        return measured(seconds, 1, "s")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def area(asked: Area) -> str:
    """Shape, place and the size of what counts."""
    size = f"{asked.opened_m2 / 1e6:.2f} km²"
    if isinstance(asked, Circle):
        return in_words(f"{size}: within {asked.radius_m} m of {asked.lat:.4f}, {asked.lon:.4f}")
    bounds = asked.bounds
    middle = f"{(bounds.south + bounds.north) / 2:.4f}, {(bounds.west + bounds.east) / 2:.4f}"
    return in_words(f"{size}: {len(asked.vertices)} corners around {middle}")


def _date_form() -> str:
    # Abbreviated names of days and months are hard to read in another language; the date of ISO 8601 is not.
    return "%a %d %b %Y" if spoken() == ENGLISH else "%Y-%m-%d"


def _moment(utc_ms: int) -> datetime:
    return utc_date(utc_ms)


UNSURE: Final = "unsure what"
"""Object detection examined footage, and no label is certain enough to be told."""


def labels(seen: Iterable[ObjectLabel] | None) -> str:
    """Returns the labels of object detection as a suffix; empty if it examined nothing (`seen` is None)."""
    if seen is None:
        return ""
    return f"  {', '.join(in_words(label.value) for label in seen) or in_words(UNSURE)}"
