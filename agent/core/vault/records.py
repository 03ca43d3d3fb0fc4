"""The records of the manifest, as frozen values: segment, recovered, evicted, gap, coverage, ring, clock-sync, boot,
chapter.

`FileDigest` makes the part that names a file: it hashes an age file while it is written or read, header and payload
separately, each byte once.

Source: FORMAT.md, "Manifest", also `file`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from agent.core.timebase import ClockQuality
from agent.core.vault.fields import SegmentId, Sha256, Size, Stamp, TimeSpan, bounded
from agent.core.vault.segment import Begin, DeviceId, Label
from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.identities import MLDSA_KEY_CHARACTERS, MldsaPublicKey

__all__ = [
    "CONTINUOUS",
    "MOST_EVICTED",
    "BootRecord",
    "Carried",
    "Chapter",
    "ClockSync",
    "CoverageRecord",
    "EvictionReason",
    "EvictionRecord",
    "FileDigest",
    "GapReason",
    "GapRecord",
    "PosterRecord",
    "Record",
    "RecoveredRecord",
    "RingRecord",
    "SealedFile",
    "SegmentRecord",
    "SoundGapReason",
    "SoundRecord",
    "StoredRecord",
    "digest",
]

MOST_EVICTED: Final = 64
"""Segments named by one tombstone. It is one line, so a power cut leaves all of them or none."""


MOST_CARRIED_BYTES: Final = 64 << 20
MldsaKeyText = Annotated[str, msgspec.Meta(max_length=MLDSA_KEY_CHARACTERS)]
ChapterNumber = Annotated[int, msgspec.Meta(ge=0, lt=1 << 20)]


CONTINUOUS: Final = "continuous"
"""The label of segments recorded between events. They have a separate budget and are evicted first."""


class SealedFile(strictjson.Message, frozen=True, kw_only=True):
    """One age file, as bytes on the disk.

    Header and payload have separate hashes because a disclosure replaces the header: a requester ties the received
    payload to this record by `sha256_payload`. The two hashes together cover every byte, so each byte is hashed once.
    """

    size: Annotated[int, msgspec.Meta(ge=1)]
    header_size: Annotated[int, msgspec.Meta(ge=1)]
    sha256_header: Sha256
    sha256_payload: Sha256

    def __post_init__(self) -> None:
        if self.header_size > self.size:
            raise FormatError("A sealed file is shorter than its header.")


class PosterRecord(strictjson.Message, frozen=True, kw_only=True):
    """The clip's still: a separate age file, named after the clip's first segment."""

    file: SealedFile
    key: Sha256
    """The file key's commitment (`core.vault.commitment`)."""


class SoundRecord(strictjson.Message, frozen=True, kw_only=True):
    """The sound of a segment: a separate age file, so that the pictures can be shared alone."""

    file: SealedFile
    key: Sha256
    """The file key's commitment."""


class SoundGapReason(enum.Enum):
    """The reason why a segment lacks some or all sound on a device that was told to listen."""

    MICROPHONE = "microphone absent"


class SegmentRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="segment"):
    """A whole segment that this device saw to its end. `epoch` numbers the recipients it is sealed to."""

    id: SegmentId
    event: SegmentId
    ordinal: Size
    span: TimeSpan
    epoch: Size
    file: SealedFile
    key: Sha256
    """The file key's commitment. With `file` it fixes the plaintext, although the record holds only hashes of sealed
    bytes."""
    poster: PosterRecord | None = None
    label: Label | None = None
    sound: SoundRecord | None = None
    silence: SoundGapReason | None = None
    """Set if sound was wanted and some of it is missing."""
    prev_in_clip: Sha256 | None = None
    """A hash of all records before it in its clip (`core.vault.following`). A record without it proves less."""

    def __post_init__(self) -> None:
        bounded(self.span)

    @property
    def label_text(self) -> str:
        return self.label or ""

    @property
    def complete(self) -> bool:
        return True

    @property
    def poster_file(self) -> SealedFile | None:
        return self.poster.file if self.poster else None

    @property
    def sound_file(self) -> SealedFile | None:
        return self.sound.file if self.sound else None

    @property
    def quality(self) -> ClockQuality:
        return self.span.quality


class RecoveredRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="recovered"):
    """An unrecorded file that was found at start. It is kept, although the device missed its end.

    `complete` is whether it had its final name. If not, its tail may be missing, and only an owner's client can tell.
    Its span is an upper bound, so it never makes a match certain.
    """

    begin: Begin
    complete: bool
    file: SealedFile
    poster_file: SealedFile | None = None
    sound_file: SealedFile | None = None
    at: Stamp

    @property
    def id(self) -> SegmentId:
        return self.begin.segment

    @property
    def event(self) -> SegmentId:
        return self.begin.event

    @property
    def ordinal(self) -> int:
        return self.begin.ordinal

    @property
    def label_text(self) -> str:
        return self.begin.label or ""

    @property
    def span(self) -> TimeSpan:
        return self.begin.longest

    @property
    def quality(self) -> ClockQuality:
        return ClockQuality.UNKNOWN


class EvictionReason(enum.Enum):
    """The reason why segments are gone."""

    BYTES = "bytes"
    AGE = "age"
    FLOOR = "floor"
    MISSING = "missing"
    """Found missing at start: another program removed them."""
    OWNER = "owner"
    """An owner deleted them."""
    RECORDING = "recording"
    """Held for a request, but evicted because only held segments were left and recording would have stopped."""


class EvictionRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="evicted"):
    """A tombstone: durable before the first of these files is unlinked."""

    segments: Annotated[tuple[SegmentId, ...], msgspec.Meta(min_length=1, max_length=MOST_EVICTED)]
    reason: EvictionReason
    at: Stamp


class GapReason(enum.Enum):
    """The reason why a stretch of time lacks footage."""

    OFF = "switched off"
    PRIVACY = "privacy switch"
    CAMERA_LOST = "camera lost"
    COVERED = "camera covered"
    STORAGE = "storage failed"


class GapRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="gap"):
    """A span without footage, of any length, and the reason."""

    reason: GapReason
    span: TimeSpan


class CoverageRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="coverage"):
    """A camera delivered pictures all through this span. Parts outside segments and gaps held no event."""

    span: TimeSpan


class RingRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="ring"):
    """A person pressed the button at this instant, also if no camera could show it."""

    at: Stamp


class ClockSync(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="clock-sync"):
    """The wall clock became better known. The record dates earlier footage of this boot, by the boot clock between."""

    at: Stamp


class BootRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="boot"):
    """The first record of a boot.  Between it and the last record before it the device was off."""

    device: DeviceId
    device_mldsa: MldsaKeyText
    """The device's ML-DSA-44 key in base64, which makes the second signatures (`core.vault.hash_chain`)."""
    epoch: Size
    at: Stamp

    def __post_init__(self) -> None:
        MldsaPublicKey.parse(self.device_mldsa)


class Carried(strictjson.Message, frozen=True, kw_only=True):
    """The lines after a chapter's first: copies from chapters that were deleted when this one was opened."""

    size: Annotated[int, msgspec.Meta(ge=1, le=MOST_CARRIED_BYTES)]
    """In bytes, with the line feeds."""
    root: Sha256
    """The root of the Merkle tree over the lines (`core.ledger.merkle`)."""


class Chapter(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="chapter"):
    """The first record of every chapter file except `manifest.0`.

    The chapters below `oldest` are obsolete. The writer deletes them once this record is durable.
    """

    number: ChapterNumber
    oldest: ChapterNumber
    device: DeviceId
    device_mldsa: MldsaKeyText
    """As in `BootRecord`."""
    at: Stamp
    carried: Carried | None = None

    def __post_init__(self) -> None:
        if not self.number or self.oldest > self.number:
            raise FormatError("A chapter must have a number above 0, and its `oldest` must be at most that number.")
        MldsaPublicKey.parse(self.device_mldsa)


StoredRecord = SegmentRecord | RecoveredRecord
Record = (
    SegmentRecord
    | RecoveredRecord
    | EvictionRecord
    | GapRecord
    | CoverageRecord
    | RingRecord
    | ClockSync
    | BootRecord
    | Chapter
)


class FileDigest:
    """Pass it the header, then the payload in pieces, then call `sealed()`."""

    def __init__(self, header: bytes) -> None:
        self._header_size = self._size = len(header)
        self._header = hashlib.sha256(header)
        self._payload = hashlib.sha256()

    def update(self, payload: bytes) -> None:
        self._size += len(payload)
        self._payload.update(payload)

    def sealed(self) -> SealedFile:
        """Returns the sizes and hashes of the bytes until now, as the manifest states them."""
        return SealedFile(
            size=self._size,
            header_size=self._header_size,
            sha256_header=self._header.hexdigest(),
            sha256_payload=self._payload.hexdigest(),
        )


def digest(chunks: Iterable[bytes], header_size: int) -> SealedFile:
    """Returns the sizes and hashes of the file that `chunks` make. Its first `header_size` bytes are the header."""
    header = b""
    whole: FileDigest | None = None
    for chunk in chunks:
        if whole is not None:
            whole.update(chunk)
            continue
        header += chunk
        if len(header) >= header_size:
            whole = FileDigest(header[:header_size])
            whole.update(header[header_size:])
    return (whole or FileDigest(header)).sealed()
