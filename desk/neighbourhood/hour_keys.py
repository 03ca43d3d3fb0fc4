"""The keys under which tips wait, one for each hour. They are files beside the database, and their deletion is final.

A database keeps the order in which it was written: SQLite in its write-ahead log and in the pages that it fills,
PostgreSQL in its rows and logs. So it gets each waiting tip encrypted, and without the tip's id. Once the key of the
hour is gone, no copy of the database tells which of its rows became which tip of the inbox.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.errors import StorageError
from agent.platform import files

__all__ = ["FOLDER", "HourKeys"]

FOLDER: Final = "tip-hours"
"""Name of their folder in the data folder. Backups leave it out."""
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_ID_BYTES: Final = 16


class HourKeys:
    """The keys in the data folder `data`. Hours are whole hours since 1970, ids of tips are 32 hex digits."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def hours(self) -> list[int]:
        """Returns the hours whose key is still there."""
        return [int(name) for name in files.names_in(self._folder) if name.isascii() and name.isdigit()]

    def code(self, hour: int, tip: str) -> str:
        """Returns the name of a tip while it waits: 32 hex digits that tell nothing without the key."""
        return hmac.digest(self._key(hour), tip.encode("ascii"), "sha256").hex()[:32]

    def wrap(self, hour: int, tip: str, sealed: bytes) -> bytes:
        """Returns the id and the sealed bytes, encrypted (AES-256-GCM). The key of a new hour is made."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._key(hour)).encrypt(nonce, bytes.fromhex(tip) + sealed, None)

    def unwrap(self, hour: int, wrapped: bytes) -> tuple[str, bytes] | None:
        """Returns the id and the sealed bytes, or None if the key is gone or another."""
        key = files.read_if_there(self._folder / str(hour), _KEY_BYTES)
        if key is None:
            return None
        with contextlib.suppress(InvalidTag):
            plain = AESGCM(key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], None)
            return plain[:_ID_BYTES].hex(), plain[_ID_BYTES:]
        return None

    def forget(self, hour: int) -> None:
        """Overwrites the key of an hour and deletes it."""
        path = self._folder / str(hour)
        with files.storage_errors(path):
            with path.open("r+b") as file:  # an unlinked block stays on the disk until something else needs it
                file.write(bytes(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
        files.sync_folder(self._folder)

    def _key(self, hour: int) -> bytes:
        path = files.make_folder(self._folder) / str(hour)
        found = files.read_if_there(path, _KEY_BYTES)
        if found is None:
            found = _make(path)
        if len(found) != _KEY_BYTES:
            raise StorageError(f"{path}: not a key of an hour.", remedy="Delete it. The tips of this hour are lost.")
        return found


def _make(path: Path) -> bytes:
    """Returns a new key that is on the disk, or the one that another thread put there first."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    files.write(made, secrets.token_bytes(_KEY_BYTES), secret=True)
    with files.storage_errors(path):
        with contextlib.suppress(FileExistsError):
            os.link(made, path)  # never in place of a key under which a tip waits
        made.unlink()
    files.sync_folder(path.parent)
    return files.read_private(path, _KEY_BYTES)
