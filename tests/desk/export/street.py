"""A case with answered requests: doors that filmed, disclosures on the disk as the receiver leaves them, their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent.clients.requester import messages
from agent.clients.requester.clips import clips_of
from agent.clients.requester.identity import SentRequest
from agent.clients.requester.verification import Verification, examine
from agent.core.media import Gop
from agent.wire.disclosures import ReceiptState
from desk.asking.models import Draft
from desk.cases.models import Answer, Case, Clip
from desk.custody import log
from desk.custody.answers import sealed_files
from desk.people.organisations import requester_of
from desk.people.roles import Role
from tests.clients.requester.conftest import NOW_S, ROOT_ID, filmed, question
from tests.clients.requester.house import House
from tests.clients.requester.test_verification import lay_down
from tests.desk.agencies import Agency

__all__ = ["Street", "make_street"]


@dataclass
class Street:
    """One case of an agency with its answers."""

    agency: Agency
    case: Case
    asked: list[SentRequest] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    verifications: list[Verification] = field(default_factory=list)

    def ask(self, **changes: object) -> SentRequest:
        """A signed request of the case, asked by one person and approved by another."""
        requester = requester_of(self.agency.organisation)
        draft = question(case=self.case.number, **changes)
        asked = requester.sent_request(messages.make_request(requester, draft, now_s=NOW_S, trust_root=ROOT_ID).id)
        people = self.agency.people
        Draft.objects.create(
            organisation=self.agency.organisation,
            case=self.case,
            author=people[Role.ASKER],
            approved_by=people[Role.SUPERVISOR],
            approved_at=datetime.fromtimestamp(NOW_S, UTC),
            published_at=datetime.fromtimestamp(NOW_S, UTC),
            request_id=asked.request.id,
            state="published",
        )
        log.record(
            self.agency.organisation, people[Role.SUPERVISOR], "request.approved", f"request {asked.request.id}",
            case=self.case.number,
        )  # fmt: skip
        self.asked.append(asked)
        return asked

    def answer(self, asked: SentRequest, house: House, **disclosed: Any) -> Answer:
        """The house shares what it filmed, and the receiver's rows say so."""
        organisation = self.agency.organisation
        requester = requester_of(organisation)
        disclosure = house.disclose(asked, **disclosed)
        lay_down(requester, asked, disclosure).end(ReceiptState.COMPLETE)
        verification = examine(requester, disclosure.id)
        clips = clips_of(verification)
        answer = Answer.objects.create(
            case=self.case,
            request_id=asked.request.id,
            disclosure_id=disclosure.id,
            device=disclosure.device,
            state="complete",
            from_ms=min((clip.start_ms for clip in clips), default=None),
            to_ms=max((clip.end_ms for clip in clips), default=None),
        )
        Clip.objects.bulk_create(
            Clip(
                answer=answer,
                index=clip.number,
                from_ms=clip.start_ms,
                to_ms=clip.end_ms,
                clock_quality=clip.segments[0].quality.value,
                segments=[[each.start_ms, each.end_ms] for each in clip.segments],
                still=clip.poster is not None,
            )
            for clip in clips
        )
        log.record(
            organisation, "receiver", "answer.received", f"answer {disclosure.id}", case=self.case.number,
            **sealed_files(organisation, disclosure.id),
        )  # fmt: skip
        self.answers.append(answer)
        self.verifications.append(verification)
        return answer


def make_case(agency: Agency, number: str, title: str) -> Street:
    case = Case.objects.create(
        organisation=agency.organisation, number=number, title=title, created_by=agency.people[Role.ASKER]
    )
    return Street(agency, case)


def make_street(
    agency: Agency, gops: list[Gop], doors: Sequence[str] = ("mira", "noor"), number: str = "2027-0114"
) -> Street:
    """A case with one request that each of the doors answered."""
    street = make_case(agency, number, "Burglary in Wester Street")
    asked = street.ask()
    for name in doors:
        house = filmed(gops, name=name)
        street.answer(asked, house)
    return street
