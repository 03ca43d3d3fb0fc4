"""A device's directory: one key for ever, whole or not there, and one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError, DoorwardError
from agent.wire.identities import private_key_from_seed, public_key_of

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
