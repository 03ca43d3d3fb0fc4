"""The owners and their trust roots: proven before they count, newer only, and the same in memory as on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.clients.opening import HybridIdentity, X25519Identity, open_bytes
from agent.core.consent import RequestState
from agent.errors import ConfigurationError, DoorwardError, FormatError, OpenError, RequestError, StorageError
from agent.wire import strictjson
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.statements import NamedKey, NamedRecipient, TrustChange, read_statement
from agent.wire.trust import RequesterKey
from tests import custodians
from tests.custodians import FIRE, NOW_S, POLICE, ROOT, Door, bundle, enrolment, sha256_of, signed, stated
from tests.recorder.thread_owner_check import plant
from tests.wire import samples

STRANGER = private_key_from_seed(b"x" * 32)
BO = HybridIdentity(b"b" * 32)
CY = HybridIdentity(b"c" * 32)


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    yield made
    made.close()


@pytest.fixture
def new_door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


def later(door: Door, **changes: Any) -> dict[str, Any]:
    return {"epoch": 2, "previous": sha256_of(door.custodian.enrolments.current), **changes}  # type: ignore[arg-type]


def named(name: str, identity: HybridIdentity) -> NamedRecipient:
    return NamedRecipient(name=name, recipient=str(identity.recipient()))


# -- enrolment ---------------------------------------------------------------------------------------------------------


def test_a_list_counts_only_when_every_key_in_it_has_been_seen_to_open(new_door: Door) -> None:
    door = new_door
    assert sorted(door.propose(enrolment())) == ["anna", "recovery"]
    enrolments = door.custodian.enrolments
    assert enrolments.pending
    with pytest.raises(RequestError, match="anna, recovery"):
        enrolments.confirm({"anna": bytes(32), "recovery": b""})
    assert enrolments.confirm({}) == (1, ("anna", "recovery"))
    assert door.confirm("anna") == (1, ("recovery",))
    assert (enrolments.current, door.sealed_to) == (None, [])
    assert enrolments.pending
    assert door.confirm("recovery") == (1, ())
    assert door.sealed_to == [(2, 1)]
    assert not enrolments.pending
    assert door.kinds() == ["boot", "recipients-changed"]
    with pytest.raises(RequestError, match="waiting"):
        door.custodian.enrolments.confirm({})


def test_a_part_of_what_was_in_a_test_confirms_nothing(new_door: Door) -> None:
    door = new_door
    door.propose(enrolment())
    enrolments = door.custodian.enrolments
    token = open_bytes(enrolments.test("anna"), [custodians.OWNER_IDENTITY])
    for part in (b"", token[:1], token[:-1], token + b"\0", token[:-1] + bytes([token[-1] ^ 1])):
        with pytest.raises(RequestError, match="anna"):
            enrolments.confirm({"anna": part})
    assert enrolments.confirm({"anna": token}) == (1, ("recovery",))


def test_only_the_key_a_test_was_made_for_opens_it(new_door: Door) -> None:
    new_door.propose(enrolment())
    test = new_door.custodian.enrolments.test("recovery")
    with pytest.raises(OpenError):
        open_bytes(test, [custodians.OWNER_IDENTITY, BO])
    with pytest.raises(RequestError, match="no such test"):
        new_door.custodian.enrolments.test("bo")


def test_a_proposal_that_was_not_confirmed_is_forgotten_by_a_restart_and_a_list_in_force_is_not(door: Door) -> None:
    door.propose(enrolment(**later(door, recipients=(named("anna", custodians.OWNER_IDENTITY), named("bo", BO)))))
    door.sealed_to.clear()
    door.start()
    assert not door.custodian.enrolments.pending
    current = door.custodian.enrolments.current
    assert current is not None
    assert current.epoch == 1
    assert door.sealed_to == [(2, 1)], "the vault is told at each start to whom to seal"


def test_of_a_later_list_only_the_new_keys_are_tested(door: Door) -> None:
    both = (named("anna", custodians.OWNER_IDENTITY), named("bo", BO))
    assert door.propose(enrolment(**later(door, recipients=both))) == ("bo",)
    test = open_bytes(door.custodian.enrolments.test("bo"), [BO])
    assert door.custodian.enrolments.confirm({"bo": test}) == (2, ())
    assert door.sealed_to[-1] == (3, 2)


def test_each_owner_answers_their_own_test_and_until_the_last_one_nothing_changes(door: Door) -> None:
    three = (named("anna", custodians.OWNER_IDENTITY), named("bo", BO), named("cy", CY))
    assert door.propose(enrolment(**later(door, recipients=three))) == ("bo", "cy")
    enrolments = door.custodian.enrolments
    assert enrolments.confirm({}) == (2, ("bo", "cy"))
    bo, cy = (open_bytes(enrolments.test(name), [key]) for name, key in (("bo", BO), ("cy", CY)))
    with pytest.raises(RequestError, match="cy was not opened"):
        enrolments.confirm({"bo": bo, "cy": bo})
    assert enrolments.confirm({"bo": bo}) == (2, ("cy",))
    assert enrolments.confirm({"bo": bo}) == (2, ("cy",))
    assert door.sealed_to[-1] == (2, 1)
    with pytest.raises(RequestError, match="dora was not opened"):
        enrolments.confirm({"dora": cy})
    assert enrolments.confirm({"cy": cy}) == (2, ())
    assert door.sealed_to[-1] == (4, 2)


REFUSED: dict[str, tuple[type[DoorwardError], Callable[[Door], Any]]] = {
    "not signed by an owner": (OpenError, lambda d: d.propose(enrolment(**later(d)), by=STRANGER)),
    "a thief's own list": (
        OpenError,
        lambda d: d.propose(enrolment(**later(d, approvers=(NamedKey.of("thief", STRANGER),))), by=STRANGER),
    ),
    "a second first list": (FormatError, lambda d: d.propose(enrolment())),
    "one that skips an epoch": (FormatError, lambda d: d.propose(enrolment(**later(d, epoch=3)))),
    "one that follows another": (FormatError, lambda d: d.propose(enrolment(**later(d, previous="00" * 32)))),
    "another device's": (
        DoorwardError,
        lambda d: d.propose(enrolment(**later(d, device=public_key_of(STRANGER).text))),
    ),
    "a mix that would undo the hybrid keys": (
        DoorwardError,
        lambda d: d.propose(enrolment(**later(d, recovery=str(X25519Identity(b"y" * 32).recipient())))),
    ),
    "noise": (DoorwardError, lambda d: d.custodian.enrolments.propose(b"noise")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_list_that_does_not_follow_is_refused_and_changes_nothing(door: Door, name: str) -> None:
    kind, propose = REFUSED[name]
    current, told = door.custodian.enrolments.current, list(door.sealed_to)
    with pytest.raises(kind):
        propose(door)
    assert door.custodian.enrolments.current is current
    assert door.sealed_to == told
    assert not door.custodian.enrolments.pending


def test_a_list_for_another_device_is_refused_before_there_is_any(new_door: Door) -> None:
    with pytest.raises(RequestError, match="another device"):
        new_door.propose(enrolment(device=public_key_of(STRANGER).text))
    with pytest.raises(ConfigurationError):
        new_door.propose(enrolment(recovery=str(X25519Identity(b"y" * 32).recipient())))


def test_a_list_the_disk_does_not_take_is_not_in_force(door: Door) -> None:
    enrolments = door.custodian.enrolments
    before, epochs = (enrolments.current, enrolments.envelope), list(door.sealed_to)
    door.propose(enrolment(**later(door)))
    break_ledger(door)
    with pytest.raises(StorageError):
        enrolments.confirm({})
    mend_ledger(door)
    assert (enrolments.current, enrolments.envelope) == before
    assert door.sealed_to == epochs
    assert enrolments.confirm({}) == (2, ())
    assert door.sealed_to[-1] == (2, 2)


def break_ledger(door: Door) -> None:
    write = door.custodian.custodian_state.ledger.write

    def failing(*arguments: Any, **fields: Any) -> None:
        write(*arguments, **fields)
        raise StorageError("The disk is full.")

    door.custodian.custodian_state.ledger.write = failing  # type: ignore[method-assign]


def mend_ledger(door: Door) -> None:
    del door.custodian.custodian_state.ledger.write


# -- trust -------------------------------------------------------------------------------------------------------------


def trust(door: Door) -> Any:
    return door.custodian.control._trust


def test_out_of_the_box_nobody_is_trusted(new_door: Door) -> None:
    new_door.enrol()
    assert new_door.state(new_door.ask()) is None
    assert new_door.journal.counters() == {"untrusted": 1}
    with pytest.raises(OpenError):
        trust(new_door).accept(signed(bundle(), ROOT))


def test_a_bundle_counts_at_once_and_says_what_it_changed(door: Door) -> None:
    changed = trust(door).accept(signed(bundle(2, POLICE), ROOT))
    assert (changed.added, changed.removed, changed.changed) == ((), ("harbour-fire",), ())
    assert door.state(door.ask(FIRE)) is None
    assert door.state(door.ask(POLICE)) is RequestState.PENDING
    assert door.entries()[-3]["version"] == 2


def test_a_revoked_key_is_heard_no_longer(door: Door) -> None:
    trust(door).accept(signed(bundle(2, POLICE, revoked=True), ROOT))
    assert door.state(door.ask(POLICE)) is None


@pytest.mark.parametrize(
    ("error", "data"),
    [
        (OpenError, signed(bundle(9), STRANGER)),
        (OpenError, signed(bundle(9), custodians.APPROVER)),
        (RequestError, signed(bundle(1, POLICE), ROOT)),
        (FormatError, b"noise"),
        (FormatError, signed(samples.bundle(root="0" * 16, version=9), ROOT)),
    ],
    ids=["a stranger's", "the owner's own", "another of the same version", "noise", "one that names another root"],
)
def test_a_bundle_that_is_not_newer_or_not_its_roots_changes_nothing(
    door: Door, error: type[DoorwardError], data: bytes
) -> None:
    store, kinds = trust(door).store, door.kinds()
    with pytest.raises(error):
        trust(door).accept(data)
    assert trust(door).store is store
    assert door.kinds() == kinds


def test_somebody_new_may_ask_once_the_owner_has_been_told_of_them_and_not_before(door: Door) -> None:
    trust = door.custodian.control._trust
    trust.accept(signed(bundle(2, POLICE), ROOT))
    told = trust._tell

    def nobody_hears(kind: str, text: str) -> None:
        raise StorageError("The disk is full.")

    plant(trust, _tell=nobody_hears)
    trust.accept(signed(bundle(3, POLICE, FIRE), ROOT))
    assert door.state(door.ask(FIRE)) is None
    assert door.state(door.ask()) is RequestState.PENDING
    plant(trust, _tell=told)
    door.told.news.clear()
    trust.announce(changed=False)
    assert [kind for kind, _ in door.told.news] == ["new requester"]
    assert door.state(door.ask(FIRE)) is RequestState.PENDING


def test_a_start_tells_what_a_power_cut_left_untold_and_a_requester_who_comes_back_is_new_again(door: Door) -> None:
    plant(
        door.custodian.control._trust,
        _tell=lambda _kind, _text: (_ for _ in ()).throw(StorageError("The power is gone.")),
    )
    door.custodian.control._trust.accept(signed(bundle(2, POLICE), ROOT))
    door.custodian.control._trust.accept(signed(bundle(3, POLICE, FIRE), ROOT))
    door.told.news.clear()
    door.start()
    assert [kind for kind, _ in door.told.news if kind != "request"] == ["new requester"]
    door.told.news.clear()
    door.start()
    assert [kind for kind, _ in door.told.news if kind != "request"] == []
    assert door.state(door.ask(FIRE)) is RequestState.PENDING


def test_somebody_new_of_one_root_is_told_though_another_root_has_nobody_new(door: Door) -> None:
    other_root = private_key_from_seed(b"2" * 32)
    root = samples.pair(other_root)
    door.obey(TrustChange(**stated(), roots_added=(root.text,)))
    theirs = samples.requester(id="allotments", keys=(samples.requester().keys[0],))
    trust(door).accept(signed(samples.bundle(version=1, root=root.id, requesters=(theirs,)), other_root))
    trust(door).accept(signed(bundle(2, POLICE), ROOT))
    door.told.news.clear()
    trust(door).accept(signed(bundle(3, POLICE, FIRE), ROOT))
    assert [kind for kind, _ in door.told.news] == ["new requester"]
    assert door.state(door.ask(FIRE)) is RequestState.PENDING


def test_requesters_of_a_root_that_was_removed_and_chosen_again_ask_only_once_the_owner_was_told(door: Door) -> None:
    root = samples.pair(ROOT).text
    door.obey(TrustChange(**stated(), roots_removed=(root,)))
    door.obey(TrustChange(**stated(), roots_added=(root,)))
    door.start()
    trust = door.custodian.control._trust

    def nobody_hears(kind: str, text: str) -> None:
        raise StorageError("The disk is full.")

    told = trust._tell
    plant(trust, _tell=nobody_hears)
    trust.accept(signed(bundle(3, POLICE), ROOT))
    assert door.state(door.ask()) is None
    plant(trust, _tell=told)
    trust.announce(changed=False)
    assert door.state(door.ask()) is RequestState.PENDING


def test_trust_is_the_same_after_a_restart_and_no_old_bundle_comes_back(door: Door) -> None:
    trust(door).accept(signed(bundle(5, POLICE), ROOT))
    store = trust(door).store
    door.start()
    assert trust(door).store == store
    door.obey(TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,)))
    door.start()
    assert (trust(door).roots(), trust(door).bundles()) == ([], [])
    door.obey(TrustChange(**stated(), roots_added=(samples.ROOT_KEY.text,)))
    door.start()
    with pytest.raises(RequestError, match="version"):
        trust(door).accept(signed(bundle(4), ROOT))
    trust(door).accept(signed(bundle(5, POLICE), ROOT))


CHANGES: dict[str, Callable[[Door], object]] = {
    "bundle": lambda door: trust(door).accept(signed(bundle(2, POLICE), ROOT)),
    "root": lambda door: door.obey(TrustChange(**stated(), roots_removed=(samples.ROOT_KEY.text,))),
}


@pytest.mark.parametrize("what", CHANGES)
def test_trust_the_disk_did_not_take_is_not_in_force(door: Door, what: str) -> None:
    store = trust(door).store
    break_ledger(door)
    with pytest.raises(StorageError):
        CHANGES[what](door)
    mend_ledger(door)
    assert trust(door).store == store
    door.start()
    assert trust(door).store == store


def test_names_come_from_the_bundle_and_say_when_there_is_none_any_more(door: Door) -> None:
    root = samples.ROOT_KEY.id
    assert trust(door).name_of(root, "harbour-police") == "Harbour Police"
    trust(door).accept(signed(bundle(2, FIRE), ROOT))
    assert trust(door).name_of(root, "harbour-police") == "harbour-police (no longer in a trust bundle)"
    assert trust(door).name_of("0" * 16, "harbour-fire") == "harbour-fire (no longer in a trust bundle)"


def test_a_key_outside_its_time_is_heard_only_while_the_time_is_unknown(door: Door) -> None:
    entry = samples.requester(keys=(RequesterKey(key=public_key_of(POLICE).text, from_s=0, until_s=NOW_S - 1),))
    trust(door).accept(signed(samples.bundle(version=2, requesters=(entry,)), ROOT))
    assert door.state(door.ask()) is None
    door.clock.quality = custodians.ClockQuality.UNKNOWN
    assert door.state(door.ask()) is RequestState.PENDING


def test_the_owners_changes_of_the_roots_are_kept_as_signed_across_restarts_and_the_oldest_are_dropped(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.custodian.trust_store.MOST_CHANGES_KEPT", 3)
    first = trust(door).changes()
    assert len(first) == 1
    for number in range(3):
        root = samples.pair(private_key_from_seed(bytes([number]) * 32))
        door.obey(TrustChange(**stated(), roots_added=(root.text,)))
    kept = trust(door).changes()
    assert len(kept) == 3
    assert first[0] not in kept
    newest = read_statement(kept[-1]).payload
    assert strictjson.decode(newest, TrustChange, limit_bytes=1 << 16).roots_added == (root.text,)
    door.start()
    assert trust(door).changes() == kept


def test_damaged_trust_records_are_named_at_start(door: Door) -> None:
    door.journal.put(f"trust.newest.{samples.ROOT_KEY.text}", b"x y")
    with pytest.raises(StorageError, match="trust records are damaged"):
        door.start()


def test_a_question_about_a_lapsed_proposal_never_discards_the_next_one(new_door: Door) -> None:
    """`doorward status` asks from another thread while an owner proposes again: it may not write."""
    door, enrolments = new_door, new_door.custodian.enrolments
    door.propose(enrolment())
    lapsed = enrolments._pending
    door.clock.boot_ns = lapsed.lapses_ns + 1  # type: ignore[union-attr]
    assert not enrolments.pending
    assert enrolments._pending is lapsed, "a reader wrote what an owner's thread owns"


@pytest.mark.parametrize("what", CHANGES)
def test_trust_whose_consequences_could_not_be_written_is_not_in_force_and_nobody_is_told(
    door: Door, what: str
) -> None:
    """All that depends on trust ends in the same transaction. If that fails, the old trust stands, here and on disk."""
    store = trust(door).store
    before, told = door.kinds(), len(door.told.news)

    def full() -> None:
        raise StorageError("The disk is full.")

    on_change = trust(door).on_change
    plant(trust(door), on_change=full)
    with pytest.raises(StorageError):
        CHANGES[what](door)
    plant(trust(door), on_change=on_change)
    assert trust(door).store == store
    assert (door.kinds(), len(door.told.news)) == (before, told)
    assert door.state(door.ask(FIRE)) is RequestState.PENDING
    door.start()
    assert trust(door).store == store


def test_every_change_of_roots_and_bundles_is_told_to_the_owner(door: Door) -> None:
    other = samples.pair(private_key_from_seed(b"o" * 32)).text
    for change in (
        lambda: door.obey(TrustChange(**stated(), roots_added=(other,))),
        lambda: door.obey(TrustChange(**stated(), roots_removed=(other,))),
        lambda: trust(door).accept(signed(bundle(2, POLICE), ROOT)),
    ):
        door.told.news.clear()
        change()
        assert [kind for kind, _ in door.told.news] == ["trust"]
