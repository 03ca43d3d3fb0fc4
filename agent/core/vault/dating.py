"""Dates segments that were recorded before the clock was set, by a later `clock-sync` of the same boot.

Source: FORMAT.md, procedure D.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.core.vault.entries import VaultEntry
from agent.core.vault.spans import RANK, Stamp

__all__ = ["NumberedClockSync", "dated"]


@dataclass(frozen=True, slots=True)
class NumberedClockSync:
    """A `clock-sync` and its number in the manifest. It dates only records before it."""

    sequence: int
    at: Stamp


def dated(entry: VaultEntry, sync: NumberedClockSync) -> VaultEntry:
    """Returns `entry` with the date from `sync`, if the sync is of the same boot, better, and later in the
    manifest.

    A segment recovered after a crash keeps an unknown date, because the device missed its end.
    """
    at = sync.at
    worse = RANK.index(at.quality) <= RANK.index(entry.quality)
    if entry.boot != at.boot or worse or entry.sequence >= sync.sequence:
        return entry
    start_ms = at.utc_of_ms(entry.start_us)
    return replace(
        entry,
        start_ms=start_ms,
        end_ms=start_ms + entry.end_ms - entry.start_ms,
        quality=at.quality if entry.witnessed else entry.quality,
        dated_later=entry.dated_later or start_ms != entry.start_ms,
    )
