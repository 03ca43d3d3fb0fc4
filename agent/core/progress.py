"""Decides if a process makes progress: each important loop leaves a mark, and each mark has a time limit.

A watchdog that a timer feeds only proves that a timer runs. This one is fed only while *all* duties of the process
happen: a recorder's frames, packets and acknowledgements, a loop's turns. A duty that is paused, for example without a
camera, is `rest`ed.

Pure: times are arguments. Source: sd_notify(3), WATCHDOG=1.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.timebase import seconds

__all__ = ["StallDetector"]


class StallDetector:
    """`patience_s`: the time limit of each mark, in seconds. Without the mark the process is stuck."""

    def __init__(self, patience_s: Mapping[str, float]) -> None:
        self._patience_ns = {name: seconds(patience) for name, patience in patience_s.items()}
        self._marks: dict[str, int | None] = dict.fromkeys(patience_s)

    def mark(self, name: str, at_ns: int) -> None:
        """It happened at `at_ns`, on any one clock."""
        self._marks[name] = at_ns

    def expect(self, name: str, now_ns: int) -> None:
        """Starts to expect a mark. Has no effect if it is already expected."""
        if self._marks[name] is None:
            self._marks[name] = now_ns

    def rest(self, name: str) -> None:
        """Stops expecting a mark until it is marked or expected again."""
        self._marks[name] = None

    def stuck(self, now_ns: int) -> tuple[str, ...]:
        """Returns the overdue marks."""
        return tuple(
            name
            for name, at_ns in self._marks.items()
            if at_ns is not None and now_ns - at_ns > self._patience_ns[name]
        )
