"""The drawn scene as a camera: a trial doorbell films it for as long as it runs."""

from __future__ import annotations

import threading

from agent.config.settings import CameraConfig, CameraKind, Configuration
from agent.ports import CameraEnd
from agent.recorder import translation
from agent.recorder.capture.camera_scripted import ScriptedCamera
from tests.cameras import FIRST_NS, Receiver

FRAMES = 6


def test_a_scene_that_repeats_goes_on_until_it_is_stopped_and_its_time_never_goes_back() -> None:
    camera = ScriptedCamera(duration_s=FRAMES / 10, size_px=(160, 96), repeats=True)
    camera.open()
    enough = threading.Event()
    receiver = Receiver()
    receiver.each_packet = lambda _: enough.set() if len(receiver.luma_ns) >= 3 * FRAMES else None
    camera.start(receiver, FIRST_NS)
    assert enough.wait(60)
    camera.stop()
    assert receiver.luma_ns == sorted(set(receiver.luma_ns))
    assert [end for end, _ in receiver.ends] == [CameraEnd.STOPPED]


def test_a_doorbell_on_trial_repeats_the_scene_and_a_demo_plays_it_once() -> None:
    for realtime in (True, False):
        settings = CameraConfig(kind=CameraKind.SCRIPTED, realtime=realtime)
        camera = translation.make_camera(Configuration(camera=settings))
        assert isinstance(camera, ScriptedCamera)
        assert camera.repeats is realtime
