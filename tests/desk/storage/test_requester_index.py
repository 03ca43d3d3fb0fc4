"""The index of a requester's folder: one contract for the SQLite file and for a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from agent.clients.requester import messages
from agent.clients.requester.answer_index import AnswerState, HeldDisclosure, QuotaUsage
from agent.clients.requester.deletion import delete_answers
from agent.clients.requester.folder_index import FolderIndex, IndexConnection, IndexedTable, RequesterIndex
from agent.clients.requester.identity import Requester, indexed_tables
from agent.clients.requester.publisher import is_published
from agent.clients.requester.sealed_parts import FolderParts, SealedParts
from agent.core.disclosure import reply_tag
from agent.core.media import Gop
from agent.core.transfer import TransferOutcome
from agent.errors import ConfigurationError, NetworkError, StorageError
from agent.wire.fields import Kind
from desk.storage.postgres_index import PostgresIndex
from desk.storage.shared_stores import shared_stores
from tests.clients.requester.conftest import NOW_S, ROOT_ID, filmed, gops, question
from tests.clients.requester.doors import Door, TestClock
from tests.clients.requester.test_message_index import bus, send_all
from tests.clients.requester.test_receiving_service import Desk, broker, clock, play
from tests.fake_bus import FakeBroker, FakeBus
from tests.postgres import PostgresServer, postgres_server

__all__ = ["broker", "bus", "clock", "gops"]

DEVICE, OTHER = "ab" * 8, "cd" * 8
FIRST, SECOND = "1" * 32, "f" * 32


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def tables(folder: Path) -> tuple[IndexedTable, ...]:
    return indexed_tables(FolderParts(folder / "disclosures"))


Opener = Callable[[], RequesterIndex]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Requester.create(tmp_path / "requester", "rijnstad-police", Kind.POLICE, ROOT_ID)
    return tmp_path / "requester"


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def opener(request: pytest.FixtureRequest, folder: Path) -> Iterator[Opener]:
    """Opens the same index again, as another process does."""
    if request.param == "SQLite":
        yield lambda: FolderIndex(folder, tables(folder))
        return
    server: PostgresServer = request.getfixturevalue("server")
    schema = f"t{abs(hash(str(folder))) % 10**12}"
    opened: list[PostgresIndex] = []

    def again() -> RequesterIndex:
        opened.append(PostgresIndex(server.address, schema, folder, tables(folder)))
        return opened[-1]

    yield again
    for each in opened:
        each.close()


@pytest.fixture
def requester(folder: Path, opener: Opener) -> Requester:
    return Requester.open(folder, index=opener())


def ask(requester: Requester, case: str = "1") -> str:
    return messages.make_request(requester, question(case=case), now_s=NOW_S).id


def test_a_request_is_found_by_case_root_key_and_beginning(requester: Requester, opener: Opener, folder: Path) -> None:
    made = sorted(ask(requester, case) for case in ("1", "1", "2"))
    again = Requester.open(folder, index=opener())
    for each in (requester, again):
        assert each.request_ids() == made
        assert each.request_ids(made[1][:10]) == [made[1]]
        assert len(each.register.in_case("1")) == 2
        assert each.register.in_case("3") == []
        assert each.register.roots() == {ROOT_ID}
        asked = each.sent_request(made[0]).request
        assert each.register.with_reply_key(reply_tag(asked.reply), NOW_S) == [made[0]]
        assert each.register.with_reply_key("' OR 1=1 --", NOW_S) == []


def test_a_message_is_unsent_until_it_is_sent_and_once_more_for_a_newer_one(requester: Requester, bus: FakeBus) -> None:
    request = ask(requester)
    assert requester.register.unsent() == [request]
    send_all(requester, bus)
    send_all(requester, bus)
    assert requester.register.unsent() == []
    messages.make_withdrawal(requester, request)
    assert requester.register.unsent() == [request]
    assert requester.register.in_case("1") == [request]
    send_all(requester, bus)
    assert is_published(requester, request)
    bus.stop()


def test_an_answer_is_counted_for_its_doorbell_its_request_and_in_all(requester: Requester) -> None:
    answers = requester.answers
    answers.put(FIRST, HeldDisclosure(DEVICE, "", 100, 1, live=True), 5)
    answers.put(SECOND, HeldDisclosure(OTHER, "r", 40, 2, live=True), 6)
    answers.put(FIRST, HeldDisclosure(DEVICE, "r", 300, 7, live=True), 7)
    assert answers.of(DEVICE, "r") == answers.of_door(DEVICE) == QuotaUsage(1, 300, 7)
    assert answers.of(DEVICE, "r", but=FIRST) == QuotaUsage()
    assert (answers.total(), answers.total(but=SECOND)) == (QuotaUsage(2, 340), QuotaUsage(1, 300))
    assert answers.live(DEVICE, "r") == (FIRST,)
    assert [each.disclosure for each in answers.beginning_with("")] == [FIRST, SECOND]
    known = answers.get(FIRST)
    assert known is not None
    assert (known.begun_ms, known.state) == (5, AnswerState.RECEIVING)
    answers.deleted(FIRST, 9)
    answers.remove(SECOND)
    assert answers.total() == QuotaUsage()
    assert [each.state for each in answers.changed_since(0)] == [AnswerState.DELETED]


def test_a_transaction_that_fails_changes_nothing(requester: Requester) -> None:
    request = ask(requester)

    def half(to: IndexConnection) -> None:
        to.execute("DELETE FROM message")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        requester.index.write(half)
    assert requester.request_ids() == [request]


def test_changes_of_several_threads_are_numbered_without_a_gap_or_a_double(
    requester: Requester, opener: Opener, folder: Path
) -> None:
    def put(number: int) -> None:
        answers = Requester.open(folder, index=opener()).answers
        for each in range(20):
            answers.put(f"{number:016x}{each:016x}", HeldDisclosure(DEVICE, "r", 1, 1, live=True))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    changes = requester.answers.changed_since(0)
    assert [each.change for each in changes] == list(range(1, 81))
    assert requester.answers.total() == QuotaUsage(80, 80)


def test_an_answer_is_received_listed_and_deleted(
    requester: Requester,
    opener: Opener,
    gops: list[Gop],
    broker: FakeBroker,
    clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = requester.sent_request(ask(requester))

    def opened(folder: Path, parts: SealedParts | None = None) -> Requester:
        return Requester(folder, requester.profile, requester._signer, opener(), parts)

    monkeypatch.setattr(Requester, "open", opened)
    desk = Desk(broker, requester, clock)
    door = Door(broker, requester, filmed(gops).disclose(asked), clock)
    play(clock, desk, door)
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    (answer,) = requester.answers.to_request(asked.request.id)
    assert (answer.disclosure, answer.state) == (door.disclosure.id, AnswerState.COMPLETE)
    delete_answers(requester, asked.request.id, NOW_S)
    assert requester.answers.to_request(asked.request.id) == []
    desk.bus.stop()


# -- a server that is away ---------------------------------------------------------------------------------------------


@pytest.fixture
def remote(server: PostgresServer, folder: Path) -> Iterator[Requester]:
    index = PostgresIndex(server.address, "remote", folder, tables(folder))
    yield Requester.open(folder, index=index)
    with psycopg.connect(server.address) as connection:
        connection.execute("DROP SCHEMA IF EXISTS remote CASCADE")
    index.close()


def test_a_connection_that_was_lost_is_opened_again(server: PostgresServer, remote: Requester) -> None:
    request = ask(remote)
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert remote.request_ids() == [request]


def test_a_killed_server_is_named_and_knows_everything_committed_when_it_is_back(
    server: PostgresServer, remote: Requester
) -> None:
    made = [ask(remote)]
    for number in range(3):
        server.kill()
        with pytest.raises(NetworkError, match="PostgreSQL does not answer"):
            ask(remote)
        server.start()
        assert sorted(made) == remote.request_ids()
        made.append(ask(remote, f"after {number}"))
    assert sorted(made) == remote.request_ids()


def test_an_index_is_filled_from_the_folder_when_it_is_made(server: PostgresServer, folder: Path) -> None:
    local = Requester.open(folder)
    made = sorted(ask(local, case) for case in ("1", "2"))
    index = PostgresIndex(server.address, "filled", folder, tables(folder))
    remote = Requester.open(folder, index=index)
    assert remote.request_ids() == made
    assert sorted(remote.register.unsent()) == made
    index.close()


def test_a_name_that_is_no_schema_and_an_error_of_the_server_are_said(server: PostgresServer, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a schema"):
        PostgresIndex(server.address, 'x"; DROP', folder, tables(folder))
    index = PostgresIndex(server.address, "faults", folder, tables(folder))
    with pytest.raises(StorageError, match="no_such_table"):
        index.read(lambda of: of.execute("SELECT 1 FROM no_such_table").fetchone())
    index.close()


def test_the_desk_keeps_the_index_where_it_keeps_its_tables(
    server: PostgresServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_file = SimpleNamespace(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}})
    monkeypatch.setattr("desk.storage.shared_stores.settings", in_a_file)
    assert shared_stores("rijnstad-police", folder) is None
    address = conninfo_to_dict(server.address)
    database = {
        "HOST": address["host"],
        "PORT": 5432,
        "NAME": "postgres",
        "USER": "desk",
        "PASSWORD": "",
        "OPTIONS": {},
    }
    chosen = {"default": {"ENGINE": "desk.storage.postgres_backend"} | database}
    monkeypatch.setattr("desk.storage.shared_stores.settings", SimpleNamespace(DATABASES=chosen, DATA=folder))
    stores, again, other = (shared_stores(name, folder) for name in ("rijnstad-police", "rijnstad-police", "another"))
    assert stores is not None
    assert again is not None
    assert other is not None
    index = stores.index
    assert isinstance(index, PostgresIndex)
    assert again.index is index
    assert other.index is not index
    request = ask(Requester.open(folder, index=index, notes=stores.notes))
    assert not (folder / "requests").exists()
    with psycopg.connect(server.address) as connection:
        found = connection.execute("SELECT id FROM requester_rijnstad_police.message").fetchall()
    assert found == [(request,)]
    index.close()
