"""Signing identities: Ed25519 keys, their text forms and the short ids used to look them up.

- A public key is written `ed25519:<base64url of its 32 bytes, unpadded>`. Its id is the first 16 hex digits of the
  SHA-256 of those 32 bytes. A device's id is the id of its key.
- `PublicKey` refuses a point of small order (it would verify signatures made without a private key), a second spelling
  (y ≥ p), and bytes that are not a point of the curve. The library accepts all three, and OpenSSL verifies with the
  first two.
- A private key is PKCS #8 PEM text. The caller supplies its 32-byte seed, because this package draws no randomness.

Source: RFC 8032; "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020) for the small-order points.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from agent.errors import FormatError
from agent.wire import base64

__all__ = [
    "KEY_BYTES",
    "KEY_ID_DIGITS",
    "SIGNATURE_BYTES",
    "PublicKey",
    "dump_private_key",
    "key_id",
    "load_private_key",
    "parse_public_key",
    "private_key_from_seed",
    "public_key_of",
]

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
KEY_ID_DIGITS: Final = 16
_PREFIX: Final = "ed25519:"

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ORDER_8_Y: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y: Final = frozenset({0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y})


def key_id(public_key: PublicKey | Ed25519PublicKey | bytes) -> str:
    """Returns the first 16 hex digits of the SHA-256 of the raw 32 bytes."""
    raw = public_key.raw if isinstance(public_key, PublicKey) else public_key
    if isinstance(raw, Ed25519PublicKey):
        raw = raw.public_bytes_raw()
    return hashlib.sha256(raw).hexdigest()[:KEY_ID_DIGITS]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A checked Ed25519 public key, comparable and hashable by its 32 bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise FormatError(f"An Ed25519 public key has {KEY_BYTES} bytes, this one has {len(self.raw)}.")
        if not _is_sound_point(self.raw):
            raise FormatError(
                "These 32 bytes are not a sound Ed25519 public key.", remedy="Ask its owner for the key again."
            )

    @property
    def id(self) -> str:
        return key_id(self.raw)

    @property
    def text(self) -> str:
        return _PREFIX + base64.encode_url(self.raw)

    def __str__(self) -> str:
        return self.text

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Returns True if this key made `signature` over `message`. Returns False for bytes of any other form."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


# Each message names its sender's key again, and the root takes as long as the check of a signature.
@functools.lru_cache(maxsize=256)
def _is_sound_point(raw: bytes) -> bool:
    """Returns True for a canonical encoding of a curve point of large order: x² = (y² − 1) / (d·y² + 1) has a root."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    # A point of small order verifies signatures that no private key made, and y ≥ p is a second spelling of a key.
    if y >= _P or y in _SMALL_ORDER_Y:
        return False
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    # Euler's criterion: the power is 1 exactly if x² has a root, so that these bytes are a point.
    return pow(x_squared, (_P - 1) // 2, _P) == 1


def parse_public_key(text: str) -> PublicKey:
    """Returns the key written as `ed25519:…`. Raises `FormatError`."""
    if not text.startswith(_PREFIX):
        raise FormatError(f"A public key is written {_PREFIX}<43 characters>.", remedy="Copy the whole line.")
    try:
        return PublicKey(base64.decode_url(text.removeprefix(_PREFIX)))
    except FormatError as error:
        raise FormatError(f"{_PREFIX}…: {error.message}", remedy="Copy the whole line.") from error


def public_key_of(private_key: Ed25519PrivateKey) -> PublicKey:
    return PublicKey(private_key.public_key().public_bytes_raw())


def private_key_from_seed(seed: bytes) -> Ed25519PrivateKey:
    """Returns the key with the RFC 8032 seed `seed` (32 bytes, as secret as the key). Raises `FormatError`."""
    if len(seed) != KEY_BYTES:
        raise FormatError(f"An Ed25519 seed has {KEY_BYTES} bytes, this one has {len(seed)}.")
    return Ed25519PrivateKey.from_private_bytes(seed)


def dump_private_key(private_key: Ed25519PrivateKey) -> str:
    """Returns unencrypted PKCS #8 PEM text. The caller must guard it (mode 0600, or inside a passphrase-sealed age
    file)."""
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def load_private_key(pem: str) -> Ed25519PrivateKey:
    """Returns the key in `dump_private_key`'s form. Raises `FormatError`."""
    try:
        key = load_pem_private_key(pem.encode("utf-8"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as cause:  # the last: a damaged curve key
        # Without the text, because it is secret.
        raise FormatError(
            "This is not an unencrypted PKCS #8 private key.", remedy="Give the key file that set-up wrote."
        ) from cause
    if not isinstance(key, Ed25519PrivateKey):
        raise FormatError("This private key is not an Ed25519 key.", remedy="Give the key file that set-up wrote.")
    return key
