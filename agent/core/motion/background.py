"""Learns what the empty scene looks like and how much each of its cells usually differs from that.

* **Background**: a running mean per cell.  It follows slowly under a visitor, and fast where something that differs has
  stopped changing (a parked car) or where the difference is smooth (light).
* **Light is not motion**: of the difference to the background its local mean is taken away first.  On the logarithmic
  scale a cloud, a lamp or the auto-exposure is nearly that local mean; a person is not.
* **Noise**: every cell tracks a high quantile of its own difference by sign (Robbins & Monro, 1951): up a little when
  it is exceeded, down a very little when not.  What sways every few seconds raises its own threshold; a rare passer-by
  does not.  The scene's typical noise (the median) is tracked the same way and covers night gain.
* **Threshold** = max(least step, scene noise, cell noise) + a share of the local contrast, divided by the zone's
  sensitivity, and infinite where no zone watches: masks cost nothing per frame.

Compare Stauffer & Grimson (1999) and ViBe (Barnich & Van Droogenbroeck, 2011): the per-cell sensitivity of SuBSENSE
(St-Charles et al., 2014) for a few microseconds.
"""

from __future__ import annotations

import cv2
import numpy as np

from agent.core.media import Luma
from agent.core.motion.grids import Cells, Grid, at_least, lessened, mark_above, scaled
from agent.core.motion.regions import CellBox
from agent.core.motion.settings import MotionSettings
from agent.core.motion.zones import ZoneRaster

__all__ = ["Background"]

_MAJORITY = round(2.5 / 9 * 255)
"""A differing cell counts when at least two of its eight neighbours differ too: single cells are noise."""

_BLIND = 1e6
"""The threshold, in steps, of a cell that no zone watches."""

_LEAST_NOISE = 0.7
_USUAL_QUANTILE = 1.75
"""The quantile that a cell tracks, in standard deviations of plain noise."""

_CONTRAST_REACH = np.ones((3, 3), np.uint8)
_OBJECT_REACH = np.ones((5, 5), np.uint8)
_QUICK_SHARE = 0.8
"""The quick look compares rounded values without removing the light, so it opens a little below the real threshold."""


class Background:
    """The scene without visitors, on one grid.  Call `learn_from` once, then `differs` or `differences` per frame."""

    def __init__(self, raster: ZoneRaster, frames_per_s: float, settings: MotionSettings) -> None:
        shape = raster.watched.shape
        self._settings = settings
        self.frames_per_s = frames_per_s
        self._per_sensitivity: Grid = np.where(raster.watched > 0, 1 / raster.sensitivity, 1).astype(np.float32)
        self._blind: Grid = np.where(raster.watched > 0, 0, _BLIND).astype(np.float32)
        self.mean: Grid = np.zeros(shape, np.float32)
        self.scene_noise = 1.0
        self._cell_noise: Grid = np.ones(shape, np.float32)
        self._contrast: Grid = np.zeros(shape, np.float32)
        self._threshold: Grid = np.zeros(shape, np.float32)
        self._quick_mean = np.zeros(shape, np.uint8)
        self.quick_threshold = np.zeros(shape, np.uint8)
        self._difference: Grid = np.zeros(shape, np.float32)
        self._light: Grid = np.zeros(shape, np.float32)
        self._residual: Grid = np.zeros(shape, np.float32)
        self._factor: Grid = np.zeros(shape, np.float32)
        self._second: Grid = np.zeros(shape, np.float32)
        self._mask = np.zeros(shape, np.uint8)
        self._near = np.zeros(shape, np.uint8)
        self._differing = np.zeros(shape, np.uint8)

    # Looking.

    def differs(self, frame: Luma) -> int:
        """The quick look: how many cells differ enough to look again.  Three calls, nothing allocated."""
        cv2.absdiff(frame, self._quick_mean, self._mask)
        cv2.compare(self._mask, self.quick_threshold, cv2.CMP_GT, self._mask)
        return cv2.countNonZero(self._mask)

    def differences(self, frame: Luma, scene: Grid | None) -> Cells:
        """The full look: 255 where structure differs from the background, else 0.  Valid until the next call.

        With a `scene`, the background as it was before a visitor came, it has to differ from that too: where somebody
        stood until they had become background, nothing new appears when they leave.
        """
        side = self._settings.illumination_cells
        cv2.subtract(frame, self.mean, self._difference, dtype=cv2.CV_32F)
        cv2.blur(self._difference, (side, side), self._light)
        cv2.absdiff(self._difference, self._light, self._residual)
        cv2.compare(self._residual, self._threshold, cv2.CMP_GT, self._differing)
        if cv2.countNonZero(self._differing):
            # The local mean of a small bright thing is a halo around it: what equals the background is no thing.
            cv2.absdiff(frame, self._quick_mean, self._mask)
            cv2.compare(self._mask, self.quick_threshold, cv2.CMP_GT, self._mask)
            cv2.bitwise_and(self._differing, self._mask, self._differing)
            if scene is not None:
                cv2.subtract(frame, scene, self._second, dtype=cv2.CV_32F)
                cv2.blur(self._second, (side, side), self._factor)
                cv2.absdiff(self._second, self._factor, self._second)
                cv2.compare(self._second, self._threshold, cv2.CMP_GT, self._mask)
                cv2.bitwise_and(self._differing, self._mask, self._differing)
            cv2.blur(self._differing, (3, 3), self._mask)
            mark_above(self._mask, _MAJORITY, self._mask)
            cv2.bitwise_and(self._differing, self._mask, self._differing)
        return self._differing

    @property
    def threshold(self) -> Grid:
        """What a cell has to differ by, in steps.  Borrowed: it changes with learning."""
        return self._threshold

    def differs_in(self, box: CellBox, frame: Luma, scene: Grid) -> Cells:
        """The full look within `box` only, at the `scene`: 1 where structure differs, else 0, as a new array."""
        x0, y0, x1, y1 = box
        side, window = self._settings.illumination_cells, np.s_[y0:y1, x0:x1]
        difference = cv2.subtract(frame[window], scene[window], dtype=cv2.CV_32F)
        residual = cv2.absdiff(difference, cv2.blur(difference, (side, side)))
        threshold = self._threshold[window]
        return ((residual > threshold) & (np.abs(difference) > _QUICK_SHARE * threshold)).astype(np.uint8)

    def restore(self, box: CellBox, frame: Luma, scene: Grid) -> None:
        """Whoever stood in `box` has gone: take the `scene` from before, in the light of the present `frame`."""
        x0, y0, x1, y1 = box
        side, window = self._settings.illumination_cells, np.s_[y0:y1, x0:x1]
        light = cv2.blur(cv2.subtract(frame[window], scene[window], dtype=cv2.CV_32F), (side, side))
        cv2.add(scene[window], light, self.mean[window])
        cv2.convertScaleAbs(self.mean, self._quick_mean)

    # Learning.

    def begin(self, frame: Luma) -> None:
        """Forget everything and take `frame` for the empty scene."""
        self.mean[:] = frame
        self._cell_noise[:] = 1
        self.scene_noise = 1.0
        self.measure_contrast()
        self._set_threshold()

    def follow_quietly(self, frame: Luma, elapsed_frames: int) -> None:
        """After frames that passed the quick look: only the mean follows.  Nothing allocated."""
        cv2.accumulateWeighted(frame, self.mean, self._weight(self._settings.background_s, elapsed_frames))
        cv2.convertScaleAbs(self.mean, self._quick_mean)

    def follow(self, frame: Luma, settled: Cells, elapsed_frames: int, *, spare_objects: bool) -> None:
        """After `differences`: let mean and noise follow.

        `settled` is 255 where a differing cell has stopped changing.  With `spare_objects` (a visitor is confirmed) the
        noise near differing cells stays as it is, or a visitor who lingers would raise his own threshold.
        """
        settings, differing, mask = self._settings, self._differing, self._mask
        weight = self._weight(settings.background_s, elapsed_frames)
        cv2.bitwise_not(differing, mask)
        cv2.accumulateWeighted(frame, self.mean, weight, mask)
        cv2.accumulateWeighted(frame, self.mean, weight * settings.covered_slowdown, differing)
        cv2.accumulateWeighted(frame, self.mean, self._weight(settings.settled_absorb_s, elapsed_frames), settled)
        cv2.scaleAdd(self._light, self._weight(settings.illumination_s, elapsed_frames), self.mean, self.mean)
        self._follow_noise(elapsed_frames, spare_objects=spare_objects)
        self._set_threshold()

    def relearn(self, frame: Luma, *, absorb_s: float, haste: int) -> None:
        """Take the scene as it comes, with this time constant and the noise learned `haste` times as fast."""
        cv2.accumulateWeighted(frame, self.mean, self._weight(absorb_s, 1))
        self._follow_noise(haste, spare_objects=False)
        self.measure_contrast()
        self._set_threshold()

    def expect_noise(self, share: float) -> None:
        """The grid is cleared in another way from now on: noise is so many times what it was."""
        cv2.blur(self.mean, (3, 3), self.mean)
        scaled(self._cell_noise, share, self._cell_noise)
        self.scene_noise *= share
        self._set_threshold()

    def forget_cell_noise(self) -> None:
        """What cells had learned no longer holds: rain has begun or ended to be looked through."""
        self._cell_noise[:] = _USUAL_QUANTILE * self.scene_noise
        self._set_threshold()

    def measure_contrast(self) -> None:
        """Measure local contrast again.  Seldom needed: edges of the scene move slowly."""
        cv2.morphologyEx(self.mean, cv2.MORPH_GRADIENT, _CONTRAST_REACH, self._contrast)
        scaled(self._contrast, self._settings.edge_factor, self._contrast)

    # Internals.

    def _weight(self, time_constant_s: float, elapsed_frames: int) -> float:
        return min(0.5, elapsed_frames / (time_constant_s * self.frames_per_s))

    def _follow_noise(self, elapsed_frames: int, *, spare_objects: bool) -> None:
        cv2.compare(self._residual, self._cell_noise, cv2.CMP_GT, self._mask)
        if spare_objects:
            cv2.dilate(self._differing, _OBJECT_REACH, self._near)
            cv2.bitwise_not(self._near, self._near)
            cv2.bitwise_and(self._mask, self._near, self._mask)
        cv2.LUT(self._mask, self._noise_factors(elapsed_frames), self._factor)
        cv2.multiply(self._cell_noise, self._factor, self._cell_noise)
        at_least(self._cell_noise, _LEAST_NOISE)
        mark_above(self._residual, self.scene_noise * 0.67, self._mask)
        above = cv2.countNonZero(self._mask) / self._mask.size
        self.scene_noise = min(30.0, max(0.2, self.scene_noise * (1 + 0.1 * (above - 0.5))))

    def _noise_factors(self, elapsed_frames: int) -> Grid:
        elapsed_s = elapsed_frames / self.frames_per_s
        factors = np.full(256, 1 - min(0.5, self._settings.noise_fall_per_s * elapsed_s), np.float32)
        factors[255] = 1 + min(1.0, self._settings.noise_rise_per_s * elapsed_s)
        return factors

    def _set_threshold(self) -> None:
        settings = self._settings
        least = max(settings.smallest_step, settings.scene_noise_factor * self.scene_noise)
        # Of a cell's own noise, what the whole scene has in common counts once: it is in `least` already.
        shared = settings.shared_noise_factor * self.scene_noise
        scaled(self._cell_noise, settings.cell_noise_factor, self._threshold)
        at_least(self._threshold, least + shared)
        cv2.add(self._threshold, self._contrast, self._threshold)
        lessened(self._threshold, shared, self._threshold)
        cv2.multiply(self._threshold, self._per_sensitivity, self._threshold)
        cv2.add(self._threshold, self._blind, self._threshold)
        cv2.convertScaleAbs(self._threshold, self.quick_threshold, _QUICK_SHARE)
        cv2.convertScaleAbs(self.mean, self._quick_mean)
