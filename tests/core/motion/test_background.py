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
