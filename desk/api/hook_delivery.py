"""One delivery to a web hook: signed, to a judged address, with limits of time and size, and without redirects."""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import ssl
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from agent.errors import ConfigurationError
from desk.api.hook_addresses import HookAddress, parse_address, resolve

__all__ = ["post", "signature"]

_TIMEOUT_S: Final = 10.0
_LINE_BYTES: Final = 1024
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n")


def signature(secret: str, at_s: int, body: bytes) -> str:
    """Returns the value of the header `Doorward-Signature`."""
    mac = hmac.new(secret.encode("ascii"), b"%d." % at_s + body, hashlib.sha256)
    return f"t={at_s},v1={mac.hexdigest()}"


def post(
    address: str, body: bytes, secret: str, *, now_s: int, private: Collection[str] = (), authority: Path | None = None
) -> str:
    """Sends the event. Returns why it failed, or nothing if the receiver has it."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    try:
        parsed = parse_address(address)
        context = ssl.create_default_context()
        if authority is not None:
            context.load_verify_locations(authority)
        raw = _connection(resolve(parsed, private), parsed.port, deadline_s)
        with raw, context.wrap_socket(raw, server_hostname=parsed.host) as connection:
            connection.sendall(_head(parsed, body, signature(secret, now_s, body)) + body)
            status = _status(connection, deadline_s)
    except ConfigurationError as error:
        return str(error)
    except OSError as error:
        return f"No connection: {getattr(error, 'verify_message', '') or error.strerror or error}."
    return "" if 200 <= status < 300 else f"The receiver answered with the status {status}."


def _connection(numbers: Sequence[str], port: int, deadline_s: float) -> socket.socket:
    """Connects to the first address that takes the connection. Raises `OSError` of the last one."""
    for left, number in zip(range(len(numbers), 0, -1), numbers, strict=True):
        try:
            # An equal part of the time: an IPv6 address that nothing answers must not use up that of the IPv4 one.
            return socket.create_connection((number, port), max(0.1, (deadline_s - time.monotonic()) / left))
        except OSError:
            if left == 1:
                raise
    raise ConnectionError  # no address: getaddrinfo raises instead


def _head(address: HookAddress, body: bytes, signed: str) -> bytes:
    lines = (
        f"POST {address.target} HTTP/1.1",
        f"Host: {address.authority}",
        "User-Agent: doorward-desk",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Doorward-Signature: {signed}",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _status(connection: ssl.SSLSocket, deadline_s: float) -> int:
    """Reads only the first line of the answer. Raises `OSError`."""
    line = b""
    while b"\n" not in line and len(line) < _LINE_BYTES:
        # For the whole answer: with a limit for each read, a receiver that sends a byte now and then would hold the
        # thread.
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the receiver took too long")
        connection.settimeout(left_s)
        piece = connection.recv(_LINE_BYTES)
        if not piece:
            break
        line += piece
    found = _STATUS.match(line)
    if found is None:
        raise ConnectionError("the receiver does not speak HTTP")
    return int(found[1])
