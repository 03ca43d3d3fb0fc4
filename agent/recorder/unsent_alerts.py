"""Keeps alerts that the custodian could not take, and sends them when it is back.

A press while the custodian restarts must still reach the owner. An alert that is older than `KEPT_NS` is dropped,
because a ring of ten minutes ago would be taken for one of now.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from agent.core.timebase import BootNs, seconds
from agent.errors import NetworkError
from agent.ipc.protocol import Notify

__all__ = ["UnsentAlerts"]

KEPT_NS: Final = seconds(120)
MOST_KEPT: Final = 32
"""With the pictures of eight phones some 800 kB at most."""


class UnsentAlerts:
    """`send` from any thread, `send_again` from the thread that looks after the custodian."""

    def __init__(self, ask: Callable[[Notify], object], now_ns: Callable[[], BootNs]) -> None:
        """`ask` raises `NetworkError` while the custodian is away. `now_ns` is the boot clock."""
        self._ask = ask
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._unsent: deque[tuple[BootNs, Notify]] = deque(maxlen=MOST_KEPT)
        self._log = structlog.get_logger("recorder")

    def send(self, alert: Notify) -> None:
        """Sends the alert, or keeps it if the custodian is away."""
        try:
            self._ask(alert)
        except NetworkError as error:
            self._log.warning("alert_waits", error=error.message)
            with self._lock:
                self._unsent.append((self._now_ns(), alert))

    def send_again(self) -> None:
        """Sends the kept alerts in their order, and stops at the first that fails."""
        while (oldest := self._next()) is not None:
            try:
                self._ask(oldest[1])
            except NetworkError:
                with self._lock:
                    self._unsent.appendleft(oldest)
                return

    def _next(self) -> tuple[BootNs, Notify] | None:
        """Takes the oldest alert that is not too old out of the queue."""
        with self._lock:
            while self._unsent:
                kept = self._unsent.popleft()
                if self._now_ns() - kept[0] <= KEPT_NS:
                    return kept
                self._log.warning("alert_dropped", kind=kept[1].kind)
        return None
