"""Starts a receiver for each organisation that has keys and a broker, also for one that was made meanwhile.

with Supervisor(open_bus=…):
    serve()
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final, Self

from agent.platform.system_clock import SystemClock
from agent.ports import Clock
from desk.people.models import Organisation
from desk.periodic import PeriodicThread
from desk.receiving.publishing_thread import OpenBus, OpenRequester
from desk.receiving.receiver_thread import ReceiverThread
from desk.receiving.worker_figures import WorkerFigures

__all__ = ["Supervisor"]

_LOOK_EVERY_S: Final = 5.0


class Supervisor:
    """The receivers of this process. If the database fails, the receivers go on and the next look tries again."""

    def __init__(
        self,
        open_requester: OpenRequester,
        open_bus: OpenBus,
        clock: Clock | None = None,
        look_every_s: float = _LOOK_EVERY_S,
        may_receive: threading.Event | None = None,
        figures: WorkerFigures | None = None,
    ) -> None:
        """`may_receive`: set once answers may be taken. Requests go out before. `figures`: those of this process."""
        self._figures = figures or WorkerFigures()
        self._may_receive = may_receive
        self._open_requester = open_requester
        self._open_bus = open_bus
        self._clock = clock or SystemClock()
        self._receivers: dict[int, ReceiverThread] = {}
        self._thread = PeriodicThread("receivers", self._look, every_s=look_every_s)

    def __enter__(self) -> Self:
        self._thread.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops all receivers and waits for them."""
        try:
            self._thread.__exit__(kind, error, trace)
        finally:
            for receiver in self._receivers.values():
                # All are asked before the first is waited for, so that their ends run side by side.
                receiver.stop()
        for receiver in self._receivers.values():
            receiver.join()

    def _look(self) -> None:
        for organisation in Organisation.objects.all():
            receiver = self._receivers.get(organisation.pk)
            if receiver is None or not receiver.is_alive:
                receiver = ReceiverThread(
                    organisation, self._open_requester, self._open_bus, self._clock, self._may_receive, self._figures
                )
                self._receivers[organisation.pk] = receiver
                self._figures.watch(organisation.pk, receiver)
                receiver.start()
