"""A Raspberry Pi camera through picamera2: H.264 from the board's own encoder, luma from the small stream.

    camera thread (picamera2's)   masks the picture, encodes or hands to the hardware
    encoder thread (hardware's)   Annex-B bytes into a short queue, as they are
    our thread                    takes the newest frame, its luma by reference, and delivers both to the sink

Rules:
- The camera thread is never kept: no call of ours runs on it but the mask's fill, and what comes too fast for the
  sink is dropped and counted, never queued.
- One copy of a luma frame is made, by whoever keeps it; none of an encoded one.  Full pictures are never copied.
- What was asked for is read back: size and format come from `camera_configuration()`, frame rates are clamped to what
  the sensor offers, and controls that a camera lacks are not set, because picamera2 raises for those.
- Sensor times are `SensorTimestamp` (CLOCK_MONOTONIC) moved to the boot clock, to the microsecond the encoder keeps.
- A hardware encoder that is missing or falls silent is remembered in `EncoderChoice`, and the next attempt encodes in
  software, smaller.  A pipeline that cannot be closed within `_CLOSING_S` is left behind and said so: only a new
  process helps then.

picamera2 is Debian's (`python3-picamera2`) and belongs to the system's Python, so it is imported when a camera is
opened.  Sources: the Picamera2 manual; picamera2's own code where that is silent; FIELD.md.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import structlog

from agent.adapters.delivery import Delivery, Ending
from agent.adapters.encoding import EncodingSettings, Polygon, luma_size
from agent.core.media import EncodedPacket, Light, Luma, LumaFrame, StreamDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DeviceError, InternalError
from agent.ports import CameraEnd, CameraSink

__all__ = ["EncoderChoice", "PiCamera", "PiMode"]

_CLOSING_S: Final = 5.0
_LOOK_S: Final = 0.2
_QUEUED_PACKETS: Final = 64
"""Four seconds at 15 frames a second: a sink that is later than that has lost them anyway."""
_FAR_BEHIND: Final = 16
_AT_ONCE: Final = 4
_SILENT_S: Final = 3.0
"""Frames without a packet for so long: the encoder has stalled."""
_SOFTWARE_WIDEST_PX: Final = 640
_SMALLER: Final = 0.75
_ATTEMPTS: Final = 3
_FORMATS: Final = ("YUV420", "NV12")
_HARDWARE_ENCODER: Final = Path("/dev/video11")
_BLACK, _NEUTRAL = 16, 128


@dataclass(slots=True)
class EncoderChoice:
    """Which encoder the next attempt takes.  Shared by the attempts of one process."""

    hardware: bool
    why_not: str = ""

    def give_up_hardware(self, why: str) -> None:
        self.hardware, self.why_not = False, why


@dataclass(frozen=True, slots=True)
class PiMode:
    """What to ask of the camera.  `focus_m`: fixed focus for lenses that move; hunting looks like motion."""

    size_px: tuple[int, int] = (1280, 720)
    frames_per_s: int = 15
    bitrate_kbps: int = 4000
    number: int = 0
    rotate: bool = False
    """By 180 degrees."""
    mirror: bool = False
    focus_m: float = 2.0
    buffers: int = 4

    def smaller(self) -> PiMode:
        """A quarter less each way: for memory that does not suffice."""
        width, height = (max(160, round(side * _SMALLER / 16) * 16) for side in self.size_px)
        return replace(self, size_px=(width, height), buffers=max(2, self.buffers - 1))

    def at_most(self, widest_px: int) -> PiMode:
        width, height = self.size_px
        if width <= widest_px:
            return self
        return replace(self, size_px=(widest_px, round(height * widest_px / width / 2) * 2))


def _open_picamera2(number: int) -> Any:
    from picamera2 import Picamera2

    return Picamera2(number)


def _cameras() -> list[Any]:
    from picamera2 import Picamera2

    return list(Picamera2.global_camera_info())


class PiCamera:
    """Implements `ports.Camera`.  `make` and `cameras` are the seams by which tests bring a virtual pipeline."""

    def __init__(
        self,
        mode: PiMode | None = None,
        *,
        settings: EncodingSettings | None = None,
        encoder: EncoderChoice | None = None,
        make: Callable[[int], Any] = _open_picamera2,
        cameras: Callable[[], list[Any]] = _cameras,
    ) -> None:
        self._mode = mode or PiMode()
        self._settings = settings or EncodingSettings()
        self._choice = encoder or EncoderChoice(hardware=False)
        self._make = make
        self._cameras = cameras
        self._log = structlog.get_logger("camera")
        self._camera: Any = None
        self._encoder: Any = None
        self._description: StreamDescription | None = None
        self._delivery: Delivery | None = None
        self._hangs = False
        self.dropped = 0
        """Frames and packets that came too fast for the sink."""

    def open(self) -> StreamDescription:
        """Raises `DeviceError` with the remedy: no camera, busy, no memory, a format nobody can encode."""
        mode = self._mode if self._choice.hardware else self._mode.at_most(self._software_widest_px)
        with _remedies():
            found = self._cameras()
            if self._mode.number >= len(found):
                raise _no_camera(self._mode.number, len(found))
        for attempt in range(_ATTEMPTS):
            with _remedies():
                camera = self._make(self._mode.number)
            try:
                with _remedies():
                    self._description = self._configure(camera, mode)
            except BaseException as error:
                with contextlib.suppress(Exception):
                    camera.close()
                if not _out_of_memory(error) or attempt + 1 == _ATTEMPTS:
                    raise
                mode = mode.smaller()
                self._log.warning("camera_memory_short", trying=f"{mode.size_px[0]}x{mode.size_px[1]}")
                continue
            self._camera = camera
            break
        if self._description is None:
            raise InternalError("A camera was opened without a description.")
        return self._description

    @property
    def _software_widest_px(self) -> int:
        return _SOFTWARE_WIDEST_PX if self._choice.why_not else self._mode.size_px[0]

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:  # noqa: ARG002 - a live camera has its own clock
        camera, description = self._camera, self._description
        if camera is None or description is None:
            raise InternalError("A camera was started before it was opened.")
        self._camera = None

        def deliver(stopping: threading.Event) -> Ending:
            taps = _Tap()
            try:
                return self._deliver(camera, description, taps, sink, stopping)
            finally:
                self._close(camera)
                rest = taps.take()  # what the encoder still held; of a sink that is far behind, nothing more
                for packet in rest if len(rest) < _FAR_BEHIND else ():
                    sink.packet(packet)

        self._delivery = Delivery("camera-pi", deliver, sink)
        self._delivery.start()

    def request_keyframe(self) -> None:
        encoder = self._encoder
        if encoder is not None and hasattr(encoder, "force_key_frame"):  # since picamera2 0.3.32
            encoder.force_key_frame()

    def stop(self) -> None:
        """Raises `DeviceError` when the pipeline hangs: nothing in this process can close it."""
        if self._delivery is not None:
            self._delivery.stop()
        elif self._camera is not None:
            camera, self._camera = self._camera, None
            self._close(camera)
        if self._hangs:
            raise DeviceError("The camera's pipeline hangs and cannot be closed.", remedy="Restart Doorward.")

    # --- Opening

    def _configure(self, camera: Any, mode: PiMode) -> StreamDescription:
        """Configure, then say what was really given."""
        controls = _controls(camera, mode)
        width, height = luma_size(*mode.size_px)
        wanted = camera.create_video_configuration(
            main={"size": mode.size_px, "format": "YUV420"},
            lores={"size": (width, height), "format": "YUV420"},
            raw=None,
            buffer_count=mode.buffers,
            controls=controls,
            **_transform(mode),
        )
        camera.configure(wanted)
        given = camera.camera_configuration()
        for name in ("main", "lores"):
            if str(given[name]["format"]) not in _FORMATS:
                raise DeviceError(
                    f"The camera gives {given[name]['format']} pictures, which cannot be used.",
                    remedy="Update picamera2 and libcamera:  sudo apt full-upgrade",
                )
        if self._settings.masks:
            camera.pre_callback = _Masks(self._settings.masks)
        (width_px, height_px), (luma_width_px, luma_height_px) = given["main"]["size"], given["lores"]["size"]
        rate = NS_PER_S / 1000 / controls["FrameDurationLimits"][0] if controls.get("FrameDurationLimits") else None
        return StreamDescription(
            width_px, height_px, rate or float(mode.frames_per_s), luma_width_px, luma_height_px, live=True
        )

    def _make_encoder(self, description: StreamDescription) -> Any:
        rate = max(1, round(description.frames_per_s))
        bits = self._mode.bitrate_kbps * 1000
        if not self._choice.hardware:
            return _software_encoder(bits, rate)
        if not _HARDWARE_ENCODER.exists():
            raise DeviceError("The board's H.264 encoder is missing.", remedy="It goes on in software, smaller.")
        from picamera2.encoders import H264Encoder

        return H264Encoder(bitrate=bits, repeat=True, iperiod=rate, framerate=rate, profile="high")

    # --- Delivering

    def _deliver(
        self, camera: Any, description: StreamDescription, tap: _Tap, sink: CameraSink, stopping: threading.Event
    ) -> Ending:
        try:
            with _remedies():
                encoder = self._make_encoder(description)
                tap.listen_to(encoder)
                camera.start_encoder(encoder, tap.output(), name="main")
                camera.start()
        except DeviceError as error:
            if self._choice.hardware:
                self._choice.give_up_hardware(str(error))
            return CameraEnd.LOST, str(error)
        self._encoder = encoder
        frame_ns = NS_PER_S / description.frames_per_s
        last_ns, heard_ns = 0, time.monotonic_ns()
        for request in self._requests(camera, stopping, lambda: self._pass_on(tap, sink, stopping)):
            if request is None:
                continue
            light = sensor_ns = None
            try:
                metadata = request.get_metadata()
                sensor_ns, light = _sensor_ns(metadata), _light(metadata)
                if sensor_ns > last_ns:
                    self.dropped += max(0, round((sensor_ns - last_ns) / frame_ns) - 1) if last_ns else 0
                    last_ns = sensor_ns
                    self._pass_luma(request, description, LumaFrame(_NOTHING, tap.boot_ns(sensor_ns), light), sink)
            finally:
                request.release()
            heard_ns = time.monotonic_ns() if self._pass_on(tap, sink, stopping) else heard_ns
            if self._choice.hardware and time.monotonic_ns() - heard_ns > _SILENT_S * NS_PER_S:
                self._choice.give_up_hardware("it gave nothing")
                return CameraEnd.LOST, "The board's H.264 encoder gives nothing: it goes on in software, smaller."
        return CameraEnd.STOPPED, "The camera was stopped."

    def _requests(self, camera: Any, stopping: threading.Event, idle: Callable[[], object]) -> Iterator[Any]:
        """The newest frame, again and again, until `stopping`.  None now and then while there is none."""
        while not stopping.is_set():
            job = camera.capture_request(wait=False)
            while not stopping.is_set():
                try:
                    request = job.get_result(timeout=_LOOK_S)
                except (NotYet, TimeoutError):
                    idle()
                    yield None
                    continue
                yield request
                break
            else:
                camera.cancel_all_and_flush()

    def _pass_luma(self, request: Any, description: StreamDescription, frame: LumaFrame, sink: CameraSink) -> None:
        from picamera2 import MappedArray

        with MappedArray(request, "lores", write=False) as mapped:
            # Luma is the first rows in YUV420 and NV12 alike; the padding behind each row is left where it is.
            luma: Luma = mapped.array[: description.luma_height_px, : description.luma_width_px]
            sink.luma(replace(frame, luma=luma))

    def _pass_on(self, tap: _Tap, sink: CameraSink, stopping: threading.Event) -> bool:
        """Deliver the packets that have come; were there any?"""
        packets = tap.take()
        for number, packet in enumerate(packets):
            if stopping.is_set() or number == _AT_ONCE:  # the newest frame must not wait behind a backlog
                tap.put_back(packets[number:])
                break
            sink.packet(packet)
        self.dropped += tap.take_overflow()
        return bool(packets)

    def _close(self, camera: Any) -> None:
        """picamera2's own closing, which can hang in the kernel: so in a thread, and not waited for without end."""
        encoder, self._encoder = self._encoder, None

        def close() -> None:
            with contextlib.suppress(Exception):
                camera.stop_encoder()
            with contextlib.suppress(Exception):
                camera.stop()
            with contextlib.suppress(Exception):
                camera.close()

        closing = threading.Thread(target=close, name="camera-pi-closing", daemon=True)
        closing.start()
        closing.join(_CLOSING_S)
        self._hangs = closing.is_alive()
        if self._hangs and encoder is not None and self._choice.hardware:
            self._choice.give_up_hardware("its pipeline hung")


def _software_encoder(bits: int, rate: int) -> Any:
    """picamera2's libav encoder, its own step replaced.

    picamera2 0.3.38 asks PyAV for a keyframe by a letter, which PyAV refuses since version 15: the first request would
    end the camera's thread.  And whatever else goes wrong in here must not end that thread either: the encoder then
    gives nothing, and whoever waits for packets knows what that means.
    """
    import av
    from av.video.frame import PictureType
    from picamera2 import MappedArray
    from picamera2.encoders import LibavH264Encoder

    class Software(LibavH264Encoder):  # type: ignore[misc] # picamera2 has no types
        _key_frames_generated: int

        def _encode(self, stream: Any, request: Any) -> None:
            try:
                with MappedArray(request, stream, write=False) as mapped:
                    picture = av.VideoFrame.from_numpy_buffer(mapped.array, self._av_input_format, width=self.width)
                    picture.pts = self._timestamp(request)
                    if self._key_frames_requested > self._key_frames_generated:
                        self._key_frames_generated = self._key_frames_requested
                        picture.pict_type = PictureType.I
                    # x264 without look-ahead has read the picture when this returns, so nothing needs to be held.
                    packets = self._stream.encode(picture)
                for packet in packets:
                    self.outputframe(bytes(packet), packet.is_keyframe, timestamp=packet.pts, packet=packet)
            except (av.error.FFmpegError, ValueError, TypeError, RuntimeError) as error:
                structlog.get_logger("camera").warning("picture_not_encoded", error=type(error).__name__)

    encoder = Software(bitrate=bits, repeat=True, iperiod=rate, framerate=rate, profile="high")
    encoder.threads = 1  # frame threads would hold a picture back for each
    return encoder


_NOTHING: Final[Luma] = np.empty((0, 0), np.uint8)


@dataclass(slots=True)
class _Tap:
    """Takes packets from the encoder's thread: bounded, the rest of a GOP is dropped with its first lost packet."""

    _packets: deque[EncodedPacket] = field(default_factory=deque)
    _encoder: Any = None
    _skipping: bool = False
    _overflow: int = 0
    _shift_ns: int = field(
        default_factory=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    )

    def listen_to(self, encoder: Any) -> None:
        self._encoder = encoder

    def output(self) -> Any:
        """An `Output` of picamera2's that feeds this."""
        from picamera2.outputs import Output

        tap = self

        class Outlet(Output):  # type: ignore[misc] # picamera2 has no types
            def outputframe(
                self,
                frame: bytes,
                keyframe: bool = True,
                timestamp: int = 0,
                packet: Any = None,  # noqa: ARG002 - None with the hardware's encoder, and the same bytes otherwise
                audio: bool = False,
            ) -> None:
                if not audio:
                    tap.put(bytes(frame), keyframe, timestamp)

        return Outlet()

    def put(self, data: bytes, keyframe: bool, timestamp_us: int) -> None:
        """`timestamp_us` counts from the encoder's first frame."""
        first_us = self._encoder.firsttimestamp or 0
        self._skipping = (self._skipping and not keyframe) or len(self._packets) >= _QUEUED_PACKETS
        if self._skipping:
            self._overflow += 1
            return
        self._packets.append(EncodedPacket(data, keyframe, self.boot_ns((first_us + timestamp_us) * 1000)))

    def take(self) -> list[EncodedPacket]:
        taken = []
        while self._packets:
            taken.append(self._packets.popleft())
        return taken

    def put_back(self, packets: list[EncodedPacket]) -> None:
        self._packets.extendleft(reversed(packets))

    def take_overflow(self) -> int:
        overflow, self._overflow = self._overflow, 0
        return overflow

    def boot_ns(self, sensor_ns: int) -> BootNs:
        """To the microsecond, as the encoder keeps it, so that a frame's luma and packet have one time."""
        return BootNs(sensor_ns // 1000 * 1000 + self._shift_ns)


class _Masks:
    """picamera2's `pre_callback`: privacy zones are black before encoder and detector see the picture."""

    def __init__(self, polygons: tuple[Polygon, ...]) -> None:
        self._polygons = polygons
        self._corners: dict[tuple[int, int], list[npt.NDArray[np.int32]]] = {}

    def __call__(self, request: Any) -> None:
        from picamera2 import MappedArray

        for name in ("main", "lores"):
            with MappedArray(request, name) as mapped:
                self.blacken(mapped.array, request.config[name])

    def blacken(self, pixels: npt.NDArray[np.uint8], stream: dict[str, Any]) -> None:
        """`pixels`: (H·3/2, stride) uint8, Y above chroma, written in place."""
        width, height = stream["size"]
        cv2.fillPoly(pixels[:height], self._at(width, height), _BLACK)
        chroma = pixels[height:]
        half = self._at(width // 2, height // 2)
        if str(stream["format"]) == "NV12":
            cv2.fillPoly(chroma.reshape(height // 2, -1, 2), half, (_NEUTRAL, _NEUTRAL))
        else:
            for plane in chroma.reshape(2, height // 2, -1):
                cv2.fillPoly(plane, half, _NEUTRAL)

    def _at(self, width: int, height: int) -> list[npt.NDArray[np.int32]]:
        if (width, height) not in self._corners:
            scale = (width - 1, height - 1)
            self._corners[width, height] = [
                np.rint(np.array(polygon, np.float64) * scale).astype(np.int32) for polygon in self._polygons
            ]
        return self._corners[width, height]


# --- What picamera2 says, and what it means


def _transform(mode: PiMode) -> dict[str, Any]:
    if not (mode.rotate or mode.mirror):
        return {}
    import libcamera

    return {"transform": libcamera.Transform(hflip=mode.rotate != mode.mirror, vflip=mode.rotate)}


def _controls(camera: Any, mode: PiMode) -> dict[str, Any]:
    """Only those this camera has; the frame rate within what its sensor offers."""
    offered = camera.camera_controls
    controls: dict[str, Any] = {}
    if "FrameDurationLimits" in offered:
        shortest_us, longest_us = offered["FrameDurationLimits"][:2]
        frame_us = 1_000_000 // mode.frames_per_s
        if shortest_us and longest_us:
            frame_us = max(shortest_us, min(frame_us, longest_us))
        controls["FrameDurationLimits"] = (frame_us, frame_us)
    if "LensPosition" in offered:
        controls |= {"AfMode": 0, "LensPosition": 1 / mode.focus_m}  # manual; dioptres
    return controls


def _sensor_ns(metadata: dict[str, Any]) -> int:
    return int(metadata["SensorTimestamp"])


def _light(metadata: dict[str, Any]) -> Light:
    return Light(metadata.get("ExposureTime"), metadata.get("AnalogueGain"), metadata.get("Lux"))


@contextlib.contextmanager
def _remedies() -> Iterator[None]:
    """Everything picamera2 raises, as a `DeviceError` that says what to do."""
    try:
        yield
    except ImportError as error:
        raise DeviceError(
            f"picamera2 is not here ({error.name}).",
            remedy="sudo apt-get install python3-picamera2, and give the environment the system's packages.",
        ) from error
    except DeviceError:
        raise
    except (RuntimeError, OSError, MemoryError, KeyError, IndexError) as error:
        raise _explained(error) from error


def _explained(error: BaseException) -> DeviceError:
    words = " / ".join(str(cause) for cause in _causes(error))
    if _out_of_memory(error):
        return DeviceError(
            "There is not enough contiguous memory for the camera's pictures.",
            remedy="Give it more in config.txt (dtoverlay=vc4-kms-v3d,cma-256), or a smaller camera.size.",
        )
    if "dmaheap" in words.lower():
        return DeviceError(
            "This system offers no memory for the camera's pictures (/dev/dma_heap).",
            remedy="Use Raspberry Pi OS's kernel with dtoverlay=vc4-kms-v3d, and put this user into the group video.",
        )
    if "busy" in words.lower() or "in use" in words.lower():
        return DeviceError(
            "The camera is busy: another program has it.", remedy="Find it with `sudo fuser -v /dev/media*` and end it."
        )
    return DeviceError(f"The camera cannot be used ({words}).", remedy="See what `rpicam-hello --list-cameras` says.")


def _no_camera(number: int, found: int) -> DeviceError:
    if found:
        return DeviceError(
            f"There is no camera {number}: {found} found, counted from 0.", remedy="Set camera.number to one of them."
        )
    return DeviceError(
        "No Pi camera is found.",
        remedy="Check both ends of the ribbon cable (contacts towards the board's), camera_auto_detect=1 or the "
        "sensor's dtoverlay in config.txt, then `rpicam-hello --list-cameras`.",
    )


def _out_of_memory(error: BaseException) -> bool:
    return any(
        isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM or "allocate" in str(cause)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
