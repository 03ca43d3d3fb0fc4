"""Faults of a USB camera that a file lacks: it is missing, vanishes, falls silent, or is faster than its receiver."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
from av.container import InputContainer

from agent.core.media import EncodedPacket
from agent.core.timebase import NS_PER_S
from agent.errors import DeviceError
from agent.platform.system_clock import boot_ahead_ns
from agent.ports import CameraEnd
from agent.recorder.capture import camera_v4l2
from agent.recorder.capture.camera_v4l2 import V4l2Camera, V4l2Mode
from tests.cameras import FIRST_NS, Receiver, play
from tests.input_devices import lavfi


def test_a_missing_camera_is_named_with_the_remedy() -> None:
    with pytest.raises(DeviceError, match=r"no camera at '/dev/video97'.*v4l2-ctl"):
        V4l2Camera("/dev/video97").open()


def test_a_node_that_is_no_camera_is_named_with_the_remedy() -> None:
    with pytest.raises(DeviceError, match=r"'/dev/null' cannot be opened.*Check the cable"):
        V4l2Camera("/dev/null").open()


def test_a_file_in_the_place_of_a_camera_is_refused(tmp_path: Path) -> None:
    (tmp_path / "video0").write_bytes(b"not a device")
    with pytest.raises(DeviceError, match="cannot be opened"):
        V4l2Camera(str(tmp_path / "video0")).open()


def test_what_is_asked_of_the_driver() -> None:
    assert V4l2Mode(640, 480, 30).options() == {"video_size": "640x480", "framerate": "30"}
    assert V4l2Mode(input_format="mjpeg").options()["input_format"] == "mjpeg"


def test_a_camera_that_vanishes_is_lost_with_the_remedy() -> None:
    description, receiver = play(V4l2Camera("testsrc=size=160x120:rate=20:duration=0.5,realtime", opener=lavfi))
    assert description.live
    [(end, detail)] = receiver.ends
    assert end is CameraEnd.LOST
    assert "stopped sending pictures" in detail
    assert "Check the cable" in detail


class FallsSilent:
    """An input device that gives three pictures and then, until `over`, nothing."""

    def __init__(self, container: InputContainer, over: threading.Event) -> None:
        self.streams = container.streams
        self._container = container
        self._over = over

    def __enter__(self) -> FallsSilent:
        return self

    def __exit__(self, *_cause: object) -> None:
        self._container.close()

    def demux(self, *, video: int) -> Iterator[av.Packet]:
        yield from islice(self._container.demux(video=video), 3)
        self._over.wait(60)


def test_a_camera_that_falls_silent_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the camera's clock, that is: it stands still until the last picture is delivered."""
    over = threading.Event()
    receiver = Receiver()

    def opener(graph: str, mode: V4l2Mode) -> InputContainer:
        return FallsSilent(lavfi(graph, mode), over)  # type: ignore[return-value]

    def monotonic_ns() -> int:
        if len(receiver.packets) < 3:
            return FIRST_NS
        over.set()
        return FIRST_NS + 11 * NS_PER_S

    clock = SimpleNamespace(**{**vars(time), "monotonic_ns": monotonic_ns})
    monkeypatch.setattr(camera_v4l2, "time", clock)
    camera = V4l2Camera("testsrc=size=160x120:rate=10:duration=1", opener=opener, stall_s=10)
    camera.open()
    camera.start(receiver, FIRST_NS)
    assert receiver.done.wait(60)
    camera.stop()
    [(end, detail)] = receiver.ends
    assert end is CameraEnd.LOST
    assert "no picture for" in detail
    assert len(receiver.packets) == 3


def test_a_slow_receiver_costs_pictures_and_not_delay() -> None:
    camera = V4l2Camera("testsrc=size=160x120:rate=100:duration=2,realtime=limit=0.05", opener=lavfi)

    def look_long_at_the_first(_packet: EncodedPacket) -> None:
        if len(receiver.packets) == 1:
            enough = camera.dropped + 50
            for _ in range(3000):
                if camera.dropped >= enough:
                    return
                time.sleep(0.01)

    receiver = Receiver(each_packet=look_long_at_the_first)
    camera.open()
    camera.start(receiver, FIRST_NS)
    assert receiver.done.wait(60)
    camera.stop()
    first, second = receiver.packets[:2]
    assert second.sensor_ns - first.sensor_ns > NS_PER_S // 2, "not the one that has waited longest"
    assert camera.dropped >= 50
    assert len(receiver.packets) + camera.dropped == 200


def test_capture_times_are_on_the_boot_clock() -> None:
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    _, receiver = play(V4l2Camera("testsrc=size=160x120:rate=20:duration=0.3,realtime", opener=lavfi))
    after_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before_ns < receiver.packets[0].sensor_ns < after_ns + NS_PER_S // 10


def test_a_drivers_monotonic_capture_time_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph stamps its pictures as V4L2 does: CLOCK_MONOTONIC at capture, half a second before arrival."""
    monkeypatch.setattr(camera_v4l2, "_PLAUSIBLE_AGE_NS", 60 * NS_PER_S)  # a pause of this machine makes it older
    captured_ns = 0

    def opener(graph: str, mode: V4l2Mode) -> InputContainer:
        nonlocal captured_ns
        captured_ns = time.monotonic_ns() - NS_PER_S // 2
        return lavfi(f"{graph},settb=1/1000000,setpts=PTS+{captured_ns // 1000}", mode)

    _, receiver = play(V4l2Camera("testsrc=size=160x120:rate=20:duration=0.1", opener=opener))
    shift_ns = boot_ahead_ns(time.CLOCK_MONOTONIC)
    assert abs(receiver.packets[0].sensor_ns - captured_ns - shift_ns) < NS_PER_S // 1000
