"""Areas and cells: PROTOCOL.md, sections 4 and 9.  Degrees are integers of 1e-7."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.second_reader.json_once import degrees, fields, integer, many, one_of, refuse_unless

_M = 6_371_008.8 * math.pi / 180
"""Metres of a degree."""
_UNIT = 10**7
Place = tuple[int, int]
"""lat, lon."""


@dataclass(frozen=True)
class Area:
    vertices: tuple[Place, ...]
    """Of a polygon; the centre of a circle."""
    radius_m: int | None

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """South, west, north, east, in degrees."""
        lats, lons = ([each[axis] / _UNIT for each in self.vertices] for axis in (0, 1))
        south, west, north, east = min(lats), min(lons), max(lats), max(lons)
        if self.radius_m is not None:
            up = self.radius_m / _M
            aside = self.radius_m / (_M * math.cos(math.radians(south)))
            south, west, north, east = south - up, west - aside, north + up, east + aside
        return south, west, north, east

    @property
    def size_m2(self) -> float:
        if self.radius_m is not None:
            return math.pi * self.radius_m**2
        twice = sum(a[1] * b[0] - b[1] * a[0] for a, b in self._sides())
        return abs(twice) / 2 / _UNIT**2 * _M**2 * self._cos()

    def contains(self, place: Place) -> bool:
        if self.radius_m is not None:
            return self._metres(self.vertices[0], place) <= self.radius_m
        inside = False
        for a, b in self._sides():
            if _on(place, a, b):
                return True
            if (a[0] > place[0]) != (b[0] > place[0]):
                side = _turn(a, b, place)
                inside ^= side > 0 if b[0] > a[0] else side < 0
        return inside

    def cells(self) -> set[str]:
        south, west, north, east = self.bounds
        return {cell_of((round(lat * _UNIT), round(lon * _UNIT))) for lat in (south, north) for lon in (west, east)}

    def _cos(self) -> float:
        south, _, north, _ = self.bounds
        return math.cos(math.radians((south + north) / 2))

    def _metres(self, a: Place, b: Place) -> float:
        return _M * math.hypot((a[0] - b[0]) / _UNIT, (a[1] - b[1]) / _UNIT * self._cos())

    def _sides(self) -> Iterator[tuple[Place, Place]]:
        return pairwise([*self.vertices, self.vertices[0]])

    def check(self) -> Area:
        south, west, north, east = self.bounds
        refuse_unless(-80 <= south <= north <= 80 and -180 < west <= east < 180, "bounds")
        refuse_unless(_M * math.hypot(north - south, (east - west) * self._cos()) <= 5000, "diagonal")
        if self.radius_m is None:
            self._check_simple()
            perimeter = sum(self._metres(a, b) for a, b in self._sides())
            refuse_unless(4 * math.pi * self.size_m2 >= 0.05 * perimeter**2, "a spike")
        return self

    def _check_simple(self) -> None:
        refuse_unless(len(set(self.vertices)) == len(self.vertices), "a vertex twice")
        sides = list(self._sides())
        for first, (a, b) in enumerate(sides):
            for second in range(first + 1, len(sides)):
                c, d = sides[second]
                if b == c or a == d:
                    joint, one, other = (b, a, d) if b == c else (a, b, c)
                    back = _turn(joint, one, other) == 0 and _dot(joint, one, other) > 0
                    refuse_unless(not back, "a side that runs back")
                else:
                    refuse_unless(not _meet(a, b, c, d), "sides that meet")


def _turn(a: Place, b: Place, c: Place) -> int:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _dot(joint: Place, a: Place, b: Place) -> int:
    return (a[0] - joint[0]) * (b[0] - joint[0]) + (a[1] - joint[1]) * (b[1] - joint[1])


def _on(place: Place, a: Place, b: Place) -> bool:
    return _turn(a, b, place) == 0 and _dot(place, a, b) <= 0


def _meet(a: Place, b: Place, c: Place, d: Place) -> bool:
    apart_ab = _turn(a, b, c) * _turn(a, b, d) < 0
    apart_cd = _turn(c, d, a) * _turn(c, d, b) < 0
    return (apart_ab and apart_cd) or _on(c, a, b) or _on(d, a, b) or _on(a, c, d) or _on(b, c, d)


def place(value: Any) -> Place:
    found = fields(value, {"lat": degrees, "lon": degrees})
    refuse_unless(abs(found["lat"]) <= 90 * _UNIT and abs(found["lon"]) <= 180 * _UNIT, "off the Earth")
    return found["lat"], found["lon"]


def area(value: Any) -> Area:
    if isinstance(value, dict) and value.get("shape") == "circle":
        shape = one_of("circle")
        found = fields(value, {"shape": shape, "lat": degrees, "lon": degrees, "radius_m": integer(1, 5000)})
        centre = place({key: value[key] for key in ("lat", "lon")})
        return Area((centre,), found["radius_m"]).check()
    found = fields(value, {"shape": one_of("polygon"), "vertices": many(place, 3, 32)})
    return Area(tuple(found["vertices"]), None).check()


def cell_of(at: Place) -> str:
    row = min((at[0] + 90 * _UNIT) * 2 // _UNIT, 359)
    column = min((at[1] + 180 * _UNIT) * 2 // _UNIT, 719)
    return f"{row}-{column}"
