"""The pure passes over a visitor who is looked after.  `presence.py` says what they mean."""

from __future__ import annotations

import math

import cv2
import numpy as np

from agent.core.motion.grids import Grid, Grids
from agent.core.motion.passes import CellBox
from agent.core.motion.passes.scene import QUICK_SHARE, local_mean

__all__ = ["BodyPasses"]

_TOUCHING = np.ones((3, 3), np.uint8)


class BodyPasses:
    """See `Passes`."""

    def __init__(self, grids: Grids) -> None:
        self._grids = grids

    def find_body(self, window: CellBox, seed: CellBox, least: float) -> tuple[int, CellBox | None]:
        grids, (left, top, right, bottom), (x0, y0, x1, y1) = self._grids, window, seed
        here = np.s_[top:bottom, left:right]
        difference: Grid = grids.frame[here] - grids.scene[here]
        residual = np.abs(difference - local_mean(difference))
        threshold = np.maximum(grids.scene_threshold[here], np.float32(least))
        differs = (residual > threshold) & (np.abs(difference) > np.float32(QUICK_SHARE) * threshold)
        _, labels, statistics, _ = cv2.connectedComponentsWithStats(cv2.dilate(differs.astype(np.uint8), _TOUCHING))
        inside = [label for label in np.unique(labels[y0 - top : y1 - top, x0 - left : x1 - left]) if label]
        hides = np.isin(labels, inside)
        grids.body[here] = np.where(hides, 255, 0)
        if not inside:
            return 0, None
        parts = [statistics[label].tolist() for label in inside]
        box = (
            left + min(x for x, *_ in parts),
            top + min(y for _, y, *_ in parts),
            left + max(x + width for x, _, width, *_ in parts),
            top + max(y + height for _, y, _, height, _ in parts),
        )
        return int(np.count_nonzero(differs[hides])), box

    def fidgeting_cells(self, window: CellBox, limit: float) -> int:
        left, top, right, bottom = window
        here, grids = np.s_[top:bottom, left:right], self._grids
        change = grids.frame[here].astype(np.int64) - grids.then[here]
        # Times the number of cells, so that the mean is an integer.
        beyond = np.abs(change * change.size - change.sum())
        return int(np.count_nonzero((beyond > math.floor(limit * change.size)) & (grids.body[here] > 0)))
