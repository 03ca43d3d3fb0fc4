"""Messages of a disclosure: the manifest from the device and the receipt from the requester.

A disclosure is a numbered list of parts. Part 0 is the manifest in its envelope, signed by the device and sealed to the
request's reply key, so that the broker cannot read who shares which footage. Parts 1, 2, … are the age files that the
manifest lists, in its order. The manifest carries the evidence for an outside check: the owner's approval and enrolment
as signed, and the device's capture-time records word for word. A receipt names part 0 by hash, and through part 0 each
byte of each part. A part counts as delivered only by a receipt.

Source: PROTOCOL.md, "Disclosure" and "Receipt".
"""

from __future__ import annotations

import enum
import itertools
import re
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.envelope import HybridKey, pae
from agent.wire.fields import (
    EMAIL,
    Count,
    DeviceKeyText,
    HexId,
    KeyId,
    KeyText,
    RequesterId,
    SegmentIdText,
    Sequence,
    Sha256,
    UtcS,
    Version1,
    check_text,
    distinct,
)
from agent.wire.identities import (
    MLDSA_KEY_CHARACTERS,
    MLDSA_SIGNATURE_BYTES,
    MldsaPublicKey,
    PublicKey,
    parse_public_key,
)
from agent.wire.messages import MAX_NAME_CHARACTERS, RetentionDays, payload_type
from agent.wire.statements import MAX_CLIPS, MAX_ENROLMENTS, MAX_SEGMENTS, STATEMENT_ENVELOPE_LIMIT_BYTES
from agent.wire.strictjson import Message
from agent.wire.time_proofs import TimeProof

__all__ = [
    "DISCLOSURE_ENVELOPE_LIMIT_BYTES",
    "DISCLOSURE_LIMIT_BYTES",
    "MAX_PARTS",
    "TIP_PADDED_BYTES",
    "ByteRange",
    "ClipRecords",
    "ContactCard",
    "DisclosureManifest",
    "LedgerProof",
    "Part",
    "PartKind",
    "PartMissing",
    "PartRange",
    "Receipt",
    "ReceiptState",
    "SecondSignature",
    "TipManifest",
    "TipText",
    "tip_records_encoding",
]

DISCLOSURE_LIMIT_BYTES: Final = 48 * 1024 * 1024
DISCLOSURE_ENVELOPE_LIMIT_BYTES: Final = 64 * 1024 * 1024 + 1024
MAX_PARTS: Final = 3 * MAX_SEGMENTS
MAX_RECORD_CHARACTERS: Final = 16_384
MAX_CARD_CHARACTERS: Final = 200
MAX_TIP_CHARACTERS: Final = 2_000
TIP_PADDED_BYTES: Final = 16_384
"""Length of part 0 of a tip of words, with spaces behind its JSON: the sealed length tells nothing of the words."""
MAX_TIP_MESSAGE_CHARACTERS: Final = 16_384
_MLDSA_SIGNATURE_CHARACTERS: Final = 4 * -(-MLDSA_SIGNATURE_BYTES // 3)
_MAX_CHECKPOINT_CHARACTERS: Final = 16_384
_MAX_ENTRY_CHARACTERS: Final = 2_048
_MAX_PATH: Final = 64
_MAX_SPANS: Final = 64
"""A receipt stays below 8 KiB. The next receipt asks for further spans."""


class ContactCard(Message, frozen=True):
    """Contact data that an owner chose to share. It is sent only inside an age file sealed to one request's `reply`."""

    v: Version1
    name: str | None = None
    street: str | None = None
    email: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for field, limit in (("name", MAX_NAME_CHARACTERS), ("street", MAX_CARD_CHARACTERS), ("note", 500)):
            value = getattr(self, field)
            if value is not None:
                check_text(field, value, limit)
        if self.email is not None and re.match(EMAIL, self.email) is None:
            raise FormatError("email: not a plain address.", remedy="Write it like name@example.org.")


class PartKind(enum.Enum):
    SEGMENT = "segment"
    POSTER = "poster"
    SOUND = "sound"
    """Sound recorded during the segment of the same id."""


class Part(Message, frozen=True):
    """One age file as it is sent: new header ++ stored payload."""

    kind: PartKind
    id: SegmentIdText
    size_bytes: Annotated[int, Meta(ge=1, le=2**40)]
    sha256: Sha256


class LedgerProof(Message, frozen=True):
    """Proof that the device's ledger held the approval before the device sent anything: an entry and its inclusion
    proof.

    The proof reveals no other entry, and later checkpoints of the device must continue this one.
    """

    checkpoint: Annotated[str, Meta(max_length=_MAX_CHECKPOINT_CHARACTERS)]
    """The signed note, as the device's owner sees them too."""
    entry: Annotated[str, Meta(max_length=_MAX_ENTRY_CHARACTERS)]
    """The leaf, word for word."""
    index: Count
    path: Annotated[tuple[Sha256, ...], Meta(max_length=_MAX_PATH)]
    """The inclusion proof of RFC 6962, from the leaf up."""


class ClipRecords(Message, frozen=True):
    """Capture records of a clip that the approval names, as hashes: an owner can show a part of it without the rest.

    Each hash is the RFC 6962 leaf hash of a record's line, in the order of the manifest. A reader of a record, now or
    later, looks for its hash here. A match shows that the device had the record when the owner decided.
    """

    from_ms: Annotated[int, Meta(ge=0)]
    to_ms: Annotated[int, Meta(ge=0)]
    leaves: Annotated[tuple[Sha256, ...], Meta(min_length=1, max_length=MAX_SEGMENTS)]
    prev_in_clip: Sha256 | None = None
    """Chain value before the first of these records. Present if each record was signed at capture as the successor of
    the records before it (`core.vault.following`). Then a record that is shown proves the records before it, and that
    the list is complete. None for footage without that chain, and if one of the records is no longer kept."""


class SecondSignature(enum.Enum):
    """The device's word about a record: if its own ML-DSA-44 signatures cover it.

    Both signatures of the device come with the whole answer, so the word is as good as the lines that lead there. A
    proof of hashes would tell how many other records there are.
    """

    COVERED = "covered"
    """The device verified it when it answered: one from the time of recording is on the record or behind it in the
    manifest. Or the record is among the newest, which have no fault, and that of the answer covers it. The two look
    alike, because the difference tells if the camera was on since."""
    NONE = "none"
    """Damage, or a forger of Ed25519, keeps the record from leading to a second signature. That of the answer says that
    the device had it then."""


class DisclosureManifest(Message, frozen=True):
    """Part 0, signed by the device: the identity of this disclosure and the evidence that each of its bytes may
    leave."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("disclosure-manifest")

    v: Version1
    disclosure: HexId
    device: DeviceKeyText
    device_mldsa: Annotated[str, Meta(max_length=MLDSA_KEY_CHARACTERS)]
    """The device's ML-DSA-44 public key in base64. The enrolments name its hash, and it signs this manifest too."""
    request: Sha256
    """SHA-256 of the request's payload bytes."""
    approval: Annotated[str, Meta(max_length=STATEMENT_ENVELOPE_LIMIT_BYTES)]
    """The `statements.Approval` in its envelope, as the owner's client signed it."""
    enrolments: Annotated[
        tuple[Annotated[str, Meta(max_length=STATEMENT_ENVELOPE_LIMIT_BYTES)], ...],
        Meta(min_length=1, max_length=MAX_ENROLMENTS),
    ]
    """Every `statements.Enrolment` of the device in its envelope, from epoch 1 to the one in force at the approval."""
    records: Annotated[
        tuple[Annotated[str, Meta(max_length=MAX_RECORD_CHARACTERS)], ...], Meta(max_length=2 * MAX_SEGMENTS)
    ]
    """Lines of the device's manifest, word for word without their newline: one for each segment or poster sent."""
    second_signatures: Annotated[tuple[SecondSignature, ...], Meta(max_length=2 * MAX_SEGMENTS)]
    """For each of `records`, in their order."""
    parts: Annotated[tuple[Part, ...], Meta(max_length=MAX_PARTS)]
    """Part n of the transfer is `parts[n - 1]`. Empty if the approval only says that clips exist."""
    ledger: LedgerProof
    co_approval: Annotated[str, Meta(max_length=STATEMENT_ENVELOPE_LIMIT_BYTES)] | None = None
    """The `statements.CoApproval` in its envelope, if the enrolment requires two owners to approve."""
    clips: Annotated[tuple[ClipRecords, ...], Meta(max_length=MAX_CLIPS)] = ()
    """One entry for each clip that the approval names, in its order."""
    time: TimeProof | None = None
    """The newest confirmation of time by others that the device had. It is older than the device's signature."""

    def __post_init__(self) -> None:
        parse_public_key(self.device)
        _ = self.mldsa_key
        distinct("parts", tuple((part.kind, part.id) for part in self.parts))
        if len(self.second_signatures) != len(self.records):
            raise FormatError("second_signatures: one for each record.")

    @property
    def device_key(self) -> PublicKey:
        return parse_public_key(self.device)

    @property
    def mldsa_key(self) -> MldsaPublicKey:
        return MldsaPublicKey.parse(self.device_mldsa)

    @property
    def device_keys(self) -> HybridKey:
        return HybridKey(self.device_key, self.mldsa_key)


class TipText(Message, frozen=True):
    """Text of a tip, readable only by its requester."""

    v: Version1
    text: str

    def __post_init__(self) -> None:
        check_text("text", self.text, MAX_TIP_CHARACTERS)


class TipManifest(Message, frozen=True):
    """Part 0 of a tip. It is unsigned, because a signature would name the sender.

    If the tip has footage, the device signed its records at capture. These signatures identify the device, and so link
    this tip to its other answers. A tip with words only stays unlinked. `records_mldsa` covers the records alone, so
    it says no more about the tip than they do.
    """

    v: Version1
    tip: HexId
    trust_root: KeyId
    message: Annotated[str, Meta(max_length=MAX_TIP_MESSAGE_CHARACTERS)] | None = None
    device: KeyText | None = None
    device_mldsa: Annotated[str, Meta(max_length=MLDSA_KEY_CHARACTERS)] | None = None
    """The device's ML-DSA-44 public key in base64, exactly if `device` is there."""
    records_mldsa: Annotated[str, Meta(max_length=_MLDSA_SIGNATURE_CHARACTERS)] | None = None
    """Its signature of the records (`tip_records_encoding`), in base64, exactly if `device` is there."""
    records: Annotated[
        tuple[Annotated[str, Meta(max_length=MAX_RECORD_CHARACTERS)], ...], Meta(max_length=2 * MAX_SEGMENTS)
    ] = ()
    parts: Annotated[tuple[Part, ...], Meta(max_length=MAX_PARTS)] = ()

    def __post_init__(self) -> None:
        distinct("parts", tuple((part.kind, part.id) for part in self.parts))
        if (self.device is None) == bool(self.parts):
            raise FormatError("device: present where footage is, and absent where only words are.")
        if {self.device is None} != {self.device_mldsa is None, self.records_mldsa is None}:
            raise FormatError("device_mldsa, records_mldsa: present exactly where the device is.")
        if self.device is not None:
            parse_public_key(self.device)
        if self.device_mldsa is not None:
            MldsaPublicKey.parse(self.device_mldsa)
        if (
            self.records_mldsa is not None
            and len(strictjson.decode_base64(self.records_mldsa)) != MLDSA_SIGNATURE_BYTES
        ):
            raise FormatError(f"records_mldsa: an ML-DSA-44 signature has {MLDSA_SIGNATURE_BYTES} bytes.")
        if self.message is not None:
            strictjson.decode_base64(self.message)


class _TipRecords(Message, frozen=True):
    """The second signature of a tip's footage is over this, and over nothing that tells of the tip."""

    records: tuple[str, ...]


def tip_records_encoding(records: tuple[str, ...]) -> bytes:
    """Returns what the device's ML-DSA-44 key signs in a tip with footage."""
    return pae(payload_type("tip-records"), strictjson.encode(_TipRecords(records=records)))


class ByteRange(Message, frozen=True, array_like=True):
    """Bytes `[start, end)` of a part, written `[start, end]`."""

    start: Count
    end: Count

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise FormatError("missing: a span ends before it begins.")


class PartRange(Message, frozen=True, array_like=True):
    """Parts `first` to `last`, both included, written `[first, last]`."""

    first: Annotated[int, Meta(ge=0, le=MAX_PARTS)]
    last: Annotated[int, Meta(ge=0, le=MAX_PARTS)]

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise FormatError("stored: a range of parts ends before it begins.")


class PartMissing(Message, frozen=True):
    """Missing bytes of a part that is partly stored."""

    part: Annotated[int, Meta(ge=0, le=MAX_PARTS)]
    missing: Annotated[tuple[ByteRange, ...], Meta(min_length=1, max_length=_MAX_SPANS)]

    def __post_init__(self) -> None:
        _require_ascending("missing", tuple((span.start, span.end) for span in self.missing))


class ReceiptState(enum.Enum):
    PARTIAL = "partial"
    """Send the rest."""
    COMPLETE = "complete"
    """Everything is stored durably and verified, and opened except `unopened`. Closes the disclosure."""
    REFUSED = "refused"
    """Stop: the disclosure differs from the request, fails a check, or is unwanted by now."""


class Receipt(Message, frozen=True, kw_only=True):
    """List of what the requester has stored durably of one disclosure, signed with its signing key."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("receipt")

    v: Version1
    disclosure: HexId
    request: HexId | None = None
    """None until part 0 is opened, because only part 0 says which request the disclosure answers."""
    requester: RequesterId
    trust_root: KeyId
    seq: Sequence
    """Grows with every message this requester signs with this key; a device ignores receipts older than the newest."""
    state: ReceiptState
    manifest: Sha256 | None = None
    """SHA-256 of part 0 as received, which commits to each part. None while part 0 is incomplete."""
    stored: Annotated[tuple[PartRange, ...], Meta(max_length=_MAX_SPANS)] = ()
    incomplete: Annotated[tuple[PartMissing, ...], Meta(max_length=_MAX_SPANS)] = ()
    """The other parts, which are still to arrive."""
    question: Sequence | None = None
    """Number of the newest init that the requester had read. MQTT keeps the order, so the receipt counts all data that
    the device sent before that init and the broker did not drop. Only a receipt with the newest number says what is
    missing. An older receipt counts data that is still on its way."""
    unopened: Annotated[tuple[PartRange, ...], Meta(max_length=_MAX_SPANS)] = ()
    """Parts that match their hashes but fail to open as film, sound or still. Only in a complete receipt."""
    retention_days: RetentionDays | None = None
    """The request's `retention_days`, or less. An owner's client reports more as a broken promise."""
    time_s: UtcS | None = None

    def __post_init__(self) -> None:
        _require_ascending("stored", tuple((span.first, span.last + 1) for span in self.stored))
        _require_ascending("unopened", tuple((span.first, span.last + 1) for span in self.unopened))
        # Part 0 is the manifest. A requester that could not open it cannot call the answer complete.
        if self.unopened and (self.state is not ReceiptState.COMPLETE or self.unopened[0].first == 0):
            raise FormatError("unopened: parts from the first file on, in a receipt that is complete.")
        distinct("incomplete", tuple(part.part for part in self.incomplete))
        for part in self.incomplete:
            if any(span.first <= part.part <= span.last for span in self.stored):
                raise FormatError("incomplete: a part is both stored and incomplete.")
        if self.state is ReceiptState.COMPLETE and (self.manifest is None or self.incomplete):
            raise FormatError("state: complete needs the manifest's hash and leaves nothing incomplete.")
        if self.state is not ReceiptState.PARTIAL and self.request is None:
            raise FormatError("request: present in a receipt that closes a disclosure.")


def _require_ascending(field: str, spans: tuple[tuple[int, int], ...]) -> None:
    """Raises unless the spans ascend with gaps between them, so that each set has one spelling."""
    if any(after[0] <= before[1] for before, after in itertools.pairwise(spans)):
        raise FormatError(f"{field}: not ascending with gaps between.")
