"""A signing key in a file that a passphrase seals (age): unlocked by a person after each start, kept in memory only.

seal(folder, passphrase)             # signing.key becomes signing.key.age
signer = sealed_signer(folder)       # knows the public key, and signs once the key is unlocked
unlock(folder, passphrase)
"""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clients.opening import PassphraseIdentity, open_bytes
from agent.clients.requester.keys import FileSigner, load_key
from agent.core.vault.age.recipients import PassphraseRecipient
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import ConfigurationError, FormatError
from agent.platform import files
from agent.wire.identities import PublicKey, dump_private_key, load_private_key, parse_public_key, public_key_of

__all__ = [
    "LEAST_PASSPHRASE",
    "SealedSigner",
    "is_locked",
    "is_sealed",
    "open_key",
    "require_unlocked",
    "seal",
    "seal_key",
    "sealed_signer",
    "unlock",
]

LEAST_PASSPHRASE: Final = 16
_WORK_FACTOR: Final = 18
"""256 MiB and about a second for each guess."""
_PLAIN: Final = "signing.key"
_SEALED: Final = "signing.key.age"
_PUBLIC: Final = "signing.pub"
_LIMIT_BYTES: Final = 16 * 1024

_unlocked: dict[Path, FileSigner] = {}
_lock = threading.Lock()


class SealedSigner:
    """A `Signer` whose key is in memory from `unlock` until the process ends."""

    def __init__(self, folder: Path, public_key: PublicKey) -> None:
        self._folder = folder
        self._public_key = public_key

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, data: bytes) -> bytes:
        """Returns the signature. Raises `ConfigurationError` while the key is locked."""
        with _lock:
            signer = _unlocked.get(self._folder)
        if signer is None:
            raise _locked()
        return signer.sign(data)


def seal_key(key: Ed25519PrivateKey, passphrase: str) -> bytes:
    """Returns the key in a file that the passphrase opens. Raises `ConfigurationError` if the passphrase is short."""
    if len(passphrase) < LEAST_PASSPHRASE:
        raise ConfigurationError(
            f"The passphrase is shorter than {LEAST_PASSPHRASE} characters.", remedy="Take six words."
        )
    recipient = PassphraseRecipient(passphrase, salt=secrets.token_bytes(16), log2_work_factor=_WORK_FACTOR)
    text = dump_private_key(key).encode("ascii")
    return seal_bytes(text, [recipient], file_key=secrets.token_bytes(16), nonce=secrets.token_bytes(16))


def open_key(sealed: bytes, passphrase: str) -> Ed25519PrivateKey:
    """Returns the key in such a file. Raises `FormatError` for a wrong passphrase or a damaged file."""
    return load_private_key(open_bytes(sealed, [PassphraseIdentity(passphrase)]).decode("ascii", "replace"))


def seal(folder: Path, passphrase: str) -> None:
    """Seals the key of the folder and deletes the open file. It stays unlocked in this process.

    Raises `ConfigurationError` if there is no open file, or the passphrase is too short.
    """
    key = load_key(folder / _PLAIN)
    sealed = seal_key(key, passphrase)
    files.write(folder / _PUBLIC, f"{public_key_of(key).text}\n".encode("ascii"))
    # The public key is there before, because a folder with a sealed key needs it to open at all.
    files.write(folder / _SEALED, sealed, secret=True)
    with _lock:
        _unlocked[folder] = FileSigner(_opened(folder, passphrase))  # before the open file goes
    (folder / _PLAIN).unlink()
    files.sync_folder(folder)


def unlock(folder: Path, passphrase: str) -> None:
    """Takes the key into memory. Raises `ConfigurationError` for a wrong passphrase."""
    key = _opened(folder, passphrase)
    with _lock:
        _unlocked[folder] = FileSigner(key)


def is_sealed(folder: Path) -> bool:
    """Returns True if only a passphrase opens the key. A kill during `seal` leaves the open file, which then counts."""
    return files.is_file(folder / _SEALED) and not files.is_there(folder / _PLAIN)


def is_locked(folder: Path) -> bool:
    with _lock:
        return is_sealed(folder) and folder not in _unlocked


def require_unlocked(folder: Path) -> None:
    """Raises `ConfigurationError` while the key is locked."""
    if is_locked(folder):
        raise _locked()


def _locked() -> ConfigurationError:
    return ConfigurationError(
        "The signing key is locked since the start of the desk.",
        remedy="An admin or an evidence officer unlocks it on the page Signing key.",
    )


def sealed_signer(folder: Path) -> SealedSigner:
    text = files.read(folder / _PUBLIC, _LIMIT_BYTES).decode("ascii", "replace").strip()
    return SealedSigner(folder, parse_public_key(text))


def _opened(folder: Path, passphrase: str) -> Ed25519PrivateKey:
    sealed = files.read_private(folder / _SEALED, _LIMIT_BYTES)
    try:
        return open_key(sealed, passphrase)
    except FormatError as error:
        raise ConfigurationError("The signing key does not open.", remedy="Check the passphrase.") from error
