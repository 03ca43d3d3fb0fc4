"""A role and its service manager, over a real datagram socket."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from agent.platform import supervision
from agent.platform.supervision import SystemdNotifier


def test_a_manager_that_reads_nothing_hangs_no_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "_PATIENCE_S", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"STATUS=full", str(tmp_path / "notify"))
        notifier = SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.status("lost, and the role goes on")
        manager.settimeout(30)
        assert manager.recv(100) == b"STATUS=full"
        notifier.ready("heard")
        words = b""
        while b"READY=1" not in words:
            words = manager.recv(100)
    assert words == b"READY=1\nSTATUS=heard"
