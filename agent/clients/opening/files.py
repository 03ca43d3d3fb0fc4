"""Opens whole age files with identities: at once, as a stream, or as far as a cut file goes. Also re-wraps them.

- The file key counts only if the header's MAC agrees. Until then an attacker may have chosen it.
- Each cryptographic failure is OpenError with one message. Each malformed byte is FormatError (its parent class).
- Remove armor first (`armor.dearmor`).

Source: c2sp.org/age.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from cryptography.hazmat.primitives.constant_time import bytes_eq

from agent.clients.opening.identities import Identity
from agent.clients.opening.payload import (
    OpenedChunk,
    open_chunks,
    read_sealed_chunks,
    read_up_to,
    sealed_chunks,
)
from agent.core.vault.age.header import header_mac, parse_header, read_header, split
from agent.core.vault.age.recipients import SCRYPT_KIND, Recipient
from agent.core.vault.age.sealing import NONCE_BYTES, make_header, payload_key
from agent.errors import FormatError, OpenError

__all__ = ["VerifiedPrefix", "open_bytes", "open_file_key", "open_payload", "open_stream", "rewrap"]


def open_file_key(header: bytes, identities: Sequence[Identity]) -> bytes:
    """Returns the 16-byte file key of a `header` (exactly its bytes). OpenError if no identity fits or the MAC is
    wrong."""
    parsed, length = parse_header(header)
    if length != len(header):
        raise FormatError("Bytes follow the end of an age header.")
    # A passphrase also authenticates the sealer. A second stanza would let another party imitate the sealer.
    if len(parsed.stanzas) > 1 and any(stanza.kind == SCRYPT_KIND for stanza in parsed.stanzas):
        raise FormatError("An age header mixes a passphrase with other recipients.")
    for identity in identities:
        file_key = identity.unwrap(parsed.stanzas)
        if file_key is not None:
            if not bytes_eq(header_mac(file_key, parsed.stanzas), parsed.mac):
                raise OpenError
            return file_key
    raise OpenError


def open_payload(payload: bytes, file_key: bytes) -> bytes:
    """Returns the whole plaintext of a `payload` (nonce and chunks). OpenError if any of it is not authentic."""
    key = payload_key(file_key, _whole_nonce(payload[:NONCE_BYTES]))
    return b"".join(_whole(open_chunks(key, sealed_chunks(payload, NONCE_BYTES))))


def open_bytes(data: bytes, identities: Sequence[Identity]) -> bytes:
    """Returns the whole plaintext of an age file. FormatError or OpenError."""
    length = split(data)
    return open_payload(data[length:], open_file_key(data[:length], identities))


def open_stream(reader: BinaryIO, identities: Sequence[Identity]) -> Iterator[bytes]:
    """Yields the plaintext of the age file at `reader` in chunks of at most 64 KiB. FormatError or OpenError while
    iterating.

    Each chunk is authentic, but only the end of the iteration proves that the file is whole. A caller that writes
    chunks must keep the result under a temporary name until then.
    """
    file_key = open_file_key(read_header(reader), identities)
    nonce = _whole_nonce(read_up_to(reader, NONCE_BYTES))
    yield from _whole(open_chunks(payload_key(file_key, nonce), read_sealed_chunks(reader)))


class VerifiedPrefix:
    """Authentic beginning of an age file that lost its end, for example by a power cut.

    Iterate once for the plaintext chunks. Then `verified_bytes` and `complete` say how far the file is authentic. The
    constructor raises FormatError or OpenError if the header itself is cut or wrong, because the key is in it.
    """

    def __init__(self, reader: BinaryIO, identities: Sequence[Identity]) -> None:
        header = read_header(reader)
        self._file_key = open_file_key(header, identities)
        self._reader = reader
        self.verified_bytes = len(header)
        """Bytes of the file that are authentic: up to the end of the last good chunk, or at least of the header."""
        self.complete = False
        """True if the chunk sealed as last was reached and ends the file, so that the file is whole."""

    def __iter__(self) -> Iterator[bytes]:
        nonce = read_up_to(self._reader, NONCE_BYTES)
        if len(nonce) < NONCE_BYTES:
            return
        # The nonce has no tag. It counts as authentic with the first chunk that opens under it.
        position = self.verified_bytes + NONCE_BYTES
        for chunk in open_chunks(payload_key(self._file_key, nonce), read_sealed_chunks(self._reader)):
            position += chunk.sealed_bytes
            self.verified_bytes, self.complete = position, chunk.completes
            yield chunk.plaintext


def rewrap(header: bytes, identities: Sequence[Identity], recipients: Sequence[Recipient]) -> bytes:
    """Returns a new header around the same file key, for `recipients` only. Put before the old payload it is an age
    file.

    The payload stays unchanged, so each holder of the old file keeps access. Re-wrapping adds access and cannot remove
    it.
    """
    return make_header(open_file_key(header, identities), recipients)


def _whole_nonce(nonce: bytes) -> bytes:
    if len(nonce) != NONCE_BYTES:
        raise FormatError("The payload of this age file ends before its nonce.")
    return nonce


def _whole(chunks: Iterable[OpenedChunk]) -> Iterator[bytes]:
    """Yields the plaintext of `chunks`. OpenError after them if the payload is incomplete."""
    complete = False
    for chunk in chunks:
        complete = chunk.completes
        yield chunk.plaintext
    if not complete:
        raise OpenError
