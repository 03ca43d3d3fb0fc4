"""Recipients of a sealed file: public keys, and passphrases, that wrap a file key into a stanza.

Three kinds wrap the 16-byte file key into a body of 32 bytes (the key and a 16-byte Poly1305 tag):

- `mlkem768x25519`: HPKE base mode (ML-KEM-768 with X25519, HKDF-SHA-256, ChaCha20-Poly1305). The one argument is the
  1120-byte encapsulation. Safe against an attacker who stores footage now and has a quantum computer later.
- `X25519`: an ephemeral Diffie-Hellman share of 32 bytes, for versions of `age` before hybrid keys.
- `scrypt`: a passphrase; a 16-byte salt and log2 of the work factor.

The wrap keys of the last two are used once, therefore their ChaCha20-Poly1305 nonce is twelve zero bytes.

The text of a public key is Bech32, with BIP 173's limit on length lifted: all lower case or all upper case, with the
checksum of the lower case. The bits that fill the last 5-bit symbol must be zero, so that a key has exactly one text.

A device holds only recipients. The code that unwraps is in `opening`, which device roles may not import.

`cryptography` draws the fresh randomness of each stanza (HPKE's encapsulation, the X25519 ephemeral secret). This is
the one place where `core` is not a pure function: a caller that passed the randomness in could pass it in twice.

Source: c2sp.org/age, "Native recipient types" and "Conventions"; BIP 173; RFC 9180; RFC 7748; RFC 7914; RFC 8439.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, Self

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from agent.core.vault.age.header import Stanza, hkdf, to_base64
from agent.errors import FormatError, InternalError

__all__ = [
    "BODY_BYTES",
    "FILE_KEY_BYTES",
    "HYBRID_ENCAPSULATION_BYTES",
    "HYBRID_INFO",
    "HYBRID_KIND",
    "HYBRID_SUITE",
    "MLKEM_CIPHERTEXT_BYTES",
    "MLKEM_PUBLIC_BYTES",
    "SCRYPT_KIND",
    "SCRYPT_SALT_BYTES",
    "X25519_BYTES",
    "X25519_KIND",
    "ZERO_NONCE",
    "HybridRecipient",
    "PassphraseRecipient",
    "Recipient",
    "X25519Recipient",
    "bech32_decode",
    "bech32_encode",
    "parse_recipient",
    "scrypt_wrap_key",
    "x25519_wrap_key",
]

_BECH32_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {symbol: value for value, symbol in enumerate(_BECH32_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_SYMBOLS = 6
_TO_DIGITS = str.maketrans(_BECH32_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
"""From symbols to the digits that `int` reads in base 32."""
_FROM_RFC_4648 = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _BECH32_ALPHABET)


def bech32_encode(prefix: str, data: bytes) -> str:
    """Returns `data` under the lower-case human-readable `prefix`, in lower case."""
    # RFC 4648 fills the last symbol with zero bits, too. Only its alphabet differs.
    text = base64.b32encode(data).rstrip(b"=").decode().translate(_FROM_RFC_4648)
    symbols = [_VALUES[symbol] for symbol in text]
    checksum = _polymod([*_expanded(prefix), *symbols, *[0] * _CHECKSUM_SYMBOLS]) ^ 1
    ending = ((checksum >> 5 * (_CHECKSUM_SYMBOLS - 1 - i)) & 31 for i in range(_CHECKSUM_SYMBOLS))
    return prefix + "1" + text + "".join(_BECH32_ALPHABET[symbol] for symbol in ending)


def bech32_decode(text: str) -> tuple[str, bytes]:
    """Returns (lower-case prefix, data) of a Bech32 `text`. Raises `FormatError`, which omits the text: it may be a
    secret."""
    lower = text.lower()
    # ASCII first: `lower` maps some letters outside of it, for example the Kelvin sign, to ASCII ones.
    if not text.isascii() or text not in (lower, text.upper()):
        raise FormatError("A key's text mixes upper and lower case or holds characters that no key has.")
    prefix, separator, encoded = lower.rpartition("1")
    if not separator or not prefix or len(encoded) < _CHECKSUM_SYMBOLS or not all(33 <= ord(c) <= 126 for c in prefix):
        raise FormatError("This text is too short to be a key, or is not one at all.")
    try:
        symbols = [_VALUES[symbol] for symbol in encoded]
    except KeyError as error:
        raise FormatError("A key's text holds a character that no key has.") from error
    if _polymod([*_expanded(prefix), *symbols]) != 1:
        raise FormatError("A key's text has a typing error: its checksum does not fit.")
    return prefix, _data_of(encoded[:-_CHECKSUM_SYMBOLS])


def _feedback() -> tuple[int, ...]:
    """Returns what the top five bits of a remainder add to the next one."""
    table = [0]
    for generator in _GENERATOR:
        table += [each ^ generator for each in table]
    return tuple(table)


_FEEDBACK = _feedback()
"""A hybrid recipient has two thousand symbols. Testing each bit at each of them would take five times as long."""


def _polymod(symbols: Iterable[int]) -> int:
    """Returns the remainder of the BCH code, which is 1 for a whole string with a right checksum."""
    remainder = 1
    for symbol in symbols:
        remainder = (remainder & 0x1FFFFFF) << 5 ^ symbol ^ _FEEDBACK[remainder >> 25]
    return remainder


def _expanded(prefix: str) -> list[int]:
    """Returns the prefix as symbols (high bits, zero, low bits), so that the checksum covers it too."""
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _data_of(text: str) -> bytes:
    """Returns the bytes that these symbols hold."""
    size, spare = divmod(5 * len(text), 8)
    value = int(text.translate(_TO_DIGITS) or "0", 32)
    if spare >= 5 or value & ((1 << spare) - 1):
        raise FormatError("A key's text is not in its canonical form.")
    return (value >> spare).to_bytes(size)


FILE_KEY_BYTES = 16
BODY_BYTES = FILE_KEY_BYTES + 16
X25519_BYTES = 32
MLKEM_PUBLIC_BYTES = 1184
MLKEM_CIPHERTEXT_BYTES = 1088
HYBRID_ENCAPSULATION_BYTES = MLKEM_CIPHERTEXT_BYTES + X25519_BYTES
SCRYPT_SALT_BYTES = 16
ZERO_NONCE = bytes(12)

HYBRID_KIND = "mlkem768x25519"
X25519_KIND = "X25519"
SCRYPT_KIND = "scrypt"

HYBRID_INFO = b"age-encryption.org/mlkem768x25519"
HYBRID_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def x25519_wrap_key(shared_secret: bytes, share: bytes, recipient: bytes) -> bytes:
    """Returns the wrap key of an X25519 stanza. The salt holds both public values, so a stanza moved to another
    fails."""
    return hkdf(shared_secret, salt=share + recipient, info=b"age-encryption.org/v1/X25519")


def scrypt_wrap_key(passphrase: str, salt: bytes, log2_work_factor: int) -> bytes:
    """Returns the wrap key of a passphrase. Takes 2**log2_work_factor KiB of memory, and time in proportion."""
    scrypt = Scrypt(salt=b"age-encryption.org/v1/scrypt" + salt, length=32, n=1 << log2_work_factor, r=8, p=1)
    # A terminal may pass bytes outside UTF-8. They are used unchanged, so that every tool sees the same passphrase.
    return scrypt.derive(passphrase.encode("utf-8", "surrogateescape"))


_HYBRID_PREFIX = "age1pq"
_X25519_PREFIX = "age"
_REMEMBERED = 64
"""Texts of recipients to remember. They are public, and each segment, poster and sound is sealed to the same few; a
hybrid one has two thousand symbols, each with its part in the checksum."""
_X25519_FIELD = 2**255 - 19
_ANY_SECRET = bytes(X25519_BYTES)
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
        mlkem, x25519 = self.public[:MLKEM_PUBLIC_BYTES], self.public[MLKEM_PUBLIC_BYTES:]
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
        sealed = HYBRID_SUITE.encrypt(file_key, self._key, info=HYBRID_INFO)
        encapsulation = sealed[:HYBRID_ENCAPSULATION_BYTES]
        body = sealed[HYBRID_ENCAPSULATION_BYTES:]
        return Stanza(HYBRID_KIND, (to_base64(encapsulation),), body)

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
        key = x25519_wrap_key(shared_secret, share, self.public)
        # The fixed nonce is safe because each ephemeral secret makes a new key.
        body = ChaCha20Poly1305(key).encrypt(ZERO_NONCE, file_key, None)
        return Stanza(X25519_KIND, (to_base64(share),), body)

    def __str__(self) -> str:
        return bech32_encode(_X25519_PREFIX, self.public)


class PassphraseRecipient:
    """A passphrase, for an owner's identity file. `salt`: 16 fresh random bytes. Wraps once.

    The wrap key depends on passphrase and salt alone, and the nonce is fixed. A second file key under the same salt
    would be sealed with the same key stream, which reveals the difference of the two file keys.
    """

    __slots__ = ("_log2_work_factor", "_passphrase", "_salt", "_used")

    def __init__(self, passphrase: str, *, salt: bytes, log2_work_factor: int = 18) -> None:
        if len(salt) != SCRYPT_SALT_BYTES:
            raise InternalError("The salt of a passphrase stanza is 16 bytes.")
        self._passphrase, self._salt, self._log2_work_factor = passphrase, salt, log2_work_factor
        self._used = False

    def wrap(self, file_key: bytes) -> Stanza:
        """Returns the one stanza of this passphrase and salt. Raises `InternalError` if it is called twice."""
        if self._used:
            raise InternalError("A passphrase recipient wraps one file key only: make a new one with a fresh salt.")
        self._used = True
        key = scrypt_wrap_key(self._passphrase, self._salt, self._log2_work_factor)
        body = ChaCha20Poly1305(key).encrypt(ZERO_NONCE, file_key, None)
        return Stanza(SCRYPT_KIND, (to_base64(self._salt), str(self._log2_work_factor)), body)


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
    return bech32_encode(_HYBRID_PREFIX, public)


def _key_bytes(text: str, prefix: str) -> bytes:
    found, data = bech32_decode(text)
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
