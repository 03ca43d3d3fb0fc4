"""Holds and deletions by owners: segments kept from eviction, and segments about to be deleted.

- A hold keeps a segment from eviction until its day.  Holds are limited (`MOST_HELD`, `LONGEST_HOLD_S`, half of the
  vault's bytes), so that they cannot stop eviction.  The device refuses a hold that would exceed a limit.
- A deletion is written to the ledger and made durable here before any file is touched.  From then on the segment is
  neither shown nor matched nor shared.  An earlier answer that contains it ends in the same transaction
  (`Releases.end_with_footage`).  The process that writes the vault polls the list, writes the tombstone and unlinks the
  file.
- Only a statement that an owner signed leads here.

Source: docs/security/promises.md, promise 7; FORMAT.md, invariant 3, "Hold" and "Evict".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agent.core.ledger.entries import EntryKind
from agent.core.requests import trusted_seconds
from agent.custodian.ledger_writer import Ledger
from agent.errors import RequestError
from agent.ports import Clock, Journal
from agent.vault.reader import VaultReader
from agent.wire.statements import Erasure, Hold, Release

__all__ = ["LONGEST_HOLD_S", "MOST_HELD", "HoldsAndErasures", "SegmentHolds"]

LONGEST_HOLD_S: Final = 366 * 86_400
MOST_HELD: Final = 10_000
_HOLD: Final = "hold."
_ERASURE: Final = "erasure."


@dataclass(frozen=True, slots=True)
class HoldsAndErasures:
    """`held`: end of the hold in UTC seconds, by segment.  `being_deleted`: by an owner, and still on the disk."""

    held: dict[str, int]
    being_deleted: frozenset[str]


class SegmentHolds:
    """`held_bytes`: the limit for all holds together.  Call its methods inside the transaction of the statement."""

    def __init__(self, journal: Journal, ledger: Ledger, vault: VaultReader, clock: Clock, held_bytes: int) -> None:
        self._journal = journal
        self._ledger = ledger
        self._vault = vault
        self._clock = clock
        self.held_bytes = held_bytes

    def hold(self, statement: Hold, fields: dict[str, str]) -> None:
        """Holds segments.  Raises `RequestError` if one is missing, or if a limit is exceeded."""
        # The owner's clock counts while the doorbell's is untrusted.
        now_s = trusted_seconds(self._clock.now()) or statement.owner_time_ms // 1000
        if not now_s < statement.until_s <= now_s + LONGEST_HOLD_S:
            raise RequestError(
                "A hold must last between a day and a year from now.", remedy="You can renew a hold before it ends."
            )
        self._require_stored(statement.segments)
        # A set: holding a segment again must not count its bytes twice.
        after = {*self.held(), *statement.segments}
        entries = [entry for name in after if (entry := self._vault.find(name)) is not None]
        # Without the limit, holds would fill the vault and recording would stop: a stolen owner's key could blind the
        # door.
        if len(after) > MOST_HELD or sum(entry.stored_bytes for entry in entries) > self.held_bytes:
            raise RequestError(
                "Holds may keep at most half of the vault, because recording needs the rest.",
                remedy="Release a hold first, or export the footage.",
            )
        self._ledger.write(EntryKind.HELD, segments=len(statement.segments), **fields)
        for name in statement.segments:
            self._journal.put(_HOLD + name, b"%d" % statement.until_s)

    def release(self, statement: Release, fields: dict[str, str]) -> None:
        """Releases segments.  It ignores the others."""
        self._ledger.write(EntryKind.RELEASED, segments=len(statement.segments), **fields)
        for name in statement.segments:
            self._journal.remove(_HOLD + name)

    def erase(self, statement: Erasure, fields: dict[str, str]) -> None:
        """Deletes segments, even if they are held or matched.  Copies that were shared before remain with the
        requester."""
        self._require_stored(statement.segments)
        # Durable before the recorder learns of it: footage that is gone without an entry would look like tampering.
        self._ledger.write(EntryKind.ERASED, segments=len(statement.segments), **fields)
        for name in statement.segments:
            self._journal.remove(_HOLD + name)
            # Kept until the file is gone, so that a power cut in between does not bring the segment back.
            self._journal.put(_ERASURE + name, b"")

    def held(self) -> frozenset[str]:
        """Returns the held segments.  Holds end only while the clock is known."""
        now_s = trusted_seconds(self._clock.now())
        until = self._journal.named(_HOLD)
        # A clock that is wrong must not end holds: the footage would be evicted for good.
        return frozenset(name for name, value in until.items() if now_s is None or now_s <= int(value))

    def being_deleted(self) -> frozenset[str]:
        """Returns the segments that an owner has deleted and that are still on the disk."""
        return frozenset(self._journal.named(_ERASURE))

    def require_none_deleted(self, segments: Iterable[str]) -> None:
        """Raises `RequestError` if an owner has deleted one of the segments, for example while it was copied."""
        if self.being_deleted() & set(segments):
            raise RequestError("Some of this footage has just been deleted.", remedy="Look again at what is left.")

    def kept(self) -> HoldsAndErasures:
        in_force = self.held()
        held = {name: int(value) for name, value in self._journal.named(_HOLD).items() if name in in_force}
        return HoldsAndErasures(held, self.being_deleted())

    def on_time(self) -> None:
        """Drops holds that have ended and deletions that are done."""
        in_force = self.held()
        for name in self._journal.named(_HOLD):
            # A held segment may be gone, for example by a deletion. Its name must not use up the limit.
            if name not in in_force or self._vault.find(name) is None:
                self._journal.remove(_HOLD + name)
        for name in self.being_deleted():
            if self._vault.find(name) is None:
                self._journal.remove(_ERASURE + name)

    def _require_stored(self, segments: tuple[str, ...]) -> None:
        deleted = self.being_deleted()
        for name in segments:
            if name in deleted or self._vault.find(name) is None:
                raise RequestError(
                    f"Segment {name} is not stored.", remedy="It was evicted, deleted or never stored here."
                )
