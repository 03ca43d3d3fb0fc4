"""A jitter buffer: frames come in bunches, late and out of order, and are played one every 20 ms in their order.

- Playback of an utterance begins when `target` frames wait, or when the utterance is already complete.
- A frame that is missing when its turn comes counts as lost. A frame that comes after its turn is dropped.
- If the buffer runs dry, playback waits for `target` frames again, and `target` grows. Each utterance without a dry
  buffer lets it shrink again.
- If more than `_MOST_WAITING` frames wait, the oldest are dropped, so a delay cannot grow.

Pure: a caller asks for the next frame every 20 ms.
"""

from __future__ import annotations

from typing import Final

from agent.core.talk.frames import FrameKind, TalkFrame

__all__ = ["FIRST_TARGET", "SOUNDS", "JitterBuffer"]

SOUNDS: Final = frozenset({FrameKind.OPUS, FrameKind.MULAW})
FIRST_TARGET: Final = 3
"""60 ms: a browser sends two or three frames at a time."""
_MOST_TARGET: Final = 15
_GROWTH: Final = 2
_MOST_WAITING: Final = 25
"""Half a second."""


class JitterBuffer:
    """The frames of one session, by their counters. One thread.

    Frames that carry no sound keep their place in the order, and `take` passes over them.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, TalkFrame] = {}
        self._next: int | None = None
        """The counter of the sound that plays now."""
        self._played = 0
        """The newest counter that has had its turn."""
        self._is_dry = False
        self.target = FIRST_TARGET
        self.lost = 0
        """Frames that were missing when their turn came, or were dropped because too many waited."""

    def put(self, frame: TalkFrame) -> None:
        # Its turn is over. Played late, it would be heard out of order.
        if frame.counter <= self._played:
            return
        self._waiting[frame.counter] = frame
        if len(self._waiting) > _MOST_WAITING:
            # To the newest frames: talk that waits longer and longer is worse than a word that is lost.
            self._skip_to(sorted(self._waiting)[-self.target])

    def take(self) -> TalkFrame | None:
        """Returns the next sound; None for silence."""
        while self._next is not None or self._may_begin():
            turn = self._next if self._next is not None else min(self._waiting)
            frame = self._waiting.pop(turn, None)
            if frame is None:
                self._miss(turn)
                return None
            self._played, self._next = turn, turn + 1
            if frame.kind in SOUNDS:
                return frame
            if frame.kind is FrameKind.PAUSE:
                self._end()
        return None

    def _may_begin(self) -> bool:
        kinds = [frame.kind for frame in self._waiting.values()]
        return sum(kind in SOUNDS for kind in kinds) >= self.target or FrameKind.PAUSE in kinds

    def _miss(self, turn: int) -> None:
        if self._waiting:  # a later frame came: this one is lost, and so are all before it if it is far ahead
            self.lost += 1
            oldest = min(self._waiting)
            self._next = oldest if oldest - turn > _MOST_WAITING else turn + 1
            self._played = self._next - 1
        else:
            self._next, self._is_dry = None, True
            self.target = min(self.target + _GROWTH, _MOST_TARGET)

    def _end(self) -> None:
        self._next = None
        if not self._is_dry:
            self.target = max(FIRST_TARGET, self.target - 1)
        self._is_dry = False

    def _skip_to(self, counter: int) -> None:
        for each in [each for each in self._waiting if each < counter]:
            del self._waiting[each]
            self.lost += 1
        self._played = counter - 1
        if self._next is not None:
            self._next = counter
