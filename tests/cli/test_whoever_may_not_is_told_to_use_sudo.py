"""If a user may not read or write a file, the error names the file and suggests sudo."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from agent.clients.cli.owner.options import control_socket
from agent.custodian.state_folder import StateFolder
from tests.cli.conftest import Seen
from tests.lengths import one_in

Tool = Callable[..., Seen]

_AS_EVERYBODY_ELSE: Final = """
import ctypes, sys
import rich.console, agent.cli.app, agent.cli.frame
libc = ctypes.CDLL(None, use_errno=True)
header, held = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(header, held) == 0
held[0] &= ~(1 << 1 | 1 << 2)
assert libc.capset(header, held) == 0
sys.exit(agent.cli.frame.run(agent.cli.app.doorward, sys.argv[1:]))
"""
"""Drops CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, with which root ignores permissions (capget(2), version 3)."""


def bound_by_permissions(*arguments: object) -> Seen:
    """Runs the tool in a separate process in which permissions count, also if root runs the tests."""
    command = [sys.executable, "-c", _AS_EVERYBODY_ELSE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Seen(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """An unreadable folder, and beside it a configuration with its state in that folder."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    (tmp_path / "doorward.toml").write_text(f'[device]\nstate_dir = "{folder}"\n[camera]\nkind = "scripted"\n')
    yield folder
    folder.chmod(0o700)


STATE = [
    ("status",), ("requests",), ("run",), ("init",), ("doctor",), ("vault", "list"), ("vault", "verify"),
    ("vault", "stats"), ("backup", "OUT"), ("reset", "--yes"), ("link", "request"), ("config", "show"),
]  # fmt: skip


@pytest.mark.parametrize("command", one_in(3, STATE), ids=" ".join)
def test_a_state_folder_that_one_may_not_enter_is_named(closed: Path, command: tuple[str, ...]) -> None:
    words = (word.replace("OUT", str(closed.parent / "out")) for word in command)
    done = bound_by_permissions(*words, "--config", closed.parent / "doorward.toml")
    assert done.status == 2, done.err
    assert f"Error: {closed} cannot be read or written by this user.\n  What to do: Use sudo" in done.err


@pytest.mark.parametrize(
    "command",
    [
        ("motion", "CLOSED/x.mp4"),
        ("owner", "keygen", "--keys", "CLOSED/k"),
        ("broker", "init", "--host", "localhost", "--dir", "CLOSED/b"),
        ("requester", "keygen", "--folder", "CLOSED/r", "--id", "police", "--kind", "police"),
    ],
    ids=" ".join,
)
def test_a_path_that_one_may_not_enter_is_named(closed: Path, command: tuple[str, ...]) -> None:
    done = bound_by_permissions(*(word.replace("CLOSED", str(closed)) for word in command))
    assert done.status == 2, done.err
    assert f"Error: {closed}/" in done.err
    assert "cannot be read or written by this user.\n  What to do: Use sudo, or run this as its owner." in done.err


@pytest.mark.parametrize(
    "command", one_in(2, (("status",), ("requests",), ("vault", "list"), ("reset", "--yes"), ("run",)))
)
def test_a_key_that_one_may_not_read_is_not_said_to_be_broken(
    tool: Tool, tmp_path: Path, command: tuple[str, ...]
) -> None:
    config = tmp_path / "doorward.toml"
    config.write_text(f'[device]\nstate_dir = "{tmp_path / "state"}"\n[camera]\nkind = "scripted"\n')
    assert tool("init", "--config", config).status == 0
    key = tmp_path / "state" / "device.key"
    key.chmod(0)
    done = bound_by_permissions(*command, "--config", config)
    assert "This is a bug" not in done.err
    assert "Restore it" not in done.err
    if command in (("reset", "--yes"), ("run",)):
        assert f"Error: {key} cannot be read or written by this user." in done.err


def test_what_needs_no_device_asks_nobody_for_sudo(tmp_path: Path) -> None:
    made = bound_by_permissions("owner", "keygen", "--keys", tmp_path / "keys", "--name", "anna")
    assert made.status == 0, made.err


def test_a_state_folder_that_one_may_not_enter_stops_only_who_asks_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert control_socket(tmp_path) == tmp_path / "control.sock"
    (tmp_path / "custodian").mkdir()
    assert control_socket(tmp_path) == StateFolder(tmp_path).control != tmp_path / "control.sock"

    def refused(self: Path) -> object:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", refused)
    assert control_socket(tmp_path) == tmp_path / "control.sock"
