"""The servers of PostgreSQL that `[database] host` names: which one is the primary, and which one was replaced.

A connection goes to the server that takes writes. Each promotion of a standby begins a new timeline, and the highest
one that this machine has used is in `data/database.json`. A server on a lower timeline is an old primary that came
back: its commits would be lost, so it is refused. All servers are asked before the first connection, and whenever the
one in use fails: the highest timeline wins. Decision 0082 says what else must keep an old primary away. A server that
does not answer in time, because it hangs, counts as one that is away.

Source: PostgreSQL 17, section 26.3 (failover) and section 26.2.8 (synchronous replication).
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

import msgspec
import psycopg
import structlog

from agent.errors import NetworkError, StorageError
from agent.platform import files
from agent.wire.strictjson import PreparedMeta
from desk.storage.folder_lock import folder_lock, leave_to_owner

__all__ = [
    "LIMITS",
    "DatabasePlace",
    "PostgresServers",
    "ReplacedServerError",
    "Server",
    "away_error",
    "forget_servers",
    "known_remedy",
    "places_of",
    "tls_parameters",
]

_NOTE: Final = "database.json"
_NOTE_BYTES: Final = 4096
_MOST_CLUSTERS: Final = 8
"""Clusters in the note. A desk gets another one with a restore, or with a new major version."""
_ALIVE: Final = {"idle": 4, "interval": 3, "count": 2}
"""TCP keepalive, in seconds and tries: a server that lost its power is noticed after 10 s, and a machine that lost its
power gives its claims up after 10 s. While it holds that to publish, no other worker does, and a doorbell must hear a
request within 60 s."""
_UNANSWERED_MS: Final = 10_000
_CONNECT_S: Final = 4
_LOOK_S: Final = 4.0
"""Time for the answer to the first question. If PostgreSQL hangs, its kernel keeps connections up."""
LIMITS: Final = {
    "connect_timeout": str(_CONNECT_S),
    "tcp_user_timeout": str(_UNANSWERED_MS),
    **{f"keepalives_{name}": str(value) for name, value in _ALIVE.items()},
    "options": " ".join(
        f"-c {name}={value}"
        for name, value in (
            *((f"tcp_keepalives_{name}", value) for name, value in _ALIVE.items()),
            ("tcp_user_timeout", _UNANSWERED_MS),
        )
    ),
}
"""Parameters of each connection (libpq). There is no `statement_timeout`: a commit that waits for a standby counts as
done if it is cancelled."""
_LOOK: Final = """
SELECT
  CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
  (SELECT system_identifier::text FROM pg_control_system()),
  current_setting('transaction_read_only'),
  current_setting('synchronous_standby_names'),
  (SELECT checkpoint_lsn::text FROM pg_control_checkpoint()),
  set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply')
    THEN current_setting('synchronous_commit') ELSE 'on' END, false)
"""
"""The file that is written now names the timeline. `pg_control_checkpoint` names that of the last checkpoint, which is
the old one for some time after a promotion. A commit is durable before it is acknowledged, whatever the default of the
server is."""
_BARRIER: Final = "SELECT pg_logical_emit_message(true, 'doorward-desk', '')"
"""A commit that changes nothing, and that waits for the standby as each commit does."""
_REMEDIES: Final = (
    (
        re.compile(r"\bcertificate\b|does not support SSL|no encryption"),
        "Name the authority of the server's certificate in [database] authority, and in [database] host a name that is "
        "in the certificate. The server needs ssl = on (docs/desk.md, TLS to the database).",
    ),
    (
        re.compile("could not find digest"),
        "Make the server's certificate with an elliptic curve (docs/desk.md, TLS to the database). A password is not "
        "bound to an Ed25519 certificate.",
    ),
    (
        re.compile(r"too many (clients|connections)|connection slots"),
        "Raise max_connections on the server (docs/desk.md, Connections to the database).",
    ),
    (
        re.compile(
            r"no password supplied|password authentication failed|role \"[^\"]*\" does not exist|no pg_hba.conf entry"
        ),
        "Check user and password_file in desk.toml, [database], and pg_hba.conf on the server (docs/desk.md, "
        "PostgreSQL in place of a file).",
    ),
    (
        re.compile(r"database \"[^\"]*\" does not exist|permission denied for (schema|database|table)"),
        "Make the database for the desk's user (docs/desk.md, PostgreSQL in place of a file): createdb "
        "--owner=doorward_desk doorward_desk",
    ),
)
"""Words of libpq and of a server in English, and what to do."""
_log: Final = structlog.get_logger(__name__)

Open = Callable[["DatabasePlace"], psycopg.Connection[Any]]
"""Opens a connection to one server. Raises `psycopg.OperationalError`."""


Epoch = tuple[str, int, "DatabasePlace | None"]
"""Cluster, timeline and server. Two standbys that are both promoted begin the same timeline with different commits."""


class ReplacedServerError(psycopg.OperationalError):
    """This server was the primary once. A standby was promoted since then."""


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """One server: a host name, an address, or the folder of a socket."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Server:
    """Whether a server takes writes, and its place in the history of its cluster."""

    cluster: str
    timeline: int
    """0 for a standby."""
    takes_writes: bool
    waits_for: str
    """The standbys for which a commit waits (`synchronous_standby_names`). Empty: for none."""
    checkpoint: str = ""
    """The last checkpoint. There is a new one after each crash, before a connection is let in."""


_Rank = tuple[bool, int, bool]


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True, metaclass=PreparedMeta):
    """Clusters and their highest timelines, in the order in which the desk used them. The last one is in use."""

    clusters: tuple[tuple[str, int], ...] = ()
    place: str = ""
    """The server in use. All processes with this data folder use the same one of two that were both promoted."""

    def is_of(self, place: DatabasePlace, server: Server) -> bool:
        """Returns True if the note says that this server is in use."""
        return self.place == str(place) and bool(self.clusters) and self.clusters[-1] == _history(server)


def places_of(host: str, port: int | str) -> tuple[DatabasePlace, ...]:
    """Returns the servers of a setting in libpq's form: `a,b` and one port, or a port for each. Raises `ValueError`."""
    hosts = [each.strip() for each in host.split(",")]
    ports = [int(each) for each in str(port).split(",")]
    if len(ports) == 1:
        ports *= len(hosts)
    if not all(hosts) or len(ports) != len(hosts):
        raise ValueError(host, port)
    return tuple(DatabasePlace(*each) for each in zip(hosts, ports, strict=True))


class PostgresServers:
    """The servers of one desk. Any thread may use it.

    `data`: folder of the note. Without that folder nothing is noted.
    """

    def __init__(self, places: Sequence[DatabasePlace], data: Path) -> None:
        self._places = tuple(places)
        self._data = data
        self._guard = threading.Lock()
        self._chosen: DatabasePlace | None = None
        self._is_warned = False
        self.twins = 0
        """Other servers that `watch` found to take writes on the timeline in use. Each lacks commits of the rest."""
        self._settled: tuple[str, int, str] | None = None
        """Cluster, timeline and checkpoint of the server whose commits are known to be on a standby."""
        self.epoch: Epoch = ("", 0, None)
        """The epoch in use. A connection that was opened in another epoch may be to an old primary."""
        self._sessions: weakref.WeakKeyDictionary[psycopg.Connection[Any], Epoch] = weakref.WeakKeyDictionary()
        """The connections of this process that are in use, for `watch`."""

    @property
    def count(self) -> int:
        return len(self._places)

    def connect(self, open_at: Open) -> psycopg.Connection[Any]:
        """Returns a connection to the primary.

        Raises `psycopg.OperationalError`, which names each server, and `ReplacedServerError` if only an old primary is
        there.
        """
        return self.connect_in_epoch(open_at)[0]

    def connect_in_epoch(self, open_at: Open) -> tuple[psycopg.Connection[Any], Epoch]:
        """Returns the same with the epoch of the connection. `epoch` may be another one by now: another thread may have
        found a promotion."""
        connection, epoch = self._connected(open_at)
        if self.count > 1:
            with self._guard:
                self._sessions[connection] = epoch
        return connection, epoch

    def _connected(self, open_at: Open) -> tuple[psycopg.Connection[Any], Epoch]:
        chosen = self._chosen
        if chosen is not None:
            with contextlib.suppress(psycopg.OperationalError):
                connection, server = _opened(chosen, open_at)
                if server.takes_writes and not self._is_left(chosen, server):
                    with _closed_by_errors(connection):
                        epoch = self._admit(chosen, server)
                        self._settle(connection, server)
                    return connection, epoch
                connection.close()
        return self._choose(open_at)

    def watch(self, open_at: Open) -> None:
        """Asks all servers, and goes over to one that was promoted while the old primary went on, or hangs."""
        known = self._read()
        found = [
            (self._rank(place, server, known), place, server)
            for place, server in self.look(open_at)
            if _takes_writes(server)
        ]
        self.twins = 0
        if found:
            _, place, server = max(found, key=lambda each: each[0])
            self._admit(place, server)
            self._chosen = place
            twins = [str(each) for _, each, other in found if _is_twin(other, server)]
            self.twins = len(twins)
            if twins:
                _log.error("another server takes writes on the same timeline", used=str(place), others=", ".join(twins))
            self._end_old_sessions()

    def _end_old_sessions(self) -> None:
        """Lets threads go on that wait for an answer of a server that was replaced, and that may hang."""
        with self._guard:
            old = [each for each, epoch in self._sessions.items() if epoch != self.epoch]
            for each in old:
                del self._sessions[each]
        for each in old:
            _cut(each)

    def look(self, open_at: Open) -> Iterator[tuple[DatabasePlace, Server | str]]:
        """Yields what each server is, or why it does not answer."""
        for place in self._places:
            try:
                connection, server = _opened(place, open_at)
            except psycopg.Error as error:
                yield place, _said(error)
            else:
                connection.close()
                yield place, server

    def _choose(self, open_at: Open) -> tuple[psycopg.Connection[Any], Epoch]:
        """Asks all servers. The one that takes writes on the highest timeline of the cluster in use is the primary."""
        known = self._read()
        best: tuple[_Rank, DatabasePlace, Server, psycopg.Connection[Any]] | None = None
        said, failed = [], None
        for place in self._places:
            try:
                connection, server = _opened(place, open_at)
            except psycopg.Error as error:
                failed = error
                said.append(f"{place}: {_said(error)}")
                continue
            rank = self._rank(place, server, known)
            if not server.takes_writes:
                said.append(f"{place}: it is a standby")
            if not server.takes_writes or (best is not None and rank <= best[0]):
                connection.close()
                continue
            if best is not None:
                best[3].close()
            best = rank, place, server, connection
        if best is None:
            self._chosen = None
            if failed is not None and len(self._places) == 1:
                raise failed  # it names the server
            raise psycopg.OperationalError(f"no server takes writes. {'; '.join(said)}")
        _, place, server, connection = best
        # No other thread may use it before its timeline is noted and its commits are known to be on a standby.
        self._chosen = None
        with _closed_by_errors(connection):
            epoch = self._admit(place, server)
            self._settle(connection, server)
        self._chosen = place
        self._warn(server)
        return connection, epoch

    def _rank(self, place: DatabasePlace, server: Server, known: _Note) -> _Rank:
        """The server in use stays, if two are on one timeline."""
        in_use = known.clusters[-1][0] if known.clusters else ""
        return server.cluster == in_use, server.timeline, str(place) == (known.place or str(self.epoch[2]))

    def _is_left(self, place: DatabasePlace, server: Server) -> bool:
        """Returns True if another process uses another server on this timeline. All are asked then."""
        known = self._read()
        is_same = bool(known.clusters) and known.clusters[-1] == _history(server)
        return is_same and known.place != str(place) and known.place in map(str, self._places)

    def _admit(self, place: DatabasePlace, server: Server) -> Epoch:
        """Notes the server's timeline. Raises `ReplacedServerError` if a higher one was used."""
        with self._guard:  # a thread that found the old primary must not put its epoch after that of the new one
            known = self._read()
            if not known.is_of(place, server) and files.is_folder(self._data):
                self._write(place, server)
            self.epoch = epoch = server.cluster, server.timeline, place
        return epoch

    def _write(self, place: DatabasePlace, server: Server) -> None:
        with folder_lock(self._data / f"{_NOTE}.lock"):
            known = self._read()
            seen = dict(known.clusters)
            if server.timeline < seen.get(server.cluster, 0):
                raise ReplacedServerError(
                    f"{place} is an old primary: it is on timeline {server.timeline}, and this desk has used timeline "
                    f"{seen[server.cluster]}"
                )
            if server.cluster in seen and known.clusters[-1][0] != server.cluster:
                raise ReplacedServerError(f"{place} is of a cluster that this desk has left for another one")
            if known.clusters and server.cluster not in seen:
                _log.warning("another cluster of PostgreSQL", place=str(place))
            seen[server.cluster] = server.timeline
            note = _Note(tuple(seen.items())[-_MOST_CLUSTERS:], str(place))
            files.write(self._data / _NOTE, msgspec.json.encode(note))
            leave_to_owner(self._data / _NOTE)

    def _read(self) -> _Note:
        path = self._data / _NOTE
        data = files.read_if_there(path, _NOTE_BYTES) if files.is_folder(self._data) else None
        if data is None:
            return _Note()
        try:
            return msgspec.json.decode(data, type=_Note)
        except msgspec.DecodeError as error:
            raise StorageError(
                f"{path} is damaged.",
                remedy="Make sure that no old primary of PostgreSQL runs, then delete the file.",
            ) from error

    def _settle(self, connection: psycopg.Connection[Any], server: Server) -> None:
        """Waits until a standby has all that this server has committed, once after each of its checkpoints."""
        # A server that crashed shows commits that were waiting for the standby, and that no client was told of. A
        # program that tries again finds them done, writes nothing, and would acknowledge what a promotion loses.
        start = server.cluster, server.timeline, server.checkpoint
        if server.waits_for and self._settled != start:
            connection.execute(_BARRIER)
            connection.commit()
            self._settled = start

    def _warn(self, server: Server) -> None:
        """Says once that a promoted standby could lack what was acknowledged."""
        with self._guard:
            is_new, self._is_warned = not self._is_warned, True
        if is_new and self.count > 1 and not server.waits_for:
            _log.warning("commits wait for no standby", remedy="Set synchronous_standby_names, or read docs/desk.md.")


def _history(server: Server) -> tuple[str, int]:
    return server.cluster, server.timeline


def _is_twin(one: Server, other: Server) -> bool:
    """Returns whether two servers take writes on one timeline."""
    # Two names of one server have the same checkpoint.
    return (one.cluster, one.timeline) == (other.cluster, other.timeline) and one.checkpoint != other.checkpoint


def _takes_writes(found: Server | str) -> TypeGuard[Server]:
    return not isinstance(found, str) and found.takes_writes


def _opened(place: DatabasePlace, open_at: Open) -> tuple[psycopg.Connection[Any], Server]:
    """Returns a connection whose commits are durable before they are acknowledged, and what its server is."""
    connection = open_at(place)
    with _closed_by_errors(connection):
        timeline, cluster, read_only, waits_for, checkpoint, _ = _answer(connection, _LOOK_S)
    takes_writes = timeline != "" and read_only == "off"
    return connection, Server(cluster, int(timeline or "0", 16), takes_writes, waits_for, checkpoint)


def _answer(connection: psycopg.Connection[Any], within_s: float) -> Sequence[str]:
    """Returns the row of `_LOOK`, which is a whole transaction. Raises `psycopg.Error`, also if it comes too late.

    `statement_timeout` is no bound: a server that hangs does not look at its clock.
    """
    client, deadline_s = connection.pgconn, time.monotonic() + within_s
    client.send_query(_LOOK.encode())
    ready = select.poll()
    ready.register(client.socket, select.POLLIN)
    while client.flush() or client.is_busy():
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not ready.poll(left_s * 1000):
            raise psycopg.OperationalError(f"it is connected, and does not answer within {within_s:g} s")
        client.consume_input()
    results = []
    while (result := client.get_result()) is not None:
        results.append(result)
    if results[0].status != psycopg.pq.ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(results[0])
    return [(results[0].get_value(0, column) or b"").decode() for column in range(results[0].nfields)]


@contextlib.contextmanager
def _closed_by_errors(connection: psycopg.Connection[Any]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _cut(connection: psycopg.Connection[Any]) -> None:
    """Ends a connection that another thread may be waiting for, or be closing. That thread gets `OperationalError`."""
    with contextlib.suppress(OSError, psycopg.OperationalError):  # it is closed
        own = os.dup(connection.fileno())
        with socket.socket(fileno=own) as same:
            if not connection.closed:  # otherwise the number may have been that of another file by then
                same.shutdown(socket.SHUT_RDWR)


def forget_servers(data: Path) -> None:
    """Lets this machine connect to a database that was put back from a backup."""
    (data / _NOTE).unlink(missing_ok=True)


def away_error(error: BaseException | None) -> NetworkError:
    """Returns what a person reads about a database that is out of reach, or is an old primary."""
    said = _said(error)
    if isinstance(error, ReplacedServerError):
        return NetworkError(
            f"PostgreSQL: {said}.",
            remedy="Stop that server and make it a standby of the new primary. "
            "If you put it back from a backup: doorward-desk restored.",
        )
    if remedy := known_remedy(said):
        return NetworkError(f"PostgreSQL: {said}.", remedy=remedy)
    return NetworkError(f"PostgreSQL does not answer: {said}.", remedy="Check that it runs, and its address.")


def known_remedy(said: str) -> str:
    """Returns what to do about this error of libpq, or an empty text: the server may be down."""
    return next((remedy for words, remedy in _REMEDIES if words.search(said)), "")


def tls_parameters(authority: Path | None) -> dict[str, str]:
    """Returns libpq's parameters for `[database] authority`. A socket has no TLS with them, either.

    A ticket of Kerberos must not take the place of the certificate (`gssencmode`).
    """
    if authority is None:
        return {}
    return {"sslmode": "verify-full", "sslrootcert": str(authority), "gssencmode": "disable"}


def _said(error: BaseException | None) -> str:
    return " ".join(str(error).split()).rstrip(".?")
