"""The description that each segment carries, for readers who open it and for the device after a power cut.

- `Context`, sealed: a trailing top-level MP4 `uuid` box after the media, which players skip; in a poster, a JPEG
  comment. It names the segment, its device, its time, and the kind of this file. The signed manifest record must agree.
- `Begin`, in clear: a stanza of the age header that wraps no key, which age implementations skip. Without it, a segment
  cut off before its record was written would be undated. It repeats only facts of the manifest beside it, and a
  disclosure replaces the header.

Source: ISO/IEC 14496-12 section 4.2 and 11.1 (`uuid`); ITU-T T.81, B.2.4.5 (comment); c2sp.org/age, "Recipient stanza";
FORMAT.md, "Segment".
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from agent.core.object_detection.labels import ObjectLabel, sorted_labels
from agent.core.timebase import ClockQuality
from agent.core.vault.age.header import Header, Stanza
from agent.core.vault.fields import BootId, SegmentId, Size, TimeSpan, UtcMs, bounded
from agent.core.vault.redactions import MOST_REDACTIONS, Redaction, RedactionKind
from agent.errors import FormatError, InternalError
from agent.wire import strictjson

__all__ = [
    "BEGIN_KIND",
    "BOX_TYPE",
    "Begin",
    "Content",
    "Context",
    "Label",
    "begin_in",
    "begin_stanza",
    "context_box",
    "poster_plaintext",
    "split_media",
    "split_poster",
    "split_trailing",
    "trailing_box",
]

BOX_TYPE: Final = bytes.fromhex("6f0c3d1b8a5e4f7c9d24b1e7d3a8c951")
"""A random UUID (version 4), drawn once. It names this box for ever."""
BEGIN_KIND: Final = "doorward-begin"

_LIMIT_BYTES: Final = 2048
_CONTEXT_LIMIT_BYTES: Final = 64 << 10
"""A context with the list of an owner's redactions. Without the list it stays below 2 KiB."""
_JPEG_START: Final = b"\xff\xd8"
_JPEG_COMMENT: Final = b"\xff\xfe"
_POSTER_REMARK: Final = b"doorward context:"
_BOX_HEAD: Final = struct.Struct(">I4s")
_LARGE_SIZE: Final = struct.Struct(">Q")

DeviceId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{16}\Z")]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Content(enum.Enum):
    """The segment's file that holds a context. Without it, an attacker could pass off sound as the pictures."""

    SEGMENT = "segment"
    POSTER = "poster"
    SOUND = "sound"


class Context(strictjson.Message, frozen=True, kw_only=True):
    """The sealed description in each file. `ordinal` counts the segments begun in this boot, from 0.

    `media_bytes`: the length of the film, sound or JPEG without this context. `seen`: the labels that object detection
    found in pictures of this segment, in the order of `ObjectLabel`. Empty means that it found none, None that it did
    not run. `redactions`: only in a file that an owner's client made for a requester. Such a file leaves out `seen` and
    `label`, which could tell of what is covered. `exact`: only in such a film, if its pixels outside of the covers have
    the values of the captured film.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    kind: Content
    device: DeviceId
    segment: SegmentId
    event: SegmentId
    ordinal: Size
    span: TimeSpan
    media_bytes: Size
    label: Label | None = None
    seen: tuple[ObjectLabel, ...] | None = None
    redactions: Annotated[tuple[Redaction, ...], msgspec.Meta(min_length=1, max_length=MOST_REDACTIONS)] | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        bounded(self.span)
        if self.seen is not None and self.seen != sorted_labels(self.seen):
            raise FormatError("`seen` must list each label at most once and in order.")
        if self.redactions is not None:
            self._require_redactions(self.redactions)
        if self.exact and (self.redactions is None or self.kind is not Content.SEGMENT):
            raise FormatError("exact: only in a film with redactions.")

    def _require_redactions(self, redactions: tuple[Redaction, ...]) -> None:
        """Raises `FormatError` unless the list fits this file: voices in a sound, all other kinds in a film."""
        if self.kind is Content.POSTER or self.seen is not None or self.label is not None:
            raise FormatError("redactions: only in a film or sound, without `seen` and `label`.")
        heard = self.kind is Content.SOUND
        if any((each.kind is RedactionKind.VOICE) != heard for each in redactions):
            raise FormatError("redactions: voices in a sound, and all other kinds in a film.")
        if any(each.from_ms * 1000 > self.span.duration_us for each in redactions):
            raise FormatError("redactions: one begins after the end of the segment.")


class Begin(strictjson.Message, frozen=True, kw_only=True):
    """The facts known when a segment begins. `until_us` bounds its end: the writer promises to finish before."""

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    segment: SegmentId
    event: SegmentId
    ordinal: Size
    boot: BootId
    start_us: Size
    until_us: Size
    utc_ms: UtcMs
    quality: ClockQuality
    label: Label | None = None

    def __post_init__(self) -> None:
        bounded(self.longest)

    @property
    def longest(self) -> TimeSpan:
        """Returns the span from the start to the latest possible end."""
        return TimeSpan(
            boot=self.boot,
            start_us=self.start_us,
            end_us=self.until_us,
            utc_ms=self.utc_ms,
            quality=self.quality,
        )


def begin_stanza(begin: Begin) -> Stanza:
    return Stanza(BEGIN_KIND, (), strictjson.encode(begin))


def begin_in(header: Header) -> Begin:
    """Returns the `begin` in the header of a segment. Raises `FormatError` if the header has none, or several."""
    # Exactly one: with two, a reader that takes the last would read another segment than one that takes the first.
    bodies = [stanza.body for stanza in header.stanzas if stanza.kind == BEGIN_KIND]
    if len(bodies) != 1:
        raise FormatError(f"This age file has {len(bodies)} stanzas of kind {BEGIN_KIND}; a segment has one.")
    return strictjson.decode(bodies[0], Begin, limit_bytes=_LIMIT_BYTES)


def context_box(context: Context) -> bytes:
    """Returns the box to append to the media."""
    return trailing_box(BOX_TYPE, strictjson.encode(context))


def split_media(plaintext: bytes) -> tuple[bytes, Context]:
    """Returns the media and the context in the box after it.

    Raises `FormatError` if the boxes do not add up, the last is not a context box, or the media has another length.
    """
    media, body = split_trailing(plaintext, BOX_TYPE)
    return media, _context(body, media)


def poster_plaintext(jpeg: bytes, context: Context) -> bytes:
    """Returns the picture with its context as a comment directly after its start, which viewers skip."""
    if not jpeg.startswith(_JPEG_START):
        raise InternalError("A poster must be a JPEG.")
    body = _POSTER_REMARK + strictjson.encode(context)
    # The length counts its own two bytes (ITU-T T.81, B.1.1.4).
    return _JPEG_START + _JPEG_COMMENT + (len(body) + 2).to_bytes(2, "big") + body + jpeg[len(_JPEG_START) :]


def split_poster(plaintext: bytes) -> tuple[bytes, Context]:
    """Returns the JPEG as it was made, and the context in its comment. Raises `FormatError` if the comment is
    missing."""
    head = len(_JPEG_START + _JPEG_COMMENT)
    end = head + int.from_bytes(plaintext[head : head + 2], "big")
    body = plaintext[head + 2 : end]
    begun = plaintext.startswith(_JPEG_START + _JPEG_COMMENT) and body.startswith(_POSTER_REMARK)
    if not begun or end > len(plaintext):
        raise FormatError("This poster does not say which segment it is of: it is damaged, or not a Doorward poster.")
    jpeg = _JPEG_START + plaintext[end:]
    return jpeg, _context(body[len(_POSTER_REMARK) :], jpeg)


def _context(body: bytes, media: bytes) -> Context:
    context = strictjson.decode(body, Context, limit_bytes=_CONTEXT_LIMIT_BYTES)
    if len(media) != context.media_bytes:
        raise FormatError("The length of this segment's media differs from the one in its context.")
    return context


def trailing_box(box_type: bytes, body: bytes) -> bytes:
    """Returns a `uuid` box of that type."""
    return _BOX_HEAD.pack(_BOX_HEAD.size + len(box_type) + len(body), b"uuid") + box_type + body


def split_trailing(plaintext: bytes, box_type: bytes) -> tuple[bytes, bytes]:
    """Returns the media, and the body of the `uuid` box after it. Raises `FormatError` if the last box has another
    type."""
    start = -1
    for start in _box_starts(plaintext):  # noqa: B007 — the last one is what is asked for
        pass
    head = _BOX_HEAD.size + len(box_type)
    if start < 0 or plaintext[start + 4 : start + head] != b"uuid" + box_type:
        raise FormatError("This segment does not end in a context box: it is cut short, or not a Doorward segment.")
    return plaintext[:start], plaintext[start + head :]


def _box_starts(data: bytes) -> Iterator[int]:
    """Yields the offset of each top-level box of `data`. Raises `FormatError` unless the boxes fill it exactly."""
    at = 0
    while at < len(data):
        yield at
        at += _box_bytes(data, at)
    if at != len(data):
        raise FormatError("The last MP4 box of this segment is cut short.")


def _box_bytes(data: bytes, at: int) -> int:
    head = _BOX_HEAD.size
    if len(data) - at < head:
        raise FormatError("An MP4 box of this segment is cut short.")
    size: int = _BOX_HEAD.unpack_from(data, at)[0]
    if size == 1 and len(data) - at >= head + _LARGE_SIZE.size:
        size, head = _LARGE_SIZE.unpack_from(data, at + head)[0], head + _LARGE_SIZE.size
    # Size 0 ("to the end of the file") would swallow the context, and fragmented MP4 works with explicit sizes.
    if size < head:
        raise FormatError("An MP4 box of this segment states an impossible size.")
    return size
