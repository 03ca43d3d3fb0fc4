"""The custodian's part of live view: the newest sealed GOPs, while an owner watches (`recorder.live_view`).

- The buffer holds ciphertext that it cannot open, in memory only. It tells the recorder if an owner watches.
- A new viewer gets the newest GOP from its keyframe on, even if a camera sends a keyframe only every 20 s. The
  recorder says where a GOP begins. A viewer who falls behind skips to the newest keyframe.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from agent.core.live import PIECE_BYTES
from agent.errors import RequestError
from agent.ipc.control_operations import GetLiveGops
from agent.ipc.protocol import LiveViewers

__all__ = ["LiveBuffer", "Viewer"]

_MOST_GOPS: Final = 4096
"""Parts of GOPs: of one picture, or of two seconds or 2 MiB if the camera sends pictures out of order."""
_MOST_BYTES: Final = 16 << 20
_ANSWER_BYTES: Final = 4 << 20
_MOST_PIECES: Final = 8 * (1 << 20) // PIECE_BYTES
"""For one GOP: half of the buffer.  A part exceeds 2 MiB only by its last picture."""
_FRESH_S: Final = 10.0
"""After this many seconds all is deleted but the newest GOP, and that too if nothing has followed."""
_LATE_S: Final = 2.0
"""A viewer who is further behind than this skips to the newest keyframe: their link is slower than the pictures."""
_LOOKS_S: Final = 6.0
"""An owner who has not polled for this many seconds has stopped watching."""
_MOST_VIEWERS: Final = 64
_WAIT_S: Final = 1.5
"""Seconds to wait for the next GOP before an empty answer."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A client that watches. `name`: its owner's; empty if unknown, as on the control socket. `glance`: the key that
    it opens the parts with, if that is a glance key."""

    id: str
    name: str = ""
    glance: str = ""


@dataclass(frozen=True, slots=True)
class _BufferedGop:
    number: int
    sealed: bytes
    begins: bool
    came_s: float


class LiveBuffer:
    """`recorder.live_view.LiveViewSink`, and the operation `live`.  Call it from any thread.  `monotonic`: seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._shelf: deque[_BufferedGop] = deque(maxlen=_MOST_GOPS)
        self._coming: dict[int, bytes] = {}
        self._coming_gop = (0, 0)
        """Its number, and of how many pieces it is."""
        self._viewers: dict[Viewer, float] = {}
        """When each has asked last."""
        self._count = 0
        self._closed = False

    def close(self) -> None:
        """Ends live view and wakes every thread that waits."""
        with self._changed:
            self._closed = True
            self._shelf.clear()
            self._changed.notify_all()

    def wait_for_viewer(self, patience_s: float) -> LiveViewers:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_viewer(), patience_s)
            self._drop_old()  # the privacy switch leaves an empty buffer behind, also if an owner asks no more
            return self._looking()

    def put(self, number: int, piece: int, pieces: int, data: bytes, *, begins: bool) -> LiveViewers:
        """Adds one piece of a GOP, or of its part that `begins` it.  Raises `RequestError` if no GOP can have such a
        piece."""
        if not 0 <= piece < pieces <= _MOST_PIECES or len(data) > PIECE_BYTES:
            raise RequestError("A live GOP must come in a few pieces of 64 KiB.")
        with self._changed:
            # A changed count begins again too: otherwise the pieces of an altered recorder would not add up.
            if (number, pieces) != self._coming_gop:
                self._coming, self._coming_gop = {}, (number, pieces)
            self._coming[piece] = data
            if len(self._coming) == pieces:
                self._shelve(b"".join(self._coming[each] for each in range(pieces)), begins)
                self._coming = {}
            return self._looking()

    def answer(self, asked: GetLiveGops, _body: bytes) -> tuple[dict[str, Any], bytes]:
        """Answers the operation `live` on the control socket, where all clients count as one viewer."""
        return self.show(Viewer("control"), asked)

    def show(self, viewer: Viewer, asked: GetLiveGops) -> tuple[dict[str, Any], bytes]:
        """Answers the operation `live` with the sealed GOPs newer than number `after`, oldest first, and the names of
        the other viewers. A viewer who joins asks after 0 and gets the GOPs from the last keyframe on. The list is
        empty after a moment's wait.

        An answer has `_ANSWER_BYTES` or one GOP. The next question gets the others.

        The numbers start with the device's start, and grow.
        """
        after = asked.after
        with self._changed:
            self._viewers = {each: at_s for each, at_s in self._viewers.items() if self._still_looks(at_s)}
            others = sorted({each.name for each in self._viewers if each != viewer})
            if viewer in self._viewers or len(self._viewers) < _MOST_VIEWERS:
                self._viewers[viewer] = self._monotonic()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._newer(after), _WAIT_S)
            found = _first_of(self._newer(after))
        return (
            {
                "numbers": [each.number for each in found],
                "sizes": [len(each.sealed) for each in found],
                "watching": others,
            },
            b"".join(each.sealed for each in found),
        )

    def _shelve(self, sealed: bytes, begins: bool) -> None:
        self._count += 1
        self._shelf.append(_BufferedGop(self._count, sealed, begins, self._monotonic()))
        excess = sum(len(each.sealed) for each in self._shelf) - _MOST_BYTES
        while excess > 0:
            excess -= len(self._shelf.popleft().sealed)
        self._changed.notify_all()

    def _newer(self, after: int) -> list[_BufferedGop]:
        self._drop_old()
        joins = not 0 < after <= self._count  # a greater number is from before a restart
        least = self._newest_beginning if joins or self._is_late(after) else after + 1
        newer = itertools.takewhile(lambda each: each.number >= least, reversed(self._shelf))
        return list(newer)[::-1]

    def _is_late(self, after: int) -> bool:
        """Returns whether a viewer who has had number `after` should go on with the newest keyframe."""
        waiting = next((each for each in self._shelf if each.number > after), None)
        if waiting is None or waiting.number >= self._newest_beginning:
            return False
        return self._monotonic() - waiting.came_s > _LATE_S

    def _drop_old(self) -> None:
        oldest_s = self._monotonic() - _FRESH_S
        if self._shelf and self._shelf[-1].came_s < oldest_s:
            self._shelf.clear()
        kept = self._newest_beginning or self._count  # a new viewer cannot use parts without their beginning
        while self._shelf and self._shelf[0].came_s < oldest_s and self._shelf[0].number < kept:
            self._shelf.popleft()

    @property
    def _newest_beginning(self) -> int:
        """Its number; 0 if the beginning of the newest GOP was dropped."""
        return next((each.number for each in reversed(self._shelf) if each.begins), 0)

    def _has_viewer(self) -> bool:
        return not self._closed and any(map(self._still_looks, self._viewers.values()))

    def _looking(self) -> LiveViewers:
        glances = {each.glance for each, at_s in self._viewers.items() if each.glance and self._still_looks(at_s)}
        return LiveViewers(self._has_viewer(), tuple(sorted(glances)))

    def _still_looks(self, asked_s: float) -> bool:
        return self._monotonic() - asked_s < _LOOKS_S


def _first_of(gops: list[_BufferedGop]) -> list[_BufferedGop]:
    sizes = itertools.accumulate(len(each.sealed) for each in gops)
    return [
        each for number, (each, size) in enumerate(zip(gops, sizes, strict=True)) if not number or size <= _ANSWER_BYTES
    ]
