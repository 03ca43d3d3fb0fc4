"""The seams between deciding and doing: what a service may ask of the outside world.

Each port is the smallest Protocol its service needs.  Every implementation, the fakes in `tests/` included, passes the
port's contract suite in `tests/contracts/`.  Nothing here does anything.
"""

from __future__ import annotations

import enum
from typing import Protocol

from agent.core.media import EncodedPacket, LumaFrame, StreamDescription
from agent.core.timebase import BootNs, Moment

__all__ = ["Camera", "CameraEnd", "CameraSink", "Clock", "Entropy", "Notifier"]


class Clock(Protocol):
    """Both clocks, read at once."""

    @property
    def boot_id(self) -> str:
        """32 hex digits, different after every boot."""
        ...

    def now(self) -> Moment: ...


class Entropy(Protocol):
    """Unpredictable bytes, from the operating system in production and from a seed in tests."""

    def token(self, size_bytes: int) -> bytes: ...


class CameraEnd(enum.Enum):
    """Why a camera stopped delivering."""

    STOPPED = "stopped"
    """`stop()` was called."""
    END_OF_FOOTAGE = "end of footage"
    """A file ran out."""
    LOST = "camera lost"
    """Unplugged, stalled, or its file is damaged from here on."""


class CameraSink(Protocol):
    """Where a camera delivers, on its own thread.  Calls return quickly for live cameras; for files they may block."""

    def packet(self, packet: EncodedPacket) -> None: ...

    def luma(self, frame: LumaFrame) -> None: ...

    def ended(self, end: CameraEnd, detail: str) -> None:
        """Called exactly once, last.  `detail` is for the log and the owner: what happened and what to check."""
        ...


class Camera(Protocol):
    """One source of encoded packets and of small luma frames, both with the sensor's time."""

    def open(self) -> StreamDescription:
        """Open the device and say what it gives.  Raises `DeviceError` with the remedy."""
        ...

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        """Deliver to `sink` from a thread of the camera's own until `stop()` or the end.

        `first_ns` is the boot-clock time of the first frame for sources that have no clock (files, scripts);
        live cameras ignore it.
        """
        ...

    def request_keyframe(self) -> None:
        """Ask for a keyframe soon.  Sources that cannot, ignore it."""
        ...

    def stop(self) -> None:
        """Stop, join the thread, close the device.  Idempotent."""
        ...


class Notifier(Protocol):
    """Tells the owner, in neutral words, that something waits for them."""

    def notify(self, kind: str, text: str) -> None: ...
