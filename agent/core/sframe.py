"""SFrame: one encrypted frame of live view (RFC 9605), with AES_256_GCM_SHA512_128.

A frame names its key (`kid`) and its number under that key (`ctr`). The sender must use each number once.

Pure: keys and numbers come in as arguments.

Source: RFC 9605, sections 4.3 (header), 4.4 (encryption) and 4.5 (cipher suites).
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.errors import FormatError

__all__ = ["KEY_BYTES", "FrameKey", "frame_header", "frame_key", "frame_nonce", "frame_salt", "read_frame_header"]

KEY_BYTES: Final = 32
_SUITE: Final = 0x0005
_NONCE_BYTES: Final = 12
_INLINE: Final = 8
"""Smaller numbers are in the first byte of the header."""


def frame_header(kid: int, ctr: int) -> bytes:
    """Returns the header: numbers below 8 take three bits of the first byte, others up to eight bytes behind it."""
    kid_bits, kid_bytes = _packed(kid)
    ctr_bits, ctr_bytes = _packed(ctr)
    return bytes((kid_bits << 4 | ctr_bits,)) + kid_bytes + ctr_bytes


def read_frame_header(frame: bytes) -> tuple[int, int, int]:
    """Returns the key's number, the frame's number, and the header's length. Raises `FormatError`."""
    first = frame[0] if frame else 0
    kid, at = _unpacked(frame, first >> 4, 1)
    ctr, at = _unpacked(frame, first & 0x0F, at)
    # Each number has one spelling, the shortest.
    if not frame or at > len(frame) or frame[:at] != frame_header(kid, ctr):
        raise FormatError("This is no frame of live view.")
    return kid, ctr, at


def frame_key(base_key: bytes, kid: int) -> bytes:
    """Returns the 32-byte AES key of the frames with key number `kid`."""
    return _derived(base_key, kid, b"key", KEY_BYTES)


def frame_salt(base_key: bytes, kid: int) -> int:
    """Returns the salt that `frame_nonce` mixes with the frame's number."""
    return int.from_bytes(_derived(base_key, kid, b"salt", _NONCE_BYTES))


def frame_nonce(salt: int, ctr: int) -> bytes:
    return (salt ^ ctr).to_bytes(_NONCE_BYTES)


class FrameKey:
    """A key that seals frames. `kid` is its number. The code that opens them is in `clients.opening`."""

    def __init__(self, base_key: bytes, kid: int) -> None:
        self.kid = kid
        self._aead = AESGCM(frame_key(base_key, kid))
        self._salt = frame_salt(base_key, kid)

    def seal(self, ctr: int, plaintext: bytes, metadata: bytes = b"") -> bytes:
        """Returns a frame. A second frame with the same `ctr` would reveal both."""
        header = frame_header(self.kid, ctr)
        return header + self._aead.encrypt(frame_nonce(self._salt, ctr), plaintext, header + metadata)


def _derived(base_key: bytes, kid: int, what: bytes, length: int) -> bytes:
    # RFC 9605, section 4.4.2: the label ties the derived key to its number and to the cipher suite.
    info = b"SFrame 1.0 Secret " + what + b" " + struct.pack(">QH", kid, _SUITE)
    return HKDF(algorithm=SHA512(), length=length, salt=b"", info=info).derive(base_key)


def _packed(number: int) -> tuple[int, bytes]:
    if number < _INLINE:
        return number, b""
    data = number.to_bytes((number.bit_length() + 7) // 8)
    return _INLINE | len(data) - 1, data


def _unpacked(frame: bytes, bits: int, at: int) -> tuple[int, int]:
    if bits < _INLINE:
        return bits, at
    end = at + bits - _INLINE + 1
    return int.from_bytes(frame[at:end]), end
