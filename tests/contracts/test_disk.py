"""The vault's contract with a disk, for the operating system's and the one in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.platform.disk import RealDisk
from agent.ports import Disk
from tests.fake_disk import FakeDisk


@pytest.fixture(params=["in memory", "real"])
def disk(request: pytest.FixtureRequest) -> Disk:
    return FakeDisk() if request.param == "in memory" else RealDisk()


@pytest.fixture
def place(disk: Disk, tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "a" / "b"
    disk.make_directory(place)
    disk.make_directory(place)
    return place


def write(disk: Disk, path: Path, *pieces: bytes) -> None:
    file = disk.create(path)
    for piece in pieces:
        file.write(piece)
    file.sync_data()
    file.sync()
    file.close()
    file.close()


def test_every_folder_that_is_made_is_closed_to_strangers(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        RealDisk().make_directory(tmp_path / "vault" / "segments" / "2027-01-15")
    finally:
        os.umask(before)
    made = [tmp_path / "vault", tmp_path / "vault" / "segments", tmp_path / "vault" / "segments" / "2027-01-15"]
    assert [each.stat().st_mode & 0o777 for each in made] == [0o750] * 3


def test_what_is_written_is_read(disk: Disk, place: Path) -> None:
    write(disk, place / "file", b"hello ", b"world")
    assert disk.read(place / "file", 0, 100) == b"hello world"
    assert disk.read(place / "file", 6, 3) == b"wor"
    assert disk.read(place / "file", 11, 5) == b""
    assert b"".join(disk.chunks(place / "file")) == b"hello world"
    assert b"".join(disk.chunks(place / "file", 4)) == b"o world"
    assert disk.size(place / "file") == 11
    assert disk.names(place) == ["file"]


def test_a_file_is_created_once(disk: Disk, place: Path) -> None:
    write(disk, place / "file", b"first")
    with pytest.raises(FileExistsError):
        disk.create(place / "file")
    assert disk.read(place / "file", 0, 10) == b"first"


def test_appending_makes_a_missing_file_and_continues_one(disk: Disk, place: Path) -> None:
    for expected in (b"x", b"xx"):
        file = disk.append_to(place / "file")
        file.write(b"x")
        file.sync()
        file.close()
        assert disk.read(place / "file", 0, 10) == expected


def test_renaming_replaces(disk: Disk, place: Path) -> None:
    write(disk, place / "old", b"old")
    write(disk, place / "new", b"new")
    disk.rename(place / "old", place / "new")
    disk.sync_directory(place)
    assert disk.names(place) == ["new"]
    assert disk.read(place / "new", 0, 10) == b"old"


def test_truncating_cuts_and_appending_goes_on_there(disk: Disk, place: Path) -> None:
    write(disk, place / "file", b"0123456789")
    disk.truncate(place / "file", 4)
    file = disk.append_to(place / "file")
    file.write(b"x")
    file.close()
    assert disk.read(place / "file", 0, 100) == b"0123x"


def test_what_is_missing_is_said_to_be(disk: Disk, place: Path) -> None:
    assert disk.size(place / "none") is None
    for missing in (
        lambda: disk.read(place / "none", 0, 1),
        lambda: list(disk.chunks(place / "none")),
        lambda: disk.unlink(place / "none"),
        lambda: disk.rename(place / "none", place / "other"),
        lambda: disk.truncate(place / "none", 0),
        lambda: disk.names(place / "none"),
        lambda: disk.sync_directory(place / "none"),
        lambda: disk.create(place / "none" / "file"),
    ):
        with pytest.raises(FileNotFoundError):
            missing()


def test_an_unlinked_file_is_gone(disk: Disk, place: Path) -> None:
    write(disk, place / "file", b"x")
    disk.unlink(place / "file")
    assert disk.names(place) == []


def test_there_is_free_space(disk: Disk, place: Path) -> None:
    assert disk.free_bytes(place) > 0


def test_nobody_outside_the_group_reads_what_is_made(tmp_path: Path) -> None:
    disk = RealDisk()
    disk.make_directory(tmp_path / "vault")
    write(disk, tmp_path / "vault" / "file", b"x")
    assert (tmp_path / "vault").stat().st_mode & 0o007 == 0
    assert (tmp_path / "vault" / "file").stat().st_mode & 0o137 == 0


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        RealDisk().append_to(tmp_path / "link")
