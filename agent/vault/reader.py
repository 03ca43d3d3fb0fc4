"""Looks into a vault without being able to open anything in it: entries, signed records, ciphertext.

Safe to use from several threads and, on the same directory, from other processes than the one that writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.core.vault.coverage import BootClocks, CoverageBuilder, CoverageSpan
from agent.core.vault.entries import Totals, VaultEntry
from agent.core.vault.excerpt import Cover, covers_of
from agent.core.vault.fields import SegmentId
from agent.core.vault.manifest import ChainFault, ChainStep, SignedRecord, chapter_of, parse_line
from agent.core.vault.records import Record
from agent.errors import FormatError, StorageError
from agent.ports import Index, ManifestLog, SegmentStore
from agent.vault.manifest_reader import read_manifest, read_readable
from agent.vault.verification import EntryCheck, Progress, VerifyReport, check_current, verify
from agent.wire.identities import MldsaPublicKey, PublicKey

__all__ = ["VaultReader"]


class VaultReader:
    """Everything raises `StorageError` with the remedy when the disk fails or a segment is missing."""

    def __init__(self, store: SegmentStore, log: ManifestLog, index: Index) -> None:
        self._store = store
        self._log = log
        self._index = index

    def entries(self) -> Iterator[VaultEntry]:
        """Every stored segment, oldest first."""
        return self._index.oldest()

    def overlapping(self, from_ms: int, to_ms: int) -> tuple[VaultEntry, ...]:
        """Segments that overlap [from_ms, to_ms) of UTC, by time."""
        return self._index.overlapping(from_ms, to_ms)

    def find(self, segment: SegmentId) -> VaultEntry | None:
        return self._index.get(segment)

    def newest(self) -> VaultEntry | None:
        return self._index.newest()

    def totals(self) -> Totals:
        return self._index.totals()

    def record(self, segment: SegmentId) -> SignedRecord:
        """The signed manifest line of a stored segment, as it can be shown to others."""
        entry = self._entry(segment)
        line = self._log.read(entry.line_offset, entry.line_size)
        if not line:
            # Its chapter was deleted since the index was asked, and the line was copied to another.
            entry = self._entry(segment)
            line = self._log.read(entry.line_offset, entry.line_size)
        try:
            return parse_line(line)
        except FormatError as error:
            raise StorageError(
                f"The manifest line of segment {segment} is damaged.", remedy="Run `doorward vault verify`."
            ) from error

    def covers(
        self, lines: Mapping[SegmentId, bytes], device_key: PublicKey, mldsa: MldsaPublicKey
    ) -> dict[SegmentId, Cover]:
        """Returns the second signature that covers the line of each stored segment in `lines`.

        Reads the manifest from the chapter of the oldest of these lines to the last second signature that it needs.
        """
        if not lines:
            return {}
        covers = self._covers_now(lines, device_key, mldsa)
        if Cover.NONE in covers.values():
            # A chapter may have gone meanwhile, with the lines copied to another one.
            covers = self._covers_now(lines, device_key, mldsa)
        return covers

    def _covers_now(
        self, lines: Mapping[SegmentId, bytes], device_key: PublicKey, mldsa: MldsaPublicKey
    ) -> dict[SegmentId, Cover]:
        oldest = min(chapter_of(self._entry(name).line_offset) for name in lines)
        unread: list[ChainFault] = []
        covers = covers_of(read_readable(self._log, oldest, unread), lines, device_key, mldsa)
        if unread:
            # Lines behind the newest one that was read are unknown, so no signature of now may stand for them.
            return {name: Cover.NONE if cover is Cover.EXPORT else cover for name, cover in covers.items()}
        return covers

    def read(self, segment: SegmentId, offset: int, size_bytes: int) -> bytes:
        """Ciphertext of a segment; fewer bytes than asked for only at its end."""
        return self._store.read(self._entry(segment).file, offset, size_bytes)

    def read_poster(self, segment: SegmentId) -> bytes | None:
        """Returns the sealed poster of the clip that begins with `segment`; None if no clip begins there."""
        entry = self._entry(segment)
        return self._store.read(entry.poster, 0, entry.poster_bytes) if entry.poster else None

    def read_sound(self, segment: SegmentId) -> bytes | None:
        """Returns the sealed sound of `segment`; None for a silent one."""
        entry = self._entry(segment)
        return self._store.read(entry.sound, 0, entry.sound_bytes) if entry.sound else None

    def verify(
        self, device_key: PublicKey, progress: Progress | None = None, mldsa: MldsaPublicKey | None = None
    ) -> VerifyReport:
        """Compare every file with its record, and every record with the device's signatures."""
        return verify(self._store, self._log, self._index, device_key, progress, mldsa)

    def coverage(self, from_ms: int, to_ms: int, now_ms: int) -> tuple[CoverageSpan, ...]:
        """Returns the vault's coverage of [from_ms, to_ms), complete, with a reason for each time without footage.

        Reads the whole manifest twice.
        """
        boots = BootClocks()
        for step in read_manifest(self._log):
            if step.signed is not None:
                boots.add(step.signed.record, carried=step.carried)
        spans = CoverageBuilder(boots, from_ms, to_ms)
        for record in self._records():
            spans.add(record)
        return spans.stretches(now_ms)

    def manifest_bytes(self) -> int:
        return sum(self._log.sizes().values())

    def quarantined(self) -> tuple[int, int]:
        """Returns the number of files in `aside/`, and their bytes."""
        return self._store.quarantined()

    def steps(self) -> Iterator[ChainStep]:
        """Every line of the manifest, signatures unchecked."""
        return read_manifest(self._log)

    def _records(self) -> Iterator[Record]:
        return (step.signed.record for step in read_manifest(self._log) if step.signed is not None)

    def check(self, entry: VaultEntry, device_key: PublicKey | None) -> EntryCheck:
        """Compare one segment; nothing is wrong with one that was evicted meanwhile."""
        return check_current(self._store, self._log, self._index, entry, device_key)[0]

    def after(self, sequence: int) -> VaultEntry | None:
        """The oldest segment recorded after number `sequence`."""
        return next(self._index.oldest(after=sequence), None)

    def scrubbed(self) -> int:
        """Returns the position of the scrub: the number of the segment it checked last, or -1."""
        return self._index.scrubbed()

    def set_scrubbed(self, sequence: int) -> None:
        self._index.set_scrubbed(sequence)

    def _entry(self, segment: SegmentId) -> VaultEntry:
        entry = self._index.get(segment)
        if entry is None:
            raise StorageError(f"Segment {segment} is not stored.", remedy="It was evicted, or never here.")
        return entry
