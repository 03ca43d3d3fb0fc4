"""Area of a request: a simple polygon or a circle of neighbourhood size, and the test if a door stands in it.

- A coordinate is a whole number of 1e-7 degrees (a centimetre), so the geometry below is exact integer arithmetic.
- A polygon has 3–32 vertices in either direction. Each vertex occurs once, and the outline must not touch itself.
- An area spans at most 5 km, stays below 80° latitude and clear of the antimeridian. Beyond these bounds the
  local plane is inaccurate, so the area is refused.
- Spikes and corridors could pick single doors out of a permitted size. Therefore a place counts only if a disc of 60 m
  within the area contains it (`area_opening`), and the smallest size applies to these places (`opened_m2`).

Sizes use the local equirectangular projection x = R·cos φ₀·(λ − λ₀), y = R·(φ − φ₀) with R = 6 371 008.8 m (IUGG mean
radius) and φ₀ the middle latitude of the bounds (Snyder, "Map Projections: A Working Manual", USGS PP 1395, p. 90). A
polygon's size is its shoelace sum. Over 5 km below 80° the error is at most 0.5 %, plus the Earth's flattening.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from agent.errors import FormatError
from agent.wire.area_opening import (
    DISC_M,
    PLACE_STEP_E7,
    Plane,
    Row,
    count_opened,
    in_outline,
    opened_rows,
    opens,
    within_disc,
)
from agent.wire.strictjson import Message

__all__ = [
    "MAX_EXTENT_M",
    "MAX_LATITUDE",
    "MAX_VERTICES",
    "Area",
    "Bounds",
    "Circle",
    "Point",
    "Polygon",
    "share_near",
]

MAX_VERTICES: Final = 32
MAX_LATITUDE: Final = 80.0
MAX_EXTENT_M: Final = 5_000
E7: Final = 10_000_000
_EARTH_RADIUS_M: Final = 6_371_008.8
_M_PER_DEGREE: Final = math.radians(1) * _EARTH_RADIUS_M

Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]


def e7(degrees: float) -> int:
    """Returns degrees as a whole number of 1e-7 degrees."""
    return round(degrees * E7)


class Point(Message, frozen=True):
    """A place, WGS 84 degrees."""

    lat: Latitude
    lon: Longitude

    def __post_init__(self) -> None:
        if self.lat != e7(self.lat) / E7 or self.lon != e7(self.lon) / E7:
            raise FormatError("A coordinate has more than seven decimals.", remedy="Round it to seven.")


@dataclass(frozen=True, slots=True)
class Bounds:
    """A rectangle of latitudes and longitudes in degrees. Its borders are inside, and it stays clear of the
    antimeridian."""

    south: float
    west: float
    north: float
    east: float

    def encloses(self, other: Bounds) -> bool:
        return (
            self.south <= other.south
            and self.west <= other.west
            and other.north <= self.north
            and other.east <= self.east
        )

    def touches(self, other: Bounds) -> bool:
        """Returns True if the two rectangles share a place."""
        return (
            self.south <= other.north
            and other.south <= self.north
            and self.west <= other.east
            and other.west <= self.east
        )

    @property
    def middle_latitude(self) -> float:
        return (self.south + self.north) / 2

    @property
    def extent_m(self) -> float:
        """Returns the length of the diagonal in metres."""
        return _distance_m(self.middle_latitude, self.north - self.south, self.east - self.west)

    def require_measurable(self) -> None:
        """Raises `FormatError` if the local plane would be too inaccurate."""
        if self.south < -MAX_LATITUDE or self.north > MAX_LATITUDE:
            raise FormatError(
                f"area: it reaches beyond {MAX_LATITUDE:.0f}° latitude.", remedy="Doorward does not serve the poles."
            )
        # Across 180° a western bound is larger than the eastern one, and each comparison here would be wrong.
        if self.east - self.west > 180 or self.west <= -180 or self.east >= 180:
            raise FormatError("area: it touches the antimeridian.", remedy="Ask once on each side of it.")
        if self.extent_m > MAX_EXTENT_M:
            raise FormatError(f"area: it spans more than {MAX_EXTENT_M} m.", remedy="Draw it smaller and rounder.")


class Circle(Message, frozen=True, tag_field="shape", tag="circle"):
    """All places within `radius_m` metres of (`lat`, `lon`)."""

    lat: Latitude
    lon: Longitude
    radius_m: Annotated[int, msgspec.Meta(ge=1, le=MAX_EXTENT_M)]

    def __post_init__(self) -> None:
        # Checks the decimals of the centre, as those of each vertex are checked.
        Point(lat=self.lat, lon=self.lon)
        self.bounds.require_measurable()

    @property
    def size_m2(self) -> float:
        return math.pi * self.radius_m**2

    @property
    def bounds(self) -> Bounds:
        high = self.radius_m / _M_PER_DEGREE
        wide = high / math.cos(math.radians(self.lat))
        return Bounds(self.lat - high, self.lon - wide, self.lat + high, self.lon + wide)

    @property
    def opened_m2(self) -> float:
        """Returns the square metres that count: the whole circle if a disc of 60 m fits into it, else 0."""
        return self.size_m2 if self.radius_m >= DISC_M else 0.0

    def opens(self, least_m2: int) -> bool:
        """Returns whether `opened_m2` is at least that."""
        return self.opened_m2 >= least_m2

    def contains(self, lat: float, lon: float) -> bool:
        """Returns True if the place counts. The circle's border counts."""
        return self.radius_m >= DISC_M and self._plane.reaches(self._centre, (e7(lon), e7(lat)), self.radius_m)

    def outlines(self, lat: float, lon: float) -> bool:
        """Returns True if the place lies in the circle, even if the circle is too small to count."""
        return self._plane.reaches(self._centre, (e7(lon), e7(lat)), self.radius_m)

    def rows(self) -> Iterator[Row]:
        """Yields the places that count, row by row from the south."""
        return self._plane.circle_rows(self._centre, self.radius_m) if self.radius_m >= DISC_M else iter(())

    @property
    def _centre(self) -> _Corner:
        return e7(self.lon), e7(self.lat)

    @property
    def _plane(self) -> Plane:
        return Plane.at(2 * e7(self.lat))


class Polygon(Message, frozen=True, tag_field="shape", tag="polygon"):
    """The ground inside the closed line through `vertices`."""

    vertices: Annotated[tuple[Point, ...], msgspec.Meta(min_length=3, max_length=MAX_VERTICES)]

    def __post_init__(self) -> None:
        self.bounds.require_measurable()
        _require_simple(_corners(self))

    @property
    def size_m2(self) -> float:
        doubled = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in _edges(_corners(self)))
        shrink = math.cos(math.radians(self.bounds.middle_latitude))
        return abs(doubled) / 2 / E7**2 * _M_PER_DEGREE**2 * shrink

    @property
    def opened_m2(self) -> float:
        """Returns the square metres that count: the places of `rows`, each with the ground around it."""
        return count_opened(tuple(_corners(self)), self._plane) * self._place_m2

    def opens(self, least_m2: int) -> bool:
        """Returns whether `opened_m2` is at least that, sooner than `opened_m2` can be counted."""
        return opens(tuple(_corners(self)), self._plane, self._place_m2, least_m2)

    @property
    def _place_m2(self) -> float:
        return (PLACE_STEP_E7 / E7 * _M_PER_DEGREE) ** 2 * math.cos(math.radians(self.bounds.middle_latitude))

    @property
    def bounds(self) -> Bounds:
        latitudes = [vertex.lat for vertex in self.vertices]
        longitudes = [vertex.lon for vertex in self.vertices]
        return Bounds(min(latitudes), min(longitudes), max(latitudes), max(longitudes))

    def contains(self, lat: float, lon: float) -> bool:
        """Returns True if the place counts: a disc of 60 m inside the polygon contains it."""
        return within_disc(_corners(self), self._plane, (e7(lon), e7(lat)))

    def outlines(self, lat: float, lon: float) -> bool:
        """Returns True if the outline encloses the place, counted or not. The border is inside."""
        return in_outline(_corners(self), (e7(lon), e7(lat)))

    def rows(self) -> Iterator[Row]:
        """Yields the places that count, row by row from the south."""
        return opened_rows(_corners(self), self._plane)

    @property
    def _plane(self) -> Plane:
        latitudes = [e7(vertex.lat) for vertex in self.vertices]
        return Plane.at(min(latitudes) + max(latitudes))


Area = Polygon | Circle

_Corner = tuple[int, int]  # (longitude, latitude) in 1e-7 degrees


def share_near(area: Area, lat: float, lon: float, radius_m: int) -> float:
    """Returns the share of the counted ground within `radius_m` of a place, or 0 if the area has none."""
    plane, at = Plane.at(2 * e7(lat)), (e7(lon), e7(lat))
    total = near = 0
    for row in area.rows():
        reached = plane.span(at, row.latitude, radius_m)
        for first, last in row.spans:
            total += last - first + 1
            near += max(0, min(last, reached[1]) - max(first, reached[0]) + 1)
    return near / total if total else 0.0


def _corners(polygon: Polygon) -> list[_Corner]:
    return [(e7(vertex.lon), e7(vertex.lat)) for vertex in polygon.vertices]


def _edges(corners: list[_Corner]) -> list[tuple[_Corner, _Corner]]:
    return list(zip(corners, corners[1:] + corners[:1], strict=True))


def _distance_m(middle_latitude: float, north_degrees: float, east_degrees: float) -> float:
    return math.hypot(north_degrees, east_degrees * math.cos(math.radians(middle_latitude))) * _M_PER_DEGREE


def _turn(a: _Corner, b: _Corner, c: _Corner) -> int:
    """Returns > 0 if c lies to the left of a → b, and 0 if it lies on the line."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _within_box(a: _Corner, b: _Corner, c: _Corner) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _touch(a: _Corner, b: _Corner, c: _Corner, d: _Corner) -> bool:
    """Returns True if the segments a–b and c–d share a point (de Berg et al., "Computational Geometry", ch. 2)."""
    turns = (_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b))
    if _sign(turns[0]) * _sign(turns[1]) < 0 and _sign(turns[2]) * _sign(turns[3]) < 0:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _within_box(*end) for turn, end in zip(turns, ends, strict=True))


def _require_simple(corners: list[_Corner]) -> None:
    """Raises `FormatError` if the closed line meets itself anywhere except at the joint of neighbouring edges."""
    remedy = "Draw the outline once around, without crossings."
    if len(set(corners)) != len(corners):
        raise FormatError("area: a vertex stands twice.", remedy=remedy)
    edges = _edges(corners)
    # At most 496 pairs of 32 edges. A sweep line would be quicker only for longer outlines.
    for i, j in itertools.combinations(range(len(edges)), 2):
        (a, b), (c, d) = edges[i], edges[j]
        if b == c or d == a:
            before, joint, after = (a, b, d) if b == c else (c, d, b)
            # Neighbouring edges share a corner by right, so only an overlap is a fault.
            folds_back = _turn(before, joint, after) == 0 and (
                _within_box(before, joint, after) or _within_box(joint, after, before)
            )
            if folds_back:
                raise FormatError("area: the outline runs back on itself.", remedy=remedy)
        elif _touch(a, b, c, d):
            raise FormatError("area: the outline touches itself.", remedy=remedy)
