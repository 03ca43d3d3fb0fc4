"""Two clocks of one camera, each off by another much, stay together for as long as they run."""

from __future__ import annotations

import random

from agent.core.arrivals import ArrivalClock
from agent.core.timebase import NS_PER_S, BootNs

FRAME_NS = NS_PER_S // 15


def dated(seconds: int, drift: float, seed: int) -> list[int]:
    """The error of each frame's date in ns, for a stream with a clock that runs fast by `drift`, behind 60 ms of
    network."""
    clock, chance, off = ArrivalClock(2 * NS_PER_S), random.Random(seed), []
    for number in range(seconds * 15):
        true_ns = number * FRAME_NS
        own_ns = round(true_ns * (1 + drift))
        late_ns = round(60e6 * chance.random() ** 4)
        clock.arrived(own_ns, own_ns + FRAME_NS, BootNs(true_ns + FRAME_NS + late_ns))
        off.append(clock.boot_ns(own_ns) - true_ns)
    return off


def test_sound_and_pictures_of_hours_stay_together() -> None:
    pictures, sound = dated(2 * 3600, 2e-4, 1), dated(2 * 3600, -2e-4, 2)
    apart = [abs(one - other) for one, other in zip(pictures[300:], sound[300:], strict=True)]
    assert max(apart) < NS_PER_S // 50, "by themselves they would be nearly three seconds apart"


def test_a_camera_that_sets_its_clock_is_tied_anew() -> None:
    clock = ArrivalClock(2 * NS_PER_S)
    clock.arrived(50 * NS_PER_S, 50 * NS_PER_S, BootNs(100 * NS_PER_S))
    clock.arrived(0, 0, BootNs(101 * NS_PER_S))  # set back
    assert clock.boot_ns(0) == 101 * NS_PER_S
    clock.arrived(90 * NS_PER_S, 90 * NS_PER_S, BootNs(102 * NS_PER_S))  # set forward
    assert clock.boot_ns(90 * NS_PER_S) == 102 * NS_PER_S


def test_a_stream_is_tied_by_its_first_piece_and_moved_by_early_ones_at_once_and_by_late_ones_slowly() -> None:
    clock = ArrivalClock(2 * NS_PER_S)
    assert (clock.tied, clock.holes, clock.boot_ns(7)) == (False, 0, 7)
    clock.arrived(100, 200, BootNs(5_000))
    assert (clock.tied, clock.boot_ns(100), clock.boot_ns(99)) == (True, 4_900, 4_899)
    clock.arrived(200, 300, BootNs(5_099))
    assert clock.boot_ns(200) == 4_999, "it came one earlier than it can have happened"
    clock.arrived(300, 400, BootNs(5_199 + 1_499))
    assert clock.boot_ns(300) == 5_101, "a 500th of its lateness"
    clock.arrived(400, 500, BootNs(5_301 + 2 * NS_PER_S))
    assert (clock.holes, clock.boot_ns(400)) == (0, 5_201 + NS_PER_S // 250), "late by as much as may be"


def test_what_was_before_a_hole_keeps_its_date() -> None:
    clock = ArrivalClock(2 * NS_PER_S)
    clock.arrived(100, 200, BootNs(5_000))
    clock.arrived(200, 300, BootNs(5_101 + 2 * NS_PER_S))
    assert clock.holes == 1
    assert (clock.boot_ns(200), clock.boot_ns(199)) == (5_001 + 2 * NS_PER_S, 4_999)


def test_a_delay_that_grows_slowly_makes_no_hole_between_pieces_that_follow_each_other() -> None:
    """For example, a busy camera sends all its pictures, each a little later than the one before."""
    clock, before_ns = ArrivalClock(2 * NS_PER_S, counts_losses=True), -FRAME_NS
    for number in range(15 * 20):
        own_ns = number * FRAME_NS
        late_ns = own_ns // 2
        arrived_ns = BootNs(own_ns + FRAME_NS + late_ns)
        clock.arrived(own_ns, own_ns + FRAME_NS, arrived_ns)
        taken_ns = clock.boot_ns(own_ns)
        assert FRAME_NS <= taken_ns - before_ns <= 1.5 * FRAME_NS + 1, "at most as far apart as they arrive"
        assert taken_ns >= arrived_ns - FRAME_NS - 2 * NS_PER_S, "no piece is dated earlier than that"
        before_ns = taken_ns
    assert (clock.holes, late_ns > 9 * NS_PER_S) == (0, True)


def test_a_source_that_counts_losses_is_tied_anew_if_its_clock_is_set() -> None:
    clock = ArrivalClock(2 * NS_PER_S, counts_losses=True)
    clock.arrived(50 * NS_PER_S, 51 * NS_PER_S, BootNs(100 * NS_PER_S))
    clock.arrived(51 * NS_PER_S, 52 * NS_PER_S, BootNs(104 * NS_PER_S))
    assert (clock.holes, clock.boot_ns(51 * NS_PER_S)) == (0, 101 * NS_PER_S), "delayed by 3 s, and late by 2"
    clock.arrived(50 * NS_PER_S, 51 * NS_PER_S, BootNs(105 * NS_PER_S))  # set back by as much as a hole
    assert (clock.holes, clock.boot_ns(50 * NS_PER_S)) == (1, 104 * NS_PER_S)
