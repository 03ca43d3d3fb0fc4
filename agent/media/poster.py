"""Makes the still of a clip: a JPEG of a GOP's keyframe, or of the frame nearest to a moment.

A poster is footage: whoever calls this seals the result to the same recipients as the segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import av
import cv2

from agent.core.media import EncodedPacket, Gop
from agent.errors import FormatError, InternalError

__all__ = ["WIDEST_POSTER_PX", "poster", "poster_of_media"]

WIDEST_POSTER_PX = 640
_JPEG_QUALITY = 82


def poster(gop: Gop, at_ns: int | None = None, *, widest_px: int = WIDEST_POSTER_PX) -> bytes:
    """JPEG of the GOP's keyframe, or of its frame nearest to `at_ns` (sensor time), at most `widest_px` wide.

    Raises `FormatError` when nothing decodes.
    """
    packets = gop.packets[:1]
    if at_ns is not None:
        nearest = min(range(len(gop.packets)), key=lambda i: abs(gop.packets[i].sensor_ns - at_ns))
        packets = gop.packets[: nearest + 1]
    picture: av.VideoFrame | None = None
    for decoded in _decoded(packets):
        picture = decoded
    if picture is None:
        raise _undecodable()
    return _jpeg(picture, widest_px)


def poster_of_media(media: bytes, at_s: float = 0.0, *, widest_px: int = WIDEST_POSTER_PX) -> bytes:
    """JPEG of an MP4's first frame at or after `at_s` seconds, or its last.  Raises `FormatError` for anything else."""
    picture: av.VideoFrame | None = None
    try:
        with av.open(BytesIO(media), mode="r") as container:
            for decoded in container.decode(video=0):
                picture = decoded
                if picture.time is not None and picture.time >= at_s:
                    break
    except (av.error.FFmpegError, IndexError) as error:
        raise _undecodable() from error
    if picture is None:
        raise _undecodable()
    return _jpeg(picture, widest_px)


def _decoded(packets: tuple[EncodedPacket, ...]) -> Iterator[av.VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    try:
        for packet in packets:
            yield from decoder.decode(av.Packet(packet.data))
        yield from decoder.decode(None)
    except av.error.FFmpegError as error:
        raise _undecodable() from error


def _jpeg(picture: av.VideoFrame, widest_px: int) -> bytes:
    scale = min(1.0, widest_px / picture.width)
    width_px, height_px = round(picture.width * scale), round(picture.height * scale)
    pixels = picture.reformat(width_px, height_px, "bgr24", interpolation="AREA").to_ndarray()
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise InternalError("A poster could not be encoded as JPEG.")
    return encoded.tobytes()


def _undecodable() -> FormatError:
    return FormatError("No picture of this footage decodes.")
