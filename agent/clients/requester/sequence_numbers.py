"""Sequence numbers of signed messages: durable before use, so that a number is used only once even after a crash.

A device drops a number that it has seen. A counter that went back after a power cut would make honest requests look
like replays, so a missing or damaged counter is an error. `request` and `receive` may run at the same time, so a lock
orders them.
"""

from __future__ import annotations

import re
from typing import Final

from agent.clients.requester.notes import Notes
from agent.errors import StorageError
from agent.wire.strictjson import MAX_INTEGER

__all__ = ["SequenceCounter"]

_NAME: Final = "sequence"
_LOCK: Final = "sequence.lock"
_LIMIT_BYTES: Final = 32
_NUMBER: Final = re.compile(rb"(0|[1-9][0-9]{0,15})\n")


class SequenceCounter:
    """The counter in these notes."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def create(self) -> None:
        """Starts a counter with no number used."""
        self._notes.write(_NAME, b"0\n", secret=True)

    def next(self) -> int:
        """Returns a fresh number ≥ 1. Raises `StorageError`."""
        return self._advance(1)

    def skip(self, numbers: int) -> None:
        """Leaves out this many numbers. A restored backup calls it: numbers after the backup may have been used."""
        self._advance(numbers)

    def _advance(self, numbers: int) -> int:
        last = 0

        def advance(data: bytes | None) -> bytes:
            nonlocal last
            last = self._last(data) + numbers
            return b"%d\n" % last

        self._notes.change(_NAME, advance, lock=_LOCK, limit_bytes=_LIMIT_BYTES, secret=True)
        return last

    def _last(self, data: bytes | None) -> int:
        found = _NUMBER.fullmatch(data or b"")
        if found is None or int(found[1]) >= MAX_INTEGER:
            raise StorageError(
                f"{self._notes.place(_NAME)} is missing or damaged. Doors refuse numbers that were used before.",
                remedy="Write a number higher than all used ones into it, or make a new key.",
            )
        return int(found[1])
