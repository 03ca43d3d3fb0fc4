"""Changes of a case by people: opening, notes, verdicts, assignment, closing, legal hold, and earlier deletion.

Each change and its entry in the custody log are one transaction.
"""

from __future__ import annotations

import datetime

from django.db import transaction
from django.utils import timezone

from desk.cases.deadlines import renew_deadline, retention_days, utc
from desk.cases.models import Answer, Case, Note, Triage
from desk.cases.retention import latest_choice_s
from desk.custody.log import record
from desk.people.models import Organisation, Person

__all__ = [
    "assign",
    "close_case",
    "end_hold",
    "hold_case",
    "judge",
    "keep_until",
    "latest_date",
    "open_case",
    "reopen_case",
    "write_note",
]


@transaction.atomic
def open_case(case: Case, person: Person) -> Case:
    """Stores a new case."""
    case.created_by = person
    case.save()
    _log(case, person, "case.opened")
    return case


@transaction.atomic
def write_note(case: Case, person: Person, text: str, answer: Answer | None = None) -> Note:
    note = Note.objects.create(case=case, answer=answer, author=person, text=text)
    about = {"answer": answer.disclosure_id} if answer else {}
    _log(case, person, "note.written", note=note.pk, **about)
    return note


@transaction.atomic
def judge(answer: Answer, person: Person, verdict: str) -> None:
    """Writes a verdict about an answer. Earlier verdicts stay in the history."""
    Triage.objects.create(answer=answer, verdict=verdict, by=person)
    answer.verdict = verdict
    answer.save(update_fields=("verdict",))
    _log(answer.case, person, "answer.judged", answer=answer.disclosure_id, verdict=verdict)


@transaction.atomic
def assign(case: Case, person: Person, to: Person | None) -> None:
    case.assigned_to = to
    case.save(update_fields=("assigned_to",))
    _log(case, person, "case.assigned", to=to.email if to else "")


@transaction.atomic
def close_case(case: Case, person: Person) -> None:
    """Closes a case. Its retention runs on, and answers that are still on their way still arrive."""
    case.closed_at = timezone.now()
    case.save(update_fields=("closed_at",))
    _log(case, person, "case.closed")


@transaction.atomic
def reopen_case(case: Case, person: Person) -> None:
    case.closed_at = None
    case.save(update_fields=("closed_at",))
    _log(case, person, "case.reopened")


def hold_case(case: Case, person: Person, reason: str) -> bool:
    """Stops the deletion of footage in a case. Returns False if the case is held already."""
    with transaction.atomic():
        # The lock makes a hold and a deletion come one after the other (`deletion`).
        held = Case.objects.select_for_update(no_key=True).get(pk=case.pk)
        if held.legal_hold:
            return False
        held.legal_hold, held.hold_reason, held.hold_by, held.hold_at = True, reason, person, timezone.now()
        held.save(update_fields=("legal_hold", "hold_reason", "hold_by", "hold_at"))
        _log(held, person, "case.held", reason=reason)
    return True


def end_hold(case: Case, person: Person, reason: str) -> bool:
    """Lets the retention clock go on. Footage past its date is deleted within a minute."""
    with transaction.atomic():
        held = Case.objects.select_for_update(no_key=True).get(pk=case.pk)
        if not held.legal_hold:
            return False
        held.legal_hold = False
        held.save(update_fields=("legal_hold",))
        _log(held, person, "case.hold-ended", reason=reason)
    return True


def latest_date(answer: Answer) -> datetime.datetime:
    """Returns the last moment until which an answer may be kept: the promise in its signed request."""
    return utc(latest_choice_s(int(answer.received_at.timestamp()), retention_days(answer)))


@transaction.atomic
def keep_until(answer: Answer, person: Person, until: datetime.datetime | None) -> None:
    """Chooses an earlier deletion, or with None the promised one. `until` must not lie after `latest_date`."""
    answer.keep_until = until
    answer.save(update_fields=("keep_until",))
    renew_deadline(answer)
    _log(
        answer.case, person, "answer.keep-until", answer=answer.disclosure_id, until=until.isoformat() if until else ""
    )


def _log(case: Case, person: Person, action: str, **detail: object) -> None:
    organisation: Organisation = case.organisation
    record(organisation, person, action, f"case {case.number}", **detail)
