"""Outline of an area, to scale, as numbers for an SVG. It has no map, because a map would have to be fetched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from agent.wire.area import Area, Circle

__all__ = ["Sketch", "sketch"]

WIDTH_PX: Final = 150.0
HEIGHT_PX: Final = 130.0
_MARGIN_PX: Final = 8.0
_SCALE_HEIGHT_PX: Final = 22.0
_CIRCLE_POINTS: Final = 72
_M_PER_DEGREE: Final = math.radians(1) * 6_371_008.8
_BARS_M: Final = (1000, 500, 200, 100, 50)


@dataclass(frozen=True, slots=True)
class Sketch:
    """An outline: `points` as SVG takes them, and a scale bar of `bar_px` that stands for `bar_m` metres."""

    width_px: float
    height_px: float
    points: str
    bar_px: float
    bar_m: int


def sketch(area: Area) -> Sketch:
    """Returns the outline, with north up."""
    bounds = area.bounds
    shrink = math.cos(math.radians(bounds.middle_latitude))
    wide_m = max(1.0, (bounds.east - bounds.west) * shrink * _M_PER_DEGREE)
    high_m = max(1.0, (bounds.north - bounds.south) * _M_PER_DEGREE)
    room = (WIDTH_PX - 2 * _MARGIN_PX, HEIGHT_PX - 2 * _MARGIN_PX - _SCALE_HEIGHT_PX)
    scale = min(room[0] / wide_m, room[1] / high_m)
    left, top = (WIDTH_PX - wide_m * scale) / 2, _MARGIN_PX + (room[1] - high_m * scale) / 2

    def point(lat: float, lon: float) -> str:
        x = left + (lon - bounds.west) * shrink * _M_PER_DEGREE * scale
        y = top + (bounds.north - lat) * _M_PER_DEGREE * scale
        return f"{x:.1f},{y:.1f}"

    bar_m = next((each for each in _BARS_M if each * scale <= room[0] / 2), _BARS_M[-1])
    points = " ".join(point(lat, lon) for lat, lon in _outline(area, shrink))
    return Sketch(WIDTH_PX, HEIGHT_PX, points, bar_m * scale, bar_m)


def _outline(area: Area, shrink: float) -> list[tuple[float, float]]:
    if not isinstance(area, Circle):
        return [(vertex.lat, vertex.lon) for vertex in area.vertices]
    high = area.radius_m / _M_PER_DEGREE
    turns = [2 * math.pi * number / _CIRCLE_POINTS for number in range(_CIRCLE_POINTS)]
    return [(area.lat + high * math.cos(turn), area.lon + high / shrink * math.sin(turn)) for turn in turns]
