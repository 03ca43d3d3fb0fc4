"""A sound file as frames of talk: µ-law, 20 ms each at 16 kHz (agent/core/talk/TALK.md, ITU-T G.711)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt

from agent.errors import ConfigurationError

__all__ = ["mulaw_frames"]

_RATE_HZ: Final = 16_000
_SAMPLES: Final = 320
_MOST_FILE_BYTES: Final = 8 << 20


def mulaw_frames(path: Path, longest_s: int) -> list[bytes]:
    """Returns frames of 320 bytes, of at most `longest_s` seconds and a bit. Raises `ConfigurationError`."""
    try:
        if path.stat().st_size > _MOST_FILE_BYTES:
            raise ConfigurationError(f"{path} is larger than 8 MB.", remedy="Choose a shorter sound.")
        samples = _samples(path, (longest_s + 1) * _RATE_HZ)
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as sound.", remedy="Save it as a WAV file.") from error
    samples = np.concatenate([samples, np.zeros(-len(samples) % _SAMPLES, np.int16)])
    return [_mulaw(samples[at : at + _SAMPLES]) for at in range(0, len(samples), _SAMPLES)]


def _samples(path: Path, most: int) -> npt.NDArray[np.int16]:
    resampler = av.AudioResampler("s16", "mono", _RATE_HZ)
    found: list[npt.NDArray[np.int16]] = [np.zeros(0, np.int16)]
    with av.open(str(path), mode="r") as container:
        for block in itertools.chain(container.decode(container.streams.audio[0]), [None]):
            if block is not None:
                block.pts = None
            found += [part.to_ndarray()[0] for part in resampler.resample(block)]
            if sum(map(len, found)) > most:
                break
    return np.concatenate(found)


def _mulaw(samples: npt.NDArray[np.int16]) -> bytes:
    size = np.minimum(np.abs(samples.astype(np.int32)), 32_635) + 132
    exponent = np.floor(np.log2(size)).astype(np.int32) - 7
    code = np.where(samples < 0, 0x80, 0) | (exponent << 4) | ((size >> (exponent + 3)) & 15)
    return bytes((~code & 0xFF).astype(np.uint8))
