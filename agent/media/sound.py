"""Writes the sound of a segment as a fragmented MP4 of one AAC track, in one piece, as bytes to be sealed.

- Time 0 is the segment's first picture. A packet's time is its capture time less that, to one sample.
- Only packets that begin within the segment are included. So a receiver of a segment hears at most the rest of one
  packet more than it shows.
- A hole between packets stays a hole: the packet before it lasts until the next.
- The same packets give the same bytes.
- Live view has the same track in parts (`live_sound`), each with its header, so that a player can begin with any.

Source: ISO/IEC 14496-12 (boxes), 14496-14 (`mp4a`, `esds`), 14496-1 §7.2.6 (descriptors).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from agent.core.media import SoundDescription, SoundPacket
from agent.core.timebase import NS_PER_S
from agent.media.fmp4 import box, fragment, full_box, header

__all__ = ["live_sound", "sound_mp4"]

_BRANDS = b"iso6iso5isommp41"
_ALONE = 0x0200_0000
"""sample_depends_on = 2: on no other sample."""
_AAC, _AUDIO_STREAM = 0x40, 0x15


def sound_mp4(
    description: SoundDescription, packets: Sequence[SoundPacket], start_ns: int, end_ns: int
) -> bytes | None:
    """Returns the track of [start_ns, end_ns), boot clock, or None if the span is silent. `packets` are in order of
    time."""
    inside = [packet for packet in packets if start_ns <= packet.heard_ns < end_ns]
    if not inside:
        return None
    return _header(description) + _fragment(description, inside, start_ns)


def live_sound(description: SoundDescription, packets: Sequence[SoundPacket]) -> bytes:
    """Returns the track of these packets, which begins with the first; without packets a header alone."""
    head = _header(description)
    return head + _fragment(description, packets, packets[0].heard_ns) if packets else head


def _fragment(description: SoundDescription, inside: Sequence[SoundPacket], start_ns: int) -> bytes:
    rate_hz = description.rate_hz
    borders = [round((packet.heard_ns - start_ns) * rate_hz / NS_PER_S) for packet in inside]
    for at in range(1, len(borders)):  # two packets may be a fraction of a sample apart if the count moved back
        borders[at] = max(borders[at], borders[at - 1] + 1)
    borders.append(borders[-1] + description.frame_samples)
    return fragment(1, borders, [packet.data for packet in inside], [_ALONE] * len(inside))


def _header(description: SoundDescription) -> bytes:
    entry = _sample_entry(description)
    return header(_BRANDS, description.rate_hz, b"soun", full_box(b"smhd", 0, 0, bytes(4)), entry)


def _sample_entry(description: SoundDescription) -> bytes:
    """Returns `mp4a` with 16 bits a sample."""
    sound = struct.pack(">6xH8xHH4xI", 1, description.channels, 16, description.rate_hz << 16)
    config = _descriptor(5, description.config)
    decoder = _descriptor(4, struct.pack(">BB3xII", _AAC, _AUDIO_STREAM, 0, 0) + config)
    stream = _descriptor(3, struct.pack(">HB", 1, 0) + decoder + _descriptor(6, b"\x02"))
    return box(b"mp4a", sound, full_box(b"esds", 0, 0, stream))


def _descriptor(tag: int, body: bytes) -> bytes:
    """Returns a descriptor. The length takes one byte, because all our bodies are shorter than 128 bytes."""
    return struct.pack(">BB", tag, len(body)) + body
