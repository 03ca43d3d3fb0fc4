"""A camera that presses the doorbell during its footage."""

from __future__ import annotations

from collections.abc import Callable

from agent.core.media import EncodedPacket, LumaFrame, StreamDescription
from agent.core.timebase import BootNs
from agent.ports import Camera, CameraEnd, CameraSink, MaskedArea

__all__ = ["RingingCamera"]


class RingingCamera:
    """Delivers the frames of `camera` and calls `press` once, `after_ns` of footage after the start."""

    def __init__(self, camera: Camera, after_ns: int, press: Callable[[], None]) -> None:
        self._camera = camera
        self._after_ns = after_ns
        self._press: Callable[[], None] | None = press
        self.lost = ""
        """The reason, in words, if the footage ended early; otherwise empty."""

    def open(self) -> StreamDescription:
        return self._camera.open()

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        self._sink = sink
        self._due_ns = first_ns + self._after_ns
        self._camera.start(self, first_ns)

    def request_keyframe(self) -> None:
        self._camera.request_keyframe()

    def mask(self, zones: MaskedArea) -> bool:
        return self._camera.mask(zones)

    def stop(self) -> None:
        self._camera.stop()

    # as the sink of the camera inside

    def packet(self, packet: EncodedPacket) -> None:
        self._sink.packet(packet)

    def luma(self, frame: LumaFrame) -> None:
        self._sink.luma(frame)
        if self._press is not None and frame.sensor_ns >= self._due_ns:
            press, self._press = self._press, None
            press()

    def ended(self, end: CameraEnd, detail: str) -> None:
        self.lost = detail if end is CameraEnd.LOST else ""
        self._sink.ended(end, detail)
