"""The claims of workers in a real PostgreSQL: one has each upload, and a session that ends loses all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from agent.clients.requester.claims import SoleReceiver
from agent.errors import ConfigurationError, NetworkError
from desk.people import organisations
from desk.storage import shared_stores
from desk.storage.postgres_claims import PostgresClaims
from desk.storage.postgres_index import PostgresIndex
from tests.desk.waiting import until
from tests.postgres import PostgresServer, postgres_server

ONE, OTHER = "1" * 32, "2" * 32


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def worker(server: PostgresServer, tmp_path: Path) -> Iterator[Callable[[], PostgresClaims]]:
    made: list[PostgresClaims] = []

    def make(schema: str = "claimed") -> PostgresClaims:
        made.append(PostgresClaims(PostgresIndex(server.address, schema, tmp_path, (), session=True)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_one_worker_has_an_upload_until_it_releases_it(worker: Callable[[], PostgresClaims]) -> None:
    first, second = worker(), worker()
    assert first.claim(ONE)
    assert first.claim(ONE)
    assert not second.claim(ONE)
    assert second.claim(OTHER)
    second.release(ONE)  # not its own
    assert not second.claim(ONE)
    first.release(ONE)
    first.release(ONE)
    assert second.claim(ONE)
    assert not first.claim(ONE)


def test_each_duty_has_one_worker_and_passes_on_with_its_end(worker: Callable[[], PostgresClaims]) -> None:
    first, second = worker(), worker()
    assert first.claim_duty("publish")
    assert first.claim_duty("publish")
    assert not second.claim_duty("publish")
    assert second.claim_duty("retain")
    assert first.claim(ONE)
    first.step_down()
    assert second.claim_duty("publish")
    assert second.claim(ONE)
    second.close()
    until(lambda: first.claim_duty("retain"), "the end of the other session")
    assert first.claim(ONE)


def test_two_organisations_claim_the_same_id_apart(
    server: PostgresServer, worker: Callable[..., PostgresClaims]
) -> None:
    assert worker().claim(ONE)
    assert worker("another").claim(ONE)


def test_a_worker_that_loses_its_session_learns_it_and_gets_no_other(
    server: PostgresServer, worker: Callable[[], PostgresClaims]
) -> None:
    first, second = worker(), worker()
    assert first.claim(ONE)
    first.check()
    with psycopg.connect(server.address, autocommit=True) as connection:
        mine = f"SELECT pg_terminate_backend({first._session._connection.info.backend_pid})"  # type: ignore[union-attr]
        connection.execute(mine.encode())
    until(lambda: second.claim(ONE), "the lock of the ended session")
    with pytest.raises(NetworkError):
        first.check()
    acts = (first.check, lambda: first.claim(OTHER), lambda: first.claim_duty("publish"), lambda: first.release(ONE))
    for act in acts:
        with pytest.raises(NetworkError, match="claims of this worker"):
            act()


@pytest.mark.parametrize("how", ["kill", "restart"])
def test_a_restart_of_the_server_ends_all_claims(
    server: PostgresServer, worker: Callable[[], PostgresClaims], how: str
) -> None:
    first = worker()
    assert first.claim(ONE)
    server.kill()
    if how == "restart":
        server.start()
    with pytest.raises(NetworkError):
        first.check()
    if how == "kill":
        server.start()
    with pytest.raises(NetworkError, match="claims of this worker"):
        first.check()
    assert worker().claim(ONE)


def test_a_killed_process_loses_its_claims_at_once(
    server: PostgresServer, worker: Callable[[], PostgresClaims], tmp_path: Path
) -> None:
    program = f"""
import sys
from pathlib import Path
from desk.storage.postgres_claims import PostgresClaims
from desk.storage.postgres_index import PostgresIndex
claims = PostgresClaims(PostgresIndex({server.address!r}, "claimed", Path({str(tmp_path)!r}), (), session=True))
print(claims.claim({ONE!r}), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"True\n"
        second = worker()
        assert not second.claim(ONE)
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: second.claim(ONE), "the lock of the killed process")


def test_a_receiver_whose_parts_lie_in_a_folder_leaves_no_session_behind(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no claims in the database, but its index has a session, one for each start of publisher and receiver."""
    host = dict(pair.split("=", 1) for pair in server.address.split())["host"]
    database = {
        "ENGINE": shared_stores.POSTGRESQL, "HOST": host, "PORT": 5432, "NAME": "postgres", "USER": "desk",
        "PASSWORD": "", "OPTIONS": {"application_name": "receiver"},
    }  # fmt: skip
    monkeypatch.setattr(shared_stores, "settings", SimpleNamespace(DATA=tmp_path, DATABASES={"default": database}))
    with psycopg.connect(server.address, autocommit=True) as watch:

        def sessions() -> int:
            count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'receiver'"
            return int(watch.execute(count).fetchone()[0])  # type: ignore[index]

        stores = shared_stores.worker_stores("in-a-folder", tmp_path)
        assert stores is not None
        assert sessions() == 1
        stores.claims.close()
        until(lambda: sessions() == 0, "the end of the session")


def test_a_receiver_that_cannot_open_its_organisation_leaves_no_session_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[None] = []
    stores = SimpleNamespace(claims=SoleReceiver(lambda: closed.append(None)))

    def fail(*_: object) -> None:
        raise ConfigurationError("requester.json is damaged.")

    monkeypatch.setattr(organisations, "shared_parts", lambda _: None)
    monkeypatch.setattr(organisations, "worker_stores", lambda *_: stores)
    monkeypatch.setattr(organisations, "_opened", fail)
    with pytest.raises(ConfigurationError):
        organisations.worker_of(SimpleNamespace(requester_id="any"))  # type: ignore[arg-type]
    assert closed == [None]


def test_the_only_receiver_has_everything() -> None:
    sole = SoleReceiver()
    assert sole.claim(ONE)
    assert sole.claim_duty("publish")
    sole.release(ONE)
    sole.step_down()
    sole.check()
    sole.close()
    assert not sole.shared
