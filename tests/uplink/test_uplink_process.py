"""The uplink puts its watchdog off, whatever the custodian says to what it reports."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.home_news import HomeAddress
from agent.errors import NetworkError, StorageError
from agent.ipc.protocol import GetHomeAssistant, GetUplinkConfig, HomeAssistantReply, ReportStatus, UplinkConfig
from agent.ipc.rpc import Request
from agent.platform.supervision import SystemdNotifier
from agent.uplink import uplink_process
from agent.uplink.uplink_process import UplinkRole


class Refusing:
    """A custodian with a disk that refuses writes, behind `RpcClient`'s calls; `gone` once it is closed."""

    def __init__(self) -> None:
        self.gone = threading.Event()
        self.refused = 0

    def ask(self, request: Request[Any], *, body: bytes = b"", patience_s: float | None = None) -> Any:
        if isinstance(request, GetUplinkConfig):
            return UplinkConfig()
        if isinstance(request, GetHomeAssistant):
            return HomeAssistantReply(HomeAddress())
        if isinstance(request, ReportStatus):
            self.refused += 1
            raise StorageError("The journal cannot be written.")
        self.gone.wait(10)
        raise NetworkError("The custodian is away.")

    def close(self) -> None:
        self.gone.set()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(30)
        yield line


def test_a_custodian_that_refuses_a_report_stops_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: socket.socket
) -> None:
    monkeypatch.setattr(uplink_process, "_TICK_S", 0.01)
    custodian = Refusing()
    supervision = SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    role = UplinkRole(tmp_path / "outbox", *[custodian] * 4, supervision)  # type: ignore[arg-type, list-item]
    role.start()
    words = ""
    while words.count("WATCHDOG=1") < 3:
        words += line.recv(1000).decode()
    custodian.close()
    role.stop()
    role.close()
    assert custodian.refused >= 3
