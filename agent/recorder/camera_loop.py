"""The camera loop: opens the camera, plays it, watches it, and opens it again after a fault.

The loop is the thread that calls `Recorder.run`. It never waits for the disk. `core.recovery` decides how far it goes
to get a camera back, and `privacy_gate` whether the camera may run at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Final

import structlog

from agent.core.events import TriggerKind
from agent.core.media import StreamDescription
from agent.core.motion.zones import Zone, ZoneMap
from agent.core.recovery import (
    CAMERA_REOPENS,
    CAMERA_STARTS,
    RecoveryAction,
    RecoveryPolicy,
    good_until_ns,
    stall_of,
)
from agent.core.timebase import NS_PER_S, BootNs, ClockReading, seconds
from agent.core.vault.records import GapReason
from agent.errors import DeviceError, InternalError
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import Camera, CameraEnd, Clock
from agent.recorder.camera_queues import CameraQueues
from agent.recorder.clip_writer import ClipWriter
from agent.recorder.coverage_recorder import CoverageRecorder, GapRecorder
from agent.recorder.frame_analysis import FrameAnalysis
from agent.recorder.live_view import LiveEncoder
from agent.recorder.object_detection import ObjectDetectionService
from agent.recorder.privacy_gate import PrivacyGate
from agent.recorder.recorder_inputs import PendingTrigger, RecorderInputs
from agent.recorder.sound_recorder import SoundRecorder
from agent.wire.fields import ZoneKind
from firmware_bridge.throttling import ThrottleLevel

__all__ = ["CameraLoop", "StreamParts"]

_LOOK_S = 0.5
"""Seconds between two checks of a running camera."""
_UNREAD_S: Final = 30.0
"""After a start the bridge has this many seconds to read the privacy switch; then the owner is told that it cannot."""
_PRESS_KEPT_NS = 20 * NS_PER_S
"""A press without a camera becomes an event if a camera comes within this time."""


@dataclass(frozen=True, slots=True)
class StreamParts:
    """The parts that work on a camera stream. `sound` is None if the microphone stays off."""

    analysis: FrameAnalysis
    writer: ClipWriter
    gaps: GapRecorder
    coverage: CoverageRecorder
    object_detection: ObjectDetectionService
    sound: SoundRecorder | None
    live: LiveEncoder | None


class CameraLoop(ThreadOwned):
    """`run` from one thread; `stop`, `end_stream` and `look_now` from any."""

    WRITTEN_BY: ClassVar = dict.fromkeys(
        (
            "queues",
            "camera_fault",
            "between_ns",
            "wanted",
            "_masked_by",
            "_opened_level",
            "_mask_refused",
            "_reopen",
            "_good_ns",
        ),
        AttributeOwner.CAMERA_LOOP,
    )

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        inputs: RecorderInputs,
        gate: PrivacyGate,
        parts: StreamParts,
        clock: Clock,
        recovery: RecoveryPolicy,
        stall_s: float,
    ) -> None:
        self._open_camera = open_camera
        self._inputs = inputs
        self._gate = gate
        self._parts = parts
        self._clock = clock
        self.recovery = recovery
        self._stall_ns = seconds(stall_s)
        self._log = structlog.get_logger("recorder")
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self.queues: CameraQueues | None = None
        """The queues of the stream that runs, if any."""
        self.camera_fault = CAMERA_STARTS
        self.between_ns: int | None = None
        """On CLOCK_MONOTONIC: since when a camera is being opened, started, masked or closed; None otherwise."""
        self.wanted: RecoveryAction | None = None
        """The step that the process must take to get the camera back; None while the loop can continue."""
        self._masked_by = inputs.zones
        """The privacy zones of these are black in the camera's pictures."""
        self._opened_level: int
        """The throttling level that the camera was opened with."""
        self._mask_refused: bool
        self._reopen: bool
        """Each attempt begins with both of them False."""
        self._good_ns = 0
        """The last stream's last good picture, on CLOCK_MONOTONIC; 0 if there was none."""

    def run(self, first_ns: BootNs | None) -> CameraEnd:
        """Plays the camera until `stop` or the end of its footage. `Recorder.run` has the details."""
        self._parts.object_detection.start()
        try:
            while not self._stopping.is_set():
                self._record_unseen_rings()
                if self._gate.closed:
                    self._wait_for_privacy_end()
                    continue
                end = self._attempt(first_ns)
                if end is not None:
                    return end
        finally:
            self._parts.object_detection.stop()
            self._parts.gaps.end(tell=False)
        return CameraEnd.STOPPED

    def stop(self) -> None:
        """Asks `run` to finish what is open and to return. From any thread; idempotent."""
        # Set before the stream ends: a loop that is between two streams would otherwise open the camera once more.
        self._stopping.set()
        self.end_stream("The recorder was stopped.")

    def end_stream(self, why: str) -> None:
        """Ends the stream that runs. From any thread."""
        self._woken.set()
        queues = self.queues
        if queues is not None:
            # The caller may be the panel's thread, so the driver, which may hang, is left to the loop (`_close`).
            queues.ended(CameraEnd.STOPPED, why)

    def look_now(self) -> None:
        """Wakes the loop, because zones or the privacy gate changed. From any thread."""
        self._woken.set()
        queues = self.queues
        if queues is not None:
            queues.attention.set()

    def _wait_for_privacy_end(self) -> None:
        """Waits until the gate opens or `stop`. The owner is not told of a switch that is about to be read."""
        gate, since = self._gate, self._clock.now()
        if gate.only_unread:
            self._wait(_UNREAD_S, lambda: not gate.only_unread)
        if not gate.closed or self._stopping.is_set():
            return
        news = "privacy unread" if gate.only_unread else "privacy on"
        self._parts.gaps.begin(GapReason.PRIVACY, f"{gate.reason} The camera is off.", since=since, news=news)
        # A switch that is read late and is on is other news: the wait ends, and the next one tells the owner.
        self._wait(None, lambda: not gate.closed or (news == "privacy unread" and gate.switch_read))

    def _attempt(self, first_ns: BootNs | None) -> CameraEnd | None:
        """Opens and plays the camera once. Returns None if the loop must continue."""
        self._reopen = self._mask_refused = False
        # Read before the camera is opened: a change in the meantime is seen as a difference later.
        self._masked_by, self._opened_level = self._inputs.zones, self._inputs.throttle_level
        hangs = False
        try:
            with self._in_driver():
                camera = self._open_camera()
                description = camera.open()
        except DeviceError as error:
            self.camera_fault = str(error)
        else:
            self._parts.gaps.end()
            begun_ns = time.monotonic_ns()
            end, self.camera_fault, hangs = self._play(camera, description, first_ns or self._clock.now().boot_ns)
            # Counts before the fault that ended the stream: a good hour resets the number of faults.
            self.recovery.on_good(time.monotonic_ns() - begun_ns)
            if self._stopping.is_set():
                return end
            if self._gate.closed:
                self.camera_fault = CAMERA_STARTS  # it was closed, and will be opened: neither is a fault
                return None
            if self._reopen:
                return None
            if not description.live:
                return end
        return None if self._gate.closed else self._recover(hangs=hangs)

    def _recover(self, *, hangs: bool) -> CameraEnd | None:
        """Takes the next step of `core.recovery` for a camera that was lost."""
        self._parts.gaps.begin(GapReason.CAMERA_LOST, self.camera_fault, since=self._last_good())
        step, pause_s = self.recovery.on_fault(hangs=hangs)
        if step is not RecoveryAction.RESTART:
            self.wanted = step
            return CameraEnd.LOST
        # A closed gate ends the pause, so that the gap changes from "camera lost" to "privacy" at that time.
        self._wait(pause_s, lambda: self._gate.closed)
        return None

    def _last_good(self) -> ClockReading | None:
        """Returns when the last stream gave its last good picture; a stall is certain only later."""
        good_ns, self._good_ns = self._good_ns, 0
        if not good_ns:
            return None
        now = self._clock.now()
        return now.at(BootNs(now.boot_ns - max(0, time.monotonic_ns() - good_ns)))

    def _wait(self, timeout_s: float | None, until: Callable[[], bool]) -> None:
        """Waits for `stop`, for `until`, or for the timeout."""
        ends_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._stopping.is_set() and not until():
            self._record_unseen_rings()
            left_s = None if ends_s is None else ends_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return
            self._woken.wait(left_s)
            self._woken.clear()

    def _record_unseen_rings(self) -> None:
        while self._inputs.unseen_rings:
            self._parts.gaps.rang(self._inputs.unseen_rings.popleft())

    # -- one stream ----------------------------------------------------------------------------------------------------

    def _play(self, camera: Camera, description: StreamDescription, first_ns: BootNs) -> tuple[CameraEnd, str, bool]:
        """Plays one stream. Returns how and why it ended, and whether the camera could not be stopped."""
        parts = self._parts
        queues = CameraQueues(
            live=description.live,
            luma_steady=description.luma_steady,
            show=parts.live.frame if parts.live is not None else None,
        )
        self._good_ns = 0
        parts.object_detection.begin_stream(live=description.live)
        faults: list[BaseException] = []

        def analyse() -> None:
            parts.analysis.run(queues, description, camera.request_keyframe)

        def write() -> None:
            parts.writer.run(queues.packets, description)

        threads = (_worker("analysis", analyse, queues, faults), _worker("writer", write, queues, faults))
        hangs = False
        self.queues = queues
        for thread in threads:
            thread.start()
        try:
            # The gate may have closed while the driver opened the camera, which takes seconds. `end_stream` found no
            # queues then.
            if not (self._gate.closed or self._stopping.is_set()):
                self._start(camera, queues, first_ns)
                self._watch_over(camera, queues)
        finally:
            hangs = self._close(camera, queues, threads)
            self.queues = None
        if faults:
            raise InternalError("The recorder met a case it does not know.") from faults[0]
        return (*(queues.end or (CameraEnd.STOPPED, "")), hangs)

    def _start(self, camera: Camera, queues: CameraQueues, first_ns: BootNs) -> None:
        sound = self._parts.sound
        if sound is not None:
            sound.begin(first_ns)
            if not queues.live:
                sound.settle()  # otherwise the beginning of the footage would be silent
        with self._in_driver():
            camera.start(queues, first_ns)
        self._replay_press(queues)

    def _close(self, camera: Camera, queues: CameraQueues, threads: tuple[threading.Thread, ...]) -> bool:
        """Ends the stream and returns whether the camera hangs.

        The order matters: input stops first, then the threads finish what is queued.
        """
        sound, hangs = self._parts.sound, False
        with self._in_driver():
            if sound is not None and queues.live:
                sound.end()  # first: the microphone must be off as soon as the camera is
            try:
                camera.stop()
            except (DeviceError, InternalError) as error:
                hangs = True
                self._log.error("camera_hangs", detail=error.message)
            # Only `lumas`: the analysis closes `packets` after its last decisions, and without these a clip would have
            # no end.
            queues.lumas.close()
            for thread in threads:
                thread.join()
            if sound is not None and not queues.live:
                sound.end()  # last: the writer still reads the sound of a file
            if sound is not None:
                sound.join()
        if self._parts.live is not None:
            self._parts.live.forget()
        if queues.live:
            # After a stall, `_watch_over` has set it: a stall becomes certain seconds after the last good picture.
            self._good_ns = self._good_ns or queues.pulse.frame_ns
            self._parts.coverage.ended(time.monotonic_ns() - self._good_ns)
        return hangs

    def _watch_over(self, camera: Camera, queues: CameraQueues) -> None:
        """Returns when the camera has ended, was told to end, or is stalled."""
        self._apply_mask(camera)  # zones may have changed while the camera was being opened
        while not queues.wait_for_attention(_LOOK_S):
            self._apply_mask(camera)
            self._parts.object_detection.on_time()
            pulse = queues.pulse
            if queues.live and queues.begun:
                self._parts.coverage.pictures_delivered(time.monotonic_ns() - pulse.frame_ns)
            stall = stall_of(pulse, time.monotonic_ns(), self._stall_ns) if queues.live else None
            if stall is not None:
                self._good_ns = good_until_ns(stall, pulse)
                queues.ended(CameraEnd.LOST, f"{stall.value} It is restarted; if that repeats, check cable and power.")
            # A camera that is opened again gives no pictures meanwhile, so it waits for the end of the clip.
            elif self._must_reopen and queues.live and not self._parts.writer.busy:
                self._reopen = True
                queues.ended(CameraEnd.STOPPED, CAMERA_REOPENS)

    @property
    def _must_reopen(self) -> bool:
        """From `ThrottleLevel.RATE` on, the camera itself must change; it does so between two events."""
        now, then = self._inputs.throttle_level, self._opened_level
        return self._mask_refused or max(now, ThrottleLevel.ANALYSIS) != max(then, ThrottleLevel.ANALYSIS)

    def _apply_mask(self, camera: Camera) -> None:
        """Masks the camera's pictures if the privacy zones have changed."""
        zones = self._inputs.zones
        if zones is self._masked_by:
            return
        changed = _privacy_zones(zones) != _privacy_zones(self._masked_by)
        self._masked_by = zones
        if not changed:
            return
        with self._in_driver():
            if not camera.mask(zones):
                self._mask_refused = True

    def _replay_press(self, queues: CameraQueues) -> None:
        """Makes an event of a recent press that came before the camera."""
        if not self._inputs.early_presses:
            return
        pressed_ns = self._inputs.early_presses.pop()
        if time.monotonic_ns() - pressed_ns < _PRESS_KEPT_NS:
            at_ns = self._clock.now().boot_ns if queues.live else None
            # `is_recorded`: `_record_unseen_rings` writes this press to the manifest. A second record would show two
            # rings.
            queues.lumas.force(PendingTrigger(TriggerKind.BUTTON, at_ns, is_recorded=True))

    @contextmanager
    def _in_driver(self) -> Iterator[None]:
        """Marks a call that can hang in the camera's driver; the watchdog reads `between_ns`."""
        self.between_ns = time.monotonic_ns()
        try:
            yield
        finally:
            self.between_ns = None


def _privacy_zones(zones: ZoneMap) -> list[Zone]:
    return [zone for zone in zones.zones if zone.kind is ZoneKind.PRIVACY]


def _worker(name: str, work: Callable[[], None], queues: CameraQueues, faults: list[BaseException]) -> threading.Thread:
    """Returns a thread that passes its exceptions to `_play` and ends the stream.

    Otherwise a bug would leave a doorbell that looks healthy and has stopped recording.
    """

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 — `_play` raises it again
            faults.append(error)
            queues.ended(CameraEnd.LOST, "internal error")

    return threading.Thread(target=guarded, name=name)
