"""Index of a requester's folder in one SQLite file, so that the cost of a message is independent of those before it.

- It is a cache. Requests, answers and their proof stay files, and each row can be made again from them. A missing or
  damaged index is rebuilt from the folder; `rebuilt` then says why.
- Several processes use it at once (`receive` beside `request`, or a desk's threads): WAL, one writer at a time. Each
  commit is flushed, because a row is durable before the message that it names.
- A rebuild makes a file of the next number (`index/7.sqlite`). `index/lock` holds the number in use, so a process that
  still has an older file open notices. SQLite forbids to replace a file that others have open.

Source: sqlite.org/wal.html, sqlite.org/howtocorrupt.html section 2.4.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from agent.errors import StorageError
from agent.platform import files
from agent.platform.sqlite_faults import is_damage

__all__ = ["FolderIndex", "IndexConnection", "IndexedTable", "RequesterIndex", "is_id"]

_PATIENCE_S: Final = 30.0
"""Seconds to wait for another process's transaction, which takes milliseconds."""
_NUMBER_BYTES: Final = 16
_ID: Final = re.compile(r"[0-9a-f]{32}")
_NO_FILE: Final = 0
_FILLED: Final = ("requests", "bulletins", "disclosures")
"""Folders of which a folder that was in use has at least one."""

_Result = TypeVar("_Result")


class IndexCursor(Protocol):
    """Rows of a statement."""

    def fetchone(self) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class IndexConnection(Protocol):
    """A database that takes statements in the words that SQLite and PostgreSQL share, with `?` for each value."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> IndexCursor: ...


class RequesterIndex(Protocol):
    """Index of one requester's folder: a SQLite file beside it (`FolderIndex`), or tables of a database server."""

    rebuilt: str

    def read(self, act: Callable[[IndexConnection], _Result]) -> _Result:
        """Returns the result of `act`, which changes nothing and may run twice."""
        ...

    def write(self, act: Callable[[IndexConnection], _Result]) -> _Result:
        """Runs `act` in one durable transaction. It may run twice, the first time without effect."""
        ...


IndexedTable = tuple[str, Callable[[Path, IndexConnection], None]]
"""A schema, and a function that fills its empty tables from the folder."""


def is_id(text: str) -> bool:
    """Returns True if `text` has the form of a request's or disclosure's id. Only then may it become part of a path."""
    return _ID.fullmatch(text) is not None


class FolderIndex:
    """The index of the requester's `folder` with these tables. Any thread may use it. Opens itself when first used.

    All methods raise `StorageError` if the disk fails.
    """

    def __init__(self, folder: Path, tables: Sequence[IndexedTable]) -> None:
        self._folder = folder
        self._path = folder / "index"
        self._tables = tables
        self._guard = threading.RLock()
        self._handles = _Handles()
        self._number = _NO_FILE
        self._is_open = False
        # A requester is dropped without a word by most programs, so the files close with it.
        weakref.finalize(self, self._handles.close)
        self.rebuilt = ""
        """Reason why this process rebuilt the index from the folder. Empty if it did not."""

    def read(self, act: Callable[[IndexConnection], _Result]) -> _Result:
        """Returns the result of `act`. A damaged index is rebuilt, and `act` runs again.

        If the index cannot be opened, for example because the folder is on a read-only disk, `act` reads an index in
        memory, made from the folder once.
        """
        with self._guard:
            try:
                return self._used(act)
            except StorageError:
                if self._is_open:
                    raise
            with self._errors():
                return act(self._in_memory())

    def _used(self, act: Callable[[IndexConnection], _Result]) -> _Result:
        with self._errors():
            for _ in range(2):
                found = self._tried(act)
                if found is not None:
                    return found[0]
            raise sqlite3.DatabaseError("the index is damaged again after it was rebuilt")

    def write(self, act: Callable[[IndexConnection], _Result]) -> _Result:
        """Runs `act` in one durable transaction. It may run twice, the first time without effect."""

        def transaction(connection: IndexConnection) -> _Result:
            connection.execute("BEGIN IMMEDIATE")
            try:
                done = act(connection)
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # SQLite has ended some of them itself
                    connection.execute("ROLLBACK")
                raise
            return done

        with self._guard:
            return self._used(transaction)

    def _tried(self, act: Callable[[IndexConnection], _Result]) -> tuple[_Result] | None:
        """Returns the result, or None after a rebuild."""
        self._is_open = False
        with self._shared():
            try:
                connection = self._opened()
                self._is_open = True
                return (act(connection),)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if not is_damage(error):
                    raise
                reason, number = str(error), self._number
        self._rebuild(reason, number)
        return None

    @contextlib.contextmanager
    def _shared(self) -> Iterator[None]:
        """Holds the lock that keeps a rebuild of another process away. Opens the newest file."""
        if self._handles.process != os.getpid():
            self._leave_to_parent()
        lock = self._handles.lock
        # A lock of a deleted file excludes no other process, which makes a new file of that name.
        if lock is not None and not os.fstat(lock).st_nlink:
            self._handles.close()  # a person has deleted the index
            self._number, lock = _NO_FILE, None
        if lock is None:
            files.make_folder(self._path)
            lock = self._handles.lock = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            number = _in_use(lock)
            if number == _NO_FILE or not files.is_file(self._file(number)):
                self._build(lock)
            elif number != self._number:
                self._handles.close_connection()
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)

    def _opened(self) -> sqlite3.Connection:
        connection, lock = self._handles.connection, self._handles.lock
        if connection is None:
            self._number = _in_use(lock) if lock is not None else _NO_FILE
            connection = self._handles.connection = _connect(self._file(self._number))
        return connection

    def _rebuild(self, reason: str, number: int) -> None:
        """Makes a new file in place of the damaged one of that number, unless another process has done so."""
        lock = self._handles.lock
        if lock is None:
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if _in_use(lock) == number:
                self._build(lock, reason)
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)

    def _build(self, lock: int, reason: str = "") -> None:
        """Makes a new file from the folder and puts it in use. Leaves a shared lock."""
        fcntl.flock(lock, fcntl.LOCK_EX)  # a shared lock becomes exclusive, but not atomically: look again
        number = _in_use(lock)
        if not reason and number != _NO_FILE and files.is_file(self._file(number)):
            fcntl.flock(lock, fcntl.LOCK_SH)
            return
        self._handles.close_connection()
        self._remove_others(number)
        self._make(self._file(number + 1))
        os.pwrite(lock, b"%-*d" % (_NUMBER_BYTES, number + 1), 0)
        # The file of the old number goes only afterwards, so that a power cut leaves a number with its file.
        os.fsync(lock)
        self._remove_others(number + 1)
        if any(files.is_folder(self._folder / name) for name in _FILLED):
            self.rebuilt = f"It was damaged: {reason}" if reason else "It was missing."
        fcntl.flock(lock, fcntl.LOCK_SH)

    def _make(self, path: Path) -> None:
        connection = _connect(path)
        try:
            self._fill(connection)
        finally:
            connection.close()
        files.sync_folder(self._path)

    def _in_memory(self) -> sqlite3.Connection:
        if self._handles.memory is None:
            self._handles.memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._fill(self._handles.memory)
        return self._handles.memory

    def _fill(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for schema, fill in self._tables:
            for statement in schema.split(";"):
                connection.execute(statement)
            fill(self._folder, connection)
        connection.execute("COMMIT")

    def _file(self, number: int) -> Path:
        return self._path / f"{number}.sqlite"

    def _remove_others(self, number: int) -> None:
        for found in self._path.glob("*.sqlite*"):
            if found.name.partition(".")[0] != str(number):
                found.unlink(missing_ok=True)

    def _leave_to_parent(self) -> None:
        """After a fork: the open file belongs to the other process, and closing it here would disturb its locks."""
        _LEFT.append(self._handles)
        self._handles, self._number = _Handles(), _NO_FILE
        weakref.finalize(self, self._handles.close)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{self._path}: {error}.",
                remedy="Check the free space and the permissions. Nothing is lost: the folder has every message.",
            ) from error


class _Handles:
    """Open files of one process."""

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.memory: sqlite3.Connection | None = None
        self.lock: int | None = None
        self.process = os.getpid()

    def close(self) -> None:
        if self.process != os.getpid():
            return
        self.close_connection()
        if self.memory is not None:
            self.memory.close()
            self.memory = None
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def close_connection(self) -> None:
        if self.connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self.connection.close()
            self.connection = None


_LEFT: Final[list[_Handles]] = []
"""Files of a parent process. A child keeps them open."""


def _in_use(lock: int) -> int:
    """Returns the number of the file in use."""
    text = os.pread(lock, _NUMBER_BYTES, 0).strip()
    return int(text) if text.isdigit() else _NO_FILE


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE_S)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection
