"""The panel's messages become the recorder's actions: once, at their own time, and through a real bridge."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from agent.core.events import TriggerKind
from agent.core.timebase import BootNs
from agent.errors import RequestError
from agent.recorder.bridge_client import BridgeLink
from agent.recorder.panel_handler import PanelHandler
from firmware_bridge.backends.simulated import SimulatedLines
from firmware_bridge.board_health import BoardHealth
from firmware_bridge.bridge import Bridge
from firmware_bridge.frames import SetupLight
from firmware_bridge.lines import Input, Output
from firmware_bridge.settings import BoardConfig, PanelConfig


class Recorder:
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []
        self.times_ns: list[int] = []
        self.delivering = True
        self.lux: float | None = 12.0

    def trigger(self, kind: TriggerKind, at_ns: BootNs | None = None) -> None:
        self.asked.append(("trigger", kind))
        self.times_ns.append(at_ns or 0)

    def set_privacy_switch(self, on: bool) -> None:
        self.asked.append(("private", on))

    def lose_privacy_switch(self) -> None:
        self.asked.append(("private", None))

    def black_out(self, length_ns: int) -> None:
        self.asked.append(("blackout", length_ns))

    def set_throttle_level(self, level: int) -> None:
        self.asked.append(("relieve", level))

    @property
    def private(self) -> object:
        """The last news of the switch: between that and now, the bridge may have reported its board."""
        return next((word for kind, word in reversed(self.asked) if kind == "private"), None)


class Owner:
    def __init__(self) -> None:
        self.told: list[str] = []

    def notify(self, kind: str, text: str) -> None:
        self.told.append(f"{kind}: {text}")


def until(condition: Callable[[], object]) -> None:
    """Longer than several of the link's pauses: a bridge that comes late is met at a later try."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_press_that_is_told_twice_is_one_event_and_acknowledged_both_times() -> None:
    recorder, got = Recorder(), []
    handler = PanelHandler(recorder, Owner())
    handler.connected("simulated run-1", "pi4")
    for _ in range(2):
        handler.pressed(1, BootNs(5), held=False, got=lambda: got.append(1))
    handler.connected("simulated run-2", "pi4")  # the bridge was restarted: its first press is another one
    handler.pressed(1, BootNs(9), held=False, got=lambda: got.append(1))
    assert recorder.asked == [("trigger", TriggerKind.BUTTON)] * 2
    assert recorder.times_ns == [5, 9]
    assert len(got) == 3


def test_a_bridge_that_stays_away_for_a_minute_no_longer_vouches_for_the_privacy_switch() -> None:
    recorder, now_s = Recorder(), [100.0]
    handler = PanelHandler(recorder, Owner(), now_s=lambda: now_s[0])
    handler.connected("simulated run-1", "pi4")
    handler.privacy(False)
    for second in (0, 30, 59):
        now_s[0] = 100.0 + second
        handler.away("It crashed.")
    assert recorder.private is False, "it may be back in a moment"
    now_s[0] = 160.0
    handler.away("It crashed.")
    assert recorder.private is None
    handler.connected("simulated run-2", "pi4")
    handler.privacy(False)
    handler.away("It crashed again.")
    assert recorder.private is False, "the minute begins again"


def test_a_throttling_level_is_passed_on_and_told_once_when_it_rises() -> None:
    recorder, owner = Recorder(), Owner()
    handler = PanelHandler(recorder, owner)
    for level in (0, 1, 2, 2, 3, 2, 1, 0):
        handler.board({"throttle_level": level, "temperature_c": 73.0, "under_voltage": False})
    assert [level for _, level in recorder.asked] == [0, 1, 2, 2, 3, 2, 1, 0]
    assert len(owner.told) == 2, "missing object detection is not worth an alert"
    assert "73 °C" in owner.told[0]


def test_a_real_bridge_presses_switches_and_lights_through_the_link(tmp_path: Path) -> None:
    lines = SimulatedLines()
    panel = PanelConfig(socket=tmp_path / "b.sock", debounce_ms=5)
    recorder, owner = Recorder(), Owner()
    handler = PanelHandler(recorder, owner)
    link = BridgeLink(panel.socket, handler, recorder, lambda: True)
    link.start()  # before the bridge is there: it comes back until it is
    for run in range(2):  # and again when the bridge was restarted
        bridge = Bridge(lines, panel, BoardConfig(), health=BoardHealth)
        thread = threading.Thread(target=bridge.run)
        thread.start()
        until(lambda: lines.on.get(Output.RECORDING_LED))
        lines.hold(Input.BUTTON, True)
        until(lambda wanted=run + 1: recorder.asked.count(("trigger", TriggerKind.BUTTON)) == wanted)  # type: ignore[misc]
        lines.hold(Input.BUTTON, False)
        lines.hold(Input.PRIVACY, True)
        until(lambda: recorder.private is True)
        lines.hold(Input.PRIVACY, False)
        until(lambda: recorder.private is False)
        lines.hold(Input.TAMPER, True)
        until(lambda wanted=run + 1: sum("case" in told for told in owner.told) >= wanted)  # type: ignore[misc]
        lines.hold(Input.TAMPER, False)
        bridge.stop()
        thread.join()
    until(lambda: not handler.status()["connected"])
    link.stop()


def test_a_long_press_is_no_second_ring_and_is_acknowledged() -> None:
    recorder, got = Recorder(), []
    handler = PanelHandler(recorder, Owner())
    handler.pressed(1, BootNs(5), held=False, got=lambda: got.append("short"))
    handler.pressed(1, BootNs(9), held=True, got=lambda: got.append("long"))
    assert (len(recorder.asked), handler.presses, got) == (1, 1, ["short", "long"])


def test_a_long_press_asks_for_a_code_once_and_the_light_shows_for_a_while_that_it_was_made() -> None:
    answers, now_s = [RequestError("away"), False, True], [50.0]
    asked = []

    def held() -> bool:
        asked.append(now_s[0])
        answer = answers[len(asked) - 1]
        if isinstance(answer, RequestError):
            raise answer
        return answer

    handler = PanelHandler(Recorder(), Owner(), held, lambda: now_s[0])
    lights = []
    for press in (1, 2, 3, 3):
        handler.pressed(press, BootNs(9), held=True, got=lambda: None)
        lights.append(handler.light)
    assert lights == [None, None, SetupLight.WAITING, SetupLight.WAITING]
    assert len(asked) == 3, "the third press was told twice, and counts once"
    now_s[0] += 30.0
    assert handler.light is None


def test_of_many_presses_those_of_the_last_minute_are_remembered() -> None:
    recorder = Recorder()
    handler = PanelHandler(recorder, Owner())
    for press in (*range(64), 0, 63, 64, 1, 0):
        handler.pressed(press, BootNs(5), held=False, got=lambda: None)
    assert handler.presses == 64 + 1 + 1, "the 65th press takes the place of the first one"


def test_what_the_panel_told_stays_in_the_status_and_the_reason_of_an_outage_does_not() -> None:
    handler = PanelHandler(Recorder(), Owner())
    assert handler.status() == {"connected": False}
    handler.connected("gpio run-1", "pi5")
    handler.privacy(True)
    handler.away("It is gone.")
    assert handler.status() == {
        "connected": False, "backend": "gpio", "board": "pi5", "privacy": True, "detail": "It is gone.",
    }  # fmt: skip
    handler.tampered(False)
    assert "detail" not in handler.status()
    assert handler.status()["open"] is False
    handler.status()["board"] = "changed"
    assert handler.status()["board"] == "pi5", "who asks gets a copy"


def test_a_bridge_that_goes_leaves_the_switch_as_it_was() -> None:
    """The camera stays closed, or open, until the bridge is back and says what the switch says."""
    for on in (True, False):
        recorder = Recorder()
        handler = PanelHandler(recorder, Owner())
        handler.connected("gpio run-1", "pi5")
        handler.privacy(on)
        handler.away("It is gone.")
        assert recorder.private is on
        handler.connected("gpio run-2", "pi5")
        assert recorder.asked == [("private", on)], "the next word is the bridge's"


def test_what_the_panel_reports_reaches_the_recorder_as_it_is() -> None:
    recorder = Recorder()
    handler = PanelHandler(recorder, Owner())
    handler.passed(BootNs(7))
    handler.privacy(True)
    handler.privacy(False)
    handler.blackout(250)
    assert recorder.asked == [
        ("trigger", TriggerKind.PIR), ("private", True), ("private", False), ("blackout", 250),
    ]  # fmt: skip
    assert recorder.times_ns == [7]


def test_an_opened_case_is_told_and_a_closed_one_is_not() -> None:
    owner = Owner()
    handler = PanelHandler(Recorder(), owner)
    handler.tampered(False)
    assert owner.told == []
    handler.tampered(True)
    assert owner.told == ["tamper: The doorbell's case was opened."]


def test_the_owner_is_told_why_the_board_does_less_and_what() -> None:
    owner = Owner()
    for facts in (
        {"throttle_level": 2, "under_voltage": True, "temperature_c": 50.0},
        {"throttle_level": 3, "under_voltage": False, "temperature_c": 81.6},
        {"throttle_level": 4, "under_voltage": None, "temperature_c": None},
        {"throttle_level": 1},
    ):
        PanelHandler(Recorder(), owner).board(facts)
    assert owner.told == [
        "board: The doorbell's power supply is too weak: it looks at fewer pictures. "
        "Use the supply that belongs to the board.",
        "board: The doorbell is 82 °C hot: it takes fewer pictures a second until it has cooled down.",
        "board: The doorbell's board is under strain: it takes smaller pictures.",
    ]


def test_a_level_that_falls_and_rises_again_is_told_again() -> None:
    owner = Owner()
    handler = PanelHandler(Recorder(), owner)
    for level in (2, 2, 1, 2):
        handler.board({"throttle_level": level})
    assert len(owner.told) == 2
    assert handler.status()["health"] == {"throttle_level": 2}
