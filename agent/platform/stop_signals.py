"""Calls a function when the process gets a signal to stop, in a thread that waits for nothing else.

Python runs a signal's handler in the main thread, between two bytecodes. Two faults follow from that. A signal that
comes while the main thread is about to block, or that the kernel gives to another thread, is handled only when the main
thread wakes up: perhaps never. And a handler that needs a lock (`threading.Event.set`) may wait for the code that it
interrupted. So the handlers here do nothing. The C part of Python writes each signal's number into a socket, and a
thread reads it. Source: https://docs.python.org/3/library/signal.html, "Execution of Python signal handlers" and
`signal.set_wakeup_fd`.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Final

__all__ = ["STOP_SIGNALS", "StopSignals"]

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Inside this block, the first of `numbers` calls `stop` in another thread. Later ones change nothing, unless that
    `stop` raised: then the next one calls it again.

    Make it in the main thread, at most one at a time. The end of the block waits for a `stop` that has begun, and gives
    the signals back. For a signal that is not in `numbers`, such as SIGINT, all stays as it was. A child that `os.fork`
    makes inside the block would tell its parent of its own signals.
    """

    def __init__(self, stop: Callable[[], object], numbers: Iterable[signal.Signals] = STOP_SIGNALS) -> None:
        self._stop = stop
        self._numbers = frozenset(numbers)
        self._at_the_end = False
        # A daemon: a Ctrl-C between its start and the block must not leave a process that never ends.
        self._thread = threading.Thread(target=self._work, name="stop", daemon=True)

    def __enter__(self) -> StopSignals:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)  # a handler must never wait
        try:
            self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        except ValueError:  # this is another thread
            self._reader.close()
            self._writer.close()
            raise
        self._before = {number: signal.signal(number, _ignored) for number in self._numbers}
        self._thread.start()
        return self

    def __exit__(self, *_cause: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._end()

    def finish(self) -> None:
        """Stops, if no signal did, and ends the block. The signals stay without effect, for a process that ends now."""
        self._at_the_end = True
        self._end()

    def _end(self) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        self._writer.shutdown(socket.SHUT_WR)
        self._thread.join()
        self._reader.close()
        self._writer.close()

    def _work(self) -> None:
        # SIGCHLD and others with a handler write their numbers too.
        while number := self._reader.recv(1):
            if number[0] in self._numbers and self._is_stopped():
                return
        if self._at_the_end:
            self._stop()

    def _is_stopped(self) -> bool:
        try:
            self._stop()
        except Exception:  # noqa: BLE001 (a person or a supervisor must be able to try again)
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self._thread)))
            return False
        return True


def _ignored(_number: int, _frame: FrameType | None) -> None:
    """With a handler of Python, the signal does not end the process."""
