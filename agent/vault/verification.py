"""Reads everything a vault holds and compares it with what the device signed: missing, damaged, unknown, or sound.

It only reads, and may run beside a recorder. Segments evicted meanwhile are left out of the count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import sleep
from typing import Final

from agent.core.vault.entries import VaultEntry
from agent.core.vault.fields import PARTS, SHARDS, VaultFile, parse_name
from agent.core.vault.manifest import ChainFault, chapter_of, chapter_start, open_line, parse_line
from agent.core.vault.records import RecoveredRecord, SealedFile, SegmentRecord, digest
from agent.errors import FormatError, OpenError, StorageError
from agent.ports import Index, ManifestLog, SegmentStore
from agent.vault.disk_faults import is_damage
from agent.vault.manifest_reader import check_manifest
from agent.wire.identities import MldsaPublicKey, PublicKey

__all__ = ["EntryCheck", "Progress", "VerifyReport", "check_current", "check_entry", "verify"]

_LOOKS_AGAIN: Final = 5
_AGAIN_S: Final = 1.0
"""Together, more than a recorder takes from a file's final name to the record of it."""

Progress = Callable[[int, int], None]
"""(bytes read until now, bytes in all)"""


@dataclass(slots=True)
class VerifyReport:
    """The result of a comparison, with every difference. `sound` if they agree."""

    segments: int = 0
    read_bytes: int = 0
    faults: tuple[ChainFault, ...] = ()
    """Manifest lines that are unreadable, damaged, out of order, or unsigned by this device, also if only the second
    signature is wrong or missing."""
    signed_once: int = 0
    """Manifest lines without a second signature on or behind them: those of the last hour at most, if there is no
    fault."""
    missing: list[str] = field(default_factory=list)
    """File names that a record names and the disk lacks."""
    damaged: list[str] = field(default_factory=list)
    """Names of files that cannot be read, or with bytes that differ from the record."""
    unknown: list[str] = field(default_factory=list)
    """File names that no record names; the next start recovers them or sets them aside."""

    @property
    def sound(self) -> bool:
        return not (self.faults or self.missing or self.damaged or self.unknown)


@dataclass(slots=True)
class EntryCheck:
    """One segment, its poster and its sound, compared.  Empty lists: they are as they were signed."""

    read_bytes: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    line_fault: ChainFault | None = None
    """The medium has lost the line of the record, so the files could not be compared."""
    fault: str = ""
    """The disk's error for the last file or line that could not be read."""


def verify(
    store: SegmentStore, log: ManifestLog, index: Index, device_key: PublicKey, progress: Progress | None = None,
    mldsa: MldsaPublicKey | None = None,
) -> VerifyReport:  # fmt: skip
    """Compare everything: every byte once, from the medium. `mldsa` makes the second signatures (`manifest.follow`).

    Files that cannot be read and folders that cannot be listed count as damaged. Raises `StorageError` if the index or
    the list of chapters cannot be read, and for errors that may pass (`check_entry`).
    """
    unread: list[ChainFault] = []
    manifest = check_manifest(log, device_key, mldsa)
    report = VerifyReport(faults=manifest.faults, signed_once=manifest.signed_once)
    total_bytes = index.totals().stored_bytes
    for entry in index.oldest():
        found, is_stored = check_current(store, log, index, entry, device_key)
        report.read_bytes += found.read_bytes
        if is_stored:
            report.missing += found.missing
            report.damaged += found.damaged
            report.segments += 1
            if found.line_fault is not None:
                unread.append(found.line_fault)
        if progress is not None:
            progress(min(report.read_bytes, total_bytes), total_bytes)
    report.faults = (*report.faults, *unread)
    report.unknown += _still_unknown(store, index, report.damaged)
    return report


def check_current(
    store: SegmentStore, log: ManifestLog, index: Index, entry: VaultEntry, device_key: PublicKey | None
) -> tuple[EntryCheck, bool]:
    """Does the same as `check_entry` while a recorder works. Returns also if the segment is still stored.

    Nothing is wrong with a segment that was evicted meanwhile. Raises `StorageError`.
    """
    found = check_entry(store, log, entry, device_key)
    now = index.get(entry.id)
    if now is not None and now.line_offset != entry.line_offset and (found.damaged or found.line_fault is not None):
        # The chapter of the line was deleted since the index was asked, and the line was copied to another.
        found = check_entry(store, log, now, device_key)
        now = index.get(entry.id)
    return (EntryCheck(found.read_bytes), False) if now is None else (found, True)


def check_entry(store: SegmentStore, log: ManifestLog, entry: VaultEntry, device_key: PublicKey | None) -> EntryCheck:
    """Compare a segment and what lies beside it with their record, and that with `device_key`.

    A file counts as damaged if the medium has lost a part of it (`is_damage`). A failing card refuses a block more
    often than it alters one, and an error raised here would hide every file after this one. If the medium has lost the
    record, the files are read and not compared. Raises `StorageError` for other errors, for example too many open
    files.
    """
    check = EntryCheck()
    try:
        known = _record(log, entry, device_key)
    except StorageError as error:
        if not is_damage(error):
            raise
        known = None
        check.fault = error.message
        chapter = chapter_of(entry.line_offset)
        problem = f"The record of segment {entry.id} cannot be read: {error.message}"
        check.line_fault = ChainFault(0, problem, chapter, entry.line_offset - chapter_start(chapter))
    for file, recorded in _files(entry, known):
        try:
            if store.size(file) is None:
                check.missing.append(file.name)
                continue
            # Read also without a record: a block that the medium has lost shows only when it is read.
            found = digest(store.chunks(file), recorded.header_size if recorded else 1)
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):  # it was evicted between the two calls
                check.missing.append(file.name)
                continue
            if not is_damage(error):
                raise
            check.damaged.append(file.name)
            check.fault = error.message
            continue
        check.read_bytes += found.size
        if check.line_fault is None and found != recorded:
            check.damaged.append(file.name)
    return check


def _record(
    log: ManifestLog, entry: VaultEntry, device_key: PublicKey | None
) -> SegmentRecord | RecoveredRecord | None:
    """The record of `entry`; None if its line holds none, or one that `device_key` did not sign. Raises
    `StorageError`."""
    line = log.read(entry.line_offset, entry.line_size)
    try:
        record = (parse_line(line) if device_key is None else open_line(line, device_key)).record
    except (FormatError, OpenError):
        return None
    return record if isinstance(record, SegmentRecord | RecoveredRecord) and record.id == entry.id else None


def _files(
    entry: VaultEntry, known: SegmentRecord | RecoveredRecord | None
) -> list[tuple[VaultFile, SealedFile | None]]:
    """The files of `entry`, each with its hash in the record."""
    files: list[tuple[VaultFile, SealedFile | None]] = [(entry.file, known.file if known else None)]
    if entry.poster is not None:
        files.append((entry.poster, known.poster_file if known else None))
    if entry.sound is not None:
        files.append((entry.sound, known.sound_file if known else None))
    return files


def _still_unknown(store: SegmentStore, index: Index, unlisted: list[str]) -> list[str]:
    """A recorder names a file before it appends the record, so an unknown name is looked at again.

    Adds folders that cannot be listed to `unlisted`.
    """
    unknown = _unknown(store, index, unlisted)
    for _ in range(_LOOKS_AGAIN):
        if not unknown:
            break
        sleep(_AGAIN_S)
        now = set(_unknown(store, index, []))
        unknown = [name for name in unknown if name in now]
    return unknown


def _unknown(store: SegmentStore, index: Index, unlisted: list[str]) -> list[str]:
    unknown: list[str] = []
    for shard in SHARDS:
        try:
            names = store.names(shard)
        except StorageError as error:
            if not (is_damage(error) or isinstance(error.__cause__, FileNotFoundError)):
                raise
            unlisted.append(f"segments/{shard}")
            continue
        expected = {file.name for entry in index.shard(shard) for file in (entry.file, *entry.companions)}
        for name in names:
            file = parse_name(name)
            being_written = file is not None and file.kind in PARTS
            if name not in expected and not being_written:
                unknown.append(name)
    return unknown
