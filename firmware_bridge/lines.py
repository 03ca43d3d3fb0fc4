"""The lines of a doorbell by meaning, and the interface of a backend.

A backend says "active" and "inactive" and hides high and low voltage (firmware_bridge/PROTOCOL.md, "Pins").
Times in this package are nanoseconds of CLOCK_BOOTTIME.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Edge", "Input", "Lines", "Output"]


class Input(enum.Enum):
    """Input lines."""

    BUTTON = "button"
    PIR = "pir"
    TAMPER = "tamper"
    """Active: the case is open."""
    PRIVACY = "privacy"
    """Active: the camera must be off. A cut wire reads as active."""


class Output(enum.Enum):
    """Output lines."""

    RECORDING_LED = "recording_led"
    STATUS_LED = "status_led"
    LIVE_LED = "live_led"
    """Lit while a person watches live or talks."""
    CHIME = "chime"
    IR_LED = "ir_led"
    IR_CUT_DAY = "ir_cut_day"
    """A pulse puts the infrared filter in front of the sensor."""
    IR_CUT_NIGHT = "ir_cut_night"
    """A pulse takes it away."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An input changed its level. It is not debounced, unless the backend's kernel does it."""

    input: Input
    active: bool
    at_ns: int


class Lines(Protocol):
    """The lines. One thread uses them. `fileno` becomes readable if `read` has edges."""

    @property
    def name(self) -> str:
        """ "gpiod", "gpiozero" or "simulated"."""
        ...

    def open(self) -> Mapping[Input, bool]:
        """Claim the lines, every output off.  The level of each input that is wired.  Raises `BridgeError`."""
        ...

    def fileno(self) -> int: ...

    def read(self) -> tuple[Edge, ...]:
        """Returns the edges since the last call, in order. Never blocks. Raises `BridgeError` if the chip is gone."""
        ...

    def drive(self, output: Output, on: bool) -> None:
        """Sets an output. Outputs without a wire are ignored."""
        ...

    def close(self) -> None:
        """Every output off, every line let go.  Idempotent."""
        ...
