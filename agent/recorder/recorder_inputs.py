"""Input of the recorder: its settings at the start, and the values that other threads change while it runs."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import ClassVar, Final

from agent.core.events import EventSettings, TriggerKind
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.zones import ZoneMap
from agent.core.timebase import BootNs
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.recorder.clip_writer import WriterSettings

__all__ = ["PendingTrigger", "RecorderInputs", "RecorderSettings"]


_MOST_UNSEEN: Final = 16


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """The rules for events, and the amount of footage that is kept around them."""

    motion: MotionSettings
    zones: ZoneMap
    events: EventSettings
    writer: WriterSettings
    stall_s: float = 15.0
    """A live camera is stalled after this many seconds of silence."""


@dataclass(frozen=True, slots=True)
class PendingTrigger:
    """A press or a PIR pulse. `at_ns` None is the time of the newest frame, for footage from a file."""

    kind: TriggerKind
    at_ns: BootNs | None
    is_recorded: bool = False
    """The manifest has this press already: it came while there was no camera."""


class RecorderInputs(ThreadOwned):
    """Zones, throttling level and blackout, as they are in force now. Any thread may set and read them."""

    WRITTEN_BY: ClassVar = {
        "zones": AttributeOwner.LOCK,
        "throttle_level": AttributeOwner.LOCK,
        "blackout_until_ns": AttributeOwner.LOCK,
    }

    def __init__(self, zones: ZoneMap) -> None:
        self.lock = threading.RLock()
        self.zones = zones
        self.throttle_level = 0
        self.blackout_until_ns = 0
        """On CLOCK_MONOTONIC: motion before this time is ignored."""
        self.early_presses: deque[int] = deque(maxlen=1)
        """On CLOCK_MONOTONIC: the newest press that no camera could show. A deque is safe between threads."""
        self.unseen_rings: deque[BootNs] = deque(maxlen=_MOST_UNSEEN)
        """Presses that no camera could show, for the manifest."""

    def set_zones(self, zones: ZoneMap) -> None:
        with self.lock:
            self.zones = zones

    def set_throttle_level(self, level: int) -> bool:
        """Returns whether the level changed."""
        with self.lock:
            changed = level != self.throttle_level
            self.throttle_level = level
            return changed

    def set_blackout_until(self, until_ns: int) -> None:
        with self.lock:
            self.blackout_until_ns = until_ns
