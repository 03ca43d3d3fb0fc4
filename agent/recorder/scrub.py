"""Reads all stored files slowly, again and again, and reports those that differ from their signature (FORMAT.md,
procedure R).

Cards lose data. One segment at a time is hashed from the medium and compared with its signed record. The pause after
each one keeps to the day's budget. The index remembers the last position. Nothing is changed. A file counts as damaged
if the medium has lost a part of it, and the next segment follows. After other errors the same segment is tried again,
three times at most. Then its file is reported, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from agent.core.vault.entries import VaultEntry
from agent.errors import StorageError
from agent.ports import Notifier
from agent.vault.reader import VaultReader
from agent.wire.identities import PublicKey

__all__ = ["ScrubStatus", "Scrubber"]

_DAY_S: Final = 86_400
_MOST_NAMED: Final = 100
_IDLE_S: Final = 3600.0
"""Pause while the vault is empty, or after a read error of the disk."""
_MOST_TRIES: Final = 3
"""An error that stays, for example of a file's permissions, must not hide the segments after it."""


@dataclass(frozen=True, slots=True)
class ScrubStatus:
    """Since the process began.  `damaged`: names of files that differ or could not be checked, and places of manifest
    lines that cannot be read, at most the first hundred of this round."""

    segments: int = 0
    read_bytes: int = 0
    rounds: int = 0
    damaged: tuple[str, ...] = ()
    fault: str = ""


class Scrubber:
    """`bytes_per_day`: how much is read; it decides how long a round takes. One thread calls `run`.

    `key`: None if only the hashes can be compared, because another role holds the device's key.
    """

    def __init__(self, vault: VaultReader, key: PublicKey | None, notifier: Notifier, bytes_per_day: int) -> None:
        self._vault = vault
        self._key = key
        self._notifier = notifier
        self._bytes_per_day = bytes_per_day
        self._log = structlog.get_logger("scrub")
        self._refused = -1
        """The number of the last segment that failed its check, and how often in a row."""
        self._tries = 0
        self.status = ScrubStatus()

    def run(self, wait: Callable[[float], bool]) -> None:
        """Until `wait(seconds)` says so by returning true."""
        if not self._bytes_per_day:
            return
        pause_s = 60.0  # a device that starts has better things to do
        while not wait(pause_s):
            pause_s = self.step()

    def step(self) -> float:
        """Check the next segment.  Returns the seconds to wait before the one after it."""
        try:
            return self._check_next()
        except StorageError as error:
            self._note(fault=error.message)
            self._log.warning("scrub_failed", error=error.message)
            return _IDLE_S

    def _check_next(self) -> float:
        entry = self._vault.after(self._vault.scrubbed())
        if entry is None:
            if self._vault.totals().segments:
                self._note(rounds=self.status.rounds + 1, damaged=())
            # The round is over: the next one begins with the oldest segment.
            self._vault.set_scrubbed(-1)
            return self._pause_s(0)
        try:
            found = self._vault.check(entry, self._key)
        except StorageError as error:
            self._count_try(entry, error)
            raise
        # Behind the check: a crash between the two costs a second look, never a segment that was left out.
        self._vault.set_scrubbed(entry.sequence)
        status = self.status
        wrong = (*found.missing, *found.damaged)
        unread = () if found.line_fault is None else (found.line_fault.place,)
        self._note(
            segments=status.segments + 1,
            read_bytes=status.read_bytes + found.read_bytes,
            damaged=(*status.damaged, *wrong, *unread)[:_MOST_NAMED],
            fault=found.fault,
        )
        if wrong or unread:
            self._log.error("damage_found", files=(*wrong, *unread), fault=found.fault)
        if wrong:
            self._notifier.notify("vault", f"Stored footage is damaged: {', '.join(wrong)}.  The card may be failing.")
        for place in unread:
            self._notifier.notify("vault", f"A signed record cannot be read: {place}.  The card may be failing.")
        # A card that cannot read a block tries for a long time: leave it to the recording for a while.
        return _IDLE_S if found.fault else self._pause_s(found.read_bytes)

    def _count_try(self, entry: VaultEntry, error: StorageError) -> None:
        self._tries = self._tries + 1 if entry.sequence == self._refused else 1
        self._refused = entry.sequence
        if self._tries < _MOST_TRIES:
            return
        name = entry.file.name
        self._note(damaged=(*self.status.damaged, name)[:_MOST_NAMED])
        self._notifier.notify("vault", f"Stored footage could not be checked: {name}.  {error.message}")
        self._vault.set_scrubbed(entry.sequence)

    def _pause_s(self, read_bytes: int) -> float:
        return read_bytes / self._bytes_per_day * _DAY_S if read_bytes else _IDLE_S

    def _note(self, **changed: object) -> None:
        known = {name: getattr(self.status, name) for name in ScrubStatus.__dataclass_fields__}
        self.status = ScrubStatus(**{**known, **changed})
