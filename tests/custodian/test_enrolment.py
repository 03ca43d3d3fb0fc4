"""The owners in force: their names, the keys that footage is sealed to, how long a new list waits, and who is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from agent.clients.opening import HybridIdentity, open_bytes
from agent.custodian.enrolment import INVITED_S, RECOVERY
from agent.custodian.verified_statements import NONCE_LIFE_S
from agent.errors import ConfigurationError, FormatError, OpenError, RequestError
from agent.wire import strictjson
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.statements import NamedKey, NamedRecipient, read_statement
from tests.custodians import (
    APPROVER,
    OWNER_IDENTITY,
    RECOVERY_IDENTITY,
    Door,
    enrolment,
    sha256_of,
    signed,
)
from tests.wire import samples

BO, BO_KEY = HybridIdentity(b"b" * 32), private_key_from_seed(b"b" * 32)
ANNA = samples.OWNER_KEY.id


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


def both(door: Door) -> dict[str, object]:
    """The next list, with Bo."""
    current = door.custodian.enrolments.current
    people = (("anna", OWNER_IDENTITY, APPROVER), ("bo", BO, BO_KEY))
    return {
        "epoch": 2,
        "previous": sha256_of(current),  # type: ignore[arg-type]
        "recipients": tuple(NamedRecipient(name=name, recipient=str(key.recipient())) for name, key, _ in people),
        "approvers": tuple(NamedKey.of(name, key) for name, _, key in people),
    }


def test_before_its_first_list_a_doorbell_has_no_owner_and_seals_to_nobody(door: Door) -> None:
    enrolments = door.custodian.enrolments
    assert (enrolments.current, enrolments.envelope, enrolments.envelopes, enrolments.pending) == (
        None,
        None,
        (),
        False,
    )
    assert enrolments.has_left(ANNA)
    assert enrolments.owner_name(ANNA) is None
    enrolments.announce()
    assert door.sealed_to == []
    with pytest.raises(ConfigurationError):
        enrolments.seal(b"footage")


def test_an_owner_is_known_by_name_until_they_leave_the_list(door: Door) -> None:
    door.enrol()
    enrolments = door.custodian.enrolments
    assert (enrolments.owner_name(ANNA), enrolments.has_left(ANNA)) == ("anna", False)
    stranger = public_key_of(BO_KEY).id
    assert (enrolments.owner_name(stranger), enrolments.has_left(stranger)) == (None, True)
    door.propose(enrolment(**both(door)))
    assert enrolments.has_left(stranger), "not before it is in force"
    enrolments.confirm({"bo": open_bytes(enrolments.test("bo"), [BO])})
    assert (enrolments.owner_name(stranger), enrolments.has_left(stranger)) == ("bo", False)


def test_what_is_sealed_opens_for_each_owner_and_with_the_kit_and_for_nobody_else(door: Door) -> None:
    door.enrol()
    sealed = [door.custodian.enrolments.seal(b"footage") for _ in range(2)]
    assert sealed[0] != sealed[1]
    for identity in (OWNER_IDENTITY, RECOVERY_IDENTITY):
        assert open_bytes(sealed[0], [identity]) == b"footage"
    with pytest.raises(OpenError):
        open_bytes(sealed[0], [BO])


def test_a_proposal_names_its_epoch_and_a_test_for_each_new_recipient(door: Door) -> None:
    wanted = enrolment()
    recipients = {"anna": str(OWNER_IDENTITY.recipient()), RECOVERY: str(RECOVERY_IDENTITY.recipient())}
    enrolments = door.custodian.enrolments
    assert enrolments.propose(signed(wanted, APPROVER)) == (1, recipients)
    tokens = {
        name: open_bytes(enrolments.test(name), [identity])
        for name, identity in (("anna", OWNER_IDENTITY), (RECOVERY, RECOVERY_IDENTITY))
    }
    assert {len(token) for token in tokens.values()} == {32}
    assert len(set(tokens.values())) == 2
    enrolments.confirm(tokens)
    assert enrolments.propose(signed(enrolment(**both(door)), APPROVER)) == (2, {"bo": str(BO.recipient())})


def test_a_list_of_owners_that_names_another_second_key_of_the_device_is_refused(door: Door) -> None:
    """Otherwise requesters would refuse every answer of this device: its ML-DSA key would not be the one that owners
    signed."""
    with pytest.raises(RequestError, match="another ML-DSA-44 key"):
        door.custodian.enrolments.propose(signed(enrolment(device_mldsa="0" * 64), APPROVER))
    assert not door.custodian.enrolments.pending


def test_an_owner_hides_no_later_list_by_a_line_break_in_an_envelope(door: Door) -> None:
    """Clients and root read the lists one a line. An owner about to be removed could stop them at an older list."""
    door.enrol()
    whole = signed(enrolment(**both(door)), APPROVER)
    with pytest.raises(FormatError, match="one line"):
        door.custodian.enrolments.propose(whole.replace(b",", b",\n", 1))
    assert not door.custodian.enrolments.pending
    door.custodian.enrolments.propose(whole)


def test_a_list_in_force_is_in_the_journal_and_the_ledger_and_survives_a_restart(door: Door) -> None:
    door.enrol()
    first = door.custodian.enrolments.current
    changes = both(door)
    door.propose(enrolment(**changes))
    door.custodian.enrolments.confirm({"bo": open_bytes(door.custodian.enrolments.test("bo"), [BO])})
    second = door.custodian.enrolments.current
    envelopes = door.custodian.enrolments.envelopes
    assert door.journal.named("enrolment.") == {"0001": envelopes[0], "0002": envelopes[1]}
    entries = [entry for entry in door.entries() if entry["kind"] == "recipients-changed"]
    for number, (entry, enrolled) in enumerate(zip(entries, (first, second), strict=True), start=1):
        payload = strictjson.encode(enrolled)  # type: ignore[arg-type]
        assert (entry["version"], entry["subject"]) == (number, hashlib.sha256(payload).hexdigest())
    door.sealed_to.clear()
    door.start()
    enrolments = door.custodian.enrolments
    assert (enrolments.current, enrolments.envelopes, enrolments.envelope) == (second, envelopes, envelopes[1])
    assert door.sealed_to == [(3, 2)]
    assert open_bytes(enrolments.seal(b"later footage"), [BO]) == b"later footage"


def test_a_list_with_new_owners_waits_for_a_day_and_one_without_for_ten_minutes(door: Door) -> None:
    door.propose(enrolment())
    door.clock.advance(INVITED_S)
    assert door.custodian.enrolments.pending
    door.confirm("anna", RECOVERY)
    current = door.custodian.enrolments.current
    door.propose(enrolment(epoch=2, previous=sha256_of(current)))  # type: ignore[arg-type]
    door.clock.advance(NONCE_LIFE_S)
    assert door.custodian.enrolments.pending
    door.clock.advance(0.001)
    assert not door.custodian.enrolments.pending
    with pytest.raises(RequestError, match="No enrolment is waiting"):
        door.custodian.enrolments.confirm({})
    door.propose(enrolment(**both(door)))
    door.clock.advance(INVITED_S + 0.001)
    assert not door.custodian.enrolments.pending
    with pytest.raises(RequestError, match="no such test"):
        door.custodian.enrolments.test("bo")


def test_the_owners_are_told_of_a_later_list_and_of_the_first_one_they_are_not(door: Door) -> None:
    door.enrol()
    assert [each for each in door.told.news if each[0] == "owners"] == []
    current = door.custodian.enrolments.current
    door.enrol(epoch=2, previous=sha256_of(current))  # type: ignore[arg-type]
    told = [each for each in door.told.news if each[0] == "owners"]
    assert [each[:2] for each in told] == [("owners", "The owners of this doorbell have changed.")]


def test_the_owners_are_told_when_the_recovery_kit_lets_a_client_in_and_not_of_their_own_keys(door: Door) -> None:
    """A former owner with a copy of the kit looked at the footage, through the relay too, and no one heard of it."""
    kit = private_key_from_seed(b"k" * 32)
    door.enrol(approvers=(NamedKey.of("anna", APPROVER), NamedKey.of(RECOVERY, kit)))
    for key in (APPROVER, BO_KEY):
        door.custodian.enrolments.note_use(public_key_of(key).id)
    assert [each for each in door.told.news if each[0] == "kit used"] == []
    door.custodian.enrolments.note_use(public_key_of(kit).id)
    assert [each[0] for each in door.told.news if each[0] == "kit used"] == ["kit used"]


@pytest.mark.parametrize("token", [b"", bytes(32)])
def test_an_answer_to_a_test_that_there_is_not_is_refused(door: Door, token: bytes) -> None:
    door.propose(enrolment())
    with pytest.raises(RequestError, match="The test for bo was not opened"):
        door.custodian.enrolments.confirm({"bo": token})
    assert door.confirm("anna", RECOVERY) == (1, ())


def test_a_signed_list_is_taken_once(door: Door) -> None:
    """Its nonce is used up with the proposal, so no one can propose it again later."""
    strict = Door(own_nonces=True)
    nonce = strict.custodian.custodian_state.nonces.give()
    data = signed(enrolment(nonce=nonce), APPROVER)
    strict.custodian.enrolments.propose(data)
    with pytest.raises(RequestError):
        strict.custodian.enrolments.propose(data)
    with pytest.raises(RequestError):
        strict.custodian.enrolments.propose(signed(enrolment(nonce="0" * 32), APPROVER))
    strict.close()


def test_a_list_that_cannot_be_used_changes_nothing_that_waits(door: Door) -> None:
    door.propose(enrolment())
    other = enrolment(device=public_key_of(BO_KEY).text)
    with pytest.raises(RequestError, match="for another device"):
        door.propose(other)
    with pytest.raises(FormatError):
        door.propose(enrolment(epoch=2, previous="00" * 32))
    with pytest.raises(OpenError):
        door.propose(enrolment(), by=BO_KEY)
    assert door.confirm("anna", RECOVERY) == (1, ())
    assert read_statement(door.custodian.enrolments.envelope or b"").key_id == ANNA
