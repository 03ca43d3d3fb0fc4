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
from agent.core.motion.grids import Cells, Grid, Grids
from agent.core.motion.passes import CellBox

__all__ = [
    "HiddenStructure",
    "SuddenLightChange",
    "hidden_structure",
    "is_lit_anew",
    "is_only_lit",
]

_BLOCK_CELLS = 8
_TEXTURED_STEPS = 4.0
"""Standard deviation, in steps, from which a block has structure to compare."""

_LIT_CORRELATION = 0.85
"""On footage for tuning, headlights showed .93 to .99, visitors at most .7 in all but two of a hundred looks."""

_BESIDE_CELLS, _BESIDE_STEPS, _BESIDE_SHARE = 4, 8.0, 0.25
"""Light has no edge: this many cells around the box more than this share of it is left. Visitors showed
that in 14 of 800 looks, in films of tuning and validation sources, most while the exposure changed."""

_LIT_STEPS = 12
"""An eighth more or less light."""

_TELLING_SHARE = 0.25
"""So much of the picture has to show no visitor to say that the light has changed."""

_LONGEST = 5
"""A light may take this many times the usual wait to settle: an infrared lamp does, after its filter."""

_STILL_CHANGING_SHARE = 0.04
"""Share of the watched cells that has to change from frame to frame for a scene not to be settled."""

_LEAST_CHANGING_FRAMES = 3
"""Even at five frames a second: a light changes in two."""


class SuddenLightChange:
    """Holds judgement while much of the picture changes at once, and remembers the scene from before.

    Per frame `suspects` may begin it, and `observe` ends it: it lasts while `settling`.
    """

    def __init__(self, rows: int, columns: int, *, share: float, settle_frames: int) -> None:
        self.before: Grid = np.zeros((rows, columns), np.float32)
        self.settling = False
        self._share = share
        self.settle_frames = settle_frames
        self._usual_share = 0.0
        self._frames_left = self._longest_frames_left = 0
        self._changing_frames = 0

    @property
    def kept_changing(self) -> bool:
        """Has each frame of the last half of the usual wait changed the scene?  A lamp does not, a person does."""
        return self._changing_frames >= max(_LEAST_CHANGING_FRAMES, self.settle_frames / 2)

    def suspects(self, differing_share: float, background: Grid, *, is_lit: bool) -> None:
        """Begin to settle if much more differs from the background than did lately, or if the light `is_lit` anew.

        Light changes a scene in which nothing has moved; what moves before that is a person who comes near.
        """
        jumped = differing_share - self._usual_share > self._share
        self._usual_share += 0.3 * (differing_share - self._usual_share)
        if (jumped or (is_lit and not self._changing_frames)) and not self.settling:
            self.before[:] = background
            self._frames_left = self.settle_frames
            self._longest_frames_left = _LONGEST * self.settle_frames
            self.settling = True

    def observe(self, changing_share: float, *, is_lit: bool) -> None:
        """One more frame, in which this share of the watched cells changed since the frame before.

        While the light `is_lit` anew, and no person shows, the wait begins again, up to a limit.
        """
        self._changing_frames = self._changing_frames + 1 if changing_share > _STILL_CHANGING_SHARE else 0
        if not self.settling:
            return
        waits_anew = is_lit and not self.kept_changing
        self._longest_frames_left -= 1
        self._frames_left = min(self._longest_frames_left, self.settle_frames if waits_anew else self._frames_left - 1)
        self.settling = self._frames_left > 0

    def forget(self) -> None:
        """Learning begins again, as with a new scene."""
        self._usual_share = 0.0
        self._frames_left = 0
        self.settling = False


def is_lit_anew(grids: Grids, visitor: CellBox | None) -> bool:
    """Has most of the picture become brighter or darker, by more than a cloud does in a second?

    Cells of a known `visitor` do not count. A visitor who leaves too little of the picture hides the light.
    """
    away = cv2.absdiff(grids.frame, grids.quick_mean) > cv2.max(grids.quick_threshold, _LIT_STEPS)
    counts = grids.blind == 0
    if visitor is not None:
        x0, y0, x1, y1 = visitor
        counts[y0:y1, x0:x1] = False
    cells = int(np.count_nonzero(counts))
    return cells > _TELLING_SHARE * counts.size and 2 * int(np.count_nonzero(away & counts)) > cells


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
