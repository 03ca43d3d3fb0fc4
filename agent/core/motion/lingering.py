"""Finds a visitor who comes so slowly that each look at the background takes them for scenery.

A person who walks straight towards the camera gains a cell of new ground in some seconds: too little for a path, and
slow enough for the background to follow. The scene of half a minute ago still shows that they came. So every 16 frames
it is compared with the frame, and a thing that differs from it and keeps changing for some five seconds is a visitor:
three looks at ten frames a second, five at fifteen. Parked cars and parcels stay the same. Trees and water looked alike
half a minute ago, but not yet in the first seconds after a start, which tell nothing.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from agent.core.motion.background import Background
from agent.core.motion.grids import Grids
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import CellBox, Passes
from agent.core.motion.passes.scene import QUICK_SHARE
from agent.core.motion.presence import fidget_limit
from agent.core.timebase import BootNs, seconds

__all__ = ["LingeringVisitor"]

_LIVES_S, _LEAST_LOOKS = 4.8, 3
"""A visitor changes for this long, and in at least this many looks: the one follows a body, the other is for chance."""
_YOUNG_NS = 8_000_000_000
"""For this long after the learning no visitor lingers: the scene has not shown how its trees sway."""
_DILATED_CELLS = 16
"""`Passes.find_body` also marks the neighbours: of the smallest person, this many."""
_LEAST_DIFFERING_CELLS = 3
"""Fewer cells that differ from the scene of before are no visitor."""
_COMPARABLE_SHARE = 0.05
"""Where more of the picture differs from the scene of before, the light or the weather has changed, or trees move."""
_SAME_LIGHT_SHARE = 0.5
"""If this much of the picture is brighter or darker than then, the light has changed, with whatever it shows."""
_NEIGHBOURHOOD = np.ones((5, 5), np.uint8)


class LingeringVisitor:
    """Ask it for a look every so often, always after the same number of frames, while no visitor is known."""

    def __init__(self, grids: Grids, passes: Passes, settings: MotionSettings) -> None:
        self._grids = grids
        self._passes = passes
        self._smallest_cells = settings.smallest_cells
        self._age_ns = seconds(settings.scene_age_s)
        self._next = grids.quick_mean.copy(), grids.quick_threshold.copy()
        self._scene, self._threshold = self._next
        """`quick_mean` and `quick_threshold`, at least `scene_age_s` ago or at the beginning."""
        self._looks = np.zeros_like(grids.body)
        """For how many looks in succession a cell has shown something that lives."""
        self._mask = np.zeros_like(grids.body)
        self._taken_ns = BootNs(0)
        self._last_frame = 0
        self._begins = True
        self._judges_from_ns = BootNs(0)
        self._least_looks = _LEAST_LOOKS

    def begin(self, learnt_at_ns: BootNs) -> None:
        """Another scene, which is learned until `learnt_at_ns`."""
        self._begins = True
        self._judges_from_ns = BootNs(learnt_at_ns + _YOUNG_NS)

    def tune(self, frames_per_s: float, after_frames: int) -> None:
        """Count in looks of this rate from now on, of which each comes `after_frames`."""
        self._least_looks = max(_LEAST_LOOKS, math.ceil(_LIVES_S * frames_per_s / after_frames - 0.01))

    def forget(self) -> None:
        """The light, or the way the grid is cleared, has changed: the scene of before cannot be compared."""
        self._begins = True

    def look(self, background: Background, frame_number: int, after_frames: int, sensor_ns: BootNs) -> CellBox | None:
        """Where a visitor lingers, if one does: then `scene` is from before. `after_frames` lie between two looks."""
        grids = self._grids
        # The looks of one visitor follow each other. A look that was left out says nothing about what lasted.
        follows = not self._begins and frame_number - self._last_frame == after_frames
        self._last_frame = frame_number
        self._take_scene(sensor_ns)
        is_known = sensor_ns >= self._judges_from_ns
        if follows and is_known and self._may_differ() and self._find_living(background):
            box = self._lasting()
        else:
            self._looks[:] = 0
            box = None
        grids.then[:] = grids.frame
        return box

    def _take_scene(self, sensor_ns: BootNs) -> None:
        if not self._begins and sensor_ns - self._taken_ns < self._age_ns:
            return
        now = self._grids.quick_mean.copy(), self._grids.quick_threshold.copy()
        self._scene, self._threshold = now if self._begins else self._next
        self._next = now
        self._taken_ns, self._begins = sensor_ns, False

    def _may_differ(self) -> bool:
        """The quick look at the scene of before: almost always it ends here, for three calls."""
        cv2.absdiff(self._grids.frame, self._scene, self._mask)
        cv2.compare(self._mask, self._threshold, cv2.CMP_GT, self._mask)
        cells = cv2.countNonZero(self._mask)
        return _LEAST_DIFFERING_CELLS <= cells < _SAME_LIGHT_SHARE * self._mask.size

    def _find_living(self, background: Background) -> bool:
        """Count the look for each cell of what differs from the scene of before and changes; False if that says
        nothing."""
        grids, body = self._grids, self._grids.body
        grids.scene[:] = self._scene
        np.divide(self._threshold, np.float32(QUICK_SHARE), out=grids.scene_threshold, casting="unsafe")
        whole = (0, 0, grids.columns, grids.rows)
        self._passes.find_body(whole, whole, background.least_step, fidget_limit(background))
        if not 0 < cv2.countNonZero(body) < _COMPARABLE_SHARE * body.size:
            return False
        changed = (cv2.absdiff(grids.frame, grids.then) > fidget_limit(background)).astype(np.uint8)
        lives = (cv2.dilate(changed, _NEIGHBOURHOOD) > 0) & (body > 0)
        np.multiply(self._looks + np.uint8(1), lives, out=self._looks)
        return True

    def _lasting(self) -> CellBox | None:
        lasting = (self._looks >= self._least_looks).astype(np.uint8)
        if cv2.countNonZero(lasting) < self._smallest_cells + _DILATED_CELLS:
            return None
        _, _, statistics, _ = cv2.connectedComponentsWithStats(lasting)
        for left, top, width, height, cells in statistics[1:].tolist():
            smallest = int(np.min(self._grids.smallest_cells[top : top + height, left : left + width]))
            if cells - _DILATED_CELLS >= max(self._smallest_cells, smallest):
                return (left, top, left + width, top + height)
        return None
