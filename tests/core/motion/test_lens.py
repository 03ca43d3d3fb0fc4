"""The camera's own troubles: covered, moved, shaken; and what is none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest

from agent.core.motion.detector import Detector
from agent.core.motion.lens import LensState
from agent.core.motion.sample import MotionSample

Draw = Callable[..., np.ndarray]
Watch = Callable[..., list[MotionSample]]

USUAL = 150


def states(watch: Watch, pictures: Iterable[np.ndarray]) -> list[LensState]:
    return [sample.lens for sample in watch(Detector(240, 320, 10.0), pictures)]


def test_a_covered_lens_is_told_within_half_a_minute_and_clear_again_when_freed(scene: Draw, watch: Watch) -> None:
    hand = np.full((240, 320), 20, np.uint8)
    told = states(watch, [scene()] * USUAL + [hand] * 300 + [scene()] * 60)
    assert set(told[: USUAL + 150]) == {LensState.CLEAR}
    assert told[USUAL + 260] is LensState.COVERED
    assert told[-1] is LensState.CLEAR


def test_a_camera_that_points_elsewhere_is_told(scene: Draw, watch: Watch) -> None:
    told = states(watch, [scene()] * USUAL + [scene(seed=2)] * 300)
    assert told[USUAL + 100] is LensState.CLEAR
    assert told[-1] is LensState.MOVED


@pytest.mark.parametrize("by_px", [2.0, 3.0])
def test_a_camera_that_shakes_is_told(by_px: float, scene: Draw, watch: Watch) -> None:
    random = np.random.default_rng(3)
    wall = scene()
    shaken = [
        cv2.warpAffine(wall, np.array([[1, 0, x], [0, 1, y]]), (320, 240), borderMode=cv2.BORDER_REPLICATE)
        for x, y in random.choice([-by_px, by_px], (200, 2))
    ]
    told = states(watch, [wall] * USUAL + shaken)
    assert LensState.SHAKEN in told[USUAL:]


@pytest.mark.parametrize("light", [0.4, 1.3])
def test_another_light_is_no_trouble(light: float, scene: Draw, watch: Watch) -> None:
    lit = np.clip(scene() * light, 0, 255).astype(np.uint8)
    assert set(states(watch, [scene()] * USUAL + [lit] * 300)) == {LensState.CLEAR}


def test_a_visitor_who_fills_the_picture_for_fifteen_seconds_is_no_trouble(
    scene: Draw, with_figure: Draw, watch: Watch
) -> None:
    close = [with_figure(scene(), 0.05, y=0.02 + 0.01 * (step % 3), width=0.9, height=0.95) for step in range(150)]
    assert set(states(watch, [scene()] * USUAL + close)) == {LensState.CLEAR}


def test_a_lens_that_is_covered_behind_a_visitor_is_told_all_the_same(
    scene: Draw, with_figure: Draw, watch: Watch
) -> None:
    standing = [with_figure(scene(), 0.3, y=0.3, width=0.25, height=0.6)] * 60
    told = states(watch, [scene()] * USUAL + standing + [np.full((240, 320), 20, np.uint8)] * 300)
    assert set(told[: USUAL + 150]) == {LensState.CLEAR}
    assert told[-1] is LensState.COVERED
