"""The event machine's invariants, on any sequence of samples, triggers, passing time and closings."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.events import (
    ClipBegins,
    ClipEnds,
    EventBegins,
    EventEffect,
    EventEnds,
    EventMachine,
    EventSettings,
    EventTriggered,
    TriggerKind,
)
from agent.core.motion.sample import MotionSample, MotionState
from agent.core.timebase import BootNs, seconds

SETTINGS = st.builds(
    EventSettings,
    pre_roll_s=st.sampled_from([0.0, 1.0, 5.0, 20.0]),
    post_roll_s=st.sampled_from([1.0, 2.0, 10.0]),
    merge_gap_s=st.sampled_from([0.0, 5.0, 30.0]),
    longest_clip_s=st.sampled_from([1.0, 7.0, 60.0]),
    hold_s=st.sampled_from([0.0, 2.0]),
)
INPUTS = st.lists(
    st.tuples(
        st.sampled_from(["still", "weak", "moving", "button", "pir", "time", "close"]),
        st.sampled_from([0.0, 0.1, 0.5, 3.0, 11.0, 45.0]),
    ),
    max_size=40,
)


@dataclass
class Run:
    """A machine's outputs for a list of (input, seconds since the one before), and then for `close`."""

    settings: EventSettings
    effects: list[EventEffect] = field(default_factory=list)
    activities_ns: list[int] = field(default_factory=list)
    closings_ns: list[int] = field(default_factory=list)

    def feed(self, inputs: list[tuple[str, float]]) -> Run:
        machine, now_ns = EventMachine(self.settings), seconds(100)
        for name, later_s in inputs:
            now_ns += seconds(later_s)
            self.effects += self.give(machine, name, BootNs(now_ns))
        self.closings_ns.append(now_ns)
        self.effects += machine.close(BootNs(now_ns))
        assert machine.next_deadline_ns is None
        assert not machine.recording
        return self

    def give(self, machine: EventMachine, name: str, now_ns: BootNs) -> tuple[EventEffect, ...]:
        if name in ("moving", "button", "pir"):
            self.activities_ns.append(now_ns)
        match name:
            case "still" | "weak" | "moving":
                score = {"still": 0.0, "weak": 0.3, "moving": 0.9}[name]
                return machine.on_motion(MotionSample(now_ns, name == "moving", score, None, MotionState.ACTIVE))
            case "button" | "pir":
                return machine.on_trigger(TriggerKind(name), now_ns)
            case "time":
                return machine.on_time(now_ns)
        self.closings_ns.append(now_ns)
        return machine.close(now_ns)

    @property
    def clips_ns(self) -> list[tuple[int, int]]:
        begins = [effect.from_ns for effect in self.effects if isinstance(effect, ClipBegins)]
        ends = [effect.until_ns for effect in self.effects if isinstance(effect, ClipEnds)]
        return list(zip(begins, ends, strict=True))


RUNS = st.builds(lambda chosen, inputs: Run(chosen).feed(inputs), SETTINGS, INPUTS)


@given(RUNS)
def test_clips_come_in_order_and_never_overlap(run: Run) -> None:
    clips = run.clips_ns
    assert all(begin <= end for begin, end in clips)
    assert all(end <= following for (_, end), (following, _) in itertools.pairwise(clips))


@given(RUNS)
def test_every_activity_lies_in_a_clip(run: Run) -> None:
    for at_ns in run.activities_ns:
        assert any(begin <= at_ns <= end for begin, end in run.clips_ns)


@given(RUNS)
def test_the_pre_roll_is_kept_whole_back_to_the_clip_before_or_a_closing(run: Run) -> None:
    reach_ns = seconds(run.settings.pre_roll_s)
    for at_ns in run.activities_ns:
        closed_ns = max((each for each in run.closings_ns if each <= at_ns), default=0)
        wanted_ns = max(at_ns - reach_ns, closed_ns)
        kept = [(max(begin, wanted_ns), min(end, at_ns)) for begin, end in run.clips_ns]
        assert sum(max(0, end - begin) for begin, end in kept) == at_ns - wanted_ns


@given(RUNS)
def test_the_post_roll_is_kept_whole_up_to_a_closing(run: Run) -> None:
    for at_ns in run.activities_ns:
        closed_ns = min(each for each in run.closings_ns if each >= at_ns)
        until_ns = min(at_ns + seconds(run.settings.post_roll_s), closed_ns)
        kept = [(max(begin, at_ns), min(end, until_ns)) for begin, end in run.clips_ns]
        assert sum(max(0, end - begin) for begin, end in kept) == until_ns - at_ns


@given(RUNS)
def test_no_clip_is_longer_than_the_longest(run: Run) -> None:
    assert all(end - begin <= seconds(run.settings.longest_clip_s) for begin, end in run.clips_ns)


@given(RUNS)
def test_everything_that_begins_ends_once_and_in_turn(run: Run) -> None:
    event: int | None = None
    clip_open = False
    for effect in run.effects:
        match effect:
            case EventBegins(ordinal):
                assert event is None
                event = ordinal
            case EventTriggered(ordinal):
                assert event == ordinal
            case ClipBegins(ordinal):
                assert event == ordinal
                assert not clip_open
                clip_open = True
            case ClipEnds(ordinal):
                assert event == ordinal
                assert clip_open
                clip_open = False
            case EventEnds(ordinal):
                assert event == ordinal
                assert not clip_open
                event = None
    assert event is None
    assert not clip_open


@given(SETTINGS, INPUTS)
def test_asking_at_every_deadline_changes_nothing_but_when_it_is_said(
    chosen: EventSettings, inputs: list[tuple[str, float]]
) -> None:
    punctual, machine, now_ns = Run(chosen), EventMachine(chosen), seconds(100)
    for name, later_s in inputs:
        now_ns += seconds(later_s)
        while (deadline_ns := machine.next_deadline_ns) is not None and deadline_ns <= now_ns:
            punctual.effects += machine.on_time(deadline_ns)
        punctual.effects += punctual.give(machine, name, BootNs(now_ns))
    punctual.effects += machine.close(BootNs(now_ns))
    assert punctual.effects == Run(chosen).feed(inputs).effects


@settings(max_examples=50)
@given(SETTINGS, INPUTS, st.integers(0, seconds(3)))
def test_a_late_sample_neither_turns_back_time_nor_raises(
    chosen: EventSettings, inputs: list[tuple[str, float]], late_ns: int
) -> None:
    run, machine, now_ns = Run(chosen), EventMachine(chosen), seconds(100)
    for turn, (name, later_s) in enumerate(inputs):
        now_ns += seconds(later_s)
        run.effects += run.give(machine, name, BootNs(now_ns - (late_ns if turn % 2 else 0)))
    run.effects += machine.close(BootNs(now_ns))
    clips = run.clips_ns
    assert all(end <= following for (_, end), (following, _) in itertools.pairwise(clips))


@pytest.mark.parametrize("name", ["button", "pir"])
@given(SETTINGS, INPUTS)
def test_a_trigger_is_always_told(name: str, chosen: EventSettings, inputs: list[tuple[str, float]]) -> None:
    run, machine, now_ns = Run(chosen), EventMachine(chosen), seconds(100)
    for each, later_s in inputs:
        now_ns += seconds(later_s)
        run.give(machine, each, BootNs(now_ns))
    told = run.give(machine, name, BootNs(now_ns))
    assert any(isinstance(effect, EventBegins | EventTriggered) and effect.kind.value == name for effect in told)
