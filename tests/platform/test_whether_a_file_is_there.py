"""Whether a file is there: yes, no, or an error that names the place, and never a guess."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import StorageError
from agent.platform import files
from tests.damage import listing, refused, unreadable

ROOT = Path(files.__file__).parents[2]
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


def test_everything_below_a_folder_is_found_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "deep").touch()
    (tmp_path / "first").touch()
    (tmp_path / "way").symlink_to(tmp_path / "a" / "b" / "deep")
    (tmp_path / "round").symlink_to(tmp_path)
    assert files.below(tmp_path) == [tmp_path / name for name in ("a/b/deep", "first", "way")]
    assert files.below(tmp_path / "nothing") == []


def test_a_folder_below_that_cannot_be_read_is_an_error_and_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "a" / "closed").mkdir(parents=True)
    (tmp_path / "a" / "closed" / "film.age").touch()
    with listing(tmp_path / "a" / "closed", refused), pytest.raises(StorageError, match="a/closed: Permission denied"):
        files.below(tmp_path)


def test_a_folder_that_goes_while_it_is_read_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "first").touch()
    with listing(tmp_path / "a", Path.rmdir):
        assert files.below(tmp_path) == [tmp_path / "first"]


@pytest.mark.parametrize("folder", ["agent/clients", "desk"])
def test_no_client_and_no_desk_asks_in_another_way(folder: str) -> None:
    asking = {"exists", "is_file", "is_dir", "rglob", "walk"}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if any(word in (source := path.read_text()) for word in asking)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in asking and not _is_other(node)
    ]
    assert found == []


def _is_other(node: ast.Attribute) -> bool:
    """Returns True for the questions of this module, and for those to Django's database."""
    asked = ast.unparse(node.value)
    return asked == "files" or (node.attr == "exists" and not re.search(r"path|folder|file|key|\bout\b| / ", asked))
