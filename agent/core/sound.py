"""Decides when a sample was heard: counts samples, and holds the count against the clock that dates the pictures.

How the count is tied to that clock is said in `core.arrivals`.

Pure: times are arguments.
"""

from __future__ import annotations

from typing import Final

from agent.core.arrivals import ArrivalClock
from agent.core.timebase import NS_PER_S, BootNs

__all__ = ["SampleClock"]

_LOST_NS: Final = 250_000_000


class SampleClock:
    """One stream of `rate_hz`.  Call `block` for each block in turn, then `heard_ns` for what lies before its end.

    `lost_ns`: a block that is later than this has others in front of it that were lost.
    """

    def __init__(self, rate_hz: int, lost_ns: int = _LOST_NS) -> None:
        self._rate_hz = rate_hz
        self._samples = 0
        self._tied = ArrivalClock(lost_ns)
        self._lacking: tuple[int, int, int] = (0, 0, 0)
        """How far into the stream, ns, it lacked something last; how much it has lacked before that, and with it."""

    @property
    def holes(self) -> int:
        return self._tied.holes

    def block(self, samples: int, arrived_ns: BootNs) -> None:
        """So many samples more have come; the last of them was heard no later than `arrived_ns`."""
        begin_ns = self._own_ns(self._span_ns(self._samples))
        self._samples += samples
        self._tied.arrived(begin_ns, self._own_ns(self._span_ns(self._samples)), arrived_ns)

    def lack(self, length_ns: int) -> None:
        """The source says that so much is missing between the blocks before and the next one."""
        whole_ns = self._lacking[2]
        self._lacking = (self._span_ns(self._samples), whole_ns, whole_ns + length_ns)

    def heard_ns(self, offset_ns: int) -> BootNs:
        """When that was heard which lies `offset_ns` of sound behind the first sample."""
        return self._tied.boot_ns(self._own_ns(offset_ns))

    def _own_ns(self, offset_ns: int) -> int:
        """By the source's clock, which went on where sound is missing."""
        since_ns, before_ns, after_ns = self._lacking
        return offset_ns + (after_ns if offset_ns >= since_ns else before_ns)

    def _span_ns(self, samples: int) -> int:
        return samples * NS_PER_S // self._rate_hz
