"""Runs a camera: packets and grey frames in, sealed and acknowledged segments out.

    camera thread ─ luma ──▶ analysis thread: detector → events ─ decisions ─┐
                  └ packets ─────────────────────────────────────────────────▶ writer thread: GOPs → segments → vault

The analysis never waits for the card and the writer never waits for the detector; the pre-roll ring is what lets a
decision come late and still begin in the past.  What the camera delivers is described in `services.intake`.

A storage fault ends the segment it met and nothing else: the next segment tries again, and until one is acknowledged
the state says so (ARCHITECTURE, invariant 12).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass

import structlog

from agent.core.events import EventMachine, EventSettings, TriggerKind
from agent.core.media import LumaFrame, StreamDescription
from agent.core.motion.detector import Detector
from agent.core.motion.settings import MotionSettings
from agent.core.motion.zones import ZoneMap
from agent.core.timebase import NS_PER_S, BootNs
from agent.core.vault.names import SegmentId
from agent.core.vault.records import GapReason
from agent.errors import DeviceError, DoorwardError, InternalError, StorageError
from agent.ports import Camera, CameraEnd, Clock, Entropy, Notifier
from agent.services.clip_writer import ClipWriter, WriterSettings
from agent.services.intake import Intake
from agent.services.vault import Vault

__all__ = ["Recorder", "RecorderSettings", "RecorderStatus"]

_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses between attempts to get a lost camera back."""


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """What to watch for and how much to keep around it."""

    motion: MotionSettings
    zones: ZoneMap
    events: EventSettings
    writer: WriterSettings


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


@dataclass(frozen=True, slots=True)
class _Trigger:
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
        held: Callable[[], Container[SegmentId]],
    ) -> None:
        self._open_camera = open_camera
        self._vault = vault
        self._clock = clock
        self._settings = settings
        self._log = structlog.get_logger("recorder")
        self._stopping = threading.Event()
        self._intake: Intake | None = None
        self._camera_fault = "starting"
        self._analysed = 0
        self._analysis_ns = 0
        self._writer = ClipWriter(vault, clock, entropy, notifier, settings.writer, held)

    def run(self, first_ns: BootNs | None = None) -> CameraEnd:
        """Play the camera until `stop` or the end of its footage; a live camera that is lost is sought again.

        `first_ns`: boot-clock time of the first frame, for footage (default: now).  Raises `ConfigurationError` for a
        camera that cannot exist as configured; one that is merely missing is waited for.
        """
        lost_ns: BootNs | None = None
        for pause_s in itertools.chain(_RETRY_S, itertools.repeat(_RETRY_S[-1])):
            camera = self._open_camera()
            try:
                description = camera.open()
            except DeviceError as error:
                self._camera_fault = str(error)
            else:
                if lost_ns is not None:
                    self._note_gap(lost_ns)
                    lost_ns = None
                end, self._camera_fault = self._play(camera, description, first_ns or self._clock.now().boot_ns)
                if self._stopping.is_set() or not description.live:
                    return end
            lost_ns = lost_ns or self._clock.now().boot_ns
            self._log.warning("camera_lost", detail=self._camera_fault)
            if self._stopping.wait(pause_s):
                break
        return CameraEnd.STOPPED

    def stop(self) -> None:
        """Ask `run` to finish what is open and return.  From any thread; idempotent."""
        self._stopping.set()
        if self._intake is not None:
            self._intake.ended_event.set()

    def trigger(self, kind: TriggerKind) -> None:
        """Somebody pressed the button or passed the PIR: always an event, whatever the picture shows."""
        intake = self._intake
        if intake is not None:
            intake.lumas.force(_Trigger(kind, self._clock.now().boot_ns if intake.live else None))

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
        )

    def _state(self) -> tuple[str, str]:
        if self._intake is None:
            return "no camera", self._camera_fault
        if self._writer.fault:
            return "not recording", self._writer.fault
        return ("recording", "") if self._writer.recording else ("watching", "")

    def _play(self, camera: Camera, description: StreamDescription, first_ns: BootNs) -> tuple[CameraEnd, str]:
        intake = Intake(live=description.live)
        faults: list[BaseException] = []
        analysis = _worker("analysis", lambda: self._analyse(intake, description), intake, faults)
        writer = _worker("writer", lambda: self._writer.run(intake.packets, description), intake, faults)
        self._intake = intake
        analysis.start()
        writer.start()
        try:
            camera.start(intake, first_ns)
            intake.ended_event.wait()
        finally:
            # In this order: nothing more comes in, then what is inside is worked off, then the threads are gone.
            camera.stop()
            intake.lumas.close()
            analysis.join()
            writer.join()
            self._intake = None
        if faults:
            raise InternalError("The recorder met a case it does not know.") from faults[0]
        return intake.end or (CameraEnd.STOPPED, "")

    def _analyse(self, intake: Intake, description: StreamDescription) -> None:
        detector = Detector(
            description.luma_height_px,
            description.luma_width_px,
            description.frames_per_s,
            self._settings.zones,
            self._settings.motion,
        )
        machine = EventMachine(self._settings.events)
        last_ns = BootNs(0)
        try:
            while (item := intake.lumas.take()) is not None:
                if isinstance(item, LumaFrame):
                    begun_ns = self._clock.now().boot_ns
                    effects = machine.on_motion(detector.step(item))
                    self._analysis_ns += self._clock.now().boot_ns - begun_ns
                    self._analysed += 1
                    last_ns = item.sensor_ns
                elif isinstance(item, _Trigger):
                    effects = machine.on_trigger(item.kind, item.at_ns if item.at_ns is not None else last_ns)
                else:
                    continue
                for effect in effects:
                    intake.packets.force(effect)
            for effect in machine.close(BootNs(last_ns + round(NS_PER_S / description.frames_per_s))):
                intake.packets.force(effect)
        except DoorwardError as error:
            self._log.error("analysis_failed", error=type(error).__name__)
            intake.ended(CameraEnd.LOST, error.message)
        finally:
            intake.lumas.close()
            intake.packets.close()

    def _note_gap(self, lost_at: BootNs) -> None:
        now = self._clock.now()
        try:
            self._vault.gap(GapReason.CAMERA_LOST, now.at(lost_at), now)
        except StorageError as error:
            self._log.warning("gap_not_recorded", detail=error.message)


def _worker(name: str, work: Callable[[], None], intake: Intake, faults: list[BaseException]) -> threading.Thread:
    """A thread whose bug ends the recording in its maker's hands, instead of leaving a doorbell that looks well."""

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 — handed over, not swallowed
            faults.append(error)
            intake.ended(CameraEnd.LOST, "internal error")

    return threading.Thread(target=guarded, name=name)
