"""A thread of the service that repeats one step: receivers, web hooks, tips, reminders.

with PeriodicThread("tip-relay", release_now, every_s=20):
    serve()
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import structlog

from desk.repeating_thread import RepeatingThread

__all__ = ["PeriodicThread"]

_log: Final = structlog.get_logger(__name__)


class PeriodicThread(RepeatingThread):
    """Runs `step` at once and then every `every_s` seconds. The end waits for the step that is running.

    `ends` is set at the end. A step of several waits looks at it between them.
    """

    def __init__(
        self, name: str, step: Callable[[], object], *, every_s: float, ends: threading.Event | None = None
    ) -> None:
        super().__init__(name, ends)
        self._call = step
        self._every_s = every_s

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.join()

    def _step(self) -> None:
        self._call()

    def _on_fault(self, error: Exception) -> None:
        _log.warning("step_failed", thread=self._thread.name, kind=type(error).__name__, error=str(error))

    def _pause_s(self, error: Exception | None, faults: int) -> float:  # noqa: ARG002 (a fault is no reason to wait longer)
        return self._every_s
