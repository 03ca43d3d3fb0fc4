"""The index of answers counts what each doorbell holds here, and lists answers by state, request and door.

The bounds on what one doorbell may send rest on these sums.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.clients.requester.answer_index import AnswerIndex, AnswerState, HeldDisclosure, QuotaUsage, ReceivedAnswer
from agent.clients.requester.checks import AnswerSummary, Grade
from agent.clients.requester.disclosure_folder import DisclosureOrigin
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.notes import FolderNotes
from agent.clients.requester.sealed_parts import FolderParts
from agent.wire.disclosures import ReceiptState
from agent.wire.topics import ANONYMOUS
from tests.clients.requester.conftest import NOW_S
from tests.clients.requester.doors import stored_bytes
from tests.clients.requester.house import House
from tests.clients.requester.test_verification import lay_down

A, B, C, D = ("a" * 32, "ab" + "c" * 30, "b" * 32, "d" * 32)
DOOR, OTHER = "1" * 16, "2" * 16
ASKED, LATER = "5" * 32, "6" * 32


def held(
    device: str = DOOR, request: str = ASKED, size: int = 100, parts: int = 2, live: bool = True
) -> HeldDisclosure:
    return HeldDisclosure(device, request, size, parts, live)


@pytest.fixture
def answers(requester: Requester) -> AnswerIndex:
    return requester.answers


def test_a_doorbells_room_is_what_it_holds_for_a_request_and_in_all_without_the_one_that_changes(
    answers: AnswerIndex,
) -> None:
    answers.put(A, held(size=100, parts=2))
    answers.put(B, held(size=30, parts=1))
    answers.put(C, held(request=LATER, size=7, parts=5))
    answers.put(D, held(OTHER, size=1000, parts=9))
    assert answers.of(DOOR, ASKED) == QuotaUsage(2, 130, 3)
    assert answers.of(DOOR, ASKED, but=A) == QuotaUsage(1, 30, 1)
    assert answers.of_door(DOOR) == QuotaUsage(3, 137, 8)
    assert answers.of_door(DOOR, but=C) == QuotaUsage(2, 130, 3)
    assert answers.of_door("3" * 16) == QuotaUsage()
    assert answers.total() == QuotaUsage(4, 1137)
    assert answers.total(but=D) == QuotaUsage(3, 137)
    assert answers.total(but="e" * 32) == QuotaUsage(4, 1137)
    assert len(answers) == 4


def test_a_deleted_answer_stays_listed_and_takes_no_room(answers: AnswerIndex) -> None:
    answers.put(A, held(size=100))
    answers.put(B, held(size=30))
    answers.deleted(A, 77)
    assert answers.get(A) == ReceivedAnswer(A, DOOR, ASKED, AnswerState.DELETED, ended_ms=77, change=3)
    assert answers.total() == answers.total(but=A) == QuotaUsage(1, 30)
    assert (answers.of(DOOR, ASKED), answers.of_door(DOOR)) == (QuotaUsage(1, 30, 2),) * 2
    assert [each.disclosure for each in answers.to_request(ASKED)] == [B]
    assert answers.receiving() == [B]
    assert answers.live(DOOR, ASKED) == (B,)
    answers.deleted(A, 99)
    assert answers.total() == QuotaUsage(1, 30), "it is counted out once"
    answers.remove(B)
    assert answers.get(B) is None
    assert answers.total() == QuotaUsage()


def test_an_answer_that_grows_keeps_the_time_of_its_begin_and_one_that_comes_again_gets_a_new_one(
    answers: AnswerIndex,
) -> None:
    answers.put(A, held(request="", size=10, parts=1), now_ms=1000)
    answers.put(A, held(size=400, parts=4), now_ms=2000)
    assert answers.get(A) == ReceivedAnswer(
        A, DOOR, ASKED, AnswerState.RECEIVING, size_bytes=400, parts=4, live=True, begun_ms=1000, change=2
    )
    assert answers.total() == QuotaUsage(1, 400)
    answers.deleted(A, 3000)
    answers.put(A, held(live=False), now_ms=4000)
    again = answers.get(A)
    assert again is not None
    assert (again.begun_ms, again.live, again.state) == (4000, False, AnswerState.RECEIVING)
    assert answers.live(DOOR, ASKED) == ()


def test_live_answers_are_those_of_one_doorbell_to_one_request(answers: AnswerIndex) -> None:
    answers.put(A, held())
    answers.put(B, held(live=False))
    answers.put(C, held(request=LATER))
    answers.put(D, held(OTHER))
    assert answers.live(DOOR, ASKED) == (A,)
    assert answers.live(DOOR, LATER) == (C,)
    assert answers.live(OTHER, ASKED) == (D,)


def test_the_beginning_of_an_id_finds_answers_in_order_and_neither_tips_nor_deleted_ones(answers: AnswerIndex) -> None:
    for name in (C, B, A):
        answers.put(name, held())
    answers.put("ad" * 16, held(ANONYMOUS, request=""))
    answers.put("ae" * 16, held())
    answers.deleted("ae" * 16, 1)
    found = [each.disclosure for each in answers.beginning_with("a")]
    assert found == [A, B]
    assert [each.disclosure for each in answers.beginning_with("a", limit=1)] == [A]
    assert [each.disclosure for each in answers.beginning_with("")] == [A, B, C]
    assert [each.disclosure for each in answers.beginning_with(A)] == [A]
    assert answers.beginning_with("f") == []


def test_changes_come_in_their_order_each_answer_at_its_last_one(answers: AnswerIndex) -> None:
    for name in (A, B, C):
        answers.put(name, held())
    answers.put(A, held(size=5))
    assert [(each.disclosure, each.change) for each in answers.changed_since(0)] == [(B, 2), (C, 3), (A, 4)]
    assert [each.disclosure for each in answers.changed_since(2)] == [C, A]
    assert [each.disclosure for each in answers.changed_since(0, limit=2)] == [B, C]
    assert answers.changed_since(4) == []
    assert answers.position().change == 4
    assert re.fullmatch("[0-9a-f]{16}", answers.position().made)


def test_an_answer_that_a_person_moved_away_is_deleted_and_one_that_came_back_is_listed(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    gone, kept = (lay_down(requester, asked, house.disclose(asked)) for _ in range(2))
    kept.end(ReceiptState.COMPLETE, ended_ms=NOW_S * 1000)
    requester.answers.ended(kept.disclosure)
    place = requester.folder / "disclosures"
    (place / gone.disclosure).rename(requester.folder / "away")
    assert requester.answers.reconcile("0" * 16) == frozenset()
    assert [each.disclosure for each in requester.answers.to_request(asked.request.id)] != [kept.disclosure]
    assert requester.answers.reconcile(house.device_id) == frozenset()
    left = requester.answers.get(gone.disclosure)
    assert left is not None
    assert (left.state, left.ended_ms) == (AnswerState.DELETED, 0), "the time of its deletion is unknown"
    assert [each.disclosure for each in requester.answers.to_request(asked.request.id)] == [kept.disclosure]
    (requester.folder / "away").rename(place / gone.disclosure)
    assert requester.answers.reconcile() == frozenset()
    back = requester.answers.get(gone.disclosure)
    assert back is not None
    assert (back.state, back.device, back.request) == (AnswerState.RECEIVING, house.device_id, asked.request.id)
    assert back.size_bytes == stored_bytes(requester.answer(gone.disclosure)) > 0
    shutil.rmtree(place / kept.disclosure)
    (place / ("e" * 32)).mkdir()
    (place / "notes of a person").mkdir()
    assert requester.answers.reconcile() == {"e" * 32}, "a folder without its origin cannot be listed"
    left = requester.answers.get(kept.disclosure)
    assert left is not None
    assert (left.state, left.ended_ms) == (AnswerState.DELETED, 0)
    assert requester.answers.receiving() == [gone.disclosure]
    assert requester.answers.total().disclosures == 1


def test_only_whole_tips_are_listed_as_tips(requester: Requester, asked: SentRequest, house: House) -> None:
    requester.answers.put(A, held(ANONYMOUS, request=""))
    assert requester.answers.tips() == []
    answer = lay_down(requester, asked, house.disclose(asked))
    answer.end(ReceiptState.COMPLETE, ended_ms=1)
    requester.answers.ended(answer.disclosure)
    assert requester.answers.tips() == [], "an answer of a doorbell is none"
    tip = requester.answer(B)
    tip.create(DisclosureOrigin(v=1, device=ANONYMOUS, parts=1, size_bytes=1, sha256="5e" * 32))
    tip.end(ReceiptState.COMPLETE, ended_ms=2)
    requester.answers.ended(B)
    assert requester.answers.tips() == [B]


def test_an_answer_that_ended_is_listed_with_all_that_its_files_say(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    sent = house.disclose(asked)
    answer = lay_down(requester, asked, sent)
    answer.end(ReceiptState.COMPLETE, ended_ms=77, summary=AnswerSummary(Grade.SEGMENTS, 5, 6))
    requester.answers.ended(sent.id)
    listed = requester.answers.get(sent.id)
    assert listed is not None
    assert listed == ReceivedAnswer(
        sent.id,
        house.device_id,
        asked.request.id,
        AnswerState.COMPLETE,
        size_bytes=sum(path.stat().st_size for path in answer.path.iterdir()),
        parts=len(sent.parts),
        ended_ms=77,
        grade=Grade.SEGMENTS,
        from_ms=5,
        to_ms=6,
        change=listed.change,
    )


def test_while_the_index_is_written_the_store_is_not_asked(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is cut off from one worker answers after half a minute. All others waited for its lock meanwhile."""
    sent = house.disclose(asked)
    lay_down(requester, asked, sent)
    index, writing, called = requester.index, list[bool](), list[tuple[str, bool]]()
    write = index.write

    def noted_write(act: Any) -> Any:
        def noted(to: Any) -> Any:
            writing.append(True)
            try:
                return act(to)
            finally:
                writing.pop()

        return write(noted)

    monkeypatch.setattr(index, "write", noted_write)
    for name in ("numbers", "size_bytes"):
        ask = getattr(FolderParts, name)

        def noted_ask(*words: Any, name: str = name, ask: Any = ask) -> Any:
            called.append((name, bool(writing)))
            return ask(*words)

        monkeypatch.setattr(FolderParts, name, noted_ask)
    requester.answers.ended(sent.id)
    assert {name for name, _ in called} == {"numbers", "size_bytes"}
    assert [name for name, is_writing in called if is_writing] == []
    listed = requester.answers.get(sent.id)
    assert listed is not None
    assert listed.parts == len(sent.parts)


def test_an_answer_to_a_request_that_is_still_unknown_is_listed_without_one(requester: Requester) -> None:
    assert len(requester.answers) == 0
    answer = requester.answer(A)
    answer.create(DisclosureOrigin(v=1, device=DOOR, parts=3, size_bytes=1, sha256="5e" * 32, begun_ms=7))
    requester.answers.ended(A)
    assert requester.answers.get(A) == ReceivedAnswer(
        A, DOOR, "", AnswerState.RECEIVING, size_bytes=stored_bytes(answer), begun_ms=7, change=1
    )
    answer.end(ReceiptState.REFUSED, "It lies.", ended_ms=8)
    requester.answers.ended(A)
    assert requester.answers.get(A) == ReceivedAnswer(
        A, DOOR, "", AnswerState.QUARANTINED, "It lies.", stored_bytes(answer), begun_ms=7, ended_ms=8, change=2
    )


def test_answers_that_nobody_can_move_are_not_compared_with_the_folder(requester: Requester, tmp_path: Path) -> None:
    class NotesElsewhere(FolderNotes):
        movable = False

    answers = AnswerIndex(requester.index, NotesElsewhere(tmp_path / "elsewhere"), requester.answer)
    answers.put(A, held())
    assert answers.reconcile() == answers.reconcile(DOOR) == frozenset()
    assert answers.receiving() == [A]


def test_an_answer_of_which_the_copied_request_is_damaged_is_listed_without_one(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    answer = lay_down(requester, asked, house.disclose(asked))
    (answer.path / "request.dsse").write_bytes(b"torn")
    requester.answers.ended(answer.disclosure)
    found = requester.answers.get(answer.disclosure)
    assert found is not None
    assert (found.request, found.device, found.state) == ("", house.device_id, AnswerState.RECEIVING)
