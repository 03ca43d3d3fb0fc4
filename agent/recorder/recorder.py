"""The recorder: one camera in, sealed and acknowledged segments out.

    camera ─ frames ──▶ camera_queues ─▶ frame_analysis ─ decisions ─▶ clip_writer: GOPs → segments → vault
           └ packets ─▶ camera_queues ───────────────────────────────▶

`camera_loop` runs the camera, `privacy_gate` decides whether it may, `recorder_status` reports, and `object_detection`
looks at frames of events on its own thread. `thread_owners` declares which thread writes which attribute.

The pre-roll buffer lets a late decision begin in the past. A storage fault ends one segment: the next one tries again,
and the status says "not recording" until one is acknowledged (FORMAT.md, invariant 9).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agent.core.events import TriggerKind
from agent.core.motion.passes import MakePasses
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.zones import ZoneMap
from agent.core.recovery import RecoveryAction, RecoveryPolicy, StreamPulse
from agent.core.retention import ProtectedIds
from agent.core.timebase import NS_PER_S, BootNs
from agent.platform.thread_owners import ThreadOwned
from agent.ports import Camera, CameraEnd, Clock, Entropy, Microphone, Notifier
from agent.recorder.camera_loop import CameraLoop, StreamParts
from agent.recorder.capture_signing import CaptureSigner
from agent.recorder.clip_writer import ClipWriter
from agent.recorder.coverage_recorder import CoverageRecorder, GapRecorder, LensAlerts
from agent.recorder.frame_analysis import FrameAnalysis
from agent.recorder.live_view import LiveEncoder
from agent.recorder.object_detection import ObjectDetectionService
from agent.recorder.privacy_gate import PrivacyGate
from agent.recorder.recorder_inputs import PendingTrigger, RecorderInputs, RecorderSettings
from agent.recorder.recorder_status import RecorderStatus, StatusReader
from agent.recorder.sound_recorder import SoundRecorder
from agent.recorder.vault import Vault
from firmware_bridge.throttling import ThrottleLevel

__all__ = ["Recorder", "RecorderDevices", "RecorderServices"]

_DELIVERING_NS = NS_PER_S


@dataclass(frozen=True, slots=True)
class RecorderServices:
    """The services of the recorder's process. `protected` names the segments that must stay. `signer` signs GOPs, if
    they are signed."""

    vault: Vault
    clock: Clock
    entropy: Entropy
    notifier: Notifier
    protected: Callable[[], ProtectedIds]
    signer: CaptureSigner | None = None


@dataclass(frozen=True, slots=True)
class RecorderDevices:
    """The sources of pictures and sound, and their viewers. `open_microphone` is None if sound is off."""

    open_camera: Callable[[], Camera]
    open_microphone: Callable[[], Microphone] | None = None
    live: LiveEncoder | None = None
    object_detection: ObjectDetectionService | None = None
    make_passes: MakePasses = PurePasses
    """Implementation of the motion detector's passes."""


class Recorder(ThreadOwned):
    """One camera and all that records it. `run` blocks; every other method may be called from any thread."""

    def __init__(
        self,
        settings: RecorderSettings,
        devices: RecorderDevices,
        services: RecorderServices,
        *,
        recovery: RecoveryPolicy | None = None,
        switch_unread: bool = False,
    ) -> None:
        """`switch_unread`: there is a privacy switch, which counts as on until `set_privacy_switch` reports it."""
        self._clock = services.clock
        self._notifier = services.notifier
        self._log = structlog.get_logger("recorder")
        self._inputs = RecorderInputs(settings.zones)
        self._parts = self._make_parts(settings, devices, services)
        self._lens_alerts = LensAlerts(self._parts.gaps, services.notifier)
        self._gate = PrivacyGate(
            switch_unread=switch_unread, on_close=self._on_gate_closed, on_change=self._on_gate_changed
        )
        self._loop = CameraLoop(
            devices.open_camera,
            self._inputs,
            self._gate,
            self._parts,
            services.clock,
            recovery or RecoveryPolicy(supervised=False),
            settings.stall_s,
        )
        self._status = StatusReader(self._loop, self._gate, self._parts, services.vault)

    def _make_parts(
        self, settings: RecorderSettings, devices: RecorderDevices, services: RecorderServices
    ) -> StreamParts:
        vault, clock, notifier, live = services.vault, services.clock, services.notifier, devices.live
        open_microphone = devices.open_microphone
        sound = SoundRecorder(open_microphone, notifier) if open_microphone is not None else None
        if live is not None and sound is not None:
            live.listen(sound.newest)
        detection = devices.object_detection or ObjectDetectionService(None, notifier)
        writer = ClipWriter(
            vault,
            clock,
            services.entropy,
            notifier,
            settings.writer,
            services.protected,
            sound.take if sound is not None else None,
            live.packet if live is not None else None,
            detection,
            self._on_writer_tick,
            services.signer,
        )
        return StreamParts(
            analysis=FrameAnalysis(settings, self._inputs, clock, detection, devices.make_passes),
            writer=writer,
            gaps=GapRecorder(vault, clock, notifier),
            coverage=CoverageRecorder(vault, clock),
            object_detection=detection,
            sound=sound,
            live=live,
        )

    def run(self, first_ns: BootNs | None = None) -> CameraEnd:
        """Plays the camera until `stop` or the end of its footage, and opens a live camera again after a fault.

        `first_ns`: boot-clock time of the first frame, for footage (default: now).  Raises `ConfigurationError` for a
        camera that cannot exist as configured; the recorder waits for one that is missing.  Returns `CameraEnd.LOST`
        only if `core.recovery` gives this process up: `wanted` then says what must be restarted.
        """
        return self._loop.run(first_ns)

    def stop(self) -> None:
        """Asks `run` to finish what is open and to return. Idempotent."""
        self._loop.stop()

    @property
    def is_private(self) -> bool:
        """The privacy switch is on or was not read yet, or this is a private hour."""
        return self._gate.closed

    @property
    def recovery(self) -> RecoveryPolicy:
        return self._loop.recovery

    @property
    def wanted(self) -> RecoveryAction | None:
        """The step that the process must take to get the camera back; None while the recorder can continue."""
        return self._loop.wanted

    def set_privacy_switch(self, on: bool) -> None:
        """Reports the position of the privacy switch: on closes the camera at once, off opens it again."""
        self._gate.set_privacy_switch(on)

    def lose_privacy_switch(self) -> None:
        """Reports that the privacy switch can be read no longer: the camera closes until `set_privacy_switch`."""
        self._gate.lose_privacy_switch()

    def set_private_hour(self, private: bool) -> None:
        """Reports whether now is one of the household's private hours, which close the camera too."""
        self._gate.set_private_hour(private)

    def watch_for(self, zones: ZoneMap) -> None:
        """Replaces zones and masks. They apply from the next picture on, also within an event."""
        self._inputs.set_zones(zones)
        self._log.info("zones_changed")
        self._loop.look_now()

    def set_throttle_level(self, level: int) -> None:
        """Reduces the board's work to this level (`firmware_bridge.throttling`).

        From `ThrottleLevel.RATE` on the camera itself must change: it is opened again, between two events.
        """
        self._parts.object_detection.set_paused(level >= ThrottleLevel.OBJECT_DETECTION)
        if self._inputs.set_throttle_level(level):
            self._log.info("throttle_level_changed", level=level)

    @property
    def throttle_level(self) -> int:
        return self._inputs.throttle_level

    def black_out(self, length_ns: int) -> None:
        """Ignores motion for `length_ns`, because the whole picture is about to change (an infra-red filter moves)."""
        self._inputs.set_blackout_until(time.monotonic_ns() + length_ns)

    def trigger(self, kind: TriggerKind, at_ns: BootNs | None = None) -> None:
        """Begins an event for a press or a PIR pulse, even if the picture shows no motion.

        `at_ns`: when, on the boot clock; for live cameras only.  The owner is told of a press at once, also while the
        disk hangs; a press that no camera can show becomes an event if a camera comes soon.
        """
        queues = self._loop.queues
        if queues is not None:
            now_ns = self._clock.now().boot_ns
            # A bridge that was taken over may date a press in the future: the event machine would stay at that time.
            queues.lumas.force(PendingTrigger(kind, min(at_ns or now_ns, now_ns) if queues.live else None))
        elif kind is TriggerKind.BUTTON:
            self._inputs.early_presses.append(time.monotonic_ns())
            # Two lists: one for the manifest, which has each ring, and one for an event, if a camera comes soon.
            self._inputs.unseen_rings.append(self._clock.now().boot_ns)
            self._loop.look_now()
        if kind is TriggerKind.BUTTON:
            picture = "" if queues is not None else f" There is no picture: {self._status.state()[0]}."
            # From this thread, and not from the writer's: the owner is told of a ring also while the disk hangs.
            self._notifier.notify("button", f"A person pressed the button.{picture}")

    @property
    def delivering(self) -> bool:
        """The sensor gave a frame within the last second."""
        queues = self._loop.queues
        return queues is not None and queues.begun and time.monotonic_ns() - queues.pulse.frame_ns < _DELIVERING_NS

    @property
    def pulse(self) -> StreamPulse | None:
        """Returns the last deliveries of the running live camera, on CLOCK_MONOTONIC; None if none runs."""
        queues = self._loop.queues
        if queues is None or not queues.live or queues.ended_event.is_set():
            return None
        return queues.pulse

    @property
    def between_ns(self) -> int | None:
        """On CLOCK_MONOTONIC: since when a call into the camera's driver has lasted; None outside of such a call."""
        return self._loop.between_ns

    @property
    def lux(self) -> float | None:
        """The light in the newest frame, if the camera reports it."""
        queues = self._loop.queues
        return queues.lux if queues is not None else None

    def status(self) -> RecorderStatus:
        return self._status.read()

    def _on_gate_closed(self, why: str) -> None:
        self._loop.end_stream(why)

    def _on_gate_changed(self) -> None:
        self._loop.look_now()

    def _on_writer_tick(self) -> None:
        """On the writer's thread, which may wait for the disk. The camera loop must not: it closes the camera."""
        self._parts.coverage.write()
        queues = self._loop.queues
        if queues is not None:
            self._lens_alerts.report(queues)
