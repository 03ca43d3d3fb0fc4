"""Decides when a camera has failed or a process is stuck, and what to do to recover the camera.

    fault                                        step
    1st to 3rd within an hour                    RESTART   the pipeline, after a pause
    one more, or a pipeline that cannot end      EXIT      the process; its supervisor restarts it
    after two such exits without a good hour     REBOOT    is asked for, and bounded by the bridge
    anything of a network camera                 RESTART   for ever: the network is not the board's fault
    without a supervisor                         RESTART   for ever, the pauses growing

An hour of pictures resets the count. The number of exits outlives the process (the caller stores it).

A camera has failed if it gives no frame, or frames without packets, or the same frame again and again. In the field,
silent stalls come after 11 to 20 hours, and all three kinds have been seen. A black picture may repeat.

A process is stuck if one of its duties stops: each important loop leaves a mark, and each mark has a time limit. A
watchdog that a timer feeds only proves that a timer runs. This one is fed only while *all* duties of the process
happen: a recorder's frames, packets and acknowledgements, a loop's turns. A duty that is paused, for example without a
camera, is `rest`ed.

Pure: times are arguments. Source: sd_notify(3), WATCHDOG=1.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.core.timebase import NS_PER_S, seconds

__all__ = [
    "CAMERA_REOPENS",
    "CAMERA_STARTS",
    "GOOD_NS",
    "PAUSES_S",
    "RecoveryAction",
    "RecoveryPolicy",
    "StallDetector",
    "StallKind",
    "StreamPulse",
    "good_until_ns",
    "stall_of",
]

CAMERA_STARTS: Final = "starting"
CAMERA_REOPENS: Final = "The camera is opened again, because its picture must change."
"""Why there is no camera yet while it is opened for the first time, or after an owner's act. Neither is a fault."""
GOOD_NS: Final = 3600 * NS_PER_S
PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_RESTARTS: Final = 3
_EXITS: Final = 2
_FROZEN_FACTOR: Final = 4
"""The same picture may repeat this many times longer than a frame may be missing, because a repeat is a weaker sign."""


class StallKind(enum.Enum):
    """The kind of stall. The value is a text for the owner."""

    FRAMES = "The camera has stopped sending pictures."
    ENCODER = "The camera sends pictures, but its encoder gives nothing."
    FROZEN = "The camera sends one and the same picture."


@dataclass(frozen=True, slots=True)
class StreamPulse:
    """Times of the last frame, packet and change, on one clock in ns; the start of the pipeline before the first
    one."""

    frame_ns: int
    packet_ns: int
    change_ns: int


def stall_of(pulse: StreamPulse, now_ns: int, patience_ns: int) -> StallKind | None:
    """Returns the present stall, or None. A missing frame explains a missing packet, so it is checked first."""
    if now_ns - pulse.frame_ns > patience_ns:
        return StallKind.FRAMES
    if now_ns - pulse.packet_ns > patience_ns:
        return StallKind.ENCODER
    if now_ns - pulse.change_ns > _FROZEN_FACTOR * patience_ns:
        return StallKind.FROZEN
    return None


def good_until_ns(stall: StallKind, pulse: StreamPulse) -> int:
    """When a camera that stalled was last seen to be well: it takes a while until a stall is certain."""
    return {StallKind.FRAMES: pulse.frame_ns, StallKind.ENCODER: pulse.packet_ns, StallKind.FROZEN: pulse.change_ns}[
        stall
    ]


class RecoveryAction(enum.Enum):
    """A recovery step."""

    RESTART = "restart"
    EXIT = "exit"
    REBOOT = "reboot"


class RecoveryPolicy:
    """The table above. `exits`: the number of earlier processes that gave up without a good hour."""

    def __init__(self, *, supervised: bool, network: bool = False, exits: int = 0) -> None:
        self._final = supervised and not network
        self._faults = 0
        self.exits = exits

    def on_fault(self, *, hangs: bool = False) -> tuple[RecoveryAction, float]:
        """Returns the step and the pause before it in seconds. `hangs`: the pipeline could not be ended."""
        pause_s = PAUSES_S[min(self._faults, len(PAUSES_S) - 1)]
        self._faults += 1
        if not self._final or (self._faults <= _RESTARTS and not hangs):
            return RecoveryAction.RESTART, pause_s
        if self.exits >= _EXITS:
            return RecoveryAction.REBOOT, 0.0
        return RecoveryAction.EXIT, 0.0

    def on_good(self, lasted_ns: int) -> bool:
        """Records that the camera delivered pictures for this long. Returns true if that resets the count."""
        if lasted_ns < GOOD_NS or not (self._faults or self.exits):
            return False
        self._faults = self.exits = 0
        return True


class StallDetector:
    """`patience_s`: the time limit of each mark, in seconds. Without the mark the process is stuck."""

    def __init__(self, patience_s: Mapping[str, float]) -> None:
        self._patience_ns = {name: seconds(patience) for name, patience in patience_s.items()}
        self._marks: dict[str, int | None] = dict.fromkeys(patience_s)

    def mark(self, name: str, at_ns: int) -> None:
        """It happened at `at_ns`, on any one clock."""
        self._marks[name] = at_ns

    def expect(self, name: str, now_ns: int) -> None:
        """Starts to expect a mark. Has no effect if it is already expected."""
        if self._marks[name] is None:
            self._marks[name] = now_ns

    def rest(self, name: str) -> None:
        """Stops expecting a mark until it is marked or expected again."""
        self._marks[name] = None

    def stuck(self, now_ns: int) -> tuple[str, ...]:
        """Returns the overdue marks."""
        return tuple(
            name
            for name, at_ns in self._marks.items()
            if at_ns is not None and now_ns - at_ns > self._patience_ns[name]
        )
