"""The vault: takes segments, keeps what it acknowledged, lets the oldest go.

It runs FORMAT.md's procedures against the ports and decides nothing: `agent.core.retention` says what goes.  After a
`StorageError` nobody knows what the disk holds, so the next call that writes runs start-up again: recording resumes by
itself once the disk does.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from agent.core.retention import Limits, Usage, decide
from agent.core.timebase import Moment, seconds
from agent.core.vault.age.recipients import Recipient
from agent.core.vault.entries import VaultEntry
from agent.core.vault.names import ID_BYTES, SegmentId, segment_id
from agent.core.vault.records import MOST_EVICTED, Evicted, EvictionReason, Gap, GapReason, Segment
from agent.core.vault.segment import Begin
from agent.core.vault.spans import span_between, stamp
from agent.errors import StorageError
from agent.ports import Clock, Entropy, Index, ManifestLog, SegmentStore
from agent.services.manifest_writer import ManifestWriter
from agent.services.segment_writer import Outcome, Sealing, SegmentWriter
from agent.services.vault_reader import VaultReader
from agent.services.vault_start import StartReport, StartUp

__all__ = ["RollReport", "Sealing", "SegmentWriter", "Vault"]

_LOW_BYTES: Final = 4 << 20
"""With less free space than this, the reserve is spent before a record is written."""


@dataclass(frozen=True, slots=True)
class RollReport:
    """What was evicted, in order; `short_bytes` is what the limits still want and holds forbid."""

    evicted: tuple[SegmentId, ...]
    freed_bytes: int
    short_bytes: int


class Vault(VaultReader):
    """A vault that also writes: one per directory.  Call `start` first.  Safe to use from several threads.

    longest_segment_s: the writer's promise; it dates the end of a segment that a crash cut off.
    """

    def __init__(
        self, store: SegmentStore, log: ManifestLog, index: Index, *, clock: Clock, entropy: Entropy, sealing: Sealing,
        limits: Limits, longest_segment_s: float = 60,
    ) -> None:  # fmt: skip
        super().__init__(store, log, index)
        self._clock = clock
        self._entropy = entropy
        self._sealing = sealing
        self._limits = limits
        self._longest_ns = seconds(longest_segment_s)
        self._writer = ManifestWriter(log, index, sealing.sign)
        self._lock = threading.RLock()
        self._being_written: set[SegmentId] = set()
        self._ordinal = 0
        self._sound = False

    def start(self) -> StartReport:
        """Bring back what a crash may have left (procedure S).  Raises `StorageError`; safe to run again."""
        with self._lock:
            self._sound = False
            self._store.prepare()  # S1
            if self._store_is_low():
                self._log.spend_reserve()
            now = stamp(self._clock.boot_id, self._clock.now())
            start_up = StartUp(self._store, self._log, self._index, self._writer, now, self._being_written)
            report = start_up.run(self._sealing.device, self._sealing.epoch)
            newest = self._index.newest()
            if newest is not None and newest.boot == self._clock.boot_id:
                self._ordinal = max(self._ordinal, newest.ordinal + 1)
            if not self._store_is_low():
                self._log.keep_reserve()
            self._sound = True
            return report

    def seal_to(self, recipients: tuple[Recipient, ...], epoch: int) -> None:
        """Seal segments begun from now on to `recipients`, the list number `epoch`."""
        with self._lock:
            self._sealing = replace(self._sealing, recipients=recipients, epoch=epoch)

    def begin(self, event: SegmentId, start: Moment, *, label: str | None = None) -> SegmentWriter:
        """Open a segment whose first frame is at `start`.  Raises `StorageError`."""
        with self._writing():
            segment = segment_id(self._entropy.token(ID_BYTES))
            span = span_between(self._clock.boot_id, start, start)
            begin = Begin(
                segment=segment,
                event=event,
                ordinal=self._ordinal,
                boot=span.boot,
                start_us=span.start_us,
                until_us=span.start_us + self._longest_ns // 1000,
                utc_ms=span.utc_ms,
                quality=span.quality,
                label=label,
            )
            self._ordinal += 1
            self._being_written.add(segment)
            outcome = Outcome(self._commit, self._failed)
            return SegmentWriter(begin, start, self._sealing, self._store, self._clock, self._entropy, outcome)

    def gap(self, reason: GapReason, start: Moment, end: Moment) -> None:
        """Record that there is no footage from `start` to `end` of this boot, and why.  Durable on return."""
        with self._writing():
            self._writer.commit(Gap(reason=reason, span=span_between(self._clock.boot_id, start, end)))

    def roll(self, held: Container[SegmentId], limits: Limits | None = None) -> RollReport:
        """Evict what the limits ask for, oldest first, never a held segment, never the newest (procedure E)."""
        with self._writing():
            now = self._clock.now()
            free_bytes = self._store.free_bytes() - self._log.missing_reserve_bytes()
            usage = Usage(self._index.totals().stored_bytes, free_bytes)
            decision = decide(self._index.oldest(), held, limits or self._limits, usage, now)
            for reason, group in groupby(decision.evict, key=lambda chosen: chosen[1]):
                entries = [entry for entry, _reason in group]
                for first in range(0, len(entries), MOST_EVICTED):
                    self._evict(entries[first : first + MOST_EVICTED], reason, now)
            if decision.evict and not self._store_is_low():
                self._log.keep_reserve()
        evicted = [entry for entry, _reason in decision.evict]
        return RollReport(
            tuple(entry.id for entry in evicted), sum(entry.stored_bytes for entry in evicted), decision.short_bytes
        )

    def _evict(self, entries: list[VaultEntry], reason: EvictionReason, now: Moment) -> None:
        if self._store_is_low():
            self._log.spend_reserve()
        gone = tuple(entry.id for entry in entries)
        self._writer.commit(Evicted(segments=gone, reason=reason, at=stamp(self._clock.boot_id, now)), gone)  # E1, E2
        for entry in entries:
            self._store.remove([file for file in (entry.poster, entry.file) if file])  # E3

    def _commit(self, record: Segment) -> None:
        with self._writing():
            self._writer.commit(record)  # F4, F5
            self._being_written.discard(record.id)

    def _failed(self, begin: Begin) -> None:
        with self._lock:
            self._being_written.discard(begin.segment)
            self._sound = False

    def _store_is_low(self) -> bool:
        return self._store.free_bytes() < _LOW_BYTES

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            if not self._sound:
                self.start()
            try:
                yield
            except StorageError:
                self._sound = False
                raise
