"""The content of a verified answer as values for the database: its grade, its clips with their gaps, and counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.clients.requester.clips import Continuity, DisclosedClip, clips_of
from agent.clients.requester.grades import grades_of
from agent.clients.requester.verification import Verification
from agent.core.timebase import ClockQuality
from desk.cases.time_axis import Span
from desk.cases.time_statements import confirmed_times

__all__ = ["AnswerContent", "ClipContent", "content_of"]

_CONTINUITY = {
    Continuity.UNBROKEN: "unbroken",
    Continuity.BROKEN: "broken",
    Continuity.UNSIGNED: "unsigned",
}


@dataclass(frozen=True, slots=True)
class ClipContent:
    """One clip. Times are UTC in ms, by the doorbell's clock."""

    index: int
    span: Span
    quality: ClockQuality
    segments: tuple[Span, ...]
    gaps: tuple[Span, ...]
    still: bool
    sounds: int
    continuity: str


@dataclass(frozen=True, slots=True)
class AnswerContent:
    """One answer. `shared` counts what was shared: segments, clips, sounds, stills, and clips that were only told.

    `confirmed`: the times that others confirmed, UTC s.
    """

    grade: str
    span: Span | None
    clips: tuple[ClipContent, ...]
    shared: dict[str, int]
    told: tuple[dict[str, Any], ...]
    unopened: int
    confirmed: dict[str, int]


def content_of(verification: Verification) -> AnswerContent:
    """Returns the content of a verification that is `ok`."""
    clips, grades = tuple(map(_clip, clips_of(verification))), grades_of(verification)
    span = Span(min(clip.span.from_ms for clip in clips), max(clip.span.to_ms for clip in clips)) if clips else None
    shared = {
        "segments": grades.segments,
        "clips": grades.clips,
        "sounds": grades.sounds,
        "stills": grades.posters,
        "told": len(grades.told),
        "redacted": len(verification.redacted),
    }
    told = tuple(
        {"from_ms": each.from_ms, "to_ms": each.to_ms, "segments": each.segments, "shared": each.shared}
        for each in grades.told
    )
    return AnswerContent(
        grades.grade.value, span, clips, shared, told, grades.unopened, confirmed_times(verification.time)
    )


def _clip(clip: DisclosedClip) -> ClipContent:
    segments = tuple(Span(each.start_ms, each.end_ms) for each in clip.segments)
    return ClipContent(
        index=clip.number,
        span=Span(clip.start_ms, clip.end_ms),
        quality=clip.quality,
        segments=segments,
        gaps=tuple(Span(from_ms, to_ms) for from_ms, to_ms in clip.gaps_ms),
        still=clip.poster is not None,
        sounds=sum(each.sound is not None for each in clip.segments),
        continuity=_CONTINUITY[clip.continuity] if clip.continuity else "",
    )
