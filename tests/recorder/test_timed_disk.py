"""The measured disk: each sync in the bucket of its duration, the bytes that were written, and the same files."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.recorder import timed_disk
from agent.recorder.timed_disk import TimedDisk
from tests.fake_disk import FakeDisk

FOLDER = Path("/state")
FILE = FOLDER / "file"


class Clock:
    """A second per sync costs what the test says."""

    def __init__(self) -> None:
        self.now_s = 50.0
        self.costs_s = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timed_disk, "time", SimpleNamespace(perf_counter=lambda: made.now_s))
    return made


@pytest.fixture
def inner(clock: Clock) -> FakeDisk:
    """Only syncs take time on it."""
    made = FakeDisk()
    made.make_directory(FOLDER)

    def before(_number: int, name: str) -> None:
        clock.now_s += clock.costs_s if "sync" in name else 100.0

    made.before = before
    return made


def counted(disk: TimedDisk) -> dict[str, int]:
    """The buckets that hold something, each without the ones below it."""
    below, found = 0, {}
    for bound, total in disk.shown()["buckets"]:
        if total != below:
            found[bound] = total - below
        below = total
    return found


def test_a_disk_that_was_not_used_has_empty_buckets(inner: FakeDisk) -> None:
    bounds = ["0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "1.0", "5.0", "+Inf"]
    assert TimedDisk(inner).shown() == {
        "syncs": 0,
        "seconds": 0.0,
        "written_bytes": 0,
        "buckets": [[bound, 0] for bound in bounds],
    }


def test_each_kind_of_sync_counts_with_its_duration_and_nothing_else_does(inner: FakeDisk, clock: Clock) -> None:
    disk = TimedDisk(inner)
    file = disk.create(FILE)
    file.write(b"twelve bytes")
    assert disk.shown()["syncs"] == 0
    clock.costs_s = 0.03
    file.sync_data()
    clock.costs_s = 0.002
    file.sync()
    clock.costs_s = 9.0
    disk.sync_directory(FOLDER)
    assert counted(disk) == {"0.05": 1, "0.005": 1, "+Inf": 1}
    shown = disk.shown()
    assert (shown["syncs"], shown["seconds"], shown["written_bytes"]) == (3, 9.032, 12)


def test_a_sync_of_exactly_a_bound_is_in_its_bucket(inner: FakeDisk, clock: Clock) -> None:
    disk = TimedDisk(inner)
    clock.now_s, clock.costs_s = 0.0, 0.25
    disk.sync_directory(FOLDER)
    assert counted(disk) == {"0.25": 1}


def test_a_sync_that_fails_counts_and_its_error_is_passed_on(clock: Clock) -> None:
    inner = FakeDisk()
    inner.make_directory(FOLDER)

    def before(_number: int, name: str) -> None:
        if name == "sync":
            clock.now_s += 3.0
            raise OSError(errno.EIO, "failing")

    disk = TimedDisk(inner)
    file = disk.create(FILE)
    inner.before = before
    with pytest.raises(OSError, match="failing"):
        file.sync()
    assert counted(disk) == {"5.0": 1}


def test_bytes_of_files_that_grow_count_and_those_of_a_refused_write_do_not(inner: FakeDisk) -> None:
    disk = TimedDisk(inner)
    for opened in (disk.create(FILE), disk.append_to(FILE)):
        opened.write(b"12345")
        opened.close()
    assert not inner.open_files
    assert b"".join(disk.chunks(FILE)) == b"1234512345"
    assert b"".join(disk.chunks(FILE, 7)) == b"345"
    inner.capacity_bytes = 0
    with pytest.raises(OSError, match="space"):
        disk.append_to(FILE).write(b"more")
    assert disk.shown()["written_bytes"] == 10
