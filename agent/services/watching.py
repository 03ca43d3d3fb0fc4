"""Says in the manifest when a camera was watching, so that "nothing happened" can be told from "nobody looked".

A span is written every quarter of an hour and when watching ends; a power cut costs what was not written yet, and
that is then told as "device off".  Spans follow each other without a hole while the camera delivers.
"""

from __future__ import annotations

from typing import Final

import structlog

from agent.core.timebase import BootNs, Moment, seconds
from agent.errors import StorageError
from agent.ports import Clock
from agent.services.vault import Vault

__all__ = ["Watching"]

_EVERY_NS: Final = seconds(900)


class Watching:
    """Used by the recorder's thread alone."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._log = structlog.get_logger("recorder")
        self._since: Moment | None = None

    def seen(self, age_ns: int) -> None:
        """The camera's newest picture is `age_ns` old."""
        now = self._clock.now()
        if self._since is None:
            self._since = now
        elif now.boot_ns - self._since.boot_ns >= _EVERY_NS:
            self._write(now, age_ns)

    def ended(self, age_ns: int) -> None:
        """No more pictures; the newest is `age_ns` old."""
        if self._since is not None:
            self._write(self._clock.now(), age_ns)
            self._since = None

    def _write(self, now: Moment, age_ns: int) -> None:
        until = now.at(BootNs(now.boot_ns - max(0, age_ns)))
        if self._since is None or until.boot_ns <= self._since.boot_ns:
            return
        try:
            self._vault.watching(self._since, until)
        except StorageError as error:
            self._log.warning("watching_not_recorded", detail=error.message)
        else:
            self._since = until
