"""The folder that `doorward vault export` writes, and its verification without the device.

It holds the sealed files, `records` (an excerpt of the manifest, `core.vault.excerpt`), and both public keys of the
device. The keys prove nothing alone: compare them with keys that you know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from agent.core.vault.excerpt import Cover, read_excerpt
from agent.core.vault.fields import FileKind, VaultFile
from agent.core.vault.manifest import split_lines
from agent.core.vault.records import RecoveredRecord, SealedFile, SegmentRecord, digest
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.wire.identities import MldsaPublicKey, PublicKey, parse_public_key

__all__ = ["DEVICE_KEY", "DEVICE_MLDSA", "RECORDS", "ExportReport", "verify_export"]

DEVICE_KEY: Final = "device.pub"
DEVICE_MLDSA: Final = "device.mldsa.pub"
RECORDS: Final = "records"
_KEY_BYTES: Final = 4096
_CHUNK_BYTES: Final = 1 << 18


@dataclass(slots=True)
class ExportReport:
    """The result of a verification. `sound` if nothing is wrong, and a second signature covers each record.

    A folder without a record is not sound: nothing of it was verified.
    """

    device: PublicKey
    mldsa: MldsaPublicKey
    segments: int = 0
    read_bytes: int = 0
    faults: list[str] = field(default_factory=list)
    """Lines of `records` that break a rule."""
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Names of files that no record names."""
    covered: Counter[Cover] = field(default_factory=Counter)
    """The number of segments by the second signature of their record."""
    exported_ms: int | None = None
    """The time of the second signature that was made at the export, if there is one."""

    @property
    def sound(self) -> bool:
        wrong = self.faults or self.missing or self.damaged or self.unknown or self.covered[Cover.NONE]
        return self.segments > 0 and not wrong


def verify_export(folder: Path) -> ExportReport:
    """Compares each file with its record, and each record with both signatures.

    Raises `ConfigurationError` if a key of the device is missing or damaged, and `StorageError`.
    """
    try:
        device = parse_public_key(_one_line(folder / DEVICE_KEY))
        mldsa = MldsaPublicKey.parse(_one_line(folder / DEVICE_MLDSA))
    except (FormatError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{folder} has no readable keys of a device.", remedy="Name a folder of `doorward vault export`."
        ) from error
    found = read_excerpt(_lines(folder / RECORDS), device, mldsa)
    report = ExportReport(device, mldsa, faults=[str(fault) for fault in found.faults], exported_ms=found.exported_ms)
    # A covered record has precedence over one that a forger of Ed25519 can have added.
    records: dict[str, tuple[SegmentRecord | RecoveredRecord, Cover]] = {}
    for one in sorted(found.records, key=lambda each: each.cover is Cover.NONE):
        if isinstance(one.signed.record, SegmentRecord | RecoveredRecord):
            records.setdefault(one.signed.record.id, (one.signed.record, one.cover))
    named = {DEVICE_KEY, DEVICE_MLDSA, RECORDS}
    for record, _ in records.values():
        for file, sealed in _files(record):
            named.add(file.name)
            _compare(folder / file.name, sealed, report)
    report.unknown += (name for name in sorted(files.names_in(folder)) if name not in named)
    report.segments = len(records)
    report.covered = Counter(cover for _, cover in records.values())
    return report


def _one_line(path: Path) -> str:
    """Returns the only line of a file. Returns "", which the parsers of keys refuse, for a file of another form."""
    line, feed, rest = files.read(path, _KEY_BYTES).decode().partition("\n")
    return line if feed and not rest else ""


def _lines(path: Path) -> Iterator[bytes]:
    with files.storage_errors(path), path.open("rb") as file:
        for raw in split_lines(iter(partial(file.read, _CHUNK_BYTES), b"")):
            # A line that lacks its line feed was cut off. As "" it is a fault, even if the rest is valid.
            yield raw.data if raw.whole else b""


def _files(record: SegmentRecord | RecoveredRecord) -> Iterator[tuple[VaultFile, SealedFile]]:
    yield VaultFile(record.id, FileKind.SEGMENT if record.complete else FileKind.CUT), record.file
    if record.poster_file is not None:
        yield VaultFile(record.id, FileKind.POSTER), record.poster_file
    if record.sound_file is not None:
        yield VaultFile(record.id, FileKind.SOUND), record.sound_file


def _compare(path: Path, sealed: SealedFile, report: ExportReport) -> None:
    if not files.is_file(path):
        report.missing.append(path.name)
        return
    with files.storage_errors(path), path.open("rb") as file:
        found = digest(iter(partial(file.read, _CHUNK_BYTES), b""), sealed.header_size)
    report.read_bytes += found.size
    if found != sealed:
        report.damaged.append(path.name)
