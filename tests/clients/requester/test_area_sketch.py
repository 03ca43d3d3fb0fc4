"""The outline of an area is to scale, with north up, in the middle of its picture."""

from __future__ import annotations

import math

import pytest

from agent.clients.requester.area_sketch import HEIGHT_PX, WIDTH_PX, Sketch, sketch
from agent.wire.area import Area, Circle, Point, Polygon

M_PER_DEGREE = 6_371_008.8 * math.pi / 180


def points(found: Sketch) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (each.split(",") for each in found.points.split(" "))]


def rectangle(south: float, west: float, north: float, east: float) -> Area:
    corners = ((south, west), (south, east), (north, east), (north, west))
    return Polygon(vertices=tuple(Point(lat=lat, lon=lon) for lat, lon in corners))


def test_a_high_area_fills_the_height_and_stands_in_the_middle() -> None:
    found = sketch(rectangle(0.0, 10.0, 0.01, 10.005))
    scale = (130 - 2 * 8 - 22) / (0.01 * M_PER_DEGREE)
    half = 0.005 * M_PER_DEGREE * scale / 2
    assert (found.width_px, found.height_px) == (WIDTH_PX, HEIGHT_PX) == (150, 130)
    expected = [(75 - half, 100), (75 + half, 100), (75 + half, 8), (75 - half, 8)]
    assert points(found) == [pytest.approx(each, abs=0.06) for each in expected]
    assert (found.bar_m, found.bar_px) == (500, pytest.approx(500 * scale))


def test_a_wide_area_fills_the_width_and_shrinks_with_the_latitude() -> None:
    found = sketch(rectangle(60.0, 10.0, 60.001, 10.02))
    wide_m = 0.02 * M_PER_DEGREE * math.cos(math.radians(60.0005))
    scale = (150 - 2 * 8) / wide_m
    high = 0.001 * M_PER_DEGREE * scale
    top = 8 + (92 - high) / 2
    expected = [(8, top + high), (142, top + high), (142, top), (8, top)]
    assert points(found) == [pytest.approx(each, abs=0.06) for each in expected]
    assert (found.bar_m, found.bar_px) == (500, pytest.approx(500 * scale))


def test_a_disc_is_round_and_of_its_radius() -> None:
    found = sketch(Circle(lat=52.3702, lon=4.8952, radius_m=300))
    outline = points(found)
    assert len(outline) == 72
    radius_px = 46
    assert [math.hypot(x - 75, y - 54) for x, y in outline] == [pytest.approx(radius_px, abs=0.2)] * 72
    assert outline[0] == pytest.approx((75, 8), abs=0.1)
    assert outline[18] == pytest.approx((121, 54), abs=0.2)


@pytest.mark.parametrize(("radius_m", "bar_m"), [(100, 100), (200, 200), (350, 500), (700, 1000)])
def test_the_bar_is_the_longest_round_length_of_at_most_half_the_width(radius_m: int, bar_m: int) -> None:
    found = sketch(Circle(lat=0.0, lon=0.0, radius_m=radius_m))
    assert found.bar_m == bar_m
    assert found.bar_px == pytest.approx(bar_m * 92 / (2 * radius_m), rel=0.01)
    assert found.bar_px <= 67


def test_the_bar_of_a_very_small_area_is_the_shortest_one() -> None:
    found = sketch(Circle(lat=0.0, lon=0.0, radius_m=25))
    assert (found.bar_m, found.bar_px) == (50, pytest.approx(92, rel=0.01))
