"""Decides whether now is a private hour: a time of the week at which the household wants no camera.

- Hours are of the device's local day.  Those that end before they begin end on the next day, and belong to the day they
  begin on.  Nobody may set hours that begin and end at the same minute;
  those that stand from before are the whole day.
- They go by the device's clock, also while nobody vouches for it: to film in a private hour is worse than to miss one
  that is not.  Whoever needs darkness whatever the clock says has the privacy switch.
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
    """Whether any of `hours` holds at that minute of that local day (0 is Monday)."""
    return any(each.holds(day, minute) for each in hours)
