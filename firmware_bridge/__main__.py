"""`python -m firmware_bridge`: runs the bridge, or presses the buttons of a simulated panel.

run                      the bridge, until SIGTERM or Ctrl-C (the default)
press [--for SECONDS]    the button
pass                     a person walks past the PIR
privacy on|off           the privacy switch
tamper open|closed       the case
show                     which LEDs are on, and the state of the board
board-light              the set-up on the board's own light, until there is an owner (root)
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from firmware_bridge import frames
from firmware_bridge.backends import lines_of
from firmware_bridge.board_light import BoardLight, show_setup
from firmware_bridge.bridge import Bridge
from firmware_bridge.errors import BridgeError
from firmware_bridge.lines import Input
from firmware_bridge.settings import PanelConfig, load
from firmware_bridge.time_zone import use_time_zone, zone_in

__all__ = ["main"]

_CONFIG = Path("/etc/doorward/doorward.toml")
_OWNED = Path("/etc/doorward/owned")
"""Root writes it when there is an owner (agent/cli/join_network.py)."""
_SETUP_STATE = Path("/run/doorward/setup/state")
"""The custodian writes it (agent/custodian/camera_setup.py)."""


def main(arguments: list[str] | None = None) -> int:
    wanted = _parser().parse_args(arguments)
    try:
        if wanted.command == "board-light":
            _show_setup()
            return 0
        panel, board = load(wanted.config)
        if wanted.command in (None, "run"):
            # The chime's quiet hours are local time.
            use_time_zone(zone_in(wanted.config))
            bridge = Bridge(lines_of(panel), panel, board, allowed_uids=_uids(panel), state=wanted.state)
            for number in (signal.SIGTERM, signal.SIGINT):
                # `stop` sets a flag and writes one byte: it takes no lock that the interrupted code could hold.
                signal.signal(number, lambda *_: bridge.stop())
            bridge.run()
        else:
            with _TestTool(panel.socket) as hand:
                hand.do(wanted)
    except BridgeError as error:
        sys.stderr.write(f"Error: {error.message}\n" + (f"  What to do: {error.remedy}\n" if error.remedy else ""))
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firmware_bridge", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, default=_CONFIG, help=f"default: {_CONFIG}")
    parser.add_argument("--state", type=Path, help="the folder that keeps the number of reboots")
    commands = parser.add_subparsers(dest="command", metavar="run|press|pass|privacy|tamper|show|board-light")
    commands.add_parser("run", help="run the bridge")
    press = commands.add_parser("press", help="press the button of a simulated panel")
    press.add_argument("--for", dest="seconds", type=float, default=0.2, help="how long, in seconds")
    commands.add_parser("pass", help="walk by the PIR")
    commands.add_parser("privacy", help="turn the privacy switch").add_argument("to", choices=["on", "off"])
    commands.add_parser("tamper", help="open or close the case").add_argument("to", choices=["open", "closed"])
    commands.add_parser("show", help="what the panel shows")
    commands.add_parser("board-light", help="show the set-up on the board's own light")
    return parser


def _show_setup() -> None:
    """Until there is an owner, or SIGTERM. The light has its work back in both cases."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with BoardLight() as light:
        show_setup(light, _SETUP_STATE, _OWNED, ended)


def _uids(panel: PanelConfig) -> frozenset[int]:
    if panel.agent_user is None:
        return frozenset()
    try:
        return frozenset({pwd.getpwnam(panel.agent_user).pw_uid})
    except KeyError as error:
        raise BridgeError(f"There is no user '{panel.agent_user}'.", remedy="Correct panel.agent_user.") from error


class _TestTool:
    """One connection to a running bridge."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(5.0)
        try:
            self._socket.connect(os.fspath(path))
            self._send(frames.Hello(v=frames.VERSION, peer=frames.Peer.HAND))
            self._receive()
        except OSError as error:
            self._socket.close()
            raise BridgeError(
                f"No bridge answers at {path}: {error.strerror or error}.",
                remedy="Start it: python -m firmware_bridge --config FILE run, or doorward run.",
            ) from error

    def __enter__(self) -> _TestTool:
        return self

    def __exit__(self, *_cause: object) -> None:
        self._socket.close()

    def do(self, wanted: argparse.Namespace) -> None:
        match wanted.command:
            case "press":
                self._hold(Input.BUTTON, wanted.seconds)
            case "pass":
                self._hold(Input.PIR, 0.5)
            case "privacy":
                self._send(frames.HoldInput(input=Input.PRIVACY, active=wanted.to == "on"))
            case "tamper":
                self._send(frames.HoldInput(input=Input.TAMPER, active=wanted.to == "open"))
        self._show()

    def _hold(self, wire: Input, seconds: float) -> None:
        self._send(frames.HoldInput(input=wire, active=True))
        time.sleep(seconds)
        self._send(frames.HoldInput(input=wire, active=False))

    def _show(self) -> None:
        self._send(frames.GetPanelState())
        shown = self._receive()
        if isinstance(shown, frames.PanelState):
            board = shown.board
            rows = [
                ("on", ", ".join(shown.on) or "nothing"),
                ("privacy", "the camera must not see" if shown.privacy else "off"),
                ("light", "night" if shown.night else "day"),
                ("agent", "connected" if shown.agent else "none"),
                ("presses", f"{shown.presses_waiting} wait for the agent"),
                ("throttle_level", board.throttle_level.name.lower()),
                ("heat", "unknown" if board.temperature_c is None else f"{board.temperature_c:.0f} °C"),
            ]
            with contextlib.suppress(BrokenPipeError):
                sys.stdout.writelines(f"{name:>9}  {text}\n" for name, text in rows)

    def _send(self, frame: frames.FromAgent) -> None:
        try:
            self._socket.send(frames.encode(frame))
        except OSError as error:
            raise BridgeError("The bridge has gone.") from error

    def _receive(self) -> frames.FromBridge:
        packet = frames.receive(self._socket)
        if not packet:
            raise BridgeError("The bridge closed the connection.")
        frame = frames.decode_from_bridge(packet)
        if isinstance(frame, frames.Rejected):
            raise BridgeError(frame.why)
        return frame


if __name__ == "__main__":
    raise SystemExit(main())
