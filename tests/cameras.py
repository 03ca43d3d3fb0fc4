"""Helpers of camera and media tests: a receiver that keeps everything, small videos on disk, GOPs without pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from agent.core.media import EncodedPacket, Gop, LumaFrame, StreamDescription, VideoCodec
from agent.core.segmenting import GopAssembler
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs
from agent.ports import Camera, CameraEnd

FIRST_NS = BootNs(7_000_000_000_123)
"""An odd boot-clock time, so that nothing works by starting at zero."""


@dataclass
class Receiver:
    """A `CameraSink` that keeps what it is given and calls `each_packet` for every packet."""

    each_packet: Callable[[EncodedPacket], None] = lambda packet: None
    packets: list[EncodedPacket] = field(default_factory=list)
    luma_ns: list[int] = field(default_factory=list)
    luma_kept: list[np.ndarray] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    """The coloured pictures of the first frames, if the camera gives any."""
    ends: list[tuple[CameraEnd, str]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    done: threading.Event = field(default_factory=threading.Event)
    late: int = 0
    """Deliveries after the end."""

    def packet(self, packet: EncodedPacket) -> None:
        self._noticed()
        self.packets.append(packet)
        self.each_packet(packet)

    def luma(self, frame: LumaFrame) -> None:
        self._noticed()
        self.luma_ns.append(frame.sensor_ns)
        self.luma_kept.append(frame.luma.copy())
        if frame.picture is not None and len(self.pictures) < 3:
            self.pictures.append(frame.picture())

    def ended(self, end: CameraEnd, detail: str) -> None:
        self.ends.append((end, detail))
        self.done.set()

    def _noticed(self) -> None:
        self.late += bool(self.ends)
        self.threads.add(threading.current_thread().name)


def play(camera: Camera) -> tuple[StreamDescription, Receiver]:
    """Run a camera to its own end."""
    receiver = Receiver()
    description = camera.open()
    camera.start(receiver, FIRST_NS)
    assert receiver.done.wait(60)
    camera.stop()
    return description, receiver


def gops_of(receiver: Receiver, frame_ns: int = 100 * NS_PER_MS) -> list[Gop]:
    return assembled(receiver.packets, GopAssembler(frame_ns))


def assembled(packets: Sequence[EncodedPacket], assembler: GopAssembler) -> list[Gop]:
    gops = [gop for packet in packets if (gop := assembler.push(packet))]
    last = assembler.finish()
    return [*gops, last] if last else gops


def make_video(
    path: Path,
    *,
    frames: int = 40,
    frames_per_s: int = 10,
    size_px: tuple[int, int] = (160, 120),
    codec: str = "mpeg4",
    times_ms: Callable[[int], int] | None = None,
    options: dict[str, str] | None = None,
    b_frames: int | None = None,
    keyframe_every: int | None = None,
) -> Path:
    """A short video: a bright square that wanders over texture.  `times_ms(n)` makes its frame rate vary."""
    width_px, height_px = size_px
    texture = np.random.default_rng(3).integers(60, 120, (height_px, width_px, 3), dtype=np.uint8)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=frames_per_s)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 2_000_000
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        if codec == "libx265":
            stream.codec_context.options = {"x265-params": f"log-level=none:bframes={b_frames or 0}:b-adapt=0:pools=1"}
        if keyframe_every is not None:
            stream.codec_context.gop_size = keyframe_every
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            pixels = texture.copy()
            left = number * 3 % (width_px - 24)
            pixels[40:64, left : left + 24] = 240
            picture = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            if times_ms is not None:
                picture.pts, picture.time_base = times_ms(number), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def filmed_by_camera(
    codec: VideoCodec = VideoCodec.H264, *, frames: int = 45, gop: int = 15, b_frames: int = 0, open_gops: bool = False,
    size_px: tuple[int, int] = (320, 180),
) -> tuple[StreamDescription, list[EncodedPacket]]:  # fmt: skip
    """Packets of a network camera's encoder, 15 pictures a second, in the order of decoding."""
    hevc = codec is VideoCodec.HEVC
    encoder = av.CodecContext.create("libx265" if hevc else "libx264", "w")
    width_px, height_px = size_px
    encoder.width, encoder.height, encoder.pix_fmt = width_px, height_px, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(15), Fraction(1, 15)
    encoder.thread_count = 1
    settings = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:b-adapt=0:repeat-headers=1"
    settings += f":open-gop={int(open_gops)}:annexb=1" + (":log-level=none:pools=1" if hevc else "")
    encoder.options = {"preset": "ultrafast", "x265-params" if hevc else "x264-params": settings}
    texture = np.random.default_rng(3).integers(60, 120, (height_px * 3 // 2, width_px), dtype=np.uint8)
    packets = []
    for number in range(frames + 1):
        pixels = texture.copy()
        pixels[height_px:] = 128
        left = number * 5 % (width_px - 30)
        pixels[height_px * 2 // 9 : height_px // 2, left : left + 24] = 240
        picture = av.VideoFrame.from_ndarray(pixels, format="yuv420p") if number < frames else None
        if picture is not None:
            picture.pts, picture.time_base = number, encoder.time_base
        for packet in encoder.encode(picture):
            shown_ns = round((packet.pts or 0) * NS_PER_S / 15)
            packets.append(EncodedPacket(bytes(packet), packet.is_keyframe, BootNs(FIRST_NS + shown_ns)))
    return StreamDescription(*size_px, 15.0, width_px, height_px & ~15, live=True, codec=codec), packets


def gop(start_ms: int, length_ms: int = 1000, frames: int = 4, size_bytes: int = 100) -> Gop:
    """A GOP without pixels, for logic that treats it as a whole."""
    step_ms = length_ms // frames
    return Gop(
        tuple(
            EncodedPacket(bytes(size_bytes), number == 0, BootNs((start_ms + number * step_ms) * NS_PER_MS))
            for number in range(frames)
        ),
        BootNs((start_ms + length_ms) * NS_PER_MS),
    )
