"""Plays a video file as if it were a camera, in real time or as fast as its reader takes it.

- Sensor times are the file's times, moved so that the first picture is at `first_ns`. A file that lacks usable times
  gets those of its frame rate.
- Some files hold the times of decoding instead of display: every AVI, and copies of AVIs in other containers. With
  B-frames the two differ. The decoder returns pictures in the order of display, so they get the times of decoding one
  after the other. If those do not increase either, the frame rate counts. `_TimeSource` decides.
- Every picture that can be decoded is delivered. A file that is damaged, or ends early, plays to its end and then
  reports `CameraEnd.LOST` with the place, because footage that silently stops early looks like a quiet street.
- `open` refuses files other than videos.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import av
from av.container import InputContainer

from agent.core.media import StreamDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import ConfigurationError
from agent.ports import CameraEnd, CameraSink
from agent.recorder.capture.delivery import EncodingSettings, Ending, Pipeline, PipelineCamera, describe

__all__ = ["FileCamera"]

_USUAL_RATE = 25.0
"""Frames per second, for a file that lacks a frame rate."""
_ERRORS_IN_A_ROW = 200
"""Packets that may fail one after another before the rest of the file is given up."""
_PICTURES_PER_FAULT = 8
"""A clock seldom jumps back. B-frames in decoding order make at least every fourth time faulty."""
_PROBED_PICTURES = 24
"""Pictures from which `open` learns which times of the file are sound. H.264 reorders 16 pictures at most."""


class FileCamera(PipelineCamera):
    """Plays any file that PyAV can read. Implements `ports.Camera`; one `start` for each `open`."""

    def __init__(self, path: Path, *, paced: bool = False, settings: EncodingSettings | None = None) -> None:
        """`paced`: deliver in real time. In both cases the file waits for its reader, so no frame is dropped."""
        super().__init__("camera-file", settings)
        self._path = path
        self._paced = paced
        self._times = _TimeSource()

    def open(self) -> StreamDescription:
        """Raises `ConfigurationError` if the file is missing or holds no picture."""
        self._times = _probe(self._path)
        # Opened again, because not every file can be rewound to its very start.
        self._container = container = _opened(self._path)
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or _USUAL_RATE)
        self._description = describe(stream.width, stream.height, rate, widest_px=self._settings.widest_px, live=False)
        return self._description

    def start(self, sink: CameraSink, first_ns: BootNs) -> None:
        pipeline = self._new_pipeline(sink)
        footage = _Footage(
            self._require_open(self._container), self._require_open(self._description).frames_per_s, self._times
        )

        def deliver(stopping: threading.Event) -> Ending:
            with footage:
                return self._deliver(footage, pipeline, first_ns, stopping)

        self._begin(pipeline, deliver, sink)

    def _deliver(self, footage: _Footage, pipeline: Pipeline, first_ns: int, stopping: threading.Event) -> Ending:
        began_ns = time.monotonic_ns()
        with contextlib.closing(footage.pictures()) as pictures:
            for picture, offset_ns in pictures:
                wait_ns = began_ns + offset_ns - time.monotonic_ns() if self._paced else 0
                if stopping.wait(max(0, wait_ns) / NS_PER_S):
                    pipeline.flush()
                    return CameraEnd.STOPPED, "The camera was stopped."
                pipeline.feed(picture, BootNs(first_ns + offset_ns))
        pipeline.flush()
        fault = footage.fault()
        if fault:
            return CameraEnd.LOST, f"The video '{self._path}' {fault}; what could be decoded was used."
        return CameraEnd.END_OF_FOOTAGE, f"The video '{self._path}' has been played to its end."


def _probe(path: Path) -> _TimeSource:
    """Decodes the first pictures. Returns what their times say of the file; raises if there is no picture."""
    times = _TimeSource()
    found = 0
    with _opened(path) as container, contextlib.suppress(av.error.FFmpegError):
        times.in_decoding_order = "avi" in container.format.name
        for number, packet in enumerate(container.demux(video=0)):
            with contextlib.suppress(av.error.FFmpegError):
                for picture in packet.decode():
                    times.take(picture.pts, picture.dts)
                    found += 1
            if found >= _PROBED_PICTURES or number >= _ERRORS_IN_A_ROW:
                break
    if not found:
        raise _not_a_video(path)
    return times


def _opened(path: Path) -> InputContainer:
    try:
        container = av.open(str(path), mode="r")
    except FileNotFoundError as error:
        raise ConfigurationError(f"There is no video at '{path}'.", remedy="Check the path.") from error
    except PermissionError as error:
        raise ConfigurationError(f"'{path}' may not be read.", remedy="Check who may read it.") from error
    except (av.error.FFmpegError, OSError) as error:
        raise _not_a_video(path) from error
    if not container.streams.video:
        container.close()
        raise _not_a_video(path)
    container.streams.video[0].thread_type = "NONE"  # frame threads hold pictures back when the file ends in a fault
    return container


def _not_a_video(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"'{path}' is not a video that can be played: no picture in it decodes.",
        remedy="Choose a file that ffmpeg or a player can open.",
    )


class _TimeSource:
    """Decides which times of a file are sound: those of display (pts), those of decoding (dts), or neither.

    A time is faulty if it does not increase from one picture to the next. Display times that are faulty more often than
    decoding times are decoding times under another name. A clock that jumps back makes both faulty once.
    """

    def __init__(self) -> None:
        self.in_decoding_order = False
        """Known from the container: an AVI has no times of display."""
        self._pts = _Increasing()
        self._dts = _Increasing()

    def restart(self) -> None:
        """Keeps the counts, and begins at the first picture again."""
        self._pts.last = self._dts.last = None

    def take(self, pts: int | None, dts: int | None) -> int | None:
        """Counts the faults of the next picture. Returns its time; None if the file has no sound time for it."""
        self._pts.take(pts, expected=dts is not None)
        self._dts.take(dts, expected=False)  # the decoder's last pictures have none
        if self.in_decoding_order or self._pts.faults > self._dts.faults:
            return dts if self._dts.is_sound else None
        return pts if self._pts.is_sound else None


class _Increasing:
    """Counts how often one kind of time is missing or does not increase."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.pictures = 0
        self.faults = 0

    def take(self, ticks: int | None, *, expected: bool) -> None:
        self.pictures += 1
        if ticks is None:
            self.faults += expected
            return
        self.faults += self.last is not None and ticks <= self.last
        self.last = ticks

    @property
    def is_sound(self) -> bool:
        """The constant lets a clock jump back soon after the beginning."""
        return self.faults * _PICTURES_PER_FAULT <= self.pictures + 2 * _PICTURES_PER_FAULT


class _Footage:
    """The pictures of an open file with their offsets from the first, and what was wrong with it.  Closes the file."""

    def __init__(self, container: InputContainer, frames_per_s: float, times: _TimeSource) -> None:
        self._container = container
        self._times = times
        self._stream = container.streams.video[0]
        self._frame_ns = round(NS_PER_S / frames_per_s)
        self._damaged = 0
        self._delivered = 0
        self._next_ns = 0

    def __enter__(self) -> _Footage:
        return self

    def __exit__(self, *_cause: object) -> None:
        self._container.close()

    def pictures(self) -> Generator[tuple[av.VideoFrame, int]]:
        """(picture, offset in ns): offsets start at 0 and increase.  A clock that jumps back just goes on."""
        shift_ns: int | None = None
        last_ns = -1
        self._times.restart()
        for picture in self._decodable():
            own_ns = self._own_time(picture)
            if own_ns is None:
                offset_ns = self._next_ns
            else:
                shift_ns = -own_ns if shift_ns is None else shift_ns
                if own_ns + shift_ns <= last_ns:
                    shift_ns = self._next_ns - own_ns
                offset_ns = own_ns + shift_ns
            last_ns, self._next_ns = offset_ns, offset_ns + self._frame_ns
            self._delivered += 1
            yield picture, offset_ns

    def fault(self) -> str:
        """Returns the fault of the file, empty without one. Ask after it has been played."""
        at_s = self._next_ns / NS_PER_S
        promised_ns = self._promised_ns()
        if self._next_ns + max(NS_PER_S, promised_ns // 50) < promised_ns:
            return f"ends at {at_s:.1f} s although it says {promised_ns / NS_PER_S:.1f} s"
        if self._damaged:
            return f"is damaged (packets that do not decode: {self._damaged})"
        return ""

    def _promised_ns(self) -> int:
        """Returns how long the pictures last according to the file; 0 if unknown. A sound track may be longer."""
        stream = self._stream
        counted_ns = stream.frames * self._frame_ns  # the header survives if the file is cut short
        if stream.duration and stream.time_base:
            lasts_ns = round(stream.duration * stream.time_base * NS_PER_S)
            # An MP4 that was trimmed without encoding still holds the frames that its edit list leaves out.
            return lasts_ns if "mp4" in self._container.format.name else max(counted_ns, lasts_ns)
        alone = len(self._container.streams) == 1
        return max(counted_ns, (self._container.duration or 0) * NS_PER_S // av.time_base if alone else 0)

    def _own_time(self, picture: av.VideoFrame) -> int | None:
        ticks = self._times.take(picture.pts, picture.dts)
        return None if ticks is None or picture.time_base is None else round(ticks * picture.time_base * NS_PER_S)

    def _decodable(self) -> Iterator[av.VideoFrame]:
        """Every picture that decodes.  A demuxer that failed may go on, so it is asked again for a while."""
        errors_in_a_row = 0
        while errors_in_a_row < _ERRORS_IN_A_ROW:
            try:
                for packet in self._container.demux(self._stream):
                    try:
                        pictures = packet.decode()
                    except av.error.FFmpegError:
                        self._damaged += 1
                        continue
                    errors_in_a_row = 0
                    self._damaged += packet.is_corrupt or any(picture.is_corrupt for picture in pictures)
                    yield from pictures
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self._damaged += 1
                errors_in_a_row += 1
            else:
                return
