"""The score counts what an owner counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.motion_accuracy.scoring import Interval, Score, merged, score, total

TIMES = st.floats(0, 300, allow_nan=False)
INTERVALS = st.lists(st.tuples(TIMES, TIMES).map(lambda pair: Interval(*sorted(pair))), max_size=6)
VISIT = Interval(20, 30)


def counts(
    *fired: Interval, truth: tuple[Interval, ...] = (VISIT,), dont_care: tuple[Interval, ...] = ()
) -> tuple[int, int, int]:
    scored = score(truth, fired, duration_s=300, dont_care=dont_care)
    return scored.hits, scored.misses, scored.false_alarms


def test_an_overlapping_prediction_is_a_hit() -> None:
    assert counts(Interval(22, 24)) == (1, 0, 0)


@pytest.mark.parametrize(("end_s", "seen"), [(19.0, 1), (18.9, 0)])
def test_a_second_of_slack_is_allowed(end_s: float, seen: int) -> None:
    assert counts(Interval(15, end_s))[0] == seen


def test_a_prediction_that_touches_no_truth_is_a_false_alarm_and_more_when_it_runs_on() -> None:
    assert counts(Interval(50, 51)) == (0, 1, 1)
    assert counts(Interval(50, 80)) == (0, 1, 1)
    assert counts(Interval(50, 81)) == (0, 1, 2)


def test_running_on_outside_is_forgiven_for_three_seconds_and_then_counts_per_started_half_minute() -> None:
    assert counts(Interval(22, 33)) == (1, 0, 0)
    assert counts(Interval(22, 33.5)) == (1, 0, 1)
    assert counts(Interval(22, 61)) == (1, 0, 2)


def test_running_through_the_pause_between_two_visits_counts() -> None:
    assert counts(Interval(20, 60), truth=(VISIT, Interval(50, 60))) == (2, 0, 1)


def test_what_does_not_count_is_neither_truth_nor_false() -> None:
    assert counts(Interval(40, 60), dont_care=(Interval(38, 62),)) == (0, 1, 0)
    assert counts(Interval(22, 60), dont_care=(Interval(30, 58),)) == (1, 0, 0)


def test_nothing_counts_in_the_warm_up() -> None:
    assert counts(Interval(0, 1.5), truth=()) == (0, 0, 0)
    assert counts(truth=(Interval(0, 1.9),)) == (0, 0, 0)
    assert counts(Interval(1, 4), truth=(Interval(0, 5),)) == (1, 0, 0)


def test_one_prediction_may_see_several_events() -> None:
    assert counts(Interval(22, 34), truth=(VISIT, Interval(32, 40)))[:2] == (2, 0)


def test_the_ratios_are_those_of_the_sums() -> None:
    summed = total([Score(3, 1, 0, 100), Score(1, 0, 2, 260)])
    assert (summed.precision, summed.recall, summed.f1) == (pytest.approx(4 / 6), 0.8, pytest.approx(8 / 11))
    assert summed.false_alarms_per_h == 20


def test_silence_about_nothing_is_perfect() -> None:
    assert score((), (), duration_s=10).f1 == 1


def test_latency_is_from_the_begin_of_the_event_to_the_first_prediction() -> None:
    assert score((VISIT,), (Interval(21.5, 22), Interval(25, 26)), duration_s=60).latencies_s == (1.5,)
    assert score((VISIT,), (Interval(19.5, 22),), duration_s=60).latencies_s == (0,)


def test_instants_join_over_gaps_up_to_the_limit() -> None:
    assert merged([1, 2, 4, 7.1], gap_s=2) == (Interval(1, 4), Interval(7.1, 7.1))


@given(INTERVALS, INTERVALS)
def test_every_event_is_a_hit_or_a_miss(truth: list[Interval], fired: list[Interval]) -> None:
    scored = score(truth, fired, duration_s=300)
    assert scored.hits + scored.misses == sum(event.end_s >= 2 for event in truth)
    assert 0 <= scored.f1 <= 1


@given(INTERVALS)
def test_predicting_the_truth_is_perfect(truth: list[Interval]) -> None:
    assert score(truth, truth, duration_s=300).f1 == 1


@given(INTERVALS)
def test_firing_always_is_no_way_to_score(truth: list[Interval]) -> None:
    quiet_s = 300 - sum(event.length_s for event in truth)
    scored = score(truth, (Interval(0, 300),), duration_s=300)
    if quiet_s > 30 and not truth:
        assert scored.false_alarms == 10
