"""Turns blocks of a microphone's samples into AAC packets with the time each was heard.

24 kHz and one channel: more than a voice has, and a third of what music would cost.  The encoder's packet begins one
frame before what was fed (its priming); libavcodec counts that in the packet's time, so nothing is shifted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Final

import av

from agent.core.media import SoundDescription, SoundPacket
from agent.core.timebase import BootNs
from agent.errors import DeviceError

__all__ = ["RATE_HZ", "SoundEncoder"]

RATE_HZ: Final = 24_000


class SoundEncoder:
    """`bitrate_kbps`: of the packets.  Belongs to one thread."""

    def __init__(self, bitrate_kbps: int) -> None:
        context = av.AudioCodecContext.create("aac", "w")
        context.sample_rate, context.format, context.layout = RATE_HZ, "fltp", "mono"
        context.bit_rate, context.time_base = bitrate_kbps * 1000, Fraction(1, RATE_HZ)
        try:
            context.open()
        except av.error.FFmpegError as error:
            raise DeviceError("Sound cannot be encoded as AAC here.", remedy="Reinstall Doorward.") from error
        self._encoder = context
        self._resampler = av.AudioResampler("fltp", "mono", RATE_HZ, frame_size=context.frame_size)
        self._planes = av.AudioResampler("fltp")
        self._fed = 0

    def describe(self, *, live: bool) -> SoundDescription:
        return SoundDescription(
            RATE_HZ, bytes(self._encoder.extradata or b""), live, frame_samples=self._encoder.frame_size
        )

    def feed(self, block: av.AudioFrame, heard_ns: Callable[[int], BootNs]) -> Iterator[SoundPacket]:
        """Packets that `block` completes.  `heard_ns(n)`: when sample n, counted at `RATE_HZ`, was heard."""
        block.pts = None  # its own time is the card's; ours is counted
        for mono in self._mono(block):
            for frame in self._resampler.resample(mono):
                yield from self._encode(frame, heard_ns)

    def flush(self, heard_ns: Callable[[int], BootNs]) -> Iterator[SoundPacket]:
        """The source is over: what is left.  The encoder is spent."""
        for frame in self._resampler.resample(None):
            yield from self._encode(frame, heard_ns)
        yield from self._encode(None, heard_ns)

    def _encode(self, frame: av.AudioFrame | None, heard_ns: Callable[[int], BootNs]) -> Iterator[SoundPacket]:
        if frame is not None:
            frame.pts, frame.time_base = self._fed, Fraction(1, RATE_HZ)
            self._fed += frame.samples
        for packet in self._encoder.encode(frame):
            if packet.pts is not None and packet.pts >= 0:
                yield SoundPacket(bytes(packet), heard_ns(packet.pts))

    def _mono(self, block: av.AudioFrame) -> Iterator[av.AudioFrame]:
        """Channels averaged: libswresample would add them up, and a loud voice would be cut off."""
        if block.layout.nb_channels == 1:
            yield block
            return
        for planes in self._planes.resample(block):
            mono = av.AudioFrame.from_ndarray(planes.to_ndarray().mean(axis=0, keepdims=True), "fltp", "mono")
            mono.sample_rate = planes.sample_rate
            yield mono
