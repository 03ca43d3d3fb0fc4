"""What live view is made of: the newest GOPs, each sealed to the owners by itself, and when each was filmed.

- A live GOP, or a part of a long one, is an age file.  Its plaintext is a fragmented MP4 that plays by itself and a
  trailing box that no segment has: so one can never be taken for the other, nor stored as evidence.
- It is sealed and not signed: it says to its owner what is at the door now, and proves nothing to anybody else.

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
"""What one question of the recorder carries of a GOP or its part."""


class LiveContext(strictjson.Message, frozen=True, kw_only=True):
    """What the sealed end of a live GOP says."""

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
