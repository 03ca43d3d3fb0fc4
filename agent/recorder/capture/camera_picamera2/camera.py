"""A Pi camera's life: opened by what it really gives, delivering until it is stopped or lost, closed in time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from functools import partial
from typing import Any, Final

import structlog

from agent.core.media import Light, Luma, LumaFrame, StreamDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DeviceError, InternalError
from agent.ports import CameraEnd, CameraSink, MaskedArea
from agent.recorder.capture.camera_picamera2.encoding import EncoderChoice, EncoderTap, make_encoder
from agent.recorder.capture.camera_picamera2.faults import no_camera, out_of_memory, remedies
from agent.recorder.capture.camera_picamera2.mode import HDR_SENSORS, PiMode, controls_for, has_hdr, transform_for
from agent.recorder.capture.camera_picamera2.pictures import PrivacyRetouch, picture_of
from agent.recorder.capture.delivery import DeliveryThread, EncodingSettings, Ending, luma_size

__all__ = ["PiCamera"]

_CLOSING_S: Final = 5.0
_LOOK_S: Final = 0.2
_FAR_BEHIND: Final = 16
_AT_ONCE: Final = 4
_SILENT_S: Final = 3.0
"""The encoder has stalled if this many seconds of frames give no packet."""
_SOFTWARE_WIDEST_PX: Final = 640
_ATTEMPTS: Final = 3
_FORMATS: Final = ("YUV420", "NV12")


def _open_picamera2(number: int) -> Any:
    from picamera2 import Picamera2

    return Picamera2(number)


def _cameras() -> list[Any]:
    from picamera2 import Picamera2

    return list(Picamera2.global_camera_info())


def cameras_here(cameras: Callable[[], list[Any]] = _cameras) -> tuple[str, ...]:
    """Returns the sensors that libcamera finds, by camera number. Raises `DeviceError` if libcamera fails to answer."""
    with remedies():
        found = cameras()
    return tuple(_model(each) for each in found)


def _model(found: Any) -> str:
    return str(found.get("Model") or "unnamed") if isinstance(found, dict) else "unnamed"


def _switch_sensor_hdr(number: int, on: bool) -> None:
    """The driver keeps the switch until the board restarts, so it is also set to off."""
    from picamera2.devices.imx708 import IMX708

    with IMX708(number) as sensor:
        sensor.set_sensor_hdr_mode(on)


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
        switch_sensor_hdr: Callable[[int, bool], None] = _switch_sensor_hdr,
    ) -> None:
        self._mode = mode or PiMode()
        self._settings = settings or EncodingSettings()
        self._choice = encoder or EncoderChoice(hardware=False)
        self._make = make
        self._cameras = cameras
        self._switch_sensor_hdr = switch_sensor_hdr
        self._sensor = ""
        self._log = structlog.get_logger("camera")
        self._camera: Any = None
        self._encoder: Any = None
        self._running: Any = None
        self._flips = (False, False)
        self._masked_ns: int | None = None
        """When a mask was drawn, on the boot clock, until a keyframe has been taken under it."""
        self._description: StreamDescription | None = None
        self._delivery: DeliveryThread | None = None
        self._hangs = False
        self.lacks_hdr = False
        """HDR was asked for, and neither sensor nor board has it. Known after `open`."""
        self.dropped = 0
        """Frames and packets that came too fast for the sink."""

    def open(self) -> StreamDescription:
        """Raises `DeviceError` with the remedy if the camera is missing or busy, memory is short, or every encoder
        refuses the format."""
        mode = self._mode if self._choice.hardware else self._mode.at_most(self._software_widest_px)
        with remedies():
            found = self._cameras()
            if self._mode.number >= len(found):
                raise no_camera(self._mode.number, len(found))
        self._sensor = _model(found[self._mode.number])
        self._set_sensor_hdr()
        # Contiguous memory (CMA) may be short. Each further attempt asks for a smaller picture and fewer buffers.
        for attempt in range(_ATTEMPTS):
            with remedies():
                camera = self._make(self._mode.number)
            try:
                with remedies():
                    self._description = self._configure(camera, mode)
            except BaseException as error:
                with contextlib.suppress(Exception):
                    # Otherwise the camera stays claimed, and the next attempt finds it busy.
                    camera.close()
                if not out_of_memory(error) or attempt + 1 == _ATTEMPTS:
                    raise
                mode = mode.smaller()
                self._log.warning("camera_memory_short", trying=f"{mode.size_px[0]}x{mode.size_px[1]}")
                continue
            self._camera = camera
            break
        if self._description is None:
            raise InternalError("A camera was opened without a description.")
        return self._description

    def _set_sensor_hdr(self) -> None:
        """Sensor modes depend on HDR, so it is set before the camera is opened."""
        if self._sensor not in HDR_SENSORS:
            return
        try:
            self._switch_sensor_hdr(self._mode.number, self._mode.hdr)
        except Exception as error:  # noqa: BLE001 — a picture without HDR is better than none
            if self._mode.hdr:
                self._log.warning("camera_hdr_failed", error=str(error))

    @property
    def _software_widest_px(self) -> int:
        return _SOFTWARE_WIDEST_PX if self._choice.why_not else self._mode.size_px[0]

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:  # noqa: ARG002 - a live camera has its own clock
        camera, description = self._camera, self._description
        if camera is None or description is None:
            raise InternalError("A camera was started before it was opened.")
        self._camera, self._running = None, camera

        def deliver(stopping: threading.Event) -> Ending:
            tap = EncoderTap()
            try:
                return self._deliver(camera, description, tap, sink, stopping)
            finally:
                self._running = None
                self._close(camera)
                rest = tap.take()  # the encoder's last packets, if the sink keeps up
                for packet in rest if len(rest) < _FAR_BEHIND else ():
                    sink.packet(packet)

        self._delivery = DeliveryThread("camera-pi", deliver, sink)
        self._delivery.start()

    def request_keyframe(self) -> None:
        encoder = self._encoder
        if encoder is not None and hasattr(encoder, "force_key_frame"):  # since picamera2 0.3.32
            encoder.force_key_frame()

    def mask(self, zones: MaskedArea) -> bool:
        camera = self._running
        if camera is None:
            return False
        self._retouch(camera, zones)
        # Read behind the replacement: a picture taken before this time may have the old mask.
        self._masked_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.request_keyframe()
        return True

    def stop(self) -> None:
        """Raises `DeviceError` if the pipeline hangs: only a new process can close it."""
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
        controls = controls_for(camera, mode, self._sensor)
        self.lacks_hdr = mode.hdr and not has_hdr(camera, self._sensor)
        if self.lacks_hdr:
            self._log.warning("camera_without_hdr", sensor=self._sensor, remedy="Set camera.hdr = false.")
        width, height = luma_size(*mode.size_px)
        wanted = camera.create_video_configuration(
            main={"size": mode.size_px, "format": "YUV420"},
            lores={"size": (width, height), "format": "YUV420"},
            raw=None,
            buffer_count=mode.buffers,
            controls=controls,
            **transform_for(mode),
        )
        camera.configure(wanted)
        given = camera.camera_configuration()
        for name in ("main", "lores"):
            if str(given[name]["format"]) not in _FORMATS:
                raise DeviceError(
                    f"The camera gives {given[name]['format']} pictures, which cannot be used.",
                    remedy="Update picamera2 and libcamera:  sudo apt full-upgrade",
                )
        self._flips = self._left_to_turn(mode, given.get("transform"))
        self._retouch(camera, self._settings.zones)
        (width_px, height_px), (luma_width_px, luma_height_px) = given["main"]["size"], given["lores"]["size"]
        rate = NS_PER_S / 1000 / controls["FrameDurationLimits"][0] if controls.get("FrameDurationLimits") else None
        return StreamDescription(
            width_px, height_px, rate or float(mode.frames_per_s), luma_width_px, luma_height_px, live=True
        )

    def _retouch(self, camera: Any, zones: MaskedArea) -> None:
        """Replaces the masks. picamera2 reads its `pre_callback` for each picture."""
        retouch = PrivacyRetouch(zones, self._flips)
        camera.pre_callback = None if retouch.idle else retouch

    def _left_to_turn(self, mode: PiMode, given: Any) -> tuple[bool, bool]:
        """Returns the flips that the camera left undone. `given`: libcamera's Transform."""
        wanted = mode.flips
        done = (bool(given.hflip), bool(given.vflip)) if given is not None else (False, False)
        left = (wanted[0] != done[0], wanted[1] != done[1])
        if any(left):
            self._log.warning("camera_does_not_turn", remedy="It is turned here, which costs processor time.")
        return left

    # --- Delivering

    def _deliver(
        self, camera: Any, description: StreamDescription, tap: EncoderTap, sink: CameraSink, stopping: threading.Event
    ) -> Ending:
        try:
            with remedies():
                encoder = make_encoder(
                    self._choice, self._mode.bitrate_kbps * 1000, max(1, round(description.frames_per_s))
                )
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
            try:
                metadata = request.get_metadata()
                sensor_ns = _sensor_ns(metadata)
                if sensor_ns > last_ns:
                    self.dropped += max(0, round((sensor_ns - last_ns) / frame_ns) - 1) if last_ns else 0
                    last_ns = sensor_ns
                    self._pass_luma(request, description, tap.boot_ns(sensor_ns), _light(metadata), sink)
            finally:
                # The camera has few buffers, and stops when all of them are kept.
                request.release()
            heard_ns = time.monotonic_ns() if self._pass_on(tap, sink, stopping) else heard_ns
            if self._choice.hardware and time.monotonic_ns() - heard_ns > _SILENT_S * NS_PER_S:
                self._choice.give_up_hardware("it gave nothing")
                return CameraEnd.LOST, "The board's H.264 encoder gives nothing: it goes on in software, smaller."
        return CameraEnd.STOPPED, "The camera was stopped."

    def _requests(self, camera: Any, stopping: threading.Event, idle: Callable[[], object]) -> Iterator[Any]:
        """Yields the newest frame, again and again, until `stopping`. Yields None now and then if frames are
        missing."""
        while not stopping.is_set():
            # Without waiting: this thread must see `stopping` also if no frame comes.
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

    def _pass_luma(
        self, request: Any, description: StreamDescription, taken_ns: BootNs, light: Light, sink: CameraSink
    ) -> None:
        """Delivers a view of the small stream's luma, of the size that `luma_size` gave. The sink copies it."""
        from picamera2 import MappedArray

        with MappedArray(request, "lores", write=False) as mapped:
            # Luma is the first rows in YUV420 and NV12 alike; the padding behind each row is left where it is.
            luma: Luma = mapped.array[: description.luma_height_px, : description.luma_width_px]
            sink.luma(LumaFrame(luma, taken_ns, light, picture=partial(picture_of, request)))

    def _pass_on(self, tap: EncoderTap, sink: CameraSink, stopping: threading.Event) -> bool:
        """Delivers the packets that have come. Returns whether there were any."""
        packets = tap.take()
        for number, packet in enumerate(packets):
            if stopping.is_set() or number == _AT_ONCE:  # the newest frame must not wait behind a backlog
                tap.put_back(packets[number:])
                break
            # Pictures that were already in the encoder when the mask was drawn lack it.
            anew = packet.keyframe and self._masked_ns is not None and packet.sensor_ns > self._masked_ns
            if anew:
                self._masked_ns = None
            sink.packet(replace(packet, masked_anew=anew))
        self.dropped += tap.take_overflow()
        return bool(packets)

    def _close(self, camera: Any) -> None:
        """Closes the camera in a thread with a time limit, because picamera2's closing can hang in the kernel."""
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


def _sensor_ns(metadata: dict[str, Any]) -> int:
    return int(metadata["SensorTimestamp"])


def _light(metadata: dict[str, Any]) -> Light:
    return Light(metadata.get("Lux"))
