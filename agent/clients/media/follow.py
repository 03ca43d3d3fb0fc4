"""Follows what an owner has drawn a cover on through the films of a clip (`region_tracks`).

The values of brightness are those that the decoder gives, as on the page, so both follow to the same places.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from agent.clients.media.face_covers import Followed
from agent.clients.media.face_tracks import Luma
from agent.clients.media.redact import opened
from agent.clients.media.region_tracks import WIDEST_PX, RegionTracks, halved
from agent.core.timebase import NS_PER_MS, NS_PER_S
from agent.core.vault.redactions import Place
from agent.media.playable import pictures_of

__all__ = ["follow_region", "pictures", "times"]


def follow_region(films: Sequence[tuple[bytes, int]], hand: Sequence[Place], from_ms: int, until_ms: int) -> Followed:
    """Returns the places of a cover that follows what is below it, in ms of the clip.

    `films`: the segments of the clip, and the length of each by its record, in ms. `hand`: the places that the owner
    set, in order of time, at least one of them from `from_ms` until `until_ms`. Raises `FormatError` if a film fails to
    open.
    """
    tracks = RegionTracks(hand, from_ms, until_ms, [length_ms for _media, length_ms in films])
    for number in tracks.order:
        media = films[number][0]
        tracks.add(pictures(media, tracks.moments(times(media))))
    return tracks.finish()


def times(media: bytes) -> list[int]:
    """Returns the time of each picture of a film, in ms, in the order in which they are shown."""
    with opened(media) as container:
        stream = pictures_of(container)
        base = stream.time_base or Fraction(1)
        ticks = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        return [_ms_of((tick - ticks[0]) * base) for tick in ticks]


def pictures(media: bytes, wanted: Sequence[int]) -> list[tuple[int, Luma]]:
    """Returns the time and the brightness of the pictures that are wanted, in order."""
    left, found = list(reversed(wanted)), list[tuple[int, Luma]]()
    if not left:
        return found
    with opened(media) as container:
        stream = pictures_of(container)
        stream.codec_context.thread_count = 1
        base, first_tick = stream.time_base or Fraction(1), None
        for frame in container.decode(stream):
            first_tick = frame.pts or 0 if first_tick is None else first_tick
            at_ms = _ms_of(((frame.pts or 0) - first_tick) * base)
            if at_ms < left[-1]:
                continue
            found.append((at_ms, _luma(frame)))
            left.pop()
            if not left:
                break
    return found


def _ms_of(seconds: Fraction) -> int:
    return round(seconds * NS_PER_S) // NS_PER_MS


def _luma(frame: av.VideoFrame) -> Luma:
    luma = np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)[: frame.height]
    while luma.shape[1] > WIDEST_PX:
        luma = halved(luma)
    return np.ascontiguousarray(luma)
