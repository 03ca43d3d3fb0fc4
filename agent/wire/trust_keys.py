"""The key pair of a trust root's signer: an Ed25519 key and an ML-DSA-44 key, which count only together.

- A public pair is written `ed25519:<43 characters>+mldsa44:<43 characters>`: the first key, and the SHA-256 of the
  second one (base64url, unpadded). Its id is that of the Ed25519 key.
- A signature has 3 796 bytes: 64 by Ed25519, 2 420 by ML-DSA-44 over the same bytes, and the ML-DSA-44 public key
  (1 312). The key travels with its signature, so that a person can copy the name of a root.
- The second private key is derived from the first one's signature of `SEED_MESSAGE`. Ed25519 draws no randomness, so
  this works for a key that stays in a token. A computer that finds the private scalar of a public key cannot make that
  signature, because its nonce comes from the seed, through SHA-512. It is as secret as the key.

Source: FIPS 204; RFC 8032, section 5.1.6; RFC 5869 (HKDF); decision 79.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.identities import (
    MLDSA_KEY_BYTES,
    MLDSA_SEED_BYTES,
    MLDSA_SIGNATURE_BYTES,
    SIGNATURE_BYTES,
    MldsaPublicKey,
    PublicKey,
    mldsa_key_from_seed,
    parse_public_key,
    public_key_of,
)

__all__ = [
    "SEED_MESSAGE",
    "TRUST_SIGNATURE_BYTES",
    "TrustKey",
    "join_signature",
    "parse_trust_key",
    "second_key",
    "sign_as_root",
    "trust_key_of_private",
]

TRUST_SIGNATURE_BYTES: Final = SIGNATURE_BYTES + MLDSA_SIGNATURE_BYTES + MLDSA_KEY_BYTES
SEED_MESSAGE: Final = b"doorward trust root ml-dsa seed v1"
"""No envelope, list of hashes or certificate begins like this, so no other use of the key signs it."""
_USE: Final = b"doorward trust root ml-dsa v1"
_SEPARATOR: Final = "+mldsa44:"
_REMEDY: Final = "Copy the whole line, ed25519:…+mldsa44:…"


@dataclass(frozen=True, slots=True)
class TrustKey:
    """The public pair of a signer of a root, or the pair that names the root."""

    ed25519: PublicKey
    mldsa_sha256: bytes
    """SHA-256 of the ML-DSA-44 public key, 32 bytes."""

    @property
    def id(self) -> str:
        return self.ed25519.id

    @property
    def text(self) -> str:
        return self.ed25519.text + _SEPARATOR + strictjson.encode_base64url(self.mldsa_sha256)

    def __str__(self) -> str:
        return self.text

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Returns True if both keys signed `message`. Returns False for bytes of any other form."""
        if len(signature) != TRUST_SIGNATURE_BYTES:
            return False
        first, second = signature[:SIGNATURE_BYTES], signature[SIGNATURE_BYTES:-MLDSA_KEY_BYTES]
        mldsa = signature[-MLDSA_KEY_BYTES:]
        return (
            # The key comes with the signature, so it counts only if the owner's line names its hash.
            hashlib.sha256(mldsa).digest() == self.mldsa_sha256
            and self.ed25519.verifies(first, message)
            and MldsaPublicKey(mldsa).verifies(second, message)
        )


def parse_trust_key(text: str) -> TrustKey:
    """Returns the pair with this text. Raises `FormatError`, also for an Ed25519 key alone."""
    first, separator, second = text.partition(_SEPARATOR)
    key = parse_public_key(first)
    if not separator:
        raise FormatError("The ML-DSA-44 half of this root's key is missing.", remedy=_REMEDY)
    try:
        sha256 = strictjson.decode_base64url(second)
    except FormatError as error:
        raise FormatError("The ML-DSA-44 half of this root's key is damaged.", remedy=_REMEDY) from error
    if len(sha256) != hashlib.sha256().digest_size:
        raise FormatError("The ML-DSA-44 half of this root's key is damaged.", remedy=_REMEDY)
    return TrustKey(key, sha256)


def second_key(seed_signature: bytes) -> MLDSA44PrivateKey:
    """Returns the second private key of the signer that made this signature of `SEED_MESSAGE`."""
    hkdf = HKDF(algorithm=SHA256(), length=MLDSA_SEED_BYTES, salt=None, info=_USE)
    return mldsa_key_from_seed(hkdf.derive(seed_signature))


def join_signature(first: bytes, second: bytes, mldsa: MldsaPublicKey) -> bytes:
    """Returns the signature of a pair. `first`: 64 bytes by Ed25519, `second`: 2 420 by ML-DSA-44."""
    return first + second + mldsa.raw


def trust_key_of_private(private_key: Ed25519PrivateKey) -> TrustKey:
    """Returns the public pair of a private key in memory."""
    mldsa = MldsaPublicKey.of(second_key(private_key.sign(SEED_MESSAGE)))
    return TrustKey(public_key_of(private_key), hashlib.sha256(mldsa.raw).digest())


def sign_as_root(private_key: Ed25519PrivateKey, message: bytes) -> bytes:
    """Returns the pair's signature. ML-DSA draws randomness, so its bytes differ each time."""
    second = second_key(private_key.sign(SEED_MESSAGE))
    return join_signature(private_key.sign(message), second.sign(message), MldsaPublicKey.of(second))
