"""A house that answers a request of an organisation of the desk, without a broker or over a fake one."""

from __future__ import annotations

from agent.clients.requester import messages
from agent.clients.requester.disclosure_folder import DisclosureOrigin
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind
from agent.wire.disclosures import ReceiptState
from desk.people.organisations import requester_of
from desk.receiving.answer_rows import AnswerRecorder
from tests.clients.requester.conftest import NOW_S, ROOT_ID, question
from tests.clients.requester.house import Disclosure, House
from tests.desk.agencies import Agency

__all__ = ["ask", "deliver", "receive"]


def ask(agency: Agency, **changes: object) -> tuple[Requester, SentRequest]:
    """Signs a request of the organisation."""
    requester = requester_of(agency.organisation)
    signed = messages.make_request(requester, question(**changes), now_s=NOW_S, trust_root=ROOT_ID)
    return requester, requester.sent_request(signed.id)


def deliver(requester: Requester, asked: SentRequest, disclosure: Disclosure, *, listed: bool = True) -> ReceiverEvent:
    """Stores a whole disclosure as the receiving service does, and returns its report.

    `listed`: False leaves it out of the index, as a folder that a person has put back. A database has no such folders.
    """
    folder = requester.answer(disclosure.id)
    first = disclosure.sizes[0]
    folder.create(
        DisclosureOrigin(
            v=1,
            device=disclosure.device,
            parts=len(disclosure.parts),
            size_bytes=first.size_bytes,
            sha256=first.sha256,
        )
    )
    for number, (part, size) in enumerate(zip(disclosure.parts, disclosure.sizes, strict=True)):
        folder.write(number, 0, part)
        assert folder.seal(number, size)
    folder.adopt(asked.envelope)
    folder.end(ReceiptState.COMPLETE)
    if listed:
        requester.answers.ended(disclosure.id)
    size_bytes = sum(map(len, disclosure.parts))
    return ReceiverEvent(
        ReceiverEventKind.COMPLETE, disclosure.id, asked.request.id, size_bytes, size_bytes, device=disclosure.device
    )


def receive(agency: Agency, house: House, requester: Requester, asked: SentRequest) -> Disclosure:
    """Lets a house answer with all that it filmed, up to the rows of the desk."""
    disclosure = house.disclose(asked)
    AnswerRecorder(agency.organisation, requester).record(deliver(requester, asked, disclosure))
    return disclosure
