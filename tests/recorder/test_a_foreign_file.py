"""Other files that fill the disk push no footage out: the newest replaces the oldest, and then recording stops."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.retention import DiskGrowth, ProtectedIds, RetentionLimits
from agent.recorder.clip_writer import ClipWriter, WriterSettings
from agent.recorder.retry_buffer import RetryBuffer
from tests.fake_disk import FakeDisk
from tests.recorder.test_clip_writer import Film
from tests.recorder.test_retry_buffer import Story
from tests.vaults import box, make_vault

STORED = 58
SEGMENT = (box(b"moof", bytes(150_000)),)
FLOOR = 40_000_000
LIMITS = RetentionLimits(most_bytes=1 << 40, free_bytes=FLOOR)


def used(disk: FakeDisk) -> int:
    return disk.capacity_bytes - disk.free_bytes(Path("/"))


def leave(disk: FakeDisk, free_bytes: int) -> None:
    """Another program's file leaves this much."""
    disk.capacity_bytes = 1 << 40
    disk.capacity_bytes = used(disk) + free_bytes


def test_a_growing_foreign_file_costs_no_more_than_what_is_recorded_meanwhile() -> None:
    disk = FakeDisk()
    tested = make_vault(disk, limits=LIMITS)
    for _ in range(STORED):
        tested.record(*SEGMENT)
    for recorded in range(1, 9):
        leave(disk, FLOOR - 4_000_000 * recorded)
        tested.record(*SEGMENT)
        report = tested.vault.enforce_retention(())
        assert tested.vault.totals().segments >= STORED - 1
    assert report.foreign_bytes > 0
    leave(disk, 10 * FLOOR)
    assert tested.vault.enforce_retention(()).foreign_bytes == 0


def test_restarts_while_a_foreign_file_grows_cost_no_more_than_what_is_recorded_meanwhile() -> None:
    """Each restart cost up to a segment, because how much the vault has added is in memory alone."""
    disk = FakeDisk()
    tested = make_vault(disk, limits=LIMITS)
    for _ in range(STORED):
        tested.record(*SEGMENT)
    stored_bytes = tested.vault.totals().stored_bytes
    for restart in range(40):
        leave(disk, FLOOR - 600_000 * restart - 1)
        tested = make_vault(disk, index=tested.index, clock=tested.clock, limits=LIMITS, seed=restart + 1)
        assert tested.vault.enforce_retention(()).evicted == (), "nothing was recorded since"
        for _ in range(restart % 3):
            tested.record(*SEGMENT)
            tested.vault.enforce_retention(())
        assert abs(tested.vault.totals().stored_bytes - stored_bytes) <= 160_000, "a segment more or less"
    tested.record(*SEGMENT)
    assert tested.vault.enforce_retention(()).foreign_bytes > 0


def test_the_vault_still_rolls_for_its_own_growth() -> None:
    disk = FakeDisk()
    tested = make_vault(disk, limits=LIMITS)
    leave(disk, FLOOR + 10 * 160_000)
    for _ in range(30):
        tested.record(*SEGMENT)
        report = tested.vault.enforce_retention(())
    assert report.foreign_bytes == 0
    assert 8 <= tested.vault.totals().segments <= 10
    assert disk.free_bytes(Path("/")) >= FLOOR * 9 // 10


def test_an_owner_may_give_a_part_to_other_files() -> None:
    disk = FakeDisk()
    tested = make_vault(disk)
    for _ in range(STORED):
        tested.record(*SEGMENT)
    kept_bytes = tested.vault.totals().stored_bytes // 2
    leave(disk, 0)
    tested.vault.enforce_retention((), RetentionLimits(1 << 40, free_bytes=1 << 40, kept_bytes=kept_bytes))
    assert kept_bytes - 160_000 <= tested.vault.totals().stored_bytes <= kept_bytes


class Greedy:
    """A program that takes whatever becomes free, at once."""

    def __init__(self, disk: FakeDisk) -> None:
        self._disk = disk
        disk.before = self._take

    def _take(self, _number: int, _name: str) -> None:
        leave(self._disk, 0)


def keeper_that_rolls(story: Story) -> RetryBuffer:
    def make_room(need_bytes: int) -> bool:
        return bool(story.tested.vault.enforce_retention((), need_bytes=need_bytes + (128 << 10)).evicted)

    return RetryBuffer(story.tested.vault, story.tested.clock, 10**6, make_room, monotonic=lambda: story.now_s)


def test_a_file_that_takes_all_that_becomes_free_costs_one_segment_and_then_recording_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = Story(monkeypatch)
    for _ in range(STORED):
        story.tested.record(*SEGMENT)
    story.keeper = keeper_that_rolls(story)
    story.tested.vault.set_limits(LIMITS)
    Greedy(story.disk)
    for _ in range(20):
        story.segment()
    assert story.tested.vault.totals().segments >= STORED - 2
    assert story.keeper.fault
    assert story.keeper.acknowledged == 0
    story.disk.before = None
    leave(story.disk, 10 * FLOOR)
    story.segment()
    assert story.keeper.fault == ""
    assert story.keeper.acknowledged > 0


def test_on_a_disk_that_others_have_filled_the_newest_goes_on_replacing_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = Story(monkeypatch)
    for _ in range(STORED):
        story.tested.record(*SEGMENT)
    story.keeper = keeper_that_rolls(story)
    story.tested.vault.set_limits(LIMITS)
    leave(story.disk, 0)
    for _ in range(20):
        story.segment()
        story.tested.vault.enforce_retention(())
    assert story.keeper.acknowledged == 20
    assert story.keeper.fault == ""
    stored = story.tested.vault.totals()
    assert stored.stored_bytes >= (STORED - 3) * 150_000


def test_the_owner_is_told_once_and_the_status_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Owner:
        def notify(self, kind: str, text: str, once: str = "") -> None:
            told.append(kind)

    film = Film(monkeypatch)
    film.tested.vault.set_limits(LIMITS)
    film.writer = ClipWriter(
        film.tested.vault, film.tested.clock, film.tested.vault._entropy, Owner(), WriterSettings(5.0, 5.0, 10**7),
        ProtectedIds,
    )  # fmt: skip
    leave(film.tested.disk, FLOOR // 4)  # type: ignore[arg-type]
    film.packets(0, 60)
    film.event(1, 5, 50)
    film.run()
    assert film.writer.acknowledged >= 3
    assert told.count("other files") == 1
    assert "Other files fill the disk" in film.writer.warning
    assert "kept_bytes" in film.writer.warning


@given(st.integers(0, 10**6), st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.integers(-(10**6), 10**6))
def test_what_may_go_is_never_more_than_is_missing_and_is_ours(missing: int, added: int, need: int, spare: int) -> None:
    allowed = DiskGrowth(added).may_free(missing, need, spare)
    assert 0 <= allowed <= missing
    assert allowed <= max(0, added + need, spare)


def test_a_long_eviction_leaves_recording_its_turn() -> None:
    tested = make_vault(FakeDisk())
    ids = [tested.record() for _ in range(200)]
    small, gone = RetentionLimits(most_bytes=1), []
    for turn in range(4):
        report = tested.vault.enforce_retention((), small, most=64)
        assert len(report.evicted) <= 64
        assert report.more == (turn < 3)
        gone += report.evicted
    assert gone == ids[:-1]
