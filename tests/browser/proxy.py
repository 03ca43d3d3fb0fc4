"""Stands between browser and doorbell, ends TLS on both sides, and records everything the browser sends."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path


class RecordingProxy:
    """Listens on `port`, forwards to the page at `target`.  `sent` is every byte that came from the browser."""

    def __init__(self, target: int, state_dir: Path, authority: bytes) -> None:
        self._target = target
        # The doorbell's own certificate: the browser must see no difference.
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(state_dir / "page" / "page.pem")
        self._client = ssl.create_default_context(cadata=authority)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = bytearray()
        self.sent = bytearray()
        self._cut = threading.Event()
        self.loses = b""
        """Once this has been asked, the answer is lost on its way, and the connection with it."""
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="proxy")]
        self._threads[0].start()

    def cut(self) -> None:
        """The network is gone: everything open breaks, nothing new gets through."""
        self._cut.set()
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut.clear()

    def close(self) -> None:
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            if self._cut.is_set():
                raw.close()
                continue
            thread = threading.Thread(target=self._serve, args=(raw,), name="proxy")
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket) -> None:
        far_raw = None
        try:
            far_raw = socket.create_connection(("127.0.0.1", self._target))
            near = self._server.wrap_socket(raw, server_side=True)
            far = self._client.wrap_socket(far_raw, server_hostname="127.0.0.1")
        except OSError:
            raw.close()
            if far_raw is not None:
                far_raw.close()
            return
        self._sockets += [near, far]
        # One thread for both ways: OpenSSL does not let two use a connection at a time.
        with suppress(OSError):
            self._relay(near, far)
        for each in (near, far):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _relay(self, near: ssl.SSLSocket, far: ssl.SSLSocket) -> None:
        near.setblocking(False)
        far.setblocking(False)
        is_lost = False
        while True:
            if not near.pending() and not far.pending():
                select.select([near, far], [], [])
            for source, target in ((near, far), (far, near)):
                try:
                    data = source.recv(64 << 10)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    continue
                if not data:
                    return
                (self.sent if source is near else self.received).extend(data)
                if source is near and self.loses and self.loses in data:
                    self.loses, is_lost = b"", True
                if source is far and is_lost:
                    return
                _send(target, data)


def _send(target: ssl.SSLSocket, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[target.send(rest) :]
        except ssl.SSLWantWriteError:
            select.select([], [target], [])
        except ssl.SSLWantReadError:
            select.select([target], [], [])
