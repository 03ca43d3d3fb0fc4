"""Opens what a device sealed, and holds it against what the device signed about it at capture.

- The bytes are the signed ones, header and payload apart: a segment cannot be swapped for another.
- What the segment says of itself *inside* its seal (device, id, event, time, hash of the media) is what the record says
  outside.  A device altered later can sign new records, but it cannot open old footage: so it cannot put old footage
  under a new record, and approving segment A never hands over the key of segment B.
- A segment that a power cut left without its end has no such inside.  It is opened as far as it is authentic; what
  binds it to its record is the begin stanza in its header, which nobody without the file key can change.

Source: FORMAT.md; `core.disclosure.agree`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

from agent.core.disclosure import agree, agree_sound
from agent.core.vault.age.header import parse_header, split
from agent.core.vault.age.opening import Identity, VerifiedPrefix, open_bytes
from agent.core.vault.digest import digest
from agent.core.vault.manifest import SignedRecord
from agent.core.vault.records import Adopted, Sealed, Segment
from agent.core.vault.segment import Begin, Context, begin_in, split_media
from agent.errors import FormatError, OpenError
from agent.media.fmp4 import whole_fragments

__all__ = ["OpenedSegment", "open_captured", "open_poster", "open_sound", "open_unrecorded"]

_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class OpenedSegment:
    """`media` plays by itself.  `context` and `record` are what it says inside and what the device signed outside.

    When its end is missing (`whole` False) `media` stops at the last whole fragment, `context` is None, and the file is
    authentic up to byte `verified_bytes`.  `record` is None for a file that a dead device had not recorded yet.
    """

    id: str
    media: bytes
    context: Context | None
    record: SignedRecord | None
    whole: bool
    verified_bytes: int


def open_captured(signed: SignedRecord, data: bytes, identities: Sequence[Identity], *, device: str) -> OpenedSegment:
    """The segment in the age file `data`.  `signed`: its record, the signature checked before; `device`: key id.

    Raises `OpenError` for other bytes than the signed ones and for keys that do not fit, `FormatError` when inside and
    outside do not agree.
    """
    record = signed.record
    if not isinstance(record, Segment | Adopted):
        raise FormatError("This manifest record is not about a segment.")
    _require_signed_bytes(record.file, data, f"segment {record.id}")
    if isinstance(record, Segment):
        media, context = split_media(open_bytes(data, identities))
        agree(record, context, device=device)
        return OpenedSegment(record.id, media, context, signed, whole=True, verified_bytes=len(data))
    opened = open_unrecorded(data, identities)
    if _begin_of(data) != record.begin:
        raise FormatError(f"Segment {record.id} began otherwise than the device signed when it found it.")
    _require_of_device(opened, device)
    return OpenedSegment(
        record.id, opened.media, opened.context, signed, whole=opened.whole, verified_bytes=opened.verified_bytes
    )


def open_unrecorded(data: bytes, identities: Sequence[Identity]) -> OpenedSegment:
    """As much as is authentic of a file that nobody saw end: `.cut`, `.part`, or whole and without a record."""
    begin = _begin_of(data)
    prefix = VerifiedPrefix(io.BytesIO(data), identities)
    plaintext = b"".join(prefix)
    if not prefix.complete:
        media = whole_fragments(plaintext)
        return OpenedSegment(begin.segment, media, None, None, whole=False, verified_bytes=prefix.verified_bytes)
    media, context = split_media(plaintext)
    span = context.span
    if (context.segment, context.event, context.ordinal, span.boot, span.start_us) != (
        begin.segment, begin.event, begin.ordinal, begin.boot, begin.start_us,
    ):  # fmt: skip
        raise FormatError(f"Segment {begin.segment} says at its end that it is another than at its beginning.")
    return OpenedSegment(begin.segment, media, context, None, whole=True, verified_bytes=len(data))


def open_poster(signed: SignedRecord, data: bytes, identities: Sequence[Identity]) -> bytes:
    """The JPEG of the clip that begins with this segment.  Raises as `open_captured` does."""
    record = signed.record
    file = record.poster_file if isinstance(record, Segment | Adopted) else None
    if file is None or not isinstance(record, Segment | Adopted):
        raise FormatError("The device signed no poster for this segment.")
    _require_signed_bytes(file, data, f"the poster of segment {record.id}")
    image = open_bytes(data, identities)
    signed_image = record.poster.sha256_image if isinstance(record, Segment) and record.poster else None
    if signed_image not in (None, hashlib.sha256(image).hexdigest()):
        raise FormatError(f"The poster of segment {record.id} is not the picture that the device signed.")
    if not image.startswith(_JPEG):
        raise FormatError(f"The poster of segment {record.id} is not a JPEG.")
    return image


def open_sound(signed: SignedRecord, data: bytes, identities: Sequence[Identity], *, device: str) -> bytes:
    """What was heard during this segment: an MP4 of one track, whose instant 0 is the segment's.  Raises likewise."""
    record = signed.record
    file = record.sound_file if isinstance(record, Segment | Adopted) else None
    if file is None or not isinstance(record, Segment | Adopted):
        raise FormatError("The device signed no sound for this segment.")
    _require_signed_bytes(file, data, f"the sound of segment {record.id}")
    track, context = split_media(open_bytes(data, identities))
    agree_sound(record, context, device=device)
    return track


def _require_signed_bytes(file: Sealed, data: bytes, what: str) -> None:
    try:
        same = digest((data,), split(data)) == file
    except FormatError:
        same = False
    if not same:
        raise OpenError(
            f"The bytes handed over for {what} are not the ones the device signed at capture.",
            remedy="They are damaged or exchanged: 'doorward vault verify' on the device says more.",
        )


def _begin_of(data: bytes) -> Begin:
    return begin_in(parse_header(data)[0])


def _require_of_device(opened: OpenedSegment, device: str) -> None:
    if opened.context is not None and opened.context.device != device:
        raise FormatError(f"Segment {opened.id} was recorded by another device.")
