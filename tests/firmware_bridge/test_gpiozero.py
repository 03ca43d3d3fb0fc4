"""The wires through the real gpiozero, on the pins of a MockFactory: the test pulls them as contacts would."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from gpiozero.pins.mock import MockFactory

from firmware_bridge.backends import lines_of
from firmware_bridge.backends.zero import ZeroLines
from firmware_bridge.errors import BridgeError
from firmware_bridge.frames import Pressed
from firmware_bridge.lines import Edge, Input, Output
from firmware_bridge.panel import Panel as Decisions
from firmware_bridge.panel import PanelRules
from firmware_bridge.settings import Backend, PanelConfig

PANEL = PanelConfig(
    backend=Backend.GPIOZERO, pir=27, tamper=22, privacy=23, live_led=16, chime=5, active_low=("button", "chime")
)


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    factory = MockFactory()
    yield factory
    factory.reset()


@pytest.fixture
def lines(pins: MockFactory) -> Iterator[ZeroLines]:
    lines = ZeroLines(PANEL, pins)
    yield lines
    lines.close()


def heard(lines: ZeroLines) -> list[tuple[Input, bool]]:
    assert select.select([lines.fileno()], [], [], 5)[0], "the loop is woken"
    return [(edge.input, edge.active) for edge in lines.read()]


def test_at_rest_nobody_presses_and_what_no_contact_closes_is_open(lines: ZeroLines) -> None:
    assert lines.open() == {Input.BUTTON: False, Input.PIR: False, Input.TAMPER: True, Input.PRIVACY: True}
    assert lines.read() == ()


def test_each_contact_is_heard_by_its_meaning(lines: ZeroLines, pins: MockFactory) -> None:
    lines.open()
    for wire, pin, active_high in (
        (Input.BUTTON, 17, False),
        (Input.PIR, 27, True),
        (Input.TAMPER, 22, True),
        (Input.PRIVACY, 23, True),
    ):
        rests_high = wire is not Input.PIR
        for high in (not rests_high, rests_high):
            pins.pin(pin).drive_high() if high else pins.pin(pin).drive_low()
            assert heard(lines) == [(wire, high == active_high)]


def test_edges_are_dated_on_the_boot_clock_in_order_and_the_panel_makes_one_press_of_bounces(
    lines: ZeroLines, pins: MockFactory
) -> None:
    panel = Decisions(PanelRules())
    panel.begin(lines.open(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    for _ in range(4):
        pins.pin(17).drive_low()
        pins.pin(17).drive_high()
    pins.pin(17).drive_low()
    edges: tuple[Edge, ...] = lines.read()
    assert len(edges) == 9
    assert before_ns <= edges[0].at_ns
    assert all(one.at_ns <= other.at_ns for one, other in pairwise(edges))
    effects = [effect for edge in edges for effect in panel.on_edge(edge, edge.at_ns, 12 * 60)]
    effects += panel.on_time(edges[-1].at_ns + 100_000_000, 12 * 60)
    assert [effect.press for effect in effects if isinstance(effect, Pressed)] == [1]


def test_outputs_are_driven_by_their_meaning_and_off_when_let_go(lines: ZeroLines, pins: MockFactory) -> None:
    lines.open()
    led, live, chime = pins.pin(PANEL.recording_led), pins.pin(16), pins.pin(5)
    assert (led.state, live.state, chime.state) == (0, 0, 1), "off: the chime's relay closes on a low line"
    for output in (Output.RECORDING_LED, Output.LIVE_LED, Output.CHIME, Output.IR_LED):  # the last is not wired
        lines.drive(output, True)
    assert (led.state, live.state, chime.state) == (1, 1, 0)
    lines.close()
    assert [one.state for one in led.states][-2:] == [1, 0]
    lines.close()
    assert lines.fileno() == -1


def test_pins_that_somebody_else_has_are_told(lines: ZeroLines, pins: MockFactory) -> None:
    lines.open()
    with pytest.raises(BridgeError, match="gpiozero cannot use the pins") as refused:
        ZeroLines(PANEL, pins).open()
    assert "gpioinfo" in refused.value.remedy


def test_without_gpiozero_the_remedy_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(BridgeError) as refused:
        lines_of(PANEL).open()
    assert "python3-gpiozero" in refused.value.remedy
