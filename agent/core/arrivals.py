"""Ties a source's own clock to the boot clock, by when what it sends arrives.

A sound card and a network camera count time themselves, off by up to some hundred millionths, and what they send
arrives late by as much as a thread slept or a network held it back.  Both are small and neither may add up:

- A piece cannot arrive before it happened.  One that seems to moves the tie back at once.
- One that seems late moves it forward by a little: that follows a clock that runs slow, and not a thread that slept.
- One that is late by more than `lost_ns` has others in front of it that were lost, or its clock was set: it is tied
  anew, and what lies before it keeps its times.

Two streams of one camera that are each tied so stay together, however long they run.

Pure: times are arguments.
"""

from __future__ import annotations

from typing import Final

from agent.core.timebase import BootNs

__all__ = ["ArrivalClock"]

_FOLLOW: Final = 500
"""The share of its seeming lateness, one in so many, by which a piece moves the tie."""


class ArrivalClock:
    """One stream.  Call `arrived` for each piece in turn, then `boot_ns` for what lies in it."""

    def __init__(self, lost_ns: int) -> None:
        self._lost_ns = lost_ns
        self._shift_ns: int | None = None
        """From the source's time to ours."""
        self._before: tuple[int, int] = (0, 0)
        """The source's time at which the present shift began to hold, and the shift before it."""
        self.holes = 0

    @property
    def tied(self) -> bool:
        return self._shift_ns is not None

    def arrived(self, begin_ns: int, end_ns: int, arrived_ns: BootNs) -> None:
        """A piece has come that lasted from `begin_ns` to `end_ns` by its source's clock."""
        seen_ns = arrived_ns - end_ns
        if self._shift_ns is None:
            self._shift_ns, self._before = seen_ns, (begin_ns, seen_ns)
            return
        late_ns = seen_ns - self._shift_ns
        if late_ns > self._lost_ns:
            self._before = (begin_ns, self._shift_ns)
            self._shift_ns = seen_ns
            self.holes += 1
        else:
            self._shift_ns += late_ns if late_ns < 0 else late_ns // _FOLLOW

    def boot_ns(self, own_ns: int) -> BootNs:
        """When that was which the source dates `own_ns`."""
        since_ns, before_ns = self._before
        shift_ns = self._shift_ns if own_ns >= since_ns and self._shift_ns is not None else before_ns
        return BootNs(own_ns + shift_ns)
