"""The list of what an owner has covered in one redacted film or muted in its sound: when, where and which kind.

The list says nothing of what was covered. It is part of the context inside the redacted file, so it is sealed like the
film, and the owner's signed approval names the file by its hash. Times are milliseconds of the film, and places are
ten-thousandths of the picture, so the list holds for each size of picture.

Source: FORMAT.md, "Redacted film".
"""

from __future__ import annotations

import enum
import itertools
from typing import Annotated, Final

import msgspec

from agent.errors import FormatError
from agent.wire import strictjson

__all__ = [
    "BLOCK_PX",
    "MOST_PLACES",
    "MOST_REDACTIONS",
    "WHOLE",
    "PixelBox",
    "Place",
    "Redaction",
    "RedactionKind",
    "covered_pixels",
    "place_at",
    "places_within",
]

WHOLE: Final = 10_000
"""Width and height of a picture in the units of a place."""
MOST_REDACTIONS: Final = 64
MOST_PLACES: Final = 64
BLOCK_PX: Final = 16
"""Covers end at multiples of this many pixels, the macroblocks of H.264. So no block mixes covered pixels with others,
and the size of a cover tells less of what is below it."""
_LONGEST_MS: Final = 3_600_000
"""A segment lasts at most an hour."""

PixelBox = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels. Right and bottom are excluded."""

_Ms = Annotated[int, msgspec.Meta(ge=0, le=_LONGEST_MS)]
_Start = Annotated[int, msgspec.Meta(ge=0, lt=WHOLE)]
_Extent = Annotated[int, msgspec.Meta(ge=1, le=WHOLE)]


class RedactionKind(enum.Enum):
    """The owner's word for the kind of thing that is covered. No reader can check it."""

    FACE = "face"
    PLATE = "plate"
    AREA = "area"
    VOICE = "voice"
    """A stretch of the sound, muted."""


class Place(strictjson.Message, frozen=True, array_like=True):
    """A rectangle at an instant of the film, written `[at_ms, left, top, width, height]`."""

    at_ms: _Ms
    left: _Start
    top: _Start
    width: _Extent
    height: _Extent

    def __post_init__(self) -> None:
        if self.left + self.width > WHOLE or self.top + self.height > WHOLE:
            raise FormatError("places: a rectangle reaches beyond the picture.")


class Redaction(strictjson.Message, frozen=True):
    """One thing that is covered from `from_ms` to `until_ms`, both included.

    The cover moves in straight lines from place to place. Before the first place it stays there, and after the last one
    too.
    """

    kind: RedactionKind
    from_ms: _Ms
    until_ms: _Ms
    places: Annotated[tuple[Place, ...], msgspec.Meta(max_length=MOST_PLACES)] = ()

    def __post_init__(self) -> None:
        if self.from_ms >= self.until_ms:
            raise FormatError("redactions: one ends before it begins.")
        if bool(self.places) == (self.kind is RedactionKind.VOICE):
            raise FormatError("places: a voice has none, and every other kind has at least one.")
        times = [place.at_ms for place in self.places]
        if any(one >= following for one, following in itertools.pairwise(times)):
            raise FormatError("places: not in the order of time.")
        if times and not self.from_ms <= times[0] <= times[-1] <= self.until_ms:
            raise FormatError("places: one lies outside of the time of its redaction.")


def place_at(redaction: Redaction, at_ms: int) -> Place:
    """Returns the covered rectangle at an instant, rounded outwards."""
    places = redaction.places
    after = next((number for number, place in enumerate(places) if place.at_ms >= at_ms), len(places))
    if after in (0, len(places)):
        nearest = places[min(after, len(places) - 1)]
        return msgspec.structs.replace(nearest, at_ms=at_ms)
    one, two = places[after - 1], places[after]
    passed, whole = at_ms - one.at_ms, two.at_ms - one.at_ms

    def between(begin: int, end: int, *, up: bool) -> int:
        # Whole numbers, so that the page, the client and a requester agree on each pixel.
        moved = (end - begin) * passed
        return begin + (-(-moved // whole) if up else moved // whole)

    left, top = between(one.left, two.left, up=False), between(one.top, two.top, up=False)
    right = between(one.left + one.width, two.left + two.width, up=True)
    bottom = between(one.top + one.height, two.top + two.height, up=True)
    return Place(at_ms=at_ms, left=left, top=top, width=right - left, height=bottom - top)


def places_within(redaction: Redaction, from_ms: int, until_ms: int) -> tuple[Place, ...]:
    """Returns the places of a stretch: those within it, and where the cover is at its two ends."""
    inside = [place for place in redaction.places if from_ms < place.at_ms < until_ms]
    return (place_at(redaction, from_ms), *inside, place_at(redaction, until_ms))


def covered_pixels(place: Place, width_px: int, height_px: int) -> PixelBox:
    """Returns the pixels that a cover fills in a picture of this size: the rectangle, grown to whole blocks."""
    across = _grown(place.left, place.width, width_px)
    down = _grown(place.top, place.height, height_px)
    return across[0], down[0], across[1], down[1]


def _grown(begin: int, extent: int, size_px: int) -> tuple[int, int]:
    unit = WHOLE * BLOCK_PX
    first, last = begin * size_px // unit, -(-(begin + extent) * size_px // unit)
    return first * BLOCK_PX, min(last * BLOCK_PX, size_px)
