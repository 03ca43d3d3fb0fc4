"""A wrong time that calls itself synchronised destroys nothing: it waits for confirmation, and the owner is told."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import structlog

from agent.core.consent import RequestState
from agent.core.retention import RetentionLimits
from agent.core.timebase import NS_PER_S, ClockQuality
from agent.custodian.clock_trust import TrustedClock
from agent.custodian.journal_sqlite import SqliteJournal
from agent.wire.statements import Hold, OptOut, Scope
from tests.custodians import NOW_S, ROOT, Door, bundle, signed, stated
from tests.fake_disk import FakeDisk
from tests.vaults import TestVault, make_vault
from tests.wire import samples

DAY_S = 86_400
YEAR_S = 365 * DAY_S
WRONG = {"in 31 days": 31 * DAY_S, "in 2100": 74 * YEAR_S, "in 1972": -54 * YEAR_S}


LIMITS = RetentionLimits(1 << 40, oldest_ms=30 * DAY_S * 1000)


@pytest.fixture
def tested() -> Iterator[TestVault]:
    made = make_vault(FakeDisk())
    yield made
    made.close()


def roll(tested: TestVault, clock: TrustedClock) -> None:
    tested.vault.enforce_retention((), LIMITS, now_ms=clock.trusted_ms)


@pytest.mark.parametrize("kept", ["the journal remembers the time", "only the newest segment tells the time"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_start_with_a_wrong_time_evicts_nothing(tested: TestVault, wrong: str, kept: str) -> None:
    journal = SqliteJournal(":memory:")
    if "journal" in kept:
        TrustedClock(tested.clock, journal, tested.vault.newest).keep()
    ids = [tested.record() for _ in range(7)]
    tested.clock.boot += 1
    tested.clock.utc_offset_ns += WRONG[wrong] * NS_PER_S
    tested.vault.start()
    clock = TrustedClock(tested.clock, journal, tested.vault.newest)
    for _ in range(6):
        ids.append(tested.record())
        tested.clock.advance(5)
        roll(tested, clock)
    assert [entry.id for entry in tested.vault.entries()] == ids
    journal.close()


def test_after_a_month_in_a_drawer_old_footage_goes_once_the_time_has_stood_for_three_days(tested: TestVault) -> None:
    journal = SqliteJournal(":memory:")
    old = [tested.record() for _ in range(3)]
    clock = TrustedClock(tested.clock, journal, tested.vault.newest)
    clock.keep()
    tested.clock.boot += 1
    tested.clock.utc_offset_ns += 31 * DAY_S * NS_PER_S
    tested.vault.start()
    newest = tested.record()
    for _ in range(3 * DAY_S // 300):
        roll(tested, clock)
        assert tested.vault.totals().segments == len(old) + 1
        tested.clock.advance(300)
    tested.clock.advance(300)
    roll(tested, clock)
    assert [entry.id for entry in tested.vault.entries()] == [newest]
    journal.close()


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    valid = tuple(
        msgspec.structs.replace(
            each, keys=tuple(msgspec.structs.replace(key, from_s=NOW_S - YEAR_S) for key in each.keys)
        )
        for each in bundle().requesters
    )
    made.custodian.control._trust.accept(signed(samples.bundle(version=2, requesters=valid), ROOT))
    made.custodian.on_time()
    yield made
    made.close()


def lie(door: Door, by_s: int, lasts_s: int = 30) -> None:
    """A time server is wrong by `by_s`; the doorbell looks at its clock every few seconds."""
    door.clock.utc_offset_ns += by_s * NS_PER_S
    run(door, lasts_s)
    door.clock.utc_offset_ns -= by_s * NS_PER_S


def run(door: Door, for_s: int, step_s: int = 5) -> None:
    for _ in range(max(1, for_s // step_s)):
        door.clock.boot_ns += step_s * NS_PER_S
        door.custodian.on_time()


def restart(door: Door, off_s: int = 0) -> None:
    door.clock.boot += 1
    door.clock.utc_offset_ns += door.clock.boot_ns + off_s * NS_PER_S
    door.clock.boot_ns = 20 * NS_PER_S
    door.clock.utc_offset_ns -= door.clock.boot_ns
    door.start()
    door.custodian.on_time()


@pytest.mark.parametrize("wrong", WRONG)
def test_half_a_minute_of_a_wrong_time_neither_expires_nor_revokes_a_request(door: Door, wrong: str) -> None:
    pending, approved = door.ask(), door.ask()
    disclosure = door.approve(approved, door.segments[0]).disclosure
    lie(door, WRONG[wrong])
    assert (door.state(pending), door.state(approved)) == (RequestState.PENDING, RequestState.APPROVED)
    run(door, 10)
    assert (door.state(pending), door.state(approved)) == (RequestState.PENDING, RequestState.APPROVED)
    assert door.outgoing() == [disclosure]
    assert door.custodian.held(1 << 20) >= set(door.segments)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_start_with_a_wrong_time_neither_expires_nor_revokes_a_request(door: Door, wrong: str) -> None:
    pending, approved = door.ask(), door.ask()
    door.approve(approved, door.segments[0])
    door.custodian.on_time()
    restart(door, WRONG[wrong])
    run(door, 30)
    assert (door.state(pending), door.state(approved)) == (RequestState.PENDING, RequestState.APPROVED)


def test_a_hold_outlives_a_wrong_time(door: Door) -> None:
    door.obey(Hold(**stated(), segments=(door.segments[0],), until_s=NOW_S + DAY_S))
    lie(door, 2 * DAY_S)
    assert door.custodian.holds.held() == {door.segments[0]}


def test_a_wrong_time_does_not_end_an_opt_out(door: Door) -> None:
    door.obey(OptOut(**stated(), scope=Scope.ALL, until_s=NOW_S + DAY_S))
    door.clock.utc_offset_ns += 2 * DAY_S * NS_PER_S
    asked = door.ask()
    assert door.state(asked) is RequestState.OPTED_OUT


def test_a_request_that_runs_out_in_a_time_nobody_confirmed_can_still_be_answered_by_its_owners_clock(
    door: Door,
) -> None:
    asked = door.ask(not_after_s=NOW_S + DAY_S)
    door.clock.utc_offset_ns += 2 * DAY_S * NS_PER_S
    run(door, 30)
    assert door.approve(asked, door.segments[0]).state is RequestState.APPROVED


def test_what_ran_out_while_the_doorbell_was_off_expires_once_the_time_is_confirmed(door: Door) -> None:
    asked = door.ask(not_after_s=NOW_S + 3600)
    door.custodian.on_time()
    restart(door, off_s=8 * 3600)
    assert door.state(asked) is RequestState.PENDING
    run(door, 8 * 3600 // 8 + 60, 30)
    assert door.state(asked) is RequestState.EXPIRED


def test_an_owners_statement_of_that_time_confirms_a_jump_at_once(door: Door) -> None:
    asked = door.ask(not_after_s=NOW_S + DAY_S)
    restart(door, off_s=31 * DAY_S)
    assert door.state(asked) is RequestState.PENDING
    now_ms = door.clock.now().utc_ns // 10**6
    door.obey(OptOut(**{**stated(), "owner_time_ms": now_ms}, scope=Scope.HOURS, value="2200-0600"))
    door.custodian.on_time()
    assert door.state(asked) is RequestState.EXPIRED


def test_a_statement_of_another_time_confirms_nothing(door: Door) -> None:
    asked = door.ask(not_after_s=NOW_S + DAY_S)
    door.clock.utc_offset_ns += 31 * DAY_S * NS_PER_S
    door.obey(OptOut(**stated(), scope=Scope.HOURS, value="2200-0600"))
    door.custodian.on_time()
    assert door.state(asked) is RequestState.PENDING


def test_a_power_cut_does_not_forget_that_a_time_waits_for_confirmation(door: Door) -> None:
    asked = door.ask(not_after_s=NOW_S + DAY_S)
    door.custodian.on_time()
    restart(door, off_s=31 * DAY_S)
    for _ in range(5):
        run(door, 60)
        restart(door)
    assert door.state(asked) is RequestState.PENDING
    assert door.custodian.clock.now().quality is ClockQuality.UNKNOWN


def test_what_was_recorded_under_a_false_past_outlives_the_return_of_the_right_time(tested: TestVault) -> None:
    """A burglar takes the power away, answers for the time servers for an hour, and leaves."""
    journal = SqliteJournal(":memory:")
    TrustedClock(tested.clock, journal, tested.vault.newest).keep()
    tested.clock.boot += 1
    tested.clock.utc_offset_ns -= YEAR_S * NS_PER_S
    tested = make_vault(tested.disk, clock=tested.clock)  # another process
    clock = TrustedClock(tested.clock, journal, tested.vault.newest)
    clock.keep()
    ids = [tested.record() for _ in range(3)]
    tested.clock.advance(3600)
    roll(tested, clock)
    tested.clock.utc_offset_ns += YEAR_S * NS_PER_S
    for _ in range(3):
        ids.append(tested.record())
        roll(tested, clock)
    assert clock.trusted_ms is not None
    assert [entry.id for entry in tested.vault.entries()] == ids
    journal.close()


def test_a_jump_is_told_with_its_length_and_how_long_it_must_stand_and_is_believed_only_after_that(
    tested: TestVault,
) -> None:
    journal = SqliteJournal(":memory:")
    clock = TrustedClock(tested.clock, journal, tested.vault.newest)
    assert clock.status() is None
    before_ms = tested.clock.now().utc_ns // 10**6
    assert (clock.believed_ms, clock.trusted_ms) == (before_ms, before_ms)
    tested.clock.utc_offset_ns += 31 * DAY_S * NS_PER_S
    assert clock.status() == {"ahead_s": 31 * DAY_S, "confirmed_in_s": 3 * DAY_S}
    assert (clock.believed_ms, clock.trusted_ms) == (before_ms, None)
    assert clock.now().quality is ClockQuality.UNKNOWN
    tested.clock.advance(300)
    assert clock.believed_ms == before_ms + 300_000
    status = clock.status()
    assert status is not None
    assert status["confirmed_in_s"] == 3 * DAY_S - 300
    clock.confirm(tested.clock.now().utc_ns // 10**6)
    assert clock.status() is None
    assert clock.trusted_ms == clock.believed_ms == before_ms + (31 * DAY_S + 300) * 1000
    journal.close()


def test_a_time_that_cannot_be_read_is_taken_from_the_newest_segment(tested: TestVault) -> None:
    journal = SqliteJournal(":memory:")
    tested.record()
    newest = tested.vault.newest()
    assert newest is not None
    with journal.transaction():
        journal.put("clock.trust", b"{")
    tested.clock.boot += 1
    tested.clock.utc_offset_ns += 74 * YEAR_S * NS_PER_S
    with structlog.testing.capture_logs() as logged:
        clock = TrustedClock(tested.clock, journal, tested.vault.newest)
    assert [entry["event"] for entry in logged] == ["clock_trust_unreadable"]
    assert clock.trusted_ms is None
    assert clock.believed_ms == newest.end_ms
    journal.close()


def test_a_time_that_goes_on_as_expected_is_written_every_ten_minutes(
    tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal(":memory:")
    clock = TrustedClock(tested.clock, journal, tested.vault.newest)
    written: list[str] = []
    put = journal.put
    monkeypatch.setattr(journal, "put", lambda name, value: (written.append(name), put(name, value)))
    for seconds, writes in ((0, 1), (5, 1), (594, 1), (1, 2), (599, 2), (1, 3)):
        tested.clock.advance(seconds)
        with journal.transaction():
            clock.keep()
        assert len(written) == writes, seconds
    journal.close()
