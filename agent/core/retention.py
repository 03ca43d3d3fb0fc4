"""Decides which segments the rolling vault evicts, by bytes, age and free space, and which lines of its manifest.

- If other files fill the disk, the vault evicts at most as much as it adds itself (`DiskGrowth`), so that the newest
  replaces the oldest. If that is too little, recording stops, and the owner is told.
- One plan has at most `most` segments, so that the caller can write the pictures that came meanwhile.
- The oldest goes first, in the manifest's order, so that the order is right even if the clock is wrong.
- Held segments stay until an owner decides. The newest stays, so that there is always footage to look at.
- Footage recorded between events goes before any event, and has a separate budget.
- Holds are capped: by count and time where requests are kept, by bytes here.
- Recording has priority over holds: if only held segments are left and the disk is nearly full, `plan_forced_eviction`
  chooses which of them go, and the owner is told.
- Age counts only between two dates from a known clock. A segment that is undated, or dated in the future, goes
  when a later one is too old.
- The present time comes from the custodian, which trusts no jump (`core.clock_trust`). Without it, eviction by age
  waits.

Old lines of the manifest go, too. The manifest is a log in chapters that is cleaned from its oldest end. If the
manifest is larger than its bound, a chapter is deleted when a new one begins (`chapters_to_delete`). The lines that are
still needed are copied into the chapter that begins: those of stored segments, and the `clock-sync` records that date
them. The bound is twice the lines of the stored segments, plus a share of the vault for the history of deleted ones.
The factor of two means that about half of the cleaned lines are obsolete, so that a line is seldom copied again.

Source: FORMAT.md, invariant 3, "Evict" and "Chapters"; docs/decisions/0027-the-manifest-has-chapters.md.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.core.clock_trust import JUMP_NS
from agent.core.timebase import NS_PER_MS, ClockQuality
from agent.core.vault.entries import Totals, VaultEntry
from agent.core.vault.fields import SegmentId, Stamp
from agent.core.vault.records import EvictionReason
from agent.errors import ConfigurationError

__all__ = [
    "ChapterLimits",
    "DiskGrowth",
    "DiskUsage",
    "EvictionPlan",
    "ProtectedIds",
    "RetentionLimits",
    "chapter_limits",
    "chapters_to_delete",
    "plan_eviction",
    "plan_forced_eviction",
]

_US_PER_MS: Final = 1000
_MOST_UNDATED: Final = 4096
"""How many undated segments to skip. If there are more in a row, they wait for the byte limit: this code runs at every
segment, and a device without the time would otherwise read its whole index each time."""


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """`most_bytes`: of segments and posters. `oldest_ms`: None keeps any age. `free_bytes`: left free on the disk."""

    most_bytes: int
    oldest_ms: int | None = None
    free_bytes: int = 0
    continuous_bytes: int | None = None
    """The part of `most_bytes` for footage between events. None: all of it."""
    kept_bytes: int | None = None
    """Footage that other files on the disk may not displace. None: they displace no footage."""
    held_bytes: int | None = None
    """The most bytes that holds may protect, the oldest first, because the newest are still safe. None: all."""

    def __post_init__(self) -> None:
        optional = (self.oldest_ms, self.continuous_bytes, self.held_bytes, self.kept_bytes)
        if self.most_bytes <= 0 or self.free_bytes < 0 or any(limit is not None and limit <= 0 for limit in optional):
            raise ConfigurationError(
                "A vault's limits are positive.", remedy="Correct the [vault] section of the configuration."
            )


@dataclass(frozen=True, slots=True)
class ProtectedIds:
    """The custodian's answer before each eviction: the `held` segments, which stay, and the time to age the others by.

    `now_ms`: UTC. None while the clock is untrusted: eviction by age waits.
    """

    names: frozenset[SegmentId] = frozenset()
    now_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """The bytes stored and the bytes free now."""

    stored_bytes: int
    free_bytes: int
    continuous_bytes: int = 0
    """The part of `stored_bytes` recorded between events."""


@dataclass(slots=True)
class DiskGrowth:
    """How much the vault itself has added since the disk last had its floor free. Below 0 if it has freed more.

    For example, if another program's file grows, the vault added 0 bytes, so all footage stays. If a segment of 2 MB is
    recorded, 2 MB of the oldest may go.
    """

    added_bytes: int = 0
    forgotten_bytes: int = 0
    """Added that much before it frees anything, because a restart forgets the growth. Eviction frees whole segments,
    half a segment too much on average, so each restart would cost that much footage."""

    def begin(self, stored: Totals) -> None:
        """Begins with half an average segment, after a restart."""
        self.forgotten_bytes = stored.stored_bytes // stored.segments // 2 if stored.segments else 0

    def floor_is_free(self) -> None:
        self.added_bytes = self.forgotten_bytes = 0

    def may_free(self, missing_bytes: int, need_bytes: int, spare_bytes: int) -> int:
        """Returns how many of the bytes missing to the floor the vault may free.

        `need_bytes`: the size of the next write, if the disk refused it. `spare_bytes`: the space that the owner gives
        to other files.
        """
        # A refused write must fit, or recording stops: the half segment that a restart forgot does not delay it.
        own_bytes = self.added_bytes + need_bytes if need_bytes else self.added_bytes - self.forgotten_bytes
        return min(missing_bytes, max(0, own_bytes, spare_bytes))


@dataclass(frozen=True, slots=True)
class EvictionPlan:
    """`evict` in order, by reason. `short_bytes` is the amount that holds protect from being freed (0: all limits can
    be kept).

    `more`: this is a part of the plan. Ask again for the rest.
    """

    evict: tuple[tuple[VaultEntry, EvictionReason], ...] = field(default=())
    short_bytes: int = 0
    more: bool = False


def plan_eviction(
    oldest_first: Iterable[VaultEntry],
    held: Container[str],
    limits: RetentionLimits,
    usage: DiskUsage,
    now_ms: int | None,
    *,
    continuous: Iterable[VaultEntry] = (),
    newest: SegmentId | None = None,
    most: int | None = None,
    running: Stamp | None = None,
) -> EvictionPlan:
    """Returns the segments to evict, at most `most`.

    Both stocks are read only as far as needed, so they may be cursors over a million segments.

    `oldest_first`: of events. `continuous`: recorded between events; these go first, whichever limit asks. `newest`: of
    both; None if it is the last of `oldest_first`. `now_ms`: see `ProtectedIds`. `running`: now, on the clock of this
    boot. Footage of this boot is at most as old as this clock says, even if a wrong wall clock dated it.
    """
    events = _all_but_the_newest(oldest_first) if newest is None else _all_but(newest, oldest_first)
    over_bytes = usage.stored_bytes - limits.most_bytes
    over_floor = limits.free_bytes - usage.free_bytes
    over_continuous = 0
    if limits.continuous_bytes is not None:
        over_continuous = usage.continuous_bytes - limits.continuous_bytes
    first = _Eviction(held, limits, now_ms, running, max(over_bytes, over_continuous), over_floor)
    # Reading the stock costs a query, so an empty one is skipped.
    if usage.continuous_bytes:
        first.plan(continuous if newest is None else _all_but(newest, continuous), most)
    # Events pay only for what the continuous footage could not free.
    then = _Eviction(held, limits, now_ms, running, over_bytes - first.freed, over_floor - first.freed)
    then.plan(events, None if most is None else most - len(first.evict))
    freed = first.freed + then.freed
    more = first.more or then.more
    short_bytes = 0 if more else max(0, over_bytes - freed, over_floor - freed)
    return EvictionPlan((*first.evict, *then.evict), short_bytes, more)


def plan_forced_eviction(
    oldest_first: Iterable[VaultEntry], short_bytes: int, newest: SegmentId | None
) -> tuple[VaultEntry, ...]:
    """Returns the held segments to evict if `short_bytes` are missing and recording would otherwise stop."""
    gone: list[VaultEntry] = []
    for entry in _all_but(newest, oldest_first):
        if short_bytes <= 0:
            break
        gone.append(entry)
        short_bytes -= entry.stored_bytes
    return tuple(gone)


class _Eviction:
    """The eviction from one stock, from its oldest on, until enough bytes are freed and the rest is young enough."""

    def __init__(
        self,
        held: Container[str],
        limits: RetentionLimits,
        now_ms: int | None,
        running: Stamp | None,
        over_bytes: int,
        over_floor: int,
    ) -> None:
        self._held = held
        self._limits = limits
        self._now_ms = now_ms
        self._running = running
        self._over_bytes = over_bytes
        self._over_floor = over_floor
        self._spared = 0
        self.evict: list[tuple[VaultEntry, EvictionReason]] = []
        self.freed = 0
        self.more = False

    def plan(self, oldest_first: Iterable[VaultEntry], most: int | None) -> None:
        undated: list[VaultEntry] = []
        for entry in oldest_first:
            age = _age(entry, self._limits, self._now_ms, self._running)
            if self.freed >= max(self._over_bytes, self._over_floor) and (
                age is False or len(undated) == _MOST_UNDATED
            ):
                break
            if most is not None and len(self.evict) >= most:
                self.more = True
                break
            # Read on: a held segment must not protect the younger ones behind it.
            if entry.id in self._held and self._hold_applies(entry):
                continue
            if self.freed < self._over_bytes:
                self._evict(entry, EvictionReason.BYTES)
            elif self.freed < self._over_floor:
                self._evict(entry, EvictionReason.FLOOR)
            # Its date is unknown. It goes only if a later segment is too old, because then it is older still.
            elif age is None:
                undated.append(entry)
            else:
                # They are older still: the order of the manifest holds, whatever the clock said.
                for older in undated:
                    self._evict(older, EvictionReason.AGE)
                undated.clear()
                self._evict(entry, EvictionReason.AGE)

    def _hold_applies(self, entry: VaultEntry) -> bool:
        """Returns whether the cap on held bytes still covers `entry`, a held segment, and counts its bytes."""
        self._spared += entry.stored_bytes
        return self._limits.held_bytes is None or self._spared <= self._limits.held_bytes

    def _evict(self, entry: VaultEntry, reason: EvictionReason) -> None:
        self.evict.append((entry, reason))
        self.freed += entry.stored_bytes


def _age(entry: VaultEntry, limits: RetentionLimits, now_ms: int | None, running: Stamp | None) -> bool | None:
    """Returns whether `entry` is too old, or None if its age is unknown."""
    if limits.oldest_ms is None or now_ms is None:
        return False
    if running is not None and entry.boot == running.boot:
        # The boot clock is right even if a time server gave this segment a date years ago.
        stood_ms = (running.at_us - entry.start_us) // _US_PER_MS
        if stood_ms <= limits.oldest_ms:
            return False
    if entry.quality is ClockQuality.UNKNOWN or entry.end_ms > now_ms + JUMP_NS // NS_PER_MS:
        return None
    return now_ms - entry.end_ms > limits.oldest_ms


def _all_but_the_newest(oldest_first: Iterable[VaultEntry]) -> Iterator[VaultEntry]:
    entries = iter(oldest_first)
    previous = next(entries, None)
    for entry in entries:
        if previous is not None:
            yield previous
        previous = entry


def _all_but(newest: SegmentId | None, entries: Iterable[VaultEntry]) -> Iterator[VaultEntry]:
    return (entry for entry in entries if entry.id != newest)


_HISTORY_OF: Final = 256
_LEAST_HISTORY_BYTES: Final = 2 << 20
_CHAPTERS_OF_HISTORY: Final = 8
_LARGEST_CHAPTER_BYTES: Final = 4 << 20
"""Recording waits while a chapter is copied. This many bytes take a slow card about half a second."""
_MOST_AT_ONCE: Final = 16
"""Most chapters deleted when one begins. Each is read once, to find its `clock-sync` records."""


@dataclass(frozen=True, slots=True)
class ChapterLimits:
    """`chapter_bytes`: a chapter of this size is full. `history_bytes`: room for lines of deleted segments."""

    chapter_bytes: int
    history_bytes: int


def chapter_limits(most_bytes: int) -> ChapterLimits:
    """Returns the limits of a vault that may hold `most_bytes`: 1/256 of it is for history, at least 2 MiB."""
    history_bytes = max(_LEAST_HISTORY_BYTES, most_bytes // _HISTORY_OF)
    return ChapterLimits(min(_LARGEST_CHAPTER_BYTES, history_bytes // _CHAPTERS_OF_HISTORY), history_bytes)


def chapters_to_delete(sizes: Mapping[int, int], needed: Mapping[int, int], limits: ChapterLimits) -> Sequence[int]:
    """Returns the chapters to delete when a new one begins, the oldest first.

    `sizes`: the bytes of each chapter, by number. `needed`: the bytes in it that would have to be copied. All copies
    together are at most one chapter long, so that no chapter is larger than those before it.
    """
    total_bytes = sum(sizes.values())
    bound_bytes = 2 * sum(needed.values()) + limits.history_bytes
    going: list[int] = []
    copied_bytes = 0
    for chapter in sorted(sizes)[:_MOST_AT_ONCE]:
        copied_bytes += needed.get(chapter, 0)
        # The oldest goes whatever it carries: a chapter of needed lines alone would otherwise block those behind it.
        if total_bytes <= bound_bytes or (going and copied_bytes > limits.chapter_bytes):
            break
        going.append(chapter)
        total_bytes -= sizes[chapter] - needed.get(chapter, 0)
    return going
