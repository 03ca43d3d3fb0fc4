"""Somebody who may not read or write a file reads which one, and that sudo may be all they lack."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cli.conftest import Seen

Tool = Callable[..., Seen]

_VERSION_3: Final = 0x20080522
_OVERRIDES: Final = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what makes permissions nothing to root."""


@contextlib.contextmanager
def bound_by_permissions() -> Iterator[None]:
    """As for everybody else, also for root.  Source: capget(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, held) == 0
    less = (ctypes.c_uint32 * 6)(*held)
    less[0] &= ~_OVERRIDES
    assert libc.capset(header, less) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder nobody may look into, and beside it a configuration whose state lies there."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    (tmp_path / "doorward.toml").write_text(f'[device]\nstate_dir = "{folder}"\n[camera]\nkind = "scripted"\n')
    yield folder
    folder.chmod(0o700)


STATE = [
    ("status",), ("requests",), ("run",), ("init",), ("doctor",), ("vault", "list"), ("vault", "verify"),
    ("vault", "stats"), ("backup", "OUT"), ("reset", "--yes"), ("link", "request"), ("config", "show"),
]  # fmt: skip


@pytest.mark.parametrize("command", STATE, ids=" ".join)
def test_a_state_folder_that_one_may_not_enter_is_named(tool: Tool, closed: Path, command: tuple[str, ...]) -> None:
    with bound_by_permissions():
        done = tool(*(word.replace("OUT", str(closed.parent / "out")) for word in command), "--config",
                    closed.parent / "doorward.toml")  # fmt: skip
    assert done.status == 2, done.err
    assert f"Error: {closed} may not be read or written by this user.\n  What to do: Use sudo" in done.err


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
def test_a_path_that_one_may_not_enter_is_named(tool: Tool, closed: Path, command: tuple[str, ...]) -> None:
    with bound_by_permissions():
        done = tool(*(word.replace("CLOSED", str(closed)) for word in command))
    assert done.status == 2, done.err
    assert f"Error: {closed}/" in done.err
    assert "may not be read or written by this user.\n  What to do: Use sudo, or be its owner." in done.err


@pytest.mark.parametrize("command", [("status",), ("requests",), ("vault", "list"), ("reset", "--yes"), ("run",)])
def test_a_key_that_one_may_not_read_is_not_said_to_be_broken(
    tool: Tool, tmp_path: Path, command: tuple[str, ...]
) -> None:
    config = tmp_path / "doorward.toml"
    config.write_text(f'[device]\nstate_dir = "{tmp_path / "state"}"\n[camera]\nkind = "scripted"\n')
    assert tool("init", "--config", config).status == 0
    key = tmp_path / "state" / "device.key"
    key.chmod(0)
    with bound_by_permissions():
        done = tool(*command, "--config", config)
    assert "This is a bug" not in done.err
    assert "Restore it" not in done.err
    if command in (("reset", "--yes"), ("run",)):
        assert f"Error: {key} may not be read or written by this user." in done.err
