"""ML-DSA-44 keys: the second signature of a doorbell, which stays sound if Ed25519 can be forged.

- A public key has 1 312 bytes, a signature 2 420. A key's hash is the SHA-256 of its bytes, and its id the first 16 hex
  digits of the hash. Owners sign the hash with each list of owners, so it travels with each disclosure.
- A private key is made from a 32-byte seed, which the caller supplies.
- Signatures have an empty context. They cover an envelope's pre-authentication encoding, which names the kind of
  message.

Source: FIPS 204.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from agent.errors import FormatError
from agent.wire.identities import KEY_ID_DIGITS

__all__ = ["MLDSA_KEY_BYTES", "MLDSA_SEED_BYTES", "MLDSA_SIGNATURE_BYTES", "MldsaPublicKey", "mldsa_key_from_seed"]

MLDSA_KEY_BYTES: Final = 1312
MLDSA_SIGNATURE_BYTES: Final = 2420
MLDSA_SEED_BYTES: Final = 32


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
