"""Segments recorded before the clock was synchronised are dated later; a wrong clock changes no order and no date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.requests import TimeWindow, match
from agent.core.retention import RetentionLimits
from agent.core.timebase import ClockQuality
from agent.core.vault.coverage import CoverageState
from agent.core.vault.manifest import read_chain
from agent.core.vault.records import ClockSync
from agent.custodian.clock_trust import TrustedClock
from agent.custodian.journal_sqlite import SqliteJournal
from agent.platform.disk import RealDisk
from agent.recorder.vault_recovery import StartReport
from agent.vault.index_sqlite import SqliteIndex
from tests.fake_disk import FakeDisk
from tests.vaults import START_UTC_NS, SteppedClock, TestVault, event_id, make_vault

START_MS = START_UTC_NS // 10**6
YEAR_NS = 31_557_600 * 10**9


@pytest.fixture(params=["in memory", "on disk"])
def tested(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestVault]:
    clock = SteppedClock(quality=ClockQuality.UNKNOWN, utc_offset_ns=0)
    if request.param == "in memory":
        made = make_vault(FakeDisk(), clock=clock)
    else:
        index = SqliteIndex(tmp_path / "index.sqlite")
        made = make_vault(RealDisk(), index=index, root=tmp_path / "vault", clock=clock)
    yield made
    made.close()


class Everywhere:
    def contains(self, lat: float, lon: float) -> bool:
        return True


def certain(tested: TestVault, from_ms: int, to_ms: int) -> bool:
    found = tested.vault.overlapping(from_ms, to_ms)
    return match(TimeWindow(from_ms, to_ms), Everywhere(), (0, 0), found, most=100).certain


def clock_syncs(tested: TestVault) -> int:
    records = [step.signed.record for step in read_chain(tested.log.lines()) if step.signed]
    return sum(isinstance(record, ClockSync) for record in records)


def know_the_time(tested: TestVault) -> None:
    tested.clock.quality, tested.clock.utc_offset_ns = ClockQuality.SYNCED, START_UTC_NS


def test_a_clock_sync_dates_what_was_recorded_before_it(tested: TestVault) -> None:
    early = [tested.record() for _ in range(3)]
    assert all(entry.start_ms < 10**6 for entry in tested.vault.entries())
    know_the_time(tested)
    late = tested.record()
    entries = list(tested.vault.entries())
    assert [entry.id for entry in entries] == [*early, late]
    assert [entry.start_ms for entry in entries] == [START_MS + 1000 * second for second in (100, 101, 102, 103)]
    assert all(entry.quality is ClockQuality.SYNCED for entry in entries)
    assert certain(tested, START_MS + 100_000, START_MS + 103_000)
    assert clock_syncs(tested) == 1


def test_the_dates_survive_a_lost_index(tested: TestVault) -> None:
    tested.record()
    know_the_time(tested)
    tested.record()
    before = list(tested.vault.entries())
    tested.index.clear()
    tested.vault.start()
    assert list(tested.vault.entries()) == before
    assert tested.vault.start() == StartReport()


def test_a_device_that_restarts_with_a_known_clock_dates_what_it_recorded_before(tested: TestVault) -> None:
    tested.record()
    know_the_time(tested)
    tested.vault.start()
    tested.vault.enforce_retention(())
    (entry,) = tested.vault.entries()
    assert entry.start_ms == START_MS + 100_000
    tested.vault.enforce_retention(())
    assert clock_syncs(tested) == 1


def test_what_nobody_saw_end_stays_uncertain(tested: TestVault) -> None:
    writer = tested.vault.begin(event_id(1), tested.clock.now())
    writer.write(bytes(1000))
    writer.abandon()
    tested.vault.start()
    know_the_time(tested)
    tested.record()
    cut = next(tested.vault.entries())
    assert (cut.start_ms, cut.quality) == (START_MS + 100_000, ClockQuality.UNKNOWN)
    assert not certain(tested, cut.start_ms, cut.end_ms)


@pytest.mark.parametrize("years", [-10, 10])
def test_a_clock_step_of_ten_years_changes_no_order_no_certain_match_and_ages_nothing(
    tested: TestVault, years: int
) -> None:
    know_the_time(tested)
    ids = [tested.record() for _ in range(3)]
    window = (START_MS + 100_000, START_MS + 103_000)
    assert certain(tested, *window)
    journal = SqliteJournal(":memory:")
    clock = TrustedClock(tested.clock, journal, tested.vault.newest)
    clock.keep()
    tested.clock.utc_offset_ns += years * YEAR_NS  # and the time server still vouches for it
    stepped = tested.record()
    tested.vault.enforce_retention((), RetentionLimits(1 << 40, oldest_ms=30 * 86_400_000), now_ms=clock.trusted_ms)
    journal.close()
    assert [entry.id for entry in tested.vault.entries()] == [*ids, stepped]
    assert certain(tested, *window)
    assert [entry.id for entry in tested.vault.overlapping(*window)] == ids
    strange = tested.vault.find(stepped)
    assert strange is not None
    assert strange.quality is ClockQuality.UNKNOWN
    assert not certain(tested, strange.start_ms, strange.end_ms)
    tested.clock.utc_offset_ns = START_UTC_NS
    assert tested.record() == list(tested.vault.entries())[-1].id
    assert certain(tested, START_MS + 104_000, START_MS + 105_000)


def test_a_window_is_told_by_the_dates_that_came_later(tested: TestVault) -> None:
    began = tested.clock.now()
    tested.clock.advance(50)
    tested.record()
    tested.vault.record_coverage(began, tested.clock.advance(50))
    know_the_time(tested)
    tested.vault.enforce_retention(())
    found = tested.vault.coverage(START_MS + 100_000, START_MS + 200_000, START_MS + 10**6)
    assert [one.state for one in found] == [CoverageState.NOTHING, CoverageState.FOOTAGE, CoverageState.NOTHING]
