"""Times of a request: a day and two times of day in the organisation's time zone, as UTC seconds. No I/O.

A time that a change of the clocks makes double or impossible is refused with words, because an hour decides which
footage is shared. For a double hour a person says which of the two is meant.
"""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from agent.errors import RequestError

__all__ = ["DoubleHour", "LocalWindow", "TimeFault", "WindowError", "local_window", "utc_window"]


class DoubleHour(enum.StrEnum):
    """Which of two equal times of day is meant in the night in which clocks are set back."""

    UNSAID = ""
    FIRST = "first"
    SECOND = "second"


class TimeFault(enum.StrEnum):
    """Why a time of day is refused."""

    DOUBLE = "double"
    MISSING = "missing"


class WindowError(RequestError):
    """A time of day that happens twice, or never, on that day."""

    def __init__(self, fault: TimeFault, at: datetime.datetime) -> None:
        times = "happens twice" if fault is TimeFault.DOUBLE else "does not exist"
        super().__init__(
            f"{at:%Y-%m-%d %H:%M} {times} in {at.tzinfo}, because the clocks change.",
            remedy="Say which of the two you mean." if fault is TimeFault.DOUBLE else "Give a time before or after it.",
        )
        self.fault = fault
        self.at = at


@dataclass(frozen=True, slots=True)
class LocalWindow:
    """A window as a person writes it. If `until` is not later than `since`, it is on the next day."""

    day: datetime.date
    since: datetime.time
    until: datetime.time
    double_hour: DoubleHour = DoubleHour.UNSAID


def utc_window(window: LocalWindow, zone: ZoneInfo) -> tuple[int, int]:
    """Returns the window in UTC seconds. Raises `WindowError` for a missing time, or a double one without a choice."""
    last_day = window.day if window.until > window.since else window.day + datetime.timedelta(days=1)
    return (
        _utc_s(window.day, window.since, zone, window.double_hour),
        _utc_s(last_day, window.until, zone, window.double_hour),
    )


def local_window(from_s: int, to_s: int, zone: ZoneInfo) -> LocalWindow:
    """Returns the window as a person writes it: the reverse of `utc_window`."""
    since, until = (datetime.datetime.fromtimestamp(each, zone) for each in (from_s, to_s))
    return LocalWindow(since.date(), _bare(since), _bare(until), _which(since) or _which(until) or DoubleHour.UNSAID)


def _bare(at: datetime.datetime) -> datetime.time:
    return at.time().replace(fold=0)


def _utc_s(day: datetime.date, time: datetime.time, zone: ZoneInfo, double_hour: DoubleHour) -> int:
    first, second = (datetime.datetime.combine(day, time, zone).replace(fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return round(first.timestamp())
    if not _exists(first, zone):
        raise WindowError(TimeFault.MISSING, first)
    if double_hour is DoubleHour.UNSAID:
        raise WindowError(TimeFault.DOUBLE, first)
    return round((first if double_hour is DoubleHour.FIRST else second).timestamp())


def _exists(at: datetime.datetime, zone: ZoneInfo) -> bool:
    there_and_back = at.astimezone(datetime.UTC).astimezone(zone)
    return there_and_back.replace(tzinfo=None, fold=0) == at.replace(tzinfo=None, fold=0)


def _which(at: datetime.datetime) -> DoubleHour | None:
    if at.replace(fold=0).utcoffset() == at.replace(fold=1).utcoffset():
        return None
    return DoubleHour.SECOND if at.fold else DoubleHour.FIRST
