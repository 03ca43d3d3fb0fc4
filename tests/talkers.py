"""A client of talk for the tests: it opens offers, encodes tones and seals frames. And a look at what was heard."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.clients.opening import HybridIdentity, open_bytes
from agent.core.talk.offers import TalkSecret
from agent.wire import strictjson

RATE_HZ = 48_000
MULAW_HZ = 16_000

Samples = npt.NDArray[np.float64]


class FrameWriter:
    """Seals the frames of one session, as a browser does (TALK.md, "Frames")."""

    def __init__(self, key: bytes, session: bytes) -> None:
        info = b"doorward talk frames v1"
        self._aead = AESGCM(HKDF(algorithm=SHA256(), length=32, salt=session, info=info).derive(key))
        self._session = session
        self._counter = 0

    def seal(self, kind: int, content: bytes = b"") -> bytes:
        plain = bytes([kind]) + len(content).to_bytes(2, "big") + content
        self._counter += 1
        return self.seal_plain(self._counter, plain + bytes(-len(plain) % 128))

    def seal_plain(self, counter: int, plain: bytes) -> bytes:
        """For plaintexts that no client makes."""
        head = counter.to_bytes(8, "big")
        return head + self._aead.encrypt(bytes(4) + head, plain, self._session)


def writer_of(sealed: bytes, identity: HybridIdentity) -> tuple[TalkSecret, FrameWriter]:
    """The secret of an offer, and the writer of its frames."""
    secret = strictjson.decode(open_bytes(sealed, [identity]), TalkSecret)
    return secret, FrameWriter(strictjson.decode_base64(secret.key), bytes.fromhex(secret.session))


def opus_tone(pitch_hz: float, seconds: float, level: float = 8000.0) -> list[bytes]:
    """Packets of 20 ms."""
    encoder = av.AudioCodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout = RATE_HZ, "s16", "mono"
    encoder.bit_rate, encoder.time_base = 24_000, Fraction(1, RATE_HZ)
    encoder.options = {"frame_duration": "20", "vbr": "off", "application": "voip"}
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone = (level * np.sin(2 * np.pi * pitch_hz * at_s)).astype(np.int16)
    packets = []
    for begin in range(0, len(tone) - 959, 960):
        frame = av.AudioFrame.from_ndarray(tone[np.newaxis, begin : begin + 960], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, begin, Fraction(1, RATE_HZ)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


def tone_file(path: Path, pitch_hz: float, seconds: float) -> Path:
    """Writes a tone as a stereo WAV at 44.1 kHz, as a phone or a computer would keep it."""
    at_s = np.arange(round(seconds * 44_100)) / 44_100
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes((9000 * np.sin(2 * np.pi * pitch_hz * at_s)).astype("<i2").repeat(2).tobytes())
    return path


def mulaw_tone(pitch_hz: float, seconds: float, level: float = 8000.0) -> list[bytes]:
    at_s = np.arange(round(seconds * MULAW_HZ)) / MULAW_HZ
    data = mulaw((level * np.sin(2 * np.pi * pitch_hz * at_s)).astype(np.int16))
    return [data[begin : begin + 320] for begin in range(0, len(data) - 319, 320)]


def mulaw(samples: npt.NDArray[np.int16]) -> bytes:
    """G.711 by its definition: sign, exponent, mantissa of |x| + 132, all bits turned over."""
    size = np.minimum(np.abs(samples.astype(np.int32)), 32635) + 132
    exponent = np.maximum(np.floor(np.log2(size)).astype(np.int32) - 7, 0)
    code = (np.where(samples < 0, 0x80, 0) | exponent << 4 | (size >> (exponent + 3)) & 15) ^ 0xFF
    return bytes(code.astype(np.uint8))


def heard(path: Path) -> Samples:
    """All samples of a WAV file at 48 kHz."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)


def level_at(samples: Samples, pitch_hz: float, *, seconds: float = 0.1) -> Samples:
    """The amplitude of one pitch in each stretch of `seconds`."""
    length = round(seconds * RATE_HZ)
    whole = samples[: len(samples) // length * length].reshape(-1, length)
    at_s = np.arange(length) / RATE_HZ
    wave_ = np.exp(-2j * np.pi * pitch_hz * at_s) * np.hanning(length)
    return np.abs(whole @ wave_) * 2 / np.hanning(length).sum()


def loudest_hz(samples: Samples) -> float:
    """The pitch with the most energy."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE_HZ / len(samples))
