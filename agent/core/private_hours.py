"""Decides if a time is a private hour, in which the household wants the camera off.

- Hours are in the device's local day. Hours that end before they begin end on the next day and belong to the day on
  which they begin. Hours that begin and end at the same minute are refused when they are set; here they count as the
  whole day.
- They follow the device's clock even if it is unknown, because filming in a private hour is worse than losing
  an hour of footage. If a household needs certainty, it uses the privacy switch.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.wire.statements import PrivateHoursSetting

__all__ = ["is_private"]

_WEEK = 7


def is_private(hours: Iterable[PrivateHoursSetting], day: int, minute: int) -> bool:
    """Returns true if one of `hours` contains that minute of that local day (0 is Monday)."""
    return any(_holds(each, day, minute) for each in hours)


def _holds(hours: PrivateHoursSetting, day: int, minute: int) -> bool:
    if hours.begins_minute < hours.ends_minute:
        return day in hours.days and hours.begins_minute <= minute < hours.ends_minute
    since_yesterday = (day - 1) % _WEEK in hours.days and minute < hours.ends_minute
    return (day in hours.days and minute >= hours.begins_minute) or since_yesterday
