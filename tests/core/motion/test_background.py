"""The background learns what the scene looks like without visitors."""

from __future__ import annotations

import numpy as np

from agent.core.motion.background import Background
from agent.core.motion.grids import Grids
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.zones import ZoneMap


def test_a_stale_background_beside_a_visitor_is_not_taken_for_noise() -> None:
    """A visitor dims the picture. Until the background has followed, most cells differ from it a little."""
    grids = Grids(ZoneMap().rasterise(60, 80))
    background = Background(grids, PurePasses(grids, 60, 80), 10.0, MotionSettings())
    noises = {}
    for spares_objects in (True, False):
        background.scene_noise = 0.5
        grids.residual[:] = 1.5
        for _ in range(50):
            background.follow(2, 15, spares_objects=spares_objects)
        noises[spares_objects] = background.scene_noise
    assert noises[True] == 0.5 < 1.0 < noises[False]
    grids.residual[:] = np.float32(0)
    before = background.scene_noise
    background.follow(2, 15, spares_objects=True)
    assert background.scene_noise < before


def test_a_scene_is_brought_into_another_exposure_also_behind_a_visitor() -> None:
    grids = Grids(ZoneMap().rasterise(60, 80))
    background = Background(grids, PurePasses(grids, 60, 80), 10.0, MotionSettings())
    grids.scene[:] = np.round(64 * np.random.default_rng(1).uniform(60, 200, (60, 80))) / 64
    expected = np.round(64 * (0.9 * grids.scene + 30)) / 64
    grids.seen[:] = expected
    grids.seen[20:50, 30:45] = 120  # the visitor
    in_sight = background.relight(grids.scene, (30, 20, 45, 50))
    assert not in_sight[20:50, 30:45].any()
    assert in_sight.sum() == 60 * 80 - 30 * 15
    assert np.abs(grids.scene - expected).max() <= 1 / 32
    assert np.array_equal(64 * grids.scene, np.rint(64 * grids.scene)), "sums of the scene have to be exact"


def test_a_scene_whose_tones_have_changed_is_left_as_it_was() -> None:
    grids = Grids(ZoneMap().rasterise(60, 80))
    background = Background(grids, PurePasses(grids, 60, 80), 10.0, MotionSettings())
    random = np.random.default_rng(1)
    grids.scene[:], grids.seen[:] = random.integers(60, 200, (2, 60, 80))
    before = grids.scene.copy()
    assert not background.relight(grids.scene, (30, 20, 45, 50)).any()
    assert not background.relight(grids.scene, (0, 0, 80, 60)).any(), "nothing is in sight"
    assert np.array_equal(grids.scene, before)
