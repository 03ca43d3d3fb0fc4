"""The owner's clock: the one that judges whether a request is over.  Tests and demo hand in their own."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock", "wall_ms"]

Clock = Callable[[], int]
"""() → milliseconds of UTC since 1970."""


def wall_ms() -> int:
    return time.time_ns() // 1_000_000
