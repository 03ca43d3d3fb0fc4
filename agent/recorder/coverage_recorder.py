"""Records in the manifest when the camera was watching, so that "nothing happened" differs from "the camera was off".

A span is written every 15 minutes and at the end of a stream. A power cut loses the unwritten part, which is then
reported as "device off". Spans follow each other without a hole while the camera delivers.

The camera loop must not wait for the disk: it calls `pictures_delivered`, and the writer's thread calls `write`.
"""

from __future__ import annotations

from typing import Final

import structlog

from agent.core.timebase import BootNs, ClockReading, seconds
from agent.errors import DoorwardError
from agent.ports import Clock
from agent.recorder.vault import Vault

__all__ = ["CoverageRecorder"]

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
