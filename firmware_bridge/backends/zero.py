"""Lines through gpiozero, for add-on boards and pin libraries that only gpiozero supports.

gpiozero calls back from its own threads, and its mock pins ignore `bounce_time`. So only the bare edge is used, and the
panel debounces. Source: gpiozero documentation, "API - Pins".
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from firmware_bridge.errors import BridgeError
from firmware_bridge.lines import Edge, Input, Output
from firmware_bridge.settings import PanelConfig

__all__ = ["ZeroLines"]


class ZeroLines:
    """Implements `Lines`. `factory` is gpiozero's pin factory, or None for gpiozero's default."""

    name = "gpiozero"

    def __init__(self, panel: PanelConfig, factory: Any = None) -> None:
        self._panel = panel
        self._factory = factory
        self._devices: dict[Input | Output, Any] = {}
        self._edges: deque[Edge] = deque()
        self._bell: int | None = None

    def open(self) -> Mapping[Input, bool]:
        try:
            import gpiozero
        except ImportError as error:
            raise BridgeError("gpiozero is missing.", remedy="sudo apt-get install python3-gpiozero") from error
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            for wire, pin in self._panel.pins().items():
                self._devices[wire] = self._device(gpiozero, wire, pin)
        except (gpiozero.GPIOZeroError, OSError) as error:
            self.close()
            raise BridgeError(
                f"gpiozero cannot use the pins: {error}.",
                remedy="Check that python3-lgpio is installed and that nothing else has them (`gpioinfo`).",
            ) from error
        return {wire: bool(device.is_active) for wire, device in self._devices.items() if isinstance(wire, Input)}

    def fileno(self) -> int:
        return -1 if self._bell is None else self._bell

    def read(self) -> tuple[Edge, ...]:
        if self._bell is not None:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._bell)
        edges = []
        while self._edges:
            edges.append(self._edges.popleft())
        return tuple(edges)

    def drive(self, output: Output, on: bool) -> None:
        if (device := self._devices.get(output)) is not None:
            device.value = on

    def close(self) -> None:
        for wire, device in self._devices.items():
            if isinstance(wire, Output):
                device.off()
            device.close()
        self._devices.clear()
        bell, self._bell = self._bell, None
        if bell is not None:
            os.close(bell)

    def _device(self, gpiozero: Any, wire: Input | Output, pin: int) -> Any:
        low = wire.value in self._panel.active_low
        if isinstance(wire, Output):
            return gpiozero.DigitalOutputDevice(pin, active_high=not low, pin_factory=self._factory)
        # With a pull resistor, gpiozero calls the driven level active. This class inverts it where our meaning is the
        # other one.
        pulled_up = wire is not Input.PIR
        turned = pulled_up != low
        device = gpiozero.DigitalInputDevice(pin, pull_up=pulled_up, pin_factory=self._factory)
        device.when_activated = self._heard(wire, not turned)
        device.when_deactivated = self._heard(wire, turned)
        return _ActiveLowDevice(device) if turned else device

    def _heard(self, wire: Input, active: bool) -> Callable[[], None]:
        def heard() -> None:
            self._edges.append(Edge(wire, active, time.clock_gettime_ns(time.CLOCK_BOOTTIME)))
            if self._bell is not None:
                # On gpiozero's thread. It wakes the bridge's selector, and that thread reads the deque.
                os.eventfd_write(self._bell, 1)

        return heard


class _ActiveLowDevice:
    """An input with gpiozero's active state as its rest level, for example a normally closed contact on a pulled-up
    line."""

    def __init__(self, device: Any) -> None:
        self._device = device

    @property
    def is_active(self) -> bool:
        return not self._device.is_active

    def close(self) -> None:
        self._device.close()
