"""The vault beside its segments: its other records, the reserve of a full disk, and the end of recorded time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.clients.opening import X25519Identity, open_bytes
from agent.core.retention import RetentionLimits
from agent.core.timebase import BootNs, ClockQuality, ClockReading, seconds
from agent.core.vault.records import (
    ClockSync,
    CoverageRecord,
    EvictionReason,
    EvictionRecord,
    GapReason,
    GapRecord,
    Record,
    RingRecord,
)
from agent.errors import OpenError, StorageError
from tests.fake_disk import FakeDisk
from tests.vaults import OWNER, ROOT, TestVault, event_id, make_vault

OTHER = X25519Identity(bytes(range(1, 33)))
RESERVE = ROOT / "reserve"
LOW = 4 << 20


@pytest.fixture
def disk() -> FakeDisk:
    return FakeDisk()


@pytest.fixture
def tested(disk: FakeDisk) -> TestVault:
    return make_vault(disk)


def records(tested: TestVault) -> list[Record]:
    return list(tested.vault._records())


def moments(tested: TestVault, first: float, end: float) -> tuple[ClockReading, ClockReading]:
    now = tested.clock.now()
    return now.at(BootNs(seconds(first))), now.at(BootNs(seconds(end)))


def test_gaps_coverage_and_rings_are_recorded_with_their_own_times(tested: TestVault) -> None:
    tested.vault.record_gap(GapReason.CAMERA_LOST, *moments(tested, 91, 93))
    tested.vault.record_coverage(*moments(tested, 94, 97))
    tested.vault.record_ring(moments(tested, 98, 98)[0])
    gap, coverage, ring = records(tested)[-3:]
    assert isinstance(gap, GapRecord)
    assert (gap.reason, gap.span.start_us, gap.span.end_us) == (GapReason.CAMERA_LOST, 91_000_000, 93_000_000)
    assert isinstance(coverage, CoverageRecord)
    assert (coverage.span.start_us, coverage.span.end_us) == (94_000_000, 97_000_000)
    assert isinstance(ring, RingRecord)
    assert (ring.at.at_us, ring.at.boot) == (98_000_000, tested.clock.boot_id)


def test_the_newest_end_of_any_record_of_this_boot_is_known(tested: TestVault) -> None:
    assert tested.vault.covered_until_ns() is None
    tested.vault.record_gap(GapReason.CAMERA_LOST, *moments(tested, 91, 99))
    tested.vault.record_coverage(*moments(tested, 94, 97))
    tested.vault.record_ring(tested.clock.now())
    assert tested.vault.covered_until_ns() == seconds(99)
    tested.record()
    assert tested.vault.covered_until_ns() == seconds(101)
    tested.clock.boot = 2
    assert tested.vault.covered_until_ns() is None, "another boot has another clock"


def test_what_is_sealed_for_live_view_opens_for_owners_and_who_looks_and_is_not_stored(tested: TestVault) -> None:
    before = len(records(tested))
    sealed = tested.vault.seal_without_storing(b"a key", also=(OTHER.recipient(),))
    assert [open_bytes(sealed, [identity]) for identity in (OWNER, OTHER)] == [b"a key"] * 2
    with pytest.raises(OpenError):
        open_bytes(tested.vault.seal_without_storing(b"a key"), [OTHER])
    assert len(records(tested)) == before


def test_segments_are_sealed_to_the_recipients_of_their_beginning(tested: TestVault) -> None:
    assert tested.vault.epoch == 1
    first = tested.record()
    tested.vault.seal_to((OTHER.recipient(),), 2)
    assert tested.vault.epoch == 2
    second = tested.record()
    assert open_bytes(tested.ciphertext(first), [OWNER])
    assert open_bytes(tested.ciphertext(second), [OTHER])
    with pytest.raises(OpenError):
        open_bytes(tested.ciphertext(second), [OWNER])


def test_a_clock_that_becomes_better_is_recorded_once(disk: FakeDisk) -> None:
    tested = make_vault(disk)
    tested.vault.start()
    tested.clock.quality = ClockQuality.HELD
    tested.clock.boot = 2
    tested.vault.start()
    tested.record()
    syncs = [each for each in records(tested) if isinstance(each, ClockSync)]
    tested.clock.quality = ClockQuality.SYNCED
    for _ in range(3):
        tested.record()
    after = [each for each in records(tested) if isinstance(each, ClockSync)]
    assert len(after) == len(syncs) + 1
    assert after[-1].at.quality is ClockQuality.SYNCED


def test_what_an_owner_deletes_is_named_in_one_record_and_what_is_unknown_is_not(tested: TestVault) -> None:
    names = [tested.record() for _ in range(3)]
    assert tested.vault.erase([names[2], "a" * 26, names[0]]) == (names[2], names[0])
    (tombstone,) = [each for each in records(tested) if isinstance(each, EvictionRecord)]
    assert (tombstone.segments, tombstone.reason) == ((names[2], names[0]), EvictionReason.OWNER)
    assert [entry.id for entry in tested.vault.entries()] == [names[1]]
    assert tested.vault.erase([]) == ()
    assert len([each for each in records(tested) if isinstance(each, EvictionRecord)]) == 1


# -- a full disk -------------------------------------------------------------------------------------------------------


def fill(disk: FakeDisk, free_bytes: int) -> None:
    disk.capacity_bytes += free_bytes - disk.free_bytes(ROOT)


def test_on_a_full_disk_the_reserve_is_spent_for_the_tombstone_and_kept_again_when_there_is_room(
    tested: TestVault, disk: FakeDisk
) -> None:
    names = [tested.record() for _ in range(2)]
    assert disk.size(RESERVE) == 1 << 20
    fill(disk, LOW - (2 << 20))
    tested.vault.erase([names[0]])
    assert disk.size(RESERVE) is None
    fill(disk, 4 * LOW)
    tested.vault.erase([names[1]])
    assert disk.size(RESERVE) == 1 << 20


def test_a_start_on_a_full_disk_spends_the_reserve_and_a_later_one_keeps_it(tested: TestVault, disk: FakeDisk) -> None:
    fill(disk, LOW - 1 - (1 << 20))
    for _ in range(2):
        tested.vault.start()
        assert disk.size(RESERVE) is None
    fill(disk, LOW)
    tested.vault.start()
    assert disk.size(RESERVE) == 1 << 20


def test_of_a_disk_that_others_fill_the_vault_takes_back_no_more_than_it_has_added(
    tested: TestVault, disk: FakeDisk
) -> None:
    for _ in range(4):
        tested.record()
    stored = tested.vault.totals().stored_bytes
    limits = RetentionLimits(1 << 40, free_bytes=disk.free_bytes(ROOT) + 10 * stored)
    tested.vault.set_limits(limits)
    report = tested.vault.enforce_retention(())
    assert report.evicted == (), "the vault has added nothing since the floor was reached"
    tested.record()
    report = tested.vault.enforce_retention(())
    assert len(report.evicted) == 1
    assert not report.more


def test_the_newest_segment_and_held_ones_stay_until_recording_would_stop(tested: TestVault, disk: FakeDisk) -> None:
    names = [tested.record() for _ in range(4)]
    limits = RetentionLimits(most_bytes=1)
    report = tested.vault.enforce_retention({names[0]}, limits)
    assert report.evicted == (names[1], names[2])
    assert report.forced == ()
    assert report.short_bytes > 0
    assert report.freed_bytes > 0
    fill(disk, 1 << 20)
    report = tested.vault.enforce_retention({names[0]}, limits)
    assert (report.evicted, report.forced) == ((names[0],), (names[0],))
    (*_others, tombstone) = [each for each in records(tested) if isinstance(each, EvictionRecord)]
    assert tombstone.reason is EvictionReason.RECORDING
    assert [entry.id for entry in tested.vault.entries()] == [names[3]]


@pytest.mark.parametrize(
    ("floor_mib", "free_mib", "is_danger"), [(100, 49, True), (100, 51, False), (1, 15, True), (1, 17, False)]
)
def test_holds_end_below_half_the_floor_or_sixteen_mebibytes(
    tested: TestVault, disk: FakeDisk, floor_mib: int, free_mib: int, is_danger: bool
) -> None:
    names = [tested.record() for _ in range(2)]
    fill(disk, free_mib << 20)
    limits = RetentionLimits(most_bytes=1, free_bytes=floor_mib << 20)
    assert tested.vault.enforce_retention(set(names), limits).forced == ((names[0],) if is_danger else ())


def test_a_slice_of_an_eviction_says_that_there_is_more(tested: TestVault) -> None:
    names = [tested.record() for _ in range(6)]
    report = tested.vault.enforce_retention((), RetentionLimits(most_bytes=1), most=2)
    assert (report.evicted, report.more) == (tuple(names[:2]), True)
    report = tested.vault.enforce_retention((), RetentionLimits(most_bytes=1), most=8)
    assert (report.evicted, report.more) == (tuple(names[2:5]), False)


def test_while_a_long_manifest_is_read_the_vault_says_how_far_it_is_and_writes_nothing(tested: TestVault) -> None:
    for _ in range(3):
        tested.record()
    head = tested.index.chain_head()
    half = head.offset // 2
    tested.index.apply((), (), replace(head, offset=half))
    percent = 100 * half // sum(tested.log.sizes().values())
    assert f" {percent} % of the manifest" in tested.vault._how_far()
    tested.vault._unread = "The index is made again."
    assert tested.vault.reading
    for act in (tested.record, lambda: tested.vault.after(-1), lambda: tested.vault.erase([])):
        with pytest.raises(StorageError, match="made again"):
            act()


def test_an_open_segment_is_left_alone_by_a_start_and_a_failed_one_is_recovered(
    tested: TestVault, disk: FakeDisk
) -> None:
    writer = tested.vault.begin(event_id(1), tested.clock.now())
    writer.write(b"\0\0\0\x10moofxxxxxxxx")
    assert tested.vault.start().recovered == []
    writer.abandon()
    assert tested.vault.start().recovered == [writer.id]
