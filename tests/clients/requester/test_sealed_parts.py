"""Sealed parts in a folder: a part never changes, and nothing but parts is counted or deleted."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from agent.clients.requester.claims import SoleReceiver
from agent.clients.requester.disclosure_folder import AnswerFolder, DisclosureOrigin
from agent.clients.requester.notes import FolderNotes
from agent.clients.requester.sealed_parts import FolderParts
from agent.core.transfer import PartSize
from agent.errors import ConfigurationError, StorageError

ONE = "1" * 32
ORIGIN = DisclosureOrigin(v=1, device="a" * 16, parts=2, size_bytes=6, sha256="0" * 64)


@pytest.fixture
def parts(tmp_path: Path) -> FolderParts:
    return FolderParts(tmp_path / "parts")


def made(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "source"
    path.write_bytes(data)
    return path


def test_the_same_part_may_be_put_again_and_another_one_is_refused(parts: FolderParts, tmp_path: Path) -> None:
    for _ in range(2):
        parts.put(ONE, 3, made(tmp_path, b"sealed"))
        assert not (tmp_path / "source").exists()
    with pytest.raises(StorageError, match="differs from this one"):
        parts.put(ONE, 3, made(tmp_path, b"sealeD"))
    assert b"".join(parts.pieces(ONE, 3)) == b"sealed"
    assert (tmp_path / "source").read_bytes() == b"sealeD", "both are kept"


def test_a_part_is_durable_before_its_name_is(
    parts: FolderParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    real = os.fsync

    def noted(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        real(handle)

    monkeypatch.setattr(os, "fsync", noted)
    parts.put(ONE, 0, made(tmp_path, b"x"))
    assert synced.index(tmp_path / "source") < len(synced) - 1
    assert synced[-1] == tmp_path / "parts" / ONE


def test_the_room_for_parts_is_that_of_the_disk_and_a_copy_takes_none_of_it(parts: FolderParts, tmp_path: Path) -> None:
    assert parts.room(5, 7) == 7
    parts.put(ONE, 0, made(tmp_path, b"sealed"))
    parts.copy(ONE, 0, tmp_path / "copy")
    assert (tmp_path / "copy").samefile(tmp_path / "parts" / ONE / "0.age")


def test_parts_that_another_process_removes_meanwhile_are_removed(
    parts: FolderParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.put(ONE, 3, made(tmp_path, b"sealed"))
    monkeypatch.setattr(FolderParts, "numbers", lambda *_: frozenset({2, 3, 4}))
    parts.remove(ONE)
    assert list((tmp_path / "parts" / ONE).iterdir()) == []


def test_a_copy_of_a_part_that_is_missing_or_on_a_disk_without_links(
    parts: FolderParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError):
        parts.copy(ONE, 0, tmp_path / "copy")
    parts.put(ONE, 0, made(tmp_path, b"sealed"))

    def refuses(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuses)
    parts.copy(ONE, 0, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"sealed"


def test_only_parts_count_and_only_they_are_removed(parts: FolderParts, tmp_path: Path) -> None:
    for number, data in ((0, b"abc"), (12, b"defg")):
        parts.put(ONE, number, made(tmp_path, data))
    folder = tmp_path / "parts" / ONE
    for name in ("01.age", "origin.json", "3.part", "1000000.age", "x.age"):
        (folder / name).write_bytes(b"of others")
    assert (parts.numbers(ONE), parts.size_bytes(ONE)) == (frozenset({0, 12}), 7)
    parts.remove(ONE)
    parts.remove(ONE)
    assert (parts.numbers(ONE), parts.size_bytes(ONE)) == (frozenset(), 0)
    assert len(list(folder.iterdir())) == 5
    with pytest.raises(ConfigurationError, match="is not the id of a disclosure"):
        parts.numbers("../../etc")


@pytest.fixture
def answer(tmp_path: Path) -> AnswerFolder:
    answer = AnswerFolder(tmp_path / "requester", ONE)
    answer.create(ORIGIN)
    return answer


def size_of(data: bytes) -> PartSize:
    return PartSize(len(data), hashlib.sha256(data).hexdigest())


def test_a_part_larger_than_its_reader_takes_is_an_error(answer: AnswerFolder) -> None:
    answer.write(0, 0, b"sealed")
    assert answer.seal(0, size_of(b"sealed"))
    assert answer.read_part(0, 6) == b"sealed"
    with pytest.raises(StorageError, match="larger than 5 bytes"):
        answer.read_part(0, 5)


def test_a_part_that_is_whole_after_its_answer_was_deleted_does_not_stay(tmp_path: Path) -> None:
    """Another process may delete an answer while this one assembles its last part."""
    parts = FolderParts(tmp_path / "store")
    notes = FolderNotes(tmp_path / "notes")
    answer = AnswerFolder(tmp_path / "requester", ONE, parts, notes)
    answer.create(ORIGIN)
    answer.write(1, 0, b"sealed")
    notes.delete_folder(f"disclosures/{ONE}")
    with pytest.raises(StorageError, match="was deleted while it arrived"):
        answer.seal(1, size_of(b"sealed"))
    assert answer.sealed() == frozenset()


def test_a_receiver_that_leaves_an_answer_takes_only_what_it_assembled_along(answer: AnswerFolder) -> None:
    answer.write(0, 0, b"sealed")
    answer.seal(0, size_of(b"sealed"))
    answer.write(1, 0, b"half")
    answer.leave()
    assert answer.sealed() == {0}
    assert not list(answer.path.glob("*.part"))
    assert answer.is_known()
    empty = AnswerFolder(answer.path.parents[1], "2" * 32)
    empty.path.mkdir()
    empty.leave()
    assert not empty.path.exists()
    empty.leave()


def test_a_note_is_read_by_its_name_for_a_copy(answer: AnswerFolder) -> None:
    assert answer.note("request.dsse") is None
    answer.adopt(b"signed")
    assert answer.note("request.dsse") == b"signed"


def test_the_only_receiver_has_each_upload_and_each_duty() -> None:
    claims = SoleReceiver()
    assert claims.claim(ONE)
    assert claims.claim_duty("publish")
    assert not claims.shared
