"""A device's directory: one key for ever, whole or not there, and one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.core.device_secret import DeviceSecret
from agent.custodian import state_folder
from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError, DoorwardError, StorageError
from agent.wire import strictjson
from agent.wire.identities import dump_private_key, private_key_from_seed, public_key_of

KEY = private_key_from_seed(b"k" * 32)
OTHER = private_key_from_seed(b"o" * 32)


class Cut(BaseException):
    """The power is gone."""


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    made.initialise(KEY)
    return made


def test_a_device_keeps_its_key_and_nobody_else_can_read_it(folder: StateFolder) -> None:
    assert public_key_of(folder.device_key()) == public_key_of(KEY)
    assert (folder.root / "device.key").stat().st_mode & 0o077 == 0
    assert folder.root.stat().st_mode & 0o007 == 0


def test_a_devices_key_is_never_replaced(folder: StateFolder) -> None:
    with pytest.raises(ConfigurationError, match="belongs to a device already"):
        folder.initialise(OTHER)
    assert public_key_of(folder.device_key()) == public_key_of(KEY)
    assert [path.name for path in folder.root.iterdir() if "key" in path.name or "making" in path.name] == [
        "device.key"
    ]


def test_a_directory_that_was_never_one_says_how_to_make_it_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not set up as a device") as caught:
        StateFolder(tmp_path).device_key()
    assert "doorward init" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"no key at all"])
def test_a_damaged_key_is_named_and_never_quoted(folder: StateFolder, content: bytes) -> None:
    (folder.root / "device.key").chmod(0o600)
    (folder.root / "device.key").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"device\.key") as caught:
        folder.device_key()
    assert "no key at all" not in str(caught.value)


@pytest.mark.parametrize("cut", range(4))
def test_a_power_cut_while_it_is_made_leaves_a_device_or_none(
    cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, calls = StateFolder(tmp_path / "state"), 0
    with monkeypatch.context() as patch:
        for name in ("open", "fsync", "link"):
            original = getattr(os, name)

            def counted(*arguments: object, _original: object = original, **named: object) -> object:
                nonlocal calls
                if calls == cut:
                    raise Cut
                calls += 1
                return _original(*arguments, **named)  # type: ignore[operator]

            patch.setattr(os, name, counted)
        with pytest.raises(Cut):
            folder.initialise(KEY)
    try:
        assert public_key_of(folder.device_key()) == public_key_of(KEY)
    except ConfigurationError:
        folder.initialise(OTHER)
        assert public_key_of(folder.device_key()) == public_key_of(OTHER)


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DoorwardError):
        StateFolder(tmp_path / "file" / "state").initialise(KEY)


def test_two_processes_never_use_one_directory(folder: StateFolder) -> None:
    folder.claim()
    with pytest.raises(ConfigurationError, match="already") as caught:
        StateFolder(folder.root).claim()
    assert caught.value.remedy
    folder.release()
    folder.release()
    again = StateFolder(folder.root)
    again.claim()
    again.release()


def test_no_file_of_the_folder_stays_open(folder: StateFolder) -> None:
    def open_here() -> list[Path]:
        return [each for each in Path("/proc/self/fd").iterdir() if str(folder.root) in os.path.realpath(each)]

    assert open_here() == []
    folder.claim()
    with pytest.raises(ConfigurationError):
        StateFolder(folder.root).claim()
    assert len(open_here()) == 1, "the claim itself"
    folder.release()
    assert open_here() == []


def test_a_process_that_died_holds_nothing(folder: StateFolder) -> None:
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from agent.custodian.state_folder import StateFolder\n"
        "StateFolder(Path(sys.argv[1])).claim()\n"
        "os._exit(0)\n"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", script, str(folder.root)], check=True, cwd=root)
    folder.claim()
    folder.release()


def places(folder: StateFolder) -> dict[str, str]:
    root = folder.root if not folder.divided else folder.root.parent
    return {
        name: str(path.relative_to(root) if path.is_relative_to(root) else path)
        for name, path in vars(folder).items()
        if isinstance(path, Path) and path != root
    }


def test_each_file_has_its_place_in_the_folder(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    assert (folder.root, folder.divided) == (tmp_path, False)
    assert places(folder) == {
        "vault": "vault",
        "index": "index.sqlite",
        "recorders_index": "index.sqlite",
        "journal": "journal.sqlite",
        "alerts": "alerts.sqlite",
        "push": "push.json",
        "outbox": "outbox",
        "page": "page",
        "control": "control.sock",
        "update": "update",
        "wish": "update/wish.json",
        "program": "program/changed.json",
        "_key": "device.key",
    }


def test_where_each_role_has_a_user_the_custodians_files_lie_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "custodian").mkdir()
    folder = StateFolder(tmp_path)
    assert (folder.root, folder.divided) == (tmp_path / "custodian", True)
    assert places(folder) == {
        "root": "custodian",
        "vault": "vault",
        "index": "custodian/index.sqlite",
        "recorders_index": "recorder/recorder.sqlite",
        "journal": "custodian/journal.sqlite",
        "alerts": "custodian/alerts.sqlite",
        "push": "custodian/push.json",
        "outbox": "outbox",
        "page": "custodian/page",
        "control": "custodian/control.sock",
        "update": "update",
        "wish": "/run/doorward/update/wish.json",
        "program": "/run/doorward/program/changed.json",
        "_key": "custodian/device.key",
    }
    (tmp_path / "custodian").rmdir()
    (tmp_path / "custodian").write_text("no folder")
    assert not StateFolder(tmp_path).divided
    assert not StateFolder(tmp_path / "custodian").divided, "a file has nothing below it"


def test_a_secret_is_kept_beside_the_key_and_a_new_device_has_a_new_one(tmp_path: Path) -> None:
    known, first, second = (StateFolder(tmp_path / name) for name in ("known", "first", "second"))
    known.initialise(KEY, b"s" * 32)
    assert known.device_secret() == DeviceSecret(b"s" * 32)
    assert (known.root / "device.key").read_text() == dump_private_key(KEY) + (
        f"-----BEGIN DOORWARD DEVICE SECRET-----\n{strictjson.encode_base64(b's' * 32)}\n"
        "-----END DOORWARD DEVICE SECRET-----\n"
    )
    for each in (first, second):
        each.initialise(KEY)
        assert len(each.device_secret().value) == 32
    assert first.device_secret() != second.device_secret()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.partition("-----BEGIN DOORWARD")[0],
        lambda text: text.replace("DEVICE SECRET-----\n", "DEVICE SECRET-----"),
        lambda text: text.replace("-----END DOORWARD DEVICE SECRET", "-----END"),
        lambda text: text.replace(strictjson.encode_base64(b"s" * 32), strictjson.encode_base64(b"s" * 31)),
    ],
    ids=["no block", "no beginning", "no end", "too short"],
)
def test_a_damaged_secret_is_named_and_the_key_before_it_still_read(tmp_path: Path, damage: Any) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.initialise(KEY, b"s" * 32)
    file = folder.root / "device.key"
    file.write_text(damage(file.read_text()))
    with pytest.raises(ConfigurationError, match=r"device\.key cannot be read: .* is missing or damaged") as caught:
        folder.device_secret()
    assert caught.value.remedy == "Restore it from a backup."
    assert public_key_of(folder.device_key()) == public_key_of(KEY)


def test_a_key_is_on_the_disk_with_its_name_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, link = os.fsync, os.link

    def synced(handle: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name}")
        assert not steps[-1].endswith("making") or (tmp_path / "state" / "device.making").stat().st_size > 0
        sync(handle)

    def linked(old: Path, new: Path) -> None:
        steps.append(f"link {new.name}")
        link(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    StateFolder(tmp_path / "state").initialise(KEY)
    assert steps == ["sync device.making", "link device.key", "sync state"]
    assert [each.name for each in (tmp_path / "state").iterdir()] == ["device.key"]


def test_a_new_folder_is_for_its_owner_alone_and_an_old_one_may_be_used(tmp_path: Path) -> None:
    StateFolder(tmp_path / "new" / "state").initialise(KEY)
    assert (tmp_path / "new" / "state").stat().st_mode & 0o777 == 0o700
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "device.making").write_text("left by a power cut")
    StateFolder(tmp_path / "old").initialise(KEY)
    assert (tmp_path / "old" / "device.key").stat().st_mode & 0o777 == 0o600


def test_what_only_root_may_do_is_not_taken_for_damage(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(state_folder, "read_regular", refused)
    for read in (folder.device_key, folder.device_secret):
        with pytest.raises(PermissionError):
            read()
    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(PermissionError):
        StateFolder(folder.root / "new").initialise(KEY)
    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(PermissionError) as caught:
        StateFolder(folder.root)
    assert (caught.value.errno, caught.value.filename) == (13, str(folder.root))


def test_a_folder_that_cannot_be_made_is_named_with_the_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="state cannot be made: Not a directory") as caught:
        StateFolder(tmp_path / "file" / "state").initialise(KEY)
    assert caught.value.remedy == "Choose another device.state_dir."


@pytest.mark.parametrize(
    ("divided", "words"), [(False, "Stop it first"), (True, "sudo systemctl stop doorward.target")]
)
def test_whoever_finds_the_folder_in_use_is_told_how_to_stop_the_other(
    tmp_path: Path, divided: bool, words: str
) -> None:
    if divided:
        (tmp_path / "custodian").mkdir()
    folder = StateFolder(tmp_path)
    folder.claim()
    with pytest.raises(ConfigurationError) as caught:
        StateFolder(tmp_path).claim()
    assert caught.value.remedy.startswith(words)
    folder.release()
