"""The configuration in force: the file, and an owner's settings over it."""

from __future__ import annotations

import os
import time
from typing import Any, Final

from agent.config import Configuration
from agent.config.settings import Weekday
from agent.core.alerts.policy import minute_of_day
from agent.core.private_hours import is_private
from agent.core.timebase import ClockReading
from agent.wire import strictjson
from agent.wire.statements import STATEMENT_LIMIT_BYTES, PrivateHoursSetting, Settings

__all__ = ["is_private_now", "local_clock", "place_of", "settings_of"]

_DAYS: Final = tuple(Weekday)
_NS: Final = 10**9


def settings_of(payload: bytes) -> Settings | None:
    """Reads an owner's statement that the custodian has verified; None if it leaves all settings."""
    return strictjson.decode(payload, Settings, limit_bytes=STATEMENT_LIMIT_BYTES) if payload else None


def place_of(configuration: Configuration) -> tuple[float, float] | None:
    """(lat, lon) in degrees."""
    place = configuration.device.position
    return None if place is None else (place.latitude, place.longitude)


def is_private_now(configuration: Configuration, now: ClockReading) -> bool:
    """Returns whether it is one of the household's private hours, by the device's clock and time zone, right or
    wrong."""
    if not configuration.privacy.hours:
        return False
    local = time.localtime(now.utc_ns / _NS)
    hours = [
        PrivateHoursSetting(
            days=tuple(_DAYS.index(day) for day in each.days),
            begins_minute=minute_of_day(each.begins),
            ends_minute=minute_of_day(each.ends),
        )
        for each in configuration.privacy.hours
    ]
    return is_private(hours, local.tm_wday, local.tm_hour * 60 + local.tm_min)


def local_clock() -> dict[str, Any]:
    """Returns the local time's distance from UTC and the name of its zone, which the page shows beside local hours."""
    local = time.localtime()
    return {"utc_offset_minutes": local.tm_gmtoff // 60, "zone": os.environ.get("TZ") or local.tm_zone}
