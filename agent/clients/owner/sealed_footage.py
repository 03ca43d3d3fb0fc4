"""Opens a sealed file and compares it with the record that the device signed at capture.

- The bytes equal the signed ones (hashes of header and payload), so a segment cannot be exchanged for another.
- The context *inside* each file (pictures, poster, sound) equals its record outside: content, device, id, event, time.
  An attacker on the device can sign new records but cannot open old footage, so old footage cannot get a new record.
  Approving segment A never hands over a key of segment B.
- The file key matches the commitment in the record. Otherwise a requester would refuse the footage.
- A segment that a power cut left without its end has no such context. The authentic part of it opens. The begin stanza
  in its header binds it to its record; changing the stanza requires the file key.

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
from agent.core.vault.manifest import SignedRecord
from agent.core.vault.records import RecoveredRecord, SealedFile, SegmentRecord, StoredRecord, digest
from agent.core.vault.segment import Begin, Content, Context, begin_in, split_media, split_poster
from agent.errors import FormatError, OpenError
from agent.media.fmp4 import whole_fragments

__all__ = ["OpenedPoster", "OpenedSegment", "open_captured", "open_poster", "open_sound", "open_unrecorded"]

_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class OpenedSegment:
    """`media` plays alone. `context` comes from inside the seal, `record` from the device's signature.

    If the end is missing (`whole` is False), `media` stops at the last complete fragment, `context` is None, and the
    file is authentic up to byte `verified_bytes`. `record` is None if the device stopped before it recorded the file.
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
    """Opens the segment in the age file `data`. `signed`: its record with a verified signature; `device`: key id.

    Raises `OpenError` if the bytes or the keys differ from the signed ones, `FormatError` if inside and outside
    disagree.
    """
    record = signed.record
    if not isinstance(record, SegmentRecord | RecoveredRecord):
        raise FormatError("This manifest record is not about a segment.")
    # Before anything is decrypted: bytes that the device did not sign reach no parser of media.
    _require_signed_bytes(record.file, data, f"segment {record.id}")
    if isinstance(record, SegmentRecord):
        media, context = split_media(open_committed(record, Content.SEGMENT, data, identities))
        agree(record, context, device=device)
        return OpenedSegment(record.id, media, context, signed, whole=True, verified_bytes=len(data))
    opened = open_unrecorded(data, identities)
    # A file without an end has no context inside. Its header's begin stanza is what ties it to the record.
    if _begin_of(data) != record.begin:
        raise FormatError(f"Segment {record.id} does not begin with the bytes that the device signed.")
    _require_of_device(opened, device)
    return OpenedSegment(
        record.id, opened.media, opened.context, signed, whole=opened.whole, verified_bytes=opened.verified_bytes
    )


def open_unrecorded(data: bytes, identities: Sequence[Identity]) -> OpenedSegment:
    """Opens the authentic part of an unfinished or unrecorded file: `.cut`, `.part`, or whole and without a record."""
    begin = _begin_of(data)
    prefix = VerifiedPrefix(io.BytesIO(data), identities)
    plaintext = b"".join(prefix)
    if not prefix.complete:
        # The last fragment may be torn. Players refuse it, and the ones before it are authentic.
        media = whole_fragments(plaintext)
        return OpenedSegment(begin.segment, media, None, None, whole=False, verified_bytes=prefix.verified_bytes)
    media, context = split_media(plaintext)
    span = context.span
    if context.kind is not Content.SEGMENT:
        raise FormatError(f"The pictures of segment {begin.segment} are labelled as something else.")
    if (context.segment, context.event, context.ordinal, span.boot, span.start_us) != (
        begin.segment, begin.event, begin.ordinal, begin.boot, begin.start_us,
    ):  # fmt: skip
        raise FormatError(f"Segment {begin.segment} has different ids at its beginning and its end.")
    return OpenedSegment(begin.segment, media, context, None, whole=True, verified_bytes=len(data))


def open_poster(signed: SignedRecord, data: bytes, identities: Sequence[Identity], *, device: str) -> OpenedPoster:
    """The still of the clip that begins with this segment.  Raises as `open_captured` does."""
    record, plaintext = _opened_beside(signed, Content.POSTER, data, identities)
    image, context = split_poster(plaintext)
    agree(record, context, device=device, content=Content.POSTER)
    # It is shown and written as a picture. An SVG or HTML in its place could run a script in a viewer.
    if not image.startswith(_JPEG):
        raise FormatError(f"The poster of segment {record.id} is not a JPEG.")
    return OpenedPoster(image, context)


def open_sound(signed: SignedRecord, data: bytes, identities: Sequence[Identity], *, device: str) -> bytes:
    """Returns the sound of this segment: an MP4 with one track that starts with the segment. Raises the same errors."""
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
            remedy="They are damaged or exchanged. Run 'doorward vault verify' on the device.",
        )


def _begin_of(data: bytes) -> Begin:
    return begin_in(parse_header(data)[0])


def _require_of_device(opened: OpenedSegment, device: str) -> None:
    if opened.context is not None and opened.context.device != device:
        raise FormatError(f"Segment {opened.id} was recorded by another device.")
