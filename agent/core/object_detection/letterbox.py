"""Fits a picture of any shape into the square that a network wants, and brings its boxes back.

The picture keeps its proportions and lies in the middle of grey bands (letterbox). Stretched instead, people in an
upright camera would become dwarfs, which the network never saw.

The network's square shows the surroundings of the motion, not the whole picture. A visitor at the gate is then 100 px
tall in it instead of 20 px. It is in colour, because a network takes grey cats for persons (bench/LABELS.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from agent.core.media import Luma, Picture
from agent.core.object_detection.arrays import Pixels
from agent.core.object_detection.labels import Box

__all__ = ["WHOLE", "Letterbox", "fit", "surroundings"]

WHOLE: Final[Box] = (0.0, 0.0, 1.0, 1.0)
_BAND: Final = 128
_SURROUNDINGS: Final = 1.5
"""Side of the square around what moved, as a multiple of the longer side of what moved."""
_LEAST_WIDTH: Final = 0.3
"""Share of the picture's width: in a smaller part, a network sees only blurred pixels."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The region's place in the square: offset and size of each side, 0..1 of the square."""

    left: float
    top: float
    width: float
    height: float
    region: Box = WHOLE
    """The part of the picture that lies in the square."""

    def back(self, box: Box) -> Box | None:
        """Returns a box of the square as one of the picture, cut off at the region's edges; None if it lies outside."""
        x0, x1 = ((x - self.left) / self.width for x in (box[0], box[2]))
        y0, y1 = ((y - self.top) / self.height for y in (box[1], box[3]))
        x0, y0, x1, y1 = max(0.0, x0), max(0.0, y0), min(1.0, x1), min(1.0, y1)
        if x0 >= x1 or y0 >= y1:
            return None
        left, top, right, bottom = self.region
        across, down = right - left, bottom - top
        return left + x0 * across, top + y0 * down, left + x1 * across, top + y1 * down


def surroundings(moved: Box, width_px: int, height_px: int) -> Box:
    """Returns the square around what moved, with a margin, inside a picture of that size (cut off at its sides)."""
    side_px = max((moved[2] - moved[0]) * width_px, (moved[3] - moved[1]) * height_px) * _SURROUNDINGS
    side_px = max(side_px, width_px * _LEAST_WIDTH)
    x0, x1 = _span((moved[0] + moved[2]) / 2, side_px / width_px)
    y0, y1 = _span((moved[1] + moved[3]) / 2, side_px / height_px)
    return x0, y0, x1, y1


def _span(centre: float, length: float) -> tuple[float, float]:
    """A span of that length around `centre`, moved to lie in 0..1."""
    length = min(1.0, length)
    first = min(max(0.0, centre - length / 2), 1.0 - length)
    return first, first + length


def fit(picture: Luma | Picture, side_px: int, region: Box = WHOLE) -> tuple[Pixels, Letterbox]:
    """Returns a region of `picture`, (H, W) or (H, W, 3), in a square of `side_px`, as new pixels."""
    part = _cut(picture, region)
    height_px, width_px = part.shape[:2]
    scale = side_px / max(height_px, width_px)
    rows, columns = max(1, round(height_px * scale)), max(1, round(width_px * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = part if scale == 1 else cv2.resize(part, (columns, rows), interpolation=way)
    top, left = (side_px - rows) // 2, (side_px - columns) // 2
    pixels = np.full((side_px, side_px, 3), _BAND, np.uint8)
    values = np.asarray(small, np.uint8)
    pixels[top : top + rows, left : left + columns] = values if values.ndim == 3 else values[..., None]
    return pixels, Letterbox(left / side_px, top / side_px, columns / side_px, rows / side_px, region)


def _cut(picture: Luma | Picture, region: Box) -> Luma | Picture:
    height_px, width_px = picture.shape[:2]
    left, top = int(region[0] * width_px), int(region[1] * height_px)
    # At least one pixel: `cv2.resize` refuses an empty picture.
    right, bottom = max(left + 1, round(region[2] * width_px)), max(top + 1, round(region[3] * height_px))
    return picture[top:bottom, left:right]
