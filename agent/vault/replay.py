"""Brings the index up to the manifest's end, and the manifest's end to its last whole line (FORMAT.md, S3 and S4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from agent.core.timebase import ClockQuality
from agent.core.vault.entries import NumberedClockSync, VaultEntry, dated, entry_of
from agent.core.vault.manifest import (
    ChainFault,
    ChainHead,
    ChainStep,
    chapter_of,
    chapter_start,
    loose_payload,
    parse_line,
)
from agent.core.vault.records import ClockSync, EvictionRecord, RecoveredRecord, SegmentRecord
from agent.errors import FormatError, StorageError
from agent.ports import Index, ManifestLog
from agent.vault.manifest_reader import last_line, oldest_chapter, read_manifest

__all__ = ["ReplayReport", "StartInterruptedError", "catch_up"]

_BATCH: Final = 512
_CLOCK_SYNC: Final = f'"kind":"{ClockSync.__struct_config__.tag}"'.encode()


class StartInterruptedError(StorageError):
    """The manifest was not read to its end. The next start continues there."""


@dataclass(slots=True)
class ReplayReport:
    """The end of the manifest now, and the faults on the way there."""

    tip: ChainHead = field(default_factory=ChainHead)
    rebuilt: bool = False
    faults: list[ChainFault] = field(default_factory=list)
    cut_bytes: int = 0


def catch_up(
    log: ManifestLog,
    index: Index,
    *,
    from_the_beginning: bool = False,
    given_up: Callable[[], bool] = lambda: False,
    may_cut: bool = True,
) -> ReplayReport:
    """Brings `index` up to `log`; both must have been recovered. Raises `StorageError`, and `StartInterruptedError` if
    it is `given_up`.

    A lost index is read on from its copy.

    Lines read until now stay in the index, so the next start continues there. `may_cut`: the manifest is ours to write.
    """
    known = None if from_the_beginning else _known_tip(log, index)
    if known is not None:
        try:
            return _replay(log, index, ReplayReport(known), given_up, may_cut=may_cut)
        except StartInterruptedError:
            raise
        except StorageError:
            pass  # the index is only a cache: make it again; if the log is the cause, the error comes again below
    if not from_the_beginning and index.restore_copy():
        # The copy is an older index of this manifest. If it is not, the whole manifest is read: a copy is used once.
        return catch_up(log, index, given_up=given_up, may_cut=may_cut)
    index.clear()
    return _replay(log, index, ReplayReport(rebuilt=log.end() > 0), given_up, may_cut=may_cut)


def _known_tip(log: ManifestLog, index: Index) -> ChainHead | None:
    """Returns the newest line of this manifest that the index knows; None if it is empty or of another manifest.

    In a chapter that was deleted since, nothing can be looked up: what followed the tip may be gone with it.
    """
    try:
        tip = index.chain_head()
    except StorageError:
        return None
    if chapter_of(tip.offset) < oldest_chapter(log):
        return None
    return tip if last_line(log, tip) is not None else None


def _replay(
    log: ManifestLog, index: Index, replay: ReplayReport, given_up: Callable[[], bool], *, may_cut: bool
) -> ReplayReport:
    earlier = _EarlierSyncs(log)
    batch: list[ChainStep] = []
    unreadable: list[ChainFault] = []
    for step in read_manifest(log, replay.tip):
        if step.fault is not None:
            unreadable.append(step.fault)
        if step.signed is None:
            continue
        # A readable line follows: what was wrong before it is damage, not a line that was being written.
        replay.faults += unreadable
        unreadable.clear()
        batch.append(step)
        replay.tip = step.head
        # A clock sync dates only the records before it, so it ends its batch.
        full = len(batch) >= _BATCH or isinstance(step.signed.record, ClockSync)
        if full and step.rests:
            _apply(index, batch, replay.tip, earlier)
            batch.clear()
            if given_up():
                raise StartInterruptedError(
                    "The start was given up before the manifest was read.", remedy="Start again."
                )
    _apply(index, batch, replay.tip, earlier)
    if may_cut:
        _cut(log, replay)
        _apply(index, (), replay.tip, earlier)
    return replay


def _cut(log: ManifestLog, replay: ReplayReport) -> None:
    """Drop what is unreadable at the end: never acknowledged, or damaged.  The file it named, if any, is recovered."""
    end = log.end()
    if chapter_of(replay.tip.offset) < chapter_of(end):
        # Nothing of the newest chapter can be read.  Lines can only be added there.
        replay.tip = replace(replay.tip, offset=chapter_start(chapter_of(end)))
    replay.cut_bytes = max(0, end - replay.tip.offset)
    if replay.cut_bytes:
        log.cut(replay.tip.offset)
    # Damage took the end of the carried lines.
    replay.tip = replace(replay.tip, offset=min(replay.tip.offset, end))


class _EarlierSyncs:
    """The clock syncs in front of carried lines. They are read only if a carried segment lacks a date.

    A carried line stands behind lines with higher numbers. If a chapter with the sync is still there, the sync comes
    first, while an index that is made again does not know the segment yet.
    """

    def __init__(self, log: ManifestLog) -> None:
        self._log = log
        self._known: list[NumberedClockSync] | None = None

    def dated(self, entry: VaultEntry, position: int) -> VaultEntry:
        """Returns `entry`, whose line was carried to `position`, with the date of the best of these syncs."""
        if entry.quality is ClockQuality.SYNCED:
            return entry
        if self._known is None:
            self._known = list(self._before(position))
        for sync in self._known:
            entry = dated(entry, sync)
        return entry

    def add(self, sync: NumberedClockSync) -> None:
        """Adds one that was read behind those."""
        if self._known is not None:
            self._known.append(sync)

    def _before(self, position: int) -> Iterator[NumberedClockSync]:
        for raw in self._log.raw_lines(chapter_start(oldest_chapter(self._log))):
            if raw.position >= position:
                return
            if _CLOCK_SYNC in loose_payload(raw.data):
                with suppress(FormatError):
                    signed = parse_line(raw.data)
                    if isinstance(signed.record, ClockSync):
                        yield NumberedClockSync(signed.sequence, signed.record.at)


def _apply(index: Index, steps: Iterable[ChainStep], tip: ChainHead, earlier: _EarlierSyncs) -> None:
    added: dict[str, VaultEntry] = {}
    removed: set[str] = set()
    syncs: list[NumberedClockSync] = []
    for step in steps:
        if step.signed is None:
            continue
        record, sequence, size = step.signed.record, step.signed.sequence, len(step.signed.line)
        if isinstance(record, SegmentRecord | RecoveredRecord):
            known = (added.get(record.id) or index.get(record.id)) if step.carried else None
            if known is not None:
                removed.add(record.id)
                added[record.id] = replace(known, line_offset=step.offset, line_size=size)
            else:
                entry = entry_of(record, sequence, step.offset, size)
                added[record.id] = earlier.dated(entry, step.offset) if step.carried else entry
        elif isinstance(record, EvictionRecord):
            removed.update(record.segments)
            for segment in record.segments:
                added.pop(segment, None)
        elif isinstance(record, ClockSync):
            syncs.append(NumberedClockSync(sequence, record.at))
            earlier.add(syncs[-1])
    if tip != index.chain_head():
        index.apply(tuple(added.values()), sorted(removed), tip, syncs)
