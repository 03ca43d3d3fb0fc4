"""Groups motion and triggers into events, and says from when to when each event is kept as clips.

The transition table is the machine.  `t` is the instant of an input, `last` the newest activity of the open event,
`free` the end of the newest clip (nothing before it is free to be kept again).

    state      input                                     effects                                        next
    ---------  ----------------------------------------  ---------------------------------------------  ---------
    IDLE       activity at t                             EventBegins(t)                                 RECORDING
                                                         ClipBegins(from max(t - pre-roll, free))
    RECORDING  activity at t                             -                        (last := t)           RECORDING
    RECORDING  time reaches clip begin + longest clip    ClipEnds, ClipBegins at that same instant      RECORDING
    RECORDING  time reaches last + post-roll             ClipEnds(last + post-roll)                     WAITING
    WAITING    activity at t                             ClipBegins(from max(t - pre-roll, free))       RECORDING
    WAITING    time reaches last + merge gap             EventEnds(last)                                IDLE
    RECORDING  a trigger at t                            EventTriggered(t), then as activity            RECORDING
    WAITING    a trigger at t                            EventTriggered(t), then as activity            RECORDING
    RECORDING  the button at t, and an earlier press     ClipEnds(t), EventEnds(last), EventBegins(t),  RECORDING
               in the event by `ring_again_s` or more    ClipBegins(t)
    WAITING    the button at t, likewise                 EventEnds(last), EventBegins(t),               RECORDING
                                                         ClipBegins(from max(t - pre-roll, free))
    any        closed at t                               ClipEnds(t) if recording, EventEnds(last)      IDLE

*Activity* is a confirmed motion sample, a button press, a PIR pulse, or - this is the hysteresis - after confirmed
motion, a weaker sample within `hold_s`, or one that says within `stay_s` that the visitor is still there.  A trigger
needs no motion: a press at night in a lightless porch makes an event.

Invariants (held by `tests/properties/test_event_machine.py`): clips never overlap; every activity lies in a clip; a
clip reaches back the whole pre-roll unless the clip before it has those frames already; a clip that is split at the
longest length goes on at the very instant of its end, so that every frame is kept; each thing that begins ends once.

Pure: instants are boot-clock nanoseconds given by the caller, who asks `next_deadline_ns` when to call `on_time`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from agent.core.motion.sample import MotionSample
from agent.core.timebase import BootNs, seconds
from agent.errors import ConfigurationError

__all__ = [
    "ButtonRing",
    "ClipBegins",
    "ClipEnds",
    "EventBegins",
    "EventEffect",
    "EventEnds",
    "EventKind",
    "EventMachine",
    "EventSettings",
    "EventTriggered",
    "TriggerKind",
]


class EventKind(enum.Enum):
    """The kind shown for an event: the strongest of its causes until now."""

    MOTION = "motion"
    PIR = "pir"
    BUTTON = "button"


class TriggerKind(enum.Enum):
    """A source other than the picture that reports a person."""

    PIR = "pir"
    BUTTON = "button"

    @property
    def event_kind(self) -> EventKind:
        return EventKind(self.value)


_STRENGTH = (EventKind.MOTION, EventKind.PIR, EventKind.BUTTON)


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Durations in seconds. Raises `ConfigurationError` if they contradict each other.

    `hold_score` 0..1 and `hold_s`: a sample with at least this score keeps an event open for this many seconds after
    the last confirmed one. Half of the detector's `CONFIRMED_SCORE` means a track that is still there. `stay_s`: an
    event lasts this long for a visitor who stands still. `ring_again_s`: a press this long after another one is a
    second ring. `warm_s`: a PIR pulse within an event holds it for this many seconds.
    """

    pre_roll_s: float = 5.0
    post_roll_s: float = 10.0
    merge_gap_s: float = 30.0
    longest_clip_s: float = 120.0
    hold_score: float = 0.2
    hold_s: float = 2.0
    stay_s: float = 300.0
    ring_again_s: float = 5.0
    warm_s: float = 30.0

    def __post_init__(self) -> None:
        least = {"pre_roll_s": 0, "post_roll_s": 1, "merge_gap_s": 0, "longest_clip_s": 1, "hold_s": 0, "stay_s": 0}
        least |= {"ring_again_s": 0, "warm_s": 0}
        for name, least_s in least.items():
            if not least_s <= getattr(self, name) <= 3600:
                raise ConfigurationError(f"events.{name} is {getattr(self, name)}; give seconds, {least_s} to 3600.")
        if not 0 < self.hold_score <= 1:
            raise ConfigurationError(f"events.hold_score is {self.hold_score}; give a number above 0, at most 1.")


@dataclass(frozen=True, slots=True)
class EventBegins:
    """`event` counts from 1 in the life of one machine."""

    event: int
    kind: EventKind
    at_ns: BootNs


@dataclass(frozen=True, slots=True)
class EventTriggered:
    """A button press or PIR pulse within an open event. It deserves an alert, but no new clip."""

    event: int
    kind: TriggerKind
    at_ns: BootNs


@dataclass(frozen=True, slots=True)
class EventEnds:
    """`at_ns` is the event's last activity, `peak_score` its strongest motion, 0 if there was none."""

    event: int
    at_ns: BootNs
    peak_score: float


@dataclass(frozen=True, slots=True)
class ClipBegins:
    """Keep every frame from `from_ns` on, in the past by up to the pre-roll."""

    event: int
    kind: EventKind
    from_ns: BootNs


@dataclass(frozen=True, slots=True)
class ClipEnds:
    """Keep no frame from `until_ns` on. A clip is half open, so the next one may begin at that instant."""

    event: int
    until_ns: BootNs


@dataclass(frozen=True, slots=True)
class ButtonRing:
    """A press of the button for the manifest. Hurried presses are one ring."""

    at_ns: BootNs


EventEffect = EventBegins | EventTriggered | EventEnds | ClipBegins | ClipEnds


@dataclass(slots=True)
class _OpenEvent:
    """The event in progress: RECORDING if `clip_from_ns` is set, WAITING if it is None."""

    ordinal: int
    kind: EventKind
    last_ns: BootNs
    confirmed_ns: BootNs | None = None
    clip_from_ns: BootNs | None = None
    pressed_ns: BootNs | None = None
    warm_ns: BootNs | None = None
    peak_score: float = 0.0


class EventMachine:
    """The table above.  Feed it every sample, every trigger, and the time at each `next_deadline_ns`."""

    def __init__(self, settings: EventSettings | None = None) -> None:
        self._settings = settings or EventSettings()
        self._pre_roll_ns = seconds(self._settings.pre_roll_s)
        self._post_roll_ns = seconds(self._settings.post_roll_s)
        # A merge gap no longer than the post-roll leaves WAITING at once: event and clip end together.
        self._merge_gap_ns = max(seconds(self._settings.merge_gap_s), self._post_roll_ns)
        self._longest_clip_ns = seconds(self._settings.longest_clip_s)
        self._hold_ns = seconds(self._settings.hold_s)
        self._stay_ns = seconds(self._settings.stay_s)
        self._warm_ns = seconds(self._settings.warm_s)
        self._event: _OpenEvent | None = None
        self._events_begun = 0
        self._now_ns = BootNs(0)
        self._free_ns = BootNs(0)

    @property
    def next_deadline_ns(self) -> BootNs | None:
        """Returns the time of the next step if it comes before an input, or None outside events."""
        event = self._event
        if event is None:
            return None
        if event.clip_from_ns is None:
            return BootNs(event.last_ns + self._merge_gap_ns)
        return BootNs(min(event.clip_from_ns + self._longest_clip_ns, event.last_ns + self._post_roll_ns))

    @property
    def recording(self) -> bool:
        """Is a clip open?"""
        return self._event is not None and self._event.clip_from_ns is not None

    @property
    def recorded_event(self) -> int | None:
        """The event of which a clip is open."""
        return self._event.ordinal if self._event is not None and self._event.clip_from_ns is not None else None

    def on_motion(self, sample: MotionSample) -> tuple[EventEffect, ...]:
        """Handles one sample of the detector, moving or not. It also carries the time."""
        effects = [*self._reach(sample.sensor_ns)]
        if sample.moving:
            effects += self._activity(EventKind.MOTION)
            if self._event is not None:
                self._event.confirmed_ns = self._now_ns
        elif self._holds(sample):
            effects += self._activity(EventKind.MOTION)
        if self._event is not None:
            self._event.peak_score = max(self._event.peak_score, sample.score)
        return tuple(effects)

    def on_trigger(self, kind: TriggerKind, at_ns: BootNs) -> tuple[EventEffect, ...]:
        """A button press or PIR pulse: always an event, whatever the picture shows."""
        effects = [*self._reach(at_ns)]
        # A second ring is a separate event: otherwise the owner's list would show one event for two rings.
        if kind is TriggerKind.BUTTON and self._rings_again():
            effects += self._end_now()
        if self._event is not None:
            effects.append(EventTriggered(self._event.ordinal, kind, self._now_ns))
            if kind is TriggerKind.PIR:
                # Only within an open event: a pulse alone can be the sun on a wall.
                self._event.warm_ns = self._now_ns
        effects += self._activity(kind.event_kind)
        if kind is TriggerKind.BUTTON and self._event is not None:
            self._event.pressed_ns = self._now_ns
        return tuple(effects)

    def on_time(self, now_ns: BootNs) -> tuple[EventEffect, ...]:
        """Time passed: ends, splits and closes whatever is due."""
        return tuple(self._reach(now_ns))

    def close(self, at_ns: BootNs) -> tuple[EventEffect, ...]:
        """Ends everything at `at_ns` (stop, privacy, loss of the camera). No later clip reaches back behind it."""
        effects = [*self._reach(at_ns), *self._end_now()]
        self._free_ns = self._now_ns
        return tuple(effects)

    # The table's rows.

    def _rings_again(self) -> bool:
        pressed_ns = self._event.pressed_ns if self._event is not None else None
        return pressed_ns is not None and self._now_ns - pressed_ns >= seconds(self._settings.ring_again_s)

    def _end_now(self) -> Iterator[EventEffect]:
        """End the event that is open, and its clip, at this instant."""
        event = self._event
        if event is None:
            return
        if event.clip_from_ns is not None:
            self._free_ns = self._now_ns
            yield ClipEnds(event.ordinal, self._now_ns)
        yield self._end_event(event)

    def _reach(self, now_ns: BootNs) -> Iterator[EventEffect]:
        """Let time pass up to `now_ns`, doing what falls due on the way, in order and at its own instant."""
        # Time never goes back: a frame that was analysed late may be dated before a trigger that came meanwhile.
        self._now_ns = max(self._now_ns, now_ns)
        while self._event is not None and (deadline_ns := self.next_deadline_ns) is not None:
            if deadline_ns > self._now_ns:
                return
            event = self._event
            if event.clip_from_ns is None:
                yield self._end_event(event)
                continue
            yield ClipEnds(event.ordinal, deadline_ns)
            self._free_ns, event.clip_from_ns = deadline_ns, None
            # The clip has reached its longest length, and the event goes on. The next clip begins at this instant,
            # without a hole.
            if deadline_ns < event.last_ns + self._post_roll_ns:
                yield self._begin_clip(event, deadline_ns)

    def _activity(self, kind: EventKind) -> Iterator[EventEffect]:
        """Records activity now."""
        if self._event is None:
            self._events_begun += 1
            self._event = _OpenEvent(self._events_begun, kind, self._now_ns)
            yield EventBegins(self._event.ordinal, kind, self._now_ns)
        event = self._event
        event.kind = max(event.kind, kind, key=_STRENGTH.index)
        event.last_ns = self._now_ns
        if event.clip_from_ns is None:
            yield self._begin_clip(event, BootNs(max(self._now_ns - self._pre_roll_ns, self._free_ns)))

    def _begin_clip(self, event: _OpenEvent, from_ns: BootNs) -> ClipBegins:
        event.clip_from_ns = from_ns
        return ClipBegins(event.ordinal, event.kind, from_ns)

    def _end_event(self, event: _OpenEvent) -> EventEnds:
        self._event = None
        return EventEnds(event.ordinal, event.last_ns, event.peak_score)

    def _holds(self, sample: MotionSample) -> bool:
        """Is this weaker sample still part of the motion that was confirmed just now, or of a visitor who is felt?"""
        event = self._event
        if event is None:
            return False
        # A visitor that the camera has let go stands still between two pulses of the PIR.
        if event.warm_ns is not None and self._now_ns - event.warm_ns <= self._warm_ns:
            return True
        if event.confirmed_ns is None:
            return False
        since_ns = self._now_ns - event.confirmed_ns
        if sample.present and since_ns <= self._stay_ns:
            return True
        return sample.score >= self._settings.hold_score and since_ns <= self._hold_ns
