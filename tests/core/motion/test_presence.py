"""A visitor who stands still is held; what they leave behind is not."""

from __future__ import annotations

import pytest

from agent.core.events import ClipBegins, EventBegins, EventEnds, EventMachine, EventSettings
from agent.core.media import LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion.sample import MotionSample, MotionState
from agent.core.timebase import NS_PER_S, BootNs, seconds
from bench.motion import scenes
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip


def samples_of(clip: Clip) -> list[MotionSample]:
    detector = Detector(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    frames = (LumaFrame(luma, BootNs(seconds(at / FRAMES_PER_S))) for at, luma in enumerate(clip.luma))
    return [detector.step(frame) for frame in frames]


@pytest.fixture(scope="module", params=[1, 213, 2000, 3002])
def standing(request: pytest.FixtureRequest) -> tuple[Clip, list[MotionSample]]:
    """The last three were lost once: an arm beside the body, a first look at the turn of a sway, a coat that faded."""
    clip = scenes.draw("standing", request.param)
    return clip, samples_of(clip)


def test_a_visitor_who_stands_for_forty_seconds_is_one_event_from_coming_to_leaving(
    standing: tuple[Clip, list[MotionSample]],
) -> None:
    clip, samples = standing
    machine = EventMachine(EventSettings(post_roll_s=1, merge_gap_s=2))
    effects = [effect for sample in samples for effect in machine.on_motion(sample)]
    begun = [effect.at_ns / NS_PER_S for effect in effects if isinstance(effect, EventBegins)]
    ended = [effect.at_ns / NS_PER_S for effect in effects if isinstance(effect, EventEnds)]
    (truth,) = clip.events
    assert begun == [pytest.approx(truth.start_s, abs=1)]
    assert ended == [pytest.approx(truth.end_s, abs=2)]


def test_who_stands_still_is_present_without_moving(standing: tuple[Clip, list[MotionSample]]) -> None:
    clip, samples = standing
    (truth,) = clip.events
    middle = [sample for sample in samples if truth.start_s + 10 < sample.sensor_ns / NS_PER_S < truth.end_s - 10]
    assert all(sample.present for sample in middle)
    assert sum(sample.moving for sample in middle) < len(middle) / 5


def test_a_parcel_left_at_the_door_is_no_visitor() -> None:
    clip = scenes.draw("parcel", 2)
    (truth,) = clip.events
    after = [sample for sample in samples_of(clip) if sample.sensor_ns / NS_PER_S > truth.end_s + 4]
    assert len(after) > 10
    assert not any(sample.present or sample.moving for sample in after)


def test_an_event_lasts_five_minutes_for_a_visitor_who_never_goes() -> None:
    machine = EventMachine(EventSettings(post_roll_s=10, merge_gap_s=30, longest_clip_s=3600))
    here = [
        MotionSample(
            BootNs(at_s * NS_PER_S), at_s == 0, 0.5 if at_s == 0 else 0.0, None, MotionState.QUIET, present=True
        )
        for at_s in range(600)
    ]
    effects = [effect for sample in here for effect in machine.on_motion(sample)]
    ends = [effect.at_ns / NS_PER_S for effect in effects if isinstance(effect, EventEnds)]
    assert ends == [300]
    assert sum(isinstance(effect, ClipBegins) for effect in effects) == 1


def test_presence_alone_begins_no_event() -> None:
    machine = EventMachine()
    assert machine.on_motion(MotionSample(BootNs(0), False, 0.0, None, MotionState.QUIET, present=True)) == ()
