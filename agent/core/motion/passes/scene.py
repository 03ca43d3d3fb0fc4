"""The pure passes over frame and scene: look, differ, follow.  See `background.py` and `preparing.py`."""

from __future__ import annotations

import cv2
import numpy as np

from agent.core.media import Luma
from agent.core.motion.grids import Cells, Grid, Grids
from agent.core.motion.passes import COUNT_JUMPS, DRY, ILLUMINATION_CELLS, KEEP, SMOOTH, BackgroundUpdate
from agent.core.motion.pyramid import Pyramid

__all__ = ["QUICK_SHARE", "ScenePasses", "local_mean"]

QUICK_SHARE = 0.8
"""The quick look compares rounded values without removing the light, so it opens a little below the real threshold."""

_SEEN_FRACTION = 64.0
_NO_FRACTION = np.float32(12582912)
_LEAST_NOISE = 0.7
_SQUARE = (ILLUMINATION_CELLS, ILLUMINATION_CELLS)
_PER_SQUARE = np.float32(1 / ILLUMINATION_CELLS**2)
_OBJECT_REACH = np.ones((5, 5), np.uint8)
_MAJORITY = round(2.5 / 9 * 255)
"""Above this mean over 3×3 cells of a mask at least three of them are marked."""


def local_mean(difference: Grid, out: Grid | None = None) -> Grid:
    """The mean over the square of light, of exact numbers.  `out` may not be `difference`."""
    out = np.empty_like(difference) if out is None else out
    cv2.boxFilter(difference, -1, _SQUARE, out, normalize=False)
    return np.multiply(out, _PER_SQUARE, out=out)


def _round(values: Grid) -> None:
    """To whole numbers, ties to even, in place: 3 × 2²² leaves a float32 no room for a fraction.  Never to -0."""
    np.add(values, _NO_FRACTION, out=values)
    np.subtract(values, _NO_FRACTION, out=values)


class ScenePasses:
    """See `Passes`."""

    def __init__(self, grids: Grids, height_px: int, width_px: int) -> None:
        self.jumping_cells = 0
        self._grids = grids
        self._pyramid = Pyramid(height_px, width_px)
        shape = (grids.rows, grids.columns)
        self._mask, self._low = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self._marks = self._mask.view(np.bool_)
        self._second, self._factor = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._weights = np.zeros(256, np.float32)
        self._noise_factors = np.zeros(256, np.float32)

    def look(self, luma: Luma, plan: int, jump_limit: int) -> int:
        grids = self._grids
        grids.frame = frame = self._clear(self._pyramid.shrink(luma, grids.steps), plan, jump_limit)
        cv2.absdiff(frame, grids.quick_mean, self._mask)
        cv2.compare(self._mask, grids.quick_threshold, cv2.CMP_GT, self._mask)
        return cv2.countNonZero(self._mask)

    def differ(self, beside_scene: bool) -> int:
        grids, mask = self._grids, self._mask
        np.multiply(grids.mean, np.float32(_SEEN_FRACTION), out=grids.seen)
        _round(grids.seen)
        np.multiply(grids.seen, np.float32(1 / _SEEN_FRACTION), out=grids.seen)
        self._residual(grids.seen, self._factor, grids.light, grids.residual)
        cv2.compare(grids.residual, grids.threshold, cv2.CMP_GT, grids.differing)
        if not cv2.countNonZero(grids.differing):
            return 0
        # The local mean of a small bright thing is a halo around it: what equals the background is no thing.
        cv2.absdiff(grids.frame, grids.quick_mean, mask)
        cv2.compare(mask, grids.quick_threshold, cv2.CMP_GT, mask)
        cv2.bitwise_and(grids.differing, mask, grids.differing)
        if beside_scene:
            self._residual(grids.scene, self._second, self._factor, self._second)
            cv2.compare(self._second, grids.threshold, cv2.CMP_GT, mask)
            cv2.bitwise_and(grids.differing, mask, grids.differing)
        # A differing cell counts when at least two of its eight neighbours differ too: single cells are noise.
        cv2.blur(grids.differing, (3, 3), mask)
        cv2.threshold(mask, _MAJORITY, 255, cv2.THRESH_BINARY, mask)
        cv2.bitwise_and(grids.differing, mask, grids.differing)
        return cv2.countNonZero(grids.differing)

    def follow_quietly(self, weight: float) -> None:
        grids = self._grids
        cv2.subtract(grids.frame, grids.mean, self._factor, dtype=cv2.CV_32F)
        np.multiply(self._factor, np.float32(weight), out=self._factor)
        cv2.add(grids.mean, self._factor, grids.mean)
        self._to_cells(grids.mean, grids.quick_mean)

    def follow(self, following: BackgroundUpdate, spares_objects: bool, noise_level: float) -> int:
        grids, weights = self._grids, self._second
        self._weights[0], self._weights[255] = following.open_weight, following.covered_weight
        cv2.LUT(grids.differing, self._weights, weights)
        np.greater(grids.unchanged, following.settled_frames, out=self._marks)
        np.putmask(weights, self._marks, np.float32(following.settled_weight))
        cv2.subtract(grids.frame, grids.mean, self._factor, dtype=cv2.CV_32F)
        cv2.multiply(self._factor, weights, self._factor)
        cv2.add(grids.mean, self._factor, grids.mean)
        np.multiply(grids.light, np.float32(following.light_weight), out=self._factor)
        cv2.add(grids.mean, self._factor, grids.mean)
        self._follow_noise(following, spares_objects)
        return self._count_above(grids.residual, np.float32(noise_level))

    def set_threshold(self, cell_noise_factor: float, least: float, shared: float) -> None:
        grids, threshold = self._grids, self._grids.threshold
        np.multiply(grids.cell_noise, np.float32(cell_noise_factor), out=threshold)
        np.maximum(threshold, np.float32(least), out=threshold)
        cv2.add(threshold, grids.contrast, threshold)
        np.subtract(threshold, np.float32(shared), out=threshold)
        cv2.multiply(threshold, grids.per_sensitivity, threshold)
        cv2.add(threshold, grids.blind, threshold)
        np.multiply(threshold, np.float32(QUICK_SHARE), out=self._factor)
        self._to_cells(self._factor, grids.quick_threshold)
        self._to_cells(grids.mean, grids.quick_mean)

    def _to_cells(self, values: Grid, out: Cells) -> None:
        np.maximum(values, np.float32(0), out=self._factor)
        np.minimum(self._factor, np.float32(255), out=self._factor)
        _round(self._factor)
        np.copyto(out, self._factor, casting="unsafe")

    def _residual(self, scene: Grid, difference: Grid, light: Grid, out: Grid) -> None:
        cv2.subtract(self._grids.frame, scene, difference, dtype=cv2.CV_32F)
        local_mean(difference, light)
        cv2.absdiff(difference, light, out)

    def _follow_noise(self, following: BackgroundUpdate, spares_objects: bool) -> None:
        grids, mask = self._grids, self._mask
        cv2.compare(grids.residual, grids.cell_noise, cv2.CMP_GT, mask)
        if spares_objects and cv2.countNonZero(grids.differing):
            cv2.dilate(grids.differing, _OBJECT_REACH, self._low)
            cv2.bitwise_not(self._low, self._low)
            cv2.bitwise_and(mask, self._low, mask)
        self._noise_factors[0], self._noise_factors[255] = following.noise_fall, following.noise_rise
        cv2.LUT(mask, self._noise_factors, self._factor)
        cv2.multiply(grids.cell_noise, self._factor, grids.cell_noise)
        # A still cell would fall to 0, and then rise by a factor from nothing.
        np.maximum(grids.cell_noise, np.float32(_LEAST_NOISE), out=grids.cell_noise)

    def _count_above(self, values: Cells | Grid, limit: int | np.float32) -> int:
        np.greater(values, limit, out=self._marks)
        return cv2.countNonZero(self._mask)

    def _clear(self, frame: Cells, plan: int, jump_limit: int) -> Cells:
        grids = self._grids
        if plan & SMOOTH:
            cv2.blur(frame, (3, 3), grids.smooth)
            frame = grids.smooth
        if plan & DRY:
            cv2.min(grids.last, frame, grids.dry)
        if plan & COUNT_JUMPS:
            cv2.max(grids.before_last, frame, self._low)
            # It saturates: a cell that is no brighter than before and after gives 0, and is no jump.
            cv2.subtract(grids.last, self._low, self._low)
            self.jumping_cells = self._count_above(self._low, jump_limit)
        if plan & KEEP:
            grids.before_last[:] = grids.last
            grids.last[:] = frame
        return grids.dry if plan & DRY else frame
