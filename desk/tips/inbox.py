"""The inbox of tips: lists what has arrived, opens it on demand, and assigns it to a case.

A tip is opened in memory. Each opening is in the custody log. Opening takes a while, so a hold or a deletion may come
meanwhile: both stay as they are.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from agent.clients.requester.incoming_tips import OpenedTip, open_tip
from agent.errors import FormatError, RequestError
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
    """Returns the opened tip, or None if it fails a check. The reason is then stored with the tip.

    Raises `RequestError` if the tip was deleted meanwhile.
    """
    try:
        opened = open_tip(requester_of(tip.organisation), tip.disclosure_id)
    except FormatError as error:
        tip.problem, opened = str(error), None
    with transaction.atomic():
        row = Tip.objects.select_for_update(no_key=True).get(pk=tip.pk)
        if row.deleted_at is not None:
            raise RequestError("This tip was deleted meanwhile.", remedy="Load the page again.")
        if row.opened_at is None:
            row.opened_by, row.opened_at = person, timezone.now()
        row.problem = tip.problem
        # Only these: the rest of the row may have changed since the caller read it.
        row.save(update_fields=("opened_by", "opened_at", "problem"))
        log.record(tip.organisation, person, what, f"tip {tip.disclosure_id}", problem=tip.problem)
    return opened


@transaction.atomic
def assign(tip: Tip, person: Person, case: Case | None) -> None:
    """Puts the tip into a case, or takes it out. Raises `RequestError` if the legal hold of its case keeps it there.

    A person who may not end a hold could otherwise end it for this tip, by taking it out of the case.
    """
    rows = Tip.objects.select_for_update(of=("self",), no_key=True).select_related("case")
    before = rows.get(pk=tip.pk).case
    if before is not None and before.legal_hold and before != case:
        raise RequestError(
            "The legal hold of its case keeps this tip in the case.",
            remedy="A supervisor or an evidence officer ends the hold of the case first.",
        )
    tip.case = case
    tip.save(update_fields=["case"])
    number = case.number if case else None
    log.record(tip.organisation, person, "tip.assigned", f"tip {tip.disclosure_id}", case=number)
