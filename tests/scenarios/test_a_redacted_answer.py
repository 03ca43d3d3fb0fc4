"""A film that its owner redacted, from the doorbell through a broker to the requester's report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.media.redact import require_covered
from agent.clients.owner.decisions import ShareChoice, approve
from agent.clients.owner.redaction import read_plan
from agent.clients.owner.review import RequestReview
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.wire.fields import Kind
from tests.scenarios.street import NO_CAMERA, Asker, Street, a_street, until

pytestmark = [pytest.mark.broker, pytest.mark.footage]

PLAN = {"redactions": [{"segment": 2, "kind": "face", "places": [[0, 30, 20, 20, 30], [3, 50, 20, 20, 30]]}]}


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with a_street(tmp_path) as found:
        yield found


def test_the_requester_gets_the_redacted_film_and_the_others_as_recorded(street: Street, footage: Path) -> None:
    """The street's witness compares each byte that passed the broker with the approval in the ledger."""
    police = Asker(street, "rijnstad-police", Kind.POLICE)
    street.record(footage, ring_after_s=10, trusting=[police])
    street.start_agent(street.configuration(NO_CAMERA))
    request = police.ask("2026-1180")
    until(lambda: street.state_of(request) == "pending", "the request to match")
    with street.owners_link() as link:
        review = RequestReview.fetch(link, street.owner, request.id)
        chosen = tuple(each.id for each in review.segments[:3])
        plan = read_plan(json.dumps(PLAN).encode(), review)
        disclosure = approve(link, street.owner, review, ShareChoice(chosen, redactions=plan))
        recorded = [review.open(each, link).media for each in chosen]
    assert disclosure is not None
    news: list[ReceiverEvent] = []
    with police.receiving(news):
        until(lambda: street.state_of(request) == "sent", "the requester's receipt")
    opened = open_disclosure(police.requester, disclosure, now_s=request.not_after_s)
    assert opened.verification.ok, opened.verification.failed
    assert [bool(each.redactions) for each in opened.verification.segments] == [False, True, False]
    films = [path.read_bytes() for path in opened.mp4s]
    assert (films[0], films[2]) == (recorded[0], recorded[2])
    require_covered(films[1], opened.verification.segments[1].redactions)
    assert opened.merged is not None
    assert "Its owner redacted 1 of the 3 files" in opened.report.read_text()
