"""Writer of age files: a header that wraps the file key for every recipient, and a payload sealed as it grows.

The payload is a nonce, then chunks of 64 KiB. Each chunk is sealed separately and bound to its place:

    payload key   = HKDF-SHA-256(file key, salt = 16-byte nonce, info = "payload")
    sealed chunk  = ChaCha20-Poly1305(payload key, chunk nonce, chunk, no associated data)
    chunk nonce   = 11 bytes big-endian counter from 0 ‖ 0x01 for the last chunk, 0x00 for the others

The counter prevents an attacker from swapping, dropping or repeating chunks. The last byte prevents cutting a file at
the border of a chunk. The last chunk is empty only if the whole payload is, so a plaintext has one length on disk.

- Keys and nonces are arguments. A file key and a nonce belong to one file. Two plaintexts under the same pair give both
  away, because each chunk's ChaCha20 key stream is then used twice.
- A hybrid recipient is never mixed with an X25519 one: the file would be as weak as its weakest stanza, unknown to its
  owner. A passphrase is the only recipient of its file, because readers take it as proof of the writer.
- A flush is impossible. A chunk is sealed when it is full *and* a further byte has come, because the last chunk is
  sealed differently. Up to 64 KiB of plaintext therefore wait in memory, and a power cut loses them.

Source: c2sp.org/age, "Payload"; Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance" (STREAM).
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.core.vault.age.header import Header, Stanza, header_mac, hkdf
from agent.core.vault.age.recipients import FILE_KEY_BYTES, HYBRID_KIND, SCRYPT_KIND, Recipient
from agent.errors import ConfigurationError, InternalError

__all__ = [
    "CHUNK_BYTES",
    "NONCE_BYTES",
    "SEALED_CHUNK_BYTES",
    "TAG_BYTES",
    "Sealer",
    "chunk_nonce",
    "make_header",
    "payload_key",
    "seal_bytes",
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


def make_header(file_key: bytes, recipients: Sequence[Recipient], *, remarks: Sequence[Stanza] = ()) -> bytes:
    """Returns the bytes of a header around `file_key` (16 bytes).

    In front of an existing payload of the same file key it makes a valid age file: a disclosure is made this way.
    `remarks` wrap no key and follow the recipients' stanzas. Readers skip a kind they do not know. Raises
    `ConfigurationError` if `recipients` are empty or a bad mix.
    """
    if len(file_key) != FILE_KEY_BYTES:
        raise InternalError("A file key is 16 bytes.")
    stanzas = tuple(recipient.wrap(file_key) for recipient in recipients)
    _refuse_unsound_mix(stanzas)
    # Added after the check: a remark wraps no key, so it may stand beside each kind of recipient.
    stanzas += tuple(remarks)
    return Header(stanzas, header_mac(file_key, stanzas)).serialise()


class Sealer:
    """Seals one file while its plaintext arrives. Write `header`, then the result of each `update`, then that of
    `finish`.

    file_key, nonce: 16 fresh random bytes each, used for this file only. Any call after `finish` raises
    `InternalError`.
    """

    def __init__(
        self, file_key: bytes, recipients: Sequence[Recipient], *, nonce: bytes, remarks: Sequence[Stanza] = ()
    ) -> None:
        if len(nonce) != NONCE_BYTES:
            raise InternalError("The nonce of a payload is 16 bytes.")
        self._header = make_header(file_key, recipients, remarks=remarks)
        # The sealer keeps the payload key alone. The file key goes out of scope in its caller.
        self._aead: ChaCha20Poly1305 | None = ChaCha20Poly1305(payload_key(file_key, nonce))
        self._unsent_nonce = nonce
        self._waiting = bytearray()
        self._counter = 0

    @property
    def header(self) -> bytes:
        """Returns the age header, the first bytes of the file. `update` does not return it."""
        return self._header

    def update(self, plaintext: bytes | bytearray | memoryview) -> bytes:
        """Returns the payload bytes that have become final: the nonce at the first call, then whole sealed chunks, or
        none."""
        if self._aead is None:
            raise InternalError("A sealed file was continued after its last chunk.")
        self._waiting += plaintext
        sealed = [self._take_nonce()]
        # Not `>=`: a full chunk may still turn out to be the last one, which has a different nonce.
        while len(self._waiting) > CHUNK_BYTES:
            sealed.append(self._seal(bytes(self._waiting[:CHUNK_BYTES]), last=False))
            del self._waiting[:CHUNK_BYTES]
        return b"".join(sealed)

    def finish(self) -> bytes:
        """Returns the rest of the payload with its last chunk. The sealer then drops its key."""
        sealed = self._take_nonce() + self._seal(bytes(self._waiting), last=True)
        self._waiting.clear()
        self._aead = None
        return sealed

    def _take_nonce(self) -> bytes:
        nonce, self._unsent_nonce = self._unsent_nonce, b""
        return nonce

    def _seal(self, chunk: bytes, *, last: bool) -> bytes:
        if self._aead is None:
            raise InternalError("A sealed file was continued after its last chunk.")
        sealed = self._aead.encrypt(chunk_nonce(self._counter, last=last), chunk, None)
        self._counter += 1
        return sealed


def seal_bytes(plaintext: bytes, recipients: Sequence[Recipient], *, file_key: bytes, nonce: bytes) -> bytes:
    """Returns a whole age file around `plaintext`. file_key, nonce: as for `Sealer`."""
    sealer = Sealer(file_key, recipients, nonce=nonce)
    return sealer.header + sealer.update(plaintext) + sealer.finish()


def _refuse_unsound_mix(stanzas: Sequence[Stanza]) -> None:
    kinds = [stanza.kind for stanza in stanzas]
    if not kinds:
        raise ConfigurationError("A file needs at least one recipient.", remedy="Enrol an owner first.")
    if SCRYPT_KIND in kinds and len(kinds) > 1:
        raise ConfigurationError("A passphrase cannot be mixed with other recipients.")
    if HYBRID_KIND in kinds and any(kind != HYBRID_KIND for kind in kinds):
        raise ConfigurationError(
            "Hybrid recipients cannot be mixed with others: the file would be as weak as the weakest.",
            remedy="Give every owner, and the recovery key, a hybrid key (`age1pq1…`).",
        )
