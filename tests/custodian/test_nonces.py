"""An old statement that a third party kept back is ignored, even if every clock is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from agent.core.timebase import ClockQuality
from agent.custodian.verified_statements import NONCE_LIFE_S, Nonces
from agent.errors import OpenError, OvertakenError, RequestError
from agent.wire.identities import private_key_from_seed
from agent.wire.statements import (
    Denial,
    Enrolment,
    Erasure,
    Hold,
    NamedRecipient,
    OptIn,
    OptOut,
    OwnerStatement,
    Release,
    Revocation,
    Scope,
    Settings,
    Tip,
    TrustChange,
)
from tests import custodians
from tests.custodians import NOW_S, Door, sha256_of
from tests.vaults import SeededEntropy, SteppedClock
from tests.wire import samples

SECOND = private_key_from_seed(b"2" * 32)
YEARS_S = 3 * 365 * 86_400.0


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    made.own_nonces = True
    made.start()
    yield made
    made.close()


def fresh(door: Door) -> dict[str, Any]:
    """Headers that an owner's client puts into a statement that it signs now."""
    return {**custodians.stated(), "nonce": door.custodian.custodian_state.nonces.give()}


def of_the_request(door: Door) -> Any:
    asked = door.ask()
    return Denial(**fresh(door), request=sha256_of(asked))


SIGNED: dict[str, Callable[[Door], OwnerStatement]] = {
    "trust a root": lambda door: TrustChange(**fresh(door), roots_added=(samples.pair(SECOND).text,)),
    "opt out": lambda door: OptOut(**fresh(door), scope=Scope.ALL),
    "opt in": lambda door: OptIn(**fresh(door), scope=Scope.ALL),
    "hold": lambda door: Hold(**fresh(door), segments=(door.segments[0],), until_s=NOW_S + 86_400 * 30),
    "release": lambda door: Release(**fresh(door), segments=(door.segments[0],)),
    "delete": lambda door: Erasure(**fresh(door), segments=(door.segments[0],)),
    "set": lambda door: Settings(**fresh(door), name="Back door"),
    "deny": of_the_request,
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_statement_that_was_held_back_is_not_obeyed_years_later(door: Door, name: str) -> None:
    statement = SIGNED[name](door)
    before = len(door.entries())
    door.clock.advance(YEARS_S)
    with pytest.raises(RequestError, match="more than ten minutes ago"):
        door.obey(statement)
    assert len(door.entries()) == before


@pytest.mark.parametrize("name", SIGNED)
def test_a_statement_from_before_a_restart_is_not_obeyed_whatever_the_clock_says(door: Door, name: str) -> None:
    statement = SIGNED[name](door)
    door.clock.quality = ClockQuality.UNKNOWN
    door.start()
    with pytest.raises(RequestError, match="before the device started"):
        door.obey(statement)


def test_an_approval_and_its_revocation_and_a_tip_are_as_fresh_as_the_rest(door: Door) -> None:
    asked = door.ask()
    approval, headers = custodians.approval(door, asked)
    with pytest.raises(RequestError, match="more than ten minutes ago"):
        door.obey(approval, headers)
    disclosure = door.obey(msgspec.structs.replace(approval, nonce=fresh(door)["nonce"]), headers).disclosure
    assert disclosure is not None
    revocation = Revocation(**fresh(door), disclosure=disclosure)
    tip = Tip(
        **fresh(door), tip="7" * 32, trust_root=samples.ROOT_KEY.id, requester="harbour-police",
        reply=custodians.REPLY, message="e30=",
    )  # fmt: skip
    door.clock.advance(NONCE_LIFE_S + 1)
    for late in (revocation, tip):
        with pytest.raises(RequestError, match="more than ten minutes ago"):
            door.obey(late)


def test_an_enrolment_that_was_held_back_changes_no_owners(door: Door) -> None:
    previous = sha256_of(door.custodian.enrolments.current)  # type: ignore[arg-type]
    wanted: Enrolment = custodians.enrolment(**fresh(door), epoch=2, previous=previous)
    door.clock.advance(YEARS_S)
    with pytest.raises(RequestError, match="more than ten minutes ago"):
        door.propose(wanted)
    assert not door.custodian.enrolments.pending
    door.propose(msgspec.structs.replace(wanted, nonce=fresh(door)["nonce"]))


@pytest.mark.parametrize(("added", "life_s"), [(False, NONCE_LIFE_S), (True, 86_400)], ids=["removes one", "adds one"])
def test_a_list_of_owners_that_nobody_completed_in_time_never_counts(door: Door, added: bool, life_s: int) -> None:
    approvers = custodians.two_owners(door, SECOND)
    door.enrol(**{**approvers, **fresh(door)})
    more = (NamedRecipient(name="cy", recipient=custodians.REPLY),) if added else ()
    previous = sha256_of(door.custodian.enrolments.current)  # type: ignore[arg-type]
    without_bo = custodians.enrolment(epoch=3, previous=previous)
    recipients = (*without_bo.recipients, *more)
    without_bo = msgspec.structs.replace(without_bo, recipients=recipients, nonce=fresh(door)["nonce"])
    tests = door.propose(without_bo)
    assert bool(tests) == added
    opened = dict.fromkeys(tests, b"")
    door.clock.advance(life_s)
    assert door.custodian.enrolments.pending
    door.clock.advance(1)
    assert not door.custodian.enrolments.pending
    with pytest.raises(RequestError, match="No enrolment is waiting"):
        door.custodian.enrolments.confirm(opened)
    assert door.custodian.enrolments.current.epoch == 2  # type: ignore[union-attr]


def test_the_statements_of_one_owner_act_in_their_order_and_another_owner_is_in_nobodys_way(door: Door) -> None:
    approvers = custodians.two_owners(door, SECOND)
    door.enrol(**{**approvers, **fresh(door)})
    first, second = OptOut(**fresh(door), scope=Scope.ALL), OptIn(**fresh(door), scope=Scope.ALL)
    theirs = OptOut(**fresh(door), scope=Scope.KIND, value="insurer")
    door.obey(second)
    with pytest.raises(OvertakenError, match="A later statement of the same owner arrived first"):
        door.obey(first)
    with pytest.raises(RequestError, match="submitted before"):
        door.obey(second)
    first = replace_nonce(first, door)
    door.obey(theirs, by=SECOND)
    door.obey(first)


def replace_nonce(statement: OptOut, door: Door) -> OptOut:
    return msgspec.structs.replace(statement, nonce=fresh(door)["nonce"])


def test_what_no_owner_signed_uses_up_no_nonce(door: Door) -> None:
    statement = OptOut(**fresh(door), scope=Scope.ALL)
    with pytest.raises(OpenError):
        door.obey(statement, by=SECOND)
    door.obey(statement)


def test_a_nonce_counts_for_ten_minutes_and_no_other_device_or_guess_makes_one() -> None:
    clock = SteppedClock()
    nonces, others = Nonces(clock, SeededEntropy(1)), Nonces(clock, SeededEntropy(2))
    given = [nonces.give() for _ in range(4)]
    assert len({*given}) == 4
    assert sorted(given) == given
    clock.advance(NONCE_LIFE_S)
    nonces.claim(given[0], "anna")
    clock.advance(0.001)
    for wrong in (given[1], others.give(), "00" * 16, "ff" * 16, nonces.give()[:-1] + "0"):
        with pytest.raises(RequestError):
            nonces.claim(wrong, "bo")


def test_a_nonce_begins_with_the_microsecond_of_the_boot_clock_and_no_two_are_the_same() -> None:
    clock = SteppedClock(boot_ns=0)
    nonces = Nonces(clock, SeededEntropy(3))
    numbers = [int(nonces.give()[:14], 16) for _ in range(2)]
    clock.boot_ns = 5_999
    numbers += [int(nonces.give()[:14], 16) for _ in range(2)]
    assert numbers == [1, 2, 5, 6]
    assert {len(nonces.give()) for _ in range(9)} == {32}


def test_the_first_nonce_of_a_boot_is_good_once() -> None:
    nonces = Nonces(SteppedClock(boot_ns=0), SeededEntropy(3))
    first = nonces.give()
    nonces.claim(first, "anna")
    with pytest.raises(RequestError, match="submitted before"):
        nonces.claim(first, "anna")
    nonces.claim(first, "bo")


def test_every_owner_is_told_when_owners_or_settings_change() -> None:
    door = Door.enrolled()
    told = len(door.told.news)
    door.obey(Settings(**custodians.stated(), name="Back door"))
    door.enrol(**custodians.two_owners(door, SECOND))
    assert [kind for kind, *_ in door.told.news[told:]] == ["settings", "owners"]
    door.close()
