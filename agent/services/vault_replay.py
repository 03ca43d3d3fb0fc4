"""Brings the index up to the manifest's end, and the manifest's end to its last whole line (FORMAT.md, S3 and S4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from agent.core.vault.entries import VaultEntry, entry_of
from agent.core.vault.manifest import LONGEST_LINE_BYTES, ChainStep, Fault, SignedRecord, Tip, parse_line, read_chain
from agent.core.vault.records import Adopted, Anchor, Evicted, Segment
from agent.errors import FormatError, StorageError
from agent.ports import Index, ManifestLog

__all__ = ["Replay", "catch_up", "last_line"]

_BATCH: Final = 512


@dataclass(slots=True)
class Replay:
    """Where the manifest ends now, and what was wrong on the way there."""

    tip: Tip = field(default_factory=Tip)
    rebuilt: bool = False
    faults: list[Fault] = field(default_factory=list)
    cut_bytes: int = 0


def catch_up(
    log: ManifestLog, index: Index, *, from_the_beginning: bool = False, given_up: Callable[[], bool] = lambda: False
) -> Replay:
    """Make `index` say what `log` says; both `settle`d.  Raises `StorageError`, also once it is `given_up`.

    What was read up to then stays in the index, so the next start goes on there.
    """
    known = None if from_the_beginning else _known_tip(log, index)
    if known is not None:
        try:
            return _replay(log, index, Replay(known), given_up)
        except StorageError:
            if given_up():
                raise
            # The index is only a cache: anew with it.  If it was the log, it fails again below.
    index.clear()
    return _replay(log, index, Replay(rebuilt=log.size() > 0), given_up)


def last_line(log: ManifestLog, offset: int) -> SignedRecord | None:
    """The line that ends at byte `offset`, when a readable one does."""
    start = max(0, offset - LONGEST_LINE_BYTES - 1)
    before = log.read(start, offset - start)
    if len(before) != offset - start or not before.endswith(b"\n"):
        return None
    try:
        return parse_line(before[:-1].rpartition(b"\n")[2])
    except FormatError:
        return None


def _known_tip(log: ManifestLog, index: Index) -> Tip | None:
    """Up to where the index knows this manifest; None when it knows another one, or nothing."""
    try:
        tip = index.tip()
    except StorageError:
        return None
    last = last_line(log, tip.offset)
    return tip if last is not None and last.sha256 == tip.previous and last.sequence + 1 == tip.sequence else None


def _replay(log: ManifestLog, index: Index, replay: Replay, given_up: Callable[[], bool]) -> Replay:
    batch: list[ChainStep] = []
    unreadable: list[Fault] = []
    for step in read_chain(log.lines(replay.tip.offset), replay.tip):
        if step.fault is not None:
            unreadable.append(step.fault)
        if step.signed is None:
            continue
        # A readable line follows: what was wrong before it is damage, not a line that was being written.
        replay.faults += unreadable
        unreadable.clear()
        batch.append(step)
        replay.tip = step.tip
        # An anchor dates what stands before it and nothing behind it, so it ends its batch.
        if len(batch) == _BATCH or isinstance(step.signed.record, Anchor):
            _apply(index, batch, replay.tip)
            batch.clear()
            if given_up():
                raise StorageError("The start was given up before the manifest was read.", remedy="Start again.")
    _apply(index, batch, replay.tip)
    replay.cut_bytes = log.size() - replay.tip.offset
    if replay.cut_bytes:
        # Never acknowledged, or damaged; the file it named, if it named one, is adopted.
        log.cut(replay.tip.offset)
    return replay


def _apply(index: Index, steps: Iterable[ChainStep], tip: Tip) -> None:
    added: dict[str, VaultEntry] = {}
    removed: set[str] = set()
    anchors = []
    for step in steps:
        if step.signed is None:
            continue
        record = step.signed.record
        if isinstance(record, Segment | Adopted):
            added[record.id] = entry_of(record, step.signed.sequence, step.offset, len(step.signed.line))
        elif isinstance(record, Evicted):
            removed.update(record.segments)
            for segment in record.segments:
                added.pop(segment, None)
        elif isinstance(record, Anchor):
            anchors.append(record.at)
    if tip != index.tip():
        index.apply(tuple(added.values()), sorted(removed), tip, anchors)
