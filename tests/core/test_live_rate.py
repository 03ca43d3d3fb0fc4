"""Which pictures a viewer gets, by a drawn link: the filmed ones while it carries them, else small ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from agent.core.live_rate import SMALL_PICTURES, Backlog, LinkRate, SmallPicture, small_picture

_STEP_S = 0.01
_POLL_S = 1.5


@dataclass
class Line:
    """A link with a camera behind it, in steps of 10 ms. A viewer asks again as soon as an answer has come."""

    kbps: float
    round_trip_s: float = 0.06
    film_kbps: float = 2000.0
    gives_small: bool = True
    now_s: float = 1000.0
    rate: LinkRate = field(default_factory=LinkRate)
    made: list[tuple[float, int]] = field(default_factory=list)
    """When each part was made that waits, and its bytes."""
    chosen: list[tuple[float, SmallPicture | None]] = field(default_factory=list)
    late_s: list[tuple[float, float]] = field(default_factory=list)
    """When an answer had come, and the age of its newest part then."""
    _film_s: float = 0.0
    _key_s: float = 0.0
    _asks_s: float = 0.0
    _answer: list[tuple[float, int]] = field(default_factory=list)
    _asked_s: float | None = None

    def run(self, seconds: float) -> None:
        ends_s = self.now_s + seconds
        while self.now_s < ends_s:
            self._film()
            if self._asked_s is None and self.now_s >= self._asks_s:
                self._ask()
            if self._asked_s is not None and (self.made or self.now_s - self._asked_s > _POLL_S):
                self._give()
            self.now_s += _STEP_S

    def small_s(self) -> list[float]:
        """When small pictures began."""
        kinds = [(0.0, None), *self.chosen]
        return [at_s for (_, before), (at_s, after) in pairwise(kinds) if before is None and after is not None]

    def _film(self) -> None:
        small = self.rate.small
        frames, kbps = (small.frames_per_s, small.kbps) if small is not None else (15, self.film_kbps)
        if (small is not None and not self.gives_small) or self.now_s < self._film_s:
            return
        self._film_s = max(self._film_s + 1 / frames, self.now_s)
        is_key = self.now_s - self._key_s >= (2 if small is not None else 1)
        self._key_s = self.now_s if is_key else self._key_s
        self.made.append((self.now_s, round(kbps * 1000 / 8 * (0.3 if is_key else 0.75 / frames))))

    def _ask(self) -> None:
        self._asked_s = self.now_s
        if self._answer:
            self.late_s.append((self.now_s, self.now_s - self._answer[-1][0]))
        waiting = Backlog(sum(size for _, size in self.made), self.now_s - self.made[0][0] if self.made else 0.0)
        before = self.rate.small
        self.chosen.append((self.now_s, self.rate.asked(waiting, self.now_s)))
        if before != self.rate.small:
            self.made.clear()

    def _give(self) -> None:
        # As the custodian: a viewer who is two seconds late goes on with the newest keyframe.
        if self.made and self.now_s - self.made[0][0] > 2:
            self.made = [each for each in self.made if self.now_s - each[0] < 1]
        self._answer, self.made = self.made, []
        size = sum(size for _, size in self._answer)
        self.rate.answered(size, self.now_s)
        self._asks_s, self._asked_s = self.now_s + self.round_trip_s + size * 8 / 1000 / self.kbps, None


@pytest.mark.parametrize(("kbps", "round_trip_s"), [(3000, 0.06), (5000, 0.2), (20_000, 0.4), (100_000, 0.001)])
def test_a_link_that_carries_the_filmed_pictures_shows_them(kbps: float, round_trip_s: float) -> None:
    line = Line(kbps, round_trip_s)
    line.run(120)
    assert line.small_s() == []
    assert max(late_s for _, late_s in line.late_s) < 0.7


@pytest.mark.parametrize(
    ("kbps", "width_px", "most_s"), [(1500, 640, 0.4), (1000, 640, 0.4), (500, 480, 0.5), (250, 320, 0.6)]
)
def test_a_slow_link_gets_pictures_that_it_carries_within_seconds(kbps: float, width_px: int, most_s: float) -> None:
    line = Line(kbps)
    line.run(15)
    (begins_s,) = line.small_s()
    assert begins_s < 1008
    assert line.rate.small is not None
    assert line.rate.small.width_px == width_px
    assert line.rate.small.kbps < kbps
    late_s = sorted(late_s for at_s, late_s in line.late_s if at_s > begins_s + 2)
    assert late_s[len(late_s) * 95 // 100] < most_s


def test_without_small_pictures_such_a_link_is_seconds_behind() -> None:
    line = Line(1000)
    line.rate._falls_behind = lambda _waiting: False  # type: ignore[method-assign]
    line.run(15)
    late_s = sorted(late_s for at_s, late_s in line.late_s if at_s > 1005)
    assert late_s[len(late_s) // 2] > 1.5


def test_the_filmed_pictures_come_back_when_the_link_is_fast_again() -> None:
    line = Line(1000)
    line.run(15)
    assert line.rate.small is not None
    line.kbps = 10_000
    line.run(30)
    assert line.rate.small is None
    line.run(60)
    assert len(line.small_s()) == 1


def test_a_link_that_stays_slow_is_disturbed_ever_more_rarely() -> None:
    line = Line(1000)
    line.run(900)
    began_s = line.small_s()
    assert 3 <= len(began_s) <= 6
    gaps_s = [later - earlier for earlier, later in pairwise(began_s)]
    assert gaps_s == sorted(gaps_s)
    # A link that has carried them for a minute is tried again soon.
    for kbps, seconds in ((10_000, 600), (1000, 10), (10_000, 30)):
        line.kbps = kbps
        line.run(seconds)
    assert len(line.small_s()) == len(began_s) + 1
    assert line.rate.small is None


def test_a_link_that_becomes_slower_gets_smaller_pictures() -> None:
    line = Line(1000)
    line.run(15)
    line.kbps = 150
    line.run(20)
    assert line.rate.small in SMALL_PICTURES[-2:]


def test_a_pause_of_the_browser_is_no_slow_link() -> None:
    line = Line(20_000)
    line.run(10)
    line._asks_s = line.now_s + 3  # asleep
    line.run(30)
    assert line.small_s() == []


def test_a_pause_of_the_browser_makes_small_pictures_no_smaller() -> None:
    line = Line(1000)
    line.run(10)
    before = line.rate.small
    assert before is not None
    for _ in range(5):
        line._asks_s = line.now_s + 1.5
        line.run(5)
    assert line.rate.small == before


def test_a_camera_that_gives_no_small_picture_is_asked_rarely() -> None:
    line = Line(1000, gives_small=False)
    line.run(120)
    small_s = sum(later - at_s for (at_s, small), (later, _) in pairwise(line.chosen) if small is not None)
    assert len(line.small_s()) <= 4
    assert small_s < 30


def test_the_choice_is_the_best_that_fits() -> None:
    assert [small_picture(each.kbps) for each in SMALL_PICTURES] == list(SMALL_PICTURES)
    assert small_picture(10_000) == SMALL_PICTURES[0]
    assert small_picture(0) == SMALL_PICTURES[-1]
    assert [each.kbps for each in SMALL_PICTURES] == sorted((each.kbps for each in SMALL_PICTURES), reverse=True)


# -- step by step: the bounds themselves -------------------------------------------------------------------------------

FULL_BYTES, SMALL_BYTES = 32 << 10, 4 << 10
LATE = Backlog(FULL_BYTES, 1.0)
NONE = Backlog(0, 0.0)
SMALLEST = SMALL_PICTURES[-1]


def slowed(at_s: float = 0.0) -> LinkRate:
    """A viewer who got small pictures two seconds after an answer: the link carried 131 kbit/s, and .6 of it is 79."""
    rate = LinkRate()
    rate.answered(FULL_BYTES, at_s - 2)
    assert rate.asked(LATE, at_s) == SMALLEST
    return rate


@pytest.mark.parametrize(
    ("sent_bytes", "waiting", "is_behind"),
    [
        (FULL_BYTES, Backlog(FULL_BYTES, 0.7), False),
        (FULL_BYTES, Backlog(FULL_BYTES, 0.71), True),
        (FULL_BYTES - 1, Backlog(FULL_BYTES, 1.0), False),
        (40_000, Backlog(32_000, 1.0), False),
        (40_000, Backlog(32_001, 1.0), True),
    ],
)
def test_a_viewer_falls_behind_by_the_size_and_the_age_of_what_waits(
    sent_bytes: int, waiting: Backlog, is_behind: bool
) -> None:
    rate = LinkRate()
    rate.answered(sent_bytes, 0.0)
    assert (rate.asked(waiting, 2.0) is not None) is is_behind


def test_small_pictures_become_smaller_after_two_late_answers_in_a_row() -> None:
    rate = LinkRate()
    rate.answered(FULL_BYTES, 0.0)
    assert rate.asked(LATE, 0.3) == SMALL_PICTURES[1], "874 kbit/s, and .6 of it is 524"
    late, in_time = Backlog(SMALL_BYTES, 1.0), Backlog(SMALL_BYTES // 2, 1.0)
    for number, waiting in enumerate((late, in_time, late)):
        rate.answered(SMALL_BYTES, 1.0 + number)
        assert rate.asked(waiting, 1.5 + number) == SMALL_PICTURES[1]
    rate.answered(SMALL_BYTES - 1, 4.0)
    assert rate.asked(late, 4.5) == SMALL_PICTURES[1], "an answer that short measures no link, and ends the row"
    for number, expected in enumerate((SMALL_PICTURES[1], SMALL_PICTURES[2], SMALL_PICTURES[2])):
        rate.answered(SMALL_BYTES, 5.0 + number)
        assert rate.asked(late, 5.5 + number) == expected


def test_the_filmed_pictures_are_tried_after_twenty_seconds_with_spare_and_else_after_the_longest_time() -> None:
    for carried_in_s, tried_s in ((0.32, 20.0), (0.33, 320.0)):  # 102 and 99 kbit/s, of which 50 are sent
        rate = slowed()
        rate.answered(SMALL_BYTES, 0.0)
        rate.asked(NONE, carried_in_s)
        for now_s in (5.0, 10.0, 15.0, 20.0, *(float(each) for each in range(24, 321, 4))):
            rate.answered(100, now_s)
            if now_s <= tried_s:
                assert rate.asked(NONE, now_s) == SMALLEST
        rate.answered(100, tried_s + 0.01)
        assert rate.asked(NONE, tried_s + 0.01) is None


def test_each_try_in_vain_doubles_the_time_to_the_next_one_and_a_minute_of_filmed_pictures_proves_the_link() -> None:
    rate, now_s = slowed(), 0.0
    waits = list[float]()
    for _ in range(6):
        began_s = now_s
        rate.answered(SMALL_BYTES, now_s)
        rate.asked(NONE, now_s + 0.1)
        while rate.asked(NONE, now_s) is not None:
            rate.answered(100, now_s)
            now_s += 0.5
        waits.append(now_s - began_s)
        rate.answered(FULL_BYTES, now_s)
        now_s += 2.0
        assert rate.asked(LATE, now_s) == SMALLEST
    assert waits == [20.5, 40.5, 80.5, 160.5, 320.5, 320.5]
    for proven_s, again_s in ((60.0, 320.0), (60.01, 20.0)):
        rate = slowed()
        rate._try_s = 320.0
        rate._change(None, 0.0)
        rate.answered(100, proven_s)
        assert rate.asked(NONE, proven_s) is None
        assert rate._try_s == again_s


def test_a_camera_that_gives_nothing_for_five_seconds_is_not_asked_again_until_its_time() -> None:
    rate = slowed()
    assert rate.asked(NONE, 5.0) == SMALLEST
    assert rate.asked(NONE, 5.01) is None
    for now_s, expected in ((25.0, None), (25.01, SMALLEST)):
        rate.answered(FULL_BYTES, now_s - 2)
        assert rate.asked(LATE, now_s) == expected
