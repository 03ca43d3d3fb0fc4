"""A vault has one recorder at a time, and a killed one leaves no lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ConfigurationError
from agent.recorder.folder_lock import ProcessLock
from tests.open_files import open_below


def test_a_folder_belongs_to_one_recorder_until_it_lets_go(tmp_path: Path) -> None:
    first = ProcessLock(tmp_path)
    its_own = open_below(tmp_path)
    assert len(its_own) == 1
    with pytest.raises(ConfigurationError, match="Another recorder") as refused:
        ProcessLock(tmp_path)
    assert str(tmp_path) in refused.value.message
    assert "state_dir" in refused.value.remedy
    assert open_below(tmp_path) == its_own, "a refused one leaves no file open"
    first.release()
    first.release()
    ProcessLock(tmp_path).release()
    assert open_below(tmp_path) == []


def test_two_folders_are_two_locks(tmp_path: Path) -> None:
    locks = []
    for name in "ab":
        (tmp_path / name).mkdir()
        locks.append(ProcessLock(tmp_path / name))
    for lock in locks:
        lock.release()
