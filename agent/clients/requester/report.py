"""Report of a disclosure for a person: one HTML file without scripts, links or external resources.

Jinja2 escapes each foreign word, and the file's own policy forbids it to load or run anything. Times are in one named
time zone with UTC beside them, and the quality of the clock is stated next to them.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent import __version__
from agent.clients.promise import kept_in_words, onward_in_words
from agent.clients.requester.area_sketch import Sketch, sketch
from agent.clients.requester.clips import Continuity, DisclosedClip, DisclosedSegment
from agent.clients.requester.grades import grades_of
from agent.clients.requester.redaction_list import redaction_lines
from agent.clients.requester.templates import template
from agent.clients.requester.timeline import TimeLine, closer_look, whole_window
from agent.clients.requester.verification import Check, CheckKind, CheckOutcome, Verification
from agent.core.timebase import ClockQuality, utc_date
from agent.wire.area import Area, Circle
from agent.wire.disclosures import PartKind
from agent.wire.messages import FootageRequest

__all__ = ["ReportPicture", "render"]

_MOST_PROOFS: Final = 4
"""Most hashes shown with a check. The table of files at the end has all."""

_CLOCK_WORDS: Final = {
    ClockQuality.SYNCED: "set by a time source during the recording: accurate to about a second",
    ClockQuality.HELD: "set by a good source earlier: it may be off by seconds",
    ClockQuality.UNKNOWN: "order and length are right, date and hour may be wrong",
}
_CONTINUITY_SHORT: Final = {
    Continuity.UNBROKEN: "in unbroken order",
    Continuity.BROKEN: "with gaps",
    Continuity.UNSIGNED: "perhaps with gaps",
}
_CLOCK_SHORT: Final = {
    ClockQuality.SYNCED: "clock synchronised",
    ClockQuality.HELD: "clock held",
    ClockQuality.UNKNOWN: "clock not synchronised",
}


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """A clip with its still (JPEG, empty if no picture decodes). `video`: True if there is an MP4 of it."""

    clip: DisclosedClip
    jpeg: bytes
    seconds: float
    video: bool
    problem: str = ""
    """Reason why there is no MP4 although its segments arrived."""

    @property
    def data_uri(self) -> str:
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode("ascii") if self.jpeg else ""


def render(
    verification: Verification,
    pictures: Sequence[ReportPicture],
    merged: bool,
    *,
    now_s: int,
    zone: datetime.tzinfo | None = None,
) -> str:
    """Returns the report. `merged`: True if `all.mp4` exists. `zone`: by default this machine's."""
    told = _TimeFormatter(zone, verification.request.from_s if verification.request else now_s)
    request = verification.request
    return template("report.html").render(
        verification=verification,
        request=request,
        disclosed=verification.disclosed,
        contact=verification.contact,
        failed=verification.failed,
        checks=[_shown(check) for check in verification.checks],
        CheckOutcome=CheckOutcome,
        pictures=pictures,
        merged=merged,
        grades=grades_of(verification),
        area_in_words=_area_in_words,
        kept_in_words=kept_in_words,
        onward_in_words=onward_in_words,
        sketch=_sketch(request),
        lines=_lines(request, pictures, told),
        offsets=_offsets(pictures),
        continuities=[each for each in Continuity if each in {picture.clip.continuity for picture in pictures}],
        continuity_short=_CONTINUITY_SHORT,
        clocks=[(_CLOCK_SHORT[quality], _CLOCK_WORDS[quality]) for quality in _qualities(pictures)],
        clock_is_doubtful=ClockQuality.UNKNOWN in _qualities(pictures),
        shared_s=sum(each.seconds for each in pictures),
        segments=[segment for each in pictures for segment in each.clip.segments],
        recovered=[each for each in verification.items if not each.witnessed],
        unopened=verification.unopened,
        redactions=redaction_lines(verification),
        redacted_files=len(verification.redacted),
        redacted_films=sum(each.item.part.kind is PartKind.SEGMENT for each in verification.redacted),
        exact_parts=[each.number for each in verification.redacted if each.is_exact],
        example=_example(pictures),
        told=told,
        clock_short=lambda shown: _CLOCK_SHORT[shown.quality],
        doubtful=lambda shown: shown.quality is ClockQuality.UNKNOWN,
        length=_length,
        size=_size,
        grouped=_grouped,
        version=__version__,
        now_s=now_s,
    )


@dataclass(frozen=True, slots=True)
class _TimeFormatter:
    """Formats times in one zone."""

    zone: datetime.tzinfo | None
    about_s: int

    def _at(self, at_ms: float) -> datetime.datetime:
        return utc_date(at_ms).astimezone(self.zone)

    @property
    def zone_name(self) -> str:
        at = self._at(self.about_s * 1000)
        offset = at.strftime("%z")
        return f"UTC{offset[:3]}:{offset[3:]}"

    def day(self, at_ms: float) -> str:
        at = self._at(at_ms)
        return f"{at:%A} {at.day} {at:%B %Y}"

    def clock(self, at_ms: float) -> str:
        return f"{self._at(at_ms):%H:%M:%S}"

    def minute(self, at_ms: float) -> str:
        return f"{self._at(at_ms):%H:%M}"

    def both(self, at_ms: float) -> str:
        at = self._at(at_ms)
        return f"{at:%Y-%m-%d %H:%M:%S %z}"

    def utc(self, at_ms: float) -> str:
        return f"{utc_date(at_ms):%Y-%m-%d %H:%M:%S} UTC"


def _shown(check: Check) -> dict[str, Any]:
    many = len(check.proofs) > _MOST_PROOFS
    return {
        "title": check.kind.value,
        "outcome": check.outcome,
        "said": check.said,
        "proofs": () if many else check.proofs,
        "in_table": many,
        "aside": _ASIDES[check.kind],
    }


_ASIDES: Final = {
    CheckKind.ARRIVED: "Counts the parts and compares the first with its announced hash.",
    CheckKind.SEALED: "Only the holder of that key could read it. Broker and network could not.",
    CheckKind.DEVICE: "An Ed25519 and an ML-DSA-44 signature, each over every byte of the list.",
    CheckKind.ANSWERS: "An answer to one request cannot be passed off as an answer to another.",
    CheckKind.OWNERS: "Only their approval counts. The list does not say which household it is.",
    CheckKind.APPROVAL: "It depends on the list of owners above: see there for the evidence.",
    CheckKind.LEDGER: "A later head of this ledger can be checked to continue this one.",
    CheckKind.RECORDS: "Made when the segment was recorded, before the request.",
    CheckKind.WINDOW: "Only requested footage was handed over.",
    CheckKind.PARTS: "Each byte arrived as it was sent.",
    CheckKind.FOOTAGE: "Each frame of a file that is not redacted is as it was recorded.",
}


def _lines(request: FootageRequest | None, pictures: Sequence[ReportPicture], told: _TimeFormatter) -> list[TimeLine]:
    """Returns the requested window, and a closer look if it helps."""
    if request is None:
        return []
    from_ms, to_ms = request.from_s * 1000, request.to_s * 1000
    clips = [each.clip for each in pictures]
    closer = closer_look(to_ms - from_ms, clips, told.clock)
    return [whole_window(from_ms, to_ms, clips, told.clock, told.minute), *([closer] if closer else [])]


def _offsets(pictures: Sequence[ReportPicture]) -> dict[int, str]:
    """Returns the start of each clip in `all.mp4`, by its number."""
    at, offsets = 0.0, {}
    for each in pictures:
        if each.video:
            offsets[each.clip.number] = f"{int(at // 60)}:{at % 60:04.1f}"
            at += each.seconds
    return offsets


def _qualities(pictures: Sequence[ReportPicture]) -> list[ClockQuality]:
    found = {segment.quality for each in pictures for segment in each.clip.segments}
    found |= {each.clip.poster.item.record.quality for each in pictures if each.clip.poster}
    return [quality for quality in ClockQuality if quality in found]


def _example(pictures: Sequence[ReportPicture]) -> DisclosedSegment | None:
    """Returns the first whole segment that is not redacted, for the commands that repeat a check by hand."""
    shown = (shown for each in pictures for shown in each.clip.segments if shown.verified.context)
    return next((each for each in shown if not each.verified.redactions), None)


def _area_in_words(area: Area) -> str:
    size = f"{_grouped(round(area.size_m2))} m²"
    if isinstance(area, Circle):
        return f"{area.radius_m} m around {area.lat:.5f}, {area.lon:.5f} ({size})"
    bounds = area.bounds
    return (
        f"a polygon of {len(area.vertices)} corners ({size}), between {bounds.south:.5f}, {bounds.west:.5f} "
        f"and {bounds.north:.5f}, {bounds.east:.5f}"
    )


def _sketch(request: FootageRequest | None) -> Sketch | None:
    return sketch(request.area) if request else None


def _length(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
