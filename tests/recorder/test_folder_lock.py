"""A vault has one recorder at a time, and a killed one leaves no lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ConfigurationError
from agent.recorder.folder_lock import ProcessLock


def test_a_folder_belongs_to_one_recorder_until_it_lets_go(tmp_path: Path) -> None:
    first = ProcessLock(tmp_path)
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ConfigurationError, match="Another recorder") as refused:
        ProcessLock(tmp_path)
    assert str(tmp_path) in refused.value.message
    assert "state_dir" in refused.value.remedy
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files, "a refused one leaves no file open"
    first.release()
    first.release()
    ProcessLock(tmp_path).release()
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files - 1


def test_two_folders_are_two_locks(tmp_path: Path) -> None:
    locks = []
    for name in "ab":
        (tmp_path / name).mkdir()
        locks.append(ProcessLock(tmp_path / name))
    for lock in locks:
        lock.release()
