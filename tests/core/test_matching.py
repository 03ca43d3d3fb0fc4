"""Matching: by window and area, on the device alone, never more than asked."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.requests import TimeWindow, match
from agent.core.timebase import ClockQuality
from tests.wire import samples

SYNCED, HELD, UNKNOWN = ClockQuality.SYNCED, ClockQuality.HELD, ClockQuality.UNKNOWN
WINDOW = TimeWindow.of_seconds(100, 200)
HERE = (53.5461, 9.9661)


@dataclass(frozen=True)
class Stored:
    id: str
    start_ms: int
    end_ms: int
    quality: ClockQuality = SYNCED


def found(
    *stored: Stored, position: tuple[float, float] | None = HERE, most: int = 100
) -> tuple[tuple[str, ...], bool]:
    result = match(WINDOW, samples.HARBOUR, position, stored, most=most)
    assert bool(result) is bool(result.segments)
    return result.segments, result.certain


def test_a_window_of_seconds_is_that_many_milliseconds() -> None:
    assert TimeWindow.of_seconds(1, 2) == TimeWindow(1000, 2000)


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "overlaps"),
    [
        (0, 99_999, False),
        (0, 100_000, False),
        (0, 100_001, True),
        (150_000, 151_000, True),
        (199_999, 300_000, True),
        (200_000, 300_000, False),
        (0, 300_000, True),
    ],
)
def test_the_start_of_a_window_belongs_to_it_and_its_end_does_not(start_ms: int, end_ms: int, overlaps: bool) -> None:
    assert WINDOW.overlaps(start_ms, end_ms) is overlaps
    assert found(Stored("a", start_ms, end_ms)) == ((("a",), True) if overlaps else ((), False))


def test_a_camera_elsewhere_or_that_does_not_know_where_it_is_matches_nothing() -> None:
    here = Stored("a", 120_000, 125_000)
    assert found(here) == (("a",), True)
    assert found(here, position=(53.56, 9.9661)) == ((), False)
    assert found(here, position=None) == ((), False)


def test_a_match_is_certain_only_if_every_clock_behind_it_was_known_synced_or_held() -> None:
    good, held = Stored("a", 120_000, 125_000), Stored("b", 125_000, 130_000, HELD)
    doubtful, elsewhere = Stored("c", 130_000, 135_000, UNKNOWN), Stored("d", 0, 1, UNKNOWN)
    assert found(good, held) == (("a", "b"), True)
    assert found(good, held, doubtful) == (("a", "b", "c"), False)
    assert found(good, held, elsewhere) == (("a", "b"), True)


def test_one_request_matches_at_most_so_many_and_the_earliest_first() -> None:
    many = [Stored(str(number), 120_000 + number, 121_000) for number in range(10)]
    assert found(*many, most=3)[0] == ("0", "1", "2")


@given(st.lists(st.tuples(st.integers(0, 300_000), st.integers(1, 50_000), st.sampled_from(ClockQuality)), max_size=30))
def test_a_match_set_is_exactly_what_overlaps(spans: list[tuple[int, int, ClockQuality]]) -> None:
    stored = [Stored(str(n), start, start + length, quality) for n, (start, length, quality) in enumerate(spans)]
    inside = [each for each in stored if each.start_ms < 200_000 and each.end_ms > 100_000]
    names, certain = found(*stored)
    assert names == tuple(each.id for each in inside)
    assert certain is (bool(inside) and UNKNOWN not in {each.quality for each in inside})
