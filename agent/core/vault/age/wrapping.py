"""The part of a stanza that both sides compute alike: its kind, its sizes, and the key that wraps the file key.

Three kinds wrap the 16-byte file key into a body of 32 bytes (the key and a 16-byte Poly1305 tag):

- `mlkem768x25519`: HPKE base mode (ML-KEM-768 with X25519, HKDF-SHA-256, ChaCha20-Poly1305). The one argument is the
  1120-byte encapsulation. Safe against an attacker who stores footage now and has a quantum computer later.
- `X25519`: an ephemeral Diffie-Hellman share of 32 bytes, for versions of `age` before hybrid keys.
- `scrypt`: a passphrase; a 16-byte salt and log2 of the work factor.

The wrap keys of the last two are used once, therefore their ChaCha20-Poly1305 nonce is twelve zero bytes.

Source: c2sp.org/age, "Native recipient types"; RFC 9180; RFC 7748; RFC 7914; RFC 8439.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from agent.core.vault.age.derivation import hkdf

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
    "scrypt_wrap_key",
    "x25519_wrap_key",
]

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
