"""Parts of live view: the media key and the frames (FORMAT.md, "Live", and RFC 9605)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.second_reader.age import open_age
from tests.second_reader.json_once import RefusedError, binary, fields, integer, parse, refuse_unless

__all__ = ["Parts", "open_frame"]


class Parts:
    """Opens parts in their order, for one identity."""

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._key: dict[str, Any] | None = None

    def open(self, part: bytes) -> bytes:
        refuse_unless(len(part) >= 4, "a part without a size")
        end = 4 + int.from_bytes(part[:4], "big")
        refuse_unless(end <= len(part), "a part that ends in its key")
        if end > 4:
            said = fields(
                parse(open_age(part[4:end], self._identity), limit=1024),
                {"v": integer(1, 1), "kid": integer(0), "key": binary},
            )
            refuse_unless(len(said["key"]) == 32, "a key of another length")
            self._key = dict(said)
        refuse_unless(self._key is not None, "a frame before its key")
        assert self._key is not None
        return open_frame(self._key["key"], self._key["kid"], part[end:])


def open_frame(base: bytes, kid: int, frame: bytes, metadata: bytes = b"") -> bytes:
    refuse_unless(len(frame) > 0, "no frame")
    numbers, at = [], 1
    for bits in (frame[0] >> 4, frame[0] & 15):
        value = bits
        if bits & 8:
            width = (bits & 7) + 1
            value = int.from_bytes(frame[at : at + width], "big")
            refuse_unless(len(frame) >= at + width and frame[at] != 0 and value > 7, "a number in another spelling")
            at += width
        numbers.append(value)
    refuse_unless(numbers[0] == kid, "another key")
    secret = hmac.digest(b"", base, hashlib.sha512)
    key = _expand(secret, b"SFrame 1.0 Secret key ", kid, 32)
    salt = _expand(secret, b"SFrame 1.0 Secret salt ", kid, 12)
    nonce = bytes(left ^ right for left, right in zip(salt, numbers[1].to_bytes(12, "big"), strict=True))
    try:
        return AESGCM(key).decrypt(nonce, frame[at:], frame[:at] + metadata)
    except InvalidTag:
        raise RefusedError("not authentic") from None


def _expand(secret: bytes, label: bytes, kid: int, length: int) -> bytes:
    """HKDF-Expand (RFC 5869) with SHA-512, for at most 64 bytes."""
    return hmac.digest(secret, label + kid.to_bytes(8, "big") + b"\0\5\1", hashlib.sha512)[:length]
