"""Signing keys: ed25519, in a file that only a passphrase opens, and the public half as JSON.

A key file is an armored age file (scrypt) around the key's PKCS #8 text, so `age --decrypt` opens it as well. It can be
printed and typed in again.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from installation.words import fail
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from agent.clients.opening import PassphraseIdentity, open_bytes
from agent.clients.opening.armor import armor, dearmor
from agent.core.vault.age.recipients import PassphraseRecipient
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import FormatError

__all__ = ["HOLDER", "LEAST_PASSPHRASE", "LOG2_WORK_FACTOR", "make", "open_key", "read_public", "write_new"]

LEAST_PASSPHRASE = 12
"""Characters. The file may be copied, and then only the passphrase protects it."""
LOG2_WORK_FACTOR = 18
"""256 MiB and about a second for each guess."""
HOLDER = "x-doorward-holder"
"""Field of a public key: who holds the secret half. It is shown beside a signature."""
_RANDOM_BYTES = 16


def make(holder: str, passphrase: str, *, log2_work_factor: int = LOG2_WORK_FACTOR) -> tuple[bytes, bytes]:
    """Returns a new key file and its public half."""
    if len(passphrase) < LEAST_PASSPHRASE:
        fail(f"The passphrase has fewer than {LEAST_PASSPHRASE} characters.", "take six random words or more.")
    key = Ed25519PrivateKey.generate()
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    salt, file_key, nonce = (secrets.token_bytes(_RANDOM_BYTES) for _ in range(3))
    recipient = PassphraseRecipient(passphrase, salt=salt, log2_work_factor=log2_work_factor)
    sealed = armor(seal_bytes(plain, [recipient], file_key=file_key, nonce=nonce))
    public = SSlibKey.from_crypto(key.public_key())
    public.unrecognized_fields[HOLDER] = holder
    return sealed, _json({"keyid": public.keyid, **public.to_dict()})


def open_key(path: Path, passphrase: str) -> CryptoSigner:
    """Returns the signer of a key file."""
    try:
        plain = open_bytes(dearmor(path.read_bytes()), [PassphraseIdentity(passphrase)])
        key = load_pem_private_key(plain, None)
    except OSError as error:
        fail(f"{path}: {error.strerror}.", "give the path of a key file.")
    except (FormatError, ValueError):
        fail(f"{path} does not open with this passphrase, or is no key file.", "try again, or take the other copy.")
    if not isinstance(key, Ed25519PrivateKey):
        fail(f"{path} holds a key that is not ed25519.", "make one with `key`.")
    return CryptoSigner(key)


def read_public(path: Path) -> Key:
    """Returns the key of a public half. Its ID must be the one that its bytes give."""
    try:
        read = json.loads(path.read_text())
        key = SSlibKey.from_dict(read.pop("keyid"), read)
        holder = key.unrecognized_fields[HOLDER]
        right = SSlibKey.from_crypto(_crypto_of(key))
    except (OSError, ValueError, KeyError, TypeError):
        fail(f"{path} is no public half of a key.", "give the .pub file that `key` wrote.")
    right.unrecognized_fields[HOLDER] = holder
    # root.json lists keys by their ID. A chosen ID could take the place of another holder's key.
    if right.to_dict() != key.to_dict() or right.keyid != key.keyid:
        fail(f"{path} names another key than its bytes give.", "fetch the file from its holder again.")
    return key


def _crypto_of(key: Key) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval["public"]))


def write_new(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file that does not exist yet. A key is never overwritten."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        fail(f"{path} exists.", "choose another name. A key file is never overwritten.")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
