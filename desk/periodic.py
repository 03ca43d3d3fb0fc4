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
from django.db import close_old_connections, connection

__all__ = ["PeriodicThread"]

_log: Final = structlog.get_logger(__name__)


class PeriodicThread:
    """Runs `step` at once and then every `every_s` seconds. The end waits for the step that is running.

    `ends` is set at the end. A step of several waits looks at it between them.
    """

    def __init__(
        self, name: str, step: Callable[[], object], *, every_s: float, ends: threading.Event | None = None
    ) -> None:
        self._step = step
        self._every_s = every_s
        self._stop = ends or threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    close_old_connections()
                    self._step()
                except Exception as error:  # noqa: BLE001 (whatever it is, it must not end the thread until a restart)
                    kind = type(error).__name__
                    _log.warning("step_failed", thread=self._thread.name, kind=kind, error=str(error))
                self._stop.wait(self._every_s)
        finally:
            connection.close()
