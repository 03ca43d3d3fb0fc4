"""The quick run takes the tests that mirror a change and leaves out long ones, by name."""

from __future__ import annotations

import os
import tempfile

import pytest

from scripts import check


def test_a_changed_module_brings_the_tests_that_import_it_and_a_changed_test_itself() -> None:
    mirroring = check.mirrors(["scripts/check.py", "tests/wire/test_topics.py", "README.md"])
    assert "tests/scripts/test_check.py" in mirroring
    assert "tests/wire/test_topics.py" in mirroring
    assert "tests/core/test_retention.py" not in mirroring
    assert check.mirrors(["README.md"]) == []


def test_a_long_file_that_mirrors_a_change_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "seconds_of_files", lambda: {"test_check.py": 100.0, "test_retention.py": 2.0})
    chosen, slow = check.quick_selection(["scripts/check.py", "tests/wire/test_topics.py"])
    assert slow == ["tests/scripts/test_check.py"]
    assert "tests/wire/test_topics.py" in chosen
    assert "tests/core/test_retention.py" not in chosen  # too long for what mirrors nothing
    assert not set(slow) & set(chosen)


def test_the_processes_of_the_tests_keep_what_they_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(check, "run_checks", lambda _checks: [])
    assert check.main(["static"]) == 0
    assert "PYTHONDONTWRITEBYTECODE" not in os.environ


@pytest.mark.parametrize("words", [["--help"], ["function-length"], ["static", "tests/wire"]])
def test_a_word_that_is_no_scope_starts_no_run_and_shows_how_to_use_it(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object) -> list[check.Outcome]:
        raise AssertionError

    for each in ("run_checks", "run_quick", "run_all"):
        monkeypatch.setattr(check, each, started)
    assert check.main(words) == 2
    assert "check.py static" in capsys.readouterr().err


GIB = 1 << 30


@pytest.mark.parametrize(
    ("memory", "usual", "disk", "folder"),
    [
        (12 * GIB, 1 * GIB, 90 * GIB, "/dev/shm"),
        (2 * GIB, 2 * GIB, 90 * GIB, "/var/tmp"),
        (2 * GIB, 5 * GIB, 90 * GIB, None),
        (2 * GIB, 2 * GIB, 1 * GIB, None),
    ],
)
def test_the_files_of_the_tests_lie_where_there_is_room_for_them(
    memory: int, usual: int, disk: int, folder: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a board with 4 GiB, /tmp of Debian 13 has 2 GiB, and a third of all tests failed for want of room."""
    rooms = {"/dev/shm": memory, "/tmp": usual, "/var/tmp": disk}
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/tmp")
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(check, "_free_bytes", lambda path: rooms[str(path)])
    monkeypatch.setattr(check, "MEMORY_BYTES", 8 * GIB if memory < 8 * GIB else 0)
    assert check.folder_for_tests() == folder
    monkeypatch.setenv("TMPDIR", "/somewhere")
    assert check.folder_for_tests() is None, "a person's choice stands"
