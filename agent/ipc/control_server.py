"""Serves the owner's client on a Unix socket: each frame is answered by one frame (docs/control-socket.md).

The socket file has mode 0600 in a folder of mode 0700. The peer must be the custodian's user, root, or the configured
user. The server drops a client that is silent for `IDLE_S`. A `DoorwardError` becomes an answer with `"ok": false`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from agent.errors import DoorwardError
from agent.ipc.unix_server import UnixServer
from agent.wire.control import Frame, read_frame, write_frame

__all__ = ["ControlSocket"]

IDLE_S: Final = 60.0

Handler = Callable[[Frame], Frame]


class ControlSocket:
    """Listens at `path` from `start()` to `stop()`; `handler` turns each frame into its answer."""

    def __init__(self, path: Path, handler: Handler, *, allowed_uids: frozenset[int] = frozenset()) -> None:
        self._path = path
        self._handler = handler
        self._log = structlog.get_logger("control")
        self._server = UnixServer(
            path,
            self._serve,
            name="control",
            allowed=allowed_uids | {0, os.getuid()},
            mode=0o600,
            remedy="Check device.state_dir: it must be writable and its path shorter than about 90 characters.",
        )

    @property
    def clients(self) -> int:
        """Returns the number of connected clients."""
        return self._server.clients

    def start(self) -> None:
        """Starts to listen.  Raises `ConfigurationError` if the socket cannot be made."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._server.start()

    def stop(self) -> None:
        """Stops listening.  Idempotent."""
        self._server.stop()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(IDLE_S)
        try:
            with client, client.makefile("rb") as reader:
                while (frame := read_frame(reader)) is not None:
                    client.sendall(write_frame(self._answer(frame)))
        except (DoorwardError, OSError) as error:
            self._log.info("client_dropped", reason=type(error).__name__)

    def _answer(self, frame: Frame) -> Frame:
        try:
            return self._handler(frame)
        except DoorwardError as error:
            return Frame({"ok": False, "kind": type(error).__name__, "error": error.message, "remedy": error.remedy})
