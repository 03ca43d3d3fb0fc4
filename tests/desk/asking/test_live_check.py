"""The check beside the form: it judges exactly as doors do, and names what only a door can know."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import limits
from agent.wire.area import Area, Bounds, Circle, Point, Polygon
from agent.wire.fields import Kind
from agent.wire.limits import HARD, EarlierRequests, OverLimit
from agent.wire.trust import EntryLimits, TrustedRequester
from desk.asking.live_check import Asked, CheckFinding, Code, Known, Level, Question, Topic, _probe, blocks, check
from tests.wire.samples import REQUESTER_KEY

NOW = 1_790_000_000
ROOT = "ab" * 8
CIRCLE = Circle(lat=52.09, lon=5.12, radius_m=300)
GOOD = Question(CIRCLE, NOW - 7200, NOW - 3600, NOW + 7 * 86_400, "2026-1", 30)
LISTED = TrustedRequester(
    ROOT, "rijnstad-police", "Rijnstad Police", Kind.POLICE, REQUESTER_KEY, (Bounds(52, 5, 52.2, 5.3),), EntryLimits()
)
KNOWN = Known(ROOT, Kind.POLICE, has_bundle=True, listed=LISTED)


def codes(question: Question = GOOD, known: Known = KNOWN) -> dict[Code, CheckFinding]:
    return {each.code: each for each in check(question, known, NOW)}


def asked(**changes: object) -> Asked:
    return dataclasses.replace(Asked(CIRCLE, NOW - 7200, NOW - 3600, "2026-1", NOW - 600), **changes)  # type: ignore[arg-type]


def test_a_sound_request_of_a_listed_organisation_has_no_objection() -> None:
    found = codes()
    assert not blocks(found.values())
    assert found[Code.IN_REGION].level is Level.GOOD
    assert found[Code.AREA_SIZE].values["km2"] == pytest.approx(0.2827, abs=1e-4)
    assert found[Code.NO_DOOR_ANSWERED].level is Level.UNKNOWN, "whether a door here trusts the root, no desk can know"


def test_swapped_coordinates_are_caught_with_and_without_a_bundle() -> None:
    turned = dataclasses.replace(GOOD, area=Circle(lat=5.12, lon=52.09, radius_m=300))
    assert codes(turned)[Code.SWAPPED].level is Level.REFUSED
    without = Known(ROOT, Kind.POLICE, asked=(asked(case="other"),))
    assert codes(turned, without)[Code.SWAPPED].level is Level.WARNING
    elsewhere = dataclasses.replace(GOOD, area=Circle(lat=-33.9, lon=18.4, radius_m=300))
    assert codes(elsewhere)[Code.OUTSIDE_REGIONS].level is Level.REFUSED
    assert codes(elsewhere, without)[Code.FAR_AWAY].level is Level.WARNING


def test_thin_parts_are_named_with_their_share() -> None:
    needle = Polygon(
        vertices=tuple(
            Point(lat=lat, lon=lon)
            for lat, lon in (
                (52.09, 5.12), (52.09, 5.125), (52.0925, 5.125), (52.0925, 5.1225), (52.105, 5.1223), (52.0925, 5.122),
                (52.0925, 5.12),
            )
        )
    )  # fmt: skip
    assert codes(dataclasses.replace(GOOD, area=needle))[Code.THIN_PARTS].values["percent"] > 5  # type: ignore[operator]
    assert Code.THIN_PARTS not in codes()


@pytest.mark.parametrize(
    ("changes", "over", "topic"),
    [
        ({"area": Circle(lat=52.09, lon=5.12, radius_m=143)}, OverLimit.AREA_TOO_SMALL, Topic.AREA),
        ({"area": Circle(lat=52.09, lon=5.12, radius_m=643)}, OverLimit.AREA_TOO_LARGE, Topic.AREA),
        ({"from_s": NOW - 3600 - 899}, OverLimit.WINDOW_TOO_SHORT, Topic.TIME),
        ({"from_s": NOW - 3600 - 43_201}, OverLimit.WINDOW_TOO_LONG, Topic.TIME),
        ({"to_s": NOW + 301}, OverLimit.WINDOW_IN_FUTURE, Topic.TIME),
        ({"from_s": NOW - 46 * 86_400, "to_s": NOW - 46 * 86_400 + 3600}, OverLimit.LOOK_BACK_TOO_FAR, Topic.TIME),
        ({"not_after_s": NOW + 31 * 86_400}, OverLimit.LIVES_TOO_LONG, Topic.TIME),
        ({"not_after_s": NOW - 1}, OverLimit.EXPIRED, Topic.TIME),
        ({"retention_days": 3_654}, OverLimit.KEPT_TOO_LONG, Topic.PROMISE),
    ],
)
def test_each_limit_of_the_doors_is_named_at_its_part_of_the_form(
    changes: dict[str, object], over: OverLimit, topic: Topic
) -> None:
    found = codes(dataclasses.replace(GOOD, **changes))  # type: ignore[arg-type]
    assert (found[Code.OVER_LIMIT].values["over"], found[Code.OVER_LIMIT].topic) == (over, topic)
    assert blocks(found.values())


def test_a_tighter_limit_of_the_root_counts() -> None:
    tight = dataclasses.replace(KNOWN, listed=dataclasses.replace(LISTED, limits=EntryLimits(window_max_s=1800)))
    assert codes(GOOD, tight)[Code.OVER_LIMIT].values["over"] is OverLimit.WINDOW_TOO_LONG


def test_the_third_request_for_a_case_in_one_place_is_refused_and_one_elsewhere_is_not() -> None:
    twice = dataclasses.replace(KNOWN, asked=(asked(), asked(from_s=0, to_s=1)))
    assert codes(GOOD, twice)[Code.OVER_LIMIT].values["over"] is OverLimit.CASE
    apart = dataclasses.replace(KNOWN, asked=(asked(area=Circle(lat=52.15, lon=5.2, radius_m=300)),) * 2)
    assert codes(GOOD, apart)[Code.CASE_COUNT].values["asked"] == 0


def test_the_tenth_request_of_a_day_and_a_third_about_one_time_are_warnings() -> None:
    many = dataclasses.replace(KNOWN, asked=tuple(asked(case=f"c{n}") for n in range(10)))
    found = codes(GOOD, many)
    assert found[Code.DAY_COUNT].level is Level.WARNING
    assert found[Code.SAME_TIME].level is Level.WARNING
    assert not blocks(found.values())


def test_what_is_known_of_the_root_is_said_and_no_more() -> None:
    assert codes(known=Known("", Kind.POLICE))[Code.NO_ROOT].level is Level.REFUSED
    assert codes(known=Known(ROOT, Kind.POLICE))[Code.NO_BUNDLE].level is Level.WARNING
    assert codes(known=Known(ROOT, Kind.POLICE, has_bundle=True))[Code.NOT_LISTED].level is Level.REFUSED
    assert codes(known=dataclasses.replace(KNOWN, kind=Kind.COURT))[Code.OTHER_KIND].level is Level.REFUSED
    answered = dataclasses.replace(KNOWN, asked=(asked(answered=True, case="other"),))
    assert codes(known=answered)[Code.DOORS_ANSWERED].level is Level.GOOD


def test_an_empty_form_is_judged_on_what_is_known() -> None:
    assert check(Question(), KNOWN, NOW) == []


AREAS: st.SearchStrategy[Area] = st.builds(
    Circle,
    lat=st.integers(-700, 700).map(lambda tenth: tenth / 10),
    lon=st.integers(-1700, 1700).map(lambda tenth: tenth / 10),
    radius_m=st.integers(1, 1700),
)


@given(
    area=AREAS,
    start=st.integers(-50 * 86_400, 3600),
    length=st.integers(1, 13 * 3600),
    life=st.integers(-10, 40 * 86_400),
    earlier=st.integers(0, 3),
    kept=st.integers(1, 4_000),
)
def test_the_desk_refuses_exactly_what_the_limits_of_the_doors_refuse(
    area: Area, start: int, length: int, life: int, earlier: int, kept: int
) -> None:
    known = Known(ROOT, Kind.POLICE, asked=tuple(asked(area=area, from_s=0, to_s=1) for _ in range(earlier)))
    question = Question(area, NOW + start, NOW + start + length, NOW + life, "2026-1", kept)
    probe = _probe(area, NOW, NOW + start, NOW + start + length, NOW + life, kept)
    over = limits.check(probe, HARD, NOW, EarlierRequests(for_case=earlier))
    assert blocks(check(question, known, NOW)) == (over is not None)
