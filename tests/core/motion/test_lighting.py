"""Light keeps structure, things hide it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from agent.core.media import Light
from agent.core.motion.grids import Grids
from agent.core.motion.lighting import ExposureWatch, SuddenLightChange, hidden_structure, is_light
from agent.core.motion.passes import CellBox
from agent.core.motion.passes.tracks import light_sums
from agent.core.motion.pyramid import Pyramid
from agent.core.motion.zones import ZoneMap

Draw = Callable[..., np.ndarray]
BOX = (30, 20, 60, 50)
DIFFERING = np.zeros((60, 80), np.uint8)
DIFFERING[20:50, 30:60] = 255
WATCHED = np.full((60, 80), 255, np.uint8)


def steps(picture: np.ndarray) -> np.ndarray:
    luma = np.clip(picture, 0, 255).astype(np.uint8)
    return Pyramid(240, 320).shrink(luma, np.zeros((60, 80), np.uint8))


def judged_light(now: np.ndarray, before: np.ndarray, differing: np.ndarray, box: CellBox) -> bool:
    grids = Grids(ZoneMap().rasterise(60, 80))
    grids.frame[:], grids.seen[:], grids.differing[:] = now, before, differing
    return is_light(light_sums(grids, box), smoothed=False)


def background(picture: np.ndarray) -> np.ndarray:
    return steps(picture).astype(np.float32)


@pytest.mark.parametrize("gain", [0.6, 0.8, 1.2])
def test_a_smooth_patch_of_light_is_light(gain: float, scene: Draw) -> None:
    patch = np.ones((240, 320))
    patch[80:200, 120:240] = gain
    patch = cv2.GaussianBlur(patch, (0, 0), 12)
    assert judged_light(steps(scene() * patch), background(scene()), DIFFERING, BOX)


def test_a_figure_is_not_light(scene: Draw, with_figure: Draw) -> None:
    assert not judged_light(steps(with_figure(scene(), 0.4, width=0.3)), background(scene()), DIFFERING, BOX)


def test_a_plain_coat_is_not_light_though_it_is_smooth(scene: Draw) -> None:
    coat, differing = scene(), np.zeros((60, 80), np.uint8)
    coat[24:216, 24:296] = 40
    differing[8:52, 8:72] = 255
    assert not judged_light(steps(coat), background(scene()), differing, (8, 8, 72, 52))


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0), (1.2, 0), (1.0, 40), (0.7, 20)])
def test_a_lamp_hides_no_structure(gain: float, offset: float, scene: Draw) -> None:
    assert hidden_structure(steps(scene() * gain + offset), background(scene()), WATCHED).share < 0.05


def test_a_person_who_fills_the_picture_hides_most_structure(scene: Draw, with_figure: Draw) -> None:
    close = with_figure(scene(), 0.05, y=0.05, width=0.9, height=0.9)
    hidden = hidden_structure(steps(close), background(scene()), WATCHED)
    assert hidden.share > 0.6
    assert hidden.box == (0, 0, 80, 56)


def test_structure_that_no_zone_watches_does_not_count(scene: Draw, with_figure: Draw) -> None:
    watched = WATCHED.copy()
    watched[:, :40] = 0
    half = with_figure(scene(), 0, y=0, width=0.5, height=1)
    assert hidden_structure(steps(half), background(scene()), watched).share < 0.1


def test_the_exposure_watch_sees_jumps_and_not_drift() -> None:
    watch = ExposureWatch(0.15)
    drifting = [watch.jumped(Light(1000 * 1.05**frame, 1.0)) for frame in range(30)]
    assert not any(drifting)
    assert watch.jumped(Light(1000.0, 1.0))
    assert not watch.jumped(Light(None, 1.0))


def test_a_change_that_stays_below_the_share_is_not_sudden() -> None:
    sudden = SuddenLightChange(6, 8, share=0.15, settle_frames=6)
    for number, share in enumerate(np.linspace(0, 0.6, 60)):
        sudden.suspects(number, float(share), False, np.zeros((6, 8), np.float32))
    assert not sudden.settling


def test_a_sudden_change_settles_for_its_time_and_knows_whether_it_went_on() -> None:
    for changing, expected in ((0.0, False), (0.5, True)):
        sudden = SuddenLightChange(6, 8, share=0.15, settle_frames=6)
        sudden.suspects(0, 0.5, False, np.zeros((6, 8), np.float32))
        for _ in range(6):
            assert sudden.settling
            sudden.observe(changing)
        assert not sudden.settling
        assert sudden.kept_changing is expected
