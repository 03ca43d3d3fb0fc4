"""Decides which frames are worth analysing, and measures how many a second they really are.

A camera's announced rate is not to be trusted: a file says 59.94 and holds ten, a sensor falls from 15 to 5 frames a
second at night because each is exposed for longer.  So durations are turned into frames by the rate that the sensor
times show, over two seconds; and of a camera that gives more than some 16 a second the rest is left out, since a person
does not move more than a few cells in the meantime.
"""

from __future__ import annotations

from agent.core.timebase import NS_PER_S, BootNs

__all__ = ["FrameRateMonitor"]

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
