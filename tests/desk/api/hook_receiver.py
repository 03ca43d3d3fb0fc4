"""A real HTTPS server that takes web hooks, and checks them as the page Integrations tells a program to."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from desk.certificates import made_certificate

__all__ = ["HookReceiver", "accepts", "hook_receiver"]


def accepts(secret: str, header: str, body: bytes, now_s: float) -> bool:
    """The check of a program, written from the words of the page."""
    fields = dict(part.split("=", 1) for part in header.split(","))
    signed = fields["t"].encode() + b"." + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, fields["v1"]) and abs(now_s - int(fields["t"])) <= 300


@dataclass
class HookReceiver:
    """The messages that arrived. `status` is the answer to the next ones."""

    port: int
    authority: Path
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    silent: threading.Event | None = None
    """If set: answers nothing until it is set."""
    got: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"https://localhost:{self.port}/hook?from=desk"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _header, body in self.got]


@contextmanager
def hook_receiver(folder: Path) -> Iterator[HookReceiver]:
    certificate, key = made_certificate(folder, ("localhost",), datetime.datetime.now(datetime.UTC))
    receiver = HookReceiver(0, folder / "authority.pem")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/hook?from=desk"
            receiver.got.append((self.headers["Doorward-Signature"], body))
            if receiver.silent is not None:
                receiver.silent.wait(30)
                return
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
