"""Tells light from things: exposure metadata, a patch of light, and the whole picture changing at once.

Light changes brightness and leaves structure where it is; a thing hides the structure behind it.  So

* a **region** is light when its ratio to the background is smooth, or its gradients are those of the background times
  one factor (headlights, a cloud's edge, a shadow without an outline);
* a **picture** that changes all over has kept its structure (lamp, exposure step) or lost it (a person who fills the
  picture).  Block correlation decides: it does not see gain or offset.  Structure lost *and still changing* is a
  person; structure lost once and then still is a lens that was covered or turned, or an infrared lamp.

Everything here but the two watchers' checks runs on suspicion only, so it may allocate.  (Compare the texture tests of
the shadow literature: Sanin, Sanderson & Lovell, *Shadow detection: a survey and comparative evaluation*, 2012.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from agent.core.media import Light, Luma
from agent.core.motion.grids import Cells, Grid
from agent.core.motion.pyramid import STEPS_PER_E
from agent.core.motion.regions import CellBox, around

__all__ = ["ExposureWatch", "HiddenStructure", "SuddenChange", "hidden_structure", "is_light"]

_BLOCK_CELLS = 8
_TEXTURED_STEPS = 4.0
"""Standard deviation, in steps, from which a block has structure to compare."""

_STILL_CHANGING_SHARE = 0.02
"""Share of the watched cells that has to change from frame to frame for a scene not to be settled."""


class ExposureWatch:
    """Notices jumps of exposure × gain in the frames' metadata.  Missing and nonsensical values say nothing."""

    def __init__(self, jump: float) -> None:
        self._jump = math.log1p(jump)
        self._last: float | None = None

    def jumped(self, light: Light) -> bool:
        """Did the camera change its exposure with this frame?"""
        amount = (light.exposure_us or math.nan) * (light.analogue_gain or math.nan)
        if not (math.isfinite(amount) and amount > 0):
            return False
        last, self._last = self._last, amount
        return last is not None and abs(math.log(amount / last)) > self._jump


class SuddenChange:
    """Holds judgement while much of the picture changes at once, and remembers the scene from before.

    `suspects` per frame begins it; then, while `settling`, `observe` per frame; it is over when `settling` is False.
    """

    def __init__(self, rows: int, columns: int, *, share: float, settle_frames: int) -> None:
        self.before: Grid = np.zeros((rows, columns), np.float32)
        self._share = share
        self._settle_frames = settle_frames
        self._usual_share = 0.0
        self._frames_left = 0
        self._changing_frames = 0

    @property
    def settling(self) -> bool:
        return self._frames_left > 0

    @property
    def kept_changing(self) -> bool:
        """Did the scene go on changing in at least half of the settling time?  A lamp does not, a person does."""
        return 2 * self._changing_frames >= self._settle_frames

    def suspects(self, differing_share: float, exposure_jumped: bool, background: Grid) -> None:
        """Begin to settle when much more differs from the background than did lately, or the exposure jumped."""
        jumped = differing_share - self._usual_share > self._share
        self._usual_share += 0.3 * (differing_share - self._usual_share)
        if (jumped or exposure_jumped) and not self.settling:
            self.before[:] = background
            self._frames_left = self._settle_frames
            self._changing_frames = 0

    def observe(self, changing_share: float) -> None:
        """One more frame of settling, in which this share of the watched cells changed since the frame before."""
        self._frames_left -= 1
        if changing_share > _STILL_CHANGING_SHARE:
            self._changing_frames += 1

    def forget(self) -> None:
        """Learning begins anew: there is no usual share and nothing to settle."""
        self._usual_share = 0.0
        self._frames_left = 0


def is_light(frame: Luma, background: Grid, box: CellBox) -> bool:
    """Is what differs in `box` only light?  Both pictures in steps, (rows, columns)."""
    x0, y0, x1, y1 = _widened(box, 3, frame.shape)
    now = frame[y0:y1, x0:x1].astype(np.float32)
    before = background[y0:y1, x0:x1]
    ratio = (now - before) / STEPS_PER_E
    roughness = float(np.abs(ratio - cv2.blur(ratio, (3, 3))).mean())
    if roughness < 0.2 * (float(np.abs(ratio).mean()) + 0.02):
        return True
    return _same_gradients(now, before)


def _same_gradients(now: Grid, before: Grid) -> bool:
    """Are the gradients of `now` those of `before` times one factor?  False when there is nothing to compare."""
    now_xy, before_xy = _gradients(now), _gradients(before)
    energy_now, energy_before = float(now_xy @ now_xy), float(before_xy @ before_xy)
    if energy_before < 1:
        return False
    shared = float(now_xy @ before_xy)
    correlation = shared / math.sqrt(energy_now * energy_before + 1)
    factor = min(3.0, max(0.3, shared / energy_before))
    unexplained = energy_now - 2 * factor * shared + factor * factor * energy_before
    return correlation > 0.93 and unexplained < 0.06 * (energy_now + energy_before)


def _gradients(picture: Grid) -> Grid:
    """All horizontal and vertical differences as one vector."""
    return np.concatenate((np.diff(picture, axis=1).ravel(), np.diff(picture, axis=0).ravel()))


@dataclass(frozen=True, slots=True)
class HiddenStructure:
    """`share` 0..1 of the watched blocks whose structure is not the background's, and the box around them in cells."""

    share: float
    box: CellBox | None


def hidden_structure(frame: Luma, background: Grid, watched: Cells) -> HiddenStructure:
    """Which blocks show something else than the background does, whatever the light?

    A block counts when it has structure in either picture and the two correlate below one half.
    """
    rows, columns = (size // _BLOCK_CELLS for size in frame.shape)
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
    blocks = [(x, y, x + 1, y + 1) for y, x in np.argwhere(hidden).tolist()]
    if not blocks:
        return HiddenStructure(0.0, None)
    x0, y0, x1, y1 = (edge * _BLOCK_CELLS for edge in around(blocks))
    return HiddenStructure(len(blocks) / int(seen.sum()), (x0, y0, x1, y1))


def _block_means(picture: Grid, rows: int, columns: int) -> Grid:
    whole = picture[: rows * _BLOCK_CELLS, : columns * _BLOCK_CELLS]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def _widened(box: CellBox, cells: int, shape: tuple[int, ...]) -> CellBox:
    x0, y0, x1, y1 = box
    return max(0, x0 - cells), max(0, y0 - cells), min(shape[1], x1 + cells), min(shape[0], y1 + cells)
