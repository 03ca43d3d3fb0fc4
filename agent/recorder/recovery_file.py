"""Remembers, from one process to the next, how often the camera made one give up (`core.recovery`).

One number in a file of its own.  Losing it costs patience, nothing else, so it is not synced and a bad one is zero.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["RecoveryFile"]


class RecoveryFile:
    """`folder` is the device's state directory."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "camera-exits"

    def load(self) -> int:
        try:
            return max(0, int(self._path.read_text()[:10]))
        except (OSError, ValueError):
            return 0

    def save(self, exits: int) -> None:
        with contextlib.suppress(OSError):
            self._path.write_text(f"{exits}\n")
