"""Signing identities: Ed25519 keys, their text forms and the short ids used to look them up, and ML-DSA-44 keys.

- An Ed25519 public key is written `ed25519:<base64url of its 32 bytes, unpadded>`. Its id is the first 16 hex digits of
  the SHA-256 of those 32 bytes. A device's id is the id of its key.
- `PublicKey` refuses a point of small order (it would verify signatures made without a private key), a second spelling
  (y ≥ p), and bytes that are not a point of the curve. The library accepts all three, and OpenSSL verifies with the
  first two.
- A private key is PKCS #8 PEM text. The caller supplies its 32-byte seed, because this package draws no randomness.

An ML-DSA-44 key makes the second signature of a doorbell and of an owner, which stays sound if Ed25519 can be forged.

- A public key has 1 312 bytes, a signature 2 420. A key's hash is the SHA-256 of its bytes, and its id the first 16 hex
  digits of the hash. Owners sign the hash of a doorbell's key, and their own keys, with each list of owners.
- A private key is made from a 32-byte seed, which the caller supplies. An owner's is derived from the seed of their
  Ed25519 key (`approval_mldsa_key`). Ed25519 uses SHA-512 of that seed, so a computer that finds the private scalar of
  a public key does not find the seed.
- Signatures have an empty context. They cover an envelope's pre-authentication encoding, which names the kind of
  message.

Source: RFC 8032, also section 5.1.5; FIPS 204; RFC 5869 (HKDF); "Taming the many EdDSAs" (Chalkias, Garillot,
Nikolaenko, 2020) for the small-order points.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from agent.errors import FormatError
from agent.wire import strictjson

__all__ = [
    "KEY_BYTES",
    "KEY_ID_DIGITS",
    "MLDSA_KEY_BYTES",
    "MLDSA_KEY_CHARACTERS",
    "MLDSA_SEED_BYTES",
    "MLDSA_SIGNATURE_BYTES",
    "SIGNATURE_BYTES",
    "MldsaPublicKey",
    "PublicKey",
    "approval_mldsa_key",
    "dump_private_key",
    "key_id",
    "load_private_key",
    "mldsa_key_from_seed",
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
        return _PREFIX + strictjson.encode_base64url(self.raw)

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
        return PublicKey(strictjson.decode_base64url(text.removeprefix(_PREFIX)))
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


MLDSA_KEY_BYTES: Final = 1312
MLDSA_SIGNATURE_BYTES: Final = 2420
MLDSA_SEED_BYTES: Final = 32
MLDSA_KEY_CHARACTERS: Final = 4 * -(-MLDSA_KEY_BYTES // 3)
"""A key in base64."""
_APPROVAL_USE: Final = b"doorward approval ml-dsa v1"


@dataclass(frozen=True, slots=True)
class MldsaPublicKey:
    """An ML-DSA-44 public key. Each string of `MLDSA_KEY_BYTES` bytes is one; other lengths raise `FormatError`."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != MLDSA_KEY_BYTES:
            raise FormatError(f"An ML-DSA-44 public key has {MLDSA_KEY_BYTES} bytes, this one has {len(self.raw)}.")

    @classmethod
    def of(cls, private_key: MLDSA44PrivateKey) -> MldsaPublicKey:
        return cls(private_key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> MldsaPublicKey:
        """Returns the key with this base64. Raises `FormatError`."""
        return cls(strictjson.decode_base64(text))

    @property
    def text(self) -> str:
        """The key as base64."""
        return strictjson.encode_base64(self.raw)

    @property
    def sha256(self) -> str:
        """The hash that an enrolment names, 64 hex digits."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def id(self) -> str:
        """The key id that an envelope names."""
        return self.sha256[:KEY_ID_DIGITS]

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Returns True if this key made `signature` over `message`. Returns False for bytes of any other form."""
        try:
            MLDSA44PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def mldsa_key_from_seed(seed: bytes) -> MLDSA44PrivateKey:
    """Returns the key with the seed `seed` (32 bytes, as secret as the key). Raises `FormatError`."""
    if len(seed) != MLDSA_SEED_BYTES:
        raise FormatError(f"An ML-DSA-44 seed has {MLDSA_SEED_BYTES} bytes, this one has {len(seed)}.")
    return MLDSA44PrivateKey.from_seed_bytes(seed)


def approval_mldsa_key(approval: Ed25519PrivateKey) -> MLDSA44PrivateKey:
    """Returns the second key of the owner who has the approval key `approval`."""
    hkdf = HKDF(algorithm=SHA256(), length=MLDSA_SEED_BYTES, salt=None, info=_APPROVAL_USE)
    return mldsa_key_from_seed(hkdf.derive(approval.private_bytes_raw()))
