"""The program of the neighbour's page, in node: it opens an honest answer of each kind, and refuses each lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.opening import HybridIdentity
from agent.clients.requester import messages
from agent.clients.requester.identity import Requester, SentRequest
from agent.core.ledger.checkpoint import parse_checkpoint
from agent.core.media import Gop
from agent.wire import strictjson
from agent.wire.disclosures import ContactCard, DisclosureManifest, LedgerProof, PartKind, SecondSignature
from agent.wire.envelope import pae, sign_hybrid
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed
from agent.wire.statements import Approval, ClipClaim, Enrolment
from agent.wire.time_proofs import TimeProof
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, ROOT_ID, filmed, gops, question, requester
from tests.clients.requester.full_answer import FACE, VOICE
from tests.clients.requester.house import Changes, Disclosure, House
from tests.clients.requester.test_two_owners import seconded, two_owners
from tests.sounds import track
from tests.web.test_the_program import node

__all__ = ["gops", "requester"]

pytestmark = pytest.mark.interop

SEED = bytes(range(32))
NEIGHBOUR = HybridIdentity(SEED)
STRANGER = private_key_from_seed(b"s" * 32)
MLDSA_STRANGER = mldsa_key_from_seed(b"s" * 32)


@pytest.fixture
def asked(requester: Requester) -> SentRequest:
    made = messages.make_request(
        requester, question(), now_s=NOW_S, trust_root=ROOT_ID, reply=str(NEIGHBOUR.recipient())
    )
    return requester.sent_request(made.id)


def read(folder: Path, requester: Requester, asked: SentRequest, answers: dict[str, Disclosure], **named: str) -> Any:
    """The neighbour's program reads each answer. Returns its findings."""
    given = [
        {
            "name": name,
            "request": asked.envelope.decode(),
            "signer": requester.key.text,
            "id": named.get("id", each.id),
            "device": named.get("device", each.device),
            "parts": [strictjson.encode_base64(part) for part in each.parts],
        }
        for name, each in answers.items()
    ]
    path = folder / "answers.json"
    path.write_text(json.dumps({"seed": strictjson.encode_base64(SEED), "answers": given}))
    found = node("../desk/neighbourhood/answers.mjs", str(path))
    assert found["recipient"] == str(NEIGHBOUR.recipient())
    assert found["token"] == hashlib.sha256(b"doorward neighbour token v1\n" + SEED).hexdigest()
    return found["answers"]


def test_the_neighbours_browser_opens_films_stills_sound_redactions_and_a_cut_film_as_they_were_shared(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path
) -> None:
    house = filmed(gops)
    loud = House((NOW_S - 6000) * 1000, changes=Changes(enrolment=two_owners, manifest=seconded()), epoch=2)
    film, sound = loud.record(DESCRIPTION, gops[0:2], event="a" * 26, poster=False, sound=track(2.0))
    covered = {(film.kind, film.id): (FACE,), (sound.kind, sound.id): (VOICE,)}
    span = film.record.record.span
    told = (ClipClaim(from_ms=span.start_ms, to_ms=span.end_ms, segments=1),)
    card = ContactCard(v=1, name="Mira", note="Ring me")
    answers = {
        "captured": house.disclose(asked, contact=card),
        "with sound": loud.disclose(asked),
        "redacted": loud.disclose(asked, redactions=covered, told=told),
    }
    found = read(tmp_path, requester, asked, answers)
    captured = found["captured"]
    assert [each["kind"] for each in captured["items"]] == [each.kind.value for each in house.stored]
    assert [strictjson.decode_base64(each["media"]) for each in captured["items"]] == [
        each.content for each in house.stored
    ]
    assert captured["contact"] == {"v": 1, "name": "Mira", "note": "Ring me"}
    assert [strictjson.decode_base64(each["media"]) for each in found["with sound"]["items"]] == [
        film.content,
        sound.content,
    ]
    both = found["redacted"]["items"]
    assert [each["redacted"] for each in both] == [True, True]
    assert {strictjson.decode_base64(each["media"]) for each in both}.isdisjoint({film.content, sound.content})
    assert found["redacted"]["told"] == [{"from": span.start_ms, "to": span.end_ms}]


def test_an_answer_with_a_time_that_others_confirmed_and_of_damaged_records_opens_too(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path
) -> None:
    time = TimeProof(
        checkpoint="doorward/0123456789abcdef/time\n1\nAAAA\n\n— doorward/0123456789abcdef/time AAAA\n",
        cosignatures="— witness.example/w1 AAAA\n",
    )
    words = (SecondSignature.COVERED, SecondSignature.NONE, SecondSignature.NONE)
    answers = {
        "with a time": filmed(gops, Changes(manifest=changed(DisclosureManifest, time=time))).disclose(asked),
        "of damaged ones": filmed(
            gops, Changes(manifest=changed(DisclosureManifest, second_signatures=words))
        ).disclose(asked),
    }
    found = read(tmp_path, requester, asked, answers)
    assert [name for name, each in found.items() if "items" not in each] == []


def changed(kind: type[Any], **values: Any) -> Callable[[Any], Any]:
    return lambda honest: msgspec.structs.replace(honest, **values) if isinstance(honest, kind) else honest


def moved(manifest: DisclosureManifest) -> DisclosureManifest:
    path = ("0" * 64, *manifest.ledger.path[1:]) if manifest.ledger.path else ("0" * 64,)
    return msgspec.structs.replace(manifest, ledger=msgspec.structs.replace(manifest.ledger, path=path))


def of_another_entry(manifest: DisclosureManifest) -> DisclosureManifest:
    proof: LedgerProof = msgspec.structs.replace(manifest.ledger, index=manifest.ledger.index + 1)
    return msgspec.structs.replace(manifest, ledger=proof)


def without_second(envelope: bytes) -> bytes:
    said = json.loads(envelope)
    return json.dumps({**said, "signatures": said["signatures"][:1]}).encode()


def flipped_second(envelope: bytes) -> bytes:
    """The second signature under its own key id, with another bit."""
    said = json.loads(envelope)
    signature = bytearray(strictjson.decode_base64(said["signatures"][1]["sig"]))
    signature[0] ^= 1
    said["signatures"][1]["sig"] = strictjson.encode_base64(bytes(signature))
    return json.dumps(said).encode()


def forged_second(envelope: bytes) -> bytes:
    """The honest first signature, and a second one by another key under that key's id."""
    said = json.loads(envelope)
    signed = pae(said["payloadType"], strictjson.decode_base64(said["payload"]))
    said["signatures"][1] = {
        "keyid": MldsaPublicKey.of(MLDSA_STRANGER).id, "sig": strictjson.encode_base64(MLDSA_STRANGER.sign(signed))
    }  # fmt: skip
    return json.dumps(said).encode()


def with_head(change: Callable[[list[str]], list[str]]) -> Callable[[DisclosureManifest], DisclosureManifest]:
    """The checkpoint's lines, changed. The doorbell's keys sign the manifest around it."""

    def lie(honest: DisclosureManifest) -> DisclosureManifest:
        head = "".join(change(honest.ledger.checkpoint.splitlines(keepends=True)))
        return msgspec.structs.replace(honest, ledger=msgspec.structs.replace(honest.ledger, checkpoint=head))

    return lie


def flipped_line(lines: list[str]) -> list[str]:
    data = bytearray(strictjson.decode_base64(lines[5].split()[2]))
    data[-1] ^= 1
    return [*lines[:5], f"— {lines[5].split()[1]} {strictjson.encode_base64(bytes(data))}\n"]


def forged_line(lines: list[str]) -> list[str]:
    """A stranger's signature of this head in the name of the doorbell's key."""
    own = strictjson.decode_base64(lines[5].split()[2])
    message = parse_checkpoint("".join(lines[:3])).mldsa_message
    data = own[:12] + MLDSA_STRANGER.sign(message)
    return [*lines[:5], f"— {lines[5].split()[1]} {strictjson.encode_base64(data)}\n"]


def reworded(change: Callable[[list[str]], list[str] | None]) -> Callable[[bytes], bytes]:
    """Part 0 with other words about second signatures, signed with both keys of the doorbell. None: without them."""

    def lie(honest: bytes) -> bytes:
        said, house = json.loads(honest), House(0)
        members = json.loads(strictjson.decode_base64(said["payload"]))
        words = change(members.pop("second_signatures"))
        members |= {} if words is None else {"second_signatures": words}
        payload = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
        return sign_hybrid(DisclosureManifest.PAYLOAD_TYPE, payload, house.device, house.mldsa)

    return lie


LIES: dict[str, Changes] = {
    "another's manifest": Changes(manifest_key=STRANGER),
    "without an ML-DSA signature": Changes(statements=without_second),
    "an ML-DSA signature with another bit": Changes(statements=flipped_second),
    "another's ML-DSA signature": Changes(manifest_mldsa=MLDSA_STRANGER),
    "another ML-DSA key than the owners signed": Changes(
        manifest_mldsa=MLDSA_STRANGER,
        manifest=changed(
            DisclosureManifest, device_mldsa=strictjson.encode_base64(MldsaPublicKey.of(MLDSA_STRANGER).raw)
        ),
    ),
    "an approval without an ML-DSA signature": Changes(signed_approval=without_second),
    "an approval with another bit in its ML-DSA signature": Changes(signed_approval=flipped_second),
    "an approval by a forger of Ed25519": Changes(signed_approval=forged_second),
    "a list of owners without an ML-DSA signature": Changes(signed_enrolment=without_second),
    "a list of owners by a forger of Ed25519": Changes(signed_enrolment=forged_second),
    "a ledger's head without an ML-DSA signature": Changes(manifest=with_head(lambda lines: lines[:5])),
    "a ledger's head with another bit in its ML-DSA signature": Changes(manifest=with_head(flipped_line)),
    "a ledger's head by a forger of Ed25519": Changes(manifest=with_head(forged_line)),
    "another's approval": Changes(approval_key=STRANGER),
    "another's list of owners": Changes(enrolment_key=STRANGER),
    "another's record": Changes(record_key=STRANGER),
    "for another request": Changes(manifest=changed(DisclosureManifest, request="0" * 64)),
    "approved for another request": Changes(approval=changed(Approval, request="0" * 64)),
    "approved too late": Changes(approval=changed(Approval, owner_time_ms=(NOW_S + 40 * 86_400) * 1000)),
    "of another disclosure": Changes(manifest=changed(DisclosureManifest, disclosure="0" * 32)),
    "without a part": Changes(manifest=lambda honest: msgspec.structs.replace(honest, parts=honest.parts[1:])),
    "without a record": Changes(
        manifest=lambda honest: msgspec.structs.replace(
            honest, records=honest.records[1:], second_signatures=honest.second_signatures[1:]
        )
    ),
    "without words about the second signatures of its records": Changes(statements=reworded(lambda _: None)),
    "with a word too few about them": Changes(statements=reworded(lambda words: words[1:])),
    "with a word too many": Changes(statements=reworded(lambda words: [*words, words[0]])),
    "with an unknown word": Changes(statements=reworded(lambda words: [*words[1:], "yes"])),
    "not in the ledger": Changes(manifest=moved),
    "another place in the ledger": Changes(manifest=of_another_entry),
    "a second epoch first": Changes(enrolment=changed(Enrolment, epoch=2, previous="0" * 64)),
    "another segment's context": Changes(context=lambda honest: msgspec.structs.replace(honest, segment="a" * 26)),
    "another still's context": Changes(poster=lambda honest: msgspec.structs.replace(honest, segment="a" * 26)),
}


def test_an_answer_that_is_changed_in_one_statement_is_refused_in_the_browser(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path
) -> None:
    answers = {name: lying(gops, asked, changes) for name, changes in LIES.items()}
    honest = filmed(gops).disclose(asked)
    answers["honest"] = honest
    answers["signed again"] = lying(gops, asked, Changes(statements=reworded(lambda words: words)))
    for number in range(len(honest.parts)):
        parts = [data[:-1] + bytes([data[-1] ^ 1]) if at == number else data for at, data in enumerate(honest.parts)]
        answers[f"part {number} changed"] = Disclosure(honest.id, honest.device, parts)
    answers["two parts exchanged"] = Disclosure(
        honest.id, honest.device, [honest.parts[0], honest.parts[2], honest.parts[1], *honest.parts[3:]]
    )
    # Another window: the film is older than what was asked about.
    old = House((NOW_S - 40 * 86_400) * 1000)
    old.record(DESCRIPTION, gops[0:3])
    answers["outside of the window"] = old.disclose(asked)
    found = read(tmp_path, requester, asked, answers)
    assert "items" in found.pop("honest")
    assert "items" in found.pop("signed again"), "the words alone are wrong below"
    opened = {name for name, each in found.items() if "refused" not in each}
    assert opened == set()
    assert not any("TypeError" in each["refused"] for each in found.values()), found


def lying(gops: list[Gop], asked: SentRequest, changes: Changes) -> Disclosure:
    house = filmed(gops, changes)
    return house.disclose(asked, [each for each in house.stored if each.kind is not PartKind.SOUND])


def test_an_answer_under_the_name_of_another_doorbell_or_id_is_refused(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path
) -> None:
    honest = {"honest": filmed(gops).disclose(asked)}
    for named in ({"id": "0" * 32}, {"device": "0" * 16}):
        assert "refused" in read(tmp_path, requester, asked, honest, **named)["honest"]
