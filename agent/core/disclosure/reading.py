"""The requester's half of a disclosure: checks every statement in it against every other, offline.

Each function is one step. It raises `OpenError` if a signature fails to verify, and `FormatError` if two statements
disagree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.core.disclosure.releasing import stored_file
from agent.core.ledger.checkpoint import open_checkpoint
from agent.core.ledger.entries import EntryKind, decode_entry
from agent.core.ledger.merkle import check_inclusion, leaf_hash
from agent.core.requests import TimeWindow
from agent.core.vault.age.header import split
from agent.core.vault.following import prev_in_clip_of
from agent.core.vault.hash_chain import chain_hash_of_leaves
from agent.core.vault.manifest import SignedRecord, open_line
from agent.core.vault.records import RecoveredRecord, SegmentRecord, StoredRecord
from agent.core.vault.segment import Content, Context
from agent.errors import FormatError, OpenError
from agent.wire import envelope, strictjson
from agent.wire.disclosures import (
    DISCLOSURE_ENVELOPE_LIMIT_BYTES,
    DISCLOSURE_LIMIT_BYTES,
    ClipRecords,
    DisclosureManifest,
    Part,
    PartKind,
    SecondSignature,
)
from agent.wire.messages import FootageRequest
from agent.wire.statements import (
    STATEMENT_LIMIT_BYTES,
    Approval,
    CoApproval,
    Enrolment,
    OwnerStatement,
    SealedItem,
    open_chain,
    open_statement,
    read_statement,
)

__all__ = [
    "DisclosedItem",
    "VerifiedDisclosure",
    "agree",
    "check_part",
    "enrolled",
    "items_of",
    "read_approval",
    "read_co_approval",
    "read_device_manifest",
    "read_manifest",
    "require_answers",
    "require_approves",
    "require_claims_match",
    "require_ledgered",
    "require_within_window",
]

_MS_PER_S: Final = 1000


@dataclass(frozen=True, slots=True)
class DisclosedItem:
    """A part to be received, with the three independent statements about it: device, owner, and the transfer's list."""

    part: Part
    approved: SealedItem
    record: StoredRecord
    captured: SignedRecord
    second: SecondSignature
    """The device's word, which it signed with both keys: if ML-DSA-44 signatures of its manifest cover the record."""

    @property
    def is_redacted(self) -> bool:
        """True if the part is the owner's redaction of the captured file. False if it is the captured file."""
        return self.approved.redacted is not None


@dataclass(frozen=True, slots=True)
class VerifiedDisclosure:
    """A manifest with every signature and cross-reference verified. `items[n - 1]` is part n."""

    manifest: DisclosureManifest
    approval: Approval
    approver: str
    """Name of the approval key, as the enrolment labels it."""
    enrolment: Enrolment
    items: tuple[DisclosedItem, ...]
    co_approver: str | None = None
    """Name of the second owner's key, if the enrolment wants two."""


def read_manifest(data: bytes, request: FootageRequest, request_sha256: str) -> VerifiedDisclosure:
    """Returns the opened part 0, verified against the request it answers. Performs the steps below, in this order.

    Raises `OpenError` if a signature fails to verify, and `FormatError` if two statements disagree.
    """
    manifest = read_device_manifest(data)
    require_answers(manifest, request_sha256)
    enrolment = enrolled(manifest)
    approval, approver = read_approval(manifest, enrolment)
    require_approves(approval, request, request_sha256)
    co_approver = read_co_approval(manifest, enrolment, request)
    require_ledgered(manifest, request)
    items = tuple(items_of(manifest, approval))
    require_within_window(items, request)
    require_claims_match(manifest, approval, items)
    return VerifiedDisclosure(manifest, approval, approver, enrolment, items, co_approver)


def read_device_manifest(data: bytes) -> DisclosureManifest:
    """Returns the manifest, signed by both keys of the device it names. `enrolled` compares the second key with the one
    that the owners have signed. Raises `OpenError` or `FormatError`, as all of these steps do."""
    kind, limit = DisclosureManifest.PAYLOAD_TYPE, DISCLOSURE_ENVELOPE_LIMIT_BYTES
    claimed = envelope.read_hybrid(data, kind, limit_bytes=limit)
    manifest = strictjson.decode(claimed.payload, DisclosureManifest, limit_bytes=DISCLOSURE_LIMIT_BYTES)
    # The keys are in the manifest itself. So far it proves that they agree, and `enrolled` proves whose they are.
    claimed.require(manifest.device_key, manifest.mldsa_key)
    return manifest


def require_answers(manifest: DisclosureManifest, request_sha256: str) -> None:
    if manifest.request != request_sha256:
        raise FormatError("This disclosure answers another request.")


def enrolled(manifest: DisclosureManifest) -> Enrolment:
    """Returns the owners this device obeys: the newest list of a chain in which an owner of each list signed the next.

    An owner that the first list names has signed that list, because it is the first. A thief of the device's key
    can therefore begin another chain. A reader must remember the chain that this device showed earlier, and compare
    (`clients.requester.known_doorbells`).
    """
    envelopes = [each.encode() for each in manifest.enrolments]
    claimed = read_statement(envelopes[-1])
    if claimed.payload_type != Enrolment.PAYLOAD_TYPE:
        raise FormatError("This disclosure does not say who the device's owners are.")
    enrolment = open_chain(envelopes, manifest.device)
    # The owners signed the hash of the second key, so a forger of Ed25519 signatures cannot put another key beside it.
    if enrolment.device_mldsa != manifest.mldsa_key.sha256:
        raise OpenError("The owners of this doorbell signed another ML-DSA-44 key than the one in this disclosure.")
    return enrolment


def read_approval(manifest: DisclosureManifest, enrolment: Enrolment) -> tuple[Approval, str]:
    """Returns the approval, and the name of the owner's key that signed it."""
    opened = open_statement(manifest.approval.encode(), Approval.PAYLOAD_TYPE, enrolment.signers)
    approval = strictjson.decode(opened.payload, Approval, limit_bytes=STATEMENT_LIMIT_BYTES)
    if approval.device != manifest.device:
        raise FormatError("The owner's approval in this disclosure is for another device.")
    return approval, enrolment.name_of(opened.key_id)


def read_co_approval(manifest: DisclosureManifest, enrolment: Enrolment, request: FootageRequest) -> str | None:
    """Returns the name of the second owner who approved the same items, or None if one owner is enough."""
    if enrolment.approvals_needed == 1:
        # A second signature that proves nothing is refused, because a reader could take it for one that does.
        if manifest.co_approval is not None:
            raise FormatError("This disclosure names a second owner where none is needed.")
        return None
    if manifest.co_approval is None:
        raise FormatError("This disclosure lacks the second owner's approval.")
    # The first owner's key is excluded, so that one owner cannot approve twice.
    first = read_statement(manifest.approval.encode())
    others = {key_id: key for key_id, key in enrolment.signers.items() if key_id != first.key_id}
    opened = open_statement(manifest.co_approval.encode(), CoApproval.PAYLOAD_TYPE, others)
    second = strictjson.decode(opened.payload, CoApproval, limit_bytes=STATEMENT_LIMIT_BYTES)
    if (second.device, second.request, second.approval) != (
        manifest.device,
        manifest.request,
        hashlib.sha256(first.payload).hexdigest(),
    ):
        raise FormatError("The second owner's approval in this disclosure is for other items.")
    _require_in_time(second, request)
    return enrolment.name_of(opened.key_id)


def require_ledgered(manifest: DisclosureManifest, request: FootageRequest) -> None:
    """Raises unless the device's ledger held this approval, of this request, for this disclosure."""
    proof = manifest.ledger
    checkpoint = open_checkpoint(proof.checkpoint.encode(), manifest.device_keys)
    leaf = proof.entry.encode()
    path = [bytes.fromhex(node) for node in proof.path]
    # The device cannot answer without an entry that its owners find in the ledger later.
    check_inclusion(leaf_hash(leaf), proof.index, checkpoint.size, checkpoint.root, path)
    entry = decode_entry(leaf)
    approval = read_statement(manifest.approval.encode())
    if (entry.kind, entry.request, entry.requester, entry.disclosure, entry.subject) != (
        EntryKind.APPROVED,
        request.id,
        request.requester,
        manifest.disclosure,
        hashlib.sha256(approval.payload).hexdigest(),
    ):
        raise FormatError("The ledger entry in this disclosure does not record its approval.")


def require_approves(approval: Approval, request: FootageRequest, request_sha256: str) -> None:
    # By hash, because another request may have the same id, and by key, because the approval is sealed to it.
    if approval.request != request_sha256 or approval.reply != request.reply:
        raise FormatError("The owner's approval in this disclosure is for another request.")
    _require_in_time(approval, request)
    window = TimeWindow.of_seconds(request.from_s, request.to_s)
    if any(gap.from_ms < window.from_ms or gap.to_ms > window.to_ms for gap in approval.gaps or ()):
        raise FormatError("The owner's approval in this disclosure describes time outside the requested window.")
    if not all(window.overlaps(clip.from_ms, clip.to_ms) for clip in approval.clips or ()):
        raise FormatError("The owner's approval in this disclosure tells of clips outside the requested window.")


def _require_in_time(said: OwnerStatement, request: FootageRequest) -> None:
    """Raises unless there was still time to answer, by the clock of the owner who signed."""
    if said.owner_time_ms // _MS_PER_S > request.not_after_s:
        raise FormatError("An owner's approval in this disclosure was signed after the request had ended.")


def items_of(manifest: DisclosureManifest, approval: Approval) -> Iterator[DisclosedItem]:
    """Yields parts, approved items and capture records, matched one to one: exactly the approved ones."""
    captured = {}
    for line, second in zip(manifest.records, manifest.second_signatures, strict=True):
        signed = open_line(line.encode(), manifest.device_key)
        if not isinstance(signed.record, SegmentRecord | RecoveredRecord) or signed.record.id in captured:
            raise FormatError("This disclosure carries a record that is not of a segment, or the same record twice.")
        captured[signed.record.id] = (signed, signed.record, second)
    # A record without its part would tell of footage that the owner did not share.
    if captured.keys() - {part.id for part in manifest.parts}:
        raise FormatError("This disclosure carries records of segments that are not part of it.")
    approved = {(PartKind.SEGMENT, item.id): item for item in approval.segments}
    approved |= {(PartKind.POSTER, item.id): item for item in approval.posters}
    approved |= {(PartKind.SOUND, item.id): item for item in approval.sounds}
    # An equal set, because a missing part would hide footage and an extra part was never approved.
    if {(part.kind, part.id) for part in manifest.parts} != approved.keys():
        raise FormatError("This disclosure does not consist of exactly what the owner approved.")
    for part in manifest.parts:
        if part.id not in captured:
            raise FormatError(f"The device's record of {part.kind.value} {part.id} is missing.")
        signed, record, second = captured[part.id]
        item = approved[part.kind, part.id]
        stored = stored_file(part.kind, signed)
        # Signed at capture by the device, and again by the owner after looking at it: both name the same bytes.
        if stored is None or stored.sha256_payload != item.payload_sha256:
            raise FormatError(f"{part.kind.value} {part.id} is not the one that was signed at capture.")
        if item.redacted is not None and not isinstance(record, SegmentRecord):
            raise FormatError(f"{part.kind.value} {part.id} is redacted, but was not signed at the end of its capture.")
        yield DisclosedItem(part, item, record, signed, second)


def require_within_window(items: Iterable[DisclosedItem], request: FootageRequest) -> None:
    window = TimeWindow.of_seconds(request.from_s, request.to_s)
    for item in items:
        if not window.overlaps(item.record.span.start_ms, item.record.span.end_ms):
            raise FormatError(f"Segment {item.part.id} lies outside the requested window.")


def require_claims_match(manifest: DisclosureManifest, approval: Approval, items: Iterable[DisclosedItem]) -> None:
    """Raises unless the hashed records of the clips that the owner told of include the records of the shown items.

    If the device signed each record as the successor of the one before, a shown record proves the records before it.
    """
    said = [(clip.from_ms, clip.to_ms, clip.segments) for clip in approval.clips or ()]
    if [(clip.from_ms, clip.to_ms, len(clip.leaves)) for clip in manifest.clips] != said:
        raise FormatError("The clips that this disclosure tells of are not those of the owner's approval.")
    for item in items:
        span, leaf = item.record.span, leaf_hash(item.captured.line).hex()
        within = [clip for clip in manifest.clips if clip.from_ms <= span.start_ms and span.end_ms <= clip.to_ms]
        holding = [clip for clip in within if leaf in clip.leaves]
        if within and not holding:
            raise FormatError(f"Segment {item.part.id} is not in the clip that this disclosure tells of.")
        if not all(_stands_in(clip, leaf, item.captured) for clip in holding):
            raise FormatError(f"Segment {item.part.id} was signed at capture as the successor of other records.")


def _stands_in(clip: ClipRecords, leaf: str, captured: SignedRecord) -> bool:
    """Returns whether a shown record names, as it was signed, the records that this clip has before it.

    A segment recovered after a power cut was signed when it was found again, so it lacks that hash.
    """
    if clip.prev_in_clip is None or isinstance(captured.record, RecoveredRecord):
        return True
    before = clip.leaves[: clip.leaves.index(leaf)]
    return prev_in_clip_of(captured) == chain_hash_of_leaves(clip.prev_in_clip, map(bytes.fromhex, before))


def check_part(item: DisclosedItem, data: bytes) -> int:
    """Checks that `data` is this part, byte for byte. Returns the offset of its payload. Raises `OpenError`."""
    if len(data) != item.part.size_bytes or hashlib.sha256(data).hexdigest() != item.part.sha256:
        raise OpenError(f"Part {item.part.id} is not the one the device announced.")
    start = split(data)
    # A view, because a part may have many megabytes.
    header, payload = hashlib.sha256(data[:start]), hashlib.sha256(memoryview(data)[start:])
    if header.hexdigest() != item.approved.header_sha256 or payload.hexdigest() != item.approved.sent_payload_sha256:
        raise OpenError(f"Part {item.part.id} is not the one the owner approved.")
    return start


def agree(
    record: StoredRecord,
    context: Context,
    *,
    device: str,
    content: Content = Content.SEGMENT,
    redacted: bool = False,
) -> None:
    """Raises `FormatError` unless the sealed context of a file agrees with the record that the device signed.

    `device`: key id. `content`: the kind of file that it was taken for. `redacted`: the file is one that an owner's
    client made, so it must list its redactions, and a captured file must not. For a recovered segment the device signed
    only the sealed bytes: the context alone states its end and its media.
    """
    if (context.redactions is not None) != redacted:
        raise FormatError(
            f"The {content.value} of segment {record.id} is redacted and does not say where."
            if redacted
            else f"The {content.value} of segment {record.id} lists redactions, and was approved as captured."
        )
    # The context is sealed with the footage. A device that stores one segment under the record of another is found
    # here.
    said = (context.kind, context.device, context.segment, context.event, context.ordinal)
    same = said == (content, device, record.id, record.event, record.ordinal)
    span, signed = context.span, record.span
    if isinstance(record, SegmentRecord):
        same = same and span == signed
    else:
        same = same and (span.boot, span.start_us) == (signed.boot, signed.start_us)
    if not same:
        raise FormatError(f"The {content.value} of segment {record.id} differs from the record signed at capture.")
