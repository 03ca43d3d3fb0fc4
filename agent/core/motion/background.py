"""Learns what the empty scene looks like and how much each of its cells usually differs from that.

* **Background**: a running mean per cell.  It follows slowly under a visitor, and fast where something that differs has
  stopped changing (a parked car) or where the difference is smooth (light).
* **Light is not motion**: of the difference to the background its local mean is taken away first.  On the logarithmic
  scale a cloud, a lamp or the auto-exposure is nearly that local mean; a person is not.
* **Noise**: every cell tracks a high quantile of its own difference by sign (Robbins & Monro, 1951): up a little when
  it is exceeded, down a very little when not.  A branch that sways every few seconds raises its own threshold; a rare
  passer-by does not.  The scene's typical noise (the median) is tracked the same way and covers night gain.
* **Threshold** = max(least step, scene noise, cell noise) + a share of the local contrast, divided by the zone's
  sensitivity, and infinite where no zone watches: masks cost nothing per frame.

Compare Stauffer & Grimson (1999) and ViBe (Barnich & Van Droogenbroeck, 2011): the per-cell sensitivity of SuBSENSE
(St-Charles et al., 2014) for a few microseconds.  The passes over the cells: `passes/scene.py`.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from agent.core.motion.grids import NEIGHBOURS, Grid, Grids
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import BackgroundUpdate, CellBox, Passes
from agent.core.motion.passes.scene import local_mean

__all__ = ["Background"]

_USUAL_QUANTILE = 1.75
"""The quantile that a cell tracks, in standard deviations of plain noise."""

_NOISE_LEVEL = 0.67
"""Half of all residuals of plain noise lie below this many standard deviations."""

_SAME_SCENE = 0.9
"""The share of the scene's variance that a change of exposure explains. An infrared filter changes its tones."""


class Background:
    """The scene without visitors.  Call `begin` once, then `follow` and the like after the passes that looked."""

    def __init__(self, grids: Grids, passes: Passes, frames_per_s: float, settings: MotionSettings) -> None:
        self._grids = grids
        self._passes = passes
        self._settings = settings
        self.frames_per_s = frames_per_s
        self.scene_noise = 1.0
        self.level = 0.0
        """The scene's mean, in steps, when its contrast was last measured."""
        self._key: tuple[float, int, int] | None = None
        self._following = self._rates(1, 0)

    def begin(self) -> None:
        """Forget everything and take the frame for the empty scene."""
        # The level is measured on `quick_mean`, which follows `mean` only with the threshold.
        self._grids.mean[:] = self._grids.quick_mean[:] = self._grids.frame
        self._grids.cell_noise[:] = 1
        self.scene_noise = 1.0
        self.measure_contrast()
        self._set_threshold()

    def follow_quietly(self, elapsed_frames: int) -> None:
        """After frames that passed the quick look: only the mean follows."""
        self._passes.follow_quietly(self._weight(self._settings.background_s, elapsed_frames))

    def follow(self, elapsed_frames: int, settled_frames: int, *, spares_objects: bool) -> None:
        """After the full look: let mean and noise follow.

        A cell that differs and has not changed for `settled_frames` is scenery.  With `spares_objects` (a visitor is
        confirmed) the noise near differing cells does not rise, or a visitor who lingers would raise his own threshold.
        """
        key = (self.frames_per_s, elapsed_frames, settled_frames)
        if key != self._key:
            self._key, self._following = key, self._rates(elapsed_frames, settled_frames)
        self._learn(self._following, spares_objects=spares_objects)

    def relearn(self, *, absorb_s: float, haste: int) -> None:
        """Take the scene as it comes, with this time constant and the noise learned `haste` times as fast."""
        weight = self._weight(absorb_s, 1)
        following = BackgroundUpdate(weight, weight, weight, 0.0, self._noise_rise(haste), self._noise_fall(haste), 0)
        self._learn(following, spares_objects=False, measures_contrast=True)

    def restore(self, window: CellBox) -> None:
        """The visitor in `window` has gone: take the scene from before, in the light of the present frame."""
        grids, (x0, y0, x1, y1) = self._grids, window
        here = np.s_[y0:y1, x0:x1]
        light = local_mean(grids.frame[here] - grids.scene[here])
        np.add(grids.scene[here], light, out=grids.mean[here])
        self._set_threshold()

    def relight(self, scene: Grid, hidden: CellBox) -> npt.NDArray[np.bool_]:
        """Bring the `scene` of before into the present light, also where it is `hidden` now; says where it is not.

        Cells in sight are taken as they are. The hidden ones follow the straight line between before and now of those
        in sight. If there is no such line, for example after an infrared filter, nothing is done.
        """
        x0, y0, x1, y1 = hidden
        in_sight = np.ones(scene.shape, np.bool_)
        in_sight[y0:y1, x0:x1] = False
        before, now = scene[in_sight].astype(np.float64), self._grids.seen[in_sight].astype(np.float64)
        # Sums of multiples of 1/64, and of their products, are exact in any order.
        count, sum_before, sum_now = len(now), before.sum(), now.sum()
        spread_before, spread_now = (count * np.vdot(each, each) - each.sum() ** 2 for each in (before, now))
        together = count * np.vdot(before, now) - sum_before * sum_now
        if together <= 0 or together**2 < _SAME_SCENE * spread_before * spread_now:
            return np.zeros_like(in_sight)
        line = together / spread_before * (scene - sum_before / count) + sum_now / count
        hidden_now = np.rint(64 * np.clip(line, 0, 255)) / 64
        np.copyto(scene, np.where(in_sight, self._grids.seen, hidden_now), casting="unsafe")
        return in_sight

    def expect_noise(self, share: float) -> None:
        """The grid is cleared in another way from now on: noise is this many times what it was."""
        grids = self._grids
        cv2.boxFilter(grids.seen, -1, (3, 3), grids.mean, normalize=False)
        np.multiply(grids.mean, np.float32(1 / 9), out=grids.mean)
        np.multiply(grids.cell_noise, np.float32(share), out=grids.cell_noise)
        self.scene_noise *= share
        self._set_threshold()

    def forget_cell_noise(self) -> None:
        """The noise of cells has changed: rain has begun or ended to be looked through."""
        self._grids.cell_noise[:] = _USUAL_QUANTILE * self.scene_noise
        self._set_threshold()

    def measure_contrast(self) -> None:
        """Measure local contrast again.  Seldom needed: edges of the scene move slowly."""
        grids = self._grids
        cv2.morphologyEx(grids.mean, cv2.MORPH_GRADIENT, NEIGHBOURS, grids.contrast)
        np.multiply(grids.contrast, np.float32(self._settings.edge_factor), out=grids.contrast)
        self.level = cv2.mean(self._grids.quick_mean)[0]

    # Internals.

    def _rates(self, elapsed_frames: int, settled_frames: int) -> BackgroundUpdate:
        settings = self._settings
        weight = self._weight(settings.background_s, elapsed_frames)
        covered_weight = weight * settings.covered_slowdown
        # Scenery is covered like everything that differs, and absorbed on top of that.
        absorbed = self._weight(settings.scenery_absorb_s, elapsed_frames)
        return BackgroundUpdate(
            open_weight=weight,
            covered_weight=covered_weight,
            settled_weight=covered_weight + absorbed - covered_weight * absorbed,
            settled_frames=settled_frames,
            light_weight=self._weight(settings.illumination_s, elapsed_frames),
            noise_rise=self._noise_rise(elapsed_frames),
            noise_fall=self._noise_fall(elapsed_frames),
        )

    def _learn(self, following: BackgroundUpdate, *, spares_objects: bool, measures_contrast: bool = False) -> None:
        noisy_cells = self._passes.follow(following, spares_objects, self.scene_noise * _NOISE_LEVEL)
        noisy_share = noisy_cells / self._grids.mean.size
        # Beside a visitor the background is stale, and what light changes on it would pass for noise.
        if noisy_share < 0.5 or not spares_objects:
            self.scene_noise = min(30.0, max(0.2, self.scene_noise * (1 + 0.1 * (noisy_share - 0.5))))
        if measures_contrast:
            self.measure_contrast()
        self._set_threshold()

    def _weight(self, time_constant_s: float, elapsed_frames: int) -> float:
        # At one frame a second a short time constant would give more than 1, and the background would overshoot the
        # frame.
        return min(0.5, elapsed_frames / (time_constant_s * self.frames_per_s))

    def _noise_rise(self, elapsed_frames: int) -> float:
        return 1 + min(1.0, self._settings.noise_rise_per_s * elapsed_frames / self.frames_per_s)

    def _noise_fall(self, elapsed_frames: int) -> float:
        return 1 - min(0.5, self._settings.noise_fall_per_s * elapsed_frames / self.frames_per_s)

    @property
    def least_step(self) -> float:
        """The least difference that counts anywhere at the scene's present noise, in steps."""
        return max(self._settings.smallest_step, self._settings.scene_noise_factor * self.scene_noise)

    def _set_threshold(self) -> None:
        settings = self._settings
        # Noise that all cells have in common counts once: it is in `least_step` already.
        shared = settings.shared_noise_factor * self.scene_noise
        self._passes.set_threshold(settings.cell_noise_factor, self.least_step + shared, shared)
