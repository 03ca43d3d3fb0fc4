"""Clears the analysed grid of what lies between the lens and the scene: rain, and the noise of a gain turned up.

* **Rain.**  A streak or a flake lights a cell for one frame.  Where more than 1 % of the cells jump out of the frames
  before and after them, the grid becomes the median of the last three frames: nothing that is there for a single frame
  gets through, and what walks is seen a frame later.  (Garg & Nayar, *Detection and removal of rain from videos*, 2004,
  from whom the one-frame criterion is.)
* **Noise.**  When the scene's noise passes two steps, the grid is smoothed over 3×3 cells, which takes two thirds of it
  away; small things lose half of their contrast and win all the same (a matched filter for what is 3 cells large).

Both are looked for now and then, in a handful of calls, and switch with hysteresis.
"""

from __future__ import annotations

import cv2
import numpy as np

from agent.core.media import Luma
from agent.core.motion.grids import mark_above

__all__ = ["SMOOTHING_GAIN", "Clearing"]

SMOOTHING_GAIN = 3.0
"""Smoothing divides independent noise by so much."""

_LOOK_FRAMES = 8
_JUMP_STEPS = 12.0
_JUMP_NOISES = 5.0
_RAINS_ABOVE, _RAINS_UNTIL = 0.010, 0.004
_NOISY_ABOVE, _NOISY_UNTIL = 2.0, 0.45
"""In steps; the lower one as measured while smoothing."""


class Clearing:
    """Owns its grids; what `clear` returns is valid until the next call."""

    def __init__(self, rows: int, columns: int) -> None:
        self.smooths = False
        self.rains = False
        shape = (rows, columns)
        self._before_last = np.zeros(shape, np.uint8)
        self._last = np.zeros(shape, np.uint8)
        self._smooth = np.zeros(shape, np.uint8)
        self._low = np.zeros(shape, np.uint8)
        self._median = np.zeros(shape, np.uint8)
        self._frames = 0
        self._jumping_share: float | None = None

    def begin(self) -> None:
        """A new scene."""
        self._frames = 0
        self._jumping_share = None
        self.smooths = self.rains = False

    def clear(self, grid: Luma, scene_noise: float) -> Luma:
        """(rows, columns) steps → the same, cleared."""
        self._frames += 1
        phase = self._frames % _LOOK_FRAMES
        if self.smooths:
            cv2.blur(grid, (3, 3), self._smooth)
            grid = self._smooth
        elif 0 < phase < _LOOK_FRAMES - 2 and not self.rains:
            return grid
        looks, rains = phase == 0, self.rains
        if rains or looks:
            self._find_median(grid)
        if looks:
            self._look_for_rain(scene_noise)
        if rains or phase >= _LOOK_FRAMES - 2:
            self._before_last, self._last = self._last, self._before_last
            self._last[:] = grid
        return self._median if rains else grid

    def switched(self, scene_noise: float) -> bool:
        """After a full look, which measures the noise: begin or end the smoothing where that is due."""
        smooths = scene_noise > (_NOISY_UNTIL if self.smooths else _NOISY_ABOVE)
        changed, self.smooths = smooths != self.smooths, smooths
        return changed

    def _find_median(self, grid: Luma) -> None:
        cv2.min(self._before_last, self._last, self._low)
        cv2.max(self._before_last, self._last, self._median)
        cv2.min(self._median, grid, self._median)
        cv2.max(self._low, self._median, self._median)

    def _look_for_rain(self, scene_noise: float) -> None:
        cv2.absdiff(self._last, self._median, self._low)
        mark_above(self._low, max(_JUMP_STEPS, _JUMP_NOISES * scene_noise), self._low)
        share = cv2.countNonZero(self._low) / self._low.size
        known = self._jumping_share
        self._jumping_share = share if known is None else known + 0.25 * (share - known)
        self.rains = self._jumping_share > (_RAINS_UNTIL if self.rains else _RAINS_ABOVE)
