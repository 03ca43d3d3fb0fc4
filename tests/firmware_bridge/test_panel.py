"""The panel's rules, each alone, in a time that only the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.frames import Blackout, PirPulse, Pressed, PrivacySwitch, SetupLight, TamperSwitch
from firmware_bridge.lines import Edge, Input, Output
from firmware_bridge.panel import (
    SILENCE_NS,
    AgentStatus,
    DriveOutput,
    Effect,
    Panel,
    PanelRules,
)

US = 1_000
MS = 1000 * US
S = 1000 * MS
NOON, MIDNIGHT = 12 * 60, 0
WELL = AgentStatus(delivering=True, healthy=True)
ALL = dict.fromkeys(Input, False)


class Door:
    """A panel with a clock that the test moves; due actions run on the way."""

    def __init__(
        self, rules: PanelRules | None = None, levels: dict[Input, bool] | None = None, minute: int | None = NOON
    ):
        self.panel = Panel(rules or PanelRules())
        self.now_ns = 10 * S
        self.minute = minute
        self.effects: list[Effect] = list(self.panel.begin(ALL | (levels or {}), self.now_ns))

    def wait(self, length_ns: int) -> list[Effect]:
        ends_ns = self.now_ns + length_ns
        done: list[Effect] = []
        while (due_ns := self.panel.next_deadline_ns) is not None and due_ns <= ends_ns:
            self.now_ns = max(due_ns, self.now_ns + 1)
            done += self.panel.on_time(self.now_ns, self.minute)
        self.now_ns = max(ends_ns, self.now_ns)
        done += self.panel.on_time(self.now_ns, self.minute)
        self.effects += done
        return done

    def turn(self, wire: Input, active: bool, then_ns: int = 100 * MS) -> list[Effect]:
        done = list(self.panel.on_edge(Edge(wire, active, self.now_ns), self.now_ns, self.minute))
        self.effects += done
        return done + self.wait(then_ns)

    def press(self, length_ns: int = 200 * MS) -> list[Effect]:
        return self.turn(Input.BUTTON, True, length_ns) + self.turn(Input.BUTTON, False)

    def hears(self, word: AgentStatus) -> list[Effect]:
        done = list(self.panel.on_agent(word, self.now_ns))
        self.effects += done
        return done

    def shows(self, output: Output) -> bool:
        return self.panel.shown.get(output, False)

    def blinks(self, length_ns: int = 4 * S) -> float:
        """The share of time the status LED is on."""
        lit_ns = 0
        for _ in range(length_ns // (10 * MS)):
            self.wait(10 * MS)
            lit_ns += 10 * MS * self.shows(Output.STATUS_LED)
        return lit_ns / length_ns


def of(kind: type, effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, kind)]


def test_four_bounces_a_press_and_a_release_are_exactly_one_press_at_its_first_edge() -> None:
    door = Door()
    begun_ns = door.now_ns
    for active in (True, False, True, False, True):
        door.turn(Input.BUTTON, active, 3 * MS)
    door.wait(200 * MS)
    for active in (False, True, False):
        door.turn(Input.BUTTON, active, 3 * MS)
    door.wait(200 * MS)
    presses = of(Pressed, door.effects)
    assert presses == [Pressed(press=1, at_us=(begun_ns + 12 * MS) // US)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 19), min_size=1, max_size=30))
def test_whatever_is_shorter_than_the_debounce_is_nothing(lengths_ms: list[int]) -> None:
    door = Door()
    for length_ms in lengths_ms:
        door.turn(Input.BUTTON, True, length_ms * MS)
        door.turn(Input.BUTTON, False, 25 * MS)
    assert of(Pressed, door.effects) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(20, 900), st.integers(20, 900)), min_size=1, max_size=20), st.booleans())
def test_every_press_is_told_once_whatever_the_hour_the_agent_or_the_privacy_switch(
    presses: list[tuple[int, int]], agent: bool
) -> None:
    door = Door(PanelRules(quiet=(0, 1439)), {Input.PRIVACY: True}, minute=MIDNIGHT)
    if agent:
        door.hears(AgentStatus(delivering=False, healthy=False))
    for down_ms, up_ms in presses:
        door.turn(Input.BUTTON, True, down_ms * MS)
        door.turn(Input.BUTTON, False, up_ms * MS)
    assert [effect.press for effect in of(Pressed, door.effects)] == list(range(1, len(presses) + 1))


def test_a_long_press_is_told_when_it_begins_and_once_more_when_it_is_long() -> None:
    door = Door()
    begun_ns = door.now_ns
    told = of(Pressed, door.press(20 * S))
    assert told == [Pressed(press=1, at_us=begun_ns // US), Pressed(press=1, at_us=begun_ns // US, held=True)]


def test_a_button_that_is_down_at_the_start_is_no_press() -> None:
    door = Door(levels={Input.BUTTON: True})
    door.wait(10 * S)
    door.turn(Input.BUTTON, False)
    assert of(Pressed, door.effects) == []
    assert len(of(Pressed, door.press())) == 1


def test_the_chime_rings_its_length_and_with_a_dead_agent_too() -> None:
    door = Door()
    door.turn(Input.BUTTON, True, 25 * MS)
    assert door.shows(Output.CHIME)
    door.wait(590 * MS)
    assert door.shows(Output.CHIME)
    door.wait(15 * MS)
    assert not door.shows(Output.CHIME)


def test_a_finger_that_does_not_stop_does_not_burn_the_relay() -> None:
    door = Door()
    for _ in range(20):
        door.press(60 * MS)
    rings = [effect for effect in of(DriveOutput, door.effects) if effect == DriveOutput(Output.CHIME, True)]
    assert len(rings) == 2
    assert len(of(Pressed, door.effects)) == 20


@pytest.mark.parametrize(
    ("quiet", "minute", "rings"),
    [
        ((22 * 60, 7 * 60), 23 * 60, False),
        ((22 * 60, 7 * 60), 6 * 60 + 59, False),
        ((22 * 60, 7 * 60), 7 * 60, True),
        ((13 * 60, 15 * 60), 14 * 60, False),
        ((13 * 60, 15 * 60), 15 * 60, True),
        ((22 * 60, 7 * 60), None, True),
        (None, 3 * 60, True),
    ],
)
def test_quiet_hours_silence_the_chime_and_only_the_chime(
    quiet: tuple[int, int] | None, minute: int | None, rings: bool
) -> None:
    door = Door(PanelRules(quiet=quiet), minute=minute)
    door.press()
    assert (DriveOutput(Output.CHIME, True) in door.effects) == rings
    assert len(of(Pressed, door.effects)) == 1


def test_the_recording_led_is_lit_exactly_while_frames_are_delivered() -> None:
    door = Door()
    assert not door.shows(Output.RECORDING_LED)
    for delivering in (True, False, True):
        door.hears(AgentStatus(delivering, healthy=True))
        assert door.shows(Output.RECORDING_LED) == delivering


def test_while_nobody_knows_whether_the_sensor_runs_the_recording_led_is_lit() -> None:
    door = Door()
    door.hears(AgentStatus(delivering=False, healthy=True))
    door.wait(SILENCE_NS + MS)
    assert door.shows(Output.RECORDING_LED)
    door.panel.on_agent_gone(door.now_ns)
    assert not door.shows(Output.RECORDING_LED)


LIVE = AgentStatus(delivering=True, healthy=True, live=True)


def test_the_live_led_is_lit_exactly_while_a_person_watches_or_talks() -> None:
    door = Door()
    assert not door.shows(Output.LIVE_LED)
    for word in (LIVE, WELL, LIVE):
        door.hears(word)
        assert door.shows(Output.LIVE_LED) == word.live
    door.panel.on_agent_gone(door.now_ns)
    assert not door.shows(Output.LIVE_LED)


def test_the_privacy_switch_puts_the_live_led_out_whatever_the_agent_says() -> None:
    door = Door()
    door.hears(LIVE)
    dark = door.turn(Input.PRIVACY, True)
    assert DriveOutput(Output.LIVE_LED, False) in dark
    assert DriveOutput(Output.LIVE_LED, True) not in [*door.hears(LIVE), *door.wait(S)]
    door.turn(Input.PRIVACY, False)
    assert door.shows(Output.LIVE_LED), "the agent said last that a person watches"


def test_a_silent_agents_live_led_stays_as_it_was() -> None:
    door = Door()
    for word in (LIVE, WELL):
        door.hears(word)
        door.wait(2 * SILENCE_NS)
        assert door.shows(Output.LIVE_LED) == word.live


def test_the_status_led_tells_well_strain_fault_and_privacy_apart() -> None:
    door = Door()
    shares = {"fault: no agent": door.blinks()}
    for name, word in (("well", WELL), ("fault", AgentStatus(delivering=True, healthy=False))):
        lit = 0
        for _ in range(4):
            door.hears(word)
            lit += door.blinks(S)
        shares[name] = lit / 4
    door.panel.on_strain(True, door.now_ns)
    door.hears(WELL)
    shares["strain"] = door.blinks(2 * S)
    door.turn(Input.PRIVACY, True)
    shares["privacy"] = door.blinks()
    assert shares["well"] == 1
    assert 0.45 < shares["fault"] < 0.55
    assert 0.45 < shares["fault: no agent"] < 0.55
    assert 0.05 < shares["strain"] < 0.15
    assert 0.85 < shares["privacy"] < 0.95


def test_the_privacy_switch_is_told_both_ways_and_first_of_all() -> None:
    door = Door(levels={Input.PRIVACY: True})
    assert door.effects[0] == PrivacySwitch(on=True)
    door.turn(Input.PRIVACY, False)
    door.turn(Input.PRIVACY, True)
    assert of(PrivacySwitch, door.effects) == [PrivacySwitch(on=True), PrivacySwitch(on=False), PrivacySwitch(on=True)]


def test_before_the_switch_has_been_read_it_counts_as_closed() -> None:
    assert Panel(PanelRules()).privacy


def test_pulses_of_the_pir_that_are_near_together_count_once() -> None:
    door = Door(PanelRules(pir_gap_ns=5 * S))
    first_ns = door.now_ns
    for _ in range(30):
        door.turn(Input.PIR, True)
        door.turn(Input.PIR, False)
    passed = of(PirPulse, door.effects)
    assert passed == [PirPulse(at_us=first_ns // US), PirPulse(at_us=(first_ns + 5 * S) // US)]


def test_a_case_that_is_open_is_news_also_at_the_start() -> None:
    door = Door(levels={Input.TAMPER: True})
    assert len(of(TamperSwitch, door.effects)) == 1
    door.turn(Input.TAMPER, False)
    assert [effect.open for effect in of(TamperSwitch, door.effects)] == [True, False]


def test_night_moves_the_filter_lights_the_lamp_and_blacks_motion_out_first() -> None:
    door = Door()
    done: list[Effect] = []
    for _ in range(12):
        done += door.hears(AgentStatus(delivering=True, healthy=True, lux=1.0))
        door.wait(S)
    wanted = [DriveOutput(Output.IR_CUT_NIGHT, True), DriveOutput(Output.IR_LED, True)]
    assert [effect for effect in done if effect in wanted] == wanted
    assert isinstance(done[0] if not isinstance(done[0], DriveOutput) else of(Blackout, done)[0], Blackout)
    assert not door.shows(Output.IR_CUT_NIGHT), "a latching filter wants a pulse"
    assert door.shows(Output.IR_LED)


def test_headlights_and_the_lamps_own_light_do_not_move_the_filter() -> None:
    door = Door()
    for second in range(60):  # between the thresholds, with flashes
        door.hears(AgentStatus(delivering=True, healthy=True, lux=1.0 if second % 5 else 8.0))
        door.wait(S)
    assert not door.panel.night


def test_a_lamp_that_burns_for_a_silent_agent_goes_out() -> None:
    door = Door()
    for _ in range(12):
        door.hears(AgentStatus(delivering=True, healthy=True, lux=0.5))
        door.wait(S)
    assert door.shows(Output.IR_LED)
    door.wait(SILENCE_NS)
    assert not door.shows(Output.IR_LED)
    assert not door.panel.night


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Input), st.booleans(), st.integers(0, 3 * S)), max_size=40))
def test_whatever_happens_no_pulse_outlives_its_length(moves: list[tuple[Input, bool, int]]) -> None:
    door = Door()
    for wire, active, then_ns in moves:
        door.turn(wire, active, then_ns)
    door.wait(S)
    assert not any(door.shows(output) for output in (Output.CHIME, Output.IR_CUT_DAY, Output.IR_CUT_NIGHT))


def flashes(setup: SetupLight | None, *, healthy: bool = False) -> list[int]:
    """How often the status LED goes on between two long pauses, for twelve seconds."""
    door = Door()
    groups, dark_ns = [0], 0
    door.hears(AgentStatus(delivering=True, healthy=healthy, setup=setup))
    was_lit = door.shows(Output.STATUS_LED)
    for _ in range(240):
        door.hears(AgentStatus(delivering=True, healthy=healthy, setup=setup))
        door.wait(50 * MS)
        lit = door.shows(Output.STATUS_LED)
        dark_ns = 0 if lit else dark_ns + 50 * MS
        if dark_ns == 1500 * MS:
            groups.append(0)
        groups[-1] += lit and not was_lit
        was_lit = lit
    return groups[1:-1]


@pytest.mark.parametrize(
    ("setup", "count"),
    [
        (SetupLight.WRONG_PASSWORD, 2),
        (SetupLight.NO_NETWORK, 3),
        (SetupLight.NO_ADDRESS, 4),
        (SetupLight.FAILED, 5),
    ],
)
def test_a_failed_set_up_flashes_in_groups_that_can_be_counted(setup: SetupLight, count: int) -> None:
    groups = flashes(setup)
    assert len(groups) >= 2
    assert set(groups) == {count}


def test_a_doorbell_without_an_owner_shows_how_far_it_is_instead_of_a_fault() -> None:
    shares = {}
    for setup in (SetupLight.WAITING, SetupLight.JOINING, SetupLight.JOINED):
        door = Door()
        changes, lit = 0, 0
        for _ in range(160):
            door.hears(AgentStatus(delivering=False, healthy=False, setup=setup))
            before = door.shows(Output.STATUS_LED)
            door.wait(50 * MS)
            changes += door.shows(Output.STATUS_LED) != before
            lit += door.shows(Output.STATUS_LED)
        shares[setup] = (changes, lit / 160)
    assert shares[SetupLight.JOINED] == (0, 1.0)
    assert 0.4 < shares[SetupLight.WAITING][1] < 0.6
    assert 0.4 < shares[SetupLight.JOINING][1] < 0.6
    assert shares[SetupLight.JOINING][0] > 2 * shares[SetupLight.WAITING][0] > 0


def test_privacy_and_a_missing_agent_come_before_the_set_up() -> None:
    door = Door(levels={Input.PRIVACY: True})
    door.hears(AgentStatus(delivering=True, healthy=False, setup=SetupLight.WAITING))
    assert door.blinks() > 0.8
    door = Door()
    door.hears(AgentStatus(delivering=True, healthy=False, setup=SetupLight.JOINED))
    door.wait(SILENCE_NS)
    assert 0.4 < door.blinks() < 0.6
