"""ML-DSA-44 keys: the second signature of a doorbell and of an owner, which stays sound if Ed25519 can be forged.

- A public key has 1 312 bytes, a signature 2 420. A key's hash is the SHA-256 of its bytes, and its id the first 16 hex
  digits of the hash. Owners sign the hash of a doorbell's key, and their own keys, with each list of owners.
- A private key is made from a 32-byte seed, which the caller supplies. An owner's is derived from the seed of their
  Ed25519 key (`approval_mldsa_key`). Ed25519 uses SHA-512 of that seed, so a computer that finds the private scalar of
  a public key does not find the seed.
- Signatures have an empty context. They cover an envelope's pre-authentication encoding, which names the kind of
  message.

Source: FIPS 204; RFC 8032, section 5.1.5; RFC 5869 (HKDF).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.errors import FormatError
from agent.wire import base64
from agent.wire.identities import KEY_ID_DIGITS

__all__ = [
    "MLDSA_KEY_BYTES",
    "MLDSA_KEY_CHARACTERS",
    "MLDSA_SEED_BYTES",
    "MLDSA_SIGNATURE_BYTES",
    "MldsaPublicKey",
    "approval_mldsa_key",
    "mldsa_key_from_seed",
]

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
        return cls(base64.decode(text))

    @property
    def text(self) -> str:
        """The key as base64."""
        return base64.encode(self.raw)

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
