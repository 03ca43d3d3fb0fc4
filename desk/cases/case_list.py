"""One page of the list of cases. The number of queries does not depend on the number of cases."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from desk.cases.case_filter import CaseFilter, CaseState, Footage
from desk.cases.models import Answer, Case, SignedRequest
from desk.people.models import Organisation

__all__ = ["PAGE_ROWS", "CasePage", "CaseRow", "categories", "find_cases"]

PAGE_ROWS: Final = 50
_ENDING: Final = datetime.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case with the numbers that its row shows."""

    case: Case
    requests: int
    answers: int
    new: int
    """Complete answers without a verdict."""
    receiving: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class CasePage:
    """The rows of one page. `following` is the query of the next page, empty on the last one."""

    rows: tuple[CaseRow, ...]
    following: str


def find_cases(organisation: Organisation, chosen: CaseFilter, now: datetime.datetime) -> CasePage:
    """Returns the page that a filter asks for, the newest case first."""
    found = list(_filtered(organisation, chosen, now)[: PAGE_ROWS + 1])
    shown = found[:PAGE_ROWS]
    keys = [case.pk for case in shown]
    answers = {each["case"]: each for each in _count_answers(keys)}
    asked = dict(
        SignedRequest.objects.filter(case__in=keys).values_list("case").annotate(number=Count("pk")).order_by()
    )
    rows = tuple(_row(case, asked.get(case.pk, 0), answers.get(case.pk, {})) for case in shown)
    following = chosen.going_on(shown[-1].pk).query if len(found) > PAGE_ROWS else ""
    return CasePage(rows, following)


def categories(organisation: Organisation) -> list[str]:
    """Returns the categories in use."""
    found = Case.objects.filter(organisation=organisation).exclude(category="")
    return list(found.order_by("category").values_list("category", flat=True).distinct())


def _filtered(organisation: Organisation, chosen: CaseFilter, now: datetime.datetime) -> QuerySet[Case]:
    found = Case.objects.filter(organisation=organisation).select_related("assigned_to").order_by("-pk")
    if chosen.after is not None:
        found = found.filter(pk__lt=chosen.after)
    if chosen.search:
        found = found.filter(Q(number__icontains=chosen.search) | Q(title__icontains=chosen.search))
    if chosen.category:
        found = found.filter(category=chosen.category)
    if chosen.assigned is not None:
        found = found.filter(assigned_to=chosen.assigned)
    match chosen.state:
        case CaseState.OPEN:
            found = found.filter(closed_at=None)
        case CaseState.CLOSED:
            found = found.exclude(closed_at=None)
        case CaseState.HELD:
            found = found.filter(legal_hold=True)
    return _with_footage(found, chosen.footage, now)


def _with_footage(found: QuerySet[Case], footage: Footage | None, now: datetime.datetime) -> QuerySet[Case]:
    answers = Answer.objects.filter(case=OuterRef("pk"))
    match footage:
        case Footage.NEW:
            return found.filter(Exists(answers.filter(state="complete", verdict="")))
        case Footage.QUARANTINED:
            return found.filter(Exists(answers.filter(state="quarantined")))
        case Footage.ENDING:
            return found.filter(legal_hold=False, retention_until__lte=now + _ENDING)
        case Footage.NONE:
            return found.filter(~Exists(answers))
    return found


def _count_answers(keys: list[int]) -> Iterable[Mapping[str, Any]]:
    return (
        Answer.objects.filter(case__in=keys)
        .order_by()
        .values("case")
        .annotate(
            answers=Count("pk"),
            new=Count("pk", filter=Q(state="complete", verdict="")),
            receiving=Count("pk", filter=Q(state="receiving")),
            quarantined=Count("pk", filter=Q(state="quarantined")),
        )
    )


def _row(case: Case, requests: int, counted: Mapping[str, Any]) -> CaseRow:
    return CaseRow(
        case,
        requests,
        counted.get("answers", 0),
        counted.get("new", 0),
        counted.get("receiving", 0),
        counted.get("quarantined", 0),
    )
