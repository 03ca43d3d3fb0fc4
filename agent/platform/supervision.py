"""Tells the service manager that a role is ready, what it does, and that it gets on.

Silent if there is no manager (`NOTIFY_SOCKET` unset), so that the same code runs on a laptop. Source: sd_notify(3),
sd_watchdog_enabled(3).
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

__all__ = ["SystemdNotifier"]

_PATIENCE_S: Final = 1.0
"""The manager's queue holds a few words (`net.unix.max_dgram_qlen`). A manager that hangs must not hang the role."""


class SystemdNotifier:
    """One role's line to its manager.  Never raises: a lost word costs a restart at worst."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the abstract namespace's zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.supervised = bool(self._address)

    def ready(self, status: str) -> None:
        self._say(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._say(f"STATUS={status}")

    def alive(self) -> None:
        """Put the watchdog off.  Call it only for progress (`core.recovery`)."""
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def _say(self, words: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(_PATIENCE_S)
            # sendto instead of connect: a process in a sandbox without connect(2) can still report that it lives.
            line.sendto(words.replace("\0", "").encode(), self._address)
