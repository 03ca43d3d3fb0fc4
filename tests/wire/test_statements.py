"""The owners of a device are a chain: who may say who comes next."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import DoorwardError, FormatError, OpenError
from agent.wire import envelope, strictjson
from agent.wire.identities import public_key_of
from agent.wire.statements import (
    Approval,
    Enrolment,
    NamedKey,
    NamedRecipient,
    PushSubscription,
    Stolen,
    StolenNotice,
    open_chain,
    open_enrolment,
    open_stolen,
)
from tests.wire import samples

SECOND_OWNER = samples.private_key("owner two")
BOTH = (
    NamedKey(name="owner-1", key=samples.OWNER_KEY.text),
    NamedKey(name="owner-2", key=public_key_of(SECOND_OWNER).text),
)


def signed(enrolment: Enrolment, by: Ed25519PrivateKey) -> bytes:
    return envelope.sign(Enrolment.PAYLOAD_TYPE, strictjson.encode(enrolment), by)


def payload(enrolment: Enrolment) -> bytes:
    return strictjson.encode(enrolment)


FIRST = samples.enrolment()


def following(**changes: Any) -> Enrolment:
    values = {"epoch": 2, "previous": hashlib.sha256(payload(FIRST)).hexdigest(), "approvers": BOTH, **changes}
    return samples.enrolment(**values)


def test_the_first_enrolment_is_signed_by_one_of_its_own_approvers() -> None:
    assert open_enrolment(signed(FIRST, samples.OWNER), None) == FIRST
    with pytest.raises(OpenError):
        open_enrolment(signed(FIRST, samples.ROOT), None)


def test_a_later_enrolment_is_signed_by_an_approver_of_the_one_before() -> None:
    second = following()
    assert open_enrolment(signed(second, samples.OWNER), payload(FIRST)) == second
    with pytest.raises(OpenError):
        open_enrolment(signed(second, SECOND_OWNER), payload(FIRST))
    third = samples.enrolment(epoch=3, previous=hashlib.sha256(payload(second)).hexdigest())
    assert open_enrolment(signed(third, SECOND_OWNER), payload(second)) == third


@pytest.mark.parametrize(
    "wrong",
    [
        following(epoch=3),
        following(previous=samples.SHA),
        following(device=public_key_of(samples.ROOT).text),
        following(device_mldsa=samples.SHA),
        samples.enrolment(approvers=BOTH),
    ],
)
def test_an_enrolment_that_skips_forks_or_changes_a_key_of_the_device_does_not_follow(wrong: Enrolment) -> None:
    with pytest.raises(FormatError, match="does not follow"):
        open_enrolment(signed(wrong, samples.OWNER), payload(FIRST))


def test_a_later_enrolment_cannot_be_passed_off_as_the_first() -> None:
    with pytest.raises(FormatError, match="does not follow"):
        open_enrolment(signed(following(), samples.OWNER), None)


def test_another_statement_is_no_enrolment() -> None:
    data = envelope.sign(Approval.PAYLOAD_TYPE, payload(FIRST), samples.OWNER)
    with pytest.raises(FormatError):
        open_enrolment(data, None)


def test_an_enrolment_that_lists_nobody_as_it_should_is_refused() -> None:
    recipient = NamedRecipient(name="owner-1", recipient=samples.RECIPIENT)
    twin = NamedRecipient(name="owner-2", recipient=samples.RECIPIENT)
    namesake = NamedRecipient(name="owner-1", recipient=samples.RECOVERY)
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("previous: ", {"epoch": 2}),
        ("previous: ", {"previous": samples.SHA}),
        ("recipients: .*twice", {"recipients": (recipient, twin)}),
        ("recipients: .*twice", {"recipients": (recipient, namesake), "recovery": samples.REPLY}),
        ("recipients: .*twice", {"recovery": samples.RECIPIENT}),
        ("approvers: .*twice", {"approvers": (BOTH[0], NamedKey(name="owner-2", key=BOTH[0].key))}),
        ("approvers: .*twice", {"approvers": (BOTH[0], NamedKey(name="owner-1", key=BOTH[1].key))}),
        ("approvers: .*twice", {"approvers": (NamedKey(name="owner-1", key=samples.DEVICE_KEY.text),)}),
        ("sound", {"approvers": (NamedKey(name="owner-1", key="ed25519:" + "A" * 43),)}),
        ("approvals_needed: ", {"approvals_needed": 2}),
    ]
    for why, changes in attempts:
        with pytest.raises(FormatError, match=rf"(?<![A-Za-z]){why}"):
            samples.enrolment(**changes)
    for empty in ("recipients", "approvers"):
        with pytest.raises(DoorwardError):
            payload(samples.enrolment(**{empty: ()}))


def test_an_enrolment_gives_its_approvers_keys_by_id() -> None:
    assert samples.enrolment().approver_keys == {samples.OWNER_KEY.id: samples.OWNER_KEY}
    assert samples.enrolment().device_key == samples.DEVICE_KEY
    assert samples.disclosure_manifest().device_key == samples.DEVICE_KEY


# -- the chain of lists, and the notice of a stolen doorbell -----------------------------------------------------------


def chain() -> list[bytes]:
    third = samples.enrolment(epoch=3, previous=hashlib.sha256(payload(following())).hexdigest())
    return [signed(FIRST, samples.OWNER), signed(following(), samples.OWNER), signed(third, SECOND_OWNER)]


def test_a_chain_of_enrolments_is_as_long_as_each_follows_the_one_before() -> None:
    device = samples.DEVICE_KEY.text
    assert open_chain(chain(), device).epoch == 3
    assert open_chain(chain()[:1], device) == FIRST
    for wrong in ([], chain()[1:], [chain()[0], chain()[2]], [*chain(), chain()[2]]):
        with pytest.raises(FormatError):
            open_chain(wrong, device)
    with pytest.raises(FormatError, match="another device"):
        open_chain(chain(), public_key_of(samples.ROOT).text)


def notice(by: Ed25519PrivateKey, links: int = 3) -> StolenNotice:
    stolen = samples.EVERY_MESSAGE["stolen"]
    signed_notice = envelope.sign(Stolen.PAYLOAD_TYPE, strictjson.encode(stolen), by)
    return StolenNotice(v=1, stolen=signed_notice.decode(), enrolments=tuple(each.decode() for each in chain()[:links]))


def test_a_doorbell_is_declared_stolen_by_an_owner_of_the_newest_list_in_the_notice() -> None:
    stolen, enrolment, by = open_stolen(notice(samples.OWNER))
    assert (stolen, enrolment.epoch, by) == (samples.EVERY_MESSAGE["stolen"], 3, "owner-1")
    for wrong in (notice(samples.ROOT), notice(samples.DEVICE), notice(SECOND_OWNER)):
        with pytest.raises(OpenError):
            open_stolen(wrong)
    assert open_stolen(notice(SECOND_OWNER, links=2))[2] == "owner-2"


def test_a_glance_key_may_be_left_out_and_must_be_sound() -> None:
    whole = msgspec.json.decode(strictjson.encode(samples.EVERY_MESSAGE["push-subscription"]))
    without = {name: value for name, value in whole.items() if name != "glance_signer"}
    assert strictjson.decode(msgspec.json.encode(without), PushSubscription).glance_signer is None
    small = "ed25519:" + "A" * 43
    with pytest.raises(FormatError):
        strictjson.decode(msgspec.json.encode({**whole, "glance_signer": small}), PushSubscription)
