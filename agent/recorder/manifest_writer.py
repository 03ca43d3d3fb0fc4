"""Adds records to the manifest and then to the index, in this order (FORMAT.md, procedures F, A, E).

A segment's record is signed as what follows the records of its clip before it (`core.vault.following`). Some records
get a second signature (`core.vault.second_signatures`), and so does the first one after each start-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from agent.core.vault.dating import NumberedClockSync
from agent.core.vault.entries import VaultEntry, entry_of
from agent.core.vault.hash_chain import FIRST, chain_hash
from agent.core.vault.manifest import ChainHead, LineSigner, SignedRecord, Signer
from agent.core.vault.names import SegmentId
from agent.core.vault.records import Chapter, ClockSync, Record, RecoveredRecord, SegmentRecord
from agent.ports import Index, ManifestLog

__all__ = ["ManifestWriter"]


_MOST_GROWING: Final = 8
"""One or two clips may grow at a time; recovery after a crash may add more."""


class ManifestWriter:
    """One writer at a time. Start-up calls `start`. After a `StorageError` the writer is unusable until the next
    start-up."""

    def __init__(self, log: ManifestLog, index: Index, sign: Signer, second: Signer) -> None:
        """`sign` makes the signature of each line, `second` the second one of the lines that need it."""
        self._log = log
        self._index = index
        self._signer = LineSigner(sign, second)
        self.tip = ChainHead()
        self._vouches = True
        self._reached: dict[str, str] = {}
        """By event, for clips that may still grow: the hash behind the newest record."""

    def start(self, tip: ChainHead, *, vouches: bool = True) -> None:
        """Continues the manifest at `tip`. A line of a write that failed may be in front of it. So the next line gets a
        second signature, instead of a search for the newest one.

        `vouches`: False if a forger of Ed25519 may have written the newest lines. The next line then names 64 zeros in
        place of the hash behind them, so its second signature does not cover them.
        """
        self.tip = tip
        self._signer.newest = None
        self._vouches = vouches

    @property
    def _named(self) -> ChainHead:
        """The end that the next line names."""
        return self.tip if self._vouches else replace(self.tip, previous=FIRST)

    def commit(self, record: Record, removed: Sequence[SegmentId] = ()) -> VaultEntry | None:
        """Makes `record` durable, then updates the index. Returns the entry of a stored segment, else None."""
        if isinstance(record, SegmentRecord):
            # Signed with the hash of the clip so far: a requester sees if an earlier segment of the clip is left out.
            record = msgspec.structs.replace(record, prev_in_clip=self._reached.get(record.event, FIRST))
        signed = self._signer.sign(record, self._named)
        # Durable before the index knows it: a start brings the index up to the manifest, never the other way.
        self._log.append(signed.line)
        self._signer.wrote(signed)
        self._vouches = True
        added: list[VaultEntry] = []
        if isinstance(record, SegmentRecord | RecoveredRecord):
            self._reach(record.event, signed.line)
            added.append(entry_of(record, signed.sequence, self.tip.offset, len(signed.line)))
        # Only after the append: a line that the disk refused is no link of the chain.
        self.tip = self.tip.after(signed)
        self._index.apply(added, removed, self.tip, _numbered_syncs(record, signed.sequence))
        return added[0] if added else None

    def prepare_chapter(self, record: Chapter, carried: Sequence[bytes]) -> SignedRecord:
        """Write a chapter's beginning aside: its first line, signed, and the lines that it carries."""
        signed = self._signer.sign(record, self._named)
        self._log.prepare_chapter(record.number, (signed.line, *carried))
        return signed

    def begin_chapter(
        self, number: int, signed: SignedRecord, tip: ChainHead, moved: Sequence[VaultEntry], lost: Sequence[SegmentId]
    ) -> None:
        """Makes the prepared chapter the newest, then updates the index.

        `signed`: its first line. `tip`: its end. `moved`: the entries of carried segments, with their new places.
        `lost`: segments with damaged lines.
        """
        self._log.begin_chapter(number)
        self._signer.wrote(signed)
        self._vouches = True
        self.tip = tip
        self._index.apply(moved, [*(entry.id for entry in moved), *lost], self.tip)

    def _reach(self, event: SegmentId, line: bytes) -> None:
        """Remembers the hash for a clip. A clip that was dropped from memory starts a new chain, which proves less but
        stays correct."""
        self._reached[event] = chain_hash(self._reached.pop(event, FIRST), line)
        if len(self._reached) > _MOST_GROWING:
            del self._reached[next(iter(self._reached))]


def _numbered_syncs(record: Record, sequence: int) -> tuple[NumberedClockSync, ...]:
    return (NumberedClockSync(sequence, record.at),) if isinstance(record, ClockSync) else ()
