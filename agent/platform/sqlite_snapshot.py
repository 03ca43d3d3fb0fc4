"""Reads a SQLite file that cannot be opened: on a disk that is full or read-only, or while its owner has it locked.

SQLite needs to write even to read: a lock, and the index of the write-ahead log.  So the file and its log are copied
into memory as they are, and opened there.  The copy shows everything that was committed.

Every database here is opened with `EXCLUSIVE`: it belongs to one process, and then the index of its log lies in that
process's memory.  In a mapped file it would end the process with SIGBUS where a full file system takes no page of it.

Source: sqlite.org/wal.html, "Use of WAL Without Shared-Memory" and "Read-Only Databases".
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Final

from agent.errors import StorageError
from agent.platform.privileges import read_regular

__all__ = ["EXCLUSIVE", "open_snapshot", "takes_no_write"]

EXCLUSIVE: Final = "PRAGMA locking_mode=EXCLUSIVE"
"""Before `journal_mode`. Otherwise the index of the log would still be a mapped file."""
_REFUSED: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN})
_READING: Final = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ})
_PRIMARY: Final = 0xFF
_MOST_BYTES: Final = 256 << 20
"""An index of a million segments has less.  A role that was taken over can put a link to /dev/zero there, or a pipe:
root's command would take all memory, or wait for ever."""
_TRIES: Final = 100
_PAUSE_S: Final = 0.05
_MEMORY: Final = "/dev/shm"  # noqa: S108 — a separate folder in there, 0700


def takes_no_write(error: BaseException) -> bool:
    """Returns True if the disk refuses, rather than the file or another process."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None or code in _READING:
        return False
    return code & _PRIMARY in _REFUSED or code & _PRIMARY == sqlite3.SQLITE_IOERR


def open_snapshot(path: Path) -> sqlite3.Connection:
    """Returns a copy in memory of the database at `path`. Writes to the copy are lost. Raises `StorageError`."""
    try:
        data, log = _read_whole(path)
        with tempfile.TemporaryDirectory(dir=_folder_in_memory()) as folder:
            copied = Path(folder) / path.name
            copied.write_bytes(data)
            copied.with_name(f"{path.name}-wal").write_bytes(log)
            with contextlib.closing(sqlite3.connect(copied)) as source:
                copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                try:
                    source.backup(copy)
                except sqlite3.Error:  # the file is no database
                    copy.close()
                    raise
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"{path} cannot be read: {error}.", remedy="Free some space or replace the card.") from error
    return copy


def _read_whole(path: Path) -> tuple[bytes, bytes]:
    """The file and its log, of one moment.  Raises `OSError`."""
    log = path.with_name(f"{path.name}-wal")
    for _ in range(_TRIES):
        before = _marks(path, log)
        data = read_regular(path, _MOST_BYTES)
        written = read_regular(log, _MOST_BYTES) if before[1] is not None else b""
        if _marks(path, log) == before:
            return data, written
        time.sleep(_PAUSE_S)  # another process is writing
    raise OSError(f"{path} was written to all the time")


def _marks(*paths: Path) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for path in paths:
        try:
            status = path.lstat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_size, status.st_mtime_ns))
    return found


def _folder_in_memory() -> str:
    """The service's folder in /run, or else shared memory, or else wherever temporary files go."""
    for candidate in (os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0], _MEMORY):
        if candidate and os.access(candidate, os.W_OK, effective_ids=True):
            return candidate
    return tempfile.gettempdir()
