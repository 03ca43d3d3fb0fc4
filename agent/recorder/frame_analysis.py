"""The analysis thread: turns small grey frames and triggers into event decisions for the writer.

The analysis never waits for the card, because a slow disk must not delay the detection of an event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import ClassVar

import structlog

from agent.core.events import ButtonRing, EventBegins, EventMachine, TriggerKind
from agent.core.media import LumaFrame, StreamDescription
from agent.core.motion.detector import Detector
from agent.core.motion.passes import MakePasses
from agent.core.motion.sample import MotionState
from agent.core.motion.zones import ZoneMap
from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.errors import DoorwardError
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import CameraEnd, Clock
from agent.recorder.camera_queues import CameraQueues
from agent.recorder.object_detection import ObjectDetectionService
from agent.recorder.recorder_inputs import PendingTrigger, RecorderInputs, RecorderSettings
from firmware_bridge.throttling import ThrottleLevel

__all__ = ["FrameAnalysis"]

_GATHER_FRAMES_S = 0.4
"""While nothing moves, frames are taken in groups; the oldest frame of a group has waited at most this long."""
_FRAMES_MISSED = 3
"""For the detector, more than this many missing frames in a row are a hole."""


class FrameAnalysis(ThreadOwned):
    """`run` is the analysis thread of one camera stream. The totals are those of all streams since the start."""

    WRITTEN_BY: ClassVar = dict.fromkeys(
        (
            *("analysed", "spent_ns", "passes_name", "_detector", "_zones", "_stream"),
            *("_machine", "_last_ns", "_frames", "_together", "_rang_ns"),
        ),
        AttributeOwner.ANALYSIS,
    )

    def __init__(
        self,
        settings: RecorderSettings,
        inputs: RecorderInputs,
        clock: Clock,
        object_detection: ObjectDetectionService,
        make_passes: MakePasses,
    ) -> None:
        self._settings = settings
        self._inputs = inputs
        self._clock = clock
        self._object_detection = object_detection
        self._make_passes = make_passes
        self._log = structlog.get_logger("recorder")
        self.analysed = 0
        self.spent_ns = 0
        self.passes_name = ""
        """Which implementation of the detector's passes runs; empty before the first stream."""
        self._detector: Detector | None = None
        self._zones: ZoneMap | None = None
        self._stream: StreamDescription | None = None
        """The zones and the stream of `_detector`. A stream that begins again like the last one keeps it: its scene is
        the best evidence of who stands there now."""
        self._machine: EventMachine
        self._last_ns: BootNs
        self._frames: int
        self._together: int
        """Each stream begins with its own of these four."""
        self._rang_ns: BootNs | None = None

    def run(self, queues: CameraQueues, description: StreamDescription, request_keyframe: Callable[[], None]) -> None:
        """Analyses the frames in `queues` until it is closed, and passes decisions to the writer.

        Both queues are closed at the end, also after an error: the writer must not wait for decisions in vain.
        """
        try:
            self._begin_stream(description)
            while (item := queues.lumas.take(together=self._together)) is not None:
                self._pass_on(self._effects_of(item, queues, description), queues, request_keyframe)
            end_ns = BootNs(self._last_ns + round(NS_PER_S / description.frames_per_s))
            # The end is one frame behind the last picture: a clip is half open, and would otherwise lose this picture.
            self._pass_on(self._machine.close(end_ns), queues, request_keyframe)
        except DoorwardError as error:
            self._log.error("analysis_failed", error=type(error).__name__)
            queues.ended(CameraEnd.LOST, error.message)
        finally:
            self._object_detection.end_stream()
            queues.lumas.close()
            queues.packets.close()

    def _begin_stream(self, description: StreamDescription) -> None:
        self._machine = EventMachine(self._settings.events)
        self._last_ns = BootNs(0)
        self._frames = 0
        self._together = 1
        if not (self._detector and description.live and description == self._stream):
            self._make_detector(description)

    def _make_detector(self, description: StreamDescription) -> Detector:
        rate = description.luma_frames_per_s or description.frames_per_s
        # At one frame in two seconds, every pause between two frames would count as a hole.
        motion = replace(self._settings.motion, gap_s=max(self._settings.motion.gap_s, _FRAMES_MISSED / rate))
        zones = self._inputs.zones
        height_px, width_px = description.luma_height_px, description.luma_width_px
        detector = Detector(height_px, width_px, rate, zones, motion, self._make_passes)
        self._detector, self._zones, self._stream = detector, zones, description
        self.passes_name = detector.passes_name
        return detector

    def _detector_now(self, description: StreamDescription) -> Detector:
        if self._detector is None or self._inputs.zones is not self._zones:
            # It learns its scene again: the black area of a new mask is not a visitor.
            return self._make_detector(description)
        return self._detector

    def _effects_of(self, item: object, queues: CameraQueues, description: StreamDescription) -> Iterable[object]:
        self._together = 1
        if isinstance(item, PendingTrigger):
            at_ns = item.at_ns if item.at_ns is not None else self._last_ns
            return (*self._machine.on_trigger(item.kind, at_ns), *self._ring(item, at_ns))
        if not isinstance(item, LumaFrame):
            return ()
        self._frames += 1
        if self._is_skipped():
            self._last_ns = item.sensor_ns
            # A skipped frame still carries the time: an open event must end when its post-roll is over.
            return self._machine.on_time(item.sensor_ns)
        return self._analyse(item, queues, description)

    def _ring(self, pressed: PendingTrigger, at_ns: BootNs) -> Iterator[ButtonRing]:
        """A press for the manifest. Presses that follow faster than `ring_again_s` are one ring, as for events."""
        if pressed.kind is not TriggerKind.BUTTON:
            return
        is_again = self._rang_ns is not None and at_ns - self._rang_ns < seconds(self._settings.events.ring_again_s)
        if is_again:
            return
        self._rang_ns = at_ns
        if not pressed.is_recorded:
            yield ButtonRing(at_ns)

    def _is_skipped(self) -> bool:
        halved = self._inputs.throttle_level >= ThrottleLevel.ANALYSIS and self._frames % 2 == 1
        return halved or time.monotonic_ns() < self._inputs.blackout_until_ns

    def _analyse(self, frame: LumaFrame, queues: CameraQueues, description: StreamDescription) -> Iterable[object]:
        detector = self._detector_now(description)
        begun_ns = self._clock.now().boot_ns
        sample = detector.step(frame)
        effects = self._machine.on_motion(sample)
        queues.lens = sample.lens
        # Not within an event, because its end would come late.
        if queues.live and sample.state is MotionState.QUIET and self._machine.next_deadline_ns is None:
            # A thread that sleeps longer costs less: it wakes up once for a few frames.
            rate = description.luma_frames_per_s or description.frames_per_s
            self._together = 1 + int(_GATHER_FRAMES_S * min(10.0, rate))
        self.spent_ns += self._clock.now().boot_ns - begun_ns
        self.analysed += 1
        self._object_detection.observe(self._machine.recorded_event, frame, sample)
        queues.picture_wanted_ns = self._object_detection.picture_wanted_ns
        self._last_ns = frame.sensor_ns
        return effects

    @staticmethod
    def _pass_on(effects: Iterable[object], queues: CameraQueues, request_keyframe: Callable[[], None]) -> None:
        for effect in effects:
            if isinstance(effect, EventBegins):
                request_keyframe()  # the recording and the live view then begin with the event
            queues.packets.force(effect)
