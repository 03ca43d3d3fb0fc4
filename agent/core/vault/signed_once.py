"""Finds the lines of a manifest that no second signature covers.

A valid second signature covers the lines before it, back to the last fault. After a whole manifest was read, the lines
that are left are signed by Ed25519 only: those of at most an hour at its end, and those in front of a fault.

Source: FORMAT.md, "Second signatures".
"""

from __future__ import annotations

from agent.core.vault.manifest import ChainStep
from agent.core.vault.records import RecoveredRecord, SegmentRecord

__all__ = ["SignedOnce"]


class SignedOnce:
    """Takes the steps of `manifest.follow` with a key, in their order."""

    def __init__(self) -> None:
        self._lines = 0
        self._segments: list[str] = []
        self._lines_before_faults = 0
        self._segments_before_faults: list[str] = []

    def add(self, step: ChainStep) -> None:
        if step.fault is not None:
            self._lines_before_faults += self._lines
            self._segments_before_faults += self._segments
            self._lines, self._segments = 0, []
        if step.signed is not None:
            self._lines += 1
            record = step.signed.record
            if isinstance(record, SegmentRecord | RecoveredRecord):
                self._segments.append(record.id)
        if step.covers:
            self._lines, self._segments = 0, []

    @property
    def lines(self) -> int:
        """The number of lines without a second signature on or behind them."""
        return self._lines_before_faults + self._lines

    @property
    def segments(self) -> frozenset[str]:
        """The ids of the segments in these lines."""
        return frozenset((*self._segments_before_faults, *self._segments))
