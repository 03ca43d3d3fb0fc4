"""The recorder's status, for `doorward status`, the panel's lights and the owner's page, and for the service manager.

`RecorderWatch` reports to the service manager that the recorder makes progress: frames, packets and acknowledged
segments. A recorder that waits for its owner, for the privacy switch or for a camera must only call `turn`. One that
opens or closes a camera must also finish that call, because only a new process helps against a driver that hangs.
Source: sd_notify(3), WATCHDOG=1; `core.recovery` says when a camera is stalled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from agent.core.recovery import StallDetector, StreamPulse
from agent.platform.supervision import SystemdNotifier
from agent.recorder.camera_loop import CameraLoop, StreamParts
from agent.recorder.object_detection import DetectionStatus
from agent.recorder.privacy_gate import PrivacyGate
from agent.recorder.vault import Vault

__all__ = ["RecorderStatus", "RecorderWatch", "StatusReader"]

_PATIENCE_S = 5.0
"""Report "not recording" if the disk has not answered for this many seconds."""


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """`state` is the word that a person reads. It is "recording" only while segments are acknowledged."""

    state: str
    detail: str
    frames: int
    frames_dropped: int
    packets_dropped: int
    events: int
    segments: int
    analysis_ms_per_frame: float
    in_memory_bytes: int = 0
    """Footage that is not acknowledged yet: seconds of it in normal operation, more while the disk refuses writes."""
    in_memory_s: float = 0.0
    recorded_s: float = 0.0
    """Footage that was acknowledged since the process began."""
    in_event: bool = False
    """A clip of an event is being written."""
    motion_passes: str = ""
    """Which implementation of the motion detector's passes is in force; empty before the first frame."""
    sound: str = "off"
    """"listening", "off", or the fault of the microphone."""
    object_detection: DetectionStatus = field(default_factory=lambda: DetectionStatus("off"))


class StatusReader:
    """Reads what the recorder's threads write. It owns no state, so any thread may call it."""

    def __init__(self, loop: CameraLoop, gate: PrivacyGate, parts: StreamParts, vault: Vault) -> None:
        self._loop = loop
        self._gate = gate
        self._parts = parts
        self._vault = vault

    def read(self) -> RecorderStatus:
        queues, analysis, writer = self._loop.queues, self._parts.analysis, self._parts.writer
        state, detail = self.state()
        return RecorderStatus(
            state=state,
            detail=detail,
            frames=queues.frames if queues else 0,
            frames_dropped=queues.frames_dropped if queues else 0,
            packets_dropped=queues.packets_dropped if queues else 0,
            events=writer.events,
            segments=writer.acknowledged,
            analysis_ms_per_frame=analysis.spent_ns / 1e6 / analysis.analysed if analysis.analysed else 0.0,
            in_memory_bytes=writer.retry_buffer.in_memory_bytes,
            in_memory_s=round(writer.retry_buffer.in_memory_s, 1),
            recorded_s=round(writer.retry_buffer.recorded_s, 1),
            in_event=writer.busy,
            motion_passes=analysis.passes_name,
            sound=self._parts.sound.state if self._parts.sound is not None else "off",
            object_detection=self._parts.object_detection.status(),
        )

    def state(self) -> tuple[str, str]:
        """Returns the state in one word or two, and its reason."""
        if self._gate.closed:
            return "privacy", self._gate.reason
        if self._loop.queues is None:
            return "no camera", self._loop.camera_fault
        fault = self._disk_fault()
        if fault:
            return "not recording", fault
        writer = self._parts.writer
        return "recording" if writer.recording else "watching", writer.warning

    def _disk_fault(self) -> str:
        writer, buffer = self._parts.writer, self._parts.writer.retry_buffer
        if writer.fault:
            kept = f" The newest {buffer.in_memory_s:.0f} s wait in memory." if buffer.waiting else ""
            return " ".join(filter(None, (writer.fault + kept, writer.warning)))
        if self._vault.fault:
            return self._vault.fault
        if buffer.stalled_s > _PATIENCE_S:
            return f"The disk has not answered for {buffer.stalled_s:.0f} s. Check it."
        return ""


_MARKS_S: Final = {"time": 60.0, "frames": 45.0, "packets": 45.0, "camera": 90.0}
"""Frames and packets: longer than `camera.stall_s`, after which the recorder mends its camera itself."""
_DISK_S: Final = 60.0
"""For a segment to be acknowledged, beyond three times its length."""


class Watched(Protocol):
    """The part of `recorder.recorder.Recorder` that is watched. Times are on CLOCK_MONOTONIC, ns."""

    @property
    def pulse(self) -> StreamPulse | None: ...

    @property
    def between_ns(self) -> int | None: ...

    def status(self) -> RecorderStatus: ...


class RecorderWatch:
    """`turn` from one thread, more often than the watchdog's patience."""

    def __init__(self, recorder: Watched, supervision: SystemdNotifier, segment_s: float) -> None:
        self._recorder = recorder
        self._supervision = supervision
        self._progress = StallDetector({**_MARKS_S, "acknowledgements": _DISK_S + 3 * segment_s})
        self._segments = -1
        self._log = structlog.get_logger("recorder")

    def turn(self, now_ns: int) -> None:
        self._progress.mark("time", now_ns)
        status = self._recorder.status()
        self._look(status, now_ns)
        stuck = self._progress.stuck(now_ns)
        if stuck:
            self._log.error("stuck", on=", ".join(stuck))
            self._supervision.status(f"stuck: {stuck[0]}")
        else:
            self._supervision.alive()
            self._supervision.status(f"{status.state}: {status.segments} segments")

    def _look(self, status: RecorderStatus, now_ns: int) -> None:
        pulse, between_ns = self._recorder.pulse, self._recorder.between_ns
        if pulse is None:
            self._progress.rest("frames")
            self._progress.rest("packets")
        else:
            self._progress.mark("frames", pulse.frame_ns)
            self._progress.mark("packets", pulse.packet_ns)
        if between_ns is None:
            self._progress.rest("camera")
        else:
            self._progress.mark("camera", between_ns)
        if status.segments != self._segments or status.state != "recording":
            self._progress.rest("acknowledgements")
            self._segments = status.segments
        else:
            self._progress.expect("acknowledgements", now_ns)
