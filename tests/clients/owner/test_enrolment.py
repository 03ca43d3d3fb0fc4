"""A device becomes an owner's only when every key has been seen to open; from then on it is known by its key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.opening import open_bytes
from agent.clients.owner.enrolment import enrol, owners_to_replace, recover, replace_kit
from agent.clients.owner.keys import KIT, NEW_KIT, AgeIdentity, IdentityKind, OwnerKeys
from agent.clients.owner.recovery_kit import RECOVERY_NAME, kit_approval, recovery_kit
from agent.clients.owner.sync import sync
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import ConfigurationError, FormatError, NetworkError, OpenError
from agent.wire import strictjson
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.statements import Enrolment, NamedKey, NamedRecipient, sign_statement
from tests.clients.owner.conftest import NOW_MS, now, seeds
from tests.clients.owner.fake_device import FakeDevice
from tests.wire import samples

MakeOwner = Callable[[str], OwnerKeys]


def test_enrolling_opens_a_test_with_the_identity_and_with_the_recovery_key(
    device: FakeDevice, keys: OwnerKeys
) -> None:
    done = enrol(device, keys, clock=now)
    assert (done.device, done.epoch, done.opened, done.waiting) == (device.key, 1, ("anna", "recovery"), ())
    assert [item.recipient for item in device.enrolment.recipients] == [keys.card.recipient]
    assert device.enrolment.recovery == keys.card.recovery
    assert sync(device, keys).key == device.key


def test_without_the_recovery_page_nothing_is_enrolled(device: FakeDevice, keys: OwnerKeys) -> None:
    (keys.folder / KIT).unlink()
    with pytest.raises(ConfigurationError, match="recovery kit is not at"):
        enrol(device, keys, clock=now)
    assert device.enrolled is None
    assert "enrol" not in device.asked_ops


def test_a_typed_recovery_line_will_do(device: FakeDevice, keys: OwnerKeys, tmp_path: Path) -> None:
    typed = tmp_path / "typed.txt"
    (keys.folder / KIT).rename(typed)
    typed.write_text(typed.read_text().splitlines()[-1] + "\n")
    assert enrol(device, keys, recovery_kit=typed, clock=now).epoch == 1


def test_the_page_of_other_keys_is_refused(device: FakeDevice, keys: OwnerKeys, tmp_path: Path) -> None:
    other = OwnerKeys.create(tmp_path / "other", seeds=seeds("other"))
    with pytest.raises(ConfigurationError, match="the one of this device is age1"):
        enrol(device, keys, recovery_kit=other.folder / KIT, clock=now)
    assert device.enrolled is None


def test_a_test_sealed_to_somebody_else_ends_it(device: FakeDevice, keys: OwnerKeys, tmp_path: Path) -> None:
    stranger = OwnerKeys.create(tmp_path / "stranger", seeds=seeds("stranger")).identity.recipient()
    sealed = seal_bytes(bytes(32), [stranger], file_key=bytes(16), nonce=bytes(16))
    device.lies["enrol_test"] = lambda result, data: ({}, sealed)
    with pytest.raises(OpenError, match="Nothing was enrolled"):
        enrol(device, keys, clock=now)
    assert device.enrolled is None
    assert not keys.memory.devices()


def test_a_test_that_is_footage_is_not_opened_for_the_device(device: FakeDevice, keys: OwnerKeys) -> None:
    footage = seal_bytes(b"secret " * 10, [keys.identity.recipient()], file_key=bytes(16), nonce=bytes(16))
    device.lies["enrol_test"] = lambda result, data: ({}, footage)
    with pytest.raises(OpenError, match="is not a test"):
        enrol(device, keys, clock=now)
    assert "enrol_confirm" not in device.asked_ops


def test_a_device_that_skips_the_tests_is_refused(device: FakeDevice, keys: OwnerKeys) -> None:
    device.lies["enrol"] = lambda result, data: ({**result, "tests": []}, data)
    with pytest.raises(OpenError, match="does not prove"):
        enrol(device, keys, clock=now)


def test_a_device_that_slips_in_an_owner_of_its_own_is_found_out(device: FakeDevice, keys: OwnerKeys) -> None:
    def slip(result: dict[str, object], data: bytes) -> tuple[dict[str, object], bytes]:
        if device.enrolled is None:
            return result, data
        mine = device.enrolment
        evil = Enrolment(
            v=1, device=mine.device, owner_time_ms=mine.owner_time_ms, nonce=mine.nonce, epoch=1,
            recipients=mine.recipients, recovery=mine.recovery, device_mldsa=mine.device_mldsa,
            approvers=(*mine.approvers, NamedKey.of("evil", samples.OWNER)),
        )  # fmt: skip
        signed = sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(evil), samples.OWNER)
        return {"envelope": signed.decode()}, data

    device.lies["enrolment"] = slip
    with pytest.raises(OpenError, match="other owners than the ones just enrolled"):
        enrol(device, keys, clock=now)
    assert not keys.memory.devices()


def test_enrolling_again_changes_nothing(device: FakeDevice, keys: OwnerKeys) -> None:
    enrol(device, keys, clock=now)
    assert enrol(device, keys, clock=now).epoch == 1
    assert device.asked_ops.count("enrol") == 1


def test_a_second_owner_counts_once_they_opened_their_own_test(
    device: FakeDevice, keys: OwnerKeys, make_owner: MakeOwner
) -> None:
    bob = make_owner("bob")
    enrol(device, keys, clock=now)
    asked = enrol(device, keys, add=[bob.card], clock=now)
    assert asked.waiting == ("bob",)
    assert device.enrolment.epoch == 1
    assert enrol(device, bob, clock=now).epoch == 2
    assert [item.name for item in device.enrolment.recipients] == ["anna", "bob"]
    assert device.enrolment.recovery == keys.card.recovery
    for each in (keys, bob):
        assert sync(device, each).known.enrolled.epoch == 2


def test_an_owner_can_be_taken_out_but_not_by_themselves(
    device: FakeDevice, keys: OwnerKeys, make_owner: MakeOwner
) -> None:
    bob = make_owner("bob")
    enrol(device, keys, clock=now)
    enrol(device, keys, add=[bob.card], clock=now)
    enrol(device, bob, clock=now)
    with pytest.raises(ConfigurationError, match="cannot remove yourself"):
        enrol(device, bob, remove=["bob"], clock=now)
    assert enrol(device, bob, remove=["anna"], clock=now).epoch == 3
    assert [item.name for item in device.enrolment.approvers] == ["bob"]


def test_a_stranger_cannot_enrol_beside_the_owner(device: FakeDevice, keys: OwnerKeys, make_owner: MakeOwner) -> None:
    enrol(device, keys, clock=now)
    with pytest.raises(ConfigurationError, match="has owners already"):
        enrol(device, make_owner("mallory"), clock=now)


def test_two_kinds_of_keys_do_not_mix(device: FakeDevice, keys: OwnerKeys, tmp_path: Path) -> None:
    enrol(device, keys, clock=now)
    other = OwnerKeys.create(tmp_path / "bob", name="bob", kind=IdentityKind.X25519, seeds=seeds("bob"))
    with pytest.raises(ConfigurationError, match="two kinds"):
        enrol(device, keys, add=[other.card], clock=now)
    assert device.proposed is None


def test_an_owner_may_have_keys_that_stock_age_opens(device: FakeDevice, tmp_path: Path) -> None:
    keys = OwnerKeys.create(tmp_path / "owner", kind=IdentityKind.X25519, seeds=seeds("anna"))
    assert enrol(device, keys, clock=now).epoch == 1
    assert device.enrolment.recovery.startswith("age1")


def test_another_owner_of_the_same_name_is_not_replaced_by_accident(
    device: FakeDevice, keys: OwnerKeys, tmp_path: Path
) -> None:
    enrol(device, keys, clock=now)
    twin = OwnerKeys.create(tmp_path / "twin", name="anna", seeds=seeds("twin"))
    with pytest.raises(ConfigurationError, match="Another owner of this device is called 'anna'"):
        enrol(device, keys, add=[twin.card], clock=now)


def test_a_machine_that_lost_its_memory_meets_its_device_again(device: FakeDevice, keys: OwnerKeys) -> None:
    enrol(device, keys, clock=now)
    (keys.folder / "known_devices.json").unlink()
    with pytest.raises(ConfigurationError, match="never met the device"):
        sync(device, keys)
    assert enrol(device, keys, clock=now).epoch == 1
    assert sync(device, keys).key == device.key


def test_the_kit_says_which_key_it_belongs_to(keys: OwnerKeys) -> None:
    page = recovery_kit("anna", keys.recovery(), "2027-01-15")
    assert keys.card.recovery[:16] in page
    assert "2027-01-15" in page
    assert NOW_MS


def test_a_device_that_shows_the_owners_of_another_is_refused(device: FakeDevice, keys: OwnerKeys) -> None:
    enrol(device, keys, clock=now)
    impostor = FakeDevice(NOW_MS, seed=b"i" * 32)
    impostor.enrolled = device.enrolled
    with pytest.raises(OpenError, match="owners of another device"):
        enrol(impostor, keys, clock=now)
    assert list(keys.memory.devices()) == [device.key.id]


def test_a_kit_that_was_replaced_is_sealed_to_no_more_and_its_say_goes_with_it(
    device: FakeDevice, keys: OwnerKeys
) -> None:
    enrol(device, keys)
    old = keys.recovery()
    kit_key = NamedKey.of(RECOVERY_NAME, kit_approval(old))
    listed(device, keys, kit_key)  # as the page makes its first list
    done = replace_kit(device, keys)
    new = keys.recovery()
    assert (device.enrolment.recovery, done.recovery) == (str(new.recipient()), str(new.recipient()))
    assert keys.card.recovery == done.recovery
    assert old.recipient() != new.recipient()
    approvers = {each.name: each.key for each in device.enrolment.approvers}
    assert approvers == {
        keys.name: keys.card.approver,
        RECOVERY_NAME: public_key_of(kit_approval(new)).text,
    }
    sealed = device.sealed(b"from now on")
    assert open_bytes(strictjson.decode_base64(sealed), [new]) == b"from now on"
    with pytest.raises(OpenError):
        open_bytes(strictjson.decode_base64(sealed), [old])
    assert OwnerKeys.load(keys.folder).card.recovery == done.recovery


def listed(device: FakeDevice, keys: OwnerKeys, more: NamedKey) -> None:
    """The next list, with one approver more."""
    before = device.enrolment
    after = msgspec.structs.replace(
        before,
        epoch=before.epoch + 1,
        previous=hashlib.sha256(strictjson.encode(before)).hexdigest(),
        approvers=(*before.approvers, more),
    )
    device.enrolled = sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(after), keys.approval)


def test_a_kit_made_by_a_later_owner_is_named_as_none_of_this_device(
    device: FakeDevice, keys: OwnerKeys, make_owner: MakeOwner
) -> None:
    enrol(device, keys)
    bob = make_owner("bob")
    enrol(device, keys, add=[bob.card])
    done = enrol(device, bob)
    assert done.recovery == keys.card.recovery
    assert bob.has_kit_of(done.recovery) is False
    assert keys.has_kit_of(done.recovery) is True
    with pytest.raises(ConfigurationError, match="the one of this device is age1"):
        enrol(device, bob, recovery_kit=bob.folder / KIT)
    (bob.folder / KIT).unlink()
    assert bob.has_kit_of(done.recovery) is None


def test_a_kit_that_is_not_there_when_the_device_goes_away_does_not_take_the_place_of_the_old(
    device: FakeDevice, keys: OwnerKeys
) -> None:
    enrol(device, keys)
    before = keys.recovery().secret_text()

    def away(_result: dict[str, Any], _data: bytes) -> tuple[dict[str, Any], bytes]:
        raise NetworkError("The device stopped answering.")

    device.lies["enrol_confirm"] = away
    with pytest.raises(NetworkError):
        replace_kit(device, keys)
    assert keys.recovery().secret_text() == before
    assert (keys.folder / NEW_KIT).exists()


def test_a_kit_that_came_into_force_although_the_answer_was_lost_is_not_replaced_by_a_third(
    device: FakeDevice, keys: OwnerKeys
) -> None:
    """Its page was overwritten by the next try, and status said to keep none of the pages."""
    enrol(device, keys)

    def lost(_result: dict[str, Any], _data: bytes) -> tuple[dict[str, Any], bytes]:
        raise NetworkError("The device stopped answering.")

    device.lies["enrol_confirm"] = lost
    with pytest.raises(NetworkError):
        replace_kit(device, keys)
    del device.lies["enrol_confirm"]
    in_force = device.enrolment.recovery
    assert keys.new_kit_is(in_force)
    done = replace_kit(device, keys)
    assert (done.recovery, done.epoch) == (in_force, device.enrolment.epoch)
    assert keys.has_kit_of(in_force) is True
    assert not (keys.folder / NEW_KIT).exists()
    assert OwnerKeys.load(keys.folder).card.recovery == in_force
    (keys.folder / NEW_KIT).write_text("no kit")
    (keys.folder / NEW_KIT).chmod(0o600)
    assert not keys.new_kit_is(in_force)


def _comes_back(folder: Path, kit: AgeIdentity, name: str = "anna") -> OwnerKeys:
    return OwnerKeys.create(folder, name=name, seeds=seeds(f"new {name}"), kit=kit)


def test_an_owner_who_lost_all_keys_comes_back_with_a_kit_that_decides(
    device: FakeDevice, keys: OwnerKeys, tmp_path: Path
) -> None:
    enrol(device, keys, kit_decides=True, clock=now)
    before = strictjson.decode_base64(device.sealed(b"before"))
    kit = keys.recovery()
    assert owners_to_replace(device, kit) == ("anna",)
    new = _comes_back(tmp_path / "new", kit)
    done = recover(device, new, kit, replaces=["anna"], clock=now)
    assert (done.epoch, done.opened, done.recovery) == (2, ("anna",), keys.card.recovery)
    assert {each.name: each.key for each in device.enrolment.approvers} == {
        "anna": new.card.approver,
        RECOVERY_NAME: public_key_of(kit_approval(kit)).text,
    }
    after = strictjson.decode_base64(device.sealed(b"after"))
    assert [open_bytes(each, new.identities) for each in (before, after)] == [b"before", b"after"]
    with pytest.raises(OpenError):
        open_bytes(after, keys.identities)
    assert sync(device, OwnerKeys.load(new.folder)).known.enrolled.epoch == 2
    assert not (new.folder / KIT).exists()


def test_a_recovery_whose_answer_was_lost_is_finished_by_the_next_run(
    device: FakeDevice, keys: OwnerKeys, tmp_path: Path
) -> None:
    enrol(device, keys, kit_decides=True, clock=now)
    kit = keys.recovery()
    new = _comes_back(tmp_path / "new", kit)
    recover(device, new, kit, replaces=["anna"], clock=now)
    (new.folder / "known_devices.json").unlink()
    assert recover(device, new, kit, replaces=["anna"], clock=now).epoch == 2
    assert sync(device, new).key == device.key


def test_a_kit_that_only_opens_puts_no_keys_in_place_and_says_what_it_can_do(
    device: FakeDevice, keys: OwnerKeys, tmp_path: Path
) -> None:
    enrol(device, keys, clock=now)
    kit = keys.recovery()
    with pytest.raises(
        ConfigurationError, match="opens footage, but the device does not let it replace keys"
    ) as refused:
        recover(device, _comes_back(tmp_path / "new", kit), kit, replaces=["anna"], clock=now)
    assert "doorward owner open" in (refused.value.remedy or "")
    assert device.enrolment.epoch == 1


def test_what_a_kit_may_do_is_an_owners_to_change(device: FakeDevice, keys: OwnerKeys, tmp_path: Path) -> None:
    enrol(device, keys, clock=now)
    enrol(device, keys, kit_decides=True, clock=now)
    assert RECOVERY_NAME in {each.name for each in device.enrolment.approvers}
    assert enrol(device, keys, clock=now).epoch == 2
    enrol(device, keys, kit_decides=False, clock=now)
    assert [each.name for each in device.enrolment.approvers] == ["anna"]
    replace_kit(device, keys, kit_decides=True, clock=now)
    kit = keys.recovery()
    assert recover(device, _comes_back(tmp_path / "new", kit), kit, replaces=["anna"], clock=now).epoch == 5


def test_another_kit_and_a_device_without_owners_are_named_before_keys_are_made(
    device: FakeDevice, keys: OwnerKeys, make_owner: MakeOwner
) -> None:
    with pytest.raises(ConfigurationError, match="has no owner yet"):
        owners_to_replace(device, keys.recovery())
    enrol(device, keys, kit_decides=True, clock=now)
    with pytest.raises(ConfigurationError, match="the one of this device is age1"):
        owners_to_replace(device, make_owner("mallory").recovery())


def test_two_owners_agreement_ends_when_recovery_leaves_one_and_stays_when_it_leaves_two(
    device: FakeDevice, keys: OwnerKeys, make_owner: MakeOwner, tmp_path: Path
) -> None:
    bob = make_owner("bob")
    enrol(device, keys, kit_decides=True, clock=now)
    enrol(device, keys, add=[bob.card], approvals=2, clock=now)
    enrol(device, bob, clock=now)
    kit = keys.recovery()
    assert recover(device, _comes_back(tmp_path / "1", kit), kit, replaces=["anna"], clock=now).approvals == 2
    new = _comes_back(tmp_path / "2", kit, "carol")
    assert recover(device, new, kit, replaces=["anna", "bob"], clock=now).approvals == 1


def test_a_kit_that_decides_is_no_second_owner(device: FakeDevice, keys: OwnerKeys) -> None:
    enrol(device, keys, kit_decides=True, clock=now)
    with pytest.raises(ConfigurationError, match="there is only one"):
        enrol(device, keys, approvals=2, clock=now)


def test_a_device_with_another_chain_of_owners_gets_no_signature_of_the_kit(
    device: FakeDevice, keys: OwnerKeys, make_owner: MakeOwner, tmp_path: Path
) -> None:
    enrol(device, keys, kit_decides=True, clock=now)
    kit = keys.recovery()
    mallory = make_owner("mallory")
    forged = msgspec.structs.replace(
        device.enrolment,
        epoch=2,
        previous=hashlib.sha256(strictjson.encode(device.enrolment)).hexdigest(),
        recipients=(NamedRecipient(name="mallory", recipient=mallory.card.recipient),),
    )
    device.enrolled = sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(forged), mallory.approval)
    with pytest.raises(OpenError):
        recover(device, _comes_back(tmp_path / "new", kit), kit, replaces=["mallory"], clock=now)
    assert device.proposed is None


def test_an_owner_whose_name_is_on_no_list_cannot_be_taken_out(device: FakeDevice, keys: OwnerKeys) -> None:
    enrol(device, keys, clock=now)
    with pytest.raises(ConfigurationError, match="No owner of this device is called 'bob'"):
        enrol(device, keys, remove=["bob"], clock=now)
    assert device.proposed is None


def test_one_person_under_two_names_is_not_two_owners(device: FakeDevice, keys: OwnerKeys) -> None:
    enrol(device, keys, clock=now)
    twin = msgspec.structs.replace(keys.card, name="bob")
    with pytest.raises(ConfigurationError) as refused:
        enrol(device, keys, add=[twin], approvals=2, clock=now)
    assert "different keys" in (refused.value.remedy or "")
    assert device.proposed is None


def test_the_number_of_approvals_stays_until_an_owner_changes_it(
    device: FakeDevice, keys: OwnerKeys, make_owner: MakeOwner
) -> None:
    bob = make_owner("bob")
    assert enrol(device, keys, clock=now).approvals == 1
    enrol(device, keys, add=[bob.card], approvals=2, clock=now)
    assert enrol(device, bob, clock=now).approvals == 2
    assert enrol(device, bob, kit_decides=False, clock=now).approvals == 2
    assert enrol(device, bob, approvals=1, clock=now).approvals == 1
    assert device.enrolment.approvals_needed == 1
    assert (device.enrolment.epoch, device.enrolment.owner_time_ms) == (3, NOW_MS)


def test_a_device_that_shows_no_owner_after_it_enrolled_one_is_refused(device: FakeDevice, keys: OwnerKeys) -> None:
    device.lies["enrolment"] = lambda _, data: ({"envelope": None}, data)
    with pytest.raises(OpenError, match="does not show the enrolment that it just accepted"):
        enrol(device, keys, clock=now)
    assert not keys.memory.devices()


def test_a_device_that_shows_two_lists_of_its_owners_is_refused(device: FakeDevice, keys: OwnerKeys) -> None:
    def another(_result: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        other = msgspec.structs.replace(device.enrolment, owner_time_ms=NOW_MS + 1)
        return {}, sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(other), keys.approval)

    device.lies["enrolments"] = another
    with pytest.raises(OpenError, match="shows two lists of its owners"):
        enrol(device, keys, clock=now)
    assert not keys.memory.devices()


def test_a_device_that_puts_an_invented_list_before_the_first_one_is_refused(
    device: FakeDevice, keys: OwnerKeys
) -> None:
    """Else the inventor would count as one who has been an owner, and what they signed would be taken over."""

    def with_another_before(_result: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        other = msgspec.structs.replace(device.enrolment, owner_time_ms=NOW_MS - 1)
        stranger = private_key_from_seed(b"s" * 32)
        invented = sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(other), stranger)
        return {}, b"\n".join((invented, data))

    device.lies["enrolments"] = with_another_before
    with pytest.raises(FormatError):
        enrol(device, keys, clock=now)
    assert not keys.memory.devices()


@pytest.mark.parametrize(
    ("tests", "error"),
    [
        ([], "does not prove"),
        ([{"name": "anna", "recipient": "age1"}], "does not prove"),
        (None, "'enrol' cannot be used"),
        ("tests", "'enrol' cannot be used"),
        (["anna"], "'enrol' cannot be used"),
        ([{"name": "anna"}], "'enrol' cannot be used"),
    ],
)
def test_a_device_whose_tests_cannot_be_read_proves_nothing(
    device: FakeDevice, keys: OwnerKeys, tests: object, error: str
) -> None:
    device.lies["enrol"] = lambda result, data: ({**result, "tests": tests}, data)
    with pytest.raises((OpenError, NetworkError), match=error):
        enrol(device, keys, clock=now)
    assert device.enrolled is None
    assert not keys.memory.devices()


def test_a_machine_that_knows_the_device_notices_that_it_went_backwards_before_a_kit_signs(
    device: FakeDevice, keys: OwnerKeys, tmp_path: Path
) -> None:
    enrol(device, keys, kit_decides=True, clock=now)
    kit = keys.recovery()
    new = _comes_back(tmp_path / "new", kit)
    known = keys.memory.device(device.key.id)
    assert known is not None
    new.memory.remember(known)
    del device.leaves[-1:]
    device.asked_ops.clear()
    before = device.enrolled
    with pytest.raises(OpenError, match="rolled back"):
        recover(device, new, kit, replaces=["anna"], clock=now)
    assert "enrol" not in device.asked_ops
    assert device.enrolled == before


def test_an_owner_who_is_added_needs_no_kit_and_one_that_they_give_is_the_devices(
    device: FakeDevice, keys: OwnerKeys, make_owner: MakeOwner
) -> None:
    bob = make_owner("bob")
    enrol(device, keys, clock=now)
    enrol(device, keys, add=[bob.card], clock=now)
    with pytest.raises(ConfigurationError, match="the one of this device is age1"):
        enrol(device, bob, recovery_kit=bob.folder / KIT, clock=now)
    assert "enrol_confirm" not in device.asked_ops[-1:]
    (bob.folder / KIT).unlink()
    assert enrol(device, bob, recovery_kit=keys.folder / KIT, clock=now).opened == ("bob",)
    carol = make_owner("carol")
    enrol(device, bob, add=[carol.card], clock=now)
    (carol.folder / KIT).unlink()
    assert enrol(device, carol, clock=now).epoch == 3


def test_a_list_that_mixes_two_kinds_of_keys_is_not_continued_by_a_kit(
    device: FakeDevice, keys: OwnerKeys, tmp_path: Path
) -> None:
    """Another program had made that list. Footage sealed to it is as safe as the weaker kind."""
    enrol(device, keys, kit_decides=True, clock=now)
    weak = OwnerKeys.create(tmp_path / "weak", name="bob", kind=IdentityKind.X25519, seeds=seeds("bob"))
    before = device.enrolment
    mixed = msgspec.structs.replace(
        before,
        epoch=2,
        previous=hashlib.sha256(strictjson.encode(before)).hexdigest(),
        recipients=(*before.recipients, NamedRecipient(name="bob", recipient=weak.card.recipient)),
    )
    device.enrolled = sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(mixed), keys.approval)
    kit = keys.recovery()
    with pytest.raises(ConfigurationError, match="two kinds"):
        recover(device, _comes_back(tmp_path / "new", kit), kit, replaces=["anna"], clock=now)
    assert device.proposed is None


def test_a_list_of_owners_is_remembered_as_soon_as_it_takes_effect(
    device: FakeDevice, keys: OwnerKeys, make_owner: MakeOwner
) -> None:
    """Without another question to the device, which could show the earlier list again."""

    def remembered(owner: OwnerKeys) -> int | None:
        known = owner.memory.device(device.key.id)
        return known and known.enrolled.epoch

    bob = make_owner("bob")
    enrol(device, keys, clock=now)
    assert remembered(keys) == 1
    enrol(device, keys, kit_decides=True, clock=now)
    assert remembered(keys) == 2
    enrol(device, keys, add=[bob.card], clock=now)
    assert (remembered(keys), remembered(bob)) == (2, None), "it waits for the other owner"
    enrol(device, bob, clock=now)
    assert remembered(bob) == 3
    replace_kit(device, bob, clock=now)
    assert remembered(bob) == 4
