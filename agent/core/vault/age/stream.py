"""The frame of the payload: a nonce, then chunks of 64 KiB. Each chunk is sealed separately and bound to its place.

    payload key   = HKDF-SHA-256(file key, salt = 16-byte nonce, info = "payload")
    sealed chunk  = ChaCha20-Poly1305(payload key, chunk nonce, chunk, no associated data)
    chunk nonce   = 11 bytes big-endian counter from 0 ‖ 0x01 for the last chunk, 0x00 for the others

The counter prevents an attacker from swapping, dropping or repeating chunks. The last byte prevents cutting a file at
the border of a chunk. The last chunk is empty only if the whole payload is, so a plaintext has one length on disk.

Source: c2sp.org/age, "Payload"; Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance" (STREAM).
"""

from __future__ import annotations

from agent.core.vault.age.derivation import hkdf

__all__ = [
    "CHUNK_BYTES",
    "NONCE_BYTES",
    "SEALED_CHUNK_BYTES",
    "TAG_BYTES",
    "chunk_nonce",
    "payload_key",
    "sealed_bytes",
]

NONCE_BYTES = 16
CHUNK_BYTES = 64 * 1024
"""Also the longest AEAD call: a call holds the interpreter's lock from start to end, some 25 µs for this size."""
TAG_BYTES = 16
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES


def payload_key(file_key: bytes, nonce: bytes) -> bytes:
    """Returns the 32-byte key of one payload."""
    return hkdf(file_key, salt=nonce, info=b"payload")


def chunk_nonce(counter: int, *, last: bool) -> bytes:
    """Returns the 12-byte nonce of chunk number `counter`, counted from 0."""
    return counter.to_bytes(11) + (b"\x01" if last else b"\x00")


def sealed_bytes(plaintext_bytes: int) -> int:
    """Returns the length of the payload (nonce, chunks, tags) of a plaintext of that length."""
    # An empty plaintext also has a chunk, which is the last one.
    chunks = max(1, -(-plaintext_bytes // CHUNK_BYTES))
    return NONCE_BYTES + plaintext_bytes + chunks * TAG_BYTES
