"""Turns of uploads: a few disclosures send at once, the others wait in order of arrival.

A broker acknowledges messages that it cannot deliver yet and drops those that do not fit, which must then be sent
again. A device sends its footage once it is answered. So a waiting device gets no answer, and sends only its first
part.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from agent.core.timebase import NS_PER_S

__all__ = ["UploadScheduler"]

_STILL_NS: Final = 60 * NS_PER_S
"""A disclosure that has sent no data for this time gives up its turn."""


class UploadScheduler:
    """`now_ns`: boot clock."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._moved_ns: dict[str, int] = {}
        self._waiting: OrderedDict[str, None] = OrderedDict()

    def may_begin(self, disclosure: str, now_ns: int) -> bool:
        """Returns True if it has a turn now. Otherwise it waits."""
        first = next(iter(self._waiting), disclosure)
        # Only the first in line begins. Otherwise a device that asks more often would overtake the others.
        if disclosure in self._moved_ns or (first == disclosure and self._going(now_ns) < self._at_once):
            self._waiting.pop(disclosure, None)
            self._moved_ns[disclosure] = now_ns
            return True
        self._waiting.setdefault(disclosure)
        return False

    def moves(self, disclosure: str, now_ns: int) -> None:
        """Records that data of it has arrived."""
        if disclosure in self._moved_ns:
            self._moved_ns[disclosure] = now_ns

    def ends(self, disclosure: str) -> None:
        """Ends its turn: complete, refused, taken back or dropped."""
        self._moved_ns.pop(disclosure, None)
        self._waiting.pop(disclosure, None)

    def are_taken(self, now_ns: int) -> bool:
        """Returns True if a disclosure has a turn and sends."""
        return self._going(now_ns) > 0

    def next(self, now_ns: int) -> str | None:
        """Returns the disclosure that gets a turn now, if there is a free place."""
        return next(iter(self._waiting), None) if self._going(now_ns) < self._at_once else None

    def _going(self, now_ns: int) -> int:
        return sum(now_ns - moved_ns < _STILL_NS for moved_ns in self._moved_ns.values())
