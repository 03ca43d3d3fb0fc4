"""The back-off and the window, without any network."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.bus import LinkFault
from agent.mqtt.pacing import AcknowledgementBeat, Backoff, InFlightWindow, MessageRateLimiter, RefusedFilters

FAULTS = st.sampled_from([LinkFault.LOST, LinkFault.UNREACHABLE, LinkFault.BUSY, LinkFault.STALLED, LinkFault.CLOCK])


def longest(_low: float, high: float) -> float:
    return high


@given(FAULTS, st.integers(1, 40))
def test_pauses_stay_within_4_s_while_work_is_pending_and_5_min_when_idle(fault: LinkFault, failures: int) -> None:
    pending, idle = Backoff(longest), Backoff(longest)
    assert max(pending.next_s(fault, pending=True) for _ in range(failures)) <= 4
    assert max(idle.next_s(fault, pending=False) for _ in range(failures)) <= 300


def test_pauses_grow_and_begin_anew_when_the_link_has_proved_good() -> None:
    backoff = Backoff(longest)
    grown = [backoff.next_s(LinkFault.LOST, pending=False) for _ in range(9)]
    assert grown == sorted(grown)
    assert grown[-1] == 300
    backoff.reset()
    assert backoff.next_s(LinkFault.LOST, pending=False) == grown[0]


@pytest.mark.parametrize("fault", [LinkFault.CERTIFICATE_REFUSED, LinkFault.BROKER_NOT_TRUSTED, LinkFault.TAKEN_OVER])
def test_what_only_a_person_can_mend_is_not_hurried(fault: LinkFault) -> None:
    assert Backoff(lambda low, _high: low).next_s(fault, pending=True) >= 15


def test_pauses_are_jittered_over_most_of_their_length() -> None:
    asked: list[tuple[float, float]] = []
    backoff = Backoff(lambda low, high: asked.append((low, high)) or low)  # type: ignore[func-returns-value]
    backoff.next_s(LinkFault.LOST, pending=True)
    assert asked[0][1] / asked[0][0] >= 4


@given(st.lists(st.integers(0, 2000)), st.integers(1, 5), st.integers(1, 3000))
def test_the_window_never_holds_more_than_its_bounds_except_one_large_message(
    sizes: list[int], messages: int, limit_bytes: int
) -> None:
    window, held = InFlightWindow(messages, limit_bytes), dict[int, int]()
    for token, size in enumerate(sizes):
        if not window.admits(size):
            assert held
            oldest = next(iter(held))
            window.remove(oldest)
            del held[oldest]
            continue
        window.add(token, size)
        held[token] = size
        assert len(held) <= messages
        assert sum(held.values()) <= limit_bytes or len(held) == 1


@given(st.floats(0, 1e6), st.floats(0, 0.5), st.integers(1, 9))
def test_messages_are_taken_one_at_a_beat_however_late_somebody_comes_for_them(
    now_s: float, late_s: float, messages: int
) -> None:
    beat, taken = AcknowledgementBeat(0.25), []
    for _ in range(messages):
        due_s = now_s + beat.wait_s(now_s)
        assert 0 < due_s - now_s <= 0.25
        assert beat.wait_s(now_s + 0.1) <= 0.15 + 1e-9  # asked again, it is the same beat
        assert beat.wait_s(due_s) == 0
        beat.taken()
        taken.append(due_s)
        now_s = due_s + late_s
    assert all(each / 0.25 == round(each / 0.25) for each in taken)
    assert len(set(taken)) == messages


def test_without_a_beat_nothing_waits() -> None:
    assert AcknowledgementBeat(0.0).wait_s(12.34) == 0


@given(st.floats(0, 1e4), st.integers(1, 50))
def test_a_pace_lets_as_many_come_at_once_as_in_a_second_and_then_one_after_the_other(now_s: float, per_s: int) -> None:
    pace, came = MessageRateLimiter(float(per_s)), []
    for _ in range(3 * per_s):
        while (wait_s := pace.wait_s(now_s)) > 1e-6:
            now_s += wait_s
        pace.taken()
        came.append(now_s)
    assert came[per_s - 1] == came[0]
    assert abs((came[-1] - came[0]) - 2) < 0.01
    assert pace.wait_s(now_s + 1.01) == 0


def test_without_a_pace_nothing_waits() -> None:
    pace = MessageRateLimiter(0.0)
    for _ in range(1000):
        assert pace.wait_s(1.0) == 0
        pace.taken()


def test_a_refused_filter_is_due_again_after_pauses_that_grow_to_a_minute() -> None:
    filters, now_s, pauses = RefusedFilters(longest), 100.0, list[float]()
    for _ in range(9):
        pauses.append(filters.refused("a/+", now_s))
        assert filters.take_due(now_s + pauses[-1] - 0.01) == []
        assert filters.wait_s(now_s) == pytest.approx(pauses[-1])
        now_s += pauses[-1]
        assert filters.take_due(now_s) == ["a/+"]
        assert filters.take_due(now_s) == [], "it waits for its answer"
        assert filters.wait_s(now_s) == math.inf
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_doorbells_whose_filter_was_refused_together_ask_again_apart() -> None:
    asked: list[tuple[float, float]] = []
    RefusedFilters(lambda low, high: asked.append((low, high)) or high).refused("a/+", 0.0)  # type: ignore[func-returns-value]
    assert asked == [(0.5, 1.0)]


@pytest.mark.parametrize("ends", [lambda filters: filters.forget("a/+"), lambda filters: filters.clear()])
def test_a_filter_that_was_granted_or_whose_connection_ended_begins_again(
    ends: Callable[[RefusedFilters], None],
) -> None:
    filters = RefusedFilters(longest)
    for now_s in (0.0, 10.0):
        filters.refused("a/+", now_s)
    ends(filters)
    assert filters.take_due(1000.0) == []
    assert filters.refused("a/+", 1000.0) == 1.0
