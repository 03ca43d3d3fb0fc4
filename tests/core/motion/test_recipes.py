"""The recipes of footage: no camera is both tuned on and reported on."""

from __future__ import annotations

import json
from pathlib import Path

from agent.core.motion_accuracy.scoring import Score
from bench.motion import heldout
from bench.motion.heldout import Judged
from bench.motion.recipes import BACKGROUNDS, FOR_ONE_LOOK, SPLITS, recipes

LABELS_FOOTAGE = Path(heldout.__file__).parents[1] / "labels_footage.json"


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


def test_a_set_for_one_look_is_of_repositories_that_no_detector_has_seen() -> None:
    looked_at = {each.get("repository") for each in json.loads(LABELS_FOOTAGE.read_text("utf-8"))}
    for split in SPLITS:
        here = {recipe.repository for recipe in recipes() if recipe.split == split}
        if split in FOR_ONE_LOOK:
            assert here & looked_at == set(), split
        looked_at |= here


def test_films_are_drawn_on_no_scene_of_a_set_for_one_look() -> None:
    assert BACKGROUNDS == ("validate", "test", "fresh", "latest")


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
