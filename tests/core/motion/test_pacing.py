"""Frame rates are measured, not believed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.core.events import EventBegins, EventEffect, EventMachine
from agent.core.media import EncodedPacket, LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion.preparing import FrameRateMonitor
from agent.core.timebase import NS_PER_S, BootNs
from agent.ports import CameraEnd
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.delivery import EncodingSettings


def admitted(pace: FrameRateMonitor, frames_per_s: float, length_s: float, from_s: float = 0.0) -> int:
    frames = range(1, round(frames_per_s * length_s) + 1)
    return sum(pace.admits(BootNs(round((from_s + number / frames_per_s) * NS_PER_S))) for number in frames)


@pytest.mark.parametrize(("given", "analysed"), [(60, 15), (30, 15), (25, 12.5), (20, 10), (15, 15), (10, 10), (5, 5)])
def test_of_many_frames_a_second_some_ten_to_sixteen_are_analysed(given: float, analysed: float) -> None:
    pace = FrameRateMonitor(given)
    pace.begin(BootNs(0))
    assert admitted(pace, given, 4) == pytest.approx(4 * analysed, abs=2)
    pace.changed()
    assert pace.frames_per_s == pytest.approx(analysed, rel=0.2)


def test_a_camera_that_slows_down_at_night_is_noticed_within_three_seconds() -> None:
    pace = FrameRateMonitor(15)
    pace.begin(BootNs(0))
    admitted(pace, 15, 2)
    assert not pace.changed()
    admitted(pace, 5, 3, from_s=2)
    assert pace.changed()
    assert pace.frames_per_s == pytest.approx(5, rel=0.2)


class _Watch:
    """A camera's reader that detects and groups, as the recorder does."""

    def __init__(self, detector: Detector) -> None:
        self.effects: list[EventEffect] = []
        self.over = threading.Event()
        self._detector = detector
        self._machine = EventMachine()

    def packet(self, packet: EncodedPacket) -> None:
        pass

    def luma(self, frame: LumaFrame) -> None:
        self.effects += self._machine.on_motion(self._detector.step(frame))

    def ended(self, _end: CameraEnd, _detail: str) -> None:
        self.over.set()


@pytest.mark.footage
def test_the_man_at_the_door_is_an_event_although_the_file_lies_about_its_rate(shared: Path) -> None:
    """It says 59.94 frames a second and holds ten: learning once took twelve seconds, longer than the whole clip."""
    camera = FileCamera(shared / "clips" / "doorbell.mkv", settings=EncodingSettings(preset="ultrafast", quality=51))
    gives = camera.open()
    assert gives.frames_per_s > 50
    watch = _Watch(Detector(gives.luma_height_px, gives.luma_width_px, gives.frames_per_s))
    camera.start(watch, BootNs(0))
    try:
        assert watch.over.wait(60)
    finally:
        camera.stop()
    begun = [effect.at_ns / NS_PER_S for effect in watch.effects if isinstance(effect, EventBegins)]
    assert len(begun) == 1
    assert 2.0 < begun[0] < 4.3
