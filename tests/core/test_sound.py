"""When a sample was heard: a card's drift is followed, a late thread is not, a hole is found."""

from __future__ import annotations

import random

import pytest

from agent.core.sound import SampleClock
from agent.core.timebase import NS_PER_S, BootNs

RATE_HZ = 16_000
BLOCK = 320


def run(seconds: int, *, drift: float = 0.0, jitter_ns: int = 0) -> list[float]:
    """The error of each block's end in ms, for a card with a clock that runs slow by `drift`."""
    clock, chance, off = SampleClock(RATE_HZ), random.Random(1), []
    for number in range(1, seconds * RATE_HZ // BLOCK + 1):
        true_ns = round(number * BLOCK * NS_PER_S / RATE_HZ * (1 + drift))
        clock.block(BLOCK, BootNs(true_ns + round(jitter_ns * chance.random())))
        off.append((clock.heard_ns(number * BLOCK * NS_PER_S // RATE_HZ) - true_ns) / 1e6)
    return off


@pytest.mark.parametrize("drift", [-2e-4, 0.0, 2e-4])
def test_a_day_of_a_card_with_its_own_clock_stays_within_a_few_milliseconds(drift: float) -> None:
    off = run(3600, drift=drift, jitter_ns=8_000_000)
    assert max(map(abs, off[500:])) < 8
    assert abs(off[-1] - off[500]) < 8, "nothing adds up"


def test_a_thread_that_slept_does_not_move_what_was_heard() -> None:
    clock = SampleClock(RATE_HZ)
    for number in range(1, 101):
        clock.block(BLOCK, BootNs(number * 20_000_000))
    before = clock.heard_ns(NS_PER_S)
    for _ in range(5):  # five blocks at once, the first of them 100 ms late
        clock.block(BLOCK, BootNs(105 * 20_000_000))
    assert abs(clock.heard_ns(NS_PER_S) - before) < 1_000_000


def test_a_hole_is_found_and_what_lies_before_it_keeps_its_time() -> None:
    clock = SampleClock(RATE_HZ)
    for number in range(1, 51):
        clock.block(BLOCK, BootNs(number * 20_000_000))
    clock.block(BLOCK, BootNs(6 * NS_PER_S))
    assert clock.holes == 1
    assert clock.heard_ns(NS_PER_S // 2) == NS_PER_S // 2
    assert abs(clock.heard_ns(NS_PER_S) - (6 * NS_PER_S - 20_000_000)) < 1000


def test_what_the_source_says_is_missing_moves_only_what_comes_after() -> None:
    clock = SampleClock(RATE_HZ)
    for number in range(1, 51):
        clock.block(BLOCK, BootNs(number * 20_000_000))
    clock.lack(100_000_000)  # less than a late thread would be forgiven
    clock.block(BLOCK, BootNs(NS_PER_S + 120_000_000))
    assert clock.holes == 0
    assert clock.heard_ns(NS_PER_S - 1) == NS_PER_S - 1
    assert clock.heard_ns(NS_PER_S) == NS_PER_S + 100_000_000
    clock.lack(50_000_000)
    assert clock.heard_ns(NS_PER_S + 20_000_000) == NS_PER_S + 170_000_000
