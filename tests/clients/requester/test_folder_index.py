"""The index of a requester's folder: rebuilt from the folder when it is lost or damaged, shared by processes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients.requester import messages
from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.checks import AnswerSummary, Grade
from agent.clients.requester.deletion import delete_answers
from agent.clients.requester.folder_index import FolderIndex
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.message_index import RequestRegister
from agent.core.disclosure import reply_tag
from agent.core.transfer import TransferState
from agent.errors import StorageError
from tests.clients.requester.conftest import NOW_S, question
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
    answers[0].end(TransferState.COMPLETE, ended_ms=7, summary=AnswerSummary(Grade.SEGMENTS, 5, 6))
    answers[1].end(TransferState.REFUSED, "It lies.", ended_ms=8)
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


def test_a_child_of_a_fork_has_a_file_of_its_own(requester: Requester) -> None:
    first = ask(requester)
    child = os.fork()
    if child == 0:
        os._exit(0 if requester.request_ids() == [first] and ask(requester, "2") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(requester.request_ids()) == 2


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


def test_a_folder_on_a_disk_that_takes_nothing_can_still_be_read(used: Requester) -> None:
    before = known(used)
    used.index._handles.close()
    shutil.rmtree(used.folder / "index")
    (used.folder / "index").write_text("no folder can be made here")
    again = Requester.open(used.folder)
    assert known(again) == before
    assert known(again) == before, "the same index in memory"
    with pytest.raises(StorageError, match="index"):
        again.register.add_unsent("ab" * 16)
    (used.folder / "index").unlink()
    again.register.add_unsent("ab" * 16)
    assert "ab" * 16 in again.register.unsent()


def test_an_index_that_stays_damaged_is_an_error(requester: Requester, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise sqlite3.DatabaseError("file is not a database")

    monkeypatch.setattr("agent.clients.requester.folder_index.is_damage", lambda _: True)
    with pytest.raises(StorageError, match="damaged again"):
        requester.index.read(fail)


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
    first.end(TransferState.COMPLETE, ended_ms=NOW_S * 1000, summary=AnswerSummary(Grade.ALL, 5, 6))
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
