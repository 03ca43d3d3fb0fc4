"""Client of the local sockets (docs/local-rpc.md): `ask` sends a request and returns its typed answer.

If no custodian answers, a client waits for `patience_s`: a restart of the custodian must not cost the recorder a
segment.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Final, TypeVar

from agent.errors import NetworkError
from agent.ipc.peers import peer_uid
from agent.ipc.rpc import ROLE_SOCKET, Request, SocketKind, read_answer, request_frame
from agent.wire.control import Frame, read_frame, write_frame

__all__ = ["LONG_SILENCE_S", "RpcClient"]

_PAUSE_S: Final = 0.2
_SILENCE_S: Final = 5.0
"""Longer than an answer takes, and shorter than the watchdog of the asking process: if the custodian hangs, the other
processes must not be restarted with it."""
LONG_SILENCE_S: Final = 30.0
"""For a connection on which the custodian may delay an answer."""
_PIECE_BYTES: Final = 1 << 18
_ENDED: Final = "The other end closed the connection"

AnswerT = TypeVar("AnswerT")


class RpcClient:
    """One connection, made at the first request, and again after a failure or if the server closed it.

    Safe to use from several threads.
    """

    def __init__(
        self,
        path: Path,
        allowed: frozenset[int] | None,
        *,
        kind: SocketKind = ROLE_SOCKET,
        patience_s: float = 10.0,
        silence_s: float = _SILENCE_S,
    ) -> None:
        """`allowed` are the users that the server may have besides root. None accepts each, for a forwarded socket.

        `patience_s` is how long a request waits for a server that is away, and `silence_s` how long for an answer.
        """
        self._path = path
        self._allowed = None if allowed is None else allowed | {0}
        self._kind = kind
        self._patience_s = patience_s
        self._silence_s = silence_s
        self._socket: socket.socket | None = None
        self._missed_s: float | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def ask(self, request: Request[AnswerT], *, body: bytes = b"", patience_s: float | None = None) -> AnswerT:
        """Returns the answer. Raises the error of a refusal, and `NetworkError` if no server answers."""
        return self.fetch(request, body=body, patience_s=patience_s)[0]

    def fetch(
        self, request: Request[AnswerT], *, body: bytes = b"", patience_s: float | None = None
    ) -> tuple[AnswerT, bytes]:
        """Like `ask`, and returns the bytes that came with the answer. `body` goes with the request."""
        answer = self._exchange(request_frame(request, body), patience_s)
        return read_answer(type(request), self._readable(answer.head)), answer.body

    def close(self) -> None:
        """Closes the connection and ends every wait for an answer. Idempotent."""
        self._closed.set()
        if (asking := self._socket) is not None:
            with contextlib.suppress(OSError):
                # Without the lock, which the thread that waits for an answer holds.
                asking.shutdown(socket.SHUT_RDWR)
        with self._lock:
            gone, self._socket = self._socket, None
        if gone is not None:
            gone.close()

    def _exchange(self, request: Frame, patience_s: float | None) -> Frame:
        """Patience runs from the first failure, so that many requests do not wait one after the other."""
        asked = write_frame(request, self._kind.request)
        patience_s = self._patience_s if patience_s is None else patience_s
        while True:
            try:
                with self._lock:
                    answer = self._exchange_once(asked)
                self._missed_s = None
                break
            except OSError as error:
                now_s = time.monotonic()
                if self._missed_s is None:
                    self._missed_s = now_s
                if now_s >= self._missed_s + patience_s or self._closed.wait(_PAUSE_S):
                    raise self._away(error) from error
        return answer

    def _exchange_once(self, asked: bytes) -> Frame:
        """Call it with the lock held. A connection on which anything failed is closed before the next request: a late
        answer would be taken for the answer to that request."""
        connection = self._socket
        # A server may have closed an idle connection. The request was not sent, so it can go over another one.
        if connection is not None and _is_over(connection):
            self._socket = None
            connection.close()
            connection = None
        connection = connection or self._connect()
        try:
            connection.sendall(asked)
            return self._answer_on(connection)
        except BaseException:
            self._socket = None
            connection.close()
            raise

    def _answer_on(self, connection: socket.socket) -> Frame:
        answer = read_frame(_AnswerReader(connection), self._kind.answer)
        if answer is None:
            raise ConnectionResetError(_ENDED)
        return answer

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._silence_s)
        try:
            self._dial(connection)
            if self._allowed is not None and peer_uid(connection) not in self._allowed:
                raise PermissionError("another user listens there")
        except OSError:
            connection.close()
            raise
        self._socket = connection  # first: `close` looks here after it has set `_closed`
        if self._closed.is_set():
            self._socket = None
            connection.close()
            raise ConnectionAbortedError("Closed meanwhile.")
        return connection

    def _dial(self, connection: socket.socket) -> None:
        connection.connect(os.fspath(self._path))

    def _away(self, error: OSError) -> NetworkError:  # noqa: ARG002 (for subclasses)
        return NetworkError(f"No custodian answers at {self._path}.", remedy="See: systemctl status doorward-custodian")

    def _readable(self, head: dict[str, Any]) -> dict[str, Any]:
        return head


def _is_over(connection: socket.socket) -> bool:
    """Returns True if the server has closed the connection, for example because it asked nothing for `idle_s`.

    The request was not sent yet, so it can go over another connection. Bytes that no request asked for end it, too.
    """
    patience_s = connection.gettimeout()
    connection.settimeout(0.0)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(patience_s)
    return True


class _AnswerReader:
    """A `wire.control.Reader`. An end of the stream is a lost connection, because an answer is due."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, size: int, /) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._connection.recv(min(size - len(data), _PIECE_BYTES))
            if not piece:
                raise ConnectionResetError(_ENDED)
            data += piece
        return bytes(data)
