"""Runs a camera: packets and grey frames in, sealed and acknowledged segments out.

    camera thread ─ luma ──▶ analysis thread: detector → events ─ decisions ─┐
                  └ packets ─────────────────────────────────────────────────▶ writer thread: GOPs → segments → vault

The analysis never waits for the card and the writer never waits for the detector; the pre-roll ring is what lets a
decision come late and still begin in the past.  Beside them, and waited for by nobody, a second opinion looks at frames
of events (`recorder.object_detection`).  What the camera delivers is described in `recorder.camera_queues`.

A storage fault ends the segment it met and nothing else: the next segment tries again, and until one is acknowledged
the state says so (FORMAT.md, invariant 9).

A live camera is watched for as long as it runs: no frame, no packet, or the same frame over and over ends its pipeline,
and `core.recovery` says how far to go then.  The privacy switch closes the camera, whatever else is going on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from agent.core.events import EventBegins, EventMachine, EventSettings, TriggerKind
from agent.core.media import LumaFrame, StreamDescription
from agent.core.motion.detector import Detector
from agent.core.motion.lens import LensState
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import MakePasses
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.sample import MotionState
from agent.core.motion.zones import Zone, ZoneKind, ZoneMap
from agent.core.recovery import RecoveryAction, RecoveryPolicy, StreamPulse, good_until_ns, stall_of
from agent.core.retention import ProtectedIds
from agent.core.timebase import NS_PER_S, BootNs, ClockReading, seconds
from agent.core.vault.records import GapReason
from agent.errors import DeviceError, DoorwardError, InternalError
from agent.ports import Camera, CameraEnd, Clock, Entropy, Microphone, Notifier
from agent.recorder.camera_queues import CameraQueues
from agent.recorder.clip_writer import ClipWriter, WriterSettings
from agent.recorder.coverage_recorder import CoverageRecorder
from agent.recorder.gap_recorder import GapRecorder
from agent.recorder.live_view import LiveEncoder
from agent.recorder.object_detection import DetectionStatus, ObjectDetectionService
from agent.recorder.sound_recorder import SoundRecorder
from agent.recorder.vault import Vault
from firmware_bridge.throttling import ThrottleLevel

__all__ = ["Recorder", "RecorderSettings", "RecorderStatus"]

_LOOK_S = 0.5
"""How often a running camera is looked at."""
_LEISURE_S = 0.4
"""The oldest of the frames that are taken together while nothing moves has waited so long."""
_DELIVERING_NS = NS_PER_S
_PATIENCE_S = 5.0
"""A disk that has not answered for so long is said not to record."""
_FRAMES_MISSED = 3
"""So many small pictures may be missing in a row before the detector learns its scene anew."""
_UNREAD_S: Final = 30.0
"""After a start the bridge has this many seconds to read the privacy switch before the owner is told that it cannot."""
_PRESS_KEPT_NS = 20 * NS_PER_S
"""A press that met no camera becomes an event if one comes within so long."""


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """What to watch for and how much to keep around it."""

    motion: MotionSettings
    zones: ZoneMap
    events: EventSettings
    writer: WriterSettings
    stall_s: float = 15.0
    """A live camera that gives nothing for so long is stalled."""


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """`state` is the word a person reads: never "recording" while nothing is being acknowledged."""

    state: str
    detail: str
    frames: int
    frames_dropped: int
    packets_dropped: int
    events: int
    segments: int
    analysis_ms_per_frame: float
    in_memory_bytes: int = 0
    """Of footage that is not acknowledged yet: seconds of it while all is well, more while the disk takes none."""
    in_memory_s: float = 0.0
    recorded_s: float = 0.0
    """Of footage acknowledged since the process began."""
    in_event: bool = False
    """A clip of an event is being written: somebody is there, or was a moment ago."""
    motion_passes: str = ""
    """Which implementation of the motion detector's passes is in force; empty before the first frame."""
    sound: str = "off"
    """"listening", "off", or why nothing is heard."""
    object_detection: DetectionStatus = field(default_factory=lambda: DetectionStatus("off"))
    discarded_events: int = 0
    """Events that were recorded, and not kept because of `clips.keep`."""


@dataclass(frozen=True, slots=True)
class _PendingTrigger:
    """`at_ns`: None is the moment of the newest frame, for footage whose time is not the present."""

    kind: TriggerKind
    at_ns: BootNs | None


class Recorder:
    """One camera's life.  `run` blocks until it is stopped or its footage ends."""

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        notifier: Notifier,
        settings: RecorderSettings,
        protected: Callable[[], ProtectedIds],
        *,
        recovery: RecoveryPolicy | None = None,
        switch_unread: bool = False,
        make_passes: MakePasses = PurePasses,
        open_microphone: Callable[[], Microphone] | None = None,
        live: LiveEncoder | None = None,
        opinion: ObjectDetectionService | None = None,
    ) -> None:
        """`switch_unread`: there is a privacy switch, and it counts as on until `set_private` says how it stands.
        `make_passes`: of the motion detector.

        Without `open_microphone` nobody listens.
        """
        self._open_camera = open_camera
        self._vault = vault
        self._clock = clock
        self._notifier = notifier
        self._settings = settings
        self._log = structlog.get_logger("recorder")
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._intake: CameraQueues | None = None
        self._camera: Camera | None = None
        """The camera that runs."""
        self._masked_by = settings.zones
        """What is private of these is black in the pictures that come."""
        self._between_ns: int | None = None
        self._camera_fault = "starting"
        self._analysed = 0
        self._analysis_ns = 0
        self._listening = SoundRecorder(open_microphone, notifier) if open_microphone is not None else None
        hear = self._listening.take if self._listening is not None else None
        self._object_detection = opinion or ObjectDetectionService(None, notifier)
        self._writer = ClipWriter(
            vault,
            clock,
            entropy,
            notifier,
            settings.writer,
            protected,
            hear,
            live.push if live else None,
            self._object_detection,
            self._on_tick,
        )
        self._live = live
        self._outages = GapRecorder(vault, clock, notifier)
        self._watching = CoverageRecorder(vault, clock)
        self.recovery = recovery or RecoveryPolicy(supervised=False)
        self._switched: bool | None = None if switch_unread else False
        """How the privacy switch stands; None: it has not been read yet."""
        self._hour = False
        self._relief = 0
        self._lens = self._lens_told = LensState.CLEAR
        self._reopen = self._reopen_wanted = False
        self._blackout_until_ns = 0
        self._good_ns = 0
        """On CLOCK_MONOTONIC: when the camera that played last gave its last good picture; 0 without one."""
        self._pressed_ns: int | None = None
        self._make_passes = make_passes
        self._passes_name = ""
        self.wanted: RecoveryAction | None = None
        """What the process must do because the camera does not come back; None while it goes on by itself."""

    def run(self, first_ns: BootNs | None = None) -> CameraEnd:
        """Play the camera until `stop` or the end of its footage; a live camera that is lost is sought again.

        `first_ns`: boot-clock time of the first frame, for footage (default: now).  Raises `ConfigurationError` for a
        camera that cannot exist as configured; one that is merely missing is waited for.  Returns `CameraEnd.LOST` only
        when `core.recovery` gives this process up: `wanted` then says what for.
        """
        self._object_detection.start()
        try:
            while not self._stopping.is_set():
                if self._private:
                    self._wait_for_privacy_end()
                    continue
                end = self._attempt(first_ns)
                if end is not None:
                    return end
        finally:
            self._object_detection.stop()
            self._outages.end(tell=False)
        return CameraEnd.STOPPED

    def _wait_for_privacy_end(self) -> None:
        """Until privacy is over or `stop`.  A switch that is only about to be read, after a start, is no news."""
        since = self._clock.now()
        if self._switched is None and not self._hour:
            self._wait(_UNREAD_S, lambda: self._switched is not None or self._hour)
        if not self._private or self._stopping.is_set():
            return
        news = "privacy unread" if self._switched is None and not self._hour else "privacy on"
        self._outages.begin(GapReason.PRIVACY, f"{self._why_private} The camera is off.", since=since, news=news)
        self._wait(None, lambda: not self._private or (news == "privacy unread" and self._switched is not None))

    def _attempt(self, first_ns: BootNs | None) -> CameraEnd | None:
        """Open and play once.  None: go on."""
        self._reopen = self._reopen_wanted = False
        self._masked_by = self._settings.zones
        hangs = False
        try:
            with self._between_events_step():
                camera = self._open_camera()
                description = camera.open()
        except DeviceError as error:
            self._camera_fault = str(error)
        else:
            self._outages.end()
            begun_ns = time.monotonic_ns()
            end, self._camera_fault, hangs = self._play(camera, description, first_ns or self._clock.now().boot_ns)
            self.recovery.on_good(time.monotonic_ns() - begun_ns)
            if self._stopping.is_set():
                return end
            if self._private or self._reopen:
                return None
            if not description.live:
                return end
        if self._private:
            return None
        self._outages.begin(GapReason.CAMERA_LOST, self._camera_fault, since=self._last_good())
        step, pause_s = self.recovery.on_fault(hangs=hangs)
        if step is not RecoveryAction.RESTART:
            self.wanted = step
            return CameraEnd.LOST
        self._wait(pause_s, lambda: self._private)
        return None

    def _last_good(self) -> ClockReading | None:
        """Of a camera that played: when it gave its last good picture.  It was found to be lost only later."""
        good_ns, self._good_ns = self._good_ns, 0
        if not good_ns:
            return None
        now = self._clock.now()
        return now.at(BootNs(now.boot_ns - max(0, time.monotonic_ns() - good_ns)))

    def stop(self) -> None:
        """Ask `run` to finish what is open and return.  From any thread; idempotent."""
        self._stopping.set()
        self._end_camera("The recorder was stopped.")

    def set_private(self, private: bool) -> None:
        """The privacy switch: on closes the camera at once, off opens it again.  From any thread."""
        self._set_darkness(switched=private)

    def set_private_hour(self, private: bool) -> None:
        """Whether now is one of the household's private hours: as the switch.  From any thread."""
        self._set_darkness(hour=private)

    def _set_darkness(self, *, switched: bool | None = None, hour: bool | None = None) -> None:
        before, unread = self._private, self._switched is None
        self._switched = self._switched if switched is None else switched
        self._hour = self._hour if hour is None else hour
        if unread and switched is not None:
            self._woken.set()
        if self._private == before:
            return
        self._log.info("privacy_switched", on=self._private)
        if self._private:
            self._end_camera(self._why_private)
        else:
            self._woken.set()

    @property
    def _private(self) -> bool:
        return self._switched is not False or self._hour

    @property
    def _why_private(self) -> str:
        if self._switched:
            return "The privacy switch is on."
        return "This is a private hour." if self._hour else "The privacy switch has not been read yet."

    def watch_for(self, zones: ZoneMap) -> None:
        """Other zones and masks, from the next picture on, whatever is being recorded.  From any thread."""
        self._settings = replace(self._settings, zones=zones)
        self._log.info("zones_changed")
        self._mask_again()

    def _mask_again(self) -> None:
        """Mask what comes from the camera that runs as the settings say now."""
        camera, zones = self._camera, self._settings.zones
        if camera is None or zones is self._masked_by:
            return
        changes = _private_part(zones) != _private_part(self._masked_by)
        self._masked_by = zones
        if not changes:
            return
        if not camera.mask(zones):
            self._reopen_wanted = True

    def set_throttle_level(self, level: int) -> None:
        """Take this much work off the board (`firmware_bridge.throttling`).  From any thread.

        From the third rung on the camera itself must change: it is opened anew, between two events.
        """
        self._object_detection.set_paused(level >= ThrottleLevel.OBJECT_DETECTION)
        if level != self._relief:
            self._reopen_wanted = max(level, ThrottleLevel.ANALYSIS) != max(self._relief, ThrottleLevel.ANALYSIS)
            self._relief = level
            self._log.info("relief_changed", level=level)

    @property
    def throttle_level(self) -> int:
        return self._relief

    def black_out(self, length_ns: int) -> None:
        """The picture is about to change as a whole; motion of the next `length_ns` is not somebody."""
        self._blackout_until_ns = time.monotonic_ns() + length_ns

    def trigger(self, kind: TriggerKind, at_ns: BootNs | None = None) -> None:
        """Somebody pressed the button or passed the PIR: always an event, whatever the picture shows.

        `at_ns`: when, on the boot clock; for live cameras only.  The owner is told of a press at once,
        whatever writer and disk are doing; one that no camera can show becomes an event if a camera comes soon.
        """
        intake = self._intake
        if intake is not None:
            now_ns = self._clock.now().boot_ns
            # A bridge that was taken over may date it in the future.  The event machine would go there and stay.
            intake.lumas.force(_PendingTrigger(kind, min(at_ns or now_ns, now_ns) if intake.live else None))
        elif kind is TriggerKind.BUTTON:
            self._pressed_ns = time.monotonic_ns()
        if kind is TriggerKind.BUTTON:
            picture = "" if intake is not None else f" There is no picture: {self._state()[0]}."
            self._notifier.notify("button", f"Somebody pressed the button.{picture}")

    @property
    def delivering(self) -> bool:
        """The sensor gave a frame within the last second."""
        intake = self._intake
        return intake is not None and intake.begun and time.monotonic_ns() - intake.pulse.frame_ns < _DELIVERING_NS

    @property
    def pulse(self) -> StreamPulse | None:
        """When a live camera that runs last gave what, on CLOCK_MONOTONIC; None while none does."""
        intake = self._intake
        if intake is None or not intake.live or intake.ended_event.is_set():
            return None
        return intake.pulse

    @property
    def between_ns(self) -> int | None:
        """Since when, on CLOCK_MONOTONIC, a camera is being opened, started or closed; None while none is."""
        return self._between_ns

    @property
    def lux(self) -> float | None:
        """The newest frame's light, where the camera says it."""
        intake = self._intake
        return intake.lux if intake is not None else None

    def _end_camera(self, why: str) -> None:
        self._woken.set()
        if self._intake is not None:
            self._intake.ended(CameraEnd.STOPPED, why)

    def _wait(self, timeout_s: float | None, until: Callable[[], bool]) -> None:
        """Until `stop`, or `until` is true, or the time is over."""
        ends_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._stopping.is_set() and not until():
            left_s = None if ends_s is None else ends_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return
            self._woken.wait(left_s)
            self._woken.clear()

    def status(self) -> RecorderStatus:
        intake = self._intake
        state, detail = self._state()
        return RecorderStatus(
            state=state,
            detail=detail,
            frames=intake.frames if intake else 0,
            frames_dropped=intake.frames_dropped if intake else 0,
            packets_dropped=intake.packets_dropped if intake else 0,
            events=self._writer.events,
            segments=self._writer.acknowledged,
            analysis_ms_per_frame=self._analysis_ns / 1e6 / self._analysed if self._analysed else 0.0,
            in_memory_bytes=self._writer.retry_buffer.in_memory_bytes,
            in_memory_s=round(self._writer.retry_buffer.in_memory_s, 1),
            recorded_s=round(self._writer.retry_buffer.recorded_s, 1),
            in_event=self._writer.busy,
            motion_passes=self._passes_name,
            sound=self._listening.state if self._listening is not None else "off",
            object_detection=self._object_detection.status(),
            discarded_events=self._writer.let_go,
        )

    def _state(self) -> tuple[str, str]:
        if self._private:
            return "privacy", self._why_private
        if self._intake is None:
            return "no camera", self._camera_fault
        keeper = self._writer.retry_buffer
        if self._vault.fault and not self._writer.fault:
            return "not recording", self._vault.fault
        if self._writer.fault:
            kept = f" The newest {keeper.in_memory_s:.0f} s wait in memory." if keeper.waiting else ""
            return "not recording", " ".join(filter(None, (self._writer.fault + kept, self._writer.warning)))
        if keeper.stalled_s > _PATIENCE_S:
            return "not recording", f"The disk has not answered for {keeper.stalled_s:.0f} s. Check it."
        return "recording" if self._writer.recording else "watching", self._writer.warning

    def _play(self, camera: Camera, description: StreamDescription, first_ns: BootNs) -> tuple[CameraEnd, str, bool]:
        """How it ended, in words, and whether the camera could not be stopped."""
        intake = CameraQueues(live=description.live, luma_steady=description.luma_steady)
        self._good_ns = 0
        self._object_detection.begin_stream(live=description.live)
        faults: list[BaseException] = []
        self._lens = self._lens_told = LensState.CLEAR
        analysis = _worker(
            "analysis", lambda: self._analyse(intake, description, camera.request_keyframe), intake, faults
        )
        writer = _worker("writer", lambda: self._writer.run(intake.packets, description), intake, faults)
        hangs = False
        self._intake = intake
        analysis.start()
        writer.start()
        try:
            if not (self._private or self._stopping.is_set()):
                if self._listening is not None:
                    self._listening.begin(first_ns)
                    if not description.live:
                        self._listening.settle()  # or the first of what is played would be silent
                with self._between_events_step():
                    camera.start(intake, first_ns)
                self._camera = camera
                self._mask_again()  # what was drawn while it was being opened
                self._replay_press(intake)
                self._watch_over(intake)
        finally:
            # In this order: nothing more comes in, then what is inside is worked off, then the threads are gone.
            with self._between_events_step():
                self._camera = None
                if self._listening is not None and intake.live:
                    self._listening.end()  # first: nothing may hold up that nobody listens any more
                try:
                    camera.stop()
                except (DeviceError, InternalError) as error:
                    hangs = True
                    self._log.error("camera_hangs", detail=error.message)
                intake.lumas.close()
                analysis.join()
                writer.join()
                if self._listening is not None and not intake.live:
                    self._listening.end()  # last: what is read from a file is read on for as long as it is asked for
                if self._listening is not None:
                    self._listening.join()
            if self._live is not None:
                self._live.forget()
            if intake.live:
                self._good_ns = self._good_ns or intake.pulse.frame_ns
                self._watching.ended(time.monotonic_ns() - self._good_ns)
            self._intake = None
        if faults:
            raise InternalError("The recorder met a case it does not know.") from faults[0]
        return (*(intake.end or (CameraEnd.STOPPED, "")), hangs)

    def _watch_over(self, intake: CameraQueues) -> None:
        """Until the camera ends by itself, is told to, or is found stalled."""
        patience_ns = seconds(self._settings.stall_s)
        while not intake.ended_event.wait(_LOOK_S):
            self._object_detection.on_time()
            pulse = intake.pulse
            if intake.live and intake.begun:
                self._watching.pictures_delivered(time.monotonic_ns() - pulse.frame_ns)
            stall = stall_of(pulse, time.monotonic_ns(), patience_ns) if intake.live else None
            if stall is not None:
                self._good_ns = good_until_ns(stall, pulse)
                intake.ended(CameraEnd.LOST, f"{stall.value} It is restarted; if that repeats, check cable and power.")
            elif self._reopen_wanted and intake.live and not self._writer.busy:
                self._reopen_wanted, self._reopen = False, True
                intake.ended(CameraEnd.STOPPED, "The camera is opened anew: its picture has to change.")

    @contextmanager
    def _between_events_step(self) -> Iterator[None]:
        """The camera is being opened, started or closed, which can hang in its driver."""
        self._between_ns = time.monotonic_ns()
        try:
            yield
        finally:
            self._between_ns = None

    def _on_tick(self) -> None:
        """On the writer's thread: who watches over the camera closes it at once, whatever the disk is doing."""
        self._watching.write()
        self._notify_lens()

    def _notify_lens(self) -> None:
        """The owner hears once of a lens that is covered, moved or shaken; covered is time without footage."""
        state, told = self._lens, self._lens_told
        if state is told:
            return
        self._lens_told = state
        if told is LensState.COVERED:
            self._outages.end()
        if state is LensState.COVERED:
            self._outages.begin(GapReason.COVERED, "The picture shows nothing: is the lens covered?")
        elif state is not LensState.CLEAR:
            self._log.warning("lens", state=state.value)
            self._notifier.notify("camera moved", f"The camera has been {state.value}: look at where it points.")

    def _replay_press(self, intake: CameraQueues) -> None:
        pressed_ns, self._pressed_ns = self._pressed_ns, None
        if pressed_ns is not None and time.monotonic_ns() - pressed_ns < _PRESS_KEPT_NS:
            intake.lumas.force(_PendingTrigger(TriggerKind.BUTTON, self._clock.now().boot_ns if intake.live else None))

    def _analyse(
        self, intake: CameraQueues, description: StreamDescription, request_keyframe: Callable[[], None]
    ) -> None:
        rate = description.luma_frames_per_s or description.frames_per_s
        patience_s = max(self._settings.motion.gap_s, _FRAMES_MISSED / rate)
        motion = replace(self._settings.motion, gap_s=patience_s)

        def detector_for(zones: ZoneMap) -> Detector:
            height_px, width_px = description.luma_height_px, description.luma_width_px
            return Detector(height_px, width_px, rate, zones, motion, self._make_passes)

        zones = self._settings.zones
        detector = detector_for(zones)
        self._passes_name = detector.passes_name
        machine = EventMachine(self._settings.events)
        last_ns = BootNs(0)
        frames = 0
        try:
            # While nothing moves, frames are taken a few at a time: a thread that sleeps longer costs less.
            at_leisure = 1 + int(_LEISURE_S * min(10.0, rate)) if intake.live else 1
            together = 1
            while (item := intake.lumas.take(together=together)) is not None:
                together = 1
                if isinstance(item, LumaFrame):
                    frames += 1
                    if (
                        self._relief >= ThrottleLevel.ANALYSIS and frames % 2
                    ) or time.monotonic_ns() < self._blackout_until_ns:
                        last_ns = item.sensor_ns
                        for effect in machine.on_time(last_ns):
                            intake.packets.force(effect)
                        continue
                    if self._settings.zones is not zones:
                        zones = self._settings.zones
                        detector = detector_for(zones)  # it learns its scene anew: a new mask is no visitor
                    begun_ns = self._clock.now().boot_ns
                    sample = detector.step(item)
                    effects = machine.on_motion(sample)
                    self._lens = sample.lens
                    if sample.state is MotionState.QUIET and machine.next_deadline_ns is None:
                        together = at_leisure
                    self._analysis_ns += self._clock.now().boot_ns - begun_ns
                    self._analysed += 1
                    self._object_detection.observe(machine.recorded_event, item, sample)
                    last_ns = item.sensor_ns
                elif isinstance(item, _PendingTrigger):
                    effects = machine.on_trigger(item.kind, item.at_ns if item.at_ns is not None else last_ns)
                else:
                    continue
                for effect in effects:
                    if isinstance(effect, EventBegins):
                        request_keyframe()  # what is written, and seen live, then begins with what happens
                    intake.packets.force(effect)
            for effect in machine.close(BootNs(last_ns + round(NS_PER_S / description.frames_per_s))):
                intake.packets.force(effect)
        except DoorwardError as error:
            self._log.error("analysis_failed", error=type(error).__name__)
            intake.ended(CameraEnd.LOST, error.message)
        finally:
            self._object_detection.end_stream()
            intake.lumas.close()
            intake.packets.close()


def _private_part(zones: ZoneMap) -> list[Zone]:
    return [zone for zone in zones.zones if zone.kind is ZoneKind.PRIVACY]


def _worker(name: str, work: Callable[[], None], intake: CameraQueues, faults: list[BaseException]) -> threading.Thread:
    """A thread whose bug ends the recording in its maker's hands, instead of leaving a doorbell that looks well."""

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 — handed over, not swallowed
            faults.append(error)
            intake.ended(CameraEnd.LOST, "internal error")

    return threading.Thread(target=guarded, name=name)
