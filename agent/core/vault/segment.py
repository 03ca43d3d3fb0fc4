"""What a segment says about itself: to whoever opens it, and to the device that finds it again after a power cut.

- `Context`, sealed: a trailing top-level MP4 `uuid` box behind the media, which players skip.  It names the segment,
  its device and its time, and the SHA-256 of the media; the signed manifest record must say the same.
- `Begin`, in clear: a stanza of the age header that wraps no key, which age implementations skip.  Without it a segment
  cut off before its record was written would be footage without a date.  It says nothing that the manifest beside it
  does not say, and a disclosure replaces the header.

Source: ISO/IEC 14496-12 section 4.2 and 11.1 (`uuid`); c2sp.org/age, "Recipient stanza"; FORMAT.md, "Segment".
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from agent.core.opinion.sights import Sight, in_order
from agent.core.timebase import ClockQuality
from agent.core.vault.age.header import Header
from agent.core.vault.age.stanza import Stanza
from agent.core.vault.names import SegmentId
from agent.core.vault.spans import BootId, Sha256, Size, Span, bounded
from agent.errors import FormatError
from agent.wire import strictjson

__all__ = [
    "BEGIN_KIND",
    "BOX_TYPE",
    "Begin",
    "Context",
    "Label",
    "begin_in",
    "begin_stanza",
    "context_box",
    "split_media",
    "split_trailing",
    "trailing_box",
]

BOX_TYPE: Final = bytes.fromhex("6f0c3d1b8a5e4f7c9d24b1e7d3a8c951")
"""A random UUID (version 4), drawn once; it names this box for ever."""
BEGIN_KIND: Final = "doorward-begin"

_LIMIT_BYTES: Final = 2048
_BOX_HEAD: Final = struct.Struct(">I4s")
_LARGE_SIZE: Final = struct.Struct(">Q")

DeviceId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{16}\Z")]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Context(strictjson.Message, frozen=True, kw_only=True):
    """What the sealed end of a segment says.  `ordinal` counts the segments begun in this boot, from 0.

    `seen`: what a second opinion saw in pictures of this segment, in the order of `Sight`; empty is nothing that it
    knows, None that nobody looked.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    device: DeviceId
    segment: SegmentId
    event: SegmentId
    ordinal: Size
    span: Span
    media_bytes: Size
    sha256_media: Sha256
    label: Label | None = None
    seen: tuple[Sight, ...] | None = None

    def __post_init__(self) -> None:
        bounded(self.span)
        if self.seen is not None and self.seen != in_order(self.seen):
            raise FormatError("What was seen in a segment is said once each and in order.")


class Begin(strictjson.Message, frozen=True, kw_only=True):
    """What is known when a segment begins.  `until_us` bounds its end: the writer promises to finish before."""

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    segment: SegmentId
    event: SegmentId
    ordinal: Size
    boot: BootId
    start_us: Size
    until_us: Size
    utc_ms: int
    quality: ClockQuality
    label: Label | None = None

    def __post_init__(self) -> None:
        bounded(self.longest)

    @property
    def longest(self) -> Span:
        """From the start to the latest possible end."""
        return Span(
            boot=self.boot,
            start_us=self.start_us,
            end_us=self.until_us,
            utc_ms=self.utc_ms,
            quality=self.quality,
        )


def begin_stanza(begin: Begin) -> Stanza:
    return Stanza(BEGIN_KIND, (), strictjson.encode(begin))


def begin_in(header: Header) -> Begin:
    """What the header of one of our segments says.  Raises `FormatError` when it is not one of ours."""
    bodies = [stanza.body for stanza in header.stanzas if stanza.kind == BEGIN_KIND]
    if len(bodies) != 1:
        raise FormatError(f"This age file has {len(bodies)} stanzas of kind {BEGIN_KIND}; a segment has one.")
    return strictjson.decode(bodies[0], Begin, limit_bytes=_LIMIT_BYTES)


def context_box(context: Context) -> bytes:
    """The box to append to the media."""
    return trailing_box(BOX_TYPE, strictjson.encode(context))


def split_media(plaintext: bytes) -> tuple[bytes, Context]:
    """The media and what the box behind it says of it, once the media is the one that the box names.

    Raises `FormatError` when the boxes do not add up, the last is not a context box, or the media is another.
    """
    media, body = split_trailing(plaintext, BOX_TYPE)
    context = strictjson.decode(body, Context, limit_bytes=_LIMIT_BYTES)
    if len(media) != context.media_bytes or hashlib.sha256(media).hexdigest() != context.sha256_media:
        raise FormatError("The media of this segment is not the one its context names.")
    return media, context


def trailing_box(box_type: bytes, body: bytes) -> bytes:
    """A `uuid` box of that type."""
    return _BOX_HEAD.pack(_BOX_HEAD.size + len(box_type) + len(body), b"uuid") + box_type + body


def split_trailing(plaintext: bytes, box_type: bytes) -> tuple[bytes, bytes]:
    """The media, and the body of the `uuid` box behind it.  Raises `FormatError` when the last box is another."""
    start = -1
    for start in _box_starts(plaintext):  # noqa: B007 — the last one is what is asked for
        pass
    head = _BOX_HEAD.size + len(box_type)
    if start < 0 or plaintext[start + 4 : start + head] != b"uuid" + box_type:
        raise FormatError("This segment does not end in a context box: it is cut short, or not a Doorward segment.")
    return plaintext[:start], plaintext[start + head :]


def _box_starts(data: bytes) -> Iterator[int]:
    """Where each top-level box of `data` starts.  Raises `FormatError` unless they fill it exactly."""
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
    # Size 0 ("to the end of the file") would swallow the context; fragmented MP4 has no need of it.
    if size < head:
        raise FormatError("An MP4 box of this segment states an impossible size.")
    return size
