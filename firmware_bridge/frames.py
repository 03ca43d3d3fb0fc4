"""The messages between bridge and agent: one JSON object per packet, at most `MOST_BYTES`, with types and ranges.

The socket is SOCK_SEQPACKET (unix(7)), so the kernel separates packets and a sender cannot lie about a length. A packet
that is too long is recognised by its flag and refused. Unknown kinds and fields are refused. Source:
firmware_bridge/PROTOCOL.md, "Frames".
"""

from __future__ import annotations

import enum
import socket
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from firmware_bridge.errors import BridgeError
from firmware_bridge.lines import Input
from firmware_bridge.throttling import ThrottleLevel

__all__ = [
    "MOST_BYTES",
    "VERSION",
    "Blackout",
    "BoardState",
    "FromAgent",
    "FromBridge",
    "GetPanelState",
    "Heartbeat",
    "Hello",
    "HoldInput",
    "PanelState",
    "Peer",
    "PirPulse",
    "PressAck",
    "Pressed",
    "PrivacySwitch",
    "Reboot",
    "Rejected",
    "SetupLight",
    "TamperSwitch",
    "Welcome",
    "decode_from_agent",
    "decode_from_bridge",
    "encode",
    "receive",
]

VERSION: Final = 1
MOST_BYTES: Final = 1024

Text = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Micros = Annotated[int, Meta(ge=0, lt=2**53)]
"""CLOCK_BOOTTIME, microseconds."""
Count = Annotated[int, Meta(ge=0, lt=2**32)]


class _Frame(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="t", omit_defaults=True):
    """`t` says which kind it is."""


class Peer(enum.Enum):
    """The kind of peer in `hello`."""

    AGENT = "agent"
    HAND = "hand"
    """A person at a terminal, or a test: may look, and may move the wires of a simulated panel."""


class SetupLight(enum.Enum):
    """The set-up of a doorbell without an owner, for the status LED (agent/core/setup_code.py, `SetupState`)."""

    WAITING = "waiting"
    JOINING = "joining"
    JOINED = "joined"
    WRONG_PASSWORD = "wrong-password"  # noqa: S105 — no password
    NO_NETWORK = "no-network"
    NO_ADDRESS = "no-address"
    FAILED = "failed"


# --- To the bridge


class Hello(_Frame, frozen=True, kw_only=True, tag="hello"):
    v: int
    peer: Peer


class Heartbeat(_Frame, frozen=True, kw_only=True, tag="alive"):
    """Sent about once a second. After three seconds without one, the bridge treats the agent as silent."""

    delivering: bool
    healthy: bool
    lux: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    setup: SetupLight | None = None
    live: bool = False
    """A person watches live or talks."""


class PressAck(_Frame, frozen=True, kw_only=True, tag="got"):
    """The press has become an event. The bridge stops repeating it."""

    press: Count


class Reboot(_Frame, frozen=True, kw_only=True, tag="reboot"):
    """The agent cannot bring the camera back. The bridge may refuse."""

    why: Text


class HoldInput(_Frame, frozen=True, kw_only=True, tag="hold"):
    """Only from a hand, only on a simulated panel: put a wire to this level."""

    input: Input
    active: bool


class GetPanelState(_Frame, frozen=True, kw_only=True, tag="ask"):
    """Only from a hand: answered by `PanelState`."""


# --- From the bridge


class Welcome(_Frame, frozen=True, kw_only=True, tag="welcome"):
    """The answer to `Hello`.  `run` names this run of the bridge: presses are counted from one in each."""

    v: int
    run: Text
    backend: Text
    board: Text
    privacy: bool
    inputs: Annotated[tuple[Input, ...], Meta(max_length=8)] = ()


class Pressed(_Frame, frozen=True, kw_only=True, tag="pressed"):
    """Told again on every new connection until `PressAck`.  `held`: it has become a long one."""

    press: Count
    at_us: Micros
    held: bool = False


class PirPulse(_Frame, frozen=True, kw_only=True, tag="passed"):
    """A PIR pulse. It is lost if no agent is connected, because the camera sees motion too."""

    at_us: Micros


class TamperSwitch(_Frame, frozen=True, kw_only=True, tag="tampered"):
    open: bool
    at_us: Micros


class PrivacySwitch(_Frame, frozen=True, kw_only=True, tag="privacy"):
    on: bool


class Blackout(_Frame, frozen=True, kw_only=True, tag="blackout"):
    """The filter moves. Motion within the next `ms` does not count."""

    ms: Annotated[int, Meta(ge=0, le=60_000)]


class BoardState(_Frame, frozen=True, kw_only=True, tag="board"):
    """The board's health, every few seconds. Values that cannot be read are absent, not zero."""

    throttle_level: ThrottleLevel
    temperature_c: Annotated[float, Meta(ge=-60, le=200)] | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    throttled_since_boot: bool | None = None
    written_mb: Count | None = None
    wear_percent: Annotated[int, Meta(ge=0, le=110)] | None = None
    cma_total_mb: Count | None = None
    cma_free_mb: Count | None = None
    clock_source: Text | None = None
    clock_synced: bool | None = None
    wifi_dbm: Annotated[int, Meta(ge=-200, le=0)] | None = None


class PanelState(_Frame, frozen=True, kw_only=True, tag="shown"):
    """The answer to `GetPanelState`: which outputs are on, and the bridge's state."""

    on: Annotated[tuple[Text, ...], Meta(max_length=8)]
    privacy: bool
    night: bool
    agent: bool
    presses_waiting: Count
    board: BoardState


class Rejected(_Frame, frozen=True, kw_only=True, tag="refused"):
    why: Text


FromAgent = Hello | Heartbeat | PressAck | Reboot | HoldInput | GetPanelState
FromBridge = Welcome | Pressed | PirPulse | TamperSwitch | PrivacySwitch | Blackout | BoardState | PanelState | Rejected

_FROM_AGENT: msgspec.json.Decoder[FromAgent] = msgspec.json.Decoder(FromAgent)
_FROM_BRIDGE: msgspec.json.Decoder[FromBridge] = msgspec.json.Decoder(FromBridge)


def encode(frame: FromAgent | FromBridge) -> bytes:
    return msgspec.json.encode(frame)


def decode_from_agent(packet: bytes) -> FromAgent:
    """Raises `BridgeError` for anything but exactly one known frame."""
    try:
        return _FROM_AGENT.decode(packet)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BridgeError(
            "This is no frame of the panel's protocol.", remedy="See firmware_bridge/PROTOCOL.md."
        ) from error


def decode_from_bridge(packet: bytes) -> FromBridge:
    """Raises `BridgeError` for anything but exactly one known frame."""
    try:
        return _FROM_BRIDGE.decode(packet)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BridgeError(
            "This is no frame of the panel's protocol.", remedy="See firmware_bridge/PROTOCOL.md."
        ) from error


def receive(peer: socket.socket) -> bytes:
    """The next packet, empty when the peer has gone.  Raises `BridgeError` for one that is too long, `OSError`."""
    packet, _, flags, _ = peer.recvmsg(MOST_BYTES)
    # The kernel cuts a longer packet and tells it by this flag alone. The cut packet could still be sound JSON.
    if flags & socket.MSG_TRUNC:
        raise BridgeError(f"A frame is longer than {MOST_BYTES} bytes.")
    return packet
