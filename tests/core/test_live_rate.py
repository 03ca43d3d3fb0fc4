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
