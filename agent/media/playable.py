"""Says whether a film, a sound or a still can be opened: by the formats that a doorbell writes and by no others.

FFmpeg guesses formats and has hundreds of decoders, and what a stranger sends is the stranger's choice.  Here the
container is MP4, pictures are H.264 or HEVC, sound is AAC, a still is a JPEG; everything else is refused before a
decoder sees it.  "Can be opened" means: every packet has a time that makes sense, every key frame becomes a picture,
all sound becomes sound.
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
    """Its first track of pictures.  Raises `FormatError` if there is none of a kind that doorbells record."""
    stream = next(iter(container.streams.video), None)
    if stream is None or stream.codec_context is None or stream.codec_context.name not in _PICTURES:
        raise FormatError("This is not a segment's video.")
    if not 0 < stream.width * stream.height <= _MOST_PIXELS:
        raise FormatError(f"Its pictures claim to be {stream.width} by {stream.height} pixels.")
    stream.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}
    return stream


def sound_of(container: InputContainer) -> av.AudioStream:
    """Its first track of sound.  Raises `FormatError` if there is none of a kind that doorbells record."""
    stream = next(iter(container.streams.audio), None)
    if stream is None or stream.codec_context is None or stream.codec_context.name not in _SOUND:
        raise FormatError("This is not a segment's sound.")
    if not 0 < stream.codec_context.sample_rate <= _MOST_RATE_HZ:
        raise FormatError("Its sound claims a rate that no sound has.")
    return stream


def check_film(media: bytes) -> None:
    """Raises `FormatError`, with the reason, for a segment's pictures that cannot be opened."""
    try:
        with av.open(BytesIO(media), mode="r", format="mp4") as container:
            stream = pictures_of(container)
            stream.codec_context.thread_count = 1
            stream.codec_context.skip_frame = "NONKEY"
            shown = 0
            for packet in container.demux(stream):
                _require_time(packet)
                shown += len(packet.decode())
    except (av.error.FFmpegError, OverflowError, ValueError) as error:
        raise FormatError("Its video does not decode.") from error
    if not shown:
        raise FormatError("Not one picture of it decodes.")


def check_sound(media: bytes) -> None:
    """The same of a segment's sound."""
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
        raise FormatError("Nothing of its sound decodes.")


def check_still(image: bytes) -> None:
    """The same of a clip's still, a JPEG."""
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
    """An empty packet ends a stream and has none."""
    base = packet.time_base or Fraction(1)
    for ticks in (packet.pts, packet.dts, packet.duration):
        if packet.size and ticks is not None and abs(ticks * base) > _LONGEST_S:
            raise FormatError("It claims to last longer than a segment can.")
    if packet.size and packet.pts is None:
        raise FormatError("Not all of it has a time.")
