"""Fits a picture of any shape into the square that a network wants, and brings its boxes back.

The picture keeps its proportions and lies in the middle of grey bands (letterbox). Stretched instead, people in an
upright camera would become dwarfs, which the networks never saw. Luma is enough: against colour it costs one frame with
a person in a hundred (bench/OPINION.md), and the analysis has it anyway, which saves decoding a frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from agent.core.media import Luma
from agent.core.object_detection.arrays import Pixels
from agent.core.object_detection.labels import Box

__all__ = ["Letterbox", "fit"]

_BAND = 0.0
_HALF_SCALE = 127.5


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The picture's place in the square: offset and size of each side, 0..1 of the square."""

    left: float
    top: float
    width: float
    height: float

    def back(self, box: Box) -> Box | None:
        """Returns a box of the square as one of the picture, cut off at its edges; None if it lies outside."""
        x0, x1 = ((x - self.left) / self.width for x in (box[0], box[2]))
        y0, y1 = ((y - self.top) / self.height for y in (box[1], box[3]))
        x0, y0, x1, y1 = max(0.0, x0), max(0.0, y0), min(1.0, x1), min(1.0, y1)
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def fit(luma: Luma, side_px: int) -> tuple[Pixels, Letterbox]:
    """`luma` (H, W) in a square of `side_px`.  The pixels are new; `luma` is only read."""
    height_px, width_px = luma.shape
    scale = side_px / max(height_px, width_px)
    rows, columns = max(1, round(height_px * scale)), max(1, round(width_px * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = luma if scale == 1 else cv2.resize(luma, (columns, rows), interpolation=way)
    top, left = (side_px - rows) // 2, (side_px - columns) // 2
    pixels = np.full((1, side_px, side_px, 3), _BAND, np.float32)
    pixels[0, top : top + rows, left : left + columns] = (np.asarray(small, np.float32) / _HALF_SCALE - 1)[..., None]
    return pixels, Letterbox(left / side_px, top / side_px, columns / side_px, rows / side_px)
