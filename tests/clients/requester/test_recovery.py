"""Answers that a store of sealed parts has and the notes lack: each whole one is listed again, and no other one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.disclosure_folder import DisclosureOrigin
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.recovery import recover_answers
from agent.clients.requester.sealed_parts import FolderParts, PartsAwayError
from agent.wire.disclosures import ReceiptState
from tests.clients.requester.conftest import NOW_S
from tests.clients.requester.house import Disclosure, House
from tests.clients.requester.test_incoming_tips import TIP, laid, words
from tests.damage import with_another_end

AT_MS = NOW_S * 1000 - 5


@pytest.fixture
def sharing(requester: Requester, tmp_path: Path) -> Requester:
    """The requester with its parts in another store than its notes."""
    return Requester.open(requester.folder, parts=FolderParts(tmp_path / "store"))


def put(requester: Requester, made: Disclosure, *, but: int = -1) -> None:
    """Stores the parts of an answer, and none of its notes."""
    answer = requester.answer(made.id)
    first = made.sizes[0]
    answer.create(
        DisclosureOrigin(
            v=1, device=made.device, parts=len(made.parts), size_bytes=first.size_bytes, sha256=first.sha256
        )
    )
    for number, (part, size) in enumerate(zip(made.parts, made.sizes, strict=True)):
        if number != but:
            answer.write(number, 0, part)
            assert answer.seal(number, size)
    requester.notes.delete_folder(f"disclosures/{made.id}")


def recovered(requester: Requester, *disclosures: str) -> tuple[list[str], list[str]]:
    found = recover_answers(requester, disclosures, lambda _: AT_MS, NOW_S)
    return list(found.found), list(found.left)


def left(requester: Requester, disclosure: str) -> tuple[str, str]:
    """Returns the reason and the remedy of an answer that is left aside."""
    error = recover_answers(requester, [disclosure], lambda _: AT_MS, NOW_S).left[disclosure]
    return error.message, error.remedy or ""


def test_a_whole_answer_is_listed_again_as_it_arrived_and_only_once(
    sharing: Requester, asked: SentRequest, house: House
) -> None:
    made = house.disclose(asked)
    put(sharing, made)
    assert recovered(sharing, made.id) == ([made.id], [])
    known = sharing.answers.get(made.id)
    assert known is not None
    assert (known.state, known.device, known.request) == (AnswerState.COMPLETE, made.device, asked.request.id)
    assert (known.begun_ms, known.ended_ms, known.parts) == (AT_MS, AT_MS, len(made.parts))
    assert recovered(sharing, made.id) == ([], [])


def test_an_answer_that_was_arriving_in_the_notes_and_is_whole_in_the_store_is_complete(
    sharing: Requester, asked: SentRequest, house: House
) -> None:
    made = house.disclose(asked)
    put(sharing, made)
    first = made.sizes[0]
    origin = DisclosureOrigin(
        v=1, device=made.device, parts=len(made.parts), size_bytes=first.size_bytes, sha256=first.sha256, begun_ms=7
    )
    sharing.answer(made.id).create(origin)
    sharing.answers.ended(made.id)
    assert recovered(sharing, made.id) == ([made.id], [])
    assert sharing.answer(made.id).state is ReceiptState.COMPLETE


def test_an_answer_whose_reply_key_is_lost_and_junk_stay_sealed(
    sharing: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, junk = house.disclose(asked), "ab" * 16
    put(sharing, other)
    FolderParts(sharing.folder.parent / "store").put(junk, 0, junk_file(sharing.folder))
    asked.delete_reply_identity()
    assert recovered(sharing, other.id, junk) == ([], [other.id, junk])
    assert not sharing.answer(other.id).is_known()
    assert left(sharing, other.id)[0] == "The reply key of its request was deleted."
    monkeypatch.setattr(type(sharing.register), "with_reply_key", lambda *_: [])
    reason, remedy = left(sharing, other.id)
    assert "No request of this database has its reply key" in reason
    assert "Without one ask again" in remedy
    reason, remedy = left(sharing, junk)
    assert "neither an answer nor a tip" in reason
    assert "a version or a backup of the bucket" in remedy


def test_an_answer_to_a_neighbour_and_one_in_another_folder_say_why(
    sharing: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, store = house.disclose(asked), sharing.folder.parent / "store"
    put(sharing, made)
    moved = "ab" * 16
    FolderParts(store)._of(made.id).rename(FolderParts(store)._of(moved))
    reason, remedy = left(sharing, moved)
    assert reason == f"It lies in the folder of another answer: it is {made.id}."
    assert "Move its parts to the folder of that name" in remedy
    monkeypatch.setattr(Requester, "is_relayed", lambda *_: True)
    reason, remedy = left(sharing, moved)
    assert reason == "It answers a neighbour, and only their browser has the key."
    assert "The neighbour asks again" in remedy


def test_a_cut_answer_is_left_to_its_doorbell(sharing: Requester, asked: SentRequest, house: House) -> None:
    cut = house.disclose(asked)
    put(sharing, cut, but=1)
    assert recovered(sharing, cut.id) == ([], [cut.id])
    assert not sharing.answer(cut.id).is_known()
    reason, remedy = left(sharing, cut.id)
    assert reason == f"Parts 1 of {len(cut.parts)} are not in the store."
    assert "Restore them from a version or a backup of the bucket" in remedy
    (FolderParts(sharing.folder.parent / "store")._of(cut.id) / "0.age").unlink()
    assert left(sharing, cut.id)[0] == "Its part 0 is not in the store."


def test_an_answer_to_a_withdrawn_request_and_one_with_parts_too_many_say_why(
    sharing: Requester, asked: SentRequest, house: House
) -> None:
    made = house.disclose(asked)
    put(sharing, made)
    beyond = len(made.parts)
    for number in (beyond, beyond + 1, beyond + 3):
        FolderParts(sharing.folder.parent / "store").put(made.id, number, junk_file(sharing.folder))
    assert left(sharing, made.id)[0] == (
        f"Parts {beyond}-{beyond + 1}, {beyond + 3} are in the store, and it has {beyond} parts."
    )
    asked.notes.write(f"requests/{asked.request.id}/withdrawal.dsse", b"{}")
    assert asked.withdrawn
    assert left(sharing, made.id) == (
        "Its request was withdrawn, so the desk must not have it.", "Delete its parts from the bucket.",
    )  # fmt: skip


def test_a_deleted_answer_does_not_come_back(sharing: Requester, asked: SentRequest, house: House) -> None:
    made = house.disclose(asked)
    put(sharing, made)
    recovered(sharing, made.id)
    sharing.answer(made.id).delete()
    sharing.answers.deleted(made.id, AT_MS)
    put(sharing, made)
    assert recovered(sharing, made.id) == ([], [])
    assert not sharing.answer(made.id).is_known()


def test_an_answer_that_fails_its_checks_is_quarantined(sharing: Requester, asked: SentRequest, house: House) -> None:
    made = house.disclose(asked)
    put(sharing, made)
    store = FolderParts(sharing.folder.parent / "store")._of(made.id) / "1.age"
    store.write_bytes(with_another_end(store.read_bytes()))
    assert recovered(sharing, made.id) == ([made.id], [])
    known = sharing.answers.get(made.id)
    assert known is not None
    assert known.state is AnswerState.QUARANTINED


def test_a_tip_is_listed_again(sharing: Requester) -> None:
    laid(sharing, words(sharing))
    sharing.notes.delete_folder(f"disclosures/{TIP}")
    sharing.answers.remove(TIP)
    assert recovered(sharing, TIP) == ([TIP], [])
    assert sharing.answers.tips() == [TIP]


def test_a_store_that_is_away_ends_it(
    sharing: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = house.disclose(asked)
    put(sharing, made)

    def away(*_: object) -> None:
        raise PartsAwayError("The S3 store does not answer.")

    monkeypatch.setattr(FolderParts, "pieces", away)
    with pytest.raises(PartsAwayError):
        recovered(sharing, made.id)


def junk_file(folder: Path) -> Path:
    path = folder / "junk"
    path.write_bytes(hashlib.sha256(b"junk").digest())
    return path
