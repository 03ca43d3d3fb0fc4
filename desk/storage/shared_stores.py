"""Index, notes and claims of an organisation in the desk's PostgreSQL, for its receivers and web processes.

With SQLite they are in the folder, one receiver runs, and PostgreSQL's client stays unloaded. With PostgreSQL, each
machine keeps only the keys of the organisation in its folder: the signing key, the key for tips, and `workers.key`,
which opens the notes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings

from agent.clients.requester.claims import Claims, SoleReceiver
from agent.clients.requester.folder_index import RequesterIndex
from agent.clients.requester.identity import indexed_tables
from agent.clients.requester.notes import Notes
from agent.clients.requester.sealed_parts import FolderParts, SealedParts
from desk.periodic import PeriodicThread

if TYPE_CHECKING:
    from desk.storage.postgres_index import PostgresIndex
    from desk.storage.postgres_servers import PostgresServers

__all__ = [
    "POSTGRESQL",
    "SharedStores",
    "database_address",
    "forget_servers",
    "servers_at",
    "shared_stores",
    "watched_servers",
    "worker_stores",
]

POSTGRESQL: Final = "desk.storage.postgres_backend"
"""Django's backend of a desk with PostgreSQL."""

_GUARD: Final = threading.RLock()
_OPEN: Final[dict[tuple[str, str], PostgresIndex]] = {}
"""One connection for each requester and process: an index serves one thread at a time."""
_WATCH_EVERY_S: Final = 10.0
_SERVERS: Final[dict[tuple[str, str, Path], PostgresServers]] = {}


@dataclass(frozen=True, slots=True)
class SharedStores:
    """Stores for `Requester.open`, beside the folder and the parts."""

    index: RequesterIndex
    notes: Notes
    claims: Claims


def shared_stores(requester_id: str, folder: Path, parts: SealedParts | None = None) -> SharedStores | None:
    """Returns the stores in PostgreSQL, or None if the desk's database is SQLite. Connects when it is first used."""
    address, schema = database_address(), _schema(requester_id)
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
    address, schema = database_address(), _schema(requester_id)
    if address is None:
        return None
    from desk.storage.postgres_claims import PostgresClaims
    from desk.storage.postgres_notes import PostgresNotes

    index = _index(address, schema, folder, parts, session=True)
    claims: Claims = SoleReceiver(index.close) if parts is None else PostgresClaims(index)
    notes = PostgresNotes(index, folder)
    try:
        notes.check()  # before it connects to the broker and claims what it could not read
    except BaseException:
        index.close()
        raise
    return SharedStores(index, notes, claims)


def servers_at(host: str, port: int | str) -> PostgresServers:
    """Returns the servers of the desk's database, which all connections of this process share."""
    from desk.storage.postgres_servers import PostgresServers, places_of

    key = host, str(port), Path(settings.DATA)
    with _GUARD:
        if key not in _SERVERS:
            _SERVERS[key] = PostgresServers(places_of(host, port), key[2])
        return _SERVERS[key]


@contextlib.contextmanager
def watched_servers() -> Iterator[None]:
    """Inside it a thread asks all servers of the database again and again. With one server it does nothing."""
    address, database = database_address(), settings.DATABASES["default"]
    if address is None or servers_at(database["HOST"], database["PORT"]).count == 1:
        yield
        return
    import psycopg

    servers = servers_at(database["HOST"], database["PORT"])

    def step() -> None:
        servers.watch(lambda place: psycopg.connect(address, host=place.host, port=place.port, autocommit=True))

    with PeriodicThread("database-servers", step, every_s=_WATCH_EVERY_S):
        yield


def _index(
    address: str, schema: str, folder: Path, parts: SealedParts | None, *, session: bool = False
) -> PostgresIndex:
    from desk.storage.postgres_index import PostgresIndex
    from desk.storage.postgres_notes import NOTE_TABLE

    tables = indexed_tables(parts if parts is not None else FolderParts(folder / "disclosures"))
    database = settings.DATABASES["default"]
    servers = servers_at(database["HOST"], database["PORT"])
    return PostgresIndex(address, schema, folder, (*tables, NOTE_TABLE), session=session, servers=servers)


def _schema(requester_id: str) -> str:
    return "requester_" + requester_id.replace("-", "_")  # an id has no underscore: two ids have two schemas


def forget_servers() -> None:
    """Lets this machine connect to a database that was put back from a backup."""
    if database_address() is not None:
        from desk.storage import postgres_servers

        postgres_servers.forget_servers(settings.DATA)


def database_address() -> str | None:
    """Returns libpq's connection string, which names all servers, or None if the desk's database is SQLite."""
    database = settings.DATABASES["default"]
    if database["ENGINE"] != POSTGRESQL:
        return None
    from psycopg.conninfo import make_conninfo

    return make_conninfo(
        host=database["HOST"],
        port=database["PORT"],
        dbname=database["NAME"],
        user=database["USER"],
        password=database["PASSWORD"] or None,
        **database["OPTIONS"],
    )
