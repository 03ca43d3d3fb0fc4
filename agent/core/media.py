"""The data that a camera delivers (encoded packets, whole GOPs, luma of the small stream), and a microphone's packets.

A packet is one access unit of H.264 or HEVC in Annex-B form (ISO/IEC 14496-10 and 23008-2, annex B), the form that
picamera2's encoders give to an `Output`. Keyframe packets begin with their parameter sets. Times are the *sensor's*, on
the boot clock.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from agent.core.timebase import NS_PER_S, BootNs

if TYPE_CHECKING:  # programs without a camera, such as the desk's commands, start without numpy
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "EncodedPacket",
    "Gop",
    "Light",
    "Luma",
    "LumaFrame",
    "Picture",
    "SoundDescription",
    "SoundPacket",
    "StreamDescription",
    "VideoCodec",
]

Luma: TypeAlias = "npt.NDArray[np.uint8]"
"""(H, W) uint8, 0 black .. 255 white."""

Picture: TypeAlias = "npt.NDArray[np.uint8]"
"""(H, W, 3) uint8: red, green, blue."""


class VideoCodec(enum.Enum):
    """The codec of the packets. The value is FFmpeg's name."""

    H264 = "h264"
    HEVC = "hevc"


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """The camera's actual properties, not the requested ones."""

    width_px: int
    height_px: int
    frames_per_s: float
    luma_width_px: int
    luma_height_px: int
    live: bool
    """True for a camera: a slow reader loses frames. False: the source waits for the reader."""
    luma_frames_per_s: float | None = None
    """Frame rate of the small stream if it differs, for example if only keyframes of a network camera are decoded."""
    luma_steady: bool = True
    """False: small pictures may be missing although the camera works (a decoder waits for a keyframe), so only packets
    show a stall."""
    codec: VideoCodec = VideoCodec.H264


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One access unit. `data` is immutable.

    Packets come in the order of decoding. `sensor_ns` is the time of recording and so the order of presentation. With
    B-frames the two orders differ.
    """

    data: bytes
    keyframe: bool
    sensor_ns: BootNs
    masked_anew: bool = False
    """For a keyframe: the privacy mask changes with this picture."""


@dataclass(frozen=True, slots=True)
class Gop:
    """A keyframe and every packet up to the next one, in the order of decoding: the smallest piece that decodes alone.

    A long GOP comes in parts, so that footage is written within seconds. The first part `begins` with the keyframe, and
    the last one `ends` the GOP. A part decodes only together with all earlier parts.

    `end_ns` is the next keyframe's sensor time. For a part it is the time of the next part's first picture. At the end
    of the stream it is the newest picture's time plus one frame.
    """

    packets: tuple[EncodedPacket, ...]
    end_ns: BootNs
    begins: bool = True
    ends: bool = True

    @property
    def start_ns(self) -> BootNs:
        return self.packets[0].sensor_ns if self.begins else min(packet.sensor_ns for packet in self.packets)

    @property
    def size_bytes(self) -> int:
        return sum(len(packet.data) for packet in self.packets)


@dataclass(frozen=True, slots=True)
class Light:
    """Metadata of each frame, if the camera gives it (picamera2 does, a file does not)."""

    lux: float | None = None


@dataclass(frozen=True, slots=True)
class LumaFrame:
    """Luma of the small stream.  `luma` is borrowed until the receiving call returns: copy it to keep it."""

    luma: Luma
    sensor_ns: BootNs
    light: Light = field(default_factory=Light)
    picture: Callable[[], Picture] | None = None
    """Makes a coloured picture of the same moment, larger than the small stream. None if the camera cannot. It costs
    milliseconds, so ask only for pictures that are needed. The camera's own function is borrowed like `luma`."""


@dataclass(frozen=True, slots=True)
class SoundDescription:
    """Properties of a microphone's packets: AAC-LC (ISO/IEC 14496-3), with `frame_samples` of each channel in a packet.

    `config` is the AudioSpecificConfig. `live`: see `StreamDescription`.
    """

    rate_hz: int
    config: bytes
    live: bool
    frame_samples: int = 1024
    channels: int = 1

    @property
    def packet_ns(self) -> int:
        """Duration of one packet."""
        return self.frame_samples * NS_PER_S // self.rate_hz


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """One packet.  `heard_ns`: when the first of its samples was heard, on the boot clock, as pictures are dated."""

    data: bytes
    heard_ns: BootNs
