"""Areas: sizes that can be checked by hand, doors that count and doors that do not, and shapes that are refused."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.errors import FormatError
from agent.wire import area_opening
from agent.wire.area import MAX_VERTICES, Bounds, Circle, Point, Polygon, share_near
from tests.wire import samples

DEGREE_M = math.pi / 180 * 6_371_008.8


def polygon(*corners: tuple[float, float]) -> Polygon:
    """From (lat, lon) pairs in thousandths of a degree."""
    return Polygon(vertices=tuple(Point(lat=round(lat / 1000, 7), lon=round(lon / 1000, 7)) for lat, lon in corners))


SQUARE = polygon((-5, -5), (-5, 5), (5, 5), (5, -5))


def test_a_square_at_the_equator_has_the_size_of_its_sides() -> None:
    assert SQUARE.size_m2 == pytest.approx((0.01 * DEGREE_M) ** 2, rel=1e-9)


def test_away_from_the_equator_a_degree_of_longitude_is_shorter() -> None:
    north = polygon((60_000 - 5, -5), (60_000 - 5, 5), (60_000 + 5, 5), (60_000 + 5, -5))
    assert north.size_m2 == pytest.approx(SQUARE.size_m2 * math.cos(math.radians(60)), rel=1e-6)


def test_a_triangle_is_half_its_square_in_either_direction() -> None:
    corners = ((-5, -5), (-5, 5), (5, 5))
    assert polygon(*corners).size_m2 == pytest.approx(SQUARE.size_m2 / 2, rel=1e-9)
    assert polygon(*reversed(corners)).size_m2 == pytest.approx(SQUARE.size_m2 / 2, rel=1e-9)


def test_a_circle_has_the_size_of_its_radius() -> None:
    assert Circle(lat=53.5, lon=10.0, radius_m=300).size_m2 == pytest.approx(math.pi * 90_000)


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ((0, 0), True),
        ((4.9, 4.9), True),
        ((5, 5), True),
        ((5, 0), True),
        ((0, -5), True),
        ((5.0001, 0), False),
        ((0, 5.0001), False),
        ((0, -5.0001), False),
        ((-5.0001, -5), False),
        ((5, 6), False),
        ((90_000, 0), False),
    ],
)
def test_an_outline_encloses_its_border_and_nothing_beyond(at: tuple[float, float], inside: bool) -> None:
    assert SQUARE.outlines(at[0] / 1000, at[1] / 1000) is inside


def test_an_outline_leaves_a_hollow_out_and_a_ray_through_a_vertex_counts_once() -> None:
    arrow = polygon((0, 0), (10, 5), (0, 10), (3, 5))
    assert not arrow.outlines(0.001, 0.005)
    assert arrow.outlines(0.005, 0.005)
    diamond = polygon((0, -5), (5, 0), (0, 5), (-5, 0))
    assert diamond.outlines(0.0, -0.002)
    assert not diamond.outlines(0.0, -0.006)
    assert not diamond.outlines(0.005, -0.001)


def test_the_smallest_distance_from_a_side_decides_on_which_side_of_it_a_place_is() -> None:
    triangle = [(0, 0), (2, 3), (0, 3)]
    assert area_opening.in_outline(triangle, (1, 2))
    assert not area_opening.in_outline(triangle, (1, 1))


def test_no_outline_counts_one_door_at_the_tip_of_a_needle_of_ninety_thousand() -> None:
    """A park pays for the size; a bent tip half a metre wide picks one of all the doors on a grid of 8 m."""
    needle, tip = samples.NEEDLE, samples.AT_THE_TIP
    north, east = 8 / DEGREE_M, 8 / DEGREE_M / math.cos(math.radians(tip[0]))
    doors = [
        (round(tip[0] + n * north, 7), round(tip[1] + e * east, 7)) for n in range(-150, 150) for e in range(-150, 150)
    ]
    beyond_the_park = [door for door in doors if door[1] > 9.975]
    assert [door for door in beyond_the_park if needle.outlines(*door)] == [tip]
    assert not any(needle.contains(*door) for door in beyond_the_park)


@settings(max_examples=settings().max_examples // 5)
@given(samples.outlines(), st.integers(0, 2**32).map(random.Random))
def test_whatever_counts_does_so_with_all_of_a_disc_of_60_m(shape: Polygon, chance: random.Random) -> None:
    """The guarantee itself, looked for without the rows: around every place that counts there is such a disc."""
    shrink = math.cos(math.radians(shape.bounds.middle_latitude))
    rows = list(shape.rows())
    assume(rows)
    row = chance.choice(rows)
    first, last = chance.choice(row.spans)
    at = round(row.latitude * 2e-5, 7), round(chance.choice((first, last, chance.randint(first, last))) * 2e-5, 7)
    assert shape.contains(*at)
    reach = math.ceil(60 / DEGREE_M / 1e-5)
    centres = [
        (round(round(at[0], 5) + n * 1e-5, 7), round(round(at[1], 5) + e * 1e-5, 7))
        for n in range(-reach, reach + 1)
        for e in range(-math.ceil(reach / shrink), math.ceil(reach / shrink) + 1)
    ]
    chance.shuffle(centres)

    def ring(centre: tuple[float, float], radius_m: float, turns: int) -> Iterator[tuple[float, float]]:
        for turn in range(turns):
            up, aside = math.sin(turn / turns * math.tau), math.cos(turn / turns * math.tau)
            lat = centre[0] + up * radius_m / DEGREE_M
            yield round(lat, 7), round(centre[1] + aside * radius_m / DEGREE_M / shrink, 7)

    def is_of(centre: tuple[float, float]) -> bool:
        near = math.hypot(centre[0] - at[0], (centre[1] - at[1]) * shrink) * DEGREE_M <= 60.01
        return near and all(shape.outlines(*each) for each in ring(centre, 59.9, 48))

    # All of one such disc counts, too: the opening of the opening is the opening.
    assert any(
        is_of(centre) and all(shape.contains(*each) for radius in (0, 20, 59) for each in ring(centre, radius, 8))
        for centre in centres
    )


@settings(max_examples=settings().max_examples // 2)
@given(samples.outlines(), st.integers(0, 2**32).map(random.Random))
def test_rows_hold_exactly_the_places_that_count(shape: Polygon, chance: random.Random) -> None:
    rows = {row.latitude: row.spans for row in shape.rows()}
    bounds = shape.bounds
    for _ in range(200):
        lat = round(chance.uniform(bounds.south, bounds.north) / 2e-5)
        lon = round(chance.uniform(bounds.west, bounds.east) / 2e-5)
        listed = any(first <= lon <= last for first, last in rows.get(lat, ()))
        assert listed is shape.contains(round(lat * 2e-5, 7), round(lon * 2e-5, 7))


def test_the_size_of_what_counts_loses_corners_and_narrow_parts_and_nothing_else() -> None:
    square = samples.outline(52.0, 5.0, (0, 0), (0, 600), (600, 600), (600, 0))
    rounded_m2 = 600**2 - (4 - math.pi) * 60**2
    assert square.opened_m2 == pytest.approx(rounded_m2, rel=0.01)
    spiked = samples.outline(52.0, 5.0, (0, 0), (0, 600), (280, 600), (300, 2000), (320, 600), (600, 600), (600, 0))
    assert spiked.opened_m2 == pytest.approx(rounded_m2, rel=0.01)
    assert spiked.size_m2 > square.size_m2 + 25_000


@pytest.mark.parametrize("name", sorted(samples.NARROW))
def test_an_area_opens_as_much_as_is_counted_and_not_a_place_more(name: str) -> None:
    for shape in (samples.NARROW[name], Circle(lat=60.0, lon=10.0, radius_m=100)):
        assert shape.opens(0)
        assert shape.opens(math.floor(shape.opened_m2))
        assert not shape.opens(math.floor(shape.opened_m2) + 1)


def test_whether_enough_ground_counts_is_known_after_a_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comb of 5 km took half a second of a fast machine: a door that it encloses would be found by its delay."""
    made: list[int] = []
    row = area_opening._Centres.row
    monkeypatch.setattr(
        area_opening._Centres, "row", lambda centres, number: made.append(number) or row(centres, number)
    )
    square = samples.outline(52.0, 5.0, (0, 0), (0, 900), (900, 900), (900, 0))
    area_opening.opens.cache_clear()
    assert square.opens(64_750)
    assert 100 < len(made) < 350, "of 900 m with a row each 1.1 m"


@pytest.mark.parametrize("name", sorted(samples.NARROW))
def test_two_rooms_count_and_the_neck_between_them_does_not(name: str) -> None:
    narrow = samples.NARROW[name]
    assert narrow.opened_m2 < 0.98 * narrow.size_m2
    if name == "two rooms and a neck":
        assert narrow.contains(52.0 + 150 / DEGREE_M, round(5.0 + 150 / DEGREE_M / math.cos(math.radians(52)), 7))
        neck = 52.0 + 145 / DEGREE_M, 5.0 + 400 / DEGREE_M / math.cos(math.radians(52))
        assert narrow.outlines(*neck)
        assert not narrow.contains(*neck)


def test_a_circle_holds_what_its_radius_reaches_if_a_disc_fits_into_it() -> None:
    circle = Circle(lat=60.0, lon=10.0, radius_m=500)
    reach = 500 / DEGREE_M
    assert circle.contains(60.0 + reach * 0.999, 10.0)
    assert not circle.contains(60.0 + reach * 1.001, 10.0)
    assert circle.contains(60.0, 10.0 + reach * 1.99)
    assert not circle.contains(60.0, 10.0 + reach * 2.01)
    assert not circle.contains(-60.0, 10.0)
    assert Circle(lat=60.0, lon=10.0, radius_m=60).contains(60.0, 10.0)
    small = Circle(lat=60.0, lon=10.0, radius_m=59)
    assert small.outlines(60.0, 10.0)
    assert not small.contains(60.0, 10.0)
    assert small.opened_m2 == 0
    assert list(small.rows()) == []


def test_how_much_of_an_area_lies_near_a_door_is_told_as_a_part_of_it() -> None:
    circle = Circle(lat=53.5, lon=10.0, radius_m=400)
    assert share_near(circle, 53.5, 10.0, 200) == pytest.approx(0.25, abs=0.01)
    assert share_near(circle, 53.6, 10.0, 200) == 0
    square = samples.outline(52.0, 5.0, (0, 0), (0, 600), (600, 600), (600, 0))
    middle = 52.0 + 300 / DEGREE_M, 5.0 + 300 / DEGREE_M / math.cos(math.radians(52))
    assert share_near(square, *middle, 200) == pytest.approx(math.pi * 200**2 / 600**2, rel=0.02)
    assert share_near(samples.NARROW["strip of 119 m"], 40.0, -3.0, 200) == 0


@given(samples.areas())
def test_bounds_enclose_the_area_and_nothing_outside_them_is_in_it(area: Polygon | Circle) -> None:
    bounds = area.bounds
    assert bounds.encloses(bounds)
    step = 1e-6
    assert not area.contains(bounds.north + step, (bounds.west + bounds.east) / 2)
    assert not area.contains((bounds.south + bounds.north) / 2, bounds.west - step)
    assert area.outlines(round((bounds.south + bounds.north) / 2, 7), round((bounds.west + bounds.east) / 2, 7))


def test_bounds_enclose_only_what_lies_wholly_within() -> None:
    region = Bounds(0, 0, 10, 10)
    assert region.encloses(Bounds(0, 0, 10, 10))
    for outside in (Bounds(-1, 0, 5, 5), Bounds(0, -1, 5, 5), Bounds(0, 0, 11, 5), Bounds(0, 0, 5, 11)):
        assert not region.encloses(outside)


@pytest.mark.parametrize(
    ("corners", "why"),
    [
        (((0, 0), (5, 5), (0, 5), (5, 0)), "touches itself"),
        (((0, 0), (0, 10), (10, 10), (10, 0), (0, 5)), "touches itself"),
        (((0, 0), (0, 10), (5, 5), (10, 10), (10, 0), (5, 5)), "stands twice"),
        (((0, 0), (0, 10), (0, 5), (5, 5)), "runs back"),
        (((0, 5), (0, 0), (0, 10), (5, 5)), "runs back"),
        (((0, 0), (0, 5), (0, 10)), "runs back"),
        (((0, 0), (0, 0), (5, 5)), "stands twice"),
        (((0, 0), (0, 50), (50, 0)), "spans more than"),
        (((79_998, 0), (79_998, 5), (80_001, 0)), "80° latitude"),
        (((-79_998, 0), (-79_998, 5), (-80_001, 0)), "80° latitude"),
        (((0, 179_999), (0, -179_999), (5, 179_999)), "antimeridian"),
        (((0, 179_995), (0, 180_000), (5, 180_000)), "antimeridian"),
        (((0, -179_995), (0, -180_000), (5, -180_000)), "antimeridian"),
    ],
)
def test_a_shape_that_cannot_be_measured_honestly_is_refused(
    corners: tuple[tuple[float, float], ...], why: str
) -> None:
    with pytest.raises(FormatError, match=why):
        polygon(*corners)


@pytest.mark.parametrize(
    ("circle", "why"),
    [
        ({"lat": 79.999, "lon": 0.0, "radius_m": 500}, "80° latitude"),
        ({"lat": 90.0, "lon": 0.0, "radius_m": 500}, "80° latitude"),
        ({"lat": 0.0, "lon": 179.999, "radius_m": 500}, "antimeridian"),
        ({"lat": 0.0, "lon": -179.999, "radius_m": 500}, "antimeridian"),
        ({"lat": 0.0, "lon": 0.0, "radius_m": 2500}, "spans more than"),
        ({"lat": 0.12345678, "lon": 0.0, "radius_m": 500}, "seven decimals"),
    ],
)
def test_a_circle_that_cannot_be_measured_honestly_is_refused(circle: dict[str, float], why: str) -> None:
    with pytest.raises(FormatError, match=why):
        Circle(**circle)  # type: ignore[arg-type]


def test_an_area_may_reach_to_the_last_latitude() -> None:
    for sign in (1, -1):
        assert polygon((sign * 79_995, 0), (sign * 79_995, 5), (sign * 80_000, 0)).size_m2 > 0


def test_two_rectangles_touch_when_a_place_lies_in_both() -> None:
    middle = Bounds(1, 1, 2, 2)
    for beside in (Bounds(2, 2, 3, 3), Bounds(0, 0, 1, 1), Bounds(0, 1.5, 3, 1.6), middle):
        assert middle.touches(beside)
        assert beside.touches(middle)
    for apart in (Bounds(2.1, 1, 3, 2), Bounds(0, 1, 0.9, 2), Bounds(1, 2.1, 2, 3), Bounds(1, 0, 2, 0.9)):
        assert not middle.touches(apart)
        assert not apart.touches(middle)


def test_a_vertex_in_the_middle_of_a_side_is_allowed() -> None:
    assert polygon((0, 0), (0, 5), (0, 10), (10, 10), (10, 0)).size_m2 > 0


def circle_of_corners(count: int) -> Polygon:
    return polygon(
        *((5 * math.cos(2 * math.pi * n / count), 5 * math.sin(2 * math.pi * n / count)) for n in range(count))
    )


def test_a_polygon_has_as_many_vertices_as_allowed_and_approaches_the_circle() -> None:
    round_enough = circle_of_corners(MAX_VERTICES)
    assert round_enough.size_m2 == pytest.approx(math.pi * (0.005 * DEGREE_M) ** 2, rel=0.01)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=7))
def test_any_outline_is_measured_or_refused_and_agrees_with_a_count_of_squares(
    corners: list[tuple[int, int]],
) -> None:
    try:
        shape = polygon(*corners)
    except FormatError:
        assume(False)
        return
    # Pick's theorem on the grid of the vertices: area = inner points + border points / 2 - 1.
    held = border = 0
    for lat in range(13):
        for lon in range(13):
            held += shape.outlines(lat / 1000, lon / 1000)
    for (a, b), (c, d) in zip(corners, corners[1:] + corners[:1], strict=True):
        border += math.gcd(abs(a - c), abs(b - d))
    assert shape.size_m2 == pytest.approx((held - border / 2 - 1) * (0.001 * DEGREE_M) ** 2, rel=1e-6)
