"""Prometheus metrics over HTTP, on a Unix socket or on 127.0.0.1: one page, GET only.

Only programs on this machine can reach it.  For remote access, put a proxy in front.  The socket has mode 0660, so its
folder and group decide which users may read.

The port answers requests to 127.0.0.1 or localhost only. A web page in a browser of this machine can let its own name
lead to 127.0.0.1 (DNS rebinding). Its requests then carry that name, and are refused.
"""

from __future__ import annotations

import contextlib
import os
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

import structlog

from agent.core.metrics import CONTENT_TYPE
from agent.errors import ConfigurationError, DoorwardError
from agent.platform.bounded_server import BoundedServer

__all__ = ["MetricsServer"]

_IDLE_S: Final = 10.0
_LOCAL: Final = frozenset({"127.0.0.1", "localhost"})


class _UnixServer(BoundedServer, socketserver.UnixStreamServer):
    pass


class _LoopbackServer(BoundedServer, socketserver.TCPServer):
    allow_reuse_address = True


class MetricsServer:
    """Serves from `start` to `stop`.  `page` renders the text for every reader."""

    def __init__(self, page: Callable[[], str], *, path: Path | None, port: int | None) -> None:
        self._page = page
        self._path = path
        self._port = port
        self._servers: list[socketserver.BaseServer] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Raises `ConfigurationError` if an address cannot be bound."""
        handler = _handler(self._page)
        place = ""
        try:
            if self._path is not None:
                place = str(self._path)
                with contextlib.suppress(FileNotFoundError):
                    if self._path.is_socket():
                        self._path.unlink()
                self._servers.append(_UnixServer(os.fspath(self._path), handler))
                self._path.chmod(0o660)
            if self._port is not None:
                place = f"127.0.0.1:{self._port}"
                self._servers.append(_LoopbackServer(("127.0.0.1", self._port), handler))
        except OSError as error:
            self.stop()
            raise ConfigurationError(
                f"Metrics cannot be served at {place}: {error.strerror or error}.",
                remedy="Set another address in [metrics].",
            ) from error
        self._threads = [
            threading.Thread(target=each.serve_forever, args=(0.2,), name="metrics") for each in self._servers
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stops the servers.  Idempotent."""
        for each in self._servers:
            if self._threads:
                each.shutdown()
            each.server_close()
        for thread in self._threads:
            thread.join()
        if self._servers and self._path is not None:
            self._path.unlink(missing_ok=True)
        self._servers, self._threads = [], []


def _is_local(host: str | None) -> bool:
    """Returns whether `host` of a request names this machine. Each browser sends one."""
    return host is None or host.rpartition(":")[0] in _LOCAL or host in _LOCAL


def _handler(page: Callable[[], str]) -> Any:
    log = structlog.get_logger("metrics")

    class Handler(BaseHTTPRequestHandler):
        timeout = _IDLE_S
        server_version, sys_version = "doorward", ""

        def do_GET(self) -> None:
            # 421 is "Misdirected Request" (RFC 9110): a page of the web let its own name lead here.
            if isinstance(self.server, _LoopbackServer) and not _is_local(self.headers.get("Host")):
                self.send_error(421)
                return
            if self.path != "/metrics":
                self.send_error(404)
                return
            try:
                data = page().encode()
            except DoorwardError as error:
                log.warning("metrics_failed", error=error.message)
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
