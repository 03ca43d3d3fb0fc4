"""The device's state directory: what lies where, and the device's own key.

device.key      Ed25519, PKCS #8 PEM, 0600: signs manifest, ledger and disclosures; opens nothing
vault/          segments, posters, manifest          (agent/core/vault/FORMAT.md)
index.sqlite    a cache of the vault
journal.sqlite  requests, consent, ledger, trust: the only thing here worth a backup
outbox/         approved disclosures on their way
page/           certificates of the owner's page, and which browsers were let in
control.sock    where the owner's client connects
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import ConfigurationError, FormatError, StorageError
from agent.wire.identities import dump_private_key, load_private_key

__all__ = ["StateFolder"]


class StateFolder:
    """Paths below `root`, and the key."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.vault = root / "vault"
        self.index = root / "index.sqlite"
        self.journal = root / "journal.sqlite"
        self.outbox = root / "outbox"
        self.control = root / "control.sock"
        self.page = root / "page"
        self._key = root / "device.key"

    def initialise(self, key: Ed25519PrivateKey) -> None:
        """Make the directory and the device's key.  Raises `ConfigurationError` when there is one already."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise ConfigurationError(
                f"{self.root} belongs to a device already.",
                remedy="Use it as it is; a device's key is never replaced, for it signs its whole past.",
            ) from error
        except OSError as error:
            raise StorageError(
                f"{self.root} cannot be made: {error.strerror or error}.", remedy="Choose another device.state_dir."
            ) from error
        with os.fdopen(handle, "w") as file:
            file.write(dump_private_key(key))
            file.flush()
            os.fsync(file.fileno())

    def device_key(self) -> Ed25519PrivateKey:
        """Raises `ConfigurationError` when the device was never initialised or the key is no key."""
        try:
            return load_private_key(self._key.read_text())
        except FileNotFoundError as error:
            raise ConfigurationError(f"{self.root} is no device yet.", remedy="Make it one: doorward init.") from error
        except (OSError, FormatError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"The device's key {self._key} cannot be read: {error}.", remedy="Restore it from a backup."
            ) from error
