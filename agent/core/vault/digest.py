"""Hashes an age file while it is written or read: header and payload separately, each byte once.

Source: FORMAT.md, "Manifest", `file`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from agent.core.vault.records import SealedFile

__all__ = ["FileDigest", "digest"]


class FileDigest:
    """Pass it the header, then the payload in pieces, then call `sealed()`."""

    def __init__(self, header: bytes) -> None:
        self._header_size = self._size = len(header)
        self._header = hashlib.sha256(header)
        self._payload = hashlib.sha256()

    def update(self, payload: bytes) -> None:
        self._size += len(payload)
        self._payload.update(payload)

    def sealed(self) -> SealedFile:
        """Returns the sizes and hashes of the bytes until now, as the manifest states them."""
        return SealedFile(
            size=self._size,
            header_size=self._header_size,
            sha256_header=self._header.hexdigest(),
            sha256_payload=self._payload.hexdigest(),
        )


def digest(chunks: Iterable[bytes], header_size: int) -> SealedFile:
    """Returns the sizes and hashes of the file that `chunks` make. Its first `header_size` bytes are the header."""
    header = b""
    whole: FileDigest | None = None
    for chunk in chunks:
        if whole is not None:
            whole.update(chunk)
            continue
        header += chunk
        if len(header) >= header_size:
            whole = FileDigest(header[:header_size])
            whole.update(header[header_size:])
    return (whole or FileDigest(header)).sealed()
