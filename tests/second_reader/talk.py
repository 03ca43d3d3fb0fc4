"""Offers and frames of talk sessions, both ways: agent/core/talk/TALK.md."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.second_reader.age import open_age
from tests.second_reader.envelope import key_id, open_envelope, public_key
from tests.second_reader.json_once import RefusedError, binary, fields, many, matching, parse, refuse_unless

_HEX_16 = matching(r"[0-9a-f]{32}")
_HEX_32 = matching(r"[0-9a-f]{64}")


def read_offer(envelope: bytes, sealed: bytes, *, challenge: str, device: str, identity: str) -> Mapping[str, Any]:
    """The secret of an offer to this identity, from this device, about this challenge."""
    key = public_key(device)
    payload = open_envelope(envelope, "talk-offer", {key_id(key): key})
    names = {"v": _one, "device": matching(r".*"), "challenge": _HEX_16, "session": _HEX_16, "sealed_sha256": _HEX_32}
    offer = fields(parse(payload, limit=8192), names)
    refuse_unless(offer["device"] == device and offer["challenge"] == challenge, "another offer")
    refuse_unless(offer["sealed_sha256"] == hashlib.sha256(sealed).hexdigest(), "another sealed part")
    inside = {
        "v": _one,
        "session": _HEX_16,
        "key": binary,
        "volume": _percent,
        "replies": many(matching(r"[^\x00-\x1f\x7f/]{1,64}"), 0, 16),
    }
    secret = fields(parse(open_age(sealed, identity), limit=8192), inside)
    refuse_unless(secret["session"] == offer["session"] and len(secret["key"]) == 32, "another session")
    return dict(secret)


class Frames:
    """The frames of one session. `open` takes each once."""

    def __init__(self, key: bytes, session: str) -> None:
        self._session = bytes.fromhex(session)
        derived = HKDF(SHA256(), 32, self._session, b"doorward talk frames v1").derive(key)
        self._aead = AESGCM(derived)
        self._opened: set[int] = set()

    def seal(self, counter: int, kind: int, content: bytes) -> bytes:
        head = counter.to_bytes(8, "big")
        plain = bytes([kind]) + len(content).to_bytes(2, "big") + content
        while len(plain) % 128:
            plain += b"\0"
        return head + self._aead.encrypt(b"\0\0\0\0" + head, plain, self._session)

    def open(self, frame: bytes) -> tuple[int, int, bytes]:
        """Counter, kind and content."""
        size = len(frame) - 24
        refuse_unless(size in (128, 256, 384, 512), "length")
        counter = int.from_bytes(frame[:8], "big")
        newest = max(self._opened, default=0)
        is_new = counter not in self._opened and counter > newest - 64
        refuse_unless(0 < counter <= 2**48 and is_new, "again or too late")
        try:
            plain = self._aead.decrypt(b"\0\0\0\0" + frame[:8], frame[8:], self._session)
        except InvalidTag as error:
            raise RefusedError("seal") from error
        kind, length = plain[0], int.from_bytes(plain[1:3], "big")
        content = plain[3 : 3 + length]
        refuse_unless(len(content) == length and size - 3 - length < 128, "padding")
        refuse_unless(not plain[3 + length :].strip(b"\0"), "padding")
        sizes = {1: length > 0, 2: length == 320, 3: length > 0, 4: length == 1 and content <= b"d", 5: length == 0}
        refuse_unless(sizes.get(kind, False), "kind")
        self._opened.add(counter)
        return counter, kind, content


def _one(value: Any) -> Any:
    refuse_unless(type(value) is int and value == 1, "version")
    return value


def _percent(value: Any) -> Any:
    refuse_unless(type(value) is int and 0 <= value <= 100, "percent")
    return value
