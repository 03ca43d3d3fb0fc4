"""Limits: each at its bound, one beyond on either side, and never looser than the hard ones."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigurationError
from agent.wire import limits
from agent.wire.area import Circle
from agent.wire.limits import HARD, EarlierRequests, OverLimit, RequestLimits
from agent.wire.trust import EntryLimits
from tests.wire import samples

NOW = samples.NOW_S
DAY_S = 86_400
NOTHING = EarlierRequests()


def verdict(
    *, now_s: int | None = NOW, by: RequestLimits = HARD, earlier: EarlierRequests = NOTHING, **changes: Any
) -> Any:
    return limits.check(samples.request(**changes), by, now_s, earlier)


def window(length_s: int, ends_s: int = NOW - 3600) -> dict[str, int]:
    return {"from_s": ends_s - length_s, "to_s": ends_s}


def circle(radius_m: int) -> dict[str, Circle]:
    return {"area": Circle(lat=0.0, lon=0.0, radius_m=radius_m)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        (window(15 * 60), None),
        (window(15 * 60 - 1), OverLimit.WINDOW_TOO_SHORT),
        (window(12 * 3600), None),
        (window(12 * 3600 + 1), OverLimit.WINDOW_TOO_LONG),
        ({"from_s": NOW - 45 * DAY_S, "to_s": NOW - 45 * DAY_S + 3600}, None),
        ({"from_s": NOW - 45 * DAY_S - 1, "to_s": NOW - 45 * DAY_S + 3600}, OverLimit.LOOK_BACK_TOO_FAR),
        (window(3600, NOW + limits.CLOCK_SLACK_S), None),
        (window(3600, NOW + limits.CLOCK_SLACK_S + 1), OverLimit.WINDOW_IN_FUTURE),
        (circle(143), OverLimit.AREA_TOO_SMALL),
        (circle(144), None),
        (circle(642), None),
        (circle(643), OverLimit.AREA_TOO_LARGE),
        ({"not_after_s": NOW}, None),
        ({"not_after_s": NOW - 1}, OverLimit.EXPIRED),
        ({"not_after_s": NOW + 30 * DAY_S}, None),
        ({"not_after_s": NOW + 30 * DAY_S + 1}, OverLimit.LIVES_TOO_LONG),
    ],
)
def test_each_limit_holds_at_its_bound_and_not_beyond(changes: dict[str, Any], expected: OverLimit | None) -> None:
    assert verdict(**changes) is expected


def test_the_bounds_of_the_area_are_inclusive_to_the_square_metre() -> None:
    # A circle's size is exact, so a limit set to it lets it through and one a square metre off does not.
    size_m2 = Circle(lat=0.0, lon=0.0, radius_m=400).size_m2
    assert verdict(by=RequestLimits(area_min_m2=int(size_m2)), **circle(400)) is None
    assert verdict(by=RequestLimits(area_min_m2=int(size_m2) + 1), **circle(400)) is OverLimit.AREA_TOO_SMALL
    assert verdict(by=RequestLimits(area_max_m2=int(size_m2) + 1), **circle(400)) is None
    assert verdict(by=RequestLimits(area_max_m2=int(size_m2)), **circle(400)) is OverLimit.AREA_TOO_LARGE


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        (EarlierRequests(for_case=1), None),
        (EarlierRequests(for_case=2), OverLimit.CASE),
        (EarlierRequests(for_window=1), None),
        (EarlierRequests(for_window=2), OverLimit.WINDOW_ASKED),
        (EarlierRequests(from_requester=9), None),
        (EarlierRequests(from_requester=10), OverLimit.REQUESTER_RATE),
        (EarlierRequests(in_all=29), None),
        (EarlierRequests(in_all=30), OverLimit.TOTAL_RATE),
        (EarlierRequests(in_all=14, from_requester=1), None),
        (EarlierRequests(in_all=15, from_requester=1), OverLimit.TOTAL_RATE),
    ],
)
def test_what_was_asked_before_counts(earlier: EarlierRequests, expected: OverLimit | None) -> None:
    assert verdict(by=RequestLimits(), earlier=earlier) is expected


def test_a_device_without_the_time_of_day_judges_only_what_needs_none() -> None:
    assert verdict(now_s=None, not_after_s=5, **window(3600, 10_000)) is None
    assert verdict(now_s=None, **window(60)) is OverLimit.WINDOW_TOO_SHORT
    assert verdict(now_s=None, earlier=EarlierRequests(for_case=2)) is OverLimit.CASE


@pytest.mark.parametrize("name", [field.name for field in fields(RequestLimits)])
def test_no_limit_can_be_built_looser_than_its_hard_bound(name: str) -> None:
    hard = getattr(HARD, name)
    looser, tighter = (hard - 1, hard + 1) if "_min_" in name else (hard + 1, hard - 1)
    with pytest.raises(ConfigurationError, match=name):
        RequestLimits(**{name: looser})
    assert getattr(RequestLimits(**{name: tighter}), name) == tighter
    with pytest.raises(ConfigurationError, match=name):
        RequestLimits(**{name: -1})


def test_a_request_that_keeps_footage_for_longer_than_an_owner_or_a_root_wants_is_over_their_limit() -> None:
    assert verdict(retention_days=3653) is None
    assert verdict(retention_days=3654) is OverLimit.KEPT_TOO_LONG
    month = EntryLimits(retention_max_days=30).applied_to(RequestLimits(retention_max_days=90))
    assert verdict(by=month, retention_days=30) is None
    assert verdict(by=month, retention_days=31) is OverLimit.KEPT_TOO_LONG
    assert verdict(by=month, now_s=None, retention_days=31) is OverLimit.KEPT_TOO_LONG


def test_a_limit_may_be_nothing_at_all_and_two_may_meet() -> None:
    assert RequestLimits(requests_per_day=0).requests_per_day == 0
    both = RequestLimits(window_min_s=3600, window_max_s=3600, area_min_m2=100_000, area_max_m2=100_000)
    assert (both.window_min_s, both.area_min_m2) == (both.window_max_s, both.area_max_m2)


def test_tightening_takes_the_tighter_of_each_and_never_loosens() -> None:
    owner = RequestLimits(window_max_s=4 * 3600, window_min_s=1800)
    root = EntryLimits(window_max_s=6 * 3600, window_min_s=3600, life_max_s=DAY_S)
    assert root.applied_to(owner) == RequestLimits(window_max_s=4 * 3600, window_min_s=3600, life_max_s=DAY_S)
    assert EntryLimits(window_max_s=2**40, area_min_m2=0).applied_to(owner) == owner
    assert EntryLimits().applied_to(owner) == owner


def test_limits_that_exclude_each_other_let_nothing_pass_and_raise_nothing() -> None:
    nothing = EntryLimits(window_max_s=1800).applied_to(RequestLimits(window_min_s=3600))
    assert verdict(by=nothing, **window(2700)) is OverLimit.WINDOW_TOO_SHORT
    assert verdict(by=nothing, **window(3600)) is OverLimit.WINDOW_TOO_LONG


LATE = json.loads((Path(__file__).resolve().parents[1] / "vectors/wire/late.json").read_text())


@pytest.mark.parametrize("row", LATE, ids=lambda row: f"{row['over']} {row['limits']}")
def test_whoever_was_not_there_when_it_came_judges_what_holds_whenever_it_was_asked(row: dict[str, Any]) -> None:
    times = {"from_s": row["from"], "to_s": row["to"], "not_after_s": row["not_after"]}
    tighter = EntryLimits(**row["limits"]).applied_to(HARD)
    found = limits.check_late(samples.request(**times), tighter, row["now"])
    assert (found and found.value) == row["over"]


@given(
    st.integers(0, 90 * DAY_S), st.integers(900, 43_200), st.integers(-DAY_S, 40 * DAY_S), st.integers(0, 40 * DAY_S)
)
def test_what_was_good_when_it_was_asked_is_never_too_late_and_what_never_was_is_never_let_through(
    back_s: int, length_s: int, life_s: int, waited_s: int
) -> None:
    begins = NOW - back_s
    asked = samples.request(from_s=begins, to_s=begins + length_s, not_after_s=max(0, NOW + life_s))
    good_then = limits.check(asked, HARD, NOW) is None
    assert not good_then or limits.check_late(asked, HARD, NOW + waited_s) is None
    if limits.check_late(asked, HARD, NOW) is not None:
        # It has been invalid at every moment until now: now, and at the latest and earliest possible ones.
        moments = {NOW, asked.from_s + 45 * DAY_S, asked.not_after_s, asked.not_after_s - 30 * DAY_S}
        assert all(limits.check(asked, HARD, at) is not None for at in moments if 0 <= at <= NOW)
