"""The content of an export of a case: its requests, and its answers verified and opened, with their clips in one order.

`gather` verifies each answer again, from its sealed files. A clip that does not verify now is in no export.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.utils import timezone

from agent.clients.requester.area_sketch import Sketch, sketch
from agent.clients.requester.clips import DisclosedClip, DisclosedSegment
from agent.clients.requester.identity import Requester
from agent.clients.requester.opened_disclosure import OpenedClip, OpenedDisclosure, open_disclosure
from agent.clients.requester.verification import Verification
from agent.errors import ConfigurationError
from agent.wire.messages import FootageRequest
from desk.asking.models import Draft
from desk.cases.door_letters import door_letters
from desk.cases.models import Answer, Case, SignedRequest, Triage
from desk.export.private_folder import ANSWERS
from desk.people.models import Person
from desk.people.organisations import requester_of

__all__ = [
    "AskedRequest",
    "CaseContent",
    "ExportedAnswer",
    "ExportedClip",
    "Scope",
    "gather",
    "require_present",
    "sealed_bytes",
]

_MOST_PICTURE_BYTES = 512 * 1024

Scope = Collection[tuple[str, int]] | None
"""Disclosure and number of each chosen clip. None for the whole case."""


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """A request of the case, and who asked and approved."""

    request_id: str
    request: FootageRequest | None
    """None if the organisation's folder has lost it."""
    asked_by: Person | None
    approved_by: Person | None
    approved_at: datetime.datetime | None
    published_at: datetime.datetime | None
    answers: int

    @property
    def sketch(self) -> Sketch | None:
        return sketch(self.request.area) if self.request else None


@dataclass(frozen=True, slots=True)
class ExportedClip:
    """A clip of the export. `label` names it in the whole report, for example "B.1": door B, clip 1."""

    label: str
    door: str
    answer: ExportedAnswer
    opened: OpenedClip

    @property
    def clip(self) -> DisclosedClip:
        return self.opened.clip

    @property
    def seconds(self) -> float:
        return self.opened.seconds

    @property
    def segments(self) -> tuple[DisclosedSegment, ...]:
        return self.opened.clip.segments

    @property
    def picture(self) -> str:
        """Returns the still as a data URI, or nothing if there is none that fits."""
        path = self.opened.picture
        if path is None or path.stat().st_size > _MOST_PICTURE_BYTES:
            return ""
        return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode("ascii")

    @property
    def film(self) -> str:
        """Returns the path of the film within the export."""
        return _within(self.answer, self.opened.mp4) if self.opened.mp4 else ""


@dataclass(slots=True)
class ExportedAnswer:
    """An answer of the case. `opened` is None if its footage is not here: in quarantine, deleted, or still arriving."""

    row: Answer
    door: str
    verdict: str
    opened: OpenedDisclosure | None
    clips: list[ExportedClip] = field(default_factory=list)

    @property
    def verification(self) -> Verification | None:
        return self.opened.verification if self.opened else None

    @property
    def ok(self) -> bool:
        return self.opened is not None and self.opened.verification.ok

    @property
    def folder(self) -> str:
        """Returns its folder within the export."""
        return f"{ANSWERS}/{self.row.disclosure_id}"


@dataclass(frozen=True, slots=True)
class CaseContent:
    """The whole content. `folder` is the private folder with the opened answers below `answers/`."""

    case: Case
    folder: Path
    requests: tuple[AskedRequest, ...]
    answers: tuple[ExportedAnswer, ...]
    whole: bool
    """False if clips were chosen."""

    @property
    def verified(self) -> int:
        """Returns the number of answers that verify."""
        return sum(answer.ok for answer in self.answers)

    @property
    def clips(self) -> list[ExportedClip]:
        """Returns the clips of all doors in the order of their capture times."""
        found = [clip for answer in self.answers for clip in answer.clips]
        return sorted(found, key=lambda each: (each.clip.start_ms, each.label))


def sealed_bytes(case: Case, scope: Scope = None) -> int:
    """Returns the size of the sealed files that an export of the case opens."""
    requester = requester_of(case.organisation)
    total = 0
    for row in _rows(case, scope):
        total += requester.answer(row.disclosure_id).parts_bytes()
    return total


def gather(case: Case, folder: Path, *, now_s: int, scope: Scope = None, credentials: bool = False) -> CaseContent:
    """Verifies and opens the answers of the case into `folder`.

    `credentials`: also write copies with Content Credentials. Raises `ConfigurationError`, for example while the
    organisation's key is locked, and `StorageError`.
    """
    requester = requester_of(case.organisation)
    rows = _rows(case, scope)
    verdicts = _verdicts(rows)
    doors = door_letters(case)
    answers = []
    for row in rows:
        opened = _opened(requester, row, folder, now_s, credentials=credentials)
        answer = ExportedAnswer(row, doors[row.door], verdicts.get(row.pk, ""), opened)
        if opened is not None and opened.verification.ok:
            answer.clips = _clips(answer, opened, scope)
        answers.append(answer)
    # A person who gets chosen clips has no right to know what else was asked in the case.
    requests = tuple(each for each in _requests(case, requester, rows) if scope is None or each.answers)
    return CaseContent(case, folder, requests, tuple(answers), scope is None)


def require_present(content: CaseContent) -> None:
    """Raises `ConfigurationError` if an answer of the content was deleted while the export was made. Call it in the
    transaction that records the export: it holds the case, so that a later deletion finds and wipes the export."""
    Case.objects.select_for_update(no_key=True).get(pk=content.case.pk)
    opened = [answer.row.pk for answer in content.answers if answer.opened is not None]
    if Answer.objects.filter(pk__in=opened).exclude(state="complete").exists():
        raise ConfigurationError("Footage of this case was deleted meanwhile.", remedy="Make the export again.")


def _rows(case: Case, scope: Scope) -> list[Answer]:
    rows = Answer.objects.filter(case=case).order_by("from_ms", "pk")
    if scope is None:
        return list(rows)
    return list(rows.filter(disclosure_id__in={disclosure for disclosure, _ in scope}, state="complete"))


def _opened(
    requester: Requester, row: Answer, folder: Path, now_s: int, *, credentials: bool
) -> OpenedDisclosure | None:
    if row.state != "complete":
        return None
    out = folder / ANSWERS / row.disclosure_id
    zone = timezone.get_default_timezone()
    return open_disclosure(requester, row.disclosure_id, now_s=now_s, out=out, zone=zone, credentials=credentials)


def _clips(answer: ExportedAnswer, opened: OpenedDisclosure, scope: Scope) -> list[ExportedClip]:
    return [
        ExportedClip(f"{answer.door}.{each.clip.number}", answer.door, answer, each)
        for each in opened.clips
        if scope is None or (answer.row.disclosure_id, each.clip.number) in scope
    ]


def _verdicts(rows: Sequence[Answer]) -> dict[int, str]:
    """Returns the newest verdict about each answer, in words."""
    found = Triage.objects.filter(answer__in=[row.pk for row in rows]).order_by("at", "pk")
    return {triage.answer_id: triage.get_verdict_display() for triage in found}


def _requests(case: Case, requester: Requester, rows: Iterable[Answer]) -> Iterable[AskedRequest]:
    counted: dict[str, int] = {}
    for row in rows:
        counted[row.request_id] = counted.get(row.request_id, 0) + 1
    drafts = {
        draft.request_id: draft
        for draft in Draft.objects.filter(case=case).exclude(request_id="").select_related("author", "approved_by")
    }
    signed = SignedRequest.objects.filter(case=case).values_list("request_id", flat=True)
    for request_id in dict.fromkeys([*drafts, *signed, *counted]):
        draft = drafts.get(request_id)
        yield AskedRequest(
            request_id,
            _sent(requester, request_id),
            draft.author if draft else None,
            draft.approved_by if draft else None,
            draft.approved_at if draft else None,
            draft.published_at if draft else None,
            counted.get(request_id, 0),
        )


def _sent(requester: Requester, request_id: str) -> FootageRequest | None:
    try:
        return requester.sent_request(request_id).request
    except ConfigurationError:
        return None


def _within(answer: ExportedAnswer, path: Path) -> str:
    opened = answer.opened
    assert opened is not None  # noqa: S101 (a clip has an opened answer)
    return f"{answer.folder}/{path.relative_to(opened.folder).as_posix()}"
