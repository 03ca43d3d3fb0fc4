"""Light keeps structure, things hide it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agent.core.motion.grids import Grids
from agent.core.motion.lighting import (
    BODY_LIT_CORRELATION,
    SuddenLightChange,
    hidden_structure,
    is_light_new,
    is_only_lit,
)
from agent.core.motion.passes import CellBox
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.pyramid import STEPS_PER_E, Pyramid
from agent.core.motion.zones import Zone, ZoneMap
from agent.wire.fields import ZoneKind

Draw = Callable[..., np.ndarray]
WATCHED = np.full((60, 80), 255, np.uint8)


def steps(picture: np.ndarray) -> np.ndarray:
    luma = np.clip(picture, 0, 255).astype(np.uint8)
    return Pyramid(240, 320).shrink(luma, np.zeros((60, 80), np.uint8))


def background(picture: np.ndarray) -> np.ndarray:
    return steps(picture).astype(np.float32)


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0), (1.2, 0), (1.0, 40), (0.7, 20)])
def test_a_lamp_hides_no_structure(gain: float, offset: float, scene: Draw) -> None:
    assert hidden_structure(steps(scene() * gain + offset), background(scene()), WATCHED)[0] < 0.05


def test_a_person_who_fills_the_picture_hides_most_structure(scene: Draw, with_figure: Draw) -> None:
    close = with_figure(scene(), 0.05, y=0.05, width=0.9, height=0.9)
    share, box = hidden_structure(steps(close), background(scene()), WATCHED)
    assert share > 0.6
    assert box == (0, 0, 80, 56)


def test_structure_that_no_zone_watches_does_not_count(scene: Draw, with_figure: Draw) -> None:
    watched = WATCHED.copy()
    watched[:, :40] = 0
    half = with_figure(scene(), 0, y=0, width=0.5, height=1)
    assert hidden_structure(steps(half), background(scene()), watched)[0] < 0.1


NOTHING = np.zeros((6, 8), np.float32)


def sudden_change() -> SuddenLightChange:
    sudden = SuddenLightChange(6, 8, settle_frames=6)
    sudden.suspects(NOTHING, 100)
    return sudden


def test_a_sudden_change_settles_for_its_time_and_knows_whether_it_goes_on() -> None:
    for changing, expected in ((0.0, False), (0.5, True)):
        sudden = sudden_change()
        for _ in range(6):
            assert sudden.settling
            sudden.observe(changing, is_lit=False)
        assert not sudden.settling
        assert sudden.kept_changing is expected


def test_a_light_that_goes_on_changing_is_waited_for_but_not_for_ever() -> None:
    sudden = sudden_change()
    for _ in range(17):
        sudden.observe(0.0, is_lit=True)
        assert sudden.settling
    sudden.observe(0.0, is_lit=True)
    assert not sudden.settling


def test_a_light_that_blinks_is_looked_through_for_most_of_the_time() -> None:
    sudden = sudden_change()
    settling = []
    for number in range(100, 700):
        sudden.suspects(NOTHING, number)
        sudden.observe(0.0, is_lit=True)
        settling.append(sudden.settling)
    assert 0 < sum(settling) < 0.35 * len(settling)


def test_a_light_that_jumps_twice_has_not_kept_changing() -> None:
    sudden = sudden_change()
    for changing, is_lit in ((0.4, True), (0.1, False), (0.0, False), (0.0, False), (0.4, True), (0.1, False)):
        sudden.observe(changing, is_lit=is_lit)
    assert sudden.settling
    assert not sudden.kept_changing


def test_what_moves_before_most_of_the_picture_changes_is_no_light() -> None:
    sudden = SuddenLightChange(6, 8, settle_frames=6)
    sudden.observe(0.1, is_lit=False)
    sudden.suspects(NOTHING, 100)
    assert not sudden.settling
    sudden.observe(0.0, is_lit=False)
    sudden.suspects(NOTHING, 100)
    assert sudden.settling


def lit_grids(gain: float, part: slice) -> Grids:
    """Most of the scene is learned, and `part` of its columns is brighter by this factor."""
    grids = Grids(ZoneMap((Zone("privacy", ((0, 0), (0.1, 0), (0.1, 1), (0, 1)), ZoneKind.EXCLUDE),)).rasterise(60, 80))
    grids.quick_mean[:], grids.quick_threshold[:] = 100, np.where(grids.blind > 0, 255, 4)
    grids.frame[:] = 100
    grids.frame[:, part] = round(100 + STEPS_PER_E * np.log(gain))
    return grids


def test_the_light_is_anew_if_most_of_what_no_visitor_hides_has_changed() -> None:
    assert is_light_new(lit_grids(1.5, np.s_[:]), None)
    assert not is_light_new(lit_grids(1.05, np.s_[:]), None), "clouds do that"
    assert not is_light_new(lit_grids(1.5, np.s_[:30]), None)
    assert is_light_new(lit_grids(1.5, np.s_[:50]), None)
    assert not is_light_new(lit_grids(1.5, np.s_[:50]), (0, 0, 50, 60)), "a visitor who fills half of the picture"
    assert not is_light_new(lit_grids(1.5, np.s_[:]), (0, 0, 70, 60)), "too little is left to tell"


def compared(now: np.ndarray, before: np.ndarray, box: CellBox) -> list[float]:
    """Compares all cells of the box."""
    grids, (x0, y0, x1, y1) = Grids(ZoneMap().rasterise(60, 80)), box
    grids.frame[:], grids.seen[:] = steps(now), background(before)
    grids.body[y0:y1, x0:x1] = 255
    return PurePasses(grids, 240, 320).compare_body(box, False)


def test_a_headlight_shows_the_structure_that_is_there(scene: Draw) -> None:
    dark = scene() * 0.3
    beam = 1 + 2.5 * np.exp(-(((np.linspace(0, 1, 320) - 0.5) / 0.15) ** 2))
    assert is_only_lit(compared(dark * beam, dark, (27, 9, 53, 51)))


@pytest.mark.parametrize("darker", [1.0, 0.3])
def test_a_visitor_hides_the_structure_that_is_there(darker: float, scene: Draw, with_figure: Draw) -> None:
    visited = with_figure(scene(), 0.4) * darker
    assert not is_only_lit(compared(visited, scene() * darker, (31, 17, 43, 49)))


def test_a_visitor_before_a_bare_wall_is_not_light(with_figure: Draw) -> None:
    wall = np.full((240, 320), 120, np.uint8)
    assert not is_only_lit(compared(with_figure(wall, 0.4), wall, (31, 17, 43, 49)))


@pytest.mark.parametrize("seed", range(6))
def test_it_is_light_if_what_lies_beyond_the_mean_of_five_by_five_cells_correlates(seed: int) -> None:
    """The definition, cell by cell, in whole numbers."""
    random = np.random.default_rng(seed)
    grids = Grids(ZoneMap().rasterise(60, 80))
    grids.scene[:] = random.integers(0, 255 * 64, (60, 80)) / np.float32(64)
    grids.frame[:] = np.clip(grids.scene + random.normal(0, 20 * seed, (60, 80)), 0, 255)
    grids.body[:] = np.where(random.random((60, 80)) < 0.7, 255, 0)
    x0, y0, x1, y1 = window = (10, 5, 31, 44)

    def beyond(picture: np.ndarray) -> list[int]:
        """64 × 25 times what remains, for each cell of the body."""
        wide = np.pad((picture[y0:y1, x0:x1] * 64.0).astype(int), 2, "reflect")
        cells = np.argwhere(grids.body[y0:y1, x0:x1])
        return [25 * int(wide[y + 2, x + 2]) - int(wide[y : y + 5, x : x + 5].sum()) for y, x in cells]

    now, before = beyond(grids.frame), beyond(grids.scene)
    correlation = sum(map(int.__mul__, now, before)) / (sum(n * n for n in now) * sum(b * b for b in before)) ** 0.5
    said = PurePasses(grids, 60, 80).compare_body(window, True)
    assert said[0] == len(now)
    assert said[3] == sum(map(int.__mul__, now, before)) / 64**2
    assert is_only_lit(said, BODY_LIT_CORRELATION) == (correlation > BODY_LIT_CORRELATION)
    assert is_only_lit(said) == (correlation > 0.75)
