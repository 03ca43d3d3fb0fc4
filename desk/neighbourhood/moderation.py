"""Steps of a moderator: accept, reject, remove, judge reports and appeals. Each is in the custody log.

    waiting ──accept──▶ (request: seconded ──accept by another──▶) published ──remove──▶ removed
       └──────reject──────▶ rejected            an appeal is decided by another moderator

- With the rule of two persons, two moderators accept a request. A moderator could otherwise write as a neighbour and
  accept it alone.
- An accepted request is signed with the neighbour's key as `reply`, and published. The desk has no key to the answers.
- An accepted notice is signed as a bulletin, and shown on the public page. It is sent to no door: so it can be removed.
- The log keeps the hash of the words, so that a removed notice is nowhere.
"""

from __future__ import annotations

import datetime
import hashlib
from typing import Final

from django.db import transaction
from django.utils import timezone

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.request_builder import RequestDraft
from agent.errors import FormatError, RequestError
from agent.wire.fields import Incident, clean_text
from agent.wire.messages import MAX_REASON_CHARACTERS, Bulletin, Contact, Onward
from desk.asking.shapes import area_from_json
from desk.custody import log
from desk.neighbourhood.models import NoticeReport, Submission
from desk.neighbourhood.submissions import ENDED_S
from desk.people.models import Organisation, Person
from desk.people.organisations import requester_of

__all__ = ["MOST_A_DAY", "accept", "decide_appeal", "dismiss_reports", "reject", "remove", "withdraw"]

DAY_S: Final = 86_400
ANSWER_DAYS: Final = 3
"""Days for which owners may answer a neighbour's request."""
KEPT_DAYS: Final = 7
"""Days for which the desk keeps a sealed answer, so that the neighbour can fetch it."""
NOTICE_DAYS: Final = 7
MOST_A_DAY: Final = 10
"""Requests of a neighbourhood in 24 hours. Doors stop at 50, or at the limit of the root."""


@transaction.atomic
def accept(submission: Submission, person: Person, contact: Contact | None = None) -> Submission:
    """Accepts a submission, and publishes it if no second moderator is needed.

    `contact`: for a request, who answers questions of owners. Raises `RequestError` with what to do.
    """
    row = _locked(submission, "waiting", "seconded")
    if row.decided_by_id == person.pk:
        raise _another_person()  # they rejected it, and an appeal was granted
    if row.kind == "request" and row.organisation.two_person_rule:
        if row.state == "waiting":
            row.state, row.first_by = "seconded", person
            row.save(update_fields=["state", "first_by"])
            _log(row, person, "neighbour.seconded")
            return row
        # The moderator could otherwise write as a neighbour and accept the request alone.
        if row.first_by_id == person.pk:
            raise _another_person()
    if row.kind == "request":
        _sign_request(row, contact)
    else:
        _sign_notice(row)
    row.state, row.decided_by, row.decided_at = "published", person, timezone.now()
    row.save()
    _log(row, person, "neighbour.accepted", message=row.message_id)
    return row


@transaction.atomic
def reject(submission: Submission, person: Person, reason: str) -> Submission:
    """Rejects a submission. The neighbour reads the reason, and may appeal."""
    row = _locked(submission, "waiting", "seconded")
    if row.decided_by_id == person.pk:
        raise _another_person()
    return _end(row, person, "rejected", reason)


@transaction.atomic
def remove(submission: Submission, person: Person, reason: str) -> Submission:
    """Removes a published submission: a notice disappears from each page and feed, a request is withdrawn."""
    row = _locked(submission, "published")
    if row.kind == "request":
        messages.make_withdrawal(requester_of(row.organisation), row.message_id)
    row.reports.filter(state="open").update(state="upheld")
    row.hidden = row.reports_hide = False
    return _end(row, person, "removed", reason)


@transaction.atomic
def dismiss_reports(submission: Submission, person: Person) -> Submission:
    """Shows a reported notice again. Later reports reach the moderators and hide it no more."""
    row = _locked(submission, "published")
    count = NoticeReport.objects.filter(notice=row, state="open").update(state="dismissed")
    row.hidden = row.reports_hide = False
    row.save(update_fields=["hidden", "reports_hide"])
    _log(row, person, "neighbour.reports-dismissed", reports=count)
    return row


@transaction.atomic
def decide_appeal(submission: Submission, person: Person, *, granted: bool) -> Submission:
    """Decides about an appeal. Raises `RequestError` for the moderator who decided first."""
    row = _locked(submission, "rejected", "removed")
    if row.appeal_state != "open":
        raise RequestError("This appeal is decided already.", remedy="Load the page again.")
    if row.decided_by_id == person.pk:
        raise _another_person()
    row.appeal_state = "granted" if granted else "denied"
    now_s = int(timezone.now().timestamp())
    if granted:
        again = row.kind == "notice" and row.state == "removed"  # its signature is still good
        row.state = "published" if again else "waiting"
        row.first_by, row.message_id = None, row.message_id if again else ""
        row.until_s = max(row.until_s, now_s + NOTICE_DAYS * DAY_S)
        if again:
            _sign_notice(row)
    row.save()
    _log(row, person, f"neighbour.appeal-{row.appeal_state}")
    return row


@transaction.atomic
def withdraw(submission: Submission) -> Submission:
    """Takes a submission back for its neighbour. Doors that have the request are told."""
    row = _locked(submission, "waiting", "seconded", "published")
    if row.kind == "request" and row.message_id:
        messages.make_withdrawal(requester_of(row.organisation), row.message_id)
    row.state, row.until_s = "withdrawn", int(timezone.now().timestamp()) + ENDED_S
    row.save()
    _log(row, "neighbour", "neighbour.withdrawn")
    return row


def _sign_request(row: Submission, contact: Contact | None) -> None:
    organisation, now_s = row.organisation, int(timezone.now().timestamp())
    if contact is None:
        raise RequestError("A request names a contact.", remedy="Give a name and an e-mail address or a telephone.")
    day = timezone.now() - datetime.timedelta(days=1)
    sent = Submission.objects.filter(
        organisation=organisation, kind="request", decided_at__gt=day, state__in=("published", "removed", "withdrawn")
    )
    if sent.count() >= MOST_A_DAY:
        raise RequestError(f"{MOST_A_DAY} requests went out in 24 hours.", remedy="Accept it tomorrow.")
    assert row.from_s is not None  # noqa: S101 (a request has a time: `submissions`)
    assert row.to_s is not None  # noqa: S101
    question = RequestDraft(
        area=area_from_json(row.area),
        from_s=row.from_s,
        to_s=row.to_s,
        not_after_s=now_s + ANSWER_DAYS * DAY_S,
        case=f"N{row.pk:06d}",
        incident=Incident(row.incident),
        description=row.description,
        contact=contact,
        retention_days=KEPT_DAYS,
        onward=Onward(to=()),
        language=row.language,
    )
    root = organisation.trust_root or None
    made = messages.make_request(requester_of(organisation), question, now_s=now_s, trust_root=root, reply=row.reply)
    row.message_id = made.id
    row.until_s = question.not_after_s + KEPT_DAYS * DAY_S + DAY_S


def _sign_notice(row: Submission) -> None:
    """Signs the notice as a bulletin, in the form that readers check offline."""
    requester, now_s = requester_of(row.organisation), int(timezone.now().timestamp())
    row.until_s = now_s + NOTICE_DAYS * DAY_S
    row.message_id = row.message_id or hashlib.sha256(f"{row.pk} {row.token_sha256}".encode()).hexdigest()[:32]
    row.signed = requester.sign(Bulletin.PAYLOAD_TYPE, _bulletin(row, requester))


def _bulletin(row: Submission, requester: Requester) -> Bulletin:
    try:
        return Bulletin(
            v=1,
            id=row.message_id,
            requester=requester.id,
            trust_root=row.organisation.trust_root,
            seq=requester.next_number(),
            title=row.title,
            description=row.description,
            language=row.language,
            not_after_s=row.until_s,
            area=area_from_json(row.area),
        )
    except FormatError as error:
        raise RequestError(error.message, remedy=error.remedy) from error


def _end(row: Submission, person: Person, state: str, reason: str) -> Submission:
    plain = clean_text(reason)
    if not plain or len(plain) > MAX_REASON_CHARACTERS:
        raise RequestError("Write a reason of at most 200 characters.", remedy="The neighbour reads it.")
    row.state, row.remark, row.decided_by, row.decided_at = state, plain, person, timezone.now()
    row.until_s = int(timezone.now().timestamp()) + ENDED_S
    row.save()
    _log(row, person, f"neighbour.{state}", reason=plain)
    return row


def _locked(submission: Submission, *states: str) -> Submission:
    row = (
        Submission.objects.select_for_update(of=("self",), no_key=True)
        .select_related("organisation")
        .get(pk=submission.pk)
    )
    if row.state not in states:
        raise RequestError("Another person came first.", remedy="Load the page again.")
    return row


def _another_person() -> RequestError:
    return RequestError("Another moderator has to decide this.", remedy="Ask a colleague to open this page.")


def _log(row: Submission, actor: Person | str, action: str, **detail: object) -> None:
    words = f"{row.title}\n{row.description}".encode()
    organisation: Organisation = row.organisation
    log.record(organisation, actor, action, f"{row.kind} {row.pk}", words=hashlib.sha256(words).hexdigest(), **detail)
