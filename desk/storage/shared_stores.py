"""Index, notes and claims of an organisation in the desk's PostgreSQL, for its receivers and web processes.

With SQLite they are in the folder, one receiver runs, and PostgreSQL's client stays unloaded. With PostgreSQL, each
machine keeps only the keys of the organisation in its folder: the signing key, the key for tips, and `workers.key`,
which opens the notes.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings

from agent.clients.requester.claims import Claims, SoleReceiver
from agent.clients.requester.folder_index import RequesterIndex
from agent.clients.requester.identity import indexed_tables
from agent.clients.requester.notes import Notes
from agent.clients.requester.sealed_parts import FolderParts, SealedParts

if TYPE_CHECKING:
    from desk.storage.postgres_index import PostgresIndex

__all__ = ["SharedStores", "shared_stores", "worker_stores"]

_GUARD: Final = threading.Lock()
_OPEN: Final[dict[tuple[str, str], PostgresIndex]] = {}
"""One connection for each requester and process: an index serves one thread at a time."""
_ALIVE: Final = {"idle": 4, "interval": 3, "count": 2}
"""TCP keepalive, in seconds and tries: a machine that lost its power gives its claims up after 10 s. While it holds
that to publish, no other worker does, and a doorbell must hear a request within 60 s."""
_UNANSWERED_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class SharedStores:
    """Stores for `Requester.open`, beside the folder and the parts."""

    index: RequesterIndex
    notes: Notes
    claims: Claims


def shared_stores(requester_id: str, folder: Path, parts: SealedParts | None = None) -> SharedStores | None:
    """Returns the stores in PostgreSQL, or None if the desk's database is SQLite. Connects when it is first used."""
    address, schema = _address(), _schema(requester_id)
    if address is None:
        return None
    from desk.storage.postgres_notes import PostgresNotes

    with _GUARD:
        if (address, schema) not in _OPEN:
            _OPEN[address, schema] = _index(address, schema, folder, parts)
        index = _OPEN[address, schema]
    return SharedStores(index, PostgresNotes(index, folder), SoleReceiver())


def worker_stores(requester_id: str, folder: Path, parts: SealedParts | None = None) -> SharedStores | None:
    """Returns the same for a receiver: with a separate connection. Its claims end with it.

    Close the claims afterwards. Without shared parts there is one receiver. Raises `ConfigurationError` if this machine
    cannot open the notes.
    """
    address, schema = _address(), _schema(requester_id)
    if address is None:
        return None
    from desk.storage.postgres_claims import PostgresClaims
    from desk.storage.postgres_notes import PostgresNotes

    index = _index(address, schema, folder, parts, session=True)
    claims: Claims = SoleReceiver() if parts is None else PostgresClaims(index)
    notes = PostgresNotes(index, folder)
    try:
        notes.check()  # before it connects to the broker and claims what it could not read
    except BaseException:
        index.close()
        raise
    return SharedStores(index, notes, claims)


def _index(
    address: str, schema: str, folder: Path, parts: SealedParts | None, *, session: bool = False
) -> PostgresIndex:
    from desk.storage.postgres_index import PostgresIndex
    from desk.storage.postgres_notes import NOTE_TABLE

    tables = indexed_tables(parts if parts is not None else FolderParts(folder / "disclosures"))
    return PostgresIndex(address, schema, folder, (*tables, NOTE_TABLE), session=session)


def _schema(requester_id: str) -> str:
    return "requester_" + requester_id.replace("-", "_")  # an id has no underscore: two ids have two schemas


def _address() -> str | None:
    database = settings.DATABASES["default"]
    if database["ENGINE"] != "django.db.backends.postgresql":
        return None
    from psycopg.conninfo import make_conninfo

    alive = {f"keepalives_{name}": str(value) for name, value in _ALIVE.items()}
    server = {f"tcp_keepalives_{name}": value for name, value in _ALIVE.items()} | {"tcp_user_timeout": _UNANSWERED_MS}
    return make_conninfo(
        host=database["HOST"],
        port=database["PORT"],
        dbname=database["NAME"],
        user=database["USER"],
        password=database["PASSWORD"] or None,
        tcp_user_timeout=str(_UNANSWERED_MS),
        options=" ".join(f"-c {name}={value}" for name, value in server.items()),
        **alive,
    )
