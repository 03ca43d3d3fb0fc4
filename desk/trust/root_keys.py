"""The signing key of a trust root, in a file that is sealed with a passphrase (age, scrypt).

The desk opens it for one signature and forgets it. The passphrase is stored nowhere.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from agent.clients.opening import PassphraseIdentity, open_bytes
from agent.clients.requester.keys import FileSigner, Signer
from agent.core.vault.age.recipients import PassphraseRecipient
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.wire.identities import (
    PublicKey,
    dump_private_key,
    load_private_key,
    parse_public_key,
    private_key_from_seed,
    public_key_of,
)

__all__ = ["LEAST_PASSPHRASE", "make_root_key", "open_root_key", "root_key_of"]

LEAST_PASSPHRASE: Final = 16
_WORK_FACTOR: Final = 18
"""256 MiB and about a second for each guess."""
_SEALED: Final = "root.key.age"
_PUBLIC: Final = "root.pub"
_LIMIT_BYTES: Final = 16 * 1024


def make_root_key(folder: Path, passphrase: str) -> PublicKey:
    """Makes the key in `folder`. Raises `ConfigurationError` if there is one: a root's key is never overwritten."""
    if (folder / _SEALED).exists():
        raise ConfigurationError("This organisation has a root key.", remedy="Rotate it with the owners' consent only.")
    if len(passphrase) < LEAST_PASSPHRASE:
        raise ConfigurationError(
            f"The passphrase is shorter than {LEAST_PASSPHRASE} characters.", remedy="Take six words."
        )
    key = private_key_from_seed(secrets.token_bytes(32))
    recipient = PassphraseRecipient(passphrase, salt=secrets.token_bytes(16), log2_work_factor=_WORK_FACTOR)
    text = dump_private_key(key).encode("ascii")
    sealed = seal_bytes(text, [recipient], file_key=secrets.token_bytes(16), nonce=secrets.token_bytes(16))
    files.make_folder(folder)
    files.write(folder / _PUBLIC, f"{public_key_of(key).text}\n".encode("ascii"))
    files.write(folder / _SEALED, sealed, secret=True)  # last: without it, a new try makes another key
    return public_key_of(key)


def root_key_of(folder: Path) -> PublicKey | None:
    """Returns the public key of the root, or None if the organisation has none."""
    if not (folder / _SEALED).is_file():
        return None
    return parse_public_key(files.read(folder / _PUBLIC, _LIMIT_BYTES).decode("ascii", "replace").strip())


def open_root_key(folder: Path, passphrase: str) -> Signer:
    """Returns the key for one signature. Raises `ConfigurationError` for a wrong passphrase."""
    sealed = files.read_private(folder / _SEALED, _LIMIT_BYTES)
    try:
        opened = open_bytes(sealed, [PassphraseIdentity(passphrase)])
        return FileSigner(load_private_key(opened.decode("ascii", "replace")))
    except FormatError as error:
        raise ConfigurationError(
            "The root's key does not open.", remedy="Check the passphrase. Nothing was signed."
        ) from error
