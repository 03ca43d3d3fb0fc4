"""The recorder's end of the panel's socket: its heartbeats, each frame of the bridge, and a bridge that goes away."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.core.events import TriggerKind
from agent.recorder import bridge_client
from agent.recorder.bridge_client import BridgeLink
from agent.recorder.panel_handler import PanelHandler
from firmware_bridge import frames
from firmware_bridge.throttling import ThrottleLevel
from tests.recorder.test_panel_handler import Owner, Recorder, until

HELLO = frames.Hello(v=1, peer=frames.Peer.AGENT)
WELCOME = frames.Welcome(v=1, run="run-1", backend="simulated", board="pi4", privacy=True)


class Panel:
    """The bridge's end of the socket, moved by the test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(60)
        self._peer: socket.socket | None = None

    def accept(self) -> None:
        if self._peer is not None:
            self._peer.close()
        self._peer = self._listening.accept()[0]
        self._peer.settimeout(60)

    @property
    def peer(self) -> socket.socket:
        assert self._peer is not None
        return self._peer

    def says(self, frame: frames.FromBridge) -> None:
        self.peer.send(frames.encode(frame))

    def hears(self) -> frames.FromAgent:
        return frames.decode_from_agent(self.peer.recv(frames.MOST_BYTES))

    def hang_up(self) -> None:
        self.peer.close()
        self._peer = None

    def close(self) -> None:
        self._listening.close()
        if self._peer is not None:
            self._peer.close()


class Door:
    """A link, the recorder and owner behind it, and a clock that stands still."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.recorder, self.owner = Recorder(), Owner()
        self.handler = PanelHandler(self.recorder, self.owner)
        self.is_well = True
        self.light: frames.SetupLight | None = None
        self.link = BridgeLink(panel.path, self.handler, self.recorder, lambda: self.is_well, lambda: self.light)

    def connect(self) -> frames.FromAgent:
        """Returns the first heartbeat."""
        self.panel.accept()
        assert self.panel.hears() == HELLO
        return self.panel.hears()


@pytest.fixture
def panel() -> Iterator[Panel]:
    with tempfile.TemporaryDirectory() as folder:  # short, because a socket's address is
        made = Panel(Path(folder) / "b.sock")
        yield made
        made.close()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The link's clock, in seconds."""
    clock = [100.0]
    monkeypatch.setattr(bridge_client, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return clock


@pytest.fixture
def door(panel: Panel, now: list[float]) -> Iterator[Door]:
    made = Door(panel)
    made.link.start()
    yield made
    made.link.stop()


def test_a_link_says_hello_and_what_the_lights_show(door: Door) -> None:
    assert door.connect() == frames.Heartbeat(delivering=True, healthy=True, lux=12.0)


def test_the_heartbeat_has_the_newest_state_once_a_second(door: Door, now: list[float]) -> None:
    door.connect()
    for press in (1, 2):  # between two heartbeats
        door.panel.says(frames.Pressed(press=press, at_us=5))
        assert door.panel.hears() == frames.PressAck(press=press)
    door.recorder.delivering, door.is_well, door.light = False, False, frames.SetupLight.JOINING
    now[0] = 101.0
    door.panel.says(frames.Pressed(press=3, at_us=5))
    heard = [door.panel.hears() for _ in range(2)]
    light = frames.SetupLight.JOINING
    assert frames.Heartbeat(delivering=False, healthy=False, lux=12.0, setup=light) in heard
    assert frames.PressAck(press=3) in heard


@pytest.mark.parametrize(("lux", "told"), [(-3.0, 0.0), (0.5, 0.5), (2e6, 1e6), (None, None)])
def test_light_beyond_what_the_panel_takes_is_told_as_the_nearest_value(
    panel: Panel, now: list[float], lux: float | None, told: float | None
) -> None:
    door = Door(panel)
    door.recorder.lux = lux
    door.link.start()
    assert door.connect() == frames.Heartbeat(delivering=True, healthy=True, lux=told)
    door.link.stop()


def test_the_set_up_of_a_link_without_one_is_not_told(panel: Panel, now: list[float]) -> None:
    recorder = Recorder()
    link = BridgeLink(panel.path, PanelHandler(recorder, Owner()), recorder, lambda: True)
    link.start()
    panel.accept()
    assert panel.hears() == HELLO
    assert panel.hears() == frames.Heartbeat(delivering=True, healthy=True, lux=12.0)
    link.stop()


def test_each_frame_of_the_bridge_reaches_the_recorder_with_its_time_and_units(door: Door) -> None:
    door.connect()
    board = frames.BoardState(throttle_level=ThrottleLevel.RATE, temperature_c=71.0, wifi_dbm=-60)
    for frame in (
        WELCOME,
        frames.Pressed(press=4, at_us=7),
        frames.PirPulse(at_us=8),
        frames.Blackout(ms=250),
        frames.PrivacySwitch(on=False),
        frames.TamperSwitch(open=True, at_us=9),
        board,
        frames.Rejected(why="A second agent."),
        frames.Pressed(press=5, at_us=1, held=True),
    ):
        door.panel.says(frame)
    assert [door.panel.hears() for _ in range(2)] == [frames.PressAck(press=4), frames.PressAck(press=5)]
    assert door.recorder.asked == [
        ("private", True),
        ("trigger", TriggerKind.BUTTON),
        ("trigger", TriggerKind.PIR),
        ("blackout", 250_000_000),
        ("private", False),
        ("relieve", 3),
    ]
    assert door.recorder.times_ns == [7000, 8000]
    assert door.owner.told == [
        "tamper: The doorbell's case was opened.",
        "board: The doorbell is 71 °C hot: it takes fewer pictures a second until it has cooled down.",
    ]
    status = door.handler.status()
    health = status.pop("health")
    assert status == {"connected": True, "backend": "simulated", "board": "pi4", "privacy": False, "open": True}
    assert (health["throttle_level"], health["wifi_dbm"], health["wear_percent"]) == (3, -60, None)
    assert type(health["throttle_level"]) is int, "the status is written as JSON"


def test_the_press_of_another_run_of_the_bridge_is_another_press(door: Door) -> None:
    door.connect()
    for run in ("run-1", "run-2"):
        door.panel.says(frames.Welcome(v=1, run=run, backend="simulated", board="pi4", privacy=False))
        door.panel.says(frames.Pressed(press=1, at_us=7))
        door.panel.hears()
    assert door.recorder.asked.count(("trigger", TriggerKind.BUTTON)) == 2


def test_a_bridge_that_goes_is_told_with_the_reason_and_met_again(door: Door) -> None:
    door.connect()
    door.panel.says(WELCOME)
    until(lambda: door.handler.status()["connected"])
    door.panel.hang_up()
    until(lambda: not door.handler.status()["connected"])
    assert door.handler.status()["detail"] == "The bridge closed the connection."
    assert door.handler.status()["privacy"] is True, "the last position of the switch still counts"
    door.connect()
    door.panel.says(WELCOME)
    until(lambda: door.handler.status()["connected"])
    assert "detail" not in door.handler.status()
    door.panel.peer.send(b"no frame")
    until(lambda: not door.handler.status()["connected"])
    assert "no frame of the panel's protocol" in door.handler.status()["detail"]
    door.connect()


def test_a_reboot_is_asked_of_a_bridge_that_is_there_in_words_that_it_takes(panel: Panel, now: list[float]) -> None:
    door = Door(panel)
    assert door.link.ask_reboot("nobody hears it") is False
    door.link.start()
    door.connect()
    assert door.link.ask_reboot("x" * 300) is True
    assert door.panel.hears() == frames.Reboot(why="x" * 200)
    door.panel.says(WELCOME)
    until(lambda: door.handler.status()["connected"])
    panel.close()
    until(lambda: not door.handler.status()["connected"])
    assert door.link.ask_reboot("gone") is False
    door.link.stop()


def test_a_reboot_that_cannot_be_sent_is_told() -> None:
    link = BridgeLink(Path("/nowhere"), PanelHandler(Recorder(), Owner()), Recorder(), lambda: True)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    link._socket = ours
    assert link.ask_reboot("the camera does not come back") is False
    ours.close()


class Pauses(threading.Event):
    """Notes how long each pause would be, and ends the link after the last."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.found: list[float] = []
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.found.append(timeout or 0.0)
        if len(self.found) == self._most:
            self.set()
        return self.is_set()


def test_a_missing_bridge_is_looked_for_ever_more_rarely_and_logged_once(tmp_path: Path) -> None:
    handler = PanelHandler(Recorder(), Owner())
    with capture_logs() as lines:
        link = BridgeLink(tmp_path / "none.sock", handler, Recorder(), lambda: True)
        pauses: Any = Pauses(7)
        link._stopping = pauses
        link.start()
        link._thread.join()
    assert pauses.found == [0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
    assert [line["event"] for line in lines] == ["bridge_away"]
    assert lines[0]["detail"] == handler.status()["detail"] == "No such file or directory"
    link.stop()


def test_after_a_bridge_was_there_the_first_pause_is_short_again(panel: Panel, now: list[float]) -> None:
    door = Door(panel)
    pauses: Any = Pauses(2)
    door.link._stopping = pauses
    door.link.start()
    for _ in range(2):
        door.connect()
        door.panel.hang_up()
    door.link._thread.join()
    assert pauses.found == [0.2, 0.2]
    door.link.stop()


def test_stopping_ends_a_link_in_the_middle_of_a_wait_and_may_come_twice(door: Door) -> None:
    door.connect()
    door.link.stop()
    assert door.panel.peer.recv(100) == b""
    door.link.stop()


def test_a_link_that_was_never_started_can_be_stopped(panel: Panel) -> None:
    Door(panel).link.stop()


def test_between_two_heartbeats_the_link_waits_for_the_bridge_and_does_not_spin(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, waits = Door(panel), []

    def receive(peer: socket.socket) -> bytes:
        waits.append(peer.gettimeout())
        return got(peer)

    got: Callable[[socket.socket], bytes] = frames.receive
    monkeypatch.setattr(bridge_client.frames, "receive", receive)
    door.link.start()
    door.connect()
    assert isinstance(door.panel.hears(), frames.Heartbeat)
    door.link.stop()
    assert 0.01 <= min(waits) <= max(waits) <= 1.0
