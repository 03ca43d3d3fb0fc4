"""Beats follow the boot clock, and each is made a minute before it is sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core import beats
from agent.core.timebase import NS_PER_S, BootNs

HOUR = 3600


def at(seconds: float) -> BootNs:
    return BootNs(int(seconds * NS_PER_S))


def test_beats_follow_the_boot_clock() -> None:
    times = [(0, 0), (839, 0), (840, 1), (840 + HOUR - 1, 1), (840 + HOUR, 2), (840 + 100 * HOUR, 101)]
    assert [beats.beat_number(at(second), HOUR) for second, _ in times] == [number for _, number in times]
    sends = [(0, 900), (899, 900), (900, 900 + HOUR), (900 + HOUR - 1, 900 + HOUR), (900 + HOUR, 900 + 2 * HOUR)]
    assert [beats.next_send_ns(at(second), HOUR) for second, _ in sends] == [at(send) for _, send in sends]


@given(st.integers(0, 10**7), st.sampled_from([HOUR, 6 * HOUR, 24 * HOUR]))
def test_each_sending_has_a_beat_that_was_made_a_minute_before(second: int, every_s: int) -> None:
    send = beats.next_send_ns(at(second), every_s)
    made = BootNs(send - beats.LEAD_S * NS_PER_S)
    assert beats.beat_number(made, every_s) == beats.beat_number(BootNs(made - 1), every_s) + 1
    assert beats.beat_number(send, every_s) == beats.beat_number(made, every_s)
