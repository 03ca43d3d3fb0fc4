"""The content of a case page as values for its template: requests, answers, the time axis, the player's data."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse
from django.utils import formats, timezone
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from agent.core.timebase import ClockQuality
from desk.asking.models import Draft
from desk.cases.deadlines import answer_clock
from desk.cases.door_letters import letters_for
from desk.cases.models import Answer, Case, Clip, Note, SignedRequest
from desk.cases.retention import Countdown, countdown
from desk.cases.time_axis import AxisClip, Span, Tick, TimeAxis, make_axis, overlaps, sections, within
from desk.cases.time_statements import row_summary

__all__ = [
    "AnswerView",
    "AxisView",
    "CaseView",
    "ClipView",
    "RequestView",
    "build_case_view",
    "clock_words",
    "continuity_words",
    "shared_words",
    "time_words",
]

_LANE_PX = 34
_MS = 1000
_LAST_TIME_PERCENT = 90
_LANGUAGE_TAGS = {"en": "en-GB", "nl": "nl-NL"}
"""For the browser, which writes days as Americans do for a bare `en`."""


@dataclass(frozen=True, slots=True)
class ClipView:
    """A clip with its times in words."""

    clip: Clip
    door: str
    from_words: str
    to_words: str
    clock: str
    doubtful: bool
    gaps: tuple[str, ...]
    continuity: str


@dataclass(frozen=True, slots=True)
class AnswerView:
    """An answer with its clips and its countdown."""

    answer: Answer
    door: str
    shared: tuple[str, ...]
    told: tuple[str, ...]
    clips: tuple[ClipView, ...]
    countdown: Countdown
    notes: tuple[Note, ...]
    verdict: str
    confirmed: tuple[str, ...] = ()
    """Sentences about the times that others confirmed."""


@dataclass(frozen=True, slots=True)
class BlockView:
    """One clip on a lane. Places are in percent of the axis, written for SVG."""

    left: str
    width: str
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class LaneView:
    door: str
    top: int
    middle: int
    blocks: tuple[BlockView, ...]
    doubtful: bool


@dataclass(frozen=True, slots=True)
class AxisView:
    """The axis as SVG, and the same in words."""

    lanes: tuple[LaneView, ...]
    ticks: tuple[tuple[str, str], ...]
    """Place and time."""
    height: int
    from_words: str
    to_words: str
    from_ms: int
    to_ms: int
    overlaps: tuple[str, ...]
    sections: tuple[tuple[str, str], ...]
    """Query and words of each closer look."""
    close: bool


@dataclass(frozen=True, slots=True)
class RequestView:
    """A request of the case: a draft, or one that was signed. `until`, `days` are None before it is signed."""

    title: str
    address: str
    request_id: str
    window: str
    until: datetime.datetime | None
    days: int | None
    state: str


@dataclass(frozen=True, slots=True)
class CaseView:
    case: Case
    requests: tuple[RequestView, ...]
    answers: tuple[AnswerView, ...]
    axis: AxisView | None
    player: dict[str, Any] | None
    notes: tuple[Note, ...]


def build_case_view(case: Case, now: datetime.datetime, near: Span | None = None) -> CaseView:
    """Reads a case with five queries. `near`: the stretch of the axis to look at more closely."""
    asked, drafts = tuple(case.requests.all()), tuple(case.drafts.all())
    answers = tuple(case.answers.prefetch_related("clips"))
    notes = tuple(case.notes.select_related("author"))
    doors = _door_names(answers)
    days = {each.request_id: each.retention_days for each in asked}
    views = tuple(_answer_view(each, doors, days, notes, now) for each in answers)
    axis = make_axis(_axis_clips(answers), (Span(each.from_ms, each.to_ms) for each in asked))
    shown = axis if axis is None or near is None else within(axis, near)
    return CaseView(
        case,
        _request_views(asked, drafts, now),
        views,
        _axis_view(case, axis, shown, doors) if axis is not None and shown is not None else None,
        _player(case, views, doors),
        tuple(note for note in notes if note.answer_id is None),
    )


# --- Words


def time_words(at_ms: int, *, date: bool = True) -> str:
    """Returns a time in the desk's time zone, with the date or without it."""
    at = timezone.localtime(datetime.datetime.fromtimestamp(at_ms / _MS, datetime.UTC))
    day = f"{formats.date_format(at, 'j M Y')}, " if date else ""
    return f"{day}{at:%H:%M:%S}"


def clock_words(quality: str) -> str:
    """Says how far a time can be trusted."""
    words = {
        "synced": _("Clock synchronised: right to a second."),
        "held": _("Clock kept since its last synchronisation: it may be off by some seconds."),
        "unknown": _("Clock not synchronised: the order is right, the time may be wrong."),
    }
    return words.get(quality, "")


def continuity_words(continuity: str) -> str:
    """Says whether segments of a clip may be missing."""
    words = {
        "unbroken": _("Complete: the doorbell signed each segment as the successor of the one before."),
        "broken": _("Not complete: the doorbell recorded other segments in between that were not shared."),
        "unsigned": _("Segments in between may be missing."),
    }
    return words.get(continuity, "")


def shared_words(counts: dict[str, int]) -> tuple[str, ...]:
    """Says what an owner shared, the most first."""
    segments, clips = counts.get("segments", 0), counts.get("clips", 0)
    sounds, stills, told = counts.get("sounds", 0), counts.get("stills", 0), counts.get("told", 0)
    redacted = counts.get("redacted", 0)
    found = (
        segments
        and ngettext("%(number)d segment of video", "%(number)d segments of video", segments) % {"number": segments}
        + " "
        + ngettext("in %(number)d clip", "in %(number)d clips", clips) % {"number": clips},
        sounds and ngettext("sound of %(number)d segment", "sound of %(number)d segments", sounds) % {"number": sounds},
        redacted
        and ngettext("%(number)d file redacted by the owner", "%(number)d files redacted by the owner", redacted)
        % {"number": redacted},
        stills and ngettext("%(number)d still", "%(number)d stills", stills) % {"number": stills},
        told
        and ngettext("that %(number)d clip exists, and when", "that %(number)d clips exist, and when", told)
        % {"number": told},
    )
    return tuple(each for each in found if each)


# --- Requests


def _request_views(
    asked: Sequence[SignedRequest], drafts: Sequence[Draft], now: datetime.datetime
) -> tuple[RequestView, ...]:
    signed = {each.request_id: each for each in asked}
    views = [_request_view(draft, signed.pop(draft.request_id, None), now) for draft in drafts]
    return (*views, *(_request_view(None, each, now) for each in signed.values()))


def _request_view(draft: Draft | None, asked: SignedRequest | None, now: datetime.datetime) -> RequestView:
    window = ""
    if asked is not None:
        window = _("%(from)s to %(to)s") % {"from": time_words(asked.from_ms), "to": time_words(asked.to_ms)}
    return RequestView(
        title=(draft.title if draft else "") or _("Footage request"),
        address=_address_of(draft) if draft else "",
        request_id=asked.request_id if asked else "",
        window=window or "–",
        until=asked.not_after if asked else None,
        days=asked.retention_days if asked else None,
        state=_request_state(draft, asked, now),
    )


def _address_of(draft: Draft) -> str:
    try:
        return reverse("asking:request", args=(draft.pk,))
    except NoReverseMatch:
        return ""


def _request_state(draft: Draft | None, asked: SignedRequest | None, now: datetime.datetime) -> str:
    if asked is None:
        return str(draft.get_state_display()) if draft else ""
    if asked.deletion_signed_at:
        published = asked.deletion_published_at is not None
        return _("deletion published") if published else _("deleted, and the deletion is signed")
    if asked.withdrawn_at:
        return _("withdrawn")
    if asked.not_after < now:
        return _("doors answer no more")
    return _("published") if asked.published_at else _("signed, not published yet")


# --- Answers


def _door_names(answers: Iterable[Answer]) -> dict[str, str]:
    return {door: _("Door %(letter)s") % {"letter": letter} for door, letter in letters_for(answers).items()}


def _answer_view(
    answer: Answer, doors: dict[str, str], days: dict[str, int], notes: Sequence[Note], now: datetime.datetime
) -> AnswerView:
    door = doors[answer.door]
    clock = countdown(
        answer_clock(answer),
        days.get(answer.request_id, 0),
        hold=answer.case.legal_hold,
        now_s=int(now.timestamp()),
    )
    told = tuple(
        _("%(from)s to %(to)s, %(shared)d of %(segments)d segments shared")
        % {
            "from": time_words(each["from_ms"]),
            "to": time_words(each["to_ms"], date=False),
            "shared": each["shared"],
            "segments": each["segments"],
        }
        for each in answer.told
    )
    clips = tuple(_clip_view(clip, door) for clip in answer.clips.all()) if answer.state == "complete" else ()
    return AnswerView(
        answer,
        door,
        shared_words(answer.shared) if answer.shared else (),
        told,
        clips,
        clock,
        tuple(note for note in notes if note.answer_id == answer.pk),
        answer.verdict,
        row_summary(answer.confirmed) if answer.state == "complete" else (),
    )


def _clip_view(clip: Clip, door: str) -> ClipView:
    gaps = tuple(
        _("No footage from %(from)s to %(to)s (%(seconds)s s)")
        % {
            "from": time_words(from_ms, date=False),
            "to": time_words(to_ms, date=False),
            "seconds": formats.number_format((to_ms - from_ms) / _MS, 1),
        }
        for from_ms, to_ms in clip.gaps
    )
    return ClipView(
        clip,
        door,
        time_words(clip.from_ms),
        time_words(clip.to_ms, date=False),
        clock_words(clip.clock_quality),
        clip.clock_quality == ClockQuality.UNKNOWN.value,
        gaps,
        continuity_words(clip.continuity),
    )


# --- The axis


def _axis_clips(answers: Iterable[Answer]) -> list[AxisClip]:
    return [
        AxisClip(
            answer.door,
            clip.pk,
            Span(clip.from_ms, clip.to_ms),
            ClockQuality(clip.clock_quality),
            tuple(Span(from_ms, to_ms) for from_ms, to_ms in clip.gaps),
            film=bool(clip.segments),
        )
        for answer in sorted(answers, key=lambda answer: answer.pk)
        if answer.state == "complete"
        for clip in answer.clips.all()
    ]


def _axis_view(case: Case, axis: TimeAxis, shown: TimeAxis, doors: dict[str, str]) -> AxisView:
    one_day = shown.span.length_ms <= 86_400_000
    address = reverse("cases:case", args=(case.pk,))
    found = sections(axis)
    looks = tuple(
        (
            f"{address}?from={each.from_ms}&to={each.to_ms}#axis",
            _("%(from)s to %(to)s") % {"from": time_words(each.from_ms), "to": time_words(each.to_ms, date=False)},
        )
        for each in found
        if each.length_ms < axis.span.length_ms
    )
    return AxisView(
        tuple(_lane_view(shown, number, doors) for number in range(len(shown.lanes))),
        tuple(_tick_view(tick, date=not one_day) for tick in shown.ticks),
        _LANE_PX * len(shown.lanes) + 28,
        time_words(shown.span.from_ms),
        time_words(shown.span.to_ms),
        shown.span.from_ms,
        shown.span.to_ms,
        tuple(
            _("%(doors)s: %(from)s to %(to)s")
            % {
                "doors": ", ".join(doors[door] for door in each.doors),
                "from": time_words(each.span.from_ms),
                "to": time_words(each.span.to_ms, date=False),
            }
            for each in overlaps(shown)
        ),
        looks,
        shown is not axis,
    )


def _tick_view(tick: Tick, *, date: bool) -> tuple[str, str]:
    """Returns place and time. A time that would reach over the right end is left out."""
    words = time_words(tick.at_ms, date=date)
    return _percent(tick.left), words if tick.left < _LAST_TIME_PERCENT else ""


def _lane_view(axis: TimeAxis, number: int, doors: dict[str, str]) -> LaneView:
    lane = axis.lanes[number]
    blocks = []
    for clip in lane.clips:
        label = f"{time_words(clip.span.from_ms)} – {time_words(clip.span.to_ms, date=False)}"
        kind = "still" if not clip.film else "doubtful" if clip.quality is ClockQuality.UNKNOWN else "film"
        blocks.append(_block(axis, clip.span, kind, label))
        blocks += [_block(axis, gap, "gap", _("gap")) for gap in clip.gaps]
    top = number * _LANE_PX + 6
    return LaneView(doors[lane.door], top, top + 16, tuple(blocks), lane.doubtful)


def _block(axis: TimeAxis, span: Span, kind: str, label: str) -> BlockView:
    left, width = axis.block(span)
    return BlockView(_percent(left), _percent(width), kind, label)


def _percent(value: float) -> str:
    # Not by the template, which writes a comma in Dutch.
    return f"{value:.3f}%"


# --- The player


def _player(case: Case, answers: Sequence[AnswerView], doors: dict[str, str]) -> dict[str, Any] | None:
    by_door: dict[str, list[dict[str, Any]]] = {}
    for view in answers:
        films = [each for each in view.clips if each.clip.segments]
        by_door.setdefault(view.answer.door, []).extend(_film(case, view.answer, each) for each in films)
    shown: list[dict[str, Any]] = [
        {
            "name": name,
            "clips": sorted(by_door[device], key=_start_of),
            "sound": any(film["sound"] for film in by_door[device]),
        }
        for device, name in doors.items()
        if by_door.get(device)
    ]
    if not shown:
        return None
    every = [film for films in by_door.values() for film in films]
    return {
        "from": min(film["from"] for film in every),
        "to": max(film["to"] for film in every),
        "zone": settings.TIME_ZONE,
        "language": _LANGUAGE_TAGS.get(get_language() or "", "en-GB"),
        "doors": shown,
        "texts": _texts(),
    }


def _start_of(film: dict[str, Any]) -> int:
    start: int = film["from"]
    return start


def _film(case: Case, answer: Answer, view: ClipView) -> dict[str, Any]:
    return {
        "id": view.clip.pk,
        "watch": reverse("cases:open-clip", args=(case.pk, answer.pk, view.clip.index)),
        "from": view.clip.from_ms,
        "to": view.clip.to_ms,
        "segments": view.clip.segments,
        "clock": view.clock,
        "doubtful": view.doubtful,
        "sound": view.clip.sounds > 0,
        "label": f"{view.from_words} – {view.to_words}",
    }


def _texts() -> dict[str, str]:
    return {
        "play": _("Play"),
        "pause": _("Pause"),
        "nothing": _("No footage of this door at this time."),
        "gap": _("No footage from {from} to {to}."),
        "closed": _("Not open yet: {clip}. Play opens it."),
        "opening": _("Opening…"),
        "failed": _("It cannot be shown: {reason}"),
        "broken": _("The browser cannot play this film."),
        "noStills": _("This answer has no picture."),
    }
