"""The wires behind `firmware_bridge.lines.Lines`: a simulated panel, gpiod 2, gpiozero.

Libraries are imported when a backend is opened: a laptop has neither, a Pi has both.
"""

from __future__ import annotations

from firmware_bridge.lines import Lines
from firmware_bridge.settings import Backend, PanelConfig

__all__ = ["lines_of"]


def lines_of(panel: PanelConfig) -> Lines:
    """Returns the configured backend, not yet opened."""
    if panel.backend is Backend.GPIOD:
        from firmware_bridge.backends.chip import ChipLines

        return ChipLines(panel)
    if panel.backend is Backend.GPIOZERO:
        from firmware_bridge.backends.zero import ZeroLines

        return ZeroLines(panel)
    from firmware_bridge.backends.simulated import SimulatedLines

    return SimulatedLines(list(panel.pins()))
