"""Names a file key without giving it away, so that a signed record fixes what its sealed file opens to.

ChaCha20-Poly1305 alone does not: somebody who chooses two keys can make one payload that opens under both, to two
films.  A record states this value, and whoever opens the file compares it.  It is derived from 128 random bits, so it
confirms no guess of what is inside, as a hash of the plaintext would.

Source: FORMAT.md, "Manifest", `key`; RFC 5869.
"""

from __future__ import annotations

from typing import Final

from agent.core.vault.age.derivation import hkdf

__all__ = ["key_commitment"]

_INFO: Final = b"doorward-file-key"


def key_commitment(file_key: bytes) -> str:
    """64 hex digits: HKDF-SHA-256 of the file key, without salt."""
    return hkdf(file_key, salt=b"", info=_INFO).hex()
