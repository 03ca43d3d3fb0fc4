"""Serves the owner's client on a Unix socket: one thread a connection, one frame in, one frame out.

Rules: the socket file is 0600 in a 0700 folder; the peer's uid (SO_PEERCRED, unix(7)) must be ours, root's or the one
configured; at most `MAX_CLIENTS` at once; a silent client is dropped after `IDLE_S`.
An error of ours becomes `{"ok": false, "error": …, "remedy": …}`, never a stack trace.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from agent.errors import ConfigurationError, DoorwardError
from agent.wire.control import Frame, read_frame, write_frame

__all__ = ["ControlSocket"]

MAX_CLIENTS: Final = 8
IDLE_S: Final = 60.0
_PAUSE_S: Final = 0.2
_PEER: Final = struct.Struct("3i")

Handler = Callable[[Frame], Frame]


class ControlSocket:
    """Listens at `path` from `start()` to `stop()`; `handler` turns each frame into its answer."""

    def __init__(self, path: Path, handler: Handler, *, allowed_uids: frozenset[int] = frozenset()) -> None:
        self._path = path
        self._handler = handler
        self._allowed = allowed_uids | {0, os.getuid()}
        self._log = structlog.get_logger("control")
        self._listener: socket.socket | None = None
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._acceptor: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self._path.is_socket():
                self._path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self._path))
        except OSError as error:
            listener.close()
            raise ConfigurationError(
                f"The control socket {self._path} cannot be made: {error.strerror or error}.",
                remedy="Check device.state_dir: it must be writable and its path shorter than about 90 characters.",
            ) from error
        self._path.chmod(0o600)
        listener.listen(MAX_CLIENTS)
        self._listener = listener
        self._acceptor = threading.Thread(target=self._accept, name="control", daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """Close the listener and every client, and join their threads.  Idempotent."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._stopping.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        if self._acceptor is not None:
            self._acceptor.join()
        with self._lock:
            clients = dict(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in clients.values():
            thread.join()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _accept(self) -> None:
        while (listener := self._listener) is not None:
            try:
                client, _ = listener.accept()
            except OSError as error:
                # Closed by `stop`; or out of file descriptors for the moment, which must not end the service for good.
                if self._stopping.wait(_PAUSE_S):
                    return
                self._log.warning("client_not_accepted", reason=type(error).__name__)
                continue
            with self._lock:
                full = len(self._clients) >= MAX_CLIENTS
            if full or not self._may(client):
                self._log.warning("client_refused", full=full)
                client.close()
                continue
            client.settimeout(IDLE_S)
            thread = threading.Thread(target=self._serve, args=(client,), name="control-client", daemon=True)
            with self._lock:
                self._clients[client] = thread
            thread.start()

    def _may(self, client: socket.socket) -> bool:
        _, uid, _ = _PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        return uid in self._allowed

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as reader:
                while (frame := read_frame(reader)) is not None:
                    client.sendall(write_frame(self._answer(frame)))
        except (DoorwardError, OSError) as error:
            self._log.info("client_dropped", reason=type(error).__name__)
        finally:
            with self._lock:
                self._clients.pop(client, None)

    def _answer(self, frame: Frame) -> Frame:
        try:
            return self._handler(frame)
        except DoorwardError as error:
            return Frame({"ok": False, "kind": type(error).__name__, "error": error.message, "remedy": error.remedy})
