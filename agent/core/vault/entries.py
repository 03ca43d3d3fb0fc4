"""The index's entry for each stored segment: enough to match, list and evict it. The manifest line holds the rest.

A segment that was recorded before the clock was set gets its date from a later `clock-sync` of the same boot (`dated`).

Source: FORMAT.md, "Index" and procedure D.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.core.timebase import ClockQuality
from agent.core.vault.fields import RANK, FileKind, SegmentId, Stamp, VaultFile
from agent.core.vault.records import CONTINUOUS, SegmentRecord, StoredRecord

__all__ = ["NumberedClockSync", "Totals", "VaultEntry", "dated", "entry_of"]


@dataclass(frozen=True, slots=True)
class VaultEntry:
    """One stored segment. Times are UTC ms with the quality of the clock that gave them. `sequence` is the order.

    `line_offset`, `line_size`: the position of its signed record in the manifest, and its size without the line feed.
    """

    sequence: int
    id: SegmentId
    event: SegmentId
    boot: str
    ordinal: int
    start_ms: int
    end_ms: int
    quality: ClockQuality
    size_bytes: int
    poster_bytes: int
    whole: bool
    """False if its writing was cut off: its tail may be missing."""
    witnessed: bool
    """False if it was recovered after a crash: `end_ms` is then an upper bound."""
    line_offset: int
    line_size: int
    start_us: int = 0
    """On the clock of `boot`."""
    continuous: bool = False
    """Recorded between events, by continuous recording."""
    sound_bytes: int = 0
    dated_later: bool = False
    """A `clock-sync` moved its times. Its signed record, which others could check, still has another date."""

    @property
    def stored_bytes(self) -> int:
        """The number of bytes that its eviction frees."""
        return self.size_bytes + self.poster_bytes + self.sound_bytes

    @property
    def file(self) -> VaultFile:
        return VaultFile(self.id, FileKind.SEGMENT if self.whole else FileKind.CUT)

    @property
    def poster(self) -> VaultFile | None:
        return VaultFile(self.id, FileKind.POSTER) if self.poster_bytes else None

    @property
    def sound(self) -> VaultFile | None:
        return VaultFile(self.id, FileKind.SOUND) if self.sound_bytes else None

    @property
    def companions(self) -> tuple[VaultFile, ...]:
        """Returns the poster and sound files that are stored beside the segment and deleted with it."""
        return tuple(file for file in (self.poster, self.sound) if file)


@dataclass(frozen=True, slots=True)
class Totals:
    """The number of stored segments, and the bytes of segments, posters and sound."""

    segments: int = 0
    stored_bytes: int = 0
    continuous_bytes: int = 0
    """The part of `stored_bytes` that continuous recording made between events."""


def entry_of(record: StoredRecord, sequence: int, line_offset: int, line_size: int) -> VaultEntry:
    return VaultEntry(
        sequence=sequence,
        id=record.id,
        event=record.event,
        boot=record.span.boot,
        ordinal=record.ordinal,
        start_ms=record.span.start_ms,
        end_ms=record.span.end_ms,
        quality=record.quality,
        size_bytes=record.file.size,
        poster_bytes=record.poster_file.size if record.poster_file else 0,
        whole=record.complete,
        witnessed=isinstance(record, SegmentRecord),
        line_offset=line_offset,
        line_size=line_size,
        start_us=record.span.start_us,
        continuous=record.label_text == CONTINUOUS,
        sound_bytes=record.sound_file.size if record.sound_file else 0,
    )


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
