"""Decides what a doorbell does with its lines: edges and the agent's reports become presses, LEDs and chimes.

Each rule has a test:
- **Debounce.** A level counts after it has been stable for `debounce_ns`. Its time is that of its first edge.
- **A press** is reported once at its beginning. If it lasts, it becomes a long press and is reported once more. It is
  kept until the agent acknowledges it, in every setting, state and hour.
- **The chime** rings at a press, also if the agent is dead. It rings at most `chime_ns`, outside quiet hours. If the
  date is unknown it rings, because an unheard visitor is worse.
- **The recording LED** is lit while the sensor delivers frames. If a connected agent is silent, the state is unknown
  and the LED stays lit. It goes dark if the agent says so or has gone. It cannot be switched off.
- **The live LED** tells visitors that a person watches live or talks. If a connected agent is silent, it stays as it
  was. It goes dark if the agent says so or has gone, and with the privacy switch, whatever the agent says.
- **The privacy switch** is reported at once when it closes. Before the first reading it counts as closed.
- **The status LED** shows one state: PRIVACY (long on, short off), FAULT (fast: the agent is missing, silent, or unable
  to record), STRAIN (short flash: heat, weak supply), otherwise WELL (steady). Without an owner it shows the set-up:
  slow for "show me the code", quick while it joins the network, groups of flashes for a failure.
- **Silence.** An agent that was silent for `SILENCE_NS` is treated as gone, except for the recording and live LEDs.

Pure: times are CLOCK_BOOTTIME nanoseconds from the caller, who asks `next_deadline_ns` when to call `on_time`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from firmware_bridge.frames import Blackout, PirPulse, Pressed, PrivacySwitch, SetupLight, TamperSwitch
from firmware_bridge.lines import Edge, Input, Output
from firmware_bridge.night_mode import BLACKOUT_NS, NightMode, SwitchNightMode

__all__ = [
    "SILENCE_NS",
    "AgentStatus",
    "DriveOutput",
    "Effect",
    "Panel",
    "PanelRules",
    "shows_setup",
]

SILENCE_NS = 3_000_000_000
_CHIME_PAUSE_NS = 2_000_000_000
"""Pause between two rings. A child who keeps pressing must not burn the relay."""
_COIL_NS = 100_000_000
"""Pulse length that a latching infrared filter needs."""
_MS = 1_000_000
_US = 1_000


@dataclass(frozen=True, slots=True)
class PanelRules:
    """The panel's settings in its units. `quiet`: minutes of the day, from and until, or None."""

    debounce_ns: int = 20 * _MS
    long_press_ns: int = 5_000 * _MS
    chime_ns: int = 600 * _MS
    quiet: tuple[int, int] | None = None
    pir_gap_ns: int = 5_000 * _MS
    night_lux: float = 3.0
    day_lux: float = 15.0
    light_dwell_ns: int = 10_000 * _MS

    def is_quiet(self, minute: int | None) -> bool:
        """True if this minute of the day is in the quiet hours, which may span midnight. None: the date is unknown."""
        if self.quiet is None or minute is None:
            return False
        begins, ends = self.quiet
        return begins <= minute < ends if begins <= ends else minute >= begins or minute < ends


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """The agent's report about itself, about once a second."""

    delivering: bool
    """The sensor gave a frame within the last second."""
    healthy: bool
    """It could record now, or does."""
    lux: float | None = None
    setup: SetupLight | None = None
    """How far the set-up is; None for a doorbell that has an owner or is set up otherwise."""
    live: bool = False
    """A person watches live or talks."""


@dataclass(frozen=True, slots=True)
class DriveOutput:
    output: Output
    on: bool


Effect = DriveOutput | Pressed | PirPulse | TamperSwitch | PrivacySwitch | Blackout
"""Carried out by the caller: it drives an output, or sends the frame to the agent."""


class _LedPattern(enum.Enum):
    """Status LED: milliseconds on, off, on, off … Steady if there is one number."""

    PRIVACY = (1800, 200)
    FAULT = (150, 150)
    STRAIN = (100, 900)
    WELL = (1000,)
    WAITING = (1000, 1000)
    JOINING = (400, 400)
    WRONG_PASSWORD = (200, 300, 200, 1800)
    NO_NETWORK = (*(200, 300) * 2, 200, 1800)
    NO_ADDRESS = (*(200, 300) * 3, 200, 1800)
    FAILED = (*(200, 300) * 4, 200, 1800)

    def is_on(self, now_ns: int) -> bool:
        return self._at(now_ns)[0]

    def changes_ns(self, now_ns: int) -> int | None:
        """When it next goes on or off."""
        if len(self.value) == 1:
            return None
        return (now_ns // _MS + self._at(now_ns)[1]) * _MS

    def _at(self, now_ns: int) -> tuple[bool, int]:
        """Returns whether it is on, and for how many milliseconds more."""
        into_ms = now_ns // _MS % sum(self.value)
        for number, length_ms in enumerate(self.value):
            if into_ms < length_ms:
                return number % 2 == 0, length_ms - into_ms
            into_ms -= length_ms
        raise AssertionError


_SETUP_PATTERNS = {
    SetupLight.WAITING: _LedPattern.WAITING,
    SetupLight.JOINING: _LedPattern.JOINING,
    SetupLight.JOINED: _LedPattern.WELL,
    SetupLight.WRONG_PASSWORD: _LedPattern.WRONG_PASSWORD,
    SetupLight.NO_NETWORK: _LedPattern.NO_NETWORK,
    SetupLight.NO_ADDRESS: _LedPattern.NO_ADDRESS,
    SetupLight.FAILED: _LedPattern.FAILED,
}


def shows_setup(light: SetupLight, now_ns: int) -> bool:
    """Returns whether a light that shows the set-up is on now."""
    return _SETUP_PATTERNS[light].is_on(now_ns)


@dataclass(slots=True)
class _Debounced:
    """An input's accepted level, and the level that is on trial since `trial_ns`."""

    active: bool
    raw: bool
    trial_ns: int = 0

    def on_edge(self, edge: Edge) -> None:
        if edge.active != self.raw:
            self.raw, self.trial_ns = edge.active, edge.at_ns

    def due_ns(self, debounce_ns: int) -> int | None:
        return self.trial_ns + debounce_ns if self.raw != self.active else None


@dataclass(slots=True)
class Panel:
    """The rules above.  Every `on_…` returns what is to be done, in order."""

    rules: PanelRules
    _inputs: dict[Input, _Debounced] = field(default_factory=dict)
    _agent: AgentStatus | None = None
    _heard_ns: int | None = None
    _strained: bool = False
    _presses: int = 0
    _held_from_ns: int | None = None
    _passed_ns: int | None = None
    _rang_ns: int | None = None
    _pulses: dict[Output, int] = field(default_factory=dict)
    """Outputs that go off automatically, with their times."""
    _shown: dict[Output, bool] = field(default_factory=dict)
    _now_ns: int = 0
    _night_mode: NightMode = field(init=False)
    privacy: bool = True

    def __post_init__(self) -> None:
        rules = self.rules
        self._night_mode = NightMode(night_lux=rules.night_lux, day_lux=rules.day_lux, dwell_ns=rules.light_dwell_ns)

    @property
    def night(self) -> bool:
        return self._night_mode.night

    @property
    def shown(self) -> Mapping[Output, bool]:
        """Returns the state of each output."""
        return dict(self._shown)

    def begin(self, levels: Mapping[Input, bool], now_ns: int) -> tuple[Effect, ...]:
        """Takes the first levels of the lines. A button that is already pressed is no press. An open case is
        reported."""
        self._inputs = {wire: _Debounced(level, level) for wire, level in levels.items()}
        # Without a switch in `[panel]` there is nothing to close. A wired one reads as on if its wire is cut.
        self.privacy = levels.get(Input.PRIVACY, False)
        effects: list[Effect] = [PrivacySwitch(on=self.privacy)]
        if levels.get(Input.TAMPER):
            effects.append(TamperSwitch(open=True, at_us=now_ns // _US))
        # A latching filter keeps its position over a power cut. The pulse puts it where `NightMode` begins.
        effects += [DriveOutput(Output.IR_CUT_DAY, True)]
        self._shown[Output.IR_CUT_DAY] = True
        self._pulses[Output.IR_CUT_DAY] = now_ns + _COIL_NS
        return (*effects, *self._indicate(now_ns))

    def on_edge(self, edge: Edge, now_ns: int, minute: int | None) -> tuple[Effect, ...]:
        """Handles one edge. `minute` is the minute of the local day, None if the date is unknown."""
        # A press and its release may be read at once. Without this step the release would cancel the press as a bounce.
        before = (*self.on_time(edge.at_ns, minute),) if edge.at_ns <= now_ns else ()
        if edge.input in self._inputs:
            self._inputs[edge.input].on_edge(edge)
        return (*before, *self.on_time(now_ns, minute))

    def on_agent(self, word: AgentStatus, now_ns: int) -> tuple[Effect, ...]:
        self._agent, self._heard_ns = word, now_ns
        switch = self._night_mode.on_light(word.lux, now_ns)
        return (*self._switch_night_mode(switch, now_ns), *self._indicate(now_ns))

    def on_agent_gone(self, now_ns: int) -> tuple[Effect, ...]:
        """Its connection closed: its camera is closed with it."""
        self._agent = self._heard_ns = None
        return (*self._switch_night_mode(self._night_mode.on_silence(), now_ns), *self._indicate(now_ns))

    def on_strain(self, strained: bool, now_ns: int) -> tuple[Effect, ...]:
        """Heat or a weak supply. Only the status LED shows it."""
        self._strained = strained
        return (*self._indicate(now_ns),)

    def on_time(self, now_ns: int, minute: int | None) -> tuple[Effect, ...]:
        """Everything that is due: levels that have stood long enough, pulses that end, LEDs that blink."""
        effects: list[Effect] = []
        for wire, level in self._inputs.items():
            due_ns = level.due_ns(self.rules.debounce_ns)
            if due_ns is not None and due_ns <= now_ns:
                level.active = level.raw
                effects += self._turned(wire, level.active, level.trial_ns, now_ns, minute)
        if self._held_from_ns is not None and now_ns - self._held_from_ns >= self.rules.long_press_ns:
            effects.append(Pressed(press=self._presses, at_us=self._held_from_ns // _US, held=True))
            self._held_from_ns = None
        for output in [output for output, ends_ns in self._pulses.items() if ends_ns <= now_ns]:
            del self._pulses[output]
            effects += self._drive(output, False)
        if self._is_silent(now_ns):
            effects += self._switch_night_mode(self._night_mode.on_silence(), now_ns)
        return (*effects, *self._indicate(now_ns))

    @property
    def next_deadline_ns(self) -> int | None:
        """Returns the time of the next `on_time` call, from the last call on. None if it has nothing pending."""
        due = [level.due_ns(self.rules.debounce_ns) for level in self._inputs.values()]
        due += self._pulses.values()
        if self._held_from_ns is not None:
            due.append(self._held_from_ns + self.rules.long_press_ns)
        if self._heard_ns is not None and not self._is_silent(self._now_ns):
            due.append(self._heard_ns + SILENCE_NS)
        due.append(self._pattern(self._now_ns).changes_ns(self._now_ns))
        return min((one for one in due if one is not None), default=None)

    # Effects of one input.

    def _turned(self, wire: Input, active: bool, at_ns: int, now_ns: int, minute: int | None) -> Iterator[Effect]:
        match wire:
            case Input.BUTTON:
                self._held_from_ns = at_ns if active else None
                if active:
                    self._presses += 1
                    yield Pressed(press=self._presses, at_us=at_ns // _US)
                    yield from self._ring(now_ns, minute)
            case Input.PIR:
                if active and (self._passed_ns is None or at_ns - self._passed_ns >= self.rules.pir_gap_ns):
                    self._passed_ns = at_ns
                    yield PirPulse(at_us=at_ns // _US)
            case Input.TAMPER:
                yield TamperSwitch(open=active, at_us=at_ns // _US)
            case Input.PRIVACY:
                self.privacy = active
                yield PrivacySwitch(on=active)

    def _ring(self, now_ns: int, minute: int | None) -> Iterator[Effect]:
        rested = self._rang_ns is None or now_ns - self._rang_ns >= self.rules.chime_ns + _CHIME_PAUSE_NS
        if rested and not self.rules.is_quiet(minute):
            self._rang_ns = now_ns
            self._pulses[Output.CHIME] = now_ns + self.rules.chime_ns
            yield from self._drive(Output.CHIME, True)

    def _switch_night_mode(self, switch: SwitchNightMode | None, now_ns: int) -> Iterator[Effect]:
        if switch is None:
            return
        # In front of the coil: no picture of the moving filter may count as motion.
        yield Blackout(ms=BLACKOUT_NS // _MS)
        coil, other = Output.IR_CUT_DAY, Output.IR_CUT_NIGHT
        if switch.night:
            coil, other = other, coil
        # Off first: an H bridge with both inputs high brakes, and the filter would stay where it is.
        yield from self._drive(other, False)
        self._pulses.pop(other, None)
        self._pulses[coil] = now_ns + _COIL_NS
        yield from self._drive(coil, True)
        yield from self._drive(Output.IR_LED, switch.night)

    # LED patterns.

    def _indicate(self, now_ns: int) -> Iterator[Effect]:
        self._now_ns = now_ns
        lit = self._agent is not None and (self._agent.delivering or self._is_silent(now_ns))
        yield from self._drive(Output.RECORDING_LED, lit)
        live = self._agent is not None and self._agent.live and not self.privacy
        yield from self._drive(Output.LIVE_LED, live)
        yield from self._drive(Output.STATUS_LED, self._pattern(now_ns).is_on(now_ns))

    def _pattern(self, now_ns: int) -> _LedPattern:
        if self.privacy:
            return _LedPattern.PRIVACY
        if self._agent is None or self._is_silent(now_ns):
            return _LedPattern.FAULT
        if self._agent.setup is not None:
            return _SETUP_PATTERNS[self._agent.setup]
        if not self._agent.healthy:
            return _LedPattern.FAULT
        return _LedPattern.STRAIN if self._strained else _LedPattern.WELL

    def _is_silent(self, now_ns: int) -> bool:
        return self._heard_ns is not None and now_ns - self._heard_ns >= SILENCE_NS

    def _drive(self, output: Output, on: bool) -> Iterator[DriveOutput]:
        # Called after each event. Only a change is worth a call into the kernel.
        if self._shown.get(output, False) != on:
            self._shown[output] = on
            yield DriveOutput(output, on)
