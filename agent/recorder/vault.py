"""The vault: stores segments, keeps acknowledged ones, and evicts the oldest.

It runs FORMAT.md's procedures against the ports; `agent.core.retention` decides what is evicted. After a `StorageError`
the state of the disk is unknown, so the next call that writes runs start-up again. Recording therefore resumes
automatically as soon as the disk works.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from agent.core.clock_trust import ClockJudge
from agent.core.retention import (
    ChapterLimits,
    DiskGrowth,
    DiskUsage,
    EvictionPlan,
    RetentionLimits,
    chapter_limits,
    plan_eviction,
    plan_forced_eviction,
)
from agent.core.timebase import BootNs, ClockQuality, ClockReading, seconds
from agent.core.vault.age.recipients import Recipient
from agent.core.vault.age.sealing import Sealer
from agent.core.vault.entries import Totals, VaultEntry
from agent.core.vault.fields import ID_BYTES, RANK, SegmentId, TimeSpan, segment_id, span_between, stamp
from agent.core.vault.manifest import chapter_of, chapter_start
from agent.core.vault.records import (
    MOST_EVICTED,
    ClockSync,
    CoverageRecord,
    EvictionReason,
    EvictionRecord,
    GapReason,
    GapRecord,
    Record,
    RingRecord,
    SegmentRecord,
)
from agent.core.vault.segment import Begin
from agent.errors import StorageError
from agent.ports import Clock, Entropy, Index, ManifestLog, SegmentStore
from agent.recorder.manifest_writer import ChapterKeeper, ManifestWriter
from agent.recorder.segment_writer import SealingContext, SegmentCallbacks, SegmentWriter
from agent.recorder.vault_recovery import StartReport, VaultStartUp
from agent.vault.manifest_reader import read_tail
from agent.vault.reader import VaultReader
from agent.vault.replay import StartInterruptedError, catch_up

__all__ = ["RetentionReport", "SealingContext", "SegmentWriter", "Vault"]

_SECRET_BYTES: Final = 16
_NS_PER_US: Final = 1000
_TAIL_BYTES: Final = 256 << 10
"""The manifest's tail: the last few hundred records."""
_LOW_BYTES: Final = 4 << 20
"""With less free space than this, the reserve is spent before a record is written."""
_INDEX_ROW_BYTES: Final = 400
"""One segment in the index, at most."""
_DANGER_BYTES: Final = 16 << 20
"""With less free space than this, or than half the floor, holds end, because they would stop recording."""


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """The evicted segments, in order. `short_bytes`: bytes that the limits still require but holds forbid.

    `held_but_evicted`: evicted segments that an owner or a request held; the owner must be told. `foreign_bytes`:
    bytes that other files take from the disk, if they are at least half of the floor. `more`: the limits require more,
    and the next call continues.
    """

    evicted: tuple[SegmentId, ...]
    freed_bytes: int
    short_bytes: int
    held_but_evicted: tuple[SegmentId, ...] = ()
    foreign_bytes: int = 0
    more: bool = False


class Vault(VaultReader):
    """A vault that also writes; one for each directory. Call `start` first. Safe to use from several threads.

    longest_segment_s: the longest segment that the writer makes; it dates the end of a segment that a crash cut off.
    chapters: the limits of the manifest's chapters; the default is that of `core.retention` for this size.
    slice_s: how long a start may read the manifest at a time; None for to its end (`reading`).
    on_unreadable: receives the names of files without a record of which the medium has lost a part, from each start
    that finds some. It is called with the vault locked.
    """

    def __init__(
        self, store: SegmentStore, log: ManifestLog, index: Index, *, clock: Clock, entropy: Entropy,
        sealing: SealingContext,
        limits: RetentionLimits, longest_segment_s: float = 120, chapters: ChapterLimits | None = None,
        slice_s: float | None = None, on_unreadable: Callable[[Sequence[str]], None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(store, log, index)
        self._clock = clock
        self._entropy = entropy
        self._sealing = sealing
        self._limits = limits
        self._longest_ns = seconds(longest_segment_s)
        self._writer = ManifestWriter(log, index, sealing.sign, sealing.second.sign)
        self._chapters = ChapterKeeper(store, log, index, self._writer)
        self._chapter_limits = chapters
        self._lock = threading.RLock()
        self._given_up = threading.Event()
        self._slice_s = slice_s
        self._on_unreadable = on_unreadable
        self._slice_ends_ns: int | None = None
        self._unread = ""
        self._being_written: set[SegmentId] = set()
        self._ordinal = 0
        self._growth = DiskGrowth()
        self._sound = False
        self.fault = ""
        """Why the vault cannot be written, as the last start reported; empty if it can."""
        self._clock_judge = ClockJudge()
        self._dated_by = ClockQuality.UNKNOWN
        """The best clock quality by which the records of this boot are dated: only a better one needs a clock sync."""

    @property
    def reading(self) -> bool:
        """The last start read a part of the manifest. `retry` reads on, and nothing can be written until its end."""
        return bool(self._unread)

    def start(self) -> StartReport:
        """Recovers from a crash (FORMAT.md, procedure S). Raises `StorageError`; safe to run again."""
        with self._lock:
            if self._slice_s is not None:
                self._slice_ends_ns = self._clock.now().boot_ns + seconds(self._slice_s)
            try:
                report = self._start_twice()
            except StartInterruptedError as error:
                self._unread = "" if self._given_up.is_set() else self._how_far()
                self.fault = self._unread or str(error)
                raise StorageError(self.fault) from error
            except StorageError as error:
                self._unread, self.fault = "", str(error)
                raise
            self._unread = ""
            self._growth.begin(self._index.totals())
            return report

    def _how_far(self) -> str:
        tip, sizes = self._index.chain_head(), self._log.sizes()
        newest = chapter_of(tip.offset)
        read_bytes = sum(size for chapter, size in sizes.items() if chapter < newest)
        read_bytes += tip.offset - chapter_start(newest)
        percent = 100 * read_bytes // max(1, sum(sizes.values()))
        return f"The index is made again: {percent} % of the manifest is read. Footage is stored after that."

    def _is_interrupted(self) -> bool:
        """The start must not read on: the process is to stop, or others need the vault."""
        ends_ns = self._slice_ends_ns
        return self._given_up.is_set() or (ends_ns is not None and self._clock.now().boot_ns >= ends_ns)

    def _start_twice(self) -> StartReport:
        try:
            return self._start()
        except StorageError:
            if not self._index.is_damaged:
                raise
            return self._start()  # the index is only a cache: a second start rebuilds it

    def give_up(self) -> None:
        """End a start that reads a long manifest: the process has been asked to stop.  From any thread."""
        self._given_up.set()

    def keep_index_copy(self) -> None:
        """Copies the index, so that a lost one does not delay recording. Raises `StorageError`.

        Skipped if the copy would take room that the vault's floor needs.
        """
        size_bytes = (self._index.totals().segments + 1) * _INDEX_ROW_BYTES
        if not self.fault and self._store.free_bytes() - 2 * size_bytes >= self._limits.free_bytes:
            self._index.keep_copy()

    def check_store(self) -> None:
        """Reads what is stored if the vault could not be started, for a disk that refuses writes."""
        with self._lock, suppress(StorageError):
            catch_up(self._log, self._index, given_up=self._given_up.is_set, may_cut=False)

    def retry(self) -> None:
        """Starts again, or reads on, if the last start failed. Raises `StorageError`."""
        with self._lock:
            if self.fault:
                self.start()

    def after(self, sequence: int) -> VaultEntry | None:
        """Like that of `VaultReader`. Raises `StorageError` while the index is not whole: it may name segments that
        were evicted."""
        if self._unread:
            raise StorageError(self._unread)
        return super().after(sequence)

    def covered_until_ns(self) -> BootNs | None:
        """Returns up to when the newest records of this boot report recording, if any does."""
        ends = [
            _end_of(step.signed.record, self._clock.boot_id)
            for step in read_tail(self._log, _TAIL_BYTES)
            if step.signed
        ]
        newest_us = max((end for end in ends if end is not None), default=None)
        return None if newest_us is None else BootNs(newest_us * _NS_PER_US)

    def _start(self) -> StartReport:
        with self._lock:
            # Until the end of this start: a step that fails half-way leaves a disk in an unknown state.
            self._sound = False
            self._store.prepare()  # S1
            if self._store_is_low():
                # A full disk has no room for the records of recovered segments, either.
                self._log.spend_reserve()
            moment = self._now()
            now = stamp(self._clock.boot_id, moment)
            start_up = VaultStartUp(
                self._store, self._log, self._index, self._writer, now, self._being_written, self._is_interrupted
            )
            try:
                report = start_up.run(self._sealing.device, self._sealing.second.key, self._sealing.epoch)
            finally:
                # Also if a later step failed, because the next start does not find these files.
                if start_up.report.unreadable and self._on_unreadable is not None:
                    self._on_unreadable(start_up.report.unreadable)
            newest = self._index.newest()
            if newest is not None and newest.boot == self._clock.boot_id:
                # A restart within a boot goes on counting, so that no two segments of a boot have one number.
                self._ordinal = max(self._ordinal, newest.ordinal + 1)
            if not self._store_is_low():
                self._log.keep_reserve()
            undated = self._index.undated(self._clock.boot_id)
            self._dated_by = ClockQuality.UNKNOWN if undated else moment.quality
            self._sound = True
            self.fault = ""
            return report

    @property
    def epoch(self) -> int:
        """The number of the list of recipients."""
        return self._sealing.epoch

    def seal_to(self, recipients: tuple[Recipient, ...], epoch: int) -> None:
        """Seal segments begun from now on to `recipients`, the list number `epoch`."""
        with self._lock:
            self._sealing = replace(self._sealing, recipients=recipients, epoch=epoch)

    def set_limits(self, limits: RetentionLimits) -> None:
        """Evicts by these limits from now on."""
        with self._lock:
            self._limits = limits

    def begin(self, event: SegmentId, start: ClockReading, *, label: str | None = None) -> SegmentWriter:
        """Opens a segment that starts with the frame at `start`. Raises `StorageError`."""
        with self._writing():
            segment = segment_id(self._entropy.token(ID_BYTES))
            start = self._clock_judge.judge(start)
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
            # The lock is held up to here only: a segment is written for seconds, and other threads need the vault
            # meanwhile.
            callbacks = SegmentCallbacks(self._judge, self._commit, self._failed)
            return SegmentWriter(begin, start, self._sealing, self._store, self._clock, self._entropy, callbacks)

    def seal_without_storing(self, plaintext: bytes, *, also: tuple[Recipient, ...] = ()) -> bytes:
        """Returns `plaintext` sealed to the recipients of segments and `also`, for the media keys of live view. The
        vault stores nothing."""
        token = self._entropy.token
        recipients = (*self._sealing.recipients, *also)
        sealer = Sealer(token(_SECRET_BYTES), recipients, nonce=token(_SECRET_BYTES))
        return sealer.header + sealer.update(plaintext) + sealer.finish()

    def record_gap(self, reason: GapReason, start: ClockReading, end: ClockReading) -> None:
        """Records that there is no footage from `start` to `end` of this boot, and why. Durable on return."""
        with self._writing():
            self._writer.commit(GapRecord(reason=reason, span=self._span(start, end)))

    def record_coverage(self, start: ClockReading, end: ClockReading) -> None:
        """Record that a camera delivered from `start` to `end` of this boot.  Durable on return."""
        with self._writing():
            self._writer.commit(CoverageRecord(span=self._span(start, end)))

    def record_ring(self, at: ClockReading) -> None:
        """Records that a person pressed the button at this time of this boot. Durable on return."""
        with self._writing():
            self._writer.commit(RingRecord(at=stamp(self._clock.boot_id, self._judge(at))))

    def enforce_retention(
        self,
        held: Container[SegmentId],
        limits: RetentionLimits | None = None,
        *,
        now_ms: int | None = None,
        need_bytes: int = 0,
        most: int | None = None,
    ) -> RetentionReport:
        """Evicts what the limits require, oldest first, but keeps held segments and the newest.

        FORMAT.md, procedure E.

        `now_ms`: the UTC that age is compared with; None skips eviction by age (`ProtectedIds`). `need_bytes`: the size
        of a write that a full disk refused. `most`: how many segments at a time, because a long eviction would delay
        recording.

        Held segments are evicted, and named in the report, only if nothing else is left and recording would stop.
        """
        with self._writing():
            now = self._now()
            asked = limits or self._limits
            usage, missing, may_free = self._usage_to_free(asked, need_bytes)
            newest = self._index.newest()
            # The plan frees space up to the floor. It is told of more free space than there is, so that it frees only
            # `may_free` bytes: a file of another program displaces no more footage than the vault has added.
            decision = plan_eviction(
                self._index.oldest(continuous=False),
                held,
                asked,
                replace(usage, free_bytes=asked.free_bytes - may_free if missing else usage.free_bytes),
                now_ms,
                continuous=self._index.oldest(continuous=True),
                newest=newest.id if newest else None,
                most=most,
                running=stamp(self._clock.boot_id, now),
            )
            freed = sum(entry.stored_bytes for entry, _reason in decision.evict)
            danger_bytes = max(_DANGER_BYTES, asked.free_bytes // 2)
            danger = usage.free_bytes + freed < danger_bytes
            # A limit alone breaks no hold. A disk that is nearly full does, because recording has priority.
            overruled = self._overruled(decision, newest) if danger else ()
            evict = [*decision.evict, *((entry, EvictionReason.RECORDING) for entry in overruled)]
            self._evict_all(evict, now)
        relieved = sum(entry.stored_bytes for entry in overruled)
        return RetentionReport(
            tuple(entry.id for entry, _reason in evict),
            freed + relieved,
            max(0, decision.short_bytes - relieved),
            tuple(entry.id for entry, _reason in evict if entry.id in held),
            missing - may_free if usage.free_bytes < danger_bytes else 0,
            decision.more,
        )

    def _usage_to_free(self, limits: RetentionLimits, need_bytes: int) -> tuple[DiskUsage, int, int]:
        """Returns the usage, the bytes that the floor lacks, and how many of them the vault may free."""
        usage = self._usage(self._index.totals())
        missing = max(0, limits.free_bytes - usage.free_bytes)
        if not missing:
            self._growth.floor_is_free()
        spare = 0 if limits.kept_bytes is None else usage.stored_bytes - limits.kept_bytes
        return usage, missing, self._growth.may_free(missing, need_bytes, spare)

    def _overruled(self, decision: EvictionPlan, newest: VaultEntry | None) -> tuple[VaultEntry, ...]:
        """Returns the held segments that go because recording would stop."""
        if not decision.short_bytes:
            return ()
        going = {entry.id for entry, _reason in decision.evict}
        rest = (entry for entry in self._index.oldest() if entry.id not in going)
        return plan_forced_eviction(rest, decision.short_bytes, newest.id if newest else None)

    def _evict_all(self, evict: Iterable[tuple[VaultEntry, EvictionReason]], now: ClockReading) -> None:
        """Evicts in order, with one record for as many segments of one reason as it may hold."""
        evicted = False
        for reason, group in groupby(evict, key=lambda chosen: chosen[1]):
            entries = [entry for entry, _reason in group]
            for first in range(0, len(entries), MOST_EVICTED):
                self._evict(entries[first : first + MOST_EVICTED], reason, now)
                evicted = True
        if evicted and not self._store_is_low():
            self._log.keep_reserve()

    def erase(self, segments: Iterable[SegmentId]) -> tuple[SegmentId, ...]:
        """Evicts segments that an owner deleted, even the newest (FORMAT.md, procedure E). Returns those that
        existed."""
        with self._writing():
            now = self._now()
            entries = [entry for name in segments if (entry := self._index.get(name)) is not None]
            self._evict_all([(entry, EvictionReason.OWNER) for entry in entries], now)
        return tuple(entry.id for entry in entries)

    def _usage(self, totals: Totals) -> DiskUsage:
        free_bytes = self._store.free_bytes() - self._log.missing_reserve_bytes()
        return DiskUsage(totals.stored_bytes, free_bytes, totals.continuous_bytes)

    def _now(self) -> ClockReading:
        return self._judge(self._clock.now())

    def _judge(self, moment: ClockReading) -> ClockReading:
        with self._lock:
            return self._clock_judge.judge(moment)

    def _span(self, start: ClockReading, end: ClockReading) -> TimeSpan:
        return span_between(self._clock.boot_id, self._judge(start), self._judge(end))

    def _record_clock_sync(self) -> None:
        """Dates what this boot recorded before, if the clock became better (FORMAT.md, procedure D).

        `_start` sets `_dated_by` to unknown if a segment of this boot could be dated better.
        """
        now = self._now()
        if RANK.index(now.quality) > RANK.index(self._dated_by):
            self._writer.commit(ClockSync(at=stamp(self._clock.boot_id, now)))
            self._dated_by = now.quality

    def _turn_chapter(self) -> None:
        """Begin a chapter of the manifest if the newest is full (FORMAT.md, procedure N)."""
        if self._store_is_low():
            return
        limits = self._chapter_limits or chapter_limits(self._limits.most_bytes)
        now = stamp(self._clock.boot_id, self._now())
        self._chapters.turn(limits, self._sealing.device, self._sealing.second.key, now)

    def _evict(self, entries: list[VaultEntry], reason: EvictionReason, now: ClockReading) -> None:
        if self._store_is_low():
            self._log.spend_reserve()
        gone = tuple(entry.id for entry in entries)
        self._writer.commit(
            EvictionRecord(segments=gone, reason=reason, at=stamp(self._clock.boot_id, now)), gone
        )  # E1, E2
        for entry in entries:
            self._store.remove((*entry.companions, entry.file))  # E3
            self._growth.added_bytes -= entry.stored_bytes

    def _commit(self, record: SegmentRecord) -> None:
        with self._writing():
            # Behind the rename (F3): otherwise the record could outlive the file that it names.
            self._writer.commit(record)  # F4, F5
            self._being_written.discard(record.id)
            entry = self._index.get(record.id)
            if self._store.free_bytes() >= self._limits.free_bytes:
                self._growth.floor_is_free()
            elif entry is not None:
                self._growth.added_bytes += entry.stored_bytes

    def _failed(self, begin: Begin) -> None:
        with self._lock:
            self._being_written.discard(begin.segment)
            self._sound = False

    def _store_is_low(self) -> bool:
        return self._store.free_bytes() < _LOW_BYTES

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            # Half an index does not know what was evicted, so nothing may be written, evicted or erased by it.
            if self._unread:
                raise StorageError(self._unread)
            if not self._sound or self._index.is_damaged:
                self.start()
            try:
                self._record_clock_sync()
                self._turn_chapter()
                yield
            except StorageError:
                self._sound = False
                raise


def _end_of(record: Record, boot: str) -> int | None:
    """Returns the end of the recording that the record reports for `boot`, in µs of the boot clock, if it reports
    any."""
    if not isinstance(record, SegmentRecord | GapRecord | CoverageRecord) or record.span.boot != boot:
        return None
    return record.span.end_us
