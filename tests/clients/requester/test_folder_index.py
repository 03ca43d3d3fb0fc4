"""The index of a requester's folder: rebuilt from the folder when it is lost or damaged, shared by processes."""

from __future__ import annotations

import fcntl
import gc
import multiprocessing
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.clients.requester import folder_index, messages
from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.checks import AnswerSummary, Grade
from agent.clients.requester.deletion import delete_answers
from agent.clients.requester.folder_index import FolderIndex, IndexConnection
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.message_index import RequestRegister
from agent.core.disclosure import reply_tag
from agent.errors import StorageError
from agent.wire.disclosures import ReceiptState
from agent.wire.fields import Kind
from tests.clients.requester.conftest import NOW_S, ROOT_ID, question
from tests.clients.requester.house import House
from tests.clients.requester.test_verification import lay_down


def ask(requester: Requester, case: str = "2027-0114") -> str:
    return messages.make_request(requester, question(case=case), now_s=NOW_S).id


def file_of(requester: Requester) -> Path:
    (found,) = (requester.folder / "index").glob("*.sqlite")
    return found


def replies(requester: Requester) -> list[str]:
    return [requester.sent_request(each).request.reply for each in requester.request_ids()]


def known(requester: Requester) -> dict[str, object]:
    """Everything that the index says, without the numbers of changes."""
    answers = requester.answers.changed_since(0)
    return {
        "requests": requester.request_ids(),
        "unsent": sorted(requester.register.unsent()),
        "by key": [requester.register.with_reply_key(reply_tag(each), NOW_S) for each in replies(requester)],
        "roots": requester.trust_roots(),
        "cases": [sorted(requester.register.in_case(case)) for case in ("2027-0114", "2")],
        "answers": sorted((each.disclosure, each.request, each.state, each.size_bytes, each.grade) for each in answers),
        "total": requester.answers.total(),
    }


@pytest.fixture
def used(requester: Requester, asked: SentRequest, house: House) -> Requester:
    """A folder with a sent request and an unsent one, a withdrawal, a bulletin, and three answers."""
    requester.notes.write(messages.mark_published(requester, asked.request.id), b"")
    requester.register.sent(asked.request.id)
    messages.make_withdrawal(requester, ask(requester, "2"))
    messages.make_bulletin(
        requester, "Flood", "On the quay.", language="en", not_after_s=NOW_S + 60, cells=("284-369",)
    )
    answers = [lay_down(requester, asked, house.disclose(asked)) for _ in range(3)]
    answers[0].end(ReceiptState.COMPLETE, ended_ms=7, summary=AnswerSummary(Grade.SEGMENTS, 5, 6))
    answers[1].end(ReceiptState.REFUSED, "It lies.", ended_ms=8)
    for each in answers:
        requester.answers.ended(each.disclosure)
    return requester


def test_an_index_that_is_missing_is_made_again_from_the_folder(used: Requester) -> None:
    before = known(used)
    assert used.index.rebuilt == ""
    shutil.rmtree(used.folder / "index")
    again = Requester.open(used.folder)
    assert known(again) == before
    assert again.index.rebuilt == "It was missing."
    states = {each.state for each in again.answers.changed_since(0)}
    assert states == {AnswerState.COMPLETE, AnswerState.QUARANTINED, AnswerState.RECEIVING}


@pytest.mark.parametrize("filled", ["requests", "bulletins", "disclosures"])
def test_an_index_that_is_missing_beside_anything_is_said_and_a_first_one_is_not(tmp_path: Path, filled: str) -> None:
    (tmp_path / "new").mkdir()
    assert FolderIndex(tmp_path / "new", ()).rebuilt == ""
    (tmp_path / "used" / filled).mkdir(parents=True)
    index = FolderIndex(tmp_path / "used", ())
    index.read(lambda of: of.execute("SELECT 1").fetchone())
    assert index.rebuilt == "It was missing."


def test_an_index_that_is_deleted_under_a_running_program_is_made_again(used: Requester) -> None:
    before = known(used)
    shutil.rmtree(used.folder / "index")
    assert known(used) == before
    assert used.index.rebuilt == "It was missing."


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _garbled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:] = bytes(each ^ 0x5A for each in data[100:])
    path.write_bytes(data)


def _of_another_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE answer RENAME COLUMN reason TO why")
    connection.close()


def _of_wrong_rows(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answer SET state = 'burnt'")
    connection.close()


DAMAGES = {
    "no database": lambda path: path.write_bytes(b"hello" * 1000),
    "empty": lambda path: path.write_bytes(b""),
    "cut": _cut,
    "garbled": _garbled,
    "another version": _of_another_version,
    "wrong rows": _of_wrong_rows,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_is_made_again_from_the_folder_and_says_so(
    used: Requester, damage: Callable[[Path], object]
) -> None:
    before = known(used)
    used.index._handles.close_connection()  # which moves the log into the file
    damage(file_of(used))
    again = Requester.open(used.folder)
    assert known(again) == before
    assert again.index.rebuilt.startswith("It was damaged: ")
    assert known(used) == before, "a program that had the older file open goes on with the newer one"
    ask(used)
    assert again.request_ids() == used.request_ids()
    assert [each.name for each in (used.folder / "index").glob("*.sqlite")] == ["2.sqlite"]


def test_a_damaged_request_hides_no_other_from_the_index(used: Requester) -> None:
    damaged = ask(used, "2")
    before = used.request_ids()
    (used.folder / "requests" / damaged / "request.dsse").write_bytes(b"{")
    shutil.rmtree(used.folder / "index")
    again = Requester.open(used.folder)
    assert again.request_ids() == before
    assert again.register.with_reply_key("5e" * 8, NOW_S) == [damaged], "so that its damage is told"


def _asking(folder: Path, cases: list[str], ruin: bool) -> None:
    requester = Requester.open(folder)
    for case in cases:
        ask(requester, case)
        if ruin:
            requester.index._rebuild("tried", requester.index._number)


def test_a_message_that_is_stored_while_another_process_makes_the_index_again_is_listed(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(requester, "first")

    def rebuilding(add: Callable[..., None]) -> Callable[..., None]:
        """The index is made again after its row was written, and before the message is in the folder."""

        def added(*values: object) -> None:
            add(*values)
            monkeypatch.undo()
            requester.index._rebuild("tried", requester.index._number)

        return added

    monkeypatch.setattr(RequestRegister, "add_request", rebuilding(RequestRegister.add_request))
    asked = ask(requester, "second")
    assert asked in requester.request_ids()
    assert asked in requester.register.unsent()
    requester.register.sent(asked)
    requester.notes.write(messages.mark_published(requester, asked), b"")
    monkeypatch.setattr(RequestRegister, "add_unsent", rebuilding(RequestRegister.add_unsent))
    messages.make_withdrawal(requester, asked, None)
    assert asked in requester.register.unsent()


def test_processes_that_ask_at_once_lose_no_request_even_while_one_rebuilds_the_index(requester: Requester) -> None:
    ask(requester, "first")
    context = multiprocessing.get_context("fork")
    asking = [
        context.Process(target=_asking, args=(requester.folder, [f"{number}-{each}" for each in range(6)], number == 0))
        for number in range(3)
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join(120)
        assert each.exitcode == 0
    stored = sorted(path.name for path in (requester.folder / "requests").iterdir())
    assert len(stored) == 19
    assert requester.request_ids() == stored
    assert sorted(requester.register.unsent()) == stored


def test_a_child_of_a_fork_has_a_file_of_its_own_and_leaves_that_of_its_parent_open(requester: Requester) -> None:
    first = ask(requester)
    of_parent = requester.index._handles

    def is_apart() -> bool:
        asked = requester.request_ids() == [first] and ask(requester, "2")
        of_parent.close()
        own = requester.index._handles
        open_still = of_parent.connection is not None and of_parent.lock is not None
        kept = any(each is of_parent for each in folder_index._LEFT)
        return bool(asked and open_still and kept and own.lock != of_parent.lock and own.process == os.getpid())

    child = os.fork()
    if child == 0:
        os._exit(0 if is_apart() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(requester.request_ids()) == 2
    assert requester.index._handles is of_parent


def test_the_file_of_a_child_is_closed_when_the_child_drops_it(tmp_path: Path) -> None:
    index = FolderIndex(tmp_path, ())
    index.write(one)

    def is_closed() -> bool:
        nonlocal index
        index.write(one)
        own = index._handles
        was_open = own.connection is not None and own.lock is not None
        del index
        return was_open and own.connection is None and own.lock is None

    child = os.fork()
    if child == 0:
        os._exit(0 if is_closed() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert index.read(one) == (1,)


def add_many(requester: Requester) -> None:
    for number in range(200):
        requester.register.add_unsent(f"{number:032x}")


def test_a_full_disk_is_said_and_what_was_there_stays(used: Requester) -> None:
    before = known(used)
    used.index.read(lambda of: of.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(StorageError, match="full") as raised:
        add_many(used)
    assert "Nothing is lost" in raised.value.remedy
    assert used.index.rebuilt == ""
    used.index.read(lambda of: of.execute("PRAGMA max_page_count = 1000000"))
    listed = {"unsent": sorted(used.register.unsent())}
    assert known(used) | listed == before | listed
    ask(used)


def test_a_folder_on_a_disk_that_takes_nothing_can_still_be_read(
    used: Requester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    before = known(used)
    used.index._handles.close()
    shutil.rmtree(used.folder / "index")
    (used.folder / "index").write_text("no folder can be made here")
    again = Requester.open(used.folder)
    assert known(again) == before
    assert in_a_thread(lambda: known(again)) == before, "the same index in memory"
    assert list((tmp_path / "work").iterdir()) == []
    with pytest.raises(StorageError, match="index"):
        again.register.add_unsent("ab" * 16)
    (used.folder / "index").unlink()
    again.register.add_unsent("ab" * 16)
    assert "ab" * 16 in again.register.unsent()


def test_an_index_that_stays_damaged_is_an_error(requester: Requester, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(_: sqlite3.Connection) -> None:
        tried.append(1)
        raise sqlite3.DatabaseError("file is not a database")

    monkeypatch.setattr("agent.clients.requester.folder_index.is_damage", lambda _: True)
    with pytest.raises(StorageError, match="damaged again"):
        requester.index.read(fail)
    assert len(tried) == 2, "once before it was rebuilt and once after it"


def test_a_transaction_that_fails_changes_nothing(used: Requester) -> None:
    before = known(used)

    def half(to: sqlite3.Connection) -> None:
        to.execute("DELETE FROM message")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        used.index.write(half)
    assert known(used) == before


# -- for a program that follows up -------------------------------------------------------------------------------------


def test_a_program_that_was_away_asks_for_the_changes_since_the_last_it_knows(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    first, second = (lay_down(requester, asked, house.disclose(asked)) for _ in range(2))
    seen = requester.answers.changed_since(0)
    assert [each.disclosure for each in seen] == [first.disclosure, second.disclosure]
    first.end(ReceiptState.COMPLETE, ended_ms=NOW_S * 1000, summary=AnswerSummary(Grade.ALL, 5, 6))
    requester.answers.ended(first.disclosure)
    (changed,) = requester.answers.changed_since(seen[-1].change)
    assert (changed.state, changed.grade, changed.from_ms, changed.to_ms) == (AnswerState.COMPLETE, Grade.ALL, 5, 6)
    assert (changed.ended_ms, changed.device, changed.request) == (NOW_S * 1000, house.device_id, asked.request.id)
    assert requester.answers.changed_since(0, limit=1) == [requester.answers.get(second.disclosure)]
    delete_answers(requester, asked.request.id, NOW_S + 5)
    gone = requester.answers.changed_since(changed.change)
    assert [(each.state, each.size_bytes, each.ended_ms) for each in gone] == [
        (AnswerState.DELETED, 0, (NOW_S + 5) * 1000)
    ] * 2
    assert requester.answers.total().disclosures == 0
    assert requester.answers.to_request(asked.request.id) == []


def test_an_unknown_answer_is_none_and_its_end_changes_nothing(requester: Requester) -> None:
    requester.answers.deleted("ab" * 16, NOW_S)
    requester.answers.ended("ab" * 16)
    assert requester.answers.get("ab" * 16) is None
    assert len(requester.answers) == 0


def test_an_index_without_a_requester_is_made_where_it_is_first_used(tmp_path: Path) -> None:
    index = FolderIndex(tmp_path, ())
    assert index.read(lambda of: of.execute("SELECT 1").fetchone()) == (1,)
    assert index.rebuilt == ""


# -- files and locks ---------------------------------------------------------------------------------------------------


def in_a_thread(act: Callable[[], object]) -> object:
    """Returns the result of `act` in another thread."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join()
    (result,) = found
    return result


def one(of: IndexConnection) -> Any:
    return of.execute("SELECT 1").fetchone()


LOCKS = {fcntl.LOCK_SH: "shared", fcntl.LOCK_EX: "exclusive", fcntl.LOCK_UN: "none"}


@pytest.fixture
def locks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The locks that the index takes, in their order."""
    taken: list[str] = []
    lock = fcntl.flock

    def noted(handle: int, kind: int) -> None:
        taken.append(LOCKS[kind])
        lock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", noted)
    return taken


def test_each_use_holds_a_shared_lock_and_a_build_an_exclusive_one(tmp_path: Path, locks: list[str]) -> None:
    index = FolderIndex(tmp_path, ())
    assert index.read(one) == (1,)
    assert locks == ["shared", "exclusive", "shared", "none"], "it is made by the first use"
    for use in (index.read, index.write):
        locks.clear()
        assert use(one) == (1,)
        assert locks == ["shared", "none"]
    locks.clear()
    index._rebuild("tried", 1)
    assert locks == ["exclusive", "exclusive", "shared", "none"]
    locks.clear()
    index._rebuild("tried", 1)
    assert locks == ["exclusive", "none"], "it has been made again meanwhile"
    assert [each.name for each in (tmp_path / "index").glob("*.sqlite")] == ["2.sqlite"]


def test_an_index_that_another_process_makes_first_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs, taken = FolderIndex(tmp_path, ()), FolderIndex(tmp_path, ()), []
    lock = fcntl.flock

    def late(handle: int, kind: int) -> None:
        taken.append(LOCKS[kind])
        if len(taken) == 2:  # between a shared lock and an exclusive one there is none for a moment
            lock(handle, fcntl.LOCK_UN)
            assert theirs.read(one) == (1,)
        lock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    (tmp_path / "requests").mkdir()
    assert ours.read(one) == (1,)
    assert taken[-2:] == ["shared", "none"]
    assert (ours.rebuilt, theirs.rebuilt) == ("", "It was missing.")
    assert [each.name for each in (tmp_path / "index").glob("*.sqlite")] == ["1.sqlite"]


def test_the_open_file_stays_open_from_one_use_to_the_next(tmp_path: Path) -> None:
    index = FolderIndex(tmp_path, ())
    index.read(one)
    connection, lock = index._handles.connection, index._handles.lock
    assert connection is not None
    assert lock is not None
    index.write(one)
    assert (index._handles.connection, index._handles.lock) == (connection, lock)
    assert in_a_thread(lambda: index.read(one)) == (1,)
    assert stat.S_IMODE((tmp_path / "index" / "lock").stat().st_mode) == 0o600
    index._rebuild("tried", 1)
    assert index._handles.connection is None, "the file is closed before it is removed"
    index._handles.close()
    index._handles.close()
    assert (index._handles.connection, index._handles.lock) == (None, None)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(lock)


def open_files(folder: Path) -> set[str]:
    """The open files of this process below `folder`, by name."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            target = str(each.readlink())
        except FileNotFoundError:
            continue  # the listing itself
        if target.startswith(f"{folder}/"):
            found.add(target.removeprefix(f"{folder}/"))
    return found


def test_no_file_stays_open_that_is_no_longer_used(tmp_path: Path) -> None:
    index = FolderIndex(tmp_path, ())
    index.write(one)
    shutil.rmtree(tmp_path / "index")
    index.write(one)
    assert not {name for name in open_files(tmp_path) if "deleted" in name}
    assert {"index/lock", "index/1.sqlite"} <= open_files(tmp_path)
    del index
    gc.collect()
    assert open_files(tmp_path) == set()


def test_a_requester_that_is_dropped_closes_its_index_at_once(tmp_path: Path) -> None:
    """Otherwise the next collection would, while another process copies the folder or has it in a backup."""

    def use() -> Path:
        requester = Requester.create(tmp_path / "requester", "rijnstad-police", Kind.POLICE, ROOT_ID)
        ask(requester)
        assert [*requester.folder.glob("index/*-wal")], "the index is in use"
        return requester.folder

    gc.collect()
    gc.disable()
    try:
        folder = use()
        assert [each.name for each in folder.glob("index/*-wal")] == []
    finally:
        gc.enable()


def test_an_index_in_memory_is_closed_with_the_others(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("no folder can be made here")
    index = FolderIndex(tmp_path, ())
    assert index.read(one) == (1,)
    memory = index._handles.memory
    assert memory is not None
    index._handles.close()
    assert index._handles.memory is None
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        memory.execute("SELECT 1")


def test_each_commit_is_flushed_to_a_log_that_several_processes_share(tmp_path: Path) -> None:
    index = FolderIndex(tmp_path, ())
    assert index.read(lambda of: of.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
    assert index.read(lambda of: of.execute("PRAGMA synchronous").fetchone()) == (2,)


def test_a_file_without_its_database_is_called_missing_and_not_damaged(used: Requester) -> None:
    before = known(used)
    used.index._handles.close()
    file_of(used).unlink()
    again = Requester.open(used.folder)
    assert known(again) == before
    assert again.index.rebuilt == "It was missing."
    assert file_of(again).name == "2.sqlite"


def test_what_a_killed_rebuild_left_is_replaced(used: Requester, monkeypatch: pytest.MonkeyPatch) -> None:
    before = known(used)
    used.index._handles.close()
    folder = used.folder / "index"
    file_of(used).write_bytes(b"hello" * 1000)
    (folder / "2.sqlite").write_bytes(b"half")
    (folder / "2.sqlite-wal").write_bytes(b"half")
    glob = Path.glob
    gone = folder / "9.sqlite-shm"  # as if another process had removed it meanwhile
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*glob(self, pattern), gone])
    again = Requester.open(used.folder)
    assert known(again) == before
    assert again.index.rebuilt.startswith("It was damaged: ")
    monkeypatch.undo()
    assert file_of(again).name == "2.sqlite"


def test_a_rebuilt_file_has_its_name_on_the_disk_before_it_is_named_as_the_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, bytes]] = []
    lock, sync, sync_folder = tmp_path / "index" / "lock", os.fsync, folder_index.files.sync_folder

    def synced(handle: int) -> None:
        if str(Path(f"/proc/self/fd/{handle}").readlink()) == str(lock):
            steps.append(("lock", lock.read_bytes()))
        sync(handle)

    def folder_synced(folder: Path) -> None:
        steps.append((folder.name, lock.read_bytes() if lock.exists() else b""))
        sync_folder(folder)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(folder_index.files, "sync_folder", folder_synced)
    FolderIndex(tmp_path, ()).read(one)
    assert [step for step in steps if step[0] in ("index", "lock")] == [("index", b""), ("lock", b"1" + b" " * 15)]
