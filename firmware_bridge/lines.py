"""The wires of a doorbell by meaning, and what a backend must do with them.

A backend says "active" and "inactive"; whether that is a high or a low voltage is its business (PROTOCOL.md, "Pins").
Times are nanoseconds of CLOCK_BOOTTIME, everywhere in this package.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Edge", "Input", "Lines", "Output"]


class Input(enum.Enum):
    """What the doorbell feels."""

    BUTTON = "button"
    PIR = "pir"
    TAMPER = "tamper"
    """Active: the case is open."""
    PRIVACY = "privacy"
    """Active: the camera must not see.  A cut wire reads as active."""


class Output(enum.Enum):
    """What the doorbell shows and moves."""

    RECORDING_LED = "recording_led"
    STATUS_LED = "status_led"
    CHIME = "chime"
    IR_LED = "ir_led"
    IR_CUT_DAY = "ir_cut_day"
    """A pulse puts the infrared filter in front of the sensor."""
    IR_CUT_NIGHT = "ir_cut_night"
    """A pulse takes it away."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One input changed its level.  Not debounced, unless the backend's kernel does that."""

    input: Input
    active: bool
    at_ns: int


class Lines(Protocol):
    """The wires.  One thread uses them; `fileno` becomes readable when `read` has something to give."""

    @property
    def name(self) -> str:
        """ "gpiod", "gpiozero" or "simulated"."""
        ...

    def open(self) -> Mapping[Input, bool]:
        """Claim the lines, every output off.  The level of each input that is wired.  Raises `BridgeError`."""
        ...

    def fileno(self) -> int: ...

    def read(self) -> tuple[Edge, ...]:
        """The edges since the last call, in order; never blocks.  Raises `BridgeError` when the chip is gone."""
        ...

    def drive(self, output: Output, on: bool) -> None:
        """An output that is not wired is left alone."""
        ...

    def close(self) -> None:
        """Every output off, every line let go.  Idempotent."""
        ...
