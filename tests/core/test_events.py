"""The event machine, row by row of its table."""

from __future__ import annotations

import pytest

from agent.core.events import (
    ClipBegins,
    ClipEnds,
    EventBegins,
    EventEnds,
    EventKind,
    EventMachine,
    EventSettings,
    EventTriggered,
    TriggerKind,
)
from agent.core.motion.sample import MotionSample, MotionState
from agent.core.timebase import BootNs, seconds
from agent.errors import ConfigurationError

SETTINGS = EventSettings(pre_roll_s=5, post_roll_s=10, merge_gap_s=30, longest_clip_s=60)


def at(moment_s: float) -> BootNs:
    return BootNs(seconds(1000 + moment_s))


def moving(moment_s: float, score: float = 0.8) -> MotionSample:
    return MotionSample(at(moment_s), True, score, (0, 0, 1, 1), MotionState.ACTIVE)


def still(moment_s: float, score: float = 0.0) -> MotionSample:
    return MotionSample(at(moment_s), False, score, None, MotionState.QUIET)


def test_motion_begins_an_event_and_a_clip_that_reaches_back_the_pre_roll() -> None:
    machine = EventMachine(SETTINGS)
    assert machine.on_motion(moving(0)) == (
        EventBegins(1, EventKind.MOTION, at(0)),
        ClipBegins(1, EventKind.MOTION, at(-5)),
    )


def test_a_still_picture_begins_nothing() -> None:
    assert EventMachine(SETTINGS).on_motion(still(0, score=0.45)) == ()


def test_the_clip_ends_after_the_post_roll_and_the_event_after_the_merge_gap() -> None:
    machine = EventMachine(SETTINGS)
    machine.on_motion(moving(0))
    assert machine.next_deadline_ns == at(10)
    assert machine.on_time(at(10)) == (ClipEnds(1, at(10)),)
    assert machine.next_deadline_ns == at(30)
    assert machine.on_time(at(30)) == (EventEnds(1, at(0), 0.8),)
    assert machine.next_deadline_ns is None


def test_motion_within_the_merge_gap_makes_a_second_clip_of_the_same_event() -> None:
    machine = EventMachine(SETTINGS)
    machine.on_motion(moving(0))
    assert machine.on_motion(moving(20)) == (ClipEnds(1, at(10)), ClipBegins(1, EventKind.MOTION, at(15)))


def test_a_second_clip_never_reaches_back_into_the_first() -> None:
    machine = EventMachine(SETTINGS)
    machine.on_motion(moving(0))
    assert machine.on_motion(moving(12)) == (ClipEnds(1, at(10)), ClipBegins(1, EventKind.MOTION, at(10)))


def test_motion_after_the_merge_gap_makes_another_event() -> None:
    machine = EventMachine(SETTINGS)
    machine.on_motion(moving(0))
    assert machine.on_motion(moving(31)) == (
        ClipEnds(1, at(10)),
        EventEnds(1, at(0), 0.8),
        EventBegins(2, EventKind.MOTION, at(31)),
        ClipBegins(2, EventKind.MOTION, at(26)),
    )


def test_a_merge_gap_within_the_post_roll_ends_event_and_clip_together() -> None:
    machine = EventMachine(EventSettings(post_roll_s=10, merge_gap_s=3))
    machine.on_motion(moving(0))
    assert machine.on_time(at(9.9)) == ()
    assert machine.on_time(at(10)) == (ClipEnds(1, at(10)), EventEnds(1, at(0), 0.8))


def test_a_clip_split_at_its_longest_goes_on_at_the_same_instant() -> None:
    machine = EventMachine(SETTINGS)
    effects = [effect for second in range(70) for effect in machine.on_motion(moving(second))]
    assert effects[2:] == [ClipEnds(1, at(55)), ClipBegins(1, EventKind.MOTION, at(55))]


def test_a_clip_that_ends_by_itself_at_its_longest_is_not_split() -> None:
    machine = EventMachine(EventSettings(pre_roll_s=5, post_roll_s=10, merge_gap_s=0, longest_clip_s=15))
    machine.on_motion(moving(0))
    assert machine.on_time(at(10)) == (ClipEnds(1, at(10)), EventEnds(1, at(0), 0.8))


@pytest.mark.parametrize("kind", TriggerKind)
def test_a_trigger_alone_makes_an_event(kind: TriggerKind) -> None:
    machine = EventMachine(SETTINGS)
    begins, clip = machine.on_trigger(kind, at(0))
    assert begins == EventBegins(1, EventKind(kind.value), at(0))
    assert clip == ClipBegins(1, EventKind(kind.value), at(-5))
    assert machine.on_time(at(40))[-1] == EventEnds(1, at(0), 0.0)


def test_a_press_within_an_event_is_told_and_names_the_clips_after_it() -> None:
    machine = EventMachine(SETTINGS)
    machine.on_motion(moving(0))
    assert machine.on_trigger(TriggerKind.BUTTON, at(4)) == (EventTriggered(1, TriggerKind.BUTTON, at(4)),)
    machine.on_trigger(TriggerKind.PIR, at(5))
    assert machine.on_motion(moving(20))[-1] == ClipBegins(1, EventKind.BUTTON, at(15))


def test_a_second_ring_is_an_event_of_its_own_and_not_a_frame_is_lost() -> None:
    machine = EventMachine(SETTINGS)
    machine.on_trigger(TriggerKind.BUTTON, at(0))
    assert machine.on_trigger(TriggerKind.BUTTON, at(3)) == (EventTriggered(1, TriggerKind.BUTTON, at(3)),), "one ring"
    assert machine.on_trigger(TriggerKind.BUTTON, at(9)) == (
        ClipEnds(1, at(9)),
        EventEnds(1, at(3), 0.0),
        EventBegins(2, EventKind.BUTTON, at(9)),
        ClipBegins(2, EventKind.BUTTON, at(9)),
    )
    machine.on_time(at(20))  # its clip has ended, and it waits for more
    assert machine.on_trigger(TriggerKind.BUTTON, at(22)) == (
        EventEnds(2, at(9), 0.0),
        EventBegins(3, EventKind.BUTTON, at(22)),
        ClipBegins(3, EventKind.BUTTON, at(19)),
    )


def test_a_weaker_score_keeps_an_event_alive_but_only_for_the_hold() -> None:
    machine = EventMachine(SETTINGS)
    machine.on_motion(moving(0))
    machine.on_motion(still(1.5, score=0.3))
    machine.on_motion(still(2.5, score=0.3))
    assert machine.next_deadline_ns == at(11.5)


def test_closing_ends_the_clip_at_once_and_the_event_at_its_last_activity() -> None:
    machine = EventMachine(SETTINGS)
    machine.on_motion(moving(0))
    assert machine.close(at(3)) == (ClipEnds(1, at(3)), EventEnds(1, at(0), 0.8))
    assert machine.close(at(4)) == ()


def test_no_clip_reaches_back_behind_a_closing() -> None:
    machine = EventMachine(SETTINGS)
    machine.close(at(-2))
    assert machine.on_motion(moving(0))[1] == ClipBegins(1, EventKind.MOTION, at(-2))


def test_a_late_sample_counts_as_now() -> None:
    machine = EventMachine(SETTINGS)
    machine.on_time(at(3))
    assert machine.on_motion(moving(1)) == (
        EventBegins(1, EventKind.MOTION, at(3)),
        ClipBegins(1, EventKind.MOTION, at(-2)),
    )


def test_the_peak_score_is_the_strongest_sample_of_the_event() -> None:
    machine = EventMachine(SETTINGS)
    for second, score in enumerate((0.6, 0.95, 0.7)):
        machine.on_motion(moving(second, score))
    assert machine.close(at(9))[-1] == EventEnds(1, at(2), 0.95)


@pytest.mark.parametrize(
    "wrong",
    [{"pre_roll_s": -1.0}, {"merge_gap_s": float("nan")}, {"longest_clip_s": 0.5}, {"hold_score": 0.0}],
)
def test_impossible_durations_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        EventSettings(**wrong)


def test_a_clip_is_open_from_its_beginning_to_its_end_and_belongs_to_its_event() -> None:
    machine = EventMachine(SETTINGS)
    assert (machine.recording, machine.recorded_event) == (False, None)
    machine.on_motion(moving(0))
    assert (machine.recording, machine.recorded_event) == (True, 1)
    machine.on_time(at(10))
    assert (machine.recording, machine.recorded_event) == (False, None), "the event is open, and no clip"
    machine.on_time(at(30))
    machine.on_motion(moving(40))
    assert (machine.recording, machine.recorded_event) == (True, 2)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("pre_roll_s", 0, 3600), ("post_roll_s", 1, 3600), ("merge_gap_s", 0, 3600), ("longest_clip_s", 1, 3600),
        ("hold_s", 0, 3600), ("stay_s", 0, 3600), ("ring_again_s", 0, 3600),
    ],
)  # fmt: skip
def test_each_duration_may_reach_its_limits_and_no_further(name: str, least: int, most: int) -> None:
    for value in (least, most):
        assert getattr(EventSettings(**{name: value}), name) == value
    for value in (least - 0.5, most + 0.5):
        with pytest.raises(ConfigurationError) as refused:
            EventSettings(**{name: value})
        assert str(refused.value) == f"events.{name} is {value}; give seconds, {least} to 3600."


def test_a_score_that_holds_is_above_zero_and_at_most_one() -> None:
    assert [EventSettings(hold_score=score).hold_score for score in (0.001, 1)] == [0.001, 1]
    for score in (0, 1.001):
        with pytest.raises(ConfigurationError) as refused:
            EventSettings(hold_score=score)
        assert str(refused.value) == f"events.hold_score is {score}; give a number above 0, at most 1."


def test_a_weak_sample_holds_an_event_until_exactly_its_time() -> None:
    settings = EventSettings(hold_score=0.2, hold_s=2, stay_s=300)
    for score, after_s, holds in ((0.2, 2, True), (0.199, 2, False), (0.2, 2.001, False)):
        machine = EventMachine(settings)
        assert not machine._holds(still(0, score=1.0))
        machine.on_motion(moving(0))
        machine._now_ns = at(after_s)
        assert machine._holds(still(after_s, score=score)) is holds
    for after_s, holds in ((300, True), (300.001, False)):
        machine = EventMachine(settings)
        machine.on_motion(moving(0))
        machine._now_ns = at(after_s)
        present = MotionSample(at(after_s), False, 0.0, None, MotionState.QUIET, present=True)
        assert machine._holds(present) is holds


def test_a_pulse_of_the_sensor_holds_the_event_of_a_visitor_whom_the_camera_has_let_go() -> None:
    """The camera saw them at 0 and has learned them as scenery; the sensor feels them at 8 and no more."""
    for kind, until_s in ((TriggerKind.PIR, 48), (TriggerKind.BUTTON, 18)):
        machine = EventMachine(EventSettings(post_roll_s=10, merge_gap_s=10, warm_s=30))
        machine.on_motion(moving(0))
        effects = [*machine.on_trigger(kind, at(8))]
        for moment_s in range(9, 60):
            effects += machine.on_motion(still(moment_s))
        assert ClipEnds(1, at(until_s)) in effects, kind


def test_a_pulse_alone_holds_nothing() -> None:
    machine = EventMachine(EventSettings(post_roll_s=10, merge_gap_s=10, warm_s=30))
    machine.on_trigger(TriggerKind.PIR, at(0))
    effects = [effect for moment_s in range(1, 20) for effect in machine.on_motion(still(moment_s))]
    assert effects == [ClipEnds(1, at(10)), EventEnds(1, at(0), 0.0)]


def test_a_press_behind_a_pulse_of_the_sensor_rings_for_the_first_time() -> None:
    """Only a second press ends the event of the first one. It then has a separate line."""
    machine = EventMachine(SETTINGS)
    machine.on_trigger(TriggerKind.PIR, at(0))
    pressed = machine.on_trigger(TriggerKind.BUTTON, at(SETTINGS.ring_again_s))
    assert EventTriggered(1, TriggerKind.BUTTON, at(SETTINGS.ring_again_s)) in pressed
    assert not any(isinstance(each, EventEnds) for each in pressed)
    again = machine.on_trigger(TriggerKind.BUTTON, at(2 * SETTINGS.ring_again_s))
    assert any(isinstance(each, EventEnds) and each.event == 1 for each in again)


def test_a_pulse_within_an_event_holds_it_for_exactly_its_time_and_is_told_once() -> None:
    machine = EventMachine(EventSettings(post_roll_s=10, merge_gap_s=10, warm_s=30))
    machine.on_motion(moving(0))
    assert machine.on_trigger(TriggerKind.PIR, at(4)) == (EventTriggered(1, TriggerKind.PIR, at(4)),)
    assert machine.next_deadline_ns == at(14)
    for moment_s in (13, 22, 31, 34):
        assert machine.on_motion(still(moment_s)) == ()
    assert machine.next_deadline_ns == at(44), "a sample 30 s after the pulse holds"
    assert machine.on_motion(MotionSample(BootNs(at(34) + 1), False, 0.1, None, MotionState.QUIET)) == ()
    assert machine.next_deadline_ns == at(44), "a later one does not"
    assert machine.on_time(at(44)) == (ClipEnds(1, at(44)), EventEnds(1, at(34), 0.8))


def test_a_pulse_that_begins_an_event_holds_nothing_until_another_comes() -> None:
    machine = EventMachine(EventSettings(post_roll_s=10, merge_gap_s=10, warm_s=30))
    assert machine.on_trigger(TriggerKind.PIR, at(0)) == (
        EventBegins(1, EventKind.PIR, at(0)),
        ClipBegins(1, EventKind.PIR, at(-5)),
    )
    machine.on_motion(still(5))
    assert machine.next_deadline_ns == at(10)
    # Each later pulse counts, and the newest decides.
    machine.on_trigger(TriggerKind.PIR, at(6))
    machine.on_trigger(TriggerKind.PIR, at(9))
    for moment_s in (18, 27, 36, 39):
        machine.on_motion(still(moment_s))
    assert machine.next_deadline_ns == at(49)


@pytest.mark.parametrize("name", ["pre_roll_s", "merge_gap_s", "hold_s", "stay_s", "ring_again_s", "warm_s"])
def test_a_duration_has_its_bounds(name: str) -> None:
    for seconds_ in (0, 3600):
        EventSettings(**{name: seconds_})
    for seconds_ in (-0.001, 3600.001):
        with pytest.raises(ConfigurationError) as refused:
            EventSettings(**{name: seconds_})
        assert refused.value.message == f"events.{name} is {seconds_}; give seconds, 0 to 3600."
