"""Checks that a film, a sound or a still opens, in the formats that a doorbell writes.

FFmpeg guesses formats and has hundreds of decoders, and a stranger chooses the bytes. Therefore the container must be
MP4, pictures H.264 or HEVC, sound AAC, and a still a JPEG. Other formats are refused before a decoder sees them. For
example, a GIF sent as a still is refused. "Opens" means: each packet has a plausible time, each key frame decodes to a
picture, and all sound decodes.
"""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from typing import Final

import av
from av.container import InputContainer

from agent.errors import FormatError

__all__ = ["check_film", "check_sound", "check_still", "pictures_of", "sound_of"]

_PICTURES: Final = frozenset({"h264", "hevc"})
_SOUND: Final = frozenset({"aac"})
_MOST_PIXELS: Final = 8192 * 4320
"""8K; FFmpeg refuses to decode more."""
_LONGEST_S: Final = 3660
"""A segment is at most an hour long (FORMAT.md)."""
_MOST_RATE_HZ: Final = 96_000


def pictures_of(container: InputContainer) -> av.VideoStream:
    """Returns the first track of pictures. Raises `FormatError` if no track has a format that doorbells record."""
    stream = next(iter(container.streams.video), None)
    if stream is None or stream.codec_context is None or stream.codec_context.name not in _PICTURES:
        raise FormatError("This is not a segment's video.")
    if not 0 < stream.width * stream.height <= _MOST_PIXELS:
        raise FormatError(f"Its pictures claim to be {stream.width} by {stream.height} pixels.")
    # The size in the container is only a claim. The decoder reads it again from the stream, and refuses more.
    stream.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}
    return stream


def sound_of(container: InputContainer) -> av.AudioStream:
    """Returns the first track of sound. Raises `FormatError` if no track has a format that doorbells record."""
    stream = next(iter(container.streams.audio), None)
    if stream is None or stream.codec_context is None or stream.codec_context.name not in _SOUND:
        raise FormatError("This is not a segment's sound.")
    if not 0 < stream.codec_context.sample_rate <= _MOST_RATE_HZ:
        raise FormatError("Its sound claims an invalid sample rate.")
    return stream


def check_film(media: bytes) -> None:
    """Raises `FormatError`, with the reason, if the pictures of a segment fail to open."""
    try:
        with av.open(BytesIO(media), mode="r", format="mp4") as container:
            stream = pictures_of(container)
            stream.codec_context.thread_count = 1
            # Key frames are enough to say that a film opens, and cost a small part of its decoding.
            stream.codec_context.skip_frame = "NONKEY"
            shown = 0
            for packet in container.demux(stream):
                _require_time(packet)
                shown += len(packet.decode())
    except (av.error.FFmpegError, OverflowError, ValueError) as error:
        raise FormatError("Its video does not decode.") from error
    if not shown:
        raise FormatError("None of its pictures decodes.")


def check_sound(media: bytes) -> None:
    """Raises `FormatError`, with the reason, if the sound of a segment fails to open."""
    try:
        with av.open(BytesIO(media), mode="r", format="mp4") as container:
            stream = sound_of(container)
            heard = 0
            for packet in container.demux(stream):
                _require_time(packet)
                heard += len(packet.decode())
    except (av.error.FFmpegError, OverflowError, ValueError) as error:
        raise FormatError("Its sound does not decode.") from error
    if not heard:
        raise FormatError("None of its sound decodes.")


def check_still(image: bytes) -> None:
    """Raises `FormatError`, with the reason, if the still of a clip (a JPEG) fails to open."""
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(_MOST_PIXELS)}
    try:
        pictures = [*decoder.decode(av.Packet(image)), *decoder.decode(None)]
    except (av.error.FFmpegError, ValueError) as error:
        raise FormatError("The picture does not decode.") from error
    if not pictures:
        raise FormatError("The picture does not decode.")


def _require_time(packet: av.Packet[av.VideoStream] | av.Packet[av.AudioStream]) -> None:
    """Raises `FormatError` if a packet with data has an implausible time or none. The empty packet at the end needs
    none."""
    base = packet.time_base or Fraction(1)
    for ticks in (packet.pts, packet.dts, packet.duration):
        if packet.size and ticks is not None and abs(ticks * base) > _LONGEST_S:
            raise FormatError("It claims to last longer than a segment can.")
    if packet.size and packet.pts is None:
        raise FormatError("A packet has no time.")
