"""Poster of a clip: a JPEG of a GOP's keyframe, or of the frame nearest to a moment.

A poster is footage: the caller must seal the result to the same recipients as the segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

import av
import cv2

from agent.core.media import EncodedPacket, Gop, VideoCodec
from agent.errors import FormatError, InternalError
from agent.media.playable import pictures_of

__all__ = ["WIDEST_POSTER_PX", "poster", "poster_of_media", "preview"]

WIDEST_POSTER_PX = 640
_JPEG_QUALITY = 82
_PREVIEW_WIDTHS_PX = (160, 128, 96)
_PREVIEW_QUALITIES = (60, 40, 30, 20, 10)


def poster(
    parts: Sequence[Gop],
    at_ns: int | None = None,
    *,
    codec: VideoCodec = VideoCodec.H264,
    widest_px: int = WIDEST_POSTER_PX,
    most_pictures: int | None = None,
) -> bytes:
    """Returns a JPEG of a GOP's keyframe, or of its picture nearest to `at_ns` (sensor time), at most `widest_px` wide.

    `parts`: the GOP from its keyframe on. If a picture would take decoding more than `most_pictures`, the keyframe is
    used instead. Raises `FormatError` if no picture decodes.
    """
    packets = [packet for gop in parts for packet in gop.packets]
    wanted = 0
    if at_ns is not None:
        wanted = min(range(len(packets)), key=lambda i: abs(packets[i].sensor_ns - at_ns))
    if most_pictures is not None and wanted >= most_pictures:
        wanted = 0
    found: av.VideoFrame | None = None
    for decoded in _decoded(packets[: wanted + 1], codec):
        # With B-frames the decoder may return an earlier picture last.
        if decoded.pts == wanted or found is None or found.pts != wanted:
            found = decoded
    if found is None:
        raise _undecodable()
    return _jpeg(found, widest_px)


def preview(parts: Sequence[Gop], *, codec: VideoCodec, most_bytes: int) -> bytes:
    """Returns a WebP of a GOP's keyframe of at most `most_bytes`: as wide, and then as good, as fits.

    `parts`: the GOP from its keyframe on. Raises `FormatError` if no picture decodes or none is small enough.
    """
    picture = next(_decoded(parts[0].packets[:1], codec), None)
    if picture is None:
        raise _undecodable()
    for width_px in _PREVIEW_WIDTHS_PX:
        height_px = round(picture.height * width_px / picture.width)
        pixels = picture.reformat(width_px, height_px, "bgr24", interpolation="AREA").to_ndarray()
        for quality in _PREVIEW_QUALITIES:
            done, encoded = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, quality])
            if done and encoded.size <= most_bytes:
                return encoded.tobytes()
    raise FormatError(f"No picture of this footage fits into {most_bytes} bytes.")


def poster_of_media(media: bytes, at_s: float = 0.0, *, widest_px: int = WIDEST_POSTER_PX) -> bytes:
    """Returns a JPEG of an MP4's first frame at or after `at_s` seconds, or its last. Raises `FormatError` for other
    files."""
    picture: av.VideoFrame | None = None
    try:
        with av.open(BytesIO(media), mode="r", format="mp4") as container:
            for decoded in container.decode(pictures_of(container)):
                picture = decoded
                if picture.time is not None and picture.time >= at_s:
                    break
    except (av.error.FFmpegError, IndexError) as error:
        raise _undecodable() from error
    if picture is None:
        raise _undecodable()
    return _jpeg(picture, widest_px)


def _decoded(packets: Sequence[EncodedPacket], codec: VideoCodec) -> Iterator[av.VideoFrame]:
    """Yields the pictures, each with the number of its packet as its time."""
    decoder = av.CodecContext.create(codec.value, "r")
    decoder.thread_count = 1
    try:
        for number, packet in enumerate(packets):
            carried = av.Packet(packet.data)
            carried.pts = number
            yield from decoder.decode(carried)
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
