"""Lines through the kernel's GPIO character device with the kernel's debounce: python3-libgpiod 2.

The kernel stamps each edge with CLOCK_MONOTONIC. On a doorbell, which never sleeps, this is CLOCK_BOOTTIME minus a
constant that is measured when the lines are claimed. The panel's debounce runs after the kernel's: an edge that passes
one also passes the other. Source: linux/gpio.h (GPIO_V2), libgpiod 2 documentation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from firmware_bridge.errors import BridgeError
from firmware_bridge.lines import Edge, Input, Output
from firmware_bridge.settings import PanelConfig

__all__ = ["ChipLines"]

_PULLED_DOWN = (Input.PIR,)
"""A PIR drives its line. All other inputs are contacts to ground, so their lines are pulled up."""


class ChipLines:
    """Implements `Lines`."""

    name = "gpiod"

    def __init__(self, panel: PanelConfig) -> None:
        self._panel = panel
        self._inputs = {pin: wire for wire, pin in panel.pins().items() if isinstance(wire, Input)}
        self._outputs = {wire: pin for wire, pin in panel.pins().items() if isinstance(wire, Output)}
        self._gpiod: Any = None
        self._claim: Any = None
        self._shift_ns = 0

    def open(self) -> Mapping[Input, bool]:
        try:
            import gpiod
        except ImportError as error:
            raise BridgeError(
                "The library for GPIO lines is missing.", remedy="sudo apt-get install python3-libgpiod"
            ) from error
        self._gpiod = gpiod
        settings = {pin: self._input(wire) for pin, wire in self._inputs.items()}
        settings |= {pin: self._output(wire) for wire, pin in self._outputs.items()}
        try:
            self._claim = gpiod.request_lines(str(self._panel.chip), consumer="doorward", config=settings)
        except OSError as error:
            raise BridgeError(
                f"The lines {sorted(settings)} of {self._panel.chip} cannot be claimed: {error.strerror or error}.",
                remedy="See who has them with `gpioinfo`, which chip is the header's with `gpiodetect`, and whether "
                "this user is in the group gpio.",
            ) from error
        self._shift_ns = _boot_ahead_ns()
        return {wire: self._is_active(self._claim.get_value(pin)) for pin, wire in self._inputs.items()}

    def fileno(self) -> int:
        return self._claim.fd if self._claim else -1

    def read(self) -> tuple[Edge, ...]:
        try:
            if not self._claim.wait_edge_events(timedelta(0)):
                return ()
            events = self._claim.read_edge_events()
        except OSError as error:
            raise BridgeError(f"The GPIO chip {self._panel.chip} is gone: {error.strerror or error}.") from error
        rising = self._gpiod.EdgeEvent.Type.RISING_EDGE
        return tuple(
            Edge(self._inputs[event.line_offset], event.event_type is rising, event.timestamp_ns + self._shift_ns)
            for event in events
        )

    def drive(self, output: Output, on: bool) -> None:
        pin = self._outputs.get(output)
        if pin is None:
            return
        value = self._gpiod.line.Value
        try:
            self._claim.set_value(pin, value.ACTIVE if on else value.INACTIVE)
        except OSError as error:
            raise BridgeError(f"The line {pin} cannot be driven: {error.strerror or error}.") from error

    def close(self) -> None:
        claim, self._claim = self._claim, None
        if claim is None:
            return
        try:
            # The level of a released line depends on the kernel, so lamp and chime go off before.
            claim.set_values(dict.fromkeys(self._outputs.values(), self._gpiod.line.Value.INACTIVE))
        except OSError:  # the chip is gone, and its outputs with it
            pass
        finally:
            claim.release()

    def _input(self, wire: Input) -> Any:
        line = self._gpiod.line
        return self._gpiod.LineSettings(
            direction=line.Direction.INPUT,
            edge_detection=line.Edge.BOTH,
            bias=line.Bias.PULL_DOWN if wire in _PULLED_DOWN else line.Bias.PULL_UP,
            active_low=wire.value in self._panel.active_low,
            # Bounces end in the kernel, so that they do not wake this process.
            debounce_period=timedelta(milliseconds=self._panel.debounce_ms),
            event_clock=line.Clock.MONOTONIC,
        )

    def _output(self, wire: Output) -> Any:
        line = self._gpiod.line
        return self._gpiod.LineSettings(
            direction=line.Direction.OUTPUT,
            active_low=wire.value in self._panel.active_low,
            # From the first instant on: a line that floats could close the chime's relay.
            output_value=line.Value.INACTIVE,
        )

    def _is_active(self, value: Any) -> bool:
        return bool(value is self._gpiod.line.Value.ACTIVE)


def _boot_ahead_ns() -> int:
    """Returns CLOCK_BOOTTIME minus CLOCK_MONOTONIC. Takes the closest of a few readings, because a pause between the
    two clocks would shift the time of every edge."""
    tries: list[tuple[int, int]] = []
    for _ in range(5):
        before_ns, other_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.monotonic_ns()
        tries.append((time.clock_gettime_ns(time.CLOCK_BOOTTIME) - before_ns, before_ns - other_ns))
    return min(tries)[1]
