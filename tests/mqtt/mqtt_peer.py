"""A broker that follows a script: TLS 1.3 and hand-made MQTT 5 packets, for what no real broker would do on demand."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = 0x10, 0x30, 0x40, 0x80, 0xC0, 0xE0
PATIENCE_S = 60.0


def packet(kind: int, body: bytes, length: int | None = None) -> bytes:
    """One packet; `length` may lie."""
    remaining, encoded = len(body) if length is None else length, b""
    while True:
        remaining, digit = divmod(remaining, 128)
        encoded += bytes([digit | (0x80 if remaining else 0)])
        if not remaining:
            return bytes([kind]) + encoded + body


def connack(code: int = 0, properties: bytes = b"", *, session: bool = False) -> bytes:
    return packet(0x20, bytes([session, code, len(properties)]) + properties)


def puback(packet_id: int, code: int) -> bytes:
    return packet(PUBACK, struct.pack("!HBB", packet_id, code, 0))


def suback(packet_id: int, code: int) -> bytes:
    return packet(0x90, struct.pack("!HBB", packet_id, 0, code))


def publish(topic: str, payload: bytes, packet_id: int = 0, properties: bytes = b"") -> bytes:
    """QoS 1 with a packet id, else QoS 0."""
    number = struct.pack("!H", packet_id) if packet_id else b""
    head = struct.pack("!H", len(topic)) + topic.encode() + number + bytes([len(properties)]) + properties
    return packet(PUBLISH | (2 if packet_id else 0), head + payload)


class Line:
    """One accepted connection."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def read(self) -> tuple[int, bytes]:
        """The next packet: its first byte and its body.  (0, b"") at the end."""
        try:
            kind = self._sock.recv(1)
            shift = length = 0
            while kind:
                digit = self._sock.recv(1)[0]
                length |= (digit & 0x7F) << shift
                shift += 7
                if not digit & 0x80:
                    break
            body = b""
            while len(body) < length:
                body += self._sock.recv(length - len(body))
        except (OSError, IndexError):
            return 0, b""
        return (kind[0] if kind else 0), body

    def accept(self, properties: bytes = b"") -> bytes:
        """Take CONNECT, answer it kindly; its body."""
        _, body = self.read()
        self.send(connack(0, properties))
        return body

    def wait_for_end(self) -> None:
        while self.read()[0]:
            pass


class ScriptedPeer:
    """Listens on loopback with the certificates of a `BrokerPki` directory; `script` runs once for each connection."""

    def __init__(
        self,
        directory: Path,
        script: Callable[[Line], None],
        *,
        version: ssl.TLSVersion | None = None,
        certificates: bool = True,
    ) -> None:
        """`certificates`: whether clients must show one."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(directory / "broker.pem", directory / "broker.key")
        self._context.load_verify_locations(directory / "authorities" / "devices.pem")
        if certificates:
            self._context.verify_mode = ssl.CERT_REQUIRED
        if version is not None:
            self._context.maximum_version = version
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self.notes: queue.Queue[object] = queue.Queue()
        """Messages of the scripts to the test."""
        self._stopping = threading.Event()
        self._current: ssl.SSLSocket | None = None
        self._thread = threading.Thread(target=self._serve, name="scripted-peer")

    def __enter__(self) -> ScriptedPeer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            if self._current is not None:
                # Not the TLS one: its object belongs to the thread that reads.
                socket.socket.shutdown(self._current, socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def note(self) -> object:
        return self.notes.get(timeout=PATIENCE_S)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                plain, _ = self._listener.accept()
            except TimeoutError:
                continue
            with plain, contextlib.suppress(OSError):
                plain.settimeout(PATIENCE_S)
                with self._context.wrap_socket(plain, server_side=True) as sock:
                    self._current = sock
                    self._script(Line(sock))
