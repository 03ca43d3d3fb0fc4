"""Prepares frames for the look: leaves out those that come too fast, and clears the grid of rain and noise.

A camera's announced rate is not to be trusted: a file says 59.94 and holds ten, a sensor falls from 15 to 5 frames a
second at night because each is exposed for longer.  So durations are turned into frames by the rate that the sensor
times show, over two seconds; and of a camera that gives more than some 16 a second the rest is left out, since a person
does not move more than a few cells in the meantime.

The grid is then cleared of what lies between the lens and the scene:

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
from agent.core.timebase import NS_PER_S, BootNs

__all__ = ["SMOOTHING_GAIN", "FrameRateMonitor", "NoiseReduction", "jump_limit"]

_LEAST_GAP_NS = 60_000_000
"""60 fps → 15, 30 → 15, 25 → 12.5, 20 → 10; 15 and less stay."""

_WINDOW_NS = 2 * NS_PER_S
_TOLERANCE = 1.2
_SLOWEST, _FASTEST = 1.0, 1 / (_LEAST_GAP_NS / NS_PER_S)


class FrameRateMonitor:
    """`frames_per_s` is the rate of the admitted frames; until two seconds have passed, the announced one."""

    def __init__(self, announced_per_s: float) -> None:
        self.frames_per_s = min(_FASTEST, max(_SLOWEST, announced_per_s))
        self._last_ns: int | None = None
        self._window_from_ns = 0
        self._window_frames = 0

    def begin(self, sensor_ns: BootNs) -> None:
        """The frames' times begin again, with this one."""
        self._last_ns = self._window_from_ns = sensor_ns
        self._window_frames = 0

    def admits(self, sensor_ns: BootNs) -> bool:
        """Is this frame to be analysed?  Ask once for each frame after the first."""
        if self._last_ns is not None and sensor_ns - self._last_ns < _LEAST_GAP_NS:
            return False
        self._last_ns = sensor_ns
        self._window_frames += 1
        return True

    def changed(self) -> bool:
        """After an admitted frame: has a window shown another rate?  `frames_per_s` is then the new one."""
        if self._last_ns is None or self._last_ns - self._window_from_ns < _WINDOW_NS:
            return False
        shown = self._window_frames * NS_PER_S / (self._last_ns - self._window_from_ns)
        self._window_from_ns, self._window_frames = self._last_ns, 0
        shown = min(_FASTEST, max(_SLOWEST, shown))
        # Another rate tunes all limits of the detector again, so jitter must not count as one.
        if 1 / _TOLERANCE < shown / self.frames_per_s < _TOLERANCE:
            return False
        self.frames_per_s = shown
        return True


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
