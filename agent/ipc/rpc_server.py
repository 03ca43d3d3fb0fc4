"""Server of the local sockets: each frame is answered by one frame (docs/local-rpc.md).

The server reads a peer's user id before its first byte. It serves at most `MOST_CLIENTS` at once, each on its own
thread, and turns the others away. `stop` leaves neither a thread nor a file.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from agent.errors import ConfigurationError, DoorwardError, InternalError
from agent.ipc.peers import peer_uid
from agent.ipc.rpc import CONTROL_SOCKET, ROLE_SOCKET, SocketKind, read_request, refusal, success
from agent.wire.control import Frame, read_frame, write_frame

__all__ = ["MOST_CLIENTS", "RpcServer", "control_server", "role_server"]

MOST_CLIENTS: Final = 8
_PAUSE_S: Final = 0.2

Handler = Callable[[Frame], Frame]


def control_server(path: Path, handle: Handler, *, allowed_uids: frozenset[int] = frozenset()) -> RpcServer:
    """Returns the socket of the owner's client. Its user is root, this process's user, or one of `allowed_uids`."""
    return RpcServer(path, CONTROL_SOCKET, handle, allowed_uids | {0, os.getuid()})


def role_server(path: Path, requests: Any, handle: Callable[[Any], object], allowed: frozenset[int]) -> RpcServer:
    """Returns the socket of another role. `requests` is the union of the requests that the role may send."""
    return RpcServer(path, ROLE_SOCKET, lambda frame: success(handle(read_request(frame.head, requests))), allowed)


class RpcServer:
    """Answers at `path` from `start` to `stop`, as often as wanted. `handle` returns the answer to each frame.

    A `DoorwardError` of `handle` becomes a refusal. Any other error becomes an `InternalError` without details, and the
    log has its place.
    """

    def __init__(self, path: Path, kind: SocketKind, handle: Handler, allowed: frozenset[int]) -> None:
        self._path = path
        self._kind = kind
        self._handle = handle
        self._allowed = allowed
        self._log = structlog.get_logger(kind.name)
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        """Threads of the clients, and of some that have gone."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def clients(self) -> int:
        """Returns the number of connected clients."""
        return len(self._clients)

    def start(self) -> None:
        """Starts to listen. Raises `ConfigurationError` if the socket cannot be made."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if self._kind.makes_folder:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                if self._path.is_socket():  # of a process that was killed
                    self._path.unlink()
            listener.bind(os.fspath(self._path))
            # In front of `listen`: no client can connect while the file still has the mode of the umask.
            self._path.chmod(self._kind.mode)
        except OSError as error:
            listener.close()
            raise ConfigurationError(
                f"The {self._kind.name} socket {self._path} cannot be made: {error.strerror or error}.",
                remedy=self._kind.remedy,
            ) from error
        listener.listen(MOST_CLIENTS)
        self._stopping.clear()
        self._listener = listener
        self._acceptor = threading.Thread(target=self._accept, args=(listener,), name=self._kind.name, daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """Closes the listener and every client, and joins their threads. Idempotent."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._stopping.set()
        with contextlib.suppress(OSError):
            # Wakes the thread in `accept`, which `close` alone does not.
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        if self._acceptor is not None:
            self._acceptor.join()
        with self._lock:
            clients = set(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                # Wakes the thread that waits for this client's next frame.
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
                # `stop` closed it, or file descriptors ran out for the moment, which must not end the service.
                if self._stopping.wait(_PAUSE_S):
                    return
                self._log.warning("client_not_accepted", reason=type(error).__name__)
                continue
            uid, full = peer_uid(client), self.clients >= MOST_CLIENTS
            if full or uid not in self._allowed:
                self._log.warning("client_refused", uid=uid, full=full)
                client.close()
                continue
            thread = threading.Thread(target=self._serve, args=(client,), name=f"{self._kind.name}-client", daemon=True)
            with self._lock:
                self._clients.add(client)
            try:
                thread.start()
            except RuntimeError as error:
                # The limit of threads (`TasksMax=`) is reached. One client is lost, and not the service.
                self._log.warning("client_not_accepted", reason=str(error))
                with self._lock:
                    self._clients.discard(client)
                client.close()
                continue
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as reader:
                while True:
                    client.settimeout(self._kind.idle_s)
                    reader.peek()
                    # A frame has begun. A peer that stops in its middle must not hold one of the few places.
                    client.settimeout(self._kind.silence_s)
                    frame = read_frame(reader, self._kind.request)
                    if frame is None:
                        return
                    client.sendall(self._answer(frame))
        except (DoorwardError, OSError) as error:
            self._log.info("client_dropped", reason=type(error).__name__)
        finally:
            with self._lock:
                self._clients.discard(client)

    def _answer(self, frame: Frame) -> bytes:
        try:
            return write_frame(self._handle(frame), self._kind.answer)
        except DoorwardError as error:
            refused = error
        except Exception as error:  # noqa: BLE001 — one request's bug must not end the peer's connection
            self._log.exception("request_failed", op=str(frame.head.get("op"))[:40], error=type(error).__name__)
            refused = InternalError("The device met a case that it does not know.", remedy="Its log has the place.")
        return write_frame(refusal(refused), self._kind.answer)
