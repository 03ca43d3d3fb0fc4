"""Opens a payload chunk by chunk, and returns a chunk only after its tag has verified in its place.

The tag of a chunk says if it is the last one.  A payload is whole only if the chunk
sealed as last also ends the file, so both appended bytes and a cut end are found.

Source: c2sp.org/age, "Payload".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.core.vault.age.sealing import SEALED_CHUNK_BYTES, chunk_nonce

__all__ = ["OpenedChunk", "open_chunks", "read_sealed_chunks", "read_up_to", "sealed_chunks"]


@dataclass(frozen=True, slots=True)
class OpenedChunk:
    """An authentic chunk. `completes`: it was sealed as the last one and ends the file."""

    plaintext: bytes
    sealed_bytes: int
    completes: bool


def open_chunks(key: bytes, chunks: Iterable[tuple[bytes, bool]]) -> Iterator[OpenedChunk]:
    """Yields the authentic chunks under payload `key`, up to the first bad one or the one sealed as last.

    The payload is whole only if the final chunk `completes` it. The caller must check that.
    """
    aead = ChaCha20Poly1305(key)
    for counter, (sealed, at_end) in enumerate(chunks):
        # The likely mark first. Only a full chunk can have been sealed as either.
        for last in (at_end, not at_end) if len(sealed) == SEALED_CHUNK_BYTES else (True,):
            plaintext = _open_chunk(aead, sealed, counter, last=last)
            if plaintext is not None:
                yield OpenedChunk(plaintext, len(sealed), completes=last and at_end)
                break
        else:
            return
        if last:
            return


def sealed_chunks(payload: bytes, start: int) -> Iterator[tuple[bytes, bool]]:
    """Yields (sealed chunk, True if it is the last) of `payload` from byte `start` on."""
    for begin in range(start, len(payload), SEALED_CHUNK_BYTES):
        end = begin + SEALED_CHUNK_BYTES
        yield payload[begin:end], end >= len(payload)


def read_sealed_chunks(reader: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Yields chunks as `sealed_chunks` does, from the position of `reader`. Holds two chunks in memory to look
    ahead."""
    chunk = read_up_to(reader, SEALED_CHUNK_BYTES)
    while following := read_up_to(reader, SEALED_CHUNK_BYTES):
        yield chunk, False
        chunk = following
    yield chunk, True


def read_up_to(reader: BinaryIO, length: int) -> bytes:
    """Reads `length` bytes, or fewer only at the end. A raw file or a pipe may return less at a time."""
    parts: list[bytes] = []
    while length and (part := reader.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _open_chunk(aead: ChaCha20Poly1305, sealed: bytes, counter: int, *, last: bool) -> bytes | None:
    """Returns the plaintext of one chunk, or None if it is not authentic with this mark in this place."""
    try:
        plaintext = aead.decrypt(chunk_nonce(counter, last=last), sealed, None)
    except InvalidTag:
        return None
    # An empty last chunk after others would be a second spelling of the same plaintext.
    return plaintext if plaintext or counter == 0 else None
