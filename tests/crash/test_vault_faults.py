"""Every call to the file system fails once, and for a while: success is reported truly, footage survives, and recording
resumes."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from agent.core.retention import RetentionLimits
from agent.errors import InternalError, StorageError
from agent.platform.disk import RealDisk
from agent.recorder.vault import SegmentWriter
from tests.crash.vault_story import Story, check, recover, tell
from tests.fake_disk import FakeDisk, Survival
from tests.fake_index import FakeIndex
from tests.vaults import ROOT, TestVault, event_id, make_vault


def failing(first: int, last: int, code: int) -> FakeDisk:
    def before(number: int, name: str) -> None:
        if first <= number <= last:
            raise OSError(code, os.strerror(code))

    return FakeDisk(before=before)


FAULTS = [(errno.EIO, 1), (errno.ENOSPC, 1), (errno.EROFS, 7), (errno.EINTR, 1), (errno.EDQUOT, 2)]
THOROUGH = bool(os.environ.get("DOORWARD_THOROUGH"))

pytestmark = pytest.mark.timeout(3600 if THOROUGH else 600)


def calls_of_the_story() -> int:
    disk = FakeDisk()
    tell(disk, FakeIndex(), Story())
    return len(disk.calls)


@pytest.mark.parametrize("fault", range(len(FAULTS)))
def test_a_failing_call_loses_nothing_and_recording_resumes(fault: int) -> None:
    """About every eighth call fails in one of these ways, and every call in all of them with DOORWARD_THOROUGH=1."""
    code, calls = FAULTS[fault]
    first, step = (1, 1) if THOROUGH else (1 + fault, 8 * len(FAULTS) + 1)
    for call in range(first, calls_of_the_story() + 1, step):
        disk, index, story = failing(call, call + calls - 1, code), FakeIndex(), Story()
        tested = tell(disk, index, story, bear_errors=True)
        assert all(error.remedy and str(ROOT) in error.message for error in story.errors)
        disk.before = None
        tested.record()
        check(tested, story)
        after = disk.after_cut((Survival.NOTHING, Survival.EVERYTHING)[call % 2], random.Random(call))
        check(recover(after, FakeIndex(index.history[-1])), story)


@pytest.mark.parametrize("which", ["sync_data", "sync"])
def test_a_failed_sync_is_never_tried_again_on_the_same_file(which: str) -> None:
    disk = FakeDisk()
    tested = make_vault(disk)

    def before(number: int, name: str) -> None:
        if name == which and disk.calls[number - 1][1].endswith(".part"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.before = before
    writer = tested.vault.begin(event_id(1), tested.clock.now())
    with pytest.raises(StorageError):
        _write_for_four_seconds(tested, writer)
    calls = len(disk.calls)
    for attempt in (lambda: writer.write(b"more"), lambda: writer.finish(tested.clock.now())):
        with pytest.raises(InternalError):
            attempt()
    writer.abandon()
    assert len(disk.calls) == calls


def _write_for_four_seconds(tested: TestVault, writer: SegmentWriter) -> None:
    for _ in range(4):
        tested.clock.advance(1)
        writer.write(bytes(70_000))
    writer.finish(tested.clock.now())


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: written(descriptor, bytes(data)[:7]))
    file = RealDisk().create(tmp_path / "file")
    file.write(b"0123456789" * 10)
    file.close()
    assert (tmp_path / "file").read_bytes() == b"0123456789" * 10


def test_a_slow_card_loses_nothing() -> None:
    disk = FakeDisk()
    tested = make_vault(disk)

    def slow(number: int, name: str) -> None:
        tested.clock.advance(2.5 if name.startswith("sync") else 0.1)

    disk.before = slow
    ids = [tested.record() for _ in range(5)]
    assert [entry.id for entry in tested.vault.entries()] == ids


def test_a_full_disk_is_relieved_by_eviction() -> None:
    disk = FakeDisk()
    tested = make_vault(disk)
    ids = [tested.record() for _ in range(6)]
    used = disk.capacity_bytes - disk.free_bytes(Path("/"))
    disk.capacity_bytes = used + 100
    with pytest.raises(StorageError, match="No space left") as raised:
        tested.record()
    assert "Free space" in raised.value.remedy
    # Begun footage is cut and kept, the reserve pays for the tombstone, and the oldest make room.
    report = tested.vault.enforce_retention(
        (), RetentionLimits(most_bytes=1 << 40, free_bytes=1 << 20), need_bytes=5000
    )
    assert list(report.evicted[:2]) == ids[:2]
    tested.vault.start()


def test_nothing_is_said_to_be_recorded_on_a_read_only_disk(tmp_path: Path) -> None:
    disk = failing(1, 1 << 30, errno.EROFS)
    tested = make_vault(disk, start=False)
    for attempt in (tested.vault.start, tested.record, lambda: tested.vault.enforce_retention(())):
        with pytest.raises(StorageError, match="Read-only") as raised:
            attempt()
        assert "read-only" in raised.value.remedy
    assert tested.acknowledged == []
