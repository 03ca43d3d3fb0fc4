"""Evidence of a disclosure: all files that a third party needs to check it again, with or without this program.

    bundle.json        request, checks and receipt, machine-readable, with the verdict
    request.dsse       the signed request                    manifest.dsse    the device's signed list
    approval.dsse      the owner's signed approval           enrolment-*.dsse every list of the device's owners
    co-approval.dsse   a second owner's, if it takes two     ledger-*         the ledger's head, the entry, its proof
    receipt.dsse       the requester's signed receipt, once it exists
    clip-NN-tree.json  a clip the owner named: its records as hashes, with the proof for each one shown
    time/              what others confirmed about the time, and TIME.txt with the commands of `openssl ts -verify`
    records.jsonl      the capture records, word for word    parts/N.age      everything as it was received
                       A file that the owner redacted has its list of redactions in bundle.json, and inside the file
    capture-root.pem   for a validator of ONVIF Media Signing: the certificate to trust for the films' own signatures
    by-hand/           each signature as three files for `openssl`: key, signed bytes, signature
    SHA256SUMS         for `sha256sum -c`

The bundle contains no secret. Give the request's reply.identity separately to a person who must open the sealed parts.
The owner's contact card was for the requester only, so it stays sealed inside the approval.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent import __version__
from agent.clients.requester.capture_signatures import trusted_root
from agent.clients.requester.clips import clips_of
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.grades import grades_of
from agent.clients.requester.identity import Requester
from agent.clients.requester.redaction_list import redaction_documents
from agent.clients.requester.time_files import write_time
from agent.clients.requester.verification import Verification, VerifiedItem
from agent.clients.time_confirmations import time_document
from agent.core.disclosure import VerifiedDisclosure
from agent.core.ledger.merkle import inclusion_proof, leaf_hash, root_of
from agent.core.vault.manifest import PAYLOAD_TYPE as RECORD_TYPE
from agent.platform import files
from agent.wire import envelope, strictjson
from agent.wire.disclosures import DISCLOSURE_ENVELOPE_LIMIT_BYTES, ClipRecords
from agent.wire.envelope import pae
from agent.wire.identities import PublicKey, parse_public_key

__all__ = ["BUNDLE_FILE", "write_bundle"]

BUNDLE_FILE: Final = "bundle.json"
_FORMAT: Final = "doorward-evidence/1"
_BY_HAND: Final = "by-hand"


def write_bundle(folder: Path, requester: Requester, verification: Verification, now_s: int) -> Path:
    """Writes the bundle of `verification` into the new folder `folder`. Raises `StorageError`."""
    files.make_folder(folder)
    answer = requester.answer(verification.disclosure)
    request = answer.request()
    if request is not None:
        files.write(folder / "request.dsse", request)
    if verification.disclosed is not None:
        _write_statements(folder, verification, verification.disclosed)
        _write_by_hand(files.make_folder(folder / _BY_HAND), requester, verification, verification.disclosed)
        write_time(folder, verification.disclosed.manifest.time, answer.time_opening())
        receipt = _receipt(answer, verification)
        if receipt is not None:
            files.write(folder / "receipt.dsse", receipt)
        root = trusted_root((each.capture for each in verification.items), verification.disclosed.manifest.device_key)
        if root is not None:
            files.write(folder / "capture-root.pem", root)
        _copy_parts(answer, files.make_folder(folder / "parts"))
    text = json.dumps(_document(verification, now_s), indent=2, ensure_ascii=False) + "\n"
    files.write(folder / BUNDLE_FILE, text.encode("utf-8"))
    files.write(folder / "SHA256SUMS", "".join(_sums(folder)).encode("utf-8"))
    return folder


def _write_statements(folder: Path, verification: Verification, disclosed: VerifiedDisclosure) -> None:
    manifest = disclosed.manifest
    files.write(folder / "manifest.dsse", verification.statements)
    files.write(folder / "approval.dsse", manifest.approval.encode("utf-8"))
    for number, enrolled in enumerate(manifest.enrolments, start=1):
        files.write(folder / f"enrolment-{number:03}.dsse", enrolled.encode("utf-8"))
    if manifest.co_approval is not None:
        files.write(folder / "co-approval.dsse", manifest.co_approval.encode("utf-8"))
    files.write(folder / "ledger-checkpoint.txt", manifest.ledger.checkpoint.encode("utf-8"))
    files.write(folder / "ledger-proof.json", strictjson.encode(manifest.ledger))
    for number, clip in enumerate(manifest.clips, start=1):
        tree = json.dumps(_tree(clip, disclosed), indent=2) + "\n"
        files.write(folder / f"clip-{number:02}-tree.json", tree.encode("utf-8"))
    files.write(folder / "records.jsonl", "".join(f"{line}\n" for line in manifest.records).encode("utf-8"))


def _tree(clip: ClipRecords, disclosed: VerifiedDisclosure) -> dict[str, Any]:
    """Returns the Merkle tree over the records of a clip, and the proof for each record that was sent (RFC 6962)."""
    leaves = [bytes.fromhex(leaf) for leaf in clip.leaves]
    shown = {leaf_hash(item.captured.line): item for item in disclosed.items}
    return {
        "from_ms": clip.from_ms,
        "to_ms": clip.to_ms,
        "root": root_of(leaves).hex(),
        "leaves": list(clip.leaves),
        "prev_in_clip": clip.prev_in_clip,
        "proofs": [
            {
                "index": index,
                "segment": shown[leaf].part.id,
                "record_sha256": shown[leaf].captured.sha256,
                "path": [node.hex() for node in inclusion_proof(leaves, index)],
            }
            for index, leaf in enumerate(leaves)
            if leaf in shown
        ],
    }


def _write_by_hand(
    folder: Path, requester: Requester, verification: Verification, disclosed: VerifiedDisclosure
) -> None:
    """Writes files for `openssl pkeyutl -verify -pubin -inkey K.pem -rawin -in S.signed -sigfile S.signature`, for each
    signature."""
    owner = _approver_key(disclosed, disclosed.approver)
    keys = {"device": disclosed.manifest.device_key, "owner": owner, "requester": requester.key}
    if disclosed.co_approver is not None:
        keys["second-owner"] = _approver_key(disclosed, disclosed.co_approver)
    for name, key in keys.items():
        files.write(folder / f"{name}.pem", _pem(key))
    answer = requester.answer(verification.disclosure)
    signed = {
        "request": answer.request(),
        "manifest": verification.statements,
        "approval": disclosed.manifest.approval.encode("utf-8"),
        "receipt": _receipt(answer, verification),
        "co_approval": disclosed.manifest.co_approval and disclosed.manifest.co_approval.encode("utf-8"),
    }
    for name, data in signed.items():
        if data:
            claimed = envelope.read_unverified(data, limit_bytes=DISCLOSURE_ENVELOPE_LIMIT_BYTES)
            files.write(folder / f"{name}.signed", pae(claimed.payload_type, claimed.payload))
            files.write(folder / f"{name}.signature", claimed.signature)
    for number, each in enumerate({item.captured.line: item.captured for item in disclosed.items}.values(), start=1):
        files.write(folder / f"record-{number:03}.signed", pae(RECORD_TYPE, each.payload))
        files.write(folder / f"record-{number:03}.signature", each.signature)


def _receipt(answer: AnswerFolder, verification: Verification) -> bytes | None:
    """Returns our signed receipt if it is for the whole of this disclosure."""
    return answer.receipt() if verification.receipt is not None else None


def _approver_key(disclosed: VerifiedDisclosure, name: str) -> PublicKey:
    named = {approver.name: approver.key for approver in disclosed.enrolment.approvers}
    return parse_public_key(named[name])


def _pem(key: PublicKey) -> bytes:
    return Ed25519PublicKey.from_public_bytes(key.raw).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _copy_parts(answer: AnswerFolder, folder: Path) -> None:
    for number in sorted(answer.sealed()):
        answer.copy_part(number, folder / f"{number}.age")


def _sums(folder: Path) -> Iterator[str]:
    for path in files.below(folder):
        with files.storage_errors(path), path.open("rb") as file:
            yield f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder)}\n"


# The document


def _document(verification: Verification, now_s: int) -> dict[str, Any]:
    failed = verification.failed
    request = verification.request
    document: dict[str, Any] = {
        "format": _FORMAT,
        "made_by": f"doorward {__version__}",
        "made_s": now_s,
        "verdict": {"ok": verification.ok, "failed": failed.kind.name.lower() if failed else None},
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
        "request": json.loads(strictjson.encode(request)) if request else None,
        "request_sha256": verification.request_sha256 or None,
    }
    if verification.disclosed is not None:
        document |= _received(verification, verification.disclosed)
    return document


def _received(verification: Verification, disclosed: VerifiedDisclosure) -> dict[str, Any]:
    grades = grades_of(verification)
    return {
        "device": {"id": disclosed.manifest.device_key.id, "key": disclosed.manifest.device},
        "time": time_document(verification.time),
        "door": {"seen_s": verification.door.seen_s, "stolen_since_s": verification.door.stolen_since_s},
        "approval": {
            "name": disclosed.approver,
            "key": _approver_key(disclosed, disclosed.approver).text,
            "owner_time_ms": disclosed.approval.owner_time_ms,
            "sha256": hashlib.sha256(disclosed.manifest.approval.encode()).hexdigest(),
        },
        "co_approval": disclosed.co_approver
        and {
            "name": disclosed.co_approver,
            "key": _approver_key(disclosed, disclosed.co_approver).text,
        },
        "shared": {
            "segments": grades.segments,
            "posters": grades.posters,
            "sounds": grades.sounds,
            "clips_told": len(grades.told),
        },
        "receipt": verification.receipt
        and {
            "time_s": verification.receipt.time_s,
            "retention_days": verification.receipt.retention_days,
        },
        "unopened": [
            {"id": each.item.part.id, "kind": each.item.part.kind.value, "part": each.number, "why": each.unopened}
            for each in verification.unopened
        ],
        "clips_told": [
            {"from_ms": clip.from_ms, "to_ms": clip.to_ms, "segments": clip.segments, "shared": clip.shared}
            for clip in grades.told
        ],
        "clips": [
            {
                "number": clip.number,
                "event": clip.event,
                "mp4": f"clips/clip-{clip.number:02}.mp4" if clip.segments else None,
                "segments": [
                    _item(each.verified)
                    | {"mp4": f"segments/segment-{each.number:03}.mp4"}
                    | ({"sound": _item(each.sound)} if each.sound is not None else {})
                    for each in clip.segments
                ],
                "poster": _item(clip.poster) if clip.poster else None,
                "continuity": clip.continuity and clip.continuity.name.lower(),
            }
            for clip in clips_of(verification)
        ],
    }


def _item(verified: VerifiedItem) -> dict[str, Any]:
    item = verified.item
    return {
        "id": item.part.id,
        "part": f"parts/{verified.number}.age",
        "sha256_part": item.part.sha256,
        "sha256_header": item.approved.header_sha256,
        "sha256_payload": item.approved.sent_payload_sha256,
        "sha256_opened": verified.opened_sha256,
        "opened_bytes": verified.opened_bytes,
        "record_sequence": item.captured.sequence,
        "record_sha256": item.captured.sha256,
        "witnessed": verified.witnessed,
        "start_ms": verified.span.start_ms,
        "end_ms": verified.span.end_ms,
        "clock": item.record.quality.value,
        **_redaction(verified),
        **_capture(verified),
    }


def _capture(verified: VerifiedItem) -> dict[str, Any]:
    """Returns the result of a film's capture signatures. Empty for other files, and films without any."""
    report = verified.capture
    if report is None:
        return {}
    found = [{"gop": each.gop, "fault": each.fault.value} for each in report.findings]
    return {"capture": {"signed": report.signed, "unsigned_slices": report.unsigned, "findings": found}}


def _redaction(verified: VerifiedItem) -> dict[str, Any]:
    """Returns the owner's list for a redacted file, and the hash of its original. Empty for a file as captured."""
    if not verified.redactions:
        return {}
    return {
        "redactions": redaction_documents(verified),
        "sha256_original_payload": verified.item.approved.payload_sha256,
    }
