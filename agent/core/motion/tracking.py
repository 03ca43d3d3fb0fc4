"""Tells a visitor from a branch: follows what differs, and scores a track only while it reaches new ground.

This is track-before-detect (Tonissen & Evans, 1996) as a dynamic program on the grid.  Each cell holds the length of
the best path that ends there now.  Per frame: a path may step a little in any direction (a 5×5 maximum at ten frames a
second), must land on a differing cell, and grows by one if that cell has been clear for `fresh_after_s`.  Paths fade
slowly.  A large thing may be faster: where most of 5×5 cells are new ground at once, a path comes from three times as
far and gains two more, or a car that crosses within a second would leave its own path behind.  An escalator, which
flickers in its place, has few such squares.  So

* someone who walks gains a step a frame and is confirmed within a second,
* a swaying branch, a flag or a flickering lamp covers the same ground again and runs dry,
* noise, rain and snow never land next to themselves often enough.

Limits against chance count looks, and a slow camera needs as many as one of ten frames a second: a thing that shows in
half of the looks shows in four in succession four times as often as in six. Limits that follow a body, such as a path's
reach, count seconds.

A second count per cell, for how many frames in succession it has differed, is the dwell time that tells insects and
flakes (one frame a cell) from people; a third, for how long it has differed *without changing*, finds parked cars.
"""

from __future__ import annotations

import math

from agent.core.motion.grids import Grids
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import Passes

__all__ = ["Tracks"]

_LONGEST_FRAMES = 65535


class Tracks:
    """Path lengths and dwell counts on one detector's grids."""

    def __init__(self, grids: Grids, passes: Passes, frames_per_s: float, settings: MotionSettings) -> None:
        self._grids = grids
        self._passes = passes
        self._settings = settings
        self._last_frame = 0
        self.tune(frames_per_s)

    def tune(self, frames_per_s: float) -> None:
        """Count in frames of this rate from now on."""
        settings, columns = self._settings, self._grids.columns
        self._reach_cells = math.ceil(settings.fastest_widths_per_s * columns / frames_per_s)
        # By chance, a twig leaves a cell clear for ten looks more often than for twenty, however long these take.
        self._fresh_after_frames = math.floor(settings.fresh_after_s * max(10.0, frames_per_s))
        self._fade_frames = max(2, round(settings.path_fade_s * frames_per_s))
        self.settled_frames = min(250, round(settings.scenery_after_s * frames_per_s))
        """A cell that has differed for longer than this many frames without changing is scenery."""

    def begin(self) -> None:
        """A new scene: nothing has been on its ground."""
        self.clear()
        self._grids.age[:] = _LONGEST_FRAMES

    def advance(self, frame_number: int) -> int:
        """Take in the frame that the full look has marked; returns the length of its longest path."""
        elapsed_frames = min(_LONGEST_FRAMES, frame_number - self._last_frame)
        self._last_frame = frame_number
        fades = frame_number % self._fade_frames == 0
        return self._passes.track(elapsed_frames, self._fresh_after_frames, self._reach_cells, fades)

    def drop_paths(self) -> None:
        """Forget paths, but not which ground has been covered."""
        self._grids.path[:] = 0

    def clear(self) -> None:
        """The differences have ended: forget paths and dwell times."""
        grids = self._grids
        grids.path[:] = 0
        grids.dwell[:] = 0
        grids.unchanged[:] = 0
        grids.previous[:] = grids.frame
