"""The manifest in chapters: bounded however long the doorbell records, whole across their borders, tamper-evident."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.clients.owner.copied_vault import FolderVault
from agent.core.retention import ChapterLimits, RetentionLimits, chapter_limits, chapters_to_delete
from agent.core.timebase import ClockQuality
from agent.core.vault.coverage import CoverageState
from agent.core.vault.manifest import (
    LONGEST_LINE_BYTES,
    chapter_name,
    chapter_number,
    chapter_of,
    chapter_start,
    open_line,
)
from agent.core.vault.records import CONTINUOUS, BootRecord, GapReason
from agent.custodian.timeline import Timeline
from agent.custodian.vault_follower import FollowingIndex
from agent.errors import StorageError
from agent.platform.disk import RealDisk
from agent.recorder.vault_recovery import StartReport
from agent.vault import replay
from agent.vault.index_sqlite import SqliteIndex
from agent.vault.manifest_reader import check_manifest, read_manifest
from agent.vault.segment_files import DiskManifestLog
from agent.wire.identities import public_key_of
from tests.fake_disk import FakeDisk
from tests.fake_index import FakeIndex
from tests.lengths import one_in
from tests.vaults import DEVICE_KEY, START_UTC_NS, SteppedClock, TestVault, box, event_id, make_vault

PUBLIC = public_key_of(DEVICE_KEY)
SHORT = ChapterLimits(chapter_bytes=12_000, history_bytes=36_000)
START_MS = START_UTC_NS // 10**6
DAY = 288
"""A segment in five minutes."""
FILM = box(b"moof", b"film")


@pytest.fixture
def tested(tmp_path: Path) -> Iterator[TestVault]:
    made = opened(tmp_path)
    yield made
    made.close()


def opened(place: Path, boot: int = 1, boot_ns: int | None = None) -> TestVault:
    clock = SteppedClock(boot=boot) if boot_ns is None else SteppedClock(boot=boot, boot_ns=boot_ns)
    return make_vault(
        RealDisk(),
        root=place / "vault",
        index=SqliteIndex(place / "index.sqlite"),
        clock=clock,
        seed=boot,
        chapters=SHORT,
    )


def record(tested: TestVault, event: int, label: str = CONTINUOUS) -> str:
    writer = tested.vault.begin(event_id(event), tested.clock.now(), label=label)
    tested.clock.advance(10)
    writer.write(FILM)
    return writer.finish(tested.clock.now()).id


def live_through(tested: TestVault, segments: int, *, kept: int = 8, first: int = 0) -> list[str]:
    """Record on and on; the oldest goes when more than `kept` are stored.  Every quarter of an hour is written down."""
    ids = []
    since = tested.clock.now()
    for number in range(first, first + segments):
        ids.append(record(tested, number))
        stored = list(tested.vault.entries())
        if len(stored) > kept:
            tested.vault.erase([stored[0].id])
        if number % 5 == 4:
            tested.vault.record_coverage(since, tested.clock.now())
            since = tested.clock.now()
    return ids


def total(tested: TestVault) -> int:
    return sum(tested.log.sizes().values())


def bound(tested: TestVault) -> int:
    """FORMAT.md's promise: twice the lines of the stored segments, the history, and the chapter that grows."""
    return 2 * sum(tested.index.line_bytes().values()) + SHORT.history_bytes + 2 * SHORT.chapter_bytes


# Bounded


def test_days_of_continuous_recording_leave_a_manifest_of_bounded_size() -> None:
    """Three days, a segment in five minutes, within the bytes of a few hours.  One file would have 1.6 MB, and grow."""
    tested = make_vault(FakeDisk(), limits=RetentionLimits(most_bytes=30_000), chapters=SHORT)
    sizes = []
    for number in range(3 * DAY):
        writer = tested.vault.begin(event_id(number), tested.clock.advance(270), label=CONTINUOUS)
        writer.write(FILM)
        tested.clock.advance(30)
        writer.finish(tested.clock.now())
        tested.vault.enforce_retention(frozenset())
        if number % 3 == 2:
            end = tested.clock.now()
            tested.vault.record_coverage(end.at(end.boot_ns - 900 * 10**9), end)
        sizes.append(total(tested))
        assert sizes[-1] <= bound(tested)
    assert max(sizes[2 * DAY :]) <= 1.2 * max(sizes[:DAY])
    assert check_manifest(tested.log, PUBLIC).faults == ()
    assert tested.vault.totals().segments < 40


def test_what_a_vault_gives_to_history_is_a_256th_of_it() -> None:
    assert chapter_limits(20_000_000_000) == ChapterLimits(4 << 20, 78_125_000)
    assert chapter_limits(10_000_000) == ChapterLimits(256 << 10, 2 << 20)


def test_a_held_segment_of_long_ago_costs_its_own_line_and_keeps_no_chapter(tested: TestVault) -> None:
    held = record(tested, 0, "button")
    for first in range(1, 101, 50):
        for number in range(first, first + 50):
            record(tested, number)
            tested.vault.enforce_retention(
                {held}, RetentionLimits(most_bytes=10 * next(tested.vault.entries()).stored_bytes), now_ms=None
            )
    assert total(tested) <= bound(tested)
    assert open_line(tested.vault.record(held).line, PUBLIC).record.id == held  # type: ignore[union-attr]
    assert tested.log.chapters()[0] > 3
    assert tested.vault.verify(PUBLIC).sound


def test_when_much_is_deleted_at_once_the_manifest_follows(tested: TestVault) -> None:
    ids = [record(tested, number) for number in range(80)]
    large = total(tested)
    assert large <= bound(tested)
    tested.vault.erase(ids[:75])
    live_through(tested, 40, first=100)
    assert total(tested) <= bound(tested) < large
    assert tested.vault.verify(PUBLIC).sound


def test_only_what_is_needed_at_once_is_copied() -> None:
    limits = ChapterLimits(100, 300)
    assert chapters_to_delete({0: 100, 1: 100, 2: 100}, {0: 0}, limits) == []
    assert chapters_to_delete({0: 100, 1: 100, 2: 100, 3: 100}, {}, limits) == [0]
    assert chapters_to_delete(dict.fromkeys(range(9), 100), {}, limits) == [0, 1, 2, 3, 4, 5]
    # The needed lines of chapter 1 exceed the room beside those of chapter 0.
    assert chapters_to_delete(dict.fromkeys(range(9), 100), {0: 60, 1: 60}, limits) == [0]
    # All of it is needed: it is copied nevertheless, because unneeded lines lie behind it.
    assert chapters_to_delete(dict.fromkeys(range(9), 100), {0: 100}, limits) == [0, 1, 2, 3, 4]


# Whole across borders


def test_every_stored_record_is_found_and_verified_across_the_borders(tested: TestVault, tmp_path: Path) -> None:
    live_through(tested, 70)
    assert tested.log.chapters()[0] > 3
    assert tested.vault.verify(PUBLIC).sound
    for entry in tested.vault.entries():
        assert open_line(tested.vault.record(entry.id).line, PUBLIC).sequence == entry.sequence
    folder = FolderVault(tmp_path, {PUBLIC.id: PUBLIC})
    assert folder.device == PUBLIC.id
    assert (folder.signed, folder.faults) == (True, ())
    assert {item.id for item in folder.listed()} == {entry.id for entry in tested.vault.entries()}


def test_an_index_made_anew_from_the_chapters_says_what_the_old_one_said(tested: TestVault, tmp_path: Path) -> None:
    tested.clock.quality, tested.clock.utc_offset_ns = ClockQuality.UNKNOWN, 0
    early = [record(tested, number) for number in range(12)]
    tested.vault.start()
    tested.clock.quality, tested.clock.utc_offset_ns = ClockQuality.SYNCED, START_UTC_NS
    live_through(tested, 70)
    before = list(tested.vault.entries())
    assert not set(early) & {entry.id for entry in before}
    fresh = FakeIndex()
    replay.catch_up(tested.log, fresh, may_cut=False)
    assert list(fresh.oldest()) == before
    assert (fresh.chain_head(), fresh.totals()) == (tested.index.chain_head(), tested.vault.totals())


def test_the_date_that_a_clock_sync_gave_outlives_its_chapter(tested: TestVault) -> None:
    tested.clock.quality, tested.clock.utc_offset_ns = ClockQuality.UNKNOWN, 0
    early = record(tested, 0, "button")
    tested.vault.start()
    tested.clock.quality, tested.clock.utc_offset_ns = ClockQuality.SYNCED, START_UTC_NS
    tested.vault.record_gap(GapReason.OFF, tested.clock.now(), tested.clock.now())
    dated = tested.vault.find(early)
    assert dated is not None
    assert dated.start_ms > START_MS
    for number in range(1, 80):
        record(tested, number)
        tested.vault.enforce_retention({early}, RetentionLimits(most_bytes=10 * dated.stored_bytes))
    assert tested.log.chapters()[0] > 3
    fresh = FakeIndex()
    replay.catch_up(tested.log, fresh, may_cut=False)
    again = fresh.get(early)
    assert again is not None
    assert replace(again, line_offset=0) == replace(dated, line_offset=0)


def test_a_follower_goes_on_over_a_border_and_begins_again_when_its_chapter_is_gone(
    tested: TestVault, tmp_path: Path
) -> None:
    followed, asleep = (
        FollowingIndex(DiskManifestLog(RealDisk(), tmp_path / "vault"), SqliteIndex(tmp_path / name))
        for name in ("followed.sqlite", "asleep.sqlite")
    )
    live_through(tested, 10)
    assert asleep.newest() is not None
    for first in range(10, 70, 3):
        live_through(tested, 3, first=first)
        assert list(followed.oldest()) == list(tested.vault.entries())
    assert list(asleep.oldest()) == list(tested.vault.entries())
    for each in (followed, asleep):
        each.close()


def test_the_timeline_lists_old_events_of_carried_lines_in_their_order_and_makes_up_no_time_off(
    tested: TestVault,
) -> None:
    told = Timeline(tested.log)
    kept = record(tested, 0, "button")
    for number in range(1, 80):
        record(tested, number)
        tested.vault.enforce_retention(
            {kept}, RetentionLimits(most_bytes=10 * next(tested.vault.entries()).stored_bytes)
        )
        if number % 10 == 0:
            told.events(0, 2**53)
    for timeline in (told, Timeline(tested.log)):
        events = timeline.events(0, 2**53)
        assert events[-1]["segments"] == [kept]
        assert [event["start_ms"] for event in events] == sorted((event["start_ms"] for event in events), reverse=True)
        assert len(events) == tested.vault.totals().segments
        assert timeline.gaps(0, 2**53) == []


def test_before_its_oldest_chapter_a_manifest_says_that_it_no_longer_knows(tested: TestVault) -> None:
    kept = record(tested, 0, "button")
    since = tested.clock.now()
    for number in range(1, 80):
        record(tested, number)
        tested.vault.enforce_retention(
            {kept}, RetentionLimits(most_bytes=10 * next(tested.vault.entries()).stored_bytes)
        )
        if number % 5 == 4:
            tested.vault.record_coverage(since, tested.clock.now())
            since = tested.clock.now()
    now_ms = tested.clock.now().utc_ns // 10**6
    stretches = tested.vault.coverage(START_MS, now_ms, now_ms)
    words = [stretch.state for stretch in stretches]
    assert words[:3] == [CoverageState.FORGOTTEN, CoverageState.FOOTAGE, CoverageState.FORGOTTEN]
    assert set(words[3:]) <= {CoverageState.GONE, CoverageState.NOTHING, CoverageState.FOOTAGE, CoverageState.NOT_YET}
    assert CoverageState.GONE in words
    # The word changes at a chapter's beginning: an eviction before it stays known as footage.
    begins = stretches[2].end_ms
    evicted_before = [
        stretch for stretch in stretches if stretch.start_ms < begins and stretch.state is CoverageState.NOTHING
    ]
    assert evicted_before == []


def test_a_start_after_a_kill_reads_the_newest_lines_and_no_other_chapter(
    tested: TestVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_through(tested, 70)
    writer = tested.vault.begin(event_id(999), tested.clock.now())
    writer.write(bytes(100_000))
    writer.abandon()
    read: list[int] = []
    chunks = RealDisk.chunks

    def noting(disk: RealDisk, path: Path, offset: int = 0) -> Iterator[bytes]:
        read.append(path.stat().st_size - offset if path.name.startswith("manifest.") else 0)
        return chunks(disk, path, offset)

    monkeypatch.setattr(RealDisk, "chunks", noting)
    report = tested.vault.start()
    assert report.recovered == [writer.id]
    assert sum(read) <= 2 * SHORT.chapter_bytes


def test_a_start_right_behind_a_border_needs_no_new_index(tested: TestVault, tmp_path: Path) -> None:
    live_through(tested, 60)
    chapter = tested.log.chapters()[-1]
    while tested.log.chapters()[-1] == chapter:
        record(tested, 1000)
    assert tested.vault.start() == StartReport()
    # As if the kill had come before the first record behind the carried lines.
    tested.log.cut(behind_carried(tested.log, tested.log.chapters()[-1]))
    last = list(tested.vault.entries())[-1].id
    lost = tested.vault.start()
    assert (lost.rebuilt, lost.recovered) == (True, [last])
    assert tested.vault.start() == StartReport()


def behind_carried(log: DiskManifestLog, chapter: int) -> int:
    steps = [step for step in read_manifest(log) if chapter_of(step.offset) == chapter]
    return next(step.offset for step in steps[1:] if not step.carried)


def test_a_second_boot_is_noted_once_right_behind_carried_lines(tmp_path: Path) -> None:
    first = opened(tmp_path)
    live_through(first, 60)
    chapter = first.log.chapters()[-1]
    while first.log.chapters()[-1] == chapter:
        record(first, 1000)
    first.log.cut(behind_carried(first.log, first.log.chapters()[-1]))
    first.close()
    again = opened(tmp_path, boot=2)
    again.vault.start()
    records = [step.signed.record for step in read_manifest(again.log) if step.signed and not step.carried]
    assert [each.at.boot for each in records if isinstance(each, BootRecord)] == [again.clock.boot_id]
    assert again.vault.verify(PUBLIC).sound
    again.close()


# Told when it is not whole


def a_long_life(place: Path) -> tuple[TestVault, list[Path]]:
    tested = opened(place)
    live_through(tested, 60)
    chapters = [place / "vault" / f"manifest.{number}" for number in tested.log.chapters()]
    assert len(chapters) >= 4
    assert chapters[0].name != "manifest.0"
    return tested, chapters


def swap(first: Path, second: Path) -> None:
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def drop_a_carried_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


TAMPERING: dict[str, Callable[[list[Path]], object]] = {
    "the oldest removed": lambda chapters: chapters[0].unlink(),
    "one in the middle removed": lambda chapters: chapters[1].unlink(),
    "two swapped": lambda chapters: swap(chapters[1], chapters[2]),
    "the oldest altered": lambda chapters: alter(chapters[0]),
    "a carried line dropped": lambda chapters: drop_a_carried_line(chapters[-1]),
    "one cut short": lambda chapters: chapters[1].write_bytes(chapters[1].read_bytes()[:-900]),
    "one set back to its first lines": lambda chapters: chapters[1].write_bytes(
        b"".join(chapters[1].read_bytes().splitlines(keepends=True)[:-2])
    ),
    "one under another number": lambda chapters: chapters[1].write_bytes(chapters[0].read_bytes()),
}


@pytest.mark.parametrize("how", one_in(3, TAMPERING))
def test_a_chapter_that_is_not_as_it_was_is_told(how: str, tmp_path: Path) -> None:
    tested, chapters = a_long_life(tmp_path)
    assert check_manifest(tested.log, PUBLIC).faults == ()
    TAMPERING[how](chapters)
    faults = check_manifest(tested.log, PUBLIC).faults
    assert faults
    assert all(str(fault).startswith("manifest.") for fault in faults)
    assert not tested.vault.verify(PUBLIC).sound
    tested.close()


@pytest.mark.parametrize("number", [0, 1, -1])
def test_a_chapter_that_the_disk_cannot_read_is_named_and_the_others_are_still_checked(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested, chapters = a_long_life(tmp_path)
    names = [path.name for path in chapters]
    alter(chapters[1 if number == 0 else 0])
    read, chunks = RealDisk.read, RealDisk.chunks

    def refused(path: Path) -> None:
        if path == chapters[number]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def unread(self: RealDisk, path: Path, offset: int, size_bytes: int) -> bytes:
        refused(path)
        return read(self, path, offset, size_bytes)

    def uncopied(self: RealDisk, path: Path, offset: int = 0) -> Iterator[bytes]:
        refused(path)
        yield from chunks(self, path, offset)

    monkeypatch.setattr(RealDisk, "read", unread)
    monkeypatch.setattr(RealDisk, "chunks", uncopied)
    told = [str(fault) for fault in check_manifest(tested.log, PUBLIC).faults]
    assert [fault.partition(",")[0] for fault in told if "cannot be read: " in fault] == [names[number]]
    assert any(fault.startswith(f"{names[1 if number == 0 else 0]},") for fault in told)
    tested.close()


def test_a_segment_whose_line_has_moved_to_another_chapter_meanwhile_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verification reads pages of the index, and reads files for minutes. The recorder works meanwhile."""
    tested = make_vault(FakeDisk(), chapters=SHORT)
    kept = tested.vault.find(record(tested, 0))
    assert kept is not None
    while chapter_of(kept.line_offset) in tested.log.chapters():
        record(tested, 1)
        if len(stored := list(tested.vault.entries())) > 3:
            tested.vault.erase([stored[1].id])
    check = tested.vault.check(kept, PUBLIC)
    assert (check.damaged, check.missing, check.read_bytes) == ([], [], kept.stored_bytes)
    monkeypatch.setattr(tested.index, "oldest", lambda: iter([kept]))
    report = tested.vault.verify(PUBLIC)
    assert (report.damaged, report.segments, report.read_bytes) == ([], 1, kept.stored_bytes)


def test_a_missing_chapter_is_named(tmp_path: Path) -> None:
    tested, chapters = a_long_life(tmp_path)
    chapters[1].unlink()
    assert f"{chapters[1].name}, byte 0: The chapter is missing." in map(str, check_manifest(tested.log, PUBLIC).faults)
    tested.close()


def test_a_deleted_chapter_that_is_put_back_counts_for_nothing_and_goes_at_the_next_start(tmp_path: Path) -> None:
    tested = opened(tmp_path)
    live_through(tested, 10)
    old = tmp_path / "vault" / "manifest.0"
    copy, film = old.read_bytes(), next(tested.vault.entries())
    sealed = tested.ciphertext(film.id)
    live_through(tested, 60, first=10)
    assert not old.exists()
    before = list(tested.vault.entries())
    old.write_bytes(copy)
    assert check_manifest(tested.log, PUBLIC).faults == ()
    fresh = FakeIndex()
    replay.catch_up(tested.log, fresh, may_cut=False)
    assert list(fresh.oldest()) == before
    assert {item.id for item in FolderVault(tmp_path, {PUBLIC.id: PUBLIC}).listed()} == {entry.id for entry in before}
    # The footage of that time does not come back as recorded, either: the manifest does not name its file.
    (tmp_path / "vault" / "segments" / film.id[0] / f"{film.id}.age").write_bytes(sealed)
    assert tested.vault.verify(PUBLIC).unknown == [f"{film.id}.age"]
    tested.vault.start()
    assert not old.exists()
    tested.close()


def test_with_older_chapters_alone_a_disk_that_was_set_back_lacks_those_that_went_since(tmp_path: Path) -> None:
    """An attacker who cuts off the newest chapters keeps one that names older ones, which are gone."""
    tested, chapters = a_long_life(tmp_path)
    for path in chapters[1:]:
        path.unlink()
    (fault, *_more) = check_manifest(tested.log, PUBLIC).faults
    assert "missing" in fault.problem
    tested.close()


# Damage and full disks cost little


def test_a_damaged_line_of_a_stored_segment_does_not_keep_its_chapter(tested: TestVault, tmp_path: Path) -> None:
    kept = record(tested, 0, "button")
    entry = tested.vault.find(kept)
    assert entry is not None
    path = tmp_path / "vault" / "manifest.0"
    data = bytearray(path.read_bytes())
    data[entry.line_offset + entry.line_size] = ord("x")  # its line feed
    path.write_bytes(bytes(data))
    for number in range(1, 80):
        record(tested, number)
        tested.vault.enforce_retention({kept}, RetentionLimits(most_bytes=10 * entry.stored_bytes))
    assert not path.exists()
    assert tested.vault.find(kept) is None
    assert tested.vault.start().recovered == [kept]
    assert tested.vault.verify(PUBLIC).sound


def test_a_disk_that_takes_no_new_chapter_goes_on_in_the_old_one(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_through(tested, 60)
    prepare = DiskManifestLog.prepare_chapter
    attempts: list[int] = []

    def full(log: DiskManifestLog, chapter: int, lines: object) -> None:
        attempts.append(chapter)
        raise StorageError("No space left on device.")

    with monkeypatch.context() as failing:
        failing.setattr(DiskManifestLog, "prepare_chapter", full)
        newest = tested.log.chapters()[-1]
        live_through(tested, 20, first=100)
        assert tested.log.chapters()[-1] == newest
        assert 2 <= len(attempts) <= 20
    assert DiskManifestLog.prepare_chapter is prepare
    live_through(tested, 5, first=200)
    assert tested.log.chapters()[-1] > newest
    assert tested.vault.verify(PUBLIC).sound


def test_an_endless_line_costs_no_memory_and_is_told_with_its_place(tested: TestVault, tmp_path: Path) -> None:
    """64 MiB without a line feed, in the manifest that a custodian reads.  It was collected in memory whole."""
    for number in range(3):
        record(tested, number)
    path = tmp_path / "vault" / "manifest.0"
    whole = path.stat().st_size
    with path.open("ab") as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))
    log = DiskManifestLog(RealDisk(), tmp_path / "vault")
    follower = FollowingIndex(log, SqliteIndex(tmp_path / "own.sqlite"))
    tracemalloc.start()
    try:
        assert follower.newest() == tested.vault.newest()
        Timeline(log).events(0, 2**53)
        faults = check_manifest(log, PUBLIC).faults
        FolderVault(tmp_path, {})
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
    assert [str(fault) for fault in faults] == [f"manifest.0, line 5, byte {whole}: The line is cut off."]
    with path.open("ab") as file:
        file.write(b"\n")
    (fault,) = check_manifest(log, PUBLIC).faults
    assert str(fault).startswith(f"manifest.0, line 5, byte {whole}: The line has {(64 << 20) + 1} bytes")
    assert str(LONGEST_LINE_BYTES) in fault.problem
    follower.close()


def test_a_chapter_of_which_nothing_can_be_read_is_told_and_recording_goes_on(
    tested: TestVault, tmp_path: Path
) -> None:
    live_through(tested, 60)
    newest = tested.log.chapters()[-1]
    path = tmp_path / "vault" / f"manifest.{newest}"
    path.write_bytes(b"\0" * path.stat().st_size)
    report = tested.vault.start()
    assert report.cut_bytes > 0
    more = record(tested, 500)
    assert tested.vault.find(more) is not None
    assert tested.log.sizes()[newest] > 0, "what was recovered is written there"
    assert chapter_of(tested.vault.find(more).line_offset) >= newest  # type: ignore[union-attr]
    tested.index.clear()
    tested.vault.start()
    assert tested.vault.find(more) is not None


def test_a_file_under_another_name_than_a_chapters_is_none() -> None:
    names = (
        "manifest.0",
        "manifest.17",
        "manifest",
        "manifest.01",
        "manifest.-1",
        "manifest.1.part",
        "manifest.9999999",
    )
    assert [chapter_number(name) for name in names] == [0, 17, None, None, None, None, None]
    assert (chapter_of(chapter_start(7) + 5), chapter_name(7)) == (7, "manifest.7")
