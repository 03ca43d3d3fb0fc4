"""The contract of every camera. A new adapter joins with one more entry in `CAMERAS`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.core.media import StreamDescription
from agent.core.timebase import NS_PER_MS, NS_PER_S
from agent.ports import Camera, CameraEnd
from agent.recorder.capture import camera_v4l2
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.recorder.capture.camera_v4l2 import V4l2Camera
from tests.cameras import FIRST_NS, Receiver, make_video, play
from tests.input_devices import lavfi

FRAMES = 34


@dataclass(frozen=True)
class Source:
    """A camera that delivers `FRAMES` pictures and then ends; its own time of each, in ms from the first."""

    make: Callable[[Path], Camera]
    times_ms: tuple[int, ...]
    has_own_clock: bool = False
    end: CameraEnd = CameraEnd.END_OF_FOOTAGE


Played = tuple[StreamDescription, Receiver]


def even(step_ms: float) -> tuple[int, ...]:
    return tuple(round(number * step_ms) for number in range(FRAMES))


def uneven(number: int) -> int:
    return 80 * number + 7 * (number % 5) + (1500 if number > 20 else 0)


CAMERAS = {
    "file-avi": Source(lambda d: FileCamera(make_video(d / "a.avi", frames=FRAMES)), even(100)),
    "file-mp4": Source(
        lambda d: FileCamera(make_video(d / "a.mp4", frames=FRAMES, frames_per_s=30, codec="libx264")), even(1000 / 30)
    ),
    "file-b-frames": Source(
        lambda d: FileCamera(
            make_video(d / "b.mkv", frames=FRAMES, frames_per_s=25, codec="libx264", size_px=(320, 180))
        ),
        even(40),
    ),
    "file-mjpeg": Source(lambda d: FileCamera(make_video(d / "a.avi", frames=FRAMES, codec="mjpeg")), even(100)),
    "file-uneven": Source(
        lambda d: FileCamera(make_video(d / "a.mkv", frames=FRAMES, times_ms=uneven)),
        tuple(uneven(number) for number in range(FRAMES)),
    ),
    "file-paced": Source(
        lambda d: FileCamera(make_video(d / "a.avi", frames=FRAMES, frames_per_s=25), paced=True), even(40)
    ),
    "scripted": Source(
        lambda d: ScriptedCamera([Visit(0.3)], duration_s=FRAMES / 10, size_px=(320, 240)),
        even(100),
    ),
    "scripted-paced": Source(
        lambda d: ScriptedCamera([], duration_s=FRAMES / 20, frames_per_s=20, size_px=(160, 96), paced=True), even(50)
    ),
    "v4l2": Source(
        lambda d: V4l2Camera(f"testsrc=size=320x240:rate=20:duration={FRAMES / 20},realtime", opener=lavfi),
        even(50),
        has_own_clock=True,
        end=CameraEnd.LOST,
    ),
}


@pytest.fixture(scope="module", autouse=True)
def nothing_is_overtaken() -> Iterator[None]:
    """A receiver that gets no processor for a moment would cost pictures
    (tests/recorder/capture/test_camera_v4l2.py)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(camera_v4l2, "_QUEUED", 2 * FRAMES)
        yield


@pytest.fixture(scope="module", params=CAMERAS)
def source(request: pytest.FixtureRequest) -> Source:
    return CAMERAS[request.param]


@pytest.fixture(scope="module")
def played(source: Source, tmp_path_factory: pytest.TempPathFactory) -> tuple[StreamDescription, Receiver]:
    """Each source once from its beginning to its end."""
    camera = source.make(tmp_path_factory.mktemp("played"))
    described, receiver = play(camera)
    camera.stop()
    return described, receiver


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_sensor_times_increase_and_are_the_sources_own_to_a_millisecond(source: Source, played: Played) -> None:
    _, receiver = played
    first_ns = receiver.packets[0].sensor_ns if source.has_own_clock else FIRST_NS
    given_ns = [packet.sensor_ns for packet in receiver.packets]
    assert given_ns == sorted(set(given_ns))
    assert len(given_ns) == FRAMES
    for sensor_ns, own_ms in zip(given_ns, source.times_ms, strict=True):
        assert abs(sensor_ns - first_ns - own_ms * NS_PER_MS) <= NS_PER_MS


def test_luma_comes_as_described_and_with_its_packets_time(played: Played) -> None:
    description, receiver = played
    assert receiver.luma_ns == [packet.sensor_ns for packet in receiver.packets]
    shapes = {(luma.shape, luma.dtype.name) for luma in receiver.luma_kept}
    assert shapes == {((description.luma_height_px, description.luma_width_px), "uint8")}
    assert max(luma.max() for luma in receiver.luma_kept) > 100, "there is a picture in it"


def test_a_frame_comes_with_a_coloured_picture_of_its_moment(played: Played) -> None:
    description, receiver = played
    assert receiver.pictures
    for picture, luma in zip(receiver.pictures, receiver.luma_kept, strict=False):
        height_px, width_px, channels = picture.shape
        assert (channels, picture.dtype.name) == (3, "uint8")
        assert width_px <= 640
        assert height_px / width_px == pytest.approx(description.height_px / description.width_px, rel=0.05)
        grey = cv2.cvtColor(cv2.resize(picture, luma.shape[::-1], interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        assert np.corrcoef(grey.ravel(), luma.ravel())[0, 1] > 0.9, "it shows what the small stream shows"


def test_the_first_packet_is_a_keyframe_and_another_comes_about_every_second(played: Played) -> None:
    _, receiver = played
    assert receiver.packets[0].keyframe
    keyframe_ns = receiver.packets[0].sensor_ns
    for packet, following in zip(receiver.packets, receiver.packets[1:], strict=False):
        keyframe_ns = packet.sensor_ns if packet.keyframe else keyframe_ns
        longest_gap_ns = following.sensor_ns - packet.sensor_ns
        assert following.keyframe or following.sensor_ns - keyframe_ns <= NS_PER_S + longest_gap_ns


def test_keyframes_carry_their_parameter_sets_in_annex_b(played: Played) -> None:
    _, receiver = played
    for packet in receiver.packets:
        assert packet.data.startswith((b"\0\0\0\1", b"\0\0\1"))
        assert (b"\0\0\1\x67" in packet.data and b"\0\0\1\x68" in packet.data) == packet.keyframe


def test_a_requested_keyframe_comes_with_one_of_the_next_frames(source: Source, tmp_path: Path) -> None:
    camera = source.make(tmp_path)
    receiver = Receiver()
    receiver.each_packet = lambda packet: camera.request_keyframe() if len(receiver.packets) == 5 else None
    camera.open()
    camera.start(receiver, FIRST_NS)
    assert receiver.done.wait(60)
    camera.stop()
    assert any(packet.keyframe for packet in receiver.packets[5:8])


def test_the_end_is_told_once_and_last(source: Source, played: Played) -> None:
    _, receiver = played
    assert [end for end, _ in receiver.ends] == [source.end]
    assert receiver.ends[0][1], "in words"
    assert receiver.late == 0


def test_a_camera_stops_when_asked_and_as_often_as_asked(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = source.make(tmp_path)
    reached = threading.Event()
    asked = threading.Event()
    join = threading.Thread.join

    def hold(_packet: object) -> None:
        reached.set()
        asked.wait(30)

    def told_join(thread: threading.Thread, timeout: float | None = None) -> None:
        """A caller that waits for the camera's thread has asked it to stop; before that it could play to its end."""
        if thread.name.startswith("camera-"):
            asked.set()
        join(thread, timeout)

    receiver = Receiver(each_packet=hold)
    camera.open()
    camera.start(receiver, FIRST_NS)
    assert reached.wait(30)
    monkeypatch.setattr(threading.Thread, "join", told_join)
    stopping = threading.Thread(target=camera.stop)
    stopping.start()
    stopping.join(60)
    assert not stopping.is_alive()
    camera.stop()
    assert len(receiver.packets) < FRAMES
    assert [end for end, _ in receiver.ends] == [CameraEnd.STOPPED]
    assert receiver.late == 0


def test_a_receiver_may_stop_the_camera_from_its_own_call(source: Source, tmp_path: Path) -> None:
    camera = source.make(tmp_path)
    receiver = Receiver(each_packet=lambda packet: camera.stop())
    camera.open()
    camera.start(receiver, FIRST_NS)
    assert receiver.done.wait(30)
    camera.stop()
    assert [end for end, _ in receiver.ends] == [CameraEnd.STOPPED]


def test_a_camera_that_was_only_opened_or_not_even_that_stops_quietly(source: Source, tmp_path: Path) -> None:
    camera = source.make(tmp_path)
    camera.stop()
    camera.open()
    camera.stop()
    camera.stop()


def test_everything_is_delivered_from_one_thread_of_the_cameras_own(played: Played) -> None:
    _, receiver = played
    assert len(receiver.threads) == 1
    assert receiver.threads.pop().startswith("camera-")
