"""Signing keys of requesters and roots: made once, kept in one file, never overwritten."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.wire.identities import (
    KEY_BYTES,
    PublicKey,
    dump_private_key,
    load_private_key,
    private_key_from_seed,
    public_key_of,
)

__all__ = ["load_key", "make_key"]

_LIMIT_BYTES: Final = 4096


def make_key(path: Path) -> PublicKey:
    """Makes a signing key at `path` (PKCS #8 PEM, 0600). Raises `ConfigurationError` if the file exists."""
    if os.path.lexists(path):
        raise ConfigurationError(f"{path} already exists.", remedy="Choose another name. Keys are never overwritten.")
    key = private_key_from_seed(secrets.token_bytes(KEY_BYTES))
    files.make_folder(path.parent)
    files.write(path, dump_private_key(key).encode("ascii"), secret=True)
    return public_key_of(key)


def load_key(path: Path) -> Ed25519PrivateKey:
    """Returns the key at `path`. Raises `ConfigurationError` if it is missing, malformed or readable by others."""
    if not path.is_file():
        raise ConfigurationError(f"There is no key at {path}.", remedy="Make it with 'doorward requester keygen'.")
    files.require_private(path)
    try:
        return load_private_key(files.read(path, _LIMIT_BYTES).decode("ascii", "replace"))
    except FormatError as error:
        raise ConfigurationError(f"{path}: {error.message}", remedy=error.remedy) from error
