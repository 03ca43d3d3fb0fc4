"""The parts that cameras share: the one thread that delivers, and the masks and encoder of raw pictures.

`DeliveryThread` is the life of each camera and microphone: started once, ended once, joined by `stop`. The source
brings a function that delivers until it is asked to stop and closes its source before it returns. `ended` is then
called exactly once and last, whatever happened.  Only that thread ever touches the source: to close a decoder under a
running call from another one, or from the receiver's own call, crashes the process.

Every camera without an encoder (files, USB, the drawn scene) feeds a `Pipeline`, which turns raw pictures into masked
H.264 packets and small luma frames. picamera2 has the hardware's encoder: its `Output` builds `EncodedPacket`s from
Annex-B bytes.

- One picture in, one packet out, in order: B-frames and look-ahead are off. A packet has exactly its picture's time.
- A keyframe comes about every second *of sensor time*, at any frame rate, with SPS and PPS in front.
- `PrivacyMask` blackens the private part of each picture, in place, before encoder, detector and poster see it. The
  black area is exactly `ZoneMap.privacy_mask`, which the detector ignores. It is not drawn with `fillPoly`: if several
  polygons overlap, `fillPoly` leaves open the area that an even number of them covers.

`PipelineCamera` is the base of the cameras with a `Pipeline`. `open` of a subclass sets `_description`, and
`_container` if it opened one. `start` builds the pipeline with `_new_pipeline` and hands it over with `_begin`, which
starts the thread. One `start` for each `open`.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Final, Protocol, TypeVar

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import PictureType
from av.video.reformatter import Interpolation

from agent.core.media import EncodedPacket, Luma, LumaFrame, Picture, StreamDescription
from agent.core.motion.zones import Mask, ZoneMap
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DeviceError, DoorwardError, InternalError
from agent.ports import CameraEnd, CameraSink, MaskedArea

__all__ = [
    "DeliveryThread",
    "EncodingSettings",
    "Ending",
    "H264Encoder",
    "Pipeline",
    "PipelineCamera",
    "PrivacyMask",
    "coloured",
    "describe",
    "luma_size",
    "picture_size",
]

Ending = tuple[CameraEnd, str]


class _Ended(Protocol):
    def ended(self, end: CameraEnd, detail: str) -> None: ...


class DeliveryThread:
    """Runs `deliver(stopping)`, which returns soon after `stopping` is set, in a thread called `name`.

    `start` comes after the source has put this away, for the first packet's receiver may already ask it to stop.
    """

    def __init__(self, name: str, deliver: Callable[[threading.Event], Ending], sink: _Ended) -> None:
        self._sink = sink
        self._stopping = threading.Event()
        # Only the thread holds the function, and only while it runs, because the function holds its source, which holds
        # this. A source in such a circle keeps its encoder, 25 MB at 1280 × 720, until Python looks for circles.
        # A daemon: Python waits for other threads at its end, and a driver that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._run, args=(deliver,), name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to stop and wait for it, unless it is the one that asks.

        Raises `InternalError` when the receiver blocks for half a minute: better a loud end than a silent leak.
        """
        self._stopping.set()
        # The sink may call `stop` from within a delivery. A thread that joins itself would wait for ever.
        if threading.current_thread() is self._thread:
            return
        self._thread.join(30.0)
        if self._thread.is_alive():
            raise InternalError("A receiver did not return for 30 s.")

    def _run(self, deliver: Callable[[threading.Event], Ending]) -> None:
        end, detail = CameraEnd.LOST, "The receiver failed; its own error says why."
        try:
            end, detail = deliver(self._stopping)
        except DoorwardError as error:
            end, detail = CameraEnd.LOST, str(error)
        finally:
            self._sink.ended(end, detail)


Pixels = npt.NDArray[np.uint8]
_BLACK: Final = 16
_NEUTRAL: Final = 128


class PrivacyMask:
    """Masks pictures of any size, and keeps the mask of the last size."""

    def __init__(self, zones: MaskedArea) -> None:
        self._zones = zones
        self._fills: dict[tuple[bool, tuple[int, ...]], _Fill] = {}

    def __bool__(self) -> bool:
        return self._zones.has_privacy

    def black(self, planes: Sequence[Pixels]) -> None:
        """`planes`: Y, (H, W), and chroma of 4:2:0 behind it, one (H/2, W/2, 2) or two (H/2, W/2)."""
        for number, plane in enumerate(planes):
            colour = number > 0
            if (colour, plane.shape) not in self._fills:
                self._fills[colour, plane.shape] = self._drawn(plane.shape, colour=colour)
            self._fills[colour, plane.shape].into(plane)

    def _drawn(self, shape: tuple[int, ...], *, colour: bool) -> _Fill:
        height, width = shape[:2]
        if not colour:
            return _Fill(self._zones.privacy_mask(height, width), _BLACK)
        # A sample of colour is that of four pixels: it goes with the first of them that is private.
        pixels = self._zones.privacy_mask(2 * height, 2 * width)
        mask: Mask = np.asarray(pixels.reshape(height, 2, width, 2).any(axis=(1, 3)))
        return _Fill(mask if len(shape) == 2 else np.repeat(mask[:, :, None], shape[2], axis=2), _NEUTRAL)


class _Fill:
    """`value` where `mask`, (H, W) or (H, W, channels), is true: two quick passes over the box around it."""

    def __init__(self, mask: Mask, value: int) -> None:
        rows, columns = (np.flatnonzero(mask.reshape(*mask.shape[:2], -1).any(axis=(other, 2))) for other in (1, 0))
        self._box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else np.s_[:0, :0]
        inside = mask[self._box]
        self._kept = np.where(inside, 0, 255).astype(np.uint8)
        self._put = np.where(inside, value, 0).astype(np.uint8)

    def into(self, plane: Pixels) -> None:
        if self._kept.size:
            part = plane[self._box]
            cv2.bitwise_and(part, self._kept, dst=part)
            cv2.bitwise_or(part, self._put, dst=part)


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


_Opened = TypeVar("_Opened")


class PipelineCamera:
    """The part of `ports.Camera` that these cameras share. `name` is the name of the delivering thread."""

    def __init__(self, name: str, settings: EncodingSettings | None) -> None:
        self._name = name
        self._settings = settings or EncodingSettings()
        self._description: StreamDescription | None = None
        self._container: InputContainer | None = None
        """The open source, until `start` hands it to the thread that delivers: only that thread closes it."""
        self._pipeline: Pipeline | None = None
        self._delivery: DeliveryThread | None = None

    def request_keyframe(self) -> None:
        if self._pipeline is not None:
            self._pipeline.request_keyframe()

    def mask(self, zones: MaskedArea) -> bool:
        if self._pipeline is not None:
            self._pipeline.mask(zones)
        return self._pipeline is not None

    def stop(self) -> None:
        if self._delivery is not None:
            self._delivery.stop()
        elif self._container is not None:
            self._container.close()
            self._container = None

    def _new_pipeline(self, sink: CameraSink) -> Pipeline:
        return Pipeline(self._require_open(self._description), self._settings, sink)

    def _begin(self, pipeline: Pipeline, deliver: Callable[[threading.Event], Ending], sink: CameraSink) -> None:
        # The first packet's receiver may already call `stop`, so everything is in place before the thread starts.
        self._container, self._pipeline = None, pipeline
        self._delivery = DeliveryThread(self._name, deliver, sink)
        self._delivery.start()

    @staticmethod
    def _require_open(found: _Opened | None) -> _Opened:
        if found is None:
            raise InternalError("A camera was started before it was opened.")
        return found
