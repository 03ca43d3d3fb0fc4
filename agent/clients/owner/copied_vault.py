"""Reads the vault of a stolen or broken device from a copy of its state directory or its card.

Records come from the manifest. If a file has no record yet (`.part`, or whole), it is listed from the begin stanza in
its header. If this machine knows the device's key, every record is verified. Without the key (for example, on a
borrowed machine with only the recovery page) segments still open, and `signed` is False.

A line that no second signature covers (`core.vault.signed_once`) is no record, unless it is among the newest: a forger
of Ed25519 may have made it. Its segment is listed as a file without a record. Its poster and sound still open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from agent.clients.owner.keys import AgeIdentity
from agent.clients.owner.sealed_footage import (
    OpenedPoster,
    OpenedSegment,
    open_captured,
    open_poster,
    open_sound,
    open_unrecorded,
)
from agent.clients.owner.segment_sources import EVERYTHING_MS, ListedSegment
from agent.core.timebase import ClockQuality
from agent.core.vault.age.header import parse_header
from agent.core.vault.fields import FileKind, VaultFile, parse_name
from agent.core.vault.manifest import (
    LONGEST_LINE_BYTES,
    ChainFault,
    RawLine,
    SignedRecord,
    chapter_number,
    chapter_start,
    follow,
    missing_chapters,
    oldest_stated,
    parse_line,
    split_lines,
)
from agent.core.vault.records import BootRecord, Chapter, EvictionRecord, RecoveredRecord, SegmentRecord
from agent.core.vault.segment import Begin, begin_in
from agent.core.vault.signed_once import SignedOnce
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.platform import files
from agent.wire.identities import MldsaPublicKey, PublicKey

__all__ = ["FolderVault"]

_LARGEST_BYTES: Final = 1 << 30
_CHUNK_BYTES: Final = 1 << 18
_HEADER_BYTES: Final = 64 * 1024
_STORED: Final = (FileKind.SEGMENT, FileKind.CUT, FileKind.PART)


@dataclass(frozen=True, slots=True)
class _StoredFile:
    listed: ListedSegment
    path: Path
    record: SignedRecord | None
    beside: SignedRecord | None
    """The line that describes poster and sound: the record, or one that proves nothing."""


class FolderVault:
    """A `FootageSource` on a folder. `keys`: known device keys by id; `path`: a state directory, or the vault in it.
    `mldsa`: the second keys that this machine knows, by the id of the device.

    Raises `ConfigurationError` if there is no vault. `faults` are the manifest's; `signed` is True if the records were
    verified. `signed_once`: the segments with a record that no second signature covers. `unknown_mldsa`: the second key
    that the manifest names, in base64, if this machine knows none of the device, or "".
    """

    def __init__(
        self, path: Path, keys: Mapping[str, PublicKey], mldsa: Mapping[str, MldsaPublicKey] | None = None
    ) -> None:
        self.path = next((each for each in (path / "vault", path) if files.is_folder(each / "segments")), path)
        if not files.is_folder(self.path / "segments"):
            raise ConfigurationError(
                f"{path} holds no vault.", remedy="Give the device's state directory: the folder that contains 'vault'."
            )
        self._unproven: dict[str, SignedRecord] = {}
        records = self._records(keys, mldsa or {})
        self._stored = dict(self._find(records))

    def listed(self, from_ms: int = 0, to_ms: int = EVERYTHING_MS) -> tuple[ListedSegment, ...]:
        found = [each.listed for each in self._stored.values()]
        return tuple(
            sorted(
                (item for item in found if item.start_ms < to_ms and item.end_ms > from_ms),
                key=lambda item: (item.start_ms, item.ordinal),
            )
        )

    def open(self, segment: str, identities: Sequence[AgeIdentity]) -> OpenedSegment:
        stored = self._get(segment)
        data = files.read(stored.path, _LARGEST_BYTES)
        if stored.record is not None:
            return open_captured(stored.record, data, identities, device=self.device)
        opened = open_unrecorded(data, identities)
        if opened.id != segment:
            raise FormatError(f"{stored.path} holds another segment than its name says.")
        return opened

    def poster(self, segment: str, identities: Sequence[AgeIdentity]) -> OpenedPoster:
        stored = self._get(segment)
        if stored.beside is None:
            raise FormatError(f"The device recorded no poster for segment {segment}.")
        name = VaultFile(segment, FileKind.POSTER)
        data = files.read(self.path / "segments" / name.shard / name.name, _LARGEST_BYTES)
        return open_poster(stored.beside, data, identities, device=self.device)

    def sound(self, segment: str, identities: Sequence[AgeIdentity]) -> bytes:
        stored = self._get(segment)
        if stored.beside is None:
            raise FormatError(f"The device recorded no sound for segment {segment}.")
        name = VaultFile(segment, FileKind.SOUND)
        data = files.read(self.path / "segments" / name.shard / name.name, _LARGEST_BYTES)
        return open_sound(stored.beside, data, identities, device=self.device)

    def _get(self, segment: str) -> _StoredFile:
        stored = self._stored.get(segment)
        if stored is None:
            raise ConfigurationError(
                f"Segment {segment} is not in {self.path}.", remedy="List the segments with --list."
            )
        return stored

    def _records(self, keys: Mapping[str, PublicKey], seconds: Mapping[str, MldsaPublicKey]) -> dict[str, SignedRecord]:
        """Returns the manifest's records of the segments that are still stored, by id."""
        self.device, named = self._first_named(keys)
        key, mldsa = keys.get(self.device), seconds.get(self.device)
        self.signed = key is not None
        self.unknown_mldsa = named if mldsa is None else ""
        if self.unknown_mldsa:
            mldsa = MldsaPublicKey.parse(self.unknown_mldsa)
        signed_once = SignedOnce()
        records: dict[str, SignedRecord] = {}
        paths = self._chapters()
        oldest = self._oldest_needed(paths, key, mldsa)
        faults = list(missing_chapters(oldest, paths))
        for step in follow(self._lines(paths, oldest), key=key, mldsa=mldsa):
            if step.fault is not None:
                faults.append(step.fault)
            # A line counts once a second signature covers it. Without the device's key nothing can be proven, so each
            # line counts.
            if key is not None:
                _apply(signed_once.add(step), records)
            elif step.signed is not None:
                _apply((step.signed,), records)
        self.faults: tuple[ChainFault, ...] = tuple(faults)
        # They remove nothing, and take the place of no record that is covered: a forger may have made them.
        newest = {name: line for name, line in _described(signed_once.newest) if name not in records}
        self.signed_once = frozenset(newest)
        self._unproven = dict(_described(signed_once.unproven))
        return records | newest

    def _first_named(self, keys: Mapping[str, PublicKey]) -> tuple[str, str]:
        """Returns the device of the first line that names one of `keys` and that this device signed, and the second key
        in it. If there is no such line, returns the first device that any line names, and "" for the key."""
        any_device = ""
        for step in follow(self._lines(self._chapters())):
            signed = step.signed
            if signed is None or not isinstance(signed.record, BootRecord | Chapter):
                continue
            key = keys.get(signed.record.device)
            if key is not None and signed.signed_by(key):
                return signed.record.device, signed.record.device_mldsa
            any_device = any_device or signed.record.device
            if not keys:
                break
        return any_device, ""

    def _chapters(self) -> dict[int, Path]:
        found = (self.path / name for name in files.names_in(self.path))
        named = ((chapter_number(path.name), path) for path in found if files.is_file(path))
        return {number: path for number, path in named if number is not None}

    def _oldest_needed(self, paths: Mapping[int, Path], key: PublicKey | None, mldsa: MldsaPublicKey | None) -> int:
        """Returns the oldest chapter that is needed, as the newest one says that has both signatures.

        A forged chapter would hide those before it. Without `key`, the newest readable one counts.
        """
        for number in sorted(paths, reverse=True):
            line = self._first_line(paths[number])
            oldest = oldest_stated(number, line)
            if oldest is None:
                continue
            signed = parse_line(line)
            if key is None or (signed.signed_by(key) and mldsa is not None and signed.signed_twice_by(mldsa)):
                return oldest
        return 0

    @staticmethod
    def _first_line(path: Path) -> bytes:
        with files.storage_errors(path), path.open("rb") as file:
            return file.readline(LONGEST_LINE_BYTES + 1).removesuffix(b"\n")

    @staticmethod
    def _lines(paths: Mapping[int, Path], oldest: int = 0) -> Iterator[RawLine]:
        """Yields the lines from chapter `oldest` on, in bounded memory: an attacker may have written the disk."""
        for number in sorted(paths):
            if number >= oldest:
                with files.storage_errors(paths[number]), paths[number].open("rb") as file:
                    yield from split_lines(iter(partial(file.read, _CHUNK_BYTES), b""), chapter_start(number))

    def _find(self, records: Mapping[str, SignedRecord]) -> Iterator[tuple[str, _StoredFile]]:
        for path in _in_folders_of(self.path / "segments"):
            file = parse_name(path.name)
            if file is None or file.kind not in _STORED:
                continue
            signed = records.get(file.id)
            beside = signed or self._unproven.get(file.id)
            listed = _from_record(signed) if signed is not None else _from_header(path, file, beside)
            if listed is not None:
                yield file.id, _StoredFile(listed, path, signed, beside)


def _apply(lines: Sequence[SignedRecord], records: dict[str, SignedRecord]) -> None:
    """Adds and removes records as `lines` say. The first record of a segment stays."""
    for line in lines:
        match line.record:
            case SegmentRecord() | RecoveredRecord() as record:
                # A thief of the device's key could append a second record of a segment. The one that was there first
                # counts.
                records.setdefault(record.id, line)
            case EvictionRecord() as record:
                for gone in record.segments:
                    records.pop(gone, None)


def _described(lines: Sequence[SignedRecord]) -> Iterator[tuple[str, SignedRecord]]:
    """Yields the segments that `lines` describe, the last line first: in a `dict` the first one stays."""
    for line in reversed(lines):
        if isinstance(line.record, SegmentRecord | RecoveredRecord):
            yield line.record.id, line


def _in_folders_of(folder: Path) -> Iterator[Path]:
    for day in (folder / name for name in files.names_in(folder)):
        if files.is_folder(day):
            yield from (day / name for name in files.names_in(day))


def _from_record(signed: SignedRecord) -> ListedSegment | None:
    record = signed.record
    if not isinstance(record, SegmentRecord | RecoveredRecord):
        return None
    return ListedSegment(
        id=record.id,
        event=record.event,
        ordinal=record.ordinal,
        start_ms=record.span.start_ms,
        end_ms=record.span.end_ms,
        quality=record.quality,
        size_bytes=record.file.size,
        poster=record.poster_file is not None,
        whole=record.complete,
        sound=record.sound_file is not None,
    )


def _from_header(path: Path, file: VaultFile, beside: SignedRecord | None) -> ListedSegment | None:
    """Reads the header of a file without a record; None if the header is unreadable. `beside`: says if there are a
    poster and sound."""
    with files.storage_errors(path), path.open("rb") as opened:
        # Only the header: a copied disk may have thousands of files, each of megabytes.
        head = opened.read(_HEADER_BYTES)
        size_bytes = path.stat().st_size
    described = _from_record(beside) if beside is not None else None
    try:
        begin: Begin = begin_in(parse_header(head)[0])
    except (FormatError, OpenError):
        return None
    return ListedSegment(
        id=file.id,
        event=begin.event,
        ordinal=begin.ordinal,
        start_ms=begin.utc_ms,
        end_ms=begin.longest.end_ms,
        quality=ClockQuality.UNKNOWN,
        size_bytes=size_bytes,
        poster=described is not None and described.poster,
        whole=file.kind is FileKind.SEGMENT,
        sound=described is not None and described.sound,
    )
