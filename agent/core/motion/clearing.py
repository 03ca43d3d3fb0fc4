"""Clears the analysed grid of what lies between the lens and the scene: rain, and the noise of a gain turned up.

* **Rain.**  A streak or a flake makes a cell brighter for one frame.  Where more than 4 % of the cells are brighter
  than in the frames before and after, the grid becomes the darker of the last two frames: nothing that is bright for a
  single frame gets through, and what walks loses only what is bright and new.  (Garg & Nayar, *Detection and removal of
  rain from videos*, 2004: a drop is brighter than what it hides, and hides it for one frame.)
* **Noise.**  When the scene's noise passes two steps, the grid is smoothed over 3×3 cells, which takes two thirds of it
  away; small things lose half of their contrast and still win (a matched filter for what is 3 cells large).

Both are looked for now and then, in a handful of calls, and switch with hysteresis.
"""

from __future__ import annotations

from agent.core.motion.passes import COUNT_JUMPS, DRY, KEEP, SMOOTH

__all__ = ["SMOOTHING_GAIN", "NoiseReduction", "jump_limit"]

SMOOTHING_GAIN = 3.0
"""Smoothing divides independent noise by this much."""

_LOOK_FRAMES = 8
_JUMP_STEPS = 12.0
_JUMP_NOISES = 5.0
_RAINS_ABOVE, _RAINS_UNTIL = 0.040, 0.004
_NOISY_ABOVE, _NOISY_UNTIL = 2.0, 0.45
"""In steps; the lower one as measured while smoothing."""


class NoiseReduction:
    """Says what `Passes.look` has to do to each frame of one scene, and hears what it found."""

    def __init__(self) -> None:
        self.smooths = False
        self.rains = False
        self._frames = 0
        self._jumping_share: float | None = None

    def plan(self) -> int:
        """Says how `Passes.look` treats the next frame."""
        self._frames += 1
        phase = self._frames % _LOOK_FRAMES
        plan = DRY | KEEP if self.rains else 0
        # The frames of the last two phases are kept: a jump is counted against the frames before and after it.
        if phase >= _LOOK_FRAMES - 2:
            plan |= KEEP
        if not phase:
            plan |= COUNT_JUMPS
        return plan | SMOOTH if self.smooths else plan

    def heard(self, plan: int, jumping_share: float) -> None:
        """After the frame: the share of cells that jumped, if that was looked for."""
        if plan & COUNT_JUMPS:
            known = self._jumping_share
            self._jumping_share = jumping_share if known is None else known + 0.25 * (jumping_share - known)
            self.rains = self._jumping_share > (_RAINS_UNTIL if self.rains else _RAINS_ABOVE)

    def switched(self, scene_noise: float) -> bool:
        """After a full look, which measures the noise: begin or end the smoothing where that is due."""
        smooths = scene_noise > (_NOISY_UNTIL if self.smooths else _NOISY_ABOVE)
        changed, self.smooths = smooths != self.smooths, smooths
        return changed


def jump_limit(scene_noise: float) -> int:
    """A cell jumps when it is brighter by more than this many steps than in the frames before and after."""
    return int(max(_JUMP_STEPS, _JUMP_NOISES * scene_noise))
