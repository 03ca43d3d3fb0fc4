"""A primary of PostgreSQL and its standby: the primary dies while an answer arrives, and comes back by mistake."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import structlog
from django.db import OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agent.clients.requester.sequence_numbers import SequenceCounter
from agent.errors import NetworkError, StorageError
from desk import cli, figures
from desk.storage import postgres_servers, shared_stores
from desk.storage.database_command import report
from desk.storage.postgres_backend.base import DatabaseWrapper
from desk.storage.postgres_index import PostgresIndex
from desk.storage.postgres_servers import (
    LIMITS,
    DatabasePlace,
    PostgresServers,
    ReplacedServerError,
    Server,
    forget_servers,
    places_of,
)
from tests.clients.requester.conftest import gops, house
from tests.clients.requester.doors import TestClock
from tests.clients.requester.house import House
from tests.clients.requester.test_receiving_service import broker, clock
from tests.desk.storage.test_workers import Agency, door_of, play, require_whole_and_once
from tests.fake_bus import FakeBroker
from tests.lengths import LONG
from tests.postgres import PostgresServer, postgres_pair, postgres_server

__all__ = ["broker", "clock", "gops", "house"]

OURS, OTHER = "7713609342307113383", "7713609342307110000"


# -- which server is the primary ---------------------------------------------------------------------------------------


class FakeConnection(SimpleNamespace):
    """A connection that `Cluster` opened. It has no socket, as one that was closed."""

    __hash__ = object.__hash__

    def fileno(self) -> int:
        raise psycopg.OperationalError("the connection is closed")


class Cluster:
    """Servers by port, which answer the question of a new connection, and how often each was asked."""

    def __init__(self, folder: Path) -> None:
        self.servers: dict[int, Server | None] = {}
        self.asked: list[int] = []
        self.open: list[int] = []
        self.barriers = 0
        self.folder = folder

    def begin(self, **servers: tuple[str, int] | None) -> PostgresServers:
        """Returns what a process has at its start."""
        for number, (name, each) in enumerate(servers.items()):
            assert name == "ab"[number]
            self.servers[number] = each and Server(*each, bool(each[1]), "", "0/1")
        return PostgresServers(places_of("a,b", "0,1"), self.folder)

    def connect(self, place: DatabasePlace) -> Any:
        self.asked.append(place.port)
        server = self.servers[place.port]
        if server is None:
            raise psycopg.OperationalError("connection refused")
        self.open.append(place.port)
        timeline = f"{server.timeline:08X}" if server.timeline else ""

        def execute(query: str) -> None:
            self.barriers += "pg_logical_emit_message" in query

        return FakeConnection(
            place=place,
            answer=(timeline, server.cluster, "off", server.waits_for, server.checkpoint, "on"),
            execute=execute,
            commit=lambda: None,
            close=lambda: self.open.remove(place.port),
        )


@pytest.fixture(autouse=True)
def _answers_of_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = postgres_servers._answer

    def answer(connection: Any, within_s: float) -> Any:
        return getattr(connection, "answer", None) or ask(connection, within_s)

    monkeypatch.setattr(postgres_servers, "_answer", answer)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_a_standby_is_asked_and_left_and_the_primary_is_used_from_then_on(cluster: Cluster) -> None:
    servers = cluster.begin(a=(OURS, 0), b=(OURS, 1))
    assert str(servers.connect(cluster.connect).place) == "b:1"  # type: ignore[attr-defined]
    servers.connect(cluster.connect)
    assert (cluster.asked, cluster.open) == ([0, 1, 1], [1, 1])


def test_all_servers_are_asked_again_once_the_primary_is_away_or_was_made_a_standby(cluster: Cluster) -> None:
    for gone in (None, (OURS, 0)):
        servers = cluster.begin(a=(OURS, 3), b=(OURS, 0))
        forget_servers(cluster.folder)
        assert servers.connect(cluster.connect).place.port == 0  # type: ignore[attr-defined]
        cluster.begin(a=gone, b=(OURS, 4))
        assert servers.connect(cluster.connect).place.port == 1  # type: ignore[attr-defined]


def test_of_two_servers_that_take_writes_the_one_that_was_promoted_last_is_used(cluster: Cluster) -> None:
    assert cluster.begin(a=(OURS, 1), b=(OURS, 2)).connect(cluster.connect).place.port == 1  # type: ignore[attr-defined]
    assert cluster.open == [1], "no connection to the other one is left"
    assert cluster.begin(a=(OURS, 10), b=(OURS, 9)).connect(cluster.connect).place.port == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("b", [None, (OURS, 0)])
def test_an_old_primary_is_refused_also_by_a_process_that_begins(cluster: Cluster, b: tuple[str, int] | None) -> None:
    cluster.begin(a=None, b=(OURS, 2)).connect(cluster.connect)
    servers, before = cluster.begin(a=(OURS, 1), b=b), list(cluster.open)
    for _ in range(2):
        with pytest.raises(ReplacedServerError, match=r"a:0 is an old primary.* timeline 1.* timeline 2"):
            servers.connect(cluster.connect)
    assert cluster.open == before
    cluster.begin(a=(OURS, 1), b=(OURS, 2))
    assert servers.connect(cluster.connect).place.port == 1  # type: ignore[attr-defined]


def test_a_process_that_knew_the_old_primary_leaves_it_once_another_process_noted_a_promotion(
    cluster: Cluster,
) -> None:
    servers = cluster.begin(a=(OURS, 1), b=(OURS, 0))
    servers.connect(cluster.connect)
    other = PostgresServers(places_of("a,b", "0,1"), cluster.folder)
    cluster.begin(a=None, b=(OURS, 2))
    other.connect(cluster.connect)
    cluster.begin(a=(OURS, 1), b=(OURS, 2))
    assert servers.connect(cluster.connect).place.port == 1  # type: ignore[attr-defined]


def test_a_standby_that_was_promoted_beside_its_primary_is_found_and_the_primary_is_left(cluster: Cluster) -> None:
    servers = cluster.begin(a=(OURS, 1), b=(OURS, 0))
    servers.connect(cluster.connect)
    servers.watch(cluster.connect)
    assert servers.epoch[:2] == (OURS, 1)
    cluster.begin(a=(OURS, 1), b=(OURS, 2))
    assert servers.connect(cluster.connect).place.port == 0, "it is not known yet"  # type: ignore[attr-defined]
    servers.watch(cluster.connect)
    assert servers.epoch[:2] == (OURS, 2)
    assert servers.connect(cluster.connect).place.port == 1  # type: ignore[attr-defined]
    cluster.begin(a=None, b=None)
    servers.watch(cluster.connect)
    assert servers.epoch[:2] == (OURS, 2)


def test_a_session_that_opened_as_a_promotion_was_found_is_none_of_the_new_primary(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that watches may find the promotion after the old primary was asked and before its session begins."""
    servers = cluster.begin(a=(OURS, 1), b=(OURS, 0))
    settle = servers._settle

    def promote(*given: Any) -> None:
        settle(*given)
        cluster.begin(a=(OURS, 1), b=(OURS, 2))
        servers.watch(cluster.connect)

    monkeypatch.setattr(servers, "_settle", promote)
    monkeypatch.setattr(psycopg, "connect", lambda _, host, port, **_more: cluster.connect(DatabasePlace(host, port)))
    index = PostgresIndex("", "any", tmp_path, (), session=True, servers=servers)
    index._connection = index._connected()
    assert index._connection.place.port == 0  # type: ignore[attr-defined]
    index._leave_old_primary()
    assert index._is_lost


def test_a_thread_that_found_the_old_primary_does_not_bring_its_timeline_back(cluster: Cluster) -> None:
    servers = cluster.begin(a=(OURS, 1), b=(OURS, 0))
    servers.connect(cluster.connect)
    read, entered, over = servers._read, threading.Event(), threading.Event()

    def slow() -> Any:
        known = read()
        if threading.current_thread() is not threading.main_thread() and not entered.is_set():
            entered.set()
            over.wait(5)
        return known

    servers._read = slow  # type: ignore[method-assign]
    old = threading.Thread(target=servers._admit, args=(DatabasePlace("a", 0), Server(OURS, 1, True, "")))
    old.start()
    assert entered.wait(60)
    cluster.begin(a=(OURS, 1), b=(OURS, 2))
    threading.Timer(0.2, over.set).start()
    servers.watch(cluster.connect)
    over.set()
    old.join()
    assert servers.epoch[:2] == (OURS, 2)


def test_of_two_standbys_that_were_both_promoted_the_one_in_use_stays_and_its_sessions_are_not_those_of_the_other(
    cluster: Cluster,
) -> None:
    """Both begin the same timeline, and each has commits that the other lacks."""
    servers = cluster.begin(a=None, b=(OURS, 2))
    servers.connect(cluster.connect)
    used = servers.epoch
    cluster.begin(a=(OURS, 2), b=(OURS, 2))
    cluster.servers[0] = Server(OURS, 2, True, "", "0/9")
    with structlog.testing.capture_logs() as logged:
        servers.watch(cluster.connect)
    assert [each["others"] for each in logged] == ["a:0"]
    assert servers.twins == 1
    assert servers.connect(cluster.connect).place.port == 1  # type: ignore[attr-defined]
    assert servers.epoch == used
    cluster.servers[1] = None
    assert servers.connect(cluster.connect).place.port == 0  # type: ignore[attr-defined]
    assert servers.epoch != used, "sessions with the other one end"
    servers.watch(cluster.connect)
    assert servers.twins == 0


def test_the_processes_of_one_machine_use_the_same_one_of_two_standbys_that_were_both_promoted(
    cluster: Cluster,
) -> None:
    """Also after a restart. The data folder says which one."""
    used = cluster.begin(a=None, b=(OURS, 2))
    used.connect(cluster.connect)

    def both() -> PostgresServers:
        began = cluster.begin(a=(OURS, 2), b=(OURS, 2))
        cluster.servers[0] = Server(OURS, 2, True, "", "0/9")
        return began

    other = both()
    assert other.connect(cluster.connect).place.port == 1  # type: ignore[attr-defined]
    cluster.servers[1] = None
    assert other.connect(cluster.connect).place.port == 0  # type: ignore[attr-defined]
    both()
    assert used.connect(cluster.connect).place.port == 0, "the other process went over, so this one does"  # type: ignore[attr-defined]
    for each in (used, other):
        each.watch(cluster.connect)
        assert each.epoch == (OURS, 2, DatabasePlace("a", 0))


def test_a_process_stays_with_its_server_if_the_one_of_another_process_is_out_of_its_reach(cluster: Cluster) -> None:
    servers = cluster.begin(a=(OURS, 2), b=None)
    servers.connect(cluster.connect)
    cluster.begin(a=None, b=(OURS, 2))
    PostgresServers(places_of("a,b", "0,1"), cluster.folder).connect(cluster.connect)
    cluster.begin(a=(OURS, 2), b=None)
    assert servers.connect(cluster.connect).place.port == 0  # type: ignore[attr-defined]
    cluster.begin(a=(OURS, 2), b=None)
    assert PostgresServers(places_of("a", "0"), cluster.folder).connect(cluster.connect).place.port == 0  # type: ignore[attr-defined]


def test_after_each_start_of_a_primary_a_commit_waits_until_a_standby_has_all_that_it_shows(cluster: Cluster) -> None:
    servers = cluster.begin(a=(OURS, 1), b=(OURS, 0))
    servers.connect(cluster.connect)
    assert cluster.barriers == 0, "it waits for no standby"
    for checkpoint, barriers in (("0/2", 1), ("0/2", 1), ("0/3", 2)):
        cluster.servers[0] = Server(OURS, 1, True, "*", checkpoint)
        servers.connect(cluster.connect)
        assert cluster.barriers == barriers
    PostgresServers(places_of("a,b", "0,1"), cluster.folder).connect(cluster.connect)
    assert cluster.barriers == 3, "another process does not know it"


def test_if_no_server_takes_writes_the_error_names_each_one(cluster: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"a:0: connection refused; b:1: it is a standby"):
        cluster.begin(a=None, b=(OURS, 0)).connect(cluster.connect)
    found = dict(cluster.begin(a=None, b=(OURS, 0)).look(cluster.connect))
    assert list(map(str, found)) == ["a:0", "b:1"]
    assert list(found.values()) == ["connection refused", Server(OURS, 0, False, "", "0/1")]
    assert cluster.open == []


def test_a_new_cluster_is_used_and_the_one_before_is_refused_until_it_is_put_back(cluster: Cluster) -> None:
    cluster.begin(a=(OURS, 5), b=None).connect(cluster.connect)
    cluster.begin(a=(OTHER, 1), b=None).connect(cluster.connect)
    with pytest.raises(ReplacedServerError, match="left for another"):
        cluster.begin(a=(OURS, 6), b=None).connect(cluster.connect)
    both = cluster.begin(a=(OURS, 6), b=(OTHER, 1))
    assert both.connect(cluster.connect).place.port == 1, "that of the cluster in use"  # type: ignore[attr-defined]
    forget_servers(cluster.folder)
    cluster.begin(a=(OURS, 4), b=None).connect(cluster.connect)


def test_a_damaged_note_is_no_leave_to_use_an_old_primary(cluster: Cluster) -> None:
    (cluster.folder / "database.json").write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        cluster.begin(a=(OURS, 1), b=None).connect(cluster.connect)
    assert cluster.open == []


def test_a_process_without_a_data_folder_notes_nothing(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "missing")
    cluster.begin(a=(OURS, 2), b=None).connect(cluster.connect)
    assert not cluster.folder.exists()


def test_one_port_counts_for_all_hosts() -> None:
    assert [str(each) for each in places_of("/run/a, b.example", 5433)] == ["/run/a:5433", "b.example:5433"]
    for hosts, ports in (("a,b,c", "1,2"), ("a,,b", 1), ("", 1)):
        with pytest.raises(ValueError):  # noqa: PT011 (it has no words)
            places_of(hosts, ports)


def test_the_operator_reads_what_each_server_is_and_what_would_lose_an_answer() -> None:
    a, b = places_of("a,b", "0,1")
    waiting, alone, standby = Server(OURS, 2, True, "*"), Server(OURS, 2, True, ""), Server(OURS, 0, False, "")
    lines, problems = report([(a, standby), (b, waiting)])
    assert (lines, problems) == (["a:0  standby", "b:1  primary on timeline 2, commits wait for *"], [])
    assert report([(a, alone)])[1] == [], "without a standby there is nothing to wait for"
    for found, problem in (
        ([(a, standby), (b, alone)], "may lack acknowledged answers"),
        ([(a, standby), (b, standby)], "no server takes writes"),
        ([(a, Server(OURS, 1, True, "*")), (b, waiting)], "Stop all but b:1"),
        ([(a, alone), (b, waiting)], "a:0 and b:1 take writes on one timeline"),
        ([(a, "connection refused"), (b, waiting)], "a:0 does not answer"),
    ):
        (said,) = report(found)[1]  # type: ignore[arg-type]
        assert problem in said


# -- a real server -----------------------------------------------------------------------------------------------------


def test_a_primary_that_hangs_keeps_no_thread_from_the_standby_that_was_promoted(tmp_path: Path) -> None:
    """Its kernel goes on, so its connections stay up and no keepalive fails."""
    servers, hanging = PostgresServers(places_of("hangs,runs", "1,2"), tmp_path), list[int]()
    with postgres_server() as server:

        def open_at(place: DatabasePlace) -> psycopg.Connection[Any]:
            connection = psycopg.connect(server.address)
            if place.host == "hangs":
                hanging.append(connection.info.backend_pid)
                os.kill(hanging[-1], signal.SIGSTOP)
            return connection

        try:
            servers.watch(open_at)
            assert servers.epoch[2] == DatabasePlace("runs", 2)
            with servers.connect(open_at) as connection:
                assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
            assert len(hanging) == 1
        finally:
            for each in hanging:
                os.kill(each, signal.SIGCONT)


def test_a_thread_that_waits_for_a_primary_that_hangs_goes_on_once_a_standby_is_promoted(tmp_path: Path) -> None:
    """No keepalive ends its session, because the kernel of that machine answers."""
    servers = PostgresServers(places_of("hangs,runs", "1,2"), tmp_path)
    is_away, ended = threading.Event(), threading.Event()
    with postgres_server() as server:

        def open_at(place: DatabasePlace) -> psycopg.Connection[Any]:
            if place.host == "hangs" and is_away.is_set():
                raise psycopg.OperationalError("it does not answer")
            return psycopg.connect(server.address)

        def wait() -> None:
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT pg_sleep(3600)")
            ended.set()

        session = servers.connect(open_at)
        hanging = session.info.backend_pid
        thread = threading.Thread(target=wait, daemon=True)
        try:
            thread.start()
            require_waiting(server, "SELECT pg_sleep", "PgSleep")
            os.kill(hanging, signal.SIGSTOP)
            servers.watch(open_at)
            assert not ended.wait(0.2), "a session with the server in use goes on"
            is_away.set()
            servers.watch(open_at)
            assert servers.epoch[2] == DatabasePlace("runs", 2)
            assert ended.wait(60)
            with servers.connect(open_at) as connection:
                servers.watch(open_at)
                assert connection.execute("SELECT 1").fetchone() == (1,)
        finally:
            os.kill(hanging, signal.SIGCONT)


def test_a_server_that_accepts_and_says_nothing_is_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = PostgresServers(places_of("127.0.0.1", silent.getsockname()[1]), tmp_path)
        limits = LIMITS | {"connect_timeout": "2"}
        ((_, said),) = servers.look(lambda place: psycopg.connect(host=place.host, port=place.port, **limits))
    assert "timeout" in str(said)


def test_a_server_that_refuses_the_first_question_is_named_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_servers, "_LOOK", "SELECT pg_walfile_name('0/0') FROM nothing")
    with postgres_server() as server:
        servers = PostgresServers(places_of("a", 1), tmp_path)
        ((_, said),) = servers.look(lambda _: psycopg.connect(server.address))
    assert "nothing" in str(said)


# -- a real pair -------------------------------------------------------------------------------------------------------


class Pair:
    """A primary, which is listed first, and its standby."""

    def __init__(self, primary: PostgresServer, standby: PostgresServer) -> None:
        self.primary, self.standby = primary, standby
        places = [conninfo_to_dict(each.address) for each in (primary, standby)]
        self.hosts = ",".join(str(each["host"]) for each in places)
        self.address = make_conninfo(primary.address, host=self.hosts, **LIMITS)

    def servers(self, data: Path) -> PostgresServers:
        return PostgresServers(places_of(self.hosts, 5432), data)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with postgres_pair() as (primary, standby):
        yield Pair(primary, standby)


def test_the_primary_dies_at_a_part_the_standby_goes_on_and_the_primary_that_comes_back_is_refused(
    pair: Pair, tmp_path: Path, broker: FakeBroker, clock: TestClock, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = pair.servers(tmp_path)
    server: Any = SimpleNamespace(address=pair.address)
    with ExitStack() as ends:
        agency = Agency(server, tmp_path, broker, clock, servers)
        ends.callback(agency.close)
        asked = agency.ask("1")
        door = door_of(agency, house, asked)
        play(agency, [agency.a, agency.b], door, until=lambda: 0 in agency.parts().numbers(door.disclosure.id))
        number = SequenceCounter(agency.web.notes).next()
        pair.primary.kill()
        for worker in (agency.a, agency.b):
            with pytest.raises(NetworkError):
                worker.step()
            worker.kill()
        with pytest.raises(NetworkError, match="it is a standby"):
            agency.web.request_ids()
        pair.standby.promote()
        assert asked.request.id in agency.web.request_ids()
        assert SequenceCounter(agency.web.notes).next() > number
        for worker in (agency.a, agency.b):
            worker.begin()
        play(agency, [agency.a, agency.b], door)
        require_whole_and_once(agency, door, asked)

    pair.primary.start()  # by mistake: it was not made a standby, and takes writes
    with pair.servers(tmp_path).connect(at(pair)) as connection:
        assert connection.info.host == pair.hosts.split(",")[1]
    require_commits_wait(pair.primary)

    pair.standby.stop()
    index = PostgresIndex(pair.address, "any", tmp_path, (), servers=pair.servers(tmp_path))
    with pytest.raises(NetworkError, match=r"is an old primary.*doorward-desk restored"):
        index.read(lambda of: of.execute("SELECT 1").fetchone())
    settings = SimpleNamespace(DATA=tmp_path, DATABASES={"default": in_django(pair)})
    for module in (shared_stores, figures):
        monkeypatch.setattr(module, "settings", settings)
    with pytest.raises(OperationalError) as caught:
        DatabaseWrapper(in_django(pair), "default").ensure_connection()
    assert "old primary" in str(cli._away(caught.value))
    pair.standby.start()

    pair.primary.stop()  # and made the standby of the new primary, as docs/desk.md says
    pair.primary.copy(pair.standby)
    pair.primary.start()
    pair.standby.let_commits_wait()
    page = DatabaseWrapper(in_django(pair), "default")
    monkeypatch.setattr(figures, "connection", page)
    counted = {each.name: each.samples[0][1] for each in figures._replication()}
    page.close()
    assert counted.pop("database_standby_lag_bytes") >= 0
    assert counted == {
        "database_servers": 2,
        "database_twins": 0,
        "database_standbys": 1,
        "database_commits_wait": 1,
        "database_timeline": 2,
    }

    known = pair.servers(tmp_path)
    web, session = (
        PostgresIndex(pair.address, "any", tmp_path, (), servers=known, session=is_session)
        for is_session in (False, True)
    )
    for each in (web, session):
        each.read(lambda of: of.execute("SELECT 1").fetchone())
    pair.primary.promote()  # while the other one goes on
    known.watch(at(pair))
    with pytest.raises(NetworkError, match="claims of this worker"):
        session.check()
    assert (
        web.read(lambda of: of.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()[0])[:8] == "00000003"
    )
    web.close()


@LONG
def test_a_commit_that_its_client_was_not_told_of_and_the_standby_lacks_is_acknowledged_to_nobody(
    pair: Pair, tmp_path: Path
) -> None:
    with pair.servers(tmp_path).connect(at(pair)) as connection:
        connection.execute("CREATE TABLE answers (id int PRIMARY KEY)")
    pair.standby.stop()
    writer = psycopg.pq.PGconn.connect(pair.primary.address.encode())
    writer.send_query(b"INSERT INTO answers VALUES (1)")
    require_waiting(pair.primary, "INSERT")
    pair.primary.kill()
    writer.finish()
    pair.primary.start()
    with psycopg.connect(pair.primary.address) as shown:
        assert shown.execute("SELECT id FROM answers").fetchall() == [(1,)], "PostgreSQL shows what no client was told"
    found: list[Any] = []

    def try_again() -> None:
        with pair.servers(tmp_path).connect(at(pair)) as connection:
            done = connection.execute("INSERT INTO answers VALUES (1) ON CONFLICT DO NOTHING")
            found.append(done.rowcount)

    thread = threading.Thread(target=try_again)
    thread.start()
    require_waiting(pair.primary, "COMMIT")
    assert found == []
    pair.standby.start()
    thread.join(60)
    assert found == [0]
    with psycopg.connect(pair.standby.address) as there:
        assert there.execute("SELECT id FROM answers").fetchall() == [(1,)]


def require_waiting(server: PostgresServer, query: str, event: str = "SyncRep") -> None:
    """Waits until a session waits at that query, by default for the standby."""
    deadline_s = time.monotonic() + 60
    with psycopg.connect(server.address, autocommit=True) as watch:
        like = "SELECT 1 FROM pg_stat_activity WHERE wait_event = %s AND query LIKE %s"
        while watch.execute(like, (event, f"{query}%")).fetchone() is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


def at(pair: Pair) -> Any:
    return lambda place: psycopg.connect(pair.address, host=place.host, port=place.port)


def in_django(pair: Pair) -> dict[str, Any]:
    return {
        "ENGINE": shared_stores.POSTGRESQL, "HOST": pair.hosts, "PORT": 5432, "NAME": "postgres", "USER": "desk",
        "PASSWORD": "", "OPTIONS": dict(LIMITS), "TIME_ZONE": None, "AUTOCOMMIT": True, "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False, "ATOMIC_REQUESTS": False,
    }  # fmt: skip


def require_commits_wait(server: PostgresServer) -> None:
    """A program that writes to the old primary nevertheless gets no answer to its commit."""
    writer = psycopg.pq.PGconn.connect(server.address.encode())
    writer.send_query(b"CREATE TABLE forked (id int)")
    require_waiting(server, "CREATE TABLE forked")
    with psycopg.connect(server.address, autocommit=True) as watch:
        watch.execute("SELECT pg_terminate_backend(%s)", (writer.backend_pid,))
    writer.finish()
