"""The loop that joins lines, panel, board and socket: one thread, one selector, no blocking call.

`panel`, `night_mode` and `throttling` make the decisions. The loop keeps their durable state: presses that the agent
has not acknowledged (the newest `_MOST_PRESSES`), and the number of reboots.

The agent asks for a reboot, and the bridge limits it: only if `board.may_reboot` allows it, and at most `_REBOOTS`
times in a row. The count is in a file and is reset after an hour with a living agent. If the file cannot be written,
the bridge does not reboot, because an unlimited number of reboots would be worse.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from firmware_bridge import frames, panel
from firmware_bridge.backends.simulated import SimulatedLines
from firmware_bridge.board_health import BoardHealth, read_health
from firmware_bridge.boards import board_named
from firmware_bridge.errors import BridgeError
from firmware_bridge.lines import Lines
from firmware_bridge.server import Server
from firmware_bridge.settings import BoardConfig, PanelConfig
from firmware_bridge.throttling import Throttle, ThrottleLevel

__all__ = ["Bridge", "rules_of"]

_MS: Final = 1_000_000
_HEALTH_NS: Final = 5 * 10**9
_MOST_PRESSES: Final = 16
_REBOOTS: Final = 3
_REBOOT_ASKS_S: Final = 10.0
"""Shorter than the watchdogs' patience: the loop waits meanwhile."""
_HEALTHY_NS: Final = 3600 * 10**9
_EARLIEST_TRUE_S: Final = 1_767_225_600
"""2026-01-01: a clock before that is known to be wrong."""
_WDIOC_SETTIMEOUT: Final = 0xC0045706
_WATCHDOG_S: Final = 15


def rules_of(settings: PanelConfig) -> panel.PanelRules:
    """`[panel]` in the panel's own units."""
    quiet = tuple(int(time_[:2]) * 60 + int(time_[3:]) for time_ in settings.chime_quiet or ())
    return panel.PanelRules(
        debounce_ns=settings.debounce_ms * _MS,
        long_press_ns=round(settings.long_press_s * 1000) * _MS,
        chime_ns=settings.chime_ms * _MS,
        quiet=(quiet[0], quiet[1]) if quiet else None,
        pir_gap_ns=round(settings.pir_gap_s * 1000) * _MS,
        night_lux=settings.night_lux,
        day_lux=settings.day_lux,
        light_dwell_ns=round(settings.light_dwell_s * 1000) * _MS,
    )


def boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def minute_of_day() -> int | None:
    """Returns the minute of the local day, or None if the date is clearly wrong."""
    if time.time() < _EARLIEST_TRUE_S:
        return None
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


class Bridge:
    """`run` until `stop`.  `reboot` and `health` are the seams for tests."""

    def __init__(
        self,
        lines: Lines,
        settings: PanelConfig,
        board: BoardConfig,
        *,
        allowed_uids: frozenset[int] = frozenset(),
        health: Callable[[], BoardHealth] = read_health,
        reboot: Callable[[], None] | None = None,
        state: Path | None = None,
    ) -> None:
        """`state`: the folder that keeps the number of reboots. None: that of the socket, which a reboot may clear."""
        self._lines = lines
        self._settings = settings
        self._board = board
        self._board_name = board_named(board.profile).name.value
        self._run_name = os.urandom(8).hex()
        self._panel = panel.Panel(rules_of(settings))
        self._server = Server(settings.socket, allowed_uids, self._on_drop)
        self._throttle = Throttle(board.throttle_from_c)
        self._read_health = health
        self._reboot = reboot or _reboot_by_systemd
        # Not in /run, if the caller knows better: a reboot clears it, and the count would never reach its limit.
        self._reboots = (state or settings.socket.parent) / f"{settings.socket.stem}.reboots"
        self._state = frames.BoardState(throttle_level=ThrottleLevel.NORMAL)
        self._presses: deque[frames.Pressed] = deque(maxlen=_MOST_PRESSES)
        self._agent_since_ns: int | None = None
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False
        self._watchdog: int | None = None
        self._inputs: tuple[Any, ...] = ()
        self._handlers: dict[type, Callable[[socket.socket, Any], None]] = {
            frames.Hello: self._on_hello,
            frames.Heartbeat: self._on_alive,
            frames.PressAck: self._on_got,
            frames.Reboot: self._on_reboot,
            frames.HoldInput: self._on_hold,
            frames.GetPanelState: self._on_ask,
        }

    def run(self) -> None:
        """Raises `BridgeError` if the lines or the socket cannot be opened, or the chip disappears."""
        try:
            self._begin()
            health_ns = 0
            while not self._stopping:
                now_ns = boot_ns()
                if now_ns >= health_ns:
                    self._look_at_board(now_ns)
                    health_ns = now_ns + _HEALTH_NS
                due_ns = min(health_ns, self._panel.next_deadline_ns or health_ns)
                for key, _ in self._selector.select(max(0, due_ns - boot_ns()) / 1e9):
                    key.data()
                self._carry_out(self._panel.on_time(boot_ns(), minute_of_day()))
        finally:
            self._end()

    def stop(self) -> None:
        """From any thread or a signal handler."""
        self._stopping = True
        with contextlib.suppress(OSError):
            # The selector would see the flag alone only at its next deadline.
            os.write(self._wake_write, b"\0")

    def _begin(self) -> None:
        levels = self._lines.open()
        self._inputs = tuple(levels)
        self._server.open()
        self._selector.register(self._lines.fileno(), selectors.EVENT_READ, self._on_edges)
        self._selector.register(self._server.listener, selectors.EVENT_READ, self._on_peer)
        self._selector.register(self._wake_read, selectors.EVENT_READ, lambda: None)
        self._watchdog = _open_watchdog(self._board.watchdog) if self._board.watchdog else None
        self._carry_out(self._panel.begin(levels, boot_ns()))
        _notify_systemd("READY=1")

    def _end(self) -> None:
        # The agent's end drives no output from here on. If the chip is gone, that would fail, and skip the steps below.
        self._stopping = True
        self._server.close()
        self._lines.close()
        self._selector.close()
        if self._watchdog is not None:
            os.write(self._watchdog, b"V")  # the "magic close": a planned stop must not look like a hang
            os.close(self._watchdog)
        os.close(self._wake_read)
        os.close(self._wake_write)

    # --- Wires

    def _on_edges(self) -> None:
        for edge in self._lines.read():
            self._carry_out(self._panel.on_edge(edge, boot_ns(), minute_of_day()))

    def _carry_out(self, effects: Iterable[panel.Effect]) -> None:
        for effect in effects:
            match effect:
                case panel.DriveOutput(output, on):
                    self._lines.drive(output, on)
                case frames.Pressed():
                    # Kept until the agent acknowledges it: an agent that restarts must not lose a press.
                    self._presses.append(effect)
                    self._server.send_to_agent(effect)
                case _:
                    self._server.send_to_agent(effect)

    # --- Peers

    def _on_peer(self) -> None:
        peer = self._server.accept()
        if peer is not None:
            self._selector.register(peer, selectors.EVENT_READ, lambda: self._on_frame(peer))

    def _on_frame(self, peer: socket.socket) -> None:
        try:
            frame = self._server.read(peer)
        except BlockingIOError:
            return
        if frame is not None:
            self._handlers[type(frame)](peer, frame)

    def _on_drop(self, peer: socket.socket, kind: frames.Peer | None) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(peer)
        if kind is frames.Peer.AGENT and not self._stopping:
            self._agent_since_ns = None
            self._carry_out(self._panel.on_agent_gone(boot_ns()))

    def _on_hello(self, peer: socket.socket, hello: frames.Hello) -> None:
        welcome = frames.Welcome(
            v=frames.VERSION,
            run=self._run_name,
            backend=self._lines.name,
            board=self._board_name,
            privacy=self._panel.privacy,
            inputs=self._inputs,
        )
        # It has the position of the privacy switch, so it comes before the presses.
        self._server.send(peer, welcome)
        if hello.peer is frames.Peer.AGENT:
            self._agent_since_ns = boot_ns()
            self._server.send(peer, self._state)
            for press in self._presses:
                self._server.send(peer, press)

    def _on_alive(self, peer: socket.socket, alive: frames.Heartbeat) -> None:
        if self._is(peer, frames.Peer.AGENT):
            word = panel.AgentStatus(alive.delivering, alive.healthy, alive.lux, alive.setup, alive.live)
            self._carry_out(self._panel.on_agent(word, boot_ns()))

    def _on_got(self, peer: socket.socket, got: frames.PressAck) -> None:
        if self._is(peer, frames.Peer.AGENT):
            self._presses = deque((one for one in self._presses if one.press != got.press), _MOST_PRESSES)

    def _on_hold(self, peer: socket.socket, hold: frames.HoldInput) -> None:
        if not isinstance(self._lines, SimulatedLines):
            self._server.send(peer, frames.Rejected(why="These wires are real: press the button itself."))
        elif self._is(peer, frames.Peer.HAND):
            self._lines.hold(hold.input, hold.active)

    def _on_ask(self, peer: socket.socket, _ask: frames.GetPanelState) -> None:
        if self._is(peer, frames.Peer.HAND):
            shown = frames.PanelState(
                on=tuple(output.value for output, on in self._panel.shown.items() if on),
                privacy=self._panel.privacy,
                night=self._panel.night,
                agent=self._server.agent is not None,
                presses_waiting=len(self._presses),
                board=self._state,
            )
            self._server.send(peer, shown)

    def _is(self, peer: socket.socket, kind: frames.Peer) -> bool:
        if self._server.peers.get(peer) is kind:
            return True
        self._server.drop(peer, f"Only for the {kind.value}.")
        return False

    # --- Board

    def _look_at_board(self, now_ns: int) -> None:
        health = self._read_health()
        throttle_level = self._throttle.update(
            health.temperature_c, power_limited=health.is_power_limited, now_ns=now_ns
        )
        fields = {name: getattr(health, name) for name in BoardHealth.__dataclass_fields__}
        self._state = frames.BoardState(throttle_level=throttle_level, **fields)
        self._server.send_to_agent(self._state)
        self._carry_out(self._panel.on_strain(throttle_level > ThrottleLevel.OBJECT_DETECTION, now_ns))
        # Fed by the loop itself: if the loop hangs, the hardware resets the board after `_WATCHDOG_S`.
        if self._watchdog is not None:
            os.write(self._watchdog, b"\0")
        _notify_systemd("WATCHDOG=1")
        if self._agent_since_ns is not None and now_ns - self._agent_since_ns > _HEALTHY_NS:
            with contextlib.suppress(OSError):
                self._reboots.unlink(missing_ok=True)

    def _on_reboot(self, peer: socket.socket, wish: frames.Reboot) -> None:
        if not self._is(peer, frames.Peer.AGENT):
            return
        if not self._board.may_reboot:
            self._server.send(
                peer, frames.Rejected(why="board.may_reboot is false: the bridge does not reboot this board.")
            )
            return
        try:
            before = int(self._reboots.read_text()) if self._reboots.exists() else 0
            if before >= _REBOOTS:
                self._server.send(peer, frames.Rejected(why=f"{before} reboots did not help: no more of them."))
                return
            self._reboots.write_text(str(before + 1))
            os.sync()
        except (OSError, ValueError):
            self._server.send(peer, frames.Rejected(why="The count of reboots cannot be kept: no reboot."))
            return
        _say(f"Rebooting, {before + 1} of {_REBOOTS}: {wish.why}")
        try:
            self._reboot()
        except BridgeError as error:
            # Not counted: a right that is missing today must not use up the reboots of the day when it is there.
            with contextlib.suppress(OSError):
                self._reboots.write_text(str(before))
            _say(error.message)
            self._server.send(peer, frames.Rejected(why=error.message[:200]))


def _reboot_by_systemd() -> None:
    """Raises `BridgeError` if the machine does not reboot. For a service without root's rights, polkit decides."""
    try:
        subprocess.run(["/usr/bin/systemctl", "reboot"], check=True, timeout=_REBOOT_ASKS_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise BridgeError("The board cannot be rebooted: systemd refuses it.") from error


def _open_watchdog(path: Path) -> int:
    try:
        watchdog = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BridgeError(
            f"The watchdog {path} cannot be opened: {error.strerror or error}.",
            remedy="Leave board.watchdog out where systemd has it (RuntimeWatchdogSec), or run the bridge as root.",
        ) from error
    with contextlib.suppress(OSError):
        fcntl.ioctl(watchdog, _WDIOC_SETTIMEOUT, struct.pack("i", _WATCHDOG_S))
    return watchdog


def _notify_systemd(word: str) -> None:
    """Sends sd_notify(3) for a unit of type notify. Does nothing outside systemd."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if place:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(word.encode(), "\0" + place[1:] if place[0] == "@" else place)


def _say(text: str) -> None:
    sys.stderr.write(f"bridge: {text}\n")
    sys.stderr.flush()
