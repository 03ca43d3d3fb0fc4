"""Tells light from a person when the whole picture changes at once.

Light is taken out before cells are compared, so a lamp, an exposure step or an infrared filter shows in *brightness*:
most of the picture is brighter or darker at once, and nothing has moved before.  Judgement then waits until the light
has settled, and takes the scene as it is, or the tones that an infrared lamp changes would pass for tracks.

A person who fills the picture changes most of it, too.  Light leaves structure where it is; a thing hides it.  Block
correlation decides: it does not see gain or offset.  Structure lost *and still changing* is a person; structure lost
once and then still is a lens that was covered or turned, or an infrared lamp.

The comparison runs on suspicion only, so it may allocate.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from agent.core.media import Luma
from agent.core.motion.grids import Cells, Grid, Grids
from agent.core.motion.passes import CellBox

__all__ = ["BODY_LIT_CORRELATION", "SuddenLightChange", "hidden_structure", "is_light_new", "is_only_lit"]

_BLOCK_CELLS = 8
_TEXTURED_STEPS = 4.0
"""Standard deviation, in steps, from which a block has structure to compare."""

LIT_CORRELATION, BODY_LIT_CORRELATION = 0.75, 0.85
"""On footage for tuning, most headlights showed .82 to .99, visitors at most .7 in all but two of a hundred looks. A
visitor who stands offers many looks, so for their body it must be more."""

_LIT_STEPS = np.uint8(12)
"""An eighth more or less light."""

_TELLING_SHARE = 0.25
"""This share of what is watched has to show no visitor, or nothing is said about the light."""

_LONGEST_WAITS, _NEXT_WAIT_AFTER = 3, 10
"""A light may take three times the usual wait to settle, as an infrared lamp does after its filter. The next wait may
begin after ten times the usual one: a light that blinks is looked through for most of the time."""

_STILL_CHANGING_SHARE = 0.04
"""Share of the watched cells that has to change from frame to frame for a scene not to be settled."""

_LEAST_CHANGING_FRAMES = 3
"""Even at five frames a second: a light changes in two."""


class SuddenLightChange:
    """Holds judgement while much of the picture changes at once, and remembers the scene from before.

    Per frame `suspects` may begin it, and `observe` ends it: it lasts while `settling`.
    """

    def __init__(self, rows: int, columns: int, *, settle_frames: int) -> None:
        self.before: Grid = np.zeros((rows, columns), np.float32)
        self.settling = False
        self.settle_frames = settle_frames
        self._frames_left = self._longest_frames_left = 0
        self._changing_frames = 0
        self._next_at_frame = 0

    @property
    def kept_changing(self) -> bool:
        """Has each frame of the last half of the usual wait changed the scene?  A lamp does not, a person does."""
        return self._changing_frames >= max(_LEAST_CHANGING_FRAMES, self.settle_frames / 2)

    def suspects(self, background: Grid, frame_number: int) -> None:
        """The light has changed: begin to settle, unless something has moved before: a person who comes near."""
        if not self._changing_frames and not self.settling and frame_number >= self._next_at_frame:
            self._next_at_frame = frame_number + _NEXT_WAIT_AFTER * self.settle_frames
            self.before[:] = background
            self._frames_left = self.settle_frames
            self._longest_frames_left = _LONGEST_WAITS * self.settle_frames
            self.settling = True

    def observe(self, changing_share: float, *, is_lit: bool) -> None:
        """One more frame, in which this share of the watched cells changed since the frame before.

        While the light changes (`is_lit`), and no person shows, the wait begins again, up to a limit.
        """
        self._changing_frames = self._changing_frames + 1 if changing_share > _STILL_CHANGING_SHARE else 0
        if not self.settling:
            return
        waits_anew = is_lit and not self.kept_changing
        self._longest_frames_left -= 1
        self._frames_left = min(self._longest_frames_left, self.settle_frames if waits_anew else self._frames_left - 1)
        self.settling = self._frames_left > 0

    def forget(self) -> None:
        """The change has another cause: a new scene, or a visitor who left."""
        self.settling = False


def is_light_new(grids: Grids, visitor: CellBox | None) -> bool:
    """Has most of the picture become brighter or darker, by more than a cloud does in a second?

    Cells of a known `visitor` do not count. A visitor who leaves too little of the picture hides the light.
    """
    away = cv2.absdiff(grids.frame, grids.quick_mean) > np.maximum(grids.quick_threshold, _LIT_STEPS)
    counts = grids.blind == 0
    watched_cells = int(np.count_nonzero(counts))
    if visitor is not None:
        x0, y0, x1, y1 = visitor
        counts[y0:y1, x0:x1] = False
    cells = int(np.count_nonzero(counts))
    return cells > _TELLING_SHARE * watched_cells and 2 * int(np.count_nonzero(away & counts)) > cells


def hidden_structure(frame: Luma, background: Grid, watched: Cells) -> tuple[float, CellBox | None]:
    """Which blocks show something else than the background does, whatever the light?

    Returns their share of the watched blocks, 0..1, and their box in cells. A block counts when it has structure in
    either picture and the two correlate below one half.
    """
    rows, columns = (size // _BLOCK_CELLS for size in frame.shape)
    if not rows or not columns:
        return 0.0, None  # a strip without a single block: it cannot be told
    now, before = frame.astype(np.float32), background
    mean_now, mean_before = _block_means(now, rows, columns), _block_means(before, rows, columns)
    variance_now = _block_means(now * now, rows, columns) - mean_now**2
    variance_before = _block_means(before * before, rows, columns) - mean_before**2
    covariance = _block_means(now * before, rows, columns) - mean_now * mean_before
    least_variance = _TEXTURED_STEPS**2
    textured = np.maximum(variance_now, variance_before) > least_variance
    product = np.maximum(variance_now, least_variance / 4) * np.maximum(variance_before, least_variance / 4)
    seen = _block_means(watched.astype(np.float32), rows, columns) > 127
    hidden = (textured & seen & (covariance < 0.5 * np.sqrt(product))).astype(np.uint8)
    x, y, width, height = (blocks * _BLOCK_CELLS for blocks in cv2.boundingRect(hidden))
    if not width:
        return 0.0, None
    return cv2.countNonZero(hidden) / int(seen.sum()), (x, y, x + width, y + height)


def is_only_lit(compared: Sequence[float], limit: float = LIT_CORRELATION) -> bool:
    """Does the body that was `compared` (`Passes.compare_body`) differ by light alone, as under a headlight, in haze or
    behind dust?

    It does if it shows the background's own structure: what remains without the mean of 5×5 cells correlates. A visitor
    hides it.
    """
    cells, now, before, both = compared[:4]
    # At least one step of structure a cell, so that noise does not correlate.
    least = 25.0**2 * cells
    return bool(both > limit * (max(least, now) * max(least, before)) ** 0.5)


def _block_means(picture: Grid, rows: int, columns: int) -> Grid:
    whole = picture[: rows * _BLOCK_CELLS, : columns * _BLOCK_CELLS]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
