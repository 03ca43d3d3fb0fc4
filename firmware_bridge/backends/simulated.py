"""A panel without wires, as complete as the real ones, for tests, demos and laptops.

`hold` may be called from any thread. All other calls belong to the bridge's thread.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Mapping

from firmware_bridge.lines import Edge, Input, Output

__all__ = ["SimulatedLines"]


class SimulatedLines:
    """Implements `Lines`.  `history` is every output that was driven, in order."""

    name = "simulated"

    def __init__(self, wires: Iterable[Input | Output] = (*Input, *Output)) -> None:
        self._wires = frozenset(wires)
        self._levels = {wire: False for wire in Input if wire in self._wires or wire is Input.PRIVACY}
        self._edges: deque[Edge] = deque()
        self._bell: int | None = None
        self.on: dict[Output, bool] = {}
        self.history: list[tuple[Output, bool]] = []

    def open(self) -> Mapping[Input, bool]:
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.on = dict.fromkeys(Output, False)
        return dict(self._levels)

    def fileno(self) -> int:
        return -1 if self._bell is None else self._bell

    def read(self) -> tuple[Edge, ...]:
        if self._bell is not None:
            try:
                os.eventfd_read(self._bell)
            except BlockingIOError:
                return ()
        edges = []
        while self._edges:
            edges.append(self._edges.popleft())
        return tuple(edges)

    def drive(self, output: Output, on: bool) -> None:
        self.on[output] = on
        self.history.append((output, on))

    def close(self) -> None:
        for output, on in self.on.items():
            if on:
                self.drive(output, False)
        bell, self._bell = self._bell, None
        if bell is not None:
            os.close(bell)

    def hold(self, wire: Input, active: bool, at_ns: int | None = None) -> None:
        """Put an input to a level, now or as of `at_ns`."""
        if wire not in self._levels or self._levels[wire] == active:
            return
        self._levels[wire] = active
        self._edges.append(Edge(wire, active, time.clock_gettime_ns(time.CLOCK_BOOTTIME) if at_ns is None else at_ns))
        if self._bell is not None:
            os.eventfd_write(self._bell, 1)
