"""How long news of a footage request is held back before it may leave the house.

A request is broadcast, and everybody may know when.  If only a doorbell that has footage of it told its owner at once,
whoever watches the house's network would read the match off the connection that this makes.  So this news waits: for a
time between a quarter of an hour and three hours that depends on nothing which whoever asks could know, choose or
change.

The time is drawn once for all the news that comes within a span of three hours, by a key that only this device has.
Whoever asks thirty times at once gets one draw and not the smallest of thirty; asking the same again, a restart or a
lost queue gives no second one; and everything that leaves the house waits equally long.  Where the spans begin is the
key's secret, too, so nobody can ask on both sides of a border on purpose.

Source: RFC 5869 (HKDF), RFC 2104 (HMAC); docs/decisions/0016.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from agent.core.device_secret import DeviceSecret
from agent.core.requests import StoredRequest

__all__ = ["LONGEST_MS", "SHORTEST_MS", "SPAN_MS", "DisclosureDelay"]

SHORTEST_MS: Final = 15 * 60_000
LONGEST_MS: Final = 3 * 3_600_000
SPAN_MS: Final = 3 * 3_600_000
"""What comes within one waits equally long."""
_LABEL: Final = b"doorward alerts held back v1"


@dataclass(frozen=True, slots=True)
class DisclosureDelay:
    """`key`: 32 random bytes that nobody but the device has."""

    key: bytes = field(repr=False)

    @classmethod
    def of_device(cls, secret: DeviceSecret) -> Self:
        """Derived from the device's secret: no other one has to be kept."""
        return cls(secret.key(_LABEL))

    def of_ms(self, came_ms: int) -> int:
        """For how long news that came at this UTC is held back: any time from `SHORTEST_MS` to `LONGEST_MS` alike."""
        span = (came_ms + self._draw("phase") % SPAN_MS) // SPAN_MS
        return SHORTEST_MS + self._draw(f"span {span}") % (LONGEST_MS - SHORTEST_MS + 1)

    def _draw(self, name: str) -> int:
        return int.from_bytes(hmac.digest(self.key, name.encode("ascii"), "sha256"))

    def due(self, requests: Iterable[StoredRequest], now_ms: int) -> int:
        """How many of `requests` may be known outside of the house by now.  `now_ms`: UTC."""
        return sum(now_ms - each.received_ms >= self.of_ms(each.received_ms) for each in requests)
