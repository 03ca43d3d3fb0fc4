"""A network camera, or any stream that PyAV opens: its GOPs taken over as they are, its luma from what is decoded.

An IP doorbell that is there already then works behind a Pi: the Pi encodes nothing, and decodes only

- the small stream, when `luma_url` names one (every frame of it: the detector at its best), or else
- the large stream's keyframes (one or so a second: a visitor is found a second later; the button is not affected).

Rules:
- H.264 only, for that is what a segment holds; anything else is refused at the start, with what to set in the camera.
- A packet's bytes are the camera's, turned into Annex-B where they come length-prefixed, parameter sets in front of
  every keyframe.  B-frames are refused: without them order is time.  What holds no picture is no packet of ours.
- A stream's clock is the camera's own, tied to ours by the arrivals (`core.arrivals`); times only ever grow.  A packet
  comes when the next one has begun, for that is how libavformat knows its end: so it lasted until then.
- Privacy masks cannot be burned into a stream that is not decoded: such a configuration is refused.
- The address may hold a password, so no message and no log line shows it whole.

Sources: RFC 2326 (RTSP), RFC 6184 (H.264 in RTP), ISO/IEC 14496-10 annex B.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import time
from collections.abc import Iterator
from typing import Final

import av
import cv2
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.video.stream import VideoStream

from agent.adapters.delivery import Delivery, Ending
from agent.adapters.encoding import luma_size
from agent.adapters.rtsp import host_of, opened, said
from agent.core.arrivals import ArrivalClock
from agent.core.media import EncodedPacket, Luma, LumaFrame, StreamDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import ConfigurationError, DeviceError, InternalError
from agent.ports import CameraEnd, CameraSink

__all__ = ["RtspCamera"]

_USUAL_RATE: Final = 15.0
_KEYFRAMES_PER_S: Final = 1.0
"""What most cameras do, and what the manual asks for."""
_QUEUED: Final = 128
_LOST_NS: Final = 2 * NS_PER_S
_LOOK_S: Final = 0.2
_FALL_NS: Final = NS_PER_S // 50
_STEADY_NS: Final = NS_PER_S // 3
_CATCHING_UP_NS: Final = 3 * NS_PER_S
_A_SLICE: Final = re.compile(rb"\x00\x00\x01[\x01-\x05\x21-\x25\x41-\x45\x61-\x65]")
"""The start of a NAL unit of the types 1 to 5: picture."""

_Arrival = EncodedPacket | LumaFrame | DeviceError


class RtspCamera:
    """Implements `ports.Camera`.  `live` false is for files and tests: read as fast as they are taken."""

    def __init__(
        self, url: str, luma_url: str | None = None, *, masked: bool = False, stall_s: float = 15.0, live: bool = True
    ) -> None:
        if masked:
            raise ConfigurationError(
                "A network camera's stream is kept as it comes, so no privacy mask can be burned into it.",
                remedy="Set the mask in the camera itself, or make the zone an 'exclude' zone.",
            )
        self._url, self._luma_url = url, luma_url
        self._stall_s = stall_s
        self._live = live
        self._main: InputContainer | None = None
        self._small: InputContainer | None = None
        self._description: StreamDescription | None = None
        self._delivery: Delivery | None = None
        self.dropped = 0
        """Packets and frames that came faster than they were taken."""

    def open(self) -> StreamDescription:
        """Raises `DeviceError`: not reachable, wrong password, no H.264 in it."""
        self._main = main = opened(self._url, self._stall_s)
        try:
            stream = _video_of(main, self._url)
            if self._luma_url is not None:
                self._small = opened(self._luma_url, self._stall_s)
                _video_of(self._small, self._luma_url, any_codec=True)
        except DeviceError:
            self._close()
            raise
        rate = float(stream.average_rate or stream.guessed_rate or _USUAL_RATE)
        width, height = luma_size(stream.width, stream.height)
        luma_rate = _KEYFRAMES_PER_S
        if self._small is not None:
            luma_rate = float(self._small.streams.video[0].average_rate or rate)
        self._description = StreamDescription(
            stream.width, stream.height, rate, width, height, live=self._live, luma_frames_per_s=luma_rate
        )
        return self._description

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        if self._main is None or self._description is None:
            raise InternalError("A camera was started before it was opened.")
        arrivals: queue.Queue[_Arrival] = queue.Queue(_QUEUED)
        stopped = threading.Event()
        description, small = self._description, self._small
        size_px = (description.luma_width_px, description.luma_height_px)
        tied_ns = None if self._live else first_ns
        clock = _Clock(tied_ns, round(NS_PER_S / description.frames_per_s))
        readers = [
            threading.Thread(
                target=self._read_main,
                args=(self._main, arrivals, stopped, clock, None if small else size_px),
                name="rtsp-read",
                daemon=True,
            )
        ]
        if small is not None:
            readers.append(
                threading.Thread(
                    target=self._read_small,
                    args=(
                        small,
                        arrivals,
                        stopped,
                        _Clock(tied_ns, round(NS_PER_S / (description.luma_frames_per_s or _USUAL_RATE))),
                        size_px,
                    ),
                    name="rtsp-luma",
                    daemon=True,
                )
            )
        self._main = self._small = None

        def deliver(stopping: threading.Event) -> Ending:
            for reader in readers:
                reader.start()
            try:
                return self._deliver(arrivals, sink, stopping)
            finally:
                stopped.set()
                _drain_until_gone(readers, arrivals, self._stall_s)

        self._delivery = Delivery("camera-rtsp", deliver, sink)
        self._delivery.start()

    def request_keyframe(self) -> None:
        """A camera's stream is its own: nothing to ask."""

    def stop(self) -> None:
        if self._delivery is not None:
            self._delivery.stop()
        else:
            self._close()

    def _close(self) -> None:
        for container in (self._main, self._small):
            if container is not None:
                container.close()
        self._main = self._small = None

    # --- Our thread

    def _deliver(self, arrivals: queue.Queue[_Arrival], sink: CameraSink, stopping: threading.Event) -> Ending:
        begun = False
        while not stopping.is_set():
            try:
                arrival = arrivals.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if isinstance(arrival, DeviceError):
                end = CameraEnd.LOST if self._live else CameraEnd.END_OF_FOOTAGE
                return end, str(arrival)
            if isinstance(arrival, LumaFrame):
                sink.luma(arrival)
            elif begun or arrival.keyframe:  # a stream may be joined in the middle of a GOP
                begun = True
                sink.packet(arrival)
        return CameraEnd.STOPPED, "The camera was stopped."

    # --- The readers' threads: each alone touches its container

    def _read_main(
        self,
        container: InputContainer,
        arrivals: queue.Queue[_Arrival],
        stopped: threading.Event,
        clock: _Clock,
        luma_px: tuple[int, int] | None,
    ) -> None:
        cause = "it ended its stream"
        with container:
            stream = container.streams.video[0]
            annexb = _AnnexB(stream)
            decoder = _KeyframeDecoder(luma_px) if luma_px else None
            try:
                for packet in container.demux(stream):
                    if stopped.is_set():
                        return
                    if packet.size == 0 or packet.pts is None or packet.time_base is None:
                        continue
                    if packet.dts is not None and packet.pts != packet.dts:
                        cause = (
                            "it sends B-frames: switch them off in the camera (H.264 profile Baseline, or B-frames 0)"
                        )
                        break
                    own_ns = round(packet.pts * packet.time_base * NS_PER_S)
                    if not clock.settled(own_ns):
                        continue
                    sensor_ns = clock.boot_ns(own_ns)
                    keyframe = packet.is_keyframe  # asked before the filter empties the packet
                    for data in annexb.of(packet):
                        self._hand_over(arrivals, EncodedPacket(data, keyframe, sensor_ns), stopped)
                        if decoder is not None and keyframe:
                            for luma in decoder.luma(data):
                                self._hand_over(arrivals, LumaFrame(luma, sensor_ns), stopped)
            except (av.error.FFmpegError, OSError) as error:
                cause = said(error)
        self._lost(arrivals, stopped, cause)

    def _read_small(
        self,
        container: InputContainer,
        arrivals: queue.Queue[_Arrival],
        stopped: threading.Event,
        clock: _Clock,
        size_px: tuple[int, int],
    ) -> None:
        cause = "its small stream ended"
        with container:
            container.streams.video[0].thread_type = "NONE"  # frame threads would hold pictures back
            try:
                for picture in container.decode(video=0):
                    if stopped.is_set():
                        return
                    if picture.pts is None or picture.time_base is None:
                        continue
                    own_ns = round(picture.pts * picture.time_base * NS_PER_S)
                    if clock.settled(own_ns):
                        luma = _luma_of(picture, size_px)
                        self._hand_over(arrivals, LumaFrame(luma, clock.boot_ns(own_ns)), stopped)
            except (av.error.FFmpegError, OSError) as error:
                cause = said(error)
        self._lost(arrivals, stopped, cause)

    def _lost(self, arrivals: queue.Queue[_Arrival], stopped: threading.Event, cause: str) -> None:
        words = DeviceError(
            f"The camera at {host_of(self._url)} stopped sending ({cause}).", remedy="Check its power and the network."
        )
        self._hand_over(arrivals, words, stopped)

    def _hand_over(self, arrivals: queue.Queue[_Arrival], arrival: _Arrival, stopped: threading.Event) -> None:
        """A live camera never waits: the newest is dropped, and with it its GOP, which the intake sees to."""
        while not stopped.is_set():
            try:
                return arrivals.put(arrival, timeout=None if isinstance(arrival, DeviceError) else _LOOK_S)
            except queue.Full:
                if self._live:
                    self.dropped += 1
                    return None
        return None


class _Clock:
    """Ties a stream's own times to the boot clock; what it gives only ever grows."""

    def __init__(self, first_ns: BootNs | None, frame_ns: int) -> None:
        self.first_ns = first_ns
        self._frame_ns = frame_ns
        self._tied = ArrivalClock(_LOST_NS)
        self._last_ns = 0
        self._begun_ns: int | None = None
        self._fell_ns = self._least_ns = 0

    def settled(self, own_ns: int) -> bool:
        """False while packets come that had been waiting for us: to tie the clock to those would date them all late.

        What waits comes faster than time passes, so the difference between arrival and own time falls until it is
        through.  A camera that never settles is taken as it is after `_CATCHING_UP_NS`.
        """
        if self.first_ns is not None or self._tied.tied:
            return True
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if self._begun_ns is None:
            self._begun_ns = self._fell_ns = now_ns
            self._least_ns = now_ns - own_ns
        if now_ns - own_ns < self._least_ns - _FALL_NS:
            self._least_ns, self._fell_ns = now_ns - own_ns, now_ns
        return now_ns - self._fell_ns > _STEADY_NS or now_ns - self._begun_ns > _CATCHING_UP_NS

    def boot_ns(self, own_ns: int) -> BootNs:
        if self.first_ns is None:
            now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._tied.arrived(own_ns, own_ns + self._frame_ns, BootNs(now_ns))
        elif not self._tied.tied:
            self._tied.arrived(own_ns, own_ns, self.first_ns)
        self._last_ns = max(self._last_ns + 1000, self._tied.boot_ns(own_ns))
        return BootNs(self._last_ns)


class _AnnexB:
    """Packets in the form of a segment: start codes, SPS and PPS in front of each keyframe.

    Nothing for a packet without a picture.  A connection that is cut leaves one: its delimiter came, and no more.
    """

    def __init__(self, stream: VideoStream) -> None:
        extradata = stream.codec_context.extradata or b""
        self._filter = BitStreamFilterContext("h264_mp4toannexb", stream) if extradata[:1] == b"\1" else None
        self._sets = b"" if self._filter else extradata

    def of(self, packet: av.Packet[VideoStream]) -> Iterator[bytes]:
        if self._filter is not None:
            yield from (data for one in self._filter.filter(packet) if _A_SLICE.search(data := bytes(one)))
            return
        data = bytes(packet)
        if _A_SLICE.search(data):
            yield self._sets + data if packet.is_keyframe and b"\0\0\1\x67" not in data else data


class _KeyframeDecoder:
    """Decodes keyframes alone, each of which needs nothing but itself."""

    def __init__(self, size_px: tuple[int, int]) -> None:
        self._size_px = size_px
        self._codec = av.CodecContext.create("h264", "r")
        self._codec.thread_count = 1

    def luma(self, data: bytes) -> Iterator[Luma]:
        with contextlib.suppress(av.error.FFmpegError):  # torn on the way: there will be another
            for picture in self._codec.decode(av.Packet(data)):
                yield _luma_of(picture, self._size_px)
            self._codec.flush_buffers()


def _luma_of(picture: av.VideoFrame, size_px: tuple[int, int]) -> Luma:
    plane = picture.planes[0]
    full = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: picture.height, : picture.width]
    small: Luma = cv2.resize(full, size_px, interpolation=cv2.INTER_AREA)  # type: ignore[assignment] # uint8 as given
    return small


def _video_of(container: InputContainer, url: str, *, any_codec: bool = False) -> VideoStream:
    stream = next(iter(container.streams.video), None)
    if stream is None or not stream.width:
        raise DeviceError(f"The camera at {host_of(url)} sends no picture.", remedy="Check the path in camera.url.")
    if not any_codec and stream.codec_context.name != "h264":
        raise DeviceError(
            f"The camera at {host_of(url)} sends {stream.codec_context.name}, and segments hold H.264.",
            remedy="Set the camera's encoding to H.264.",
        )
    return stream


def _drain_until_gone(readers: list[threading.Thread], arrivals: queue.Queue[_Arrival], patience_s: float) -> None:
    """Readers wait for the network at most `patience_s`; one that does not come back is left, as V4L2's is."""
    ends_s = time.monotonic() + patience_s + 1
    while any(reader.is_alive() for reader in readers) and time.monotonic() < ends_s:
        with contextlib.suppress(queue.Empty):
            arrivals.get(timeout=0.05)
    for reader in readers:
        reader.join(0.1)
