"""Reports to the service manager that the recorder makes progress: frames, packets and acknowledged segments.

A recorder that waits for its owner, for the privacy switch or for a camera must only call `turn`. One that opens or
closes a camera must also finish that call, because only a new process helps against a driver that hangs. Source:
sd_notify(3), WATCHDOG=1; `core.recovery` says when a camera is stalled.
"""

from __future__ import annotations

from typing import Final, Protocol

import structlog

from agent.core.progress import StallDetector
from agent.core.recovery import StreamPulse
from agent.platform.supervision import SystemdNotifier
from agent.recorder.recorder_status import RecorderStatus

__all__ = ["RecorderWatch"]

_PATIENCE_S: Final = {"time": 60.0, "frames": 45.0, "packets": 45.0, "camera": 90.0}
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
        self._progress = StallDetector({**_PATIENCE_S, "acknowledgements": _DISK_S + 3 * segment_s})
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
