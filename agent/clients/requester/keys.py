"""Signing keys of requesters and roots: in a file that is made once and never overwritten, or anywhere else.

`Signer` is the interface. A program that keeps a key in a PKCS#11 token or in a sealed file gives its own signer to
`Requester.open` or `trust_bundles.make_bundle`. `FileSigner` signs with the key of a file.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.wire import envelope, strictjson
from agent.wire.identities import (
    KEY_BYTES,
    MldsaPublicKey,
    PublicKey,
    dump_private_key,
    load_private_key,
    private_key_from_seed,
    public_key_of,
)
from agent.wire.strictjson import Message
from agent.wire.trust_keys import SEED_MESSAGE, TrustKey, join_signature, second_key

__all__ = [
    "FileSigner",
    "Signer",
    "load_key",
    "make_key",
    "make_trust_key",
    "sign_certificate",
    "sign_for_root",
    "sign_message",
    "sign_sums",
    "trust_key_of",
    "trust_signature",
]

_LIMIT_BYTES: Final = 4096
_SUMS: Final = re.compile(rb"[0-9a-f]{64}  ")
_DER: Final = re.compile(rb"\x30\x82")


class Signer(Protocol):
    """An Ed25519 key that signs and may never leave its place. Several threads may call it at once."""

    @property
    def public_key(self) -> PublicKey: ...

    def sign(self, data: bytes) -> bytes:
        """Returns the signature of `data`, 64 bytes (RFC 8032, pure Ed25519).

        Raises a `DoorwardError` if the key cannot be used now, for example because a token was taken out.
        """
        ...


class FileSigner:
    """The `Signer` with a private key in memory, which `load_key` has read from a file."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public_key = public_key_of(key)

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def sign_message(signer: Signer, payload_type: str, message: Message) -> bytes:
    """Returns the envelope of `message`. Raises `ConfigurationError` if the signer returns a wrong signature."""
    payload = strictjson.encode(message)
    signature = _checked(signer, envelope.pae(payload_type, payload))
    return envelope.with_signature(payload_type, payload, signer.public_key.id, signature)


def trust_key_of(signer: Signer) -> TrustKey:
    """Returns the public pair of a root's signer. The key in a token is used, and does not leave it."""
    return TrustKey(signer.public_key, bytes.fromhex(MldsaPublicKey.of(_second_key_of(signer)).sha256))


def trust_signature(signer: Signer, data: bytes) -> bytes:
    """Returns the signature of `data` by both keys of a root's signer (`wire.trust_keys`)."""
    second = _second_key_of(signer)
    return join_signature(_checked(signer, data), second.sign(data), MldsaPublicKey.of(second))


def sign_for_root(signer: Signer, payload_type: str, message: Message) -> bytes:
    """Returns the envelope of a root's `message`, signed by both keys. Raises as `sign_message` does."""
    payload = strictjson.encode(message)
    made = trust_signature(signer, envelope.pae(payload_type, payload))
    return envelope.with_signatures(payload_type, payload, {signer.public_key.id: made})


def _second_key_of(signer: Signer) -> MLDSA44PrivateKey:
    """Raises `ConfigurationError` if the signer draws randomness: it would have another second key each time."""
    made = _checked(signer, SEED_MESSAGE)
    if signer.sign(SEED_MESSAGE) != made:
        raise ConfigurationError(
            f"The token of the key {signer.public_key.id} signs the same text differently each time.",
            remedy="A root's second key is derived from such a signature. Use a key file, or another token.",
        )
    return second_key(made)


def _checked(signer: Signer, data: bytes) -> bytes:
    """Returns the signature. Raises `ConfigurationError` if the signer returns a wrong one."""
    signature, key = signer.sign(data), signer.public_key
    # A token that is faulty, or that holds another key now, would otherwise use up a number for a refused message.
    if not key.verifies(signature, data):
        raise ConfigurationError(
            f"The signature does not fit the key {key.id}.",
            remedy="Check that the token or file holds the key that was given for this folder.",
        )
    return signature


def sign_sums(signer: Signer, sums: bytes) -> bytes:
    """Returns the signature of a list of hashes as it stands, so that `openssl` reads the list that a person reads.

    Such a list begins with a hash, and each message of the protocol with "DSSEv1", so neither can be taken for the
    other. Raises `ConfigurationError` if the bytes are no such list, or if the signer returns a wrong signature.
    """
    return _sign_only(_SUMS, signer, sums)


def sign_certificate(signer: Signer, body: bytes) -> bytes:
    """Returns the signature of the body of an X.509 certificate (DER, which begins with 0x30). Raises likewise."""
    return _sign_only(_DER, signer, body)


def _sign_only(form: re.Pattern[bytes], signer: Signer, data: bytes) -> bytes:
    # The form is checked before the key is used. Otherwise bytes that begin like an envelope could be signed as a list.
    signature, key = signer.sign(data) if form.match(data) else b"", signer.public_key
    if not key.verifies(signature, data):
        raise ConfigurationError(
            f"This list or certificate cannot be signed with the key {key.id}.",
            remedy="Check that the token or file holds the key that was given for this folder.",
        )
    return signature


def make_key(path: Path) -> PublicKey:
    """Makes a signing key at `path` (PKCS #8 PEM, 0600). Raises `ConfigurationError` if the file exists."""
    if os.path.lexists(path):
        raise ConfigurationError(f"{path} already exists.", remedy="Choose another name. Keys are never overwritten.")
    key = private_key_from_seed(secrets.token_bytes(KEY_BYTES))
    files.make_folder(path.parent)
    files.write(path, dump_private_key(key).encode("ascii"), secret=True)
    return public_key_of(key)


def make_trust_key(path: Path) -> TrustKey:
    """Makes the key of a root's signer, as `make_key` does. Returns its public pair."""
    make_key(path)
    return trust_key_of(FileSigner(load_key(path)))


def load_key(path: Path) -> Ed25519PrivateKey:
    """Returns the key at `path`. Raises `ConfigurationError` if it is missing, malformed or readable by others."""
    if not files.is_file(path):
        raise ConfigurationError(f"There is no key at {path}.", remedy="Make it with 'doorward requester keygen'.")
    files.require_private(path)
    try:
        return load_private_key(files.read(path, _LIMIT_BYTES).decode("ascii", "replace"))
    except FormatError as error:
        raise ConfigurationError(f"{path}: {error.message}", remedy=error.remedy) from error
