"""Adds records to the manifest and then to the index, in this order (FORMAT.md, procedures F, A, E), in chapters.

A segment's record is signed as what follows the records of its clip before it (`core.vault.following`). Some records
get a second signature (`core.vault.hash_chain`), and so does the first one after each start-up.

`ChapterKeeper` begins the chapters and deletes those that are out of use (FORMAT.md, procedure N). It runs before a
record is written, when the newest chapter is full.  The lines that stay are copied as they are.  The new chapter
becomes durable with them or not at all, and only then the old chapters are deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

import msgspec
import structlog

from agent.core.ledger import merkle
from agent.core.retention import ChapterLimits, chapters_to_delete
from agent.core.vault.entries import NumberedClockSync, VaultEntry, entry_of
from agent.core.vault.fields import SegmentId, Stamp
from agent.core.vault.hash_chain import FIRST, chain_hash
from agent.core.vault.manifest import (
    ChainHead,
    LineSigner,
    RawLine,
    SignedRecord,
    Signer,
    carried_of,
    chapter_of,
    chapter_start,
    loose_payload,
)
from agent.core.vault.records import Carried, Chapter, ClockSync, Record, RecoveredRecord, SegmentRecord
from agent.core.vault.segment import DeviceId
from agent.errors import StorageError
from agent.ports import Index, ManifestLog, SegmentStore

__all__ = ["ChapterKeeper", "ManifestWriter"]

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


_CLOCK_SYNC: Final = f'"kind":"{ClockSync.__struct_config__.tag}"'.encode()
_BOOT: Final = b'"boot":"%s"'
_AGAIN_OF: Final = 4
"""After a failed attempt to write a chapter, the newest one grows by this part of a chapter before the next attempt."""


@dataclass(frozen=True, slots=True)
class _Copied:
    """The lines that stay of deleted chapters, and the entries of their segments: each with the line's old position."""

    lines: Sequence[RawLine]
    entries: Mapping[int, VaultEntry]
    lost: Sequence[VaultEntry]
    """Damage: the lines of these entries are missing where the index expects them. The next start recovers their
    segments."""


class ChapterKeeper:
    """For the thread that writes, between two records."""

    def __init__(self, store: SegmentStore, log: ManifestLog, index: Index, writer: ManifestWriter) -> None:
        self._store = store
        self._log = log
        self._index = index
        self._writer = writer
        self._refused_at = -1

    def turn(self, limits: ChapterLimits, device: DeviceId, device_mldsa: str, now: Stamp) -> None:
        """Begins a chapter if the newest is full. Raises `StorageError` if the state of the disk is then unknown.

        `device`, `device_mldsa`: the id of the device's key, and its ML-DSA-44 key in base64, for the chapter's record.

        If the disk refuses the new chapter, nothing is lost: the old one grows, and the attempt is repeated later.
        """
        position = self._writer.tip.offset
        newest = chapter_of(position)
        if position - chapter_start(newest) < limits.chapter_bytes:
            return
        if 0 <= position - self._refused_at < limits.chapter_bytes // _AGAIN_OF:
            return
        going = chapters_to_delete(self._log.sizes(), self._index.line_bytes(), limits)
        try:
            copied = self._copied(going)
            record = Chapter(
                number=newest + 1,
                oldest=max(going, default=min(self._log.chapters()) - 1) + 1,
                device=device,
                device_mldsa=device_mldsa,
                at=now,
                carried=_carried(copied.lines),
            )
            if going:
                # The tombstones of removed files go with these chapters, so the files must not come back.
                self._store.settle_removals()
            signed = self._writer.prepare_chapter(record, [raw.data for raw in copied.lines])
        except StorageError as error:
            self._refused_at = position
            structlog.get_logger("recorder").warning("chapter_not_begun", detail=error.message)
            return
        begins = chapter_start(record.number) + len(signed.line) + 1
        # Carried lines are no links of the chain: the line behind them names the hash of the chapter's first line.
        tip = ChainHead(begins + carried_of(record), signed.sequence + 1, signed.chain_hash)
        moved = _moved(copied, begins)
        self._writer.begin_chapter(record.number, signed, tip, moved, [entry.id for entry in copied.lost])
        # Last, and without a sync: S2 removes chapters that a power cut brings back.
        self._log.remove_chapters(going)

    def _copied(self, chapters: Collection[int]) -> _Copied:
        boots = self._index.boots() if chapters else frozenset()
        lines: list[RawLine] = []
        found: dict[int, VaultEntry] = {}
        lost: list[VaultEntry] = []
        for chapter in chapters:
            wanted = {
                entry.line_offset: entry
                for entry in self._index.recorded_in(chapter_start(chapter), chapter_start(chapter + 1))
            }
            for raw in self._lines_of(chapter):
                entry = wanted.get(raw.position)
                # Damage may have swallowed a line feed. Two lines in one must not be carried as one.
                if entry is not None and raw.size == entry.line_size + 1:
                    found[raw.position] = wanted.pop(raw.position)
                    lines.append(raw)
                elif raw.whole and _dates(raw.data, boots):
                    lines.append(raw)
            lost += wanted.values()
        return _Copied(lines, found, lost)

    def _lines_of(self, chapter: int) -> Iterator[RawLine]:
        lines = self._log.raw_lines(chapter_start(chapter))
        return takewhile(lambda raw: chapter_of(raw.position) == chapter, lines)


def _dates(line: bytes, boots: Collection[str]) -> bool:
    """Returns true for a `clock-sync` that dates stored segments."""
    payload = loose_payload(line)
    return _CLOCK_SYNC in payload and any(_BOOT % boot.encode() in payload for boot in boots)


def _moved(copied: _Copied, position: int) -> list[VaultEntry]:
    """The entries of the copied segments, their lines one behind the other from `position` on."""
    moved: list[VaultEntry] = []
    for raw in copied.lines:
        entry = copied.entries.get(raw.position)
        if entry is not None:
            moved.append(replace(entry, line_offset=position))
        position += raw.size
    return moved


def _carried(lines: Sequence[RawLine]) -> Carried | None:
    if not lines:
        return None
    root = merkle.root_of(merkle.leaf_hash(raw.data) for raw in lines)
    return Carried(size=sum(raw.size for raw in lines), root=root.hex())
