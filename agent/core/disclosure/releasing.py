"""The device's half of a disclosure: turns an owner's approval into the items that may leave, or refuses it as a whole.

The docstring of the package lists the rules. Each has its line here.

An answer has an address: a stanza in the header of part 0 that names the reply key of its request (`reply_stanza`). A
requester with 100 000 open requests finds the key at once instead of trying each one. A stranger's part 0 then costs
one look-up. The stanza wraps no key, and other readers of age files skip it. It tells a broker the request of an answer
one message earlier than the requester's receipt does.

Source: PROTOCOL.md, "Disclosure".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from agent.core.ledger.merkle import leaf_hash
from agent.core.requests import Terms, TimeWindow
from agent.core.vault.age.header import Stanza, from_base64, parse_header
from agent.core.vault.age.recipients import BODY_BYTES, HYBRID_ENCAPSULATION_BYTES, HYBRID_KIND
from agent.core.vault.coverage import CoverageSpan, CoverageState
from agent.core.vault.following import clip_chain_start
from agent.core.vault.manifest import SignedRecord
from agent.core.vault.records import RecoveredRecord, SealedFile, SegmentRecord
from agent.errors import FormatError, RequestError
from agent.wire import strictjson
from agent.wire.disclosures import (
    ClipRecords,
    DisclosureManifest,
    LedgerProof,
    Part,
    PartKind,
    SecondSignature,
    TipManifest,
    tip_records_encoding,
)
from agent.wire.identities import MldsaPublicKey
from agent.wire.statements import (
    AbsenceReason,
    Approval,
    ClipClaim,
    FootageAbsence,
    SealedItem,
    Tip,
)
from agent.wire.time_proofs import TimeProof

__all__ = [
    "ApprovedItems",
    "ReleasedItem",
    "absences",
    "claimed_clip_records",
    "claimed_clips",
    "manifest_of",
    "release",
    "release_tip",
    "reply_stanza",
    "reply_tag",
    "reply_tag_in",
    "stored_file",
    "tip_manifest_of",
]


class ApprovedItems(Protocol):
    """The facts about the request that `release` needs (`core.requests.MatchedRequest` has them)."""

    @property
    def payload_sha256(self) -> str: ...
    @property
    def segments(self) -> tuple[str, ...]: ...
    @property
    def terms(self) -> Terms: ...


@dataclass(frozen=True, slots=True)
class ReleasedItem:
    """One item that may leave: its new header, its stored file, and the signed record of its capture.

    `redacted`: the payload that the owner's client made, which leaves in place of the stored one.
    """

    kind: PartKind
    id: str
    header: bytes
    stored: SealedFile
    record: SignedRecord
    redacted: bytes | None = None

    @property
    def size_bytes(self) -> int:
        if self.redacted is not None:
            return len(self.header) + len(self.redacted)
        return len(self.header) + self.stored.size - self.stored.header_size


def release(
    approval: Approval,
    headers: Mapping[str, bytes],
    request: ApprovedItems,
    records: Mapping[str, SignedRecord],
    device: str,
) -> tuple[ReleasedItem, ...]:
    """Returns the items of `approval`, each checked against the rules above.

    `headers`: new headers and redacted payloads by their SHA-256. `records`: the manifest's, by segment id. `device`:
    the device's public key as text. Raises `RequestError` for the first mismatch, and then every item stays.
    """
    asked = request.terms
    # An owner of two doorbells signs for both with one key.
    if approval.device != device:
        raise _refused("it is for another device")
    # The hash covers every word of the request, so an approval cannot be moved to another one with the same id.
    if approval.request != request.payload_sha256:
        raise _refused("it is for another request")
    # Otherwise the footage could go to a key that the signed request does not name.
    if approval.reply != asked.reply:
        raise _refused("it is sealed to a key that is not the requester's")
    window = TimeWindow.of_seconds(asked.from_s, asked.to_s)
    # Stills and sounds are named one by one, too: a yes to a film is no yes to its sound.
    wanted = [(PartKind.SEGMENT, item) for item in approval.segments]
    wanted += [(PartKind.POSTER, item) for item in approval.posters]
    wanted += [(PartKind.SOUND, item) for item in approval.sounds]
    # Even the existence of a clip outside the match set would be an answer to another question.
    if set(approval.clips or ()) - set(claimed_clips(records, request.segments)):
        raise _refused("it tells of clips that did not match")
    _require_no_still_of_redacted(approval, records)
    return tuple(_released(kind, item, headers, frozenset(request.segments), records, window) for kind, item in wanted)


def _require_no_still_of_redacted(approval: Approval, records: Mapping[str, SignedRecord]) -> None:
    """Refuses the still of a clip of which a film is redacted, because it may show what the owner covered."""
    # For the whole clip, not for the segment alone: the still may come from any of its segments.
    covered = {_event(records, item) for item in approval.segments if item.redacted is not None}
    for item in approval.posters:
        if _event(records, item) in covered:
            raise _refused(f"poster {item.id} is of a clip that is redacted")


def _event(records: Mapping[str, SignedRecord], item: SealedItem) -> str:
    """Returns the clip of a segment, or the segment's own id if the vault has no record of it."""
    signed = records.get(item.id)
    recorded = signed is not None and isinstance(signed.record, SegmentRecord | RecoveredRecord)
    return signed.record.event if recorded else item.id  # type: ignore[union-attr]


def _released(
    kind: PartKind,
    item: SealedItem,
    headers: Mapping[str, bytes],
    match_set: frozenset[str],
    records: Mapping[str, SignedRecord],
    window: TimeWindow,
) -> ReleasedItem:
    # The match set was frozen on arrival. Footage that was recorded or dated later was not asked for.
    if item.id not in match_set:
        raise _refused(f"{kind.value} {item.id} is not among those that matched")
    released = _captured(kind, item, headers, records)
    # The record's own time, which the requester will read, and not the index that matched it.
    if not window.overlaps(released.record.record.span.start_ms, released.record.record.span.end_ms):  # type: ignore[union-attr]
        raise _refused(f"{kind.value} {item.id} lies outside the requested window")
    return released


def _captured(
    kind: PartKind, item: SealedItem, headers: Mapping[str, bytes], records: Mapping[str, SignedRecord]
) -> ReleasedItem:
    """Returns the stored file that `item` names, under the one new header it names."""
    signed = records.get(item.id)
    stored = stored_file(kind, signed)
    if signed is None or stored is None:
        raise _refused(f"{kind.value} {item.id} is no longer in the vault")
    # The owner's client read this file. A device that stores another one under the same name must not send it.
    if item.payload_sha256 != stored.sha256_payload:
        raise _refused(f"{kind.value} {item.id} names bytes that differ from the stored ones")
    header = headers.get(item.header_sha256)
    # The owner signed the hash of the header, so a program on the way cannot exchange it.
    if header is None or hashlib.sha256(header).hexdigest() != item.header_sha256:
        raise _refused(f"the new header of {kind.value} {item.id} is missing")
    # The device cannot look into the header. It makes sure that there is one reader at most.
    _require_one_recipient(header)
    return ReleasedItem(kind, item.id, header, stored, signed, _redacted(kind, item, headers, signed))


def _redacted(kind: PartKind, item: SealedItem, payloads: Mapping[str, bytes], signed: SignedRecord) -> bytes | None:
    """Returns the payload that the owner's client made, or None if the stored one leaves."""
    if item.redacted is None:
        return None
    # The record of such a file lacks its end and its media, so no reader could compare a redacted one with it.
    if not isinstance(signed.record, SegmentRecord):
        raise _refused(f"{kind.value} {item.id} was cut by a power failure, and such a file cannot be redacted")
    payload = payloads.get(item.redacted.payload_sha256)
    # The device has no record of this payload. The hash that the owner signed is all that vouches for it.
    if payload is None or hashlib.sha256(payload).hexdigest() != item.redacted.payload_sha256:
        raise _refused(f"the redacted {kind.value} {item.id} is missing")
    return payload


def release_tip(
    tip: Tip, headers: Mapping[str, bytes], records: Mapping[str, SignedRecord], device: str
) -> tuple[ReleasedItem, ...]:
    """Returns the items of `tip`, each checked against the record signed at capture.

    A tip has only the owner's statement, which lists the items that may leave. Match set and window belong to requests.
    """
    if tip.device != device:
        raise _refused("it is for another device")
    wanted = [(PartKind.SEGMENT, item) for item in tip.segments]
    wanted += [(PartKind.POSTER, item) for item in tip.posters]
    return tuple(_captured(kind, item, headers, records) for kind, item in wanted)


def tip_manifest_of(
    released: Iterable[ReleasedItem],
    part_hashes: Iterable[str],
    tip: Tip,
    device_mldsa: MldsaPublicKey,
    sign: Callable[[bytes], bytes],
) -> TipManifest:
    """Returns part 0 of a tip before it is sealed. It names the device only if the tip has footage, which names it
    anyway.

    `sign` makes the ML-DSA-44 signature of the records.
    """
    items = tuple(released)
    # A dictionary keeps the order and drops doubles: a segment and its still share one record.
    records = tuple({item.record.line.decode("ascii"): None for item in items})
    return TipManifest(
        v=1,
        tip=tip.tip,
        trust_root=tip.trust_root,
        message=tip.message,
        # A tip of words alone has nothing to prove, so it names no device.
        device=tip.device if items else None,
        device_mldsa=device_mldsa.text if items else None,
        records_mldsa=strictjson.encode_base64(sign(tip_records_encoding(records))) if items else None,
        records=records,
        parts=tuple(
            Part(kind=item.kind, id=item.id, size_bytes=item.size_bytes, sha256=digest)
            for item, digest in zip(items, part_hashes, strict=True)
        ),
    )


def _require_one_recipient(header: bytes) -> None:
    """Refuses a second stanza, which would admit an unapproved reader, and a second argument, which could carry text
    out."""
    parsed, length = parse_header(header)
    if length != len(header) or len(parsed.stanzas) != 1 or not _is_hybrid(parsed.stanzas[0]):
        raise _refused("a new header is not wrapped to exactly one hybrid recipient")


def _is_hybrid(stanza: Stanza) -> bool:
    """Returns whether the stanza only wraps one file key to one hybrid recipient. All of these have one length."""
    try:
        sizes = [len(from_base64(each)) for each in stanza.arguments]
    except FormatError:
        return False
    return stanza.kind == HYBRID_KIND and sizes == [HYBRID_ENCAPSULATION_BYTES] and len(stanza.body) == BODY_BYTES


def _refused(why: str) -> RequestError:
    return RequestError(f"This approval cannot be carried out: {why}.", remedy="Review the request again.")


def absences(stretches: Iterable[CoverageSpan]) -> tuple[FootageAbsence, ...]:
    """Returns the vault's words for the rest of a window, which a requester may be told besides the footage."""
    return tuple(
        FootageAbsence(from_ms=one.start_ms, to_ms=one.end_ms, reason=AbsenceReason(one.state.value))
        for one in stretches
        if one.state is not CoverageState.FOOTAGE
    )


def claimed_clips(records: Mapping[str, SignedRecord], match_set: Sequence[str]) -> tuple[ClipClaim, ...]:
    """Returns the facts that an owner may tell about each matched clip while it stays hidden."""
    return tuple(map(_told, _clips(records, match_set)))


def claimed_clip_records(
    records: Mapping[str, SignedRecord], match_set: Sequence[str], clips: Sequence[ClipClaim]
) -> tuple[ClipRecords, ...]:
    """Returns the records of those clips as hashes, so that a requester can place a shown segment in its clip."""
    # In the order of the manifest, in which each record names the ones before it in its clip.
    found = {_told(clip): sorted(clip, key=lambda signed: signed.sequence) for clip in _clips(records, match_set)}
    if set(clips) - found.keys():
        raise _refused("it tells of clips that are no longer in the vault")
    return tuple(
        ClipRecords(
            from_ms=clip.from_ms,
            to_ms=clip.to_ms,
            leaves=tuple(leaf_hash(signed.line).hex() for signed in found[clip]),
            prev_in_clip=clip_chain_start(found[clip]),
        )
        for clip in clips
    )


def _clips(records: Mapping[str, SignedRecord], match_set: Sequence[str]) -> list[list[SignedRecord]]:
    """Returns the matched segments that are stored, by event."""
    clips: dict[str, list[SignedRecord]] = {}
    for name in match_set:
        signed = records.get(name)
        if signed is not None and isinstance(signed.record, SegmentRecord | RecoveredRecord):
            clips.setdefault(signed.record.event, []).append(signed)
    return list(clips.values())


def _told(clip: Sequence[SignedRecord]) -> ClipClaim:
    spans = [signed.record.span for signed in clip if isinstance(signed.record, SegmentRecord | RecoveredRecord)]
    return ClipClaim(
        # A broken clock may have given a time before 1970, which the wire format cannot say.
        from_ms=max(0, min(span.start_ms for span in spans)),
        to_ms=max(0, *(span.end_ms for span in spans)),
        segments=len(clip),
    )


def manifest_of(
    released: Iterable[ReleasedItem],
    part_hashes: Iterable[str],
    *,
    disclosure: str,
    device: str,
    device_mldsa: MldsaPublicKey,
    request_sha256: str,
    approval: bytes,
    enrolments: Sequence[bytes],
    ledger: LedgerProof,
    co_approval: bytes | None = None,
    second_signatures: Mapping[str, SecondSignature],
    told: tuple[ClipRecords, ...] = (),
    time: TimeProof | None = None,
) -> DisclosureManifest:
    """Returns part 0 before it is signed and sealed. `part_hashes`: SHA-256 of each part as it will be sent, in
    order. `second_signatures`: by the id of the segment."""
    items = tuple(released)
    lines = {item.record.line.decode("ascii"): second_signatures[item.id] for item in items}
    return DisclosureManifest(
        v=1,
        disclosure=disclosure,
        device=device,
        device_mldsa=strictjson.encode_base64(device_mldsa.raw),
        request=request_sha256,
        approval=approval.decode("ascii"),
        enrolments=tuple(each.decode("ascii") for each in enrolments),
        records=tuple(lines),
        second_signatures=tuple(lines.values()),
        parts=tuple(
            Part(kind=item.kind, id=item.id, size_bytes=item.size_bytes, sha256=digest)
            for item, digest in zip(items, part_hashes, strict=True)
        ),
        ledger=ledger,
        co_approval=None if co_approval is None else co_approval.decode("ascii"),
        clips=told,
        time=time,
    )


def stored_file(kind: PartKind, signed: SignedRecord | None) -> SealedFile | None:
    """Returns the sealed file of that kind that `signed` records, or None if the record lacks it."""
    if signed is None or not isinstance(signed.record, SegmentRecord | RecoveredRecord):
        return None
    record = signed.record
    files = {
        PartKind.SEGMENT: record.file,
        PartKind.POSTER: record.poster_file,
        PartKind.SOUND: record.sound_file,
    }
    return files[kind]


_KIND: Final = "doorward-reply"
_TAG_DIGITS: Final = 16


def reply_tag(reply: str) -> str:
    """Returns the first 16 hex digits of the SHA-256 of the recipient's text."""
    return hashlib.sha256(reply.encode("ascii")).hexdigest()[:_TAG_DIGITS]


def reply_stanza(reply: str) -> Stanza:
    return Stanza(_KIND, (reply_tag(reply),), b"")


def reply_tag_in(part: bytes) -> str:
    """Returns the tag in the header of part 0. Raises `FormatError` unless it has exactly one."""
    header, _ = parse_header(part)
    found = [stanza for stanza in header.stanzas if stanza.kind == _KIND]
    # One stanza in one spelling, so that two readers cannot take one answer for answers to two requests.
    if len(found) != 1 or len(found[0].arguments) != 1 or found[0].body:
        raise FormatError(f"Part 0 must name its reply key in one stanza of kind {_KIND}.")
    return found[0].arguments[0]
