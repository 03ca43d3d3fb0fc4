"""Recipients of a sealed file: public keys, and passphrases, that wrap a file key into a stanza.

A device holds only recipients. The code that unwraps is in `opening`, which device roles may not import.

`cryptography` draws the fresh randomness of each stanza (HPKE's encapsulation, the X25519 ephemeral secret). This is
the one place where `core` is not a pure function: a caller that passed the randomness in could pass it in twice.

Source: c2sp.org/age, "Native recipient types".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, Self

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PublicKey

from agent.core.vault.age import bech32, wrapping
from agent.core.vault.age.canonical import to_base64
from agent.core.vault.age.stanza import Stanza
from agent.errors import FormatError, InternalError

__all__ = ["HybridRecipient", "PassphraseRecipient", "Recipient", "X25519Recipient", "parse_recipient"]

_HYBRID_PREFIX = "age1pq"
_X25519_PREFIX = "age"
_REMEMBERED = 64
"""Texts of recipients to remember. They are public, and each segment, poster and sound is sealed to the same few; a
hybrid one has two thousand symbols, each with its part in the checksum."""
_X25519_FIELD = 2**255 - 19
_ANY_SECRET = bytes(wrapping.X25519_BYTES)
"""Detects points of low order, with any secret: X25519 makes each secret a multiple of 8, which maps these points to
zero."""


class Recipient(Protocol):
    """A key that can wrap a file key so that only a holder of the identity unwraps it."""

    def wrap(self, file_key: bytes) -> Stanza:
        """Returns a fresh stanza around the 16-byte `file_key`. Two calls always return different stanzas."""
        ...


@dataclass(frozen=True, slots=True)
class HybridRecipient:
    """An ML-KEM-768 and an X25519 public key (1184 + 32 bytes, in this order); text form `age1pq1…`."""

    public: bytes
    _key: MLKEM768X25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mlkem, x25519 = self.public[: wrapping.MLKEM_PUBLIC_BYTES], self.public[wrapping.MLKEM_PUBLIC_BYTES :]
        try:
            key = MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(mlkem), _x25519_public(x25519))
        except ValueError as error:
            raise FormatError("This hybrid recipient is not a sound public key.") from error
        object.__setattr__(self, "_key", key)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the recipient that `text` names. Raises `FormatError` if it names none."""
        return cls(_key_bytes(text, _HYBRID_PREFIX))

    def wrap(self, file_key: bytes) -> Stanza:
        """Performs HPKE's single-shot seal and splits it into encapsulation (the argument) and ciphertext (the
        body)."""
        sealed = wrapping.HYBRID_SUITE.encrypt(file_key, self._key, info=wrapping.HYBRID_INFO)
        encapsulation = sealed[: wrapping.HYBRID_ENCAPSULATION_BYTES]
        body = sealed[wrapping.HYBRID_ENCAPSULATION_BYTES :]
        return Stanza(wrapping.HYBRID_KIND, (to_base64(encapsulation),), body)

    def __str__(self) -> str:
        return _hybrid_text(self.public)


@dataclass(frozen=True, slots=True)
class X25519Recipient:
    """An X25519 public key, 32 bytes; text form `age1…`. A later quantum computer could break it."""

    public: bytes
    _key: X25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", _x25519_public(self.public))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the recipient that `text` names. Raises `FormatError` if it names none."""
        return cls(_key_bytes(text, _X25519_PREFIX))

    def wrap(self, file_key: bytes) -> Stanza:
        """Returns a stanza under a fresh ephemeral secret."""
        return self.wrap_with(file_key, X25519PrivateKey.generate())

    def wrap_with(self, file_key: bytes, ephemeral: X25519PrivateKey) -> Stanza:
        """Does the same as `wrap`, for test vectors. An `ephemeral` used twice wraps two file keys under one key and
        nonce."""
        share = ephemeral.public_key().public_bytes_raw()
        shared_secret = ephemeral.exchange(self._key)
        key = wrapping.x25519_wrap_key(shared_secret, share, self.public)
        # The fixed nonce is safe because each ephemeral secret makes a new key.
        body = ChaCha20Poly1305(key).encrypt(wrapping.ZERO_NONCE, file_key, None)
        return Stanza(wrapping.X25519_KIND, (to_base64(share),), body)

    def __str__(self) -> str:
        return bech32.encode(_X25519_PREFIX, self.public)


class PassphraseRecipient:
    """A passphrase, for an owner's identity file. `salt`: 16 fresh random bytes. Wraps once.

    The wrap key depends on passphrase and salt alone, and the nonce is fixed. A second file key under the same salt
    would be sealed with the same key stream, which reveals the difference of the two file keys.
    """

    __slots__ = ("_log2_work_factor", "_passphrase", "_salt", "_used")

    def __init__(self, passphrase: str, *, salt: bytes, log2_work_factor: int = 18) -> None:
        if len(salt) != wrapping.SCRYPT_SALT_BYTES:
            raise InternalError("The salt of a passphrase stanza is 16 bytes.")
        self._passphrase, self._salt, self._log2_work_factor = passphrase, salt, log2_work_factor
        self._used = False

    def wrap(self, file_key: bytes) -> Stanza:
        """Returns the one stanza of this passphrase and salt. Raises `InternalError` if it is called twice."""
        if self._used:
            raise InternalError("A passphrase recipient wraps one file key only: make a new one with a fresh salt.")
        self._used = True
        key = wrapping.scrypt_wrap_key(self._passphrase, self._salt, self._log2_work_factor)
        body = ChaCha20Poly1305(key).encrypt(wrapping.ZERO_NONCE, file_key, None)
        return Stanza(wrapping.SCRYPT_KIND, (to_base64(self._salt), str(self._log2_work_factor)), body)


@lru_cache(maxsize=_REMEMBERED)
def parse_recipient(text: str) -> HybridRecipient | X25519Recipient:
    """Returns the public-key recipient that `text` (`age1pq1…` or `age1…`) names. Raises `FormatError` if it names
    none."""
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise FormatError(
            "This is an identity, the secret half of a key, where a recipient belongs.",
            remedy="Give the text that starts with `age1`, and treat the identity as exposed.",
        )
    return HybridRecipient.parse(text) if text.startswith(f"{_HYBRID_PREFIX}1") else X25519Recipient.parse(text)


@lru_cache(maxsize=_REMEMBERED)
def _hybrid_text(public: bytes) -> str:
    return bech32.encode(_HYBRID_PREFIX, public)


def _key_bytes(text: str, prefix: str) -> bytes:
    found, data = bech32.decode(text)
    # Recipients are lower case: an upper-case text would be a second name for the same key.
    if found != prefix or text != text.lower():
        raise FormatError("This is not an age recipient.", remedy="It starts with `age1pq1` or `age1`.")
    return data


def _x25519_public(data: bytes) -> X25519PublicKey:
    """Returns the public key that `data` is. Raises `FormatError` if no identity can have made it."""
    try:
        public = X25519PublicKey.from_public_bytes(data)
        # It raises `ValueError` for a point of low order. With such a point every shared secret would be zero, and any
        # reader could open the footage.
        X25519PrivateKey.from_private_bytes(_ANY_SECRET).exchange(public)
    except ValueError as error:
        raise FormatError("This X25519 recipient is not a sound public key.") from error
    # Such a number is a second spelling of a smaller one. The wrap key covers the spelling, so the owner of the key
    # could not open the file.
    if int.from_bytes(data, "little") >= _X25519_FIELD:
        raise FormatError("This X25519 recipient is not in its canonical form.")
    return public
