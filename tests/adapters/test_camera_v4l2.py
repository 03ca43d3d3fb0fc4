"""What a USB camera does that a file never does: not be there, vanish, fall silent, be faster than its receiver."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from av.container import InputContainer

from agent.adapters.camera_v4l2 import V4l2Camera, V4l2Mode
from agent.core.timebase import NS_PER_S
from agent.errors import DeviceError
from agent.ports import CameraEnd
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


def test_a_camera_that_falls_silent_is_lost() -> None:
    graph = "testsrc=size=160x120:rate=10:duration=60,setpts='if(lt(N,3),PTS,PTS+2/TB)',realtime=limit=60"
    camera = V4l2Camera(graph, opener=lavfi, stall_s=0.5)
    receiver = Receiver()
    camera.open()
    camera.start(receiver, FIRST_NS)
    assert receiver.done.wait(30)
    camera.stop()
    [(end, detail)] = receiver.ends
    assert end is CameraEnd.LOST
    assert "no picture for" in detail
    assert len(receiver.packets) == 3


def test_a_slow_receiver_costs_pictures_and_not_delay() -> None:
    camera = V4l2Camera("testsrc=size=160x120:rate=100:duration=1,realtime", opener=lavfi)
    hurry = threading.Event()
    receiver = Receiver(each_packet=lambda packet: hurry.wait(0.05))
    camera.open()
    camera.start(receiver, FIRST_NS)
    assert receiver.done.wait(30)
    camera.stop()
    assert camera.dropped > 50
    assert len(receiver.packets) + camera.dropped in range(98, 102)
    last_s = (receiver.packets[-1].sensor_ns - receiver.packets[0].sensor_ns) / NS_PER_S
    assert 0.8 < last_s < 1


def test_capture_times_are_on_the_boot_clock() -> None:
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    _, receiver = play(V4l2Camera("testsrc=size=160x120:rate=20:duration=0.3,realtime", opener=lavfi))
    after_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before_ns < receiver.packets[0].sensor_ns < after_ns + NS_PER_S // 10


def test_a_drivers_monotonic_capture_time_is_believed() -> None:
    """The graph stamps its pictures as V4L2 does: CLOCK_MONOTONIC at capture, half a second before arrival."""
    captured_ns = 0

    def opener(graph: str, mode: V4l2Mode) -> InputContainer:
        nonlocal captured_ns
        captured_ns = time.monotonic_ns() - NS_PER_S // 2
        return lavfi(f"{graph},settb=1/1000000,setpts=PTS+{captured_ns // 1000}", mode)

    _, receiver = play(V4l2Camera("testsrc=size=160x120:rate=20:duration=0.1", opener=opener))
    shift_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    assert abs(receiver.packets[0].sensor_ns - captured_ns - shift_ns) < NS_PER_S // 1000
