"""The analysis of one camera's streams: what it keeps from one to the next."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from agent.core.events import EventSettings
from agent.core.media import StreamDescription
from agent.core.motion.parameters import MotionSettings
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.zones import ZoneMap
from agent.recorder.frame_analysis import FrameAnalysis
from agent.recorder.recorder_inputs import RecorderInputs

CAMERA = StreamDescription(1280, 720, 30.0, 320, 240, live=True)


def detectors_of(*streams: StreamDescription) -> list[Any]:
    """The detector that each of these streams gets, one after another."""
    settings: Any = SimpleNamespace(motion=MotionSettings(), events=EventSettings(), zones=ZoneMap())
    nothing: Any = SimpleNamespace()
    analysis = FrameAnalysis(settings, RecorderInputs(ZoneMap()), nothing, nothing, PurePasses)
    found = []

    def run() -> None:
        for stream in streams:
            analysis._begin_stream(stream)
            found.append(analysis._detector)

    thread = threading.Thread(target=run, name="analysis")
    thread.start()
    thread.join()
    return found


def test_a_camera_that_begins_again_keeps_the_scene_from_before() -> None:
    one, other = detectors_of(CAMERA, CAMERA)
    assert one is other


@pytest.mark.parametrize(
    "stream", [replace(CAMERA, luma_width_px=640, luma_height_px=360), replace(CAMERA, frames_per_s=15.0)]
)
def test_another_picture_or_rate_is_another_scene(stream: StreamDescription) -> None:
    one, other = detectors_of(CAMERA, stream)
    assert one is not other


def test_each_file_is_another_scene() -> None:
    file = replace(CAMERA, live=False)
    one, other = detectors_of(file, file)
    assert one is not other
