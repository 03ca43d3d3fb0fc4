"""A network camera, or any stream that PyAV opens: its GOPs are kept as they come, and luma is decoded.

With an IP doorbell the Pi encodes nothing, and decodes only

- the small stream, if `luma_url` names one (every frame of it, which is best for the detector), or else
- the large stream's keyframes (about one a second: a visitor is detected a second later; the button is not affected),
  or
- if keyframes are rare and the picture is small enough, the pictures between them too, of which one a second is
  examined. If the picture is too large, nothing is detected between two keyframes, and the log names the setting to
  change.

Rules:
- Only H.264 and HEVC are accepted, because a segment holds only those. The error at the start names the setting.
- A packet's bytes are the camera's, converted to Annex-B if they are length-prefixed, with parameter sets in front of
  every keyframe. Packets come in the order of decoding and carry the time of display (B-frames). Data that holds no
  picture is dropped.
- After a connection, only the undecodable rest of the current GOP is lost.
- A stream's clock is the camera's, tied to ours by the arrivals (`core.arrivals`). If there are no B-frames, times only
  grow. libavformat delivers a packet after the next one has begun, so it lasted until then.
- A read that takes longer than `stall_s` ends the stream. `camera_loop` notices a stream that is stalled in another way
  (`core.recovery`), and opens the camera again in both cases.
- Privacy masks can be burned only into a decoded stream: for others such a configuration is refused.
- The address may hold a password, so messages and log lines shorten it.

Sources: RFC 2326 (RTSP), RFC 6184 and 7798 (H.264 and HEVC in RTP), ISO/IEC 14496-10 and 23008-2 annex B.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Final

import av
import cv2
import numpy as np
import structlog
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from agent.core.arrivals import ArrivalClock
from agent.core.media import EncodedPacket, Luma, LumaFrame, StreamDescription, VideoCodec
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import ConfigurationError, DeviceError, InternalError
from agent.media.annexb import has_parameters, has_picture
from agent.ports import CameraEnd, CameraSink, MaskedArea
from agent.recorder.capture.delivery import DeliveryThread, Ending, coloured, luma_size
from agent.recorder.capture.rtsp import LARGEST_PX, host_of, opened, said

__all__ = ["RtspCamera"]

_USUAL_RATE: Final = 15.0
_KEYFRAMES_PER_S: Final = 1.0
"""The rate of most cameras, and the one that the manual asks for."""
_QUEUED: Final = 128
_PICTURES_QUEUED: Final = 4
"""A frame behind more arrivals than these has no coloured picture. Each would hold a decoded picture of megabytes."""
_LOST_NS: Final = 2 * NS_PER_S
_LOOK_S: Final = 0.2
_RARE_NS: Final = 2 * NS_PER_S
"""Keyframes further apart than this are too rare for the detector."""
_DECODED_PX: Final = 1920 * 1088
"""Pictures no larger than this are decoded between rare keyframes: a decoder may hold 16 of them, 50 MB."""
_SMALL_PX: Final = 2560 * 1920
"""The largest picture of a small stream: a decoder may hold 16 of them."""
_BEHIND: Final = 256
"""Packets that may wait for the decoder before it goes on with the next keyframe."""
_REORDERED_NS: Final = NS_PER_S
"""A picture that goes back in time by less than this is a B-frame. By more, the camera's clock was set."""
_MOST_UNDATED, _MOST_UNDATED_BYTES = 2048, 32 << 20
"""Limit of packets that wait for the first one with a time: three seconds at 80 Mbit/s. Beyond it, the camera counts as
lost."""
_FALL_NS: Final = NS_PER_S // 50
"""A delay of arrivals that falls by more than this shows that packets had waited."""
_STEADY_NS: Final = NS_PER_S // 3
_CATCHING_UP_NS: Final = 3 * NS_PER_S
_LEAST_STEP_NS: Final = NS_PER_S // 1000
"""The least time between two pictures. B-frames between them then still have different ticks of a film (11 µs)."""
_NEIGHBOURS: Final = 32
"""More pictures than a decoder reorders (16, ISO/IEC 14496-10 A.3.1)."""
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
        self._delivery: DeliveryThread | None = None
        self.dropped = 0
        """Packets and frames that came faster than they were taken."""

    def open(self) -> StreamDescription:
        """Raises `DeviceError` if the camera is unreachable, refuses the password, or lacks an H.264 or HEVC stream."""
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
            stream.width,
            stream.height,
            rate,
            width,
            height,
            live=self._live,
            luma_frames_per_s=luma_rate,
            luma_steady=False,
            codec=VideoCodec(stream.codec_context.name),
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
        clock = _StreamClock(tied_ns, round(NS_PER_S / description.frames_per_s))
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
                        _StreamClock(tied_ns, round(NS_PER_S / (description.luma_frames_per_s or _USUAL_RATE))),
                        size_px,
                    ),
                    name="rtsp-luma",
                    daemon=True,
                )
            )
        # From here on only the readers touch the containers: to close one under a running read crashes the process.
        self._main = self._small = None

        def deliver(stopping: threading.Event) -> Ending:
            for reader in readers:
                reader.start()
            try:
                return self._deliver(arrivals, sink, stopping)
            finally:
                stopped.set()
                _drain_until_gone(readers, arrivals, self._stall_s)

        self._delivery = DeliveryThread("camera-rtsp", deliver, sink)
        self._delivery.start()

    def request_keyframe(self) -> None:
        """Has no effect, because a network camera ignores such a request."""

    def mask(self, zones: MaskedArea) -> bool:
        """Refuses a mask, because the stream is not encoded here; opening the camera again reports the error."""
        return not zones.has_privacy

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
        clock: _StreamClock,
        luma_px: tuple[int, int] | None,
    ) -> None:
        cause = "it has ended its stream"
        with container, contextlib.ExitStack() as decoding:
            stream = container.streams.video[0]
            annexb = _AnnexBConverter(stream)
            looker = None
            if luma_px:
                looker = _LumaDecoder(
                    stream, luma_px, lambda luma: self._hand_over(arrivals, luma, stopped), wait=not self._live
                )
                decoding.enter_context(looker)
            waiting: list[tuple[bytes, bool, int | None]] = []
            skipping, undated_bytes = False, 0
            try:
                for packet in container.demux(stream):
                    if stopped.is_set():
                        return
                    if packet.size == 0:
                        continue
                    own_ns = _own_ns(packet)
                    keyframe, packet_bytes = packet.is_keyframe, packet.size  # before the filter empties the packet
                    waiting += [(data, keyframe, own_ns) for data in annexb.of(packet)]
                    undated_bytes += packet_bytes
                    if own_ns is None or not clock.settled(own_ns):
                        if len(waiting) > _MOST_UNDATED or undated_bytes > _MOST_UNDATED_BYTES:
                            cause = "its pictures carry no times"
                            break
                        continue  # packets that waited in the camera get their time after the clock is tied
                    for data, is_keyframe, taken_ns in clock.dated(waiting):
                        one = EncodedPacket(data, is_keyframe, clock.boot_ns(taken_ns, keyframe=is_keyframe))
                        # Pictures after a hole in a GOP are undecodable, so the GOP ends at the hole.
                        skipping = skipping and not is_keyframe
                        skipping = skipping or not self._hand_over(arrivals, one, stopped)
                        if looker is not None:
                            looker.take(one)
                    waiting.clear()
                    undated_bytes = 0
            except (av.error.FFmpegError, OSError) as error:
                cause = said(error)
        self._lost(arrivals, stopped, cause)

    def _read_small(
        self,
        container: InputContainer,
        arrivals: queue.Queue[_Arrival],
        stopped: threading.Event,
        clock: _StreamClock,
        size_px: tuple[int, int],
    ) -> None:
        cause = "its small stream ended"
        with container:
            container.streams.video[0].thread_type = "NONE"  # frame threads would hold pictures back
            container.streams.video[0].codec_context.options = {"max_pixels": str(_SMALL_PX)}
            try:
                for picture in container.decode(video=0):
                    if stopped.is_set():
                        return
                    if picture.pts is None or picture.time_base is None:
                        continue
                    own_ns = round(picture.pts * picture.time_base * NS_PER_S)
                    if clock.settled(own_ns):
                        luma = _luma_of(picture, size_px)
                        taken_ns = clock.boot_ns(own_ns, keyframe=True)
                        frame = LumaFrame(luma, taken_ns, picture=partial(coloured, picture))
                        self._hand_over(arrivals, frame, stopped)
            except (av.error.FFmpegError, OSError) as error:
                cause = said(error)
        self._lost(arrivals, stopped, cause)

    def _lost(self, arrivals: queue.Queue[_Arrival], stopped: threading.Event, cause: str) -> None:
        words = DeviceError(
            f"The camera at {host_of(self._url)} stopped sending ({cause}).", remedy="Check its power and the network."
        )
        self._hand_over(arrivals, words, stopped)

    def _hand_over(self, arrivals: queue.Queue[_Arrival], arrival: _Arrival, stopped: threading.Event) -> bool:
        """Returns whether there was room. A live camera never waits, so otherwise the newest packet is dropped."""
        if isinstance(arrival, LumaFrame) and arrivals.qsize() > _PICTURES_QUEUED:
            arrival = replace(arrival, picture=None)
        while not stopped.is_set():
            try:
                # The end of the stream waits for room: without it, the camera would be opened again only after a stall.
                arrivals.put(arrival, timeout=None if isinstance(arrival, DeviceError) else _LOOK_S)
            except queue.Full:
                if self._live:
                    self.dropped += 1
                    return False
            else:
                return True
        return False


class _StreamClock:
    """Ties a stream's clock to the boot clock. Its times only grow, in the order in which pictures are shown."""

    def __init__(self, first_ns: BootNs | None, frame_ns: int) -> None:
        self.first_ns = first_ns
        self._frame_ns = frame_ns
        self._tied = ArrivalClock(_LOST_NS, counts_losses=True)
        self._last_ns = self._newest_own_ns = 0
        self._shown: list[tuple[int, int]] = []
        """The stream's time and ours of the newest pictures, in the order in which they are shown."""
        self._begun_ns: int | None = None
        self._fell: tuple[int, int, int] = (0, 0, 0)
        """When the delay last fell, as our time and the stream's, and the delay then."""
        self._least_ns = 0

    def settled(self, own_ns: int) -> bool:
        """Call it for each packet. Returns False while packets arrive that had waited: they would tie the clock late.

        Packets that waited arrive faster than time passes, so the difference between arrival and stream time falls
        until they are through. A camera that never settles is accepted after `_CATCHING_UP_NS`.
        """
        if self.first_ns is not None:
            if not self._tied.tied:
                self._tied.arrived(own_ns, own_ns, self.first_ns)
            return True
        now_ns = BootNs(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        if self._tied.tied:
            self._tied.arrived(own_ns, own_ns + self._frame_ns, now_ns)
            return True
        if self._has_settled(own_ns, now_ns):
            # By the least delay so far, because this packet may be late: this thread may have slept.
            self._tied.arrived(own_ns, own_ns + self._frame_ns, BootNs(own_ns + self._least_ns))
            return True
        return False

    def dated(self, waiting: Sequence[tuple[bytes, bool, int | None]]) -> Iterator[tuple[bytes, bool, int]]:
        """Packets with the stream's own times.  FFmpeg leaves those out that came before the server told its clock."""
        least_ns = 0
        found: list[tuple[bytes, bool, int]] = []
        for data, keyframe, own_ns in reversed(waiting):
            known_ns = own_ns if own_ns is not None else least_ns - self._frame_ns
            least_ns = min(least_ns, known_ns) if found else known_ns
            found.append((data, keyframe, known_ns))
        return reversed(found)

    def _has_settled(self, own_ns: int, now_ns: int) -> bool:
        """Returns whether the delay of arrivals has been steady for a while, by our clock and by the stream's.

        By our clock alone, a thread that slept after the first packet would count as steady.
        """
        delay_ns = now_ns - own_ns
        if self._begun_ns is None:
            self._begun_ns, self._least_ns = now_ns, delay_ns
            self._fell = (now_ns, own_ns, delay_ns)
        if delay_ns < self._fell[2] - _FALL_NS:
            self._fell = (now_ns, own_ns, delay_ns)
        elif delay_ns > self._least_ns + _LOST_NS:  # the camera's clock was set back
            self._fell, self._least_ns = (now_ns, own_ns, delay_ns), delay_ns
        self._least_ns = min(self._least_ns, delay_ns)
        steady_ns = min(now_ns - self._fell[0], own_ns - self._fell[1])
        return steady_ns > _STEADY_NS or now_ns - self._begun_ns > _CATCHING_UP_NS

    def boot_ns(self, own_ns: int, *, keyframe: bool) -> BootNs:
        """Returns when the picture was taken. Ask in the order of decoding; pictures after a keyframe may lie before
        others."""
        taken_ns = self._tied.boot_ns(own_ns)
        if not keyframe and 0 < self._newest_own_ns - own_ns < _REORDERED_NS:
            taken_ns = self._between(own_ns, taken_ns)
            self._last_ns = max(self._last_ns, taken_ns)  # if the clock was tied again, it may lie before the last one
            return taken_ns
        if own_ns < self._newest_own_ns:  # the camera's clock was set back
            self._shown.clear()
        self._newest_own_ns = own_ns
        self._last_ns = max(self._last_ns + _LEAST_STEP_NS, taken_ns)
        self._shown.append((own_ns, self._last_ns))
        del self._shown[:-_NEIGHBOURS]
        return BootNs(self._last_ns)

    def _between(self, own_ns: int, taken_ns: BootNs) -> BootNs:
        """Returns the time of a B-frame: `taken_ns`, if it lies between the pictures that are shown before and after.

        The clock may have been moved back by more than a picture since the one before came.
        """
        at = bisect(self._shown, (own_ns, 0))
        if 0 < at < len(self._shown):
            (before_own_ns, before_ns), (after_own_ns, after_ns) = self._shown[at - 1], self._shown[at]
            if not before_ns < taken_ns < after_ns:
                part = (after_ns - before_ns) * (own_ns - before_own_ns) // (after_own_ns - before_own_ns)
                taken_ns = BootNs(before_ns + part)
            self._shown.insert(at, (own_ns, taken_ns))
        return taken_ns


class _AnnexBConverter:
    """Converts packets to the form of a segment: start codes, and parameter sets in front of each keyframe.

    Returns nothing for a packet that holds no picture. For example, a cut connection leaves one that holds only a
    delimiter.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._codec = VideoCodec(stream.codec_context.name)
        extradata = stream.codec_context.extradata or b""
        prefixed = extradata[:1] == b"\1"
        self._filter = BitStreamFilterContext(f"{self._codec.value}_mp4toannexb", stream) if prefixed else None
        self._sets = b"" if self._filter else extradata

    def of(self, packet: av.Packet[VideoStream]) -> Iterator[bytes]:
        if self._filter is not None:
            yield from (data for one in self._filter.filter(packet) if has_picture(data := bytes(one), self._codec))
            return
        data = bytes(packet)
        if has_picture(data, self._codec):
            # A camera may send its parameter sets once, at the start. Each segment needs them.
            yield self._sets + data if packet.is_keyframe and not has_parameters(data, self._codec) else data


class _LumaDecoder:
    """Decodes keyframes, each of which needs only itself, and the pictures between them if they are rare.

    It has a separate thread, because the thread that reads from the network must not wait: it would lose packets. The
    reader calls `give`. `wait`: for files, which must be decoded completely.
    """

    def __init__(
        self, stream: VideoStream, size_px: tuple[int, int], give: Callable[[LumaFrame], object], *, wait: bool
    ) -> None:
        self._codec = VideoCodec(stream.codec_context.name)
        self._is_small = stream.width * stream.height <= _DECODED_PX
        self._size_px = size_px
        self._give = give
        self._wait = wait
        self._log = structlog.get_logger("camera")
        self._packets: queue.Queue[EncodedPacket | None] = queue.Queue(_BEHIND)
        self._thread = threading.Thread(target=self._run, name="rtsp-look", daemon=True)
        self._keyframe_ns: int | None = None
        self._rare = self._complete = False
        self._given_ns = 0

    def __enter__(self) -> _LumaDecoder:
        self._thread.start()
        return self

    def __exit__(self, *_cause: object) -> None:
        self._packets.put(None)
        self._thread.join()

    def take(self, packet: EncodedPacket) -> None:
        """From the reader's thread."""
        if packet.keyframe:
            since_ns = packet.sensor_ns - self._keyframe_ns if self._keyframe_ns is not None else 0
            self._note(since_ns)
            self._keyframe_ns, self._complete = packet.sensor_ns, True
        elif not (self._rare and self._is_small and self._complete):
            return
        try:
            self._packets.put(packet, block=self._wait)
        except queue.Full:
            self._complete = False  # the decoder is too slow: it goes on with the next keyframe

    def _note(self, since_ns: int) -> None:
        rare = since_ns > _RARE_NS
        if rare and not self._rare:
            self._log.warning(
                "keyframes_rare",
                seconds=round(since_ns / NS_PER_S, 1),
                seen_between=self._is_small,
                remedy="Set the camera to send a keyframe every second, or name its small stream in camera.luma_url.",
            )
        self._rare = rare

    def _run(self) -> None:
        decoder = self._decoder()
        while (packet := self._packets.get()) is not None:
            carried = av.Packet(packet.data)
            carried.pts, carried.time_base = packet.sensor_ns, Fraction(1, NS_PER_S)
            with contextlib.suppress(av.error.FFmpegError):  # torn on the way: there will be another
                if packet.keyframe:
                    # Empties the decoder, which holds pictures back to reorder them. An emptied one takes nothing more.
                    self._look(decoder.decode(None))
                    decoder = self._decoder()
                self._look(decoder.decode(carried))
                if packet.keyframe and not self._rare:
                    self._look(decoder.decode(None))
                    decoder = self._decoder()

    def _decoder(self) -> VideoCodecContext:
        codec = av.CodecContext.create(self._codec.value, "r")
        codec.thread_count = 1
        # A stream may grow after it was opened: a picture beyond this is not unpacked.
        codec.options = {"max_pixels": str(_DECODED_PX if self._is_small else LARGEST_PX)}
        return codec

    def _look(self, pictures: Iterable[av.VideoFrame]) -> None:
        for picture in pictures:
            taken_ns = picture.pts or 0
            if picture.key_frame or taken_ns - self._given_ns >= NS_PER_S / _KEYFRAMES_PER_S:
                self._given_ns = taken_ns
                luma = _luma_of(picture, self._size_px)
                self._give(LumaFrame(luma, BootNs(taken_ns), picture=partial(coloured, picture)))


def _own_ns(packet: av.Packet[VideoStream]) -> int | None:
    if packet.pts is None or packet.time_base is None:
        return None
    return round(packet.pts * packet.time_base * NS_PER_S)


def _luma_of(picture: av.VideoFrame, size_px: tuple[int, int]) -> Luma:
    plane = picture.planes[0]
    full = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: picture.height, : picture.width]
    small: Luma = cv2.resize(full, size_px, interpolation=cv2.INTER_AREA)  # type: ignore[assignment] # uint8 as given
    return small


def _video_of(container: InputContainer, url: str, *, any_codec: bool = False) -> VideoStream:
    stream = next(iter(container.streams.video), None)
    if stream is None or not stream.width:
        raise DeviceError(f"The camera at {host_of(url)} sends no picture.", remedy="Check the path in camera.url.")
    if stream.width * stream.height > LARGEST_PX:
        raise DeviceError(
            f"The camera at {host_of(url)} sends {stream.width} × {stream.height} pixels, more than fits the memory.",
            remedy="Set the camera to a smaller picture.",
        )
    if not any_codec and stream.codec_context.name not in {codec.value for codec in VideoCodec}:
        raise DeviceError(
            f"The camera at {host_of(url)} sends {stream.codec_context.name}, and segments hold H.264 or H.265.",
            remedy="Set the camera's encoding to H.264.",
        )
    return stream


def _drain_until_gone(readers: list[threading.Thread], arrivals: queue.Queue[_Arrival], patience_s: float) -> None:
    """Waits for the readers, which wait for the network at most `patience_s`. A reader that hangs is abandoned, as with
    V4L2."""
    ends_s = time.monotonic() + patience_s + 1
    while any(reader.is_alive() for reader in readers) and time.monotonic() < ends_s:
        with contextlib.suppress(queue.Empty):
            arrivals.get(timeout=0.05)
    for reader in readers:
        reader.join(0.1)
