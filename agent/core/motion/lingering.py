"""Finds a visitor who comes so slowly that each look at the background takes them for scenery.

A person who walks straight towards the camera gains a cell of new ground in some seconds: too little for a path, and
slow enough for the background to follow. The scene of half a minute ago still shows that they came. So every 16 frames
it is compared with the frame, and a thing that differs from it and keeps changing for three looks is a visitor. Parked
cars and parcels do not change, and trees and water looked alike half a minute ago.
"""

from __future__ import annotations

import cv2
import numpy as np

from agent.core.motion.background import Background
from agent.core.motion.grids import Grids
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import CellBox, Passes
from agent.core.motion.presence import fidget_limit
from agent.core.timebase import BootNs, seconds

__all__ = ["LingeringVisitor"]

_LOOKS = 3
_DILATED_CELLS = 16
"""`Passes.find_body` also marks the neighbours: of the smallest person, this many."""
_COMPARABLE_SHARE = 0.05
"""Where more of the picture differs from the scene of before, the light or the weather has changed, or trees move."""
_NEIGHBOURHOOD = np.ones((5, 5), np.uint8)


class LingeringVisitor:
    """Ask it for a look every so often, always after the same number of frames, while no visitor is known."""

    def __init__(self, grids: Grids, passes: Passes, settings: MotionSettings) -> None:
        self._grids = grids
        self._passes = passes
        self._smallest_cells = settings.smallest_cells
        self._age_ns = seconds(settings.scene_age_s)
        self.scene, self.threshold = np.zeros_like(grids.seen), np.zeros_like(grids.threshold)
        """As they were at least `scene_age_s` ago, or at the beginning."""
        self._next_scene, self._next_threshold = np.zeros_like(grids.seen), np.zeros_like(grids.threshold)
        self._looks, self._one = np.zeros_like(grids.body), np.ones_like(grids.body)
        """For how many looks in succession a cell has shown something that lives."""
        self._taken_ns = BootNs(0)
        self._last_frame = 0
        self._begins = True

    def forget(self) -> None:
        """The light, or the way the grid is cleared, has changed: the scene of before cannot be compared."""
        self._begins = True

    def look(self, background: Background, frame_number: int, after_frames: int, sensor_ns: BootNs) -> CellBox | None:
        """Where a visitor lingers, if one does. `after_frames` is how many lie between two looks."""
        grids, body = self._grids, self._grids.body
        follows = not self._begins and frame_number - self._last_frame == after_frames
        self._last_frame = frame_number
        self._take_scene(sensor_ns)
        box = None
        if follows:
            grids.scene[:], grids.scene_threshold[:] = self.scene, self.threshold
            whole = (0, 0, grids.columns, grids.rows)
            self._passes.find_body(whole, whole, background.least_step)
            if 0 < cv2.countNonZero(body) < _COMPARABLE_SHARE * body.size:
                changed = (cv2.absdiff(grids.frame, grids.then) > fidget_limit(background)).astype(np.uint8)
                lives = (cv2.dilate(changed, _NEIGHBOURHOOD) > 0) & (body > 0)
                np.multiply(self._looks + self._one, lives, out=self._looks)
                box = self._lasting()
            else:
                self._looks[:] = 0
        else:
            self._looks[:] = 0
        grids.then[:] = grids.frame
        return box

    def _take_scene(self, sensor_ns: BootNs) -> None:
        if not self._begins and sensor_ns - self._taken_ns < self._age_ns:
            return
        seen, threshold = self._grids.seen, self._grids.threshold
        self.scene[:], self.threshold[:] = (
            (seen, threshold) if self._begins else (self._next_scene, self._next_threshold)
        )
        self._next_scene[:], self._next_threshold[:] = seen, threshold
        self._taken_ns, self._begins = sensor_ns, False

    def _lasting(self) -> CellBox | None:
        lasting = (self._looks >= _LOOKS).astype(np.uint8)
        if cv2.countNonZero(lasting) < self._smallest_cells + _DILATED_CELLS:
            return None
        _, _, statistics, _ = cv2.connectedComponentsWithStats(lasting)
        for left, top, width, height, cells in statistics[1:].tolist():
            smallest = int(np.min(self._grids.smallest_cells[top : top + height, left : left + width]))
            if cells - _DILATED_CELLS >= max(self._smallest_cells, smallest):
                return (left, top, left + width, top + height)
        return None
