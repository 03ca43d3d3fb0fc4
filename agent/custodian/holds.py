"""What owners keep and what they delete, signed: holds in force, and segments on their way out.

- A hold keeps a segment from the rolling vault until its day.  Holds are capped (`MOST_HELD`, `LONGEST_HOLD_S`, half of
  the vault's bytes), so that they cannot freeze the buffer; a hold that would go over is refused, not cut.
- A deletion is entered in the ledger and made durable here before anything is touched.  From that moment nothing shows,
  matches or shares the segment; what an answer sealed before holds of it goes with that answer, unless it is revoked.
  Whoever writes the vault asks for the list, puts the tombstone down and unlinks.
- Nothing here is reached but through a statement that an owner signed.

Source: SECURITY.md, promise 7; FORMAT.md, invariant 3, "Hold" and "Evict".
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
    """`held`: until when, in UTC seconds, by segment.  `going`: deleted by an owner, and still on the disk."""

    held: dict[str, int]
    going: frozenset[str]


class SegmentHolds:
    """`held_bytes`: the most that all holds together may keep.  Statements come within the caller's decision."""

    def __init__(self, journal: Journal, ledger: Ledger, vault: VaultReader, clock: Clock, held_bytes: int) -> None:
        self._journal = journal
        self._ledger = ledger
        self._vault = vault
        self._clock = clock
        self.held_bytes = held_bytes

    def hold(self, statement: Hold, fields: dict[str, str]) -> None:
        """Raises `RequestError` for segments that are not there, and above the caps."""
        # The owner's clock counts while the doorbell's is not trusted.
        now_s = trusted_seconds(self._clock.now()) or statement.owner_time_ms // 1000
        if not now_s < statement.until_s <= now_s + LONGEST_HOLD_S:
            raise RequestError("A hold lasts a day to a year from now.", remedy="It can be renewed before it ends.")
        self._require_stored(statement.segments)
        after = {*self.held(), *statement.segments}
        entries = [entry for name in after if (entry := self._vault.find(name)) is not None]
        if len(after) > MOST_HELD or sum(entry.stored_bytes for entry in entries) > self.held_bytes:
            raise RequestError(
                "Holds may keep half of the vault, and no more: the rest has to go on rolling.",
                remedy="Release something first, or save it elsewhere.",
            )
        self._ledger.write(EntryKind.HELD, segments=len(statement.segments), **fields)
        for name in statement.segments:
            self._journal.put(_HOLD + name, b"%d" % statement.until_s)

    def release(self, statement: Release, fields: dict[str, str]) -> None:
        """Without effect on what is not held."""
        self._ledger.write(EntryKind.RELEASED, segments=len(statement.segments), **fields)
        for name in statement.segments:
            self._journal.remove(_HOLD + name)

    def erase(self, statement: Erasure, fields: dict[str, str]) -> None:
        """Held or not, matched or not: it is the owner's.  What was shared before stays shared."""
        self._require_stored(statement.segments)
        self._ledger.write(EntryKind.ERASED, segments=len(statement.segments), **fields)
        for name in statement.segments:
            self._journal.remove(_HOLD + name)
            self._journal.put(_ERASURE + name, b"")

    def held(self) -> frozenset[str]:
        """Holds in force.  While nobody vouches for the clock none has ended."""
        now_s = trusted_seconds(self._clock.now())
        until = self._journal.named(_HOLD)
        return frozenset(name for name, value in until.items() if now_s is None or now_s <= int(value))

    def going(self) -> frozenset[str]:
        """What an owner has deleted and whoever writes the vault has not yet taken off the disk."""
        return frozenset(self._journal.named(_ERASURE))

    def require_none_going(self, segments: Iterable[str]) -> None:
        """Raises `RequestError` when an owner has deleted one of them: for whoever has copied it meanwhile."""
        if self.going() & set(segments):
            raise RequestError("Some of this footage has just been deleted.", remedy="Look again at what is left.")

    def kept(self) -> HoldsAndErasures:
        in_force = self.held()
        held = {name: int(value) for name, value in self._journal.named(_HOLD).items() if name in in_force}
        return HoldsAndErasures(held, self.going())

    def on_time(self) -> None:
        """Forget holds that have ended and deletions that are done."""
        in_force = self.held()
        for name in self._journal.named(_HOLD):
            if name not in in_force or self._vault.find(name) is None:
                self._journal.remove(_HOLD + name)
        for name in self.going():
            if self._vault.find(name) is None:
                self._journal.remove(_ERASURE + name)

    def _require_stored(self, segments: tuple[str, ...]) -> None:
        going = self.going()
        for name in segments:
            if name in going or self._vault.find(name) is None:
                raise RequestError(f"Segment {name} is not stored.", remedy="It was evicted, deleted, or never here.")
