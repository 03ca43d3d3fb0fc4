"""An index that is behind its manifest is brought up to it, line by line, and a stop in between loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.timebase import ClockQuality
from agent.core.vault.entries import VaultEntry
from agent.core.vault.manifest import ChainHead, carried_of, chapter_of, chapter_start
from agent.vault import replay
from agent.vault.manifest_reader import first_line
from agent.vault.replay import StartInterruptedError, catch_up
from tests.recorder.test_chapters import live_through, opened
from tests.vaults import TestVault

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
    live_through(tested, 60)
    newest = tested.log.chapters()[-1]
    path = tmp_path / "vault" / f"manifest.{newest}"
    size = path.stat().st_size
    path.write_bytes(b"\0" * size)
    report = catch_up(tested.log, tested.index, from_the_beginning=True)
    assert (report.cut_bytes, report.faults, path.stat().st_size) == (size, [], 0)
    assert report.tip.offset == chapter_start(newest)
    assert tested.index.chain_head() == report.tip
