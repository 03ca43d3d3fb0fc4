"""Decides when a sample was heard: counts samples, and holds the count against the clock that dates the pictures.

A sound card has a clock of its own, off by up to some hundred millionths, and its blocks arrive late by as much as the
reading thread happened to sleep.  Both are small and neither may add up:

- A block cannot arrive before it was heard.  One that seems to moves the count back at once.
- One that seems late moves it forward by a little: that follows a card that runs slow, and not a thread that slept.
- One that is late by more than `_LOST_NS` has others in front of it that were lost: it begins anew behind a hole.

Pure: times are arguments.
"""

from __future__ import annotations

from typing import Final

from agent.core.timebase import NS_PER_S, BootNs

__all__ = ["SampleClock"]

_LOST_NS: Final = 250_000_000
_FOLLOW: Final = 500
"""The share of its seeming lateness, one in so many, by which a block moves the count."""


class SampleClock:
    """One stream of `rate_hz`.  Call `block` for each block in turn, then `heard_ns` for what lies before its end."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._samples = 0
        self._origin_ns: int | None = None
        """When the stream would have begun, had it never had a hole."""
        self._before: tuple[int, int] = (0, 0)
        """How far into the stream, ns, the present origin began to count, and the origin before it."""
        self.holes = 0

    def block(self, samples: int, arrived_ns: BootNs) -> None:
        """So many samples more have come; the last of them was heard no later than `arrived_ns`."""
        self._samples += samples
        seen_ns = arrived_ns - self._span_ns(self._samples)
        if self._origin_ns is None:
            self._origin_ns = seen_ns
            self._before = (0, seen_ns)
            return
        late_ns = seen_ns - self._origin_ns
        if late_ns > _LOST_NS:
            self._before = (self._span_ns(self._samples - samples), self._origin_ns)
            self._origin_ns = seen_ns
            self.holes += 1
        else:
            self._origin_ns += late_ns if late_ns < 0 else late_ns // _FOLLOW

    def heard_ns(self, offset_ns: int) -> BootNs:
        """When that was heard which lies `offset_ns` of sound behind the first sample."""
        since_ns, before_ns = self._before
        origin_ns = self._origin_ns if offset_ns >= since_ns and self._origin_ns is not None else before_ns
        return BootNs(origin_ns + offset_ns)

    def _span_ns(self, samples: int) -> int:
        return samples * NS_PER_S // self._rate_hz
