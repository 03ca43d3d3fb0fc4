"""The power goes at every call of a vault's life; the next start must find all that was acknowledged (invariants 1–4).

Cut points × what of the unsynced survives × how old the index is: more than a hundred states here, more than ten
thousand with DOORWARD_THOROUGH=1 (the last count is in RESULTS.md).  The planted defects prove that the check can fail.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Sequence

import pytest

from agent.core.retention import ChapterLimits, RetentionLimits
from agent.core.timebase import ClockQuality, ClockReading
from agent.core.vault.entries import VaultEntry
from agent.core.vault.fields import VaultFile
from agent.core.vault.records import EvictionReason, SegmentRecord
from agent.errors import DoorwardError, StorageError
from agent.recorder import manifest_writer, segment_writer, vault
from agent.recorder.vault_recovery import StartReport
from agent.vault import replay
from agent.vault.manifest_reader import read_manifest
from agent.vault.segment_files import DiskManifestLog, DiskSegmentStore
from tests.crash.states import CrashState, explore
from tests.crash.vault_story import SHORT_CHAPTERS, Story, check, recover, tell
from tests.fake_disk import Cut, FakeDisk, Survival
from tests.fake_index import FakeIndex
from tests.vaults import SteppedClock, TestVault, make_vault

THOROUGH = bool(os.environ.get("DOORWARD_THOROUGH"))

pytestmark = pytest.mark.timeout(3600 if THOROUGH else 600)


def survives(state: CrashState) -> None:
    """Start on what the cut left: every promise holds."""
    # Every state is visited with indexes of several ages; they share one disk, so each starts on a copy.
    disk = state.disk.after_cut(Survival.EVERYTHING, random.Random(0))
    check(recover(disk, FakeIndex(state.index), state.chapters), state.story)


def goes_on(state: CrashState) -> None:
    """… and a second start finds nothing to do, and the vault records and evicts as ever."""
    disk = state.disk.after_cut(Survival.EVERYTHING, random.Random(0))
    tested = recover(disk, FakeIndex(state.index), state.chapters)
    check(tested, state.story)
    entries = list(tested.vault.entries())
    assert tested.vault.start() == StartReport()
    assert list(tested.vault.entries()) == entries
    new = tested.record()
    tested.vault.enforce_retention(state.story.held, RetentionLimits(most_bytes=1))
    assert new in [entry.id for entry in tested.vault.entries()]
    kept = state.story.held - state.story.erased
    assert not kept & set(state.story.media) - {entry.id for entry in tested.vault.entries()}
    assert disk.open_files == {tested.log._path}


def test_no_state_that_a_cut_can_leave_breaks_a_promise() -> None:
    states = explore(survives, draws=20 if THOROUGH else 3, step=1 if THOROUGH else 83)
    print(f"{states} different crash states, 0 violations")
    assert states > (10_000 if THOROUGH else 50)


def test_no_cut_while_a_chapter_begins_or_goes_breaks_a_promise() -> None:
    states = explore(survives, draws=20 if THOROUGH else 3, step=1 if THOROUGH else 101, chapters=SHORT_CHAPTERS)
    print(f"{states} different crash states with short chapters, 0 violations")
    assert states > (10_000 if THOROUGH else 50)


def test_the_story_with_short_chapters_begins_and_deletes_several() -> None:
    tested = tell(FakeDisk(), FakeIndex(), Story(), chapters=SHORT_CHAPTERS)
    numbers = tested.log.chapters()
    assert numbers[0] >= 3
    assert len(numbers) >= 2
    assert any(step.carried for step in read_manifest(tested.log))


@pytest.mark.parametrize("chapters", [None, SHORT_CHAPTERS])
def test_a_vault_goes_on_after_any_cut(chapters: ChapterLimits | None) -> None:
    assert explore(goes_on, draws=2, step=2 if THOROUGH else 101, chapters=chapters) > 20


def test_a_second_cut_during_the_start_changes_nothing() -> None:
    def twice(state: CrashState) -> None:
        measured = state.disk.after_cut(Survival.EVERYTHING, random.Random(0))
        measured.calls.clear()
        recover(measured, FakeIndex(state.index), state.chapters)
        for second in range(1, len(measured.calls) + 1, 1 if THOROUGH else 7):
            disk = state.disk.after_cut(Survival.EVERYTHING, random.Random(0))
            disk.before = cutting_at(second)
            index = FakeIndex(state.index)
            with pytest.raises(Cut):
                recover(disk, index, state.chapters)
            after = disk.after_cut(Survival.SOME, random.Random(second))
            survives(CrashState(state.call, state.name, after, index.history[-1], state.story, state.chapters))

    assert explore(twice, draws=1, step=41 if THOROUGH else 199)
    assert explore(twice, draws=1, step=41 if THOROUGH else 199, chapters=SHORT_CHAPTERS)


def test_no_cut_while_a_lost_index_is_made_again_in_slices_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_BATCH", 3)
    slices: list[int] = []

    def again(state: CrashState) -> None:
        if state.index[0].offset:
            return  # of a newer index less is read
        measured = state.disk.after_cut(Survival.EVERYTHING, random.Random(0))
        measured.calls.clear()
        tested = recover_in_slices(measured, FakeIndex(), slices, state.chapters)
        check(tested, state.story)
        for second in range(1, len(measured.calls) + 1, 1 if THOROUGH else 7):
            disk, index = state.disk.after_cut(Survival.EVERYTHING, random.Random(0)), FakeIndex()
            disk.before = cutting_at(second)
            with pytest.raises(Cut):
                recover_in_slices(disk, index, [], state.chapters)
            after = disk.after_cut(Survival.SOME, random.Random(second))
            kept = FakeIndex(random.Random(second).choice(index.history))
            check(recover_in_slices(after, kept, slices, state.chapters), state.story)

    assert explore(again, draws=1, step=41 if THOROUGH else 199)
    assert explore(again, draws=1, step=41 if THOROUGH else 199, chapters=SHORT_CHAPTERS)
    assert max(slices) >= 4


def recover_in_slices(disk: FakeDisk, index: FakeIndex, slices: list[int], chapters: ChapterLimits | None) -> TestVault:
    """The next boot of a recorder that films first. Notes the number of slices."""
    clock = SteppedClock(boot=2, quality=ClockQuality.UNKNOWN, utc_offset_ns=0)
    tested = make_vault(disk, index=index, clock=clock, seed=99, chapters=chapters, start=False, slice_s=0.0)
    for number in range(1, 100):
        try:
            tested.vault.start()
        except StorageError:
            assert tested.vault.reading
            continue
        slices.append(number)
        return tested
    raise AssertionError("The start has no end.")


def cutting_at(call: int) -> Callable[[int, str], None]:
    def before(number: int, name: str) -> None:
        if number == call:
            raise Cut

    return before


def is_caught(without_effect: frozenset[str] = frozenset(), chapters: ChapterLimits | None = None) -> bool:
    """Coarsely first: most defects break many states, and some break none before the end of the story."""
    try:
        for step in (61, 2):
            explore(survives, draws=3, step=step, without_effect=without_effect, chapters=chapters)
    except (AssertionError, DoorwardError):
        return True
    return False


@pytest.mark.parametrize("calls", [{"sync_directory"}, {"sync"}, {"sync_data"}, {"sync", "sync_data"}])
def test_the_check_catches_a_missing_sync(calls: set[str]) -> None:
    assert is_caught(frozenset(calls))


def test_the_check_catches_a_record_before_the_final_name(monkeypatch: pytest.MonkeyPatch) -> None:
    publish = segment_writer.SegmentWriter._publish
    commit = vault.Vault._commit

    def too_late(writer: segment_writer.SegmentWriter) -> None:
        pass

    def too_early(self: vault.Vault, record: SegmentRecord) -> None:
        commit(self, record)
        publish(writers[-1])

    writers: list[segment_writer.SegmentWriter] = []
    begin = vault.Vault.begin

    def remembered(
        self: vault.Vault, event: str, start: ClockReading, *, label: str | None = None
    ) -> segment_writer.SegmentWriter:
        writers.append(begin(self, event, start, label=label))
        return writers[-1]

    monkeypatch.setattr(segment_writer.SegmentWriter, "_publish", too_late)
    monkeypatch.setattr(vault.Vault, "_commit", too_early)
    monkeypatch.setattr(vault.Vault, "begin", remembered)
    assert is_caught()


def test_the_check_catches_sound_that_is_not_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsynced(writer: segment_writer.SegmentWriter, place: VaultFile, sealed: bytes) -> None:
        file = writer._store.create(place)
        file.append(sealed)
        file.abandon()

    monkeypatch.setattr(segment_writer.SegmentWriter, "_write_companion", unsynced)
    assert is_caught()


def test_the_check_catches_an_unlink_before_its_tombstone(monkeypatch: pytest.MonkeyPatch) -> None:
    evict = vault.Vault._evict

    def hasty(self: vault.Vault, entries: Sequence[VaultEntry], reason: EvictionReason, now: ClockReading) -> None:
        for entry in entries:
            self._store.remove([entry.file])
        evict(self, list(entries), reason, now)

    monkeypatch.setattr(vault.Vault, "_evict", hasty)
    assert is_caught()


def test_the_check_catches_a_chapter_deleted_before_the_removal_of_its_files_is_durable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DiskSegmentStore, "settle_removals", lambda store: None)
    assert is_caught(chapters=SHORT_CHAPTERS)


def test_the_check_catches_a_chapter_deleted_before_the_next_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = DiskManifestLog.prepare_chapter

    def hasty(log: DiskManifestLog, chapter: int, lines: Iterable[bytes]) -> None:
        log.remove_chapters(log.chapters()[:-1])
        prepare(log, chapter, lines)

    monkeypatch.setattr(DiskManifestLog, "prepare_chapter", hasty)
    assert is_caught(chapters=SHORT_CHAPTERS)


def test_the_check_catches_a_clock_sync_that_is_not_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_writer, "_dates", lambda line, boots: False)
    assert is_caught(chapters=SHORT_CHAPTERS)


def test_the_check_catches_a_chapter_whose_lines_are_not_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsynced(log: DiskManifestLog, chapter: int, lines: Iterable[bytes]) -> None:
        file = log._disk.create(log._part(chapter))
        for line in lines:
            file.write(line + b"\n")
        file.close()

    monkeypatch.setattr(DiskManifestLog, "prepare_chapter", unsynced)
    monkeypatch.setattr(DiskManifestLog, "_open", opened_without_a_sync)
    assert is_caught(chapters=SHORT_CHAPTERS)


def opened_without_a_sync(log: DiskManifestLog, chapter: int) -> None:
    log._path = log._chapter(chapter)
    log._file = log._disk.append_to(log._path)
    log._disk.sync_directory(log._root)
