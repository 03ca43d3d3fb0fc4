"""A forger who can make the Ed25519 signatures of doorbell, owner and requester, years after the doorbell answered.

The forger has old answers of the doorbell, and lacks the two ML-DSA-44 keys. (A quantum computer finds the number that
signs, not the seed that an owner's second key is made from.) They want an answer with footage of another time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.known_doorbells import KnownDoorbells
from agent.clients.requester.verification import CheckKind
from agent.core.media import Gop
from agent.wire import envelope, strictjson
from agent.wire.disclosures import DisclosureManifest, SecondSignature
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, public_key_of
from agent.wire.statements import Enrolment, NamedKey
from tests.clients.requester.conftest import filmed
from tests.clients.requester.house import Changes, Disclosure, House
from tests.clients.requester.test_known_doorbells import remember
from tests.clients.requester.test_verification import verified

MINE, MINE_AS_OWNER = mldsa_key_from_seed(b"1" * 32), mldsa_key_from_seed(b"2" * 32)
LATER_MS = 60_000


def a_minute_later(value: Any) -> Any:
    """A record or a context of another time."""
    return msgspec.structs.replace(value, span=msgspec.structs.replace(value.span, utc_ms=value.span.utc_ms + LATER_MS))


def by_the_owner(house: House) -> Callable[[bytes], bytes]:
    """Signs a statement with the owner's Ed25519 key and an ML-DSA key of the forger."""

    def sign(data: bytes) -> bytes:
        said = json.loads(data)
        return envelope.sign_hybrid(
            said["payloadType"], strictjson.decode_base64(said["payload"]), house.owner, MINE_AS_OWNER
        )

    return sign


def of_the_forger(enrolment: Enrolment) -> Enrolment:
    """A list of owners with the true first keys, and the forger's second ones."""
    (owner,) = enrolment.approvers
    mine = NamedKey(name=owner.name, key=owner.key, mldsa=MldsaPublicKey.of(MINE_AS_OWNER).text)
    return msgspec.structs.replace(enrolment, approvers=(mine,), device_mldsa=MldsaPublicKey.of(MINE).sha256)


def beside(first: bytes, old: bytes) -> bytes:
    """The forger's statement, with the second signature of an old one."""
    said = json.loads(first)
    said["signatures"][1] = json.loads(old)["signatures"][1]
    return json.dumps(said).encode()


def with_true_second_key(house: House) -> Callable[[DisclosureManifest], DisclosureManifest]:
    key = MldsaPublicKey.of(house.mldsa).text
    return lambda manifest: msgspec.structs.replace(manifest, device_mldsa=key)


class Forger:
    """Makes answers of footage that is a minute off. `old`: part 0 of an honest answer, opened."""

    def __init__(self, house: House, gops: list[Gop], old: bytes) -> None:
        self.house = house
        self.gops = gops
        self.old = old

    def door(self, *, mine: bool = True, epoch: int = 1, **changes: Any) -> House:
        """The doorbell's Ed25519 keys, its second key or the forger's, and a film of another time."""
        lies = Changes(record=a_minute_later, context=a_minute_later, **changes)
        made = filmed(self.gops, lies, epoch=epoch)
        assert public_key_of(made.device) == public_key_of(self.house.device)
        assert public_key_of(made.owner) == public_key_of(self.house.owner)
        made.mldsa = MINE if mine else self.house.mldsa
        made.entries = self.house.entries + 4  # a second ledger of a known size would be noticed, too
        return made

    def ways(self) -> dict[str, tuple[Callable[[], House], CheckKind]]:
        """Each way, and the check that refuses it. Only the last one has the true ML-DSA key of the doorbell."""
        owner = by_the_owner(self.house)
        owners: dict[str, Any] = {"enrolment": of_the_forger, "signed_enrolment": owner, "signed_approval": owner}
        old = envelope.read_hybrid(self.old, DisclosureManifest.PAYLOAD_TYPE, limit_bytes=len(self.old))
        (first,) = json.loads(old.payload)["enrolments"]
        first_only = {"statements": lambda data: json.dumps(one_signature(data)).encode()}
        true_key = with_true_second_key(self.house)
        return {
            "without a second signature": (lambda: self.door(manifest=true_key, **first_only), CheckKind.DEVICE),
            "the forger's own beside the true key": (lambda: self.door(manifest=true_key), CheckKind.DEVICE),
            "that of an old answer": (
                lambda: self.door(manifest=true_key, statements=lambda data: beside(data, self.old)),
                CheckKind.DEVICE,
            ),
            "another key than the owners signed": (
                lambda: self.door(manifest=lambda m: msgspec.structs.replace(m, enrolments=(first,))),
                CheckKind.OWNERS,
            ),
            "a first list of the forger's": (lambda: self.door(**owners), CheckKind.OWNERS),
            "a list of the forger's behind the true one": (
                lambda: self.door(
                    mine=False,
                    epoch=2,
                    **owners,
                    manifest_mldsa=MINE,
                    manifest=lambda m: msgspec.structs.replace(m, device_mldsa=MldsaPublicKey.of(MINE).text),
                ),
                CheckKind.OWNERS,
            ),
            "a yes of the forger's": (lambda: self.door(mine=False, signed_approval=owner), CheckKind.APPROVAL),
        }


def one_signature(data: bytes) -> dict[str, Any]:
    said = json.loads(data)
    return {**said, "signatures": said["signatures"][:1]}


def honest_answer(requester: Requester, asked: SentRequest, gops: list[Gop]) -> tuple[House, Disclosure, bytes]:
    house = filmed(gops)
    answer = house.disclose(asked)
    verification = verified(requester, asked, answer)
    assert verification.ok
    remember(requester, verification)
    return house, answer, verification.statements


def test_a_forger_with_the_ed25519_keys_of_doorbell_and_owner_cannot_make_an_answer_verify(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house, _, old = honest_answer(requester, asked, gops)
    forger = Forger(house, gops, old)
    for way, (door, check) in forger.ways().items():
        failed = verified(requester, asked, door().disclose(asked)).failed
        assert failed is not None, way
        assert failed.kind is check, (way, failed)
    # With both true second keys the same answer verifies: nothing else of it is wrong.
    both = verified(requester, asked, forger.door(mine=False).disclose(asked))
    assert both.ok, both.failed


CHANGED: dict[str, Callable[[DisclosureManifest], DisclosureManifest]] = {
    "another record": lambda m: msgspec.structs.replace(m, records=(m.records[1], *m.records[1:])),
    "a better word about a record": lambda m: msgspec.structs.replace(
        m, second_signatures=(SecondSignature.COVERED,) * len(m.records)
    ),
    "another part": lambda m: msgspec.structs.replace(
        m, parts=(msgspec.structs.replace(m.parts[0], sha256="0" * 64), *m.parts[1:])
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_forger_cannot_change_one_thing_in_an_honest_answer(
    requester: Requester, asked: SentRequest, gops: list[Gop], name: str
) -> None:
    """Signed by the doorbell's Ed25519 key again, with the second signature that was there."""
    damaged = Changes(
        manifest=lambda m: msgspec.structs.replace(m, second_signatures=(SecondSignature.NONE,) * len(m.records))
    )
    house = filmed(gops, damaged)

    def forge(data: bytes) -> bytes:
        honest = envelope.read_hybrid(data, DisclosureManifest.PAYLOAD_TYPE, limit_bytes=len(data)).payload
        other = strictjson.encode(CHANGED[name](strictjson.decode(honest, DisclosureManifest, limit_bytes=len(honest))))
        assert other != honest
        made = envelope.sign_hybrid(DisclosureManifest.PAYLOAD_TYPE, other, house.device, MINE)
        return beside(made, data)

    assert verified(requester, asked, house.disclose(asked)).ok
    house.changes.statements = forge
    failed = verified(requester, asked, house.disclose(asked)).failed
    assert failed is not None
    assert (failed.kind, "ML-DSA-44" in failed.said) == (CheckKind.DEVICE, True)


def test_a_reader_who_has_never_met_the_doorbell_has_to_compare_its_second_key(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    """The limit: a doorbell that is invented as a whole verifies. Its second key is another one, and the report says
    that it was first seen with this answer."""
    house, _, old = honest_answer(requester, asked, gops)
    invented, _ = Forger(house, gops, old).ways()["a first list of the forger's"]
    KnownDoorbells(requester.notes).forget(house.device_id)
    verification = verified(requester, asked, invented().disclose(asked))
    assert verification.ok, verification.failed
    said = {check.kind: check for check in verification.checks}
    assert "first seen with this answer" in said[CheckKind.OWNERS].said
    keys = {proof.label: proof.value for proof in said[CheckKind.DEVICE].proofs}
    assert keys["Device's public key"] == public_key_of(house.device).text
    assert keys["Device's ML-DSA-44 key (SHA-256)"] == MldsaPublicKey.of(MINE).sha256
    assert MldsaPublicKey.of(MINE).sha256 != MldsaPublicKey.of(house.mldsa).sha256
