"""A commitment to a file key: a signed record that states it fixes the plaintext of its sealed file.

ChaCha20-Poly1305 alone leaves the plaintext open: an attacker who chooses two keys can make one payload that opens
under both, to two films. A record therefore states this value, and every reader compares it after opening the file. The
value is derived from 128 random bits. Unlike a hash of the plaintext, it confirms no guess of the content.

Source: FORMAT.md, "Manifest", `key`; RFC 5869.
"""

from __future__ import annotations

from typing import Final

from agent.core.vault.age.header import hkdf

__all__ = ["key_commitment"]

_INFO: Final = b"doorward-file-key"


def key_commitment(file_key: bytes) -> str:
    """Returns 64 hex digits: HKDF-SHA-256 of the file key, with an empty salt."""
    return hkdf(file_key, salt=b"", info=_INFO).hex()
