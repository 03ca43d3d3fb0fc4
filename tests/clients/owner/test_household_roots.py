"""A recovered or second owner takes over the roots that owners signed, and none that only the device names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clients.owner.enrolment import enrol, recover
from agent.clients.owner.household_roots import (
    ChosenRoot,
    HouseholdRoots,
    _recorded,
    household_roots,
    roots_to_take_over,
    take_over_roots,
)
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.trust_roots import add_trust_root, offer_bundle, remove_trust_root, trust_state
from agent.core.ledger.entries import EntryKind, LedgerEntry
from agent.core.timebase import ClockQuality
from agent.errors import OpenError, RequestError
from agent.wire import strictjson
from agent.wire.identities import private_key_from_seed
from agent.wire.statements import TrustChange, sign_statement
from agent.wire.trust_keys import parse_trust_key
from tests.clients.owner.conftest import NOW_MS, Home, now, seeds, signed_bundle
from tests.clients.owner.fake_device import FakeDevice
from tests.wire import package_vectors, samples

ROOT = samples.ROOT_KEY
OTHER = samples.pair(private_key_from_seed(b"o" * 32))
STRANGER = private_key_from_seed(b"x" * 32)


@pytest.fixture
def ben(home: Home, make_owner: Callable[[str], OwnerKeys]) -> OwnerKeys:
    """A second owner, after the first one chose a root."""
    made = make_owner("ben")
    enrol(home.device, home.keys, add=[made.card], clock=now)
    enrol(home.device, made, clock=now)
    return made


def said(at: FakeDevice, by: Ed25519PrivateKey, recorded: bool = True, **changes: object) -> None:
    """The device shows a change of the roots that `by` signed, as if it had accepted it."""
    values = {"v": 1, "device": at.key.text, "owner_time_ms": NOW_MS, "nonce": "7" * 32, **changes}
    payload = strictjson.encode(TrustChange(**values))  # type: ignore[arg-type]
    at.trust_changes.append(sign_statement(TrustChange.PAYLOAD_TYPE, payload, by))
    if recorded:
        at.write(EntryKind.TRUST_CHANGED, subject=hashlib.sha256(payload).hexdigest())


def test_a_second_owner_sees_who_chose_a_root_and_when_and_takes_it_over_without_typing_it(
    home: Home, ben: OwnerKeys
) -> None:
    assert trust_state(home.device, ben).unconfirmed == (ROOT,)
    chosen = household_roots(home.device, ben)
    assert chosen == HouseholdRoots((ChosenRoot(ROOT, "anna", NOW_MS),))
    statements = len(home.device.statements)
    take_over_roots(home.device, ben, chosen.new)
    assert trust_state(home.device, ben).store.bundles[ROOT.id].version == 3
    assert len(home.device.statements) == statements
    assert household_roots(home.device, ben) == HouseholdRoots()


def test_a_recovered_owner_takes_over_what_the_lost_keys_chose(
    device: FakeDevice, keys: OwnerKeys, tmp_path: Path
) -> None:
    enrol(device, keys, kit_decides=True, clock=now)
    add_trust_root(device, keys, ROOT.text, clock=now)
    offer_bundle(device, keys, signed_bundle())
    kit = keys.recovery()
    new = OwnerKeys.create(tmp_path / "new", name="anna", seeds=seeds("new anna"), kit=kit)
    recover(device, new, kit, replaces=["anna"], clock=now)
    assert household_roots(device, new).new == (ChosenRoot(ROOT, "anna", NOW_MS),)


def test_an_owner_who_has_a_false_pair_with_the_id_of_the_households_root_is_told_and_takes_the_others_over(
    home: Home, ben: OwnerKeys
) -> None:
    remove_trust_root(home.device, home.keys, ROOT.text, clock=now)
    add_trust_root(home.device, ben, package_vectors.FORGED.text, clock=now)
    remove_trust_root(home.device, home.keys, package_vectors.FORGED.text, clock=now)
    add_trust_root(home.device, home.keys, ROOT.text, clock=now)
    add_trust_root(home.device, home.keys, OTHER.text, clock=now)
    found = household_roots(home.device, ben)
    disputed = (ChosenRoot(ROOT, "anna", NOW_MS),)
    assert found == HouseholdRoots((ChosenRoot(OTHER, "anna", NOW_MS),), disputed)
    take_over_roots(home.device, ben, found.new)
    assert household_roots(home.device, ben) == HouseholdRoots((), disputed)
    with pytest.raises(RequestError, match="another ML-DSA-44 key"):
        take_over_roots(home.device, ben, disputed)
    remove_trust_root(home.device, ben, package_vectors.FORGED.text, clock=now)
    take_over_roots(home.device, ben, household_roots(home.device, ben).new)
    assert trust_state(home.device, ben).store.roots == {ROOT.id: ROOT, OTHER.id: OTHER}


@pytest.mark.parametrize("name", package_vectors.taken_over())
def test_the_roots_to_take_over_and_the_disputed_ones_are_those_of_the_vectors(name: str) -> None:
    chosen, known, *told = package_vectors.taken_over()[name]
    roots = tuple(ChosenRoot(parse_trust_key(text), "anna", NOW_MS) for text in chosen)
    found = roots_to_take_over(roots, [parse_trust_key(text) for text in known])
    assert [[each.key.text for each in some] for some in (found.new, found.disputed)] == told


def test_a_root_that_an_owner_removed_again_is_not_offered(home: Home, ben: OwnerKeys) -> None:
    add_trust_root(home.device, home.keys, OTHER.text, clock=now)
    remove_trust_root(home.device, home.keys, ROOT.text, clock=now)
    assert [each.key for each in household_roots(home.device, ben).new] == [OTHER]


def test_a_root_that_no_owner_signed_is_not_offered(home: Home, ben: OwnerKeys) -> None:
    home.device.trust = home.device.trust.with_root(OTHER)
    assert [each.key for each in household_roots(home.device, ben).new] == [ROOT]


def test_a_root_that_a_stranger_signed_is_refused_even_if_the_ledger_has_it(home: Home, ben: OwnerKeys) -> None:
    said(home.device, STRANGER, roots_added=(OTHER.text,))
    with pytest.raises(OpenError, match="no owner of that time signed"):
        household_roots(home.device, ben)


def test_who_has_left_can_choose_no_root_any_more_but_what_they_chose_before_stands(home: Home, ben: OwnerKeys) -> None:
    add_trust_root(home.device, ben, OTHER.text, clock=now)
    enrol(home.device, home.keys, remove=["ben"], clock=now)
    assert household_roots(home.device, home.keys).new == (ChosenRoot(OTHER, "ben", NOW_MS),)
    third = samples.pair(private_key_from_seed(b"3" * 32))
    said(home.device, ben.approval, roots_added=(third.text,))
    with pytest.raises(OpenError, match="no owner of that time signed"):
        household_roots(home.device, home.keys)


def test_who_was_no_owner_yet_chose_nothing(home: Home, make_owner: Callable[[str], OwnerKeys]) -> None:
    ben = make_owner("ben")
    said(home.device, ben.approval, roots_added=(OTHER.text,))
    enrol(home.device, home.keys, add=[ben.card], clock=now)
    enrol(home.device, ben, clock=now)
    with pytest.raises(OpenError, match="no owner of that time signed"):
        household_roots(home.device, ben)


def test_a_change_that_the_ledger_lacks_or_that_was_made_for_another_device_is_refused(
    home: Home, ben: OwnerKeys
) -> None:
    kept = tuple(home.device.trust_changes)
    said(home.device, home.keys.approval, recorded=False, roots_added=(OTHER.text,))
    with pytest.raises(OpenError, match="its ledger lacks"):
        household_roots(home.device, ben)
    home.device.trust_changes = [kept[0], kept[0]]
    with pytest.raises(OpenError, match="its ledger lacks"):
        household_roots(home.device, ben)
    home.device.trust_changes = list(kept)
    said(home.device, home.keys.approval, device=samples.OWNER_KEY.text, roots_added=(OTHER.text,))
    with pytest.raises(OpenError, match="its ledger lacks"):
        household_roots(home.device, ben)


def test_a_removal_cannot_be_withheld_while_its_root_is_shown(home: Home, ben: OwnerKeys) -> None:
    remove_trust_root(home.device, home.keys, ROOT.text, clock=now)
    home.device.trust_changes.pop()
    with pytest.raises(OpenError, match="its ledger lacks"):
        household_roots(home.device, ben)


def test_older_changes_that_the_device_dropped_only_hide_roots(home: Home, ben: OwnerKeys) -> None:
    add_trust_root(home.device, home.keys, OTHER.text, clock=now)
    del home.device.trust_changes[0]
    assert [each.key for each in household_roots(home.device, ben).new] == [OTHER]
    home.device.trust_changes.clear()
    assert household_roots(home.device, ben) == HouseholdRoots()


def entry(kind: EntryKind, subject: str | None, version: int | None = None) -> LedgerEntry:
    fields = {"v": 1, "boot": "0" * 32, "boot_us": 0, "utc_ms": NOW_MS, "clock": ClockQuality.SYNCED}
    return LedgerEntry(**fields, kind=kind, subject=subject, version=version)  # type: ignore[arg-type]


def test_a_change_is_read_with_the_owners_of_its_place_in_the_ledger_and_never_without_them() -> None:
    owners, others = object(), object()
    lists = {"a": owners, "b": others}
    changed, enrolled = EntryKind.TRUST_CHANGED, EntryKind.RECIPIENTS_CHANGED
    ledger = [
        entry(enrolled, "a", 1), entry(changed, "1"), entry(changed, "a bundle", 2), entry(EntryKind.BOOT, None),
        entry(enrolled, "b", 2), entry(changed, "2"),
    ]  # fmt: skip
    assert list(_recorded(ledger, lists)) == [("1", owners), ("2", others)]  # type: ignore[arg-type]
    unknown = entry(enrolled, "unknown", 1)
    for broken in (ledger[1:], [unknown, *ledger[1:]], [unknown, *ledger], [*ledger, unknown]):
        with pytest.raises(OpenError, match="no owner of that time signed"):
            list(_recorded(broken, lists))  # type: ignore[arg-type]
