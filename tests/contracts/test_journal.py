"""The custodian's contract with its journal, in memory and on disk."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.consent import RequestState
from agent.core.requests import (
    ActiveOptOut,
    BlockedRequest,
    MatchedRequest,
    OutboxPart,
    OutboxRecord,
    Terms,
)
from agent.custodian import journal_sqlite
from agent.custodian.alerts.alert_queue_sqlite import SqliteAlertQueue
from agent.custodian.journal_sqlite import SqliteJournal
from agent.custodian.page.sessions import Sessions
from agent.errors import StorageError
from agent.platform.sqlite_snapshot import open_snapshot
from agent.platform.system_clock import SystemEntropy
from agent.vault.index_sqlite import SqliteIndex
from agent.wire.statements import Scope
from tests.wire import samples

ROOT = samples.ROOT_KEY.id

KEY = "ab" * 8
TERMS = Terms.of(samples.request(reply=samples.REPLY))


class Lost(BaseException):
    """The power is gone."""


@pytest.fixture(params=["in memory", "on disk"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteJournal]:
    made = SqliteJournal(":memory:" if request.param == "in memory" else tmp_path / "journal.sqlite")
    yield made
    made.close()


def stored(number: int, **changes: Any) -> MatchedRequest:
    made = MatchedRequest(
        id=f"{number:032x}",
        sealed=b"sealed %d" % number,
        payload_sha256=f"{number:064x}",
        requester="harbour-police",
        trust_root="ef" * 8,
        key_id=KEY,
        seq=number,
        case_mark="HH 1",
        state=RequestState.RECEIVED,
        certain=number % 2 == 0,
        received_ms=1000 * number,
        not_after_s=100 + number,
        kept=TERMS,
        segments=tuple(f"segment-{number}-{at}" for at in range(3)),
    )
    return dataclasses.replace(made, **changes)


def record(number: int, parts: int = 2) -> OutboxRecord:
    made = tuple(OutboxPart(at, "" if at == 0 else f"s{at}", 10 + at, f"{at:064x}") for at in range(parts))
    return OutboxRecord(f"{number:032x}", f"{number:032x}", "harbour-police", made)


# -- transactions ------------------------------------------------------------------------------------------------------


def everything(journal: SqliteJournal) -> Any:
    return (
        journal.named(""),
        journal.leaves(),
        [journal.request(each.id) for each in journal.requests()],
        journal.outbox(),
        journal.opt_outs(),
        journal.blocked(),
        journal.counters(),
        journal.has_sequence(KEY, 1),
    )


def write_a_bit_of_everything(journal: SqliteJournal, number: int = 1) -> None:
    journal.put(f"name.{number}", b"value")
    journal.append_leaf(number, b"leaf")
    journal.add_request(stored(number))
    journal.set_state(stored(number).id, RequestState.PENDING)
    journal.add_outbox(record(number))
    journal.add_opt_out(ActiveOptOut(Scope.KIND, f"kind {number}"))
    journal.use_sequence(KEY, number)
    journal.use_nonce(f"{number:032x}")
    journal.count("replayed")
    journal.add_blocked(BlockedRequest(f"{number:064x}", ROOT, "harbour-police", "expired", number), 10)


@pytest.mark.parametrize("kind", [ValueError, Lost, KeyboardInterrupt])
def test_a_transaction_that_ends_in_an_error_did_not_happen(journal: SqliteJournal, kind: type[BaseException]) -> None:
    write_a_bit_of_everything(journal)
    before = everything(journal)
    with pytest.raises(kind), journal.transaction():  # noqa: PT012
        write_a_bit_of_everything(journal, 2)
        raise kind
    assert everything(journal) == before
    assert journal.use_nonce(f"{2:032x}")


def test_after_a_transaction_that_failed_the_next_one_is_whole_or_nothing_again(journal: SqliteJournal) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="undone"), journal.transaction():  # noqa: PT012
            journal.put("first", b"1")
            raise ValueError("undone")
        assert journal.get("first") is None
    with journal.transaction():
        journal.put("first", b"2")
        with pytest.raises(ValueError, match="inner"), journal.transaction():
            raise ValueError("inner")
    with pytest.raises(ValueError, match="undone"), journal.transaction():  # noqa: PT012
        journal.put("first", b"3")
        raise ValueError("undone")
    assert journal.get("first") == b"2"


def test_a_transaction_that_cannot_be_made_durable_did_not_happen_and_the_next_one_can(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = journal._db

    class Refusing:
        """Fails to commit, as a disk does that becomes full."""

        def execute(self, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
            if sql == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return database.execute(sql, values)

        def __getattr__(self, name: str) -> Any:
            return getattr(database, name)

    with monkeypatch.context() as changed:
        changed.setattr(journal, "_db", Refusing())
        with pytest.raises(StorageError, match="cannot be written"), journal.transaction():
            journal.put("first", b"1")
    assert journal.get("first") is None
    with journal.transaction():
        journal.put("first", b"2")
    assert journal.get("first") == b"2"


def test_an_inner_transaction_is_part_of_the_outer_one(journal: SqliteJournal) -> None:
    with pytest.raises(ValueError, match="outer"), journal.transaction():  # noqa: PT012
        with journal.transaction():
            journal.put("inner", b"1")
        raise ValueError("outer")
    assert journal.get("inner") is None
    with journal.transaction(), journal.transaction():
        journal.put("inner", b"2")
    assert journal.get("inner") == b"2"


def test_a_step_that_fails_does_not_end_the_transaction_around_it(journal: SqliteJournal) -> None:
    """Otherwise the next steps would be durable one by one, before their decision is."""
    journal.append_leaf(0, b"leaf")
    with pytest.raises(Lost), journal.transaction():  # noqa: PT012
        journal.put("before", b"1")
        with pytest.raises(StorageError):
            journal.append_leaf(0, b"another")
        journal.put("after", b"1")
        raise Lost
    assert (journal.get("before"), journal.get("after")) == (None, None)
    with journal.transaction():
        with pytest.raises(StorageError):
            journal.append_leaf(0, b"another")
        journal.put("after", b"1")
    assert journal.get("after") == b"1"


def test_what_other_threads_write_is_not_part_of_this_transaction(journal: SqliteJournal) -> None:
    began, done = threading.Event(), threading.Event()

    def other() -> None:
        began.wait()
        journal.put("other", b"1")
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with pytest.raises(ValueError, match="undone"), journal.transaction():  # noqa: PT012
        journal.put("mine", b"1")
        began.set()
        assert not done.wait(0.05)
        raise ValueError("undone")
    thread.join()
    assert (journal.get("mine"), journal.get("other")) == (None, b"1")


def test_nothing_of_a_process_that_dies_inside_a_transaction_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    write_a_bit_of_everything(journal)
    before = everything(journal)
    with journal.transaction():
        write_a_bit_of_everything(journal, 2)
        copies = [(tmp_path / f"copy{end}", (Path(f"{path}{end}").read_bytes())) for end in ("", "-wal")]
    journal.close()
    for copy, data in copies:  # the disk as it was at that moment
        copy.with_name(copy.name.replace("copy", "again.sqlite")).write_bytes(data)
    again = SqliteJournal(tmp_path / "again.sqlite")
    assert everything(again) == before
    again.close()


def test_everything_is_found_again_after_a_restart(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    write_a_bit_of_everything(journal)
    before = everything(journal)
    journal.close()
    again = SqliteJournal(tmp_path / "journal.sqlite")
    assert everything(again) == before
    assert not again.use_nonce(f"{1:032x}")
    again.close()


def test_every_decision_is_flushed_and_counting_strangers_is_not(journal: SqliteJournal) -> None:
    def synchronous() -> int:
        return int(journal._rows("PRAGMA synchronous")[0][0])

    full, seen = 2, []
    original = journal._execute

    def watching(sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if sql.startswith(("INSERT", "COMMIT")):
            seen.append((sql[:6], int(journal._db.execute("PRAGMA synchronous").fetchone()[0])))
        return original(sql, values)

    journal._execute = watching  # type: ignore[method-assign]
    journal.count("untrusted")
    with journal.transaction():
        journal.put("a", b"1")
        journal.count("blocked")
    journal.put("b", b"1")
    assert [level for _, level in seen] == [1, full, full, full, full]
    assert synchronous() == full
    assert journal.counters() == {"blocked": 1, "untrusted": 1}


def test_a_number_is_flushed_unless_it_is_strangers(journal: SqliteJournal) -> None:
    """A stranger's messages must not wear out the card."""
    seen: list[int] = []
    original = journal._execute

    def watching(sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if sql.startswith("INSERT"):
            seen.append(int(journal._db.execute("PRAGMA synchronous").fetchone()[0]))
        return original(sql, values)

    journal._execute = watching  # type: ignore[method-assign]
    journal.use_sequence(KEY, 1)
    journal.use_sequence(KEY, 2, flush=False)
    journal.use_sequence(KEY, 3, flush=True)
    assert seen == [2, 1, 2]
    assert [journal.has_sequence(KEY, number) for number in (1, 2, 3, 4)] == [True, True, True, False]


def test_what_a_power_cut_left_in_the_log_is_gone_after_the_next_start(tmp_path: Path) -> None:
    """The log holds what was deleted and overwritten, such as the terms of a request that has ended."""
    path, again = tmp_path / "journal.sqlite", tmp_path / "again.sqlite"
    journal = SqliteJournal(path)
    write_a_bit_of_everything(journal)
    for end in ("", "-wal"):
        Path(f"{again}{end}").write_bytes(Path(f"{path}{end}").read_bytes())
    journal.close()
    log = Path(f"{again}-wal")
    assert log.stat().st_size > 0
    found = SqliteJournal(again)
    assert log.stat().st_size == 0
    assert found.counters() == {"replayed": 1}
    found.close()


def test_the_log_is_emptied_after_a_decision_that_forgot_something_whatever_was_decided_after_that(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    for number in (1, 2):
        journal.add_request(stored(number))
    assert Path(f"{path}-wal").stat().st_size > 0
    with journal.transaction():
        journal.set_state(stored(1).id, RequestState.DENIED)
        journal.set_state(stored(2).id, RequestState.PENDING)
    assert Path(f"{path}-wal").stat().st_size == 0
    journal.close()


def test_a_journal_that_is_closed_keeps_no_file_open(tmp_path: Path) -> None:
    def open_here() -> list[str]:
        return sorted(str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())

    journal = SqliteJournal(tmp_path / "journal.sqlite")
    assert str(tmp_path / "journal.sqlite.reserve") not in open_here()
    decide(journal)
    journal.close()
    assert [each for each in open_here() if str(tmp_path) in each] == []


# -- opening -----------------------------------------------------------------------------------------------------------


def foreign(path: Path) -> None:
    path.write_bytes(b"this is no database, and it is longer than a header " * 20)


def newer(path: Path) -> None:
    journal = SqliteJournal(path)
    journal.put("format", b"doorward-journal-99")
    journal.close()


def of_somebody_else(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE contacts (name TEXT)")
    other.close()


@pytest.mark.parametrize("spoil", [foreign, newer, of_somebody_else])
def test_a_file_that_is_no_journal_of_this_version_is_refused_and_left_as_it_is(
    spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "journal.sqlite"
    spoil(path)
    names = _tables(path)
    with pytest.raises(StorageError) as caught:
        SqliteJournal(path)
    assert str(path) in caught.value.message
    assert caught.value.remedy
    assert _tables(path) == names


def _tables(path: Path) -> list[str]:
    db = sqlite3.connect(path)
    try:
        return [name for (name,) in db.execute("SELECT name FROM sqlite_master ORDER BY name")]
    except sqlite3.Error:
        return []
    finally:
        db.close()


def test_a_place_where_no_file_can_be_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        SqliteJournal(tmp_path / "missing" / "journal.sqlite")


class Full(sqlite3.Connection):
    """On a disk that has no room for anything but what is in reserve on it."""

    reserve = Path()

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if Full.reserve.exists() and Full.reserve.stat().st_size:
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, *values)


def test_a_journal_on_a_full_disk_is_opened_with_what_is_in_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    write_a_bit_of_everything(journal)
    before = everything(journal)
    journal.close()
    Full.reserve = tmp_path / "journal.sqlite.reserve"
    assert Full.reserve.stat().st_size == 1 << 20
    assert Full.reserve.stat().st_blocks * 512 >= 1 << 20, "no room is kept by a hole"
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, **named, factory=Full))
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", no_room)
        journal = SqliteJournal(path)
    assert everything(journal) == before
    assert Full.reserve.stat().st_blocks == 0
    Full.reserve = Path("nowhere")
    journal.put("a", b"1")
    with journal.transaction():
        journal.put("b", b"1")
    journal.close()
    assert (tmp_path / "journal.sqlite.reserve").stat().st_size == 1 << 20, "and put by again when there is room"


def test_a_reserve_for_which_there_is_too_little_room_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fills_the_rest(handle: int, _offset: int, size: int) -> None:
        os.write(handle, bytes(size // 2))
        no_room()

    monkeypatch.setattr(os, "posix_fallocate", fills_the_rest)
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.put("a", b"1")
    assert (tmp_path / "journal.sqlite.reserve").stat().st_size == 0
    journal.close()


def test_a_reserve_that_cannot_be_made_at_all_keeps_nothing_from_being_decided(tmp_path: Path) -> None:
    reserve = tmp_path / "journal.sqlite.reserve"
    reserve.mkdir()
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    with journal.transaction():
        journal.put("a", b"1")
    reserve.rmdir()
    with journal.transaction():
        journal.put("b", b"1")
    journal.close()
    assert reserve.stat().st_size == 1 << 20, "it is made as soon as it can be"


def test_on_a_disk_that_takes_no_write_the_journal_is_read_and_its_file_is_used_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    write_a_bit_of_everything(journal)
    before = everything(journal)
    journal.close()
    now_s = [1000.0]
    monkeypatch.setattr(journal_sqlite, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    with monkeypatch.context() as read_only:
        read_only.setattr(SqliteJournal, "_open", refuse_to_write)
        journal = SqliteJournal(path)
        assert everything(journal) == before
        copy = journal._db
        now_s[0] += 2.5
        with pytest.raises(StorageError):
            decide(journal)
    with pytest.raises(StorageError):
        decide(journal)  # the file is tried again every two seconds, not at once
    now_s[0] += 2.5
    decide(journal)
    with pytest.raises(sqlite3.ProgrammingError):
        copy.execute("SELECT 1")  # the copy is closed, and its memory free
    journal.close()
    again = SqliteJournal(path)
    assert again.get("name.2") == b"decided"
    assert (tmp_path / "journal.sqlite.reserve").stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_disk_that_takes_no_write_is_tried_every_two_seconds_by_what_is_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    SqliteJournal(path).close()
    now_s, tried = [1000.0], list[float]()

    def refuse(journal: SqliteJournal, place: Path) -> None:
        tried.append(now_s[0])
        refuse_to_write(journal, place)

    monkeypatch.setattr(journal_sqlite, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    monkeypatch.setattr(journal_sqlite.SqliteJournal, "_open", refuse)
    journal = SqliteJournal(path)
    tried.clear()
    for moment_s in (1001.9, 1002.0, 1003.9, 1004.0, 1004.1):
        now_s[0] = moment_s
        with pytest.raises(StorageError):
            decide(journal)
    assert sorted(set(tried)) == [1002.0, 1004.0]
    journal.close()


def test_the_reserve_is_made_once_and_each_decision_is_flushed_and_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, int]] = []
    allocate = os.posix_fallocate

    def allocating(handle: int, offset: int, size: int) -> None:
        made.append((offset, size))
        allocate(handle, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", allocating)
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    for _ in range(3):
        decide(journal)
    assert made == [(0, 1 << 20)]
    pragmas = ("locking_mode", "journal_mode", "synchronous", "secure_delete")
    assert [journal._rows(f"PRAGMA {name}")[0][0] for name in pragmas] == ["exclusive", "wal", 2, 1]
    journal.close()


def test_a_journal_that_can_neither_be_opened_nor_copied_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_copy(_path: Path) -> sqlite3.Connection:
        raise StorageError("There is no room for a copy.")

    monkeypatch.setattr(SqliteJournal, "_open", refuse_to_write)
    monkeypatch.setattr(journal_sqlite, "open_snapshot", no_copy)
    with pytest.raises(StorageError, match="The disk takes no write"):
        SqliteJournal(tmp_path / "journal.sqlite")


def decide(journal: SqliteJournal) -> None:
    with journal.transaction():
        journal.put("name.2", b"decided")


def refuse_to_write(_journal: SqliteJournal, _path: Path) -> None:
    error = sqlite3.OperationalError("attempt to write a readonly database")
    error.sqlite_errorcode = sqlite3.SQLITE_READONLY
    raise StorageError("The disk takes no write.") from error


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_to_open_a_journal_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.sqlite"
    SqliteJournal(path).close()
    monkeypatch.setattr(SqliteJournal, "put", no_room)
    SqliteJournal(path).close()


def test_a_full_disk_is_the_disks_fault_and_leaves_the_journal_usable(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    pages = int(journal._rows("PRAGMA page_count")[0][0])
    journal._execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"), journal.transaction():  # noqa: PT012
        for number in itertools.count():
            journal.append_leaf(number, bytes(1000))
    assert journal.leaves() == []
    journal._execute(f"PRAGMA max_page_count = {pages + 1000}")
    journal.append_leaf(0, b"room again")
    assert journal.leaves() == [b"room again"]
    journal.close()


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_single_values_are_put_replaced_removed_and_listed_by_prefix(journal: SqliteJournal) -> None:
    assert journal.get("a") is None
    journal.put("trust.root.1", b"one")
    journal.put("trust.root.1", b"two")
    journal.put("trust.bundle.1", b"b")
    journal.put("trust_root_2", b"not below the prefix")
    assert journal.named("trust.root.") == {"1": b"two"}
    journal.remove("trust.root.1")
    journal.remove("trust.root.1")
    assert journal.named("trust.") == {"bundle.1": b"b"}


def test_the_leaves_of_a_long_ledger_come_back_to_the_last_one(journal: SqliteJournal) -> None:
    for position in (0, 1_000, 10_000_000):
        journal.append_leaf(position, b"%d" % position)
    assert journal.leaves() == [b"0", b"1000", b"10000000"]
    assert journal.leaves(1) == [b"1000", b"10000000"]
    assert journal.leaves(0, 1_000) == [b"0"]


def test_leaves_come_back_in_order_and_no_place_is_written_twice(journal: SqliteJournal) -> None:
    for number in range(10):
        journal.append_leaf(number, b"leaf %d" % number)
    assert journal.leaves(3, 5) == [b"leaf 3", b"leaf 4"]
    assert journal.leaves(8) == [b"leaf 8", b"leaf 9"]
    assert journal.leaves(10) == []
    with pytest.raises(StorageError):
        journal.append_leaf(3, b"rewritten")
    assert journal.leaves(3, 4) == [b"leaf 3"]


def test_leaves_without_an_end_are_all_leaves(journal: SqliteJournal) -> None:
    for number in range(300):
        journal.append_leaf(number, b"%d" % number)
    assert journal.leaves(200) == [b"%d" % number for number in range(200, 300)]


def test_a_request_is_found_by_id_name_and_disclosure_exactly_as_it_was(journal: SqliteJournal) -> None:
    for number in range(1, 4):
        journal.add_request(stored(number))
    assert journal.request(stored(2).id) == stored(2)
    assert journal.request_named(stored(2).payload_sha256) == stored(2)
    journal.set_state(stored(2).id, RequestState.APPROVED, "cd" * 16)
    approved = stored(2, state=RequestState.APPROVED, disclosure="cd" * 16)
    assert journal.request_of("cd" * 16) == approved
    journal.set_state(stored(2).id, RequestState.SENDING)
    assert journal.request_of("cd" * 16) == dataclasses.replace(approved, state=RequestState.SENDING)
    assert journal.request("00" * 16) is journal.request_named("00" * 32) is journal.request_of("00" * 16) is None


def test_no_request_is_stored_twice(journal: SqliteJournal) -> None:
    journal.add_request(stored(1))
    with pytest.raises(StorageError), journal.transaction():
        journal.add_request(stored(1, payload_sha256="ff" * 32))
    assert [journal.request(each.id) for each in journal.requests()] == [stored(1)]


def test_requests_are_listed_oldest_first_by_state_and_by_what_is_overdue(journal: SqliteJournal) -> None:
    for number in (3, 1, 2):
        journal.add_request(stored(number, state=RequestState.PENDING if number != 2 else RequestState.SENT))
    assert [each.seq for each in journal.requests()] == [1, 2, 3]
    assert [each.seq for each in journal.requests(RequestState.PENDING)] == [1, 3]
    assert [each.seq for each in journal.requests(RequestState.PENDING, RequestState.SENT)] == [1, 2, 3]
    assert [each.seq for each in journal.overdue(103, RequestState.PENDING)] == [1]
    assert [each.seq for each in journal.overdue(104, RequestState.PENDING, RequestState.SENT)] == [1, 2, 3]
    assert journal.overdue(101, RequestState.PENDING) == []


@pytest.mark.parametrize("state", RequestState)
def test_only_what_waits_for_its_owner_is_held(journal: SqliteJournal, state: RequestState) -> None:
    journal.add_request(stored(1, state=state))
    assert journal.held_segments(10) == (frozenset(stored(1).segments) if state.holds_footage else frozenset())


def test_holds_are_capped_and_the_earliest_request_comes_first(journal: SqliteJournal) -> None:
    shared = ("a", "b", "c")
    journal.add_request(stored(1, state=RequestState.PENDING, segments=shared))
    journal.add_request(stored(2, state=RequestState.PENDING, segments=(*shared, "d", "e")))
    assert journal.held_segments(0) == frozenset()
    assert journal.held_segments(2) == {"a", "b"}
    assert journal.held_segments(4) == {*shared, "d"}
    assert journal.held_segments(100) == {*shared, "d", "e"}


@pytest.mark.parametrize("state", [state for state in RequestState if state is not RequestState.RECEIVED])
def test_what_a_request_matched_goes_when_it_has_ended_and_nothing_of_it_has_left(
    journal: SqliteJournal, state: RequestState
) -> None:
    journal.add_request(stored(1, segments=("a", "b")))
    journal.set_state(stored(1).id, state)
    found = journal.request(stored(1).id)
    assert found is not None
    stays = not state.ended or state in (RequestState.SENT, RequestState.STOPPED)
    assert found.segments == (("a", "b") if stays else ())
    assert journal.match_count(stored(1).id) == len(found.segments)


def test_whoever_lists_requests_does_not_wait_for_what_they_matched(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.add_request(stored(1, state=RequestState.PENDING))
    read: list[str] = []
    original = journal._execute
    monkeypatch.setattr(journal, "_execute", lambda sql, values=(): (read.append(sql), original(sql, values))[1])
    assert (
        len(journal.requests())
        == len(journal.requests(RequestState.PENDING))
        == len(journal.overdue(2000, RequestState.PENDING))
    )
    assert not [sql for sql in read if "matched" in sql]
    assert journal.request(stored(1).id) == stored(1, state=RequestState.PENDING)
    assert [sql for sql in read if "matched" in sql]


def test_two_requesters_may_give_their_requests_one_id(journal: SqliteJournal) -> None:
    theirs = stored(2, id="2" * 64, given_id=stored(1).id, requester="harbour-fire")
    journal.add_request(stored(1))
    journal.add_request(theirs)
    root = stored(1).trust_root
    assert journal.find_given_request((root, "harbour-police"), stored(1).id) == stored(1)
    assert journal.find_given_request((root, "harbour-fire"), stored(1).id) == theirs
    assert journal.find_given_request((root, "harbour-fire"), "2" * 64) is None
    assert theirs.said_id == stored(1).said_id == stored(1).id


def test_history_is_counted_by_requester_case_and_time(journal: SqliteJournal) -> None:
    journal.add_request(stored(1, asked_s=(100, 200), state=RequestState.PENDING))
    journal.add_request(stored(2, case_mark="HH 2", asked_s=(150, 300), state=RequestState.DENIED))
    journal.add_request(stored(3, requester="harbour-fire", case_mark="HF 1", asked_s=(100, 200)))
    police = (stored(1).trust_root, "harbour-police")
    assert journal.has_request(police, stored(1).id)
    assert not journal.has_request(police, "00" * 16)
    assert not journal.has_request((stored(1).trust_root, "harbour-fire"), stored(1).id)
    assert journal.requests_in_case("HH 1") == 1
    assert journal.requests_since(0) == 3
    root = stored(1).trust_root
    assert journal.requests_since(0, (root, "harbour-police")) == 2
    assert journal.requests_since(2000, (root, "harbour-police")) == 1
    assert journal.requests_since(0, ("00" * 8, "harbour-police")) == 0
    assert journal.requests_since(3001) == 0
    police = (root, "harbour-police")
    assert [journal.requests_about(police, *window) for window in ((0, 100), (0, 101), (199, 900), (200, 900))] == [
        *(0, 1, 2, 1)
    ]
    assert journal.requests_about((root, "harbour-insurer"), 0, 900) == 0
    journal.set_state(stored(1).id, RequestState.APPROVED)  # it was no vain question
    assert journal.requests_about(police, 0, 900) == 1


def test_what_concerns_another_place_is_counted_by_itself(journal: SqliteJournal) -> None:
    journal.add_request(stored(1, asked_s=(100, 200), state=RequestState.PENDING))
    journal.add_request(stored(2))
    journal.add_request(stored(3, requester="harbour-fire"))
    police = (stored(1).trust_root, "harbour-police")
    assert (journal.requests_since(0), journal.requests_since(0, police)) == (1, 1)
    assert (journal.requests_elsewhere(0), journal.requests_elsewhere(0, police)) == (2, 1)
    assert (journal.requests_elsewhere(2001), journal.requests_elsewhere(2001, police)) == (1, 0)
    assert journal.requests_in_case("HH 1") == 1
    assert journal.requests_about(police, 0, 900) == 1


def test_what_was_blocked_for_a_day_and_is_a_request_now_is_no_longer_listed_as_blocked(journal: SqliteJournal) -> None:
    journal.add_blocked(BlockedRequest(stored(1).payload_sha256, ROOT, "harbour-police", "too many requests", 5), 10)
    journal.add_request(stored(1))
    assert journal.blocked() == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 10**6), max_size=40), st.integers(1, 20))
def test_the_newest_numbers_are_remembered_and_what_was_forgotten_lies_below_them(
    numbers: list[int], window: int
) -> None:
    journal = SqliteJournal(":memory:")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_sqlite, "SEQUENCE_WINDOW", window)
        for seq in numbers:
            journal.use_sequence(KEY, seq)
            journal.use_sequence("cd" * 8, 1)
        kept = sorted(set(numbers))[-window:]
        assert [seq for seq in sorted(set(numbers)) if journal.has_sequence(KEY, seq)] == kept
        assert journal.oldest_sequence(KEY) == (kept[0] if len(kept) == window else 0)
    journal.close()


def test_a_nonce_is_good_once(journal: SqliteJournal) -> None:
    assert journal.use_nonce("aa" * 16)
    assert not journal.use_nonce("aa" * 16)
    assert journal.use_nonce("bb" * 16)


def test_the_list_of_the_blocked_keeps_the_newest_and_each_once(journal: SqliteJournal) -> None:
    lines = [
        BlockedRequest(f"{n:064x}", ROOT, "harbour-police" if n % 2 else "harbour-fire", "expired", n) for n in range(6)
    ]
    assert all(journal.add_blocked(line, 4) for line in lines)
    assert not journal.add_blocked(lines[5], 4)
    assert journal.blocked() == lines[:1:-1]
    assert journal.blocked_since(3, (ROOT, "harbour-police")) == 2
    assert journal.blocked_since(0, (ROOT, "harbour-fire")) == 2
    assert journal.blocked_since(0, ("another root", "harbour-fire")) == 0


def test_an_opt_out_is_replaced_by_its_like_and_removed(journal: SqliteJournal) -> None:
    journal.add_opt_out(ActiveOptOut(Scope.ALL))
    journal.add_opt_out(ActiveOptOut(Scope.KIND, "insurer", 5))
    journal.add_opt_out(ActiveOptOut(Scope.KIND, "insurer", 9))
    assert set(journal.opt_outs()) == {ActiveOptOut(Scope.ALL), ActiveOptOut(Scope.KIND, "insurer", 9)}
    journal.remove_opt_out(Scope.KIND, "insurer", "")
    journal.remove_opt_out(Scope.KIND, "insurer", "")
    assert journal.opt_outs() == (ActiveOptOut(Scope.ALL),)


def test_opt_outs_of_namesakes_below_two_roots_are_apart(journal: SqliteJournal) -> None:
    ours, theirs = (ActiveOptOut(Scope.REQUESTER, "harbour-police", root=root) for root in (ROOT, "another root"))
    journal.add_opt_out(ours)
    journal.add_opt_out(theirs)
    assert set(journal.opt_outs()) == {ours, theirs}
    journal.remove_opt_out(Scope.REQUESTER, "harbour-police", "another root")
    assert journal.opt_outs() == (ours,)


def test_outbox_objects_are_listed_with_their_parts_in_order_until_removed(journal: SqliteJournal) -> None:
    for number in (2, 1):
        journal.add_outbox(record(number, parts=12))
    assert journal.outbox() == [record(1, 12), record(2, 12)]
    journal.remove_outbox(record(1).disclosure)
    journal.remove_outbox(record(1).disclosure)
    assert journal.outbox() == [record(2, 12)]
    with pytest.raises(StorageError):
        journal.add_outbox(record(2))


def test_a_journal_can_be_used_by_many_threads_at_once(journal: SqliteJournal) -> None:
    def work(base: int) -> None:
        for number in range(base, base + 20):
            with journal.transaction():
                journal.append_leaf(number, b"x")
                journal.put("last", b"%d" % number)
                assert journal.get("last") == b"%d" % number

    threads = [threading.Thread(target=work, args=(base,)) for base in range(0, 100, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.leaves()) == 100


def test_no_database_maps_a_file_into_memory(tmp_path: Path) -> None:
    """On a full btrfs such a page ends the process with SIGBUS."""
    opened = [SqliteJournal(tmp_path / "journal.sqlite"), SqliteAlertQueue(tmp_path / "alerts.sqlite")]
    index = SqliteIndex(tmp_path / "index.sqlite")
    index.chain_head()
    visitors = Sessions(tmp_path / "page.sqlite", SystemEntropy(), lambda: 0)
    try:
        mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
        assert mapped == []
        assert [each.name for each in tmp_path.iterdir() if each.name.endswith("-shm")] == []
    finally:
        for each in (*opened, index, visitors):
            each.close()


def test_a_database_that_is_locked_by_its_owner_is_copied_as_it_is(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.put("a", b"1")
    with closing(open_snapshot(tmp_path / "journal.sqlite")) as copy:
        assert copy.execute("SELECT value FROM meta WHERE name = 'a'").fetchall() == [(b"1",)]
    journal.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"asked_s": (100, 200), "disclosure": "d" * 32},
        {"kept": None, "certain": True, "state": RequestState.APPROVED, "segments": ()},
        {"given_id": "e" * 32, "not_after_s": 0},
    ],
)
def test_every_field_of_a_request_is_read_as_it_was_stored(journal: SqliteJournal, changes: dict[str, Any]) -> None:
    wanted = stored(1, **changes)
    journal.add_request(stored(2))
    journal.add_request(wanted)
    found = journal.request(wanted.id)
    assert {each.name: getattr(found, each.name) for each in dataclasses.fields(wanted)} == {
        each.name: getattr(wanted, each.name) for each in dataclasses.fields(wanted)
    }
