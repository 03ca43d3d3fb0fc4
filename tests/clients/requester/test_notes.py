"""Notes in a folder: each file as it was written, in the right place, and with the right mode."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients.requester.notes import FolderNotes, delete_folder
from agent.errors import ConfigurationError, StorageError
from agent.platform import files


@pytest.fixture
def notes(tmp_path: Path) -> FolderNotes:
    made = FolderNotes(tmp_path)
    made.make_folder("answers/one")
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_note_is_a_file_below_the_root_and_a_secret_is_only_its_owners(notes: FolderNotes, tmp_path: Path) -> None:
    notes.write("answers/one/origin.json", b"origin")
    notes.write("answers/one/key", b"secret", secret=True)
    assert below(tmp_path) == {"answers", "answers/one", "answers/one/origin.json", "answers/one/key"}
    assert (tmp_path / "answers/one/origin.json").read_bytes() == b"origin"
    assert (tmp_path / "answers/one/key").read_bytes() == b"secret"
    assert mode(tmp_path / "answers/one/key") == 0o600
    assert mode(tmp_path / "answers/one/origin.json") != 0o600
    assert mode(tmp_path / "answers") == mode(tmp_path / "answers/one") == 0o700
    assert notes.place("answers/one/key") == str(tmp_path / "answers/one/key")
    assert notes.movable


def test_a_note_is_read_whole_within_its_limit_and_a_missing_one_is_none(notes: FolderNotes) -> None:
    notes.write("answers/one/origin.json", b"12345")
    assert notes.read("answers/one/origin.json", 5) == b"12345"
    with pytest.raises(StorageError):
        notes.read("answers/one/origin.json", 4)
    assert notes.read("answers/one/missing", 5) is None
    assert notes.read("answers/one/missing", 5, secret=True) is None
    assert notes.read("nowhere/missing", 5) is None


def test_a_secret_that_others_can_read_is_not_read_and_another_note_is(notes: FolderNotes, tmp_path: Path) -> None:
    notes.write("answers/one/key", b"secret", secret=True)
    assert notes.read("answers/one/key", 99, secret=True) == b"secret"
    (tmp_path / "answers/one/key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        notes.read("answers/one/key", 99, secret=True)
    assert notes.read("answers/one/key", 99) == b"secret"


def test_a_note_of_a_folder_that_is_gone_is_not_written(notes: FolderNotes, tmp_path: Path) -> None:
    notes.delete_folder("answers/one")
    with pytest.raises(StorageError):
        notes.write("answers/one/origin.json", b"late")
    assert below(tmp_path) == {"answers"}


def test_a_change_gets_the_note_before_and_keeps_it_secret(notes: FolderNotes, tmp_path: Path) -> None:
    seen: list[bytes | None] = []

    def more(before: bytes | None) -> bytes:
        seen.append(before)
        return (before or b"") + b"+"

    for _ in range(3):
        notes.change("sequence", more, lock="lock", limit_bytes=2, secret=True)
    assert seen == [None, b"+", b"++"]
    assert (tmp_path / "sequence").read_bytes() == b"+++"
    assert mode(tmp_path / "sequence") == 0o600
    with pytest.raises(StorageError):
        notes.change("sequence", more, lock="lock", limit_bytes=2)
    assert (tmp_path / "sequence").read_bytes() == b"+++"
    notes.change("open", more, lock="lock", limit_bytes=2)
    assert mode(tmp_path / "open") != 0o600
    with pytest.raises(StorageError):
        notes.change("sequence", more, lock="nowhere/lock", limit_bytes=9)


def test_a_note_is_removed_durably_and_may_be_removed_again(
    notes: FolderNotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    (tmp_path / "answers/one/origin.json").write_bytes(b"origin")
    assert notes.is_there("answers/one/origin.json")
    notes.remove("answers/one/origin.json")
    assert not notes.is_there("answers/one/origin.json")
    assert synced == [tmp_path / "answers/one"]
    for gone in ("answers/one/origin.json", "nowhere/origin.json"):
        notes.remove(gone)
    assert synced == [tmp_path / "answers/one"], "nothing changed"
    (tmp_path / "file").write_bytes(b"")
    notes.remove("file/below a file")
    with pytest.raises(StorageError):
        notes.remove("answers/one")


def test_a_folder_comes_with_all_its_notes_and_its_secrets(notes: FolderNotes, tmp_path: Path) -> None:
    notes.store_folder("requests/two", {"request": b"r", "key": b"k"}, frozenset({"key"}))
    folder = tmp_path / "requests/two"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"request": b"r", "key": b"k"}
    assert mode(folder / "key") == 0o600
    assert mode(folder / "request") != 0o600
    assert mode(folder) == mode(tmp_path / "requests") == 0o700
    assert (notes.has_folder("requests/two"), notes.has_folder("requests/three")) == (True, False)
    assert not notes.has_folder("requests/two/key"), "a note is no folder"
    assert notes.names("requests") == ["two"]


@pytest.mark.parametrize("step", ["second", "rename", "gone"])
def test_a_folder_that_cannot_be_stored_whole_leaves_nothing_half_done(
    notes: FolderNotes, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    whole: Callable[..., None] = files.write

    def write(path: Path, data: bytes, **more: bool) -> None:
        if step in (path.name, "gone"):
            if step == "gone":
                shutil.rmtree(path.parent)
            raise StorageError("The disk is full.")
        whole(path, data, **more)

    monkeypatch.setattr(files, "write", write)
    if step == "rename":
        notes.make_folder("requests/two")
        notes.write("requests/two/there", b"already")
    with pytest.raises(StorageError):
        notes.store_folder("requests/two", {"first": b"1", "second": b"2"})
    monkeypatch.undo()
    assert notes.names("requests") == (["two"] if step == "rename" else [])


def test_a_stored_folder_is_durable_under_its_final_name(
    notes: FolderNotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes.make_folder("requests")
    synced: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(files, "sync_folder", lambda path: synced.append((path, files.names_in(path))))
    notes.store_folder("requests/two", {"request": b"r"})
    assert synced[-1] == (tmp_path / "requests", ["two"])


def test_names_come_in_order_and_of_a_missing_folder_there_are_none(notes: FolderNotes) -> None:
    for name in ("b", "c", "a"):
        notes.write(f"answers/one/{name}", b"")
    assert notes.names("answers/one") == ["a", "b", "c"]
    assert notes.names("answers") == ["one"]
    assert notes.names("nowhere") == []


def test_the_size_is_that_of_the_notes_directly_in_the_folder_without_parts(notes: FolderNotes) -> None:
    for name, size in (("origin.json", 10), ("request.dsse", 200), ("0.age", 3000), ("1.part", 40_000)):
        notes.write(f"answers/one/{name}", bytes(size))
    notes.make_folder("answers/one/deeper")
    notes.write("answers/one/deeper/note", bytes(500_000))
    assert notes.size_bytes("answers/one") == 210
    assert notes.size_bytes("answers") == 0
    assert notes.size_bytes("nowhere") == 0


def test_a_deleted_folder_counts_its_files_and_is_gone(notes: FolderNotes, tmp_path: Path) -> None:
    notes.make_folder("answers/one/deeper")
    for name in ("a", "b", "deeper/c"):
        notes.write(f"answers/one/{name}", b"")
    assert notes.delete_folder("answers/one") == 3
    assert below(tmp_path) == {"answers"}
    assert notes.delete_folder("answers/one") == 0


def test_a_folder_that_another_process_deletes_at_the_same_time_is_deleted(
    notes: FolderNotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes.write("answers/one/a", b"")
    whole = shutil.rmtree

    def twice(path: Path) -> None:
        whole(path)
        whole(path)

    monkeypatch.setattr(shutil, "rmtree", twice)
    assert delete_folder(tmp_path / "answers/one") == 1


@pytest.mark.parametrize(
    ("error", "said"), [(OSError(13, "Permission denied"), "Permission denied"), (OSError("Odd."), "Odd.")]
)
def test_a_folder_that_cannot_be_deleted_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(shutil, "rmtree", fails)
    with pytest.raises(StorageError) as raised:
        delete_folder(tmp_path)
    assert raised.value.message == f"{tmp_path} could not be deleted ({said})."
    assert raised.value.remedy == "Check its permissions, then delete again. No deletion was signed."


def test_changes_under_one_lock_take_turns(notes: FolderNotes, tmp_path: Path) -> None:
    """Another process is in the middle of a change: this one waits until it has ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:

        def slow(_: bytes | None) -> bytes:
            os.write(writer, b"!")
            time.sleep(0.2)
            return b"first"

        notes.change("sequence", slow, lock="lock", limit_bytes=9)
        os._exit(0)
    assert os.read(reader, 1) == b"!"
    notes.change("sequence", lambda before: (before or b"") + b" then", lock="lock", limit_bytes=9)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    assert (tmp_path / "sequence").read_bytes() == b"first then"
