"""Verification: an honest disclosure holds, and a lie in any field is found by the check it belongs to."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clients.requester import messages
from agent.clients.requester.disclosure_folder import AnswerFolder, DisclosureOrigin
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.sealed_parts import FolderParts
from agent.clients.requester.verification import CheckKind, CheckOutcome, Verification, examine
from agent.core.ledger.checkpoint import open_checkpoint
from agent.core.ledger.merkle import root_of
from agent.core.media import Gop
from agent.core.timebase import ClockQuality
from agent.core.vault.fields import segment_id
from agent.core.vault.segment import Content
from agent.wire import envelope, strictjson
from agent.wire.disclosures import ContactCard, PartKind, Receipt, ReceiptState, SecondSignature
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed, public_key_of
from agent.wire.statements import ClipClaim
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, filmed, question
from tests.clients.requester.house import Changes, Disclosure, House

STRANGER = private_key_from_seed(b"s" * 32)
MLDSA_STRANGER = mldsa_key_from_seed(b"s" * 32)
OTHER_SHA = "5e" * 32


def lay_down(requester: Requester, asked: SentRequest, disclosure: Disclosure) -> AnswerFolder:
    """Put a disclosure on the disk as the receiver would."""
    folder = requester.answer(disclosure.id)
    size = disclosure.sizes[0]
    folder.create(
        DisclosureOrigin(
            v=1,
            device=disclosure.device,
            parts=len(disclosure.parts),
            size_bytes=size.size_bytes,
            sha256=size.sha256,
        )
    )
    for number, part in enumerate(disclosure.parts):
        path = folder.path / f"{number}.age"
        path.write_bytes(part)
        if not isinstance(requester._parts, FolderParts):
            requester._parts.put(disclosure.id, number, path)
    folder.adopt(asked.envelope)
    requester.answers.ended(disclosure.id)
    return folder


def verified(requester: Requester, asked: SentRequest, disclosure: Disclosure) -> Verification:
    lay_down(requester, asked, disclosure)
    return examine(requester, disclosure.id)


def test_an_honest_disclosure_holds_in_every_check(requester: Requester, asked: SentRequest, house: House) -> None:
    verification = verified(requester, asked, house.disclose(asked))
    assert verification.failed is None
    assert verification.ok
    assert [check.kind for check in verification.checks] == list(CheckKind)
    assert (len(verification.segments), len(verification.posters)) == (3, 2)
    assert verification.request == asked.request


def test_each_check_of_an_honest_disclosure_says_what_it_saw_with_the_hash_to_compare(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    verification = verified(requester, asked, house.disclose(asked))
    assert all(check.said for check in verification.checks)
    proofs = {proof.value for check in verification.checks for proof in check.proofs}
    assert public_key_of(house.device).text in proofs
    assert public_key_of(house.owner).text in proofs
    assert {hashlib.sha256(each.content).hexdigest() for each in house.stored} <= proofs


def test_an_owner_may_share_a_picture_alone(requester: Requester, asked: SentRequest, house: House) -> None:
    poster = next(each for each in house.stored if each.kind is PartKind.POSTER)
    verification = verified(requester, asked, house.disclose(asked, [poster]))
    assert verification.ok
    assert (len(verification.segments), len(verification.posters)) == (0, 1)


def test_owners_of_a_later_epoch_count_when_each_list_was_signed_by_an_owner_of_the_one_before(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    assert verified(requester, asked, filmed(gops, epoch=3).disclose(asked)).ok
    wrong = filmed(gops, Changes(enrolment_key=STRANGER), epoch=3)
    failed = verified(requester, asked, wrong.disclose(asked)).failed
    assert failed is not None
    assert failed.kind is CheckKind.OWNERS


# -- lies ----------------------------------------------------------------------------------------------------------


def later(value: object, **changes: object) -> object:
    return msgspec.structs.replace(value, **changes)  # type: ignore[type-var]


def with_records(manifest: Any, records: tuple[str, ...]) -> object:
    return later(manifest, records=records, second_signatures=(SecondSignature.COVERED,) * len(records))


def of_part(**changes: object) -> Callable[[object], object]:
    """Changes the first part in the manifest."""
    return lambda manifest: later(manifest, parts=(later(manifest.parts[0], **changes), *manifest.parts[1:]))  # type: ignore[attr-defined]


def of_item(**changes: object) -> Callable[[object], object]:
    """Changes the first segment in the approval."""
    return lambda said: later(said, segments=(later(said.segments[0], **changes), *said.segments[1:]))  # type: ignore[attr-defined]


def of_span(**changes: object) -> Callable[[object], object]:
    return lambda value: later(value, span=later(value.span, **changes))  # type: ignore[attr-defined]


LIES: dict[str, tuple[Changes, CheckKind, str]] = {
    "part 0 sealed to somebody else": (
        Changes(reply=lambda _: str(House(0, name="elsewhere").identity.recipient())),
        CheckKind.SEALED,
        "cannot be opened",
    ),
    "the manifest signed by a stranger": (Changes(manifest_key=STRANGER), CheckKind.DEVICE, "No trusted key"),
    "the manifest without an ML-DSA signature": (
        Changes(
            statements=lambda data: json.dumps(
                {**(said := json.loads(data)), "signatures": said["signatures"][:1]}
            ).encode()
        ),
        CheckKind.DEVICE,
        "ML-DSA-44 signature is missing",
    ),
    "the manifest with a stranger's ML-DSA signature": (
        Changes(manifest_mldsa=MLDSA_STRANGER),
        CheckKind.DEVICE,
        "ML-DSA-44 signature does not verify",
    ),
    "another ML-DSA key than the owners signed": (
        Changes(
            manifest_mldsa=MLDSA_STRANGER,
            manifest=lambda m: later(m, device_mldsa=strictjson.encode_base64(MldsaPublicKey.of(MLDSA_STRANGER).raw)),
        ),
        CheckKind.OWNERS,
        "signed another ML-DSA-44 key",
    ),
    "the manifest changed after signing": (
        Changes(statements=lambda data: data.replace(b'"payload":"eyJ', b'"payload":"eyK')),
        CheckKind.DEVICE,
        "",
    ),
    "the manifest cut off": (Changes(statements=lambda data: data[:-1]), CheckKind.DEVICE, "not JSON"),
    "the manifest of another disclosure": (
        Changes(manifest=lambda m: later(m, disclosure="0d" * 16)),
        CheckKind.DEVICE,
        "names another disclosure",
    ),
    "an answer to another request": (
        Changes(manifest=lambda m: later(m, request=OTHER_SHA)),
        CheckKind.ANSWERS,
        "another request",
    ),
    "owners of another device": (
        Changes(enrolment=lambda e: later(e, device=public_key_of(STRANGER).text)),
        CheckKind.OWNERS,
        "another device",
    ),
    "a first list of owners signed by none of them": (
        Changes(enrolment_key=STRANGER),
        CheckKind.OWNERS,
        "No trusted key",
    ),
    "an approval where the list of owners should be": (
        Changes(manifest=lambda m: later(m, enrolments=(m.approval,))),
        CheckKind.OWNERS,
        "does not say who",
    ),
    "an approval by a stranger": (Changes(approval_key=STRANGER), CheckKind.APPROVAL, "No trusted key"),
    "an approval by the device itself": (
        Changes(approval_key=House(0).device),
        CheckKind.APPROVAL,
        "No trusted key",
    ),
    "an approval for another device": (
        Changes(approval=lambda a: later(a, device=public_key_of(STRANGER).text)),
        CheckKind.APPROVAL,
        "another device",
    ),
    "an approval for another request": (
        Changes(approval=lambda a: later(a, request=OTHER_SHA)),
        CheckKind.APPROVAL,
        "another request",
    ),
    "an approval for another reply key": (
        Changes(approval=lambda a: later(a, reply=str(House(0, name="elsewhere").identity.recipient()))),
        CheckKind.APPROVAL,
        "another request",
    ),
    "an approval at another place of the ledger": (
        Changes(manifest=lambda m: later(m, ledger=later(m.ledger, index=m.ledger.index + 1))),
        CheckKind.LEDGER,
        "",
    ),
    "more than was approved": (
        Changes(approval=lambda a: later(a, posters=a.posters[1:])),
        CheckKind.RECORDS,
        "exactly what the owner approved",
    ),
    "less than was approved": (
        Changes(manifest=lambda m: later(m, parts=m.parts[:-1])),
        CheckKind.RECORDS,
        "exactly what the owner approved",
    ),
    "a record missing": (
        Changes(manifest=lambda m: with_records(m, m.records[:-1])),
        CheckKind.RECORDS,
        "record of segment .* is missing",
    ),
    "a record twice": (
        Changes(manifest=lambda m: with_records(m, (*m.records, m.records[0]))),
        CheckKind.RECORDS,
        "the same record twice",
    ),
    "records by a stranger": (Changes(record_key=STRANGER), CheckKind.RECORDS, "No trusted key"),
    "another payload approved than recorded": (
        Changes(approval=of_item(payload_sha256=OTHER_SHA)),
        CheckKind.RECORDS,
        "not the one that was signed at capture",
    ),
    "another payload recorded than approved": (
        Changes(record=lambda r: later(r, file=later(r.file, sha256_payload=OTHER_SHA))),
        CheckKind.RECORDS,
        "not the one that was signed at capture",
    ),
    "a segment outside the window": (
        Changes(record=of_span(utc_ms=(NOW_S - 9000) * 1000)),
        CheckKind.WINDOW,
        "outside the requested window",
    ),
    "a part announced with another hash": (
        Changes(manifest=of_part(sha256=OTHER_SHA)),
        CheckKind.PARTS,
        "not the one the device announced",
    ),
    "a part announced with another length": (
        Changes(manifest=of_part(size_bytes=7)),
        CheckKind.PARTS,
        "not the one the device announced",
    ),
    "another header than approved": (
        Changes(approval=of_item(header_sha256=OTHER_SHA)),
        CheckKind.PARTS,
        "not the one the owner approved",
    ),
    "a context of another device": (
        Changes(context=lambda c: later(c, device="00" * 8)),
        CheckKind.FOOTAGE,
        "differs from the record signed",
    ),
    "a context of another segment": (
        Changes(context=lambda c: later(c, segment="a" * 25 + "a")),
        CheckKind.FOOTAGE,
        "differs from the record signed",
    ),
    "a context of another event": (
        Changes(context=lambda c: later(c, event="a" * 25 + "a")),
        CheckKind.FOOTAGE,
        "differs from the record signed",
    ),
    "a context with another number": (
        Changes(context=lambda c: later(c, ordinal=99)),
        CheckKind.FOOTAGE,
        "differs from the record signed",
    ),
    "a context of another minute": (
        Changes(context=of_span(utc_ms=(NOW_S - 5000) * 1000)),
        CheckKind.FOOTAGE,
        "differs from the record signed",
    ),
    "a context with a better clock": (
        Changes(record=of_span(quality=ClockQuality.UNKNOWN)),
        CheckKind.FOOTAGE,
        "differs from the record signed",
    ),
    "a context that names another length": (
        Changes(context=lambda c: later(c, media_bytes=7)),
        CheckKind.FOOTAGE,
        "length of this segment.s media differs",
    ),
    "a context of another kind": (
        Changes(context=lambda c: later(c, kind=Content.SOUND)),
        CheckKind.FOOTAGE,
        "differs from the record signed",
    ),
    "a record that commits to another key": (
        Changes(record=lambda r: later(r, key=OTHER_SHA)),
        CheckKind.FOOTAGE,
        "opens with another key",
    ),
    "a record that commits to another key of the still": (
        Changes(record=lambda r: later(r, poster=r.poster and later(r.poster, key=OTHER_SHA))),
        CheckKind.FOOTAGE,
        "opens with another key",
    ),
    "a still of another segment": (
        Changes(poster=lambda c: later(c, segment=segment_id(bytes(16)))),
        CheckKind.FOOTAGE,
        "poster of segment .* differs from the record signed",
    ),
    "a still of another minute": (
        Changes(poster=lambda c: later(c, span=later(c.span, utc_ms=c.span.utc_ms - 60_000))),
        CheckKind.FOOTAGE,
        "poster of segment .* differs from the record signed",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_found_by_its_check(lie: str, requester: Requester, asked: SentRequest, gops: list[Gop]) -> None:
    changes, kind, words = LIES[lie]
    verification = verified(requester, asked, filmed(gops, changes).disclose(asked))
    assert not verification.ok
    failed = verification.failed
    assert failed is not None
    assert failed.kind is kind, failed.said
    assert failed.said
    assert re.search(words, failed.said), failed.said


def test_after_the_first_failure_nothing_is_looked_at_and_nothing_is_believed(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = filmed(gops, Changes(approval_key=STRANGER))
    verification = verified(requester, asked, house.disclose(asked))
    outcomes = [check.outcome for check in verification.checks]
    at = outcomes.index(CheckOutcome.FAILED)
    assert outcomes == [CheckOutcome.PASSED] * at + [CheckOutcome.FAILED] + [CheckOutcome.NOT_REACHED] * (
        len(CheckKind) - 1 - at
    )
    assert (verification.disclosed, verification.items, verification.contact) == (None, (), None)
    assert verification.statements == b""


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("where", ["first", "middle", "last", "cut", "longer"])
def test_a_changed_byte_in_any_part_is_found(
    number: int, where: str, requester: Requester, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    folder = lay_down(requester, asked, disclosure)
    data = bytearray(disclosure.parts[number])
    match where:
        case "first":
            data[0] ^= 1
        case "middle":
            data[len(data) // 2] ^= 1
        case "last":
            data[-1] ^= 1
        case "cut":
            data.pop()
        case _:
            data.append(0)
    (folder.path / f"{number}.age").write_bytes(data)
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert failed.kind is (CheckKind.PARTS if number else CheckKind.ARRIVED)


def test_two_parts_that_changed_places_are_found(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    disclosure.parts[1], disclosure.parts[3] = disclosure.parts[3], disclosure.parts[1]
    failed = verified(requester, asked, disclosure).failed
    assert failed is not None
    assert failed.kind is CheckKind.PARTS


def test_a_missing_part_is_named_as_not_arrived(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    (lay_down(requester, asked, disclosure).path / "4.age").unlink()
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert (failed.kind, failed.said) == (CheckKind.ARRIVED, "1 of 6 parts have not arrived.")


def test_parts_that_nobody_announced_are_found(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    (lay_down(requester, asked, disclosure).path / "6.age").write_bytes(disclosure.parts[1])
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert failed.kind is CheckKind.PARTS


def test_an_answer_to_one_request_is_none_to_another(requester: Requester, asked: SentRequest, house: House) -> None:
    other = requester.sent_request(messages.make_request(requester, question(case="2027-0115"), now_s=NOW_S).id)
    failed = verified(requester, other, house.disclose(asked)).failed
    assert failed is not None
    assert failed.kind is CheckKind.SEALED


def test_a_request_kept_beside_the_disclosure_must_be_the_signed_one(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    folder = lay_down(requester, asked, disclosure)
    folder.adopt(asked.envelope + b" ")
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert failed.kind is CheckKind.ARRIVED


def test_a_disclosure_that_was_never_received_is_an_answer_and_no_crash(requester: Requester) -> None:
    failed = examine(requester, secrets.token_hex(16)).failed
    assert failed is not None
    assert failed.kind is CheckKind.ARRIVED


@pytest.mark.parametrize("damage", ["missing", "empty", "another"])
def test_without_its_reply_identity_nothing_opens(
    damage: str, requester: Requester, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    path = requester.folder / "requests" / asked.request.id / "reply.identity"
    if damage == "missing":
        path.unlink()
    else:
        path.write_text("" if damage == "empty" else House(0, name="elsewhere").identity.secret_text())
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert failed.kind is CheckKind.SEALED


# -- what owners may add, what power cuts leave ------------------------------------------------------------------------


def test_what_the_owner_says_about_themselves_is_opened(requester: Requester, asked: SentRequest, house: House) -> None:
    card = ContactCard(v=1, name="M. Jansen", street="Prinsengracht 12")
    assert verified(requester, asked, house.disclose(asked, contact=card)).contact == card


def test_an_unreadable_card_spoils_nothing_and_shows_nothing(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = filmed(gops, Changes(approval=lambda a: later(a, contact="AAAA")))
    verification = verified(requester, asked, house.disclose(asked))
    assert verification.ok
    assert verification.contact is None


def test_a_segment_cut_off_by_a_power_failure_opens_to_its_last_whole_second(
    requester: Requester, asked: SentRequest, house: House, gops: list[Gop]
) -> None:
    last = house.record(DESCRIPTION, gops, poster=False)[0]
    house.power_cut(last, len(last.data) * 2 // 3)
    verification = verified(requester, asked, house.disclose(asked, [last_of(house, last.id)]))
    assert verification.failed is None
    (segment,) = verification.segments
    assert not segment.witnessed
    assert segment.context is None
    assert 0 < segment.opened_bytes < len(last.content)
    footage = next(check for check in verification.checks if check.kind is CheckKind.FOOTAGE)
    assert "interrupted by a power failure" in footage.said


def test_a_whole_segment_recovered_after_a_crash_verifies_with_its_own_word_for_the_end(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    whole = house.stored[3]
    house.power_cut(whole, len(whole.data))
    verification = verified(requester, asked, house.disclose(asked, [last_of(house, whole.id)]))
    assert verification.failed is None
    assert not verification.segments[0].witnessed
    assert verification.segments[0].context is not None


def test_a_segment_that_only_lacked_its_name_is_held_against_what_it_says_of_itself(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    whole = house.stored[3]
    house.power_cut(whole, len(whole.data), named=False)
    verification = verified(requester, asked, house.disclose(asked, [last_of(house, whole.id)]))
    assert verification.failed is None
    assert verification.segments[0].context is not None


def test_a_segment_that_only_lacked_its_name_cannot_be_given_another_time(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    whole = house.stored[3]
    house.power_cut(whole, len(whole.data), named=False, later_us=1_000_000)
    verification = verified(requester, asked, house.disclose(asked, [last_of(house, whole.id)]))
    assert verification.failed is not None
    assert verification.failed.kind is CheckKind.FOOTAGE


def last_of(house: House, segment: str) -> object:
    return next(each for each in house.stored if each.id == segment and each.kind is PartKind.SEGMENT)


def test_verifying_needs_no_network_and_writes_nothing(
    requester: Requester, asked: SentRequest, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)

    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr("socket.socket.connect", refuse)
    before = {path: path.stat().st_mtime_ns for path in sorted(requester.folder.rglob("*"))}
    assert examine(requester, disclosure.id).ok
    assert {path: path.stat().st_mtime_ns for path in sorted(Path(requester.folder).rglob("*"))} == before


def test_a_verification_is_a_value(requester: Requester, asked: SentRequest, house: House) -> None:
    verification = verified(requester, asked, house.disclose(asked))
    with pytest.raises(dataclasses.FrozenInstanceError):
        verification.items = ()  # type: ignore[misc]


def test_more_files_that_do_not_open_than_a_receipt_can_list_are_no_disclosure(
    requester: Requester, asked: SentRequest, gops: list[Gop], monkeypatch: pytest.MonkeyPatch
) -> None:
    films = iter([False, True, False])
    house = filmed(gops, Changes(media=lambda film: b"\0\0\0\x08free" if next(films) else film))
    disclosure = house.disclose(asked)
    assert verified(requester, asked, disclosure).ok
    assert len(examine(requester, disclosure.id).unopened) == 1
    monkeypatch.setattr("agent.clients.requester.verification.MOST_UNOPENED_RANGES", 0)
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert (failed.kind, "more than a receipt can list" in failed.said) == (CheckKind.FOOTAGE, True)


def test_a_receipt_counts_only_if_we_signed_it_for_the_whole_of_this_disclosure(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    folder = lay_down(requester, asked, disclosure)
    honest = {
        "v": 1, "request": asked.request.id, "requester": requester.id, "trust_root": asked.request.trust_root,
        "disclosure": disclosure.id, "seq": 1, "state": ReceiptState.COMPLETE, "manifest": disclosure.sizes[0].sha256,
    }  # fmt: skip

    def shown(key: Ed25519PrivateKey | None = None, **changes: object) -> Receipt | None:
        receipt = Receipt(**{**honest, **changes})  # type: ignore[arg-type]
        data = strictjson.encode(receipt)
        signed = (
            envelope.sign(Receipt.PAYLOAD_TYPE, data, key) if key else requester.sign(Receipt.PAYLOAD_TYPE, receipt)
        )
        (folder.path / "receipt.dsse").write_bytes(signed)
        return examine(requester, disclosure.id).receipt

    assert shown() == Receipt(**honest)  # type: ignore[arg-type]
    assert shown(STRANGER) is None
    assert shown(disclosure="0d" * 16) is None
    assert shown(request="0d" * 16) is None
    assert shown(manifest=OTHER_SHA) is None
    assert shown(state=ReceiptState.REFUSED, manifest=disclosure.sizes[0].sha256) is None


def test_each_check_of_an_honest_disclosure_says_this_and_shows_these_values(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    verification = verified(requester, asked, disclosure)
    disclosed = verification.disclosed
    assert disclosed is not None
    manifest, items = disclosed.manifest, verification.items
    checkpoint = open_checkpoint(manifest.ledger.checkpoint.encode(), manifest.device_keys)

    def sha(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    names = {PartKind.SEGMENT: "Video", PartKind.POSTER: "Picture"}
    assert [(check.kind, check.said, [(p.label, p.value) for p in check.proofs]) for check in verification.checks] == [
        (
            CheckKind.ARRIVED,
            "All 6 parts are here.",
            [("Part 0 as received (SHA-256)", disclosure.sizes[0].sha256)],
        ),
        (
            CheckKind.SEALED,
            "It opens with the key that was made for this request only.",
            [("Reply key (SHA-256 of its text)", sha(asked.request.reply))],
        ),
        (
            CheckKind.DEVICE,
            f"Device {house.device_id} signed the list of all files with two keys: Ed25519, and ML-DSA-44, which is "
            "made to withstand quantum computers.",
            [
                ("Device's public key", public_key_of(house.device).text),
                ("Device's ML-DSA-44 key (SHA-256)", MldsaPublicKey.of(house.mldsa).sha256),
                ("Signed list (SHA-256)", hashlib.sha256(verification.statements).hexdigest()),
            ],
        ),
        (
            CheckKind.ANSWERS,
            f"The signed list names request {asked.request.id} by the hash of its signed bytes.",
            [("Request (SHA-256)", asked.payload_sha256)],
        ),
        (
            CheckKind.OWNERS,
            "The device names “mira” as its owners (list no. 1). This doorbell was first seen with this answer: only "
            "its own key vouches for its first list, and a thief with that key could name other owners.",
            [("List of owners no. 1 (SHA-256 of the statement)", sha(manifest.enrolments[0]))],
        ),
        (
            CheckKind.APPROVAL,
            "“mira”, an owner in that list, signed the approval. It names this request, this reply key and each file.",
            [
                ("Owner's public key", public_key_of(house.owner).text),
                ("Approval (SHA-256 of the statement)", sha(manifest.approval)),
            ],
        ),
        (
            CheckKind.LEDGER,
            f"Entry no. {manifest.ledger.index} of a ledger is this approval: an inclusion proof leads to its head, "
            "which the device signed. To find out if the owner has this ledger, compare its head with theirs.",
            [("Ledger's head (SHA-256 root)", checkpoint.root.hex()), ("Ledger's size", str(checkpoint.size))],
        ),
        (
            CheckKind.RECORDS,
            "3 capture records, each signed by the device on its own. When it answered, the device checked "
            "that ML-DSA-44 signatures of its list of records cover each.",
            [("Capture record (SHA-256 of its line)", sha(line)) for line in manifest.records],
        ),
        (CheckKind.WINDOW, "Every segment overlaps the requested window, by the device's clock.", []),
        (
            CheckKind.PARTS,
            "5 files: length and hash as the device announced, new header as the owner made it, sealed content as it "
            "was recorded.",
            [
                (f"Part {number}, {each.item.part.kind.value} {each.item.part.id} (SHA-256)", size.sha256)
                for number, (each, size) in enumerate(zip(items, disclosure.sizes[1:], strict=True), start=1)
            ],
        ),
        (
            CheckKind.FOOTAGE,
            "Each file opens with the key that the device committed to at capture, and its own context is what the "
            "device signed then.",
            [
                (
                    f"{names[each.item.part.kind]} {each.item.part.id} (SHA-256)",
                    hashlib.sha256(
                        next(
                            s.content
                            for s in house.stored
                            if (s.kind, s.id) == (each.item.part.kind, each.item.part.id)
                        )
                    ).hexdigest(),
                )
                for each in items
            ],
        ),
    ]
    assert [each.number for each in items] == [1, 2, 3, 4, 5]
    assert [each.opened_bytes for each in items] == [
        next(len(s.content) for s in house.stored if (s.kind, s.id) == (each.item.part.kind, each.item.part.id))
        for each in items
    ]


def test_one_file_and_one_record_are_counted_in_the_singular_and_an_interrupted_file_is_named(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    cut = house.power_cut(house.stored[0], len(house.stored[0].data) - 1)
    verification = verified(requester, asked, house.disclose(asked, [cut]))
    said = {check.kind: check.said for check in verification.checks}
    assert verification.ok
    assert said[CheckKind.RECORDS] == (
        "1 capture record, each signed by the device on its own. When it answered, the device checked that "
        "ML-DSA-44 signatures of its list of records cover each."
    )
    assert said[CheckKind.PARTS].startswith("1 file: ")
    assert said[CheckKind.FOOTAGE].endswith(
        " 1 file had been interrupted by a power failure. The device signed their sealed bytes after the restart."
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("covered", "covered", "none"),
            "Records without an ML-DSA-44 signature of the device's list of records, because it has a fault there: 1. "
            "When it answered, the device checked that ML-DSA-44 signatures of its list of records cover each of the "
            "others.",
        ),
        (
            ("none", "none", "none"),
            "Records without an ML-DSA-44 signature of the device's list of records, because it has a fault there: 3.",
        ),
    ],
    ids=["one with a fault", "all with one"],
)
def test_the_check_of_the_records_says_which_second_signatures_cover(
    requester: Requester, asked: SentRequest, gops: list[Gop], words: tuple[str, ...], said: str
) -> None:
    second = tuple(map(SecondSignature, words))
    house = filmed(gops, Changes(manifest=lambda m: later(m, second_signatures=second)))
    verification = verified(requester, asked, house.disclose(asked))
    assert verification.ok
    check = next(each for each in verification.checks if each.kind is CheckKind.RECORDS)
    assert check.said == f"3 capture records, each signed by the device on its own. {said}"


@pytest.mark.parametrize("signed", [True, False])
def test_of_clips_that_an_owner_named_the_check_says_what_fixes_their_order_and_shows_each_root(
    requester: Requester, asked: SentRequest, house: House, signed: bool
) -> None:
    spans = [each.record.record.span for each in house.stored if each.kind is PartKind.SEGMENT]
    more = 0 if signed else 1
    clips = (
        ClipClaim(from_ms=spans[0].start_ms, to_ms=spans[1].end_ms, segments=2),
        ClipClaim(from_ms=spans[2].start_ms, to_ms=spans[2].end_ms, segments=1 + more),
    )
    verification = verified(requester, asked, house.disclose(asked, house.stored[:1], told=clips))
    assert verification.ok, verification.failed
    check = next(each for each in verification.checks if each.kind is CheckKind.RECORDS)
    order = (
        " The signature of each shown record, made at capture, fixes all records before it."
        if signed
        else " For some, the order was not signed at capture. Their order and the number of hidden records are the "
        "device's statement when it answered."
    )
    assert check.said == (
        "1 capture record, each signed by the device on its own. When it answered, the device checked that "
        "ML-DSA-44 signatures of its list of records cover each. For each clip that the owner named, hidden records "
        "appear as hashes in a Merkle tree (RFC 6962), and shown records are among them." + order
    )
    assert verification.disclosed is not None
    manifest = verification.disclosed.manifest
    assert [(proof.label, proof.value) for proof in check.proofs] == [
        *(
            (
                f"Records of clip {number} that the owner named (Merkle root)",
                root_of(bytes.fromhex(leaf) for leaf in clip.leaves).hex(),
            )
            for number, clip in enumerate(manifest.clips, start=1)
        ),
        ("Capture record (SHA-256 of its line)", hashlib.sha256(manifest.records[0].encode()).hexdigest()),
    ]
    assert len(manifest.clips) == 2
