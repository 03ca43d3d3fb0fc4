"""The OpenCV calls that take a number on one side, which its type stubs do not describe; and the grid's two types."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Cells", "Grid", "at_least", "lessened", "mark_above", "mark_below", "scaled"]

Cells = npt.NDArray[np.uint8]
"""(rows, columns) uint8: steps, counts, or a mask of 0 and 255."""

Grid = npt.NDArray[np.float32]
"""(rows, columns) float32, in steps."""


def mark_above(values: Cells | Grid, limit: float, out: Cells) -> None:
    """`out` = 255 where `values` > `limit`, else 0.  May work in place."""
    cv2.compare(values, limit, cv2.CMP_GT, out)  # type: ignore[call-overload]


def mark_below(values: Cells | Grid, limit: float, out: Cells) -> None:
    """`out` = 255 where `values` < `limit`, else 0.  May work in place."""
    cv2.compare(values, limit, cv2.CMP_LT, out)  # type: ignore[call-overload]


def at_least(values: Grid, least: float) -> None:
    """Raise every value below `least` to it, in place."""
    cv2.max(values, least, values)  # type: ignore[call-overload]


def lessened(values: Grid, amount: float, out: Grid) -> None:
    """`out` = `values` - `amount`.  May work in place."""
    cv2.subtract(values, amount, out)  # type: ignore[call-overload]


def scaled(values: Grid, factor: float, out: Grid) -> None:
    """`out` = `values` × `factor`.  May work in place."""
    cv2.multiply(values, factor, out)  # type: ignore[call-overload]
