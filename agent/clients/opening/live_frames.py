"""Opens frames of live view (SFrame, RFC 9605). A doorbell only seals them (`core.sframe`)."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.core.sframe import frame_key, frame_nonce, frame_salt, read_frame_header
from agent.errors import OpenError

__all__ = ["FrameOpener"]


class FrameOpener:
    """Opens the frames of the key with number `kid`."""

    def __init__(self, base_key: bytes, kid: int) -> None:
        self.kid = kid
        self._aead = AESGCM(frame_key(base_key, kid))
        self._salt = frame_salt(base_key, kid)

    def open(self, frame: bytes, metadata: bytes = b"") -> bytes:
        """Returns the plaintext. Raises `FormatError`, or `OpenError` for a frame under another key."""
        kid, ctr, at = read_frame_header(frame)
        if kid != self.kid:
            raise OpenError("This frame of live view is sealed with another key.")
        try:
            return self._aead.decrypt(frame_nonce(self._salt, ctr), frame[at:], frame[:at] + metadata)
        except InvalidTag:
            raise OpenError("This frame of live view does not open with the key of its session.") from None
