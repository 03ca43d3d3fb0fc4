"""A server on loopback that takes a request and then answers too slowly, for the bounds of those who ask it.

`CutsOnceSpoken` stands for a bound in seconds, so that such a test depends on no machine's speed.
"""

from __future__ import annotations

import fcntl
import re
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

OK: Final = b"HTTP/1.1 200 OK\r\n"
HANGS: Final = 60.0
"""A client that has not left after this many seconds has no bound, or not the one that the test gave it."""
_DRIPS: Final = 400
_PAUSE_S: Final = 0.03
_SPOKEN_DRIPS: Final = 3


class Dripping:
    """Answers each connection with `head` at once, and then with `drips` times `drip`, slowly.

    It goes on for a few seconds if its client does not leave, so that a test without a cure fails and does not hang.
    `spoken`: a client's machine has the head and a few drips. `left`: a client has left. `connections`: how many there
    were.
    """

    def __init__(self, head: bytes, drip: bytes = b"a", drips: int = _DRIPS, *, speaks_first: bool = False) -> None:
        self.spoken = threading.Event()
        self.left = threading.Event()
        self.connections = 0
        self._head = head
        self._drip = drip
        self._drips = drips
        self._speaks_first = speaks_first
        self._over = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown(socket.SHUT_RDWR)
        for each in self._threads:
            each.join()
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.connections += 1
                thread = threading.Thread(target=self._answer, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if not self._speaks_first:
                _read_request(connection)
            connection.sendall(self._head)
            for number in range(_DRIPS):
                if number < self._drips:
                    connection.sendall(self._drip)
                if number == _SPOKEN_DRIPS:
                    _wait_until_delivered(connection)
                    self.spoken.set()
                connection.settimeout(_PAUSE_S)
                with suppress(TimeoutError):
                    while connection.recv(65536):
                        pass
                    break  # it has left
                if self._over.is_set():
                    return
            else:
                return
        self.left.set()


class CutsOnceSpoken:
    """Stands for `threading.Timer` in `agent.uplink.cut_off`: all its timers end once a server has spoken.

    A real one could end before the server was asked, on a machine with much else to do. `limits_s`: how many seconds
    each timer would have had.
    """

    def __init__(self, spoken: threading.Event) -> None:
        self.limits_s: list[float] = []
        self._spoken = spoken
        self._lock = threading.Lock()
        self._waiting: list[_Cut] = []

    def __call__(self, limit_s: float, cut: Callable[[], None]) -> _Cut:
        self.limits_s.append(limit_s)
        self._waiting.append(_Cut(self, cut))
        return self._waiting[-1]

    def wait(self, timer: _Cut) -> None:
        end_s = time.monotonic() + HANGS
        while not timer.is_cancelled.is_set() and not self._spoken.wait(_PAUSE_S):
            if time.monotonic() > end_s:
                break
        with self._lock:  # the outermost first, as with real ones: it was begun first
            for each in tuple(self._waiting):
                self._waiting.remove(each)
                if not each.is_cancelled.is_set():
                    each.cut()


class _Cut(threading.Thread):
    def __init__(self, cuts: CutsOnceSpoken, cut: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.is_cancelled = threading.Event()
        self.cut = cut
        self._cuts = cuts

    def run(self) -> None:
        self._cuts.wait(self)

    def cancel(self) -> None:
        self.is_cancelled.set()


def _read_request(connection: socket.socket) -> None:
    """Reads a request over HTTP to its end. A client that is cut off while it still sends learns of no answer."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if end and len(body) >= (int(length[1]) if length else 0):
            return


def _wait_until_delivered(connection: socket.socket) -> None:
    """Waits until the other end's kernel has everything that was sent. The program there may still sleep."""
    while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]:
        time.sleep(0.001)
