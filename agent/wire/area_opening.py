"""Ground of a polygon that counts: its morphological opening by a disc of 60 m, exact on integers.

A *centre* is a place with coordinates that are multiples of 1e-5 degrees, with its disc of 60 m in the polygon. A
place counts if it lies in the disc of a centre. Therefore a needle or a narrow neck reaches no door: each place counts
together with all places of a whole disc.

Distances are measured in the plane x = K · longitude, y = 2^20 · latitude over whole 1e-7 degrees, with K = 2^20 · cos
φ rounded to an integer, which is the only rounded number. The code walks along rows. A side or corner nearer than 60 m
blocks one interval of a row. The stretch between two blocked intervals is wholly inside the polygon or wholly outside
(Serra, "Image Analysis and Mathematical Morphology", 1982, ch. II).

Source: PROTOCOL.md section 4, "What counts".
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["DISC_M", "Plane", "Row", "count_opened", "in_outline", "opened_rows", "opens", "within_disc"]

DISC_M: Final = 60
"""Radius of the disc, in metres: 11 310 m², some fifteen plots of a suburb."""
SCALE: Final = 1_048_576
RADIUS: Final = 5_658_034_498
"""`DISC_M` in units of the plane: 60 m / 0.0111195 m per 1e-7 degrees · `SCALE`, rounded."""
CENTRE_STEP_E7: Final = 100
PLACE_STEP_E7: Final = 200
"""Step in 1e-7 degrees of the grid on which a size counts places."""
_REACH_E7: Final = RADIUS // SCALE
"""Whole 1e-7 degrees of latitude in a disc."""
_NEAREST_FIRST: Final = sorted(range(-(_REACH_E7 // CENTRE_STEP_E7 + 1), _REACH_E7 // CENTRE_STEP_E7 + 2), key=abs)
"""Rows of centres around a place, counted from the nearest one: a disc near it is found first."""
_DEGREE_E7: Final = 10_000_000

Corner = tuple[int, int]
"""(longitude, latitude) in 1e-7 degrees."""
Interval = tuple[int, int]
"""First and last number of a row, both included."""


@dataclass(frozen=True, slots=True)
class Row:
    """Places that count on one latitude: `latitude` and the ends of `spans` in steps of `PLACE_STEP_E7`."""

    latitude: int
    spans: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Plane:
    """The plane for distances: `across` units per 1e-7 degrees of longitude, `SCALE` units per 1e-7 degrees of
    latitude."""

    across: int

    @classmethod
    def at(cls, twice_latitude_e7: int) -> Plane:
        """Returns the plane for a polygon. `twice_latitude_e7` is the sum of its southern and northern bound in 1e-7
        degrees."""
        return cls(math.floor(SCALE * math.cos(math.radians(twice_latitude_e7 / 2 / _DEGREE_E7)) + 0.5))

    def distance2(self, a: Corner, b: Corner) -> int:
        """Returns the square of the distance."""
        return ((a[0] - b[0]) * self.across) ** 2 + ((a[1] - b[1]) * SCALE) ** 2

    def reaches(self, centre: Corner, at: Corner, radius_m: int) -> bool:
        """Returns True if `at` is at most `radius_m` from `centre`."""
        return self.distance2(centre, at) <= _squared(radius_m)

    def span(self, centre: Corner, latitude: int, radius_m: int) -> Interval:
        """Returns the places of the row `latitude` (in steps of `PLACE_STEP_E7`) in that circle. The interval is empty
        if last < first."""
        left = _squared(radius_m) - ((latitude * PLACE_STEP_E7 - centre[1]) * SCALE) ** 2
        if left < 0:
            return 0, -1
        half, x = math.isqrt(left), centre[0] * self.across
        return _whole(x - half, x + half, PLACE_STEP_E7 * self.across)

    def circle_rows(self, centre: Corner, radius_m: int) -> Iterator[Row]:
        """Yields each row of places in a circle, from the south."""
        reach = math.isqrt(_squared(radius_m)) // SCALE
        for latitude in range((centre[1] - reach) // PLACE_STEP_E7, (centre[1] + reach) // PLACE_STEP_E7 + 1):
            span = self.span(centre, latitude, radius_m)
            if span[0] <= span[1]:
                yield Row(latitude, (span,))


def _squared(radius_m: int) -> int:
    """Returns the square of `radius_m` metres in units of a plane."""
    return (radius_m * RADIUS) ** 2 // DISC_M**2


def in_outline(corners: list[Corner], at: Corner) -> bool:
    """Returns True if `at` is inside by the even–odd rule on a ray to the east. The outline is inside."""
    inside = False
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        side = (b[0] - a[0]) * (at[1] - a[1]) - (b[1] - a[1]) * (at[0] - a[0])
        if side == 0 and min(a[0], b[0]) <= at[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= at[1] <= max(a[1], b[1]):
            return True
        # Half-open in latitude: a ray through a corner must cross once, or the parity would be wrong.
        if (a[1] > at[1]) != (b[1] > at[1]) and (side > 0) == (b[1] > a[1]):
            inside = not inside
    return inside


def within_disc(corners: list[Corner], plane: Plane, at: Corner) -> bool:
    """Returns True if `at` counts."""
    if not in_outline(corners, at):
        return False  # the quick answer for almost every door of a cell
    step = CENTRE_STEP_E7 * plane.across
    centres = _centres(tuple(corners), plane)
    nearest = round(at[1] / CENTRE_STEP_E7)
    for offset in _NEAREST_FIRST:
        row = nearest + offset
        left = RADIUS**2 - ((row * CENTRE_STEP_E7 - at[1]) * SCALE) ** 2
        if left < 0:
            continue
        half = math.isqrt(left)
        first, last = _whole(at[0] * plane.across - half, at[0] * plane.across + half, step)
        # A place at exactly 60 m from a centre counts.
        if first <= last and any(begins <= last and first <= ends for begins, ends in centres.kept_row(row)):
            return True
    return False


def opened_rows(corners: list[Corner], plane: Plane) -> Iterator[Row]:
    """Yields each row of places that count, from the south."""
    centres = _Centres(corners, plane)
    every = PLACE_STEP_E7 // CENTRE_STEP_E7
    halves = _halves(plane)
    reach = len(halves) - 1
    rows: dict[int, list[Interval]] = {}
    """Rows of centres, each made when it is needed first: a caller may need few of them (`opens`)."""
    south, north = centres.rows.start, centres.rows.stop - 1
    for latitude in range((south - reach) // every, (north + reach) // every + 1):
        wide: list[Interval] = []
        for row in range(max(south, latitude * every - reach), min(north, latitude * every + reach) + 1):
            spans = rows.get(row)
            if spans is None:
                spans = rows[row] = centres.row(row)
            half = halves[abs(row - latitude * every)]
            wide += [(first - half, last + half) for first, last in spans]
        places = (_whole(first, last, every) for first, last in _merged(wide))
        if held := tuple(span for span in places if span[0] <= span[1]):
            yield Row(latitude, held)


@functools.lru_cache(maxsize=32)
def count_opened(corners: tuple[Corner, ...], plane: Plane) -> int:
    """Returns how many places count. Cached because one request is checked against its limits more than once."""
    return sum(last - first + 1 for row in opened_rows(list(corners), plane) for first, last in row.spans)


@functools.lru_cache(maxsize=32)
def opens(corners: tuple[Corner, ...], plane: Plane, place_m2: float, least_m2: int) -> bool:
    """Returns whether places of `place_m2` each count for `least_m2`, and stops to count there: an outline that is hard
    to count has most of its places in its first rows."""
    counted = 0
    for row in opened_rows(list(corners), plane):
        counted += sum(last - first + 1 for first, last in row.spans)
        if counted * place_m2 >= least_m2:
            return True
    return least_m2 <= 0


@functools.lru_cache(maxsize=4)
def _centres(corners: tuple[Corner, ...], plane: Plane) -> _Centres:
    """Returns the centres of a polygon. Cached because a client asks about many places of one request."""
    return _Centres(list(corners), plane)


def _halves(plane: Plane) -> list[int]:
    """Returns how many centres a disc reaches to either side on the row 0, 1, 2 … rows from its centre."""
    steps = range(_REACH_E7 // CENTRE_STEP_E7 + 1)
    left = (RADIUS**2 - (step * CENTRE_STEP_E7 * SCALE) ** 2 for step in steps)
    return [math.isqrt(each) // (CENTRE_STEP_E7 * plane.across) for each in left]


@dataclass(frozen=True, slots=True)
class _Edge:
    """A side from `a` with `dy` ≥ 0. A point is nearer than the disc's radius if |cross product| ≤ `most`."""

    a: Corner
    dx: int
    dy: int
    length2: int
    most: int

    @classmethod
    def between(cls, a: Corner, b: Corner) -> _Edge:
        if a[1] > b[1]:
            a, b = b, a
        dx, dy = b[0] - a[0], b[1] - a[1]
        length2 = dx * dx + dy * dy
        # One less, because a centre at exactly 60 m from a side is free.
        return cls(a, dx, dy, length2, math.isqrt(RADIUS**2 * length2 - 1))

    def blocked(self, y: int) -> Interval | None:
        """Returns the stretch of the row `y` that is too near and has its foot on the side."""
        north = y - self.a[1]
        ranges = []
        if self.dy > 0:  # a level side is near on every row that is asked for: those less than a radius away
            ranges.append(_whole(north * self.dx - self.most, north * self.dx + self.most, self.dy))
        if self.dx == 0:
            if not 0 <= north * self.dy <= self.length2:
                return None
        elif self.dx > 0:
            ranges.append(_whole(-north * self.dy, self.length2 - north * self.dy, self.dx))
        else:
            ranges.append(_whole(north * self.dy - self.length2, north * self.dy, -self.dx))
        first, last = max(each[0] for each in ranges), min(each[1] for each in ranges)
        return (self.a[0] + first, self.a[0] + last) if first <= last else None


class _Centres:
    """The centres of a polygon's discs, row by row."""

    def __init__(self, corners: list[Corner], plane: Plane) -> None:
        self._corners = corners
        self._step = CENTRE_STEP_E7 * plane.across
        self._points = [(lon * plane.across, lat * SCALE) for lon, lat in corners]
        self._sides = [
            _Edge.between(a, b) for a, b in zip(self._points, self._points[1:] + self._points[:1], strict=True)
        ]
        lons, lats = [lon for lon, _ in corners], [lat for _, lat in corners]
        self._first, self._last = _whole(min(lons), max(lons), CENTRE_STEP_E7)
        south, north = _whole(min(lats), max(lats), CENTRE_STEP_E7)
        self.rows = range(south, north + 1)

        self.kept_row = functools.lru_cache(maxsize=512)(self.row)
        """`row`, for doors beside each other."""

    def row(self, row: int) -> list[Interval]:
        """Returns the centres at latitude `row` · `CENTRE_STEP_E7`, by their longitude in the same step."""
        latitude = row * CENTRE_STEP_E7
        found, first = [], self._first
        for begins, ends in [*_merged(self._blocked(latitude * SCALE)), (self._last + 1, self._last)]:
            # No side crosses the row between two blocked intervals, so testing one centre is enough.
            if first < begins and in_outline(self._corners, (first * CENTRE_STEP_E7, latitude)):
                found.append((first, min(begins - 1, self._last)))
            first = max(first, ends + 1)
        return found

    def _blocked(self, y: int) -> Iterator[Interval]:
        for x, corner_y in self._points:
            left = RADIUS**2 - (y - corner_y) ** 2
            if left > 0:
                # One less, because a centre at exactly 60 m from a corner is free.
                half = math.isqrt(left - 1)
                yield _whole(x - half, x + half, self._step)
        for side in self._sides:
            if side.a[1] - RADIUS < y < side.a[1] + side.dy + RADIUS and (found := side.blocked(y)) is not None:
                yield _whole(*found, self._step)


def _whole(first: int, last: int, step: int) -> Interval:
    """Returns the numbers of the multiples of `step` from `first` to `last`. The interval is empty if the first is
    beyond the last."""
    # Rounds the first up and the last down, in integers: a float would lose digits of these products.
    return -(-first // step), last // step


def _merged(intervals: Iterable[Interval]) -> Iterator[Interval]:
    """Yields the intervals in order, merged, and leaves out empty ones."""
    standing: Interval | None = None
    for first, last in sorted(each for each in intervals if each[0] <= each[1]):
        if standing is None or first > standing[1] + 1:
            if standing is not None:
                yield standing
            standing = (first, last)
        elif last > standing[1]:
            standing = (standing[0], last)
    if standing is not None:
        yield standing
