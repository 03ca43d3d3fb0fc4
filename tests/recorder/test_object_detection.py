"""Recording never waits for object detection: it drops, rests and fails alone, and a visitor is told of once."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from structlog.testing import capture_logs

from agent.core.events import EventKind
from agent.core.media import LumaFrame
from agent.core.motion.sample import MotionSample, MotionState
from agent.core.object_detection.detector import ObjectDetector
from agent.core.object_detection.labels import Box, Detection, ObjectLabel
from agent.core.timebase import BootNs, seconds
from agent.errors import ConfigurationError, DeviceError
from agent.recorder import object_detection
from agent.recorder.camera_queues import BoundedQueue
from agent.recorder.object_detection import QUEUE, DetectionStatus, ObjectDetectionService
from tests.networks import FakeNetwork, Seen, bright_person, fake_eye

EMPTY = np.full((60, 80), 90, np.uint8)
VISITED = EMPTY.copy()
VISITED[20:50, 30:50] = 255
WHERE = (0.3, 0.3, 0.7, 0.9)


class Owner:
    def __init__(self) -> None:
        self.told: list[str] = []

        self.texts: list[str] = []

    def notify(self, kind: str, text: str, once: str = "") -> None:
        self.told.append(kind)
        self.texts.append(text)


class Bench:
    """Object detection, and frames for it by the second; time for the owner's patience is the test's."""

    def __init__(self, open_detector: Callable[[], ObjectDetector] | None = fake_eye, *, live: bool = False) -> None:
        self.owner = Owner()
        self.now_s = 0.0
        self.stepped_back: list[str] = []
        self.detection = ObjectDetectionService(
            open_detector,
            self.owner,
            why="No networks are installed." if open_detector is None else "",
            step_back=lambda: self.stepped_back.append(threading.current_thread().name),
            monotonic=lambda: self.now_s,
        )
        self.detection.start()
        self.detection.begin_stream(live=live)

    def watch(self, second: float, luma: np.ndarray, event: int | None = 1, *, coloured: bool = True) -> None:
        at_ns = BootNs(seconds(second))
        sample = MotionSample(at_ns, moving=True, score=1.0, box=WHERE, state=MotionState.ACTIVE)
        picture = (lambda: np.repeat(luma[..., None], 3, axis=2)) if coloured else None
        self.detection.observe(event, LumaFrame(luma, at_ns, picture=picture), sample)

    def shown(self, first: float, last: float, event: int = 1) -> tuple[ObjectLabel, ...] | None:
        return self.detection.shown_between(event, BootNs(seconds(first)), BootNs(seconds(last)))

    def settle(self) -> None:
        """Everything that was queued has been looked at."""
        self.detection.end_stream()
        self.detection.shown_between(1, BootNs(0), BootNs(1))


@pytest.fixture
def benches() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*args: object, **more: object) -> Bench:
        made.append(Bench(*args, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for bench in made:
        bench.detection.stop()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_a_person_is_seen_in_the_segments_in_which_they_are(benches: Callable[..., Bench]) -> None:
    bench = benches()
    for tenth in range(100):
        bench.watch(tenth / 10, VISITED if tenth >= 50 else EMPTY)
    assert bench.shown(0, 5) == ()
    assert bench.shown(5, 9.9) == (ObjectLabel.PERSON,)
    bench.settle()
    assert bench.shown(10, 15) is None
    assert bench.detection.status().labels == ("person",)
    assert bench.detection.status().inferences < 20, "it looks now and then, not always"


def test_a_look_waits_a_second_for_colour_and_no_longer(benches: Callable[..., Bench]) -> None:
    shapes: list[tuple[int, ...]] = []

    class Noting(ObjectDetector):
        def detect(self, picture: np.ndarray, moved: Box | None = None) -> tuple[Detection, ...]:
            shapes.append(picture.shape)
            return super().detect(picture, moved)

    bench = benches(lambda: Noting(FakeNetwork(bright_person).infer))
    assert bench.detection.picture_wanted_ns is None, "no event, no picture"
    for tenth in range(30):
        bench.watch(tenth / 10, VISITED, coloured=tenth == 5)
    assert bench.detection.picture_wanted_ns is not None
    bench.settle()
    assert [len(shape) for shape in shapes][:2] == [3, 2], "the frame in colour, then one in grey a second later"
    assert len(shapes) == 1 + 2, "afterwards it waits no more"


def test_outside_of_events_nothing_is_looked_at(benches: Callable[..., Bench]) -> None:
    bench = benches()
    for tenth in range(100):
        bench.watch(tenth / 10, VISITED, event=None)
    bench.settle()
    assert bench.detection.status().inferences == 0
    assert bench.detection.status().labels is None


def test_while_a_network_takes_its_time_nobody_waits_and_the_oldest_frames_go(benches: Callable[..., Bench]) -> None:
    go_on = threading.Event()

    def slowly(_pixels: np.ndarray) -> Seen:
        assert go_on.wait(15)
        return []

    bench = benches(lambda: ObjectDetector(FakeNetwork(slowly).infer), live=True)
    try:
        for second in range(20):
            bench.watch(second, VISITED)  # comes back, though the network does not
        status = bench.detection.status()
        assert (status.inferences, status.labels) == (0, None)
        assert 20 - QUEUE - 1 <= status.dropped <= 20 - QUEUE
        assert bench.shown(0, 20) is None, "a live writer is answered at once"
    finally:
        go_on.set()


def test_while_the_board_is_warm_it_rests_and_afterwards_looks_again(benches: Callable[..., Bench]) -> None:
    bench = benches()
    bench.detection.set_paused(True)
    for second in range(10):
        bench.watch(second, VISITED)
    assert bench.detection.status().state == "paused"
    assert bench.shown(0, 9) is None
    bench.detection.set_paused(False)
    for second in range(10, 20):
        bench.watch(second, VISITED)
    bench.settle()
    assert bench.shown(10, 20) == (ObjectLabel.PERSON,)
    assert bench.shown(0, 10) is None


def broken(_pixels: np.ndarray) -> Seen:
    raise DeviceError("The network could not be run.")


def mad(_pixels: np.ndarray) -> Seen:
    raise ZeroDivisionError


@pytest.mark.parametrize("fault", [broken, mad])
@pytest.mark.parametrize("live", [True, False])
def test_a_network_that_fails_costs_labels_and_nothing_else(
    benches: Callable[..., Bench], fault: Callable[[np.ndarray], Seen], live: bool
) -> None:
    bench = benches(lambda: ObjectDetector(FakeNetwork(fault).infer), live=live)
    bench.detection.event_began(1, EventKind.MOTION)
    bench.watch(0, VISITED)
    until(lambda: bench.detection.status().state == "failed")
    for second in range(1, 30):
        bench.watch(second, VISITED)
    assert bench.shown(0, 30) is None
    bench.detection.on_time()
    bench.detection.event_began(2, EventKind.MOTION)
    assert bench.owner.told == ["visitor", "visitor"]
    assert bench.detection.status().detail


def test_networks_that_cannot_be_loaded_are_said_and_not_waited_for(benches: Callable[..., Bench]) -> None:
    def missing() -> ObjectDetector:
        raise ConfigurationError("They are not there.", remedy="Run `make models`.")

    bench = benches(missing)
    until(lambda: bench.detection.status().state == "failed")
    bench.watch(0, VISITED)
    assert bench.shown(0, 1) is None
    assert bench.detection.status().detail == "They are not there. Run `make models`."


def test_without_object_detection_everything_else_works_alike(benches: Callable[..., Bench]) -> None:
    bench = benches(None)
    bench.detection.event_began(1, EventKind.MOTION)
    bench.watch(0, VISITED)
    assert bench.owner.told == ["visitor"]
    assert bench.shown(0, 1) is None
    assert bench.detection.status().state == "off"


def test_a_visitor_is_told_of_once_and_as_a_person_when_one_is_seen_in_time(benches: Callable[..., Bench]) -> None:
    bench = benches()
    bench.detection.event_began(1, EventKind.MOTION)
    for second in range(4):
        bench.watch(second, VISITED)
    bench.settle()
    bench.now_s = 60
    bench.detection.on_time()
    assert bench.owner.told == ["person"]


def test_a_person_who_is_seen_late_is_told_of_as_well(benches: Callable[..., Bench]) -> None:
    bench = benches()
    bench.detection.event_began(1, EventKind.MOTION)
    for second in range(4):
        bench.watch(second, EMPTY)
    until(lambda: bench.detection.status().inferences > 0)
    bench.detection.on_time()
    assert bench.owner.told == []
    bench.now_s = 2
    bench.detection.on_time()
    assert bench.owner.told == ["unsure"]
    for second in range(4, 8):
        bench.watch(second, VISITED)
    bench.settle()
    assert bench.owner.told == ["unsure", "person"]


def test_who_was_seen_before_the_writer_knew_of_the_event_is_told_of(benches: Callable[..., Bench]) -> None:
    bench = benches()
    for second in range(4):
        bench.watch(second, VISITED)
    bench.settle()
    bench.detection.event_began(1, EventKind.MOTION)
    assert bench.owner.told == ["person"]


def test_a_press_of_the_button_is_not_told_of_a_second_time(benches: Callable[..., Bench]) -> None:
    bench = benches()
    bench.detection.event_began(1, EventKind.BUTTON)
    for second in range(4):
        bench.watch(second, VISITED)
    bench.settle()
    bench.now_s = 60
    bench.detection.on_time()
    assert bench.owner.told == []


def test_what_is_still_to_be_told_is_told_when_the_camera_stops(benches: Callable[..., Bench]) -> None:
    bench = benches()
    bench.detection.event_began(1, EventKind.MOTION)
    bench.detection.stop()
    assert bench.owner.told == ["visitor"]


def test_it_is_started_again_after_a_stop(benches: Callable[..., Bench]) -> None:
    bench = benches()
    bench.detection.stop()
    bench.detection.start()
    bench.detection.begin_stream(live=False)
    for second in range(4):
        bench.watch(second, VISITED)
    bench.settle()
    assert bench.shown(0, 4) == (ObjectLabel.PERSON,)


def test_frames_that_were_queued_when_the_networks_failed_are_waited_for_by_nobody(
    benches: Callable[..., Bench],
) -> None:
    go_on = threading.Event()

    def failing(_pixels: np.ndarray) -> Seen:
        assert go_on.wait(15)
        raise DeviceError("The network could not be run.")

    bench = benches(lambda: ObjectDetector(FakeNetwork(failing).infer), live=True)
    for second in range(3):
        bench.watch(second, VISITED)
    go_on.set()
    until(lambda: bench.detection.status().state == "failed")
    until(lambda: bench.detection._queued == 0)
    thread = bench.detection._thread
    assert thread is not None
    thread.join(15)
    assert not thread.is_alive(), "nothing is left to do for it"


def test_the_status_says_how_long_an_inference_takes(benches: Callable[..., Bench]) -> None:
    def slowly(_pixels: np.ndarray) -> Seen:
        time.sleep(0.02)
        return []

    bench = benches(lambda: ObjectDetector(FakeNetwork(slowly).infer), live=True)
    assert bench.detection.status().ms_per_inference == 0, "none has run"
    for second in range(2):
        bench.watch(second, VISITED)
    until(lambda: bench.detection.status().inferences == 2)
    assert bench.detection.status().ms_per_inference >= 20


def test_a_board_that_gets_warm_looks_at_no_frame_that_was_queued_before(benches: Callable[..., Bench]) -> None:
    looking, go_on = threading.Event(), threading.Event()

    def slowly(_pixels: np.ndarray) -> Seen:
        looking.set()
        assert go_on.wait(15)
        return []

    bench = benches(lambda: ObjectDetector(FakeNetwork(slowly).infer), live=True)
    for second in range(3):
        bench.watch(second, VISITED)
    assert looking.wait(15)
    bench.detection.set_paused(True)
    go_on.set()
    until(lambda: bench.detection._queued == 0)
    assert bench.detection.status().inferences == 1
    bench.detection.set_paused(False)
    bench.watch(3, VISITED)
    until(lambda: bench.detection.status().inferences == 2)
    assert bench.detection.status().state == "running"


def test_of_the_events_the_newest_four_are_remembered(benches: Callable[..., Bench]) -> None:
    bench = benches()
    for event in range(1, 7):
        bench.watch(10 * event, VISITED, event)
    bench.settle()
    assert [bench.shown(0, 100, event) is None for event in range(1, 7)] == [True, True, False, False, False, False]


def test_the_status_says_what_object_detection_has_done(benches: Callable[..., Bench]) -> None:
    bench = benches()
    assert bench.detection.status() == DetectionStatus("running")
    bench.watch(0, EMPTY)
    bench.watch(0.1, EMPTY)
    assert bench.shown(0, 0.1) == (), "one look, and nothing in it"
    bench.detection._spent_s = 0.01234567
    assert bench.detection.status() == DetectionStatus("running", "", 1, 0, 12.3, ())
    bench.watch(1, EMPTY, event=None)
    assert bench.detection.status().labels is None, "the event is over"
    for second in range(2, 6):
        bench.watch(second, VISITED)
    bench.settle()
    assert bench.detection.status().labels == ("person",)
    bench.detection.set_paused(True)
    assert (bench.detection.status().state, bench.detection.status().labels) == ("paused", None)
    off = benches(None).detection
    off.set_paused(True)
    assert off.status() == DetectionStatus("off", "No networks are installed.")


def test_a_pause_of_object_detection_is_logged_as_it_begins_and_ends(benches: Callable[..., Bench]) -> None:
    bench, off = benches(), benches(None)
    with capture_logs() as lines:
        for paused in (False, True, True, False):
            bench.detection.set_paused(paused)
            off.detection.set_paused(paused)
    pauses = [line["event"] for line in lines if line["event"].startswith("object_detection_")]
    assert [event for event in pauses if event != "object_detection_ready"] == [
        "object_detection_paused", "object_detection_resumed",
    ]  # fmt: skip


def test_the_networks_run_on_one_thread_with_a_low_priority(benches: Callable[..., Bench]) -> None:
    bench = benches()
    bench.detection.start()
    bench.watch(0, VISITED)
    bench.settle()
    bench.detection.start()
    assert bench.stepped_back == ["detection"]
    off = benches(None)
    assert (off.detection._thread, off.stepped_back) == (None, [])


@pytest.mark.parametrize(("live", "rests_s"), [(True, [0.75, 0.75]), (False, [])])
def test_after_a_look_at_a_live_camera_it_rests_three_times_as_long(
    benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, live: bool, rests_s: list[float]
) -> None:
    bench = benches(live=live)
    clock, rests = itertools.count(10.0, 0.25), list[float]()
    monkeypatch.setattr(object_detection, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(bench.detection._stopping, "wait", rests.append)
    for second in range(2):
        bench.watch(second, VISITED)
    until(lambda: bench.detection._looks == 2 and len(rests) == len(rests_s))
    assert rests == rests_s
    assert bench.detection._spent_s == 0.5


def test_a_stop_does_not_wait_for_the_end_of_a_rest(
    benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_detection, "_REST", 1e9)
    bench = benches(live=True)
    bench.watch(0, VISITED)
    until(lambda: bench.detection.status().inferences == 1)
    bench.detection.stop()
    assert bench.detection._thread is None
    bench.detection.start()
    assert not bench.detection._stopping.is_set(), "it rests again after a start"


def test_a_look_is_due_at_an_events_first_frame_and_then_every_half_second(benches: Callable[..., Bench]) -> None:
    bench = benches(live=True)
    bench.detection.stop()  # without a thread, the queue shows what is due
    bench.detection._queue = BoundedQueue(100)
    for hundredth in (0, 49, 50, 99, 100):
        bench.watch(7 + hundredth / 100, EMPTY)
    bench.watch(9, EMPTY, event=2)
    bench.watch(9.1, EMPTY, event=None)
    bench.watch(9.2, EMPTY, event=3)
    looked_at = [(each.event, each.at_ns / 1e9) for each in queued(bench)]
    assert looked_at == [(1, 7.0), (1, 7.5), (1, 8.0), (2, 9.0), (3, 9.2)]


def test_once_a_person_is_seen_a_look_is_due_every_two_seconds(benches: Callable[..., Bench]) -> None:
    bench = benches(live=True)
    bench.detection.stop()
    bench.detection._queue = BoundedQueue(100)
    bench.watch(1, EMPTY)
    for at_s in (1.0, 1.5):
        person = Detection(ObjectLabel.PERSON, 0.99, WHERE)
        bench.detection._event(1).votes.add(BootNs(seconds(at_s)), (person,), WHERE)
    for tenths in range(1, 50):
        bench.watch(1 + tenths / 10, EMPTY)
    assert [each.at_ns / 1e9 for each in queued(bench)] == [1.0, 1.5, 3.5, 5.5]


def test_a_frame_without_colour_is_looked_at_after_exactly_a_second(benches: Callable[..., Bench]) -> None:
    bench = benches(live=True)
    bench.detection.stop()
    bench.detection._queue = BoundedQueue(100)
    for hundredth in (0, 99, 100, 149, 150):
        bench.watch(5 + hundredth / 100, EMPTY, coloured=False)
    assert [each.at_ns / 1e9 for each in queued(bench)] == [6.0, 6.5]
    bench.watch(6.51, EMPTY)
    bench.watch(7.0, EMPTY, coloured=False)
    assert [each.at_ns / 1e9 for each in queued(bench)] == [], "colour is back, so it is waited for again"
    bench.detection.begin_stream(live=True)
    bench.watch(8.0, EMPTY, coloured=False)
    assert queued(bench) == [], "and so it is for another camera"


def queued(bench: Bench) -> list[object_detection._QueuedFrame]:
    found = []
    while (glimpse := bench.detection._queue.take(0.0)) is not None:
        found.append(glimpse)
    return found


def test_a_picture_is_wanted_from_the_next_look_on_while_an_event_is_open(benches: Callable[..., Bench]) -> None:
    bench = benches()
    assert bench.detection.picture_wanted_ns is None
    bench.watch(3, EMPTY)
    assert bench.detection.picture_wanted_ns == seconds(3.5)
    bench.detection.set_paused(True)
    assert bench.detection.picture_wanted_ns is None
    bench.detection.set_paused(False)
    bench.watch(4, EMPTY, event=None)
    assert bench.detection.picture_wanted_ns is None


def test_each_dropped_frame_is_counted_and_waited_for_no_more(benches: Callable[..., Bench]) -> None:
    bench = benches(live=True)
    bench.detection.stop()
    bench.detection._queue = BoundedQueue(QUEUE)
    for second in range(QUEUE + 2):
        bench.watch(second, EMPTY)
    assert (bench.detection.status().dropped, bench.detection._queued) == (2, QUEUE)
    assert [each.at_ns // 10**9 for each in queued(bench)] == [2, 3, 4], "the newest"


def test_the_writer_of_a_film_is_answered_as_soon_as_the_analysis_has_passed_its_segment(
    benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_detection, "_FOOTAGE_WAITS_S", 3600.0)
    bench, answers = benches(), list[object]()
    bench.watch(1, VISITED)
    until(lambda: bench.detection._queued == 0)
    writer = threading.Thread(target=lambda: answers.append(bench.shown(0, 5)), daemon=True)
    writer.start()
    waiting = bench.detection._lock._waiters  # type: ignore[attr-defined]
    until(lambda: waiting)
    bench.watch(4.9, EMPTY, event=None)
    assert not answers
    until(lambda: waiting)
    bench.watch(5, EMPTY, event=None)
    writer.join(15)
    assert answers == [()], "one look, which is too few for a label"


def test_the_writer_of_a_film_is_answered_at_the_end_of_the_stream(
    benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_detection, "_FOOTAGE_WAITS_S", 3600.0)
    bench, answers = benches(), list[object]()
    bench.watch(1, VISITED)
    until(lambda: bench.detection._queued == 0)
    writer = threading.Thread(target=lambda: answers.append(bench.shown(0, 5)), daemon=True)
    writer.start()
    waiting = bench.detection._lock._waiters  # type: ignore[attr-defined]
    until(lambda: waiting)
    bench.detection.end_stream()
    writer.join(15)
    assert answers == [()]


def test_the_writer_of_a_film_is_answered_at_once_if_the_networks_fail(
    benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_detection, "_FOOTAGE_WAITS_S", 3600.0)
    go_on, answers = threading.Event(), list[object]()

    def failing(_pixels: np.ndarray) -> Seen:
        assert go_on.wait(15)
        raise DeviceError("The network could not be run.")

    bench = benches(lambda: ObjectDetector(FakeNetwork(failing).infer))
    bench.watch(1, VISITED)
    writer = threading.Thread(target=lambda: answers.append(bench.shown(0, 5)), daemon=True)
    writer.start()
    waiting = bench.detection._lock._waiters  # type: ignore[attr-defined]
    until(lambda: waiting)
    go_on.set()
    writer.join(15)
    assert answers == [None]


def test_a_stream_begins_with_nothing_watched_and_nothing_queued(benches: Callable[..., Bench]) -> None:
    bench = benches()
    bench.detection.event_began(1, EventKind.MOTION)
    bench.detection.end_stream()
    bench.detection._queued = 7
    bench.detection.begin_stream(live=False)
    assert (bench.detection._is_settled(BootNs(0)), bench.detection._is_settled(BootNs(1))) == (True, False)
    assert bench.owner.told == ["visitor"], "what was still to be told of the stream before"
    assert bench.shown(0, 0) is None, "and its events are forgotten"


def test_something_that_moved_is_told_after_a_second_and_a_half_and_each_news_has_its_words(
    benches: Callable[..., Bench],
) -> None:
    bench = benches()
    bench.now_s = 10.0
    bench.detection.event_began(1, EventKind.MOTION)
    bench.now_s = 11.4
    bench.detection.on_time()
    assert bench.owner.told == []
    bench.now_s = 11.5
    bench.detection.on_time()
    bench.detection.on_time()
    bench.watch(0, EMPTY, 2)
    until(lambda: bench.detection.status().inferences == 1)
    bench.detection.event_began(2, EventKind.MOTION)
    bench.now_s = 20.0
    bench.detection.on_time()
    bench.watch(1, VISITED, 2)
    bench.watch(2, VISITED, 2)
    bench.settle()
    assert bench.owner.texts == [
        "Something moved at the door.",
        "Something moved at the door, unsure what.",
        "A person is at the door.",
    ]


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        (DeviceError("The network could not be run."), "The network could not be run."),
        (ZeroDivisionError(), "It met a case it does not know (ZeroDivisionError)."),
    ],
)
def test_a_fault_is_in_the_status_and_in_the_log_and_gone_after_a_start(
    benches: Callable[..., Bench], fault: Exception, detail: str
) -> None:
    def failing(_pixels: np.ndarray) -> Seen:
        raise fault

    with capture_logs() as lines:
        bench = benches(lambda: ObjectDetector(FakeNetwork(failing).infer))
        bench.watch(0, VISITED)
        bench.detection.stop()
    assert bench.detection.status() == DetectionStatus("failed", detail)
    assert [line["error"] for line in lines if line["event"] == "object_detection_failed"] == [detail]
    assert bench.detection._queued == 0
    bench.detection.start()
    assert bench.detection.status() == DetectionStatus("running")


def test_the_status_says_how_long_a_look_takes(benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    bench = benches()
    assert bench.detection.status().ms_per_inference == 0.0
    bench.watch(0, VISITED)
    bench.settle()
    bench.detection._spent_s, bench.detection._looks = 0.5, 8
    assert bench.detection.status().ms_per_inference == 62.5
