"""The delay before news of a footage request may leave the house.

A request is broadcast, so everyone may know its time. If only doorbells with matching footage told their owners at
once, an observer of the house's network could read the match off that connection. For this reason the news waits
between 15 minutes and 3 hours. A requester cannot know, choose or change the delay.

One key of this device draws the delay once for all news within a span of 3 hours. If a requester sends thirty requests
at once, they share one draw, so the smallest of thirty is unavailable. A repeated request, a restart or a lost queue
leads to the same delay, and everything that leaves the house waits equally long. The key also decides where the spans
begin, so a requester cannot send requests on both sides of a border on purpose.

Source: RFC 5869 (HKDF), RFC 2104 (HMAC); docs/decisions/0016.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from agent.core.device_secret import DeviceSecret
from agent.core.requests import StoredRequest

__all__ = ["LONGEST_MS", "SHORTEST_MS", "SPAN_MS", "NoticeDelay"]

SHORTEST_MS: Final = 15 * 60_000
LONGEST_MS: Final = 3 * 3_600_000
SPAN_MS: Final = 3 * 3_600_000
"""News within one span has the same delay."""
_LABEL: Final = b"doorward alerts delayed v1"


@dataclass(frozen=True, slots=True)
class NoticeDelay:
    """`key`: 32 random bytes that only the device has."""

    key: bytes = field(repr=False)

    @classmethod
    def of_device(cls, secret: DeviceSecret) -> Self:
        """Derives the key from the device's secret, so that the device needs to keep only one secret."""
        return cls(secret.key(_LABEL))

    def of_ms(self, came_ms: int) -> int:
        """Returns the delay of news that came at this UTC: any time from `SHORTEST_MS` to `LONGEST_MS` alike."""
        span = (came_ms + self._draw("phase") % SPAN_MS) // SPAN_MS
        # 256 bits modulo ten million: the bias is beyond measure.
        return SHORTEST_MS + self._draw(f"span {span}") % (LONGEST_MS - SHORTEST_MS + 1)

    def _draw(self, name: str) -> int:
        return int.from_bytes(hmac.digest(self.key, name.encode("ascii"), "sha256"))

    def due(self, requests: Iterable[StoredRequest], now_ms: int) -> int:
        """Returns how many of `requests` may be known outside the house at `now_ms` (UTC)."""
        return sum(now_ms - each.received_ms >= self.of_ms(each.received_ms) for each in requests)
