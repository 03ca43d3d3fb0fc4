"""Records in the manifest when the camera was watching, so that "nothing happened" differs from "the camera was off".

A span is written every 15 minutes and at the end of a stream. A power cut loses the unwritten part, which is then
reported as "device off". Spans follow each other without a hole while the camera delivers.

The camera loop must not wait for the disk: it calls `pictures_delivered`, and the writer's thread calls `write`.

`GapRecorder` records time that lacks footage: a gap in the manifest, and one message to the owner at each end.
"""

from __future__ import annotations

from typing import ClassVar, Final

import structlog

from agent.core.motion.lens import LensState
from agent.core.timebase import BootNs, ClockReading, seconds
from agent.core.vault.records import GapReason
from agent.errors import DoorwardError
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import Clock, Notifier
from agent.recorder.camera_queues import CameraQueues
from agent.recorder.vault import Vault

__all__ = ["CoverageRecorder", "GapRecorder", "LensAlerts"]

_EVERY_NS: Final = seconds(900)
_AGAIN_NS: Final = seconds(60)
"""Pause after the disk refused a span."""


class CoverageRecorder:
    """`pictures_delivered` and `ended` are called by the camera loop, `write` by the writer's thread."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._log = structlog.get_logger("recorder")
        self._since: ClockReading | None = None
        self._until: ClockReading | None = None
        self._refused_ns: int | None = None

    def pictures_delivered(self, age_ns: int) -> None:
        """The camera's newest picture is `age_ns` old."""
        now = self._clock.now()
        self._until = now.at(BootNs(now.boot_ns - max(0, age_ns)))
        if self._since is None:
            self._since = now

    def write(self) -> None:
        """When it is time."""
        since, until = self._since, self._until
        if since is None or until is None or until.boot_ns - since.boot_ns < _EVERY_NS:
            return
        if self._refused_ns is None or until.boot_ns - self._refused_ns >= _AGAIN_NS:
            self._write(since, until)

    def ended(self, age_ns: int) -> None:
        """Ends the span: the newest picture is `age_ns` old."""
        if self._since is not None:
            self.pictures_delivered(age_ns)
            if self._until is not None:
                self._write(self._since, self._until)
        self._since = self._until = self._refused_ns = None

    def _write(self, since: ClockReading, until: ClockReading) -> None:
        if until.boot_ns <= since.boot_ns:
            return
        try:
            self._vault.record_coverage(since, until)
        except DoorwardError as error:
            self._refused_ns = until.boot_ns
            self._log.warning("watching_not_recorded", detail=error.message)
        else:
            self._since, self._refused_ns = until, None


_BEGUN = {GapReason.CAMERA_LOST: "camera", GapReason.COVERED: "covered", GapReason.PRIVACY: "privacy on"}
_BACK = {
    GapReason.CAMERA_LOST: ("camera back", "The camera works again."),
    GapReason.COVERED: ("uncovered", "The camera sees again."),
    GapReason.PRIVACY: ("privacy off", "Privacy is off: the camera sees again."),
}
"""The alert kinds and texts (`core.alerts.kinds`)."""


class GapRecorder:
    """At most one outage is open.  For the recorder's thread, and the writer's while that one films."""

    def __init__(self, vault: Vault, clock: Clock, notifier: Notifier) -> None:
        self._vault = vault
        self._clock = clock
        self._notifier = notifier
        self._log = structlog.get_logger("recorder")
        self._open: tuple[GapReason, ClockReading, str] | None = None

    def begin(self, reason: GapReason, words: str, *, since: ClockReading | None = None, news: str = "") -> None:
        """Opens an outage that began at `since` (default: now), and tells the owner.

        Another reason ends the outage that is open. While one of the same reason is open, only other `news` are told.
        """
        news = news or _BEGUN[reason]
        begun = self._open
        if begun is not None and begun[0] is reason:
            if begun[2] != news:
                self._open = (reason, begun[1], news)
                self._notifier.notify(news, words)
            return
        if begun is not None:
            # The owner is told of the other reason alone: "the camera sees again" would be false.
            self.end(tell=False)
        now = self._clock.now()
        start = since or now
        self._open = (reason, start, news)
        self._log.warning("outage_began", reason=reason.value, detail=words)
        self._notifier.notify(news, words)
        # At once, so that a power cut leaves the beginning. `end` writes the whole gap.
        self._record(reason, start, now)

    def end(self, *, tell: bool = True) -> None:
        """There are pictures again, or (`tell` false) another outage begins, or the process ends."""
        if self._open is None:
            return
        (reason, start, _news), self._open = self._open, None
        self._log.info("outage_ended", reason=reason.value)
        self._record(reason, start, self._clock.now())
        if tell:
            self._notifier.notify(*_BACK[reason])

    def rang(self, at_ns: BootNs) -> None:
        """Records a press of the button that no camera could show."""
        try:
            self._vault.record_ring(self._clock.now().at(at_ns))
        except DoorwardError as error:
            self._log.warning("ring_not_recorded", detail=error.message)

    def _record(self, reason: GapReason, start: ClockReading, end: ClockReading) -> None:
        try:
            self._vault.record_gap(reason, start, end)
        except DoorwardError as error:
            self._log.warning("gap_not_recorded", detail=error.message)


class LensAlerts(ThreadOwned):
    """Tells the owner once of a lens that is covered, moved or shaken. Time with a covered lens is a gap."""

    WRITTEN_BY: ClassVar = {"_stream": AttributeOwner.WRITER, "_reported": AttributeOwner.WRITER}

    def __init__(self, gaps: GapRecorder, notifier: Notifier) -> None:
        self._gaps = gaps
        self._notifier = notifier
        self._log = structlog.get_logger("recorder")
        self._stream: CameraQueues | None = None
        self._reported = LensState.CLEAR

    def report(self, stream: CameraQueues) -> None:
        """Reports a change of the lens. From the writer's thread."""
        if stream is not self._stream:
            self._stream, self._reported = stream, LensState.CLEAR
        state, reported = stream.lens, self._reported
        if state is reported:
            return
        self._reported = state
        if reported is LensState.COVERED:
            self._gaps.end()
        if state is LensState.COVERED:
            self._gaps.begin(GapReason.COVERED, "The picture shows nothing: is the lens covered?")
        elif state is not LensState.CLEAR:
            self._log.warning("lens", state=state.value)
            self._notifier.notify("camera moved", f"The camera has been {state.value}: look at where it points.")
