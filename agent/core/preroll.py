"""Keeps the newest whole GOPs in memory, so that a clip can begin before its event was detected.

Rules:
- The ring covers at least the last `span_ns` of the input, unless `max_bytes` is reached first.
- GOPs leave whole, with all their parts, oldest first. The newest GOP always stays, because the next event needs it
  (`core.segmenting` bounds its size).
- No data is copied: a GOP in the ring and in a running clip is the same object.

GOPs are whole because smaller pieces do not decode. They are encoded because ten seconds of raw video would fill a
small board's memory (467 MB at 1080p, compared with 5 MB at 4 Mbit/s).
"""

from __future__ import annotations

from collections import deque

from agent.core.media import Gop
from agent.errors import InternalError

__all__ = ["PrerollBuffer"]


class PrerollBuffer:
    """The last seconds of video.  Belongs to one thread."""

    def __init__(self, max_bytes: int, span_ns: int) -> None:
        """`span_ns` is the pre-roll plus the longest time from a frame's capture to the decision made on it."""
        if max_bytes <= 0 or span_ns < 0:
            raise InternalError("A pre-roll ring needs room for at least one GOP.")
        self._max_bytes = max_bytes
        self._span_ns = span_ns
        self._gops: deque[Gop] = deque()
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def push(self, gop: Gop) -> tuple[Gop, ...]:
        """Adds the newest GOP. Returns the GOPs that were dropped, oldest first."""
        if self._gops and gop.start_ns < self._gops[-1].end_ns:
            raise InternalError("GOPs reached the pre-roll ring out of order.")
        self._gops.append(gop)
        self._size_bytes += gop.size_bytes
        dropped = []
        # Without a second GOP the newest one would go, and the next event could not begin.
        while (following := self._second()) and (self._size_bytes > self._max_bytes or self._is_spare(following)):
            for _ in range(following):
                oldest = self._gops.popleft()
                self._size_bytes -= oldest.size_bytes
                dropped.append(oldest)
        return tuple(dropped)

    def since(self, from_ns: int) -> tuple[Gop, ...]:
        """Every GOP with something at or after `from_ns`, oldest first: the first may begin before it."""
        return tuple(gop for gop in self._gops if gop.end_ns > from_ns)

    def gop_up_to(self, part: Gop) -> tuple[Gop, ...]:
        """Returns the parts of a GOP from its keyframe up to `part`, or an empty tuple if the ring does not hold
        them."""
        if part.begins:
            return (part,)
        found: list[Gop] = []
        for gop in self._gops:
            found = [gop] if gop.begins else [*found, gop]
            if gop is part:
                return tuple(found) if found[0].begins else ()
        return ()

    def clear(self) -> None:
        """Forget everything: the camera restarted, or the owner switched it off."""
        self._gops.clear()
        self._size_bytes = 0

    def _second(self) -> int:
        """Returns the position at which the second-oldest GOP begins, or 0."""
        return next((at for at, gop in enumerate(self._gops) if at and gop.begins), 0)

    def _is_spare(self, following: int) -> bool:
        """Returns true if the rest, from number `following` on, covers the span without the oldest GOP."""
        return self._gops[-1].end_ns - self._gops[following].start_ns >= self._span_ns
