"""Things that a doorbell could seal instead of footage: each opens with its key, and each is a fake."""

from __future__ import annotations

import struct
import zlib

__all__ = ["HOSTILE_FILMS", "HOSTILE_SOUNDS", "HOSTILE_STILLS", "at_the_end_of_time", "flipped", "picture_bomb"]


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def picture_bomb(side_px: int = 12_000) -> bytes:
    """A black PNG of half a megabyte that takes 430 MB to decode.

    One row is compressed and repeated, so that making it takes no time. https://www.w3.org/TR/png-3/
    """

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row_bytes = 1 + 3 * side_px
    squeezed = zlib.compressobj(wbits=-15)
    row = squeezed.compress(bytes(row_bytes)) + squeezed.flush(zlib.Z_FULL_FLUSH)
    adler = (side_px * row_bytes % 65521) << 16 | 1  # of zeros
    data = b"\x78\x9c" + row * side_px + zlib.compressobj(wbits=-15).flush() + struct.pack(">I", adler)
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def flipped(film: bytes) -> bytes:
    """The same film with every other byte of its header turned round."""
    at = film.index(b"moov") + 4
    end = at - 8 + int.from_bytes(film[at - 8 : at - 4], "big")
    inside = bytes(each ^ (0xFF if number % 2 else 0) for number, each in enumerate(film[at:end]))
    return film[:at] + inside + film[end:]


def at_the_end_of_time(film: bytes) -> bytes:
    """The same film, from 2^53 - 1 ticks on."""
    at = film.index(b"tfdt") + 8
    return film[:at] + struct.pack(">Q", 2**53 - 1) + film[at + 8 :]


def renamed(film: bytes) -> bytes:
    """The same film, said to be of a codec that doorbells do not record."""
    return film.replace(b"avc1", b"mp4v").replace(b"avcC", b"esds")


def garbage(_film: bytes) -> bytes:
    return box(b"ftyp", b"isom") + box(b"mdat", bytes(range(256)) * 40)


def emptied(film: bytes) -> bytes:
    """The same film without a picture in it."""
    out, at = b"", 0
    while at < len(film):
        size = int.from_bytes(film[at : at + 4], "big")
        data = film[at : at + size]
        out, at = out + (data[:8] + bytes(size - 8) if data[4:8] == b"mdat" else data), at + size
    return out


def playlist(_film: bytes) -> bytes:
    return b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"


HOSTILE_FILMS = {
    "garbage": garbage, "flipped headers": flipped, "the end of time": at_the_end_of_time, "another codec": renamed,
    "emptied": emptied, "a playlist": playlist, "a picture": lambda _film: picture_bomb(100),
    "nothing": lambda _film: b"",
}  # fmt: skip
HOSTILE_SOUNDS = {
    "garbage": garbage, "pictures": lambda film: film, "a playlist": playlist, "nothing": lambda _film: b"",
}  # fmt: skip
HOSTILE_STILLS = {
    "text": b"\xff\xd8\xff<script>", "a film": b"\xff\xd8\xff" + garbage(b""), "a header alone": b"\xff\xd8\xff\xd9",
}  # fmt: skip
