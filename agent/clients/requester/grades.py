"""Grades of a disclosure: how much was shared of each clip (its existence, its poster, segments, all).

For a clip that the owner named, the grades count its matching segments, and so the hidden ones. For other
clips, missing footage allows no conclusion.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.clients.requester.checks import AnswerSummary, Grade
from agent.clients.requester.verification import Verification
from agent.wire.disclosures import PartKind

__all__ = ["ClipExistence", "DisclosureGrades", "grades_of", "summary_of"]


@dataclass(frozen=True, slots=True)
class ClipExistence:
    """A clip the owner named: its time, the number of segments that match the request, and the number that arrived."""

    from_ms: int
    to_ms: int
    segments: int
    shared: int


@dataclass(frozen=True, slots=True)
class DisclosureGrades:
    """Grades of one disclosure. `lines`: what was shared, in words, the most first."""

    segments: int
    clips: int
    posters: int
    told: tuple[ClipExistence, ...]
    unopened: int = 0
    """Files that arrived but fail to open."""
    sounds: int = 0
    """Segments that arrived with their sound."""

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
    def grade(self) -> Grade:
        if self.segments:
            whole = bool(self.told) and not self.unopened and all(each.shared == each.segments for each in self.told)
            return Grade.ALL if whole else Grade.SEGMENTS
        return Grade.POSTER if self.posters else Grade.EXISTENCE

    @property
    def shows_anything(self) -> bool:
        """True if a picture was shared.  Otherwise the owner has said only that there is footage."""
        return bool(self.segments or self.posters)


def grades_of(verification: Verification) -> DisclosureGrades:
    """Returns the grades of a verification that is `ok`, and empty grades for any other."""
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


def summary_of(verification: Verification) -> AnswerSummary:
    """Returns what the outcome of a complete answer keeps: its grade, and the span of its footage."""
    spans = [each.span for each in (*verification.segments, *verification.posters)]
    from_ms = min((span.start_ms for span in spans), default=0)
    return AnswerSummary(grades_of(verification).grade, from_ms, max((span.end_ms for span in spans), default=0))
