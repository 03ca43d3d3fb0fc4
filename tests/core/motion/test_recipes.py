"""The recipes of footage: no camera is both tuned on and reported on."""

from __future__ import annotations

from agent.core.motion_accuracy.scoring import Score
from bench.motion import heldout
from bench.motion.heldout import Judged
from bench.motion.recipes import SPLITS, recipes


def test_each_source_belongs_to_one_split() -> None:
    splits = {recipe.source: set[str]() for recipe in recipes()}
    for recipe in recipes():
        splits[recipe.source].add(recipe.split)
    assert {source for source, found in splits.items() if len(found) > 1} == set()
    assert {recipe.split for recipe in recipes()} == set(SPLITS)


def test_labels_lie_within_their_clip_and_do_not_cross() -> None:
    for recipe in recipes():
        for interval in (*recipe.events, *recipe.dont_care):
            assert 0 <= interval.start_s < interval.end_s <= recipe.duration_s, recipe.name
        for event in recipe.events:
            for excused in recipe.dont_care:
                assert min(event.end_s, excused.end_s) <= max(event.start_s, excused.start_s), recipe.name


def test_an_interval_draws_cameras_not_clips() -> None:
    """Ten clips of one camera are right, the one of another is wrong: a half of the draws has one camera twice."""
    rows = [Judged(str(number), "a", Score(1, 0, 0, 10.0)) for number in range(10)]
    rows.append(Judged("wrong", "b", Score(0, 1, 0, 10.0)))
    assert heldout.interval(rows) == (0.0, 1.0)
    assert heldout.interval(rows[:10]) == (1.0, 1.0)


def test_a_set_that_is_measured_alone_stands_beside_the_others() -> None:
    before = {"clips": {"latest": 1, "tune": 2}, "ablation": {"everything": 3}}
    found = heldout.merged(before, {"clips": {"once": 4}})
    assert found == {"clips": {"once": 4, "latest": 1, "tune": 2}, "ablation": {"everything": 3}}
    assert list(found["clips"]) == ["once", "latest", "tune"]
