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
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Final

__all__ = ["STOP_SIGNALS", "StopSignals"]

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Inside this block, the first of `numbers` calls `stop` in another thread. Later ones change nothing.

    Make it in the main thread, at most one at a time. The end of the block waits for a `stop` that has begun, and gives
    the signals back. For a signal that is not in `numbers`, such as SIGINT, all stays as it was.
    """

    def __init__(self, stop: Callable[[], object], numbers: Iterable[signal.Signals] = STOP_SIGNALS) -> None:
        self._stop = stop
        self._numbers = frozenset(numbers)
        self._at_the_end = False
        self._thread = threading.Thread(target=self._work, name="stop")

    def __enter__(self) -> StopSignals:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)  # a handler must never wait
        self._thread.start()
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _ignored) for number in self._numbers}
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
            if number[0] in self._numbers:
                break
        else:
            if not self._at_the_end:
                return
        self._stop()


def _ignored(_number: int, _frame: FrameType | None) -> None:
    """With a handler of Python, the signal does not end the process."""
