"""Messages of the desk to systemd: it is ready, it gets on, it ends, and one line for `systemctl status`.

    status = ServiceStatus("Serves https://desk.example.org.")
    with status.shown():
        …                       # listen, then status.ready(), and status.alive() from the loop that must get on

`READY=1` means that the tables are up to date, the receivers run and the pages can be reached. Units that start after
the desk, and an upgrade, wait for all three. Without systemd, the messages go nowhere.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

from django.db import DatabaseError, InterfaceError

from agent.platform.supervision import SystemdNotifier
from desk.periodic import PeriodicThread
from desk.receiving.models import Receiver, worker_name

__all__ = ["ALIVE_EVERY_S", "ServiceStatus"]

ALIVE_EVERY_S: Final = 15.0
"""A fraction of `WatchdogSec=` of the unit."""
_LINE_EVERY_S: Final = 10.0


class ServiceStatus:
    """`what`: the first sentence of the line. It holds no names of organisations, because every user may read it."""

    def __init__(self, what: str, notifier: SystemdNotifier | None = None) -> None:
        self._what = what
        self._notifier = notifier or SystemdNotifier()
        self._line = ""

    def ready(self) -> None:
        self._line = self._what
        self._notifier.ready(self._line)

    def alive(self) -> None:
        """Puts the watchdog off."""
        self._notifier.alive()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Renews the line until the end of the block, which says that the service ends."""
        with contextlib.ExitStack() as ends:
            if self._notifier.supervised:
                ends.enter_context(PeriodicThread("service-status", self._show, every_s=_LINE_EVERY_S))
            ends.callback(self._notifier.stopping)
            yield

    def _show(self) -> None:
        if not self._line:  # not ready yet
            return
        line = f"{self._what} {_receivers()}"
        if line != self._line:
            self._line = line
            self._notifier.status(line)


def _receivers() -> str:
    """Returns the states of this process' receivers in one sentence."""
    try:
        states = Counter(Receiver.objects.filter(worker=worker_name()).values_list("state", flat=True))
    except (DatabaseError, InterfaceError):
        return "The database does not answer."
    if not states:
        return "No organisation receives yet."
    return f"Receivers connected: {states['connected']} of {states.total()}."
