"""Decides whether a process gets on: every loop that matters leaves a mark, and each has its patience.

A watchdog that is fed by a timer proves that a timer runs.  This one is fed only while *all* of what the role is for
happens: a recorder's frames, packets and acknowledgements, a loop's turns.  What is not expected now, because there is
no camera or nothing to record, is `rest`ed and owes nothing.

Pure: times are arguments.  Source: sd_notify(3), WATCHDOG=1.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.timebase import seconds

__all__ = ["StallDetector"]


class StallDetector:
    """`patience_s`: each mark's name, and after how many seconds without one the role is stuck."""

    def __init__(self, patience_s: Mapping[str, float]) -> None:
        self._patience_ns = {name: seconds(patience) for name, patience in patience_s.items()}
        self._marks: dict[str, int | None] = dict.fromkeys(patience_s)

    def mark(self, name: str, at_ns: int) -> None:
        """It happened at `at_ns`, on any one clock."""
        self._marks[name] = at_ns

    def expect(self, name: str, now_ns: int) -> None:
        """From now on it is due; if it was already, nothing changes."""
        if self._marks[name] is None:
            self._marks[name] = now_ns

    def rest(self, name: str) -> None:
        """It is not due until it is marked or expected again."""
        self._marks[name] = None

    def stuck(self, now_ns: int) -> tuple[str, ...]:
        """What is overdue; empty while all is well."""
        return tuple(
            name
            for name, at_ns in self._marks.items()
            if at_ns is not None and now_ns - at_ns > self._patience_ns[name]
        )
