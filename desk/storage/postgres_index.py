"""The index of a requester's folder in PostgreSQL, for several receivers and web processes on several machines.

The statements are those of `FolderIndex`. `_Statements` translates them for PostgreSQL. Each requester has a schema of
the database. It is filled from the folder when it is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import select
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql

from agent.clients.requester.folder_index import IndexConnection, IndexedTable
from agent.errors import ConfigurationError, NetworkError, StorageError
from desk.storage.postgres_servers import PostgresServers, away_error

__all__ = ["PostgresIndex", "lock_of"]

_SCHEMA: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_LOCK: Final = 0x646F6F72
"""Key of the advisory lock under which a schema is made: several processes may start at once."""

_Result = TypeVar("_Result")


class PostgresIndex:
    """The index in `schema` of the database at `address` (a libpq connection string).

    Any thread may use it, one at a time. A lost connection is opened again once for each use. If the answer to a commit
    was lost with it, the transaction runs twice, which each transaction of the index may.

    `servers`: find the primary among the hosts of the address. Without them it has one host.

    `session`: the connection is opened once. When it is lost, each use raises `NetworkError` (`PostgresClaims`).
    """

    def __init__(
        self,
        address: str,
        schema: str,
        folder: Path,
        tables: Sequence[IndexedTable],
        *,
        session: bool = False,
        servers: PostgresServers | None = None,
    ) -> None:
        if not _SCHEMA.fullmatch(schema):
            raise ConfigurationError(f"'{schema}' cannot name a schema.", remedy="Use a-z, 0-9 and _.")
        self.schema = schema
        self._address = address
        self._folder = folder
        self._tables = tables
        self._session = session
        self._servers = servers
        self._guard = threading.RLock()
        self._connection: psycopg.Connection[Any] | None = None
        self._is_lost = False
        self._epoch: object = None
        """That of the connection (`PostgresServers.epoch`)."""
        self._depth = 0
        self.rebuilt = ""

    def read(self, act: Callable[[IndexConnection], _Result]) -> _Result:
        """Runs `act` in a transaction, which may also change what the index does not count."""
        return self._tried(lambda: self._once(act))

    def fetch(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        """Runs one statement, and returns its first row.

        Without BEGIN and COMMIT it is one message and one answer instead of three. A receiver reads some twenty notes
        for each upload that goes on.
        """

        def act(of: IndexConnection) -> tuple[Any, ...] | None:
            row: tuple[Any, ...] | None = of.execute(statement, values).fetchone()
            return row

        return self._tried(lambda: self._once(act, whole=False))

    def write(self, act: Callable[[IndexConnection], _Result]) -> _Result:
        """Runs `act` when no other one runs, as SQLite does, because it reads sums and changes them."""

        def alone(connection: IndexConnection) -> _Result:
            connection.execute("SELECT pg_advisory_xact_lock(?)", (lock_of(self.schema, "index"),)).fetchone()
            return act(connection)

        return self.read(alone)

    def check(self) -> None:
        """Raises `NetworkError` if a session is lost. Asks the server only if it has sent something unasked."""
        with self._guard:
            self._leave_old_primary()
            if self._is_lost:
                raise self._lost()
            connection = self._connection
            if connection is not None and select.select([connection.fileno()], [], [], 0)[0]:
                self._once(lambda of: of.execute("SELECT 1").fetchone())

    def close(self) -> None:
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self._is_lost = self._session

    def _leave_old_primary(self) -> None:
        """Closes the connection if a standby was promoted since it was opened."""
        if self._servers is not None and self._connection is not None and self._epoch != self._servers.epoch:
            self.close()

    def _tried(self, act: Callable[[], _Result]) -> _Result:
        """Runs `act`, and once more if its connection was lost."""
        with self._guard:
            if self._session or self._depth:
                return act()  # an outer transaction has ended with its connection: it runs again as a whole
            try:
                return act()
            except NetworkError:
                self.close()
            return act()

    def _once(self, act: Callable[[IndexConnection], _Result], *, whole: bool = True) -> _Result:
        """`whole`: in a transaction. Otherwise each statement is a separate transaction."""
        if not self._depth:
            self._leave_old_primary()
        if self._is_lost:
            raise self._lost()
        self._depth += 1
        try:
            if self._connection is None:
                self._connection = self._opened()
            with self._connection.transaction() if whole else contextlib.nullcontext():
                return act(_Statements(self._connection))
        except psycopg.Error as error:
            raise self._error(error) from error
        finally:
            self._depth -= 1

    def _error(self, error: psycopg.Error) -> StorageError | NetworkError:
        said = str(error).strip()
        if isinstance(error, psycopg.errors.DiskFull):
            return StorageError(f"PostgreSQL: {error}.", remedy="Free some space on the database server.")
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            # The claims are locks of this session. Another receiver may have taken them since.
            self._is_lost = self._session
            return away_error(error)
        return StorageError(f"PostgreSQL: {said}.", remedy="Read the log of the server.")

    def _lost(self) -> NetworkError:
        return NetworkError(
            "The session with PostgreSQL is lost, and the claims of this worker with it.",
            remedy="Check that it runs, and its address.",
        )

    def _opened(self) -> psycopg.Connection[Any]:
        connection = self._connected()
        try:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                self._make(connection)
            connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(self.schema)))
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self) -> psycopg.Connection[Any]:
        if self._servers is None:
            # Otherwise each read would leave a transaction open, and the server would keep old rows for it.
            return psycopg.connect(self._address, autocommit=True)
        connection, self._epoch = self._servers.connect_in_epoch(
            lambda place: psycopg.connect(self._address, host=place.host, port=place.port, autocommit=True)
        )
        return connection

    def _make(self, connection: psycopg.Connection[Any]) -> None:
        """Makes the schema and fills it from the folder, unless it is there."""
        there = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self.schema,)).fetchone()
        if there is not None:
            return
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self.schema)))
        connection.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(self.schema)))
        statements = _Statements(connection)
        for schema, fill in self._tables:
            for statement in schema.split(";"):
                statements.execute(statement)
            fill(self._folder, statements)


def lock_of(schema: str, name: str) -> int:
    """Returns the 64 bits of an advisory lock. A database has one space of them for all organisations."""
    return int.from_bytes(hashlib.sha256(f"{schema} {name}".encode()).digest()[:8], "big", signed=True)


class _Statements:
    """A connection that takes the index's statements."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[Any] = (), /) -> psycopg.Cursor[Any]:
        return self._connection.execute(_translated(statement).encode(), parameters)


def _translated(statement: str) -> str:
    """Returns the statement in PostgreSQL's words."""
    if not statement.lstrip().startswith("CREATE TABLE"):
        return statement.replace("?", "%s")
    # Ids are compared byte by byte, as SQLite does, and not by the rules of a language.
    columns = statement.replace(" TEXT ", ' TEXT COLLATE "C" ').replace("INTEGER", "BIGINT").replace("BLOB", "BYTEA")
    return re.sub(r"\) STRICT(, WITHOUT ROWID)?", ")", columns)
