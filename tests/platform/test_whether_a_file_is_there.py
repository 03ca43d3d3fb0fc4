"""Whether a file is there: yes, no, or an error that names the place, and never a guess."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import StorageError
from agent.platform import files
from tests.damage import unreadable

CLIENTS = Path(files.__file__).parents[1] / "clients"
QUESTIONS = [files.is_there, files.is_file, files.is_folder]


def test_a_file_a_folder_and_nothing_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "lost").symlink_to("nowhere")
    places = (tmp_path / "file", tmp_path, tmp_path / "nothing", tmp_path / "file" / "below")
    assert [files.is_there(path) for path in (*places, tmp_path / "link", tmp_path / "lost")] == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]
    assert [files.is_file(path) for path in (*places, tmp_path / "link")] == [True, False, False, False, True]
    assert [files.is_folder(path) for path in (*places, tmp_path / "link")] == [False, True, False, False, False]


@pytest.mark.parametrize("ask", QUESTIONS)
def test_what_cannot_be_told_is_an_error_with_its_place(tmp_path: Path, ask: Callable[[Path], bool]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with unreadable(folder), pytest.raises(StorageError, match=r"folder/file: Permission denied"):
        ask(folder / "file")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StorageError, match="loop: Too many levels of symbolic links"):
        ask(tmp_path / "loop")


def test_no_client_asks_in_another_way() -> None:
    asking = {"exists", "is_file", "is_dir"}
    found = [
        f"{path.relative_to(CLIENTS)}:{node.lineno} {node.attr}"
        for path in sorted(CLIENTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in asking and ast.unparse(node.value) != "files"
    ]
    assert found == []
