"""Picks, among the connected regions of differing cells, those that tracks have confirmed, and judges their substance.

Runs only when a path has become long enough, so it may allocate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from agent.core.motion.grids import Cells
from agent.core.motion.tracking import Tracks

__all__ = ["CellBox", "Region", "around", "tracked_regions"]

CellBox = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in cells, the end exclusive."""

_MOST_REGIONS = 4
"""Regions looked at per confirmation, longest path first: the work is bounded whatever the picture shows."""


@dataclass(frozen=True, slots=True)
class Region:
    """A connected group of differing cells.  Paths are cells of new ground, dwell is frames in succession."""

    box: CellBox
    cells: int
    longest_path: int
    longest_dwell: int
    mean_dwell: float
    settled_share: float
    """Of its cells, those that have stopped changing: scenery, or somebody who stands."""


def tracked_regions(differing: Cells, tracks: Tracks, least_path: int) -> Iterator[Region]:
    """The regions that a path of at least `least_path` has reached, longest path first."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(differing)
    settled = tracks.settled()
    reached = tracks.path >= least_path
    longest_first = np.argsort(tracks.path[reached], kind="stable")[::-1]
    for label in list(dict.fromkeys(labels[reached][longest_first].tolist()))[:_MOST_REGIONS]:
        x, y, width, height, cells = statistics[label].tolist()
        window = np.s_[y : y + height, x : x + width]
        here = labels[window] == label
        dwell = tracks.dwell[window][here]
        yield Region(
            box=(x, y, x + width, y + height),
            cells=cells,
            longest_path=int(tracks.path[window][here].max()),
            longest_dwell=int(dwell.max()),
            mean_dwell=float(dwell.mean()),
            settled_share=np.count_nonzero(settled[window][here]) / cells,
        )


def around(boxes: Sequence[CellBox]) -> CellBox:
    """The smallest box around all of `boxes` (at least one)."""
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)
