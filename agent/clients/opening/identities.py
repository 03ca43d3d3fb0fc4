"""Identities: the secret keys that unwrap a file key from the stanza made for them.

Each identity receives all stanzas of a header. It returns the file key, None for foreign stanzas, or raises
FormatError if a stanza of its kind is malformed. Rules that stop attacks:

- The body's length is checked before decryption. ChaCha20-Poly1305 does not commit to its key: a long body can decrypt
  under many keys at once, which turns "it opened" into an oracle that halves the keys left to try.
- A Diffie-Hellman share of low order is refused, because it makes the shared secret zero, which is public.
- Work factors are bounded, because the file chooses them and the reader pays.

`repr` hides secrets. Only `secret_text()` shows them. Source: c2sp.org/age, "Native recipient types".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHAKE256, Hash
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from agent.core.vault.age import recipients
from agent.core.vault.age.header import Stanza, from_base64
from agent.core.vault.age.recipients import HybridRecipient, X25519Recipient
from agent.errors import FormatError, InternalError

__all__ = [
    "HybridIdentity",
    "Identity",
    "PassphraseIdentity",
    "X25519Identity",
    "parse_identity",
    "parse_identity_file",
]

_HYBRID_PREFIX = "age-secret-key-pq-"
_X25519_PREFIX = "age-secret-key-"
_SEED_BYTES = 32
_MLKEM_SEED_BYTES = 64
_DECIMAL = re.compile(r"[1-9][0-9]*")


class Identity(Protocol):
    """Interface of an identity: it finds its stanza in a header and unwraps it."""

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """Returns the 16-byte file key, to be confirmed by the header's MAC. None if all stanzas are for others."""
        ...


@dataclass(frozen=True, slots=True)
class HybridIdentity:
    """A hybrid secret key. `seed`: 32 fresh random bytes. Text form `AGE-SECRET-KEY-PQ-1…`.

    SHAKE-256(seed) gives 96 bytes: ML-KEM-768's seed (64, FIPS 203 d ‖ z), then the X25519 secret (32).
    """

    seed: bytes = field(repr=False)
    _mlkem: MLKEM768PrivateKey = field(init=False, repr=False, compare=False)
    _x25519: X25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_seed(self.seed)
        shake = Hash(SHAKE256(_MLKEM_SEED_BYTES + recipients.X25519_BYTES))
        shake.update(self.seed)
        expanded = shake.finalize()
        object.__setattr__(self, "_mlkem", MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES]))
        object.__setattr__(self, "_x25519", X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:]))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses `text` as an identity. Raises FormatError, which leaves the text out."""
        return cls(_secret_bytes(text, _HYBRID_PREFIX))

    def recipient(self) -> HybridRecipient:
        """Returns the public key."""
        return HybridRecipient(
            self._mlkem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()
        )

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """Implements Identity.unwrap."""
        key = MLKEM768X25519PrivateKey(self._mlkem, self._x25519)
        for stanza in _of_kind(recipients.HYBRID_KIND, stanzas, arguments=1):
            encapsulation = _fixed_bytes(stanza.arguments[0], recipients.HYBRID_ENCAPSULATION_BYTES)
            # HPKE reports a low-order share and a foreign stanza alike. A low-order share is an attack, so check it
            # first.
            _shared_secret(self._x25519, encapsulation[recipients.MLKEM_CIPHERTEXT_BYTES :])
            try:
                return recipients.HYBRID_SUITE.decrypt(encapsulation + stanza.body, key, info=recipients.HYBRID_INFO)
            except InvalidTag:
                continue
        return None

    def secret_text(self) -> str:
        """Returns the identity as text, for its owner to read or for a file that only they can read."""
        return recipients.bech32_encode(_HYBRID_PREFIX, self.seed).upper()


@dataclass(frozen=True, slots=True)
class X25519Identity:
    """An X25519 secret key. `seed`: 32 fresh random bytes. Text form `AGE-SECRET-KEY-1…`."""

    seed: bytes = field(repr=False)
    _key: X25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_seed(self.seed)
        object.__setattr__(self, "_key", X25519PrivateKey.from_private_bytes(self.seed))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses `text` as an identity. Raises FormatError, which leaves the text out."""
        return cls(_secret_bytes(text, _X25519_PREFIX))

    def recipient(self) -> X25519Recipient:
        """Returns the public key."""
        return X25519Recipient(self._key.public_key().public_bytes_raw())

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """Implements Identity.unwrap."""
        own = self._key.public_key().public_bytes_raw()
        for stanza in _of_kind(recipients.X25519_KIND, stanzas, arguments=1):
            share = _fixed_bytes(stanza.arguments[0], recipients.X25519_BYTES)
            key = recipients.x25519_wrap_key(_shared_secret(self._key, share), share, own)
            file_key = _opened_body(key, stanza.body)
            if file_key is not None:
                return file_key
        return None

    def secret_text(self) -> str:
        """Returns the identity as text, for its owner to read or for a file that only they can read."""
        return recipients.bech32_encode(_X25519_PREFIX, self.seed).upper()


@dataclass(frozen=True, slots=True)
class PassphraseIdentity:
    """A passphrase. Refuses a file that asks for more than 2**max_log2_work_factor KiB of memory (20: 1 GiB)."""

    passphrase: str = field(repr=False)
    max_log2_work_factor: int = 20

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """Implements Identity.unwrap."""
        for stanza in _of_kind(recipients.SCRYPT_KIND, stanzas, arguments=2):
            salt = _fixed_bytes(stanza.arguments[0], recipients.SCRYPT_SALT_BYTES)
            try:
                key = recipients.scrypt_wrap_key(self.passphrase, salt, self._work_factor(stanza.arguments[1]))
            except MemoryError as error:
                raise FormatError("There is not enough memory for the work factor of this file.") from error
            file_key = _opened_body(key, stanza.body)
            if file_key is not None:
                return file_key
        return None

    def _work_factor(self, text: str) -> int:
        # The length first: converting a line of 60 000 digits is itself work that the file would impose.
        if not _DECIMAL.fullmatch(text) or len(text) > 2 or int(text) > self.max_log2_work_factor:
            raise FormatError("The work factor of this passphrase-sealed file is malformed or too high.")
        return int(text)


def parse_identity(text: str) -> HybridIdentity | X25519Identity:
    """Parses an identity (`AGE-SECRET-KEY-PQ-1…` or `AGE-SECRET-KEY-1…`). Raises FormatError."""
    if text.startswith(f"{_HYBRID_PREFIX}1".upper()):
        return HybridIdentity.parse(text)
    return X25519Identity.parse(text)


def parse_identity_file(text: str) -> tuple[HybridIdentity | X25519Identity, ...]:
    """Parses the identities of a file as `age-keygen` writes it: one a line, `#` comments. FormatError names the
    line."""
    identities: list[HybridIdentity | X25519Identity] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            identities.append(parse_identity(line.strip()))
        except FormatError as error:
            raise FormatError(f"Line {number} of the identity file: {error.message}", remedy=error.remedy) from error
    if not identities:
        raise FormatError("The identity file holds no identity.", remedy="It has a line with `AGE-SECRET-KEY-…`.")
    return tuple(identities)


def _of_kind(kind: str, stanzas: Sequence[Stanza], *, arguments: int) -> list[Stanza]:
    """Returns the stanzas of one kind, all of them of the right shape. Stanzas of other kinds are ignored."""
    own = [stanza for stanza in stanzas if stanza.kind == kind]
    if any(len(stanza.arguments) != arguments or len(stanza.body) != recipients.BODY_BYTES for stanza in own):
        raise FormatError(f"An age stanza of kind {kind} has the wrong number of arguments or length of body.")
    return own


def _opened_body(key: bytes, body: bytes) -> bytes | None:
    try:
        return ChaCha20Poly1305(key).decrypt(recipients.ZERO_NONCE, body, None)
    except InvalidTag:
        return None


def _shared_secret(secret: X25519PrivateKey, share: bytes) -> bytes:
    try:
        return secret.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError as error:
        raise FormatError("An age stanza has a Diffie-Hellman share of low order.") from error


def _fixed_bytes(text: str, length: int) -> bytes:
    data = from_base64(text)
    if len(data) != length:
        raise FormatError("An argument of an age stanza has the wrong length.")
    return data


def _secret_bytes(text: str, prefix: str) -> bytes:
    found, data = recipients.bech32_decode(text)
    if found != prefix or len(data) != _SEED_BYTES or text != text.upper():
        raise FormatError("This is not an age identity.", remedy="It starts with `AGE-SECRET-KEY-`.")
    return data


def _require_seed(seed: bytes) -> None:
    if len(seed) != _SEED_BYTES:
        raise InternalError("The seed of an identity is 32 bytes.")
