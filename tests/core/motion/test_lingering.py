"""A visitor who comes slowly is told, and what stays or sways is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agent.core.motion.background import Background
from agent.core.motion.grids import Grids
from agent.core.motion.lingering import LingeringVisitor
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes import CellBox
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.zones import ZoneMap
from agent.core.timebase import BootNs, seconds

PERSON = np.s_[28:36, 33:36]


def boxes(
    draw: Callable[[int, np.ndarray], None], looks: int = 30, *, begins: int = 10, frames_per_s: float = 10.0
) -> list[CellBox | None]:
    """The answers to looks 16 frames apart at a bare wall on which `draw` draws from the look `begins` on."""
    grids = Grids(ZoneMap().rasterise(60, 80))
    passes = PurePasses(grids, 60, 80)
    background = Background(grids, passes, frames_per_s, MotionSettings())
    lingering = LingeringVisitor(grids, passes, MotionSettings())
    lingering.tune(frames_per_s, 16)
    lingering.begin(BootNs(0))
    grids.quick_threshold[:], grids.quick_mean[:] = 6, 100
    found = []
    for number in range(looks):
        grids.frame[:] = 100
        if number >= begins:
            draw(number, grids.frame)
        found.append(lingering.look(background, 16 * number, 16, BootNs(seconds(16 * number / frames_per_s))))
        grids.quick_mean[:] = grids.frame  # so slow that the background follows at once
    return found


def test_a_small_person_who_walks_towards_the_camera_is_told_within_four_looks() -> None:
    def person(number: int, frame: np.ndarray) -> None:
        frame[PERSON] = 150 + 20 * (number % 2)

    found = boxes(person)
    told = [number for number, box in enumerate(found) if box is not None]
    assert 12 <= told[0] <= 14
    left, top, right, bottom = found[told[0]] or (0, 0, 0, 0)
    assert (left, top) <= (33, 28)
    assert (right, bottom) >= (36, 36)


def test_the_first_seconds_after_the_learning_tell_nothing() -> None:
    def tree(number: int, frame: np.ndarray) -> None:
        frame[PERSON] = 150 + 20 * (number % 2)

    found = boxes(tree, begins=1)
    assert not any(found[:7])  # 3 looks from 8 s on
    assert found[7]


@pytest.mark.parametrize(("frames_per_s", "looks"), [(5.0, 3), (8.0, 3), (10.0, 3), (12.5, 4), (15.0, 5)])
def test_a_visitor_lives_for_five_seconds_at_any_frame_rate(frames_per_s: float, looks: int) -> None:
    def person(number: int, frame: np.ndarray) -> None:
        frame[PERSON] = 150 + 20 * (number % 2)

    found = boxes(person, begins=20, frames_per_s=frames_per_s)
    told = [number for number, box in enumerate(found) if box is not None]
    assert told[0] == 20 + looks - 1
    assert looks * 16 / frames_per_s >= 4.8


def test_a_parcel_is_not_told() -> None:
    def parcel(_number: int, frame: np.ndarray) -> None:
        frame[PERSON] = 150

    assert not any(boxes(parcel))


def test_something_smaller_than_the_smallest_person_is_not_told() -> None:
    def cat(number: int, frame: np.ndarray) -> None:
        frame[30:32, 30:32] = 150 + 20 * (number % 2)

    assert not any(boxes(cat))


@pytest.mark.parametrize("period", [2, 3])
def test_trees_in_the_wind_all_over_the_picture_are_not_told(period: int) -> None:
    def trees(number: int, frame: np.ndarray) -> None:
        frame[:30:2] = 150 + 20 * (number % period)

    assert not any(boxes(trees))


def test_a_visitor_of_a_minute_ago_no_longer_compares() -> None:
    def person(number: int, frame: np.ndarray) -> None:
        frame[PERSON] = 150 + 20 * (number % 2) * (number < 14)

    assert not any(boxes(person, looks=80)[16:])


def test_what_lives_in_another_light_than_before_is_not_compared() -> None:
    def person_in_another_light(number: int, frame: np.ndarray) -> None:
        frame += 8
        frame[PERSON] = 150 + 20 * (number % 2)

    assert not any(boxes(person_in_another_light)[:16])
