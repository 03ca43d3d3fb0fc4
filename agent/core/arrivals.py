"""Relates a source's clock to the boot clock by the arrival times of its pieces.

A sound card and a network camera have clocks that are off by up to some hundred millionths, and their pieces arrive
late if a thread slept or a network delayed them. Neither error may accumulate.

- If a piece is late by more than `lost_ns`, the relation starts again. Otherwise it follows the arrivals.
- A source that goes on counting while pieces are lost shows that nothing was lost: a late piece begins where the one
  before ended. Then the relation follows also beyond `lost_ns`.

Two streams of one camera that are related this way stay together for any length of time.

Pure: times are arguments.
"""

from __future__ import annotations

from typing import Final

from agent.core.timebase import BootNs

__all__ = ["ArrivalClock"]

_FOLLOW: Final = 500
"""A late piece moves the relation by its lateness divided by this number."""


class ArrivalClock:
    """One stream. Call `arrived` for each piece in turn, then `boot_ns` for a time within it."""

    def __init__(self, lost_ns: int, *, counts_losses: bool = False) -> None:
        """`counts_losses`: the source's clock also counts what is lost on the way, as the timestamps of RTP do."""
        self._lost_ns = lost_ns
        self._counts_losses = counts_losses
        self._end_ns = 0
        """End of the piece before, by its source's clock."""
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
        nothing_lost = self._counts_losses and abs(begin_ns - self._end_ns) < self._lost_ns
        self._end_ns = end_ns
        if self._shift_ns is None:
            self._shift_ns, self._before = seen_ns, (begin_ns, seen_ns)
            return
        late_ns = seen_ns - self._shift_ns
        if late_ns > self._lost_ns and nothing_lost:
            # The piece was delayed, for example by a slow network. The relation moves by no more than keeps it
            # `lost_ns` late, so a delay that grows slowly makes no hole between two pieces.
            self._shift_ns = seen_ns - self._lost_ns
        elif late_ns > self._lost_ns:
            # Pieces before it were lost, or the source's clock was set. Earlier pieces keep their times.
            self._before = (begin_ns, self._shift_ns)
            self._shift_ns = seen_ns
            self.holes += 1
        else:
            # A piece cannot arrive before it happened, so backward the relation moves at once. Forward it moves by a
            # little: this follows a slow clock, and ignores a thread that slept.
            self._shift_ns += late_ns if late_ns < 0 else late_ns // _FOLLOW

    def boot_ns(self, own_ns: int) -> BootNs:
        """When that was which the source dates `own_ns`."""
        since_ns, before_ns = self._before
        shift_ns = self._shift_ns if own_ns >= since_ns and self._shift_ns is not None else before_ns
        return BootNs(own_ns + shift_ns)
