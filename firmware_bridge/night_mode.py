"""Night mode: decides when the infrared (IR-cut) filter moves and the lamp switches.

    state   input                                   effects                                   next
    DAY     below night_lux for the whole dwell     Move(night), Lamp(on), Blackout           NIGHT
    NIGHT   above day_lux for the whole dwell       Move(day), Lamp(off), Blackout            DAY
    NIGHT   the agent is silent                     Move(day), Lamp(off), Blackout            DAY

While the filter moves, the whole picture changes, so the blackout tells the agent to ignore motion. If the camera gives
no light readings, it stays day.

Pure: the time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BLACKOUT_NS", "NightMode", "SwitchNightMode"]

BLACKOUT_NS = 2_500_000_000
"""Longer than the detector's patience with a gap, so that it learns the new scene from its beginning."""


@dataclass(frozen=True, slots=True)
class SwitchNightMode:
    """Move the filter and switch the lamp. Motion does not count for `BLACKOUT_NS`."""

    night: bool


class NightMode:
    """The table above."""

    def __init__(self, *, night_lux: float, day_lux: float, dwell_ns: int) -> None:
        self._night_lux, self._day_lux, self._dwell_ns = night_lux, day_lux, dwell_ns
        self.night = False
        self._since_ns: int | None = None

    def on_light(self, lux: float | None, now_ns: int) -> SwitchNightMode | None:
        """One reading, some seconds apart."""
        # Two thresholds: the lamp itself brightens the picture, and with one it would switch itself off again.
        beyond = lux is not None and (lux > self._day_lux if self.night else lux < self._night_lux)
        # One reading on the other side begins the dwell again: headlights and clouds pass.
        if not beyond:
            self._since_ns = None
            return None
        if self._since_ns is None:
            self._since_ns = now_ns
        if now_ns - self._since_ns < self._dwell_ns:
            return None
        return self._switch(not self.night)

    def on_silence(self) -> SwitchNightMode | None:
        """Switches the lamp off, because no process uses the picture."""
        return self._switch(False) if self.night else None

    def _switch(self, night: bool) -> SwitchNightMode:
        self.night, self._since_ns = night, None
        return SwitchNightMode(night)
