"""Slots of our messages in each cell. A broker retains one message per slot, so their number is bounded.

A message keeps its slot until it ends, so that later messages about it replace it. If all slots are taken, the message
that ends first makes room. For example, the 65th open request in a cell replaces one of the 64 before it. Doors that
were on have already received it, but a door that was off misses it.

`slots/<kind>.<cell>` has a line for each: slot, id, UTC s of its end. `request` and `receive` may run at the same time,
so a lock orders them.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Final

from agent.errors import ConfigurationError
from agent.platform import files
from agent.wire.topics import BULLETIN_SLOTS, REQUEST_SLOTS

__all__ = ["SlotKind", "TopicSlots"]

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
    """The slots of the requester in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "slots"

    def take(self, kind: SlotKind, cell: str, message_id: str, until_s: int) -> int:
        """Returns the slot of this message in `cell`, a new one if it has none. Durable. Raises `StorageError`."""
        with self._locked():
            taken = self._read(kind, cell)
            slot = next((each for each, (name, _) in taken.items() if name == message_id), None)
            if slot is None:
                free = (each for each in range(kind.slots) if each not in taken)
                slot = next(free, None)
            if slot is None:
                slot = min(taken, key=lambda each: taken[each][1])
            taken[slot] = (message_id, until_s)
            lines = (f"{each} {name} {end_s}\n" for each, (name, end_s) in sorted(taken.items()))
            files.write(self._path(kind, cell), "".join(lines).encode("ascii"))
        return slot

    def held(self, kind: SlotKind, cell: str, message_id: str) -> int | None:
        """Returns the slot of this message. None if another message has taken it."""
        taken = self._read(kind, cell)
        return next((slot for slot, (name, _) in taken.items() if name == message_id), None)

    def all(self) -> Iterator[tuple[SlotKind, str, int, str, int]]:
        """Yields kind, cell, slot, message id and end of all messages with a slot."""
        for file in files.names_in(self._folder):
            kind, _, cell = file.partition(".")
            if kind in {each.value for each in SlotKind} and re.fullmatch("[0-9]+-[0-9]+", cell):
                for slot, (name, until_s) in self._read(SlotKind(kind), cell).items():
                    yield SlotKind(kind), cell, slot, name, until_s

    def _read(self, kind: SlotKind, cell: str) -> _Taken:
        path = self._path(kind, cell)
        taken: _Taken = {}
        for line in (files.read_if_there(path, _LIMIT_BYTES) or b"").decode("ascii", "replace").splitlines():
            found = _LINE.fullmatch(line)
            if found is None or int(found[1]) >= kind.slots:
                raise ConfigurationError(f"{path} is damaged.", remedy="Restore it from a backup, or remove it.")
            taken[int(found[1])] = (found[2], int(found[3]))
        return taken

    def _path(self, kind: SlotKind, cell: str) -> Path:
        return self._folder / f"{kind.value}.{cell}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        files.make_folder(self._folder)
        path = self._folder / "lock"
        with files.storage_errors(path), path.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
