"""How much may be in flight, and how long to wait before trying again: two small deciders without I/O."""

from __future__ import annotations

from collections.abc import Callable

from agent.core.bus import LinkFault

__all__ = ["Backoff", "Window"]

PENDING_CAP_S = 4.0
IDLE_CAP_S = 300.0
_PENDING_FIRST_S = 0.5
_IDLE_FIRST_S = 4.0
_MENDED_BY_A_PERSON = frozenset(
    {
        LinkFault.BROKER_NOT_TRUSTED,
        LinkFault.CERTIFICATE_REFUSED,
        LinkFault.NOT_AUTHORISED,
        LinkFault.TAKEN_OVER,
        LinkFault.PROTOCOL,
    }
)
_PERSON_FIRST_S = 60.0


class Window:
    """Publications not yet settled, bounded in number and in bytes.

    A message larger than the byte bound may go when nothing else is in flight, or it would never go.
    """

    def __init__(self, messages: int, size_bytes: int) -> None:
        self.messages = messages
        self._limit_bytes = size_bytes
        self._in_flight: dict[int, int] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._in_flight)

    def __contains__(self, token: int) -> bool:
        return token in self._in_flight

    def admits(self, size_bytes: int) -> bool:
        if not self._in_flight:
            return self.messages > 0
        return len(self._in_flight) < self.messages and self._bytes + size_bytes <= self._limit_bytes

    def add(self, token: int, size_bytes: int) -> None:
        self._in_flight[token] = size_bytes
        self._bytes += size_bytes

    def remove(self, token: int) -> None:
        self._bytes -= self._in_flight.pop(token)


class Backoff:
    """Growing pauses with full jitter, so that a fleet does not come back all at once.

    `uniform(low, high)` is the source of jitter.  Faults that only a person can mend wait longer even when work is
    pending: repeating them helps nobody and looks like an attack to the broker.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self._failures = 0

    def reset(self) -> None:
        """The link has proved good."""
        self._failures = 0

    def next_s(self, fault: LinkFault, *, pending: bool) -> float:
        """Seconds to wait after this failure."""
        if fault in _MENDED_BY_A_PERSON:
            first, cap = _PERSON_FIRST_S, IDLE_CAP_S
        elif pending:
            first, cap = _PENDING_FIRST_S, PENDING_CAP_S
        else:
            first, cap = _IDLE_FIRST_S, IDLE_CAP_S
        longest = min(cap, first * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return self._uniform(longest / 4, longest)
