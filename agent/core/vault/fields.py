"""The small types that records of the vault are made of: ids of segments, names of files, and times.

- A segment's id is 16 random bytes in lowercase base32. The manifest alone gives the order.
- The name of a file is its whole state: only a complete file has a final name (FORMAT.md, invariant 1).
- Every event has two times: boot clock in µs for order, UTC in ms for people. Duration comes from the boot clock alone.
  The UTC of the end is the UTC of the start plus that duration. If the wall clock is stepped while a segment is
  written, its length and order therefore stay the same.

Source: RFC 4648 section 6; FORMAT.md, "Files".
"""

from __future__ import annotations

import base64
import enum
import re
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from agent.core.timebase import NS_PER_MS, ClockQuality, ClockReading
from agent.errors import FormatError, InternalError
from agent.wire import strictjson

__all__ = [
    "ID_BYTES",
    "ID_PATTERN",
    "LONGEST_SEGMENT_US",
    "PARTS",
    "RANK",
    "SHARDS",
    "BootId",
    "FileKind",
    "SegmentId",
    "Sha256",
    "Size",
    "Stamp",
    "TimeSpan",
    "UtcMs",
    "VaultFile",
    "bounded",
    "parse_name",
    "segment_id",
    "span_between",
    "stamp",
]

ID_BYTES: Final = 16
ID_PATTERN: Final = r"[a-z2-7]{25}[aeimquy4]"
"""128 bits are 25 digits of five bits and one of three, so the last digit has eight spellings instead of 32."""

SegmentId = Annotated[str, msgspec.Meta(pattern=rf"\A{ID_PATTERN}\Z")]

SHARDS: Final = "abcdefghijklmnopqrstuvwxyz234567"
"""Directories below `segments/`: the first digit of the id. Set-up makes them, to spare the commits."""


def segment_id(token: bytes) -> SegmentId:
    """Returns the id made of 16 unpredictable bytes."""
    if len(token) != ID_BYTES:
        raise InternalError(f"A segment id needs {ID_BYTES} bytes, and this token has {len(token)}.")
    return base64.b32encode(token).decode("ascii").rstrip("=").lower()


class FileKind(enum.Enum):
    """The kind of a file in the vault. The value is the end of its name."""

    SEGMENT = ".age"
    """A whole segment."""
    POSTER = ".poster.age"
    """The still of the clip that begins with this segment."""
    PART = ".part"
    """A segment that is being written, or was cut off."""
    POSTER_PART = ".poster.part"
    SOUND = ".sound.age"
    """The sound recorded during this segment."""
    SOUND_PART = ".sound.part"
    CUT = ".cut"
    """A `PART` found at start: an age file that may lack its tail, kept and recorded."""


PARTS: Final = (FileKind.PART, FileKind.POSTER_PART, FileKind.SOUND_PART)
"""Files that are being written, or were cut off."""


@dataclass(frozen=True, slots=True)
class VaultFile:
    """One file, by meaning. Adapters turn it into a path."""

    id: SegmentId
    kind: FileKind

    @property
    def shard(self) -> str:
        return self.id[0]

    @property
    def name(self) -> str:
        return self.id + self.kind.value


_NAME: Final = re.compile(rf"({ID_PATTERN})((?:\.poster|\.sound)?\.(?:age|part)|\.cut)")


def parse_name(name: str) -> VaultFile | None:
    """Returns the file that `name` means, or None for a name that the vault never writes."""
    found = _NAME.fullmatch(name)
    return VaultFile(found[1], FileKind(found[2])) if found else None


LONGEST_SEGMENT_US: Final = 3_600_000_000
"""The longest segment that the format allows. One that waits for a keyframe is longer than the target of an owner. The
index relies on it: a segment that overlaps a window starts at most this long before it."""

BootId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Size = Annotated[int, msgspec.Meta(ge=0)]
_FARTHEST_UTC_MS: Final = 2**45
"""The years 855 to 3084, more than any clock of 64 bits in ns can say, so that every reader's calendar has the date."""
UtcMs = Annotated[int, msgspec.Meta(ge=-_FARTHEST_UTC_MS, le=_FARTHEST_UTC_MS)]

_US_PER_MS: Final = 1000
_NS_PER_US: Final = 1000
RANK: Final = (ClockQuality.UNKNOWN, ClockQuality.HELD, ClockQuality.SYNCED)
"""Clock qualities, the worst first."""


class Stamp(strictjson.Message, frozen=True, kw_only=True):
    """One instant: `at_us` on the clock of `boot`, and `utc_ms` with its `quality`."""

    boot: BootId
    at_us: Size
    utc_ms: UtcMs
    quality: ClockQuality

    def utc_of_ms(self, boot_us: int) -> int:
        """Returns the wall clock, in ms, at the instant `boot_us` of the same boot."""
        return self.utc_ms + (boot_us - self.at_us) // _US_PER_MS


class TimeSpan(strictjson.Message, frozen=True, kw_only=True):
    """From `start_us` up to `end_us` of `boot`; `utc_ms` and `quality` are the start's."""

    boot: BootId
    start_us: Size
    end_us: Size
    utc_ms: UtcMs
    quality: ClockQuality

    def __post_init__(self) -> None:
        if self.end_us < self.start_us:
            raise FormatError("A span ends before it starts.")

    @property
    def start_ms(self) -> int:
        return self.utc_ms

    @property
    def end_ms(self) -> int:
        """UTC of the end, rounded up, so that a span is never empty or shorter than the footage."""
        # The numerator is negative, and `//` rounds down, so the end is rounded up.
        return self.utc_ms - (self.start_us - self.end_us) // _US_PER_MS

    @property
    def duration_us(self) -> int:
        return self.end_us - self.start_us


def stamp(boot: str, at: ClockReading) -> Stamp:
    return Stamp(boot=boot, at_us=at.boot_ns // _NS_PER_US, utc_ms=at.utc_ns // NS_PER_MS, quality=at.quality)


def span_between(boot: str, start: ClockReading, end: ClockReading) -> TimeSpan:
    """Returns the span from `start` to `end`, dated by the better of the two clock readings.

    If the clock became good in between, it dates the start as well: the same boot clock counts the distance.
    """
    dated = start if RANK.index(start.quality) >= RANK.index(end.quality) else end.at(start.boot_ns)
    return TimeSpan(
        boot=boot,
        start_us=start.boot_ns // _NS_PER_US,
        end_us=end.boot_ns // _NS_PER_US,
        utc_ms=dated.utc_ns // NS_PER_MS,
        quality=dated.quality,
    )


def bounded(span: TimeSpan) -> TimeSpan:
    """Returns `span` if a segment may be that long. Raises `FormatError` if not."""
    if span.duration_us > LONGEST_SEGMENT_US:
        raise FormatError(f"A segment of {span.duration_us} µs is longer than the format allows.")
    return span
