"""Finds number plates in a picture: where they are, and no letter of them.

A cascade of 210 small decisions (Viola and Jones, 2001) that OpenCV's project publishes (Apache-2.0). It was trained
with Russian plates, which have the shape of European ones. `scripts/pack_plate_cascade.py` makes the file from a pinned
package. The page has the same file and the same arithmetic (agent/web/src/media/plate_cascade.js, compared by
tests/web/test_suggesting.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import agent
from agent.clients.media.pinned_file import read_pinned

__all__ = ["CASCADE", "Plate", "PlateCascade"]

CASCADE: Final = Path(agent.__file__).resolve().parent / "web" / "static" / "plates.json"
"""Beside the page, which loads the same file."""
SHA256: Final = "214296e6390da0314fdd07e271e9615d74d6c2f22b55582df84741fb0c9dc01d"
WINDOW_PX: Final = (60, 20)
"""Width and height of the smallest plate."""
ZOOM: Final = 1.15
"""The picture is examined at sizes that differ by this factor."""
STEP_PX: Final = 2
LEAST_OVERLAP: Final = 0.3
"""Hits that overlap by this share (intersection over union) are one plate."""

_Sums = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plate:
    """A box in pixels of the picture. `hits`: windows of the cascade that found it."""

    hits: int
    left: float
    top: float
    right: float
    bottom: float


class PlateCascade:
    """Raises `ConfigurationError` if the file of the cascade is missing or another one."""

    def __init__(self, path: Path = CASCADE) -> None:
        data = read_pinned(path, SHA256)
        self._stages: list[tuple[float, list[Any]]] = json.loads(data)

    def find(self, luma: NDArray[np.uint8]) -> list[Plate]:
        """Returns the plates in a picture, those with the most hits first. `luma`: rows, columns."""
        whole = _integral(luma.astype(np.int64))
        hits: list[tuple[float, float, float, float]] = []
        zoom = 1.0
        while True:
            rows, columns = int(luma.shape[0] / zoom), int(luma.shape[1] / zoom)
            if columns < WINDOW_PX[0] or rows < WINDOW_PX[1]:
                return _grouped(hits)
            small = _shrunk(whole, zoom, rows, columns)
            y, x = self._windows(small)
            hits += [
                (left * zoom, top * zoom, (left + WINDOW_PX[0]) * zoom, (top + WINDOW_PX[1]) * zoom)
                for top, left in zip(y.tolist(), x.tolist(), strict=True)
            ]
            zoom *= ZOOM

    def _windows(self, luma: _Sums) -> tuple[_Sums, _Sums]:
        """Returns the rows and columns of the windows that each stage accepts."""
        sums, squares, tilted = _integral(luma), _integral(luma * luma), _tilted(luma)
        stride = sums.shape[1]
        tops = np.arange(0, luma.shape[0] - WINDOW_PX[1] + 1, STEP_PX)
        lefts = np.arange(0, luma.shape[1] - WINDOW_PX[0] + 1, STEP_PX)
        at = (tops[:, None] * stride + lefts).ravel()
        flat, flat_tilted = sums.ravel(), tilted.ravel()
        inner = (1, 1, WINDOW_PX[0] - 2, WINDOW_PX[1] - 2)
        area = inner[2] * inner[3]
        mean = _sum(flat, at, inner, stride)
        spread = np.sqrt(np.maximum(1, area * _sum(squares.ravel(), at, inner, stride) - mean * mean))
        for least, stumps in self._stages:
            total = np.zeros(len(at))
            for threshold, low, high, is_tilted, rects in stumps:
                value = np.zeros(len(at))
                for *rect, weight in rects:
                    found = _tilted_sum(flat_tilted, at, rect, stride) if is_tilted else _sum(flat, at, rect, stride)
                    value += weight * found
                total += np.where(value < threshold * spread, low, high)
            kept = total >= least
            at, spread = at[kept], spread[kept]
        return at // stride, at % stride


def _integral(values: _Sums) -> _Sums:
    made = np.zeros((values.shape[0] + 1, values.shape[1] + 1), np.int64)
    made[1:, 1:] = values.cumsum(0).cumsum(1)
    return made


def _tilted(values: _Sums) -> _Sums:
    """Returns the sums over the triangles that open upwards from each point (Lienhart, 2002)."""
    rows, columns = values.shape
    made = np.zeros((rows + 1, columns + 1), np.int64)
    own = np.zeros_like(made)
    own[1:, 1:] += values
    own[2:, 1:] += values[:-1]
    for y in range(1, rows + 1):
        made[y] = own[y]
        made[y, 1:] += made[y - 1, :-1]
        made[y, :-1] += made[y - 1, 1:]
        if y > 1:
            made[y, 1:-1] -= made[y - 2, 1:-1]
    return made


def _sum(flat: _Sums, at: _Sums, rect: Sequence[int], stride: int) -> _Sums:
    x, y, width, height = rect
    first, last = y * stride + x, (y + height) * stride + x
    found: _Sums = flat[at + last + width] - flat[at + last] - flat[at + first + width] + flat[at + first]
    return found


def _tilted_sum(flat: _Sums, at: _Sums, rect: Sequence[int], stride: int) -> _Sums:
    x, y, width, height = rect
    top = y * stride + x
    found: _Sums = (
        flat[at + top]
        - flat[at + top + height * stride - height]
        - flat[at + top + width * stride + width]
        + flat[at + top + (width + height) * stride + width - height]
    )
    return found


def _shrunk(whole: _Sums, zoom: float, rows: int, columns: int) -> _Sums:
    """Returns the mean brightness below each pixel of a smaller picture, rounded down."""
    y = np.floor(np.arange(rows + 1) * zoom).astype(int)
    x = np.floor(np.arange(columns + 1) * zoom).astype(int)
    corners = whole[np.ix_(y, x)]
    total = corners[1:, 1:] - corners[1:, :-1] - corners[:-1, 1:] + corners[:-1, :-1]
    made: _Sums = total // (np.diff(y)[:, None] * np.diff(x))
    return made


def _grouped(hits: Sequence[tuple[float, float, float, float]]) -> list[Plate]:
    """Returns one plate for hits that overlap: the mean of their boxes."""
    groups: list[list[float]] = []
    for box in hits:
        for group in groups:
            mean = [side / group[0] for side in group[1:]]
            if _overlap(mean, box) >= LEAST_OVERLAP:
                group[0] += 1
                for side in range(4):
                    group[side + 1] += box[side]
                break
        else:
            groups.append([1.0, *box])
    plates = [Plate(int(count), *(side / count for side in sides)) for count, *sides in groups]
    return sorted(plates, key=lambda plate: -plate.hits)


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both)
