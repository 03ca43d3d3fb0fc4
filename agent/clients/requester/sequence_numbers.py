"""Sequence numbers of signed messages: durable before use, so that a number is used only once even after a crash.

A device drops a number that it has seen. A counter that went back after a power cut would make honest requests look
like replays, so a missing or damaged counter is an error. `request` and `receive` may run at the same time, so a lock
on the folder's `sequence.lock` orders them.
"""

from __future__ import annotations

import fcntl
import re
from pathlib import Path
from typing import Final

from agent.errors import StorageError
from agent.platform import files
from agent.wire.strictjson import MAX_INTEGER

__all__ = ["SequenceCounter"]

_NUMBER: Final = re.compile(rb"(0|[1-9][0-9]{0,15})\n")


class SequenceCounter:
    """The counter in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "sequence"
        self._lock = folder / "sequence.lock"

    def create(self) -> None:
        """Starts a counter with no number used."""
        files.write(self._path, b"0\n", secret=True)

    def next(self) -> int:
        """Returns a fresh number ≥ 1. Raises `StorageError`."""
        with files.storage_errors(self._lock), self._lock.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            number = self._last() + 1
            files.write(self._path, b"%d\n" % number, secret=True)
        return number

    def skip(self, numbers: int) -> None:
        """Leaves out this many numbers. A restored backup calls it: numbers after the backup may have been used."""
        with files.storage_errors(self._lock), self._lock.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            files.write(self._path, b"%d\n" % (self._last() + numbers), secret=True)

    def _last(self) -> int:
        found = _NUMBER.fullmatch(files.read_if_there(self._path, 32) or b"")
        if found is None or int(found[1]) >= MAX_INTEGER:
            raise StorageError(
                f"{self._path} is missing or damaged. Doors refuse numbers that were used before.",
                remedy="Write a number higher than all used ones into it, or make a new key.",
            )
        return int(found[1])
