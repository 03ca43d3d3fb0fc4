"""Client and server of the sockets between processes: one question, one answer, over SOCK_STREAM.

Both ends check the peer's user id (SO_PEERCRED, unix(7)), and frames are bounded. If no custodian answers, a client
waits for `patience_s`: a restart of the custodian must not cost the recorder a segment.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from agent import errors
from agent.errors import DoorwardError, FormatError, InternalError, NetworkError
from agent.ipc.protocol import (
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    Answer,
    ErrorReply,
    IpcMessage,
    decode,
    decode_length,
    frame,
)
from agent.ipc.unix_server import UnixServer, peer_uid

__all__ = ["LONG_SILENCE_S", "IpcClient", "IpcServer", "uids_of"]

_UID_MAP: Final = Path("/proc/self/uid_map")
_WHOLE_MAP: Final = str(2**32 - 1)
_OVERFLOW_UID: Final = 65_534
_PAUSE_S: Final = 0.2
_SILENCE_S: Final = 5.0
"""Longer than an answer takes, and shorter than the watchdog of the asking process: if the custodian hangs, the other
processes must not be restarted with it."""
LONG_SILENCE_S: Final = 30.0
"""For a connection whose answers the custodian may delay."""

_Question = TypeVar("_Question")


def uids_of(*users: str) -> frozenset[int]:
    """The ids of those users that exist, and our own: on a laptop every role runs as whoever started it.

    In a user namespace of our own (PrivateUsers=) all other users look alike; then the folder, into which only root and
    the custodian can put a socket, is what vouches for the peer.
    """
    found = {os.getuid()}
    if _WHOLE_MAP not in _UID_MAP.read_text().split():
        found.add(_OVERFLOW_UID)
    for user in users:
        with contextlib.suppress(KeyError):
            found.add(pwd.getpwnam(user).pw_uid)
    return frozenset(found)


class IpcServer(Generic[_Question]):
    """Answers `questions` (a union of messages) of `allowed` users at `path`."""

    def __init__(
        self,
        path: Path,
        questions: type[_Question],
        answer: Callable[[_Question], Answer],
        allowed: frozenset[int],
    ) -> None:
        self._questions = questions
        self._answer = answer
        self._log = structlog.get_logger("handover")
        # Its folder says who gets here and SO_PEERCRED who may stay; connect(2) wants write permission on the file.
        self._server = UnixServer(
            path,
            self._serve,
            name="handover",
            allowed=allowed,
            mode=0o666,
            remedy="systemd-tmpfiles --create makes its folder; elsewhere give --runtime-dir.",
        )

    def start(self) -> None:
        """Starts to listen.  Raises `ConfigurationError` if the socket cannot be made."""
        self._server.start()

    def stop(self) -> None:
        """Closes every connection and joins every thread.  Idempotent."""
        self._server.stop()

    def _serve(self, peer: socket.socket) -> None:
        try:
            with peer, peer.makefile("rb") as reader:
                while start := reader.read(4):
                    size = decode_length(start, MAX_REQUEST_BYTES)
                    question = decode(reader.read(size), self._questions)
                    peer.sendall(self._framed(question))
        except FormatError as error:
            self._log.warning("peer_dropped", reason=error.message)
        except OSError:
            pass

    def _framed(self, question: _Question) -> bytes:
        try:
            return frame(self._answer(question), MAX_REPLY_BYTES)
        except DoorwardError as error:
            return frame(ErrorReply(type(error).__name__, error.message, error.remedy), MAX_REPLY_BYTES)
        except Exception as error:  # noqa: BLE001 — one question's bug must not end the peer's connection
            self._log.error("question_failed", about=type(question).__name__, error=type(error).__name__)
            return frame(ErrorReply("InternalError", "The custodian met a case it does not know.", ""), MAX_REPLY_BYTES)


class IpcClient:
    """One connection, made at the first question and again after a failure.  Safe to use from several threads."""

    def __init__(
        self, path: Path, allowed: frozenset[int], *, patience_s: float = 10.0, silence_s: float = _SILENCE_S
    ) -> None:
        """`allowed`: whom the custodian may run as.  `patience_s`: how long to wait for one that is away."""
        self._path = path
        self._allowed = allowed | {0}
        self._patience_s = patience_s
        self._silence_s = silence_s
        self._socket: socket.socket | None = None
        self._missed_s: float | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def ask(self, question: IpcMessage, wanted: type[_Question], *, patience_s: float | None = None) -> _Question:
        """The answer.  Raises the error the custodian raised, or `NetworkError` when there is no custodian.

        Patience runs from when it was first missed, so that many questions do not wait for it one after the other.
        """
        patience_s = self._patience_s if patience_s is None else patience_s
        while True:
            try:
                with self._lock:
                    answer = self._ask_once(question)
                self._missed_s = None
                break
            except OSError as error:
                now_s = time.monotonic()
                if self._missed_s is None:
                    self._missed_s = now_s
                if now_s >= self._missed_s + patience_s or self._closed.wait(_PAUSE_S):
                    raise NetworkError(
                        f"No custodian answers at {self._path}.", remedy="See: systemctl status doorward-custodian"
                    ) from error
        if isinstance(answer, ErrorReply):
            raise _error_named(answer)
        if not isinstance(answer, wanted):
            raise InternalError(f"{type(question).__name__} was answered by {type(answer).__name__}.")
        return answer

    def close(self) -> None:
        """Closes the connection and ends every wait for an answer.  Idempotent."""
        self._closed.set()
        if (asking := self._socket) is not None:
            with contextlib.suppress(OSError):
                asking.shutdown(socket.SHUT_RDWR)
        with self._lock:
            gone, self._socket = self._socket, None
        if gone is not None:
            gone.close()

    def _ask_once(self, question: IpcMessage) -> Answer:
        """With the lock held.  A connection on which anything failed goes before the next asker has it: an answer that
        is late would be taken for the answer to their question."""
        asked = frame(question, MAX_REQUEST_BYTES)
        connection = self._socket or self._connect()
        try:
            connection.sendall(asked)
            size = decode_length(_exactly(connection, 4), MAX_REPLY_BYTES)
            return decode(_exactly(connection, size), Answer)  # type: ignore[arg-type] # a union is no type[T]
        except BaseException:
            self._socket = None
            connection.close()
            raise

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._silence_s)
        try:
            connection.connect(os.fspath(self._path))
            if peer_uid(connection) not in self._allowed:
                raise PermissionError("somebody else listens there")
        except OSError:
            connection.close()
            raise
        self._socket = connection  # first: `close` looks here after it has set `_closed`
        if self._closed.is_set():
            self._socket = None
            connection.close()
            raise ConnectionAbortedError("Closed meanwhile.")
        return connection


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(min(size - len(data), 1 << 16))
        if not piece:
            raise ConnectionResetError("The custodian closed the connection.")
        data += piece
    return bytes(data)


def _error_named(failed: ErrorReply) -> DoorwardError:
    kind = getattr(errors, failed.kind, None) if failed.kind in errors.__all__ else None
    made = kind if isinstance(kind, type) and issubclass(kind, DoorwardError) else InternalError
    return made(failed.message, remedy=failed.remedy)
