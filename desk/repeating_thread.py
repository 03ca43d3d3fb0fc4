"""A thread of the service that runs one step again and again, also after a fault.

class Publisher(RepeatingThread):
    def _step(self) -> None: ...        # until `self._stop`; its errors are faults
"""

from __future__ import annotations

import threading
import time
from typing import Final

from django.db import InterfaceError, OperationalError, close_old_connections, connection

from agent.errors import NetworkError

__all__ = ["RepeatingThread", "is_away", "pause_after"]

_RESTART_S: Final = (1.0, 5.0, 30.0)
"""Pauses before the first, second and each later restart. A step that ran for the longest one begins with none."""
_AWAY_S: Final = 5.0
"""The longest pause while the database or the store of sealed parts is away. All workers wait for it at once, and
doorbells and requests wait for them."""


class RepeatingThread:
    """Runs `_step` until `stop`, and again after a fault. All methods with `_` run in the thread.

    A subclass may also have `_begin`, `_goes_on`, `_on_fault`, `_pause_s` and `_end`.
    """

    def __init__(self, name: str, ends: threading.Event | None = None) -> None:
        """`ends` is set at the end, and by the caller only to end the thread."""
        self._stop = ends or threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        self._moved_s = time.monotonic()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Asks the thread to end. `join` waits for it."""
        self._stop.set()

    def join(self) -> None:
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def silence_s(self) -> float:
        """Returns the seconds since the thread last got on. A thread that hangs in one call falls silent."""
        return time.monotonic() - self._moved_s

    def _moves(self) -> None:
        """Notes that the thread gets on. A step that goes round a loop calls this in each round."""
        self._moved_s = time.monotonic()

    def _step(self) -> None:
        """Works until `_stop`, or until there is a reason to begin again. Each error is a fault."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Is called once, before the first step."""

    def _goes_on(self) -> bool:
        """Returns False if there is no use in another step."""
        return True

    def _on_fault(self, error: Exception) -> None:
        """Is told each error of a step."""

    def _pause_s(self, error: Exception | None, faults: int) -> float:
        """Returns the seconds before the next step. `error`: of this step, the last of this many faults in a row."""
        return 0.0 if error is None else pause_after(error, faults)

    def _end(self) -> None:
        """Is called once at the end, also after an error of `_begin` or `_on_fault`."""

    def _run(self) -> None:
        faults = 0
        try:
            self._begin()
            while not self._stop.is_set() and self._goes_on():
                self._moves()
                began_s, fault = self._moved_s, None
                try:
                    # A connection that its server has closed meanwhile would fail the first query of the step.
                    close_old_connections()
                    self._step()
                except Exception as error:  # noqa: BLE001 (a bug must not end the thread until a restart)
                    fault = error
                    faults = 0 if time.monotonic() - began_s > _RESTART_S[-1] else faults + 1
                    self._on_fault(error)
                else:
                    faults = 0
                self._stop.wait(self._pause_s(fault, faults))
        finally:
            try:
                self._end()
            finally:
                # Django keeps one connection for each thread, and nothing else closes this one.
                connection.close()


def is_away(error: Exception) -> bool:
    """Returns True for an error of a store or database that is away."""
    return isinstance(error, NetworkError | OperationalError | InterfaceError)


def pause_after(error: Exception, faults: int) -> float:
    """Returns the seconds before the next step, after this many faults in a row. The last one was `error`."""
    pause_s = _RESTART_S[min(faults, len(_RESTART_S)) - 1] if faults else 0.0
    return min(pause_s, _AWAY_S) if is_away(error) else pause_s
