"""An open session of the link: records, streams and their flow (LINK.md, "Records" and "Streams").

`LinkSession` is the same for both ends. Queue data with `send`, take frames with `next_frame`, and give it the frames
of the other end with `receive`. It does no I/O and needs no clock. One thread at a time.
"""

from __future__ import annotations

import enum
import struct
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.wire.link.schedule import derive
from agent.wire.link.topics import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from agent.wire.link.schedule import HandshakeKeys

__all__ = ["CLIENT", "DEVICE", "MAX_FRAME_BYTES", "EndReason", "LinkSession", "SessionEnded", "StreamData"]

CLIENT: Final = b"client"
DEVICE: Final = b"device"
_CLASSES: Final = (256, 1_024, 4_096, MAX_FRAME_BYTES)
"""Lengths of a record."""
_WINDOW_BYTES: Final = 256 << 10
"""Data records that may be on their way until the other end acknowledges them."""
_ACKNOWLEDGE_BYTES: Final = 64 << 10
_HEAD: Final = struct.Struct(">BQ")
_SIZE: Final = struct.Struct(">H")
_ITEM: Final = struct.Struct(">BI")
_COUNTER: Final = struct.Struct(">Q")
_RECORD: Final = 0x10
_TAG_BYTES: Final = 16
_GENERATION_RECORDS: Final = 1 << 16
"""Records under one key."""
_MOST_DATA: Final = MAX_FRAME_BYTES - _HEAD.size - _TAG_BYTES - _SIZE.size - _ITEM.size
_FINE_DATA: Final = _CLASSES[-2] - (MAX_FRAME_BYTES - _MOST_DATA)
_MOST_FINE: Final = 3
"""This many records of the second largest class are shorter than one of the largest."""


class _Kind(enum.IntEnum):
    DATA = 1
    LAST = 2
    CANCEL = 3
    ACKNOWLEDGE = 4
    END = 5


class EndReason(enum.IntEnum):
    """Why a session ended."""

    CLOSED = 1
    IDLE = 2
    BUSY = 3
    NOT_LISTED = 4
    STOPPING = 5
    CUT = 6
    """A frame is missing, or an authentic one is malformed: seen by the end that receives it."""


@dataclass(frozen=True, slots=True)
class StreamData:
    """A piece of a stream. `last`: no more follows. `cancelled`: the other end wants no more of this stream."""

    stream: int
    data: bytes = b""
    last: bool = False
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The other end has ended the session, or a frame is missing."""

    reason: EndReason


class _Direction:
    """Keys of the records in one direction. A key counts for 65 536 records, and the one before cannot be computed from
    it."""

    def __init__(self, secret: bytes) -> None:
        self.counter = 0
        """Number of the next record."""
        self._secret = secret
        self._generation = 0
        self._cipher = _cipher(secret)

    def seal(self, plain: bytes) -> bytes:
        self._renew()
        head = _HEAD.pack(_RECORD, self.counter)
        sealed = self._cipher.encrypt(_nonce(self.counter), plain, head)
        self.counter += 1
        return head + sealed

    def open(self, frame: bytes, counter: int) -> bytes | None:
        """Returns the content of an authentic record, the next one or a later one, or None."""
        self._renew()
        ahead = counter // _GENERATION_RECORDS - self._generation
        if ahead > 1:
            return None  # more than a window of records is missing
        # Derived and forgotten: only an authentic record may move this direction to the next key.
        cipher = self._cipher if ahead == 0 else _cipher(derive(self._secret, b"next"))
        try:
            return cipher.decrypt(_nonce(counter), frame[_HEAD.size :], frame[: _HEAD.size])
        except InvalidTag:
            return None

    def _renew(self) -> None:
        if self.counter // _GENERATION_RECORDS != self._generation:
            self._generation += 1
            self._secret = derive(self._secret, b"next")
            self._cipher = _cipher(self._secret)


class LinkSession:
    """One end of a session. `ended` is the reason after its end; from then on it neither sends nor receives."""

    def __init__(self, outgoing: bytes, incoming: bytes) -> None:
        """`outgoing`, `incoming`: secrets of the two directions."""
        self.ended: EndReason | None = None
        self._outgoing, self._incoming = _Direction(outgoing), _Direction(incoming)
        self._urgent: deque[bytes] = deque()
        self._must_acknowledge = False
        self._streams: OrderedDict[int, deque[tuple[memoryview, bool, bool]]] = OrderedDict()
        self._sent: deque[tuple[int, int]] = deque()
        self._on_the_way = self._unacknowledged = self._queued = 0

    @classmethod
    def of(cls, end: bytes, keys: HandshakeKeys, transcript: bytes) -> LinkSession:
        to_client, to_device = keys.traffic_to(CLIENT, transcript), keys.traffic_to(DEVICE, transcript)
        return cls(to_device, to_client) if end == CLIENT else cls(to_client, to_device)

    @property
    def received(self) -> int:
        """Records that were taken from the other end."""
        return self._incoming.counter

    @property
    def queued_bytes(self) -> int:
        """Data that waits to be sent."""
        return self._queued

    def send(self, stream: int, data: bytes, *, last: bool = False, fine: bool = False) -> None:
        """Queues data of a stream. `fine`: with less padding, which tells a carrier more of the size."""
        self._queued += len(data)
        self._streams.setdefault(stream, deque()).append((memoryview(data), last, fine))

    def cancel(self, stream: int) -> None:
        """Drops what waits of a stream, and tells the other end to send no more of it."""
        self._drop(stream)
        self._urgent.append(_ITEM.pack(_Kind.CANCEL, stream))

    def ping(self) -> None:
        """Queues a record without content: the session is in use."""
        self._urgent.append(b"")

    def end(self, reason: EndReason) -> bytes | None:
        """Ends the session. Returns the last frame for the other end, or None if it has ended before."""
        if self.ended is not None:
            return None
        frame = self._record(bytes((_Kind.END, reason)))
        self._end(reason)
        return frame

    def next_frame(self) -> bytes | None:
        """Returns the next frame to send, or None if nothing waits or the other end has to acknowledge first."""
        if self.ended is not None:
            return None
        # First, because two ends with full windows would otherwise wait for each other.
        if self._must_acknowledge:
            self._must_acknowledge = False
            return self._record(bytes((_Kind.ACKNOWLEDGE,)) + _COUNTER.pack(self._incoming.counter))
        if self._urgent:
            return self._record(self._urgent.popleft())
        if not self._streams or self._on_the_way + MAX_FRAME_BYTES > _WINDOW_BYTES:
            return None
        frame = self._record(self._next_data())
        self._sent.append((self._outgoing.counter, len(frame)))
        self._on_the_way += len(frame)
        return frame

    def receive(self, frame: bytes) -> StreamData | SessionEnded | None:
        """Takes a frame. Returns what it says to the caller. A frame that is not authentic, or came before, is
        ignored."""
        if self.ended is not None or len(frame) not in _CLASSES or frame[0] != _RECORD:
            return None
        _record, counter = _HEAD.unpack_from(frame)
        # Ignored, so that a relay cannot end a session with an old frame or with bytes of its choice.
        if counter < self._incoming.counter or (plain := self._incoming.open(frame, counter)) is None:
            return None
        content = _unpadded(plain)
        # Authentic and ahead of its turn, so the carrier has lost or held back a record.
        if counter > self._incoming.counter or content is None:
            return self._end(EndReason.CUT)
        self._incoming.counter += 1
        self._count(len(frame))
        return self._on_content(content)

    def _on_content(self, content: bytes) -> StreamData | SessionEnded | None:
        """A content that no sender of this version makes ends the session: it is authentic, so the other end is
        faulty."""
        match content[:1]:
            case b"":
                return None
            case b"\x01" | b"\x02" | b"\x03" if len(content) >= _ITEM.size:
                kind, stream = _ITEM.unpack_from(content)
                if kind == _Kind.CANCEL:
                    self._drop(stream)
                    return StreamData(stream, cancelled=True)
                return StreamData(stream, content[_ITEM.size :], last=kind == _Kind.LAST)
            case b"\x04" if len(content) == 1 + _COUNTER.size:
                self._on_acknowledged(_COUNTER.unpack_from(content, 1)[0])
                return None
            case b"\x05" if len(content) == 2 and content[1] in EndReason.__members__.values():
                return self._end(EndReason(content[1]))
        return self._end(EndReason.CUT)

    def _on_acknowledged(self, counter: int) -> None:
        while self._sent and self._sent[0][0] <= counter:
            self._on_the_way -= self._sent.popleft()[1]

    def _count(self, size: int) -> None:
        """Acknowledges each 64 KiB, in a record without data, which is not acknowledged in turn."""
        self._unacknowledged += size
        if self._unacknowledged >= _ACKNOWLEDGE_BYTES:
            self._unacknowledged = 0
            self._must_acknowledge = True

    def _next_data(self) -> bytes:
        """Takes a record of each stream in turn."""
        stream, waiting = self._streams.popitem(last=False)
        data, last, fine = waiting.popleft()
        most = _FINE_DATA if fine and len(data) <= _MOST_FINE * _FINE_DATA else _MOST_DATA
        piece, rest = data[:most], data[most:]
        if rest:
            waiting.appendleft((rest, last, fine))
        if waiting:
            # To the end of the line, so that a short answer passes a long one.
            self._streams[stream] = waiting
        self._queued -= len(piece)
        kind = _Kind.LAST if last and not rest else _Kind.DATA
        return _ITEM.pack(kind, stream) + piece

    def _drop(self, stream: int) -> None:
        self._queued -= sum(len(data) for data, _last, _fine in self._streams.pop(stream, ()))

    def _record(self, content: bytes) -> bytes:
        needed = _SIZE.size + len(content)
        # One of four lengths, so that a carrier learns a class of sizes and not the size.
        room = next(size for each in _CLASSES if (size := each - _HEAD.size - _TAG_BYTES) >= needed)
        return self._outgoing.seal(_SIZE.pack(len(content)) + content + bytes(room - needed))

    def _end(self, reason: EndReason) -> SessionEnded:
        self.ended = reason
        self._urgent.clear()
        self._streams.clear()
        self._sent.clear()
        self._queued = 0
        return SessionEnded(reason)


def _unpadded(plain: bytes) -> bytes | None:
    """Returns the content, or None if the padding is not zero."""
    (size,) = _SIZE.unpack_from(plain)
    content, padding = plain[_SIZE.size : _SIZE.size + size], plain[_SIZE.size + size :]
    return None if len(content) != size or any(padding) else content


def _cipher(secret: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(derive(secret, b"key"))


def _nonce(counter: int) -> bytes:
    return bytes(4) + _COUNTER.pack(counter)
