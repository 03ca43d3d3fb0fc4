"""Areas and cells: PROTOCOL.md, sections 4 and 9.  Degrees are integers of 1e-7."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from tests.second_reader.json_once import degrees, fields, integer, many, one_of, refuse_unless

_M = 6_371_008.8 * math.pi / 180
"""Metres of a degree."""
_UNIT = 10**7
_R = 5_658_034_498
Place = tuple[int, int]
"""lat, lon."""


@dataclass(frozen=True)
class Area:
    vertices: tuple[Place, ...]
    """Corners of a polygon; the centre of a circle."""
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

    @property
    def opened_m2(self) -> float:
        """The size of what counts."""
        if self.radius_m is not None:
            return self.size_m2 if self.radius_m >= 60 else 0.0
        return _places_that_count(self) * (_M * 200 / _UNIT) ** 2 * self._cos()

    def contains(self, place: Place) -> bool:
        """Returns True if the place counts."""
        if self.radius_m is not None:
            far = 3600 * self._d(self.vertices[0], place) > (self.radius_m * _R) ** 2
            return self.radius_m >= 60 and not far
        for lat in _multiples(100, place[0] - 5395, place[0] + 5395):
            aside = self.reach(lat - place[0])
            lons = _multiples(100, place[1] - aside, place[1] + aside)
            if lons and self.centres_on(lat, lons):
                return True
        return False

    def is_centre(self, at: Place) -> bool:
        return self.centres_on(at[0], range(at[1], at[1] + 1)) != []

    def centres_on(self, lat: int, lons: range) -> list[range]:
        """Which of the longitudes are a centre's on one latitude.

        Each side keeps them out of one stretch. Between two stretches no side crosses, so all are inside or none is.
        """
        k, found, at = self._k(), [], 0
        sides = [(a, b) for a, b in self._sides() if min(a[0], b[0]) - 5396 <= lat <= max(a[0], b[0]) + 5396]
        stretches = sorted(_stretch_too_near(lat, lons, a, b, k) for a, b in sides)
        for first, end in [*stretches, (len(lons), len(lons))]:
            if first > at and self._outlines((lat, lons[at])):
                found.append(lons[at:first])
            at = max(at, end)
        return found

    def reach(self, north: int) -> int:
        """Returns the reach of a disc to either side, at this distance north of its centre."""
        return math.isqrt(_R**2 - (2**20 * north) ** 2) // self._k()

    def _k(self) -> int:
        lats = [lat for lat, _ in self.vertices]
        return math.floor(2**20 * math.cos(math.radians((min(lats) + max(lats)) / 2 / _UNIT)) + 0.5)

    def _d(self, a: Place, b: Place) -> int:
        return (2**20 * (a[0] - b[0])) ** 2 + (self._k() * (a[1] - b[1])) ** 2

    def _outlines(self, place: Place) -> bool:
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

    def _sides(self) -> Iterator[tuple[Place, Place]]:
        return pairwise([*self.vertices, self.vertices[0]])

    def check(self) -> Area:
        south, west, north, east = self.bounds
        refuse_unless(-80 <= south <= north <= 80 and -180 < west <= east < 180, "bounds")
        refuse_unless(_M * math.hypot(north - south, (east - west) * self._cos()) <= 5000, "diagonal")
        if self.radius_m is None:
            self._check_simple()
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


def _too_near(centre: Place, a: Place, b: Place, k: int) -> bool:
    dx, dy = (b[1] - a[1]) * k, (b[0] - a[0]) * 2**20
    ex, ey = (centre[1] - a[1]) * k, (centre[0] - a[0]) * 2**20
    along, length2 = ex * dx + ey * dy, dx * dx + dy * dy
    if along <= 0:
        return ex * ex + ey * ey < _R**2
    if along >= length2:
        return (ex - dx) ** 2 + (ey - dy) ** 2 < _R**2
    return (ex * dy - ey * dx) ** 2 < _R**2 * length2


def _stretch_too_near(lat: int, lons: range, a: Place, b: Place, k: int) -> tuple[int, int]:
    """Where it begins and ends among the longitudes: one stretch, since a side is convex."""

    def near(number: int) -> bool:
        return _too_near((lat, lons[number]), a, b, k)

    below = (_nearest_lon(lat, a, b) - lons.start) // lons.step
    around = {min(max(number, 0), len(lons) - 1) for number in (below, below + 1)}
    within = next(filter(near, around), None)
    if within is None:
        return 0, 0
    first = bisect_left(range(within), True, key=near)
    return first, within + bisect_left(range(within, len(lons)), True, key=lambda number: not near(number))


def _nearest_lon(lat: int, a: Place, b: Place) -> int:
    """Returns the longitude of the side's point nearest to a latitude; the next integer below."""
    if min(a[0], b[0]) <= lat <= max(a[0], b[0]) and a[0] != b[0]:
        return a[1] + (b[1] - a[1]) * (lat - a[0]) // (b[0] - a[0])
    return a[1] if abs(a[0] - lat) <= abs(b[0] - lat) else b[1]


def _multiples(step: int, first: int, last: int) -> range:
    return range(-(-first // step) * step, last + 1, step)


@lru_cache(maxsize=64)
def _places_that_count(asked: Area) -> int:
    """Rows are bits of integers, and a disc smears a row over those around it."""
    south, west, north, east = (round(each * _UNIT) for each in asked.bounds)
    first, room = -(-west // 100), 1024
    spread: dict[int, int] = {}
    for lat in _multiples(100, south, north):
        centres = asked.centres_on(lat, _multiples(100, west, east))
        row = sum((1 << len(lons)) - 1 << lons.start // 100 - first + room for lons in centres)
        for near in _multiples(200, lat - 5396, lat + 5396) if row else ():
            spread[near] = spread.get(near, 0) | _smeared(row, asked.reach(near - lat) // 100)
    most = east // 100 - first + 2 * room
    even = sum(1 << bit for bit in range(most) if (bit - room + first) % 2 == 0)
    return sum((row & even).bit_count() for row in spread.values())


def _smeared(row: int, reach: int) -> int:
    """Every bit spread by `reach` to both sides."""
    wide, done = row, 0
    while done < 2 * reach:
        step = min(done + 1, 2 * reach - done)
        wide, done = wide | wide << step, done + step
    return wide >> reach


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
