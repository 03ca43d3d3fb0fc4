"""Bounds a conversation with a foreign server in time, from its first connection to the last byte of its answer.

A time-out of a socket counts from the last byte, and again for each address of a name. So it bounds neither an answer
that comes byte by byte, nor a name with many dead addresses. The look-up of a name has the bound of the resolver.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from typing import Any, Final, Self

__all__ = ["LONGEST_S", "CutOff"]

LONGEST_S: Final = 30.0
"""A request and its answer over HTTP, in seconds."""


class CutOff:
    """A context for one thread. Shuts the connections that `connect` opened down after `longest_s` seconds."""

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        self._end_s = time.monotonic() + longest_s
        self._late = threading.Event()
        self._opened: list[socket.socket] = []
        self._timer = threading.Timer(longest_s, self._cut)
        self._timer.daemon = True  # it must not keep the process from ending

    def __enter__(self) -> Self:
        try:
            self._timer.start()
        except RuntimeError as error:  # the machine has no thread left: as any fault of a connection, it is tried again
            raise OSError("No thread can start.") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        for each in self._opened:
            each.close()

    @property
    def left_s(self) -> float:
        return max(0.0, self._end_s - time.monotonic())

    def check(self) -> None:
        """Raises `TimeoutError` after the end: the answer so far may be half of one."""
        if self._late.is_set() or not self.left_s:
            raise TimeoutError("The server is too slow.")

    def connect(self, address: tuple[str, int], timeout_s: float | None = None, *_: object) -> socket.socket:
        """Does as `socket.create_connection`, for all addresses of a name together within the time that is left."""
        fault = OSError("The name has no address.")
        for family, kind, protocol, _name, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            self.check()
            try:
                return self._open(socket.socket(family, kind, protocol), place, timeout_s)
            except OSError as error:
                fault = error
        raise fault

    def bound(self, connection: http.client.HTTPConnection) -> None:
        """Has a connection that is not yet open use `connect`."""
        # The attribute exists for that since Python 2.7, but typeshed leaves it out.
        connection._create_connection = self.connect  # type: ignore[attr-defined]

    def _open(self, opened: socket.socket, place: Any, timeout_s: float | None) -> socket.socket:
        try:
            # At least a millisecond: a time-out of 0 would mean not to wait at all.
            opened.settimeout(max(1e-3, self.left_s if timeout_s is None else min(timeout_s, self.left_s)))
            opened.connect(place)
            opened.settimeout(timeout_s)
            # A copy, because TLS and answers without a length take the socket away from the connection.
            self._opened.append(opened.dup())
            self.check()  # after the append: either this sees the end, or `_cut` sees the socket
        except BaseException:
            opened.close()
            raise
        return opened

    def _cut(self) -> None:
        self._late.set()
        for each in tuple(self._opened):
            with contextlib.suppress(OSError):  # the server was faster
                each.shutdown(socket.SHUT_RDWR)
