"""Keeps, across restarts of the process, how often the camera made one exit (`core.recovery`).

The file holds one number. It is not synced, and a damaged one counts as zero, because its loss costs only retries.
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
