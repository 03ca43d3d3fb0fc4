"""Responses of others: a first owner's approval counts only for exactly the same content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.clients.opening import HybridIdentity
from agent.clients.owner.responses import deletion_in, first_in, receipt_in
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import FormatError, OpenError
from agent.ipc.control_operations import RequestAnswer
from agent.wire import envelope, strictjson
from agent.wire.identities import private_key_from_seed
from agent.wire.messages import Deletion
from agent.wire.statements import Approval, ClipClaim, SealedItem, read_statement, sign_statement
from agent.wire.trust import TrustedRequester, TrustStore
from tests.custodians import PaperVault
from tests.wire import samples

REQUEST = "ab" * 32
VAULT = PaperVault()
SEGMENT = VAULT.keep(samples.NOW_S, poster=True)
RECORD = VAULT.record(SEGMENT)
SHARED = SealedItem(id=SEGMENT, payload_sha256=RECORD.record.file.sha256_payload, header_sha256="5e" * 32)
UNKNOWN = SealedItem(id=SEGMENT, payload_sha256="00" * 32, header_sha256="6e" * 32)


def approved(key: Any = samples.OWNER, **changes: Any) -> dict[str, object]:
    """The device's answer about a request that waits for a second owner."""
    values = {"request": REQUEST, "segments": (SHARED,), "posters": (), **changes}
    data = strictjson.encode(samples.approval(**values))
    return {"first": sign_statement(Approval.PAYLOAD_TYPE, data, key).decode()}


def shown_by_device(answer: dict[str, object]) -> RequestAnswer:
    return msgspec.convert({"state": "pending", **answer}, RequestAnswer)


def first(answer: dict[str, object]) -> Any:
    return first_in(shown_by_device(answer), samples.enrolment(), REQUEST, samples.REPLY, {SEGMENT: RECORD})


def test_the_approval_that_waits_is_shown_with_its_owner_and_its_hash() -> None:
    found = first(approved())
    payload = read_statement(str(approved()["first"]).encode()).payload
    assert (found.by, found.sha256) == (samples.enrolment().approvers[0].name, hashlib.sha256(payload).hexdigest())
    assert first({"first": None}) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"reply": "age1pq1" + "p" * 1952},
        {"request": "cd" * 32},
        {"device": samples.ROOT_KEY.ed25519.text},
    ],
    ids=["another reply key", "another request", "another device"],
)
def test_an_approval_for_something_else_is_never_offered_to_the_second_owner(changes: dict[str, str]) -> None:
    with pytest.raises(OpenError, match="for something else"):
        first(approved(**changes))


@pytest.mark.parametrize("kind", ["segments", "posters", "sounds"])
def test_an_approval_of_what_did_not_match_is_never_offered_to_the_second_owner(kind: str) -> None:
    with pytest.raises(OpenError, match="did not match"):
        first(approved(**{kind: (UNKNOWN,)}))


def test_an_approval_that_tells_of_clips_that_did_not_match_is_never_offered_to_the_second_owner() -> None:
    with pytest.raises(OpenError, match="names clips that did not match"):
        first(approved(clips=(ClipClaim(from_ms=1, to_ms=2, segments=1),)))


def test_an_approval_by_an_owner_who_left_waits_for_no_one() -> None:
    assert first(approved(private_key_from_seed(b"x" * 32))) is None


OWNER = HybridIdentity(b"o" * 32)


def trusted() -> TrustedRequester:
    found = TrustStore({samples.ROOT_KEY.id: samples.ROOT_KEY}, {samples.ROOT_KEY.id: samples.bundle()}).resolve(
        samples.ROOT_KEY.id, "harbour-police", samples.REQUESTER_KEY.id, samples.NOW_S
    )
    assert found is not None
    return found


def said(message: strictjson.Message, key: Any = samples.REQUESTER, payload_type: str | None = None) -> str:
    """A requester's message as the device shows it: signed, and sealed to the owner."""
    kind: Any = type(message)
    signed = envelope.sign(payload_type or kind.PAYLOAD_TYPE, strictjson.encode(message), key)
    return strictjson.encode_base64(seal_bytes(signed, [OWNER.recipient()], file_key=b"k" * 16, nonce=b"n" * 16))


RECEIPT = samples.receipt()
DELETION = samples.EVERY_MESSAGE["deletion"]
assert isinstance(DELETION, Deletion)


def receipt(answer: dict[str, object], disclosure: str | None = RECEIPT.disclosure) -> Any:
    return receipt_in(shown_by_device(answer), trusted(), disclosure, OWNER)


def deletion(answer: dict[str, object]) -> Any:
    return deletion_in(shown_by_device(answer), trusted(), DELETION.request, OWNER)


SHOWN: list[Any] = [("receipt", RECEIPT, receipt), ("deletion", DELETION, deletion)]
Shown = Callable[[dict[str, object]], Any]


@pytest.mark.parametrize(("name", "message", "shown"), SHOWN)
def test_what_the_requester_said_is_shown_as_it_was_signed(name: str, message: Any, shown: Shown) -> None:
    assert shown({name: said(message)}) == message
    assert shown({name: None}) is None
    assert shown({}) is None


@pytest.mark.parametrize("changed", ["requester", "trust_root", "disclosure or request"])
@pytest.mark.parametrize(("name", "message", "shown"), SHOWN)
def test_what_the_requester_said_of_something_else_is_not_shown(
    name: str, message: Any, shown: Shown, changed: str
) -> None:
    values = {
        "requester": {"requester": "other-police"},
        "trust_root": {"trust_root": samples.OWNER_KEY.id},
        "disclosure or request": {"disclosure" if name == "receipt" else "request": "ef" * 16},
    }
    with pytest.raises(OpenError, match=f"The {name} that the device shows is"):
        shown({name: said(msgspec.structs.replace(message, **values[changed]))})


def test_a_receipt_of_a_request_without_a_disclosure_is_not_shown() -> None:
    with pytest.raises(OpenError, match="something else"):
        receipt({"receipt": said(RECEIPT)}, disclosure=None)


@pytest.mark.parametrize(("name", "message", "shown"), SHOWN)
def test_only_the_key_that_asked_speaks_for_the_requester(name: str, message: Any, shown: Shown) -> None:
    with pytest.raises(OpenError, match="not signed by the key of the request"):
        shown({name: said(message, private_key_from_seed(b"x" * 32))})


@pytest.mark.parametrize(("name", "message", "shown"), SHOWN)
def test_one_kind_of_message_is_not_taken_for_another(name: str, message: Any, shown: Shown) -> None:
    with pytest.raises(OpenError, match="not signed by the key of the request"):
        shown({name: said(message, payload_type=Approval.PAYLOAD_TYPE)})
    with pytest.raises(OpenError, match="not signed by the key of the request"):
        shown({name: said(samples.request(), payload_type=type(message).PAYLOAD_TYPE)})


def test_an_approval_that_is_no_envelope_is_refused_whatever_its_letters() -> None:
    for text in ("ü", "{}", f"ü{approved()['first']}"):
        with pytest.raises(FormatError):
            first({"first": text})
