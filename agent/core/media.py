"""What a camera hands over: encoded packets, whole GOPs, and the luma of the small stream; and a microphone, packets.

A packet is one access unit of H.264 or HEVC in Annex-B form (ISO/IEC 14496-10 and 23008-2, annex B), the form that
picamera2's encoders give to an `Output`.  Keyframe packets carry their parameter sets in front.  Times are the
*sensor's*, on the boot clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.core.timebase import NS_PER_S, BootNs

__all__ = [
    "EncodedPacket",
    "Gop",
    "Light",
    "Luma",
    "LumaFrame",
    "SoundDescription",
    "SoundPacket",
    "StreamDescription",
    "VideoCodec",
]

Luma = npt.NDArray[np.uint8]
"""(H, W) uint8, 0 black .. 255 white."""


class VideoCodec(enum.Enum):
    """What packets are coded in.  The value is FFmpeg's name of it."""

    H264 = "h264"
    HEVC = "hevc"


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """What the camera really gives (not what was asked of it)."""

    width_px: int
    height_px: int
    frames_per_s: float
    luma_width_px: int
    luma_height_px: int
    live: bool
    """True when time passes by itself (a camera): a slow reader loses frames.  False: the source waits for it."""
    luma_frames_per_s: float | None = None
    """Of the small stream, where that is not the same: a network camera of which only keyframes are decoded."""
    luma_steady: bool = True
    """False: small pictures may stay away though all is well (a decoder waits for a keyframe), so only packets tell
    whether the camera has stalled."""
    codec: VideoCodec = VideoCodec.H264


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One access unit.  `data` is immutable and owned by whoever holds it.

    Packets come in the order of decoding.  `sensor_ns` is when the picture was taken, so it is also the order of
    showing: with B-frames the two orders differ.
    """

    data: bytes
    keyframe: bool
    sensor_ns: BootNs
    masked_anew: bool = False
    """Of a keyframe: the picture is masked otherwise from here on."""


@dataclass(frozen=True, slots=True)
class Gop:
    """A keyframe and every packet up to the next one, in the order of decoding: the smallest piece that decodes alone.

    A long GOP comes in parts, so that what is filmed is written within seconds.  The first part `begins` with the
    keyframe, the last one `ends` it; only the parts up to one of them decode together.

    `end_ns` is the next keyframe's sensor time (of a part: when the first picture of the next part was taken), or the
    newest picture's plus one frame when the stream ended.
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
    """Per-frame exposure metadata, where the camera gives it (picamera2 does, a file does not)."""

    exposure_us: float | None = None
    analogue_gain: float | None = None
    lux: float | None = None


@dataclass(frozen=True, slots=True)
class LumaFrame:
    """Luma of the small stream.  `luma` is borrowed until the receiving call returns: copy it to keep it."""

    luma: Luma
    sensor_ns: BootNs
    light: Light = field(default_factory=Light)


@dataclass(frozen=True, slots=True)
class SoundDescription:
    """What a microphone's packets are: AAC-LC (ISO/IEC 14496-3), `frame_samples` of each channel to a packet.

    `config` is the AudioSpecificConfig.  `live`: see `StreamDescription`.
    """

    rate_hz: int
    config: bytes
    live: bool
    frame_samples: int = 1024
    channels: int = 1

    @property
    def packet_ns(self) -> int:
        """How long one packet sounds."""
        return self.frame_samples * NS_PER_S // self.rate_hz


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """One packet.  `heard_ns`: when the first of its samples was heard, on the boot clock, as pictures are dated."""

    data: bytes
    heard_ns: BootNs
