"""Tells light from a person when the whole picture changes at once.

Light changes brightness and leaves structure where it is; a thing hides the structure behind it.  So a picture that
changes all over has kept its structure (lamp, exposure step) or lost it (a person who fills the picture).  Block
correlation decides: it does not see gain or offset.  Structure lost *and still changing* is a person; structure lost
once and then still is a lens that was covered or turned, or an infrared lamp.

The comparison runs on suspicion only, so it may allocate.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from agent.core.media import Luma
from agent.core.motion.grids import Cells, Grid
from agent.core.motion.passes import CellBox

__all__ = ["HiddenStructure", "SuddenLightChange", "hidden_structure", "is_only_lit"]

_BLOCK_CELLS = 8
_TEXTURED_STEPS = 4.0
"""Standard deviation, in steps, from which a block has structure to compare."""

_LIT_CORRELATION = 0.85
"""On footage for tuning, headlights showed .93 to .99, visitors at most .7 in all but two of a hundred looks."""

_BESIDE_CELLS, _BESIDE_STEPS, _BESIDE_SHARE = 4, 8.0, 0.25
"""Light has no edge: this many cells around the box more than this share of it is left. Visitors showed
that in 14 of 800 looks, in films of tuning and validation sources, most while the exposure changed."""

_STILL_CHANGING_SHARE = 0.02
"""Share of the watched cells that has to change from frame to frame for a scene not to be settled."""


class SuddenLightChange:
    """Holds judgement while much of the picture changes at once, and remembers the scene from before.

    `suspects` per frame begins it; then, while `settling`, `observe` per frame; it is over when `settling` is False.
    """

    def __init__(self, rows: int, columns: int, *, share: float, settle_frames: int) -> None:
        self.before: Grid = np.zeros((rows, columns), np.float32)
        self.settling = False
        self._share = share
        self.settle_frames = settle_frames
        self._usual_share = 0.0
        self._frames_left = 0
        self._changing_frames = 0

    @property
    def kept_changing(self) -> bool:
        """Did the scene go on changing in at least half of the settling time?  A lamp does not, a person does."""
        return 2 * self._changing_frames >= self.settle_frames

    def suspects(self, differing_share: float, background: Grid) -> None:
        """Begin to settle when much more differs from the background than did lately."""
        jumped = differing_share - self._usual_share > self._share
        self._usual_share += 0.3 * (differing_share - self._usual_share)
        if jumped and not self.settling:
            self.before[:] = background
            self._frames_left = self.settle_frames
            self.settling = True
            self._changing_frames = 0

    def observe(self, changing_share: float) -> None:
        """One more frame of settling, in which this share of the watched cells changed since the frame before."""
        self._frames_left -= 1
        self.settling = self._frames_left > 0
        if changing_share > _STILL_CHANGING_SHARE:
            self._changing_frames += 1

    def forget(self) -> None:
        """Learning begins again, as with a new scene."""
        self._usual_share = 0.0
        self._frames_left = 0
        self.settling = False


@dataclass(frozen=True, slots=True)
class HiddenStructure:
    """Share 0..1 of the watched blocks with another structure than the background, and their box in cells."""

    share: float
    box: CellBox | None


def hidden_structure(frame: Luma, background: Grid, watched: Cells) -> HiddenStructure:
    """Which blocks show something else than the background does, whatever the light?

    A block counts when it has structure in either picture and the two correlate below one half.
    """
    rows, columns = (size // _BLOCK_CELLS for size in frame.shape)
    if not rows or not columns:
        return HiddenStructure(0.0, None)  # a strip without a single block: it cannot be told
    now, before = frame.astype(np.float32), background
    mean_now, mean_before = _block_means(now, rows, columns), _block_means(before, rows, columns)
    variance_now = _block_means(now * now, rows, columns) - mean_now**2
    variance_before = _block_means(before * before, rows, columns) - mean_before**2
    covariance = _block_means(now * before, rows, columns) - mean_now * mean_before
    least_variance = _TEXTURED_STEPS**2
    textured = np.maximum(variance_now, variance_before) > least_variance
    product = np.maximum(variance_now, least_variance / 4) * np.maximum(variance_before, least_variance / 4)
    seen = _block_means(watched.astype(np.float32), rows, columns) > 127
    hidden = textured & seen & (covariance < 0.5 * np.sqrt(product))
    blocks = np.argwhere(hidden).tolist()
    if not blocks:
        return HiddenStructure(0.0, None)
    down, across = zip(*blocks, strict=True)
    x0, y0, x1, y1 = (edge * _BLOCK_CELLS for edge in (min(across), min(down), max(across) + 1, max(down) + 1))
    return HiddenStructure(len(blocks) / int(seen.sum()), (x0, y0, x1, y1))


def is_only_lit(frame: Luma, background: Grid, box: CellBox) -> bool:
    """Does the box differ by light alone, for example a headlight's?

    It does if it shows the background's own structure: what remains without the mean of 5×5 cells correlates. It does
    as well if its surroundings differ by the same sign and nearly as much. A visitor hides the structure, and ends.
    """
    x0, y0, x1, y1 = box
    here = np.s_[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1]
    now, before = (grid[here].astype(np.float32) for grid in (frame, background))
    now -= cv2.blur(now, (5, 5))
    before -= cv2.blur(before, (5, 5))
    # At least one step of structure a cell, so that noise does not correlate.
    least = float(now.size)
    product = max(least, float(np.vdot(now, now))) * max(least, float(np.vdot(before, before)))
    if np.vdot(now, before) > _LIT_CORRELATION * product**0.5:
        return True
    beside = _median_difference(frame, background, box, _BESIDE_CELLS, hollow=True)
    within = _median_difference(frame, background, box, 0, hollow=False)
    return abs(beside) > _BESIDE_STEPS and beside * within > _BESIDE_SHARE * within**2


def _median_difference(frame: Luma, background: Grid, box: CellBox, margin: int, *, hollow: bool) -> float:
    """In the box and `margin` cells around it; `hollow`: without the box and the cells that touch it."""
    x0, y0, x1, y1 = box
    left, top = max(0, x0 - margin), max(0, y0 - margin)
    here = np.s_[top : y1 + margin, left : x1 + margin]
    difference = frame[here] - background[here]
    if hollow:
        difference[max(0, y0 - top - 1) : y1 - top + 1, max(0, x0 - left - 1) : x1 - left + 1] = np.nan
        difference = difference[~np.isnan(difference)]
    return float(np.median(difference)) if difference.size else 0.0


def _block_means(picture: Grid, rows: int, columns: int) -> Grid:
    whole = picture[: rows * _BLOCK_CELLS, : columns * _BLOCK_CELLS]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
