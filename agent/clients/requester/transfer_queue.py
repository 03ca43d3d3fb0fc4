"""Whose footage may be on its way: a few disclosures at once, the others in the order in which they came.

A broker acknowledges what it cannot hand on yet and drops what it has no room for, which is then sent again.  Who has
been answered sends; so whoever waits here is not answered, and sends nothing but its first part.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from agent.core.timebase import NS_PER_S

__all__ = ["UploadScheduler"]

_STILL_NS: Final = 60 * NS_PER_S
"""A disclosure of which nothing has come for so long keeps nobody waiting."""


class UploadScheduler:
    """`now_ns`: boot clock."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._moved_ns: dict[str, int] = {}
        self._waiting: OrderedDict[str, None] = OrderedDict()

    def may_begin(self, disclosure: str, now_ns: int) -> bool:
        """Whether it is its turn, or is already; if not, it waits."""
        first = next(iter(self._waiting), disclosure)
        if disclosure in self._moved_ns or (first == disclosure and self._going(now_ns) < self._at_once):
            self._waiting.pop(disclosure, None)
            self._moved_ns[disclosure] = now_ns
            return True
        self._waiting.setdefault(disclosure)
        return False

    def moves(self, disclosure: str, now_ns: int) -> None:
        """Something of it came."""
        if disclosure in self._moved_ns:
            self._moved_ns[disclosure] = now_ns

    def ends(self, disclosure: str) -> None:
        """Complete, refused, taken back or forgotten."""
        self._moved_ns.pop(disclosure, None)
        self._waiting.pop(disclosure, None)

    def waits(self, disclosure: str) -> bool:
        return disclosure in self._waiting

    def next(self, now_ns: int) -> str | None:
        """Whose turn it is now, if there is a place."""
        return next(iter(self._waiting), None) if self._going(now_ns) < self._at_once else None

    def _going(self, now_ns: int) -> int:
        return sum(now_ns - moved_ns < _STILL_NS for moved_ns in self._moved_ns.values())
