"""A server on loopback that takes a request and then answers too slowly, for the bounds of those who ask it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Final, Self

OK: Final = b"HTTP/1.1 200 OK\r\n"
HANGS: Final = 5.0
"""A client that has not left after this many seconds has no bound, or not the one that the test gave it."""
_DRIPS: Final = 400
_PAUSE_S: Final = 0.03


class Dripping:
    """Answers each connection with `head` at once, and then with `drips` times `drip`, slowly.

    It goes on for a few seconds if its client does not leave, so that a test without a cure fails and does not hang.
    `left`: a client has left. `connections`: how many there were.
    """

    def __init__(self, head: bytes, drip: bytes = b"a", drips: int = _DRIPS, *, speaks_first: bool = False) -> None:
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
                connection.recv(65536)
            connection.sendall(self._head)
            for number in range(_DRIPS):
                if number < self._drips:
                    connection.sendall(self._drip)
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
