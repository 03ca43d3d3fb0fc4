"""Every call to the file system fails once, and for a while: no false success, no loss, and recording resumes."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from agent.core.retention import Limits
from agent.errors import StorageError
from tests.crash.test_vault_cuts import CALLS
from tests.crash.vault_story import Story, check, recover, tell
from tests.fake_disk import FakeDisk, Survival
from tests.fake_index import FakeIndex
from tests.vaults import ROOT, make_vault


def failing(first: int, last: int, code: int) -> FakeDisk:
    def before(number: int, name: str) -> None:
        if first <= number <= last:
            raise OSError(code, os.strerror(code))

    return FakeDisk(before=before)


@pytest.mark.parametrize(("code", "calls"), [(errno.EIO, 1), (errno.ENOSPC, 1), (errno.EROFS, 7)])
def test_a_failing_call_loses_nothing_and_recording_resumes(code: int, calls: int) -> None:
    for call in range(1, CALLS + 1):
        disk, index, story = failing(call, call + calls - 1, code), FakeIndex(), Story()
        tested = tell(disk, index, story, bear_errors=True)
        assert all(error.remedy and str(ROOT) in error.message for error in story.errors)
        disk.before = None
        tested.record()
        check(tested, story)
        after = disk.after_cut((Survival.NOTHING, Survival.EVERYTHING)[call % 2], random.Random(call))
        check(recover(after, FakeIndex(index.history[-1])), story)


def test_a_full_disk_is_relieved_by_rolling() -> None:
    disk = FakeDisk()
    tested = make_vault(disk)
    ids = [tested.record() for _ in range(6)]
    used = disk.capacity_bytes - disk.free_bytes(Path("/"))
    disk.capacity_bytes = used + 100
    with pytest.raises(StorageError, match="No space left") as raised:
        tested.record()
    assert "Free space" in raised.value.remedy
    # What was begun is cut and kept, the reserve pays for the tombstone, and the oldest make room.
    report = tested.vault.roll((), Limits(most_bytes=1 << 40, free_bytes=1 << 20))
    assert list(report.evicted[:2]) == ids[:2]
    tested.vault.start()


def test_nothing_is_said_to_be_recorded_on_a_read_only_disk(tmp_path: Path) -> None:
    disk = failing(1, 1 << 30, errno.EROFS)
    tested = make_vault(disk, start=False)
    for attempt in (tested.vault.start, tested.record, lambda: tested.vault.roll(())):
        with pytest.raises(StorageError, match="Read-only") as raised:
            attempt()
        assert "read-only" in raised.value.remedy
    assert tested.acknowledged == []
