"""A camera that films the drawn porch: for tests, where the truth must be known, and for a demo without footage."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence

import av

from agent.core.media import StreamDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.ports import CameraEnd, CameraSink
from agent.recorder.capture.delivery_thread import Ending
from agent.recorder.capture.encoding import EncodingSettings, describe
from agent.recorder.capture.pipeline_camera import PipelineCamera
from agent.recorder.capture.scene import PorchScene, Visit

__all__ = ["TWO_VISITS", "ScriptedCamera", "Visit"]

TWO_VISITS = (Visit(from_s=6.0), Visit(from_s=52.0, walk_s=5.0, stand_s=2.0, coat=(150, 104, 46)))
"""The demo's script, 80 s long: two people, further apart than the default merge gap, so they are two events."""


class ScriptedCamera(PipelineCamera):
    """Implements `ports.Camera`.  `scene` holds the truth: `scene.motion()`, `scene.is_moving(offset_ns)`."""

    def __init__(
        self,
        visits: Sequence[Visit] = TWO_VISITS,
        *,
        duration_s: float = 80.0,
        size_px: tuple[int, int] = (960, 540),
        frames_per_s: int = 10,
        paced: bool = False,
        repeats: bool = False,
        settings: EncodingSettings | None = None,
        seed: int = 7,
    ) -> None:
        """`paced`: deliver in real time. In both cases the scene waits for its reader, so no frame is dropped.

        `repeats`: play the script again and again, until `stop`.
        """
        super().__init__("camera-scripted", settings)
        self.scene = PorchScene(*size_px, visits, seed=seed)
        self._frames = round(duration_s * frames_per_s)
        self._frames_per_s = frames_per_s
        self._size_px = size_px
        self._paced = paced
        self.repeats = repeats

    def open(self) -> StreamDescription:
        self._description = describe(*self._size_px, self._frames_per_s, widest_px=self._settings.widest_px, live=False)
        return self._description

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        pipeline = self._new_pipeline(sink)

        def deliver(stopping: threading.Event) -> Ending:
            began_ns = time.monotonic_ns()
            for number in itertools.count() if self.repeats else range(self._frames):
                offset_ns = number * NS_PER_S // self._frames_per_s
                wait_ns = began_ns + offset_ns - time.monotonic_ns() if self._paced else 0
                if stopping.wait(max(0, wait_ns) / NS_PER_S):
                    pipeline.flush()
                    return CameraEnd.STOPPED, "The camera was stopped."
                played = number % self._frames
                picture = self.scene.picture(played * NS_PER_S // self._frames_per_s, played)
                pipeline.feed(av.VideoFrame.from_ndarray(picture, format="bgr24"), BootNs(first_ns + offset_ns))
            pipeline.flush()
            return CameraEnd.END_OF_FOOTAGE, "The script has been played to its end."

        self._begin(pipeline, deliver, sink)
