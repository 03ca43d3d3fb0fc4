"""The custodian's clock: what a start believes, what is told of a jump, and how often the trusted time is stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from agent.core.clock_trust import ClockTrust
from agent.core.timebase import NS_PER_S, ClockQuality
from agent.core.vault.entries import VaultEntry
from agent.custodian.clock_trust import TrustedClock
from agent.custodian.journal_sqlite import SqliteJournal
from agent.errors import StorageError
from agent.wire import strictjson
from tests.custodians import NOW_S, PaperVault
from tests.vaults import SteppedClock

HOUR_S = 3600
NAME = "clock.trust"


@pytest.fixture
def journal() -> Iterator[SqliteJournal]:
    made = SqliteJournal(":memory:")
    yield made
    made.close()


@pytest.fixture
def wall() -> SteppedClock:
    return SteppedClock(utc_offset_ns=(NOW_S - 100) * NS_PER_S)


def newest(**changes: Any) -> VaultEntry:
    vault = PaperVault()
    entry = vault.kept[vault.keep(NOW_S)].entry
    return dataclasses.replace(entry, **changes)


def stored(journal: SqliteJournal) -> ClockTrust | None:
    data = journal.get(NAME)
    return None if data is None else strictjson.decode(data, ClockTrust, limit_bytes=1024)


def test_a_new_doorbell_believes_its_first_reading_once_it_is_synchronised(
    journal: SqliteJournal, wall: SteppedClock
) -> None:
    wall.quality = ClockQuality.UNKNOWN
    clock = TrustedClock(wall, journal, lambda: None)
    clock.keep()
    assert (clock.trusted_ms, clock.believed_ms, stored(journal)) == (None, wall.now().utc_ns // 10**6, None)
    wall.quality = ClockQuality.SYNCED
    assert clock.trusted_ms == clock.believed_ms == wall.now().utc_ns // 10**6
    clock.keep()
    read = wall.now()
    expected = ClockTrust(boot=wall.boot_id, at_us=read.boot_ns // 1000, utc_us=read.utc_ns // 1000)
    assert stored(journal) == expected
    assert clock.boot_id == wall.boot_id
    assert clock.now() == read


def test_without_a_stored_time_the_end_of_the_newest_segment_is_believed(
    journal: SqliteJournal, wall: SteppedClock
) -> None:
    entry = newest()
    before = ClockTrust(boot="0" * 32, at_us=0, utc_us=entry.end_ms * 1000)
    assert TrustedClock(wall, journal, lambda: entry)._trust == before
    early = newest(start_ms=-9000, end_ms=-4000)
    assert TrustedClock(wall, journal, lambda: early)._trust == ClockTrust(boot="0" * 32, at_us=0, utc_us=0)


@pytest.mark.parametrize("why", ["no segment", "a segment without a date", "an index that cannot be read"])
def test_without_a_dated_segment_nothing_is_believed_before_the_first_reading(
    journal: SqliteJournal, wall: SteppedClock, why: str
) -> None:
    def found() -> VaultEntry | None:
        if why == "an index that cannot be read":
            raise StorageError("The index is damaged.")
        return newest(quality=ClockQuality.UNKNOWN) if why == "a segment without a date" else None

    clock = TrustedClock(wall, journal, found)
    assert clock._trust is None
    assert clock.status() is None
    assert clock.trusted_ms == wall.now().utc_ns // 10**6


def test_a_stored_time_that_cannot_be_read_is_told_and_the_newest_segment_counts(
    journal: SqliteJournal, wall: SteppedClock
) -> None:
    journal.put(NAME, b"{")
    entry = newest()
    with capture_logs() as logs:
        clock = TrustedClock(wall, journal, lambda: entry)
    assert [each["event"] for each in logs] == ["clock_trust_unreadable"]
    assert clock._trust is not None
    assert clock._trust.utc_us == entry.end_ms * 1000


def test_a_jump_is_logged_once_and_so_is_its_end(journal: SqliteJournal, wall: SteppedClock) -> None:
    clock = TrustedClock(wall, journal, lambda: None)
    with capture_logs() as logs:
        for _ in range(3):
            clock.now()
        assert logs == []
        wall.utc_offset_ns += HOUR_S * NS_PER_S
        for _ in range(3):
            clock.now()
        assert logs == [{"event": "clock_jumped", "log_level": "warning", "ahead_us": HOUR_S * 10**6}]
        wall.utc_offset_ns -= HOUR_S * NS_PER_S
        for _ in range(3):
            clock.now()
    assert logs[1:] == [{"event": "clock_trusted", "log_level": "warning", "ahead_us": 0}]


def test_the_status_tells_of_a_jump_how_far_it_is_and_how_long_it_must_stand(
    journal: SqliteJournal, wall: SteppedClock
) -> None:
    clock = TrustedClock(wall, journal, lambda: None)
    assert clock.status() is None
    right_ms = wall.now().utc_ns // 10**6
    clock.now()
    wall.utc_offset_ns += HOUR_S * NS_PER_S
    assert clock.status() == {"ahead_s": HOUR_S, "confirmed_in_s": HOUR_S // 8}
    assert (clock.trusted_ms, clock.believed_ms) == (None, right_ms)
    assert clock.now().quality is ClockQuality.UNKNOWN
    wall.advance(50)
    assert clock.status() == {"ahead_s": HOUR_S, "confirmed_in_s": HOUR_S // 8 - 50}
    assert clock.believed_ms == right_ms + 50_000
    wall.advance(HOUR_S // 8 - 50)
    assert clock.status() is None
    assert clock.trusted_ms == wall.now().utc_ns // 10**6


def test_an_owners_statement_confirms_a_jump_forward_and_the_log_says_so_once(
    journal: SqliteJournal, wall: SteppedClock
) -> None:
    clock = TrustedClock(wall, journal, lambda: None)
    clock.now()
    wall.utc_offset_ns += HOUR_S * NS_PER_S
    with capture_logs() as logs:
        clock.confirm(wall.now().utc_ns // 10**6 - 2 * HOUR_S * 1000)
        assert clock.trusted_ms is None
        clock.confirm(wall.now().utc_ns // 10**6)
        clock.confirm(wall.now().utc_ns // 10**6)
    assert clock.trusted_ms == wall.now().utc_ns // 10**6
    told = [each for each in logs if each["event"] == "clock_confirmed"]
    assert told == [{"event": "clock_confirmed", "log_level": "info", "by": "owner"}]


def test_the_time_is_stored_every_ten_minutes_and_at_each_change(journal: SqliteJournal, wall: SteppedClock) -> None:
    """Each write wears the card."""
    clock = TrustedClock(wall, journal, lambda: None)

    def writes() -> bool:
        before = stored(journal)
        clock.keep()
        return stored(journal) != before

    assert writes()
    wall.advance(599.9)
    assert not writes()
    wall.advance(0.1)
    assert writes()
    wall.utc_offset_ns += HOUR_S * NS_PER_S
    assert writes(), "a jump"
    assert not writes()
    wall.utc_offset_ns -= HOUR_S * NS_PER_S
    assert writes(), "its end"
    wall.boot += 1
    assert writes(), "a start"
    again = TrustedClock(wall, journal, lambda: None)
    assert again._trust == again._written == stored(journal)
    clock = again
    assert not writes()


@pytest.mark.parametrize(("drift_us", "is_stored"), [(10**6, False), (10**6 + 1, True), (-(10**6), False)])
def test_a_time_that_differs_from_the_stored_one_by_more_than_a_second_is_stored(
    journal: SqliteJournal, wall: SteppedClock, drift_us: int, is_stored: bool
) -> None:
    clock = TrustedClock(wall, journal, lambda: None)
    clock.keep()
    before = stored(journal)
    assert before is not None
    clock._trust = replace(before, utc_us=before.utc_us + drift_us)
    clock.keep()
    assert (stored(journal) != before) is is_stored
