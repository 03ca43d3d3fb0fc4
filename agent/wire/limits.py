"""Limits of a request: bounds that the device enforces. An owner or a root may tighten them, and cannot loosen them.

- `RequestLimits` refuses bounds looser than `HARD`, so a configuration that tries stops the start instead of being
  applied in part.
- A window and an area have a *minimum*. A request therefore cannot aim at one moment, or at one home without the ground
  around it (PROTOCOL.md section 4 says what the rule bounds).
- All bounds are inclusive: exactly 15 minutes and exactly 1 294 994 m² are allowed.
- Rules about the time of day apply only if the clock is known (`now_s`). A request that arrived earlier is judged once
  the clock is known, and at approval by the clock of the owner who approves.
- The owner's client judges independently of the device and cannot know when a request arrived. `check_late` therefore
  tests only rules that hold at any moment since, and leaves the owner time to answer.

Source: the limits of neighbourhood request programmes in the field (0.025 – 0.5 square miles, 45 days, 12 hours).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final

from agent.errors import ConfigurationError
from agent.wire.messages import FootageRequest

__all__ = [
    "HARD",
    "RATES",
    "EarlierRequests",
    "OverLimit",
    "RequestLimits",
    "check",
    "check_ground",
    "check_late",
    "check_quickly",
    "check_times",
]

_MINUTE_S: Final = 60
_HOUR_S: Final = 60 * _MINUTE_S
_DAY_S: Final = 24 * _HOUR_S
CLOCK_SLACK_S: Final = 5 * _MINUTE_S
"""Seconds by which two good clocks may differ before a window counts as lying in the future."""

_HARD_BOUNDS: Final = {
    "window_min_s": 15 * _MINUTE_S,
    "window_max_s": 12 * _HOUR_S,
    "look_back_max_s": 45 * _DAY_S,
    "area_min_m2": 64_750,
    "area_max_m2": 1_294_994,
    "life_max_s": 30 * _DAY_S,
    "retention_max_days": 3_653,
    "requests_per_case": 2,
    "requests_per_requester_per_day": 50,
    "requests_per_day": 200,
}


class OverLimit(enum.Enum):
    """The limit that a request exceeds."""

    WINDOW_TOO_SHORT = "window too short"
    WINDOW_TOO_LONG = "window too long"
    WINDOW_IN_FUTURE = "window in the future"
    LOOK_BACK_TOO_FAR = "look-back too far"
    AREA_TOO_SMALL = "area too small"
    AREA_TOO_LARGE = "area too large"
    KEPT_TOO_LONG = "kept too long"
    EXPIRED = "expired"
    LIVES_TOO_LONG = "expires too late"
    OUTSIDE_REGIONS = "outside the region of this requester"
    """`core.admission` asks `trust.TrustedRequester.may_ask_about`, which knows the regions."""
    CASE = "too many requests for this case"
    WINDOW_ASKED = "too many requests about this time"
    REQUESTER_RATE = "too many requests from this requester"
    TOTAL_RATE = "too many requests"


RATES: Final = frozenset({OverLimit.REQUESTER_RATE, OverLimit.TOTAL_RATE})
"""Limits that a request can meet on a later day. A request over one of them keeps its sequence number."""


@dataclass(frozen=True, slots=True)
class EarlierRequests:
    """Counts of *other* accepted requests that concern this place.

    By this requester for this case. By this requester, unanswered, about a window that overlaps (the requester
    chooses case numbers, but cannot choose the past). By this requester, and by all, in the last 24 hours.
    """

    for_case: int = 0
    for_window: int = 0
    from_requester: int = 0
    in_all: int = 0


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """One set of bounds. `*_min_*` tighten upwards, all others downwards. A looser bound raises
    `ConfigurationError`."""

    window_min_s: int = _HARD_BOUNDS["window_min_s"]
    window_max_s: int = _HARD_BOUNDS["window_max_s"]
    look_back_max_s: int = _HARD_BOUNDS["look_back_max_s"]
    area_min_m2: int = _HARD_BOUNDS["area_min_m2"]
    area_max_m2: int = _HARD_BOUNDS["area_max_m2"]
    life_max_s: int = _HARD_BOUNDS["life_max_s"]
    retention_max_days: int = _HARD_BOUNDS["retention_max_days"]
    requests_per_case: int = _HARD_BOUNDS["requests_per_case"]
    requests_per_requester_per_day: int = 10
    requests_per_day: int = 30

    def __post_init__(self) -> None:
        for name, hard in _HARD_BOUNDS.items():
            value: int = getattr(self, name)
            loosened = value < hard if "_min_" in name else value > hard
            if loosened or value < 0:
                raise ConfigurationError(
                    f"limits.{name}: {value} is looser than the hard bound {hard}.",
                    remedy="Limits can be tightened, never loosened.",
                )

    def tightened(self, **bounds: int | None) -> RequestLimits:
        """Returns the tighter of these limits and `bounds`, one by one. None leaves a bound unchanged."""
        changed = {
            name: max(value, getattr(self, name)) if "_min_" in name else min(value, getattr(self, name))
            for name, value in bounds.items()
            if value is not None
        }
        return replace(self, **changed)


HARD: Final = RequestLimits(**_HARD_BOUNDS)
"""The loosest limits allowed. A device starts with `RequestLimits()`."""


def check(
    request: FootageRequest,
    limits: RequestLimits,
    now_s: int | None,
    earlier: EarlierRequests = EarlierRequests(),
) -> OverLimit | None:
    """Returns the first limit that `request` exceeds, or None.

    `now_s`: UTC seconds, or None if the clock is unknown. With None the rules that need the time are skipped.
    """
    # The ground comes last: a hostile outline takes seconds of a small board, so rates come before it.
    return check_quickly(request, limits, now_s, earlier) or check_ground(request, limits)


def check_quickly(
    request: FootageRequest, limits: RequestLimits, now_s: int | None, earlier: EarlierRequests
) -> OverLimit | None:
    """Does the same as `check`, except for the slow `check_ground`."""
    return (
        _of_window(request, limits)
        or _of_area(request, limits)
        or (OverLimit.KEPT_TOO_LONG if request.retention_days > limits.retention_max_days else None)
        or (None if now_s is None else check_times(request.from_s, request.to_s, request.not_after_s, limits, now_s))
        or _of_earlier(limits, earlier)
    )


def _of_window(request: FootageRequest, limits: RequestLimits) -> OverLimit | None:
    if request.window_s < limits.window_min_s:
        return OverLimit.WINDOW_TOO_SHORT
    if request.window_s > limits.window_max_s:
        return OverLimit.WINDOW_TOO_LONG
    return None


def _of_area(request: FootageRequest, limits: RequestLimits) -> OverLimit | None:
    size_m2 = request.area.size_m2
    if size_m2 > limits.area_max_m2:
        return OverLimit.AREA_TOO_LARGE
    return OverLimit.AREA_TOO_SMALL if size_m2 < limits.area_min_m2 else None


def check_ground(request: FootageRequest, limits: RequestLimits) -> OverLimit | None:
    """Applies the minimum to the ground where doors count: the area without its thin parts (`area_opening`)."""
    # Otherwise the park at the end of a needle could make up the size, while the needle points at one door.
    return None if request.area.opens(limits.area_min_m2) else OverLimit.AREA_TOO_SMALL


def check_times(from_s: int, to_s: int, not_after_s: int, limits: RequestLimits, now_s: int) -> OverLimit | None:
    """Returns the first limit of time that a request with these times exceeds if it is asked at `now_s`, or None."""
    if to_s > now_s + CLOCK_SLACK_S:
        # A request asks about the past. A request for the future would order surveillance.
        return OverLimit.WINDOW_IN_FUTURE
    if from_s < now_s - limits.look_back_max_s:
        return OverLimit.LOOK_BACK_TOO_FAR
    if not_after_s < now_s:
        return OverLimit.EXPIRED
    if not_after_s > now_s + limits.life_max_s:
        return OverLimit.LIVES_TOO_LONG
    return None


def check_late(request: FootageRequest, limits: RequestLimits, now_s: int) -> OverLimit | None:
    """Returns the first limit of time that `request` exceeds, whenever up to `now_s` it was asked, or None.

    The earliest moment of asking is the longest life before its end. A request that has expired by now may have been
    within its limits then.
    """
    if request.to_s > now_s + CLOCK_SLACK_S:
        return OverLimit.WINDOW_IN_FUTURE
    if request.not_after_s > now_s + limits.life_max_s:
        return OverLimit.LIVES_TOO_LONG
    if request.from_s < request.not_after_s - limits.life_max_s - limits.look_back_max_s:
        return OverLimit.LOOK_BACK_TOO_FAR
    return None


def _of_earlier(limits: RequestLimits, earlier: EarlierRequests) -> OverLimit | None:
    if earlier.for_case >= limits.requests_per_case:
        return OverLimit.CASE
    # The same number limits unanswered requests about an overlapping window.
    if earlier.for_window >= limits.requests_per_case:
        return OverLimit.WINDOW_ASKED
    if earlier.from_requester >= limits.requests_per_requester_per_day:
        return OverLimit.REQUESTER_RATE
    # The second half of the daily total is for requesters that have not asked yet, so one requester cannot block the
    # others.
    shared = limits.requests_per_day if not earlier.from_requester else (limits.requests_per_day + 1) // 2
    if earlier.in_all >= shared:
        return OverLimit.TOTAL_RATE
    return None
