"""The recipes of footage: no camera is both tuned on and reported on."""

from __future__ import annotations

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
