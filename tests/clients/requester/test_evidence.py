"""A bundle of evidence holds the request, each statement and each file, and names them in one document."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from agent import __version__
from agent.clients.requester.checks import Verification
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.evidence import BUNDLE_FILE, write_bundle
from agent.clients.requester.identity import Requester, SentRequest
from agent.core.ledger.merkle import inclusion_proof, leaf_hash, root_of
from agent.core.media import Gop
from agent.core.vault.age.header import split
from agent.wire import strictjson
from agent.wire.disclosures import PartKind
from agent.wire.identities import approval_mldsa_key, public_key_of
from agent.wire.statements import ClipClaim
from tests import signing_camera
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, filmed
from tests.clients.requester.full_answer import DOOR, FACE, VOICE, FullAnswer
from tests.clients.requester.house import Changes, House
from tests.clients.requester.test_two_owners import BEN
from tests.clients.requester.test_verification import STRANGER, verified


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def written(folder: Path) -> dict[str, bytes]:
    """Each file below `folder`, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def document_of(requester: Requester, verification: Verification, folder: Path) -> Any:
    return json.loads((write_bundle(folder, requester, verification, NOW_S) / BUNDLE_FILE).read_text())


def test_a_bundle_has_the_request_as_it_was_signed_and_a_sum_of_every_file(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    answer = house.disclose(asked)
    verification = verified(requester, asked, answer)
    AnswerFolder(requester.folder, answer.id).adopt(asked.envelope)
    folder = write_bundle(tmp_path / "bundle", requester, verification, NOW_S)
    assert (folder / "request.dsse").read_bytes() == asked.envelope
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert set(sums) == set(there) - {"SHA256SUMS", "SHA256SUMS.signature"}
    assert all(sha256(there[name].read_bytes()) == said for name, said in sums.items())


def test_the_document_names_each_clip_with_its_poster_and_its_films(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    verification = verified(requester, asked, house.disclose(asked))
    folder = write_bundle(tmp_path / "bundle", requester, verification, NOW_S)
    clips = json.loads((folder / BUNDLE_FILE).read_text())["clips"]
    posters = [each.id for each in house.stored if each.kind is PartKind.POSTER]
    assert [clip["poster"]["id"] for clip in clips] == posters
    assert [clip["mp4"] for clip in clips] == ["clips/clip-01.mp4", "clips/clip-02.mp4"]
    assert [segment["mp4"] for clip in clips for segment in clip["segments"]] == [
        f"segments/segment-{number:03}.mp4" for number in (1, 2, 3)
    ]


# -- the document as a whole -------------------------------------------------------------------------------------------


def part_in_words(answer: FullAnswer, number: int, **more: Any) -> dict[str, Any]:
    """Returns the document's entry for a part: from the bytes as sent, and from the record as the device signed it."""
    stored, sent, seen = answer.shared[number - 1], answer.sent.parts[number], answer.verification.items[number - 1]
    span = stored.record.record.span
    return {
        "id": stored.id,
        "part": f"parts/{number}.age",
        "sha256_part": sha256(sent),
        "sha256_header": sha256(sent[: split(sent)]),
        "sha256_payload": sha256(sent[split(sent) :]),
        "sha256_opened": seen.opened_sha256,
        "opened_bytes": seen.opened_bytes,
        "record_sequence": {1: 0, 2: 0, 3: 2, 4: 3, 5: 3, 6: 5}[number],
        "record_sha256": sha256(stored.record.line),
        "second_signature": "covered",
        "witnessed": True,
        "start_ms": span.start_ms,
        "end_ms": span.end_ms,
        "clock": "synced",
        **more,
    }


def what_every_document_says(asked: SentRequest, verification: Verification) -> dict[str, Any]:
    return {
        "format": "doorward-evidence/1",
        "made_by": f"doorward {__version__}",
        "made_s": NOW_S,
        "verdict": {"ok": True, "failed": None},
        "checks": [
            {
                "check": check.kind.name.lower(),
                "title": check.kind.value,
                "outcome": check.outcome.value,
                "said": check.said,
                "proofs": [{"label": proof.label, "value": proof.value} for proof in check.proofs],
            }
            for check in verification.checks
        ],
        "disclosure": verification.disclosure,
        "request": json.loads(strictjson.encode(asked.request)),
        "request_sha256": asked.payload_sha256,
    }


def test_the_document_of_a_full_answer_is_this_as_a_whole(full: FullAnswer, tmp_path: Path) -> None:
    assert full.verification.disclosed is not None
    house, manifest = full.house, full.verification.disclosed.manifest
    spans = [each.record.record.span for each in full.shared]
    document = document_of(full.requester, full.verification, tmp_path / "bundle")
    assert document == {
        **what_every_document_says(full.asked, full.verification),
        "device": {"id": house.device_id, "key": public_key_of(house.device).text},
        "time": {
            "from_s": None,
            "until_s": None,
            "by": [],
            "said": "No witness: the dates are those of the device and its owners.",
        },
        "door": {"seen_s": DOOR.seen_s, "stolen_since_s": DOOR.stolen_since_s},
        "approval": {
            "name": "mira",
            "key": public_key_of(house.owner).text,
            "owner_time_ms": house.start_ms + 3_600_000,
            "sha256": sha256(manifest.approval.encode()),
        },
        "co_approval": {"name": "ben", "key": public_key_of(BEN).text},
        "shared": {"segments": 3, "posters": 1, "sounds": 1, "clips_told": 2},
        "receipt": {"time_s": NOW_S - 1, "retention_days": 90},
        "unopened": [
            {"id": full.shared[3].id, "kind": "segment", "part": 4, "why": full.verification.items[3].unopened}
        ],
        "clips_told": [
            {"from_ms": spans[0].start_ms, "to_ms": spans[2].end_ms, "segments": 3, "shared": 2},
            {"from_ms": spans[3].start_ms, "to_ms": spans[3].end_ms, "segments": 1, "shared": 1},
        ],
        "clips": [
            {
                "number": 1,
                "event": "a" * 26,
                "mp4": "clips/clip-01.mp4",
                "segments": [
                    part_in_words(
                        full,
                        1,
                        mp4="segments/segment-001.mp4",
                        redactions=[json.loads(strictjson.encode(FACE))],
                        sha256_original_payload=full.shared[0].sealed.sha256_payload,
                        sound=part_in_words(
                            full,
                            2,
                            redactions=[json.loads(strictjson.encode(VOICE))],
                            sha256_original_payload=full.shared[1].sealed.sha256_payload,
                        ),
                    ),
                    part_in_words(full, 3, mp4="segments/segment-002.mp4"),
                ],
                "poster": None,
                "continuity": "broken",
            },
            {
                "number": 2,
                "event": "e" * 26,
                "mp4": None,
                "segments": [],
                "poster": part_in_words(full, 5),
                "continuity": None,
            },
            {
                "number": 3,
                "event": "i" * 26,
                "mp4": "clips/clip-03.mp4",
                "segments": [part_in_words(full, 6, mp4="segments/segment-003.mp4", witnessed=False, clock="unknown")],
                "poster": None,
                "continuity": None,
            },
        ],
    }
    assert document["unopened"][0]["why"]


def test_the_document_of_an_answer_without_files_says_who_approved_that_and_which_clip_exists(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    at_ms = asked.request.from_s * 1000
    clip = ClipClaim(from_ms=at_ms, to_ms=at_ms + 20_000, segments=4)
    verification = verified(requester, asked, house.disclose(asked, [], told=(clip,)))
    assert verification.disclosed is not None
    assert document_of(requester, verification, tmp_path / "bundle") == {
        **what_every_document_says(asked, verification),
        "device": {"id": house.device_id, "key": public_key_of(house.device).text},
        "time": {
            "from_s": None,
            "until_s": None,
            "by": [],
            "said": "No witness: the dates are those of the device and its owners.",
        },
        "door": {"seen_s": None, "stolen_since_s": None},
        "approval": {
            "name": "mira",
            "key": public_key_of(house.owner).text,
            "owner_time_ms": house.start_ms + 3_600_000,
            "sha256": sha256(verification.disclosed.manifest.approval.encode()),
        },
        "co_approval": None,
        "shared": {"segments": 0, "posters": 0, "sounds": 0, "clips_told": 1},
        "receipt": None,
        "unopened": [],
        "clips_told": [{"from_ms": at_ms, "to_ms": at_ms + 20_000, "segments": 4, "shared": 0}],
        "clips": [],
    }


def test_the_document_of_an_answer_that_does_not_verify_names_the_check_and_nothing_of_the_answer(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path
) -> None:
    verification = verified(requester, asked, filmed(gops, Changes(approval_key=STRANGER)).disclose(asked))
    said = what_every_document_says(asked, verification) | {"verdict": {"ok": False, "failed": "approval"}}
    assert document_of(requester, verification, tmp_path / "bundle") == said
    unasked = dataclasses.replace(verification, request=None, request_sha256="")
    said |= {"request": None, "request_sha256": None}
    assert document_of(requester, unasked, tmp_path / "unasked") == said


def test_the_document_is_text_that_a_person_can_read(full: FullAnswer, tmp_path: Path) -> None:
    text = (write_bundle(tmp_path / "bundle", full.requester, full.verification, NOW_S) / BUNDLE_FILE).read_text()
    assert text.startswith('{\n  "format": "doorward-evidence/1",\n')
    assert text.endswith("\n}\n")
    assert "“mira”, an owner in that list" in text


# -- the files ---------------------------------------------------------------------------------------------------------


def test_the_bundle_of_a_full_answer_holds_these_files_word_for_word_and_no_other(
    full: FullAnswer, tmp_path: Path
) -> None:
    assert full.verification.disclosed is not None
    manifest = full.verification.disclosed.manifest
    receipt = full.answer.receipt()
    assert receipt is not None
    assert manifest.co_approval is not None
    files = written(write_bundle(tmp_path / "bundle", full.requester, full.verification, NOW_S))
    by_hand = {name for name in files if name.startswith("by-hand/")}
    trees = {"clip-01-tree.json", "clip-02-tree.json"}
    written_again = {BUNDLE_FILE, "VERIFY.txt", "SHA256SUMS", "SHA256SUMS.signature"}
    assert {name: data for name, data in files.items() if name not in by_hand | trees | written_again} == {
        "request.dsse": full.asked.envelope,
        "manifest.dsse": full.verification.statements,
        "approval.dsse": manifest.approval.encode(),
        "enrolment-001.dsse": manifest.enrolments[0].encode(),
        "enrolment-002.dsse": manifest.enrolments[1].encode(),
        "co-approval.dsse": manifest.co_approval.encode(),
        "receipt.dsse": receipt,
        "ledger-checkpoint.txt": manifest.ledger.checkpoint.encode(),
        "ledger-proof.json": strictjson.encode(manifest.ledger),
        "records.jsonl": b"".join(line.encode() + b"\n" for line in manifest.records),
        **{f"parts/{number}.age": data for number, data in enumerate(full.sent.parts)},
        "redactions-001.json": b"[%b]" % strictjson.encode(FACE),
        "redactions-002.json": b"[%b]" % strictjson.encode(VOICE),
    }
    assert files["SHA256SUMS"].decode() == "".join(
        f"{sha256(files[name])}  {name}\n" for name in sorted(files, key=Path) if not name.startswith("SHA256SUMS")
    )
    assert full.requester.key.verifies(files["SHA256SUMS.signature"], files["SHA256SUMS"])
    assert trees < files.keys()


def test_a_bundle_of_films_that_their_camera_signed_says_whose_signatures_are_in_them(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path
) -> None:
    """The doorbell's key signed the record of each film, and no message in it."""
    films = iter(
        film
        for part in (gops[0:3], gops[3:5], gops[8:11])
        for film in signing_camera.recorded(DESCRIPTION, part, after=0, in_segment=len(part))
    )
    house = filmed(gops, Changes(media=lambda _unsigned: next(films)))
    verification = verified(requester, asked, house.disclose(asked))
    folder = write_bundle(tmp_path / "bundle", requester, verification, NOW_S)
    assert (folder / "camera-01.pem").read_bytes() == signing_camera.CHAIN
    assert not (folder / "camera-02.pem").exists()
    assert not (folder / "capture-root.pem").exists(), "it would make a reader look for the doorbell's signatures"
    own = x509.load_pem_x509_certificate(signing_camera.CHAIN).fingerprint(hashes.SHA256())
    segments = [
        segment["capture"]
        for clip in json.loads((folder / BUNDLE_FILE).read_text())["clips"]
        for segment in clip["segments"]
    ]
    assert segments == [
        {"by": "camera", "name": signing_camera.MAKER, "serial": signing_camera.SERIAL,
         "certificate_sha256": own.hex(), "signed": count - 1, "unsigned_slices": pictures, "findings": []}
        for count, pictures in ((3, 10), (2, 10), (3, 10))
    ]  # fmt: skip
    text = (folder / "VERIFY.txt").read_text()
    assert "The signatures of the camera inside the films" in text
    assert "capture-root.pem" not in text
    command = next(line.strip() for line in text.splitlines() if line.startswith("    openssl x509 -in camera-01.pem"))
    assert command.endswith(f"-noout -fingerprint -sha256 | grep -q '={own.hex(':').upper()}$' && echo same")
    if shutil.which("openssl"):
        assert subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True).stdout == b"same\n"
        (folder / "camera-01.pem").write_bytes(signing_camera.ROOT)
        assert subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True).stdout == b""
    said = next(check.said for check in verification.checks if "signatures" in check.said and "camera" in check.said)
    assert "by the camera, and none by this device" in said


def test_the_tree_of_a_clip_proves_each_film_that_was_shown_and_shows_no_other(
    full: FullAnswer, tmp_path: Path
) -> None:
    folder = write_bundle(tmp_path / "bundle", full.requester, full.verification, NOW_S)
    first, third, closed = full.shared[0], full.shared[2], full.shared[3]
    leaves = [leaf_hash(each.record.line) for each in (first, full.hidden, third)]
    text = (folder / "clip-01-tree.json").read_text()
    assert text.startswith('{\n  "from_ms": ')
    assert text.endswith("\n}\n")
    assert json.loads(text) == {
        "from_ms": full.told[0].from_ms,
        "to_ms": full.told[0].to_ms,
        "root": root_of(leaves).hex(),
        "leaves": [leaf.hex() for leaf in leaves],
        "prev_in_clip": "00" * 32,
        "proofs": [
            {
                "index": index,
                "segment": film.id,
                "record_sha256": sha256(film.record.line),
                "path": [node.hex() for node in inclusion_proof(leaves, index)],
            }
            for index, film in ((0, first), (2, third))
        ],
    }
    alone = leaf_hash(closed.record.line)
    assert json.loads((folder / "clip-02-tree.json").read_text()) == {
        "from_ms": full.told[1].from_ms,
        "to_ms": full.told[1].to_ms,
        "root": root_of([alone]).hex(),
        "leaves": [alone.hex()],
        "prev_in_clip": "00" * 32,
        "proofs": [{"index": 0, "segment": closed.id, "record_sha256": sha256(closed.record.line), "path": []}],
    }


@pytest.mark.parametrize("named", [True, False])
def test_films_left_out_are_counted_if_the_owner_named_the_clip_and_otherwise_nothing_is_said(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path, named: bool
) -> None:
    house = House((NOW_S - 6000) * 1000)
    films = [house.record(DESCRIPTION, gops[at : at + 2], event="a" * 26, poster=False)[0] for at in (0, 2, 4, 6, 8)]
    first, last = (films[at].record.record.span for at in (0, -1))
    told = (ClipClaim(from_ms=first.start_ms, to_ms=last.end_ms, segments=5),) if named else ()
    verification = verified(requester, asked, house.disclose(asked, [films[0], films[3], films[4]], told=told))
    folder = write_bundle(tmp_path / "bundle", requester, verification, NOW_S)
    found = {path.name: path.read_bytes() for path in (folder / "by-hand").glob("record-*.[bl]*")}
    left_out = {f"record-002.left-out-{at:02}": leaf_hash(films[at].record.line) for at in (1, 2)}
    assert {*found} == {"record-003.before", *(("record-002.before", *left_out) if named else ())}
    assert not named or found == {**found, **left_out, "record-002.before": bytes(32)}
    assert (folder / "VERIFY.txt").read_text().count('"prev_in_clip":') == 1 + named


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def test_each_signature_stands_beside_its_bytes_and_verifies_with_the_key_of_its_signer(
    full: FullAnswer, tmp_path: Path
) -> None:
    folder = write_bundle(tmp_path / "bundle", full.requester, full.verification, NOW_S) / "by-hand"
    signers = {
        "request": "requester",
        "receipt": "requester",
        "manifest": "device",
        "approval": "owner",
        "co_approval": "second-owner",
        "checkpoint": "device",
        "enrolment-001": "enrolment-001",
        "enrolment-002": "enrolment-002",
        **{f"record-{number:03}": "device" for number in range(1, 5)},
    }
    keys = {path.stem: load_pem_public_key(path.read_bytes()) for path in folder.glob("*.pem")}
    assert {name: key.public_bytes_raw() for name, key in keys.items() if isinstance(key, Ed25519PublicKey)} == {
        "device": public_bytes(full.house.device),
        "owner": public_bytes(full.house.owner),
        "second-owner": public_bytes(BEN),
        "requester": full.requester.key.raw,
        "enrolment-001": public_bytes(full.house.owner),
        "enrolment-002": public_bytes(full.house.owner),
    }
    signed_twice = ("manifest", "approval", "co_approval", "checkpoint", "enrolment-001", "enrolment-002")
    files = {path.name for path in folder.iterdir()}
    assert files == {f"{name}.{end}" for name in signers for end in ("signed", "signature")} | {
        f"{name}.pem" for name in keys
    } | {"ledger-entry", "ledger-node-01", "ledger-node-02", "checkpoint.mldsa-signed"} | {
        f"{name}.mldsa-signature" for name in signed_twice
    } | {"record-002.before", "record-002.left-out-01"}
    assert (folder / "record-002.before").read_bytes() == bytes(32), "record-001 is the first one of its clip"
    assert (folder / "record-002.left-out-01").read_bytes() == leaf_hash(full.hidden.record.line)
    for name, signer in signers.items():
        key = keys[signer]
        assert isinstance(key, Ed25519PublicKey)
        key.verify((folder / f"{name}.signature").read_bytes(), (folder / f"{name}.signed").read_bytes())
    seconds = {"device": full.house.mldsa, "second-owner": approval_mldsa_key(BEN)}
    for name in signed_twice:
        second = keys[f"{signers[name]}-mldsa"]
        assert isinstance(second, MLDSA44PublicKey)
        expected = seconds.get(signers[name]) or approval_mldsa_key(full.house.owner)
        assert second.public_bytes_raw() == expected.public_key().public_bytes_raw()
        # ML-DSA-44 signs a binary form of the ledger's head (c2sp.org/tlog-cosignature).
        said = folder / ("checkpoint.mldsa-signed" if name == "checkpoint" else f"{name}.signed")
        second.verify((folder / f"{name}.mldsa-signature").read_bytes(), said.read_bytes())
    assert strictjson.encode(full.asked.request) in (folder / "request.signed").read_bytes()
    lines = [(folder / f"record-{number:03}.signed").read_bytes() for number in range(1, 5)]
    records = list({each.record.line: each.record for each in full.shared}.values())
    assert [record.record.id.encode() in line for record, line in zip(records, lines, strict=True)] == [True] * 4


def test_a_receipt_that_does_not_verify_stays_out_of_the_bundle_and_so_does_one_that_is_not_there(
    full: FullAnswer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"receipt.dsse", "by-hand/receipt.signed", "by-hand/receipt.signature"}
    unsigned = dataclasses.replace(full.verification, receipt=None)
    assert not files & written(write_bundle(tmp_path / "unsigned", full.requester, unsigned, NOW_S)).keys()
    monkeypatch.setattr(AnswerFolder, "receipt", lambda _: None)
    assert not files & written(write_bundle(tmp_path / "lost", full.requester, full.verification, NOW_S)).keys()


def test_without_a_readable_request_the_bundle_holds_none(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path
) -> None:
    verification = verified(requester, asked, filmed(gops, Changes(approval_key=STRANGER)).disclose(asked))
    folder = write_bundle(tmp_path / "refused", requester, verification, NOW_S)
    assert set(written(folder)) == {BUNDLE_FILE, "SHA256SUMS", "request.dsse"}
    (AnswerFolder(requester.folder, verification.disclosure).path / "request.dsse").unlink()
    assert set(written(write_bundle(tmp_path / "unasked", requester, verification, NOW_S))) == {
        BUNDLE_FILE,
        "SHA256SUMS",
    }
