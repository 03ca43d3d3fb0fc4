"""Steps of a request: stored, submitted, approved, signed, published, withdrawn. Each is in the custody log.

- `states` decides who may take which step. The row is locked while a step is taken, so two people cannot take two.
- A request is signed after its approval is stored. If the desk stops in between, `sign` finds the request that is
  already signed instead of signing a second one.
- The receiving service publishes what is signed, and the retention clock deletes. Both note it in the draft.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.publisher import is_published
from agent.clients.requester.request_builder import RequestDraft
from agent.errors import RequestError
from agent.wire.fields import Incident, OnwardKind
from agent.wire.messages import Contact, Onward
from desk.asking.models import Draft
from desk.asking.shapes import area_from_json
from desk.asking.states import Actor, Progress, State, Step, fingerprint, take_step
from desk.cases.models import Case
from desk.custody import log
from desk.numbers.counting import count
from desk.people.models import Organisation, Person
from desk.people.organisations import requester_of
from desk.people.roles import Role

__all__ = [
    "approve",
    "case_of",
    "content_of",
    "expire_due",
    "progress_of",
    "question_of",
    "save",
    "send_back",
    "sign",
    "submit",
    "withdraw",
]

DESK: Final = Actor(None)
_CONTENT: Final = (
    *("title", "area", "from_s", "to_s", "incident", "description", "contact_name", "contact_phone", "contact_email"),
    *("days", "retention_days", "onward", "onward_basis", "language"),
)


def progress_of(draft: Draft) -> Progress:
    return Progress(
        State(draft.state),
        draft.author_id,
        draft.approved_by_id,
        draft.submitted_content,
        signed=bool(draft.request_id),
    )


def content_of(draft: Draft) -> str:
    """Returns the fingerprint of all that will be signed."""
    return fingerprint({name: getattr(draft, name) for name in _CONTENT} | {"case": draft.case.number})


def question_of(draft: Draft, not_after_s: int) -> RequestDraft:
    """Returns the request as it will be signed. Raises `RequestError` if a part is missing or unfit."""
    if draft.area is None or draft.from_s is None or draft.to_s is None or not draft.incident:
        raise RequestError("The request is not complete.", remedy="Give an incident, an area and a time.")
    return RequestDraft(
        area=area_from_json(draft.area),
        from_s=draft.from_s,
        to_s=draft.to_s,
        not_after_s=not_after_s,
        case=draft.case.number,
        incident=Incident(draft.incident),
        description=draft.description,
        contact=Contact(name=draft.contact_name, email=draft.contact_email or None, phone=draft.contact_phone or None),
        retention_days=draft.retention_days or draft.organisation.retention_days,
        onward=Onward(to=tuple(OnwardKind(each) for each in draft.onward), basis=draft.onward_basis or None),
        language=draft.language,
    )


@transaction.atomic
def case_of(organisation: Organisation, number: str, person: Person, title: str) -> Case:
    """Returns the case of that number, and opens it if it is new."""
    case, is_new = Case.objects.get_or_create(
        organisation=organisation, number=number, defaults={"created_by": person, "title": title}
    )
    if is_new:
        log.record(organisation, person, "case.opened", f"case {number}", case=number)
    return case


@transaction.atomic
def save(draft: Draft, person: Person, roles: frozenset[Role]) -> Draft:
    """Stores the words of a draft. Its last writer is its author."""
    is_new = draft.pk is None
    if not is_new:
        stored = _locked(draft)
        progress = take_step(progress_of(stored), Step.EDIT, Actor(person.pk, roles))
        draft.author_id = progress.author
    draft.save()
    log.record(
        draft.organisation,
        person,
        "request.drafted" if is_new else "request.edited",
        _name(draft),
        case=draft.case.number,
    )
    return draft


def submit(draft: Draft, person: Person, roles: frozenset[Role], content: str) -> Draft:
    """Submits the draft. If one person is enough, the author approves it in the same step."""
    draft = _take(draft, Step.SUBMIT, person, roles, content=content)
    if not draft.organisation.two_person_rule:
        return approve(draft, person, roles, content)
    return draft


def approve(draft: Draft, person: Person, roles: frozenset[Role], content: str) -> Draft:
    """Approves exactly `content`, then signs it."""
    return sign(_take(draft, Step.APPROVE, person, roles, content=content))


def send_back(draft: Draft, person: Person, roles: frozenset[Role], remark: str) -> Draft:
    """Returns a submitted request to its author."""
    return _take(draft, Step.RETURN, person, roles, remark=remark)


@transaction.atomic
def sign(draft: Draft) -> Draft:
    """Signs an approved request with the organisation's key. Raises `RequestError` if each door would refuse it."""
    draft = _locked(draft)
    progress = take_step(progress_of(draft), Step.SIGN, DESK, two_person_rule=draft.organisation.two_person_rule)
    requester = requester_of(draft.organisation)
    assert draft.not_after_s is not None  # noqa: S101 (set with the approval)
    question = question_of(draft, draft.not_after_s)
    # A kill after signing left a request without its note here. Signing again would ask all doors twice.
    found = _signed_before(requester, question)
    if found is None:
        root = draft.organisation.trust_root or None
        now_s = int(timezone.now().timestamp())
        made = messages.make_request(requester, question, now_s=now_s, trust_root=root)
        found = requester.sent_request(made.id)
    draft.state, draft.request_id, draft.signed_at = progress.state.value, found.request.id, timezone.now()
    draft.save(update_fields=["state", "request_id", "signed_at"])
    count(draft.organisation, found.envelope)
    log.record(
        draft.organisation,
        "desk",
        "request.signed",
        f"request {found.request.id}",
        case=draft.case.number,
        draft=draft.pk,
        sha256=found.payload_sha256,
        asked_by=draft.author.email,
        approved_by=draft.approved_by.email if draft.approved_by else None,
    )
    return draft


@transaction.atomic
def withdraw(draft: Draft, person: Person, roles: frozenset[Role], remark: str) -> Draft:
    """Withdraws a request. Doors that have it are told by a signed message; before that, the draft is thrown away."""
    draft = _take(draft, Step.WITHDRAW, person, roles, remark=remark)
    if draft.request_id:
        messages.make_withdrawal(requester_of(draft.organisation), draft.request_id, remark or None)
    return draft


def refresh(organisation: Organisation, now: datetime.datetime) -> None:
    """Ends requests after their last day, and notes those that the broker has."""
    signed = list(Draft.objects.filter(organisation=organisation, state=State.SIGNED))
    requester = requester_of(organisation) if signed else None
    for draft in signed:
        # The receiving service notes a publication itself, and logs it. A crash may come before its note.
        if requester is not None and is_published(requester, draft.request_id):
            progress = take_step(progress_of(draft), Step.PUBLISH, DESK)
            found = Draft.objects.filter(pk=draft.pk, state=State.SIGNED)
            found.update(state=progress.state.value, published_at=now)
    expire_due(organisation, int(now.timestamp()))


def expire_due(organisation: Organisation, now_s: int) -> None:
    """Ends requests after the last day to answer."""
    due = Draft.objects.filter(
        organisation=organisation, state__in=(State.SIGNED, State.PUBLISHED), not_after_s__lt=now_s
    )
    for each in due:
        with transaction.atomic():
            draft = _locked(each)
            if State(draft.state) in (State.SIGNED, State.PUBLISHED):
                draft.state = take_step(progress_of(draft), Step.EXPIRE, DESK).state.value
                draft.save(update_fields=["state"])
                log.record(
                    organisation, "desk", "request.expired", f"request {draft.request_id}", case=draft.case.number
                )


_LOGGED: Final = {
    Step.SUBMIT: "request.submitted",
    Step.APPROVE: "request.approved",
    Step.RETURN: "request.returned",
    Step.WITHDRAW: "request.withdrawn",
}


@transaction.atomic
def _take(
    draft: Draft, step: Step, person: Person, roles: frozenset[Role], *, content: str = "", remark: str = ""
) -> Draft:
    draft = _locked(draft)
    # Another tab or colleague may have changed the words after they were shown.
    if step is Step.SUBMIT and content != content_of(draft):
        raise RequestError(
            "The request has changed since it was shown to you.", remedy="Read it again, then approve it."
        )
    rule = draft.organisation.two_person_rule
    progress = take_step(progress_of(draft), step, Actor(person.pk, roles), two_person_rule=rule, content=content)
    draft.state, draft.submitted_content = progress.state.value, progress.submitted
    draft.approved_by_id = progress.approver
    if remark:
        draft.remark = remark
    now = timezone.now()
    match step:
        case Step.SUBMIT:
            draft.submitted_at, draft.remark = now, ""
        case Step.APPROVE:
            draft.approved_at = now
            # Counted from the approval, so that doors have the promised days however long the approval took.
            draft.not_after_s = int(now.timestamp()) + draft.days * 86_400
    draft.save()
    log.record(draft.organisation, person, _LOGGED[step], _name(draft), **_detail(draft, content, remark))
    return draft


def _detail(draft: Draft, content: str, remark: str) -> dict[str, Any]:
    detail: dict[str, Any] = {"case": draft.case.number, "draft": draft.pk}
    if content:
        detail["content"] = content
    if remark:
        detail["remark"] = remark
    return detail


def _locked(draft: Draft) -> Draft:
    Case.objects.select_for_update(no_key=True).get(pk=draft.case_id)  # before its draft, as all acts on a case do
    return (
        Draft.objects.select_for_update(of=("self",), no_key=True)
        .select_related("organisation", "case")
        .get(pk=draft.pk)
    )


def _name(draft: Draft) -> str:
    return f"request {draft.request_id}" if draft.request_id else f"draft {draft.pk}"


def _signed_before(requester: Requester, question: RequestDraft) -> SentRequest | None:
    """Returns the request that an earlier attempt has signed, if the desk stopped before it noted that."""
    known = set(
        Draft.objects.exclude(request_id="").filter(case__number=question.case).values_list("request_id", flat=True)
    )
    return next((each for each in _same(requester, question) if each.request.id not in known), None)


def _same(requester: Requester, question: RequestDraft) -> Iterable[SentRequest]:
    asked = {part.name: getattr(question, part.name) for part in dataclasses.fields(question)}
    for each in requester.sent_requests_in_case(question.case):
        # Each word: another draft of the case may ask about the same place, and was approved in the same second.
        if all(getattr(each.request, name) == value for name, value in asked.items()):
            yield each
