"""Recovers a vault: finds every state that a crash can leave, repairs it, and reports what it found.

The steps are FORMAT.md's procedure S. They work with a wrong clock, offline and unattended. They delete only files that
a durable tombstone names, and empty files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from agent.core.vault.age.header import LONGEST_HEADER_BYTES, Header, parse_header
from agent.core.vault.entries import VaultEntry
from agent.core.vault.fields import SHARDS, FileKind, Stamp, VaultFile, parse_name
from agent.core.vault.manifest import ChainFault, records_about
from agent.core.vault.records import (
    MOST_EVICTED,
    BootRecord,
    Chapter,
    ClockSync,
    EvictionReason,
    EvictionRecord,
    Record,
    RecoveredRecord,
    RingRecord,
    SealedFile,
    SegmentRecord,
    digest,
)
from agent.core.vault.segment import Begin, begin_in
from agent.errors import FormatError, StorageError
from agent.ports import Index, ManifestLog, SegmentStore
from agent.recorder.manifest_writer import ManifestWriter
from agent.vault.disk_faults import is_damage, is_lost
from agent.vault.manifest_reader import end_of_manifest, last_line, oldest_chapter
from agent.vault.replay import catch_up
from agent.wire.identities import MldsaPublicKey

__all__ = ["StartReport", "VaultStartUp"]


class _UnreadableError(FormatError):
    """The medium has lost a part of a file."""


@contextmanager
def _judged() -> Iterator[None]:
    """Raises `_UnreadableError` if the medium has lost the file, `FormatError` if its name belongs to no file.

    Neither must end the start: the recorder would try again for ever and store nothing.
    """
    try:
        yield
    except StorageError as error:
        if is_lost(error):
            raise _UnreadableError(error.message) from error
        if is_damage(error):
            raise FormatError(error.message) from error
        raise


@dataclass(slots=True)
class StartReport:
    """The findings of a start-up. After a clean stop everything is empty."""

    rebuilt: bool = False
    """The index was missing, damaged or of another manifest, and was rebuilt."""
    faults: list[ChainFault] = field(default_factory=list)
    """Damaged manifest lines.  Their segments are recovered."""
    unproven: bool = False
    """The newest manifest lines lack a second signature that they need. The next one does not cover them."""
    cut_bytes: int = 0
    """Length of a manifest line that a crash cut off before its acknowledgement."""
    recovered: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    """Files with a durable tombstone that reappeared after a crash."""
    missing: list[str] = field(default_factory=list)
    """Acknowledged segments that are missing: the disk lost them, or they were removed from outside."""
    quarantined: list[str] = field(default_factory=list)
    """Names moved to `aside/`: foreign or damaged files, or a poster or sound without its segment."""
    unreadable: list[str] = field(default_factory=list)
    """Files in which the medium has lost a block. They are among `quarantined`, except those with a lost inode: the
    file system refuses to move them. Foreign files are not among them."""
    empty: int = 0
    """Number of new files that the disk left empty."""


_Companions = dict[tuple[str, FileKind], VaultFile]


@dataclass(slots=True)
class _FoundFiles:
    """Files in the shards that the index does not expect, and files that are missing."""

    segments: list[VaultFile] = field(default_factory=list)
    companions: list[VaultFile] = field(default_factory=list)
    """Posters and sound."""
    strangers: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[VaultFile] = field(default_factory=list)
    """Segments, posters and sound with a block that the medium has lost."""
    missing: list[VaultEntry] = field(default_factory=list)

    @property
    def unknown(self) -> set[str]:
        """Names that the manifest may explain. No record names a `.part`: its final name is durable first (F3)."""
        return {file.id for file in (*self.segments, *self.companions) if file.kind is not FileKind.PART}


class VaultStartUp:
    """One run of procedure S from S2 on.  `being_written`: segments that this process has open, to be left alone.

    `given_up`: asked while the manifest is read. True ends the start.
    """

    def __init__(
        self, store: SegmentStore, log: ManifestLog, index: Index, writer: ManifestWriter, now: Stamp,
        being_written: Collection[str], given_up: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._store = store
        self._log = log
        self._index = index
        self._writer = writer
        self._now = now
        self._being_written = being_written
        self._given_up = given_up
        self.report = StartReport()
        """The findings up to now, also after `run` has raised."""

    def run(self, device: str, device_mldsa: str, epoch: int) -> StartReport:
        """`device_mldsa`: the device's ML-DSA-44 key in base64.

        Raises `StorageError` if the disk does not let it finish; running it again is safe."""
        # A line that a killed process wrote may be in the cache only. It is synced before anything relies on it.
        self._log.recover()  # S2
        oldest = oldest_chapter(self._log)
        self._log.remove_chapters(chapter for chapter in self._log.chapters() if chapter < oldest)
        self._mldsa = MldsaPublicKey.parse(device_mldsa)
        self._catch_up()  # S3, S4
        self._note_boot(device, device_mldsa, epoch)  # S5
        found = self._scan()  # S6
        fates = self._states(found.unknown)
        if any(fate is None for fate in fates.values()):
            # A segment is recorded and exists, but the index lacks it: the index cannot be trusted.
            self._catch_up(from_the_beginning=True)
            found = self._scan()
        self._resolve(found, {segment for segment, fate in fates.items() if fate not in (None, EvictionReason.MISSING)})
        return self.report

    def _catch_up(self, *, from_the_beginning: bool = False) -> None:
        replay = catch_up(self._log, self._index, from_the_beginning=from_the_beginning, given_up=self._given_up)
        end = end_of_manifest(self._log, self._mldsa)
        self._writer.start(replay.tip, vouches=end.is_sound)
        self.report.unproven |= not end.is_sound
        self.report.rebuilt |= replay.rebuilt
        self.report.faults = replay.faults
        self.report.cut_bytes += replay.cut_bytes

    def _note_boot(self, device: str, device_mldsa: str, epoch: int) -> None:
        last = last_line(self._log, self._writer.tip)
        if last is None or _boot_of(last.record) != self._now.boot:
            record = BootRecord(device=device, device_mldsa=device_mldsa, epoch=epoch, at=self._now)
            self._writer.commit(record)

    def _scan(self) -> _FoundFiles:
        found = _FoundFiles()
        for shard in SHARDS:
            entries = {entry.id: entry for entry in self._index.shard(shard)}
            absent = dict(entries)
            for name in self._store.names(shard):
                file = parse_name(name)
                if file is None or file.shard != shard:
                    found.strangers.append((shard, name))
                    continue
                entry = entries.get(file.id)
                if entry is not None and entry.file == file:
                    del absent[file.id]
                # A start after a fault runs beside a segment that is still being written. Its files are no remains.
                elif file.id not in self._being_written and not (entry and file in entry.companions):
                    _sort(file, entry, found)
            found.missing += absent.values()
        return found

    def _states(self, segments: Collection[str]) -> dict[str, EvictionReason | None]:
        """Returns which of `segments` the manifest names, and why each was evicted; None for a stored one."""
        fates: dict[str, EvictionReason | None] = {}
        if not segments:
            return fates
        for record in records_about(self._log.lines(), segments):
            if isinstance(record, SegmentRecord | RecoveredRecord) and record.id in segments:
                fates[record.id] = None
            elif isinstance(record, EvictionRecord):
                fates.update((segment, record.reason) for segment in record.segments if segment in segments)
        return fates

    def _resolve(self, found: _FoundFiles, evicted: Collection[str]) -> None:
        for file in (*found.segments, *found.companions):
            if file.id in evicted:
                # Eviction unlinks without a sync, so a power cut can bring the file back. Its tombstone is durable, and
                # decides.
                self._store.remove((file,))  # S7
                self.report.removed.append(file.name)
        companions = {(file.id, file.kind): file for file in found.companions if file.id not in evicted}
        for file in found.segments:
            if file.id not in evicted:
                self._recover(file, companions, found)  # S8
        found.strangers += [(file.shard, file.name) for file in companions.values()]
        for shard, name in found.strangers:
            # Moved, never deleted: a file that start-up does not understand may still be footage.
            self._store.quarantine(shard, name)  # S9
            self.report.quarantined.append(name)
        for file in found.unreadable:
            self._quarantine_unreadable(file)
        self._record_missing(found.missing)  # S10

    def _quarantine_unreadable(self, file: VaultFile) -> None:
        """Reports the file even if a sync fails after the move, because the next start does not find the file."""
        try:
            self._store.quarantine(file.shard, file.name)
        except StorageError as error:
            if self._is_gone(file):
                self._note_quarantined(file)
                raise
            if not is_lost(error):
                raise
            self.report.unreadable.append(file.name)
        else:
            self._note_quarantined(file)

    def _note_quarantined(self, file: VaultFile) -> None:
        self.report.quarantined.append(file.name)
        self.report.unreadable.append(file.name)

    def _is_gone(self, file: VaultFile) -> bool:
        try:
            return self._store.size(file) is None
        except StorageError:
            return False

    def _recover(self, file: VaultFile, companions: _Companions, found: _FoundFiles) -> None:
        """FORMAT.md's procedure A."""
        try:
            with _judged():
                is_empty = self._store.size(file) == 0
            # C1 creates the file without a sync, so a power cut often leaves it empty. There is nothing to recover.
            if is_empty and file.kind is FileKind.PART:
                self._store.remove((file,))
                self.report.empty += 1
                return
            # A killed process may have left bytes and name in the cache only. The record must not outlive them.
            self._confirm(file)  # A1
            # Read from the medium: after a failed write the cache may show bytes that the card does not hold.
            begin, sealed = self._examine(file)  # A2
        except _UnreadableError:
            found.unreadable.append(file)
            return
        except FormatError:
            found.strangers.append((file.shard, file.name))
            return
        if file.kind is FileKind.PART:
            # A final name would claim that the file is whole.
            self._store.rename([(file, VaultFile(file.id, FileKind.CUT))])  # A3
        recovered = RecoveredRecord(
            begin=begin,
            complete=file.kind is FileKind.SEGMENT,
            file=sealed,
            poster_file=self._confirmed(companions.pop((file.id, FileKind.POSTER), None), found),
            sound_file=self._confirmed(companions.pop((file.id, FileKind.SOUND), None), found),
            at=self._now,
        )
        self._writer.commit(recovered)  # A4
        self.report.recovered.append(file.id)

    def _confirm(self, file: VaultFile) -> None:
        """Raises `FormatError` for a folder, link or pipe. A sync that fails ends the start: the next one reads the
        file again."""
        try:
            self._store.confirm(file)
        except StorageError as error:
            if is_lost(error) or not is_damage(error):
                raise
            raise FormatError(error.message) from error

    def _examine(self, file: VaultFile) -> tuple[Begin, SealedFile]:
        header, sealed = self._read_back(file)
        begin = begin_in(header)
        if begin.segment != file.id:
            # The record would name `begin.segment`, so a copy under another name would be recorded as that segment
            # again.
            raise FormatError(f"{file.name} says it is {begin.segment}.")
        return begin, sealed

    def _read_back(self, file: VaultFile) -> tuple[Header, SealedFile]:
        """Raises `FormatError` if the file is no age file, `_UnreadableError` if the disk cannot read it to its end."""
        with _judged():
            header, size = parse_header(self._store.read(file, 0, LONGEST_HEADER_BYTES))
            return header, digest(self._store.chunks(file), size)

    def _confirmed(self, companion: VaultFile | None, found: _FoundFiles) -> SealedFile | None:
        if companion is None:
            return None
        try:
            with _judged():
                self._store.size(companion)
            self._confirm(companion)
            return self._read_back(companion)[1]
        except _UnreadableError:
            found.unreadable.append(companion)
            return None
        except FormatError:
            found.strangers.append((companion.shard, companion.name))
            return None

    def _record_missing(self, missing: list[VaultEntry]) -> None:
        for first in range(0, len(missing), MOST_EVICTED):
            gone = tuple(entry.id for entry in missing[first : first + MOST_EVICTED])
            self._writer.commit(EvictionRecord(segments=gone, reason=EvictionReason.MISSING, at=self._now), gone)
            self.report.missing += gone


def _sort(file: VaultFile, entry: VaultEntry | None, found: _FoundFiles) -> None:
    """Sorts a file that the index lacks: one that misses its record, or a foreign one."""
    if entry is not None or file.kind in (FileKind.POSTER_PART, FileKind.SOUND_PART):
        found.strangers.append((file.shard, file.name))
    elif file.kind in (FileKind.POSTER, FileKind.SOUND):
        found.companions.append(file)
    else:
        found.segments.append(file)


def _boot_of(record: Record) -> str:
    """The boot in which `record` was written."""
    return (
        record.at.boot
        if isinstance(record, RecoveredRecord | EvictionRecord | ClockSync | BootRecord | RingRecord | Chapter)
        else record.span.boot
    )
