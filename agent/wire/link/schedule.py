"""Keys, transcript hashes and sizes of the link (LINK.md, "Handshake" and "Records").

Source: RFC 5869 (HKDF); "SIGMA: the 'SIGn-and-MAc' Approach to Authenticated Diffie-Hellman" (Krawczyk, 2003).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

__all__ = [
    "SESSION_ID_DIGITS",
    "HandshakeKeys",
    "address_of",
    "client_transcript",
    "derive",
    "device_transcript",
    "knock_of",
    "mac",
]

SESSION_ID_DIGITS: Final = 32
"""Hex digits of the name that a carrier gives to a session."""
_ADDRESS_BYTES: Final = 16
_KEY_BYTES: Final = 32
_NAME: Final = b"doorward link v1"


def address_of(secret: bytes) -> str:
    """Returns the name of a doorbell in the topics of a relay: hex digits that only its owners can compute."""
    return HKDF(SHA256(), _ADDRESS_BYTES, salt=None, info=b"doorward link address v1").derive(secret).hex()


def knock_of(secret: bytes, start: bytes) -> bytes:
    """Returns the MAC at the end of a first message, over its other bytes."""
    key = HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"doorward link knock v1").derive(secret)
    return mac(key, start)


def mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def derive(secret: bytes, label: bytes, context: bytes = b"") -> bytes:
    """Returns the key of `secret` for one use."""
    return HKDFExpand(SHA256(), _KEY_BYTES, info=b"%b %b%b" % (_NAME, label, context)).derive(secret)


def device_transcript(hello: bytes, start: bytes) -> bytes:
    """Returns the hash that the device signs: of the first message, and of the second up to its sealed part."""
    return hashlib.sha256(_NAME + hello + start).digest()


def client_transcript(before: bytes, sealed: bytes) -> bytes:
    """Returns the next hash: of the one before and the sealed part that followed."""
    return hashlib.sha256(before + sealed).digest()


@dataclass(frozen=True, slots=True)
class HandshakeKeys:
    """Keys of one handshake, each for one use."""

    root: bytes = field(repr=False)

    @classmethod
    def of(cls, mlkem: bytes, x25519: bytes, transcript: bytes) -> HandshakeKeys:
        """Both shared secrets count: an attacker has to know both. The transcript binds all public values."""
        return cls(HKDF.extract(SHA256(), transcript, mlkem + x25519))

    def seal_of(self, who: bytes) -> bytes:
        return derive(self.root, who + b" seal")

    def mac_of(self, who: bytes) -> bytes:
        return derive(self.root, who + b" mac")

    def traffic_to(self, who: bytes, transcript: bytes) -> bytes:
        """Returns the first secret of the records that travel to `who`."""
        return derive(self.root, b"to " + who + b" ", transcript)
