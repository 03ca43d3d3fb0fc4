"""`[panel]` and `[board]` of the configuration: lines, their behaviour, and what the board may do.

The agent's `agent.config` and the bridge read the same two tables with the same types, so they cannot disagree.
`doorward config check` explains mistakes.

The recording LED cannot be switched off, on purpose: its pin can be chosen, but must be set and upright. An inverted
LED would be dark while frames are delivered (docs/security/promises.md, promise 11).
"""

from __future__ import annotations

import enum
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from firmware_bridge.boards import BoardName
from firmware_bridge.errors import BridgeError
from firmware_bridge.lines import Input, Output

__all__ = ["Backend", "BoardConfig", "PanelConfig", "PanelPins", "load", "pin_conflicts"]

Pin = Annotated[int, Meta(ge=0, le=511)]
"""The offset of a line on its chip. On a Pi this is the BCM number."""
TimeOfDay = Annotated[
    str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z", description='a time of day in quotes, like "22:00"')
]
_NAMES = [wire.value for wire in (*Input, *Output)]
Wire = Annotated[str, Meta(pattern=rf"^({'|'.join(_NAMES)})\Z", description=f"one of {', '.join(_NAMES)}, in quotes")]
_MOST_BYTES = 1 << 20


class Backend(enum.Enum):
    """The library that reaches the lines."""

    SIMULATED = "simulated"
    GPIOD = "gpiod"
    GPIOZERO = "gpiozero"


class PanelPins(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wires of a doorbell: offsets of lines on their chip. A wire that is absent is None."""

    button: Pin | None = 17
    pir: Pin | None = None
    tamper: Pin | None = None
    privacy: Pin | None = None
    recording_led: Pin = 24
    status_led: Pin | None = None
    live_led: Pin | None = None
    chime: Pin | None = None
    ir_led: Pin | None = None
    ir_cut_day: Pin | None = None
    ir_cut_night: Pin | None = None
    active_low: Annotated[tuple[Wire, ...], Meta(max_length=10)] = ("button",)
    chime_quiet: tuple[TimeOfDay, TimeOfDay] | None = None


class PanelConfig(PanelPins, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[panel]`. The bridge runs only if this section exists."""

    backend: Backend = Backend.SIMULATED
    socket: Path = Path("/run/doorward/bridge.sock")
    start: bool = True
    """`doorward run` starts the bridge and stops it.  False: something else (systemd) does."""
    agent_user: Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[a-z_][a-z0-9_-]*\Z")] | None = None
    chip: Path = Path("/dev/gpiochip0")
    debounce_ms: Annotated[int, Meta(ge=1, le=500)] = 20
    long_press_s: Annotated[float, Meta(ge=1, le=60)] = 10.0
    chime_ms: Annotated[int, Meta(ge=50, le=5000)] = 600
    pir_gap_s: Annotated[float, Meta(ge=0, le=600)] = 5.0
    night_lux: Annotated[float, Meta(ge=0.01, le=1000)] = 3.0
    day_lux: Annotated[float, Meta(ge=0.02, le=10_000)] = 15.0
    light_dwell_s: Annotated[float, Meta(ge=1, le=600)] = 10.0

    def pins(self) -> dict[Input | Output, int]:
        """Every wire that is there."""
        found: dict[Input | Output, int] = {}
        for wire in (*Input, *Output):
            pin = getattr(self, wire.value)
            if pin is not None:
                found[wire] = pin
        return found


class BoardConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[board]`"""

    profile: BoardName = BoardName.AUTO
    throttle_from_c: Annotated[float, Meta(ge=40, le=100)] = 70.0
    may_reboot: bool = False
    watchdog: Path | None = None


def pin_conflicts(panel: PanelConfig) -> Iterator[tuple[str, str, str]]:
    """Yields (key, problem, remedy) for keys that are valid alone but contradict each other."""
    taken: dict[int, str] = {}
    for wire, pin in panel.pins().items():
        if pin in taken:
            yield wire.value, f"pin {pin} is {taken[pin]}'s already.", "Give each wire a separate pin."
        taken[pin] = wire.value
    if Output.RECORDING_LED.value in panel.active_low:
        yield (
            "active_low",
            "recording_led cannot be turned round: it would be dark while the camera sees.",
            "Wire this LED to be lit by a high line (PROTOCOL.md), and leave it out of active_low.",
        )
    if panel.day_lux < 2 * panel.night_lux:
        yield (
            "day_lux",
            f"{panel.day_lux:g} is too near to night_lux, {panel.night_lux:g}: the lamp would switch itself off.",
            f"Give at least {2 * panel.night_lux:g}.",
        )
    # A filter that moves out and not in again would tint the pictures of each day.
    if (panel.ir_cut_day is None) != (panel.ir_cut_night is None):
        yield "ir_cut_day", "the infrared filter can be moved one way only.", "Give ir_cut_day and ir_cut_night."


def load(path: Path) -> tuple[PanelConfig, BoardConfig]:
    """Reads the two tables of a configuration file. Relative paths are relative to the file. Raises `BridgeError`."""
    remedy = f"See what is wrong with:  doorward config check {path}"
    try:
        with path.open("rb") as file:
            tables = tomllib.loads(file.read(_MOST_BYTES).decode("utf-8-sig"))
        panel = msgspec.convert(tables.get("panel", {}), PanelConfig, dec_hook=_path)
        board = msgspec.convert(tables.get("board", {}), BoardConfig, dec_hook=_path)
    except (OSError, ValueError, RecursionError) as error:
        raise BridgeError(f"The panel's settings in {path} cannot be read: {error}.", remedy=remedy) from error
    for key, wrong, what_to_do in pin_conflicts(panel):
        raise BridgeError(f"{path}, panel.{key}: {wrong}", remedy=what_to_do)
    watchdog = path.parent / board.watchdog if board.watchdog else None
    return (
        msgspec.structs.replace(panel, socket=path.parent / panel.socket, chip=path.parent / panel.chip),
        msgspec.structs.replace(board, watchdog=watchdog),
    )


def _path(kind: type, value: object) -> Any:
    if kind is Path and isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    raise ValueError("expected a path in quotes")
