"""Files of an evidence folder for checks by hand: each signature, and each proof, in the form that `openssl` reads.

NAME.signed, NAME.signature    the signed bytes (DSSE's PAE) and the Ed25519 signature
SIGNER.pem                     the public key of a signer
NAME.mldsa-signature, SIGNER-mldsa.pem    the second signature of the doorbell or an owner, by ML-DSA-44, and its key
checkpoint.mldsa-signed        the form of the ledger's head that ML-DSA-44 signs (c2sp.org/tlog-cosignature)
ledger-entry, ledger-node-NN   the approval's entry in the ledger, and the hashes that lead from it to the head
record-NNN.before              the hash before the record that was sent before this one, of the same clip
record-NNN.left-out-NN         the hash of each record between these two
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.core.disclosure import VerifiedDisclosure
from agent.core.ledger.checkpoint import checkpoint_signatures, open_checkpoint
from agent.core.ledger.merkle import leaf_hash
from agent.core.vault.following import prev_in_clip_of
from agent.core.vault.hash_chain import chain_hash_of_leaves
from agent.core.vault.manifest import PAYLOAD_TYPE as RECORD_TYPE
from agent.core.vault.manifest import SignedRecord
from agent.platform import files
from agent.wire import envelope, strictjson
from agent.wire.disclosures import DISCLOSURE_ENVELOPE_LIMIT_BYTES, ClipRecords
from agent.wire.envelope import HybridKey, pae
from agent.wire.identities import PublicKey
from agent.wire.statements import STATEMENT_LIMIT_BYTES, Enrolment, read_statement

__all__ = ["BY_HAND", "ByHand", "SignedFile", "Succession", "approver_key", "sides_of", "write_by_hand"]

BY_HAND: Final = "by-hand"
_MOST_LEFT_OUT: Final = 32
"""Records between two that were sent, for one command. Each adds some sixty characters to it."""


@dataclass(frozen=True, slots=True)
class SignedFile:
    """A signature as files. `key`: the file of its signer without ".pem". `skip`: bytes of NAME.signed before the
    statement."""

    name: str
    key: str
    skip: int


@dataclass(frozen=True, slots=True)
class Succession:
    """A record that was signed at capture as the successor of another one in its clip that was sent, too.

    `line`: of that other one in records.jsonl, from 1. `left_out`: the number of records between the two.
    """

    name: str
    line: int
    left_out: int


@dataclass(frozen=True, slots=True)
class ByHand:
    """The files that were written. `sides`: whether each hash of the ledger's proof stands left of the running hash."""

    statements: dict[str, SignedFile]
    enrolments: tuple[SignedFile, ...]
    enrolment_signers: tuple[int, ...]
    """For each list of owners, the number of the list that names its signer."""
    records: tuple[SignedFile, ...]
    record_of: dict[bytes, str]
    """For each line of a record, its name here."""
    successions: tuple[Succession, ...]
    sides: tuple[bool, ...]


def write_by_hand(
    folder: Path, requester: PublicKey, envelopes: dict[str, bytes], disclosed: VerifiedDisclosure
) -> ByHand:
    """Writes the files into the new folder `folder`. `envelopes`: the signed manifest, request, approval, co-approval
    and receipt, each if there is one.

    Raises `StorageError`.
    """
    manifest = disclosed.manifest
    device = manifest.device_keys
    signers = {"manifest": ("device", device), "approval": ("owner", _approver(disclosed, disclosed.approver))}
    if disclosed.co_approver is not None:
        signers["co_approval"] = ("second-owner", _approver(disclosed, disclosed.co_approver))
    files.write(folder / "requester.pem", _pem(requester))
    statements = {
        name: _write_hybrid(folder, name, *signers[name], data)
        if name in signers
        else _write_envelope(folder, name, "requester", data)
        for name, data in envelopes.items()
    }
    enrolments, named_in = [], []
    for number, (data, key, named) in enumerate(_enrolments(manifest.enrolments), start=1):
        name = f"enrolment-{number:03}"
        enrolments.append(_write_hybrid(folder, name, name, key, data))
        named_in.append(named)
    records, record_of = [], {}
    for number, each in enumerate({item.captured.line: item.captured for item in disclosed.items}.values(), start=1):
        name = f"record-{number:03}"
        record_of[each.line] = name
        records.append(_write(folder, name, "device", RECORD_TYPE, each.payload, each.signature))
    sides = _write_ledger(folder, disclosed)
    successions = tuple(_write_successions(folder, disclosed, record_of))
    return ByHand(statements, tuple(enrolments), tuple(named_in), tuple(records), record_of, successions, sides)


def approver_key(disclosed: VerifiedDisclosure, name: str) -> PublicKey:
    """Returns the Ed25519 key of an owner by the name in the newest list."""
    return _approver(disclosed, name).ed25519


def _approver(disclosed: VerifiedDisclosure, name: str) -> HybridKey:
    return next(each for each in disclosed.enrolment.approvers if each.name == name).public_keys


def _enrolments(envelopes: tuple[str, ...]) -> Iterator[tuple[bytes, HybridKey, int]]:
    """Yields each list of owners, the keys that signed it, and the number of the list that names these keys."""
    before: Mapping[str, HybridKey] = {}
    for number, text in enumerate(envelopes, start=1):
        data = text.encode("utf-8")
        claimed = read_statement(data)
        own = strictjson.decode(claimed.payload, Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES).signers
        yield data, (before or own)[claimed.key_id], number - 1 if before else number
        before = own


def _write_envelope(folder: Path, name: str, key: str, data: bytes) -> SignedFile:
    claimed = envelope.read_unverified(data, limit_bytes=DISCLOSURE_ENVELOPE_LIMIT_BYTES)
    return _write(folder, name, key, claimed.payload_type, claimed.payload, claimed.signature)


def _write_hybrid(folder: Path, name: str, signer: str, keys: HybridKey, data: bytes) -> SignedFile:
    """Writes a statement with two signatures, and both keys of its signer."""
    claimed = envelope.read_hybrid(data, None, limit_bytes=DISCLOSURE_ENVELOPE_LIMIT_BYTES)
    (_, signature), (_, second) = claimed.signatures
    mldsa = MLDSA44PublicKey.from_public_bytes(keys.mldsa.raw)
    files.write(folder / f"{signer}.pem", _pem(keys.ed25519))
    files.write(folder / f"{signer}-mldsa.pem", mldsa.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    files.write(folder / f"{name}.mldsa-signature", second)
    return _write(folder, name, signer, claimed.payload_type, claimed.payload, signature)


def _write(folder: Path, name: str, key: str, payload_type: str, payload: bytes, signature: bytes) -> SignedFile:
    signed = pae(payload_type, payload)
    files.write(folder / f"{name}.signed", signed)
    files.write(folder / f"{name}.signature", signature)
    return SignedFile(name, key, len(signed) - len(payload))


def _write_successions(
    folder: Path, disclosed: VerifiedDisclosure, record_of: Mapping[bytes, str]
) -> Iterator[Succession]:
    """Writes the hashes that lead from one record of a clip to the next one that was sent, if these are known."""
    lines = {line.encode(): number for number, line in enumerate(disclosed.manifest.records, start=1)}
    sent = {item.captured.line: item for item in disclosed.items}.values()
    by_clip: dict[str, list[SignedRecord]] = {}
    for each in sorted(sent, key=lambda item: item.captured.sequence):
        by_clip.setdefault(each.record.event, []).append(each.captured)
    for one, other in (pair for records in by_clip.values() for pair in itertools.pairwise(records)):
        before, reached = prev_in_clip_of(one), prev_in_clip_of(other)
        between = _between(leaf_hash(one.line), leaf_hash(other.line), disclosed.manifest.clips)
        if before is None or len(between) > _MOST_LEFT_OUT:
            continue
        # Hashes of records that stayed at home are known only by the owner's word about the clip.
        if chain_hash_of_leaves(before, (leaf_hash(one.line), *between)) != reached:
            continue
        name = record_of[other.line]
        files.write(folder / f"{name}.before", bytes.fromhex(before))
        for number, leaf in enumerate(between, start=1):
            files.write(folder / f"{name}.left-out-{number:02}", leaf)
        yield Succession(name, lines[one.line], len(between))


def _between(one: bytes, other: bytes, clips: Sequence[ClipRecords]) -> tuple[bytes, ...]:
    """Returns the leaf hashes between two records of a clip that the owner named. Empty for any other clip."""
    for clip in clips:
        leaves = [bytes.fromhex(leaf) for leaf in clip.leaves]
        if one in leaves and other in leaves:
            return tuple(leaves[leaves.index(one) + 1 : leaves.index(other)])
    return ()


def _write_ledger(folder: Path, disclosed: VerifiedDisclosure) -> tuple[bool, ...]:
    """Writes the head as its signed text and signatures, the entry, and the hashes of its inclusion proof."""
    manifest = disclosed.manifest
    proof = manifest.ledger
    checkpoint = open_checkpoint(proof.checkpoint.encode(), manifest.device_keys)
    note = proof.checkpoint.encode("utf-8")
    files.write(folder / "checkpoint.signed", checkpoint.text.encode("utf-8"))
    first, second = checkpoint_signatures(note, manifest.device_keys)
    files.write(folder / "checkpoint.signature", first)
    files.write(folder / "checkpoint.mldsa-signed", checkpoint.mldsa_message)
    files.write(folder / "checkpoint.mldsa-signature", second)
    files.write(folder / "ledger-entry", proof.entry.encode("utf-8"))
    for number, node in enumerate(proof.path, start=1):
        files.write(folder / f"ledger-node-{number:02}", bytes.fromhex(node))
    return sides_of(proof.index, checkpoint.size, len(proof.path))


def sides_of(index: int, size: int, length: int) -> tuple[bool, ...]:
    """Returns, for each hash of an inclusion proof, if it stands on the left (RFC 9162, 2.1.3.2)."""
    return tuple(_sides(index, size, length))


def _sides(index: int, size: int, length: int) -> Iterator[bool]:
    at, last = index, size - 1
    for _ in range(length):
        left = at % 2 == 1 or at == last
        yield left
        while left and at % 2 == 0 and at != 0:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1


def _pem(key: PublicKey) -> bytes:
    return Ed25519PublicKey.from_public_bytes(key.raw).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
