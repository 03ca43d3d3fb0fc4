"""The notes of an organisation in PostgreSQL, sealed: the database cannot read, forge or exchange them.

Each note is sealed with ChaCha20-Poly1305 under `workers.key`, which each machine of the organisation has in its folder
beside the signing key. The name of the note is part of what is sealed. The names themselves are readable: ids, cells
and the ids of doorbells. An old state of a note can be put back, as with any backup.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.clients.requester.folder_index import IndexConnection, IndexedTable
from agent.errors import ConfigurationError, StorageError
from agent.platform import files
from desk.storage.folder_lock import folder_lock, leave_to_owner
from desk.storage.postgres_index import PostgresIndex, lock_of

__all__ = ["NOTE_TABLE", "WORKERS_KEY", "PostgresNotes"]

WORKERS_KEY: Final = "workers.key"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_OVERHEAD_BYTES: Final = _NONCE_BYTES + 16
_PROBE: Final = "workers"
"""A note that only the right key opens, written when the notes are made."""
_SEQUENCE: Final = "sequence"
_TOP: Final = ""
_SCHEMA: Final = """
CREATE TABLE note_folder (folder TEXT PRIMARY KEY);
CREATE TABLE note (
  folder TEXT NOT NULL REFERENCES note_folder (folder) ON DELETE CASCADE, name TEXT NOT NULL,
  sealed BLOB NOT NULL, PRIMARY KEY (folder, name));
INSERT INTO note_folder VALUES ('')
"""
_FIND: Final = "SELECT sealed FROM note WHERE folder = ? AND name = ?"
_FROM_FOLDER: Final = ("requests", "bulletins", "disclosures")


def _require_new(folder: Path, _connection: IndexConnection) -> None:
    """Refuses a folder that was used without PostgreSQL: its requests would be out of reach."""
    if any(files.names_in(folder / name) for name in _FROM_FOLDER):
        raise ConfigurationError(
            f"{folder} has requests or answers, and this database has none of them.",
            remedy="Go on with the database that was used before, or begin with a new data folder.",
        )


NOTE_TABLE: Final[IndexedTable] = (_SCHEMA, _require_new)


class PostgresNotes:
    """The notes beside `index`. `folder`: the place of the organisation's keys on this machine."""

    movable = False

    def __init__(self, index: PostgresIndex, folder: Path) -> None:
        self._index = index
        self._folder = folder
        self._opened: ChaCha20Poly1305 | None = None

    def check(self) -> None:
        """Raises `ConfigurationError` if this machine cannot open the notes. Makes the key on the first machine."""
        self._key()

    def place(self, name: str) -> str:
        return f"the note {name} in PostgreSQL"

    def read(self, name: str, limit_bytes: int, *, secret: bool = False) -> bytes | None:  # noqa: ARG002 (all are)
        key = self._key()
        data = self._sealed(name)
        opened = None if data is None else self._open(key, name, data)
        if opened is not None and len(opened) > limit_bytes:
            raise StorageError(f"{self.place(name)} is longer than {limit_bytes} bytes.")
        return opened

    def write(self, name: str, data: bytes, *, secret: bool = False) -> None:  # noqa: ARG002 (all are)
        sealed = self._seal(self._key(), name, data)
        self._index.read(lambda to: self._put(to, name, sealed))

    def change(
        self,
        name: str,
        change: Callable[[bytes | None], bytes],
        *,
        lock: str,
        limit_bytes: int,
        secret: bool = False,  # noqa: ARG002 (all are)
    ) -> None:
        key = self._key()

        def act(to: IndexConnection) -> None:
            # It ends with the transaction, also if this process dies.
            to.execute("SELECT pg_advisory_xact_lock(?)", (lock_of(self._index.schema, lock),)).fetchone()
            before = _bytes(to.execute(_FIND, _place(name)).fetchone())
            opened = None if before is None else self._open(key, name, before)
            if opened is not None and len(opened) > limit_bytes:
                raise StorageError(f"{self.place(name)} is longer than {limit_bytes} bytes.")
            self._put(to, name, self._seal(key, name, change(opened)))

        self._index.read(act)

    def remove(self, name: str) -> None:
        self._index.read(lambda to: to.execute("DELETE FROM note WHERE folder = ? AND name = ?", _place(name)))

    def is_there(self, name: str) -> bool:
        return self._sealed(name) is not None

    def make_folder(self, folder: str) -> None:
        self._index.read(lambda to: _make(to, folder))

    def store_folder(
        self,
        folder: str,
        notes: Mapping[str, bytes],
        secrets: frozenset[str] = frozenset(),  # noqa: ARG002 (all are)
    ) -> None:
        key = self._key()
        sealed = {name: self._seal(key, name, data) for last, data in notes.items() for name in (f"{folder}/{last}",)}

        def store(to: IndexConnection) -> None:
            _make(to, folder)
            for name, each in sealed.items():
                _put(to, name, each)

        self._index.read(store)

    def has_folder(self, folder: str) -> bool:
        return self._index.fetch("SELECT 1 FROM note_folder WHERE folder = ?", folder) is not None

    def names(self, folder: str) -> list[str]:
        within = f"{folder}/"
        below = "SELECT folder FROM note_folder WHERE folder >= ? AND folder < ?"
        directly = "SELECT name FROM note WHERE folder = ?"

        def look(of: IndexConnection) -> list[str]:
            # "0" follows "/" in ASCII, so this range has exactly the folders below this one.
            folders = (row[0].removeprefix(within) for row in of.execute(below, (within, f"{folder}0")))
            return sorted({*folders, *(row[0] for row in of.execute(directly, (folder,)))})

        return self._index.read(look)

    def size_bytes(self, folder: str) -> int:
        query = "SELECT coalesce(sum(octet_length(sealed) - ?), 0) FROM note WHERE folder = ?"
        row = self._index.fetch(query, _OVERHEAD_BYTES, folder)
        return 0 if row is None else int(row[0])

    def delete_folder(self, folder: str) -> int:
        def delete(to: IndexConnection) -> int:
            (count,) = to.execute("SELECT count(*) FROM note WHERE folder = ?", (folder,)).fetchone()
            to.execute("DELETE FROM note_folder WHERE folder = ?", (folder,))
            return int(count)

        return self._index.read(delete)

    def _put(self, to: IndexConnection, name: str, sealed: bytes) -> None:
        """Puts a note into its folder, which may not go meanwhile. Raises `StorageError` if it is gone."""
        folder = name.rpartition("/")[0]
        if to.execute("SELECT 1 FROM note_folder WHERE folder = ? FOR KEY SHARE", (folder,)).fetchone() is None:
            raise StorageError(f"{self.place(name)} was not written: its folder was deleted.")
        _put(to, name, sealed)

    # Sealing

    def _sealed(self, name: str) -> bytes | None:
        return _bytes(self._index.fetch(_FIND, *_place(name)))

    def _seal(self, key: ChaCha20Poly1305, name: str, data: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + key.encrypt(nonce, data, self._bound(name))

    def _open(self, key: ChaCha20Poly1305, name: str, sealed: bytes) -> bytes:
        try:
            return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._bound(name))
        except InvalidTag as error:
            raise StorageError(
                f"{self.place(name)} does not open with {self._folder / WORKERS_KEY}.",
                remedy="Restore the database from a backup, or the key from another machine of the organisation.",
            ) from error

    def _bound(self, name: str) -> bytes:
        # Authenticated with each note, so that the database cannot put one note in the place of another.
        return f"{self._index.schema}/{name}".encode()

    def _key(self) -> ChaCha20Poly1305:
        """Returns the key of the notes. Makes it, and the first notes, if the database has none.

        Raises `ConfigurationError` if this machine has no key, or that of other notes.
        """
        if self._opened is None:
            files.make_folder(self._folder)
            with folder_lock(self._folder / f"{WORKERS_KEY}.lock"):  # two processes may start at once
                probe = self._sealed(_PROBE)
                key = ChaCha20Poly1305(self._read_key(make=probe is None))
                if probe is None:
                    self._index.read(lambda to: self._begin(to, key))
                elif not self._opens(key, bytes(probe)):
                    raise ConfigurationError(
                        f"{self._folder / WORKERS_KEY} is not the key of this database.",
                        remedy="Copy it from a machine that works with this database.",
                    )
            self._opened = key
        return self._opened

    def _begin(self, to: IndexConnection, key: ChaCha20Poly1305) -> None:
        # Numbers go on from those of the folder: a door ignores a message with a number that it has seen.
        counted = files.read_if_there(self._folder / _SEQUENCE, 32)
        for name, data in ((_PROBE, b"1\n"), (_SEQUENCE, counted or b"0\n")):
            _put(to, name, self._seal(key, name, data))

    def _opens(self, key: ChaCha20Poly1305, probe: bytes) -> bool:
        try:
            self._open(key, _PROBE, probe)
        except StorageError:
            return False
        return True

    def _read_key(self, *, make: bool) -> bytes:
        path = self._folder / WORKERS_KEY
        if make and not files.is_there(path):
            files.write(path, f"{secrets.token_hex(_KEY_BYTES)}\n".encode(), secret=True)
            leave_to_owner(path)
        if not files.is_there(path):
            raise ConfigurationError(
                f"{path} is missing. It opens what the workers of this organisation share.",
                remedy="Make this worker's folder on a machine that works: doorward-desk worker-folder.",
            )
        try:
            key = bytes.fromhex(files.read_private(path, 2 * _KEY_BYTES + 1).decode("ascii", "replace"))
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise ConfigurationError(f"{path} is damaged.", remedy="Copy it from another machine of the organisation.")
        return key


def _place(name: str) -> tuple[str, str]:
    """Returns the folder of a note and its name there."""
    folder, _, last = name.rpartition("/")
    return folder, last


def _bytes(row: tuple[Any, ...] | None) -> bytes | None:
    return None if row is None else bytes(row[0])


def _put(to: IndexConnection, name: str, sealed: bytes) -> None:
    to.execute(
        "INSERT INTO note VALUES (?, ?, ?) ON CONFLICT (folder, name) DO UPDATE SET sealed = excluded.sealed",
        (*_place(name), sealed),
    )


def _make(to: IndexConnection, folder: str) -> None:
    to.execute("INSERT INTO note_folder VALUES (?) ON CONFLICT (folder) DO NOTHING", (folder,))
