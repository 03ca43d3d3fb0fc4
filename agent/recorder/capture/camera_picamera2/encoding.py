"""The H.264 encoders of a Pi camera, and the short queue for their packets."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from agent.core.media import EncodedPacket
from agent.core.timebase import BootNs
from agent.errors import DeviceError
from agent.platform.system_clock import boot_ahead_ns

__all__ = ["EncoderChoice", "EncoderTap", "make_encoder"]

_QUEUED_PACKETS: Final = 64
"""Four seconds at 15 frames a second: a sink that is later than that has lost them anyway."""
_HARDWARE_ENCODER: Final = Path("/dev/video11")


@dataclass(slots=True)
class EncoderChoice:
    """Which encoder the next attempt takes.  Shared by the attempts of one process."""

    hardware: bool
    why_not: str = ""

    def give_up_hardware(self, why: str) -> None:
        self.hardware, self.why_not = False, why


def make_encoder(choice: EncoderChoice, bits: int, rate: int) -> Any:
    """Returns picamera2's encoder for `bits` and `rate` frames a second. Raises `DeviceError` if there is none."""
    if not choice.hardware:
        return _software_encoder(bits, rate)
    if not _HARDWARE_ENCODER.exists():
        raise DeviceError("The board's H.264 encoder is missing.", remedy="It goes on in software, smaller.")
    from picamera2.encoders import H264Encoder

    return H264Encoder(bitrate=bits, repeat=True, iperiod=rate, framerate=rate, profile="high")


def _software_encoder(bits: int, rate: int) -> Any:
    """Returns picamera2's libav encoder with a replaced encoding step.

    picamera2 0.3.38 asks PyAV for a keyframe by a letter, which PyAV refuses since version 15: the first request would
    end the camera's thread. The replaced step also catches every other error. The encoder then falls silent, and the
    delivery thread treats it as stalled.
    """
    import av
    from av.video.frame import PictureType
    from picamera2 import MappedArray
    from picamera2.encoders import LibavH264Encoder

    class Software(LibavH264Encoder):  # type: ignore[misc] # picamera2 has no types
        _key_frames_generated: int

        def _encode(self, stream: Any, request: Any) -> None:
            try:
                with MappedArray(request, stream, write=False) as mapped:
                    picture = av.VideoFrame.from_numpy_buffer(mapped.array, self._av_input_format, width=self.width)
                    picture.pts = self._timestamp(request)
                    if self._key_frames_requested > self._key_frames_generated:
                        self._key_frames_generated = self._key_frames_requested
                        picture.pict_type = PictureType.I
                    # x264 without look-ahead has read the picture by the time it returns, so the picture can be
                    # released.
                    packets = self._stream.encode(picture)
                for packet in packets:
                    self.outputframe(bytes(packet), packet.is_keyframe, timestamp=packet.pts, packet=packet)
            except (av.error.FFmpegError, ValueError, TypeError, RuntimeError) as error:
                structlog.get_logger("camera").warning("picture_not_encoded", error=type(error).__name__)

    encoder = Software(bitrate=bits, repeat=True, iperiod=rate, framerate=rate, profile="high")
    encoder.threads = 1  # frame threads would hold a picture back for each
    return encoder


@dataclass(slots=True)
class EncoderTap:
    """Takes packets from the encoder's thread: bounded, the rest of a GOP is dropped with its first lost packet."""

    _packets: deque[EncodedPacket] = field(default_factory=deque)
    _encoder: Any = None
    _skipping: bool = False
    _overflow: int = 0
    _shift_ns: int = field(default_factory=lambda: boot_ahead_ns(time.CLOCK_MONOTONIC))

    def listen_to(self, encoder: Any) -> None:
        self._encoder = encoder

    def output(self) -> Any:
        """An `Output` of picamera2's that feeds this."""
        from picamera2.outputs import Output

        tap = self

        class Outlet(Output):  # type: ignore[misc] # picamera2 has no types
            def outputframe(
                self,
                frame: bytes,
                keyframe: bool = True,
                timestamp: int = 0,
                packet: Any = None,  # noqa: ARG002 - None with the hardware's encoder, and the same bytes otherwise
                audio: bool = False,
            ) -> None:
                if not audio:
                    tap.put(bytes(frame), keyframe, timestamp)

        return Outlet()

    def put(self, data: bytes, keyframe: bool, timestamp_us: int) -> None:
        """`timestamp_us` counts from the encoder's first frame."""
        first_us = self._encoder.firsttimestamp or 0
        # On the encoder's thread, which must not wait. A GOP with a hole does not decode, so its rest goes, too.
        self._skipping = (self._skipping and not keyframe) or len(self._packets) >= _QUEUED_PACKETS
        if self._skipping:
            self._overflow += 1
            return
        self._packets.append(EncodedPacket(data, keyframe, self.boot_ns((first_us + timestamp_us) * 1000)))

    def take(self) -> list[EncodedPacket]:
        taken = []
        while self._packets:
            taken.append(self._packets.popleft())
        return taken

    def put_back(self, packets: list[EncodedPacket]) -> None:
        self._packets.extendleft(reversed(packets))

    def take_overflow(self) -> int:
        overflow, self._overflow = self._overflow, 0
        return overflow

    def boot_ns(self, sensor_ns: int) -> BootNs:
        """To the microsecond, as the encoder keeps it, so that a frame's luma and packet have one time."""
        return BootNs(sensor_ns // 1000 * 1000 + self._shift_ns)
