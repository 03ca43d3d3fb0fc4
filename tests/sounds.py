"""Sound for tests: a tone that begins silent, made with our own encoder, and read back with libavformat."""

from __future__ import annotations

import dataclasses
import io
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from agent.core.media import SoundDescription, SoundPacket
from agent.core.timebase import NS_PER_S, BootNs
from agent.media.sound import sound_mp4
from agent.recorder.capture.sound_encoding import SoundEncoder

__all__ = ["heard_from_s", "noise", "packets_of", "stereo", "times_ns", "track"]

_RATE_HZ = 24_000


@lru_cache(maxsize=64)
def track(seconds: float, silent_s: float = 0.0) -> bytes:
    """The sound of a segment of this many seconds: silence, and from `silent_s` on a tone."""
    at_s = np.arange(round(seconds * _RATE_HZ)) / _RATE_HZ
    tone = np.where(at_s < silent_s, 0, 0.3 * np.sin(2 * np.pi * 440 * at_s)).astype(np.float32)
    packets, description = _encoded(tone)
    made = sound_mp4(description, packets, 0, round(seconds * NS_PER_S))
    assert made is not None
    return made


def stereo(seconds: float, silent: int | None = None) -> bytes:
    """The sound of a camera with two microphones: a tone for each, or silence for one of them."""
    rate_hz = 48_000
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate_hz, "stereo", "fltp"
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = np.array([0.3 * np.sin(2 * np.pi * hz * at_s) for hz in (440, 660)], np.float32)
    if silent is not None:
        samples[silent] = 0
    frame = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    description = SoundDescription(rate_hz, bytes(encoder.extradata or b""), live=False, channels=2)
    heard = [SoundPacket(bytes(each), BootNs(max(0, each.pts or 0) * NS_PER_S // rate_hz)) for each in packets]
    made = sound_mp4(description, heard, 0, round(seconds * NS_PER_S))
    assert made is not None
    return made


def noise(seconds: float) -> tuple[list[bytes], SoundDescription]:
    """AAC packets of noise of this many seconds, no two of them alike, and what they are."""
    samples = np.random.default_rng(1).normal(0, 0.1, round(seconds * _RATE_HZ)).astype(np.float32)
    packets, description = _encoded(samples)
    return [packet.data for packet in packets], dataclasses.replace(description, live=False)


def _encoded(samples: npt.NDArray[np.float32]) -> tuple[list[SoundPacket], SoundDescription]:
    encoder = SoundEncoder(40)
    block = av.AudioFrame.from_ndarray(samples[None, :], "fltp", "mono")
    block.sample_rate = _RATE_HZ

    def heard_ns(sample: int) -> BootNs:
        return BootNs(sample * NS_PER_S // _RATE_HZ)

    return [*encoder.feed(block, heard_ns), *encoder.flush(heard_ns)], encoder.describe(live=True)


def packets_of(media: bytes) -> list[tuple[int, bytes]]:
    """(when it begins, ns; what it is) of every packet of a sound."""
    with av.open(io.BytesIO(media)) as container:
        return [
            (round((packet.pts or 0) * packet.time_base * 10**9), bytes(packet))
            for packet in container.demux(audio=0)
            if packet.size and packet.time_base
        ]


def times_ns(media: bytes, *, every: bool = False) -> tuple[int, ...]:
    """When the first packet begins and the last one ends, ns; `every`: when each begins, too."""
    with av.open(io.BytesIO(media)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
    starts = [round((packet.pts or 0) * packet.time_base * 10**9) for packet in packets if packet.time_base]
    last = packets[-1]
    end = starts[-1] + round((last.duration or 0) * (last.time_base or 0) * 10**9)
    return (*(starts if every else starts[:1]), end)


def heard_from_s(path: Path) -> list[float]:
    """When a tone begins in a film, each time it does; empty when the film has no sound."""
    begins, loud_before = [], False
    with av.open(str(path)) as film:
        if not film.streams.audio:
            return []
        for frame in film.decode(audio=0):
            samples = np.abs(frame.to_ndarray()[0])
            loud = bool(samples.max() > 0.1)
            if loud and not loud_before:
                begins.append(float(frame.time or 0) + int(np.argmax(samples > 0.1)) / frame.sample_rate)
            loud_before = loud
    return begins
