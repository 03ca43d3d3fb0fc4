"""A power cut took the ends of two segments: what is whole of one is shared, and the other is left out by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.media.join import probe
from agent.clients.owner.decisions import CannotShareError, approve
from agent.clients.owner.review import RequestReview
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.receiving_service import ReceiverEvent
from agent.wire.fields import Kind
from tests.lengths import LONG
from tests.scenarios.power_cut import cut_the_power
from tests.scenarios.street import NO_CAMERA, Asker, Street, a_street, until

pytestmark = [LONG, pytest.mark.broker, pytest.mark.footage]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with a_street(tmp_path) as found:
        yield found


def test_what_a_power_cut_left_is_shared_as_far_as_it_is_whole(street: Street, footage: Path) -> None:
    police = Asker(street, "rijnstad-police", Kind.POLICE)
    street.record(footage, ring_after_s=10, trusting=[police], widest_px=1280)
    early, half = cut_the_power(street.state_dir)
    street.start_agent(street.configuration(NO_CAMERA))
    request = police.ask("2026-1177", north=0.001)
    until(lambda: street.state_of(request) == "pending", "the request to match")
    with street.owners_link() as link:
        review = RequestReview.fetch(link, street.owner, request.id)
        assert {each.id for each in review.segments if each.is_cut} == {early, half}
        numbers = {each.id: each.number for each in review.segments}
        seen = review.open(half)
        everything = [each.id for each in review.segments]
        with pytest.raises(CannotShareError) as refused:
            approve(link, street.owner, review, everything)
    assert refused.value.message == (
        f"Segment {numbers[early]} cannot be shared: This segment was cut off before its first second was whole."
    )
    assert street.state_of(request) == "pending"
    with street.owners_link() as link:
        disclosure = approve(link, street.owner, review, refused.value.rest)
    assert disclosure is not None
    news: list[ReceiverEvent] = []
    with police.receiving(news):
        until(lambda: street.state_of(request) == "sent", "the requester's receipt")
    opened = open_disclosure(police.requester, disclosure, now_s=request.not_after_s)
    assert opened.verification.ok
    shared = {each.item.part.id: each for each in opened.verification.segments}
    assert set(shared) == set(everything) - {early}
    assert (shared[half].witnessed, shared[half].context) == (False, None)
    assert shared[half].opened_bytes == len(seen.media) > 0
    assert sum(probe(path).frames for path in opened.mp4s) > 0
    report = json.dumps(opened.report.read_text())
    assert "interrupted by a power failure" in report
