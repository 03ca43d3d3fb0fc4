"""Limits of time are judged by anyone who knows the time: the device when it does, the owner who approves until
then."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from agent.core.consent import RequestState
from agent.core.timebase import ClockQuality
from agent.errors import RequestError
from agent.wire import strictjson
from agent.wire.identities import private_key_from_seed
from agent.wire.messages import FootageRequest
from agent.wire.statements import CoApproval
from agent.wire.trust import EntryLimits
from tests.custodians import NOW_S, POLICE, ROOT, Door, approval, bundle, sha256_of, signed, stated, two_owners
from tests.wire import samples

DAY_S = 86_400
BO = private_key_from_seed(b"b" * 32)
OLDEST = NOW_S - 45 * DAY_S
TOO_FAR = {"from_s": OLDEST - 1, "to_s": OLDEST + 3600}
TOO_SOON = {"from_s": NOW_S - 3600, "to_s": NOW_S + 301}
TOO_LONG = {"not_after_s": NOW_S + 30 * DAY_S + 1}
OVER = {"look-back too far": TOO_FAR, "window in the future": TOO_SOON, "expires too late": TOO_LONG}
STILL = {
    "look-back": {"from_s": OLDEST, "to_s": OLDEST + 3600},
    "future": {"from_s": NOW_S - 3600, "to_s": NOW_S + 300},
    "life": {"not_after_s": NOW_S + 30 * DAY_S},
}


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    made.vault.keep(OLDEST + 60)
    made.vault.keep(NOW_S - 60)
    made.clock.utc_offset_ns = NOW_S * 10**9 - made.clock.boot_ns
    made.clock.quality = ClockQuality.UNKNOWN
    try:
        yield made
    finally:
        made.close()


def ask(door: Door, **changes: Any) -> FootageRequest:
    asked = door.ask(**changes)
    assert door.state(asked) is RequestState.PENDING
    return asked


def know_the_time(door: Door, later_s: int = 0) -> None:
    door.clock.boot_ns += later_s * 10**9
    door.clock.quality = ClockQuality.SYNCED
    door.custodian.on_time()


@pytest.mark.parametrize("over", OVER)
def test_what_came_while_nobody_knew_the_time_is_judged_by_the_clock_of_the_owner_who_approves(
    door: Door, over: str
) -> None:
    asked = ask(door, **OVER[over])
    with pytest.raises(RequestError, match=over):
        door.approve(asked)
    assert door.state(asked) is RequestState.PENDING
    assert door.outbox.objects == {}


@pytest.mark.parametrize("over", OVER)
def test_it_ends_as_soon_as_somebody_knows_the_time(door: Door, over: str) -> None:
    asked = ask(door, **OVER[over])
    door.custodian.on_time()
    assert door.state(asked) is RequestState.PENDING
    know_the_time(door)
    assert door.state(asked) is RequestState.DENIED
    assert (door.entries()[-1]["kind"], door.entries()[-1]["reason"]) == ("denied", over)
    assert door.journal.named("unjudged.") == {}


@pytest.mark.parametrize("limit", STILL)
def test_at_each_bound_it_stays_and_can_be_approved_before_and_after(door: Door, limit: str) -> None:
    before, after = ask(door, **STILL[limit]), ask(door, **STILL[limit])
    assert door.approve(before).state is RequestState.APPROVED
    know_the_time(door)
    assert door.approve(after).state is RequestState.APPROVED
    assert door.journal.named("unjudged.") == {}


def test_once_it_was_judged_an_answer_may_take_its_time(door: Door) -> None:
    """Look-back is how far back it asks, not how long its owner thinks it over."""
    asked = ask(door, **STILL["look-back"])
    know_the_time(door)
    know_the_time(door, 5 * DAY_S)
    later = (NOW_S + 5 * DAY_S) * 1000
    assert door.approve(asked, owner_time_ms=later).state is RequestState.APPROVED


def test_what_has_run_out_meanwhile_has_expired_and_was_not_barred(door: Door) -> None:
    asked = ask(door, not_after_s=NOW_S + 60)
    know_the_time(door, 120)
    assert door.state(asked) is RequestState.EXPIRED
    assert door.journal.named("unjudged.") == {}


def test_a_requesters_own_limits_count_as_well(door: Door) -> None:
    tight = bundle(2, POLICE).requesters[0]
    door.vault.keep(NOW_S - 3 * DAY_S + 60)
    asked = ask(door, from_s=NOW_S - 3 * DAY_S, to_s=NOW_S - 3 * DAY_S + 3600)
    tight = msgspec.structs.replace(tight, limits=EntryLimits(look_back_max_s=2 * DAY_S))
    door.custodian.control._trust.accept(signed(samples.bundle(version=2, requesters=(tight,)), ROOT))
    with pytest.raises(RequestError, match="look-back too far"):
        door.approve(asked)


def test_a_request_that_ends_otherwise_is_not_remembered(door: Door) -> None:
    asked = ask(door)
    assert door.journal.named("unjudged.").keys() == {asked.id}
    door.deny(asked)
    assert door.journal.named("unjudged.") == {}


def test_what_one_of_two_has_approved_is_judged_like_the_rest(door: Door) -> None:
    door.enrol(**two_owners(door, BO))
    asked = ask(door, **STILL["look-back"])
    other = ask(door, **TOO_FAR)
    with pytest.raises(RequestError, match="look-back"):
        door.approve(other)
    first, headers = approval(door, asked)
    assert door.obey(first, headers).state is RequestState.PARTIALLY_APPROVED
    know_the_time(door)
    named = hashlib.sha256(strictjson.encode(first)).hexdigest()
    assert (
        door.obey(CoApproval(**stated(), request=sha256_of(asked), approval=named), by=BO).state
        is RequestState.APPROVED
    )
