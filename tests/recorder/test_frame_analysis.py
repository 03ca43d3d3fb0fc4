"""The analysis of one camera's streams: what it keeps from one to the next."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.core.events import ButtonRing, ClipEnds, EventBegins, EventSettings, TriggerKind
from agent.core.media import LumaFrame, StreamDescription
from agent.core.motion.detector import Detector
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.sample import MotionSample
from agent.core.motion.zones import Zone, ZoneMap
from agent.core.timebase import BootNs, seconds
from agent.errors import FormatError
from agent.ports import CameraEnd
from agent.recorder import frame_analysis
from agent.recorder.camera_queues import CameraQueues
from agent.recorder.frame_analysis import FrameAnalysis
from agent.recorder.recorder_inputs import PendingTrigger, RecorderInputs
from firmware_bridge.throttling import ThrottleLevel
from tests.vaults import SteppedClock

CAMERA = StreamDescription(1280, 720, 30.0, 320, 240, live=True)


def detectors_of(*streams: StreamDescription) -> list[Any]:
    """The detector that each of these streams gets, one after another."""
    settings: Any = SimpleNamespace(motion=MotionSettings(), events=EventSettings(), zones=ZoneMap())
    nothing: Any = SimpleNamespace()
    analysis = FrameAnalysis(settings, RecorderInputs(ZoneMap()), nothing, nothing, PurePasses)
    found = []

    def run() -> None:
        for stream in streams:
            analysis._begin_stream(stream)
            found.append(analysis._detector)

    thread = threading.Thread(target=run, name="analysis")
    thread.start()
    thread.join()
    return found


def test_a_camera_that_begins_again_keeps_the_scene_from_before() -> None:
    one, other = detectors_of(CAMERA, CAMERA)
    assert one is other


@pytest.mark.parametrize(
    "stream", [replace(CAMERA, luma_width_px=640, luma_height_px=360), replace(CAMERA, frames_per_s=15.0)]
)
def test_another_picture_or_rate_is_another_scene(stream: StreamDescription) -> None:
    one, other = detectors_of(CAMERA, stream)
    assert one is not other


def test_each_file_is_another_scene() -> None:
    file = replace(CAMERA, live=False)
    one, other = detectors_of(file, file)
    assert one is not other


# -- frames, one after another -----------------------------------------------------------------------------------------

SMALL = replace(CAMERA, frames_per_s=10.0, luma_width_px=64, luma_height_px=48)
STILL = np.full((48, 64), 90, np.uint8)


class Detection:
    """Notes which frames were looked at, for which event."""

    def __init__(self) -> None:
        self.seen: list[tuple[int | None, int]] = []
        self.ended = 0
        self.picture_wanted_ns: int | None = 77

    def observe(self, event: int | None, frame: LumaFrame, _sample: MotionSample) -> None:
        self.seen.append((event, frame.sensor_ns))

    def end_stream(self) -> None:
        self.ended += 1


class Bench:
    """An analysis and the queues of one stream, filled before it runs."""

    def __init__(self, stream: StreamDescription = SMALL) -> None:
        settings: Any = SimpleNamespace(motion=MotionSettings(), events=EventSettings(), zones=ZoneMap())
        self.inputs = RecorderInputs(ZoneMap())
        self.detection: Any = Detection()
        self.clock = SteppedClock()
        self.analysis = FrameAnalysis(settings, self.inputs, self.clock, self.detection, PurePasses)
        self.stream = stream
        self.queues = CameraQueues(live=stream.live)
        self.keyframes_asked = 0
        self.items: list[object] = []

    def frames(self, *tenths: int) -> None:
        for tenth in tenths:
            self.items.append(LumaFrame(STILL, at(tenth)))

    def press(self, at_ns: BootNs | None, kind: TriggerKind = TriggerKind.BUTTON, *, is_recorded: bool = False) -> None:
        self.items.append(PendingTrigger(kind, at_ns, is_recorded=is_recorded))

    def ask_keyframe(self) -> None:
        self.keyframes_asked += 1

    def run(self) -> list[object]:
        """Returns what the writer gets."""
        for item in self.items:
            self.queues.lumas.force(item)
        self.items.clear()
        self.queues.lumas.close()
        thread = threading.Thread(
            target=self.analysis.run, args=(self.queues, self.stream, self.ask_keyframe), name="analysis"
        )
        thread.start()
        thread.join()
        found = []
        while (item := self.queues.packets.take(0.0)) is not None:
            found.append(item)
        return found


def at(tenth: int) -> BootNs:
    return BootNs(seconds(100) + tenth * seconds(0.1))


def rings(items: list[object]) -> list[int]:
    return [item.at_ns for item in items if isinstance(item, ButtonRing)]


def begins(items: list[object]) -> list[int]:
    return [item.at_ns for item in items if isinstance(item, EventBegins)]


def test_a_press_rings_at_its_own_time_and_its_event_has_a_keyframe_and_ends_with_the_stream() -> None:
    bench = Bench()
    bench.frames(0, 1, 2)
    bench.press(at(1))
    bench.frames(3)
    found = bench.run()
    assert rings(found) == [at(1)]
    assert begins(found) == [at(2)], "time does not go back"
    assert bench.keyframes_asked == 1
    (ends,) = [item for item in found if isinstance(item, ClipEnds)]
    assert ends.until_ns == at(4), "the end of the last frame"
    assert bench.queues.packets.closed
    assert bench.detection.ended == 1


def test_a_press_without_a_time_is_at_the_newest_frame() -> None:
    bench = Bench(replace(SMALL, live=False))
    bench.frames(0, 1, 2)
    bench.press(None)
    found = bench.run()
    assert begins(found) == rings(found) == [at(2)]


def test_hurried_presses_are_one_ring_and_later_ones_are_their_own() -> None:
    again = round(EventSettings().ring_again_s * 10)
    bench = Bench()
    bench.frames(0)
    for tenth in (0, 3, again - 1, again):
        bench.press(at(tenth))
    assert rings(bench.run()) == [at(0), at(again)]


def test_a_press_that_the_manifest_has_already_begins_an_event_and_is_no_second_ring() -> None:
    bench = Bench()
    bench.frames(0)
    bench.press(at(0), is_recorded=True)
    found = bench.run()
    assert (begins(found), rings(found)) == ([at(0)], [])


def test_a_pir_pulse_is_no_ring() -> None:
    bench = Bench()
    bench.frames(0)
    bench.press(at(0), TriggerKind.PIR)
    found = bench.run()
    assert (begins(found), rings(found)) == ([at(0)], [])


def test_each_frame_is_looked_at_with_the_event_that_is_recorded() -> None:
    bench = Bench()
    bench.frames(0)
    bench.press(at(0))
    bench.frames(1)
    bench.run()
    assert bench.detection.seen == [(None, at(0)), (1, at(1))]
    assert bench.queues.picture_wanted_ns == 77
    assert bench.analysis.analysed == 2


def test_on_a_warm_board_every_second_frame_is_skipped() -> None:
    bench = Bench()
    bench.inputs.set_throttle_level(ThrottleLevel.ANALYSIS)
    bench.frames(0, 1, 2, 3, 4)
    bench.run()
    assert [frame for _event, frame in bench.detection.seen] == [at(1), at(3)]
    cool = Bench()
    cool.inputs.set_throttle_level(ThrottleLevel.OBJECT_DETECTION)
    cool.frames(0, 1)
    cool.run()
    assert len(cool.detection.seen) == 2


def test_while_the_filter_moves_no_frame_counts_and_an_event_still_ends_in_time() -> None:
    bench = Bench()
    bench.frames(0)
    bench.press(at(0))
    bench.inputs.set_blackout_until(time.monotonic_ns() + seconds(3600))
    bench.frames(*range(1, 400))
    found = bench.run()
    assert bench.analysis.analysed == 0
    (ends,) = [item for item in found if isinstance(item, ClipEnds)]
    assert at(0) < ends.until_ns < at(200), "behind the press, long before the last frame"


def test_while_nothing_moves_a_live_cameras_frames_are_taken_together() -> None:
    bench = Bench()
    bench.frames(*range(100))
    bench.run()
    assert bench.analysis._together == 1 + 4, "four tenths of a second of ten frames a second"
    fast = Bench(replace(SMALL, frames_per_s=25.0))
    fast.frames(*range(100))
    fast.run()
    assert fast.analysis._together == 1 + 4, "the delay counts and not the rate"
    slow = Bench(replace(SMALL, luma_frames_per_s=5.0))
    slow.frames(*range(0, 200, 2))
    slow.run()
    assert slow.analysis._together == 1 + 2
    file = Bench(replace(SMALL, live=False))
    file.frames(*range(100))
    file.run()
    assert file.analysis._together == 1


def test_new_zones_make_the_detector_learn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.frames(0)
    bench.run()
    before = bench.analysis._detector
    assert bench.analysis.passes_name.startswith("NumPy")
    bench.queues = CameraQueues(live=True)
    bench.inputs.set_zones(ZoneMap((Zone("a", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))),)))
    bench.frames(1)
    bench.run()
    assert bench.analysis._detector is not before
    assert bench.analysis._zones is bench.inputs.zones


def test_a_fault_of_the_analysis_ends_the_stream_and_lets_the_writer_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise FormatError("A frame of another size.")

    bench = Bench()
    monkeypatch.setattr(bench.detection, "observe", broken)
    bench.frames(0, 1)
    bench.run()
    assert bench.queues.end == (CameraEnd.LOST, "A frame of another size.")
    assert bench.queues.packets.closed
    assert bench.detection.ended == 1


def test_what_an_analysis_costs_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    step = Detector.step

    def slow(detector: Detector, frame: LumaFrame) -> MotionSample:
        bench.clock.advance(0.002)
        return step(detector, frame)

    monkeypatch.setattr(Detector, "step", slow)
    bench.frames(0, 1, 2)
    bench.run()
    assert (bench.analysis.spent_ns, bench.analysis.analysed) == (6_000_000, 3)


def test_words_in_the_queue_that_are_no_frame_are_passed_over() -> None:
    bench = Bench()
    bench.items.append("a word")
    bench.frames(0)
    bench.run()
    assert bench.analysis.analysed == 1


def test_each_stream_begins_with_its_own_events_times_and_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    assert bench.analysis.passes_name == "", "no stream has begun"
    for _ in range(2):
        bench.queues = CameraQueues(live=True)
        take, asked = bench.queues.lumas.take, list[int]()

        def noted(timeout_s: float | None = None, *, together: int, take: Any = take, asked: Any = asked) -> object:
            asked.append(together)
            return take(timeout_s, together=together)

        monkeypatch.setattr(bench.queues.lumas, "take", noted)
        bench.press(None)
        bench.frames(*range(30))
        found = bench.run()
        assert begins(found) == [0], "before the first frame, a press without a time is at the beginning"
        (begun,) = [item for item in found if isinstance(item, EventBegins)]
        assert begun.event == 1
        assert asked[:2] == [1, 1], "the first frames are taken as they come"
        assert bench.queues.lumas.closed
        assert bench.queues.packets.closed


@pytest.mark.parametrize("fault", [FormatError("A frame of another size."), ZeroDivisionError()])
def test_an_analysis_that_fails_takes_no_more_frames(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    bench = Bench()

    def broken(*_arguments: object) -> None:
        raise fault

    monkeypatch.setattr(bench.detection, "observe", broken)
    monkeypatch.setattr(threading, "excepthook", lambda _arguments: None)
    bench.items.append(LumaFrame(STILL, at(0)))
    lumas = bench.queues.lumas
    lumas.force(bench.items.pop())
    thread = threading.Thread(
        target=bench.analysis.run, args=(bench.queues, bench.stream, bench.ask_keyframe), name="analysis"
    )
    thread.start()
    thread.join(60)
    assert (lumas.closed, bench.queues.packets.closed, bench.detection.ended) == (True, True, 1)


@pytest.mark.parametrize(
    ("stream", "rate", "gap_s"),
    [
        (SMALL, 10.0, 2.0),
        (replace(SMALL, luma_frames_per_s=0.5), 0.5, 6.0),
        (replace(SMALL, frames_per_s=1.0, luma_frames_per_s=None), 1.0, 3.0),
    ],
)
def test_the_detector_is_made_for_the_small_stream_and_three_frames_of_it_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, stream: StreamDescription, rate: float, gap_s: float
) -> None:
    made: list[tuple[object, ...]] = []

    def detector(*arguments: object) -> object:
        made.append(arguments)
        return SimpleNamespace(passes_name="fast")

    monkeypatch.setattr(frame_analysis, "Detector", detector)
    bench = Bench(stream)
    bench.run()
    motion = replace(MotionSettings(), gap_s=gap_s)
    assert made == [(48, 64, rate, bench.inputs.zones, motion, PurePasses)]
    assert bench.analysis.passes_name == "fast"


def test_the_end_of_a_stream_is_one_frame_after_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.frames(0, 1)
    bench.press(at(1))
    (end,) = [item for item in bench.run() if isinstance(item, ClipEnds)]
    assert end.until_ns == at(2)


def test_frames_count_again_from_the_very_instant_at_which_the_filter_has_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for until_ns, analysed in ((1000, 1), (1001, 0)):
        bench = Bench()
        monkeypatch.setattr(frame_analysis, "time", SimpleNamespace(monotonic_ns=lambda: 1000))
        bench.inputs.set_blackout_until(until_ns)
        bench.frames(0)
        bench.run()
        assert bench.analysis.analysed == analysed
