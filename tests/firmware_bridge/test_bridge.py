"""The bridge as a whole over its real socket, pressed by the simulated panel: presses, peers, refusals, reboots."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import frames
from firmware_bridge.backends.simulated import SimulatedLines
from firmware_bridge.board_health import BoardHealth
from firmware_bridge.bridge import Bridge
from firmware_bridge.errors import BridgeError
from firmware_bridge.lines import Edge, Input, Output
from firmware_bridge.server import MOST_PEERS
from firmware_bridge.settings import BoardConfig, PanelConfig, load


def until(condition: Callable[[], object], patience_s: float = 20) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class Peer:
    """A raw connection: it may say anything."""

    def __init__(self, path: Path, kind: frames.Peer | None = frames.Peer.AGENT) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(20)
        self.socket.connect(os.fspath(path))
        if kind is not None:
            self.say(frames.Hello(v=frames.VERSION, peer=kind))
            self.welcome = self.hear(frames.Welcome)

    def say(self, frame: frames.FromAgent) -> None:
        self.socket.send(frames.encode(frame))

    def hear(self, kind: type) -> object:
        """The next frame of this kind; the others are passed over."""
        while packet := frames.receive(self.socket):
            frame = frames.decode_from_bridge(packet)
            if isinstance(frame, kind):
                return frame
        raise AssertionError(f"the bridge closed before {kind.__name__}")

    def is_dropped(self) -> bool:
        """Returns True if the bridge closes after its last frames."""
        try:
            while frames.receive(self.socket):
                pass
        except ConnectionResetError:
            return True
        return True


class Running:
    """A bridge in a thread, on a panel with every wire."""

    def __init__(
        self, folder: Path, *, may_reboot: bool = False, health: BoardHealth | None = None, state: Path | None = None
    ) -> None:
        self.lines = SimulatedLines()
        self.path = folder / "b.sock"
        self.reboots = 0
        self._peers: list[Peer] = []

        def reboot() -> None:
            self.reboots += 1

        self.bridge = Bridge(
            self.lines,
            PanelConfig(socket=self.path, debounce_ms=5),
            BoardConfig(may_reboot=may_reboot),
            health=lambda: health or BoardHealth(temperature_c=50.0),
            reboot=reboot,
            state=state,
        )
        self.thread = threading.Thread(target=self.bridge.run)
        self.thread.start()
        until(self.path.exists)

    def peer(self, kind: frames.Peer | None = frames.Peer.AGENT) -> Peer:
        peer = Peer(self.path, kind)
        self._peers.append(peer)
        return peer

    def press(self) -> None:
        """One that is over already, so that no pause of this machine makes a long one of it."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.lines.hold(Input.BUTTON, True, now_ns - 60_000_000)
        self.lines.hold(Input.BUTTON, False, now_ns - 30_000_000)

    def close(self) -> None:
        self.bridge.stop()
        self.thread.join(5)
        for peer in self._peers:
            peer.socket.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.close()


def test_a_press_reaches_the_agent_with_its_time_and_rings_while_the_button_is_still_down(running: Running) -> None:
    agent = running.peer()
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    running.lines.hold(Input.BUTTON, True)
    after_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    pressed = agent.hear(frames.Pressed)
    assert before_ns // 1000 <= pressed.at_us <= after_ns // 1000
    until(lambda: (Output.CHIME, True) in running.lines.history)


def test_presses_wait_for_an_agent_and_are_told_until_it_has_them(running: Running) -> None:
    running.press()
    running.press()
    first = running.peer()
    assert [first.hear(frames.Pressed).press for _ in range(2)] == [1, 2]
    first.say(frames.PressAck(press=1))
    first.socket.close()
    second = running.peer()
    assert second.hear(frames.Pressed).press == 2
    assert second.welcome.run == first.welcome.run, "so the agent knows that it is the same press"
    second.say(frames.PressAck(press=2))
    hand = running.peer(frames.Peer.HAND)
    hand.say(frames.GetPanelState())
    assert hand.hear(frames.PanelState).presses_waiting == 0


def test_a_hand_moves_the_wires_and_sees_the_lights(running: Running) -> None:
    agent, hand = running.peer(), running.peer(frames.Peer.HAND)
    agent.say(frames.Heartbeat(delivering=True, healthy=True))
    hand.say(frames.HoldInput(input=Input.PRIVACY, active=True))
    assert agent.hear(frames.PrivacySwitch).on
    hand.say(frames.GetPanelState())
    shown = hand.hear(frames.PanelState)
    assert shown.privacy
    assert "recording_led" in shown.on


def test_the_recording_led_goes_dark_with_its_agent(running: Running) -> None:
    agent = running.peer()
    agent.say(frames.Heartbeat(delivering=True, healthy=True))
    until(lambda: running.lines.on[Output.RECORDING_LED])
    agent.socket.close()
    until(lambda: not running.lines.on[Output.RECORDING_LED])


def test_the_live_led_follows_the_agent_and_goes_dark_with_the_privacy_switch(running: Running) -> None:
    agent = running.peer()
    agent.say(frames.Heartbeat(delivering=True, healthy=True, live=True))
    until(lambda: running.lines.on[Output.LIVE_LED])
    running.lines.hold(Input.PRIVACY, True)
    until(lambda: not running.lines.on[Output.LIVE_LED])
    running.lines.hold(Input.PRIVACY, False)
    until(lambda: running.lines.on[Output.LIVE_LED])
    agent.say(frames.Heartbeat(delivering=True, healthy=True))
    until(lambda: not running.lines.on[Output.LIVE_LED])


def test_a_mark_that_editors_put_in_front_of_utf8_stops_no_bridge(tmp_path: Path) -> None:
    """`config check` calls such a file right, and without a bridge the privacy switch counts as on."""
    path = tmp_path / "doorward.toml"
    path.write_text("\ufeff[panel]\nstatus_led = 25\n")
    assert load(path)[0].pins()[Output.STATUS_LED] == 25


@pytest.mark.parametrize("word", ["false", '"off"', '""', "-1", "17", '24\nactive_low = ["recording_led"]'])
def test_the_recording_led_can_be_moved_and_not_left_out_or_turned_round(tmp_path: Path, word: str) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text("[panel]\nstatus_led = 25\n")
    panel, _board = load(path)
    assert panel.pins()[Output.RECORDING_LED] == 24
    path.write_text("[panel]\nrecording_led = 12\n")
    assert load(path)[0].pins()[Output.RECORDING_LED] == 12
    path.write_text(f"[panel]\nrecording_led = {word}\n")  # 17: the button's
    with pytest.raises(BridgeError):
        load(path)


def test_the_newest_agent_is_the_agent(running: Running) -> None:
    older, newer = running.peer(), running.peer()
    assert older.hear(frames.Rejected).why == "A newer agent came."
    running.press()
    assert newer.hear(frames.Pressed).press == 1


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"t":"alive","delivering":1,"healthy":true}',
        b'{"t":"alive","delivering":true}',
        b'{"t":"alive","delivering":true,"healthy":true,"more":1}',
        b'{"t":"alive","delivering":true,"healthy":true,"lux":-1}',
        b'{"t":"got","press":-1}',
        b'{"t":"welcome","v":1}',
        b"\xff\xfe",
        b'{"t":"got","press":1}x',
        b"[" * 900,
        b'{"t":"reboot","why":"' + b"x" * 201 + b'"}',
        b"x" * 1024,
        b'{"t":"reboot","why":"' + b"x" * 5000 + b'"}',
    ],
)
def test_what_is_not_exactly_a_frame_ends_the_connection_and_nothing_else(running: Running, packet: bytes) -> None:
    agent = running.peer()
    agent.socket.send(packet)
    assert agent.is_dropped()
    running.press()
    assert running.peer().hear(frames.Pressed).press == 1


def test_hello_comes_first_once_and_in_our_version(running: Running) -> None:
    early = running.peer(None)
    early.say(frames.Heartbeat(delivering=True, healthy=True))
    twice = running.peer(frames.Peer.HAND)
    twice.say(frames.Hello(v=frames.VERSION, peer=frames.Peer.HAND))
    other = running.peer(None)
    other.say(frames.Hello(v=99, peer=frames.Peer.AGENT))
    assert "Hello comes first" in early.hear(frames.Rejected).why
    assert "Hello comes first" in twice.hear(frames.Rejected).why
    assert "version 1" in other.hear(frames.Rejected).why


def test_a_hand_is_no_agent_and_an_agent_no_hand(running: Running) -> None:
    hand, agent = running.peer(frames.Peer.HAND), running.peer()
    hand.say(frames.Heartbeat(delivering=True, healthy=True))
    agent.say(frames.GetPanelState())
    assert hand.is_dropped()
    assert agent.is_dropped()
    assert not running.lines.on[Output.RECORDING_LED]


def test_more_peers_than_there_is_room_for_are_turned_away(running: Running) -> None:
    peers = [running.peer(frames.Peer.HAND) for _ in range(MOST_PEERS)]
    extra = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    extra.settimeout(20)
    extra.connect(os.fspath(running.path))
    with extra:
        assert extra.recv(100) == b""
    peers[0].say(frames.GetPanelState())
    assert peers[0].hear(frames.PanelState)


def test_nobody_reboots_a_board_that_may_not(running: Running) -> None:
    agent = running.peer()
    agent.say(frames.Reboot(why="the camera does not come back"))
    assert "may_reboot is false" in agent.hear(frames.Rejected).why
    assert running.reboots == 0


def test_reboots_are_bounded_although_each_clears_the_folder_of_the_socket(tmp_path: Path) -> None:
    outcomes = []
    for boot in range(5):
        folder = tmp_path / f"run-{boot}"
        folder.mkdir()
        running = Running(folder, may_reboot=True, state=tmp_path)
        try:
            agent = running.peer()
            agent.say(frames.Reboot(why="again"))
            agent.say(frames.Heartbeat(delivering=False, healthy=False))
            until(lambda r=running, a=agent: r.reboots or _refused(a))  # type: ignore[misc]
            outcomes.append(running.reboots)
        finally:
            running.close()
    assert outcomes == [1, 1, 1, 0, 0]


class _LostChip(SimulatedLines):
    """Lines of a chip that is lost while the bridge runs: each call fails, up to `close`."""

    is_lost = is_closed = False

    def read(self) -> tuple[Edge, ...]:
        self._need_chip()
        return super().read()

    def drive(self, output: Output, on: bool) -> None:
        self._need_chip()
        super().drive(output, on)

    def close(self) -> None:
        self.is_lost, self.is_closed = False, True
        super().close()

    def _need_chip(self) -> None:
        if self.is_lost:
            raise BridgeError("The GPIO chip is gone.")


def test_a_chip_that_is_lost_ends_the_bridge_which_lets_go_of_socket_and_lines(tmp_path: Path) -> None:
    lines, path, ended = _LostChip(), tmp_path / "b.sock", []
    bridge = Bridge(lines, PanelConfig(socket=path), BoardConfig(), health=lambda: BoardHealth(temperature_c=50.0))

    def run() -> None:
        try:
            bridge.run()
        except BridgeError as error:
            ended.append(error.message)

    thread = threading.Thread(target=run)
    thread.start()
    until(path.exists)
    agent = Peer(path)
    agent.say(frames.Heartbeat(delivering=True, healthy=True))
    until(lambda: lines.on.get(Output.RECORDING_LED))
    lines.is_lost = True
    lines.hold(Input.BUTTON, True)
    thread.join(20)
    agent.socket.close()
    assert (ended, lines.is_closed, path.exists()) == (["The GPIO chip is gone."], True, False)


def test_a_reboot_that_the_system_refuses_is_told_and_not_counted(tmp_path: Path) -> None:
    running = Running(tmp_path, may_reboot=True)

    def refused() -> None:
        running.reboots += 1
        raise BridgeError("The board cannot be rebooted: systemd refuses it.")

    running.bridge._reboot = refused
    try:
        agent = running.peer()
        for asked in range(1, 5):
            agent.say(frames.Reboot(why="again"))
            assert "systemd refuses" in agent.hear(frames.Rejected).why
            assert running.reboots == asked
    finally:
        running.close()


def _refused(agent: Peer) -> bool:
    agent.socket.settimeout(0.2)
    try:
        return "did not help" in agent.hear(frames.Rejected).why
    except TimeoutError:
        return False


def test_heat_is_told_with_the_rung(tmp_path: Path) -> None:
    running = Running(tmp_path, health=BoardHealth(temperature_c=71.0))
    try:
        state = running.peer().hear(frames.BoardState)
        assert (int(state.throttle_level), state.temperature_c) == (1, 71.0)
    finally:
        running.close()


def test_a_socket_that_cannot_be_made_says_where_and_what_to_do(tmp_path: Path) -> None:
    bridge = Bridge(SimulatedLines(), PanelConfig(socket=tmp_path / ("x" * 120) / "b.sock"), BoardConfig())
    with pytest.raises(BridgeError, match=r"cannot be made.*panel\.socket"):
        bridge.run()


@settings(deadline=None)  # a busy machine is no defect
@given(st.binary(max_size=200))
def test_no_bytes_make_the_decoder_raise_anything_but_its_own_error(data: bytes) -> None:
    for decode in (frames.decode_from_agent, frames.decode_from_bridge):
        with contextlib.suppress(BridgeError):
            decode(data)


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_no_json_makes_the_decoder_raise_anything_but_its_own_error(value: object) -> None:
    for name in ("alive", "pressed", "hello", "board"):
        data = json.dumps({"t": name, "press": value, "v": value, "throttle_level": value}).encode()
        for decode in (frames.decode_from_agent, frames.decode_from_bridge):
            with contextlib.suppress(BridgeError):
                decode(data)
