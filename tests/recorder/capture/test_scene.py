"""The drawn porch tells the truth about itself."""

from __future__ import annotations

import numpy as np

from agent.core.timebase import NS_PER_MS, NS_PER_S
from agent.recorder.capture.camera_scripted import TWO_VISITS, PorchScene, Visit

VISIT = Visit(from_s=1.0, walk_s=2.0, stand_s=1.5)


def test_something_moves_exactly_when_the_scene_says_so() -> None:
    scene = PorchScene(320, 180, [VISIT], noise=0)
    wrong = []
    before = scene.picture(0, 0)
    for number in range(1, 85):
        offset_ns = number * 100 * NS_PER_MS
        picture = scene.picture(offset_ns, number)
        if bool((picture != before).any()) != scene.is_moving(offset_ns):
            wrong.append(offset_ns / NS_PER_S)
        before = picture
    assert wrong == []


def test_the_truth_as_intervals() -> None:
    scene = PorchScene(64, 36, [VISIT])
    assert scene.motion() == ((NS_PER_S, 3 * NS_PER_S), (9 * NS_PER_S // 2, 13 * NS_PER_S // 2))


def test_outside_of_visits_there_is_the_empty_porch_and_noise() -> None:
    quiet, noisy = PorchScene(320, 180, [VISIT], noise=0), PorchScene(320, 180, [VISIT], noise=2)
    assert np.array_equal(quiet.picture(0, 0), quiet.picture(30 * NS_PER_S, 300))
    difference = noisy.picture(0, 0).astype(int) - quiet.picture(0, 0)
    assert 1 < difference.std() < 3


def test_a_visitor_is_of_a_persons_size_and_stands_out() -> None:
    scene = PorchScene(320, 180, [VISIT], noise=0)
    changed = np.abs(scene.picture(3 * NS_PER_S, 0).astype(int) - scene.picture(0, 0)).max(axis=2) > 25
    rows, columns = np.nonzero(changed)
    assert 85 < np.ptp(rows) < 115
    assert 20 < np.ptp(columns) < 70


def test_the_same_script_gives_the_same_pictures() -> None:
    one, other = (PorchScene(160, 90, TWO_VISITS, seed=5) for _ in range(2))
    assert np.array_equal(one.picture(8 * NS_PER_S, 80), other.picture(8 * NS_PER_S, 80))
