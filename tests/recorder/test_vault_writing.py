"""The vault beside its segments: its other records, the reserve of a full disk, and the end of recorded time."""

from __future__ import annotations

import errno
import hashlib
from contextlib import suppress
from dataclasses import replace

import pytest

from agent.clients.opening import X25519Identity, open_bytes
from agent.core.retention import RetentionLimits
from agent.core.timebase import BootNs, ClockQuality, ClockReading, seconds
from agent.core.vault.manifest import ChainHead, chapter_start
from agent.core.vault.records import (
    CONTINUOUS,
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
from agent.recorder import vault
from agent.recorder.vault import RetentionReport
from agent.recorder.vault_recovery import StartReport
from agent.vault.replay import StartInterruptedError
from tests.fake_disk import FakeDisk
from tests.vaults import OWNER, ROOT, TestVault, box, event_id, make_vault

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
    assert report.held_but_evicted == ()
    assert report.short_bytes > 0
    assert report.freed_bytes > 0
    fill(disk, 1 << 20)
    report = tested.vault.enforce_retention({names[0]}, limits)
    assert (report.evicted, report.held_but_evicted) == ((names[0],), (names[0],))
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
    assert tested.vault.enforce_retention(set(names), limits).held_but_evicted == ((names[0],) if is_danger else ())


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


# -- starts and what they read -----------------------------------------------------------------------------------------


def test_a_vault_that_was_not_started_reads_nothing_and_has_no_fault(disk: FakeDisk) -> None:
    vault = make_vault(disk, start=False).vault
    assert (vault.reading, vault.fault) == (False, "")
    vault.start()
    assert (vault.reading, vault.fault) == (False, "")


def test_a_start_reads_on_for_its_slice_and_until_it_is_given_up(disk: FakeDisk) -> None:
    sliced = make_vault(disk, slice_s=0.25)
    sliced.clock.boot_ns += seconds(0.25) - 1
    assert not sliced.vault._is_interrupted()
    sliced.clock.boot_ns += 1
    assert sliced.vault._is_interrupted()
    sliced.vault.start()
    assert not sliced.vault._is_interrupted(), "each start has its slice"
    whole = make_vault(disk)
    whole.clock.advance(3600)
    assert not whole.vault._is_interrupted()
    whole.vault.give_up()
    assert whole.vault._is_interrupted()


def test_a_start_that_was_interrupted_says_how_far_it_is_and_one_that_was_given_up_does_not(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested.record()
    answers: list[StorageError | None] = []

    def start_twice() -> StartReport:
        if (answer := answers.pop()) is not None:
            raise answer
        return StartReport()

    def after(answer: StorageError | None) -> tuple[bool, str]:
        answers.append(answer)
        with suppress(StorageError):
            assert tested.vault.start() == StartReport()
        return tested.vault.reading, tested.vault.fault

    monkeypatch.setattr(tested.vault, "_start_twice", start_twice)
    interrupted = StartInterruptedError("The process stops.")
    far = "The index is made again: 100 % of the manifest is read. Footage is stored after that."
    assert after(interrupted) == (True, far)
    assert after(StorageError("The disk is away.")) == (False, "The disk is away.")
    assert after(interrupted)[0]
    assert not after(None)[0]
    tested.vault.give_up()
    assert after(interrupted) == (False, "The process stops.")


@pytest.mark.parametrize(
    ("chapter", "offset", "sizes", "percent"),
    [(2, 50, {0: 100, 1: 100, 2: 100}, 83), (0, 1, {0: 1}, 100), (0, 0, {}, 0), (1, 0, {0: 100, 1: 300}, 25)],
)
def test_how_far_a_start_is_counts_the_bytes_of_the_chapters_before(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch, chapter: int, offset: int, sizes: dict[int, int], percent: int
) -> None:
    head = ChainHead(chapter_start(chapter) + offset)
    monkeypatch.setattr(tested.index, "chain_head", lambda: head)
    monkeypatch.setattr(tested.log, "sizes", lambda: sizes)
    assert f" {percent} % of" in tested.vault._how_far()


def test_a_start_is_tried_twice_if_the_index_is_damaged_and_once_otherwise(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[int] = []

    def start() -> StartReport:
        starts.append(1)
        if len(starts) % 2:
            raise StorageError("It fails.")
        return StartReport()

    monkeypatch.setattr(tested.vault, "_start", start)
    with pytest.raises(StorageError, match="It fails"):
        tested.vault.start()
    assert len(starts) == 1
    starts.clear()
    monkeypatch.setattr(tested.index, "is_damaged", True, raising=False)
    assert tested.vault.start() == StartReport()
    assert len(starts) == 2


def test_a_vault_with_a_fault_is_started_again_and_another_is_left_alone(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[int] = []
    monkeypatch.setattr(tested.vault, "start", lambda: starts.append(1))
    tested.vault.retry()
    assert starts == []
    tested.vault.fault = "The disk is away."
    tested.vault.retry()
    assert starts == [1]


def test_the_index_is_copied_if_twice_its_size_leaves_the_floor_free(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[int] = []
    monkeypatch.setattr(tested.index, "keep_copy", lambda: copies.append(1))
    for _ in range(3):
        tested.record()
    tested.vault.set_limits(RetentionLimits(1 << 40, free_bytes=1_000_000))
    needs = 1_000_000 + 2 * 400 * (3 + 1)
    monkeypatch.setattr(tested.store, "free_bytes", lambda: needs - 1)
    tested.vault.keep_index_copy()
    assert copies == []
    monkeypatch.setattr(tested.store, "free_bytes", lambda: needs)
    tested.vault.keep_index_copy()
    assert copies == [1]
    tested.vault.fault = "The disk is away."
    tested.vault.keep_index_copy()
    assert copies == [1]


def test_a_write_that_the_disk_refuses_is_told_and_the_next_one_starts_the_vault_again(
    tested: TestVault, disk: FakeDisk
) -> None:
    def refuse(_number: int, _name: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    disk.before = refuse
    with pytest.raises(StorageError, match="Input/output error"):
        tested.vault.record_ring(tested.clock.now())
    assert not tested.vault._sound
    disk.before = None
    tested.vault.record_ring(tested.clock.now())
    assert tested.vault._sound
    assert sum(isinstance(each, RingRecord) for each in records(tested)) == 1


# -- whole reports of eviction -----------------------------------------------------------------------------------------


def test_footage_between_events_goes_before_any_event(tested: TestVault) -> None:
    event = tested.record()
    between = tested.vault.begin(event_id(9), tested.clock.now(), label=CONTINUOUS)
    between.write(b"\0\0\0\x10moofxxxxxxxx")
    name = between.finish(tested.clock.advance(1)).id
    assert tested.vault._being_written == set()
    tested.record()
    report = tested.vault.enforce_retention((), RetentionLimits(most_bytes=1), most=1)
    assert (report.evicted, report.more) == ((name,), True)
    assert tested.vault.enforce_retention((), RetentionLimits(most_bytes=1)).evicted == (event,)


def set_free(tested: TestVault, monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    """Without a disk that shrinks as it is written to: the bounds are exact."""
    monkeypatch.setattr(tested.store, "free_bytes", lambda: free_bytes)
    monkeypatch.setattr(tested.log, "missing_reserve_bytes", lambda: 0)


FLOOR = 64 << 20


def test_a_report_has_each_number_of_a_forced_eviction(tested: TestVault, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [tested.record() for _ in range(5)]
    sizes = [entry.stored_bytes for entry in tested.vault.entries()]
    tested.vault.set_limits(RetentionLimits(1 << 40, free_bytes=FLOOR))
    set_free(tested, monkeypatch, 8 << 20)
    need = sizes[0] + sizes[1] + 1
    report = tested.vault.enforce_retention(set(names[1:]), need_bytes=need)
    assert report == RetentionReport(
        evicted=tuple(names[:3]),
        freed_bytes=sum(sizes[:3]),
        short_bytes=0,
        held_but_evicted=tuple(names[1:3]),
        foreign_bytes=(FLOOR - (8 << 20)) - need,
    )
    last = tested.vault.enforce_retention(set(names), need_bytes=10 * need)
    assert last.held_but_evicted == (names[3],), "the newest stays"
    assert last.short_bytes == 10 * need - sum(sizes[:3]) - sizes[3]


def test_what_other_files_take_is_reported_below_half_the_floor_only(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested.vault.set_limits(RetentionLimits(1 << 40, free_bytes=FLOOR))
    for free_bytes, foreign_bytes in ((FLOOR // 2, 0), (FLOOR // 2 - 1, FLOOR // 2 + 1), (FLOOR, 0), (FLOOR + 1, 0)):
        set_free(tested, monkeypatch, free_bytes)
        assert tested.vault.enforce_retention(()) == RetentionReport((), 0, 0, foreign_bytes=foreign_bytes)


def test_holds_end_exactly_below_half_the_floor_counted_with_what_was_freed(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [tested.record() for _ in range(3)]
    size = next(tested.vault.entries()).stored_bytes
    limits = RetentionLimits(most_bytes=1, free_bytes=FLOOR)
    set_free(tested, monkeypatch, FLOOR // 2 - size)
    assert tested.vault.enforce_retention({names[1]}, limits).evicted == (names[0],), "it frees enough"
    set_free(tested, monkeypatch, FLOOR // 2 - 1)
    assert tested.vault.enforce_retention({names[1]}, limits).held_but_evicted == (names[1],)


def test_a_nearly_full_disk_without_a_limit_that_is_passed_evicts_nothing(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested.record()
    set_free(tested, monkeypatch, 5 << 20)
    assert tested.vault.enforce_retention(()) == RetentionReport((), 0, 0)


def test_what_the_vault_added_below_the_floor_may_be_freed_once(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [tested.record() for _ in range(4)]
    tested.vault.set_limits(RetentionLimits(1 << 40, free_bytes=FLOOR))
    set_free(tested, monkeypatch, FLOOR)
    names.append(tested.record())
    assert tested.vault._growth.added_bytes == 0, "the floor is free"
    set_free(tested, monkeypatch, FLOOR - (1 << 20))
    names += [tested.record() for _ in range(2)]
    assert tested.vault.enforce_retention(()).evicted == tuple(names[:2])
    assert tested.vault._growth.added_bytes == 0
    assert tested.vault.enforce_retention(()).evicted == ()
    names.append(tested.record())
    set_free(tested, monkeypatch, FLOOR)
    tested.vault.enforce_retention(())
    set_free(tested, monkeypatch, FLOOR - 1)
    assert tested.vault.enforce_retention(()).evicted == (), "the count begins again once the floor is free"


def test_footage_above_what_the_owner_keeps_makes_way_for_other_files(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [tested.record() for _ in range(5)]
    stored, size = tested.vault.totals().stored_bytes, next(tested.vault.entries()).stored_bytes
    tested.vault.set_limits(RetentionLimits(1 << 40, free_bytes=FLOOR, kept_bytes=stored - 2 * size))
    set_free(tested, monkeypatch, FLOOR - (1 << 20))
    assert tested.vault.enforce_retention(()).evicted == tuple(names[:2])


def test_the_reserve_is_kept_again_only_after_something_was_evicted(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    name = tested.record()
    monkeypatch.setattr(tested.log, "keep_reserve", lambda: kept.append(1))
    tested.vault.erase([])
    assert kept == []
    tested.vault.erase([name])
    assert kept == [1]


def test_one_tombstone_names_at_most_as_many_segments_as_a_record_holds(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault, "MOST_EVICTED", 2)
    names = [tested.record() for _ in range(5)]
    tested.vault.erase(names)
    tombstones = [each.segments for each in records(tested) if isinstance(each, EvictionRecord)]
    assert tombstones == [tuple(names[:2]), tuple(names[2:4]), tuple(names[4:])]
    assert list(tested.vault.entries()) == []


def test_a_segment_carries_what_it_was_begun_with(tested: TestVault) -> None:
    writer = tested.vault.begin(event_id(3), tested.clock.now(), label="motion")
    assert tested.vault._being_written == {writer.id}
    begin = writer._begin
    assert (begin.event, begin.ordinal, begin.label) == (event_id(3), 0, "motion")
    assert (begin.start_us, begin.until_us) == (100_000_000, 220_000_000), "two minutes, if a crash cuts it off"
    assert tested.vault.begin(event_id(3), tested.clock.now())._begin.ordinal == 1


def test_a_start_tells_the_bytes_of_a_half_line_and_the_files_that_a_cut_left_empty(
    tested: TestVault, disk: FakeDisk
) -> None:
    manifest = disk.append_to(ROOT / "manifest.0")
    manifest.write(b"half")
    manifest.close()
    for name, content in (("a" * 26, b""), ("b" * 26, b"x")):
        part = disk.create(ROOT / "segments" / name[0] / f"{name}.part")
        part.write(content)
        part.close()
    report = tested.vault.start()
    assert (report.cut_bytes, report.empty, report.quarantined) == (4, 1, [f"{'b' * 26}.part"])
    assert tested.vault.start() == StartReport()


def test_each_byte_of_a_segment_and_of_its_sound_is_hashed_once_while_they_are_sealed(
    tested: TestVault, disk: FakeDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SHA-256 was two thirds of the work of sealing when the same bytes were hashed three times."""
    sha256, hashed = hashlib.sha256, list[int]()

    class Counted:
        def __init__(self, data: bytes = b"") -> None:
            self._hash = sha256()
            self.update(data)

        def update(self, data: bytes) -> None:
            hashed.append(len(data))
            self._hash.update(data)

        def __getattr__(self, name: str) -> object:
            return getattr(self._hash, name)

    monkeypatch.setattr(hashlib, "sha256", Counted)
    pieces = [box(b"moof", bytes(300_000))] * 4
    tested.record(*pieces, poster=b"\xff\xd8" + bytes(100_000) + b"\xff\xd9", sound=box(b"moof", bytes(200_000)))
    sealed = sum(len(data) for _, _, data in disk.state() if data.startswith(b"age-encryption.org"))
    assert sealed > 1_500_000
    assert sealed <= sum(hashed) < sealed + 8192, "and the lines of the manifest"
