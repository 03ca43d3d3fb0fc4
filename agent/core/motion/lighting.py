"""Tells light from things: exposure metadata, a patch of light, and the whole picture changing at once.

Light changes brightness and leaves structure where it is; a thing hides the structure behind it.  So

* a **region** is a thing when it hides the background's gradients (a plain coat, however smooth); else it is light when
  its ratio to the background is smooth, or its gradients are the background's times one factor (headlights, a cloud's
  edge, a shadow without an outline);
* a **picture** that changes all over has kept its structure (lamp, exposure step) or lost it (a person who fills the
  picture).  Block correlation decides: it does not see gain or offset.  Structure lost *and still changing* is a
  person; structure lost once and then still is a lens that was covered or turned, or an infrared lamp.

Everything here but the two watchers' checks runs on suspicion only, so it may allocate.  (Compare the texture tests of
the shadow literature: Sanin, Sanderson & Lovell, *Shadow detection: a survey and comparative evaluation*, 2012.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from agent.core.media import Light, Luma
from agent.core.motion.clearing import SMOOTHING_GAIN
from agent.core.motion.grids import Cells, Grid
from agent.core.motion.passes import CellBox, LightSums
from agent.core.motion.pyramid import STEPS_PER_E

__all__ = ["ExposureWatch", "HiddenStructure", "SuddenLightChange", "hidden_structure", "is_light"]

_BLOCK_CELLS = 8
_TEXTURED_STEPS = 4.0
"""Standard deviation, in steps, from which a block has structure to compare."""

_TEXTURED_GRADIENT = 3.0
"""Root mean square step between neighbours from which a region's background has structure to compare."""

_LEAST_KEPT = 0.3
"""Light leaves more than this share of the background's gradients; a plain coat leaves none."""

_SMOOTH = 0.2
"""Light is smooth: its ratio deviates from its own 3×3 mean by less than this share of itself."""

_EXPOSURE_DIVISOR = 5
"""After an exposure jump the light is suspected at this fraction of the usual share."""

_EXPOSURE_REST = 5
"""After the light was suspected, exposure jumps say nothing for so many settling times."""

_FRACTION = 64
"""`LightSums` are in so many parts of a step."""

_STILL_CHANGING_SHARE = 0.02
"""Share of the watched cells that has to change from frame to frame for a scene not to be settled."""


class ExposureWatch:
    """Notices jumps of exposure × gain in the frames' metadata.  Missing and nonsensical values say nothing."""

    def __init__(self, jump: float) -> None:
        self._jump = math.log1p(jump)
        self._last: float | None = None

    def jumped(self, light: Light) -> bool:
        """Did the camera change its exposure with this frame?"""
        if light.exposure_us is None or light.analogue_gain is None:
            return False
        amount = light.exposure_us * light.analogue_gain
        if not (math.isfinite(amount) and amount > 0):
            return False
        last, self._last = self._last, amount
        return last is not None and abs(math.log(amount / last)) > self._jump


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
        self._exposure_counts_from_frame = 0
        self._changing_frames = 0

    @property
    def kept_changing(self) -> bool:
        """Did the scene go on changing in at least half of the settling time?  A lamp does not, a person does."""
        return 2 * self._changing_frames >= self.settle_frames

    def suspects(self, frame_number: int, differing_share: float, exposure_jumped: bool, background: Grid) -> None:
        """Begin to settle when much more differs from the background than did lately.

        After an exposure jump a smaller share suffices.  The jump alone is no reason, for its gain is taken out anyway;
        and it counts once in a while only, or an auto-exposure that hunts would blind the detector.
        """
        exposure_counts = exposure_jumped and frame_number >= self._exposure_counts_from_frame
        least = self._share / _EXPOSURE_DIVISOR if exposure_counts else self._share
        jumped = differing_share - self._usual_share > least
        self._usual_share += 0.3 * (differing_share - self._usual_share)
        if jumped and not self.settling:
            self.before[:] = background
            self._frames_left = self.settle_frames
            self.settling = True
            self._changing_frames = 0
            self._exposure_counts_from_frame = frame_number + _EXPOSURE_REST * self.settle_frames

    def observe(self, changing_share: float) -> None:
        """One more frame of settling, in which this share of the watched cells changed since the frame before."""
        self._frames_left -= 1
        self.settling = self._frames_left > 0
        if changing_share > _STILL_CHANGING_SHARE:
            self._changing_frames += 1

    def forget(self) -> None:
        """Learning begins anew: there is no usual share and nothing to settle."""
        self._usual_share = 0.0
        self._frames_left = 0
        self.settling = False


def is_light(sums: LightSums, *, smoothed: bool) -> bool:
    """Is what differs in a region only light?  `smoothed`: the grid shows 3×3 means, and everything is smoother."""
    kept = _kept_gradients(sums)
    if kept.textured and kept.share < _LEAST_KEPT:
        return False
    scale = 1 / (_FRACTION * STEPS_PER_E * sums.cells)
    roughness, ratio = sums.roughness / 9 * scale, sums.difference * scale
    smooth = _SMOOTH / SMOOTHING_GAIN if smoothed else _SMOOTH
    return kept.alone or roughness < smooth * (ratio + 0.02)


class _KeptGradients(NamedTuple):
    """How the background's gradients show in the frame.

    `textured`: it has enough of them to tell; `share`: how much of them is still there, 1 for unchanged light;
    `alone`: the frame shows nothing else but them.
    """

    textured: bool
    share: float
    alone: bool


def _kept_gradients(sums: LightSums) -> _KeptGradients:
    now, before, shared = (each / _FRACTION**2 for each in (sums.energy_now, sums.energy_before, sums.shared))
    if before < 1:
        return _KeptGradients(textured=False, share=1.0, alone=False)
    gain = min(3.0, max(0.3, shared / before))
    unexplained = now - 2 * gain * shared + gain * gain * before
    correlation = shared / math.sqrt(now * before + 1)
    return _KeptGradients(
        textured=before > _TEXTURED_GRADIENT**2 * sums.gradients,
        share=shared / before,
        alone=correlation > 0.93 and unexplained < 0.06 * (now + before),
    )


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


def _block_means(picture: Grid, rows: int, columns: int) -> Grid:
    whole = picture[: rows * _BLOCK_CELLS, : columns * _BLOCK_CELLS]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
