"""Zones are exact at their borders, and privacy wins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.motion.zones import Zone, ZoneMap
from agent.errors import ConfigurationError
from agent.wire.fields import ZoneKind

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
RIGHT = ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
MIDDLE = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
SHARES = st.floats(0, 1, allow_nan=False)


def test_a_rectangle_covers_exactly_the_cells_whose_centre_it_holds() -> None:
    covered = Zone("door", MIDDLE).covers(8, 16)
    expected = np.zeros((8, 16), bool)
    expected[2:6, 4:12] = True
    assert np.array_equal(covered, expected)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (60, 80), (1080, 1920)])
def test_zones_that_share_an_edge_neither_overlap_nor_leave_a_gap(size: tuple[int, int]) -> None:
    assert np.all(Zone("left", LEFT).covers(*size) ^ Zone("right", RIGHT).covers(*size))


@given(SHARES, SHARES, st.integers(1, 50), st.integers(1, 50))
def test_any_cut_of_the_picture_gives_every_cell_to_one_side(x0: float, x1: float, rows: int, columns: int) -> None:
    one = Zone("one", ((0, 0), (x0, 0), (x1, 1), (0, 1))).covers(rows, columns)
    other = Zone("other", ((x0, 0), (1, 0), (1, 1), (x1, 1))).covers(rows, columns)
    assert np.all(one ^ other)


@given(st.lists(st.tuples(SHARES, SHARES), min_size=3, max_size=8))
def test_the_direction_of_drawing_does_not_matter(corners: list[tuple[float, float]]) -> None:
    forth = Zone("z", tuple(corners)).covers(31, 41)
    back = Zone("z", tuple(reversed(corners))).covers(31, 41)
    assert np.array_equal(forth, back)


def test_a_concave_polygon_leaves_its_notch_out() -> None:
    notched = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.0, 1.0))
    covered = Zone("u", notched).covers(20, 20)
    assert not covered[18, 10]
    assert covered[18, 0]


def test_an_outline_that_crosses_itself_covers_all_that_it_goes_around() -> None:
    """A star drawn in one line that circles its middle twice, and a square that is circled twice."""
    star = tuple((0.5 + 0.45 * math.sin(turn), 0.5 - 0.45 * math.cos(turn)) for turn in np.arange(5) * 0.8 * math.pi)
    assert Zone("star", star).covers(40, 40)[16:24, 16:24].all()
    assert np.array_equal(Zone("twice", MIDDLE * 2).covers(40, 40), Zone("once", MIDDLE).covers(40, 40))


def test_without_an_include_zone_the_whole_picture_is_watched() -> None:
    assert np.all(ZoneMap().rasterise(6, 8).watched == 255)


def test_exclude_and_privacy_are_cut_out_of_include() -> None:
    zones = ZoneMap((Zone("yard", MIDDLE), Zone("street", LEFT, ZoneKind.EXCLUDE)))
    watched = zones.rasterise(8, 16).watched
    assert np.array_equal(np.argwhere(watched).min(axis=0), [2, 8])
    assert np.array_equal(np.argwhere(watched).max(axis=0), [5, 11])


def test_where_include_zones_overlap_the_keener_one_holds() -> None:
    zones = ZoneMap((Zone("yard", LEFT, smallest_person=0.8), Zone("door", MIDDLE, sensitivity=2, smallest_person=0.4)))
    raster = zones.rasterise(100, 100)
    assert raster.sensitivity[50, 40] == 2
    assert raster.smallest_cells[50, 40] == 40
    assert raster.smallest_cells[50, 0] == 160


def test_only_privacy_zones_black_the_recording_at_any_size() -> None:
    zones = ZoneMap((Zone("window", LEFT, ZoneKind.PRIVACY), Zone("street", MIDDLE, ZoneKind.EXCLUDE)))
    assert zones.has_privacy
    for size in ((240, 320), (1080, 1920)):
        mask = zones.privacy_mask(*size)
        assert mask.dtype == np.bool_
        assert mask[:, : size[1] // 2].all()
        assert not mask[:, size[1] // 2 :].any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"corners": ((0, 0), (1, 1))},
        {"corners": ((0, 0), (1, 0), (0, 1.2))},
        {"corners": ((0, 0), (1, 0), (0, float("nan")))},
        {"corners": LEFT, "sensitivity": 0.0},
        {"corners": LEFT, "smallest_person": 0.81},
    ],
)
def test_an_impossible_zone_is_refused_by_its_name(wrong: dict) -> None:
    with pytest.raises(ConfigurationError, match="Zone 'door'"):
        Zone("door", **wrong)


def test_two_zones_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'door' is given twice"):
        ZoneMap((Zone("door", LEFT), Zone("door", RIGHT)))


def test_zones_that_leave_nothing_to_watch_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="nothing to watch"):
        ZoneMap((Zone("door", LEFT), Zone("street", LEFT, ZoneKind.EXCLUDE))).rasterise(6, 8)
