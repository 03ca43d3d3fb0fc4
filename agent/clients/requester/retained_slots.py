"""Slots of our messages in each cell. A broker retains one message per slot, so their number is bounded.

A message keeps its slot until it ends, so that later messages about it replace it. If all slots are taken, the message
that ends first makes room. For example, the 65th open request in a cell replaces one of the 64 before it. Doors that
were on have already received it, but a door that was off misses it.

`slots/<kind>.<cell>` has a line for each: slot, id, UTC s of its end. `request` and `receive` may run at the same time,
so a lock orders them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

from agent.clients.requester.notes import Notes
from agent.errors import ConfigurationError
from agent.wire.topics import BULLETIN_SLOTS, REQUEST_SLOTS

__all__ = ["SlotKind", "TopicSlots"]

_FOLDER: Final = "slots"
_LOCK: Final = "slots/lock"
_LINE: Final = re.compile(r"([0-9]{1,2}) ([0-9a-f]{32}) ([0-9]{1,12})")
_LIMIT_BYTES: Final = 16 << 10

_Taken = dict[int, tuple[str, int]]
"""Slot → (message id, UTC s of its end)."""


class SlotKind(Enum):
    """Kind of message in a slot."""

    REQUESTS = "requests"
    BULLETINS = "bulletins"

    @property
    def slots(self) -> int:
        return REQUEST_SLOTS if self is SlotKind.REQUESTS else BULLETIN_SLOTS


class TopicSlots:
    """The slots of the requester with these notes."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def take(self, kind: SlotKind, cell: str, message_id: str, until_s: int) -> int:
        """Returns the slot of this message in `cell`, a new one if it has none. Durable. Raises `StorageError`."""
        name, slot = _name(kind, cell), 0

        def take(data: bytes | None) -> bytes:
            nonlocal slot
            taken = self._parsed(kind, name, data)
            slot = _slot_for(kind, taken, message_id)
            taken[slot] = (message_id, until_s)
            lines = (f"{each} {holder} {end_s}\n" for each, (holder, end_s) in sorted(taken.items()))
            return "".join(lines).encode("ascii")

        self._notes.make_folder(_FOLDER)
        self._notes.change(name, take, lock=_LOCK, limit_bytes=_LIMIT_BYTES)
        return slot

    def held(self, kind: SlotKind, cell: str, message_id: str) -> int | None:
        """Returns the slot of this message. None if another message has taken it."""
        return _holds(self._read(kind, cell), message_id)

    def all(self) -> Iterator[tuple[SlotKind, str, int, str, int]]:
        """Yields kind, cell, slot, message id and end of all messages with a slot."""
        for file in self._notes.names(_FOLDER):
            kind, _, cell = file.partition(".")
            if kind in {each.value for each in SlotKind} and re.fullmatch("[0-9]+-[0-9]+", cell):
                for slot, (name, until_s) in self._read(SlotKind(kind), cell).items():
                    yield SlotKind(kind), cell, slot, name, until_s

    def _read(self, kind: SlotKind, cell: str) -> _Taken:
        name = _name(kind, cell)
        return self._parsed(kind, name, self._notes.read(name, _LIMIT_BYTES))

    def _parsed(self, kind: SlotKind, name: str, data: bytes | None) -> _Taken:
        taken: _Taken = {}
        for line in (data or b"").decode("ascii", "replace").splitlines():
            found = _LINE.fullmatch(line)
            if found is None or int(found[1]) >= kind.slots:
                raise ConfigurationError(
                    f"{self._notes.place(name)} is damaged.", remedy="Restore it from a backup, or remove it."
                )
            taken[int(found[1])] = (found[2], int(found[3]))
        return taken


def _name(kind: SlotKind, cell: str) -> str:
    return f"{_FOLDER}/{kind.value}.{cell}"


def _holds(taken: _Taken, message_id: str) -> int | None:
    return next((slot for slot, (name, _) in taken.items() if name == message_id), None)


def _slot_for(kind: SlotKind, taken: _Taken, message_id: str) -> int:
    """Returns the slot that the message has, a free one, or that of the message that ends first."""
    slot = _holds(taken, message_id)
    if slot is None:
        slot = next((each for each in range(kind.slots) if each not in taken), None)
    return min(taken, key=lambda each: taken[each][1]) if slot is None else slot
