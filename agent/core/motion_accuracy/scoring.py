"""Scores predicted motion against labelled truth, event by event, the way an owner would count.

Rules, all in seconds of footage:

* **Warm-up.**  Nothing before `warm_up_s` counts, for or against: truth and predictions are cut there.
* **Hit.**  A true event counts as seen when a prediction overlaps it, give or take `slack_s`.
* **False alarm.**  A prediction that touches no truth is one, and one more for each further started `alarm_unit_s`.  A
  prediction that touches truth but runs on outside it is one per started `alarm_unit_s` of each such run longer than
  `overrun_s`: a detector that never stops firing would else score perfectly.
* **Don't care.**  Intervals that count neither way are cut from the time outside truth; a prediction inside one is not
  an alarm.

An owner's evening is decided by alerts, so this counts events and alarms, not frames or pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.core.events import EventBegins, EventEnds, EventMachine, EventSettings
from agent.core.motion.sample import MotionSample
from agent.core.timebase import NS_PER_S, BootNs

__all__ = ["SCORED_EVENTS", "Interval", "Score", "ScoringRules", "events_in", "merged", "score", "total"]

SCORED_EVENTS = EventSettings(pre_roll_s=0, post_roll_s=1, merge_gap_s=2, longest_clip_s=3600)
"""Events as they are scored: short gaps joined, but no minute of quiet between two visits counted as seen."""


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """`start_s` ≤ t ≤ `end_s`, seconds from the start of the footage."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s

    def touches(self, other: Interval, slack_s: float = 0.0) -> bool:
        """Do the two meet, give or take `slack_s`?"""
        return self.start_s <= other.end_s + slack_s and other.start_s <= self.end_s + slack_s


@dataclass(frozen=True, slots=True)
class ScoringRules:
    """The tolerances of the module docstring, in seconds."""

    warm_up_s: float = 2.0
    slack_s: float = 1.0
    overrun_s: float = 3.0
    alarm_unit_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Score:
    """Counts that add up over clips, and the ratios they give.

    `watched_s` is the footage that counted (after the warm-up); `latencies_s` has, per seen event, the seconds from its
    begin to the first overlapping prediction (0 when the prediction was already running).
    """

    hits: int
    misses: int
    false_alarms: int
    watched_s: float
    latencies_s: tuple[float, ...] = ()

    @property
    def precision(self) -> float:
        """The share of alarms that was real, 0..1.  1 when nothing fired."""
        fired = self.hits + self.false_alarms
        return self.hits / fired if fired else 1.0

    @property
    def recall(self) -> float:
        """The share of events that was seen, 0..1.  1 when nothing happened."""
        happened = self.hits + self.misses
        return self.hits / happened if happened else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0..1."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @property
    def false_alarms_per_h(self) -> float:
        return self.false_alarms * 3600 / self.watched_s if self.watched_s > 0 else 0.0


def score(
    truth: Iterable[Interval],
    predictions: Iterable[Interval],
    *,
    duration_s: float,
    dont_care: Iterable[Interval] = (),
    rules: ScoringRules | None = None,
) -> Score:
    """Score one clip of `duration_s`.  Overlapping truths stay separate events; predictions are taken as given."""
    rules = rules or ScoringRules()
    events = _from(rules.warm_up_s, truth)
    fired = _from(rules.warm_up_s, predictions)
    excused = sorted([*events, *_from(rules.warm_up_s, dont_care)])
    latencies = tuple(latency for event in events if (latency := _latency_s(event, fired, rules)) is not None)
    return Score(
        hits=len(latencies),
        misses=len(events) - len(latencies),
        false_alarms=sum(_false_alarms(prediction, events, excused, rules) for prediction in fired),
        watched_s=max(0.0, duration_s - rules.warm_up_s),
        latencies_s=latencies,
    )


def total(scores: Iterable[Score]) -> Score:
    """The sum over clips: every event and every alarm weighs the same, whatever clip it came from."""
    listed = tuple(scores)
    return Score(
        hits=sum(each.hits for each in listed),
        misses=sum(each.misses for each in listed),
        false_alarms=sum(each.false_alarms for each in listed),
        watched_s=sum(each.watched_s for each in listed),
        latencies_s=tuple(latency for each in listed for latency in each.latencies_s),
    )


def events_in(
    samples: Iterable[MotionSample], origin_ns: BootNs, settings: EventSettings = SCORED_EVENTS
) -> tuple[Interval, ...]:
    """The events the device would make of `samples`, first to last activity, seconds from `origin_ns`."""
    machine = EventMachine(settings)
    effects = [effect for sample in samples for effect in machine.on_motion(sample)]
    last_ns = machine.next_deadline_ns
    if last_ns is not None:
        effects += machine.close(last_ns)
    begins = (effect.at_ns for effect in effects if isinstance(effect, EventBegins))
    ends = (effect.at_ns for effect in effects if isinstance(effect, EventEnds))
    return tuple(
        Interval((begin_ns - origin_ns) / NS_PER_S, (end_ns - origin_ns) / NS_PER_S)
        for begin_ns, end_ns in zip(begins, ends, strict=True)
    )


def merged(moving_at_s: Iterable[float], *, gap_s: float) -> tuple[Interval, ...]:
    """Join ascending instants of motion into predictions: a new one begins after more than `gap_s` without motion."""
    joined: list[Interval] = []
    for at_s in moving_at_s:
        if joined and at_s - joined[-1].end_s <= gap_s:
            joined[-1] = Interval(joined[-1].start_s, at_s)
        else:
            joined.append(Interval(at_s, at_s))
    return tuple(joined)


def _from(start_s: float, intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The part of `intervals` that lies at or after `start_s`."""
    return tuple(Interval(max(start_s, each.start_s), each.end_s) for each in intervals if each.end_s >= start_s)


def _latency_s(event: Interval, fired: Sequence[Interval], rules: ScoringRules) -> float | None:
    """Seconds from the event's begin to the first prediction that sees it; None for a missed event."""
    seen = [
        max(0.0, prediction.start_s - event.start_s) for prediction in fired if prediction.touches(event, rules.slack_s)
    ]
    return min(seen) if seen else None


def _false_alarms(
    prediction: Interval, events: Sequence[Interval], excused: Sequence[Interval], rules: ScoringRules
) -> int:
    outside = _outside(prediction, excused)
    if any(prediction.touches(event, rules.slack_s) for event in events):
        return sum(math.ceil(run.length_s / rules.alarm_unit_s) for run in outside if run.length_s > rules.overrun_s)
    if any(prediction.touches(each) for each in excused):
        return sum(math.ceil(run.length_s / rules.alarm_unit_s) for run in outside if run.length_s > rules.overrun_s)
    return max(1, math.ceil(prediction.length_s / rules.alarm_unit_s))


def _outside(prediction: Interval, excused: Sequence[Interval]) -> list[Interval]:
    """The runs of `prediction` that no interval of `excused` (ascending) covers."""
    runs: list[Interval] = []
    reached_s = prediction.start_s
    for each in excused:
        if each.start_s > prediction.end_s:
            break
        if each.start_s > reached_s:
            runs.append(Interval(reached_s, each.start_s))
        reached_s = max(reached_s, each.end_s)
    if reached_s < prediction.end_s:
        runs.append(Interval(reached_s, prediction.end_s))
    return runs
