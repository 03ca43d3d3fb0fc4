"""The power goes at every call of a vault's life; the next start must find all that was acknowledged (invariants 1–3).

Cut points × what of the unsynced survives × how old the index is; a part of the product here, all of it (some 20 000
states) with DOORWARD_THOROUGH=1.  The planted defects prove that the check can fail.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence

import pytest

from agent.core.retention import Limits
from agent.core.timebase import Moment
from agent.core.vault.entries import VaultEntry
from agent.core.vault.records import EvictionReason, Segment
from agent.errors import DoorwardError
from agent.services import segment_writer, vault
from agent.services.vault_start import StartReport
from tests.crash.vault_story import Story, check, recover, tell
from tests.fake_disk import Cut, FakeDisk, Survival
from tests.fake_index import FakeIndex

Told = tuple[FakeDisk, FakeIndex, Story]


def told_until(call: int, without_effect: frozenset[str] = frozenset()) -> Told | None:
    """The story up to its `call`-th call, where the power goes; None when it has fewer."""

    def before(number: int, name: str) -> None:
        if number == call:
            raise Cut

    disk, index, story = FakeDisk(before=before, without_effect=without_effect), FakeIndex(), Story()
    try:
        tell(disk, index, story)
    except Cut:
        return disk, index, story
    return None


def calls_of_the_story() -> int:
    disk = FakeDisk()
    tell(disk, FakeIndex(), Story())
    return len(disk.calls)


CALLS = calls_of_the_story()
THOROUGH = bool(os.environ.get("DOORWARD_THOROUGH"))
SEEDS = 12 if THOROUGH else 3
SURVIVALS = [(survival, seed) for survival in Survival for seed in range(SEEDS if survival is Survival.SOME else 1)]
AGES = (0.0, 0.5, 1.0)


def recovered(told: Told, survival: Survival, seed: int, age: float) -> None:
    """Start after the cut, with the index as it was (`age` 0), older (up to 1) or from before the first segment."""
    disk, index, story = told
    after = disk.after_cut(survival, random.Random(seed))
    known = index.history[round((len(index.history) - 1) * (1 - age))]
    tested = recover(after, FakeIndex(known))
    check(tested, story)
    entries = list(tested.vault.entries())
    again = tested.vault.start()
    assert again == StartReport()
    assert list(tested.vault.entries()) == entries
    new = tested.record()
    tested.vault.roll(story.held, Limits(most_bytes=1))
    assert new in [entry.id for entry in tested.vault.entries()]
    assert not story.held & set(story.media) - {entry.id for entry in tested.vault.entries()}
    assert after.open_files == {tested.log._path}


@pytest.mark.parametrize("call", range(1, CALLS + 1))
def test_whatever_was_acknowledged_survives_a_cut_at_any_call(call: int) -> None:
    told = told_until(call)
    assert told is not None
    for number, (survival, seed) in enumerate(SURVIVALS):
        for age in AGES if THOROUGH else (AGES[(call + number) % len(AGES)],):
            recovered(told, survival, call * 100 + seed, age)


@pytest.mark.parametrize("call", range(1, CALLS + 1, 1 if THOROUGH else 16))
def test_a_second_cut_during_the_start_changes_nothing(call: int) -> None:
    told = told_until(call)
    assert told is not None
    disk, index, story = told
    chance = random.Random(call)
    first = disk.after_cut(Survival.SOME, chance)
    measured = first.after_cut(Survival.EVERYTHING, chance)
    recover(measured, FakeIndex(index.history[-1]))
    for second in range(1, len(measured.calls) + 1):
        again = first.after_cut(Survival.EVERYTHING, chance)
        again.before = cutting_at(second)
        cut_index = FakeIndex(index.history[-1])
        with pytest.raises(Cut):
            recover(again, cut_index)
        recovered((again, cut_index, story), Survival.SOME, second, 0.0)


def cutting_at(call: int) -> Callable[[int, str], None]:
    def before(number: int, name: str) -> None:
        if number == call:
            raise Cut

    return before


def is_caught(without_effect: frozenset[str] = frozenset()) -> bool:
    for call in range(1, CALLS + 1):
        told = told_until(call, without_effect)
        for survival, seed in SURVIVALS if told else ():
            try:
                recovered(told, survival, seed, 0.0)
            except (AssertionError, DoorwardError):
                return True
    return False


@pytest.mark.parametrize("calls", [{"sync_directory"}, {"sync"}, {"sync_data"}])
def test_the_check_catches_a_missing_sync(calls: set[str]) -> None:
    assert is_caught(frozenset(calls))


def test_the_check_catches_a_record_before_the_final_name(monkeypatch: pytest.MonkeyPatch) -> None:
    publish = segment_writer.SegmentWriter._publish
    commit = vault.Vault._commit

    def too_late(writer: segment_writer.SegmentWriter) -> None:
        pass

    def too_early(self: vault.Vault, record: Segment) -> None:
        commit(self, record)
        publish(writers[-1])

    writers: list[segment_writer.SegmentWriter] = []
    begin = vault.Vault.begin

    def remembered(self: vault.Vault, event: str, start: Moment) -> segment_writer.SegmentWriter:
        writers.append(begin(self, event, start))
        return writers[-1]

    monkeypatch.setattr(segment_writer.SegmentWriter, "_publish", too_late)
    monkeypatch.setattr(vault.Vault, "_commit", too_early)
    monkeypatch.setattr(vault.Vault, "begin", remembered)
    assert is_caught()


def test_the_check_catches_an_unlink_before_its_tombstone(monkeypatch: pytest.MonkeyPatch) -> None:
    evict = vault.Vault._evict

    def hasty(self: vault.Vault, entries: Sequence[VaultEntry], reason: EvictionReason, now: Moment) -> None:
        for entry in entries:
            self._store.remove([entry.file])
        evict(self, list(entries), reason, now)

    monkeypatch.setattr(vault.Vault, "_evict", hasty)
    assert is_caught()
