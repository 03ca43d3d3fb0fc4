"""Decides if a time is a private hour, in which the household wants the camera off.

- Hours are in the device's local day. Hours that end before they begin end on the next day and belong to the day on
  which they begin. Hours that begin and end at the same minute are refused when they are set; here they count as the
  whole day.
- They follow the device's clock even if it is not synchronised, because filming in a private hour is worse than losing
  an hour of footage. If a household needs certainty, it uses the privacy switch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["PrivateHours", "is_private"]

_WEEK = 7


@dataclass(frozen=True, slots=True)
class PrivateHours:
    """`days`: 0 is Monday.  Minutes of the day, 0..1439."""

    days: frozenset[int]
    begins_minute: int
    ends_minute: int

    def holds(self, day: int, minute: int) -> bool:
        if self.begins_minute < self.ends_minute:
            return day in self.days and self.begins_minute <= minute < self.ends_minute
        since_yesterday = (day - 1) % _WEEK in self.days and minute < self.ends_minute
        return (day in self.days and minute >= self.begins_minute) or since_yesterday


def is_private(hours: Iterable[PrivateHours], day: int, minute: int) -> bool:
    """Returns true if one of `hours` contains that minute of that local day (0 is Monday)."""
    return any(each.holds(day, minute) for each in hours)
