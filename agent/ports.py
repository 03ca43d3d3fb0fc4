"""The seams between deciding and doing: what a service may ask of the outside world.

Each port is the smallest Protocol its service needs.  Every implementation, the fakes in `tests/` included, passes the
port's contract suite in `tests/contracts/`.  Nothing here does anything.
"""

from __future__ import annotations

import enum
from typing import Protocol

from agent.core.bus import BusEvent
from agent.core.media import EncodedPacket, LumaFrame, StreamDescription
from agent.core.timebase import BootNs, Moment

__all__ = ["Bus", "Camera", "CameraEnd", "CameraSink", "Clock", "Entropy", "Notifier"]


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


class Bus(Protocol):
    """One client's connection to a message broker, kept up by a thread of its own.

    `publish`, `subscribe` and `hurry` return at once and may be called from any thread; one thread takes the events.
    """

    def start(self) -> None:
        """Begin to connect, and to reconnect for ever with growing, jittered pauses.  Called once.

        Raises `ConfigurationError` when our own certificate or key cannot be used.
        """
        ...

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        token: int,
        retain: bool = False,
        expiry_s: int | None = None,
        properties: tuple[tuple[str, str], ...] = (),
    ) -> bool:
        """Hand over one message (QoS 1).  True: taken, and exactly one event will settle `token`.

        False: not taken, because there is no link or the window (messages and bytes not yet acknowledged) is full;
        ask again after the next `Connected` or settled event.  `token` is any number not in flight.
        An empty retained payload clears a retained message.
        """
        ...

    def subscribe(self, topic_filter: str) -> None:
        """Want this filter from now on, on every connection.  Answered by `Subscribed` or `SubscriptionRefused`."""
        ...

    def unsubscribe(self, topic_filter: str) -> None:
        """Want it no more.  Messages already on their way may still arrive."""
        ...

    def hurry(self, pending: bool) -> None:
        """Say whether work is pending: then pauses between attempts stay within 4 s instead of 5 min."""
        ...

    def next_event(self, timeout_s: float) -> BusEvent | None:
        """The oldest event not yet taken, waiting at most `timeout_s`; None when there is none.

        Inbound messages are acknowledged to the broker as they are taken here, so a slow taker slows the broker down.
        """
        ...

    def stop(self) -> None:
        """Say goodbye to the broker, join the thread, settle what is in flight as `Lost`.  Idempotent."""
        ...


class Notifier(Protocol):
    """Tells the owner, in neutral words, that something waits for them."""

    def notify(self, kind: str, text: str) -> None: ...
