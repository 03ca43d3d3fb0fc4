"""The pure passes over tracks, regions and bodies.  See `tracking.py` and `presence.py`."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.motion.grids import NEIGHBOURS, Cells, Grid, Grids
from agent.core.motion.passes import FAR_GAIN, FAR_REACHES, MOST_REGIONS, SOLID_CELLS, CellBox, MotionRegion
from agent.core.motion.passes.scene import QUICK_SHARE, ScenePasses, local_mean

__all__ = ["TrackPasses"]

_TIMES_25_BEYOND_MEAN = np.full((5, 5), -1, np.float32)
_TIMES_25_BEYOND_MEAN[2, 2] = 24


class TrackPasses(ScenePasses):
    """Adds the passes over tracks, regions and bodies.  See `Passes`."""

    def __init__(self, grids: Grids, height_px: int, width_px: int) -> None:
        super().__init__(grids, height_px, width_px)
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
        # Most frames have too few differing cells for a large thing, and skip the costly part.
        far = self._far(reach_cells) if cv2.countNonZero(differing) >= SOLID_CELLS else None
        # The maximum around a cell is the longest path that can have stepped onto it.
        cv2.dilate(path, self._reach(reach_cells), path)
        if far is not None:
            cv2.max(path, far, path)
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
        # Stable and reversed: of equal paths the one furthest down, then furthest right, comes first, as in the kernel.
        longest_first = np.argsort(grids.path[reached], kind="stable")[::-1]
        found_here = dict.fromkeys(labels[reached][longest_first].tolist())
        wanted = [label for label in found_here if statistics[label, cv2.CC_STAT_AREA] >= least_cells]
        return tuple(
            self._region(labels, label, statistics[label].tolist(), settled_frames) for label in wanted[:MOST_REGIONS]
        )

    def find_body(self, window: CellBox, seed: CellBox, least: float, limit: float) -> tuple[int, int, CellBox | None]:
        grids, (left, top, right, bottom), (x0, y0, x1, y1) = self._grids, window, seed
        here = np.s_[top:bottom, left:right]
        difference: Grid = grids.frame[here] - grids.scene[here]
        residual = np.abs(difference - local_mean(difference))
        threshold = np.maximum(grids.scene_threshold[here], np.float32(least))
        differs = (residual > threshold) & (np.abs(difference) > np.float32(QUICK_SHARE) * threshold)
        touching = cv2.dilate(differs.astype(np.uint8), NEIGHBOURS)
        count, labels = cv2.connectedComponents(touching)
        inside = np.zeros(count, np.bool_)
        inside[labels[y0 - top : y1 - top, x0 - left : x1 - left]] = True
        inside[0] = False  # what does not differ
        hides = inside[labels]
        grids.body[here] = np.where(hides, 255, 0)
        x, y, width, height = cv2.boundingRect(grids.body[here])
        box = (left + x, top + y, left + x + width, top + y + height) if width else None
        change = cv2.subtract(grids.frame[here], grids.then[here], dtype=cv2.CV_16S)
        # In integers: |size × change - total| > spread, so that the answer is the same on each machine.
        total, spread = int(cv2.sumElems(change)[0]), int(limit * hides.size)
        still = cv2.inRange(change, -((spread - total) // hides.size), (total + spread) // hides.size)
        fidgets = cv2.countNonZero(cv2.subtract(grids.body[here], still))
        return int(np.count_nonzero(differs[hides])), fidgets, box

    def compare_body(self, window: CellBox, beside_scene: bool) -> list[float]:
        grids, (x0, y0, x1, y1) = self._grids, window
        here = np.s_[y0:y1, x0:x1]
        body = grids.body[here]
        within = np.asarray(cv2.erode(body, NEIGHBOURS), np.uint8)
        outline, is_body = body - within, body.view(np.bool_)
        pictures = grids.frame, grids.scene if beside_scene else grids.seen
        # Products of these numbers need 34 bits and their sums 47: exact in float64, and not in float32.
        now, before = (_beyond_mean(picture[here])[is_body].astype(np.float64) for picture in pictures)
        sums = [len(now), *(float(np.vdot(one, other)) for one, other in ((now, now), (before, before), (now, before)))]
        for structure in (cv2.morphologyEx(grids.frame, cv2.MORPH_GRADIENT, NEIGHBOURS), grids.scene_structure):
            parts = [cv2.norm(structure[here], cv2.NORM_L1, part) for part in (outline, within)]
            sums += [*parts, cv2.sumElems(structure)[0] - sum(parts)]
        return sums

    def _region(
        self, labels: npt.NDArray[np.int32], label: int, extent: list[int], settled_frames: int
    ) -> MotionRegion:
        grids = self._grids
        x, y, width, height, cells = extent
        window = np.s_[y : y + height, x : x + width]
        here = labels[window] == label
        dwell = grids.dwell[window][here]
        return MotionRegion(
            box=(x, y, x + width, y + height),
            cells=cells,
            longest_path=int(grids.path[window][here].max()),
            longest_dwell=int(dwell.max()),
            total_dwell=int(dwell.sum(dtype=np.int64)),
            settled_cells=int(np.count_nonzero(grids.unchanged[window][here] > settled_frames)),
            smallest_cells=int(np.min(grids.smallest_cells[window])),
        )

    def _far(self, reach_cells: int) -> Cells:
        """Where a large thing has reached new ground: the paths that come from far, with what they have gained."""
        grids = self._grids
        new = grids.differing & self._fresh
        around = cv2.boxFilter(new, -1, (5, 5), normalize=False, borderType=cv2.BORDER_CONSTANT)
        far = np.asarray(cv2.dilate(grids.path, self._reach(FAR_REACHES * reach_cells)), np.uint8)
        reached = (np.asarray(around) >= SOLID_CELLS) & (new > 0) & (far > 0)
        # Bounded first: in uint8, 254 + 2 would wrap to 0, and the longest path would be lost.
        return np.where(reached, np.minimum(far, 255 - FAR_GAIN) + np.uint8(FAR_GAIN), np.uint8(0))

    def _count(self, counts: Cells) -> None:
        """Add one where something differs, start again from zero elsewhere."""
        cv2.add(counts, self._one, counts)
        cv2.bitwise_and(counts, self._grids.differing, counts)

    def _reach(self, cells: int) -> Cells:
        if cells not in self._reaches:
            self._reaches[cells] = np.ones((2 * cells + 1, 2 * cells + 1), np.uint8)
        return self._reaches[cells]


def _beyond_mean(picture: Cells | Grid) -> Grid:
    """25 times what remains without the mean of 5×5 cells, in whole 64ths."""
    return np.asarray(cv2.filter2D(picture.astype(np.float32), -1, _TIMES_25_BEYOND_MEAN), np.float32)
