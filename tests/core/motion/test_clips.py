"""The detector on real footage with labels.  The whole table is `python -m bench motion`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from agent.core.media import LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion_accuracy.scoring import Score, events_in, score, total
from agent.core.timebase import BootNs, seconds
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip, labelled, load
from tests.lengths import LONG

pytestmark = pytest.mark.footage

SHARE = ("onebyone", "suburb", "doorbell", "brightness", "tree")
SAMPLED = (*SHARE, "intelcar", "wavingtrees", "hallmonitor")
ALL_OR_SHARE = pytest.mark.parametrize("names", [pytest.param(SAMPLED, marks=LONG), SHARE], ids=["all", "share"])


@pytest.fixture(scope="session")
def score_of(shared: Path) -> Callable[[str], Score]:
    folder = shared / "clips"
    labels = {label.name: label for label in labelled(folder)}
    return cache(lambda name: judged(load(folder, labels[name])))


def judged(clip: Clip) -> Score:
    detector = Detector(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    samples = [
        detector.step(LumaFrame(luma, BootNs(seconds(number / FRAMES_PER_S)))) for number, luma in enumerate(clip.luma)
    ]
    fired = events_in(samples, BootNs(0))
    return score(clip.events, fired, duration_s=clip.duration_s, dont_care=clip.dont_care)


@ALL_OR_SHARE
def test_events_on_real_footage_score_at_least_0_95(score_of: Callable[[str], Score], names: tuple[str, ...]) -> None:
    assert total(map(score_of, names)).f1 >= 0.95


@ALL_OR_SHARE
def test_no_visitor_of_the_real_footage_is_missed(score_of: Callable[[str], Score], names: tuple[str, ...]) -> None:
    assert {name: score_of(name).misses for name in names if score_of(name).misses} == {}


@pytest.mark.parametrize("name", ["tree", "brightness"])
def test_wind_and_changing_light_alone_do_not_fire(name: str, score_of: Callable[[str], Score]) -> None:
    assert score_of(name).false_alarms == 0
