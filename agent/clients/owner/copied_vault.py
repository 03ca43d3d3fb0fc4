"""Reads the vault of a stolen or broken device from a copy of its state directory or its card.

Records come from the manifest. If a file has no record yet (`.part`, or whole), it is listed from the begin stanza in
its header. If this machine knows the device's key, every record is verified. Without the key (for example, on a
borrowed machine with only the recovery page) segments still open, and `signed` is False.

A line that must have a second signature (`core.vault.second_signatures`), lacks it and is not covered by a later one is
no record: a forger of Ed25519 may have made it. Its segment is listed as a file without a record.
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
    split_lines,
)
from agent.core.vault.names import FileKind, VaultFile, parse_name
from agent.core.vault.records import BootRecord, Chapter, EvictionRecord, RecoveredRecord, SegmentRecord
from agent.core.vault.segment import Begin, begin_in
from agent.core.vault.signed_once import SignedOnce
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.platform import files
from agent.wire.identities import PublicKey
from agent.wire.mldsa import MldsaPublicKey

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
        if stored.record is None:
            raise FormatError(f"The device recorded no poster for segment {segment}.")
        name = VaultFile(segment, FileKind.POSTER)
        data = files.read(self.path / "segments" / name.shard / name.name, _LARGEST_BYTES)
        return open_poster(stored.record, data, identities, device=self.device)

    def sound(self, segment: str, identities: Sequence[AgeIdentity]) -> bytes:
        stored = self._get(segment)
        if stored.record is None:
            raise FormatError(f"The device recorded no sound for segment {segment}.")
        name = VaultFile(segment, FileKind.SOUND)
        data = files.read(self.path / "segments" / name.shard / name.name, _LARGEST_BYTES)
        return open_sound(stored.record, data, identities, device=self.device)

    def _get(self, segment: str) -> _StoredFile:
        stored = self._stored.get(segment)
        if stored is None:
            raise ConfigurationError(
                f"Segment {segment} is not in {self.path}.", remedy="List the segments with --list."
            )
        return stored

    def _records(self, keys: Mapping[str, PublicKey], seconds: Mapping[str, MldsaPublicKey]) -> dict[str, SignedRecord]:
        """Returns the manifest's records of the segments that are still stored, by id."""
        said = (step.signed.record for step in follow(self._lines()) if step.signed is not None)
        first = next((record for record in said if isinstance(record, BootRecord | Chapter)), None)
        self.device = first.device if first is not None else ""
        key, mldsa = keys.get(self.device), seconds.get(self.device)
        self.signed = key is not None
        self.unknown_mldsa = first.device_mldsa if first is not None and self.signed and mldsa is None else ""
        once, doubtful = SignedOnce(), dict[str, SignedRecord]()
        records: dict[str, SignedRecord] = {}
        oldest, paths = self._chapters()
        faults = list(missing_chapters(oldest, paths))
        for step in follow(self._lines(), key=key, mldsa=mldsa):
            once.add(step)
            if step.fault is not None:
                faults.append(step.fault)
            if step.signed is None or (key is not None and not step.signed.signed_by(key)):
                continue
            match step.signed.record:
                case SegmentRecord() | RecoveredRecord() as record:
                    # The first record of a segment stays, so that no line that was added at the end takes its place.
                    (doubtful if step.refused else records).setdefault(record.id, step.signed)
                case EvictionRecord() as record:
                    for gone in record.segments:
                        records.pop(gone, None)
        records = {name: line for name, line in doubtful.items() if name not in once.segments} | records
        self.faults: tuple[ChainFault, ...] = tuple(faults)
        self.signed_once = once.segments & records.keys() if self.signed else frozenset()
        return records

    def _chapters(self) -> tuple[int, dict[int, Path]]:
        """The oldest chapter that is needed, and the files of all that are there."""
        found = (self.path / name for name in files.names_in(self.path))
        named = ((chapter_number(path.name), path) for path in found if files.is_file(path))
        paths = {number: path for number, path in named if number is not None}
        stated = (self._oldest(number, paths[number]) for number in sorted(paths, reverse=True))
        return next((oldest for oldest in stated if oldest is not None), 0), paths

    def _lines(self) -> Iterator[RawLine]:
        """Yields the lines of all needed chapters in bounded memory, because an attacker may have written the disk."""
        oldest, paths = self._chapters()
        for number in sorted(paths):
            if number >= oldest:
                with files.storage_errors(paths[number]), paths[number].open("rb") as file:
                    yield from split_lines(iter(partial(file.read, _CHUNK_BYTES), b""), chapter_start(number))

    @staticmethod
    def _oldest(number: int, path: Path) -> int | None:
        with files.storage_errors(path), path.open("rb") as file:
            return oldest_stated(number, file.readline(LONGEST_LINE_BYTES + 1).removesuffix(b"\n"))

    def _find(self, records: Mapping[str, SignedRecord]) -> Iterator[tuple[str, _StoredFile]]:
        for path in _in_folders_of(self.path / "segments"):
            file = parse_name(path.name)
            if file is None or file.kind not in _STORED:
                continue
            signed = records.get(file.id)
            listed = _from_record(signed) if signed is not None else _from_header(path, file)
            if listed is not None:
                yield file.id, _StoredFile(listed, path, signed)


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


def _from_header(path: Path, file: VaultFile) -> ListedSegment | None:
    """Reads the header of a file without a record; None if the header is unreadable."""
    with files.storage_errors(path), path.open("rb") as opened:
        head = opened.read(_HEADER_BYTES)
        size_bytes = path.stat().st_size
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
        poster=False,
        whole=file.kind is FileKind.SEGMENT,
    )
