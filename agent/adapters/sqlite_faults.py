"""Tells a database file that is damaged from a disk that takes nothing at the moment.

Nothing mends the first but another file; the second mends itself.
Source: sqlite.org/rescode.html.
"""

from __future__ import annotations

import sqlite3
from typing import Final

__all__ = ["is_damage"]

_DAMAGE: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ}
)
"""With places of the medium that cannot be read any more."""
_PRIMARY: Final = 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault."""
    code: int | None = getattr(error, "sqlite_errorcode", None)  # only on errors that come from SQLite
    return code is not None and (code in _DAMAGE or code & _PRIMARY in _DAMAGE)
