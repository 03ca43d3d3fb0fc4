"""The pure passes over tracks and regions.  What they mean: `tracking.py`, `confirming.py`, `lighting.py`."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.motion.grids import Cells, Grids
from agent.core.motion.passes import MOST_REGIONS, CellBox, LightSums, MotionRegion

__all__ = ["TrackPasses", "light_sums"]

_NEIGHBOURS = np.ones((3, 3), np.uint8)
_MARGIN = 2
"""How far around a region, in cells, light is told from things."""

_Exact = npt.NDArray[np.int64]


class TrackPasses:
    """See `Passes`."""

    def __init__(self, grids: Grids) -> None:
        self._grids = grids
        shape = (grids.rows, grids.columns)
        self._one, self._fresh = np.ones(shape, np.uint8), np.zeros(shape, np.uint8)
        self._is_fresh = self._fresh.view(np.bool_)
        self._elapsed = np.zeros(shape, np.uint16)
        self._reaches: dict[int, Cells] = {}

    def track(self, elapsed_frames: int, fresh_after_frames: int, reach_cells: int, fades: bool) -> int:
        grids = self._grids
        path, differing, one = grids.path, grids.differing, self._one
        self._elapsed[:] = elapsed_frames
        cv2.add(grids.age, self._elapsed, grids.age)
        np.greater(grids.age, fresh_after_frames, out=self._is_fresh)
        cv2.dilate(path, self._reach(reach_cells), path)
        cv2.add(path, self._fresh, path)
        cv2.bitwise_and(path, differing, path)
        if fades:
            cv2.subtract(path, one, path)
        np.putmask(grids.age, differing.view(np.bool_), 0)
        self._count(grids.dwell)
        cv2.absdiff(grids.frame, grids.previous, grids.changing)
        cv2.compare(grids.changing, grids.quick_threshold, cv2.CMP_GT, grids.changing)
        cv2.bitwise_and(grids.changing, differing, grids.changing)
        self._count(grids.unchanged)
        cv2.subtract(grids.unchanged, grids.changing, grids.unchanged)
        grids.previous[:] = grids.frame
        return int(cv2.minMaxLoc(path)[1])

    def regions(self, least_path: int, least_cells: int, settled_frames: int) -> tuple[MotionRegion, ...]:
        grids = self._grids
        _, found, statistics, _ = cv2.connectedComponentsWithStats(grids.differing)
        labels = np.asarray(found, np.int32)
        reached = grids.path >= least_path
        longest_first = np.argsort(grids.path[reached], kind="stable")[::-1]
        found_here = dict.fromkeys(labels[reached][longest_first].tolist())
        wanted = [label for label in found_here if statistics[label, cv2.CC_STAT_AREA] >= least_cells]
        return tuple(
            self._region(labels, label, statistics[label].tolist(), settled_frames) for label in wanted[:MOST_REGIONS]
        )

    def _region(
        self, labels: npt.NDArray[np.int32], label: int, extent: list[int], settled_frames: int
    ) -> MotionRegion:
        grids = self._grids
        x, y, width, height, cells = extent
        window = np.s_[y : y + height, x : x + width]
        here = labels[window] == label
        box = (x, y, x + width, y + height)
        dwell = grids.dwell[window][here]
        return MotionRegion(
            box=box,
            cells=cells,
            longest_path=int(grids.path[window][here].max()),
            longest_dwell=int(dwell.max()),
            total_dwell=int(dwell.sum(dtype=np.int64)),
            settled_cells=int(np.count_nonzero(grids.unchanged[window][here] > settled_frames)),
            smallest_cells=int(np.min(grids.smallest_cells[window])),
            light=light_sums(grids, box),
        )

    def _count(self, counts: Cells) -> None:
        """Add one where something differs, start again from zero elsewhere."""
        cv2.add(counts, self._one, counts)
        cv2.bitwise_and(counts, self._grids.differing, counts)

    def _reach(self, cells: int) -> Cells:
        if cells not in self._reaches:
            self._reaches[cells] = np.ones((2 * cells + 1, 2 * cells + 1), np.uint8)
        return self._reaches[cells]


def light_sums(grids: Grids, box: CellBox) -> LightSums:
    """Only differing cells and their neighbours are compared: the wall around a thing has kept its structure anyway."""
    x0, y0, x1, y1 = box
    window = np.s_[
        max(0, y0 - _MARGIN) : min(grids.rows, y1 + _MARGIN), max(0, x0 - _MARGIN) : min(grids.columns, x1 + _MARGIN)
    ]
    now: _Exact = grids.frame[window].astype(np.int64) * 64
    before: _Exact = (grids.seen[window] * np.float32(64)).astype(np.int64)
    inside = cv2.dilate(grids.differing[window], _NEIGHBOURS) > 0
    across, down = inside[:, 1:] & inside[:, :-1], inside[1:] & inside[:-1]
    now_xy, before_xy = _gradients(now, across, down), _gradients(before, across, down)
    difference = now - before
    blurred = cv2.boxFilter(difference.astype(np.float32), -1, (3, 3), normalize=False).astype(np.int64)
    return LightSums(
        cells=int(np.count_nonzero(inside)),
        gradients=len(now_xy),
        energy_now=int(now_xy @ now_xy),
        energy_before=int(before_xy @ before_xy),
        shared=int(now_xy @ before_xy),
        roughness=int(np.abs(9 * difference - blurred)[inside].sum()),
        difference=int(np.abs(difference)[inside].sum()),
    )


def _gradients(picture: _Exact, across: npt.NDArray[np.bool_], down: npt.NDArray[np.bool_]) -> _Exact:
    """The horizontal and vertical differences between marked neighbours, as one vector."""
    return np.concatenate(((picture[:, 1:] - picture[:, :-1])[across], (picture[1:] - picture[:-1])[down]))
