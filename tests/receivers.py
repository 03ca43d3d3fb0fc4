"""Receivers of alerts in the tests: an ntfy, a Gotify and an SMTP server on loopback, as willing as a test says.

Each follows what its protocol's page says of the request and refuses anything else, so that a wrong message is seen.
Sources: docs.ntfy.sh/publish (as JSON), gotify.net/api-docs (POST /message), RFC 5321.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.clients.broker.private_broker import _free_ports


class Receiver:
    """`messages`: what was taken, in order, as (moment, title, body).  `refuses`, `hangs_up` and
    `may_answer` say what the next requests meet."""

    def __init__(self) -> None:
        self.messages: list[tuple[float, str, str]] = []
        self.raw: list[bytes] = []
        self.attempts = 0
        self.refuses = False
        self.answers_after_s = 0.0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.hangs_up = False
        self._arrived = threading.Condition()

    def take(self, title: str, body: str) -> None:
        with self._arrived:
            self.messages.append((time.monotonic(), title, body))
            self._arrived.notify_all()

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[str]:
        """The bodies, once there are this many."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= count, timeout_s), (
                f"{len(self.messages)} of {count} messages came; {self.attempts} attempts"
            )
            return [body for _, _, body in self.messages]

    @property
    def lines(self) -> list[str]:
        return [line for _, _, body in self.messages for line in body.splitlines()]


class _Server:
    """Starts and stops one server with its thread."""

    scheme = ""

    def __init__(self, receiver: Receiver, port: int = 0) -> None:
        self.receiver = receiver
        self.port = port or _free_ports(1)[0]  # it comes back to it: no one must be lent it meanwhile
        self._server = self._make(self.port)
        self._thread = self._serving()

    def _make(self, port: int) -> Any:
        raise NotImplementedError

    @property
    def url(self) -> str:
        raise NotImplementedError

    def __enter__(self) -> _Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()

    def go_away(self) -> None:
        """Closes its port.  Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def come_back(self) -> None:
        """At the port it had."""
        self._server = self._make(self.port)
        self._thread = self._serving()
        self._thread.start()

    def _serving(self) -> threading.Thread:
        return threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver")


class _Quiet(BaseHTTPRequestHandler):
    receiver: Receiver

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.receiver.raw.append(str(self.headers).encode() + b"\n" + self.path.encode() + b"\n" + body)
        self.receiver.attempts += 1
        if self.receiver.hangs_up:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        time.sleep(self.receiver.answers_after_s)
        self.receiver.may_answer.wait()
        if self.receiver.refuses:
            self._answer(503, {"error": "not now"})
            return
        found = self.understood(json.loads(body))
        if found is None:
            self._answer(400, {"error": "bad request"})
            return
        self.receiver.take(*found)
        self._answer(200, {"id": str(self.receiver.attempts)})

    def understood(self, _message: dict[str, Any]) -> tuple[str, str] | None:
        raise NotImplementedError

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class NtfyServer(_Server):
    """ntfy: JSON with `topic` to the root; a bearer token when the address names one."""

    def _make(self, port: int) -> ThreadingHTTPServer:
        class Handler(_Quiet):
            receiver = self.receiver

            def understood(self, message: dict[str, Any]) -> tuple[str, str] | None:
                if message.get("topic") != "door" or "attach" in message or "icon" in message:
                    return None
                return message.get("title", ""), message["message"]

        return ThreadingHTTPServer(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"ntfy://127.0.0.1:{self.port}/door"


class GotifyServer(_Server):
    """Gotify: JSON to /message, the application's token in a header."""

    TOKEN = "AbCdEfGhIjKlMnO"

    def _make(self, port: int) -> ThreadingHTTPServer:
        class Handler(_Quiet):
            receiver = self.receiver

            def understood(self, message: dict[str, Any]) -> tuple[str, str] | None:
                if self.path != "/message" or self.headers.get("X-Gotify-Key") != GotifyServer.TOKEN:
                    return None
                return message.get("title", ""), message["message"]

        return ThreadingHTTPServer(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"gotify://127.0.0.1:{self.port}/{self.TOKEN}"


class SmtpServer(_Server):
    """As much of RFC 5321 as a submission without TLS takes."""

    def _make(self, port: int) -> socketserver.ThreadingTCPServer:
        receiver = self.receiver

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                receiver.attempts += 1
                self.wfile.write(b"220 mail.test ESMTP\r\n")
                while line := self.rfile.readline():
                    word = line[:4].upper().rstrip()
                    if word == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        self._data()
                    elif word == b"QUIT":
                        self.wfile.write(b"221 bye\r\n")
                        return
                    elif word == b"RCPT" and receiver.refuses:
                        self.wfile.write(b"451 try again later\r\n")
                    else:
                        self.wfile.write(b"250 fine\r\n")

            def _data(self) -> None:
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line.removeprefix(b"."))
                raw = b"".join(lines)
                receiver.raw.append(raw)
                time.sleep(receiver.answers_after_s)
                mail = message_from_bytes(raw, policy=policy.default)
                assert not list(mail.iter_attachments())
                part = mail.get_body(("plain",))
                assert part is not None
                receiver.take(str(mail["Subject"]), str(part.get_content()).replace("\r\n", "\n").strip())
                self.wfile.write(b"250 taken\r\n")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        return Server(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=door@home.example&to=ann@home.example&mode=insecure"
