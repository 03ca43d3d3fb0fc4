"""The signing key of a trust root: in the PKCS#11 token of `desk.toml`, or in a file sealed with a passphrase (age).

The desk opens the file for one signature and forgets the key. The passphrase is stored nowhere. A key in a token stays
there.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from agent.clients.requester.keys import FileSigner, Signer, trust_key_of
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.wire.identities import private_key_from_seed
from agent.wire.trust_keys import TrustKey, parse_trust_key, trust_key_of_private
from desk.config import Token
from desk.sealed_keys import open_key, seal_key

__all__ = [
    "SEALED_NAME",
    "is_sealed",
    "make_root_key",
    "make_sealed_key",
    "make_token_root",
    "open_root_key",
    "open_sealed_key",
    "root_key_of",
]

SEALED_NAME: Final = "root.key.age"
_PUBLIC: Final = "root.pub"
_LIMIT_BYTES: Final = 16 * 1024


def make_root_key(folder: Path, passphrase: str) -> TrustKey:
    """Makes the key in `folder`. Raises `ConfigurationError` if there is one: a root's key is never overwritten."""
    if files.is_there(folder / _PUBLIC):
        raise ConfigurationError("This organisation has a root key.", remedy="Rotate it with the owners' consent only.")
    files.make_folder(folder)
    key = make_sealed_key(folder / SEALED_NAME, passphrase)
    files.write(folder / _PUBLIC, f"{key.text}\n".encode("ascii"))  # last: it says that there is a root
    return key


def make_sealed_key(path: Path, passphrase: str) -> TrustKey:
    """Makes a key in a file that the passphrase opens. Raises `ConfigurationError` if the passphrase is short."""
    key = private_key_from_seed(secrets.token_bytes(32))
    files.write(path, seal_key(key, passphrase), secret=True)
    return trust_key_of_private(key)


def make_token_root(folder: Path, token: Token, label: str) -> TrustKey:
    """Makes the key with that label in the token. Raises `ConfigurationError` if the organisation has a root key."""
    if files.is_there(folder / _PUBLIC):
        raise ConfigurationError("This organisation has a root key.", remedy="Rotate it with the owners' consent only.")
    from desk.tokens import token_signer  # loads a library that most desks do without

    key = trust_key_of(token_signer(token, label))
    files.make_folder(folder)
    files.write(folder / _PUBLIC, f"{key.text}\n".encode("ascii"))
    return key


def is_sealed(folder: Path) -> bool:
    """Returns True if a passphrase opens the key."""
    return files.is_file(folder / SEALED_NAME)


def root_key_of(folder: Path) -> TrustKey | None:
    """Returns the public key of the root, or None if the organisation has none."""
    if not files.is_file(folder / _PUBLIC):
        return None
    return parse_trust_key(files.read(folder / _PUBLIC, _LIMIT_BYTES).decode("ascii", "replace").strip())


def open_root_key(folder: Path, passphrase: str, token: Token | None = None, label: str = "") -> Signer:
    """Returns the key for one signature. Raises `ConfigurationError` for a wrong passphrase or a missing token."""
    if not is_sealed(folder):
        return _token_root(folder, token, label)
    return open_sealed_key(folder / SEALED_NAME, passphrase)


def open_sealed_key(path: Path, passphrase: str) -> Signer:
    """Returns the key in a sealed file for one signature. Raises `ConfigurationError` for a wrong passphrase."""
    sealed = files.read_private(path, _LIMIT_BYTES)
    try:
        return FileSigner(open_key(sealed, passphrase))
    except FormatError as error:
        raise ConfigurationError(
            "The root's key does not open.", remedy="Check the passphrase. Nothing was signed."
        ) from error


def _token_root(folder: Path, token: Token | None, label: str) -> Signer:
    if token is None:
        raise ConfigurationError(
            "The root's key is in a token.",
            remedy="Name the token under [token] in desk.toml, and start the desk again.",
        )
    from desk.tokens import token_signer

    signer = token_signer(token, label)
    # A token that was set up again makes a new key under the same label.
    if trust_key_of(signer) != root_key_of(folder):
        raise ConfigurationError("This token holds another key.", remedy="Connect the token that made the root's key.")
    return signer
