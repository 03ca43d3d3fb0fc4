"""MP4 boxes of a fragmented movie of one track, for video or sound.

Source: ISO/IEC 14496-12.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

__all__ = ["box", "fragment", "full_box", "header"]

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
