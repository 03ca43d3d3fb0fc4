"""Encodes small pictures of live view, for viewers with a slow link (`core.live_rate`).

The pictures are the coloured ones that each camera makes of its frames (`LumaFrame.picture`), so they have its masks
and need no decoder. The camera's thread makes a picture if one is due, and leaves it here. The thread of live view
encodes it. If that thread is late, a newer picture takes its place.

A Raspberry Pi Zero 2 W has the time for one such encoder, so all viewers get the encoding of the slowest link.
"""

from __future__ import annotations

import threading
from typing import Final

import av
from av.video.reformatter import Interpolation

from agent.core.live_rate import SmallPicture
from agent.core.media import EncodedPacket, LumaFrame, Picture, StreamDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.recorder.capture.encoding import EncodingSettings, H264Encoder, describe

__all__ = ["SmallPictures"]

_QUALITY: Final = 28
_KEYFRAME_EVERY_NS: Final = 2 * NS_PER_S
_BUFFER_S: Final = 0.5
"""A keyframe may take the bits of this time. More would hold the picture up on a slow link."""


class SmallPictures:
    """`frame` from the camera's thread, `begin_again` from any, the rest from the thread of live view.

    `changed`: is notified of each picture.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._wanted: SmallPicture | None = None
        self._waiting: tuple[Picture, BootNs] | None = None
        self._due_ns = 0
        """Sensor time from which the next picture is taken."""
        self._encoder: H264Encoder | None = None
        self._description: StreamDescription | None = None

    def want(self, small: SmallPicture | None) -> None:
        """Encodes such pictures from now on, or none."""
        if small == self._wanted:
            return
        with self._changed:
            self._wanted, self._waiting, self._encoder = small, None, None

    def begin_again(self) -> None:
        """Drops the picture that waits. The next one becomes a keyframe."""
        with self._changed:
            self._waiting = None
            if self._encoder is not None:
                # A viewer who joins, or a newer mask, needs a picture that refers to none before it.
                self._encoder.request_keyframe()

    def frame(self, frame: LumaFrame) -> None:
        """Takes a picture of this frame if one is due."""
        wanted = self._wanted
        if wanted is None or frame.picture is None:
            return
        every_ns = NS_PER_S // wanted.frames_per_s
        ahead_ns = self._due_ns - frame.sensor_ns
        if 0 < ahead_ns <= every_ns:
            return
        # On average the wanted rate, although the camera's is seldom a multiple of it. After a pause, or if the times
        # of the sensor go back, it begins again.
        begin_ns = self._due_ns if -every_ns <= ahead_ns <= 0 else frame.sensor_ns - every_ns
        self._due_ns = begin_ns + every_ns
        picture = frame.picture()
        with self._changed:
            self._waiting = (picture, frame.sensor_ns)
            self._changed.notify_all()

    @property
    def is_waiting(self) -> bool:
        """With `changed` held."""
        return self._waiting is not None

    def encode(self) -> list[tuple[EncodedPacket, StreamDescription]]:
        """Returns the packet of the picture that waits, if there is one."""
        with self._changed:
            waiting, self._waiting = self._waiting, None
            wanted = self._wanted
        if waiting is None or wanted is None:
            return []
        picture, sensor_ns = waiting
        encoder, description = self._encoder_for(picture, wanted)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            description.width_px, description.height_px, "yuv420p", interpolation=Interpolation.AREA
        )
        return [(packet, description) for packet in encoder.encode(frame, sensor_ns)]

    def _encoder_for(self, picture: Picture, wanted: SmallPicture) -> tuple[H264Encoder, StreamDescription]:
        height_px, width_px = picture.shape[:2]
        description = describe(width_px, height_px, wanted.frames_per_s, widest_px=wanted.width_px, live=True)
        if self._encoder is None or self._description is None or description != self._description:
            settings = EncodingSettings(
                quality=_QUALITY,
                ceiling_kbps=wanted.kbps,
                buffer_s=_BUFFER_S,
                keyframe_every_ns=_KEYFRAME_EVERY_NS,
            )
            self._encoder, self._description = H264Encoder(description, settings), description
        return self._encoder, self._description
