"""The owners of a device are a chain: who may say who comes next."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import DoorwardError, FormatError, OpenError
from agent.wire import envelope, strictjson
from agent.wire.identities import MldsaPublicKey, approval_mldsa_key, public_key_of
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
    open_statement,
    open_stolen,
    read_statement,
    require_one_line,
    sign_statement,
)
from tests.wire import samples

SECOND_OWNER = samples.private_key("owner two")
BOTH = (
    NamedKey.of("owner-1", samples.OWNER),
    NamedKey.of("owner-2", SECOND_OWNER),
)


def signed(enrolment: Enrolment, by: Ed25519PrivateKey) -> bytes:
    return sign_statement(Enrolment.PAYLOAD_TYPE, strictjson.encode(enrolment), by)


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
    data = sign_statement(Approval.PAYLOAD_TYPE, payload(FIRST), samples.OWNER)
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
        ("approvers: .*twice", {"approvers": (BOTH[0], msgspec.structs.replace(BOTH[1], key=BOTH[0].key))}),
        ("approvers: .*twice", {"approvers": (BOTH[0], msgspec.structs.replace(BOTH[1], name="owner-1"))}),
        ("approvers: .*twice", {"approvers": (NamedKey.of("owner-1", samples.DEVICE),)}),
        ("sound", {"approvers": (msgspec.structs.replace(BOTH[0], key="ed25519:" + "A" * 43),)}),
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
    signed_notice = sign_statement(Stolen.PAYLOAD_TYPE, strictjson.encode(stolen), by)
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


def forged(statement: Any, by: Ed25519PrivateKey, mldsa: Any) -> bytes:
    """Returns the statement of a forger who can make Ed25519 signatures of `by`, and has another ML-DSA-44 key."""
    return envelope.sign_hybrid(type(statement).PAYLOAD_TYPE, strictjson.encode(statement), by, mldsa)


FORGER = approval_mldsa_key(samples.private_key("a forger of Ed25519"))


def test_a_statement_needs_both_signatures_of_one_approver() -> None:
    yes = samples.approval()
    kind, signers = Approval.PAYLOAD_TYPE, following().signers
    good = sign_statement(kind, strictjson.encode(yes), samples.OWNER)
    assert open_statement(good, kind, signers).key_id == samples.OWNER_KEY.id
    alone = envelope.sign(kind, strictjson.encode(yes), samples.OWNER)
    with pytest.raises(OpenError, match="ML-DSA-44 signature is missing"):
        open_statement(alone, kind, signers)
    with pytest.raises(OpenError, match="ML-DSA-44 signature is missing"):
        read_statement(alone)
    with pytest.raises(OpenError, match="ML-DSA-44 signature does not verify"):
        open_statement(forged(yes, samples.OWNER, FORGER), kind, signers)
    # The second signature of another approver does not count for this one.
    with pytest.raises(OpenError, match="ML-DSA-44 signature does not verify"):
        open_statement(forged(yes, samples.OWNER, approval_mldsa_key(SECOND_OWNER)), kind, signers)
    with pytest.raises(OpenError, match="No trusted key"):
        open_statement(sign_statement(kind, strictjson.encode(yes), samples.ROOT), kind, signers)
    with pytest.raises(FormatError, match="does not hold"):
        open_statement(good, Enrolment.PAYLOAD_TYPE, signers)


def test_a_forger_of_ed25519_cannot_sign_the_next_list_of_owners() -> None:
    first = signed(FIRST, samples.OWNER)
    thief = following(approvers=(NamedKey.of("thief", samples.ROOT),))
    with pytest.raises(OpenError, match="does not verify"):
        open_chain([first, forged(thief, samples.OWNER, FORGER)], samples.DEVICE_KEY.text)
    # A list that gives the owner another second key is signed by the old one, or not at all.
    other = following(approvers=(msgspec.structs.replace(BOTH[0], mldsa=MldsaPublicKey.of(FORGER).text),))
    with pytest.raises(OpenError, match="does not verify"):
        open_chain([first, forged(other, samples.OWNER, FORGER)], samples.DEVICE_KEY.text)
    alone = envelope.sign(Enrolment.PAYLOAD_TYPE, strictjson.encode(following()), samples.OWNER)
    with pytest.raises(OpenError, match="missing"):
        open_chain([first, alone], samples.DEVICE_KEY.text)


def test_two_approvers_have_two_second_keys() -> None:
    same = (BOTH[0], msgspec.structs.replace(BOTH[1], mldsa=BOTH[0].mldsa))
    with pytest.raises(FormatError, match=r"approvers: .*twice"):
        following(approvers=same)
    for wrong in ("", "AAAA", BOTH[0].mldsa[:-3] + "B==", BOTH[0].mldsa.rstrip("=")):
        with pytest.raises(FormatError):
            following(approvers=(msgspec.structs.replace(BOTH[0], mldsa=wrong),))


def test_the_envelope_of_a_statement_is_one_line_and_no_more() -> None:
    data = sign_statement(Approval.PAYLOAD_TYPE, payload(FIRST), samples.OWNER)
    require_one_line(data)
    for other in (data + b"\n", b"{\n" + data[1:]):
        read_statement(other)
        with pytest.raises(FormatError, match="one line"):
            require_one_line(other)
