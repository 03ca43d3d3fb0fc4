"""A jump of the clock is a claim: it counts once it has stood for its time, or once an owner confirms it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core import clock_trust
from agent.core.clock_trust import LONGEST_WAIT_US, ClockTrust, wait_us
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.wire import strictjson

S_US = 10**6
DAY_US = 86_400 * S_US
TRUE_US = 1_800_000_000 * S_US
JUMP_US = 120 * S_US
BOOTS = tuple(f"{number:032x}" for number in range(1, 20))


def read(at_us: int, utc_us: int, quality: ClockQuality = ClockQuality.SYNCED) -> ClockReading:
    return ClockReading(BootNs(at_us * 1000), UtcNs(utc_us * 1000), quality)


def start(at_us: int = 0) -> ClockTrust:
    return ClockTrust.of(BOOTS[0], read(at_us, TRUE_US + at_us))


def stand(trust: ClockTrust, at_us: int, for_us: int, ahead_us: int, boot: str = BOOTS[0]) -> tuple[ClockTrust, int]:
    """Read every ten minutes a clock that is `ahead_us` of the true time."""
    end_us = at_us + for_us
    while at_us < end_us:
        at_us = min(end_us, at_us + 600 * S_US)
        trust = trust.after(boot, read(at_us, TRUE_US + at_us + ahead_us))
    return trust, at_us


jumps = st.integers(JUMP_US + 1, 70 * 365 * DAY_US) | st.integers(-40 * 365 * DAY_US, -JUMP_US - 1)


@given(jumps, st.integers(0, 10**6))
def test_a_jump_is_believed_after_its_time_and_not_before(jump_us: int, at_us: int) -> None:
    trust = start(at_us).after(BOOTS[0], read(at_us, TRUE_US + at_us + jump_us))
    assert not trust.trusted
    wait = wait_us(jump_us)
    assert trust.left_us == wait <= LONGEST_WAIT_US
    trust, at_us = stand(trust, at_us, wait - 1, jump_us)
    assert not trust.trusted
    trust, at_us = stand(trust, at_us, 1, jump_us)
    assert trust.trusted
    assert trust.utc_us == TRUE_US + at_us + jump_us


@given(jumps, st.integers(1, 30))
def test_half_a_minute_of_a_wrong_time_leaves_no_trace(jump_us: int, for_s: int) -> None:
    if wait_us(jump_us) <= for_s * S_US:
        return
    trust = start()
    for second in range(1, for_s + 1):
        trust = trust.after(BOOTS[0], read(second * S_US, TRUE_US + second * S_US + jump_us))
        assert not trust.trusted
    end_us = (for_s + 1) * S_US
    assert trust.after(BOOTS[0], read(end_us, TRUE_US + end_us)) == start(end_us)


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(-JUMP_US, JUMP_US)), max_size=60))
def test_within_one_boot_no_clock_is_walked_away_in_small_steps(steps: list[tuple[int, int]]) -> None:
    """For any reading, the trusted time stays within one small step of the boot clock, or has waited."""
    trust, at_us, offset_us = start(), 0, 0
    for passed_us, step_us in steps:
        at_us, offset_us = at_us + passed_us, offset_us + step_us
        trust = trust.after(BOOTS[0], read(at_us, TRUE_US + at_us + offset_us))
        assert trust.utc_us == TRUE_US + at_us
        assert trust.trusted == (abs(offset_us) <= JUMP_US)


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(-400, 400), st.booleans()), max_size=80))
def test_a_clock_gains_at_most_eight_seconds_a_second(steps: list[tuple[int, int, bool]]) -> None:
    """The drift that restarts may add: `JUMP_NS` each."""
    trust, at_s, ran_s, offset_s, boot, restarts = start(), 0, 0, 0, 0, 0
    for passed_s, step_s, restart in steps:
        if restart and boot + 1 < len(BOOTS):
            boot, restarts, offset_s, at_s = boot + 1, restarts + 1, offset_s + at_s, 0
        at_s, ran_s, offset_s = at_s + passed_s, ran_s + passed_s, offset_s + step_s
        trust = trust.after(BOOTS[boot], read(at_s * S_US, TRUE_US + (at_s + offset_s) * S_US))
        gained_us = trust.utc_us - TRUE_US - ran_s * S_US
        assert gained_us <= 8 * ran_s * S_US + restarts * JUMP_US


@given(jumps)
def test_readings_of_an_unknown_clock_neither_confirm_nor_forget(jump_us: int) -> None:
    trust = start().after(BOOTS[0], read(S_US, TRUE_US + S_US + jump_us))
    unknown = trust.after(BOOTS[0], read(9 * S_US, 0, ClockQuality.UNKNOWN))
    assert (unknown.ahead_us, unknown.stood_us) == (trust.ahead_us, trust.stood_us)
    assert unknown.expected_us(BOOTS[0], 9 * S_US) == TRUE_US + 9 * S_US


def test_a_restart_keeps_the_time_for_which_a_jump_has_stood() -> None:
    trust, at_us = stand(start(), 0, DAY_US, 31 * DAY_US)
    stood_us = trust.stood_us
    assert stood_us > DAY_US * 9 // 10
    again = trust.after(BOOTS[1], read(S_US, TRUE_US + at_us + 31 * DAY_US + 3600 * S_US))
    assert (again.trusted, again.stood_us) == (False, stood_us)
    other = trust.after(BOOTS[1], read(S_US, TRUE_US + at_us + 40 * DAY_US))
    assert other.stood_us == 0


def test_another_jump_begins_to_wait_from_its_own_beginning() -> None:
    trust, at_us = stand(start(), 0, DAY_US, 31 * DAY_US)
    assert trust.after(BOOTS[0], read(at_us, TRUE_US + at_us + 400 * DAY_US)).stood_us == 0


@given(st.integers(JUMP_US + 1, 70 * 365 * DAY_US), st.integers(-1200, 1200))
def test_an_owners_statement_of_that_very_time_confirms_a_jump_forward(jump_us: int, off_s: int) -> None:
    claimed = read(S_US, TRUE_US + S_US + jump_us)
    trust = start().after(BOOTS[0], claimed)
    owner_ms = (TRUE_US + S_US + jump_us) // 1000 + off_s * 1000
    confirmed = trust.confirmed(BOOTS[0], claimed, owner_ms)
    near = abs(owner_ms * 1000 - TRUE_US - S_US - jump_us) <= 600 * S_US
    assert confirmed.trusted == (near and owner_ms * 1000 > TRUE_US + S_US)


def test_no_statement_confirms_a_clock_that_was_set_back_to_it() -> None:
    claimed = read(S_US, TRUE_US - DAY_US)
    trust = start().after(BOOTS[0], claimed)
    assert not trust.confirmed(BOOTS[0], claimed, (TRUE_US - DAY_US) // 1000).trusted


@given(st.integers(0, 2**60), st.integers(0, 2**62))
def test_what_is_kept_is_read_back(at_us: int, utc_ns: int) -> None:
    moment = ClockReading(BootNs(at_us % 2**50 * 1000), UtcNs(utc_ns), ClockQuality.SYNCED)
    trust = start().after(BOOTS[1], moment)
    assert strictjson.decode(strictjson.encode(trust), ClockTrust, limit_bytes=1024) == trust


# -- the bounds themselves ---------------------------------------------------------------------------------------------

LEAP_US = 10 * DAY_US
HERE, NEXT = BOOTS[:2]


def doubted(at_us: int = 1000, stood_us: int = 7 * S_US) -> ClockTrust:
    """A belief at `at_us` of this boot, and a clock that has been ten days ahead of it for seven seconds."""
    return ClockTrust(boot=HERE, at_us=at_us, utc_us=TRUE_US, ahead_us=LEAP_US, stood_us=stood_us)


def test_a_reading_counts_as_it_was_believed_and_an_earlier_one_of_this_boot_moves_nothing() -> None:
    sound, good = ClockTrust.of(HERE, read(5, TRUE_US)), read(9, TRUE_US + 4)
    assert (sound.boot, sound.at_us, sound.utc_us, sound.ahead_us, sound.stood_us) == (HERE, 5, TRUE_US, 0, 0)
    assert ClockTrust.of(HERE, read(0, -5)).utc_us == 0
    assert sound.judge(good) is good
    assert doubted().judge(good) == read(9, TRUE_US + 4, ClockQuality.UNKNOWN)
    assert [sound.expected_us(HERE, at_us) for at_us in (4, 5, 6)] == [TRUE_US, TRUE_US, TRUE_US + 1]
    assert sound.expected_us(NEXT, 100) == TRUE_US
    assert (sound.left_us, doubted().left_us) == (0, wait_us(LEAP_US) - 7 * S_US)
    assert doubted(stood_us=wait_us(LEAP_US) + 1).left_us == 0
    unknown = read(0, TRUE_US, ClockQuality.UNKNOWN)
    assert sound.after(HERE, unknown) == sound
    assert sound.after(NEXT, unknown) == ClockTrust(boot=NEXT, at_us=0, utc_us=TRUE_US)
    assert [wait_us(ahead_us) for ahead_us in (80, -80, 10**15)] == [10, 10, LONGEST_WAIT_US]


def test_a_small_step_is_believed_after_a_restart_only() -> None:
    sound = ClockTrust.of(HERE, read(0, TRUE_US))
    for step_us in (JUMP_US, -JUMP_US):
        here = sound.after(HERE, read(10, TRUE_US + 10 + step_us))
        assert here == ClockTrust(boot=HERE, at_us=10, utc_us=TRUE_US + 10)
        there = sound.after(NEXT, read(10, TRUE_US + step_us))
        assert there == ClockTrust(boot=NEXT, at_us=10, utc_us=TRUE_US + step_us)
    for step_us in (JUMP_US + 1, -JUMP_US - 1):
        here = sound.after(HERE, read(10, TRUE_US + 10 + step_us))
        assert here == ClockTrust(boot=HERE, at_us=10, utc_us=TRUE_US + 10, ahead_us=step_us)


def test_a_difference_stands_while_it_stays_within_a_small_step() -> None:
    passed_us = 60 * S_US
    for grown_us, ahead_us, stood_us in (
        (JUMP_US, LEAP_US, 67 * S_US),
        (-JUMP_US, LEAP_US, 67 * S_US),
        (JUMP_US + 1, LEAP_US + JUMP_US + 1, 0),
        (-JUMP_US - 1, LEAP_US - JUMP_US - 1, 0),
    ):
        now = read(1000 + passed_us, TRUE_US + passed_us + LEAP_US + grown_us)
        at_us, utc_us = 1000 + passed_us, TRUE_US + passed_us
        expected = ClockTrust(boot=HERE, at_us=at_us, utc_us=utc_us, ahead_us=ahead_us, stood_us=stood_us)
        assert doubted().after(HERE, now) == expected


def test_an_owner_confirms_a_jump_forward_within_the_limit_of_a_statement() -> None:
    trust, now = doubted(at_us=0), read(0, TRUE_US + LEAP_US)
    limit_ms = clock_trust._STATEMENT_US // 1000
    clock_ms = (TRUE_US + LEAP_US) // 1000
    confirmed = ClockTrust.of(HERE, now)
    for owner_ms, expected in (
        (clock_ms, confirmed),
        (clock_ms - limit_ms, confirmed),
        (clock_ms + limit_ms, confirmed),
        (clock_ms - limit_ms - 1, trust),
        (clock_ms + limit_ms + 1, trust),
    ):
        assert trust.confirmed(HERE, now, owner_ms) == expected
    assert trust.confirmed(HERE, read(0, TRUE_US + LEAP_US, ClockQuality.UNKNOWN), clock_ms) == trust
    near = read(0, TRUE_US)
    for owner_ms, expected in ((TRUE_US // 1000, trust), (TRUE_US // 1000 + 1, ClockTrust.of(HERE, near))):
        assert trust.confirmed(HERE, near, owner_ms) == expected, "it is later than the belief"
