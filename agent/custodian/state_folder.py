"""The device's state directory: what lies where, and the device's own key.

device.key      0600, in two blocks: an Ed25519 key (PKCS #8 PEM), which signs manifest, ledger and disclosures; and a
                secret from which keys for other uses are derived.  Neither opens anything
vault/          segments, posters, manifest          (agent/core/vault/FORMAT.md)
index.sqlite    a cache of the vault; index.sqlite.copy of at most a day before
journal.sqlite  requests, consent, ledger, trust: the only thing here worth a backup; and space in reserve for it
alerts.sqlite   alerts that their channels have not taken yet; may be deleted
push.json       browsers that want to be told, and the key that vouches for us at their push services
outbox/         approved disclosures on their way
page/           certificates of the owner's page, and which browsers were let in
control.sock    where the owner's client connects

An installation with a user for each role makes the folders `vault/` (the recorder's, read by the custodian), `outbox/`
(the custodian's, read by the uplink), `recorder/` and `custodian/`; everything but the first two is then in the last.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.device_secret import SECRET_BYTES, DeviceSecret
from agent.errors import ConfigurationError, FormatError, StorageError
from agent.platform.privileges import as_owner_of, read_regular
from agent.wire import strictjson
from agent.wire.identities import dump_private_key, load_private_key

__all__ = ["StateFolder"]

RUNTIME: Final = Path("/run/doorward")
"""Folders between roles and root, in memory (systemd/tmpfiles.d)."""
_MOST_KEY_BYTES = 4096
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
"""How a folder is opened. Python closes what it opens when another program starts."""
_BEGIN = "-----BEGIN DOORWARD DEVICE SECRET-----"
_END = "-----END DOORWARD DEVICE SECRET-----"
_Key = TypeVar("_Key")


class StateFolder:
    """Paths below `root`, and the key."""

    def __init__(self, root: Path) -> None:
        own = root / "custodian" if _is_divided(root) else root
        self.root = own
        self.vault = root / "vault"
        self.index = own / "index.sqlite"
        self.divided = own != root
        """True if each role has a separate folder and user."""
        self.update = root / "update"
        """Root's, read only here: the update on offer."""
        self.wish = (RUNTIME / "update" if self.divided else self.update) / "wish.json"
        self.program = (RUNTIME / "program" if self.divided else root / "program") / "changed.json"
        """Root's report that the program was changed."""
        self.recorders_index = root / "recorder" / "recorder.sqlite" if self.divided else self.index
        """The recorder's index, which is always up to date because the recorder writes the vault."""
        self.journal = own / "journal.sqlite"
        self.alerts = own / "alerts.sqlite"
        self.push = own / "push.json"
        self.outbox = root / "outbox"
        self.page = own / "page"
        self.control = own / "control.sock"
        self._key = own / "device.key"
        self._claim: int | None = None

    def initialise(self, key: Ed25519PrivateKey, secret: bytes | None = None) -> None:
        """Makes the directory, the device's signing key and its secret (32 random bytes by default).

        Raises `ConfigurationError` if there is one already.

        `PermissionError` passes through, here and below, because the caller may only lack sudo.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with as_owner_of(self.root):  # root may run this for the role that owns the folder
                self._write(key, DeviceSecret(os.urandom(SECRET_BYTES) if secret is None else secret))
        except FileExistsError as error:
            raise ConfigurationError(
                f"{self.root} belongs to a device already.",
                remedy="Use it as it is. A device's key is never replaced, because it signs all earlier records.",
            ) from error
        except PermissionError:
            raise
        except OSError as error:
            raise StorageError(
                f"{self.root} cannot be made: {error.strerror or error}.", remedy="Choose another device.state_dir."
            ) from error

    def _write(self, key: Ed25519PrivateKey, secret: DeviceSecret) -> None:
        making = self._key.with_suffix(".making")
        making.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(dump_private_key(key) + _dumped(secret))
                file.flush()
                os.fsync(file.fileno())
            os.link(making, self._key)  # atomic, and never replaces another key
        finally:
            making.unlink(missing_ok=True)
        # The name of the file is durable only now: a key that signed records and is gone after a power cut ends the
        # device.
        _sync(self.root)

    def claim(self) -> None:
        """Locks the folder until `release`, or the end of the process.  Raises `ConfigurationError` if it is locked.

        Two writers would break the manifest's chain and send every answer twice.
        """
        handle = os.open(self.root, _FOLDER)
        try:
            # The kernel ends the lock with the process, also after a kill. A file with a process id would stay.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            stop = (
                "sudo systemctl stop doorward.target 'doorward-*'"
                if self.divided
                else "Stop it first, or choose another state_dir."
            )
            raise ConfigurationError(f"Another doorward runs on {self.root} already.", remedy=stop) from error
        self._claim = handle

    def release(self) -> None:
        """Unlocks the folder.  Idempotent."""
        handle, self._claim = self._claim, None
        if handle is not None:
            os.close(handle)

    def device_key(self) -> Ed25519PrivateKey:
        """Raises `ConfigurationError` if the key is missing or damaged, `PermissionError` if it may not be read."""
        return self._read(load_private_key)

    def device_secret(self) -> DeviceSecret:
        """Returns the secret from which keys for other uses than signing are derived.  Raises as `device_key` does."""
        return self._read(_secret_in)

    def _read(self, parse: Callable[[str], _Key]) -> _Key:
        try:
            # Neither a link nor a pipe: root's commands read here, too, and a taken role may have put one in its place.
            return parse(read_regular(self._key, _MOST_KEY_BYTES).decode("ascii"))
        except FileNotFoundError as error:
            raise ConfigurationError(f"{self.root} is not set up as a device.", remedy="Run: doorward init.") from error
        except PermissionError:
            raise
        except (OSError, FormatError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"The device's key {self._key} cannot be read: {error}.", remedy="Restore it from a backup."
            ) from error


def _dumped(secret: DeviceSecret) -> str:
    return f"{_BEGIN}\n{strictjson.encode_base64(secret.value)}\n{_END}\n"


def _secret_in(text: str) -> DeviceSecret:
    """Raises `FormatError`.  The message never quotes the text."""
    _, begun, rest = text.partition(f"{_BEGIN}\n")
    inside, ended, _ = rest.partition(f"\n{_END}")
    if not begun or not ended or len(value := strictjson.decode_base64(inside)) != SECRET_BYTES:
        raise FormatError("its second block, the device's secret, is missing or damaged")
    return DeviceSecret(value)


def _is_divided(root: Path) -> bool:
    """Raises a `PermissionError` that names `root` if the caller may not look into it."""
    try:
        return stat.S_ISDIR((root / "custodian").stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise PermissionError(error.errno, error.strerror, str(root)) from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, _FOLDER)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
