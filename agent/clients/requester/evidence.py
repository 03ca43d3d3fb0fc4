"""Evidence of a disclosure: all files that a third party needs to check it again, with or without this program.

    VERIFY.txt         the commands of each check, for a person who has `openssl` and `age` and nothing of ours
    bundle.json        request, checks and receipt, machine-readable, with the verdict
    request.dsse       the signed request                    manifest.dsse    the device's signed list
    approval.dsse      the owner's signed approval           enrolment-*.dsse every list of the device's owners
    co-approval.dsse   a second owner's, if it takes two     ledger-*         the ledger's head, the entry, its proof
    receipt.dsse       the requester's signed receipt, once it exists
    clip-NN-tree.json  a clip the owner named: its records as hashes, with the proof for each one shown
    time/              what others confirmed about the time, and TIME.txt with the commands of `openssl ts -verify`
    records.jsonl      the capture records, word for word    parts/N.age      everything as it was received
                       A file that the owner redacted has its list of redactions in bundle.json, and inside the file
    redactions-NNN.json the owner's list in part NNN, as it stands in the film
    capture-root.pem   for a validator of ONVIF Media Signing: the certificate to trust for the films' own signatures
    capture-key.pem    the certificate of the key inside the films, issued by that one
    camera-NN.pem      if a network camera signed its stream: the certificates that it sent in the films
    by-hand/           each signature as three files for `openssl` (`by_hand`)
    FILES.sha256       for `sha256sum -c`: films, stills and report beside this folder
    SHA256SUMS         for `sha256sum -c`: this folder. SHA256SUMS.signature is by the requester's key

The bundle contains no secret. Give the request's reply.identity separately to a person who must open the sealed parts.
The owner's contact card was for the requester only, so it stays sealed inside the approval.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from agent import __version__
from agent.clients.requester.by_hand import BY_HAND, ByHand, approver_key, write_by_hand
from agent.clients.requester.capture_signatures import capture_certificate, trusted_root
from agent.clients.requester.clips import clips_of
from agent.clients.requester.content_credentials import FOLDER
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.grades import grades_of
from agent.clients.requester.identity import Requester
from agent.clients.requester.redaction_list import redaction_documents, redactions_as_sent
from agent.clients.requester.time_files import write_time
from agent.clients.requester.verification import Verification, VerifiedItem
from agent.clients.requester.verify_text import SUMS, VERIFY_FILE, EvidenceFiles, verify_text
from agent.clients.time_confirmations import time_document
from agent.core.disclosure import VerifiedDisclosure
from agent.core.ledger.checkpoint import open_checkpoint
from agent.core.ledger.merkle import inclusion_proof, leaf_hash, root_of
from agent.core.vault.age.header import split
from agent.errors import DoorwardError
from agent.media.capture_signature import CaptureReport
from agent.platform import files
from agent.wire import strictjson
from agent.wire.disclosures import ClipRecords
from agent.wire.identities import PublicKey

__all__ = ["BUNDLE_FILE", "write_bundle"]

BUNDLE_FILE: Final = "bundle.json"
_FORMAT: Final = "doorward-evidence/1"
_BESIDE: Final = "FILES.sha256"


def write_bundle(
    folder: Path, requester: Requester, verification: Verification, now_s: int, *, beside: Sequence[Path] = ()
) -> Path:
    """Writes the bundle of `verification` into the new folder `folder`. Raises `StorageError`.

    `beside`: files next to the folder, or below its parent, that the sums name: films, stills and the report. If the
    requester's key cannot sign now, for example because it is locked, the sums are unsigned.
    """
    files.make_folder(folder)
    answer = requester.answer(verification.disclosure)
    request = answer.request()
    if request is not None:
        files.write(folder / "request.dsse", request)
    evidence = None
    if verification.disclosed is not None:
        evidence = _write_disclosed(folder, requester, verification, verification.disclosed, beside)
    text = json.dumps(_document(verification, now_s), indent=2, ensure_ascii=False) + "\n"
    files.write(folder / BUNDLE_FILE, text.encode("utf-8"))
    if evidence is None:
        _write_sums(folder)
        return folder
    files.write(folder / VERIFY_FILE, verify_text(verification, evidence).encode("utf-8"))
    try:
        # The sums are made last, because they name all other files.
        signature = requester.sign_sums(_write_sums(folder))
    except DoorwardError:  # what has arrived can be shown without the key
        unsigned = verify_text(verification, replace(evidence, signed=False))
        files.write(folder / VERIFY_FILE, unsigned.encode("utf-8"))
        _write_sums(folder)
    else:
        files.write(folder / f"{SUMS}.signature", signature)
    return folder


def _write_sums(folder: Path) -> bytes:
    """Writes SHA256SUMS over all other files, and returns it."""
    sums = "".join(_sums(folder, [path for path in files.below(folder) if path.name != SUMS])).encode("utf-8")
    files.write(folder / SUMS, sums)
    return sums


def _write_disclosed(
    folder: Path,
    requester: Requester,
    verification: Verification,
    disclosed: VerifiedDisclosure,
    beside: Sequence[Path],
) -> EvidenceFiles:
    """Writes all files of the statements, and returns what the text about them needs."""
    answer, manifest = requester.answer(verification.disclosure), disclosed.manifest
    _write_statements(folder, verification, disclosed)
    envelopes = {
        "request": answer.request(),
        "manifest": verification.statements,
        "approval": manifest.approval.encode("utf-8"),
        "co_approval": manifest.co_approval and manifest.co_approval.encode("utf-8"),
        "receipt": _receipt(answer, verification),
    }
    there = {name: data for name, data in envelopes.items() if data}
    hand = write_by_hand(files.make_folder(folder / BY_HAND), requester.key, there, disclosed)
    ledger = open_checkpoint(manifest.ledger.checkpoint.encode(), manifest.device_keys)
    times = write_time(folder, manifest.device_keys, ledger, manifest.time, answer.time_openings())
    if "receipt" in there:
        files.write(folder / "receipt.dsse", there["receipt"])
    capture = _write_capture(folder, verification, manifest.device_key)
    cameras = _write_cameras(folder, verification)
    _copy_parts(answer, files.make_folder(folder / "parts"))
    for item in verification.redacted:
        files.write(folder / f"redactions-{item.number:03}.json", redactions_as_sent(item))
    if beside:
        files.write(folder / _BESIDE, "".join(_sums(folder, beside)).encode("utf-8"))
    return EvidenceFiles(
        hand,
        {each.number: _header_bytes(folder / "parts" / f"{each.number}.age") for each in verification.items},
        dict(_films(verification)) if beside else {},
        tuple(item.number for item in verification.redacted),
        _lines_told(hand, disclosed),
        beside=bool(beside),
        capture=capture,
        cameras=cameras,
        times=times,
        credentials=tuple(f"../{FOLDER}/{path.name}" for path in sorted(beside) if _has_credentials(path)),
    )


def _has_credentials(path: Path) -> bool:
    return path.parent.name == FOLDER and path.suffix != ".txt"


def _write_capture(folder: Path, verification: Verification, device: PublicKey) -> bool:
    """Writes the certificates of the films' own signatures. Returns False if no film has any."""
    found = [each.capture for each in verification.items]
    root, leaf = trusted_root(found, device), capture_certificate(found)
    if root is None or leaf is None:
        return False
    files.write(folder / "capture-root.pem", root)
    files.write(folder / "capture-key.pem", leaf)
    return True


def _write_cameras(folder: Path, verification: Verification) -> dict[str, str]:
    """Writes the certificates of cameras that signed their streams. Returns the hash of each file's first one."""
    chains = {each.camera.chain: each.camera.sha256 for each in verification.items if each.camera is not None}
    named = {f"camera-{number:02}.pem": each for number, each in enumerate(chains.items(), start=1)}
    for name, (chain, _) in named.items():
        files.write(folder / name, chain)
    return {name: sha256 for name, (_, sha256) in named.items()}


def _films(verification: Verification) -> Iterator[tuple[int, str]]:
    """Yields each part that opens, and the path of its film, sound or still from this folder."""
    for clip in clips_of(verification):
        for each in clip.segments:
            yield each.verified.number, f"../segments/segment-{each.number:03}.mp4"
            if each.sound is not None:
                yield each.sound.number, f"../sounds/segment-{each.number:03}-sound.mp4"
        if clip.poster is not None:
            yield clip.poster.number, f"../pictures/clip-{clip.number:02}.jpg"


def _lines_told(hand: ByHand, disclosed: VerifiedDisclosure) -> dict[str, int]:
    """Returns the line in records.jsonl of each record that the device signed, by its hash, as one of a named clip."""
    told = {leaf for clip in disclosed.manifest.clips for leaf in clip.leaves}
    lines = {line: number for number, line in enumerate(disclosed.manifest.records, start=1)}
    return {name: lines[line.decode()] for line, name in hand.record_of.items() if leaf_hash(line).hex() in told}


def _header_bytes(part: Path) -> int:
    with files.storage_errors(part), part.open("rb") as file:
        return split(file)


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


def _receipt(answer: AnswerFolder, verification: Verification) -> bytes | None:
    """Returns our signed receipt if it is for the whole of this disclosure."""
    return answer.receipt() if verification.receipt is not None else None


def _copy_parts(answer: AnswerFolder, folder: Path) -> None:
    for number in sorted(answer.sealed()):
        answer.copy_part(number, folder / f"{number}.age")


def _sums(folder: Path, paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        with files.storage_errors(path), path.open("rb") as file:
            name = path.relative_to(folder) if folder in path.parents else Path("..") / path.relative_to(folder.parent)
            yield f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n"


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
            "key": approver_key(disclosed, disclosed.approver).text,
            "owner_time_ms": disclosed.approval.owner_time_ms,
            "sha256": hashlib.sha256(disclosed.manifest.approval.encode()).hexdigest(),
        },
        "co_approval": disclosed.co_approver
        and {
            "name": disclosed.co_approver,
            "key": approver_key(disclosed, disclosed.co_approver).text,
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
        "second_signature": item.second.value,
        "witnessed": verified.witnessed,
        "start_ms": verified.span.start_ms,
        "end_ms": verified.span.end_ms,
        "clock": item.record.quality.value,
        **_redaction(verified),
        **_capture(verified),
    }


def _capture(verified: VerifiedItem) -> dict[str, Any]:
    """Returns the result of a film's capture signatures: the doorbell's, or those of a camera that signed its stream.

    Empty for other files, and films without any.
    """
    camera = verified.camera
    if camera is not None:
        names = {"name": camera.name, "serial": camera.serial, "certificate_sha256": camera.sha256}
        return {"capture": {"by": "camera", **names, **_counted(camera.report)}}
    return {"capture": {"by": "doorbell", **_counted(verified.capture)}} if verified.capture is not None else {}


def _counted(report: CaptureReport | None) -> dict[str, Any]:
    """Returns what the signatures show. Empty if they are of a kind that is not checked here."""
    if report is None:
        return {}
    found = [{"gop": each.gop, "fault": each.fault.value} for each in report.findings]
    return {"signed": report.signed, "unsigned_slices": report.unsigned, "findings": found}


def _redaction(verified: VerifiedItem) -> dict[str, Any]:
    """Returns the owner's list for a redacted file, and the hash of its original. Empty for a file as captured."""
    if not verified.redactions:
        return {}
    return {
        "redactions": redaction_documents(verified),
        **({"exact": True} if verified.is_exact else {}),
        "sha256_original_payload": verified.item.approved.payload_sha256,
    }
