"""Tells a database file that is damaged from a disk that takes nothing at the moment.

Nothing mends the first but another file; the second mends itself.
Source: sqlite.org/rescode.html.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

__all__ = ["MalformedDatabase", "is_damage", "quarantine"]

_DAMAGE: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ}
    | {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT}
)
"""Errors of unreadable places of the medium, of a schema that lacks our words, and of rows that break it: in a sound
file our statements cannot fail in these ways."""
_PRIMARY: Final = 0xFF
_NO_TEXT: Final = "Could not decode to UTF-8"


class MalformedDatabase(sqlite3.DatabaseError):
    """A row holds data that we never wrote: SQLite keeps no checksum of its rows."""


def is_damage(error: Exception) -> bool:
    """Returns True if the file itself is at fault."""
    # The second is how Python fails to say what SQLite quotes from a schema that is spoilt.
    if isinstance(error, MalformedDatabase | UnicodeDecodeError):
        return True
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:  # Python's own
        return isinstance(error, sqlite3.OperationalError) and str(error).startswith(_NO_TEXT)
    return code in _DAMAGE or code & _PRIMARY in _DAMAGE


def quarantine(path: Path) -> None:
    """Moves a file away that no process has open, so that another can take its place. Raises `OSError`."""
    for end in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).replace(f"{path}.damaged{end}")
