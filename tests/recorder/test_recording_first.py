"""A lost index is made again beside the recording: the vault takes footage between two slices, and loses none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.core.retention import RetentionLimits
from agent.core.vault.records import CoverageRecord, GapReason
from agent.errors import StorageError
from agent.platform.disk import RealDisk
from agent.recorder.vault_recovery import StartReport
from agent.vault import replay
from agent.vault.index_sqlite import SqliteIndex
from agent.vault.manifest_reader import read_manifest
from tests.recorder.test_retry_buffer import GOP_BYTES, Story
from tests.vaults import TestVault, box, event_id, make_vault

STORED = 40
MADE_AGAIN = "The index is made again"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_BATCH", 4)


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Callable[[], TestVault]]:
    """Begins a vault on the same disk again, which reads one batch at a time."""
    made: list[TestVault] = []

    def begin() -> TestVault:
        index = SqliteIndex(tmp_path / "index.sqlite")
        made.append(make_vault(RealDisk(), root=tmp_path / "vault", index=index, start=False, slice_s=0.0))
        return made[-1]

    yield begin
    for each in made:
        each.close()


@pytest.fixture
def lost(begun: Callable[[], TestVault], tmp_path: Path) -> TestVault:
    """A vault with 40 segments, five of them deleted, without its index."""
    before = begun()
    before.vault.start()
    ids = [before.record(b"") for _ in range(STORED)]
    before.vault.erase(ids[:5])
    before.close()
    for left in tmp_path.glob("index.sqlite*"):
        left.unlink()
    after = begun()
    after.acknowledged = ids[5:]
    return after


def first_slice(tested: TestVault) -> None:
    with pytest.raises(StorageError):
        tested.vault.start()
    assert tested.vault.reading


def read_to_the_end(tested: TestVault) -> int:
    """Returns the number of slices."""
    for number in range(1, 200):
        try:
            tested.vault.retry()
        except StorageError:
            assert tested.vault.reading
            continue
        return number
    raise AssertionError("The manifest has no end.")


def test_a_lost_index_is_made_again_in_slices_and_is_the_same(lost: TestVault) -> None:
    first_slice(lost)
    assert read_to_the_end(lost) > 5
    assert not lost.vault.reading
    assert lost.vault.fault == ""
    assert [entry.id for entry in lost.vault.entries()] == lost.acknowledged
    assert lost.vault.start() == StartReport()


def test_how_far_it_is_grows_to_the_end(lost: TestVault) -> None:
    first_slice(lost)
    told = []
    while lost.vault.reading:
        assert lost.vault.fault.startswith(MADE_AGAIN)
        told.append(int(lost.vault.fault.split(": ")[1].split(" %")[0]))
        try:
            lost.vault.retry()
        except StorageError:
            continue
    assert told == sorted(set(told))
    assert 0 < told[0] < 30
    assert 70 < told[-1] <= 100


def test_nothing_is_recorded_deleted_or_checked_by_half_an_index(lost: TestVault) -> None:
    first_slice(lost)
    known, end = lost.vault.totals().segments, lost.log.end()
    now = lost.clock.now()
    for use in (
        lambda: lost.vault.begin(event_id(1), now),
        lambda: lost.vault.record_gap(GapReason.OFF, now, now),
        lambda: lost.vault.enforce_retention((), RetentionLimits(most_bytes=1)),
        lambda: lost.vault.erase(lost.acknowledged[:1]),
        lambda: lost.vault.after(-1),
    ):
        with pytest.raises(StorageError, match=MADE_AGAIN):
            use()
    assert (lost.vault.totals().segments, lost.log.end()) == (known, end)
    read_to_the_end(lost)
    assert lost.vault.after(-1) is not None
    assert lost.vault.erase(lost.acknowledged[:1]) == (lost.acknowledged[0],)


def test_a_stop_in_the_middle_is_no_fault_and_the_next_process_reads_on(
    lost: TestVault, begun: Callable[[], TestVault]
) -> None:
    first_slice(lost)
    known = lost.vault.totals().segments
    lost.vault.give_up()
    with pytest.raises(StorageError, match="given up"):
        lost.vault.retry()
    assert not lost.vault.reading
    lost.close()
    after = begun()
    first_slice(after)
    assert after.vault.totals().segments >= known
    read_to_the_end(after)
    assert [entry.id for entry in after.vault.entries()] == lost.acknowledged


def test_an_index_that_lacks_a_stored_segment_is_made_again_once(lost: TestVault) -> None:
    lost.index.clear()
    first_slice(lost)
    read_to_the_end(lost)
    newest = lost.vault.newest()
    assert newest is not None
    lost.index.apply((), [newest.id], lost.index.chain_head())
    first_slice(lost)
    read_to_the_end(lost)
    assert [entry.id for entry in lost.vault.entries()] == lost.acknowledged


def test_an_index_that_is_ruined_while_recording_does_not_hold_up_the_writer(lost: TestVault, tmp_path: Path) -> None:
    first_slice(lost)
    read_to_the_end(lost)
    lost.index.close()
    (tmp_path / "index.sqlite").write_bytes(b"ruined" * 1000)
    with pytest.raises(StorageError):
        lost.record(b"")
    with pytest.raises(StorageError, match=MADE_AGAIN):
        lost.record(b"")
    read_to_the_end(lost)
    new = lost.record(b"")
    stored = [entry.id for entry in lost.vault.entries()]
    assert set(lost.acknowledged) <= set(stored)
    assert stored[-1] == new


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    """A writer with the memory of ten pictures, on a vault without its index."""
    story = Story(monkeypatch)
    for _ in range(STORED):
        story.tested.record(box(b"mdat", bytes(GOP_BYTES - 8)))
    story.tested.index.clear()
    tested = story.tested
    again = make_vault(tested.disk, index=tested.index, clock=tested.clock, seed=7, start=False, slice_s=0.0)
    story.tested, story.keeper._vault = again, again.vault
    first_slice(again)
    return story


def test_footage_that_comes_meanwhile_is_stored_whole_and_has_no_gap(story: Story) -> None:
    began_s = story.tested.clock.boot_ns / 1e9
    story.segment()
    story.segment()
    assert "made again" in story.keeper.fault
    assert story.keeper.in_memory_s == 6
    read_to_the_end(story.tested)
    story.segment()
    assert story.keeper.fault == ""
    assert story.stored_s()[STORED:] == [(began_s + each, began_s + each + 3) for each in (0, 3, 6)]
    assert story.gaps() == []


def test_footage_that_the_memory_cannot_hold_is_told_as_a_gap(story: Story) -> None:
    began_s = story.tested.clock.boot_ns / 1e9
    for _ in range(5):
        story.segment()
    assert story.keeper.in_memory_bytes <= 10 * GOP_BYTES
    read_to_the_end(story.tested)
    story.segment()
    [(reason, missing_s)] = story.gaps()
    assert reason is GapReason.STORAGE
    assert missing_s <= 6
    times = story.stored_s()[STORED:]
    assert (times[0][0], times[-1][1]) == (began_s + missing_s, began_s + 18)
    assert sum(end - start for start, end in times) == 18 - missing_s


def test_the_coverage_that_was_recorded_before_is_known_all_the_time(lost: TestVault) -> None:
    first_slice(lost)
    read_to_the_end(lost)
    start = lost.clock.now()
    lost.vault.record_coverage(start, lost.clock.advance(60))
    lost.index.clear()
    first_slice(lost)
    assert lost.vault.covered_until_ns() == lost.clock.boot_ns
    records = [step.signed.record for step in read_manifest(lost.log) if step.signed]
    assert isinstance(records[-1], CoverageRecord)
