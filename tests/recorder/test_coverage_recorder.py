"""When a camera was watching is written without a hole, by anyone who may wait for the disk, and with patience."""

from __future__ import annotations

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
