"""Writes whole GOPs as a fragmented MP4, one `moof` + `mdat` per GOP, as bytes to be sealed. Sound has the same boxes.

- Each call returns complete top-level boxes. Any prefix of the calls that reached the disk plays up to its end, so a
  power cut costs at most the GOP that was being written.
- The first frame is at 0. Each other frame is at its sensor time less the first's, to one tick of 90 kHz (11 µs). Ticks
  are rounded from the start of the segment, so that rounding errors do not add up.
- A frame lasts until the next one, and a GOP's last frame until `gop.end_ns`. A pause in the source stays a pause.
- With B-frames the samples are in decoding order. They begin one after the other at the capture times, each says how
  much later it is shown, and an edit in the header subtracts that delay.
- A part of a long GOP is a separate fragment, which plays behind the parts before it.
- The same GOPs give the same bytes: without creation time, random number or encoder name.

This module does not use libavformat, because libavformat flushes a fragment only at the *next* keyframe. A GOP already
waits for its end, and a further second would double the loss of a power cut. Source: ISO/IEC 14496-12 (boxes), 14496-15
§5 (AVC in MP4) and §8 (HEVC).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from agent.core.media import Gop, StreamDescription, VideoCodec
from agent.core.timebase import NS_PER_S
from agent.errors import FormatError, InternalError
from agent.media.annexb import ParameterSets, sample_of, sample_units

__all__ = [
    "TICKS_PER_S",
    "FragmentedMp4Writer",
    "at_tick",
    "box",
    "codec_of",
    "film_units",
    "fragment",
    "fragments_of",
    "full_box",
    "gop_units",
    "header",
    "header_of",
    "tick_of",
    "whole_fragments",
]

_TRACK = 1
_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED_LANGUAGE = 0x55C4
_FULL_VOLUME = 0x0100


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def header(
    brands: bytes, ticks_per_s: int, handler: bytes, media_header: bytes, sample_entry: bytes,
    size_px: tuple[int, int] | None = None, delay: int = 0,
) -> bytes:  # fmt: skip
    """Returns `ftyp` and `moov`. `media_header`: the box `vmhd` or `smhd`. `size_px`: None for sound.

    `delay`: ticks by which samples are decoded ahead of being shown (`fragment`).
    """
    width_px, height_px = size_px or (0, 0)
    movie = full_box(
        b"mvhd",
        0,
        0,
        struct.pack(">4IIH10x", 0, 0, ticks_per_s, 0, 0x10000, _FULL_VOLUME),
        _UNITY_MATRIX,
        struct.pack(">24xI", _TRACK + 1),
    )
    track = full_box(
        b"tkhd",
        0,
        3,  # enabled, in the movie
        struct.pack(">5I12xHxx", 0, 0, _TRACK, 0, 0, 0 if size_px else _FULL_VOLUME),
        _UNITY_MATRIX,
        struct.pack(">II", width_px << 16, height_px << 16),
    )
    extends = full_box(b"trex", 0, 0, struct.pack(">5I", _TRACK, 1, 0, 0, 0))
    media = _media(ticks_per_s, handler, media_header, sample_entry)
    # One edit of unlimited length: the film begins `delay` ticks into the track.
    edits = box(b"edts", full_box(b"elst", 0, 0, struct.pack(">IIiHH", 1, 0, delay, 1, 0))) if delay else b""
    moov = box(b"moov", movie, box(b"trak", track, edits, media), box(b"mvex", extends))
    return box(b"ftyp", b"iso6", bytes(4), brands) + moov


def _media(ticks_per_s: int, handler: bytes, media_header: bytes, sample_entry: bytes) -> bytes:
    url = full_box(b"url ", 0, 1)  # the samples are in this file
    name = {b"vide": b"video\x00", b"soun": b"sound\x00"}[handler]
    information = box(
        b"minf",
        media_header,
        box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), url)),
        box(
            b"stbl",
            full_box(b"stsd", 0, 0, struct.pack(">I", 1), sample_entry),
            full_box(b"stts", 0, 0, bytes(4)),
            full_box(b"stsc", 0, 0, bytes(4)),
            full_box(b"stsz", 0, 0, bytes(8)),
            full_box(b"stco", 0, 0, bytes(4)),
        ),
    )
    return box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack(">4IHxx", 0, 0, ticks_per_s, 0, _UNDETERMINED_LANGUAGE)),
        full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, handler), name),
        information,
    )


def fragment(
    number: int, borders: Sequence[int], samples: Sequence[bytes], flags: Sequence[int],
    shown: Sequence[int] = (), delay: int = 0,
) -> bytes:  # fmt: skip
    """Returns `moof` and `mdat` for samples that begin at `borders[i]` and end at `borders[i + 1]` ticks.

    `shown`: times at which samples are shown, if they differ from their begin (B-frames), in a film with a `delay` in
    its header.
    """
    offsets = [at - begin + delay for at, begin in zip(shown, borders, strict=False)]
    with_offsets = any(offsets)
    runs = b"".join(
        struct.pack(">III", borders[i + 1] - borders[i], len(data), flag)
        + (struct.pack(">i", offsets[i]) if with_offsets else b"")
        for i, (data, flag) in enumerate(zip(samples, flags, strict=True))
    )
    # Version 1: the offsets are signed.
    version, fields = (1, 0x0F01) if with_offsets else (0, 0x0701)

    def boxes(data_offset: int) -> bytes:
        return box(
            b"moof",
            full_box(b"mfhd", 0, 0, struct.pack(">I", number)),
            box(
                b"traf",
                full_box(b"tfhd", 0, 0x02_0000, struct.pack(">I", _TRACK)),  # offsets count from this moof
                full_box(b"tfdt", 1, 0, struct.pack(">Q", borders[0])),
                full_box(b"trun", version, fields, struct.pack(">Ii", len(samples), data_offset), runs),
            ),
        )

    return boxes(len(boxes(0)) + 8) + box(b"mdat", *samples)


TICKS_PER_S = 90_000

_BRANDS = {VideoCodec.H264: b"iso6iso5isomavc1mp41", VideoCodec.HEVC: b"iso6iso5isomhvc1mp41"}
_SAMPLE_ENTRY = {VideoCodec.H264: b"avc1", VideoCodec.HEVC: b"hvc1"}
"""Sample entries for parameter sets that are only in the header."""

_KEYFRAME_FLAGS = 0x0200_0000
"""sample_depends_on = 2: on no other sample."""
_OTHER_FLAGS = 0x0101_0000
"""sample_depends_on = 1, sample_is_non_sync_sample."""


def whole_fragments(media: bytes) -> bytes:
    """Returns the longest prefix that ends with a whole fragment, of a segment that a power failure cut short.

    A player shows a torn fragment too, up to its torn frame, but joining needs clean ends. Boxes behind the last
    fragment (the context record) are left out. Raises `FormatError` if even the first fragment is incomplete.
    """
    at = end = 0
    while len(media) - at >= 8:
        size, kind = struct.unpack_from(">I4s", media, at)
        at += size
        if size < 8 or at > len(media):
            break
        end = at if kind == b"mdat" else end
    if not end:
        raise FormatError("This segment was cut off before its first second was whole.")
    return media[:end]


def header_of(media: bytes) -> bytes:
    """Returns `ftyp` and `moov`, which describe the pictures. Raises `FormatError`."""
    return media[: _first_fragment(media)]


def fragments_of(media: bytes) -> bytes:
    """Returns the bytes after the header. Raises `FormatError`."""
    return media[_first_fragment(media) :]


def at_tick(fragments: bytes, tick: int, number: int) -> bytes:
    """Returns the one fragment that our writer made of a segment's first GOP, moved to `tick` and numbered `number`."""
    moved = bytearray(fragments)
    for kind, form, value in ((b"mfhd", ">I", number), (b"tfdt", ">Q", tick)):
        at = fragments.find(kind, 0, 256)  # in front of all fields with varying length
        if at < 0:
            raise FormatError("This is not a fragment of our writer.")
        struct.pack_into(form, moved, at + 8, value)
    return bytes(moved)


def tick_of(media: bytes) -> int:
    """Returns the tick at which the first fragment of our writer begins. Raises `FormatError`."""
    at = media.find(b"tfdt", _first_fragment(media))
    if at < 0 or at + 16 > len(media):
        raise FormatError("This is not a fragment of our writer.")
    return int.from_bytes(media[at + 8 : at + 16])


def codec_of(media: bytes) -> VideoCodec:
    """Returns the codec of a film of our writer. Raises `FormatError`."""
    header = header_of(media)
    found = [codec for codec, entry in _SAMPLE_ENTRY.items() if entry in header[header.find(b"stsd") :]]
    if len(found) != 1:
        raise FormatError("This is not a film of our writer.")
    return found[0]


def film_units(media: bytes) -> Iterator[bytes]:
    """Yields each NAL unit of a film of our writer, in the order of decoding. Raises `FormatError`.

    Our writer puts nothing but samples into `mdat`, one behind the other. Boxes behind the last fragment are skipped.
    """
    at = 0
    while at < len(media):
        if len(media) - at < 8:
            raise FormatError("The last MP4 box of this film is cut short.")
        size, kind = struct.unpack_from(">I4s", media, at)
        if size < 8 or size > len(media) - at:
            raise FormatError("An MP4 box of this film states an impossible size.")
        if kind == b"mdat":
            yield from _units(media, at + 8, at + size)
        at += size


def _units(media: bytes, at: int, end: int) -> Iterator[bytes]:
    while at < end:
        size = int.from_bytes(media[at : at + 4])
        if end - at < 5 or not 0 < size <= end - at - 4:
            raise FormatError("A picture of this film is cut short.")
        yield media[at + 4 : at + 4 + size]
        at += 4 + size


def _first_fragment(media: bytes) -> int:
    at = 0
    while len(media) - at >= 8:
        size, kind = struct.unpack_from(">I4s", media, at)
        if kind == b"moof":
            return at
        if size < 8:
            break
        at += size
    raise FormatError("This MP4 has no fragment.")


def gop_units(gop: Gop, codec: VideoCodec) -> list[list[bytes]]:
    """Returns the NAL units of each packet's sample."""
    return [sample_units(packet.data, codec) for packet in gop.packets]


class FragmentedMp4Writer:
    """Writer for one segment's media. `begin` with its first GOP, `add` the others, `finish`. Append what each
    returns."""

    def __init__(self, description: StreamDescription) -> None:
        self._description = description
        self._parameters: ParameterSets | None = None
        self._start_ns = 0
        self._newest_ns = 0
        self._delay = 0
        """Ticks by which a picture is decoded ahead, taken from the first GOP."""
        self._fragments = 0

    def begin(self, first_gop: Gop, units: Sequence[Sequence[bytes]] | None = None) -> bytes:
        """Returns the header boxes *and* the first GOP's fragment. `units`: see `add`.

        Raises `FormatError` if the keyframe lacks parameter sets.
        """
        if self._parameters is not None or not first_gop.begins:
            raise InternalError("A segment was begun twice, or in the middle of a GOP.")
        self._parameters = ParameterSets.of(first_gop.packets[0].data, self._description.codec)
        self._start_ns = first_gop.start_ns
        self._newest_ns = self._start_ns - 1
        shown = [self._tick(packet.sensor_ns) for packet in first_gop.packets]
        # With B-frames, some pictures are shown before their turn in decoding order. The film is delayed by the largest
        # such difference, so that no offset of this GOP is negative.
        self._delay = max(begin - at for begin, at in zip(sorted(shown), shown, strict=True))
        return self._header(self._parameters) + self.add(first_gop, units)

    def add(self, gop: Gop, units: Sequence[Sequence[bytes]] | None = None) -> bytes:
        """Returns the fragment of the next GOP.

        `units`: the NAL units of each packet's sample, if they are more than the packet's own (`gop_units`). Raises
        `FormatError` if the encoder's parameters changed, because such a GOP begins a new segment.
        """
        if self._parameters is None or gop.start_ns <= self._newest_ns:
            raise InternalError("A segment's GOPs must begin with `begin` and follow one another in time.")
        codec = self._description.codec
        # The parameter sets are in the header alone (`avc1`, `hvc1`), so a film can have one set of them.
        if gop.begins and ParameterSets.of(gop.packets[0].data, codec) != self._parameters:
            raise FormatError("The camera changed its picture format inside a segment.")
        self._fragments += 1
        self._newest_ns = max(packet.sensor_ns for packet in gop.packets)
        samples = [sample_of(each) for each in (units if units is not None else gop_units(gop, codec))]
        shown = [self._tick(packet.sensor_ns) for packet in gop.packets]
        # Sorted: samples are in decoding order, and their durations must fill the time without a gap.
        borders = [*sorted(shown), self._tick(gop.end_ns)]
        flags = [_KEYFRAME_FLAGS if packet.keyframe else _OTHER_FLAGS for packet in gop.packets]
        return fragment(self._fragments, borders, samples, flags, shown, self._delay)

    def finish(self) -> bytes:
        """Closes the media. Returns no bytes, because each fragment is complete. Ends the use of the writer."""
        if self._parameters is None:
            raise InternalError("A segment was finished before it began.")
        self._parameters = None
        return b""

    def _tick(self, sensor_ns: int) -> int:
        # From the start of the segment, not from the picture before: rounding errors must not add up.
        return round((sensor_ns - self._start_ns) * TICKS_PER_S / NS_PER_S)

    def _header(self, parameters: ParameterSets) -> bytes:
        size_px = (self._description.width_px, self._description.height_px)
        brands, entry = _BRANDS[self._description.codec], self._sample_entry(parameters)
        video = full_box(b"vmhd", 0, 1, bytes(8))
        return header(brands, TICKS_PER_S, b"vide", video, entry, size_px, self._delay)

    def _sample_entry(self, parameters: ParameterSets) -> bytes:
        """Returns `avc1` or `hvc1`: 72 dpi, one frame per sample, 24 bits of colour, an empty name."""
        picture = struct.pack(">HHIII", self._description.width_px, self._description.height_px, 0x480000, 0x480000, 0)
        return box(
            _SAMPLE_ENTRY[self._description.codec],
            struct.pack(">6xH16x", 1),
            picture,
            struct.pack(">H32xHh", 1, 24, -1),
            box(parameters.box_kind, parameters.record()),
        )
