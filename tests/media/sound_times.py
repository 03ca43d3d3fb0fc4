"""Reads the times in a sound track back with libavformat, which is not what wrote them."""

from __future__ import annotations

import io

import av

__all__ = ["times_ns"]


def times_ns(track: bytes, *, every: bool = False) -> tuple[int, ...]:
    """When the first packet begins and the last one ends, ns; `every`: when each begins, too."""
    with av.open(io.BytesIO(track)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
    starts = [round((packet.pts or 0) * packet.time_base * 10**9) for packet in packets if packet.time_base]
    last = packets[-1]
    end = starts[-1] + round((last.duration or 0) * (last.time_base or 0) * 10**9)
    return (*(starts if every else starts[:1]), end)
