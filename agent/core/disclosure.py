"""What may leave, and how anyone can check that it might: an approval turned into parts, and parts held against it.

The two halves of this module mirror each other.

On the device, `release` holds an owner-signed approval against everything it must agree with.  It says yes only if

- it names this device, this request by the hash of its signed bytes, and this request's reply key;
- every item lies in the match set that was frozen when the request matched, and overlaps the requested window;
- every item names the payload bytes that the manifest says were sealed at capture;
- what it says of the rest of the window, if anything, is what the manifest says (`absences`);
- every item comes with the new header it names, and that header is wrapped to one hybrid recipient and nobody else.

The device cannot look into the header: it holds no key that opens anything.  That the header really is for this
requester is the owner's client's doing.  That *nothing else* leaves is this module's.

At the requester's, `read_manifest` and `check_part` go the same way backwards, offline and without trusting us: the
device signed the manifest and every capture record in it, an owner that the device names signed the approval, the
approval names exactly the received headers and payloads, and the payloads are the ones signed at capture.  `agree`
ties the opened media to the record.  A disclosure verifies as a whole or raises; there is no "mostly".

    part 0      age file sealed to the reply key: the signed `DisclosureManifest`
    part n ≥ 1  new header (by the owner's client) ++ stored payload (by the device, at capture): one age file

Source: PROTOCOL.md, "Disclosure"; ARCHITECTURE, invariants 4, 5 and 6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from agent.core.matching import Window
from agent.core.vault.age.header import parse_header, split
from agent.core.vault.coverage import State, Stretch
from agent.core.vault.manifest import SignedRecord, open_line
from agent.core.vault.records import Adopted, Sealed, Segment, StoredRecord
from agent.core.vault.segment import Context
from agent.errors import FormatError, OpenError, RequestError
from agent.wire import envelope, strictjson
from agent.wire.disclosures import (
    DISCLOSURE_ENVELOPE_LIMIT_BYTES,
    DISCLOSURE_LIMIT_BYTES,
    DisclosureManifest,
    Part,
    PartKind,
)
from agent.wire.messages import FootageRequest
from agent.wire.statements import (
    STATEMENT_ENVELOPE_LIMIT_BYTES,
    STATEMENT_LIMIT_BYTES,
    Absence,
    Approval,
    Enrolment,
    SealedItem,
    Why,
)

__all__ = [
    "Approved",
    "Disclosed",
    "Item",
    "Released",
    "absences",
    "agree",
    "check_part",
    "device_said",
    "enrolled",
    "items_of",
    "manifest_of",
    "owner_said",
    "read_manifest",
    "release",
    "require_answers",
    "require_approves",
    "require_within_window",
]

_HYBRID_KIND: Final = "mlkem768x25519"


class Approved(Protocol):
    """What `release` needs to know of the request (`core.requests.StoredRequest` has it)."""

    @property
    def payload_sha256(self) -> str: ...
    @property
    def segments(self) -> tuple[str, ...]: ...
    @property
    def request(self) -> FootageRequest: ...


@dataclass(frozen=True, slots=True)
class Released:
    """One item that may leave: its new header, its stored file, and the signed record of its capture."""

    kind: PartKind
    id: str
    header: bytes
    stored: Sealed
    record: SignedRecord

    @property
    def size_bytes(self) -> int:
        return len(self.header) + self.stored.size - self.stored.header_size


def release(
    approval: Approval,
    headers: Mapping[str, bytes],
    request: Approved,
    records: Mapping[str, SignedRecord],
    device: str,
) -> tuple[Released, ...]:
    """The items of `approval`, each held against the rules above.

    `headers`: new headers by their SHA-256; `records`: the manifest's, by segment id; `device`: our public key's text.
    Raises `RequestError` for the first thing that does not agree; nothing is released in part.
    """
    asked = request.request
    if approval.device != device:
        raise _refused("it is for another device")
    if approval.request != request.payload_sha256:
        raise _refused("it is for another request")
    if approval.reply != asked.reply:
        raise _refused("it is sealed to another key than the requester's")
    window = Window.of_seconds(asked.from_s, asked.to_s)
    wanted = [(PartKind.SEGMENT, item) for item in approval.segments]
    wanted += [(PartKind.POSTER, item) for item in approval.posters]
    return tuple(_released(kind, item, headers, frozenset(request.segments), records, window) for kind, item in wanted)


def _released(
    kind: PartKind,
    item: SealedItem,
    headers: Mapping[str, bytes],
    match_set: frozenset[str],
    records: Mapping[str, SignedRecord],
    window: Window,
) -> Released:
    if item.id not in match_set:
        raise _refused(f"segment {item.id} is not among those that matched")
    signed = records.get(item.id)
    stored = _stored(kind, signed)
    if signed is None or stored is None:
        raise _refused(f"{kind.value} {item.id} is no longer in the vault")
    if not window.overlaps(signed.record.span.start_ms, signed.record.span.end_ms):  # type: ignore[union-attr]
        raise _refused(f"segment {item.id} lies outside the requested window")
    if item.payload_sha256 != stored.sha256_payload:
        raise _refused(f"{kind.value} {item.id} names other bytes than the ones stored")
    header = headers.get(item.header_sha256)
    if header is None or hashlib.sha256(header).hexdigest() != item.header_sha256:
        raise _refused(f"the new header of {kind.value} {item.id} is missing")
    _require_one_recipient(header)
    return Released(kind, item.id, header, stored, signed)


def _stored(kind: PartKind, signed: SignedRecord | None) -> Sealed | None:
    if signed is None or not isinstance(signed.record, Segment | Adopted):
        return None
    return signed.record.file if kind is PartKind.SEGMENT else signed.record.poster_file


def _require_one_recipient(header: bytes) -> None:
    """A second stanza would be a second reader whom nobody approved."""
    parsed, length = parse_header(header)
    if length != len(header) or [stanza.kind for stanza in parsed.stanzas] != [_HYBRID_KIND]:
        raise _refused("a new header is not wrapped to exactly one hybrid recipient")


def _refused(why: str) -> RequestError:
    return RequestError(f"This approval cannot be carried out: {why}.", remedy="Review the request again.")


def absences(stretches: Iterable[Stretch]) -> tuple[Absence, ...]:
    """What a requester may be told of a window besides the footage: word for word what the vault says of it."""
    return tuple(
        Absence(from_ms=one.start_ms, to_ms=one.end_ms, why=Why(one.state.value))
        for one in stretches
        if one.state is not State.FOOTAGE
    )


def manifest_of(
    released: Iterable[Released],
    part_hashes: Iterable[str],
    *,
    disclosure: str,
    device: str,
    request_sha256: str,
    approval: bytes,
    enrolment: bytes,
) -> DisclosureManifest:
    """Part 0 before it is signed and sealed.  `part_hashes`: SHA-256 of each part as it will be sent, in order."""
    items = tuple(released)
    lines = {item.record.line.decode("ascii"): None for item in items}
    return DisclosureManifest(
        v=1,
        disclosure=disclosure,
        device=device,
        request=request_sha256,
        approval=approval.decode("ascii"),
        enrolment=enrolment.decode("ascii"),
        records=tuple(lines),
        parts=tuple(
            Part(kind=item.kind, id=item.id, size_bytes=item.size_bytes, sha256=digest)
            for item, digest in zip(items, part_hashes, strict=True)
        ),
    )


# -- the other half: what the requester checks -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """A part to be received, with the three independent statements about it: device, owner, and the transfer's list."""

    part: Part
    approved: SealedItem
    record: StoredRecord
    captured: SignedRecord


@dataclass(frozen=True, slots=True)
class Disclosed:
    """A manifest whose every signature and cross-reference verified.  `items[n - 1]` is part n."""

    manifest: DisclosureManifest
    approval: Approval
    approver: str
    """Name of the approval key, as the enrolment labels it."""
    enrolment: Enrolment
    items: tuple[Item, ...]


def read_manifest(data: bytes, request: FootageRequest, request_sha256: str) -> Disclosed:
    """The opened part 0, verified against the request it answers: the steps below, in this order.

    Raises `OpenError` when a signature does not verify and `FormatError` when two statements do not agree.
    """
    manifest = device_said(data)
    require_answers(manifest, request_sha256)
    enrolment = enrolled(manifest)
    approval, approver = owner_said(manifest, enrolment)
    require_approves(approval, request, request_sha256)
    items = tuple(items_of(manifest, approval))
    require_within_window(items, request)
    return Disclosed(manifest, approval, approver, enrolment, items)


def device_said(data: bytes) -> DisclosureManifest:
    """The manifest, signed by the device it names.  Raises `OpenError` or `FormatError`, as all of these steps do."""
    kind, limit = DisclosureManifest.PAYLOAD_TYPE, DISCLOSURE_ENVELOPE_LIMIT_BYTES
    claimed = envelope.read_unverified(data, limit_bytes=limit)
    manifest = strictjson.decode(claimed.payload, DisclosureManifest, limit_bytes=DISCLOSURE_LIMIT_BYTES)
    envelope.open_envelope(data, kind, {manifest.device_key.id: manifest.device_key}, limit_bytes=limit)
    return manifest


def require_answers(manifest: DisclosureManifest, request_sha256: str) -> None:
    if manifest.request != request_sha256:
        raise FormatError("This disclosure answers another request.")


def enrolled(manifest: DisclosureManifest) -> Enrolment:
    """The owners this device obeys, as it states under its own signature.

    A later epoch is signed by an owner of the one before, whom we need not know: the device's signature on the manifest
    covers the enrolment, and the owner's on the approval names the device, so each vouches for the other.  The first
    enrolment is signed by an owner it names, which anybody can check.
    """
    claimed = envelope.read_unverified(manifest.enrolment.encode(), limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES)
    if claimed.payload_type != Enrolment.PAYLOAD_TYPE:
        raise FormatError("This disclosure does not say who the device's owners are.")
    enrolment = strictjson.decode(claimed.payload, Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)
    if enrolment.device != manifest.device:
        raise FormatError("The owners named in this disclosure are another device's.")
    if enrolment.epoch == 1 or claimed.key_id in enrolment.approver_keys:
        envelope.verify(claimed, enrolment.approver_keys)
    return enrolment


def owner_said(manifest: DisclosureManifest, enrolment: Enrolment) -> tuple[Approval, str]:
    """The approval, and the name of the owner's key that signed it."""
    opened = envelope.open_envelope(
        manifest.approval.encode(),
        Approval.PAYLOAD_TYPE,
        enrolment.approver_keys,
        limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES,
    )
    approval = strictjson.decode(opened.payload, Approval, limit_bytes=STATEMENT_LIMIT_BYTES)
    if approval.device != manifest.device:
        raise FormatError("The owner's approval in this disclosure is for another device.")
    key = enrolment.approver_keys[opened.key_id].text
    return approval, next(approver.name for approver in enrolment.approvers if approver.key == key)


def require_approves(approval: Approval, request: FootageRequest, request_sha256: str) -> None:
    if approval.request != request_sha256 or approval.reply != request.reply:
        raise FormatError("The owner's approval in this disclosure is for another request.")
    window = Window.of_seconds(request.from_s, request.to_s)
    if any(gap.from_ms < window.from_ms or gap.to_ms > window.to_ms for gap in approval.gaps or ()):
        raise FormatError("The owner's approval in this disclosure speaks of time outside the requested window.")


def items_of(manifest: DisclosureManifest, approval: Approval) -> Iterator[Item]:
    """Parts, approved items and capture records, matched one to one: nothing more and nothing less than approved."""
    captured = {}
    for line in manifest.records:
        signed = open_line(line.encode(), manifest.device_key)
        if not isinstance(signed.record, Segment | Adopted) or signed.record.id in captured:
            raise FormatError("This disclosure carries a record that is none of a segment, or one twice.")
        captured[signed.record.id] = (signed, signed.record)
    if captured.keys() - {part.id for part in manifest.parts}:
        raise FormatError("This disclosure carries records of segments that are not part of it.")
    approved = {(PartKind.SEGMENT, item.id): item for item in approval.segments}
    approved |= {(PartKind.POSTER, item.id): item for item in approval.posters}
    if {(part.kind, part.id) for part in manifest.parts} != approved.keys():
        raise FormatError("This disclosure does not consist of exactly what the owner approved.")
    for part in manifest.parts:
        if part.id not in captured:
            raise FormatError(f"The device's record of {part.kind.value} {part.id} is missing.")
        signed, record = captured[part.id]
        item = approved[part.kind, part.id]
        stored = _stored(part.kind, signed)
        if stored is None or stored.sha256_payload != item.payload_sha256:
            raise FormatError(f"{part.kind.value} {part.id} is not the one that was signed at capture.")
        yield Item(part, item, record, signed)


def require_within_window(items: Iterable[Item], request: FootageRequest) -> None:
    window = Window.of_seconds(request.from_s, request.to_s)
    for item in items:
        if not window.overlaps(item.record.span.start_ms, item.record.span.end_ms):
            raise FormatError(f"Segment {item.part.id} lies outside the requested window.")


def check_part(item: Item, data: bytes) -> int:
    """Whether `data` is this part, byte for byte.  Returns where its payload starts; raises `OpenError`."""
    if len(data) != item.part.size_bytes or hashlib.sha256(data).hexdigest() != item.part.sha256:
        raise OpenError(f"Part {item.part.id} is not the one the device announced.")
    start = split(data)
    header, payload = hashlib.sha256(data[:start]), hashlib.sha256(memoryview(data)[start:])
    if header.hexdigest() != item.approved.header_sha256 or payload.hexdigest() != item.approved.payload_sha256:
        raise OpenError(f"Part {item.part.id} is not the one the owner approved.")
    return start


def agree(record: StoredRecord, context: Context, *, device: str) -> None:
    """Whether what a segment says of itself inside its seal is what the device signed outside.  Raises `FormatError`.

    `device`: key id.  The context names the hash of the media, which `split_media` has compared.  Of an adopted segment
    the device signed the sealed bytes but neither its end nor its media: those are the context's word alone.
    """
    said = (context.device, context.segment, context.event, context.ordinal)
    signed = (device, record.id, record.event, record.ordinal)
    if isinstance(record, Segment):
        whole = context.span == record.span and context.media_bytes == record.media_size
        agrees = said == signed and whole and context.sha256_media == record.sha256_media
    else:
        begun, longest = context.span, record.span
        agrees = said == signed and (begun.boot, begun.start_us) == (longest.boot, longest.start_us)
    if not agrees:
        raise FormatError(f"Segment {record.id} does not say of itself what the device signed at capture.")
