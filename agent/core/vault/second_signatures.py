"""Lines of the manifest with a second signature, by ML-DSA-44: which lines need one, and how many lines it covers.

Each line names the hash of the line before it. A second signature therefore also covers every line before it.

- `boot`, `chapter` and `coverage` have a second signature. So has each line whose time is an hour or more after the
  newest line with one. The time is the record's own, on the boot clock, so writer and readers decide alike.
- The records after the newest such line are signed once only: those of at most an hour.

Source: FORMAT.md, "Second signatures".
"""

from __future__ import annotations

from typing import Final

from agent.core.vault.records import (
    BootRecord,
    Chapter,
    CoverageRecord,
    GapRecord,
    Record,
    SegmentRecord,
)
from agent.core.vault.spans import Stamp

__all__ = ["RecordTime", "needs_second_signature", "time_of"]

_EVERY_US: Final = 3_600_000_000
"""One hour. `coverage` comes four times as often, so this rule is for lines of a time without a camera."""

RecordTime = tuple[str, int]
"""The boot, and µs of its clock."""


def time_of(record: Record) -> RecordTime:
    """Returns the record's end on the boot clock, or the instant that it names."""
    if isinstance(record, SegmentRecord | GapRecord | CoverageRecord):
        return record.span.boot, record.span.end_us
    at: Stamp = record.at
    return at.boot, at.at_us


def needs_second_signature(record: Record, newest: RecordTime | None) -> bool:
    """Returns True if a second signature is required. `newest`: the time of the newest line that has one, or None if
    it is unknown."""
    if isinstance(record, BootRecord | Chapter | CoverageRecord):
        return True
    if newest is None:
        return False
    boot, at_us = time_of(record)
    return boot != newest[0] or at_us >= newest[1] + _EVERY_US
