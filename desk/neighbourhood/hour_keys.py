"""The keys under which tips wait, one for each hour. They are files beside the database, and their deletion is final.

A database keeps the order in which it was written: SQLite in its write-ahead log and in the pages that it fills,
PostgreSQL in its rows and logs. So it gets each waiting tip encrypted, and without the tip's id. Once the key of the
hour is gone, no row leads to a tip by its content. `tip_relay` lists the tips of an hour so that the order of its
writes does not lead there either.

The key of hour H is the file `H`. If that file is damaged, a new key in `H.1` takes over, then `H.2` and `H.3`.
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
_MOST_SPARE: Final = 3
"""Further keys of one hour, each made because the ones before it are damaged. More than that is a broken disk."""
_DAMAGED: Final = b""


class HourKeys:
    """The keys in the data folder `data`. Hours are whole hours since 1970, ids of tips are 32 hex digits."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def hours(self) -> list[int]:
        """Returns the hours of which there is a file, also a damaged one."""
        names = (name.partition(".")[0] for name in files.names_in(self._folder))
        return sorted({int(name) for name in names if name.isascii() and name.isdigit()})

    def damaged(self) -> list[Path]:
        """Returns the files that hold no key, or that cannot be read."""
        return [path for hour in self.hours() for path in self._paths(hour) if _is_damaged(path)]

    def codes(self, tip: str) -> list[str]:
        """Returns the code of a tip under each key that can be read."""
        return [_code(key, tip) for hour in self.hours() for key in self._readable(hour)[0]]

    def code(self, hour: int, tip: str) -> str:
        """Returns the name of a tip while it waits: 32 hex digits that tell nothing without the key."""
        return _code(self._key(hour), tip)

    def wrap(self, hour: int, tip: str, sealed: bytes) -> bytes:
        """Returns the id and the sealed bytes, encrypted (AES-256-GCM). The key of a new hour is made."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._key(hour)).encrypt(nonce, bytes.fromhex(tip) + sealed, None)

    def unwrap(self, hour: int, wrapped: bytes) -> tuple[str, bytes] | None:
        """Returns the id and the sealed bytes, or None if the key is gone, damaged or another.

        Raises `StorageError` if a file of the hour cannot be read, because the key may be in it.
        """
        keys, error = self._readable(hour)
        for key in keys:
            with contextlib.suppress(InvalidTag):
                plain = AESGCM(key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], None)
                return plain[:_ID_BYTES].hex(), plain[_ID_BYTES:]
        if error is not None:
            raise error
        return None

    def forget(self, hour: int) -> None:
        """Overwrites the keys of an hour and deletes them."""
        for path in self._paths(hour):
            with files.storage_errors(path), contextlib.suppress(FileNotFoundError):
                with path.open("r+b") as file:  # an unlinked block stays on the disk until something else needs it
                    file.write(bytes(_KEY_BYTES))
                    file.flush()
                    # The zeros must be on the disk before the name goes, or the key's block could outlive both.
                    os.fsync(file.fileno())
                path.unlink()
        files.sync_folder(self._folder)

    def _paths(self, hour: int) -> list[Path]:
        return [self._folder / str(hour), *(self._folder / f"{hour}.{spare}" for spare in range(1, _MOST_SPARE + 1))]

    def _readable(self, hour: int) -> tuple[list[bytes], StorageError | None]:
        """Returns the keys of an hour, and the error of a file that cannot be read."""
        keys, failed = [], None
        for path in self._paths(hour):
            try:
                found = _read(path)
            except StorageError as error:
                failed = error
            else:
                keys += [found] if found else []
        return keys, failed

    def _key(self, hour: int) -> bytes:
        """Returns the first key of an hour. It is made if there is none."""
        files.make_folder(self._folder)
        for path in self._paths(hour):
            with contextlib.suppress(StorageError):
                found = _read(path)
                if found is None:
                    break
                if found != _DAMAGED:
                    return found
        else:
            raise StorageError(
                f"{self._folder / str(hour)}: not a key of an hour.",
                remedy="Delete it. The tips of this hour are lost.",
            )
        return _make(path)


def _code(key: bytes, tip: str) -> str:
    return hmac.digest(key, tip.encode("ascii"), "sha256").hex()[:32]


def _read(path: Path) -> bytes | None:
    """Returns a key, `_DAMAGED`, or None if there is no file. Raises `StorageError` if it cannot be read."""
    with files.storage_errors(path):
        try:
            with path.open("rb") as file:
                found = file.read(_KEY_BYTES + 1)
        except FileNotFoundError:
            return None
    # Zeros are a key that was overwritten, or a block that a power cut left empty: each person knows that key.
    return found if len(found) == _KEY_BYTES and any(found) else _DAMAGED


def _is_damaged(path: Path) -> bool:
    try:
        return _read(path) == _DAMAGED
    except StorageError:
        return True


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
