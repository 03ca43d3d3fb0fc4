"""Suggested and followed covers, as the decoder that examines films hands them over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.core.vault.redactions import MOST_REDACTIONS, Place, RedactionKind

__all__ = ["Followed", "Suggestion", "at_most"]

_Extent = tuple[int, int, int, int, int, int]
"""Left, top, right and bottom of all places of a cover, and its time in ms."""
_RIM_MS: Final = 1
"""A plan has decimals of seconds, and rounds its covers outwards."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A cover as the plan of a clip has it. `score`: the surest detection in it, 0..1."""

    from_ms: int
    until_ms: int
    places: tuple[Place, ...]
    score: float
    kind: RedactionKind = RedactionKind.FACE


@dataclass(frozen=True, slots=True)
class Followed:
    """Where a cover is that was followed through a clip. `unsure`: stretches in which an owner has to look, in ms."""

    places: tuple[Place, ...]
    unsure: tuple[tuple[int, int], ...]


def at_most(covers: Sequence[Suggestion], ends_ms: Sequence[int], most: int = MOST_REDACTIONS) -> list[Suggestion]:
    """Returns covers that hide the same places, at most `most` of them in each film of a clip.

    `ends_ms`: when each film ends, in ms of the clip. The smallest cover is joined with the one that grows least by it.
    The page does the same (agent/web/src/owner/face_tracks.js).
    """
    kept, begin_ms = list(covers), 0
    for end_ms in ends_ms:
        while True:
            here = [each for each in kept if each.from_ms <= end_ms + _RIM_MS and each.until_ms >= begin_ms - _RIM_MS]
            if len(here) <= max(1, most):
                break
            least = min(here, key=lambda each: _size(_extent(each)))
            others = [each for each in here if each is not least]
            partner = min(others, key=lambda each: _size(_extent(least, each)) - _size(_extent(each)))
            kept = [each for each in kept if each is not least and each is not partner]
            kept.append(_joined(least, partner))
        begin_ms = end_ms
    return kept


def _extent(*covers: Suggestion) -> _Extent:
    places = [place for each in covers for place in each.places]
    return (
        min(place.left for place in places), min(place.top for place in places),
        max(place.left + place.width for place in places), max(place.top + place.height for place in places),
        min(each.from_ms for each in covers), max(each.until_ms for each in covers),
    )  # fmt: skip


def _size(extent: _Extent) -> int:
    left, top, right, bottom, from_ms, until_ms = extent
    return (right - left) * (bottom - top) * (until_ms - from_ms)


def _joined(one: Suggestion, other: Suggestion) -> Suggestion:
    left, top, right, bottom, from_ms, until_ms = _extent(one, other)
    kind = one.kind if one.kind is other.kind else RedactionKind.AREA
    place = Place(from_ms, left, top, right - left, bottom - top)
    return Suggestion(from_ms, until_ms, (place,), max(one.score, other.score), kind)
