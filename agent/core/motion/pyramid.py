"""Shrinks luma by exact 2×2 means to about 80×60 and takes its logarithm: all later work is small and ratio-based.

Means of whole blocks, not samples: every pixel counts, noise falls by half with each level, and the cost of everything
after it does not depend on the camera.  (Burt & Adelson, *The Laplacian Pyramid as a Compact Image Code*, 1983, with
the box kernel.)  A picture that is as small as the grid is averaged in place: a cell of one pixel has twice the noise,
and a codec's block there is as large as a person far away.  On the logarithmic scale a lamp that doubles the light adds
the same number everywhere (Weber–Fechner; the homomorphic model of Oppenheim, Schafer & Stockham, 1968), which is what
`background.py` removes.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.media import Luma
from agent.errors import DeviceError

__all__ = ["STEPS_PER_E", "Pyramid", "check_luma", "grid_size", "halvings", "steps_of_luma"]

_DARK_OFFSET = 20.0
"""Luma added before the logarithm, so that sensor noise near black is not blown up."""

STEPS_PER_E = 255 / math.log((255 + _DARK_OFFSET) / _DARK_OFFSET)
"""Steps of the logarithmic scale to a factor e of light: 97.3."""

_LUMA_TYPE = np.dtype(np.uint8)
_QUARTERS = np.full((2, 2), 0.25, np.float32)

_ROWS_BELOW, _COLUMNS_BELOW = 120, 160
"""A grid has fewer rows and columns than these."""


def grid_size(height_px: int, width_px: int) -> tuple[int, int]:
    """(rows, columns) of the grid that a picture of this size is analysed on."""
    level = halvings(height_px, width_px)
    return height_px >> level, width_px >> level


def halvings(height_px: int, width_px: int) -> int:
    """How often a picture of this size is halved until it is a grid."""
    return next(level for level in range(32) if height_px >> level < _ROWS_BELOW and width_px >> level < _COLUMNS_BELOW)


def steps_of_luma() -> npt.NDArray[np.uint8]:
    """(256,) uint8: luma 0..255 in steps of the logarithmic scale."""
    luma = np.arange(256)
    return np.rint(STEPS_PER_E * np.log((luma + _DARK_OFFSET) / _DARK_OFFSET)).astype(np.uint8)


def check_luma(luma: Luma, shape: tuple[int, int]) -> None:
    """Raises `DeviceError` unless `luma` is what was announced."""
    if luma.shape != shape or luma.dtype != _LUMA_TYPE:
        raise DeviceError(
            f"The camera gave luma of {luma.shape} {luma.dtype} where {shape} uint8 was announced.",
            remedy="Restart the recorder; if it happens again, run `doorward doctor`.",
        )


class Pyramid:
    """Preallocated levels for one frame size."""

    def __init__(self, height_px: int, width_px: int) -> None:
        self._shape = (height_px, width_px)
        rows, columns = grid_size(height_px, width_px)
        halved = range(halvings(height_px, width_px))
        self._levels = [np.zeros((rows << level, columns << level), np.uint8) for level in reversed(halved)]
        self._whole = np.s_[: rows << len(halved), : columns << len(halved)]
        self._logarithm = steps_of_luma()

    def shrink(self, luma: Luma, out: Luma) -> Luma:
        """`out`, (rows, columns) uint8: the grid of `luma` (H, W; any stride) in steps.

        An odd last row or column of a level has no partner and is left out.  Raises `DeviceError` on another size.
        """
        check_luma(luma, self._shape)
        # All that is left out, at once: on an odd edge OpenCV would weigh pixels unequally, instead of the exact 2×2
        # means that the kernel makes.
        luma = luma[self._whole]
        for level in self._levels:
            cv2.resize(luma, None, level, 0.5, 0.5, cv2.INTER_AREA)
            luma = level
        if not self._levels:
            # One call instead of sums and shifts. The eighth makes a half round up, as in the other levels.
            luma = np.asarray(cv2.filter2D(luma, -1, _QUARTERS, out, delta=0.125), np.uint8)
        cv2.LUT(luma, self._logarithm, out)
        return out
