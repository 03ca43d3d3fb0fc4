"""Decodes the answer of the network, YOLOX-Nano on COCO, for a square of 320 px.

The network lays three grids over the square, with cells of 8, 16 and 32 px. It answers with a row for each cell: centre
and size of a box, its certainty that an object is there, and a score for each of 80 classes. The centre is relative to
the cell's corner and counts cells. The size is the logarithm of the number of cells.

An array of another shape raises `FormatError`: it comes from a network that this code was not written for.

Source: Ge et al., *YOLOX: Exceeding YOLO Series in 2021*, section 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from agent.core.object_detection.arrays import Numbers
from agent.core.object_detection.labels import Box, overlap
from agent.errors import FormatError

__all__ = ["CLASSES_FROM", "OBJECTS_PX", "decode", "object_cells", "suppress"]

OBJECTS_PX = 320
"""The network takes any multiple of 32. It was trained with 416, which costs 1.6 times as much and finds no more here
(bench/LABELS.md)."""
CLASSES_FROM = 5
"""Column of the first class."""
_CLASSES = 80
_STRIDES_PX = (8, 16, 32)
_LARGEST_GROWTH = 7.0
"""A real answer is smaller than e⁷ cells. Without a bound the exponential overflows."""


@cache
def object_cells() -> Numbers:
    """(2100, 3): column and row of each cell in its grid, and the cell's side as a share of the square."""
    grids = []
    for stride_px in _STRIDES_PX:
        rows, columns = np.mgrid[: OBJECTS_PX // stride_px, : OBJECTS_PX // stride_px]
        sides = np.full(rows.size, stride_px / OBJECTS_PX)
        grids.append(np.stack([columns.ravel(), rows.ravel(), sides], axis=1))
    return np.concatenate(grids).astype(np.float32)


def decode(answer: Numbers, classes: Sequence[int], least: float) -> list[tuple[Box, float]]:
    """Returns the boxes with a best score among `classes` of at least `least`, with that score.

    `answer` (2100, 85): x, y, width, height, certainty, scores. Certainty and scores are 0..1.
    """
    cells = object_cells()
    if answer.shape != (len(cells), CLASSES_FROM + _CLASSES):
        raise FormatError(f"The object network answers in an unknown shape: {answer.shape}.")
    of_classes = answer[:, [CLASSES_FROM + each for each in classes]].max(axis=1)
    scores = np.nan_to_num(answer[:, CLASSES_FROM - 1] * of_classes)  # a network that answers NaN has seen nothing
    found = scores >= least
    side = cells[found, 2:]
    centres = (answer[found, :2] + cells[found, :2]) * side
    halves = np.exp(np.clip(answer[found, 2:4], None, _LARGEST_GROWTH)) * side / 2
    return _listed(np.concatenate([centres - halves, centres + halves], axis=1), scores[found])


def suppress(found: list[tuple[Box, float]], most_overlap: float) -> list[tuple[Box, float]]:
    """Keeps only the best of boxes that overlap by more than `most_overlap` (intersection over union); best first."""
    kept: list[tuple[Box, float]] = []
    for box, score in sorted(found, key=lambda each: -each[1]):
        if all(overlap(box, other) <= most_overlap for other, _score in kept):
            kept.append((box, score))
    return kept


def _listed(corners: Numbers, scores: Numbers) -> list[tuple[Box, float]]:
    whole = np.isfinite(corners).all(axis=1)
    return [
        ((float(x0), float(y0), float(x1), float(y1)), float(score))
        for (x0, y0, x1, y1), score in zip(corners[whole], scores[whole], strict=True)
    ]
