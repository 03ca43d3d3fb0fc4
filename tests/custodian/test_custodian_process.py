"""The custodian keeps the time, and puts its watchdog off, whatever it cannot read."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import Configuration
from agent.config.settings import DeviceConfig
from agent.core.vault.entries import Totals
from agent.custodian import custodian_process
from agent.custodian.custodian_process import CustodianRole
from agent.custodian.state_folder import StateFolder
from agent.errors import StorageError
from agent.platform.supervision import SystemdNotifier
from agent.wire.identities import private_key_from_seed


@pytest.fixture
def line(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(30)
        yield line


@pytest.fixture
def role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: socket.socket) -> Iterator[CustodianRole]:
    monkeypatch.setattr(custodian_process, "_TICK_S", 0.01)
    state = tmp_path / "state"
    StateFolder(state).initialise(private_key_from_seed(secrets.token_bytes(32)))
    for folder in ("recorder", "uplink"):
        (tmp_path / folder).mkdir()
    role = CustodianRole(
        Configuration(device=DeviceConfig(name="Door", state_dir=state)),
        tmp_path,
        SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}),
    )
    yield role
    role.stop()
    role.close()


def test_a_vault_that_cannot_be_read_for_a_moment_stops_no_time(
    role: CustodianRole, monkeypatch: pytest.MonkeyPatch, line: socket.socket
) -> None:
    """Its index may just have turned out to be damaged."""

    def unread() -> Totals:
        raise StorageError("The index is damaged.")

    monkeypatch.setattr(role._vault, "totals", unread)
    role.start()
    words = ""
    while words.count("WATCHDOG=1") < 3:
        words += line.recv(1000).decode()
    assert "the vault cannot be read" in words
