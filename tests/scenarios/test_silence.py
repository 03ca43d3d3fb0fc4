"""A "no", a "nothing here" and a "who are you?" are one and the same thing on the network: nothing at all.

One real door and one real broker; everything that must be met with silence is thrown at it, and the broker's own log is
asked what the door has said.  At the end it says something after all, to show that the witness was awake.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.owner.decisions import approve, deny, gaps_of, opt_in, opt_out
from agent.clients.owner.review import RequestReview
from agent.errors import RequestError
from agent.wire.fields import Kind
from agent.wire.statements import AbsenceReason, FootageAbsence, Scope
from agent.wire.topics import RequestTopic, cell_of
from tests.scenarios.street import DOOR, NO_CAMERA, Asker, Street, a_street, until

pytestmark = [pytest.mark.broker, pytest.mark.footage]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with a_street(tmp_path) as found:
        yield found


def publish_raw(asker: Asker, payload: bytes) -> None:
    """Publishes any bytes that a certificate holder may put on a request's topic."""
    with asker.connected() as bus:
        topic = str(RequestTopic(cell_of(*DOOR), asker.requester.id, 63))
        until(lambda: bus.publish(topic, payload, token=1, retain=False), "the broker to take it")
        until(lambda: bus.next_event(0.1) is None, "the broker to answer")


def test_no_match_denial_opt_out_untrusted_malformed_over_limit_and_replayed_are_one_silence(
    street: Street, footage: Path
) -> None:
    police = Asker(street, "rijnstad-police", Kind.POLICE)
    # About one time a requester asks twice in vain, so another one asks on.
    sheriff = Asker(street, "haven-sheriff", Kind.POLICE)
    stranger = Asker(street, "quick-claims", Kind.INSURER)
    neighbours = Asker(street, "kerkstraat", Kind.NEIGHBOUR)
    street.record(footage, ring_after_s=1, trusting=[police, sheriff, neighbours], lasts_s=25)
    street.start_agent(street.configuration(NO_CAMERA))

    # Nothing here: another area, or this area at a time without footage, is the same to any requester.
    elsewhere = police.ask("case-1", north=0.02)
    until(lambda: street.state_of(elsewhere) == "no match", "no match")

    # The owner says no.
    denied = police.ask("case-2")
    until(lambda: street.state_of(denied) == "pending", "a match")
    with street.owners_link() as link:
        deny(link, street.owner, denied.id)
    assert street.state_of(denied) == "denied"

    # The owner does not want to be asked: before a request, and while one waits.
    waiting = police.ask("case-3")
    until(lambda: street.state_of(waiting) == "pending", "a match")
    with street.owners_link() as link:
        opt_out(link, street.owner, Scope.KIND, "police")
    assert street.state_of(waiting) == "opted out"
    unwanted = sheriff.ask("case-4")
    until(lambda: street.state_of(unwanted) == "opted out", "the standing opt-out to meet it")

    # Neighbours get the same silence for a no, and for an owner who opted out of neighbours alone.
    parcel = neighbours.ask("parcel 1")
    until(lambda: street.state_of(parcel) == "pending", "a match")
    with street.owners_link() as link:
        deny(link, street.owner, parcel.id)
        opt_out(link, street.owner, Scope.KIND, "neighbour")
    assert street.state_of(parcel) == "denied"
    another = neighbours.ask("parcel 2")
    until(lambda: street.state_of(another) == "opted out", "the opt-out from neighbours")

    # A stranger; over a limit; not a message at all; the same again; too large.
    stranger.ask("QC-1")
    police.ask("case-5", hours=13, checked=False)
    publish_raw(stranger, b"\x00\xff not a message")
    publish_raw(police, denied.envelope)
    publish_raw(police, b"{" * 12_000)
    until(
        lambda: {"untrusted", "blocked", "malformed", "replayed"} <= street.counted().keys(), "everything to be counted"
    )
    assert street.counted()["malformed"] == 2

    assert street.published() == []

    # And once more after a restart, when the broker hands over everything it has kept.
    replayed = street.counted()["replayed"]
    street.kill_agent()
    street.start_agent(street.configuration(NO_CAMERA))
    until(lambda: street.counted()["replayed"] > replayed, "the retained requests to come again")
    assert street.published() == []

    # The witness was awake: a yes is heard.
    with street.owners_link() as link:
        opt_in(link, street.owner, Scope.KIND, "police")
    wanted = sheriff.ask("case-6")
    until(lambda: street.state_of(wanted) == "pending", "a match")
    with street.owners_link() as link:
        review = RequestReview.fetch(link, street.owner, wanted.id)
        # The owner may let them know the contents of the rest of the window, as the device's manifest has it.
        told = gaps_of(link, street.owner, review)
        asked = review.request
        lie = (FootageAbsence(from_ms=asked.from_s * 1000, to_ms=asked.to_s * 1000, reason=AbsenceReason.OFF),)
        with pytest.raises(RequestError, match="has just changed"):
            approve(link, street.owner, review, [review.segments[0].id], gaps=lie)
        approve(link, street.owner, review, [review.segments[0].id], gaps=told)
    until(lambda: street.published() != [], "the approved disclosure to be offered")
