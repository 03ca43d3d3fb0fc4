"""Tables that no spreadsheet calculates, ZIPs of any size, and a private folder that is wiped."""

from __future__ import annotations

import csv
import io
import os
import signal
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import StorageError
from desk.export import private_folder
from desk.export.csv_files import neutral, write_csv
from desk.export.private_folder import PrivateFolder, forget_answer, require_room
from desk.export.zip_stream import files_below, zip_pieces


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\ufeff=1", "|cmd", "%0a=1", "＝1"],
)
def test_a_cell_that_begins_like_a_formula_is_text(cell: str) -> None:
    assert neutral(cell).startswith("'")


def test_numbers_and_plain_words_stay() -> None:
    assert [neutral(each) for each in (-5, 7, "Door 2", "", None, "a=b", "2027-01-15")] == [
        "-5", "7", "Door 2", "", "", "a=b", "2027-01-15",
    ]  # fmt: skip


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=2, max_size=2), max_size=5))
def test_whatever_is_in_a_table_stays_in_its_cell(rows: list[list[str]]) -> None:
    data = write_csv(["first", "=second"], rows).decode("utf-8-sig")
    read = list(csv.reader(io.StringIO(data, newline="")))
    assert read[0] == ["first", "'=second"]
    assert read[1:] == [[neutral(cell) for cell in row] for row in rows]


def test_a_zip_is_made_piece_by_piece_and_holds_the_files(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "small.txt").write_bytes(b"small")
    (tmp_path / "in" / "deep" / "film.mp4").write_bytes(bytes(5 << 20))
    (tmp_path / "in" / "empty").write_bytes(b"")
    (tmp_path / "in" / "link").symlink_to("/etc/passwd")
    pieces = list(zip_pieces(files_below(tmp_path / "in", "case-1")))
    assert max(map(len, pieces)) < 3 << 20
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["case-1/deep/film.mp4", "case-1/empty", "case-1/small.txt"]
        assert archive.read("case-1/small.txt") == b"small"


def test_the_folder_of_an_export_is_private_and_wiped(data: Path) -> None:
    with PrivateFolder() as private:
        (private.path / "film.mp4").write_bytes(b"film")
        assert [each.stat().st_mode & 0o077 for each in (private.path, private.path.parent)] == [0, 0]
        other = PrivateFolder()
        assert (private.path / "film.mp4").is_file()
        other.close()
        other.close()
    assert [each.name for each in (data / "cache").iterdir()] == ["owner.lock"]


FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
"""The forked process uses no lock of another thread."""


def killed_while_it_exports() -> None:
    """A process that is forked dies as a killed one does: nothing of it clears up."""
    export = os.fork()
    if export == 0:
        try:
            (PrivateFolder().path / "film.mp4").write_bytes(b"film")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(export, 0)[1]) == -signal.SIGKILL


@FORKS
def test_the_folder_of_a_killed_process_is_wiped_by_the_next_export(data: Path) -> None:
    killed_while_it_exports()
    assert list((data / "cache").glob("export-*/export/film.mp4"))
    PrivateFolder().close()
    assert not list((data / "cache").glob("export-*"))


@FORKS
def test_a_deletion_wipes_what_a_killed_process_left(data: Path) -> None:
    killed_while_it_exports()
    assert list((data / "cache").glob("export-*/export/film.mp4"))
    assert forget_answer("5f" * 16) == 0
    assert not list((data / "cache").glob("export-*"))


def test_an_export_that_does_not_fit_says_what_to_do(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_room(1)
    with pytest.raises(StorageError, match="in parts"):
        require_room(private_folder.MOST_BYTES + 1)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=100))
    with pytest.raises(StorageError, match="Free 1 MB"):
        require_room(26)
    require_room(25)
    require_room(11, copies=True)
    with pytest.raises(StorageError, match="Free 1 MB"):
        require_room(12, copies=True)
