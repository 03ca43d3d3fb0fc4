"""The records of what may leave: what each state keeps and deletes, when each expires, and on which key it depends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from agent.core.consent import RequestState
from agent.core.timebase import ClockQuality
from agent.custodian.release_records import (
    OPEN,
    ReleaseRecords,
    StoredTip,
    first_approval_of,
    sha256_of_recipient,
)
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.custodian.test_tips import with_tips
from tests.custodians import FIRE, NOW_S, POLICE, REPLY, ROOT, Door, bundle, signed
from tests.wire import samples

ANNA, STRANGER = samples.OWNER_KEY.id, public_key_of(private_key_from_seed(b"x" * 32)).id
WEEK_S = 7 * 86_400
PENDING, PARTIAL, APPROVED = RequestState.PENDING, RequestState.PARTIALLY_APPROVED, RequestState.APPROVED


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    yield made
    made.close()


@pytest.fixture
def records(door: Door) -> ReleaseRecords:
    return door.custodian.releases.records


def a_tip(number: int = 1, **changes: object) -> StoredTip:
    values = {
        "tip": f"{number:032x}", "trust_root": samples.ROOT_KEY.id, "requester": "harbour-police", "state": APPROVED,
        "not_after_s": NOW_S + 60, "sealed_to": sha256_of_recipient(REPLY), "by": ANNA,
    }  # fmt: skip
    return StoredTip(**{**values, **changes})  # type: ignore[arg-type]


def test_a_tip_is_kept_as_it_is_and_is_found_by_its_id_also_after_its_end(records: ReleaseRecords) -> None:
    going, ended = a_tip(1), a_tip(2, state=RequestState.SENT)
    for each in (going, ended):
        records.save_tip(each)
    assert (records.tip(going.tip), records.find(ended.tip)) == (going, ended)
    assert records.tip("f" * 32) is records.find("f" * 32) is None
    assert sorted(records.tips(), key=lambda each: each.tip) == [going, ended]
    assert records.unended() == [going]
    assert (going.id, going.said_id, going.disclosure) == (going.tip,) * 3
    records.save_state(going, RequestState.SENDING)
    assert records.tip(going.tip) == replace(going, state=RequestState.SENDING)


def test_a_request_is_found_by_its_disclosure(door: Door, records: ReleaseRecords) -> None:
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    assert disclosure is not None
    found = records.find(disclosure)
    assert found is not None
    assert found.id == asked.id
    assert [each.id for each in records.unended()] == [asked.id]


def test_a_first_approval_and_a_check_that_was_put_off_go_with_the_state_that_needs_them(
    door: Door, records: ReleaseRecords
) -> None:
    asked = door.ask()
    name = first_approval_of(asked.id)

    def kept(state: RequestState) -> tuple[bool, bool, bool]:
        """Whether the check, the first approval and the approvers are kept after a step to this state."""
        records.save_state(door.stored(asked), state)
        approvers = door.journal.get(f"approvers.{asked.id}")
        return records.is_deferred(asked.id), door.journal.get(name) is not None, approvers is not None

    records.defer_check(asked.id)
    assert records.deferred() == [asked.id]
    assert door.journal.named("unjudged.") == {asked.id: b""}
    door.journal.put(name, b"a first approval")
    records.save_approvers(door.stored(asked), [ANNA])
    assert kept(PENDING) == (True, True, True)
    assert kept(PARTIAL) == (True, True, True)
    assert kept(PARTIAL) == (True, True, True)
    assert kept(APPROVED) == (False, False, True)
    assert kept(RequestState.SENT) == (False, False, False)
    records.defer_check(asked.id)
    records.end_deferral(asked.id)
    assert records.deferred() == []


def test_what_waits_expires_at_its_end_what_is_approved_a_week_later_and_a_tip_at_its_own(
    door: Door, records: ReleaseRecords
) -> None:
    waiting, approved, tip = door.ask(), door.ask(), a_tip()
    door.approve(approved)
    records.save_tip(tip)
    records.save_tip(a_tip(2, state=RequestState.SENT))
    end_s = waiting.not_after_s
    assert tip.not_after_s < end_s == approved.not_after_s

    def overdue(now_s: int) -> set[str]:
        return {each.id for each in records.overdue(now_s)}

    assert overdue(tip.not_after_s) == set()
    assert overdue(tip.not_after_s + 1) == overdue(end_s) == {tip.tip}
    assert overdue(end_s + 1) == overdue(end_s + WEEK_S) == {tip.tip, waiting.id}
    assert overdue(end_s + WEEK_S + 1) == {tip.tip, waiting.id, approved.id}


def test_a_request_depends_on_the_key_that_signed_it_and_on_its_time(door: Door, records: ReleaseRecords) -> None:
    asked = door.ask()
    stored = door.stored(asked)
    assert records.still_trusted(stored)
    requester = records.requester_of(stored)
    assert requester is not None
    assert requester.key == public_key_of(POLICE)
    until_s = NOW_S + 100
    ending = tuple(
        replace(entry, keys=tuple(replace(key, until_s=until_s) for key in entry.keys)) for entry in bundle().requesters
    )
    door.custodian.control._trust.accept(signed(samples.bundle(version=2, requesters=ending), ROOT))
    assert records.still_trusted(stored)
    assert records.requester_of(stored, NOW_S + 10**6) is not None, "a trusted clock goes before the owner's"
    door.clock.quality = ClockQuality.UNKNOWN
    assert records.requester_of(stored) is not None
    assert records.requester_of(stored, until_s) is not None
    assert records.requester_of(stored, until_s + 1) is None
    door.custodian.control._trust.accept(signed(bundle(3, FIRE), ROOT))
    assert not records.still_trusted(stored)


def test_a_tip_depends_on_the_key_that_its_requester_gives_for_tips_now(door: Door, records: ReleaseRecords) -> None:
    tip, root = a_tip(), samples.ROOT_KEY.id
    assert records.tip_recipient(root, "harbour-police") is None, "it takes none"
    assert not records.still_trusted(tip)
    door.custodian.control._trust.accept(signed(with_tips(2), ROOT))
    assert records.tip_recipient(root, "harbour-police") == REPLY
    assert records.tip_recipient(root, "another") is records.tip_recipient("0" * 16, "harbour-police") is None
    assert records.still_trusted(tip)
    assert not records.still_trusted(replace(tip, sealed_to="00" * 32))
    over = tuple(
        replace(entry, tips=REPLY, keys=tuple(replace(key, until_s=NOW_S - 10) for key in entry.keys))
        for entry in bundle().requesters
    )
    door.custodian.control._trust.accept(signed(samples.bundle(version=3, requesters=over), ROOT))
    assert records.tip_recipient(root, "harbour-police") is None, "no key of it is in its time"


def test_an_approval_counts_while_each_of_its_approvers_is_an_owner(door: Door, records: ReleaseRecords) -> None:
    stored = door.stored(door.ask())
    assert not records.approver_left(stored), "nobody has approved"
    for key_ids, has_left in (([ANNA], False), ([ANNA, STRANGER], True), ([STRANGER], True)):
        records.save_approvers(stored, key_ids)
        assert door.journal.get(f"approvers.{stored.id}") == " ".join(key_ids).encode()
        assert records.approver_left(stored) is has_left
    assert not records.approver_left(a_tip())
    assert records.approver_left(a_tip(by=STRANGER))
    door.journal.put(first_approval_of(stored.id), b"a first approval")
    records.forget_first_approval(stored)
    assert door.journal.get(first_approval_of(stored.id)) is door.journal.get(f"approvers.{stored.id}") is None


def test_a_tip_is_acknowledged_by_its_requester_below_its_root_only(records: ReleaseRecords, door: Door) -> None:
    requester = records.requester_of(door.stored(door.ask()))
    assert requester is not None
    assert a_tip().is_from(requester)
    assert not a_tip(requester="harbour-fire").is_from(requester)
    assert not a_tip(trust_root="0" * 16).is_from(requester)
    assert OPEN == (RequestState.APPROVED, RequestState.SENDING)
    assert sha256_of_recipient("age1") == hashlib.sha256(b"age1").hexdigest()
