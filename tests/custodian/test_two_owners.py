"""If the owners have agreed that it takes two, one yes waits, another makes it count, and any no ends it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from agent.clients.opening import open_bytes
from agent.core.consent import RequestState
from agent.core.disclosure import read_manifest
from agent.core.requests import RESTORED
from agent.core.timebase import ClockQuality
from agent.custodian.release_records import first_approval_of
from agent.errors import RequestError
from agent.wire import envelope
from agent.wire.control import Frame
from agent.wire.disclosures import DisclosureManifest
from agent.wire.identities import private_key_from_seed
from agent.wire.messages import FootageRequest
from agent.wire.statements import CoApproval, Denial, read_statement
from tests import custodians
from tests.custodians import APPROVER, NOW_S, REPLY_IDENTITY, Door, sha256_of, stated

BO = private_key_from_seed(b"b" * 32)


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    made.enrol(**custodians.two_owners(made, BO))
    yield made
    made.close()


def co_approval(asked: FootageRequest, approval: Any, **changes: Any) -> CoApproval:
    values = {**stated(), "request": sha256_of(asked), "approval": sha256_of(approval), **changes}
    return CoApproval(**values)


def first_of(door: Door, asked: FootageRequest) -> Any:
    """Anna's yes to the first segment."""
    approval, headers = custodians.approval(door, asked, door.segments[0])
    assert door.obey(approval, headers).state is RequestState.PARTIALLY_APPROVED
    return approval


def test_one_yes_waits_and_sends_nothing(door: Door) -> None:
    asked = door.ask()
    door.told.news.clear()
    first_of(door, asked)
    assert door.state(asked) is RequestState.PARTIALLY_APPROVED
    assert door.outgoing() == []
    assert door.outbox.objects == {}
    assert door.kinds()[-1] == "first-approval"
    assert door.entries()[-1]["reason"] == "anna"
    assert door.told.news == [("request", "A request for footage is waiting for another owner.")]


def test_a_redacted_film_does_not_wait_for_an_owner_who_cannot_see_it(door: Door) -> None:
    asked = door.ask()
    approval, blobs = custodians.redacted_approval(door, asked)
    with pytest.raises(RequestError, match="redacted films cannot wait for a second owner"):
        door.obey(approval, blobs)
    assert door.state(asked) is RequestState.PENDING


def test_another_owners_yes_to_the_same_sends_exactly_that(door: Door) -> None:
    asked = door.ask()
    approval = first_of(door, asked)
    verdict = door.obey(co_approval(asked, approval), by=BO)
    assert verdict.state is RequestState.APPROVED
    assert door.outgoing() == [verdict.disclosure]
    sent = door.outbox.objects[verdict.disclosure]
    sealed = open_bytes(sent[0], [REPLY_IDENTITY])
    manifest = envelope.read_hybrid(sealed, DisclosureManifest.PAYLOAD_TYPE, limit_bytes=1 << 26)
    assert b'"co_approval"' in manifest.payload
    assert len(sent) == 2
    assert door.entries()[-2]["subject"] == sha256_of(approval)


@pytest.mark.parametrize("quality", [ClockQuality.SYNCED, ClockQuality.UNKNOWN], ids=lambda quality: quality.value)
def test_the_second_owners_clock_is_asked_as_well(door: Door, quality: ClockQuality) -> None:
    asked = door.ask()
    approval = first_of(door, asked)
    door.clock.quality = quality
    with pytest.raises(RequestError, match="time to answer this request is over"):
        door.obey(co_approval(asked, approval, owner_time_ms=(asked.not_after_s + 1) * 1000), by=BO)
    assert door.state(asked) is RequestState.PARTIALLY_APPROVED
    assert (door.outgoing(), door.outbox.objects) == ([], {})
    last = co_approval(asked, approval, owner_time_ms=asked.not_after_s * 1000 + 999)
    assert door.obey(last, by=BO).state is RequestState.APPROVED


def test_the_second_owners_clock_judges_what_the_device_could_not(door: Door) -> None:
    door.clock.quality = ClockQuality.UNKNOWN
    asked = door.ask(not_after_s=NOW_S + 29 * 86_400)
    approval = first_of(door, asked)
    a_day_back = (NOW_S - 2 * 86_400) * 1000
    with pytest.raises(RequestError, match="window in the future"):
        door.obey(co_approval(asked, approval, owner_time_ms=a_day_back), by=BO)
    assert door.state(asked) is RequestState.PARTIALLY_APPROVED


def test_nobody_seconds_themselves(door: Door) -> None:
    asked = door.ask()
    approval = first_of(door, asked)
    with pytest.raises(RequestError, match="needs another owner besides you"):
        door.obey(co_approval(asked, approval), by=APPROVER)
    assert door.state(asked) is RequestState.PARTIALLY_APPROVED


def test_a_yes_to_something_else_than_what_waits_is_refused(door: Door) -> None:
    asked = door.ask()
    approval = first_of(door, asked)
    other, headers = custodians.approval(door, asked, door.segments[1])
    assert door.obey(other, headers).state is RequestState.PARTIALLY_APPROVED
    with pytest.raises(RequestError, match="has replaced the one"):
        door.obey(co_approval(asked, approval), by=BO)
    assert door.obey(co_approval(asked, other), by=BO).state is RequestState.APPROVED


def test_any_one_no_is_a_no(door: Door) -> None:
    asked = door.ask()
    approval = first_of(door, asked)
    refused = door.obey(Denial(**stated(), request=sha256_of(asked)), by=BO)
    assert refused.state is RequestState.DENIED
    assert door.entries()[-1]["reason"] == "bo"
    with pytest.raises(RequestError):
        door.obey(co_approval(asked, approval), by=BO)
    assert door.journal.named("first.") == {}


def test_a_first_yes_that_stayed_behind_after_the_no_completes_nothing(door: Door) -> None:
    asked = door.ask()
    approval = first_of(door, asked)
    stale = door.journal.get(first_approval_of(asked.id))
    assert stale is not None
    door.deny(asked)
    with door.journal.transaction():
        door.journal.put(first_approval_of(asked.id), stale)
    with pytest.raises(RequestError, match="No approval of this request waits"):
        door.obey(co_approval(asked, approval), by=BO)


def test_what_waits_is_shown_to_the_owners_as_it_was_signed(door: Door) -> None:
    asked = door.ask()
    assert shown(door, asked)["first"] is None
    approval = first_of(door, asked)
    claimed = read_statement(str(shown(door, asked)["first"]).encode())
    assert hashlib.sha256(claimed.payload).hexdigest() == sha256_of(approval)


def test_when_one_is_enough_by_then_the_proof_names_one(door: Door) -> None:
    asked = door.ask()
    approval = first_of(door, asked)
    enough = custodians.two_owners(door, BO) | {"epoch": 3, "approvals_needed": 1}
    door.enrol(**enough)
    verdict = door.obey(co_approval(asked, approval), by=BO)
    opened = open_bytes(door.outbox.objects[verdict.disclosure or ""][0], [REPLY_IDENTITY])
    manifest = envelope.read_hybrid(opened, DisclosureManifest.PAYLOAD_TYPE, limit_bytes=1 << 26)
    assert b'"co_approval"' not in manifest.payload
    assert read_manifest(opened, asked, sha256_of(asked)).co_approver is None


def test_a_first_yes_in_a_backup_is_given_again_or_completes_nothing(door: Door) -> None:
    """Its owner may have said no since, and that no is not in the backup."""
    asked = door.ask()
    approval = first_of(door, asked)
    door.journal.put(RESTORED, b"")
    door.start()
    with pytest.raises(RequestError, match="No approval of this request waits"):
        door.obey(co_approval(asked, approval), by=BO)
    assert door.outgoing() == []
    again = first_of(door, asked)
    assert door.obey(co_approval(asked, again), by=BO).state is RequestState.APPROVED


def test_what_waits_survives_a_power_cut(door: Door) -> None:
    asked = door.ask()
    approval = first_of(door, asked)
    door.start()
    assert door.obey(co_approval(asked, approval), by=BO).state is RequestState.APPROVED


def shown(door: Door, asked: FootageRequest) -> dict[str, Any]:
    return dict(door.custodian.control.answer(Frame({"op": "request", "id": asked.id}, b"")).head["result"])
