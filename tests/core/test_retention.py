"""Eviction: whatever is stored, held and asked for, the oldest unheld go first and no more than needed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.retention import (
    DiskGrowth,
    DiskUsage,
    EvictionPlan,
    RetentionLimits,
    _age,
    plan_eviction,
    plan_forced_eviction,
)
from agent.core.timebase import ClockQuality
from agent.core.vault.entries import Totals, VaultEntry
from agent.core.vault.fields import Stamp, segment_id
from agent.core.vault.records import EvictionReason
from agent.errors import ConfigurationError

NOW_MS = 1_000_000_000


def stored(
    number: int, size_bytes: int = 100, age_ms: int = 0, quality: ClockQuality = ClockQuality.SYNCED
) -> VaultEntry:
    identifier = segment_id(random.Random(number).randbytes(16))
    return VaultEntry(
        sequence=number,
        id=identifier,
        event=identifier,
        boot="0" * 32,
        ordinal=number,
        start_ms=NOW_MS - age_ms - 5000,
        end_ms=NOW_MS - age_ms,
        quality=quality,
        size_bytes=size_bytes,
        poster_bytes=0,
        whole=True,
        witnessed=True,
        line_offset=0,
        line_size=1,
    )


def decided(
    entries: list[VaultEntry], held: frozenset[str] = frozenset(), now_ms: int | None = NOW_MS, **limits: int
) -> tuple[list[int], EvictionPlan]:
    usage = DiskUsage(sum(entry.stored_bytes for entry in entries), 1 << 40)
    decision = plan_eviction(entries, held, RetentionLimits(**{"most_bytes": 1 << 40, **limits}), usage, now_ms)
    return [entry.sequence for entry, _reason in decision.evict], decision


entries_strategy = st.lists(
    st.tuples(st.integers(1, 1000), st.integers(0, 10_000), st.sampled_from(ClockQuality)), max_size=12
).map(lambda rows: [stored(number, *row) for number, row in enumerate(rows)])


@given(
    entries=entries_strategy,
    holds=st.sets(st.integers(0, 11)),
    most=st.integers(1, 6000),
    oldest=st.none() | st.integers(1, 10_000),
    free=st.integers(0, 3000),
    floor=st.integers(0, 3000),
)
def test_the_oldest_unheld_go_first_and_neither_a_held_nor_the_newest(
    entries: list[VaultEntry], holds: set[int], most: int, oldest: int | None, free: int, floor: int
) -> None:
    held = frozenset(entry.id for entry in entries if entry.sequence in holds)
    usage = DiskUsage(sum(entry.stored_bytes for entry in entries), free)
    decision = plan_eviction(iter(entries), held, RetentionLimits(most, oldest, floor), usage, NOW_MS)
    evicted = [entry for entry, _reason in decision.evict]
    assert not {entry.id for entry in evicted} & held
    assert not entries or entries[-1] not in evicted
    candidates = [entry for entry in entries[:-1] if entry.id not in held]
    assert evicted == candidates[: len(evicted)]
    freed = sum(entry.stored_bytes for entry in evicted)
    wanted = max(0, usage.stored_bytes - most, floor - free)
    assert decision.short_bytes == max(0, wanted - freed)
    if decision.short_bytes:
        assert evicted == candidates
    # No more than needed: without the last one that was young enough, something would be missing.
    for position, (entry, reason) in enumerate(decision.evict):
        before = sum(earlier.stored_bytes for earlier in evicted[:position])
        if reason is EvictionReason.BYTES:
            assert before < usage.stored_bytes - most
        elif reason is EvictionReason.FLOOR:
            assert before < floor - free
        else:
            assert oldest is not None
            assert entry.quality is ClockQuality.UNKNOWN or NOW_MS - entry.end_ms > oldest


def test_nothing_goes_while_every_limit_is_kept() -> None:
    assert decided([stored(number, age_ms=50) for number in range(5)], oldest_ms=50) == ([], EvictionPlan())


def test_bytes_and_floor_take_just_enough() -> None:
    entries = [stored(number) for number in range(6)]
    assert decided(entries, most_bytes=350)[0] == [0, 1, 2]
    decision = plan_eviction(entries, (), RetentionLimits(1 << 40, None, 150), DiskUsage(600, 20), NOW_MS)
    assert [(entry.sequence, reason) for entry, reason in decision.evict] == [
        (0, EvictionReason.FLOOR),
        (1, EvictionReason.FLOOR),
    ]


def test_age_takes_the_old_ones_and_the_undated_before_them() -> None:
    entries = [
        stored(0, age_ms=900),
        stored(1, quality=ClockQuality.UNKNOWN),
        stored(2, age_ms=800),
        stored(3, quality=ClockQuality.UNKNOWN),
        stored(4, age_ms=10),
        stored(5, age_ms=5),
    ]
    assert decided(entries, oldest_ms=500)[0] == [0, 1, 2]


def test_nothing_goes_by_age_while_the_clock_is_not_trusted() -> None:
    entries = [stored(number, age_ms=900) for number in range(4)]
    assert decided(entries, now_ms=None, oldest_ms=500)[0] == []
    assert decided(entries, now_ms=NOW_MS, oldest_ms=500)[0] == [0, 1, 2]


def test_a_segment_of_a_date_to_come_goes_when_a_later_one_is_too_old() -> None:
    """It was recorded while the clock was wrong, and must not keep those behind it for years."""
    entries = [stored(0, age_ms=900), stored(1, age_ms=-(10**9)), stored(2, age_ms=800), stored(3, age_ms=1)]
    assert decided(entries, oldest_ms=500)[0] == [0, 1, 2]
    assert decided([stored(0, age_ms=-(10**9)), stored(1, age_ms=1), stored(2)], oldest_ms=500)[0] == []


def test_holds_that_forbid_what_the_limits_want_are_told() -> None:
    entries = [stored(number) for number in range(4)]
    evicted, decision = decided(entries, frozenset(entry.id for entry in entries[:3]), most_bytes=150)
    assert evicted == []
    assert decision.short_bytes == 250


def test_a_million_segments_are_not_read_to_evict_one() -> None:
    read = 0

    def cursor():  # type: ignore[no-untyped-def]
        nonlocal read
        for number in range(1_000_000):
            read += 1
            yield stored(number)

    plan_eviction(cursor(), (), RetentionLimits(99_999_950), DiskUsage(100_000_000, 1 << 40), NOW_MS)
    assert read <= 3


def between(number: int, size_bytes: int = 100) -> VaultEntry:
    return replace(stored(number, size_bytes), continuous=True)


def both(
    events: list[VaultEntry], continuous: list[VaultEntry], limits: RetentionLimits, free: int = 1 << 40
) -> list[int]:
    everything = [*events, *continuous]
    usage = DiskUsage(sum(one.stored_bytes for one in everything), free, sum(one.stored_bytes for one in continuous))
    newest = max(everything, key=lambda one: one.sequence).id
    decision = plan_eviction(iter(events), (), limits, usage, NOW_MS, continuous=iter(continuous), newest=newest)
    return [entry.sequence for entry, _reason in decision.evict]


def test_what_was_recorded_between_events_goes_first_whatever_is_older() -> None:
    events, continuous = [stored(0), stored(1)], [between(2), between(3), between(4)]
    assert both(events, continuous, RetentionLimits(300)) == [2, 3]
    assert both(events, continuous, RetentionLimits(200)) == [2, 3, 0]  # 4 is the newest of all and stays
    assert both(events, continuous, RetentionLimits(1 << 40, free_bytes=150), free=0) == [2, 3]


@pytest.mark.parametrize(
    ("limits", "free"), [(RetentionLimits(450), 1 << 40), (RetentionLimits(1 << 40, free_bytes=250), 0)]
)
def test_events_make_only_the_room_that_footage_between_them_has_not_made(limits: RetentionLimits, free: int) -> None:
    events, continuous = [stored(number) for number in range(4)], [between(4), between(5), between(6)]
    assert both(events, continuous, limits, free) == [4, 5, 0], "of the 250 bytes, 200 lay between events"


def test_continuous_recording_has_a_budget_that_events_do_not_feel() -> None:
    events, continuous = [stored(0, 10_000)], [between(1), between(2), between(3)]
    assert both(events, continuous, RetentionLimits(1 << 40, continuous_bytes=250)) == [1]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 500)), min_size=1, max_size=12), st.integers(1, 3000))
def test_no_event_goes_while_something_between_events_could(rows: list[tuple[bool, int]], most: int) -> None:
    entries = [between(n, size) if kind else stored(n, size) for n, (kind, size) in enumerate(rows)]
    events = [one for one in entries if not one.continuous]
    continuous = [one for one in entries if one.continuous]
    gone = set(both(events, continuous, RetentionLimits(most)))
    assert len(entries) - 1 not in gone
    if any(one.sequence in gone for one in events):
        assert {one.sequence for one in continuous} - gone <= {len(entries) - 1}
    total = sum(one.stored_bytes for one in entries if one.sequence not in gone)
    assert total <= most or len(gone) == len(entries) - 1


def test_holds_keep_no_more_bytes_than_they_may_the_oldest_first() -> None:
    entries = [stored(number) for number in range(6)]
    held = frozenset(entry.id for entry in entries)
    evicted, decision = decided(entries, held, most_bytes=300, held_bytes=200)
    assert evicted == [2, 3, 4]
    assert decision.short_bytes == 0


def test_recording_wins_over_holds_and_takes_no_more_than_it_needs() -> None:
    entries = [stored(number) for number in range(5)]
    gone = plan_forced_eviction(iter(entries), 150, entries[-1].id)
    assert [entry.sequence for entry in gone] == [0, 1]
    assert plan_forced_eviction(iter(entries), 10**6, entries[-1].id) == tuple(entries[:-1])
    assert plan_forced_eviction(iter(entries), 0, entries[-1].id) == ()


@pytest.mark.parametrize("limits", [(0, None, 0), (1, 0, 0), (1, None, -1)])
def test_limits_that_make_no_sense_cannot_be_built(limits: tuple[int, int | None, int]) -> None:
    with pytest.raises(ConfigurationError):
        RetentionLimits(*limits)


def test_after_a_restart_half_a_segment_frees_nothing_unless_the_disk_refused_it() -> None:
    growth = DiskGrowth()
    growth.begin(Totals())
    assert growth == DiskGrowth(0, 0)
    growth.begin(Totals(3, 20, 0))
    growth.added_bytes += 3
    assert growth == DiskGrowth(3, 3)
    assert [growth.may_free(100, need, 0) for need in (0, 5)] == [0, 8]
    growth.added_bytes += 3
    assert growth.may_free(100, 0, 0) == 3
    growth.floor_is_free()
    assert growth == DiskGrowth(0, 0)


def test_the_vault_frees_what_it_added_and_needs_and_never_what_another_file_took() -> None:
    for added, missing, need, spare, frees in (
        (0, 50, 0, 0, 0), (0, 50, 20, 0, 20), (30, 50, 10, 0, 40), (30, 25, 10, 0, 25), (-10, 50, 4, 0, 0),
        (-10, 50, 11, 0, 1), (0, 50, 0, 7, 7), (9, 50, 0, 7, 9), (-90, 5, 0, 0, 0),
    ):  # fmt: skip
        assert DiskGrowth(added).may_free(missing, need, spare) == frees


@pytest.mark.parametrize(
    ("age_ms", "too_old"), [(1000, False), (1001, True), (0, False), (-120_000, False), (-120_001, None)]
)
def test_a_segment_is_too_old_one_millisecond_after_its_limit_and_of_no_age_if_it_comes_from_the_future(
    age_ms: int, too_old: bool | None
) -> None:
    limits = RetentionLimits(1 << 40, oldest_ms=1000)
    entry = stored(1, age_ms=age_ms)
    assert _age(entry, limits, NOW_MS, None) is too_old
    assert _age(replace(entry, quality=ClockQuality.UNKNOWN), limits, NOW_MS, None) is None
    assert _age(entry, limits, None, None) is False
    assert _age(entry, RetentionLimits(1 << 40), NOW_MS, None) is False


def test_footage_of_this_boot_is_at_most_as_old_as_its_clock_says() -> None:
    limits = RetentionLimits(1 << 40, oldest_ms=1000)
    dated_years_ago = replace(stored(1, age_ms=10**8), start_us=5_000_000)

    def age(at_us: int, boot: str = "0" * 32) -> bool | None:
        running = Stamp(boot=boot, at_us=at_us, utc_ms=0, quality=ClockQuality.SYNCED)
        return _age(dated_years_ago, limits, NOW_MS, running)

    assert [age(5_000_000 + 1_000_999), age(5_000_000 + 1_001_000)] == [False, True]
    assert age(5_000_000, "1" * 32) is True


def test_each_plan_says_why_each_segment_goes_and_if_more_would() -> None:
    entries = [stored(number, age_ms=1000 * (5 - number)) for number in range(5)]
    bytes_, floor, age = EvictionReason.BYTES, EvictionReason.FLOOR, EvictionReason.AGE
    usage = DiskUsage(500, 1 << 40)

    def plan(most: int | None = None, usage: DiskUsage = usage, **limits: int) -> EvictionPlan:
        wanted = RetentionLimits(**{"most_bytes": 1 << 40, **limits})
        return plan_eviction(entries, frozenset(), wanted, usage, NOW_MS, most=most)

    assert plan() == EvictionPlan((), 0, False)
    assert plan(most_bytes=500) == EvictionPlan((), 0, False)
    assert plan(most_bytes=499) == EvictionPlan(((entries[0], bytes_),), 0, False)
    assert plan(most_bytes=300) == EvictionPlan(((entries[0], bytes_), (entries[1], bytes_)), 0, False)
    assert plan(most=1, most_bytes=300) == EvictionPlan(((entries[0], bytes_),), 0, True)
    tight = DiskUsage(500, 50)
    assert plan(usage=tight, free_bytes=50) == EvictionPlan((), 0, False)
    assert plan(usage=tight, free_bytes=51) == EvictionPlan(((entries[0], floor),), 0, False)
    assert plan(usage=tight, free_bytes=250, most_bytes=450) == EvictionPlan(
        ((entries[0], bytes_), (entries[1], floor)), 0, False
    )
    assert plan(oldest_ms=4000) == EvictionPlan(((entries[0], age),), 0, False)
    assert plan(oldest_ms=5000) == EvictionPlan((), 0, False)
    assert plan(most_bytes=50) == EvictionPlan(tuple((entry, bytes_) for entry in entries[:4]), 50, False)


def test_a_segment_of_unknown_age_goes_with_a_later_one_that_is_too_old_and_not_without() -> None:
    undated = [stored(number, quality=ClockQuality.UNKNOWN) for number in range(2)]
    old, newer, newest = stored(2, age_ms=9000), stored(3, quality=ClockQuality.UNKNOWN), stored(4)
    reason = EvictionReason.AGE
    _, plan = decided([*undated, old, newer, newest], oldest_ms=1000)
    assert plan == EvictionPlan(((undated[0], reason), (undated[1], reason), (old, reason)), 0, False)
    _, plan = decided([*undated, newest], oldest_ms=1000)
    assert plan == EvictionPlan((), 0, False)
