"""The parts of live view: the newest pictures, sealed with a media key, and the key sealed to the viewers.

- A part is an SFrame (`core.sframe`). A part that begins with a keyframe also has the media key, in an age file for
  those who may look.
- Its plaintext is a playable fragmented MP4 with a trailing box that segments lack. So neither can be taken for the
  other, and a live GOP cannot become evidence. A part that continues a GOP has no header of the film.
- Before that box stands the sound that has come since the part before, as a separate film. Sound comes later than
  its pictures, so it says when it was heard.
- It is sealed and unsigned. It shows an owner the door now and proves nothing.

Source: FORMAT.md, "Live".
"""

from __future__ import annotations

import struct
from typing import Annotated, Final

import msgspec

from agent.core.vault.fields import TimeSpan, bounded
from agent.core.vault.segment import DeviceId, split_trailing, trailing_box
from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.fields import Version1
from agent.wire.strictjson import MAX_INTEGER

__all__ = [
    "PIECE_BYTES", "LiveContext", "LiveKey", "LiveSound", "join_part", "live_plaintext", "pieces_of", "read_key",
    "split_live", "split_part",
]  # fmt: skip

_BOX_TYPE: Final = bytes.fromhex("9a1d4be7c05248f38f6e2d7714c3a05b")
"""A random UUID (version 4), drawn once."""
_LIMIT_BYTES: Final = 1024
_KEY_BYTES: Final = 32
_SIZE: Final = struct.Struct(">I")
PIECE_BYTES: Final = 64 << 10
"""Bytes of a part that one question to the recorder carries."""


class LiveSound(strictjson.Message, frozen=True):
    """How many bytes of the plaintext are sound, and when the first of it was heard, µs on the boot clock."""

    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]
    start_us: Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]


class LiveContext(strictjson.Message, frozen=True, kw_only=True):
    """The content of the sealed box at the end of a live GOP."""

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    device: DeviceId
    span: TimeSpan
    continues: bool = False
    """This is a part of a GOP, and goes on with the part that ends where it begins."""
    sound: LiveSound | None = None
    """The microphone is on."""

    def __post_init__(self) -> None:
        bounded(self.span)


class LiveKey(strictjson.Message, frozen=True, kw_only=True):
    """The plaintext of the age file with a media key. `kid`: its number in the frames."""

    v: Version1
    kid: Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
    key: str
    """Base64 of 32 bytes."""

    @property
    def base_key(self) -> bytes:
        key = strictjson.decode_base64(self.key)
        if len(key) != _KEY_BYTES:
            raise FormatError("A media key has 32 bytes.")
        return key


def read_key(plaintext: bytes) -> LiveKey:
    """Raises `FormatError`."""
    return strictjson.decode(plaintext, LiveKey, limit_bytes=_LIMIT_BYTES)


def join_part(key_file: bytes, frame: bytes) -> bytes:
    """Returns a part as it goes to the viewers. `key_file`: empty if the part continues a GOP."""
    return _SIZE.pack(len(key_file)) + key_file + frame


def split_part(part: bytes) -> tuple[bytes, bytes]:
    """Returns the file with the key, empty if there is none, and the frame. Raises `FormatError`."""
    (size,) = _SIZE.unpack(part[:4]) if len(part) >= 4 else (len(part),)
    if 4 + size > len(part):
        raise FormatError("A part of live view ends in its key.")
    return part[4 : 4 + size], part[4 + size :]


def live_plaintext(media: bytes, context: LiveContext, sound: bytes = b"") -> bytes:
    """`context` states the size of `sound`."""
    return media + sound + trailing_box(_BOX_TYPE, strictjson.encode(context))


def split_live(plaintext: bytes) -> tuple[bytes, bytes, LiveContext]:
    """The pictures, the sound (empty if there is none) and what they say of themselves.  Raises `FormatError`."""
    media, body = split_trailing(plaintext, _BOX_TYPE)
    context = strictjson.decode(body, LiveContext, limit_bytes=_LIMIT_BYTES)
    end = len(media) - (context.sound.size if context.sound else 0)
    if end < 0:
        raise FormatError("A live GOP has less sound than it says.")
    return media[:end], media[end:], context


def pieces_of(sealed: bytes) -> tuple[bytes, ...]:
    """A sealed GOP as it goes from role to role."""
    return tuple(sealed[at : at + PIECE_BYTES] for at in range(0, len(sealed), PIECE_BYTES))
