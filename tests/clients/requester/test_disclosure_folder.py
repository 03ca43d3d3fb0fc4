"""The folder of a disclosure tells what is here, whole and decided, and nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients.requester.answer_index import AnswerIndex, HeldDisclosure, answer_table
from agent.clients.requester.checks import AnswerSummary, Grade, ranges_of
from agent.clients.requester.disclosure_folder import (
    AnswerFolder,
    DisclosureOrigin,
    ReceiveOutcome,
)
from agent.clients.requester.folder_index import FolderIndex
from agent.clients.requester.notes import FolderNotes
from agent.clients.requester.sealed_parts import FolderParts
from agent.core.transfer import PartSize
from agent.errors import ConfigurationError, StorageError
from agent.wire.disclosures import ReceiptState
from tests.clients.requester.doors import answer_folders
from tests.damage import unreadable

ONE, TWO = "1" * 32, "2" * 32
DEVICE = "ab" * 8


def answers_in(folder: Path) -> AnswerIndex:
    parts = FolderParts(folder / "disclosures")
    index = FolderIndex(folder, (answer_table(parts),))
    return AnswerIndex(index, FolderNotes(folder), lambda disclosure: AnswerFolder(folder, disclosure, parts))


def size_of(data: bytes) -> PartSize:
    return PartSize(len(data), hashlib.sha256(data).hexdigest())


def begun(tmp_path: Path, name: str = ONE, parts: int = 2) -> AnswerFolder:
    folder = AnswerFolder(tmp_path, name)
    folder.create(DisclosureOrigin(v=1, device=DEVICE, parts=parts, size_bytes=5, sha256="5e" * 32))
    return folder


def test_of_a_disclosure_that_is_not_here_nothing_is_here(tmp_path: Path) -> None:
    folder = AnswerFolder(tmp_path, ONE)
    assert (folder.sealed(), folder.origin(), folder.outcome()) == (frozenset(), None, None)
    assert (folder.request(), folder.receipt(), folder.state) == (None, None, ReceiptState.PARTIAL)
    assert list(answer_folders(tmp_path)) == []


@pytest.mark.parametrize(
    "look",
    [
        lambda folder: AnswerFolder(folder, ONE).origin(),
        lambda folder: AnswerFolder(folder, ONE).state,
        lambda folder: AnswerFolder(folder, ONE).request(),
        lambda folder: AnswerFolder(folder, ONE).receipt(),
        lambda folder: AnswerFolder(folder, ONE).sealed(),
    ],
    ids=["origin", "state", "request", "receipt", "sealed"],
)
def test_a_folder_that_may_not_be_read_is_named_and_not_taken_for_an_empty_one(
    tmp_path: Path, look: Callable[[Path], object]
) -> None:
    folder = begun(tmp_path)
    folder.adopt(b"one")
    folder.keep_receipt(b"receipt")
    with unreadable(tmp_path / "disclosures"), pytest.raises(StorageError, match=r"disclosures.*Permission") as refused:
        look(tmp_path)
    assert "permissions" in str(refused.value.remedy)
    look(tmp_path)


def test_the_list_of_answers_forgets_none_because_their_folder_cannot_be_read(tmp_path: Path) -> None:
    begun(tmp_path)
    answers = answers_in(tmp_path)
    assert len(answers) == 1
    (tmp_path / "disclosures").rename(tmp_path / "moved")
    (tmp_path / "disclosures").symlink_to("disclosures")
    for look in (answers.reconcile, lambda: answers.reconcile(DEVICE)):
        with pytest.raises(StorageError, match=r"disclosures.*symbolic links"):
            look()
        assert len(answers) == 1


def test_a_folder_that_leads_to_itself_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "disclosures").symlink_to("disclosures")
    with pytest.raises(StorageError, match=r"disclosures.*symbolic links"):
        list(answer_folders(tmp_path))


@pytest.mark.parametrize("name", ["", "x", "../" + "1" * 29, "1" * 31, "A" * 32])
def test_an_id_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="not the id of a disclosure"):
        AnswerFolder(tmp_path, name)


def test_a_part_is_here_once_it_is_whole_and_of_the_announced_hash(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.write(1, 5, b"world")
    folder.write(1, 0, b"hello")
    assert folder.sealed() == frozenset()
    assert folder.seal(1, size_of(b"helloworld"))
    assert folder.sealed() == {1}
    assert (folder.path / "1.age").read_bytes() == b"helloworld"
    assert (folder.path / "1.age").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("announced", [size_of(b"other"), PartSize(4, size_of(b"hello").sha256)])
def test_a_part_of_another_hash_or_size_is_deleted_and_not_here(tmp_path: Path, announced: PartSize) -> None:
    folder = begun(tmp_path)
    folder.write(0, 0, b"hello")
    assert not folder.seal(0, announced)
    assert folder.sealed() == frozenset()
    assert [each.name for each in folder.path.iterdir()] == [DisclosureOrigin.FILE]


def test_what_was_half_written_before_a_restart_is_dropped_and_the_rest_stays(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.write(0, 0, b"hello")
    assert folder.seal(0, size_of(b"hello"))
    folder.write(1, 0, b"half")
    folder.drop_unsealed()
    assert sorted(each.name for each in folder.path.iterdir()) == ["0.age", DisclosureOrigin.FILE]


def test_an_answer_that_begins_again_keeps_nothing_of_what_was_half_assembled(tmp_path: Path) -> None:
    left = tmp_path / "disclosures" / ONE
    left.mkdir(parents=True)
    (left / "1.part").write_bytes(b"half")
    folder = begun(tmp_path)
    assert [each.name for each in folder.path.iterdir()] == [DisclosureOrigin.FILE]
    folder.write(1, 0, b"half")
    folder.clear()
    assert [each.name for each in folder.path.iterdir()] == [DisclosureOrigin.FILE]
    shutil.rmtree(folder.path)
    folder.clear()
    assert list(folder.path.iterdir()) == [], "another machine has its notes"


def test_a_part_that_the_disk_takes_in_pieces_is_written_whole_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pwrite, handles = begun(tmp_path), os.pwrite, set()

    def three_bytes(handle: int, data: memoryview, offset: int) -> int:
        handles.add(handle)
        return pwrite(handle, data[:3], offset)

    monkeypatch.setattr(os, "pwrite", three_bytes)
    folder.write(1, 5, b"world")
    folder.write(1, 0, b"hello")
    monkeypatch.undo()
    assert (folder.path / "1.part").read_bytes() == b"helloworld"
    for handle in handles:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)


def test_a_part_is_on_the_disk_before_it_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begun(tmp_path)
    folder.write(0, 0, b"hello")
    steps: list[str] = []

    class Store(FolderParts):
        def put(self, disclosure: str, number: int, source: Path) -> None:
            steps.append("put")
            super().put(disclosure, number, source)

    monkeypatch.setattr(folder, "_parts", Store(tmp_path / "disclosures"))
    monkeypatch.setattr(os, "fsync", lambda handle: steps.append(Path(f"/proc/self/fd/{handle}").readlink().name))
    assert folder.seal(0, size_of(b"hello"))
    assert steps[:2] == ["0.part", "put"]


class Places:
    """An answer with its notes, its sealed parts and its parts in arrival in three places, each of them with files."""

    def __init__(self, root: Path) -> None:
        self.parts = FolderParts(root / "parts")
        self.notes = FolderNotes(root / "notes")
        self.folder = AnswerFolder(root / "requester", ONE, self.parts, self.notes)
        self.folder.create(DisclosureOrigin(v=1, device=DEVICE, parts=9, size_bytes=5, sha256="5e" * 32))
        for number in (0, 1, 2):
            self.folder.write(number, 0, b"hello")
        assert self.folder.seal(0, size_of(b"hello"))
        assert self.folder.seal(1, size_of(b"hello"))
        self.folder.adopt(b"request")

    def left(self) -> tuple[bool, bool, bool]:
        return self.folder.is_known(), bool(self.folder.sealed()), self.folder.path.exists()


def test_the_size_of_an_answer_is_that_of_its_notes_its_parts_and_what_is_arriving(tmp_path: Path) -> None:
    folder = Places(tmp_path).folder
    notes = sum(each.stat().st_size for each in (tmp_path / "notes" / "disclosures" / ONE).iterdir())
    assert (folder.parts_bytes(), folder.other_bytes()) == (10, notes + 5)
    assert folder.note("request.dsse") == folder.request() == b"request"
    assert b"".join(folder.pieces_of(1)) == b"hello"
    folder.copy_part(1, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"hello"


def test_an_answer_that_is_removed_or_deleted_is_gone_from_each_place(tmp_path: Path) -> None:
    removed, deleted = Places(tmp_path / "removed"), Places(tmp_path / "deleted")
    assert removed.left() == deleted.left() == (True, True, True)
    removed.folder.remove()
    assert removed.left() == (False, False, False)
    assert deleted.folder.delete() == 2 + 2 + 1, "two sealed parts, two notes and one part that is arriving"
    assert deleted.left() == (False, False, False)
    for each in (removed, deleted):
        each.folder.remove()
        assert each.folder.delete() == 0
    alone = begun(tmp_path / "alone")
    alone.remove()
    assert not alone.path.exists()


def test_a_part_that_another_receiver_puts_during_a_deletion_is_deleted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)
    forget = places.notes.delete_folder

    def late(folder: str) -> int:
        (tmp_path / "late").write_bytes(b"hello")
        places.parts.put(ONE, 5, tmp_path / "late")
        return forget(folder)

    monkeypatch.setattr(places.notes, "delete_folder", late)
    assert places.folder.delete() == 5
    assert places.left() == (False, False, False)


def test_a_deletion_that_fails_half_way_has_deleted_the_parts_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)

    def refuse(_: str) -> int:
        raise StorageError("The disk is read-only.")

    monkeypatch.setattr(places.notes, "delete_folder", refuse)
    with pytest.raises(StorageError, match="read-only"):
        places.folder.delete()
    assert places.left() == (True, False, True), "the notes name the answer for another try"


def test_an_origin_describes_part_0(tmp_path: Path) -> None:
    origin = begun(tmp_path).origin()
    assert origin == DisclosureOrigin(v=1, device=DEVICE, parts=2, size_bytes=5, sha256="5e" * 32)
    assert origin is not None
    assert origin.manifest == PartSize(5, "5e" * 32)


def test_the_first_closing_receipt_stays(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.keep_receipt(b"first")
    folder.keep_receipt(b"second")
    assert folder.receipt() == b"first"


def test_an_outcome_keeps_its_state_its_reason_and_what_did_not_open(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.end(ReceiptState.REFUSED, "r" * 600)
    assert folder.outcome() == ReceiveOutcome(v=1, state="refused", reason="r" * 500)
    assert folder.state is ReceiptState.REFUSED
    folder.end(ReceiptState.COMPLETE, unopened=((1, 3),), ended_ms=9, summary=AnswerSummary(Grade.ALL, 5, 6))
    assert folder.outcome() == ReceiveOutcome(
        v=1, state="complete", unopened=((1, 3),), ended_ms=9, grade=Grade.ALL, from_ms=5, to_ms=6
    )
    assert folder.state is ReceiptState.COMPLETE


@pytest.mark.parametrize("name", [DisclosureOrigin.FILE, ReceiveOutcome.FILE])
def test_a_damaged_note_is_named_with_its_remedy(tmp_path: Path, name: str) -> None:
    folder = begun(tmp_path)
    (folder.path / name).write_bytes(b"{")
    read = folder.origin if name == DisclosureOrigin.FILE else folder.outcome
    with pytest.raises(StorageError, match=name.replace(".", r"\.")) as refused:
        read()
    assert refused.value.remedy == "Move this folder away. The device sends it again."


def test_the_answers_to_one_request_are_found_among_all(tmp_path: Path) -> None:
    for name, request in ((ONE, b"one"), (TWO, b"two")):
        begun(tmp_path, name).adopt(request)
    (tmp_path / "disclosures" / "notes").mkdir()
    assert [each.disclosure for each in answer_folders(tmp_path)] == [ONE, TWO]


def test_a_disclosure_that_left_no_folder_takes_no_room_after_its_end(tmp_path: Path) -> None:
    quota = answers_in(tmp_path)
    for name in (ONE, TWO):
        quota.put(name, HeldDisclosure(DEVICE, "", 100, 1, live=True))
    begun(tmp_path, TWO)
    quota.ended(ONE)
    assert (quota.of_door(DEVICE).disclosures, quota.live(DEVICE, "")) == (1, (TWO,))
    quota.ended(TWO)
    stored = sum(each.stat().st_size for each in AnswerFolder(tmp_path, TWO).path.iterdir())
    assert (quota.of_door(DEVICE).size_bytes, quota.live(DEVICE, "")) == (stored, ())
    assert quota.of(DEVICE, "") == quota.of_door(DEVICE)
    assert (quota.total().disclosures, quota.total().size_bytes) == (1, stored)
    assert quota.of(DEVICE, "", but=TWO).disclosures == quota.total(but=TWO).disclosures == 0


def test_numbers_in_a_row_are_one_range() -> None:
    assert ranges_of([]) == ()
    assert ranges_of([3, 1, 2, 7, 9, 8, 5]) == ((1, 3), (5, 5), (7, 9))
