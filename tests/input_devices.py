"""Input devices that exist everywhere: libavfilter's sources in the place of a V4L2 camera."""

from __future__ import annotations

import av
from av.container import InputContainer

from agent.recorder.capture.camera_v4l2 import V4l2Mode


def lavfi(graph: str, mode: V4l2Mode) -> InputContainer:
    """An `opener` for `V4l2Camera`: `graph` is a libavfilter graph, `realtime` in it paces it like a device."""
    return av.open(graph, mode="r", format="lavfi")
