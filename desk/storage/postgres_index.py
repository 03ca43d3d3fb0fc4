"""The index of a requester's folder in PostgreSQL, for several receivers and web processes on several machines.

The statements are those of `FolderIndex`. `_Statements` translates them for PostgreSQL. Each requester has a schema of
the database. It is filled from the folder when it is made.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql

from agent.clients.requester.folder_index import IndexConnection, IndexedTable
from agent.errors import ConfigurationError, NetworkError, StorageError

__all__ = ["PostgresIndex"]

_SCHEMA: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_LOCK: Final = 0x646F6F72
"""Key of the advisory lock under which a schema is made: several processes may start at once."""

_Result = TypeVar("_Result")


class PostgresIndex:
    """The index in `schema` of the database at `address` (a libpq connection string).

    Any thread may use it, one at a time. A lost connection is opened again once for each use. If the answer to a commit
    was lost with it, the transaction runs twice, which each transaction of the index may.
    """

    def __init__(self, address: str, schema: str, folder: Path, tables: Sequence[IndexedTable]) -> None:
        if not _SCHEMA.fullmatch(schema):
            raise ConfigurationError(f"'{schema}' cannot name a schema.", remedy="Use a-z, 0-9 and _.")
        self._address = address
        self._schema = schema
        self._folder = folder
        self._tables = tables
        self._guard = threading.RLock()
        self._connection: psycopg.Connection[Any] | None = None
        self.rebuilt = ""

    def read(self, act: Callable[[IndexConnection], _Result]) -> _Result:
        return self.write(act)

    def write(self, act: Callable[[IndexConnection], _Result]) -> _Result:
        with self._guard:
            try:
                return self._once(act)
            except NetworkError:
                self.close()
            return self._once(act)

    def close(self) -> None:
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _once(self, act: Callable[[IndexConnection], _Result]) -> _Result:
        try:
            if self._connection is None:
                self._connection = self._opened()
            with self._connection.transaction():
                return act(_Statements(self._connection))
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if isinstance(error, psycopg.errors.DiskFull):
                raise StorageError(f"PostgreSQL: {error}.", remedy="Free some space on the database server.") from error
            raise NetworkError(
                f"PostgreSQL does not answer: {str(error).strip()}.", remedy="Check that it runs, and its address."
            ) from error
        except psycopg.Error as error:
            raise StorageError(f"PostgreSQL: {str(error).strip()}.", remedy="Read the log of the server.") from error

    def _opened(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self._address, autocommit=True)
        try:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                self._make(connection)
            connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(self._schema)))
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self, connection: psycopg.Connection[Any]) -> None:
        """Makes the schema and fills it from the folder, unless it is there."""
        there = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self._schema,)).fetchone()
        if there is not None:
            return
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self._schema)))
        connection.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(self._schema)))
        statements = _Statements(connection)
        for schema, fill in self._tables:
            for statement in schema.split(";"):
                statements.execute(statement)
            fill(self._folder, statements)


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
    columns = statement.replace(" TEXT ", ' TEXT COLLATE "C" ').replace("INTEGER", "BIGINT")
    return re.sub(r"\) STRICT(, WITHOUT ROWID)?", ")", columns)
