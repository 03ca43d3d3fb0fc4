"""The detector on real footage with labels.  The whole table is `python -m bench motion`."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.media import LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion_accuracy.scoring import Score, events_in, score, total
from agent.core.timebase import BootNs, seconds
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip, labelled, load

pytestmark = pytest.mark.footage

SAMPLED = ("onebyone", "intelcar", "suburb", "doorbell", "brightness", "tree", "wavingtrees", "hallmonitor")


@pytest.fixture(scope="session")
def clips(shared: Path) -> dict[str, Clip]:
    folder = shared / "clips"
    return {label.name: load(folder, label) for label in labelled(folder) if label.name in SAMPLED}


@pytest.fixture(scope="session")
def scores(clips: dict[str, Clip]) -> dict[str, Score]:
    return {name: judged(clip) for name, clip in clips.items()}


def judged(clip: Clip) -> Score:
    detector = Detector(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    samples = [
        detector.step(LumaFrame(luma, BootNs(seconds(number / FRAMES_PER_S)))) for number, luma in enumerate(clip.luma)
    ]
    fired = events_in(samples, BootNs(0))
    return score(clip.events, fired, duration_s=clip.duration_s, dont_care=clip.dont_care)


def test_events_on_real_footage_score_at_least_0_95(scores: dict[str, Score]) -> None:
    assert total(scores.values()).f1 >= 0.95


def test_no_visitor_of_the_real_footage_is_missed(scores: dict[str, Score]) -> None:
    assert {name: each.misses for name, each in scores.items() if each.misses} == {}


@pytest.mark.parametrize("name", ["tree", "brightness"])
def test_wind_and_changing_light_alone_do_not_fire(name: str, scores: dict[str, Score]) -> None:
    assert scores[name].false_alarms == 0
