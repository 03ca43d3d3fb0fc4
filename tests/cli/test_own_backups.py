"""The backups that a doorbell makes of itself: whole, padded, as many as are wanted, and enough to replace it."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.cli.checks import backups
from agent.cli.checks.backups import check_backups
from agent.cli.checks.finding import CheckStatus
from agent.cli.own_backups import backups_of, keep_backup
from agent.clients.opening import open_bytes
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.config import load
from agent.config.settings import BackupConfig
from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError, StorageError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetDevice
from agent.platform import files
from agent.recorder.capture.camera_scripted import ScriptedCamera
from agent.solo import Solo
from agent.wire.identities import public_key_of

NOW = datetime.datetime(2026, 12, 1, 3, 15, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def config(tmp_path: Path, tool: Callable[..., Any]) -> Path:
    path = tmp_path / "etc" / "doorward.toml"
    path.parent.mkdir()
    (tmp_path / "stick").mkdir()
    path.write_text(
        f'[device]\nname = "voordeur"\nstate_dir = "{tmp_path / "state"}"\n[camera]\nkind = "scripted"\n'
        f'[backup]\nfolder = "{tmp_path / "stick"}"\nkeep = 2\n'
    )
    assert tool("init", "--config", path).status == 0
    return path


@contextmanager
def running(config: Path) -> Iterator[Solo]:
    solo = Solo(load(config), open_camera=lambda: ScriptedCamera(duration_s=1.0, size_px=(320, 240)))
    solo.start()
    try:
        yield solo
    finally:
        solo.stop()
        solo.close()


def device_of(config: Path) -> str:
    return public_key_of(StateFolder(load(config).device.state_dir).device_key()).id


def test_a_dead_doorbell_is_replaced_from_its_own_backup(
    config: Path, tmp_path: Path, tool: Callable[..., Any]
) -> None:
    owner = OwnerKeys.create(tmp_path / "owner", name="owner-1")
    with running(config):
        with DeviceLink(StateFolder(load(config).device.state_dir).control) as link:
            enrol(link, owner)
        assert tool("backup", "--config", config).status == 0
    device = device_of(config)
    ((_, kept),) = backups_of(device, tmp_path / "stick")
    assert kept.stat().st_mode & 0o077 == 0
    shutil.rmtree(tmp_path / "state")
    config.write_text(f'[device]\nstate_dir = "{tmp_path / "state"}"\n')
    assert tool("init", "--config", config).status == 0  # the new card has a key, as an installation makes it
    assert device_of(config) != device
    (tmp_path / "opened").write_bytes(open_bytes(kept.read_bytes(), [owner.identity]))
    assert tool("restore", "--config", config, tmp_path / "opened").status == 0
    assert device_of(config) == device
    with running(config), DeviceLink(StateFolder(load(config).device.state_dir).control) as link:
        assert (
            public_key_of(StateFolder(load(config).device.state_dir).device_key()).text == link.ask(GetDevice()).device
        )
    assert load(config).device.name == "voordeur"


def test_the_newest_stay_and_nothing_else_is_touched(config: Path, tmp_path: Path) -> None:
    stick, device = tmp_path / "stick", device_of(config)
    dates = ("2020", "20209901T000000Z", "20200101T000000Z.backup")
    others = ["holiday.jpg", f"doorward-{'0' * 16}-20200101T000000Z.backup"]
    others += [f"doorward-{device}-{date}.backup" for date in dates]
    for name in others:
        (stick / name).write_bytes(b"mine")
    made = [keep_backup(config, b"%d" % number, NOW + number * DAY) for number in range(4)]
    assert [path.exists() for path in made] == [False, False, True, True]
    assert [path.read_bytes() for path in made[2:]] == [b"2", b"3"]
    assert all((stick / name).read_bytes() == b"mine" for name in others)


def test_a_clock_that_went_back_costs_neither_the_new_backup_nor_the_newest_before(config: Path) -> None:
    """Without a battery a board may begin in 1970. Its name then makes the new backup the oldest."""
    kept = [keep_backup(config, b"good", NOW + number * DAY) for number in range(2)]
    for number in range(2):
        made = keep_backup(config, b"of 1970", datetime.datetime(1970, 1, 1 + number, tzinfo=datetime.UTC))
        assert [path for _, path in backups_of(device_of(config), made.parent)] == [made, kept[1]]


def test_a_full_stick_keeps_the_backups_that_it_has(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [keep_backup(config, b"x", NOW + number * DAY) for number in range(2)]

    def full(path: Path, *_: object, **__: object) -> None:
        raise StorageError(f"{path}: No space left on device.")

    with monkeypatch.context() as patched:
        patched.setattr(files, "write", full)
        with pytest.raises(StorageError, match="No space left"):
            keep_backup(config, b"x", NOW + 5 * DAY)
    assert all(path.exists() for path in before)


def test_a_stick_that_is_gone_and_a_missing_section_are_named(config: Path, tmp_path: Path) -> None:
    (tmp_path / "stick").rmdir()
    with pytest.raises(StorageError, match=r"stick is not there, so there is no new backup.*Mount the stick"):
        keep_backup(config, b"x")
    config.write_text(config.read_text().partition("[backup]")[0])
    with pytest.raises(ConfigurationError, match=r"does not say where backups go.*add \[backup\]"):
        keep_backup(config, b"x")


def test_a_backup_is_as_long_after_a_request_as_before(config: Path, tmp_path: Path, tool: Callable[..., Any]) -> None:
    """The keeper of the backups, for example of a share in the network, must not read from their length what came."""
    with running(config) as solo:
        with DeviceLink(StateFolder(load(config).device.state_dir).control) as link:
            enrol(link, OwnerKeys.create(tmp_path / "owner", name="owner-1"))
        assert tool("backup", "--config", config, tmp_path / "one").status == 0
        for number in range(200):
            solo.custodian.on_message("doorward/v1/areas/287-379/requests/police/0", b"%d" % number)
            solo._owned._journal.put(f"a request {number}", b"x" * 500)
        assert tool("backup", "--config", config, tmp_path / "two").status == 0
    one, two = (tmp_path / "one").stat().st_size, (tmp_path / "two").stat().st_size
    assert one == two
    assert one > 1 << 20


@pytest.mark.parametrize(
    ("days", "status", "said"),
    [(None, CheckStatus.POOR, "There is none in"), (0, CheckStatus.FINE, "is of 2026-12-01 03:15 UTC"),
     (2, CheckStatus.FINE, "The newest of 1"), (3, CheckStatus.POOR, "3 days old")],
)  # fmt: skip
def test_the_doctor_says_how_old_the_newest_is(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int | None, status: CheckStatus, said: str
) -> None:
    state = StateFolder(load(config).device.state_dir)
    wanted = BackupConfig(folder=tmp_path / "stick")
    assert check_backups(wanted, state, NOW).message.endswith("is on the doorbell's own card.")
    monkeypatch.setattr(backups, "_on_one_disk", lambda *_: False)
    if days is not None:
        keep_backup(config, b"x", NOW)
    finding = check_backups(wanted, state, NOW + (days or 0) * DAY)
    assert finding.health is status
    assert said in finding.message
    assert (finding.remedy == "") == (status is CheckStatus.FINE)


def test_the_doctor_says_that_the_stick_is_gone(config: Path, tmp_path: Path) -> None:
    state = StateFolder(load(config).device.state_dir)
    finding = check_backups(BackupConfig(folder=tmp_path / "none"), state, NOW)
    assert finding.health is CheckStatus.BAD
    assert "Mount the stick" in finding.remedy
