"""The notes of a requester: one contract for its folder and for a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from agent.clients.requester import messages
from agent.clients.requester.disclosure_folder import AnswerFolder, DisclosureOrigin
from agent.clients.requester.identity import Requester, indexed_tables
from agent.clients.requester.known_doorbells import KnownDoorbells
from agent.clients.requester.notes import FolderNotes, Notes
from agent.clients.requester.retained_slots import SlotKind, TopicSlots
from agent.clients.requester.roots import KnownRoots
from agent.clients.requester.sealed_parts import FolderParts
from agent.clients.requester.sequence_numbers import SequenceCounter
from agent.errors import ConfigurationError, StorageError
from agent.wire import strictjson
from agent.wire.broker_directory import BrokerDirectory, directory_sha256
from agent.wire.disclosures import ReceiptState
from agent.wire.fields import Kind
from desk.storage.postgres_index import PostgresIndex
from desk.storage.postgres_notes import NOTE_TABLE, WORKERS_KEY, PostgresNotes
from tests.clients.requester.conftest import NOW_S, ROOT_ID, question
from tests.clients.requester.test_root_news import BOTH, NEAR, OTHER, package
from tests.postgres import PostgresServer, postgres_server
from tests.wire import samples

SCHEMA = "noted"
LIMIT = 4096
DISCLOSURE = "d" * 32


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Requester.create(tmp_path / "requester", "rijnstad-police", Kind.POLICE, ROOT_ID)
    return tmp_path / "requester"


def postgres_index(server: PostgresServer, folder: Path, *, session: bool = False) -> PostgresIndex:
    tables = (*indexed_tables(FolderParts(folder / "disclosures")), NOTE_TABLE)
    return PostgresIndex(server.address, SCHEMA, folder, tables, session=session)


Opener = Callable[[], Notes]


@pytest.fixture
def remote(server: PostgresServer, folder: Path) -> Iterator[Callable[[], PostgresNotes]]:
    """Opens the notes in PostgreSQL, as another process of the same machine does."""
    opened: list[PostgresIndex] = []

    def again() -> PostgresNotes:
        opened.append(postgres_index(server, folder))
        return PostgresNotes(opened[-1], folder)

    yield again
    for each in opened:
        each.close()
    with psycopg.connect(server.address) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())


@pytest.fixture(params=["folder", "PostgreSQL"])
def opener(request: pytest.FixtureRequest, folder: Path) -> Opener:
    if request.param == "folder":
        return lambda: FolderNotes(folder)
    found: Opener = request.getfixturevalue("remote")
    return found


@pytest.fixture
def notes(opener: Opener) -> Notes:
    return opener()


def test_a_note_is_read_as_it_was_written_last_by_this_and_by_another_process(notes: Notes, opener: Opener) -> None:
    assert notes.read("requests/a/request.dsse", LIMIT) is None
    notes.make_folder("requests/a")
    notes.make_folder("requests/a")
    for data in (b"first", b"", bytes(range(256))):
        notes.write("requests/a/request.dsse", data)
        assert notes.read("requests/a/request.dsse", LIMIT) == data
        assert opener().read("requests/a/request.dsse", LIMIT, secret=False) == data
    assert notes.is_there("requests/a/request.dsse")
    notes.remove("requests/a/request.dsse")
    notes.remove("requests/a/request.dsse")
    assert not notes.is_there("requests/a/request.dsse")


def test_a_note_that_is_too_long_is_not_read(notes: Notes) -> None:
    notes.write("long", b"x" * 100)
    with pytest.raises(StorageError, match="longer than 99 bytes"):
        notes.read("long", 99)


def test_a_folder_is_stored_with_all_its_notes_listed_measured_and_deleted(notes: Notes) -> None:
    notes.store_folder("requests/b", {"reply.identity": b"12345", "request.dsse": b"67"}, frozenset({"reply.identity"}))
    notes.make_folder("requests/a")
    assert notes.names("requests") == ["a", "b"]
    assert notes.names("requests/b") == ["reply.identity", "request.dsse"]
    assert notes.read("requests/b/reply.identity", LIMIT, secret=True) == b"12345"
    assert notes.size_bytes("requests/b") == 7
    assert notes.has_folder("requests/b")
    assert notes.delete_folder("requests/b") == 2
    assert notes.delete_folder("requests/b") == 0
    assert not notes.has_folder("requests/b")
    assert notes.names("requests") == ["a"]
    assert notes.names("nothing") == []


def test_nothing_is_written_into_a_folder_that_is_not_there(notes: Notes) -> None:
    notes.make_folder("disclosures/a")
    notes.delete_folder("disclosures/a")
    with pytest.raises(StorageError):
        notes.write("disclosures/a/outcome.json", b"{}")
    assert notes.names("disclosures") == []


def test_changes_at_once_lose_none(notes: Notes, opener: Opener) -> None:
    numbers: list[int] = []

    def count() -> None:
        counter = SequenceCounter(opener())
        numbers.extend(counter.next() for _ in range(15))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(numbers) == list(range(1, 61))
    SequenceCounter(notes).skip(1000)
    assert SequenceCounter(notes).next() == 1061


def test_a_root_is_chosen_among_those_with_a_bundle(notes: Notes, folder: Path) -> None:
    roots = KnownRoots(Requester.open(folder, notes=notes))
    roots.choose(samples.ROOT_KEY.id)
    assert roots.own_root() is None, "it has no bundle"
    for root in (samples.ROOT_KEY, samples.OWNER_ROOT):
        notes.make_folder(f"roots/{root.id}")
    assert roots.own_root() == samples.ROOT_KEY.id
    roots.choose(samples.OWNER_KEY.id)
    assert roots.own_root() == samples.OWNER_KEY.id


def test_bundles_and_their_brokers_are_there_for_another_process(notes: Notes, opener: Opener, folder: Path) -> None:
    requester = Requester.open(folder, notes=notes)
    root, bundles = samples.ROOT_KEY.id, enumerate((NEAR, BOTH, OTHER), start=3)
    for version, brokers in bundles:
        data = package(requester, version, brokers, version)
        KnownRoots(requester).accept(samples.ROOT_KEY.text, data, NOW_S, brokers)
        listed = KnownRoots(Requester.open(folder, notes=opener())).own_brokers(NOW_S)
        assert listed is not None
        assert listed[0] == strictjson.decode(brokers, BrokerDirectory)
    used = sorted(f"brokers-{directory_sha256(each)}.json" for each in (BOTH, OTHER))
    assert notes.names(f"roots/{root}") == [*used, "bundle.dsse", "root.pub"]


def test_a_change_may_use_other_notes(notes: Notes) -> None:
    """A list of brokers is stored before the bundle that names it, while no other worker does."""
    notes.make_folder("roots/a")
    notes.write("roots/a/brokers-1", b"before")

    def both(_before: bytes | None) -> bytes:
        notes.write("roots/a/brokers-2", b"its list")
        notes.remove("roots/a/brokers-1")
        return b"".join(name.encode() for name in notes.names("roots/a"))

    notes.change("roots/a/bundle.dsse", both, lock="roots/lock", limit_bytes=LIMIT)
    assert notes.read("roots/a/bundle.dsse", LIMIT) == b"brokers-2"
    assert notes.read("roots/a/brokers-2", LIMIT) == b"its list"


def test_a_change_that_fails_changes_nothing(notes: Notes) -> None:
    def spoil(_data: bytes | None) -> bytes:
        raise ConfigurationError("No.")

    before = notes.read("sequence", LIMIT)
    with pytest.raises(ConfigurationError, match="No"):
        notes.change("sequence", spoil, lock="sequence.lock", limit_bytes=LIMIT)
    assert notes.read("sequence", LIMIT) == before


def test_slots_and_doorbells_are_shared(notes: Notes, opener: Opener) -> None:
    slots = TopicSlots(notes)
    assert [slots.take(SlotKind.REQUESTS, "287-379", f"{each:032x}", each) for each in (1, 2, 1)] == [0, 1, 0]
    assert list(TopicSlots(opener()).all()) == [
        (SlotKind.REQUESTS, "287-379", slot, f"{slot + 1:032x}", slot + 1) for slot in (0, 1)
    ]
    assert KnownDoorbells(notes).all() == ()


def test_the_notes_of_an_answer_end_with_it(notes: Notes, folder: Path) -> None:
    answer = AnswerFolder(folder, DISCLOSURE, None, notes)
    assert not answer.is_known()
    answer.create(DisclosureOrigin(v=1, device="ab" * 8, parts=1, size_bytes=1, sha256="0" * 64))
    answer.adopt(b"a request")
    answer.keep_receipt(b"first")
    answer.keep_receipt(b"second")
    answer.end(ReceiptState.COMPLETE, ended_ms=5)
    assert (answer.request(), answer.receipt(), answer.state) == (b"a request", b"first", ReceiptState.COMPLETE)
    assert answer.note("request.dsse") == b"a request"
    assert answer.other_bytes() + answer.parts_bytes() > 100
    assert answer.delete() == 4
    assert answer.origin() is None
    with pytest.raises(StorageError):
        answer.end(ReceiptState.COMPLETE)


# -- PostgreSQL alone --------------------------------------------------------------------------------------------------


def rows(server: PostgresServer) -> list[tuple[str, str, bytes]]:
    with psycopg.connect(server.address) as connection:
        return connection.execute(f"SELECT folder, name, sealed FROM {SCHEMA}.note".encode()).fetchall()


def test_the_database_reads_no_note_and_cannot_exchange_two(
    server: PostgresServer, remote: Callable[[], PostgresNotes], folder: Path
) -> None:
    notes = remote()
    requester = Requester.open(folder, index=notes._index, notes=notes)
    one, other = (messages.make_request(requester, question(case=case), now_s=NOW_S).id for case in ("1", "2"))
    secret = requester.sent_request(one).reply_identity().secret_text()
    stored = b"".join(row[2] for row in rows(server))
    for word in (secret.encode(), b"AGE-SECRET", b"payload", b"rijnstad", b"reply"):
        assert word not in stored
    with psycopg.connect(server.address) as connection:
        connection.execute(
            f"UPDATE {SCHEMA}.note SET sealed = (SELECT sealed FROM {SCHEMA}.note WHERE folder = %s AND name = %s) "
            "WHERE folder = %s AND name = %s".encode(),
            (f"requests/{other}", "reply.identity", f"requests/{one}", "reply.identity"),
        )
    with pytest.raises(StorageError, match="does not open"):
        requester.reply_identity(one)
    assert requester.reply_identity(other) is not None


def test_a_machine_without_the_key_of_the_workers_reads_nothing(
    remote: Callable[[], PostgresNotes], folder: Path
) -> None:
    remote().write("doors", b"x")
    path = folder / WORKERS_KEY
    kept = path.read_text()
    path.write_text("00" * 32 + "\n")
    with pytest.raises(ConfigurationError, match="not the key of this database"):
        remote().read("doors", LIMIT)
    path.write_text("nonsense")
    with pytest.raises(ConfigurationError, match="damaged"):
        remote().read("doors", LIMIT)
    path.unlink()
    with pytest.raises(ConfigurationError, match="is missing"):
        remote().read("doors", LIMIT)
    path.write_text(kept)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        remote().read("doors", LIMIT)
    path.chmod(0o600)
    assert remote().read("doors", LIMIT) == b"x"


def test_the_numbers_go_on_where_the_folder_has_counted(remote: Callable[[], PostgresNotes], folder: Path) -> None:
    SequenceCounter(FolderNotes(folder)).skip(41)
    assert SequenceCounter(remote()).next() == 42


def test_a_folder_that_was_used_without_the_database_is_refused(
    remote: Callable[[], PostgresNotes], folder: Path
) -> None:
    messages.make_request(Requester.open(folder), question(), now_s=NOW_S)
    with pytest.raises(ConfigurationError, match="this database has none of them"):
        remote().read("sequence", LIMIT)


def test_everything_written_is_there_after_a_kill_of_the_server(
    server: PostgresServer, remote: Callable[[], PostgresNotes]
) -> None:
    notes, used = remote(), []
    for _ in range(3):
        used.append(SequenceCounter(notes).next())
        notes.write(f"n{len(used)}", b"kept")
        server.kill()
        server.start()
    assert used == sorted(set(used))
    assert all(notes.read(f"n{each + 1}", LIMIT) == b"kept" for each in range(3))


def test_a_note_in_postgresql_is_read_by_one_statement_without_a_transaction(
    remote: Callable[[], PostgresNotes], monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = remote()
    notes.make_folder("requests")
    notes.write("requests/one", b"words")
    begun: list[None] = []
    transaction = psycopg.Connection.transaction
    monkeypatch.setattr(
        psycopg.Connection, "transaction", lambda *values, **named: begun.append(None) or transaction(*values, **named)
    )
    assert (notes.read("requests/one", LIMIT), notes.is_there("requests/two")) == (b"words", False)
    assert (notes.has_folder("requests"), notes.size_bytes("requests")) == (True, len(b"words"))
    assert begun == []
    notes.write("requests/one", b"others")
    assert begun == [None], "a change is one transaction"
