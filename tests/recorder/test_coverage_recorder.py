"""When a camera was watching is written without a hole, by anyone who may wait for the disk, and with patience."""

from __future__ import annotations

import pytest

from agent.core.timebase import NS_PER_S, ClockReading
from agent.errors import StorageError
from agent.recorder.coverage_recorder import CoverageRecorder
from tests.vaults import SteppedClock


class Spans:
    """The written part of a vault; `refuses` while its disk does."""

    def __init__(self) -> None:
        self.refuses = False
        self.attempts = 0
        self.written: list[tuple[int, int]] = []

    def record_coverage(self, start: ClockReading, end: ClockReading) -> None:
        self.attempts += 1
        if self.refuses:
            raise StorageError("The disk has become read-only.")
        self.written.append((start.boot_ns // NS_PER_S, end.boot_ns // NS_PER_S))


class Door:
    """A camera that is seen to deliver twice a second, for as long as the test says."""

    def __init__(self) -> None:
        self.spans, self.clock = Spans(), SteppedClock()
        self.began_s = self.clock.boot_ns // NS_PER_S
        self.watching = CoverageRecorder(self.spans, self.clock)  # type: ignore[arg-type]

    def films(self, seconds: int) -> None:
        for _ in range(2 * seconds):
            self.watching.pictures_delivered(0)
            self.watching.write()
            self.clock.advance(0.5)


def test_spans_follow_each_other_without_a_hole() -> None:
    door = Door()
    door.films(2000)
    door.watching.ended(0)
    began_s = door.began_s
    assert door.spans.written == [
        (began_s, began_s + 900),
        (began_s + 900, began_s + 1800),
        (began_s + 1800, began_s + 2000),
    ]


def test_a_disk_that_refuses_is_asked_once_a_minute_and_nothing_of_the_time_is_lost() -> None:
    door = Door()
    door.spans.refuses = True
    door.films(900 + 3600)
    assert 55 <= door.spans.attempts <= 62
    door.spans.refuses = False
    door.films(120)
    ((start_s, end_s),) = door.spans.written
    assert start_s == door.began_s
    assert end_s >= door.began_s + 900 + 3600


def test_who_sees_the_camera_waits_for_no_disk() -> None:
    door = Door()
    for _ in range(5000):
        door.watching.pictures_delivered(0)
        door.clock.advance(0.5)
    assert door.spans.attempts == 0
    door.watching.write()
    assert door.spans.attempts == 1


def test_what_was_not_seen_is_not_claimed() -> None:
    door = Door()
    door.films(100)
    door.watching.ended(30 * NS_PER_S)
    assert door.spans.written == [(door.began_s, door.began_s + 70)]
    door.watching.ended(0)
    assert len(door.spans.written) == 1


@pytest.mark.parametrize(("age_ns", "written"), [(0, [(100, 1000)]), (1, [])])
def test_a_span_is_written_as_soon_as_it_has_its_quarter_of_an_hour(
    age_ns: int, written: list[tuple[int, int]]
) -> None:
    door = Door()
    door.watching.write()
    door.watching.pictures_delivered(0)
    door.clock.advance(900)
    door.watching.pictures_delivered(age_ns)
    door.watching.write()
    assert door.spans.written == written


def test_a_refused_span_is_tried_again_after_exactly_a_minute_and_a_written_one_forgets_the_refusal() -> None:
    door = Door()
    door.watching.pictures_delivered(0)
    door.clock.advance(900)
    door.spans.refuses = True
    for seconds, attempts in ((0, 1), (59, 1), (1, 2)):
        door.clock.advance(seconds)
        door.watching.pictures_delivered(0)
        door.watching.write()
        assert door.spans.attempts == attempts
    door.spans.refuses = False
    door.clock.advance(60)
    door.watching.pictures_delivered(0)
    door.watching.write()
    assert door.spans.written == [(100, 1120)]
    door.clock.advance(900)
    door.watching.pictures_delivered(0)
    door.watching.write()
    assert door.spans.written == [(100, 1120), (1120, 2020)]


def test_a_picture_of_the_future_is_one_of_now_and_a_camera_that_gave_none_covers_nothing() -> None:
    door = Door()
    door.watching.pictures_delivered(0)
    door.clock.advance(10)
    door.watching.ended(-5 * NS_PER_S)
    assert door.spans.written == [(100, 110)]
    door.watching.pictures_delivered(3 * NS_PER_S)
    door.watching.ended(3 * NS_PER_S)
    assert len(door.spans.written) == 1, "its only picture came before it was watched"
    door.watching.pictures_delivered(0)
    door.watching.ended(0)
    assert len(door.spans.written) == 1, "no time has passed"


def test_another_camera_begins_without_the_refusal_of_the_one_before() -> None:
    door = Door()
    door.spans.refuses = True
    door.watching.pictures_delivered(0)
    door.clock.advance(900)
    door.watching.pictures_delivered(0)
    door.watching.write()
    door.watching.ended(0)
    assert door.spans.attempts == 2
    assert (door.watching._since, door.watching._until, door.watching._refused_ns) == (None, None, None)
