"""Every kind of disturbance, alone and with a visitor in it, on seeds the detector was tuned on.

That it also holds on others is measured by `python -m bench motion`, and written in `bench/motion/RESULTS.md`.
"""

from __future__ import annotations

import pytest

from agent.core.media import LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion_accuracy.scoring import Interval, events_in
from agent.core.timebase import BootNs, seconds
from bench.motion import scenes
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip
from tests.lengths import one_in

DISTURBED = [kind for kind in scenes.KINDS if kind not in scenes.UNDISTURBED]
SEEN = [kind for kind in scenes.KINDS if kind != "far at night"]  # half of those are missed: RESULTS.md


def events(clip: Clip) -> tuple[Interval, ...]:
    detector = Detector(HEIGHT_PX, WIDTH_PX, FRAMES_PER_S)
    frames = (LumaFrame(luma, BootNs(seconds(at / FRAMES_PER_S))) for at, luma in enumerate(clip.luma))
    return events_in(map(detector.step, frames), BootNs(0))


@pytest.mark.parametrize("kind", one_in(5, DISTURBED))
def test_what_disturbs_is_no_visitor(kind: str) -> None:
    assert events(scenes.draw(kind, 1, visitor=False, duration_s=25.0)) == ()


@pytest.mark.parametrize("kind", one_in(5, SEEN))
def test_a_visitor_is_one_event_whatever_disturbs(kind: str) -> None:
    clip = scenes.draw(kind, 2)
    (truth,) = clip.events
    seen = [event for event in events(clip) if event.touches(truth, slack_s=1.0)]
    assert len(seen) == 1
    assert seen[0].start_s - truth.start_s < 2.5
