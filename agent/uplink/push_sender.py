"""Sends alerts to an installed page through its browser's push service.

A channel's address is `webpush:` and JSON of the subscription and the doorbell's VAPID key. So the uplink, which has no
files, gets everything with the address. Source: RFC 8030.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from agent.core.webpush import SCHEME, encrypt, padded, subscription, vapid
from agent.errors import ConfigurationError, FormatError, NetworkError
from agent.uplink.cut_off import LONGEST_S, CutOff
from agent.wire.strictjson import decode_base64url, encode_base64

__all__ = ["WebPushSender"]

_TIMEOUT_S: Final = 15.0
_KEPT_FOR_S: Final = 86_400
_TOKEN_LIFE_S: Final = 12 * 3600
_CONTACT: Final = "https://doorward.invalid/"
"""RFC 8292 wants a contact address. The owner's address stays private."""

Connect = Callable[[str, int], http.client.HTTPConnection]


def _over_tls(host: str, port: int) -> http.client.HTTPConnection:
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context())


class WebPushSender:
    """`ports.AlertSender` for addresses of `SCHEME`.  `connect` and `longest_s` are for tests."""

    def __init__(self, connect: Connect = _over_tls, longest_s: float = LONGEST_S) -> None:
        self._connect = connect
        self._longest_s = longest_s

    def send(self, url: str, title: str, body: str, picture: bytes = b"", at_ms: int = 0) -> None:
        try:
            channel = json.loads(url.removeprefix(SCHEME))
            to = subscription(channel["endpoint"], channel["p256dh"], channel["auth"])
            key = ec.derive_private_key(int.from_bytes(decode_base64url(channel["vapid"]), "big"), ec.SECP256R1())
        except (ValueError, KeyError, TypeError, FormatError) as error:
            raise ConfigurationError(
                "This is no push subscription.", remedy="Switch it on in the page again."
            ) from error
        told = {"title": title} | _split_link(body) | ({"at": at_ms} if at_ms else {})
        message = _message(told, picture)
        # RFC 8291 demands a fresh salt and key pair for each message.
        sealed = encrypt(message, to, salt=os.urandom(16), ephemeral=ec.generate_private_key(ec.SECP256R1()))
        headers = {
            "TTL": str(_KEPT_FOR_S),
            "Urgency": "high",
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "aes128gcm",
            "Authorization": vapid(to.endpoint, _CONTACT, int(time.time()) + _TOKEN_LIFE_S, key),
        }
        self._post(to.endpoint, sealed, headers)

    def _post(self, endpoint: str, data: bytes, headers: dict[str, str]) -> None:
        try:
            status = self._posted(endpoint, data, headers)
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a port or name that cannot be
            raise NetworkError(f"The push service cannot be reached ({type(error).__name__}).") from error
        # The browser stays listed, because only an owner's signed statement removes it. Until then it is tried again
        # (`retry_pause_ns`: at last each quarter of an hour), and the page shows this fault.
        if status in (404, 410):
            raise NetworkError("The browser has ended its subscription.", remedy="Switch it on in the page again.")
        if not 200 <= status < 300:
            raise NetworkError(f"The push service did not take it (it answered {status}).")

    def _posted(self, endpoint: str, data: bytes, headers: dict[str, str]) -> int:
        """Returns the status of the answer, which counts even if nothing comes after it."""
        where = urlsplit(endpoint)
        target = (where.path or "/") + (f"?{where.query}" if where.query else "")
        connection = self._connect(str(where.hostname), where.port or 443)
        with CutOff(self._longest_s) as cut_off:
            cut_off.bound(connection)
            try:
                connection.request("POST", target, data, headers)
                return connection.getresponse().status
            finally:
                connection.close()


def _message(told: dict[str, object], picture: bytes) -> bytes:
    """Returns the padded message, with the picture if it fits. Its age header is text already, so it stays text."""
    end = picture.find(b"\n", picture.find(b"\n--- ") + 1) + 1
    sealed = {"header": picture[:end].decode("ascii", "replace"), "payload": encode_base64(picture[end:])}
    # A picture that makes the message too long is left out. The words must arrive in any case.
    with contextlib.suppress(FormatError):
        if picture:
            return padded(json.dumps(told | {"picture": sealed}, ensure_ascii=False).encode())
    return padded(json.dumps(told, ensure_ascii=False).encode())


def _split_link(body: str) -> dict[str, object]:
    """Returns the body without its link, and the link's path. The service worker opens only paths of its own page."""
    text, _, last = body.rpartition("\n")
    if not (text and last.startswith("https://")):
        return {"body": body}
    return {"body": text, "page": urlsplit(last).path}
