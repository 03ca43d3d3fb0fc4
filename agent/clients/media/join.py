"""Joins the media of segments into one ordinary MP4 that starts playing at once. The pictures stay encoded as they are.

- The pictures are the segments' own, bit for bit. Only the container is new.
- A segment that an owner redacted was encoded again, with other parameter sets. In a film of H.264 they stand in
  front of each keyframe (`avc3`), if the segments have different ones. A player may begin at each.
- Gaps are closed (each segment follows the one before), or kept if the caller gives start times (each segment begins at
  its capture time, and the last picture stands until then).
- The output gets its final name only if it is complete, so a half-written file cannot replace another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer

from agent.core.timebase import NS_PER_S
from agent.errors import FormatError, StorageError
from agent.media.fmp4 import TICKS_PER_S
from agent.media.playable import pictures_of, sound_of

__all__ = ["MediaInfo", "join_mp4", "probe"]

Media = bytes | Path
"""An MP4 in memory (a decrypted segment, its trailing `uuid` box included or not), or on disk."""

_H264 = "h264"
_TICK = Fraction(1, TICKS_PER_S)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Codec, size, frames and length of a file."""

    frames: int
    seconds: float
    width_px: int
    height_px: int
    size_bytes: int


def probe(media: Media) -> MediaInfo:
    """Counts frames without decoding. `seconds` runs to the end of the last frame. Raises `FormatError` for other
    files."""
    with _opened(media) as container:
        size_bytes = len(media) if isinstance(media, bytes) else media.stat().st_size
        stream = container.streams.video[0]
        frames, end_ticks = 0, 0
        for _, from_ticks, until_ticks in _packets(container):
            frames += 1
            end_ticks = max(end_ticks, from_ticks, until_ticks)
        return MediaInfo(frames, end_ticks / TICKS_PER_S, stream.width, stream.height, size_bytes)


def join_mp4(
    segments: Sequence[Media],
    out: Path,
    *,
    starts_ns: Sequence[int] | None = None,
    sounds: Sequence[Media | None] = (),
) -> MediaInfo:
    """Writes `segments`, in order, as one faststart MP4 at `out`, and returns what it holds.

    `sounds`, if given one per segment, are laid beside the pictures unchanged. `starts_ns`, one per segment on one
    clock, keeps the gaps between them. If it is missing, the gaps are closed.

    Raises `FormatError` if a segment is not a video, overlaps the one before, or has another codec or size. Raises
    `StorageError` if `out` cannot be written.
    """
    if not segments or (starts_ns is not None and len(starts_ns) != len(segments)):
        raise FormatError("Joining needs at least one segment, and a start time for each or for none.")
    unfinished = out.with_name(out.name + ".part")
    try:
        _write(segments, starts_ns, sounds, unfinished)
        unfinished.replace(out)
    except OSError as error:
        raise StorageError(
            f"'{out}' could not be written ({error.strerror or error}).", remedy="Check the folder and its free space."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return probe(out)


def _write(
    segments: Sequence[Media], starts_ns: Sequence[int] | None, sounds: Sequence[Media | None], out: Path
) -> None:
    options = {"movflags": "faststart", "video_track_timescale": str(TICKS_PER_S)}
    with (
        _opened(segments[0]) as first,
        av.open(str(out), mode="w", format="mp4", options=options) as joined,
    ):
        picture_format = _picture_format(first.streams.video[0])
        carried = _is_mixed(segments)
        # opaque: some PyAV releases otherwise write a track that has no samples
        track = joined.add_stream_from_template(first.streams.video[0], opaque=True)
        # Apple's players open HEVC with parameter sets in the header only under this tag.
        track.codec_context.codec_tag = "avc3" if carried else first.streams.video[0].codec_context.codec_tag
        heard = _SoundTrack(joined, sounds)
        ahead = max(_ahead_ticks(segment) for segment in segments)
        end_ticks = 0
        for number, segment in enumerate(segments):
            begin_ticks = end_ticks
            if starts_ns is not None:
                begin_ticks = round((starts_ns[number] - starts_ns[0]) * TICKS_PER_S / NS_PER_S)
                # Two roundings may differ by a tick. A larger difference is an overlap.
                if begin_ticks < end_ticks - 1:
                    raise FormatError(f"Segment {number + 1} begins before the one in front of it ends.")
                begin_ticks = max(begin_ticks, end_ticks)
            with _opened(segment) as container:
                if _picture_format(container.streams.video[0]) != picture_format:
                    raise FormatError(
                        f"Segment {number + 1} has another picture format than the first.",
                        remedy="Export the two separately.",
                    )
                sets = _parameter_sets(_extradata(container.streams.video[0])) if carried else b""
                for packet, from_ticks, until_ticks in _packets(container):
                    shown = begin_ticks + _ticks(packet, packet.pts)
                    made = _with(sets, packet) if sets and packet.is_keyframe else packet
                    made.pts = shown
                    made.dts = begin_ticks + from_ticks - ahead
                    made.duration = until_ticks - from_ticks
                    made.time_base = _TICK
                    made.stream = track
                    end_ticks = begin_ticks + until_ticks
                    joined.mux(made)
            heard.add(number, begin_ticks)


def _extradata(stream: av.VideoStream) -> bytes:
    return bytes(stream.codec_context.extradata or b"")


def _picture_format(stream: av.VideoStream) -> tuple[object, ...]:
    """Returns what all segments of one film must share. Parameter sets of H.264 may differ."""
    own = b"" if stream.codec_context.name == _H264 else _extradata(stream)
    return stream.codec_context.name, stream.width, stream.height, own


def _is_mixed(segments: Sequence[Media]) -> bool:
    """Returns whether films of H.264 have different parameter sets."""
    found = set()
    for segment in segments:
        with _opened(segment) as container:
            stream = container.streams.video[0]
            found.add((stream.codec_context.name, _extradata(stream)))
    return len(found) > 1 and {name for name, _ in found} == {_H264}


def _parameter_sets(avcc: bytes) -> bytes:
    """Returns the parameter sets of an `avcC` box, each behind its 4-byte length (ISO/IEC 14496-15, 5.3.3.1)."""
    at, found = 5, b""
    for mask in (0x1F, 0xFF):  # the sequence parameter sets, then the picture parameter sets
        count, at = avcc[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(avcc[at : at + 2])
            found += size.to_bytes(4, "big") + avcc[at + 2 : at + 2 + size]
            at += 2 + size
    return found


def _with(sets: bytes, packet: av.Packet[av.VideoStream]) -> av.Packet[Any]:
    """Returns the packet with parameter sets in front of its picture."""
    made = av.Packet(sets + bytes(packet))
    made.is_keyframe = packet.is_keyframe
    return made


class _SoundTrack:
    """The second track of a joined file, if any segment has sound."""

    def __init__(self, joined: OutputContainer, sounds: Sequence[Media | None]) -> None:
        self._joined = joined
        self._sounds = sounds
        self._format = b""
        self._last = -1
        self._track: av.AudioStream | None = None
        first = next((sound for sound in sounds if sound is not None), None)
        if first is not None:
            with _opened_sound(first) as container:
                template = container.streams.audio[0]
                self._format = bytes(template.codec_context.extradata or b"")
                self._track = joined.add_stream_from_template(template, opaque=True)

    def add(self, number: int, begin_ticks: int) -> None:
        """Adds the sound of segment `number`, which begins at `begin_ticks` of the joined file."""
        track = self._track
        sound = self._sounds[number] if track is not None else None
        if track is None or sound is None:
            return
        with _opened_sound(sound) as container:
            stream = container.streams.audio[0]
            if bytes(stream.codec_context.extradata or b"") != self._format:
                raise FormatError(f"Segment {number + 1} has another sound format than the one before.")
            base = Fraction(1, stream.codec_context.sample_rate)
            begin = round(begin_ticks * _TICK / base)
            try:
                for packet in container.demux(stream):
                    if packet.pts is None or not packet.size:
                        continue
                    at = begin + round(packet.pts * (packet.time_base or base) / base)
                    # If a gap is closed, the last packet of one segment may reach a little into the next.
                    self._last = max(at, self._last + 1)
                    packet.pts = packet.dts = self._last
                    packet.time_base, packet.stream = base, track
                    self._joined.mux(packet)
            except av.error.FFmpegError as error:
                raise FormatError("This is not a segment's sound.") from error


@contextmanager
def _opened_sound(media: Media) -> Iterator[InputContainer]:
    source = BytesIO(media) if isinstance(media, bytes) else str(media)
    try:
        container = av.open(source, mode="r", format="mp4")
    except (av.error.FFmpegError, OSError) as error:
        raise FormatError("This is not a segment's sound.") from error
    with container:
        sound_of(container)
        yield container


def _ticks(packet: av.Packet[av.VideoStream], own: int | None) -> int:
    """Converts a time from the packet's ticks to ours."""
    return round((own or 0) * (packet.time_base or _TICK) / _TICK)


def _ahead_ticks(media: Media) -> int:
    """Returns the ticks by which pictures are decoded before they are shown: 0 unless there are B-frames."""
    with _opened(media) as container:
        first = next(_packets(container), None)
        return -_ticks(first[0], first[0].dts) if first is not None else 0


def _packets(container: InputContainer) -> Iterator[tuple[av.Packet[av.VideoStream], int, int]]:
    """Yields the video packets that carry data, with begin and end of their decoding, counted from the first packet.

    Skips the empty packet with which a demuxer ends. Raises `FormatError`.
    """
    first: int | None = None
    try:
        for packet in container.demux(container.streams.video[0]):
            if packet.pts is not None and packet.dts is not None and packet.size:
                first = packet.dts if first is None else first
                begin = packet.dts - first
                yield packet, _ticks(packet, begin), _ticks(packet, begin + (packet.duration or 0))
    except av.error.FFmpegError as error:
        raise _no_video() from error


@contextmanager
def _opened(media: Media) -> Iterator[InputContainer]:
    source = BytesIO(media) if isinstance(media, bytes) else str(media)
    try:
        container = av.open(source, mode="r", format="mp4")
    except (av.error.FFmpegError, OSError) as error:
        raise _no_video() from error
    with container:
        pictures_of(container)
        yield container


def _no_video() -> FormatError:
    return FormatError("This is not a segment's video.")
