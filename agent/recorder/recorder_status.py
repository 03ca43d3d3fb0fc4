"""The recorder's status, for `doorward status`, the watchdog, the panel's lights and the owner's page."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.recorder.camera_loop import CameraLoop, StreamParts
from agent.recorder.object_detection import DetectionStatus
from agent.recorder.privacy_gate import PrivacyGate
from agent.recorder.vault import Vault

__all__ = ["RecorderStatus", "StatusReader"]

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
