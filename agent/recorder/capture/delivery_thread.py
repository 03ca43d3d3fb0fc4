"""The one thread in which a camera or a microphone delivers: started once, ended once, joined by `stop`.

Each of ours has the same life, so it is written once here: the source brings a function that delivers until
it is asked to stop and closes its source before it returns, and this makes sure that `ended` is called exactly once
and last, whatever happened.  Only that thread ever touches the source: to close a decoder under a running call from
another one, or from the receiver's own call, crashes the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from agent.errors import DoorwardError, InternalError
from agent.ports import CameraEnd

__all__ = ["DeliveryThread", "Ending"]

Ending = tuple[CameraEnd, str]


class _Ended(Protocol):
    def ended(self, end: CameraEnd, detail: str) -> None: ...


class DeliveryThread:
    """Runs `deliver(stopping)`, which returns soon after `stopping` is set, in a thread called `name`.

    `start` comes after the source has put this away, for the first packet's receiver may already ask it to stop.
    """

    def __init__(self, name: str, deliver: Callable[[threading.Event], Ending], sink: _Ended) -> None:
        self._deliver = deliver
        self._sink = sink
        self._stopping = threading.Event()
        # A daemon: Python waits for other threads at its end, and a driver that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to stop and wait for it, unless it is the one that asks.

        Raises `InternalError` when the receiver blocks for half a minute: better a loud end than a silent leak.
        """
        self._stopping.set()
        # The sink may call `stop` from within a delivery. A thread that joins itself would wait for ever.
        if threading.current_thread() is self._thread:
            return
        self._thread.join(30.0)
        if self._thread.is_alive():
            raise InternalError("A receiver did not return for 30 s.")

    def _run(self) -> None:
        end, detail = CameraEnd.LOST, "The receiver failed; its own error says why."
        try:
            end, detail = self._deliver(self._stopping)
        except DoorwardError as error:
            end, detail = CameraEnd.LOST, str(error)
        finally:
            self._sink.ended(end, detail)
