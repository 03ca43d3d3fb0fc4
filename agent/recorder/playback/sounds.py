"""Sounds as samples: 48 kHz, one channel, 16 bits. The voice from frames, quick replies from files, and tones.

A quick reply is a sound file in the folder of the configuration, named as the page shows it. The operator puts the
files there; nothing on the network can write them. `CHIME` is built in.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import av
import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from agent.core.talk.frames import FRAME_MS, FrameKind, TalkFrame
from agent.core.talk.offers import MOST_REPLIES, ReplyName
from agent.errors import ConfigurationError

__all__ = ["CHIME", "FRAME_SAMPLES", "RATE_HZ", "Samples", "VoiceDecoder", "attention", "names_in", "reply", "scaled"]

Samples = npt.NDArray[np.int16]

RATE_HZ: Final = 48_000
FRAME_SAMPLES: Final = RATE_HZ * FRAME_MS // 1000
CHIME: Final = "chime"
"""The name of the quick reply that is always there: three rising notes."""

_MULAW_HZ: Final = 16_000
_SUFFIXES: Final = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})
_LONGEST_S: Final = 30
_MOST_FILE_BYTES: Final = 8 << 20
_NOTE_S: Final = 0.15
_LEVEL: Final = 8_000
"""The level of a tone, out of 32 767: 12 dB below full scale."""


class VoiceDecoder:
    """Decodes the frames of one session. One thread."""

    def __init__(self) -> None:
        self._opus = av.AudioCodecContext.create("opus", "r")
        self._opus.sample_rate, self._opus.layout = RATE_HZ, "mono"
        self._from_opus = av.AudioResampler("s16", "mono", RATE_HZ)
        self._from_mulaw = av.AudioResampler("s16", "mono", RATE_HZ)

    def decode(self, frame: TalkFrame) -> Samples:
        """Returns the samples of one frame, at most `FRAME_SAMPLES` + some; silence for a damaged one."""
        try:
            if frame.kind is FrameKind.MULAW:
                block = av.AudioFrame.from_ndarray(_linear(frame.content)[np.newaxis], "s16", "mono")
                block.sample_rate = _MULAW_HZ
                return _joined(self._from_mulaw, [block])
            return _joined(self._from_opus, self._opus.decode(av.Packet(frame.content)))
        except (av.error.FFmpegError, ValueError):
            return np.zeros(FRAME_SAMPLES, np.int16)


def _joined(resampler: av.AudioResampler, blocks: Iterable[av.AudioFrame]) -> Samples:
    found = []
    for block in blocks:
        block.pts = None
        found += [part.to_ndarray()[0] for part in resampler.resample(block)]
    # One packet of Opus may hold 120 ms. More than a frame at a time would be heard too late.
    return np.concatenate(found)[: 2 * FRAME_SAMPLES] if found else np.zeros(0, np.int16)


def _linear(mulaw: bytes) -> Samples:
    """G.711 µ-law to samples of 16 bits."""
    code = ~np.frombuffer(mulaw, np.uint8)
    size = ((((code & 15).astype(np.int32) << 3) + 132) << ((code >> 4) & 7).astype(np.int32)) - 132
    return np.where(code & 128, -size, size).astype(np.int16)


def scaled(samples: Samples, percent: int) -> Samples:
    """Returns `samples` at a volume. The square of the percentage, because ears hear ratios."""
    return (samples.astype(np.float32) * (percent / 100) ** 2).astype(np.int16)


def attention() -> Samples:
    """Returns the tone that tells a visitor that an owner is about to talk."""
    return _notes(660, 880)


def names_in(folder: Path | None) -> tuple[str, ...]:
    """Returns the names of the quick replies, the built-in one first."""
    return (CHIME, *list(_files(folder))[: MOST_REPLIES - 1])


def reply(folder: Path | None, name: str) -> Samples:
    """Returns the sound of a quick reply, at most 30 s. Raises `ConfigurationError` if it is missing or damaged."""
    if name == CHIME:
        return _notes(523, 659, 784)
    path = _files(folder).get(name)
    if path is None:
        raise ConfigurationError(f"There is no quick reply '{name}'.", remedy="Put the file into speaker.replies.")
    found: list[Samples] = []
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    try:
        with av.open(str(path), mode="r") as container:
            for block in container.decode(container.streams.audio[0]):
                found.append(_joined_whole(resampler, block))
                if sum(map(len, found)) > _LONGEST_S * RATE_HZ:
                    break
            found.append(_joined_whole(resampler, None))
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
        raise ConfigurationError(
            f"The quick reply '{path.name}' cannot be played.", remedy="Save it as a WAV file."
        ) from error
    return np.concatenate(found)[: _LONGEST_S * RATE_HZ]


def _joined_whole(resampler: av.AudioResampler, block: av.AudioFrame | None) -> Samples:
    if block is not None:
        block.pts = None
    parts = [part.to_ndarray()[0] for part in resampler.resample(block)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _files(folder: Path | None) -> dict[str, Path]:
    """Sound files by the name that the page shows. A folder that cannot be read holds none."""
    if folder is None:
        return {}
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
        small = [path for path in paths if path.stat().st_size <= _MOST_FILE_BYTES]
    except OSError as error:
        structlog.get_logger("talk").warning("no_replies", folder=str(folder), error=error.strerror)
        return {}
    return {path.stem: path for path in small if _is_name(path.stem)}


def _is_name(text: str) -> bool:
    try:
        msgspec.convert(text, ReplyName)
        # A file name that is no UTF-8 comes from Python with lone surrogates, and JSON has no place for them.
        text.encode()
        is_plain = unicodedata.is_normalized("NFC", text)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return False
    return is_plain and text != CHIME


def _notes(*pitches_hz: int) -> Samples:
    at_s = np.arange(round(_NOTE_S * RATE_HZ)) / RATE_HZ
    fade = np.minimum(1, np.minimum(at_s, _NOTE_S - at_s) / 0.01)  # without a fade a note clicks
    notes = [_LEVEL * fade * np.sin(2 * np.pi * pitch * at_s) for pitch in pitches_hz]
    return np.concatenate(notes).astype(np.int16)
