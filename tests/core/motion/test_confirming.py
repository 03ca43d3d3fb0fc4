"""A person who walks is confirmed. Flying things are ignored, and small things come later."""

from __future__ import annotations

import math

import pytest

from agent.core.media import LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import CellBox, MotionRegion
from agent.core.motion.preparing import NoiseReduction
from agent.core.motion.tracking import MotionConfirmation
from agent.core.timebase import NS_PER_S, BootNs, seconds
from bench.motion import doorsteps
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX


def region(
    cells: int, mean_dwell: float, *, path: int = 12, dwell: int = 2, box: CellBox = (30, 20, 34, 28), settled: int = 0
) -> MotionRegion:
    return MotionRegion(box, cells, path, dwell, round(mean_dwell * cells), settled, 0)


def judge(frames_per_s: float = 10.0) -> MotionConfirmation:
    confirming = MotionConfirmation(MotionSettings())
    confirming.tune(frames_per_s)
    return confirming


def verdict(
    confirming: MotionConfirmation,
    *regions: MotionRegion,
    frame: int = 100,
    dark: bool = False,
    smoothed: bool = False,
    raining: bool = False,
    known: bool = False,
) -> list[CellBox]:
    clearing = NoiseReduction()
    clearing.smooths, clearing.rains = smoothed, raining
    return confirming.visitors(regions, frame, clearing, dark=dark, known=known)


@pytest.mark.parametrize("dark", [False, True])
def test_who_walks_is_confirmed_at_once_when_large_enough(dark: bool) -> None:
    walker = region(80 if dark else 40, 2.2, dwell=4)
    assert verdict(judge(), walker, dark=dark) == [walker.box]


@pytest.mark.parametrize("dark", [False, True])
def test_what_moves_by_its_own_length_in_every_frame_flies(dark: bool) -> None:
    judging, moth = judge(), region(40, 1.15, path=30)
    assert [verdict(judging, moth, frame=number, dark=dark) for number in (100, 102, 104)] == [[], [], []]


def test_a_car_that_fills_a_tenth_of_the_picture_may_be_as_fast_as_it_likes() -> None:
    car = region(480, 1.1, box=(0, 30, 40, 44))
    assert verdict(judge(), car) == [car.box]


def test_a_large_thing_that_crosses_within_a_second_need_not_be_tracked_for_long() -> None:
    car = region(300, 1.3, path=6, box=(0, 22, 27, 43))
    assert verdict(judge(), car) == [car.box]
    assert verdict(judge(), car._replace(longest_dwell=1)) == []


def test_a_motorbike_that_leaves_its_own_place_in_every_frame_is_no_insect() -> None:
    motorbike = region(85, 1.05, path=6, box=(21, 32, 31, 48))
    assert verdict(judge(), motorbike) == [motorbike.box]
    assert verdict(judge(), motorbike._replace(cells=75, total_dwell=79)) == []


@pytest.mark.parametrize("dark", [False, True])
def test_two_insects_whose_ways_touch_fly_too(dark: bool) -> None:
    two = region(67, 1.22, path=5, dwell=3, box=(10, 23, 19, 43))
    assert verdict(judge(8.0), two, dark=dark, smoothed=dark) == []
    assert verdict(judge(8.0), two._replace(cells=85), dark=dark, smoothed=dark) == [two.box]


def test_a_slow_camera_sees_the_same_walk_dwell_for_less() -> None:
    walker = region(40, 1.2)
    assert verdict(judge(10.0), walker) == []
    assert verdict(judge(5.0), walker) == [walker.box]


@pytest.mark.parametrize(("frames_per_s", "steps"), [(3.0, 6), (5.0, 6), (8.0, 6), (10.0, 6), (12.5, 7), (15.0, 7)])
def test_a_slow_camera_asks_for_a_path_of_as_many_steps(frames_per_s: float, steps: int) -> None:
    assert judge(frames_per_s).least_path == steps


@pytest.mark.parametrize("frames_per_s", [5.0, 8.0, 10.0])
def test_under_a_lamp_a_small_thing_is_tracked_for_as_many_looks_at_any_frame_rate(frames_per_s: float) -> None:
    judging, streak = judge(frames_per_s), region(36, 1.3, path=11)
    assert verdict(judging, streak, dark=True, known=True) == []
    walker = streak._replace(longest_path=12)
    assert verdict(judging, walker, dark=True, known=True) == [walker.box]


def test_under_a_lamp_what_stays_on_its_cells_is_no_insect() -> None:
    """Tones that an infrared filter has changed stay, too. So they must not be taken for a visitor who is known."""
    sitter = region(20, 3.2, path=8, dwell=6)
    for stays, known, told in ((3.2, False, [sitter.box]), (2.8, False, []), (3.2, True, [])):
        judging, thing = judge(), region(20, stays, path=8, dwell=6)
        verdict(judging, thing, frame=100, dark=True, known=known)
        assert verdict(judging, thing, frame=103, dark=True, known=known) == told


def test_at_night_a_visitor_who_is_known_need_not_pass_twice() -> None:
    arm = region(36, 1.6)
    assert verdict(judge(), arm, dark=True, known=True) == [arm.box]
    assert verdict(judge(), arm, dark=True) == []


@pytest.mark.parametrize(("cells", "dark"), [(10, False), (25, True), (79, True)])
def test_a_small_thing_has_to_pass_twice(cells: int, dark: bool) -> None:
    judging, small = judge(), region(cells, 1.6)
    moved = small._replace(box=(33, 20, 37, 28))
    assert verdict(judging, small, frame=100, dark=dark) == []
    assert verdict(judging, moved, frame=103, dark=dark) == [moved.box]


def cluttered(longest_path: int, frames_per_s: float = 10.0) -> MotionConfirmation:
    """After a minute in which the longest path of every second frame was this long."""
    confirming = judge(frames_per_s)
    for frame in range(0, 600, 2):
        confirming.learn_clutter(longest_path, frame)
    return confirming


def test_a_scene_that_sways_asks_for_longer_paths() -> None:
    twig, walker = region(40, 2.2, path=8, dwell=4), region(40, 2.2, path=20, dwell=4)
    assert verdict(judge(), twig) == [twig.box]
    assert verdict(cluttered(8), twig) == []
    assert verdict(cluttered(8), walker) == [walker.box]


def test_a_large_thing_must_only_come_further_than_the_sway() -> None:
    van = region(300, 2.2, path=10, dwell=4)
    assert verdict(cluttered(8), van) == [van.box]
    assert verdict(cluttered(8), van._replace(longest_path=7)) == []


def test_visitors_who_come_and_go_all_day_do_not_teach_clutter() -> None:
    walker = region(40, 2.2, path=7, dwell=4)
    assert verdict(cluttered(40), walker) == [walker.box]


def test_the_clutter_of_a_gust_is_forgotten() -> None:
    confirming, walker = cluttered(8), region(40, 2.2, path=7, dwell=4)
    confirming.learn_clutter(0, 2400)
    assert verdict(confirming, walker) == [walker.box]


def test_a_slow_visitor_is_not_refused_for_the_path_that_they_make_themselves() -> None:
    judging, told = judge(), []
    for frame in range(0, 60, 2):
        path = round(0.23 * frame)
        judging.learn_clutter(path, frame)
        if path >= judging.least_path:
            told += verdict(judging, region(15, 4.5, path=path, dwell=14), frame=frame)
    assert told


@pytest.mark.parametrize("frames_a_step", [1, 2])
def test_a_walker_is_compared_with_the_clutter_from_before_they_came(frames_a_step: int) -> None:
    judging, told = judge(), []
    for frame in range(60):
        path = frame // frames_a_step
        judging.learn_clutter(path, frame)
        if path >= judging.least_path and verdict(judging, region(40, 2.2, path=path, dwell=4), frame=frame):
            told.append(path)
    assert told[0] == judging.least_path


def test_in_rain_clutter_counts_as_it_is_now() -> None:
    judging, streak = judge(), region(40, 2.2, path=8, dwell=4)
    for frame in range(10):
        judging.learn_clutter(8, frame)
    assert verdict(judging, streak) == [streak.box]
    assert verdict(judging, streak, raining=True) == []


def test_after_many_visitors_the_next_one_need_not_come_further_than_they_did() -> None:
    car = region(83, 3.4, path=14, dwell=9)
    assert verdict(cluttered(16), car) == [car.box]


@pytest.mark.parametrize("frames_per_s", [5.0, 10.0, 25.0])
def test_streaks_of_rain_that_last_for_two_frames_are_clutter_at_any_frame_rate(frames_per_s: float) -> None:
    streak = region(20, 2.0, path=8)
    assert verdict(cluttered(8, frames_per_s), streak, raining=True) == []


def faint(x: float, y: float, path: int, cells: int = 4, smallest_cells: int = 0) -> MotionRegion:
    """A person of an eighth of the picture's height at night: a part of them shows, for a frame or two."""
    box = (round(x), round(y), round(x) + 2, round(y) + 3)
    return MotionRegion(box, cells, path, 1, cells, 0, smallest_cells)


def told(places: list[tuple[float, float]], frames_per_s: float = 10.0, smallest_cells: int = 0) -> bool:
    """Is a faint thing that is looked at five times a second, in these places, told as one that goes straight on?

    Its path is as long as those of insects are at most.
    """
    judging, looks = judge(frames_per_s), enumerate(places)
    step = frames_per_s / 5
    regions = [
        (round(at * step), faint(x, y, min(15, 6 + round(at * step)), 4, smallest_cells)) for at, (x, y) in looks
    ]
    answers = [judging.goes_straight(region, frame) for frame, region in regions]
    return True in answers


@pytest.mark.parametrize("frames_per_s", [5.0, 10.0, 15.0])
def test_a_faint_thing_that_goes_straight_on_is_a_walker(frames_per_s: float) -> None:
    assert told([(10 + 1.5 * at, 40 + at % 2) for at in range(12)], frames_per_s)


def test_a_faint_thing_that_turns_is_an_insect() -> None:
    assert not told([(10 + 1.5 * at, 40 + 4 * (at // 2 % 2)) for at in range(12)])


def test_a_faint_thing_that_sways_is_a_twig() -> None:
    assert not told([(10 + 5 * math.sin(1.2 * at), 40) for at in range(40)])


def test_a_faint_thing_that_gets_nowhere_is_no_walker() -> None:
    assert not told([(10 + 0.5 * at, 40) for at in range(40)])


def test_a_faint_thing_that_goes_by_leaps_is_no_walker() -> None:
    assert not told([(10 + 0.15 * at * at, 40) for at in range(12)])


def test_a_faint_thing_with_a_long_path_is_a_walker_of_whom_other_parts_show_each_time() -> None:
    judging, parts = judge(12.5), [(10 + 3 * at, 40 + 8 * (at % 2)) for at in range(9)]
    told = [judging.goes_straight(faint(x, y, 2 * at), 2 * at) for at, (x, y) in enumerate(parts)]
    assert told == [False] * 8 + [True]
    assert not judging.goes_straight(faint(40, 40, 20, smallest_cells=5), 20)


def test_the_smallest_person_of_a_zone_holds_for_what_goes_straight_on_too() -> None:
    walk = [(10 + 1.5 * at, 40.0) for at in range(12)]
    assert told(walk, smallest_cells=4)
    assert not told(walk, smallest_cells=5)


def test_a_person_of_a_tenth_of_the_picture_who_walks_by_at_night_is_told() -> None:
    film = doorsteps.film("small at night", 1, doorsteps.Props())
    (truth,) = film.events
    detector = Detector(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    frames = (LumaFrame(luma, BootNs(seconds(float(at_s)))) for luma, at_s in zip(film.luma, film.times_s, strict=True))
    moving_s = [sample.sensor_ns / NS_PER_S for sample in map(detector.step, frames) if sample.moving]
    assert moving_s
    assert all(truth.start_s < at_s < truth.end_s for at_s in moving_s)
