"""HKDF-SHA-256 as age uses it: 32 bytes of output, and one label for each purpose, so that all keys differ.

Source: RFC 5869; c2sp.org/age, "Conventions".
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["hkdf"]


def hkdf(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """Returns 32 bytes of key for the purpose that `info` names."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)
