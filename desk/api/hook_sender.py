"""The thread that delivers web hooks. It also ends requests after their last day, so that their event goes out
before a person looks at the page.

    with HookSender():
        serve()
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final, Self

import structlog
from django.db import DatabaseError, close_old_connections, connection

from agent.errors import DoorwardError
from desk.api.hooks import deliver_due
from desk.asking.drafts import expire_due
from desk.people.models import Organisation

__all__ = ["HookSender"]

_EVERY_S: Final = 2.0
_log = structlog.get_logger(__name__)


class HookSender:
    """The deliveries of this process."""

    def __init__(self, every_s: float = _EVERY_S) -> None:
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web-hooks")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends after the delivery that is on its way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._step()
                except (DoorwardError, DatabaseError, OSError) as error:
                    _log.warning("web hooks failed", error=str(error))
                self._stop.wait(self._every_s)
        finally:
            connection.close()

    def _step(self) -> None:
        close_old_connections()
        for organisation in Organisation.objects.filter(web_hooks__isnull=False).distinct():
            expire_due(organisation, int(time.time()))
        deliver_due()
