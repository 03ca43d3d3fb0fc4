"""Listens on a Unix socket, admits the allowed users, and gives each peer a thread.

Rules: the peer's user id (SO_PEERCRED, unix(7)) is checked before a byte is read; at most `MOST_CLIENTS` at once, the
others are turned away; the service survives a moment without file descriptors; `stop` ends every thread and removes the
file.
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

from agent.errors import ConfigurationError

__all__ = ["MOST_CLIENTS", "UnixServer", "peer_uid"]

MOST_CLIENTS: Final = 8
_PAUSE_S: Final = 0.2
_PEER: Final = struct.Struct("3i")


def peer_uid(peer: socket.socket) -> int:
    """Returns the user id of the peer, from the kernel."""
    uid: int = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
    return uid


class UnixServer:
    """At `path`, with `mode`, from `start` to `stop`, as often as wanted.

    `serve` runs on a separate thread for each peer of one of the `allowed` users, and closes it. `remedy`: the advice
    if the socket cannot be made.
    """

    def __init__(
        self,
        path: Path,
        serve: Callable[[socket.socket], None],
        *,
        name: str,
        allowed: frozenset[int],
        mode: int,
        remedy: str,
    ) -> None:
        self._path = path
        self._serve = serve
        self._name = name
        self._allowed = allowed
        self._mode = mode
        self._remedy = remedy
        self._log = structlog.get_logger(name)
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        """Threads of the present clients, and of some that have gone."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def clients(self) -> int:
        """Returns the number of clients being served."""
        return len(self._clients)

    def start(self) -> None:
        """Raises `ConfigurationError` when the socket cannot be made."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                if self._path.is_socket():
                    self._path.unlink()
            listener.bind(os.fspath(self._path))
            self._path.chmod(self._mode)
        except OSError as error:
            listener.close()
            raise ConfigurationError(
                f"The {self._name} socket {self._path} cannot be made: {error.strerror or error}.", remedy=self._remedy
            ) from error
        listener.listen(MOST_CLIENTS)
        self._stopping.clear()
        self._listener = listener
        self._acceptor = threading.Thread(target=self._accept, args=(listener,), name=self._name, daemon=True)
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
            clients = set(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads = []
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = listener.accept()
            except OSError as error:
                # Closed by `stop`; or out of file descriptors for the moment, which must not end the service for good.
                if self._stopping.wait(_PAUSE_S):
                    return
                self._log.warning("client_not_accepted", reason=type(error).__name__)
                continue
            uid, full = peer_uid(client), self.clients >= MOST_CLIENTS
            if full or uid not in self._allowed:
                self._log.warning("client_refused", uid=uid, full=full)
                client.close()
                continue
            thread = threading.Thread(target=self._serve_one, args=(client,), name=f"{self._name}-client", daemon=True)
            with self._lock:
                self._clients.add(client)
            thread.start()
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]

    def _serve_one(self, client: socket.socket) -> None:
        try:
            self._serve(client)
        finally:
            with self._lock:
                self._clients.discard(client)
