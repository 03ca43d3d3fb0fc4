"""The ids of segments, and the names of their files.

- A segment's id is 16 random bytes in lowercase base32. The manifest alone gives the order.
- The name of a file is its whole state: only a complete file has a final name (FORMAT.md, invariant 1).

Source: RFC 4648 section 6; FORMAT.md, "Files".
"""

from __future__ import annotations

import base64
import enum
import re
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from agent.errors import InternalError

__all__ = [
    "ID_BYTES",
    "ID_PATTERN",
    "PARTS",
    "SHARDS",
    "FileKind",
    "SegmentId",
    "VaultFile",
    "parse_name",
    "segment_id",
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
