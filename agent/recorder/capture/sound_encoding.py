"""Encodes sound: turns a source's packets into AAC packets, each with the time it was heard.

- `SoundEncoder` decodes any format and encodes it at 24 kHz with one channel: enough for voices, at a third of the cost
  of music. The encoder's packet begins one frame before its input (priming); libavcodec counts that in the packet's
  time, so nothing is shifted.
- `SoundPassthrough` keeps AAC as it is, like the pictures of a network camera.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Final, Protocol

import av
from av.audio.stream import AudioStream

from agent.core.media import SoundDescription, SoundPacket
from agent.core.timebase import BootNs
from agent.errors import DeviceError
from agent.media.aac import AacConfig

__all__ = ["RATE_HZ", "HeardNs", "SoundEncoder", "SoundPassthrough", "SoundTrack"]

RATE_HZ: Final = 24_000

HeardNs = Callable[[int], BootNs]
"""When sample n was heard, counted at the form's `rate_hz` from the first one fed."""


class SoundTrack(Protocol):
    """Belongs to one thread."""

    @property
    def rate_hz(self) -> int: ...

    def describe(self, *, live: bool) -> SoundDescription: ...

    def take(
        self, packet: av.Packet[AudioStream], came: Callable[[int], None], heard_ns: HeardNs
    ) -> Iterator[SoundPacket]:
        """Yields the packets that `packet` completes. Calls `came` with each number of samples, at the source's rate,
        before it dates any of them. Raises `FFmpegError` for a damaged packet."""
        ...

    def flush(self, heard_ns: HeardNs) -> Iterator[SoundPacket]:
        """Yields the rest after the end of the source. The converter cannot be used afterwards."""
        ...


class SoundEncoder:
    """Implements `SoundTrack`. `bitrate_kbps` applies to the packets."""

    rate_hz = RATE_HZ

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

    def take(
        self, packet: av.Packet[AudioStream], came: Callable[[int], None], heard_ns: HeardNs
    ) -> Iterator[SoundPacket]:
        for block in packet.decode():
            came(block.samples)
            yield from self.feed(block, heard_ns)

    def feed(self, block: av.AudioFrame, heard_ns: HeardNs) -> Iterator[SoundPacket]:
        """Packets that `block` completes."""
        block.pts = None  # the block has the card's time; here samples are counted
        for mono in self._mono(block):
            for frame in self._resampler.resample(mono):
                yield from self._encode(frame, heard_ns)

    def flush(self, heard_ns: HeardNs) -> Iterator[SoundPacket]:
        for frame in self._resampler.resample(None):
            yield from self._encode(frame, heard_ns)
        yield from self._encode(None, heard_ns)

    def _encode(self, frame: av.AudioFrame | None, heard_ns: HeardNs) -> Iterator[SoundPacket]:
        if frame is not None:
            frame.pts, frame.time_base = self._fed, Fraction(1, RATE_HZ)
            self._fed += frame.samples
        for packet in self._encoder.encode(frame):
            # The packet of the encoder's priming lies before the first sample.
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


class SoundPassthrough:
    """Implements `SoundTrack`: AAC-LC packets as they come."""

    def __init__(self, config: AacConfig) -> None:
        self._config = config
        self._taken = 0

    @property
    def rate_hz(self) -> int:
        return self._config.rate_hz

    def describe(self, *, live: bool) -> SoundDescription:
        config = self._config
        return SoundDescription(config.rate_hz, config.data, live, config.frame_samples, config.channels)

    def take(
        self, packet: av.Packet[AudioStream], came: Callable[[int], None], heard_ns: HeardNs
    ) -> Iterator[SoundPacket]:
        # PyAV ends a stream with an empty packet.
        if packet.size:
            came(self._config.frame_samples)
            first, self._taken = self._taken, self._taken + self._config.frame_samples
            yield SoundPacket(bytes(packet), heard_ns(first))

    def flush(self, heard_ns: HeardNs) -> Iterator[SoundPacket]:  # noqa: ARG002 - nothing is ever held back
        yield from ()
