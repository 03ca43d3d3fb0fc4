"""A person who walks is confirmed. Flying things are ignored, and small things come later."""

from __future__ import annotations

import pytest

from agent.core.motion.confirming import MotionConfirmation
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import CellBox, LightSums, MotionRegion

THING = LightSums(
    cells=40, gradients=70, energy_now=10**8, energy_before=10**6, shared=0, roughness=10**6, difference=1
)
"""It hides whatever is behind it."""

PALE = LightSums(
    cells=400, gradients=700, energy_now=0, energy_before=0, shared=0, roughness=0, difference=400 * 97 * 64
)
"""A factor e brighter than a background without structure; `roughness` says how smoothly."""


def region(
    cells: int, mean_dwell: float, *, path: int = 12, dwell: int = 2, box: CellBox = (30, 20, 34, 28), settled: int = 0
) -> MotionRegion:
    return MotionRegion(box, cells, path, dwell, round(mean_dwell * cells), settled, 0, THING)


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
) -> list[CellBox]:
    return confirming.visitors(regions, frame, dark=dark, smoothed=smoothed, raining=raining)


@pytest.mark.parametrize("dark", [False, True])
def test_who_walks_is_confirmed_at_once_when_large_enough(dark: bool) -> None:
    walker = region(40, 2.2, dwell=4)
    assert verdict(judge(), walker, dark=dark) == [walker.box]


@pytest.mark.parametrize("dark", [False, True])
def test_what_moves_by_its_own_length_in_every_frame_flies(dark: bool) -> None:
    judging, moth = judge(), region(40, 1.15, path=30)
    assert [verdict(judging, moth, frame=number, dark=dark) for number in (100, 102, 104)] == [[], [], []]


def test_a_car_that_fills_a_tenth_of_the_picture_may_be_as_fast_as_it_likes() -> None:
    car = region(480, 1.1, box=(0, 30, 40, 44))
    assert verdict(judge(), car) == [car.box]


def test_a_slow_camera_sees_the_same_walk_dwell_for_less() -> None:
    walker = region(40, 1.2)
    assert verdict(judge(10.0), walker) == []
    assert verdict(judge(5.0), walker) == [walker.box]


@pytest.mark.parametrize(("cells", "dark"), [(10, False), (25, True)])
def test_a_small_thing_has_to_pass_twice(cells: int, dark: bool) -> None:
    judging, small = judge(), region(cells, 1.6)
    moved = small._replace(box=(33, 20, 37, 28))
    assert verdict(judging, small, frame=100, dark=dark) == []
    assert verdict(judging, moved, frame=103, dark=dark) == [moved.box]


@pytest.mark.parametrize(
    ("box", "frame"), [((50, 20, 54, 28), 103), ((30, 20, 34, 28), 107)], ids=["elsewhere", "too late"]
)
def test_another_small_thing_is_not_the_second_time(box: CellBox, frame: int) -> None:
    judging, small = judge(), region(10, 1.6)
    verdict(judging, small, frame=100)
    assert verdict(judging, small._replace(box=box), frame=frame) == []


def test_a_new_scene_forgets_what_was_likely() -> None:
    judging, small = judge(), region(10, 1.6)
    verdict(judging, small, frame=100)
    judging.forget()
    assert verdict(judging, small, frame=101) == []


def test_in_rain_once_is_enough() -> None:
    small = region(10, 1.6)
    assert verdict(judge(), small, raining=True) == [small.box]


LYING = (30, 20, 38, 24)


@pytest.mark.parametrize(
    "doubtful", [region(40, 1.6, path=11), region(40, 1.6, box=LYING)], ids=["briefly tracked", "lying"]
)
def test_in_the_dark_a_lamp_is_suspected_unless_gain_had_to_be_turned_up(doubtful: MotionRegion) -> None:
    doubtful = doubtful._replace(longest_dwell=3)
    assert verdict(judge(), doubtful, dark=True) == []
    assert verdict(judge(), doubtful, dark=True, smoothed=True) == [doubtful.box]
    assert verdict(judge(), doubtful) == [doubtful.box]


def test_scenery_and_what_is_too_small_for_its_zone_are_no_visitors() -> None:
    assert verdict(judge(), region(40, 2.2, settled=21)) == []
    assert verdict(judge(), region(40, 2.2)._replace(smallest_cells=41)) == []


def test_a_smoothed_grid_makes_a_coat_smooth_but_not_as_smooth_as_light() -> None:
    coat, lit = (
        region(400, 2.2)._replace(light=PALE._replace(roughness=round(9 * share * PALE.difference)))
        for share in (0.1, 0.03)
    )
    assert verdict(judge(), coat) == []
    assert verdict(judge(), coat, smoothed=True) == [coat.box]
    assert verdict(judge(), lit, smoothed=True) == []
