"""Draws the outline of an area and the door in a terminal. It has no map, because a map would have to be fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agent.cli.language import in_words
from agent.wire.area import Area, share_near

__all__ = ["near", "outline"]

_WIDE: Final = 40
_HIGH: Final = 14
NEAR_M: Final = 200


def outline(area: Area, door: tuple[float, float] | None) -> Iterator[str]:
    """Yields lines, north at the top: `#` is inside the area, `.` is inside the outline but outside the area, `@` is
    the door."""
    bounds = area.bounds
    high, wide = (bounds.north - bounds.south) / _HIGH, (bounds.east - bounds.west) / _WIDE
    at = None if door is None else (int((bounds.north - door[0]) // high), int((door[1] - bounds.west) // wide))
    for row in range(_HIGH):
        lat = round(bounds.north - (row + 0.5) * high, 7)
        line = ""
        for column in range(_WIDE):
            lon = round(bounds.west + (column + 0.5) * wide, 7)
            line += (
                "@"
                if at == (row, column)
                else "#"
                if area.contains(lat, lon)
                else "."
                if area.outlines(lat, lon)
                else " "
            )
        yield line.rstrip()


def near(area: Area, door: tuple[float, float] | None) -> str:
    """Returns the distance between the requested area and this door, in words."""
    if door is None:
        return in_words("your door's position is unknown: set it with doorward owner settings --position")
    if not area.contains(*door):
        return in_words("your door is outside of it")
    return in_words(f"{share_near(area, *door, NEAR_M):.0%} of it is within {NEAR_M} m of your door")
