"""Knowledge of the desk for the live check: the root's entry for the organisation, and its own earlier requests."""

from __future__ import annotations

import datetime
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings

from agent.clients.requester.roots import KnownRoots
from agent.errors import DoorwardError
from agent.wire.fields import Kind
from agent.wire.limits import HARD
from desk.asking.live_check import Asked, Known, Question
from desk.asking.models import Draft, Preferences
from desk.asking.shapes import area_from_json
from desk.cases.models import Answer, Case
from desk.people.models import Organisation
from desk.people.organisations import requester_of

__all__ = ["known_to", "regions_of", "zone_of"]

_MOST_ASKED: Final = 200
"""Earlier requests that a check looks at, so that its cost does not grow with the history."""


def known_to(organisation: Organisation, question: Question, now: datetime.datetime) -> Known:
    """Returns what bears on this question."""
    requester = requester_of(organisation)
    root = organisation.trust_root or requester.profile.trust_root or ""
    roots = KnownRoots(requester)
    has_bundle = root in roots.ids()
    try:
        listed = roots.entry(root, int(now.timestamp())) if has_bundle else None
    except DoorwardError:
        has_bundle, listed = False, None  # an unreadable bundle tells no more than a missing one
    return Known(root, Kind(organisation.kind), has_bundle, listed, _asked(organisation, question, now))


def _asked(organisation: Organisation, question: Question, now: datetime.datetime) -> tuple[Asked, ...]:
    signed = Draft.objects.filter(organisation=organisation).exclude(request_id="").select_related("case")
    answers = Answer.objects.filter(case__organisation=organisation).exclude(state="quarantined")
    newest_answers = answers.order_by("-pk").values_list("request_id", flat=True)[:_MOST_ASKED]
    # One query for each index, in the order of that index: otherwise a database reads all requests of the organisation.
    queries = [
        signed.filter(signed_at__gt=now - datetime.timedelta(days=1)).order_by("-signed_at"),
        signed.filter(request_id__in=list(newest_answers)).order_by(),
        signed.order_by("-pk"),
    ]
    if question.case:
        case = Case.objects.filter(organisation=organisation, number=question.case).first()
        queries.append(signed.filter(case=case).order_by("-from_s") if case else signed.none())
    if question.from_s is not None and question.to_s is not None:
        first_s = question.from_s - HARD.window_max_s  # no window is longer, so none that began earlier overlaps
        overlapping = signed.filter(from_s__gt=first_s, from_s__lt=question.to_s, to_s__gt=question.from_s)
        queries.append(overlapping.order_by("-from_s"))
    chosen = {each.pk: each for query in queries for each in query[:_MOST_ASKED]}
    ids = [each.request_id for each in chosen.values()]
    with_answer = set(answers.filter(request_id__in=ids).values_list("request_id", flat=True))
    return tuple(_asked_of(each, each.request_id in with_answer) for each in chosen.values() if each.area)


def _asked_of(draft: Draft, answered: bool) -> Asked:
    assert draft.area is not None  # noqa: S101 (the caller chose those with an area)
    return Asked(
        area=area_from_json(draft.area),
        from_s=draft.from_s or 0,
        to_s=draft.to_s or 0,
        case=draft.case.number,
        asked_s=int(draft.signed_at.timestamp()) if draft.signed_at else 0,
        answered=answered,
    )


def regions_of(known: Known) -> list[tuple[float, float, float, float]]:
    """Returns west, south, east and north of each region in which the organisation may ask."""
    return [(each.west, each.south, each.east, each.north) for each in known.listed.regions] if known.listed else []


def zone_of(organisation: Organisation) -> ZoneInfo:
    """Returns the time zone of the organisation, by default the desk's."""
    chosen = Preferences.objects.filter(organisation=organisation).values_list("time_zone", flat=True).first()
    return ZoneInfo(chosen or settings.TIME_ZONE)
