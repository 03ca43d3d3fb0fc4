"""Object detection: runs the network on frames of events on a separate thread, off the path of recording.

    analysis ── now and then a frame of an open event ──▶ queue, bounded ──▶ thread "detection": detector ──▶ votes
    writer   ── labels of this segment? ◀─────────────────────────────────────────────────────────────────────┘

- Everything else runs on ahead of it. The queue holds `QUEUE` frames of a live camera; if it is full, the oldest is
  dropped and counted. (Footage from a file keeps every frame: there the threads wait for each other.)
- It takes at most a quarter of one core, at a low priority (`step_back`).
- If the network is missing, after a fault, and while the board is too warm, it answers "labels unknown". An unknown
  label is no error, and footage is kept.
- A visitor is reported once: as a person if one is recognised soon, otherwise as something that moved, "unsure what" if
  frames were examined in vain. A person who is recognised later in the same event is reported then.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from agent.core.events import EventKind
from agent.core.media import Luma, LumaFrame, Picture
from agent.core.motion.sample import MotionSample
from agent.core.object_detection.detector import ObjectDetector
from agent.core.object_detection.labels import Box, LabelVotes, MovedRegions, ObjectLabel
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import DoorwardError
from agent.ports import Notifier
from agent.recorder.camera_queues import BoundedQueue

__all__ = ["QUEUE", "DetectionState", "DetectionStatus", "ObjectDetectionService"]

QUEUE: Final = 3
_INFER_EVERY_NS: Final = NS_PER_S // 2
_COLOUR_WAITS_NS: Final = NS_PER_S
"""An inference waits this long for a frame with a coloured picture, if the camera gives any."""
_INFER_EVERY_WHEN_SETTLED_NS: Final = 2 * NS_PER_S
"""Once a person is seen, there is little left to learn."""
_REST: Final = 3.0
"""Pause after an inference, as a multiple of its duration: a quarter of a core at most."""
_PATIENCE_S: Final = 1.5
"""An alert waits this many seconds for a person to be recognised."""
_FOOTAGE_WAITS_S: Final = 5.0
"""The writer of footage from a file waits at most this many seconds for the labels of a segment."""
_NO_MORE: Final = BootNs(2**63)
_EVENTS: Final = 4
"""Remembered: the writer may still be working on the one before."""


class DetectionState(enum.Enum):
    """The state that the owner sees."""

    OFF = "off"
    RUNNING = "running"
    PAUSED = "paused"
    """The board is too warm, or its supply too weak."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DetectionStatus:
    """`labels` are those of the current event; None outside of events, or while object detection is off."""

    state: str
    detail: str = ""
    inferences: int = 0
    dropped: int = 0
    ms_per_inference: float = 0.0
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _QueuedFrame:
    event: int
    at_ns: BootNs
    picture: Luma | Picture
    moved: Box | None


@dataclass(slots=True)
class _WatchedEvent:
    votes: LabelVotes = field(default_factory=LabelVotes)
    untold_until_s: float | None = None
    """Time at which "Something moved" is due, if it is still to be sent."""
    person_wanted: bool = False
    """A person is still to be told of."""


class ObjectDetectionService:
    """Use `start` and `stop`, repeatedly if needed. If `open_detector` is None, object detection is off and `why` gives
    the reason."""

    def __init__(
        self,
        open_detector: Callable[[], ObjectDetector] | None,
        notifier: Notifier,
        *,
        why: str = "",
        step_back: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_detector = open_detector
        self._notifier = notifier
        self._step_back = step_back
        self._monotonic = monotonic
        self._log = structlog.get_logger("object_detection")
        self._state = DetectionState.OFF if open_detector is None else DetectionState.RUNNING
        self._detail = why
        self._resting = False
        self._lock = threading.Condition()
        self._events: dict[int, _WatchedEvent] = {}
        self._open: int | None
        self._moved: MovedRegions
        self._next_ns: int
        self._coloured: bool
        """The camera gives coloured pictures, as far as is known."""
        self._live: bool
        self._watched_ns: BootNs
        """The newest frame of the analysis. Only later frames can still be queued."""
        self._queued: int
        self._queue: BoundedQueue[_QueuedFrame] = BoundedQueue(QUEUE)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._looks = self._dropped = 0
        self._spent_s = 0.0
        self.begin_stream(live=True)

    def start(self) -> None:
        """Loads the network and begins to detect, on another thread. `status` reports a fault of the network."""
        if self._open_detector is None or self._thread is not None:
            return
        self._stopping.clear()
        # The queue of an earlier run is closed, and a closed queue never opens again.
        self._queue = BoundedQueue(QUEUE)
        self._state, self._detail = DetectionState.RUNNING, ""
        self._thread = threading.Thread(target=self._run, args=(self._open_detector, self._queue), name="detection")
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Known labels can still be asked for. Idempotent."""
        self._stopping.set()
        self._queue.close()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._notify_moving(all_of_it=True)

    def set_paused(self, paused: bool) -> None:
        """Pauses or continues, to reduce the board's work. From any thread."""
        if paused != self._resting and self._open_detector is not None:
            self._log.info("object_detection_paused" if paused else "object_detection_resumed")
        self._resting = paused

    @property
    def state(self) -> DetectionState:
        resting = self._resting and self._state is DetectionState.RUNNING
        return DetectionState.PAUSED if resting else self._state

    def status(self) -> DetectionStatus:
        state = self.state
        with self._lock:
            event = self._events.get(self._open) if self._open is not None else None
            looked = event is not None and event.votes.inferences > 0 and state is DetectionState.RUNNING
            labels = tuple(label.value for label in event.votes.shown) if event is not None and looked else None
        ms = 1000 * self._spent_s / self._looks if self._looks else 0.0
        return DetectionStatus(state.value, self._detail, self._looks, self._dropped, round(ms, 1), labels)

    # -- from the analysis ---------------------------------------------------------------------------------------------

    def begin_stream(self, *, live: bool) -> None:
        """Another camera, or the same again: events are counted from one."""
        self._notify_moving(all_of_it=True)
        with self._lock:
            self._events.clear()
            self._live, self._watched_ns, self._queued = live, BootNs(0), 0
        self._switch_to(None)
        self._coloured = True

    def end_stream(self) -> None:
        """Ends the stream: its last frame has come."""
        with self._lock:
            self._watched_ns = _NO_MORE
            self._lock.notify_all()

    def observe(self, event: int | None, frame: LumaFrame, sample: MotionSample) -> None:
        """Takes a frame of the analysis. `event`: the event that is being recorded.

        Keeps a reference to `frame.luma`, so the caller must leave it unchanged.
        """
        if self.state is DetectionState.OFF:
            return
        if event != self._open:
            self._switch_to(event)
        self._moved.add(frame.sensor_ns, sample.box, present=sample.present)
        glimpse: _QueuedFrame | None = None
        with self._lock:
            if event is not None:
                seen = self._event(event)
                if self._is_due(frame) and self.state is DetectionState.RUNNING:
                    settled = ObjectLabel.PERSON in seen.votes.shown
                    self._next_ns = frame.sensor_ns + (_INFER_EVERY_WHEN_SETTLED_NS if settled else _INFER_EVERY_NS)
                    self._queued += 1
                    picture = frame.picture() if frame.picture is not None else frame.luma
                    glimpse = _QueuedFrame(event, frame.sensor_ns, picture, self._moved.box)
            self._watched_ns = frame.sensor_ns
            self._lock.notify_all()
        if glimpse is not None:
            self._offer(glimpse)

    def _is_due(self, frame: LumaFrame) -> bool:
        """Called with the lock held. An event's first frame makes a look due, or the one of `_next_ns`."""
        self._next_ns = self._next_ns or frame.sensor_ns
        if frame.picture is not None:
            self._coloured = True
        elif self._coloured and frame.sensor_ns >= self._next_ns + _COLOUR_WAITS_NS:
            self._coloured = False
        return frame.sensor_ns >= self._next_ns and (frame.picture is not None or not self._coloured)

    @property
    def picture_wanted_ns(self) -> int | None:
        """Sensor time from which a frame with a coloured picture is wanted; None outside of events, and while off."""
        return self._next_ns if self._open is not None and self.state is DetectionState.RUNNING else None

    def _switch_to(self, event: int | None) -> None:
        with self._lock:
            self._open = event
        self._moved = MovedRegions()
        self._next_ns = 0

    def _offer(self, glimpse: _QueuedFrame) -> None:
        if not self._live:
            self._queue.put(glimpse, QUEUE)
        elif not self._queue.offer(glimpse):
            self._queue.drop_oldest()
            self._dropped += 1
            self._done()
            self._queue.offer(glimpse)

    def _done(self) -> None:
        with self._lock:
            self._queued -= 1
            self._lock.notify_all()

    # -- from the writer -----------------------------------------------------------------------------------------------

    def event_began(self, event: int, kind: EventKind) -> None:
        """An event is being kept: its owner is told, now or as soon as it is clear of what."""
        if kind is EventKind.BUTTON:  # a press was told when it happened
            return
        if self.state is not DetectionState.RUNNING:
            self._notify("visitor")
            return
        with self._lock:
            seen = self._event(event)
            seen.person_wanted = True
            seen.untold_until_s = self._monotonic() + _PATIENCE_S
        self._notify_person(event)

    def on_time(self) -> None:
        """Reports visitors that are still unknown after `_PATIENCE_S`. Call it every second or so."""
        self._notify_moving(all_of_it=self.state is not DetectionState.RUNNING)

    def shown_between(self, event: int, from_ns: BootNs, until_ns: BootNs) -> tuple[ObjectLabel, ...] | None:
        """Returns the labels seen in frames of that span; None if all frames were skipped."""
        with self._lock:
            if not self._live and self._thread is not None:
                # A film plays faster than the network looks, so its writer waits. A camera's writer never does.
                self._lock.wait_for(lambda: self._is_settled(until_ns), _FOOTAGE_WAITS_S)
            seen = self._events.get(event)
            return seen.votes.shown_between(from_ns, until_ns) if seen is not None else None

    def _is_settled(self, until_ns: BootNs) -> bool:
        all_looked_at = self._watched_ns >= until_ns and not self._queued
        return all_looked_at or self._state is not DetectionState.RUNNING

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self, open_detector: Callable[[], ObjectDetector], queue: BoundedQueue[_QueuedFrame]) -> None:
        self._step_back()
        try:
            object_detector = open_detector()
            self._log.info("object_detection_ready")
            while (glimpse := queue.take()) is not None:
                try:
                    took_s = self._infer(object_detector, glimpse)
                finally:
                    self._done()
                if self._live:
                    # The pause is in proportion to the time spent, so that the share of a core is the same on each
                    # board.
                    self._stopping.wait(_REST * took_s)
        except DoorwardError as error:
            self._fail(queue, str(error))
        except Exception as error:  # noqa: BLE001 — whatever it is, it must not cost a recording
            self._fail(queue, f"It met a case it does not know ({type(error).__name__}).")

    def _fail(self, queue: BoundedQueue[_QueuedFrame], why: str) -> None:
        self._state, self._detail = DetectionState.FAILED, why
        self._log.warning("object_detection_failed", error=why)
        # The analysis of a film waits for room in the queue. Without a reader it would wait for ever.
        queue.close()
        while queue.take() is not None:
            self._done()
        with self._lock:
            self._lock.notify_all()

    def _infer(self, object_detector: ObjectDetector, glimpse: _QueuedFrame) -> float:
        if self._resting:
            return 0.0
        begun_s = time.monotonic()
        detections = object_detector.detect(glimpse.picture, glimpse.moved)
        took_s = time.monotonic() - begun_s
        with self._lock:
            seen = self._event(glimpse.event)
            seen.votes.add(glimpse.at_ns, detections, glimpse.moved)
        self._looks += 1
        self._spent_s += took_s
        self._notify_person(glimpse.event)
        return took_s

    def _event(self, number: int) -> _WatchedEvent:
        """Called with the lock held."""
        if number not in self._events:
            self._events[number] = _WatchedEvent()
            for old in sorted(self._events)[:-_EVENTS]:
                del self._events[old]
        return self._events[number]

    def _notify_person(self, event: int) -> None:
        with self._lock:
            seen = self._events.get(event)
            if seen is None or not seen.person_wanted or ObjectLabel.PERSON not in seen.votes.shown:
                return
            seen.person_wanted, seen.untold_until_s = False, None
        self._notify("person")

    def _notify_moving(self, *, all_of_it: bool) -> None:
        now_s = self._monotonic()
        with self._lock:
            waiting = [event for event in self._events.values() if event.untold_until_s is not None]
            due = [event for event in waiting if all_of_it or (event.untold_until_s or 0.0) <= now_s]
            for event in due:
                event.untold_until_s = None
            # The alerts are sent below, without the lock: a custodian that is away would hold up the analysis.
            kinds = ["unsure" if event.votes.is_unsure else "visitor" for event in due]
        for kind in kinds:
            self._notify(kind)

    def _notify(self, kind: str) -> None:
        self._notifier.notify(kind, _WORDS[kind])


_WORDS: Final = {
    "visitor": "Something moved at the door.",
    "unsure": "Something moved at the door, unsure what.",
    "person": "A person is at the door.",
}
