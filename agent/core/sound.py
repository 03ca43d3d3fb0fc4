"""Dates samples: counts them and compares the count with the clock of the pictures.

`core.arrivals` explains how the count follows that clock.

Pure: times are arguments.
"""

from __future__ import annotations

from typing import Final

from agent.core.arrivals import ArrivalClock
from agent.core.timebase import NS_PER_S, BootNs

__all__ = ["SampleClock"]

_LOST_NS: Final = 250_000_000


class SampleClock:
    """One stream of `rate_hz`. Call `block` for each block in turn, then `heard_ns` for samples before its end.

    `lost_ns`: if a block is later than this, blocks before it were lost.
    """

    def __init__(self, rate_hz: int, lost_ns: int = _LOST_NS) -> None:
        self._rate_hz = rate_hz
        self._samples = 0
        self._tied = ArrivalClock(lost_ns)
        self._lacking: tuple[int, int, int] = (0, 0, 0)
        """Position of the last gap in the stream in ns, the total gap before it, and the total with it."""

    @property
    def holes(self) -> int:
        return self._tied.holes

    def block(self, samples: int, arrived_ns: BootNs) -> None:
        """Adds this many samples. The last of them was heard no later than `arrived_ns`."""
        begin_ns = self._own_ns(self._span_ns(self._samples))
        self._samples += samples
        self._tied.arrived(begin_ns, self._own_ns(self._span_ns(self._samples)), arrived_ns)

    def lack(self, length_ns: int) -> None:
        """Records a gap of this length between the blocks before and the next one, as reported by the source."""
        whole_ns = self._lacking[2]
        self._lacking = (self._span_ns(self._samples), whole_ns, whole_ns + length_ns)

    def heard_ns(self, offset_ns: int) -> BootNs:
        """Returns the time of the sound that lies `offset_ns` after the first sample."""
        return self._tied.boot_ns(self._own_ns(offset_ns))

    def _own_ns(self, offset_ns: int) -> int:
        """By the source's clock, which went on where sound is missing."""
        since_ns, before_ns, after_ns = self._lacking
        return offset_ns + (after_ns if offset_ns >= since_ns else before_ns)

    def _span_ns(self, samples: int) -> int:
        return samples * NS_PER_S // self._rate_hz
