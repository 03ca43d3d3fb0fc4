"""A time line shows each clip where it was, wide enough to see, and never outside of the line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from agent.clients.requester.timeline import TimelineBlock, closer_look, whole_window

MINUTE_MS = 60_000


@dataclass
class Clip:
    number: int
    start_ms: int
    end_ms: int


def clock(at_ms: float) -> str:
    return f"{int(at_ms) // MINUTE_MS}:{int(at_ms) // 1000 % 60:02}"


def minute(at_ms: float) -> str:
    return f"{int(at_ms) // MINUTE_MS}"


def line(from_ms: int, to_ms: int, *clips: Any) -> Any:
    return whole_window(from_ms, to_ms, clips, clock, minute)


def test_a_clip_stands_at_its_share_of_the_window_with_its_times_in_words() -> None:
    shown = line(0, 100 * MINUTE_MS, Clip(3, 25 * MINUTE_MS, 30 * MINUTE_MS))
    assert shown.blocks == (TimelineBlock(3, 25.0, 5.0, "Clip 3: 25:00 to 30:00"),)


@pytest.mark.parametrize(
    ("clip", "left", "width"),
    [
        (Clip(1, 50 * MINUTE_MS, 50 * MINUTE_MS + 1), 50.0, 0.6),
        (Clip(1, 100 * MINUTE_MS - 1, 100 * MINUTE_MS), 99.4, 0.6),
        (Clip(1, -10 * MINUTE_MS, 10 * MINUTE_MS), 0.0, 10.0),
        (Clip(1, 90 * MINUTE_MS, 120 * MINUTE_MS), 90.0, 10.0),
        (Clip(1, 99 * MINUTE_MS, 120 * MINUTE_MS), 99.0, 1.0),
    ],
)
def test_a_short_clip_is_wide_enough_to_see_and_a_long_one_ends_with_the_line(
    clip: Clip, left: float, width: float
) -> None:
    (block,) = line(0, 100 * MINUTE_MS, clip).blocks
    assert (block.left, block.width) == (pytest.approx(left, abs=1e-3), pytest.approx(width, abs=1e-3))


@pytest.mark.parametrize(
    ("minutes", "labels"),
    [
        (7, ["0", "1", "2", "3", "4", "5", "6", "7"]),
        (8, ["0", "2", "4", "6", "8"]),
        (60, ["0", "10", "20", "30", "40", "50", "60"]),
        (61, ["0", "10", "20", "30", "40", "50", "61"]),
        (12 * 60, ["0", "120", "240", "360", "480", "600", "720"]),
        (72 * 60, ["0", *(str(240 * step) for step in range(2, 17)), "4320"]),
    ],
)
def test_a_line_has_both_ends_and_up_to_seven_round_times_between_them(minutes: int, labels: list[str]) -> None:
    assert [tick.label for tick in line(0, minutes * MINUTE_MS).ticks] == labels


def test_the_round_times_are_those_of_the_clock_and_not_too_close_to_an_end() -> None:
    shown = line(3 * MINUTE_MS, 63 * MINUTE_MS)
    assert [(tick.label, round(tick.left, 2)) for tick in shown.ticks] == [
        ("3", 0.0),
        ("10", 11.67),
        ("20", 28.33),
        ("30", 45.0),
        ("40", 61.67),
        ("50", 78.33),
        ("63", 100.0),
    ]


def test_the_round_times_of_a_day_in_2027_are_exact() -> None:
    start_ms = 1_800_000_000_000
    shown = line(start_ms + 3 * MINUTE_MS, start_ms + 63 * MINUTE_MS)
    assert [tick.left for tick in shown.ticks[1:-1]] == [(10 * step - 3) * 100 / 60 for step in range(1, 6)]


@pytest.mark.parametrize("from_minute", [4, 5, 6])
def test_a_round_time_needs_more_than_a_tenth_of_the_line_on_each_side(from_minute: int) -> None:
    """The line is an hour long, and 10 past or the full hour is at most 6 minutes from an end."""
    shown = line(from_minute * MINUTE_MS, (from_minute + 60) * MINUTE_MS)
    assert [tick.label for tick in shown.ticks[1:-1]] == ["20", "30", "40", "50"]


def test_a_closer_look_has_a_twentieth_of_its_length_around_it_and_seconds() -> None:
    clips: Any = [Clip(2, 40_000, 50_000), Clip(1, 10_000, 20_000)]
    shown = closer_look(60 * MINUTE_MS, clips, clock)
    assert shown is not None
    assert [(tick.label, tick.left) for tick in (shown.ticks[0], shown.ticks[-1])] == [("0:08", 0.0), ("0:52", 100.0)]
    assert [(block.number, round(block.left, 2), round(block.width, 2)) for block in shown.blocks] == [
        (2, 72.73, 22.73),
        (1, 4.55, 22.73),
    ]


def test_a_closer_look_has_a_second_at_least_on_each_side() -> None:
    shown = closer_look(60 * MINUTE_MS, [Clip(1, 10_000, 12_000)], clock)  # type: ignore[list-item]
    assert shown is not None
    assert [tick.label for tick in (shown.ticks[0], shown.ticks[-1])] == ["0:09", "0:13"]


def test_there_is_a_closer_look_only_at_less_than_a_quarter_of_the_window() -> None:
    clips: Any = [Clip(1, 1_000_000, 1_100_000)]
    assert closer_look(440_000, clips, clock) is not None
    assert closer_look(439_999, clips, clock) is None
    assert closer_look(440_000, [], clock) is None
