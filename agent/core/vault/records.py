"""What a manifest can say, as frozen values: segment, adopted, evicted, gap, watching, anchor, boot, chapter.

Source: FORMAT.md, "Manifest".
"""

from __future__ import annotations

import enum
from typing import Annotated, Final

import msgspec

from agent.core.timebase import ClockQuality
from agent.core.vault.names import SegmentId
from agent.core.vault.segment import Begin, DeviceId, Label
from agent.core.vault.spans import Sha256, Size, Stamp, TimeSpan, bounded
from agent.errors import FormatError
from agent.wire import strictjson

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
    "GapReason",
    "GapRecord",
    "PosterRecord",
    "Record",
    "RecoveredRecord",
    "SealedFile",
    "SegmentRecord",
    "SoundGapReason",
    "SoundRecord",
    "StoredRecord",
]

MOST_EVICTED: Final = 64
"""Segments named by one tombstone; one line, so a cut leaves all of them or none."""


MOST_CARRIED_BYTES: Final = 64 << 20
ChapterNumber = Annotated[int, msgspec.Meta(ge=0, lt=1 << 20)]


CONTINUOUS: Final = "continuous"
"""The label of segments recorded though nothing happened: they have a budget of their own, and go first."""


class SealedFile(strictjson.Message, frozen=True, kw_only=True):
    """One age file, as bytes on the disk.

    The hashes of header and payload stand apart because a disclosure replaces the header: who received the payload ties
    it to this record by `sha256_payload`.  Both together cover every byte, so each is hashed once.
    """

    size: Annotated[int, msgspec.Meta(ge=1)]
    header_size: Annotated[int, msgspec.Meta(ge=1)]
    sha256_header: Sha256
    sha256_payload: Sha256

    def __post_init__(self) -> None:
        if self.header_size > self.size:
            raise FormatError("A sealed file is shorter than its header.")


class PosterRecord(strictjson.Message, frozen=True, kw_only=True):
    """The clip's still: its own age file, named after the clip's first segment."""

    file: SealedFile
    key: Sha256
    """The file key's commitment (`core.vault.commitment`)."""


class SoundRecord(strictjson.Message, frozen=True, kw_only=True):
    """What was heard during a segment: its own age file, so that the pictures can be handed over without it."""

    file: SealedFile
    key: Sha256
    """The file key's commitment."""


class SoundGapReason(enum.Enum):
    """Why a segment has no sound, or not all of it, on a device that was told to listen."""

    MICROPHONE = "microphone absent"


class SegmentRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="segment"):
    """A whole segment, written under this device's eyes.  `epoch` numbers the recipients it is sealed to."""

    id: SegmentId
    event: SegmentId
    ordinal: Size
    span: TimeSpan
    epoch: Size
    file: SealedFile
    key: Sha256
    """The file key's commitment: what the file opens to is fixed by this and `file`, and nothing here hashes it."""
    poster: PosterRecord | None = None
    label: Label | None = None
    sound: SoundRecord | None = None
    silence: SoundGapReason | None = None
    """Given where sound was wanted and some of it is missing."""
    prev_in_clip: Sha256 | None = None
    """A hash of all that stands before it in its clip (`core.vault.following`); None in records of earlier versions."""

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
    """A file found at start without a record: kept, but nobody saw it end.

    `complete` is whether it bore its final name; if not, its tail may be missing and only an owner's client can tell.
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
    """Why segments are gone."""

    BYTES = "bytes"
    AGE = "age"
    FLOOR = "floor"
    MISSING = "missing"
    """Found missing at start: not by us."""
    OWNER = "owner"
    """An owner deleted them."""
    UNWANTED = "unwanted"
    """The owner asked for it (`clips.keep`): an opinion saw nothing in the event that they want to keep."""
    RECORDING = "recording"
    """Held for a request, and let go all the same: nothing else was left, and recording would have stopped."""


class EvictionRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="evicted"):
    """A tombstone: durable before the first of these files is unlinked."""

    segments: Annotated[tuple[SegmentId, ...], msgspec.Meta(min_length=1, max_length=MOST_EVICTED)]
    reason: EvictionReason
    at: Stamp


class GapReason(enum.Enum):
    """Why there is no footage though there was time."""

    OFF = "switched off"
    PRIVACY = "privacy switch"
    CAMERA_LOST = "camera lost"
    COVERED = "camera covered"
    STORAGE = "storage failed"


class GapRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="gap"):
    """A span without footage, and why.  It may be of any length."""

    reason: GapReason
    span: TimeSpan


class CoverageRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="coverage"):
    """A camera delivered pictures all through this span: where it holds neither segment nor gap, nothing happened."""

    span: TimeSpan


class ClockSync(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="clock-sync"):
    """The wall clock became better known: it dates what this boot recorded before, by the boot clock between."""

    at: Stamp


class BootRecord(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="boot"):
    """The first record of a boot.  Between it and the last record before it the device was off."""

    device: DeviceId
    epoch: Size
    at: Stamp


class Carried(strictjson.Message, frozen=True, kw_only=True):
    """The lines that stand behind a chapter's first: copies from chapters that were deleted when it was opened."""

    size: Annotated[int, msgspec.Meta(ge=1, le=MOST_CARRIED_BYTES)]
    """With their line feeds."""
    sha256: Sha256


class Chapter(strictjson.Message, frozen=True, kw_only=True, tag_field="kind", tag="chapter"):
    """The first record of a file of the manifest, of every one but the very first.

    The chapters below `oldest` are not needed any more, and were deleted when this one was durable.
    """

    number: ChapterNumber
    oldest: ChapterNumber
    device: DeviceId
    at: Stamp
    carried: Carried | None = None

    def __post_init__(self) -> None:
        if not self.number or self.oldest > self.number:
            raise FormatError("A chapter has a number above 0, and the oldest one is no later than it.")


StoredRecord = SegmentRecord | RecoveredRecord
Record = (
    SegmentRecord | RecoveredRecord | EvictionRecord | GapRecord | CoverageRecord | ClockSync | BootRecord | Chapter
)
