"""Opens what a device sealed, and holds it against what the device signed about it at capture.

- The bytes are the signed ones, header and payload apart: a segment cannot be swapped for another.
- What each file (pictures, poster, sound) says of itself *inside* its seal is what the record says outside: which of
  the three it is, device, id, event, time.  A device altered later can sign new records, but it cannot open old
  footage: so it cannot put old footage under a new record, and approving segment A never hands over a key of segment B.
- The key that opens it is the one its record commits to, or a requester would refuse what is handed over.
- A segment that a power cut left without its end has no such inside.  It is opened as far as it is authentic; what
  binds it to its record is the begin stanza in its header, which nobody without the file key can change.

Source: FORMAT.md; `core.disclosure.agree`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from agent.clients.opening import Identity, VerifiedPrefix
from agent.clients.opening.committed import open_committed
from agent.core.disclosure import agree
from agent.core.vault.age.header import parse_header, split
from agent.core.vault.digest import digest
from agent.core.vault.manifest import SignedRecord
from agent.core.vault.records import RecoveredRecord, SealedFile, SegmentRecord, StoredRecord
from agent.core.vault.segment import Begin, Content, Context, begin_in, split_media, split_poster
from agent.errors import FormatError, OpenError
from agent.media.fmp4 import whole_fragments

__all__ = ["OpenedPoster", "OpenedSegment", "open_captured", "open_poster", "open_sound", "open_unrecorded"]

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


@dataclass(frozen=True, slots=True)
class OpenedPoster:
    """A clip's still: the JPEG as it was made, and what it says of itself."""

    image: bytes
    context: Context


def open_captured(signed: SignedRecord, data: bytes, identities: Sequence[Identity], *, device: str) -> OpenedSegment:
    """The segment in the age file `data`.  `signed`: its record, the signature checked before; `device`: key id.

    Raises `OpenError` for other bytes than the signed ones and for keys that do not fit, `FormatError` when inside and
    outside do not agree.
    """
    record = signed.record
    if not isinstance(record, SegmentRecord | RecoveredRecord):
        raise FormatError("This manifest record is not about a segment.")
    _require_signed_bytes(record.file, data, f"segment {record.id}")
    if isinstance(record, SegmentRecord):
        media, context = split_media(open_committed(record, Content.SEGMENT, data, identities))
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
    if context.kind is not Content.SEGMENT:
        raise FormatError(f"The pictures of segment {begin.segment} say that they are something else.")
    if (context.segment, context.event, context.ordinal, span.boot, span.start_us) != (
        begin.segment, begin.event, begin.ordinal, begin.boot, begin.start_us,
    ):  # fmt: skip
        raise FormatError(f"Segment {begin.segment} says at its end that it is another than at its beginning.")
    return OpenedSegment(begin.segment, media, context, None, whole=True, verified_bytes=len(data))


def open_poster(signed: SignedRecord, data: bytes, identities: Sequence[Identity], *, device: str) -> OpenedPoster:
    """The still of the clip that begins with this segment.  Raises as `open_captured` does."""
    record, plaintext = _opened_beside(signed, Content.POSTER, data, identities)
    image, context = split_poster(plaintext)
    agree(record, context, device=device, content=Content.POSTER)
    if not image.startswith(_JPEG):
        raise FormatError(f"The poster of segment {record.id} is not a JPEG.")
    return OpenedPoster(image, context)


def open_sound(signed: SignedRecord, data: bytes, identities: Sequence[Identity], *, device: str) -> bytes:
    """What was heard during this segment: an MP4 of one track, whose instant 0 is the segment's.  Raises likewise."""
    record, plaintext = _opened_beside(signed, Content.SOUND, data, identities)
    track, context = split_media(plaintext)
    agree(record, context, device=device, content=Content.SOUND)
    return track


def _opened_beside(
    signed: SignedRecord, content: Content, data: bytes, identities: Sequence[Identity]
) -> tuple[StoredRecord, bytes]:
    """The plaintext of a file beside a segment, and the segment's record."""
    record = signed.record
    file = None
    if isinstance(record, SegmentRecord | RecoveredRecord):
        file = record.poster_file if content is Content.POSTER else record.sound_file
    if file is None or not isinstance(record, SegmentRecord | RecoveredRecord):
        raise FormatError(f"The device signed no {content.value} for this segment.")
    _require_signed_bytes(file, data, f"the {content.value} of segment {record.id}")
    return record, open_committed(record, content, data, identities)


def _require_signed_bytes(file: SealedFile, data: bytes, what: str) -> None:
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
