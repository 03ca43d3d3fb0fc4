"""Opens a payload chunk by chunk: nothing is handed out before its tag is checked, nor out of its place.

A chunk is decrypted as "last" exactly if no byte follows it in the source.  So appended bytes, a missing end and a last
chunk in the middle all fail the same way, as a wrong tag.

Source: c2sp.org/age, "Payload".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.core.vault.age.stream import SEALED_CHUNK_BYTES, chunk_nonce
from agent.errors import OpenError

__all__ = ["open_chunk", "open_chunks", "read_sealed_chunks", "read_up_to", "sealed_chunks"]


def sealed_chunks(payload: bytes, start: int) -> Iterator[tuple[bytes, bool]]:
    """(sealed chunk, whether it ends the payload) of `payload` from byte `start` on; at least one, maybe empty."""
    last = max(start, len(payload) - 1)
    for begin in range(start, last + 1, SEALED_CHUNK_BYTES):
        end = begin + SEALED_CHUNK_BYTES
        yield payload[begin:end], end >= len(payload)


def read_sealed_chunks(reader: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """As `sealed_chunks`, from where `reader` stands; holds two chunks in memory, to know which is the last."""
    chunk = read_up_to(reader, SEALED_CHUNK_BYTES)
    while following := read_up_to(reader, SEALED_CHUNK_BYTES):
        yield chunk, False
        chunk = following
    yield chunk, True


def open_chunks(key: bytes, chunks: Iterable[tuple[bytes, bool]]) -> Iterator[bytes]:
    """The plaintext chunks under payload `key`; OpenError at the first that does not authenticate in its place.

    What was yielded before an error is authentic, but the file was cut or damaged after it.
    """
    aead = ChaCha20Poly1305(key)
    for counter, (sealed, last) in enumerate(chunks):
        plaintext = open_chunk(aead, sealed, counter, last=last)
        if plaintext is None:
            raise OpenError
        yield plaintext


def open_chunk(aead: ChaCha20Poly1305, sealed: bytes, counter: int, *, last: bool) -> bytes | None:
    """The plaintext of one chunk, or None if it is not authentic in this place."""
    try:
        plaintext = aead.decrypt(chunk_nonce(counter, last=last), sealed, None)
    except InvalidTag:
        return None
    # An empty last chunk after others is a second spelling of the same plaintext.
    return plaintext if plaintext or counter == 0 else None


def read_up_to(reader: BinaryIO, length: int) -> bytes:
    """`length` bytes, or fewer only at the end: a raw file or a pipe may return less than was asked for."""
    parts: list[bytes] = []
    while length and (part := reader.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
