"""Stands between browser and doorbell, ends TLS on both sides, and records everything the browser sends."""

from __future__ import annotations

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
        lost = threading.Event()
        back = threading.Thread(target=self._relay, args=(far, near, self.received, lost), name="proxy")
        self._threads.append(back)
        back.start()
        self._relay(near, far, self.sent, lost)
        back.join()
        near.close()
        far.close()

    def _relay(self, source: ssl.SSLSocket, target: ssl.SSLSocket, record: bytearray, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(64 << 10):
                record += data
                if record is self.sent and self.loses and self.loses in data:
                    self.loses = b""
                    lost.set()
                if record is self.received and lost.is_set():
                    break
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
