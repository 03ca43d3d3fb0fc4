"""Says how much was shared of each clip, in the four grades an owner has: that it exists, its poster, segments, all.

A clip that an owner told of counts its matching segments, and so says how many were not shared; of every other clip
nothing can be concluded from what did not come.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.clients.requester.verification import Verification
from agent.wire.disclosures import PartKind

__all__ = ["ClipExistence", "DisclosureGrades", "grades_of"]


@dataclass(frozen=True, slots=True)
class ClipExistence:
    """A clip the owner told of: when, how many of its segments match the request, and how many of those came."""

    from_ms: int
    to_ms: int
    segments: int
    shared: int


@dataclass(frozen=True, slots=True)
class DisclosureGrades:
    """`lines`: what was shared, in words, the most first."""

    segments: int
    clips: int
    posters: int
    told: tuple[ClipExistence, ...]
    unopened: int = 0
    """Files that came and do not open."""
    sounds: int = 0
    """Of the segments, those that came with what was heard."""

    @property
    def lines(self) -> tuple[str, ...]:
        said = (
            self.segments and f"{_count(self.segments, 'segment')} of video in {_count(self.clips, 'clip')}",
            self.sounds and f"the sound of {_count(self.sounds, 'segment')}",
            self.posters and f"{_count(self.posters, 'poster')}: a still picture of a clip, without its video",
            self.unopened and f"{_count(self.unopened, 'file')} that cannot be opened",
            self.told and f"that {_count(len(self.told), 'clip')} {_exist(len(self.told))}, and when",
        )
        return tuple(each for each in said if each)

    @property
    def shows_anything(self) -> bool:
        """True if a picture was shared.  Otherwise the owner has said only that there is footage."""
        return bool(self.segments or self.posters)


def grades_of(verification: Verification) -> DisclosureGrades:
    """The grades of a verification that is `ok`; nothing of any other."""
    approval = verification.disclosed.approval if verification.disclosed else None
    came = (each for each in verification.items if each.item.part.kind is PartKind.SEGMENT)
    spans = [each.item.record.span for each in came]
    return DisclosureGrades(
        segments=len(verification.segments),
        clips=len({each.item.record.event for each in verification.segments}),
        posters=len(verification.posters),
        sounds=len(verification.sounds),
        unopened=len(verification.unopened),
        told=tuple(
            ClipExistence(
                clip.from_ms,
                clip.to_ms,
                clip.segments,
                sum(clip.from_ms <= span.start_ms and span.end_ms <= clip.to_ms for span in spans),
            )
            for clip in sorted((approval.clips if approval else None) or (), key=lambda clip: clip.from_ms)
        ),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _exist(number: int) -> str:
    return "exists" if number == 1 else "exist"
