"""The index of an organisation's requester: in the desk's PostgreSQL if it has one, otherwise in the folder.

Then several receivers and web processes share it, as they share the desk's own tables.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from django.conf import settings
from psycopg.conninfo import make_conninfo

from agent.clients.requester.folder_index import RequesterIndex
from agent.clients.requester.identity import indexed_tables
from agent.clients.requester.sealed_parts import FolderParts, SealedParts
from desk.storage.postgres_index import PostgresIndex

__all__ = ["shared_index"]

_GUARD: Final = threading.Lock()
_OPEN: Final[dict[tuple[str, str], PostgresIndex]] = {}
"""One connection for each requester and process: an index serves one thread at a time."""


def shared_index(requester_id: str, folder: Path, parts: SealedParts | None = None) -> RequesterIndex | None:
    """Returns the index in PostgreSQL, or None if the desk's database is SQLite. Connects when it is first used."""
    database = settings.DATABASES["default"]
    if database["ENGINE"] != "django.db.backends.postgresql":
        return None
    address = make_conninfo(
        host=database["HOST"],
        port=database["PORT"],
        dbname=database["NAME"],
        user=database["USER"],
        password=database["PASSWORD"] or None,
    )
    # An id has no underscore, so two ids never have the same schema.
    schema = "requester_" + requester_id.replace("-", "_")
    with _GUARD:
        if (address, schema) not in _OPEN:
            tables = indexed_tables(parts if parts is not None else FolderParts(folder / "disclosures"))
            _OPEN[address, schema] = PostgresIndex(address, schema, folder, tables)
        return _OPEN[address, schema]
