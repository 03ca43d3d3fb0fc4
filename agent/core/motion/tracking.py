"""Tells a visitor from a branch: follows what differs, and scores a track only while it reaches new ground.

This is track-before-detect (Tonissen & Evans, 1996) as a dynamic program on the grid.  Each cell holds the length of
the best path that ends there now.  Per frame: a path may step a little in any direction (a 5×5 maximum at ten frames a
second), must land on a differing cell, and grows by one if that cell has been clear for `fresh_after_s`.  Paths fade
slowly.  So

* someone who walks gains a step a frame and is confirmed within a second,
* a swaying branch, a flag or a flickering lamp covers the same ground again and runs dry,
* noise, rain and snow never land next to themselves often enough.

A second count per cell, for how many frames in succession it has differed, is the dwell time that tells insects and
flakes (one frame a cell) from people; a third, for how long it has differed *without changing*, finds parked cars.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from agent.core.media import Luma
from agent.core.motion.grids import Cells, Grid, mark_above, mark_below
from agent.core.motion.settings import MotionSettings

__all__ = ["Tracks"]

_NEVER = -1e9


class Tracks:
    """Path lengths and dwell counts on one grid.  All arrays are (rows, columns) uint8 and belong to this object."""

    def __init__(self, rows: int, columns: int, frames_per_s: float, settings: MotionSettings) -> None:
        shape = (rows, columns)
        self.path = np.zeros(shape, np.uint8)
        self.dwell = np.zeros(shape, np.uint8)
        self.changing = np.zeros(shape, np.uint8)
        self._unchanged = np.zeros(shape, np.uint8)
        self._settled = np.zeros(shape, np.uint8)
        self._previous = np.zeros(shape, np.uint8)
        self._fresh = np.zeros(shape, np.uint8)
        self._covered_at: Grid = np.full(shape, _NEVER, np.float32)
        self._one = np.ones(shape, np.uint8)
        self._settings = settings
        self.tune(frames_per_s)

    def tune(self, frames_per_s: float) -> None:
        """Count in frames of this rate from now on."""
        settings, columns = self._settings, self.path.shape[1]
        reach_cells = math.ceil(settings.fastest_widths_per_s * columns / frames_per_s)
        self._step_reach = np.ones((2 * reach_cells + 1, 2 * reach_cells + 1), np.uint8)
        self._fresh_after_frames = settings.fresh_after_s * frames_per_s
        self._fade_frames = max(2, round(settings.path_fade_s * frames_per_s))
        self._settled_frames = min(250, round(settings.settled_s * frames_per_s))

    def advance(self, frame: Luma, differing: Cells, change_threshold: Cells, frame_number: int) -> int:
        """Take one frame in; returns the length of its longest path.

        `differing` is 255 where the frame differs from the background, `change_threshold` the steps by which a cell has
        to differ from the *previous* frame to count as changing.
        """
        self._extend_paths(differing, frame_number)
        self._count(self.dwell, differing)
        cv2.absdiff(frame, self._previous, self.changing)
        cv2.compare(self.changing, change_threshold, cv2.CMP_GT, self.changing)
        cv2.bitwise_and(self.changing, differing, self.changing)
        self._count(self._unchanged, differing)
        cv2.subtract(self._unchanged, self.changing, self._unchanged)
        self._previous[:] = frame
        return int(cv2.minMaxLoc(self.path)[1])

    def settled(self) -> Cells:
        """255 where something differs but has stopped changing: scenery.  Valid until the next call."""
        mark_above(self._unchanged, self._settled_frames, self._settled)
        return self._settled

    def drop_paths(self) -> None:
        """Forget paths, but not which ground has been covered."""
        self.path[:] = 0

    def clear(self, frame: Luma) -> None:
        """Nothing differs any more: forget paths and dwell times."""
        self.path[:] = 0
        self.dwell[:] = 0
        self._unchanged[:] = 0
        self._previous[:] = frame

    def _extend_paths(self, differing: Cells, frame_number: int) -> None:
        cv2.dilate(self.path, self._step_reach, self.path)
        mark_below(self._covered_at, frame_number - self._fresh_after_frames, self._fresh)
        cv2.bitwise_and(self._fresh, self._one, self._fresh)
        cv2.add(self.path, self._fresh, self.path)
        cv2.bitwise_and(self.path, differing, self.path)
        if frame_number % self._fade_frames == 0:
            cv2.subtract(self.path, self._one, self.path)
        np.putmask(self._covered_at, differing.view(np.bool_), frame_number)

    def _count(self, counts: Cells, where: Cells) -> None:
        """Add one where `where` is 255, start again from zero elsewhere."""
        cv2.add(counts, self._one, counts)
        cv2.bitwise_and(counts, where, counts)
