"""If sharing takes two owners, a requester verifies both, names both, and can have both checked by hand."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.clients.opening import HybridIdentity
from agent.clients.requester.checks import CheckKind
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.verification import Verification, examine
from agent.core.media import Gop
from agent.errors import ConfigurationError
from agent.wire import envelope, strictjson
from agent.wire.disclosures import DisclosureManifest, ReceiptState
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.messages import Withdrawal
from agent.wire.statements import CoApproval, Enrolment, NamedKey, NamedRecipient, read_statement, sign_statement
from tests.clients.requester.conftest import NOW_S, filmed
from tests.clients.requester.house import Changes, House
from tests.clients.requester.test_known_doorbells import said_by
from tests.clients.requester.test_verification import lay_down, verified
from tests.wire import samples

BEN = private_key_from_seed(b"b" * 32)
STRANGER = private_key_from_seed(b"s" * 32)


def two_owners(enrolment: Enrolment) -> Enrolment:
    ben = NamedRecipient(name="ben", recipient=str(HybridIdentity(b"b" * 32).recipient()))
    return msgspec.structs.replace(
        enrolment,
        recipients=(ben, *enrolment.recipients),
        approvers=(NamedKey.of("ben", BEN), *enrolment.approvers),
        approvals_needed=2,
    )


def seconded(key: Any = BEN, **changes: Any) -> Callable[[DisclosureManifest], DisclosureManifest]:
    """The manifest with the second owner's approval in it."""

    def add(manifest: DisclosureManifest) -> DisclosureManifest:
        first = read_statement(manifest.approval.encode()).payload
        values: dict[str, Any] = {
            "v": 1,
            "device": manifest.device,
            "owner_time_ms": (NOW_S - 60) * 1000,
            "nonce": "0f" * 16,
            "request": manifest.request,
            "approval": hashlib.sha256(first).hexdigest(),
        }
        second = CoApproval(**{**values, **changes})
        signed = sign_statement(CoApproval.PAYLOAD_TYPE, strictjson.encode(second), key or mira())
        return msgspec.structs.replace(manifest, co_approval=signed.decode())

    return add


def mira() -> Any:
    return House(0).owner


def shared(requester: Requester, asked: SentRequest, gops: list[Gop], changes: Changes) -> Verification:
    return verified(requester, asked, filmed(gops, changes).disclose(asked))


def test_both_owners_are_named_with_what_they_signed(requester: Requester, asked: SentRequest, gops: list[Gop]) -> None:
    verification = shared(requester, asked, gops, Changes(enrolment=two_owners, manifest=seconded()))
    assert verification.ok, verification.failed
    said = said_by(verification, CheckKind.APPROVAL)
    assert "“mira”, an owner in that list, signed the approval" in said
    assert "It takes two owners: “ben” signed that they approve the same." in said
    assert verification.disclosed is not None
    assert (verification.disclosed.approver, verification.disclosed.co_approver) == ("mira", "ben")
    second = verification.disclosed.manifest.co_approval
    assert second is not None
    (check,) = [each for each in verification.checks if each.kind is CheckKind.APPROVAL]
    shown = {proof.label: proof.value for proof in check.proofs}
    sha256 = hashlib.sha256(second.encode()).hexdigest()
    assert shown["Second owner's approval (SHA-256 of the statement)"] == sha256


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (Changes(enrolment=two_owners), "lacks the second owner's approval"),
        (Changes(manifest=seconded()), "where none is needed"),
        (Changes(enrolment=two_owners, manifest=seconded(STRANGER)), "No trusted key"),
        (Changes(enrolment=two_owners, manifest=seconded(None)), "No trusted key"),
        (Changes(enrolment=two_owners, manifest=seconded(approval=samples.SHA)), "for other items"),
        (Changes(enrolment=two_owners, manifest=seconded(request=samples.SHA)), "for other items"),
        (Changes(enrolment=two_owners, manifest=seconded(device=samples.ROOT_KEY.ed25519.text)), "for other items"),
    ],
    ids=[
        "missing",
        "too many",
        "a stranger",
        "the same owner",
        "another approval",
        "another request",
        "another device",
    ],
)
def test_without_the_second_owners_yes_to_the_same_it_does_not_verify(
    requester: Requester, asked: SentRequest, gops: list[Gop], changes: Changes, why: str
) -> None:
    failed = shared(requester, asked, gops, changes).failed
    assert failed is not None
    assert (failed.kind, why in failed.said) == (CheckKind.APPROVAL, True), failed.said


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_second_owners_signature_is_in_the_bundle_and_repeats_by_hand(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    disclosure = filmed(gops, Changes(enrolment=two_owners, manifest=seconded())).disclose(asked)
    lay_down(requester, asked, disclosure)
    made = open_disclosure(requester, disclosure.id, now_s=NOW_S)
    assert made.verification.disclosed is not None
    second = made.verification.disclosed.manifest.co_approval
    assert second is not None
    assert (made.bundle / "co-approval.dsse").read_text() == second
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-in", "co_approval.signed"]
    for key, verifies in (("second-owner", True), ("owner", False)):
        again = [*command, "-inkey", f"{key}.pem", "-sigfile", "co_approval.signature"]
        done = subprocess.run(again, cwd=made.bundle / "by-hand", capture_output=True, check=False)
        assert (done.returncode == 0) is verifies


def test_the_bundle_says_to_machines_who_approved_what_and_how_it_was_checked(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    disclosure = filmed(gops, Changes(enrolment=two_owners, manifest=seconded())).disclose(asked)
    lay_down(requester, asked, disclosure)
    made = open_disclosure(requester, disclosure.id, now_s=NOW_S)
    document = json.loads((made.bundle / "bundle.json").read_text())
    found = made.verification.disclosed
    assert found is not None
    assert (document["made_s"], document["disclosure"]) == (NOW_S, disclosure.id)
    assert document["request_sha256"] == asked.payload_sha256
    assert document["device"] == {"id": disclosure.device, "key": found.manifest.device}
    assert document["door"] == {"seen_s": None, "stolen_since_s": None}
    assert document["approval"] == {
        "name": "mira",
        "key": public_key_of(mira()).text,
        "owner_time_ms": found.approval.owner_time_ms,
        "sha256": hashlib.sha256(found.manifest.approval.encode()).hexdigest(),
    }
    assert document["co_approval"] == {"name": "ben", "key": public_key_of(BEN).text}
    assert document["shared"] == {"segments": 3, "posters": 2, "sounds": 0, "clips_told": 0}
    assert (document["receipt"], document["unopened"], document["clips_told"]) == (None, [], [])
    assert [each["check"] for each in document["checks"]] == [kind.name.lower() for kind in CheckKind]
    for shown, check in zip(document["checks"], made.verification.checks, strict=True):
        assert (shown["title"], shown["outcome"], shown["said"]) == (check.kind.value, "holds", check.said)
        assert [(each["label"], each["value"]) for each in shown["proofs"]] == [
            (proof.label, proof.value) for proof in check.proofs
        ]


def test_the_bundle_says_of_each_file_what_it_was_approved_recorded_and_opened_as(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    made = open_disclosure(requester, disclosure.id, now_s=NOW_S)
    document = json.loads((made.bundle / "bundle.json").read_text())
    clips = document["clips"]
    assert [set(clip) for clip in clips] == [{"number", "event", "mp4", "segments", "poster", "continuity"}] * 2
    items = [each for clip in clips for each in (*clip["segments"], clip["poster"])]
    verified_by_part = {each.number: each for each in (*made.verification.segments, *made.verification.posters)}
    assert len(items) == len(verified_by_part) == 5
    for item in items:
        seen = verified_by_part[int(item["part"].removeprefix("parts/").removesuffix(".age"))]
        captured = seen.item.captured
        item.pop("mp4", None)
        assert item == {
            "id": seen.item.part.id,
            "part": f"parts/{seen.number}.age",
            "sha256_part": hashlib.sha256(disclosure.parts[seen.number]).hexdigest(),
            "sha256_header": seen.item.approved.header_sha256,
            "sha256_payload": seen.item.approved.payload_sha256,
            "sha256_opened": seen.opened_sha256,
            "opened_bytes": seen.opened_bytes,
            "record_sequence": captured.sequence,
            "record_sha256": captured.sha256,
            "second_signature": "covered",
            "witnessed": seen.witnessed,
            "start_ms": seen.span.start_ms,
            "end_ms": seen.span.end_ms,
            "clock": "synced",
        }


def test_where_one_owner_is_enough_the_bundle_has_no_second(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    made = open_disclosure(requester, disclosure.id, now_s=NOW_S)
    names = {path.name for path in made.bundle.rglob("*")}
    assert "approval.dsse" in names
    assert not {"co-approval.dsse", "second-owner.pem", "co_approval.signed"} & names


# -- what has not arrived as it should ---------------------------------------------------------------------------------


def test_what_was_refused_when_it_arrived_says_so(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = house.disclose(asked)
    folder = lay_down(requester, asked, disclosure)
    (folder.path / "request.dsse").unlink()
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert "request that this disclosure answers is still unknown" in failed.said
    folder.end(ReceiptState.REFUSED, "It is larger than this machine takes.")
    failed = examine(requester, disclosure.id).failed
    assert failed is not None
    assert "was refused when it arrived" in failed.said


def test_a_receipt_that_we_did_not_sign_or_that_is_none_proves_nothing(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    disclosure = house.disclose(asked)
    folder = lay_down(requester, asked, disclosure)
    origin = folder.origin()
    assert origin is not None
    receipt = samples.EVERY_MESSAGE["receipt-complete"]
    complete = msgspec.structs.replace(
        receipt, disclosure=disclosure.id, request=asked.request.id, requester=requester.id, manifest=origin.sha256
    )
    kind = type(complete).PAYLOAD_TYPE
    folder.keep_receipt(requester.sign(kind, complete))
    assert examine(requester, disclosure.id).receipt == complete
    withdrawal = samples.EVERY_MESSAGE["withdrawal"]
    for data in (
        envelope.sign(kind, strictjson.encode(complete), STRANGER),
        requester.sign(kind, withdrawal),
        requester.sign(Withdrawal.PAYLOAD_TYPE, complete),
    ):
        (folder.path / "receipt.dsse").write_bytes(data)
        verification = examine(requester, disclosure.id)
        assert verification.ok
        assert verification.receipt is None


def test_an_answer_has_an_id_and_no_path(requester: Requester) -> None:
    with pytest.raises(ConfigurationError, match="is not the id of a disclosure"):
        AnswerFolder(requester.folder, "../../elsewhere")
