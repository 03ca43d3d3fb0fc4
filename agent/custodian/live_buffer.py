"""The custodian's part of live view: the newest sealed GOPs, while an owner watches (`recorder.live_view`).

- The buffer holds ciphertext that it cannot open, in memory only. It tells the recorder if an owner watches.
- A new viewer gets the newest GOP from its keyframe on, even if a camera sends a keyframe only every 20 s. The
  recorder says where a GOP begins. A viewer who falls behind skips to the newest keyframe.
- A viewer with a slow link gets small pictures (`core.live_rate`), which the recorder makes while such a person looks.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from agent.core.live import PIECE_BYTES
from agent.core.live_rate import Backlog, LinkRate
from agent.errors import RequestError
from agent.ipc.control_operations import GetLiveGops
from agent.ipc.protocol import LiveViewers

__all__ = ["LiveBuffer", "Viewer"]

_MOST_GOPS: Final = 4096
"""Parts of GOPs: of one picture, or of two seconds or 2 MiB if the camera sends pictures out of order."""
_MOST_BYTES: Final = 16 << 20
_SMALL_BYTES: Final = 2 << 20
"""Small pictures of ten seconds and more."""
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
_SWITCHED_S: Final = 3.0
"""Pictures of the other kind are those of an earlier viewer if none has come for this many seconds."""
_WAIT_S: Final = 1.5
"""Seconds to wait for the next GOP before an empty answer."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A client that watches. `name`: its owner's; empty if unknown, as on the control socket. `glance`: the key that
    it opens the parts with, if that is a glance key. `is_local`: it has no link that could be slow."""

    id: str
    name: str = ""
    glance: str = ""
    is_local: bool = False


_AT_THE_SOCKET: Final = Viewer("control", is_local=True)
"""All clients of the control socket count as one viewer."""


@dataclass(slots=True)
class _Watch:
    """`asked_s`: when a viewer asked last."""

    asked_s: float
    rate: LinkRate = field(default_factory=LinkRate)


@dataclass(frozen=True, slots=True)
class _BufferedGop:
    number: int
    sealed: bytes
    begins: bool
    came_s: float


class _Shelf:
    """The newest parts of one encoding, oldest first."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._parts: deque[_BufferedGop] = deque(maxlen=_MOST_GOPS)
        self._coming: dict[int, bytes] = {}
        self._coming_gop: tuple[int, int] | None = None
        """Its number, and of how many pieces it is."""

    def take(self, number: int, piece: int, pieces: int, data: bytes) -> bytes | None:
        """Returns a part whose last piece has come."""
        # A changed count begins again too: otherwise the pieces of an altered recorder would not add up.
        if (number, pieces) != self._coming_gop:
            self._coming, self._coming_gop = {}, (number, pieces)
        self._coming[piece] = data
        if len(self._coming) < pieces:
            return None
        whole = b"".join(self._coming[each] for each in range(pieces))
        self._coming = {}
        return whole

    def add(self, part: _BufferedGop) -> None:
        self._parts.append(part)
        excess = sum(len(each.sealed) for each in self._parts) - self._most_bytes
        while excess > 0:
            excess -= len(self._parts.popleft().sealed)

    def clear(self) -> None:
        self._parts.clear()

    def newer(self, after: int, *, joins: bool, now_s: float) -> list[_BufferedGop]:
        """Returns the parts after that number; from the newest keyframe on for a viewer who joins or is late."""
        least = self._newest_beginning if joins else after + 1
        if self._is_late(after, now_s):
            least = max(least, self._newest_beginning)  # never back to the beginning of what is being shown
        newer = itertools.takewhile(lambda each: each.number >= least, reversed(self._parts))
        return list(newer)[::-1]

    def backlog(self, after: int, now_s: float) -> Backlog:
        waiting = [each for each in self._parts if each.number > after]
        seconds = now_s - waiting[0].came_s if waiting else 0.0
        return Backlog(sum(len(each.sealed) for each in waiting), seconds)

    def has_come_since(self, at_s: float) -> bool:
        return bool(self._parts) and self._parts[-1].came_s >= at_s

    def drop_old(self, oldest_s: float, count: int) -> None:
        if self._parts and self._parts[-1].came_s < oldest_s:
            self._parts.clear()
        kept = self._newest_beginning or count  # a new viewer cannot use parts without their beginning
        while self._parts and self._parts[0].came_s < oldest_s and self._parts[0].number < kept:
            self._parts.popleft()

    def _is_late(self, after: int, now_s: float) -> bool:
        """Returns whether a part has waited too long for a viewer who has had number `after`."""
        waiting = next((each for each in self._parts if each.number > after), None)
        return waiting is not None and now_s - waiting.came_s > _LATE_S

    @property
    def _newest_beginning(self) -> int:
        """Its number; 0 if the beginning of the newest GOP was dropped."""
        return next((each.number for each in reversed(self._parts) if each.begins), 0)


class LiveBuffer:
    """`recorder.live_view.LiveViewSink`, and the operation `live`.  Call it from any thread.  `monotonic`: seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._filmed, self._small = _Shelf(_MOST_BYTES), _Shelf(_SMALL_BYTES)
        self._viewers: dict[Viewer, _Watch] = {}
        self._count = 0
        """Parts of both encodings have numbers from one row."""
        self._closed = False

    def close(self) -> None:
        """Ends live view and wakes every thread that waits."""
        with self._changed:
            self._closed = True
            self._filmed.clear()
            self._small.clear()
            self._changed.notify_all()

    def wait_for_viewer(self, patience_s: float) -> LiveViewers:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_viewer(), patience_s)
            self._drop_old()  # the privacy switch leaves an empty buffer behind, also if an owner asks no more
            return self._looking()

    def put(
        self, number: int, piece: int, pieces: int, data: bytes, *, begins: bool, small: bool = False
    ) -> LiveViewers:
        """Adds one piece of a GOP, or of its part that `begins` it.  Raises `RequestError` if no GOP can have such a
        piece."""
        # A taken recorder must not fill the memory of the process that keeps the owners' decisions.
        if not 0 <= piece < pieces <= _MOST_PIECES or len(data) > PIECE_BYTES:
            raise RequestError("A live GOP must come in a few pieces of 64 KiB.")
        with self._changed:
            shelf = self._shelf(small=small)
            whole = shelf.take(number, piece, pieces, data)
            if whole is not None:
                self._count += 1
                shelf.add(_BufferedGop(self._count, whole, begins, self._monotonic()))
                self._changed.notify_all()
            return self._looking()

    def answer(self, asked: GetLiveGops, _body: bytes) -> tuple[dict[str, Any], bytes]:
        """Answers the operation `live` on the control socket."""
        return self.show(_AT_THE_SOCKET, asked)

    def show(self, viewer: Viewer, asked: GetLiveGops) -> tuple[dict[str, Any], bytes]:
        """Answers the operation `live` with the sealed GOPs newer than number `after`, oldest first, and the names of
        the other viewers. A viewer who joins asks after 0 and gets the GOPs from the last keyframe on. The list is
        empty after a moment's wait.

        An answer has `_ANSWER_BYTES` or one GOP. The next question gets the others. It has small pictures for a viewer
        who has fallen behind, and begins with a keyframe if the viewer had the others before.

        The numbers start with the device's start, and grow.
        """
        with self._changed:
            self._viewers = {each: watch for each, watch in self._viewers.items() if self._still_looks(watch)}
            others = sorted({each.name for each in self._viewers if each != viewer})
            watch = self._watch_of(viewer)
            small = not viewer.is_local and self._is_small_for(watch, asked)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._newer(asked, small=small), _WAIT_S)
            found = _first_of(self._newer(asked, small=small))
            watch.rate.answered(sum(len(each.sealed) for each in found), self._monotonic())
        return (
            {
                "numbers": [each.number for each in found],
                "sizes": [len(each.sealed) for each in found],
                "watching": others,
                "small": small,
            },
            b"".join(each.sealed for each in found),
        )

    def _shelf(self, *, small: bool) -> _Shelf:
        return self._small if small else self._filmed

    def _watch_of(self, viewer: Viewer) -> _Watch:
        watch = self._viewers.get(viewer) or _Watch(self._monotonic())
        watch.asked_s = self._monotonic()
        # More viewers are answered, and not remembered: sessions of a paired browser must not fill the memory.
        if viewer in self._viewers or len(self._viewers) < _MOST_VIEWERS:
            self._viewers[viewer] = watch
        return watch

    def _is_small_for(self, watch: _Watch, asked: GetLiveGops) -> bool:
        now_s, backlog = self._monotonic(), Backlog(0, 0.0)
        if self._goes_on(asked):
            backlog = self._shelf(small=asked.small).backlog(asked.after, now_s)
        return watch.rate.asked(backlog, now_s) is not None

    def _newer(self, asked: GetLiveGops, *, small: bool) -> list[_BufferedGop]:
        self._drop_old()
        shelf, now_s = self._shelf(small=small), self._monotonic()
        if small != asked.small and not shelf.has_come_since(now_s - _SWITCHED_S):
            return []
        joins = small != asked.small or not self._goes_on(asked)
        return shelf.newer(asked.after, joins=joins, now_s=now_s)

    def _goes_on(self, asked: GetLiveGops) -> bool:
        """Returns whether the viewer has had a part. A greater number is from before a restart."""
        return 0 < asked.after <= self._count

    def _drop_old(self) -> None:
        oldest_s = self._monotonic() - _FRESH_S
        self._filmed.drop_old(oldest_s, self._count)
        self._small.drop_old(oldest_s, self._count)

    def _has_viewer(self) -> bool:
        return not self._closed and any(map(self._still_looks, self._viewers.values()))

    def _looking(self) -> LiveViewers:
        if self._closed:
            return LiveViewers(False)
        looking = {each: watch.rate.small for each, watch in self._viewers.items() if self._still_looks(watch)}
        glances = tuple(sorted({each.glance for each in looking if each.glance}))
        small_kbps = min((small.kbps for small in looking.values() if small is not None), default=0)
        return LiveViewers(None in looking.values(), glances, small_kbps)

    def _still_looks(self, watch: _Watch) -> bool:
        return self._monotonic() - watch.asked_s < _LOOKS_S


def _first_of(gops: list[_BufferedGop]) -> list[_BufferedGop]:
    sizes = itertools.accumulate(len(each.sealed) for each in gops)
    return [
        each for number, (each, size) in enumerate(zip(gops, sizes, strict=True)) if not number or size <= _ANSWER_BYTES
    ]
