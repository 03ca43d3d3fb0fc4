"""An approval ends with the trust in its requester, and with the owner who gave it; a running upload stops."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from agent.core.consent import RequestState
from agent.core.timebase import ClockQuality
from agent.errors import RequestError, StorageError
from agent.wire import strictjson
from agent.wire.control import Frame
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.messages import FootageRequest
from agent.wire.statements import CoApproval, SealedItem, Tip, TrustChange
from agent.wire.trust import RequesterKey, TrustBundle
from tests.custodians import (
    APPROVER,
    FIRE,
    NOW_S,
    OWNERS_HEADER,
    POLICE,
    REPLY,
    ROOT,
    Door,
    approval,
    bundle,
    new_header,
    sha256_of,
    signed,
    stated,
    two_owners,
)
from tests.wire import samples

BO = private_key_from_seed(b"b" * 32)
TIP = "ab" * 16


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    try:
        yield made
    finally:
        made.close()


def trust(door: Door, wanted: TrustBundle) -> None:
    door.custodian.control._trust.accept(signed(wanted, ROOT))


def left_out(door: Door) -> None:
    trust(door, bundle(5, FIRE))


def key_revoked(door: Door) -> None:
    trust(door, bundle(5, POLICE, revoked=True))


def key_changed(door: Door) -> None:
    new = RequesterKey(key=public_key_of(BO).text, from_s=0, until_s=NOW_S * 2)
    entry = bundle(5, POLICE).requesters[0]
    trust(door, samples.bundle(version=5, requesters=(msgspec.structs.replace(entry, keys=(new,)),)))


def root_removed(door: Door) -> None:
    door.obey(TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,)))


WAYS = (left_out, key_revoked, key_changed, root_removed)
ways = pytest.mark.parametrize("lose_trust", WAYS, ids=lambda way: way.__name__)


def reasons(door: Door) -> list[tuple[str, str]]:
    return [(entry["kind"], entry.get("reason", "")) for entry in door.entries()]


@ways
def test_a_requester_that_lost_its_trust_before_the_first_byte_is_sent_nothing(door: Door, lose_trust: Any) -> None:
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    assert disclosure is not None
    lose_trust(door)
    assert door.outgoing() == []
    assert not door.begin(disclosure)
    assert door.state(asked) is RequestState.REVOKED
    assert door.outbox.objects == {}
    assert ("revoked", "requester no longer trusted") in reasons(door)


@ways
def test_what_had_begun_to_leave_for_it_stops(door: Door, lose_trust: Any) -> None:
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    assert disclosure is not None
    assert door.begin(disclosure)
    lose_trust(door)
    assert door.outgoing() == []
    assert not door.begin(disclosure)
    assert door.state(asked) is RequestState.STOPPED
    assert door.outbox.objects == {}


@ways
def test_its_owner_is_not_asked_any_more_and_nothing_is_held_for_it(door: Door, lose_trust: Any) -> None:
    asked = door.ask()
    assert door.custodian.held(100)
    lose_trust(door)
    assert door.state(asked) is RequestState.DENIED
    assert not door.custodian.held(100)
    assert ("denied", "requester no longer trusted") in reasons(door)


def test_another_requesters_answer_goes_on(door: Door) -> None:
    asked = door.ask(FIRE)
    disclosure = door.approve(asked).disclosure
    trust(door, bundle(5, FIRE))
    assert door.outgoing() == [disclosure]
    assert door.begin(str(disclosure))


def test_trust_and_what_hung_on_it_end_together_or_not_at_all(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    monkeypatch.setattr(door.journal, "set_state", _refuse)
    with pytest.raises(StorageError):
        left_out(door)
    monkeypatch.undo()
    assert door.outgoing() == [disclosure]
    assert door.state(asked) is RequestState.APPROVED


def _refuse(*_: Any) -> None:
    raise StorageError("The disk is full.", remedy="Make room.")


def test_a_key_that_has_run_out_is_sent_nothing_from_its_last_second_on(door: Door) -> None:
    """Nothing has told the device: its clock is enough."""
    keys = (RequesterKey(key=public_key_of(POLICE).text, from_s=0, until_s=NOW_S + 60),)
    entry = msgspec.structs.replace(bundle(5, POLICE).requesters[0], keys=keys)
    trust(door, samples.bundle(version=5, requesters=(entry,)))
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    assert disclosure is not None
    door.clock.boot_ns += 200 * 10**9
    assert door.outgoing() == []
    assert not door.begin(disclosure)
    assert door.state(asked) is RequestState.APPROVED  # until a person looks
    door.custodian.on_time()
    assert door.state(asked) is RequestState.REVOKED


def test_a_revocation_counts_while_nobody_knows_the_time(door: Door) -> None:
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    door.clock.quality = ClockQuality.UNKNOWN
    key_revoked(door)
    assert door.state(asked) is RequestState.REVOKED
    assert not door.begin(str(disclosure))


# -- tips --------------------------------------------------------------------------------------------------------------


def taking_tips(version: int, tips: str | None = REPLY, **changes: Any) -> TrustBundle:
    entry = msgspec.structs.replace(bundle(version, POLICE, **changes).requesters[0], tips=tips)
    return samples.bundle(version=version, requesters=(entry,))


def tip_of(door: Door, by: Any = APPROVER) -> Tip:
    segment, header = door.segments[0], new_header(1)
    payload = door.vault.kept[segment].file[len(OWNERS_HEADER) :]
    item = SealedItem(
        id=segment,
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        header_sha256=hashlib.sha256(header).hexdigest(),
    )
    values = {"tip": TIP, "trust_root": samples.ROOT_KEY.id, "requester": "harbour-police", "reply": REPLY}
    tip = Tip(**stated(), **values, segments=(item,))
    door.obey(tip, (header,), by=by)
    return tip


def tip_state(door: Door) -> str:
    (tip,) = door.custodian.tips.listed()
    return tip.state.value


@pytest.mark.parametrize(
    "after",
    [taking_tips(3, revoked=True), taking_tips(3, tips=None), taking_tips(3, tips=samples.REPLY), bundle(3, FIRE)],
    ids=["its key revoked", "it takes none", "under another key", "left out"],
)
@pytest.mark.parametrize("begun", [False, True], ids=["not begun", "begun"])
def test_a_tip_ends_when_its_requester_no_longer_takes_it(door: Door, after: TrustBundle, begun: bool) -> None:
    trust(door, taking_tips(2))
    tip_of(door)
    assert not begun or door.begin(TIP)
    trust(door, after)
    assert door.outgoing() == []
    assert not door.begin(TIP)
    assert tip_state(door) == ("stopped" if begun else "revoked")
    assert door.outbox.objects == {}
    door.custodian.on_time()  # what has ended is not looked at again


def test_a_tip_whose_requesters_key_has_run_out_does_not_begin(door: Door) -> None:
    entry = taking_tips(2).requesters[0]
    keys = (RequesterKey(key=public_key_of(POLICE).text, from_s=0, until_s=NOW_S + 60),)
    trust(door, samples.bundle(version=2, requesters=(msgspec.structs.replace(entry, keys=keys),)))
    tip_of(door)
    door.clock.boot_ns += 200 * 10**9
    assert door.outgoing() == []
    assert not door.begin(TIP)
    door.custodian.on_time()
    assert tip_state(door) == "revoked"


# -- owners ------------------------------------------------------------------------------------------------------------


def with_bo(door: Door, needed: int) -> None:
    door.enrol(**(two_owners(door, BO) | {"approvals_needed": needed}))


def without_bo(door: Door) -> None:
    door.enrol(epoch=3, previous=sha256_of(door.custodian.enrolments.current))  # type: ignore[arg-type]


@pytest.mark.parametrize("begun", [False, True], ids=["not begun", "begun"])
def test_an_owner_who_has_left_takes_their_yes_with_them(door: Door, begun: bool) -> None:
    with_bo(door, 1)
    asked, others = door.ask(), door.ask(FIRE)
    disclosure = door.obey(*approval(door, asked), by=BO).disclosure
    annas = door.approve(others).disclosure
    assert not begun or door.begin(str(disclosure))
    without_bo(door)
    assert door.outgoing() == [annas]
    assert not door.begin(str(disclosure))
    assert door.state(asked) is (RequestState.STOPPED if begun else RequestState.REVOKED)
    assert ("stopped" if begun else "revoked", "approver no longer an owner") in reasons(door)


def test_where_it_takes_two_the_seconds_leaving_counts_as_well(door: Door) -> None:
    with_bo(door, 2)
    asked = door.ask()
    first, headers = approval(door, asked)
    door.obey(first, headers)
    named = hashlib.sha256(strictjson.encode(first)).hexdigest()
    disclosure = door.obey(CoApproval(**stated(), request=sha256_of(asked), approval=named), by=BO).disclosure
    without_bo(door)
    assert not door.begin(str(disclosure))
    assert door.state(asked) is RequestState.REVOKED


def test_half_a_yes_goes_with_its_owner_and_the_other_can_say_a_whole_one(door: Door) -> None:
    with_bo(door, 2)
    asked = door.ask()
    assert door.obey(*approval(door, asked), by=BO).state is RequestState.PARTIALLY_APPROVED
    without_bo(door)
    shown = door.custodian.control.answer(Frame({"op": "request", "id": asked.id})).head["result"]
    assert shown["first"] is None
    assert door.journal.named("approvers.") == {}
    assert door.approve(asked).state is RequestState.APPROVED


@pytest.mark.parametrize("end", ["denied", "expired"])
def test_whose_half_a_yes_it_was_is_forgotten_with_the_request(door: Door, end: str) -> None:
    with_bo(door, 2)
    asked = door.ask()
    door.obey(*approval(door, asked), by=BO)
    assert door.journal.named("approvers.").keys() == {asked.id}
    if end == "denied":
        door.deny(asked)
    else:
        door.clock.boot_ns += 60 * 86_400 * 10**9
        door.custodian.on_time()
    assert door.journal.named("approvers.") == {}


def test_a_tip_of_an_owner_who_has_left_does_not_go(door: Door) -> None:
    trust(door, taking_tips(2))
    with_bo(door, 1)
    tip_of(door, by=BO)
    without_bo(door)
    assert not door.begin(TIP)
    assert tip_state(door) == "revoked"


def test_a_new_owner_changes_nothing_about_what_was_approved(door: Door) -> None:
    asked: FootageRequest = door.ask()
    disclosure = door.approve(asked).disclosure
    with_bo(door, 2)
    assert door.begin(str(disclosure))


def test_of_an_approval_that_an_earlier_version_made_nobody_knows_whose_it_was(door: Door) -> None:
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    door.journal.remove(f"approvers.{asked.id}")
    with_bo(door, 1)
    assert door.begin(str(disclosure))


def test_what_is_remembered_of_an_approver_goes_when_it_ends(door: Door) -> None:
    asked = door.ask()
    disclosure = door.approve(asked).disclosure
    assert door.journal.named("approvers.").keys() == {asked.id}
    door.revoke(str(disclosure))
    assert door.journal.named("approvers.") == {}


def test_a_bundle_without_change_for_it_lets_a_request_be(door: Door) -> None:
    asked = door.ask()
    trust(door, bundle(5))
    assert door.state(asked) is RequestState.PENDING


def test_approving_after_the_key_ran_out_is_refused_in_words(door: Door) -> None:
    keys = (RequesterKey(key=public_key_of(POLICE).text, from_s=0, until_s=NOW_S + 60),)
    entry = msgspec.structs.replace(bundle(5, POLICE).requesters[0], keys=keys)
    trust(door, samples.bundle(version=5, requesters=(entry,)))
    asked = door.ask()
    door.clock.boot_ns += 200 * 10**9
    with pytest.raises(RequestError, match="no longer trusted"):
        door.approve(asked)
