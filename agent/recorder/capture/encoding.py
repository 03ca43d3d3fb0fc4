"""Turns raw pictures into a camera's output: masked H.264 packets and small luma frames.

Every camera without an encoder (files, USB, the drawn scene) feeds a `Pipeline`. picamera2 has the hardware's encoder:
its `Output` builds `EncodedPacket`s from Annex-B bytes.

- One picture in, one packet out, in order: B-frames and look-ahead are off. A packet has exactly its picture's time.
- A keyframe comes about every second *of sensor time*, at any frame rate, with SPS and PPS in front.
- Privacy masks are black before encoder, detector and poster see the picture.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import Interpolation

from agent.core.media import EncodedPacket, Luma, LumaFrame, Picture, StreamDescription
from agent.core.motion.zones import ZoneMap
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DeviceError
from agent.ports import CameraSink, MaskedArea
from agent.recorder.capture.privacy_mask import PrivacyMask

__all__ = ["EncodingSettings", "H264Encoder", "Pipeline", "coloured", "describe", "luma_size", "picture_size"]

_LUMA_WIDTH_PX = 320
_LUMA_STEP_PX = 16
_PICTURE_WIDTH_PX = 640


@dataclass(frozen=True, slots=True)
class EncodingSettings:
    """Settings for turning pictures into packets. `quality` is x264's CRF: 18 looks like the source, 30 is rough.

    `ceiling_kbps` bounds the bits of a second at any quality, because night noise would fill the disk. One picture has
    at most those of `buffer_s`. The privacy zones of `zones` are black.
    """

    widest_px: int = 1280
    quality: int = 25
    ceiling_kbps: int = 4000
    buffer_s: float = 1.0
    preset: str = "superfast"
    keyframe_every_ns: int = NS_PER_S
    zones: ZoneMap = field(default_factory=ZoneMap)


def describe(width_px: int, height_px: int, frames_per_s: float, *, widest_px: int, live: bool) -> StreamDescription:
    """Describes the output of a `Pipeline` for a source: at most `widest_px` wide, both sides even as 4:2:0
    requires."""
    scale = min(1.0, widest_px / width_px)
    width_px, height_px = (max(2, round(side * scale / 2) * 2) for side in (width_px, height_px))
    luma_width_px, luma_height_px = luma_size(width_px, height_px)
    return StreamDescription(width_px, height_px, frames_per_s, luma_width_px, luma_height_px, live)


def luma_size(width_px: int, height_px: int) -> tuple[int, int]:
    """Width and height of the small stream: 320 wide or less, the aspect kept as well as multiples of 16 can."""
    width = max(_LUMA_STEP_PX, min(_LUMA_WIDTH_PX, width_px) // _LUMA_STEP_PX * _LUMA_STEP_PX)
    height = max(_LUMA_STEP_PX, round(width * height_px / width_px / _LUMA_STEP_PX) * _LUMA_STEP_PX)
    return width, height


def picture_size(width_px: int, height_px: int) -> tuple[int, int]:
    """Width and height of the coloured picture for object detection: 640 wide or less, both sides even."""
    width = min(_PICTURE_WIDTH_PX, width_px // 2 * 2)
    return width, max(2, round(height_px * width / width_px / 2) * 2)


def coloured(picture: av.VideoFrame) -> Picture:
    """Returns a small RGB copy of a picture in any format."""
    small = picture.reformat(*picture_size(picture.width, picture.height), "rgb24", interpolation=Interpolation.AREA)
    return np.asarray(small.to_ndarray(), np.uint8)


class H264Encoder:
    """libx264 set up so that it answers every picture with its packet at once."""

    def __init__(self, description: StreamDescription, settings: EncodingSettings) -> None:
        rate = Fraction(max(1.0, description.frames_per_s)).limit_denominator(1001)
        try:
            codec = av.CodecContext.create("libx264", "w")
        except av.error.FFmpegError as error:
            raise DeviceError("This PyAV has no H.264 encoder.", remedy="Install PyAV from its own wheels.") from error
        codec.width, codec.height, codec.pix_fmt = description.width_px, description.height_px, "yuv420p"
        codec.framerate, codec.time_base = rate, 1 / rate
        codec.thread_count = 1
        codec.options = {
            "preset": settings.preset,
            "tune": "zerolatency",
            "crf": str(settings.quality),
            "maxrate": f"{settings.ceiling_kbps}k",
            "bufsize": f"{round(settings.ceiling_kbps * settings.buffer_s)}k",
            # An IDR: pictures behind it must not refer to those before it, because a segment may begin here.
            "forced-idr": "1",
            # Keyframes come by sensor time (`encode`), and not by a count of pictures: the rate of a camera changes.
            "x264-params": "keyint=infinite:scenecut=0:bframes=0:repeat-headers=1:annexb=1",
        }
        self._codec = codec
        # Half a picture early: sensor times jitter, and a picture at 0.999 s would otherwise leave the keyframe to the
        # next.
        self._keyframe_every_ns = settings.keyframe_every_ns - NS_PER_S // math.ceil(rate) // 2
        self._keyframe_ns: int | None = None
        self._sensor_ns: deque[BootNs] = deque()
        self._pictures = 0

    def request_keyframe(self) -> None:
        """The next picture becomes a keyframe.  Safe from any thread: it is one assignment."""
        self._keyframe_ns = None

    def encode(self, picture: av.VideoFrame, sensor_ns: BootNs) -> list[EncodedPacket]:
        """A yuv420p picture of the described size → its packet (a list, for the codec decides when)."""
        due = self._keyframe_ns is None or sensor_ns - self._keyframe_ns >= self._keyframe_every_ns
        if due:
            self._keyframe_ns = sensor_ns
        picture.pict_type = PictureType.I if due else PictureType.NONE
        # The codec counts pictures. The sensor's nanoseconds wait beside it, in the same order.
        picture.pts, picture.time_base = self._pictures, self._codec.time_base
        self._pictures += 1
        self._sensor_ns.append(sensor_ns)
        return self._packets(self._codec.encode(picture))

    def flush(self) -> list[EncodedPacket]:
        """Returns the packets that the codec still holds. Afterwards the encoder is unusable."""
        return self._packets(self._codec.encode(None))

    def _packets(self, packets: Sequence[av.Packet[av.VideoStream]]) -> list[EncodedPacket]:
        return [EncodedPacket(bytes(packet), packet.is_keyframe, self._sensor_ns.popleft()) for packet in packets]


class Pipeline:
    """Picture → mask → packet and luma → sink, on the caller's thread."""

    def __init__(self, description: StreamDescription, settings: EncodingSettings, sink: CameraSink) -> None:
        self._description = description
        self._encoder = H264Encoder(description, settings)
        self._mask = PrivacyMask(settings.zones)
        self._masks: deque[PrivacyMask] = deque()
        """Masks that were drawn and not applied yet, for the time of a picture at most."""
        self._masked_ns: BootNs | None = None
        """The first picture under this mask."""
        self._sink = sink
        self._luma = np.empty((description.luma_height_px, description.luma_width_px), np.uint8)

    def request_keyframe(self) -> None:
        self._encoder.request_keyframe()

    def mask(self, zones: MaskedArea) -> None:
        """From the next picture on, which is a keyframe.  From any thread."""
        self._masks.append(PrivacyMask(zones))

    def feed(self, picture: av.VideoFrame, sensor_ns: BootNs) -> None:
        """Takes a picture in any format; `sensor_ns` must increase from call to call."""
        picture = picture.reformat(self._description.width_px, self._description.height_px, "yuv420p")
        while self._masks:
            self._mask, self._masked_ns = self._masks.popleft(), sensor_ns
            # The first picture under a new mask begins a segment (`masked_anew`), so it must be a keyframe.
            self._encoder.request_keyframe()
        if self._mask:
            picture = self._masked(picture)
        for packet in self._encoder.encode(picture, sensor_ns):
            self._sink.packet(replace(packet, masked_anew=packet.sensor_ns == self._masked_ns))
        height_px, width_px = self._luma.shape
        cv2.resize(_luma_plane(picture), (width_px, height_px), dst=self._luma, interpolation=cv2.INTER_AREA)
        self._sink.luma(LumaFrame(self._luma, sensor_ns, picture=partial(coloured, picture)))

    def _masked(self, picture: av.VideoFrame) -> av.VideoFrame:
        """A copy, for the decoder may still predict from the original."""
        pixels: Luma = np.asarray(picture.to_ndarray(format="yuv420p"), np.uint8)
        luma, chroma = pixels[: picture.height], pixels[picture.height :]
        self._mask.black([luma, *chroma.reshape(2, picture.height // 2, -1)])
        return av.VideoFrame.from_ndarray(pixels, format="yuv420p")

    def flush(self) -> None:
        """Deliver what the encoder still holds."""
        for packet in self._encoder.flush():
            self._sink.packet(packet)


def _luma_plane(picture: av.VideoFrame) -> Luma:
    """Returns the Y plane as a view, without its padding."""
    plane = picture.planes[0]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: picture.height, : picture.width]
