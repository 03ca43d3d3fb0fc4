"""The delay between an approval and its first byte runs on the boot clock, from the first question on."""

from __future__ import annotations

import pytest

from agent.core.timebase import NS_PER_S
from agent.custodian.releases import DisclosureTimer
from tests.vaults import SteppedClock


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


def test_the_delay_begins_with_the_first_question_and_ends_at_its_last_nanosecond(clock: SteppedClock) -> None:
    timer = DisclosureTimer(clock, 60)
    clock.advance(1000)
    assert not timer.is_over("a")
    clock.boot_ns += 60 * NS_PER_S - 1
    assert not timer.is_over("a")
    clock.boot_ns += 1
    assert timer.is_over("a")
    assert not timer.is_over("b"), "each disclosure has its own"


def test_the_time_that_is_left_is_told_in_whole_seconds_and_is_the_whole_delay_before_the_first_question(
    clock: SteppedClock,
) -> None:
    timer = DisclosureTimer(clock, 60)
    assert timer.left_s("a") == 60
    clock.advance(30)
    assert timer.left_s("a") == 60, "to tell it begins nothing"
    timer.is_over("a")
    for passed_s, left_s in ((0.5, 59), (58.5, 1), (0.5, 0), (0.5, 0), (1000, 0)):
        clock.advance(passed_s)
        assert timer.left_s("a") == left_s


def test_without_a_delay_it_is_over_at_once(clock: SteppedClock) -> None:
    timer = DisclosureTimer(clock, 0)
    assert timer.left_s("a") == 0
    assert timer.is_over("a")


def test_a_disclosure_that_is_forgotten_waits_the_whole_delay_again(clock: SteppedClock) -> None:
    timer = DisclosureTimer(clock, 60)
    timer.is_over("a")
    clock.advance(60)
    timer.forget("a")
    timer.forget("never asked about")
    assert timer.left_s("a") == 60
    assert not timer.is_over("a")
