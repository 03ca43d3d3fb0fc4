"""Bounded queues between a camera's threads and their two readers. They never make a live camera wait.

Two queues have two policies:

- **luma** (at most `LUMA_FRAMES`): if the analysis is late, the *oldest* frame is dropped and counted, because the
  newest one says more about the present.
- **packets** (at most `PACKET_BYTES`): if the writer is late (a slow card), the *oldest* packets are dropped up to the
  next keyframe and counted, because a packet cannot be decoded without those before it.

A source that is not live (a file) waits for room instead, so it loses no frames.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from typing import ClassVar, Final, Generic, TypeVar

import numpy as np

from agent.core.media import EncodedPacket, LumaFrame, Picture
from agent.core.motion.lens import LensState
from agent.core.recovery import StreamPulse
from agent.core.timebase import NS_PER_S
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import CameraEnd

__all__ = ["GATHER_S", "LUMA_FRAMES", "PACKET_BYTES", "BoundedQueue", "CameraQueues"]

LUMA_FRAMES: Final = 8
PACKET_BYTES: Final = 16 << 20
_PICTURE_EVERY_NS: Final = 2 * NS_PER_S // 5
"""A coloured picture is taken at most this often, because it costs the camera's thread milliseconds."""
GATHER_S: Final = 0.45
"""While the picture is still, frames gather for at most this many seconds. A track takes longer to confirm, so events
stay on time."""
_ROWS: Final = 16
_DARK: Final = 40
_FROZEN_FRAMES: Final = 20
"""A small picture that is not steady must come this many times unchanged before the camera counts as frozen."""

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """A queue that is bounded by weight. `put` waits for room, `offer` does not. Closing it wakes every waiting
    thread."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._weight = 0
        self._items: deque[tuple[T, int]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._gathering = 1

    def put(self, item: T, weight: int = 1) -> None:
        """Wait until there is room (an item heavier than everything still gets in alone), then add."""
        with self._changed:
            # A reader that failed closes the queue. Without the last condition the camera's thread would wait for it
            # for ever.
            while self._items and self._weight + weight > self._capacity and not self._closed:
                self._changed.wait()
            self._add(item, weight)

    def offer(self, item: T, weight: int = 1) -> bool:
        """Add if there is room now."""
        with self._changed:
            if self._items and self._weight + weight > self._capacity:
                return False
            self._add(item, weight)
            return True

    def force(self, item: T) -> None:
        """Adds the item in any case. Decisions and ends have no weight and must arrive."""
        with self._changed:
            self._add(item, 0)

    def drop_oldest(self) -> None:
        """Drops the oldest item that has a weight. Forced items stay."""
        with self._changed:
            for at, (_, weight) in enumerate(self._items):
                if weight:
                    del self._items[at]
                    self._weight -= weight
                    return

    def make_room(self, weight: int, border: Callable[[T], bool]) -> tuple[int, bool]:
        """Drops the oldest items that have a weight, each time up to a `border`, until there is room for `weight`.

        Returns how many were dropped, and whether the rest begins at a border (or nothing had to go).
        """
        with self._changed:
            dropped, at_border = 0, True
            while self._items and self._weight + weight > self._capacity and self._weight:
                dropped, at_border = dropped + self._drop_to(border), self._weight > 0
            return dropped, at_border

    def _drop_to(self, border: Callable[[T], bool]) -> int:
        kept: deque[tuple[T, int]] = deque()
        dropped = 0
        while self._items:
            item, item_weight = self._items.popleft()
            if not item_weight:
                kept.append((item, item_weight))  # forced items stay
            elif dropped and border(item):
                self._items.appendleft((item, item_weight))
                break
            else:
                dropped += 1
                self._weight -= item_weight
        # The forced items keep their order. A lost `ClipEnds` would leave the clip open.
        self._items.extendleft(reversed(kept))
        return dropped

    def take(self, timeout_s: float | None = None, *, together: int = 1) -> T | None:
        """Returns the oldest item; None if the queue is closed and empty, or after `timeout_s`.

        `together`: if the queue is empty, sleep until this much weight has gathered, an item was forced in, or
        `GATHER_S` have passed since the call. The reader then wakes up less often.
        """
        with self._changed:
            if not self._items and together > 1 and not self._closed:
                self._gathering = together
                self._changed.wait(GATHER_S)
                self._gathering = 1
            if not self._changed.wait_for(lambda: self._items or self._closed, timeout_s) or not self._items:
                return None
            item, weight = self._items.popleft()
            self._weight -= weight
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Wakes every waiting thread. Queued items can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def _add(self, item: T, weight: int) -> None:
        self._items.append((item, weight))
        self._weight += weight
        # Frames alone let a gathering reader sleep. A forced item, for example a press, wakes it at once.
        if not weight or self._weight >= self._gathering:
            self._changed.notify_all()


class CameraQueues(ThreadOwned):
    """`ports.CameraSink` with the policies above, for one stream. `packets` and `lumas` are read by one thread each."""

    WRITTEN_BY: ClassVar = {
        **dict.fromkeys(("packet_ns", "_packets_came", "_skipping", "packets_dropped"), AttributeOwner.PACKET_DELIVERY),
        **dict.fromkeys(
            ("frames", "frame_ns", "change_ns", "lux", "frames_dropped", "_fingerprint", "_repeated", "_pictured_ns"),
            AttributeOwner.FRAME_DELIVERY,
        ),
        **dict.fromkeys(("lens", "picture_wanted_ns"), AttributeOwner.ANALYSIS),
        "end": AttributeOwner.LOCK,
    }

    def __init__(
        self, *, live: bool, luma_steady: bool = True, show: Callable[[LumaFrame], None] | None = None
    ) -> None:
        """`luma_steady`: see `StreamDescription`. `show`: gets each frame while the camera lends it, for live view."""
        self._show = show
        self.lock = threading.RLock()
        self.live = live
        self._luma_steady = luma_steady
        self._skipping = self._packets_came = False
        self.packets: BoundedQueue[object] = BoundedQueue(PACKET_BYTES)
        self.lumas: BoundedQueue[object] = BoundedQueue(LUMA_FRAMES)
        self.frames = 0
        self.frames_dropped = 0
        self.packets_dropped = 0
        self.frame_ns = self.packet_ns = self.change_ns = time.monotonic_ns()
        """When a frame, a packet, and a frame unlike the one before it last came."""
        self._repeated = 0
        self.lux: float | None = None
        self._fingerprint = 0
        self.lens = LensState.CLEAR
        """The analysis' judgement of the lens in the newest frame."""
        self.picture_wanted_ns: int | None = None
        """Sensor time from which the analysis wants a frame with a coloured picture; None: none is wanted."""
        self._pictured_ns = -_PICTURE_EVERY_NS
        self.end: tuple[CameraEnd, str] | None = None
        self.ended_event = threading.Event()
        self.attention = threading.Event()
        """Set this event to wake `wait_for_attention`."""

    @property
    def begun(self) -> bool:
        """The camera has sent something."""
        return self.frames > 0 or (not self._luma_steady and self._packets_came)

    @property
    def pulse(self) -> StreamPulse:
        """When the camera last gave what, on CLOCK_MONOTONIC."""
        if self._luma_steady:
            return StreamPulse(self.frame_ns, self.packet_ns, self.change_ns)
        # Small pictures may be minutes apart: the same one must have come several times before it says anything.
        change_ns = self.change_ns if self._repeated >= _FROZEN_FRAMES else self.packet_ns
        return StreamPulse(max(self.frame_ns, self.packet_ns), self.packet_ns, change_ns)

    def packet(self, packet: EncodedPacket) -> None:
        self.packet_ns = time.monotonic_ns()
        self._packets_came = True
        if not self.live:
            self.packets.put(packet, len(packet.data))
            return
        if packet.keyframe:
            self._skipping = False
        if not self._skipping and not self.packets.offer(packet, len(packet.data)):
            dropped, at_keyframe = self.packets.make_room(len(packet.data), _begins_gop)
            self.packets_dropped += dropped
            # The keyframe of this packet may be among the dropped ones. Its GOP then no longer decodes, so all packets
            # up to the next keyframe go too.
            self._skipping = not (packet.keyframe or at_keyframe) or not self.packets.offer(packet, len(packet.data))
        if self._skipping:
            self.packets_dropped += 1

    def luma(self, frame: LumaFrame) -> None:
        self._check_sensor(frame)
        if self._show is not None:
            self._show(frame)
        # A copy: the camera lends its buffer for this call only, and then fills it with the next frame.
        kept = LumaFrame(frame.luma.copy(), frame.sensor_ns, frame.light, self._kept_picture(frame))
        if not self.live:
            self.lumas.put(kept)
        elif not self.lumas.offer(kept):
            self.lumas.drop_oldest()
            self.frames_dropped += 1
            self.lumas.offer(kept)

    def _kept_picture(self, frame: LumaFrame) -> Callable[[], Picture] | None:
        """Takes the coloured picture now, while the camera lends it. The wish may be old, so at most one comes soon."""
        wanted_ns = self.picture_wanted_ns
        if frame.picture is None or wanted_ns is None or frame.sensor_ns < wanted_ns:
            return None
        if frame.sensor_ns - self._pictured_ns < _PICTURE_EVERY_NS:
            return None
        self._pictured_ns = frame.sensor_ns
        picture = frame.picture()
        return lambda: picture

    def _check_sensor(self, frame: LumaFrame) -> None:
        """Checks that the sensor is alive. A few rows are enough: their noise never repeats, except in the dark."""
        self.frames += 1
        self.frame_ns = time.monotonic_ns()
        self.lux = frame.light.lux
        rows = frame.luma[::_ROWS]
        fingerprint = zlib.crc32(rows.tobytes())
        self._repeated += 1
        if fingerprint != self._fingerprint or int(np.max(rows)) < _DARK:
            self._fingerprint, self.change_ns, self._repeated = fingerprint, self.frame_ns, 0

    def ended(self, end: CameraEnd, detail: str) -> None:
        """Records why the stream ended. Only the first call counts, because stopping the camera makes others."""
        with self.lock:
            self.end = self.end or (end, detail)
        self.lumas.close()
        # Set before `attention`: the loop clears that event and then asks this one. In the other order it would see the
        # end only at its next look.
        self.ended_event.set()
        self.attention.set()

    def wait_for_attention(self, timeout_s: float) -> bool:
        """Waits for `attention` or the timeout. Returns whether the stream has ended."""
        self.attention.wait(timeout_s)
        self.attention.clear()
        return self.ended_event.is_set()


def _begins_gop(item: object) -> bool:
    return isinstance(item, EncodedPacket) and item.keyframe
