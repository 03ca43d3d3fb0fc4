"""An index that is behind its manifest is brought up to it, line by line, and a stop in between loses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from agent.core.timebase import ClockQuality
from agent.core.vault.entries import VaultEntry
from agent.core.vault.manifest import ChainHead, ChainStep, carried_of, chapter_of, chapter_start
from agent.core.vault.records import EvictionRecord, SegmentRecord
from agent.vault import replay
from agent.vault.manifest_reader import first_line, read_manifest
from agent.vault.replay import ReplayReport, StartInterruptedError, catch_up
from tests.recorder.test_chapters import opened
from tests.vaults import TestVault

NO_SYNCS = replay._EarlierSyncs(mock.Mock(chapters=lambda: (), raw_lines=lambda _position: ()))
"""Nothing stands in front of the lines that are applied."""
Old = tuple[tuple[VaultEntry, ...], ChainHead]


@pytest.fixture
def tested(tmp_path: Path) -> Iterator[TestVault]:
    made = opened(tmp_path)
    yield made
    made.close()


def state(tested: TestVault) -> Old:
    return tuple(tested.index.oldest()), tested.index.chain_head()


def set_back(tested: TestVault, old: Old) -> None:
    entries, tip = old
    tested.index.clear()
    tested.index.apply(entries, (), tip)


def test_what_was_recorded_and_evicted_since_is_in_the_index_again(tested: TestVault) -> None:
    tested.record()
    gone = tested.record()
    old = state(tested)
    tested.vault.erase([gone])
    tested.record()
    newest = state(tested)
    set_back(tested, old)
    report = catch_up(tested.log, tested.index)
    assert state(tested) == newest
    assert (report.rebuilt, report.faults, report.cut_bytes, report.tip) == (False, [], 0, newest[1])


def test_a_line_that_was_carried_since_is_known_at_its_new_place(tested: TestVault) -> None:
    tested.record()
    old = state(tested)
    for _ in range(200):
        tested.vault.erase([tested.record()])
        first = first_line(tested.log, chapter_of(tested.log.end()))
        if first is not None and carried_of(first.record):
            break
        old = state(tested)
    newest = state(tested)
    assert newest[0][0].line_offset > old[0][0].line_offset
    set_back(tested, old)
    assert not catch_up(tested.log, tested.index).rebuilt
    assert state(tested) == newest


def test_a_clock_sync_dates_what_came_before_it_also_in_an_index_that_was_behind(tested: TestVault) -> None:
    tested.clock.quality = ClockQuality.HELD
    tested.clock.boot = 2
    tested.vault.start()
    tested.record()
    old = state(tested)
    tested.clock.quality = ClockQuality.SYNCED
    tested.record()
    newest = state(tested)
    assert newest[0][0] != old[0][0]
    set_back(tested, old)
    catch_up(tested.log, tested.index)
    assert state(tested) == newest


def test_a_lost_index_dates_a_carried_segment_by_a_sync_in_an_older_chapter(tested: TestVault) -> None:
    """The segment's line stands in a chapter behind that of the sync, which is read first."""
    tested.clock.quality = ClockQuality.UNKNOWN
    tested.clock.boot = 2
    tested.vault.start()
    early = tested.record()
    first = chapter_of(line_of(tested, early))
    while chapter_of(tested.log.end()) == first:
        tested.vault.erase([tested.record()])
    tested.clock.quality = ClockQuality.SYNCED
    tested.record()
    synced = tested.log.end()
    while chapter_of(line_of(tested, early)) == first:
        tested.vault.erase([tested.record()])
    newest = state(tested)
    assert tested.log.chapters()[0] <= chapter_of(synced) < chapter_of(line_of(tested, early))
    assert newest[0][0].quality is ClockQuality.SYNCED
    tested.index.clear()
    assert catch_up(tested.log, tested.index).rebuilt
    assert state(tested) == newest


def line_of(tested: TestVault, segment: str) -> int:
    entry = tested.vault.find(segment)
    assert entry is not None
    return entry.line_offset


def test_a_start_that_is_given_up_keeps_what_was_read(tested: TestVault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_BATCH", 2)
    old = state(tested)
    for _ in range(6):
        tested.record()
    newest = state(tested)
    set_back(tested, old)
    with pytest.raises(StartInterruptedError, match="given up"):
        catch_up(tested.log, tested.index, given_up=lambda: True)
    assert 0 < len(state(tested)[0]) < 6, "the next start goes on there"
    set_back(tested, (newest[0][:1], ChainHead()))
    with pytest.raises(StartInterruptedError):
        catch_up(tested.log, tested.index, given_up=lambda: True)
    catch_up(tested.log, tested.index)
    assert state(tested) == newest


def test_an_index_from_the_beginning_is_made_again_and_says_so(tested: TestVault) -> None:
    for _ in range(3):
        tested.record()
    newest = state(tested)
    report = catch_up(tested.log, tested.index, from_the_beginning=True)
    assert report.rebuilt
    assert state(tested) == newest


def test_a_half_line_at_the_end_is_cut_unless_the_manifest_is_anothers(tested: TestVault, tmp_path: Path) -> None:
    tested.record()
    tested.log.close()
    manifest = tmp_path / "vault" / "manifest.0"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole + b"half a line")
    report = catch_up(tested.log, tested.index, may_cut=False)
    assert (report.cut_bytes, manifest.read_bytes()) == (0, whole + b"half a line")
    report = catch_up(tested.log, tested.index)
    assert (report.cut_bytes, report.faults, manifest.read_bytes()) == (11, [], whole)


def test_a_damaged_line_in_the_middle_is_a_fault_and_is_not_cut(tested: TestVault, tmp_path: Path) -> None:
    names = [tested.record() for _ in range(3)]
    manifest = tmp_path / "vault" / "manifest.0"
    lines = manifest.read_bytes().splitlines(keepends=True)
    lines[-2] = b"?" + lines[-2][1:]
    manifest.write_bytes(b"".join(lines))
    report = catch_up(tested.log, tested.index, from_the_beginning=True)
    assert report.faults
    assert report.cut_bytes == 0
    assert [entry.id for entry in tested.index.oldest()] == [names[0], names[2]]


def test_the_index_ends_where_the_manifest_was_cut(tested: TestVault, tmp_path: Path) -> None:
    """Nothing of the newest chapter can be read, so its end is its beginning."""
    while len(tested.log.chapters()) == 1:
        tested.vault.erase([tested.record()])
    newest = tested.log.chapters()[-1]
    path = tmp_path / "vault" / f"manifest.{newest}"
    size = path.stat().st_size
    path.write_bytes(b"\0" * size)
    report = catch_up(tested.log, tested.index, from_the_beginning=True)
    assert (report.cut_bytes, report.faults, path.stat().st_size) == (size, [], 0)
    assert report.tip.offset == chapter_start(newest)
    assert tested.index.chain_head() == report.tip


def test_an_empty_manifest_is_no_lost_one(tested: TestVault, tmp_path: Path) -> None:
    tested.log.close()
    (tmp_path / "vault" / "manifest.0").write_bytes(b"")
    assert catch_up(tested.log, tested.index) == ReplayReport()
    assert state(tested) == ((), ChainHead())


def test_a_start_that_is_given_up_keeps_what_was_known_before_it(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "_BATCH", 2)
    names = [tested.record() for _ in range(3)]
    old = state(tested)
    names += [tested.record() for _ in range(4)]
    set_back(tested, old)
    with pytest.raises(StartInterruptedError):
        catch_up(tested.log, tested.index, given_up=lambda: True)
    found = [entry.id for entry in tested.index.oldest()]
    assert found[:3] == names[:3]
    assert 3 < len(found) < 7, "and the first batch behind it"


def segments_in(tested: TestVault) -> dict[str, ChainStep]:
    """The line of each segment, by its name."""
    return {
        step.signed.record.id: step
        for step in read_manifest(tested.log)
        if step.signed is not None and isinstance(step.signed.record, SegmentRecord)
    }


def test_damage_is_told_once_and_lines_are_applied_in_batches(
    tested: TestVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [tested.record() for _ in range(7)]
    manifest = tmp_path / "vault" / "manifest.0"
    spoilt = segments_in(tested)[names[2]].offset
    data = manifest.read_bytes()
    manifest.write_bytes(data[:spoilt] + b"?" + data[spoilt + 1 :])
    monkeypatch.setattr(replay, "_BATCH", 2)
    apply, applied = tested.index.apply, list[list[str]]()

    def applying(added: Sequence[VaultEntry], *rest: Any) -> None:
        applied.append([entry.id for entry in added])
        apply(added, *rest)

    monkeypatch.setattr(tested.index, "apply", applying)
    report = catch_up(tested.log, tested.index, from_the_beginning=True)
    assert report.faults == [step.fault for step in read_manifest(tested.log) if step.fault is not None]
    assert len(report.faults) == 2, "the line itself, and the one behind it"
    stored = [*names[:2], *names[3:]]
    assert [name for batch in applied for name in batch] == stored
    assert max(map(len, applied)) == 2


@pytest.fixture
def index() -> mock.Mock:
    """An index that knows nothing and notes what is applied."""
    made = mock.Mock()
    made.get.return_value = None
    made.chain_head.return_value = ChainHead()
    return made


TIP = ChainHead(offset=7 << 32, sequence=99)


def test_lines_change_the_index_once_and_as_they_stand(tested: TestVault, index: mock.Mock) -> None:
    """A carried line moves what is known of its segment; an unknown one is added at its place."""
    first, second = tested.record(), tested.record()
    tested.vault.erase([second])
    (entry,) = tested.index.oldest()
    steps = segments_in(tested)
    erased = next(
        step for step in read_manifest(tested.log)
        if step.signed is not None and isinstance(step.signed.record, EvictionRecord)
    )  # fmt: skip
    carried = replace(steps[first], carried=True, offset=5 << 32)
    dated = replace(entry, start_ms=1, dated_later=True)
    moved = replace(dated, line_offset=5 << 32)
    cases: list[tuple[list[ChainStep], VaultEntry | None, tuple[Any, ...]]] = [
        ([steps[first]], dated, ((entry,), [])),
        ([carried], dated, ((moved,), [first])),
        ([carried], None, ((replace(entry, line_offset=5 << 32),), [])),
        ([steps[first], carried], None, ((replace(entry, line_offset=5 << 32),), [first])),
        ([steps[first], steps[second], erased], None, ((entry,), [second])),
        ([replace(steps[first], signed=None)], None, ((), [])),
    ]
    for lines, known, (added, removed) in cases:
        index.reset_mock()
        index.get.return_value = known
        replay._apply(index, lines, TIP, NO_SYNCS)
        index.apply.assert_called_once_with(added, removed, TIP, [])
    index.reset_mock()
    index.chain_head.return_value = TIP
    replay._apply(index, (), TIP, NO_SYNCS)
    index.apply.assert_not_called()
