"""The parts of a doorbell's status that may go into a report to its installer, in a few words.

Only faults of the equipment count. The states "recording", "watching" and "privacy" are one word, "ok", so a report
tells neither that a person is at the door nor that an owner closed the camera. While the camera is closed, the words of
the time before stay: a fault that vanished would tell that it was closed. A camera that starts keeps them too, for one
report, because it starts when an owner opens it or changes what it masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.core.recovery import CAMERA_REOPENS, CAMERA_STARTS
from agent.wire.health import HealthWord

__all__ = ["EquipmentHealth", "HealthWatch"]

_CLOSED: Final = "privacy"


@dataclass(frozen=True, slots=True)
class EquipmentHealth:
    """State of the recorder's equipment."""

    recorder: HealthWord = HealthWord.OK
    camera: HealthWord = HealthWord.OK
    storage: HealthWord = HealthWord.OK


@dataclass(slots=True)
class HealthWatch:
    """Remembers the words while the camera is closed, and while it starts."""

    _last: EquipmentHealth = field(default_factory=EquipmentHealth)
    _has_started: bool = True

    def equipment(self, recorder: Mapping[str, Any]) -> EquipmentHealth:
        """`recorder`: its report about itself, as `doorward status` shows it."""
        state = recorder.get("state")
        if state == _CLOSED:
            return self._last
        starts = state == "no camera" and recorder.get("detail") in (CAMERA_STARTS, CAMERA_REOPENS)
        if not starts or not self._has_started:
            self._last = _words(state)
        self._has_started = not starts
        return self._last


def _words(state: object) -> EquipmentHealth:
    match state:
        case "recording" | "watching":
            return EquipmentHealth()
        case "no camera":
            return EquipmentHealth(camera=HealthWord.FAULT, storage=HealthWord.UNKNOWN)
        case "not recording":
            return EquipmentHealth(storage=HealthWord.FAULT)
    return EquipmentHealth(HealthWord.FAULT, HealthWord.UNKNOWN, HealthWord.UNKNOWN)
