"""The inbox of tips: lists what has arrived, opens it on demand, and assigns it to a case.

A tip is opened in memory. Each opening is in the custody log.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from agent.clients.requester.incoming_tips import OpenedTip, open_tip
from agent.errors import FormatError
from desk.cases.models import Case
from desk.custody import log
from desk.custody.answers import sealed_files
from desk.people.models import Organisation, Person
from desk.people.organisations import requester_of
from desk.tips.models import Tip
from desk.tips.tip_retention import start_clock

__all__ = ["assign", "note_arrival", "open_for"]


@transaction.atomic
def note_arrival(organisation: Organisation, disclosure: str, about_files: dict[str, object] | None = None) -> None:
    """Lists a tip that has arrived completely. The receiving service calls it, also for one that a kill left out.

    `about_files`: the result of `sealed_files`, if the caller has it.
    """
    if not Tip.objects.filter(disclosure_id=disclosure).exists():
        tip = Tip(organisation=organisation, disclosure_id=disclosure)
        start_clock(tip)
        tip.save()
        found = sealed_files(organisation, disclosure) if about_files is None else about_files
        about = {"days": tip.retention_days, **found}
        log.record(organisation, "receiver", "tip.arrived", f"tip {disclosure}", **about)


def open_for(tip: Tip, person: Person, what: str = "tip.opened") -> OpenedTip | None:
    """Returns the opened tip, or None if it fails a check. The reason is then stored with the tip."""
    try:
        opened = open_tip(requester_of(tip.organisation), tip.disclosure_id)
    except FormatError as error:
        tip.problem, opened = str(error), None
    with transaction.atomic():
        if tip.opened_at is None:
            tip.opened_by, tip.opened_at = person, timezone.now()
        tip.save()
        log.record(tip.organisation, person, what, f"tip {tip.disclosure_id}", problem=tip.problem)
    return opened


@transaction.atomic
def assign(tip: Tip, person: Person, case: Case | None) -> None:
    """Puts the tip into a case, or takes it out."""
    tip.case = case
    tip.save(update_fields=["case"])
    number = case.number if case else None
    log.record(tip.organisation, person, "tip.assigned", f"tip {tip.disclosure_id}", case=number)
