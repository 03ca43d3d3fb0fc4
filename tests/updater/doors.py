"""A moment for the tests of updates."""

from __future__ import annotations

import datetime
import time
import types
from typing import Any

import pytest
from tuf.ngclient._internal import trusted_metadata_set

from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs

__all__ = ["pass_days", "reading"]


def reading(quality: ClockQuality = ClockQuality.SYNCED) -> ClockReading:
    return ClockReading(BootNs(0), UtcNs(time.time_ns()), quality)


def pass_days(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """python-tuf reads the clock when a client is made."""

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime.now(tz) + datetime.timedelta(days=days)

    later = types.SimpleNamespace(datetime=Later, timezone=datetime.timezone)
    monkeypatch.setattr(trusted_metadata_set, "datetime", later)
