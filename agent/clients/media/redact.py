"""Covers places of a film and mutes stretches of its sound, by decoding all of it and encoding it again.

Nothing of the captured bytes is copied. Each picture is decoded, its covered blocks are filled with one black, and only
then it is encoded, so motion vectors and neighbouring pictures of the new film carry nothing from below a cover. The
same holds for samples. The same pictures outside of the covers give the same bytes, whatever is below them: the length
of the new film tells nothing of it (`tests/clients/media/test_redact.py`). No encoder name or time is written.

An exact film is coded without loss: each pixel outside of its covers has the value that the captured film decodes to,
and each pixel of a cover is black to the last bit. `compare_films` counts the values that differ outside of covers.

`require_covered` and `require_muted` decode a redacted file again. The owner's client calls them before it seals the
file, and a requester's before it accepts one: a list that names a place that is uncovered is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Final, TypeVar

import av
import msgspec
import numpy as np
from av.container import InputContainer
from av.video.frame import PictureType
from numpy.typing import NDArray

from agent.core.media import EncodedPacket, Gop, SoundDescription, SoundPacket, StreamDescription, VideoCodec
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs
from agent.core.vault.redactions import PixelBox, Redaction, covered_pixels, place_at
from agent.errors import FormatError
from agent.media.annexb import nal_type, nal_units
from agent.media.fmp4 import FragmentedMp4Writer
from agent.media.playable import pictures_of, sound_of
from agent.media.sound import sound_mp4

__all__ = [
    "FilmComparison",
    "compare_films",
    "cover_film",
    "mute_sound",
    "opened",
    "require_covered",
    "require_exact",
    "require_muted",
]

_Value = TypeVar("_Value", np.uint8, np.bool)
Picture = NDArray[np.uint8]
"""The planes of a yuv420p picture, one below the other: height × 3/2 rows."""

_FORMAT: Final = "yuv420p"
_KEPT_FORMATS: Final = frozenset({"yuv420p", "yuvj420p"})
"""An exact film keeps the values of decoded pictures in these formats. The second has the full range of 0 to 255."""
_BLACK: Final = (16, 128)
"""Luma and chroma below a cover."""
_SEI: Final = 6
"""NAL unit type of messages beside the picture. x264 writes its name and settings there."""
_NEAR_BLACK: Final = 24
"""Farthest that an encoder may move a covered pixel from black. Filters at the rim of a cover end within `_RIM_PX`."""
_RIM_PX: Final = 4
_SOUND_BITS_PER_S: Final = 64_000
_QUIET: Final = 0.01
"""Loudest sample of a muted stretch, of 1. An encoder's noise stays below it."""
_RIM_MS: Final = 50
"""A muted stretch is checked from this long after its begin until this long before its end: a packet of AAC lasts 21 to
128 ms, and its ends sound into its neighbours."""
_LONGEST_S: Final = 3660
"""A segment is at most an hour long (FORMAT.md)."""
_FOREVER_MS: Final = 1 << 62
"""After every picture: an altered doorbell may date one hours after the end of its film."""
_KEYFRAME_EVERY_S: Final = 1
"""Seconds from one keyframe of a new film to the next. Cameras may set a keyframe where the scene changes, so those of
the recorded film would tell when something below a cover changed."""
_START_CODE: Final = b"\x00\x00\x00\x01"


@dataclass(frozen=True, slots=True)
class FilmComparison:
    """Two films outside of covers. Values are those of brightness and of both colours."""

    pictures: int
    values: int
    """Values that lie outside of all covers."""
    changed: int
    """Values of these that differ."""
    greatest: int
    """The greatest difference, of 255."""


def cover_film(media: bytes, redactions: Sequence[Redaction], length_ms: int, *, exact: bool = False) -> bytes:
    """Returns the film with each redaction's places filled with black, and a keyframe every second.

    `length_ms`: the length of the film by its record. `exact`: pixels outside of the covers keep their values. Raises
    `FormatError` if the film fails to open, or if it cannot be exact.
    """
    redactions = _lasting(redactions, length_ms)
    with opened(media) as container:
        stream = pictures_of(container)
        stream.codec_context.thread_count = 1
        base = stream.time_base or Fraction(1)
        end_ticks = max(((packet.pts or 0) + (packet.duration or 0) for packet in container.demux(stream)), default=0)
        container.seek(0)
        encoder = _FilmEncoder(stream.codec_context, exact=exact)
        first_tick: int | None = None
        key_tick = 0
        for frame in container.decode(stream):
            tick = frame.pts or 0
            # Times count from the first picture, as the new film's do, whatever an altered doorbell writes.
            is_key = first_tick is None or (tick - key_tick) * base >= _KEYFRAME_EVERY_S
            first_tick = tick if first_tick is None else first_tick
            key_tick = tick if is_key else key_tick
            at_ns = round((tick - first_tick) * base * NS_PER_S)
            # A copy, because the decoder still needs its own picture.
            picture = np.array(_picture(frame, exact=exact), np.uint8)
            for box in _boxes(redactions, at_ns, frame.width, frame.height):
                _fill(picture, box)
            encoder.add(picture, at_ns, keyframe=is_key)
        return encoder.finish(round((end_ticks - (first_tick or 0)) * base * NS_PER_S))


def require_covered(media: bytes, redactions: Sequence[Redaction], *, exact: bool = False) -> None:
    """Raises `FormatError` unless each listed place of a film is black for all of its time.

    In an `exact` film each value must be black, also at the rim of a cover.
    """
    farthest, rim_px = (0, 0) if exact else (_NEAR_BLACK, _RIM_PX)
    with opened(media) as container:
        stream = pictures_of(container)
        base = stream.time_base or Fraction(1)
        for frame in container.decode(stream):
            picture = _picture(frame, exact=exact)
            at_ns = round((frame.pts or 0) * base * NS_PER_S)
            for box in _boxes(redactions, at_ns, stream.width, stream.height):
                if not _is_black(picture, box, farthest, rim_px):
                    raise FormatError(
                        f"The film is not covered where its list of redactions says so, at {at_ns / NS_PER_S:.2f} s."
                    )


def require_exact(captured: bytes, made: bytes, redactions: Sequence[Redaction]) -> None:
    """Raises `FormatError` unless a covered film equals the captured one outside of its covers, value by value.

    The covers are those of the list, which a requester compares by. A film of altered software can go on after the
    length in its record. It is covered to its last picture, and the list cannot say so: then it cannot be exact.
    """
    found = compare_films(captured, made, redactions)
    if found.changed:
        raise FormatError("Outside of its covers the new film differs from the recorded one.")


def compare_films(captured: bytes, made: bytes, redactions: Sequence[Redaction]) -> FilmComparison:
    """Compares a covered film with the captured one, outside of the covers.

    Raises `FormatError` if one fails to open, or if they have other pictures: another number, size, format or time.
    """
    pictures = values = changed = greatest = 0
    for one, two in itertools.zip_longest(_timed_pictures(captured), _timed_pictures(made)):
        if one is None or two is None or one[1].shape != two[1].shape or abs(one[0] - two[0]) > NS_PER_MS:
            raise FormatError("The two films have other pictures, so they cannot be compared.")
        (at_ns, before), (_, after) = one, two
        outside = np.ones(before.shape, bool)
        for box in _boxes(redactions, at_ns, before.shape[1], before.shape[0] * 2 // 3):
            for plane, _ in _planes(outside, box, 0):
                plane[...] = False
        difference = np.abs(before.astype(np.int16) - after)[outside]
        pictures += 1
        values += difference.size
        changed += int(np.count_nonzero(difference))
        greatest = max(greatest, int(difference.max(initial=0)))
    return FilmComparison(pictures, values, changed, greatest)


def mute_sound(media: bytes, redactions: Sequence[Redaction], length_ms: int) -> bytes:
    """Returns the sound with each redaction's stretch as silence.

    `length_ms`: the length of the film by its record. Raises `FormatError` if the sound fails to open.
    """
    redactions = _lasting(redactions, length_ms)
    with opened(media) as container:
        stream = sound_of(container)
        rate_hz, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        encoder = av.CodecContext.create("aac", "w")
        encoder.sample_rate, encoder.layout, encoder.format = rate_hz, stream.codec_context.layout, "fltp"
        encoder.time_base, encoder.bit_rate = Fraction(1, rate_hz), _SOUND_BITS_PER_S * channels
        encoder.options = {"flags": "+bitexact"}
        packets: list[av.Packet[av.AudioStream]] = []
        for begin, samples in _samples(container, stream):
            for redaction in redactions:
                first, last = _sample_range(redaction, rate_hz, begin, samples.shape[1])
                samples[:, first:last] = 0.0
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=stream.codec_context.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, begin, encoder.time_base
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
    description = SoundDescription(rate_hz, bytes(encoder.extradata or b""), live=False, channels=channels)
    heard = [
        SoundPacket(bytes(each), BootNs(round(each.pts * NS_PER_S / rate_hz)))
        for each in packets
        if each.pts is not None
    ]
    track = sound_mp4(description, heard, 0, _LONGEST_S * NS_PER_S)
    if track is None:
        raise FormatError("None of its sound decodes.")
    return track


def require_muted(media: bytes, redactions: Sequence[Redaction]) -> None:
    """Raises `FormatError` unless each listed stretch of a sound is silent."""
    with opened(media) as container:
        stream = sound_of(container)
        rate_hz = stream.codec_context.sample_rate
        for begin, samples in _samples(container, stream):
            for redaction in redactions:
                first, last = _sample_range(redaction, rate_hz, begin, samples.shape[1], rim_ms=_RIM_MS)
                if first < last and np.abs(samples[:, first:last]).max() > _QUIET:
                    raise FormatError("The sound is not silent where its list of redactions says so.")


class _FilmEncoder:
    """libx264 for one film. Deterministic: one thread, and no choice that depends on the machine."""

    def __init__(self, captured: av.VideoCodecContext, *, exact: bool) -> None:
        codec = av.CodecContext.create("libx264", "w")
        width_px, height_px = captured.width, captured.height
        codec.width, codec.height, codec.pix_fmt = width_px, height_px, _FORMAT
        # Without these a player would guess the matrix from the size, and the colours would shift.
        codec.color_primaries, codec.color_trc = captured.color_primaries, captured.color_trc
        codec.colorspace = captured.colorspace
        quality = {"crf": "18"}
        if exact:
            # Lossless is the profile High 4:4:4 Predictive, also with colours of half the size.
            quality, codec.color_range = {"qp": "0"}, captured.color_range
            # FFmpeg (9.0) turns to lossless pictures inside a joined film only if the size or the aspect changes, too.
            # So square pixels are written in the other one of two ways.
            codec.sample_aspect_ratio = Fraction(captured.sample_aspect_ratio != 1)
        codec.framerate, codec.time_base = Fraction(30), Fraction(1, 30)
        codec.thread_count = 1
        codec.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "x264-params": "keyint=infinite:scenecut=0:bframes=0:repeat-headers=1:annexb=1:cpu-independent=1",
            **quality,
        }
        self._codec = codec
        self._times_ns: list[int] = []
        self._packets: list[av.Packet[av.VideoStream]] = []
        self._description = StreamDescription(width_px, height_px, 30.0, width_px, height_px, live=False)

    def add(self, picture: Picture, at_ns: int, *, keyframe: bool) -> None:
        if picture.shape != (self._codec.height * 3 // 2, self._codec.width):
            raise FormatError("The size of its pictures changes.")
        frame = av.VideoFrame.from_ndarray(picture, format=_FORMAT)
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        frame.pts, frame.time_base = len(self._times_ns), self._codec.time_base
        self._times_ns.append(at_ns)
        self._packets += self._codec.encode(frame)

    def finish(self, end_ns: int) -> bytes:
        """Returns the film, as the recorder would write it: one fragment for each GOP."""
        self._packets += self._codec.encode(None)
        packets = [
            EncodedPacket(_without_messages(bytes(packet)), packet.is_keyframe, BootNs(at_ns))
            for packet, at_ns in zip(self._packets, self._times_ns, strict=True)
        ]
        if not packets:
            raise FormatError("None of its pictures decodes.")
        starts = [number for number, packet in enumerate(packets) if packet.keyframe]
        borders = [*(packets[number].sensor_ns for number in starts[1:]), max(end_ns, packets[-1].sensor_ns + 1)]
        gops = [
            Gop(tuple(packets[first:following]), BootNs(border))
            for first, following, border in zip(starts, [*starts[1:], len(packets)], borders, strict=True)
        ]
        writer = FragmentedMp4Writer(self._description)
        return writer.begin(gops[0]) + b"".join(map(writer.add, gops[1:])) + writer.finish()


def _without_messages(access_unit: bytes) -> bytes:
    """Returns the access unit without the units that describe the encoder."""
    kept = (unit for unit in nal_units(access_unit) if nal_type(unit, VideoCodec.H264) != _SEI)
    return b"".join(_START_CODE + unit for unit in kept)


def _lasting(redactions: Sequence[Redaction], length_ms: int) -> list[Redaction]:
    """Returns the redactions. One that lasts to the end lasts as long as there are pictures or samples.

    The last packet of a sound reaches beyond the film's end. A film that is longer than its record says comes from
    altered software, and the owner has covered all of it as well.
    """
    return [
        msgspec.structs.replace(each, until_ms=_FOREVER_MS) if each.until_ms >= length_ms else each
        for each in redactions
    ]


def _boxes(redactions: Iterable[Redaction], at_ns: int, width_px: int, height_px: int) -> Iterator[PixelBox]:
    """Yields the covers of a picture. A picture within a millisecond of a redaction's time counts as covered, and one
    before the film's begin as its first."""
    for redaction in redactions:
        at_ms = max(0, at_ns // NS_PER_MS)
        if redaction.from_ms <= at_ms + 1 and at_ms <= redaction.until_ms:
            at_ms = min(max(at_ms, redaction.from_ms), redaction.until_ms)
            yield covered_pixels(place_at(redaction, at_ms), width_px, height_px)


def _picture(frame: av.VideoFrame, *, exact: bool) -> Picture:
    """Returns a decoded picture as planes. If `exact`, no value is converted."""
    if not exact:
        return np.asarray(frame.to_ndarray(format=_FORMAT), np.uint8)
    if frame.format.name not in _KEPT_FORMATS:
        raise FormatError("Its pictures have a format that an exact film cannot keep.")
    return np.asarray(frame.to_ndarray(), np.uint8)


def _timed_pictures(media: bytes) -> Iterator[tuple[int, Picture]]:
    """Yields the time since the first picture, in ns, and the values of each picture."""
    with opened(media) as container:
        stream = pictures_of(container)
        stream.codec_context.thread_count = 1
        base, first_tick = stream.time_base or Fraction(1), None
        for frame in container.decode(stream):
            first_tick = frame.pts or 0 if first_tick is None else first_tick
            yield round(((frame.pts or 0) - first_tick) * base * NS_PER_S), _picture(frame, exact=True)


def _fill(picture: Picture, box: PixelBox) -> None:
    for plane, value in _planes(picture, box, 0):
        plane[...] = value


def _is_black(picture: Picture, box: PixelBox, farthest: int = _NEAR_BLACK, rim_px: int = _RIM_PX) -> bool:
    return all(
        not plane.size or np.abs(plane.astype(np.int16) - value).max() <= farthest
        for plane, value in _planes(picture, box, rim_px)
    )


def _planes(picture: NDArray[_Value], box: PixelBox, rim_px: int) -> Iterator[tuple[NDArray[_Value], int]]:
    """Yields the box in each plane, less a rim, and the value that a cover has there."""
    height = picture.shape[0] * 2 // 3
    left, top, right, bottom = (box[0] + rim_px, box[1] + rim_px, box[2] - rim_px, box[3] - rim_px)
    luma, chroma = _BLACK
    yield picture[top:bottom, left:right], luma
    width = picture.shape[1]
    # The two small planes have half the width and height, and follow the first without padding.
    small = picture[height:].reshape(2, height // 2, width // 2)
    for plane in small:
        yield plane[-(-top // 2) : bottom // 2, -(-left // 2) : right // 2], chroma


def _samples(container: InputContainer, stream: av.AudioStream) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yields each frame's first sample, counted from the start of the film, and its samples by channel."""
    rate_hz = stream.codec_context.sample_rate
    base = stream.time_base or Fraction(1, rate_hz)
    for frame in container.decode(stream):
        yield round((frame.pts or 0) * base * rate_hz), np.array(frame.to_ndarray(), np.float32)


def _sample_range(redaction: Redaction, rate_hz: int, begin: int, count: int, rim_ms: int = 0) -> tuple[int, int]:
    """Returns the samples of a frame that a redaction mutes, as first and end."""
    first = (redaction.from_ms + rim_ms) * rate_hz // 1000 - begin
    last = -(-(redaction.until_ms - rim_ms) * rate_hz // 1000) - begin
    return max(0, min(first, count)), max(0, min(last, count))


@contextmanager
def opened(media: bytes) -> Iterator[InputContainer]:
    """Opens an MP4. Raises `FormatError` if it fails to open, also while it is read."""
    try:
        with av.open(BytesIO(media), mode="r", format="mp4") as container:
            yield container
    except (av.error.FFmpegError, OverflowError, ValueError) as error:
        raise FormatError("It does not decode.") from error
