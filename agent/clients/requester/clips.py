"""Clips of a verified disclosure, in order, with their times and the quality of the clock.

The order is the device's record numbers in its manifest. The wall clock does not affect it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from agent.clients.requester.verification import Verification, VerifiedItem
from agent.core.timebase import ClockQuality
from agent.core.vault.following import clip_chain_start, prev_in_clip_of
from agent.wire.disclosures import PartKind

__all__ = ["Continuity", "DisclosedClip", "DisclosedSegment", "clips_of"]

_SHORTEST_GAP_MS: Final = 500
"""A shorter pause between two segments is the rounding of their times. One picture at two a second lasts this long."""


@dataclass(frozen=True, slots=True)
class DisclosedSegment:
    """One segment: the `number`-th of the disclosure, counted from 1."""

    number: int
    verified: VerifiedItem
    sound: VerifiedItem | None = None
    """Sound of the segment, if it was shared too."""

    @property
    def id(self) -> str:
        return self.verified.item.part.id

    @property
    def start_ms(self) -> int:
        """UTC, by the device's clock."""
        return self.verified.span.start_ms

    @property
    def end_ms(self) -> int:
        """UTC. For a segment that a power failure cut off, the latest possible end."""
        return self.verified.span.end_ms

    @property
    def quality(self) -> ClockQuality:
        return self.verified.item.record.quality


class Continuity(enum.Enum):
    """Completeness of the segments of one clip, by the signatures that the device made at capture."""

    UNBROKEN = "each was signed at capture as the successor of the one before, so none between them is left out"
    BROKEN = (
        "at capture, other segments were signed between them: they were recorded and not shared, or the disk failed"
    )
    UNSIGNED = (
        "some were not signed at capture as the successor of the one before, for example because they were found again "
        "after a power failure. Segments between them may be missing"
    )


@dataclass(frozen=True, slots=True)
class DisclosedClip:
    """The shared part of one event, the `number`-th of the disclosure. It may be a picture alone."""

    number: int
    event: str
    segments: tuple[DisclosedSegment, ...]
    poster: VerifiedItem | None
    unopened: tuple[VerifiedItem, ...] = ()
    """Segments of the clip that arrived but fail to open."""

    @property
    def start_ms(self) -> int:
        return self.segments[0].start_ms if self.segments else self._poster_span_ms[0]

    @property
    def end_ms(self) -> int:
        return self.segments[-1].end_ms if self.segments else self._poster_span_ms[1]

    @property
    def continuity(self) -> Continuity | None:
        """Returns None if the clip has fewer than two segments."""
        records = [each.verified.item.captured for each in self.segments]
        records += [each.item.captured for each in self.unopened]
        records.sort(key=lambda record: record.sequence)
        if len(records) < 2:
            return None
        if clip_chain_start(records) is not None:
            return Continuity.UNBROKEN
        return Continuity.BROKEN if all(map(prev_in_clip_of, records)) else Continuity.UNSIGNED

    @property
    def gaps_ms(self) -> tuple[tuple[int, int], ...]:
        """Returns start and end of each pause between two shown segments, by the device's clock (UTC ms)."""
        pairs = zip(self.segments, self.segments[1:], strict=False)
        ends = ((one.end_ms, next_one.start_ms) for one, next_one in pairs)
        return tuple((end_ms, start_ms) for end_ms, start_ms in ends if start_ms - end_ms >= _SHORTEST_GAP_MS)

    @property
    def quality(self) -> ClockQuality:
        """Returns the worst clock quality of its files."""
        shown = [each.verified for each in self.segments] + ([self.poster] if self.poster is not None else [])
        return max((each.item.record.quality for each in shown), key=list(ClockQuality).index)

    @property
    def _poster_span_ms(self) -> tuple[int, int]:
        assert self.poster is not None  # noqa: S101 (a clip is made of at least one item)
        return self.poster.span.start_ms, self.poster.span.end_ms


def clips_of(verification: Verification) -> tuple[DisclosedClip, ...]:
    """Returns the clips of a verification that is `ok`, and an empty tuple for any other."""
    ordered = sorted(verification.items, key=lambda each: each.item.captured.sequence)
    pictures = {*verification.segments, *verification.posters}
    events = dict.fromkeys(each.item.record.event for each in ordered if each in pictures)
    videos = [each for each in ordered if each in verification.segments]
    heard = {each.item.part.id: each for each in verification.sounds}
    shown = [
        DisclosedSegment(number, each, heard.get(each.item.part.id)) for number, each in enumerate(videos, start=1)
    ]
    return tuple(
        DisclosedClip(
            number,
            event,
            tuple(each for each in shown if each.verified.item.record.event == event),
            next((each for each in verification.posters if each.item.record.event == event), None),
            tuple(
                each
                for each in verification.unopened
                if each.item.part.kind is PartKind.SEGMENT and each.item.record.event == event
            ),
        )
        for number, event in enumerate(events, start=1)
    )
