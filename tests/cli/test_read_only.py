"""The doctor says that a system is read-only, and names a folder of ours that keeps nothing there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import agent.cli.checks.read_only as module
from agent.cli.checks.finding import CheckStatus
from agent.cli.checks.read_only import check_read_only, is_read_only


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`opt` and `etc` of an installation, and its state."""
    for name in ("opt", "etc", "state"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(module, "OURS", (tmp_path / "opt", tmp_path / "etc"))
    return tmp_path


def test_a_system_that_can_be_written_is_no_finding(ours: Path) -> None:
    assert list(check_read_only(ours / "state", lambda _: False)) == []


def test_a_read_only_system_with_a_partition_for_doorward_is_well(ours: Path) -> None:
    [found] = check_read_only(ours / "state", lambda folder: folder == Path("/usr"))
    assert (found.subject, found.health) == ("system", CheckStatus.FINE)
    assert found.message.startswith("The system is read-only. Versions, settings and footage")


@pytest.mark.parametrize("closed", ["opt", "etc", "state"])
def test_a_folder_that_is_read_only_too_is_a_fault_with_the_unit_that_binds_it(ours: Path, closed: str) -> None:
    [found] = check_read_only(ours / "state", lambda folder: folder in (Path("/usr"), ours / closed))
    assert found.health is CheckStatus.BAD
    assert f"{ours / closed} is, too" in found.message
    assert found.remedy == "Look at:  systemctl status doorward-persistent"


def test_a_folder_that_is_not_there_is_not_looked_at(ours: Path) -> None:
    """A checkout of a developer has no /opt/doorward."""
    (ours / "opt").rmdir()
    [found] = check_read_only(ours / "state", lambda folder: folder in (Path("/usr"), ours / "opt"))
    assert found.health is CheckStatus.FINE


@pytest.mark.parametrize(("flags", "expected"), [(os.ST_RDONLY, True), (os.ST_NOSUID, False)])
def test_the_mount_is_asked(flags: int, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    asked = list[Path]()

    def statvfs(path: Path) -> os.statvfs_result:
        asked.append(path)
        return os.statvfs_result((*real[:8], flags, real.f_namemax))

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert is_read_only(tmp_path) is expected
    assert asked == [tmp_path]
