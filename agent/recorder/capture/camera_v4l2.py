"""A USB or other V4L2 camera, read through PyAV's video4linux2 device.

- Two threads: one waits for the device, one encodes and delivers. Between them is a queue of `_QUEUED` pictures. If it
  is full, the *oldest* picture is dropped and counted, so a slow receiver costs frames and never delay.
- Sensor times are the driver's (CLOCK_MONOTONIC, when the frame was captured), moved to the boot clock. A driver with
  another clock keeps its intervals: its first picture counts as captured when it arrives.
- A camera that is unplugged, or silent for `stall_s`, ends with `CameraEnd.LOST`.
- A read that hangs in the kernel cannot be interrupted. Its thread is abandoned, because the watchdog then restarts the
  process. `stop` joins all other threads.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import av
from av.container import InputContainer

from agent.core.media import StreamDescription
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs
from agent.errors import DeviceError
from agent.platform.system_clock import boot_ahead_ns
from agent.ports import CameraEnd, CameraSink
from agent.recorder.capture.delivery import EncodingSettings, Ending, Pipeline, PipelineCamera, describe

__all__ = ["V4l2Camera", "V4l2Mode"]

_QUEUED = 4
_HANGING_READ_S = 5.0
"""A read that takes longer counts as hanging."""
_PLAUSIBLE_AGE_NS = 2 * NS_PER_S
"""A capture time this far from now, either way, is on another clock."""
_REMEDY = "Check the cable and power, that no other program uses it (`fuser`), and `v4l2-ctl --list-devices`."

_Arrival = tuple[av.VideoFrame, BootNs] | DeviceError


@dataclass(frozen=True, slots=True)
class V4l2Mode:
    """The mode to request from the driver. The driver may give another one, which `open` then describes.

    `input_format` is ffmpeg's name for the format on the cable (`mjpeg`, `yuyv422`); if it is empty, the driver
    decides.
    """

    width_px: int = 1280
    height_px: int = 720
    frames_per_s: int = 15
    input_format: str = ""

    def options(self) -> dict[str, str]:
        options = {"video_size": f"{self.width_px}x{self.height_px}", "framerate": str(self.frames_per_s)}
        return options | ({"input_format": self.input_format} if self.input_format else {})


def _open_v4l2(device: str, mode: V4l2Mode) -> InputContainer:
    return av.open(device, mode="r", format="video4linux2", options=mode.options())


class V4l2Camera(PipelineCamera):
    """Implements `ports.Camera` for `/dev/videoN`.  `opener` is the seam by which tests bring another input device."""

    def __init__(
        self,
        device: str,
        mode: V4l2Mode | None = None,
        *,
        settings: EncodingSettings | None = None,
        stall_s: float = 10.0,
        opener: Callable[[str, V4l2Mode], InputContainer] = _open_v4l2,
    ) -> None:
        super().__init__("camera-v4l2", settings)
        self._device = device
        self._mode = mode or V4l2Mode()
        self._stall_s = stall_s
        self._opener = opener
        self.dropped = 0
        """Pictures that were overtaken because the receiver was slow."""

    def open(self) -> StreamDescription:
        """Raises `DeviceError` if the camera is missing or busy, or offers no video."""
        try:
            self._container = container = self._opener(self._device, self._mode)
            stream = container.streams.video[0]
        except FileNotFoundError as error:
            raise DeviceError(
                f"There is no camera at '{self._device}'.",
                remedy="Check the cable, and `v4l2-ctl --list-devices` for its name.",
            ) from error
        except (av.error.FFmpegError, OSError, IndexError) as error:
            raise DeviceError(f"The camera '{self._device}' cannot be opened ({error}).", remedy=_REMEDY) from error
        rate = float(stream.average_rate or self._mode.frames_per_s)
        self._description = describe(stream.width, stream.height, rate, widest_px=self._settings.widest_px, live=True)
        return self._description

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:  # noqa: ARG002 - a live camera has its own clock
        pipeline = self._new_pipeline(sink)
        container, arrivals = self._require_open(self._container), queue.Queue[_Arrival](_QUEUED)
        stopped = threading.Event()
        # A daemon: a read that hangs in the kernel must not keep the process from its end.
        reader = threading.Thread(
            target=self._read, args=(container, arrivals, stopped), name="camera-v4l2-reader", daemon=True
        )

        def deliver(stopping: threading.Event) -> Ending:
            reader.start()
            try:
                return self._deliver(pipeline, arrivals, stopping)
            finally:
                stopped.set()
                reader.join(_HANGING_READ_S)

        self._begin(pipeline, deliver, sink)

    def _deliver(self, pipeline: Pipeline, arrivals: queue.Queue[_Arrival], stopping: threading.Event) -> Ending:
        heard_ns, last_ns = time.monotonic_ns(), 0
        while not stopping.is_set():
            try:
                arrival = arrivals.get(timeout=0.2)
            except queue.Empty:
                if time.monotonic_ns() - heard_ns > self._stall_s * NS_PER_S:
                    pipeline.flush()
                    silence = f"The camera '{self._device}' has sent no picture for {self._stall_s:.0f} s. {_REMEDY}"
                    return CameraEnd.LOST, silence
                continue
            if isinstance(arrival, DeviceError):
                pipeline.flush()
                return CameraEnd.LOST, str(arrival)
            heard_ns = time.monotonic_ns()
            picture, sensor_ns = arrival
            if sensor_ns > last_ns:  # a driver that repeats a time repeats a picture
                last_ns = sensor_ns
                pipeline.feed(picture, sensor_ns)
        pipeline.flush()
        return CameraEnd.STOPPED, "The camera was stopped."

    def _read(self, container: InputContainer, arrivals: queue.Queue[_Arrival], stopped: threading.Event) -> None:
        """The reading thread: from the device to the queue until `stopped`. No other thread touches the device."""
        clock = _SensorClock()
        cause = "it has ended its stream"
        with container:
            try:
                for packet in container.demux(video=0):
                    if stopped.is_set():
                        return
                    for picture in _decoded(packet):
                        self._hand_over(arrivals, (picture, clock.boot_ns(picture)))
            except (av.error.FFmpegError, OSError) as error:
                cause = str(error)
        lost = DeviceError(f"The camera '{self._device}' stopped sending pictures ({cause}).", remedy=_REMEDY)
        self._hand_over(arrivals, lost)

    def _hand_over(self, arrivals: queue.Queue[_Arrival], arrival: _Arrival) -> None:
        while True:
            try:
                return arrivals.put_nowait(arrival)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    # The oldest goes, because the newest picture says the most about the present.
                    arrivals.get_nowait()
                    self.dropped += 1


def _decoded(packet: av.Packet[av.VideoStream]) -> list[av.VideoFrame]:
    """Returns nothing for a packet that was torn on the cable, which USB cameras send now and then."""
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        return []


class _SensorClock:
    """Moves a driver's capture times to the boot clock."""

    def __init__(self) -> None:
        self._shift_ns: int | None = None

    def boot_ns(self, picture: av.VideoFrame) -> BootNs:
        now_ns, boot_ns = time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if picture.pts is None or picture.time_base is None:
            return BootNs(boot_ns)
        captured_ns = round(picture.pts * picture.time_base * NS_PER_S)
        if self._shift_ns is None:
            # A plausible age shows CLOCK_MONOTONIC. Some drivers count from another beginning.
            monotonic = -NS_PER_MS <= now_ns - captured_ns <= _PLAUSIBLE_AGE_NS
            self._shift_ns = boot_ahead_ns(time.CLOCK_MONOTONIC) if monotonic else boot_ns - captured_ns
        return BootNs(captured_ns + self._shift_ns)
