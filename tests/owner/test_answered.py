"""What others said to a request: a first owner's approval counts only for exactly what this owner is asked about."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from agent.errors import OpenError
from agent.owner.answered import first_in
from agent.wire import envelope, strictjson
from agent.wire.identities import private_key_from_seed
from agent.wire.statements import Approval, ClipTold, SealedItem
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
    return {"first": envelope.sign(Approval.PAYLOAD_TYPE, data, key).decode()}


def first(answer: dict[str, object]) -> Any:
    return first_in(answer, samples.enrolment(), REQUEST, samples.REPLY, {SEGMENT: RECORD})


def test_the_approval_that_waits_is_shown_with_its_owner_and_its_hash() -> None:
    found = first(approved())
    payload = envelope.read_unverified(str(approved()["first"]).encode(), limit_bytes=1 << 20).payload
    assert (found.by, found.sha256) == (samples.enrolment().approvers[0].name, hashlib.sha256(payload).hexdigest())
    assert first({"first": None}) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"reply": "age1pq1" + "p" * 1952},
        {"request": "cd" * 32},
        {"device": samples.ROOT_KEY.text},
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
    with pytest.raises(OpenError, match="other clips"):
        first(approved(clips=(ClipTold(from_ms=1, to_ms=2, segments=1),)))


def test_an_approval_by_an_owner_who_left_waits_for_no_one() -> None:
    assert first(approved(private_key_from_seed(b"x" * 32))) is None
