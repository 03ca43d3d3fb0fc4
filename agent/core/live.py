"""The parts of live view: the newest GOPs, each sealed separately to the owners, with the time of recording.

- A live GOP, or a part of a long one, is an age file. Its plaintext is a playable fragmented MP4 with a trailing box
  that segments lack. So neither can be taken for the other, and a live GOP cannot become evidence.
- It is sealed and unsigned. It shows an owner the door now and proves nothing.

Source: FORMAT.md, "Live".
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from agent.core.vault.segment import DeviceId, split_trailing, trailing_box
from agent.core.vault.spans import TimeSpan, bounded
from agent.wire import strictjson

__all__ = ["PIECE_BYTES", "LiveContext", "live_plaintext", "pieces_of", "split_live"]

_BOX_TYPE: Final = bytes.fromhex("9a1d4be7c05248f38f6e2d7714c3a05b")
"""A random UUID (version 4), drawn once."""
_LIMIT_BYTES: Final = 1024
PIECE_BYTES: Final = 64 << 10
"""Bytes of a GOP (or its part) that one question to the recorder carries."""


class LiveContext(strictjson.Message, frozen=True, kw_only=True):
    """The content of the sealed box at the end of a live GOP."""

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    device: DeviceId
    span: TimeSpan
    continues: bool = False
    """This is a part of a long GOP, and goes on with the part that ends where it begins."""

    def __post_init__(self) -> None:
        bounded(self.span)


def live_plaintext(media: bytes, context: LiveContext) -> bytes:
    return media + trailing_box(_BOX_TYPE, strictjson.encode(context))


def split_live(plaintext: bytes) -> tuple[bytes, LiveContext]:
    """The media and what it says of itself.  Raises `FormatError`."""
    media, body = split_trailing(plaintext, _BOX_TYPE)
    return media, strictjson.decode(body, LiveContext, limit_bytes=_LIMIT_BYTES)


def pieces_of(sealed: bytes) -> tuple[bytes, ...]:
    """A sealed GOP as it goes from role to role."""
    return tuple(sealed[at : at + PIECE_BYTES] for at in range(0, len(sealed), PIECE_BYTES))
