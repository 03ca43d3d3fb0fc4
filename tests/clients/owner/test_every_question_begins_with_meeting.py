"""Each operation of the owner's client first meets the device. A device that was set back gets no statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.clients.owner.bulletins import read_bulletins
from agent.clients.owner.decisions import approve, co_approve, deny, gaps_of, opt_in, opt_out, revoke
from agent.clients.owner.device_settings import change_settings
from agent.clients.owner.enrolment import enrol, replace_kit
from agent.clients.owner.holds import erase, hold, release
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.live_stream import watch
from agent.clients.owner.outgoing_tips import send_tip, tip_recipients
from agent.clients.owner.responses import FirstApproval
from agent.clients.owner.review import RequestReview
from agent.clients.owner.trust_roots import add_trust_root, bundle_change, offer_bundle, remove_trust_root
from agent.errors import OpenError
from agent.wire.statements import Scope
from tests.clients.owner.conftest import NOW_MS, REPLY, Home, now, signed_bundle
from tests.wire import samples

Operation = Callable[[Home, RequestReview], object]

STATEMENTS: dict[str, Operation] = {
    "approve": lambda home, review: approve(home.device, home.keys, review, home.segments[:1], clock=now),
    "deny": lambda home, review: deny(home.device, home.keys, home.request, clock=now),
    "opt out": lambda home, review: opt_out(home.device, home.keys, Scope.KIND, "police", clock=now),
    "opt in": lambda home, review: opt_in(home.device, home.keys, Scope.KIND, "police", clock=now),
    "hold": lambda home, review: hold(home.device, home.keys, home.segments, NOW_MS // 1000 + 60, clock=now),
    "release": lambda home, review: release(home.device, home.keys, home.segments, clock=now),
    "erase": lambda home, review: erase(home.device, home.keys, home.segments[:1], clock=now),
    "change settings": lambda home, review: change_settings(home.device, home.keys, {"name": "Back"}, clock=now),
    "trust root": lambda home, review: add_trust_root(home.device, home.keys, samples.OWNER_ROOT.text, clock=now),
    "untrust root": lambda home, review: remove_trust_root(home.device, home.keys, samples.ROOT_KEY.text, clock=now),
    "send tip": lambda home, review: send_tip(home.device, home.keys, "harbour-police", "A van.", clock=now),
}
OTHERS: dict[str, Operation] = {
    "second": lambda home, review: co_approve(
        home.device, home.keys, replace(review, first=FirstApproval("ben", samples.approval(), samples.SHA)), clock=now
    ),
    "revoke": lambda home, review: revoke(home.device, home.keys, "ab" * 16, clock=now),
    "gaps": lambda home, review: gaps_of(home.device, home.keys, review),
    "review": lambda home, review: RequestReview.fetch(home.device, home.keys, home.request, clock=now),
    "bulletins": lambda home, review: read_bulletins(home.device, home.keys, clock=now),
    "ledger": lambda home, review: read_ledger(home.device, home.keys),
    "live": lambda home, review: next(watch(home.device, home.keys, clock=now)),
    "takers of tips": lambda home, review: tip_recipients(home.device, home.keys),
    "bundle change": lambda home, review: bundle_change(home.device, home.keys, signed_bundle(version=9)),
    "offer bundle": lambda home, review: offer_bundle(home.device, home.keys, signed_bundle(version=9)),
    "enrol": lambda home, review: enrol(home.device, home.keys, clock=now),
    "replace kit": lambda home, review: replace_kit(home.device, home.keys, clock=now),
}
MEETING = {"device", "enrolment", "enrolments", "checkpoint"}


@pytest.fixture
def review(home: Home) -> RequestReview:
    entry = samples.requester(tips=str(REPLY.recipient()))
    offer_bundle(home.device, home.keys, signed_bundle(version=4, requesters=(entry,)))
    return RequestReview.fetch(home.device, home.keys, home.request, clock=now)


@pytest.mark.parametrize("name", [*STATEMENTS, *OTHERS])
def test_a_device_that_was_set_back_is_asked_nothing_and_given_nothing(
    home: Home, review: RequestReview, name: str
) -> None:
    operation = {**STATEMENTS, **OTHERS}[name]
    del home.device.leaves[-1:]
    home.device.asked_ops.clear()
    before = len(home.device.statements)
    with pytest.raises(OpenError, match="rolled back"):
        operation(home, review)
    assert set(home.device.asked_ops) <= MEETING
    assert len(home.device.statements) == before


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_a_statement_has_put_into_the_ledger_is_remembered(home: Home, review: RequestReview, name: str) -> None:
    """The device cannot later deny a statement that this machine saw in the ledger."""
    before = len(home.device.leaves)
    STATEMENTS[name](home, review)
    known = home.keys.memory.device(home.device.key.id)
    assert known is not None
    assert known.ledger.size == len(home.device.leaves) > before
