"""Opens sealed frames of a talk session: 20 ms of a voice, a quick reply, a volume, or the end of an utterance.

A frame is opened once. `FrameReader` remembers the last `WINDOW` counters, so a copy is refused and a frame that was
overtaken still counts. Each frame is padded, so its length does not tell what was said (RFC 6562).

Pure: the key and the session come in as arguments.

Source: TALK.md, "Frames"; RFC 4303, section 3.4.3, for the window.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.core.talk.sizes import COUNTER_BYTES, KEY_BYTES, MOST_PADDED_BYTES, SESSION_BYTES, TAG_BYTES
from agent.errors import FormatError, InternalError

__all__ = [
    "FRAME_MS",
    "MULAW_SAMPLES",
    "WINDOW",
    "FrameKind",
    "FrameReader",
    "TalkFrame",
    "read_content",
]

FRAME_MS: Final = 20
MULAW_SAMPLES: Final = 320
"""Samples of a frame of µ-law: `FRAME_MS` at 16 kHz."""
WINDOW: Final = 64
"""Counters that are remembered: 1.3 s of frames, longer than the jitter buffer."""

_PAD_BYTES: Final = 128
_COUNTER: Final = struct.Struct(">Q")
_HEAD: Final = struct.Struct(">BH")
_LAST_COUNTER: Final = 2**48
_INFO: Final = b"doorward talk frames v1"


class FrameKind(enum.IntEnum):
    """The content of a frame."""

    OPUS = 1
    """One Opus packet of 20 ms, one channel (RFC 6716)."""
    MULAW = 2
    """`MULAW_SAMPLES` samples of 16 kHz, one channel (ITU-T G.711, µ-law)."""
    REPLY = 3
    """The name of a quick reply, in UTF-8."""
    VOLUME = 4
    """One byte: percent of the configured volume."""
    PAUSE = 5
    """Empty: the utterance is over, and silence that follows is no loss."""


@dataclass(frozen=True, slots=True)
class TalkFrame:
    counter: int
    kind: FrameKind
    content: bytes


class FrameReader:
    """Opens the frames of one session, each once."""

    def __init__(self, key: bytes, session: bytes) -> None:
        if len(key) != KEY_BYTES or len(session) != SESSION_BYTES:
            raise InternalError("A talk session has a key of 32 bytes and a name of 16.")
        derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=session, info=_INFO).derive(key)
        self._aead = AESGCM(derived)
        self._session = session
        self._newest = 0
        self._seen = 0
        """Bit n: counter `_newest - n` was opened."""

    def open(self, frame: bytes) -> TalkFrame:
        """Raises `FormatError` for a frame that is altered, too old, or was opened before. Such a frame changes
        nothing."""
        padded = len(frame) - COUNTER_BYTES - TAG_BYTES
        if not 0 < padded <= MOST_PADDED_BYTES or padded % _PAD_BYTES:
            raise FormatError("A talk frame has a wrong length.")
        counter: int = _COUNTER.unpack_from(frame)[0]
        if not 0 < counter <= _LAST_COUNTER or self._was_opened(counter):
            raise FormatError("A talk frame came twice, or too late.")
        try:
            # The counter is the nonce, and the session is bound in: a frame of another session does not open.
            plain = self._aead.decrypt(bytes(4) + frame[:COUNTER_BYTES], frame[COUNTER_BYTES:], self._session)
        except InvalidTag as error:
            raise FormatError("A talk frame does not open.") from error
        found = read_content(counter, plain)
        # Only after it opened: a forged counter must not push out those of true frames.
        self._remember(counter)
        return found

    def _was_opened(self, counter: int) -> bool:
        age = self._newest - counter
        return age >= WINDOW or (age >= 0 and bool(self._seen >> age & 1))

    def _remember(self, counter: int) -> None:
        ahead = max(0, counter - self._newest)
        self._newest += ahead
        # A jump beyond the window forgets all of it. Shifting by the jump itself could take gigabytes.
        self._seen = (self._seen << min(ahead, WINDOW) | 1 << self._newest - counter) & (1 << WINDOW) - 1


def read_content(counter: int, plain: bytes) -> TalkFrame:
    """Returns the frame in an opened plaintext. Raises `FormatError` for another kind, size or padding."""
    kind, length = _HEAD.unpack_from(plain)
    content, padding = plain[_HEAD.size : _HEAD.size + length], plain[_HEAD.size + length :]
    exact = len(plain) == len(content) + _HEAD.size + len(padding) and len(content) == length
    if not exact or len(padding) >= _PAD_BYTES or any(padding):
        raise FormatError("A talk frame is padded wrongly.")
    if kind not in FrameKind.__members__.values() or not _fits(FrameKind(kind), content):
        raise FormatError("A talk frame has an unknown kind or a wrong content.")
    return TalkFrame(counter, FrameKind(kind), content)


def _fits(kind: FrameKind, content: bytes) -> bool:
    match kind:
        case FrameKind.OPUS | FrameKind.REPLY:
            return bool(content)
        case FrameKind.MULAW:
            return len(content) == MULAW_SAMPLES
        case FrameKind.VOLUME:
            return len(content) == 1 and content[0] <= 100
        case FrameKind.PAUSE:
            return not content
