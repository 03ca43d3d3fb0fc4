"""Decides which pictures of live view a viewer gets: the filmed ones, or small ones that a slow link carries.

The custodian measures each viewer. A viewer asks for new parts once the last answer has come, so the time between an
answer and the next question is the time that the link took. The pictures that were filmed meanwhile wait. A viewer
falls behind if they are as many bytes as the link has just carried.

Pure: times are seconds of any clock that only grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["SMALL_PICTURES", "Backlog", "LinkRate", "SmallPicture", "small_picture"]

_BEHIND_S: Final = 0.7
"""Parts that have waited for less than this are the round trip of a distant phone."""
_FULL_BYTES: Final = 32 << 10
"""An answer shorter than this measures the round trip, or a pause of the browser, and not the link."""
_SMALL_BYTES: Final = 4 << 10
_SMALL_TIMES: Final = 2
"""Small answers are so short that a pause of the browser looks like a slow link, once."""
_SHARE: Final = 0.6
"""Small pictures may take this share of what the link carries. The rest is for headers, padding and sound."""
_GROWS: Final = 0.8
"""The link keeps up if fewer bytes than this share of an answer are filmed while it is on its way."""
_NOTHING_S: Final = 5.0
"""A camera that gives no small picture for this many seconds cannot give one, or is off."""
_FIRST_TRY_S: Final = 20.0
"""Seconds with small pictures until the filmed ones are tried again. They double each time that fails."""
_LAST_TRY_S: Final = 320.0
_SPARE: Final = 2.0
"""They are tried earlier only if an answer was carried at this many times the rate of the small pictures."""
_PROVEN_S: Final = 60.0
"""A link that has carried the filmed pictures for this many seconds is not slow any more."""


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """A small encoding: its width, its rate, and the most bits of a second."""

    width_px: int
    frames_per_s: int
    kbps: int


SMALL_PICTURES: Final = (
    SmallPicture(640, 15, 800),
    SmallPicture(640, 10, 400),
    SmallPicture(480, 8, 200),
    SmallPicture(320, 5, 100),
    SmallPicture(320, 3, 50),
)
"""The best first. 640 is the width of the coloured pictures that each camera gives (`LumaFrame.picture`)."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The parts that were made since a viewer's last answer. `seconds`: how long the oldest one has waited."""

    size_bytes: int
    seconds: float


def small_picture(kbps: float) -> SmallPicture:
    """Returns the best small encoding for this many kbit/s, or the smallest one."""
    return next((each for each in SMALL_PICTURES if each.kbps <= kbps), SMALL_PICTURES[-1])


class LinkRate:
    """The choice for one viewer. Call `asked` with each question, and `answered` with its answer."""

    def __init__(self) -> None:
        self.small: SmallPicture | None = None
        """None: the filmed pictures."""
        self._sent_bytes, self._sent_s = 0, 0.0
        self._since_s: float | None = None
        """When `small` last changed."""
        self._came_s = 0.0
        """When a small part last came."""
        self._try_s = _FIRST_TRY_S
        self._behind = 0
        """Questions in a row with a backlog."""
        self._best_kbps = 0.0
        """The most that an answer with small pictures was carried at."""
        self._not_before_s = 0.0
        """Until then this camera is not asked for small pictures again."""

    def asked(self, waiting: Backlog, now_s: float) -> SmallPicture | None:
        """Takes a question, and what of the pictures chosen so far waits for it. Returns what to answer with."""
        since_s = now_s if self._since_s is None else self._since_s
        self._since_s = since_s
        is_behind = self._falls_behind(waiting)
        self._behind = self._behind + 1 if is_behind else 0
        if self.small is not None and self._sent_bytes >= _SMALL_BYTES:
            self._best_kbps = max(self._best_kbps, self._drain_kbps(now_s))
        if self.small is None:
            if is_behind and now_s >= self._not_before_s:
                self._change(small_picture(_SHARE * self._drain_kbps(now_s)), now_s)
            elif now_s - since_s > _PROVEN_S:
                self._try_s = _FIRST_TRY_S
        elif self._behind >= _SMALL_TIMES:
            self._change(small_picture(self.small.kbps - 1), now_s)
        elif now_s - since_s > self._patience_s or now_s - self._came_s > _NOTHING_S:
            if now_s - self._came_s > _NOTHING_S:
                # Without this pause, a slow viewer of such a camera would change to and fro every few seconds.
                self._not_before_s = now_s + self._try_s
            self._try_s = min(2 * self._try_s, _LAST_TRY_S)
            self._change(None, now_s)
        return self.small

    def answered(self, size_bytes: int, now_s: float) -> None:
        """Takes the size of the parts of an answer, and when it was made."""
        self._sent_bytes, self._sent_s = size_bytes, now_s
        if size_bytes:
            self._came_s = now_s

    @property
    def _patience_s(self) -> float:
        has_spare = self.small is None or self._best_kbps > _SPARE * self.small.kbps
        return self._try_s if has_spare else _LAST_TRY_S

    def _falls_behind(self, waiting: Backlog) -> bool:
        fewest = _FULL_BYTES if self.small is None else _SMALL_BYTES
        return (
            self._sent_bytes >= fewest
            and waiting.seconds > _BEHIND_S
            and waiting.size_bytes > _GROWS * self._sent_bytes
        )

    def _drain_kbps(self, now_s: float) -> float:
        # Never 0: two questions may have the same time.
        return self._sent_bytes * 8 / 1000 / max(now_s - self._sent_s, 1e-3)

    def _change(self, small: SmallPicture | None, now_s: float) -> None:
        self.small, self._since_s, self._came_s = small, now_s, now_s
        # The last answer had the other pictures, so it measures nothing for these.
        self._sent_bytes, self._best_kbps, self._behind = 0, 0.0, 0
