"""Frames of the local sockets, the page and stored statements: one JSON head and one optional block of bytes.

    frame = u32 length of head · head (UTF-8 JSON object) · u32 length of body · body

The lengths are big-endian. A reader checks each length before it reads the bytes, so a broken or hostile peer costs at
most one frame. docs/local-rpc.md describes the heads.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from agent.errors import FormatError

__all__ = [
    "FRAME_LIMITS",
    "MAX_BODY_BYTES",
    "MAX_HEAD_BYTES",
    "Frame",
    "FrameLimits",
    "Reader",
    "decode_approval",
    "decode_statement",
    "encode_approval",
    "encode_statement",
    "parse_frame",
    "read_frame",
    "split_body",
    "write_frame",
]

MAX_HEAD_BYTES: Final = 32 << 20
"""The signed records of a twelve-hour window in five-second segments are about 14 MB."""
MAX_BODY_BYTES: Final = 64 << 20
"""The largest segment: 30 s at 16 Mbit/s."""

_LENGTH: Final = struct.Struct(">I")


class Reader(Protocol):
    """Anything with a blocking `read(n)` that returns fewer bytes only at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """`head` is a JSON object; `body` is opaque."""

    head: dict[str, Any]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """The largest head and body of a frame, in bytes."""

    head_bytes: int
    body_bytes: int


FRAME_LIMITS: Final = FrameLimits(MAX_HEAD_BYTES, MAX_BODY_BYTES)


def write_frame(frame: Frame, limits: FrameLimits = FRAME_LIMITS) -> bytes:
    """Returns the frame's bytes.  Raises `FormatError` if its reader would refuse them."""
    try:
        head = msgspec.json.encode(frame.head, order="sorted")
    except UnicodeEncodeError as error:
        raise FormatError("The head of a message holds half a surrogate pair.") from error
    for part, size, limit in (
        ("head", len(head), limits.head_bytes),
        ("body", len(frame.body), limits.body_bytes),
    ):
        if size > limit:
            raise FormatError(f"The {part} of this message is larger than its reader accepts: {size} > {limit} bytes.")
    return b"".join((_LENGTH.pack(len(head)), head, _LENGTH.pack(len(frame.body)), frame.body))


def read_frame(reader: Reader, limits: FrameLimits = FRAME_LIMITS) -> Frame | None:
    """Returns the next frame, or None at a clean end.  Raises `FormatError` for anything else."""
    start = reader.read(_LENGTH.size)
    if not start:
        return None
    head = _exactly(reader, _bounded(start, limits.head_bytes))
    body = _exactly(reader, _bounded(_exactly(reader, _LENGTH.size), limits.body_bytes))
    try:
        value = msgspec.json.decode(head)  # refuses NaN, which would pass each bound
    except (ValueError, RecursionError) as error:
        raise FormatError("The head of a message is not JSON.") from error
    if not isinstance(value, dict):
        raise FormatError("The head of a message is not a JSON object.")
    return Frame(value, body)


def parse_frame(data: bytes) -> Frame:
    """Returns the one frame that `data` is.  Raises `FormatError`."""
    reader = _BodyReader(data)
    frame = read_frame(reader)
    if frame is None or reader.read(1):
        raise FormatError("This is not one message.")
    return frame


def encode_statement(envelope: bytes, headers: tuple[bytes, ...]) -> bytes:
    """A statement and the headers that go with it, as one frame: how they are handed in, and kept."""
    head = {"envelope": envelope.decode("ascii"), "sizes": [len(header) for header in headers]}
    return write_frame(Frame(head, b"".join(headers)))


def decode_statement(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Reads the output of `encode_statement`. Raises `FormatError`."""
    frame = read_frame(_BodyReader(data))
    envelope = frame.head.get("envelope") if frame is not None else None
    if frame is None or not isinstance(envelope, str) or not envelope.isascii():
        raise FormatError("This is no kept statement.")
    sizes = frame.head.get("sizes", [])
    if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
        raise FormatError("sizes: the length of each header in the body.")
    return envelope.encode("ascii"), split_body(sizes, frame.body)


def encode_approval(approval: bytes, second: bytes | None, records: tuple[bytes, ...]) -> bytes:
    """Data that owners have shared, as stored for them: an approval or tip, the co-approval, and the records it
    names."""
    head = {"approval": approval.decode("ascii"), "second": second.decode("ascii") if second else None}
    return write_frame(Frame(head, b"".join(line + b"\n" for line in records)))


def decode_approval(data: bytes) -> tuple[bytes, bytes | None, tuple[bytes, ...]]:
    """Reads the output of `encode_approval`. Raises `FormatError`."""
    frame = read_frame(_BodyReader(data))
    approval, second = (frame.head.get("approval"), frame.head.get("second")) if frame is not None else (None, None)
    if frame is None or not isinstance(approval, str) or not (second is None or isinstance(second, str)):
        raise FormatError("This is no kept approval.")
    said = None if second is None else second.encode("ascii", "replace")
    return approval.encode("ascii", "replace"), said, tuple(frame.body.splitlines())


class _BodyReader:
    """A `Reader` of bytes that are here already."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    def read(self, size: int, /) -> bytes:
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)


def split_body(sizes: Sequence[int], body: bytes) -> tuple[bytes, ...]:
    """Returns the blocks of the body, of the lengths `sizes`.  Raises `FormatError` if they do not add up."""
    if sum(sizes) != len(body):
        raise FormatError("sizes: they do not add up to the body.")
    ends = itertools.accumulate(sizes)
    return tuple(body[end - size : end] for size, end in zip(sizes, ends, strict=True))


def _bounded(raw: bytes, limit: int) -> int:
    if len(raw) != _LENGTH.size:
        raise FormatError("A message is cut short.")
    size: int = _LENGTH.unpack(raw)[0]
    if size > limit:
        raise FormatError(f"A message claims {size} bytes; at most {limit} are read.")
    return size


def _exactly(reader: Reader, size: int) -> bytes:
    data = reader.read(size)
    if len(data) != size:
        raise FormatError("A message is cut short.")
    return data
