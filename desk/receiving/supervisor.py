"""Starts a receiver for each organisation that has keys and a broker, also for one that was made meanwhile.

with Supervisor(open_bus=…):
    serve()
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final, Self

from django.db import connection

from agent.platform.system_clock import SystemClock
from agent.ports import Clock
from desk.people.models import Organisation
from desk.receiving.receiver_thread import OpenBus, OpenRequester, ReceiverThread

__all__ = ["Supervisor"]

_LOOK_EVERY_S: Final = 5.0


class Supervisor:
    """The receivers of this process."""

    def __init__(
        self,
        open_requester: OpenRequester,
        open_bus: OpenBus,
        clock: Clock | None = None,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._open_requester = open_requester
        self._open_bus = open_bus
        self._clock = clock or SystemClock()
        self._look_every_s = look_every_s
        self._stop = threading.Event()
        self._receivers: dict[int, ReceiverThread] = {}
        self._thread = threading.Thread(target=self._run, name="receivers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops all receivers and waits for them."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._look()
                self._stop.wait(self._look_every_s)
        finally:
            for receiver in self._receivers.values():
                receiver.stop()
            for receiver in self._receivers.values():
                receiver.join()
            connection.close()

    def _look(self) -> None:
        for organisation in Organisation.objects.all():
            receiver = self._receivers.get(organisation.pk)
            if receiver is None or not receiver.alive:
                receiver = ReceiverThread(organisation, self._open_requester, self._open_bus, self._clock)
                self._receivers[organisation.pk] = receiver
                receiver.start()
