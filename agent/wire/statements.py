"""Statements of owners, signed with both keys of an approver: the enrolment of owners, and their decisions.

Each statement has two signatures, by Ed25519 and by ML-DSA-44 (`sign_statement`, `open_statement`). A device obeys a
statement only if it names the device and an approver of its newest enrolment signed it. An approver
listed in the first enrolment signs it (set-up happens in the owner's hands). An approver of the previous enrolment
signs each later one, which names the previous payload by hash. The enrolments are therefore a chain that cannot be cut.
`open_chain` verifies it from its first link, and the whole chain travels with each disclosure.

`owner_time_ms` is the owner's clock, which decides if a request has expired. `nonce` makes each statement unique. The
device gives out the nonces (`custodian.verified_statements`), so that it refuses a statement that was delayed on its
way. Source: PROTOCOL.md, "Statements of an owner".
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta

from agent.errors import FormatError
from agent.wire import envelope, strictjson
from agent.wire.area import Point
from agent.wire.envelope import HybridKey, HybridSigned, VerifiedEnvelope
from agent.wire.fields import (
    Base64Text,
    DeviceKeyText,
    HexId,
    HybridRecipientText,
    Incident,
    KeyId,
    KeyText,
    Kind,
    Label,
    RecipientText,
    RequesterId,
    SegmentIdText,
    Sha256,
    TrustKeyText,
    UtcMs,
    UtcS,
    Version1,
    ZoneKind,
    check_text,
    distinct,
)
from agent.wire.identities import (
    MLDSA_KEY_CHARACTERS,
    MldsaPublicKey,
    PublicKey,
    approval_mldsa_key,
    parse_public_key,
    public_key_of,
)
from agent.wire.messages import payload_type
from agent.wire.strictjson import Message, form
from agent.wire.trust_keys import parse_trust_key

__all__ = [
    "MAX_ENROLMENTS",
    "MAX_GAPS",
    "MAX_OWNERS",
    "MAX_SEGMENTS",
    "STATEMENT_ENVELOPE_LIMIT_BYTES",
    "STATEMENT_LIMIT_BYTES",
    "AbsenceReason",
    "Approval",
    "ClipClaim",
    "CoApproval",
    "Denial",
    "Enrolment",
    "Erasure",
    "FootageAbsence",
    "Hold",
    "NamedKey",
    "NamedRecipient",
    "OptIn",
    "OptOut",
    "OwnerStatement",
    "PrivateHoursSetting",
    "PushSubscription",
    "PushUnsubscription",
    "QuietHoursSetting",
    "Redacted",
    "Release",
    "Revocation",
    "Scope",
    "SealedItem",
    "Settings",
    "Stolen",
    "StolenNotice",
    "Tip",
    "TrustChange",
    "UpdateChoice",
    "UpdateReversal",
    "ZoneSetting",
    "approval_mldsa",
    "open_chain",
    "open_enrolment",
    "open_statement",
    "open_stolen",
    "read_statement",
    "require_one_line",
    "sign_statement",
]

MAX_OWNERS: Final = 8
MAX_ENROLMENTS: Final = 256
"""Enrolments in the life of one device. All of them travel with each disclosure, so their number is bounded."""
MAX_SEGMENTS: Final = 10_000
"""More segments than twelve hours, the longest window, hold at the usual five seconds."""
MAX_GAPS: Final = 4_096
MAX_CLIPS: Final = 4_096
MAX_KEPT: Final = 4_096
MAX_SETTING_CHARACTERS: Final = 64
MAX_CONTACT_CHARACTERS: Final = 16_384
STATEMENT_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""Payload limit. Statements come from the owner's client over the local socket or page, never over MQTT."""
STATEMENT_ENVELOPE_LIMIT_BYTES: Final = 6 * 1024 * 1024

_MAX_ROOTS_CHANGED: Final = 16
MAX_ENDPOINT_CHARACTERS: Final = 1000
_MAX_PUSH_KEY_CHARACTERS: Final = 128


class OwnerStatement(Message, frozen=True):
    """Fields that each owner's statement has."""

    v: Version1
    device: DeviceKeyText
    owner_time_ms: UtcMs
    nonce: HexId

    def __post_init__(self) -> None:
        parse_public_key(self.device)

    @property
    def device_key(self) -> PublicKey:
        return parse_public_key(self.device)


class NamedRecipient(Message, frozen=True):
    """An owner's age recipient."""

    name: Label
    recipient: RecipientText


class NamedKey(Message, frozen=True):
    """An owner's approval key: the public halves of both its keys."""

    name: Label
    key: KeyText
    mldsa: Annotated[Base64Text, Meta(max_length=MLDSA_KEY_CHARACTERS)]
    """The ML-DSA-44 key (`wire.identities`), in base64."""

    @classmethod
    def of(cls, name: str, approval: Ed25519PrivateKey) -> NamedKey:
        return cls(name=name, key=public_key_of(approval).text, mldsa=approval_mldsa(approval))

    @property
    def public_keys(self) -> HybridKey:
        """Raises `FormatError`."""
        return HybridKey(parse_public_key(self.key), MldsaPublicKey.parse(self.mldsa))


class Enrolment(OwnerStatement, frozen=True):
    """List of owners: from `epoch` on, this device seals to these recipients and obeys these approvers."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("enrolment")

    epoch: Annotated[int, Meta(ge=1, le=MAX_ENROLMENTS)]
    recipients: Annotated[tuple[NamedRecipient, ...], Meta(min_length=1, max_length=MAX_OWNERS)]
    approvers: Annotated[tuple[NamedKey, ...], Meta(min_length=1, max_length=MAX_OWNERS)]
    recovery: RecipientText
    device_mldsa: Sha256
    """SHA-256 of the device's ML-DSA-44 public key (`wire.identities`), the same in all enrolments of a device."""
    previous: Sha256 | None = None
    """SHA-256 of the previous enrolment's payload; None exactly in epoch 1."""
    approvals_needed: Literal[1, 2] = 1
    """Number of different owners who must approve a disclosure."""

    def __post_init__(self) -> None:
        super().__post_init__()
        distinct("recipients", tuple(recipient.name for recipient in self.recipients))
        distinct("recipients", (*(recipient.recipient for recipient in self.recipients), self.recovery))
        distinct("approvers", tuple(approver.name for approver in self.approvers))
        # The device's key must not be an approver's, or a doorbell that is taken over could say yes.
        distinct("approvers", (*(approver.key for approver in self.approvers), self.device))
        distinct("approvers", tuple(approver.mldsa for approver in self.approvers))
        for approver in self.approvers:
            # Parses both keys, so that a damaged one is refused here and not at the first approval.
            _ = approver.public_keys
        if self.approvals_needed > len(self.approvers):
            raise FormatError("approvals_needed: more than there are approvers.")
        if (self.previous is None) != (self.epoch == 1):
            raise FormatError("previous: absent in epoch 1 and present in every later one.")

    @property
    def signers(self) -> Mapping[str, HybridKey]:
        """Returns both keys of each approver by key id, as `open_statement` takes them."""
        keys = (approver.public_keys for approver in self.approvers)
        return {key.id: key for key in keys}

    @property
    def approver_keys(self) -> Mapping[str, PublicKey]:
        """Returns the Ed25519 keys by key id. They open sessions, and sign no statement alone."""
        return {name: signer.ed25519 for name, signer in self.signers.items()}

    def name_of(self, key_id: str) -> str:
        """Returns the label of the approver with that key id. Raises `KeyError`."""
        key = self.approver_keys[key_id].text
        return next(approver.name for approver in self.approvers if approver.key == key)


class Redacted(Message, frozen=True):
    """The file that the owner's client made in place of the captured one: redacted, and sealed to the requester.

    `payload_sha256` is of its age payload. `key` commits to its file key, as a record does at capture: without it an
    owner could make one payload that opens to two films.
    """

    payload_sha256: Sha256
    key: Sha256


class SealedItem(Message, frozen=True):
    """One segment, poster or sound to disclose: its stored bytes and its new header.

    `payload_sha256` is of the age payload as the device stores it and signed it at capture. `header_sha256` is of the
    new age header, made for the requester by the owner's client. The device sends the new header and then the stored
    payload. With `redacted` it sends the redacted payload instead, and the stored one stays.
    """

    id: SegmentIdText
    payload_sha256: Sha256
    header_sha256: Sha256
    redacted: Redacted | None = None

    @property
    def sent_payload_sha256(self) -> str:
        """Hash of the payload that is sent."""
        return self.redacted.payload_sha256 if self.redacted is not None else self.payload_sha256


class AbsenceReason(enum.Enum):
    """Reason why a device has no footage of a stretch of time (FORMAT.md, "What a window holds")."""

    GONE = "no longer kept"
    FORGOTTEN = "no longer known"
    PRIVACY = "privacy switch"
    OFF = "switched off"
    CAMERA_LOST = "camera lost"
    COVERED = "camera covered"
    STORAGE = "storage failed"
    NOTHING = "nothing happened"
    CLOCK_UNKNOWN = "clock unknown"
    DEVICE_OFF = "device off"
    NOT_YET = "not known yet"


class FootageAbsence(Message, frozen=True):
    """A stretch [from_ms, to_ms) of UTC without footage, and the reason."""

    from_ms: Annotated[int, Meta(ge=0)]
    to_ms: Annotated[int, Meta(ge=0)]
    reason: AbsenceReason


class ClipClaim(Message, frozen=True):
    """Statement that a clip exists: `segments` of it match, from the start of the first to the end of the last."""

    from_ms: Annotated[int, Meta(ge=0)]
    to_ms: Annotated[int, Meta(ge=0)]
    segments: Annotated[int, Meta(ge=1, le=MAX_SEGMENTS)]


class Approval(OwnerStatement, frozen=True):
    """Approval: exactly these items, to exactly this reply key, for exactly this request."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("approval")

    request: Sha256
    """SHA-256 of the request's payload bytes."""
    reply: HybridRecipientText
    segments: Annotated[tuple[SealedItem, ...], Meta(max_length=MAX_SEGMENTS)]
    posters: Annotated[tuple[SealedItem, ...], Meta(max_length=MAX_SEGMENTS)] = ()
    sounds: Annotated[tuple[SealedItem, ...], Meta(max_length=MAX_SEGMENTS)] = ()
    """Sounds of segments that are shared. The owner lists each one, because the default is pictures only."""
    contact: Annotated[Base64Text, Meta(max_length=MAX_CONTACT_CHARACTERS)] | None = None
    """An age file sealed to `reply` holding a `disclosures.ContactCard`: the device and the broker cannot read it."""
    gaps: Annotated[tuple[FootageAbsence, ...], Meta(max_length=MAX_GAPS)] | None = None
    """Gaps that the requester may know of in the rest of the window. None (the default) reveals no gap."""
    clips: Annotated[tuple[ClipClaim, ...], Meta(min_length=1, max_length=MAX_CLIPS)] | None = None
    """Clips that the requester may know of (existence and times) but not see."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_ms = 0
        for absence in self.gaps or ():
            if not at_ms <= absence.from_ms < absence.to_ms:
                raise FormatError("gaps: each must end after it begins and before the next one begins.")
            at_ms = absence.to_ms
        if not self.segments and not self.posters and not self.clips:
            raise FormatError("segments: an approval must name an item or a clip.", remedy="Refuse instead.")
        distinct("clips", self.clips or ())
        distinct("segments", tuple(item.id for item in self.segments))
        distinct("posters", tuple(item.id for item in self.posters))
        distinct("sounds", tuple(item.id for item in self.sounds))
        if not {item.id for item in self.sounds} <= {item.id for item in self.segments}:
            raise FormatError("sounds: only of segments that are shared.")
        # Two items under one header would share a file key, and opening one would open the other.
        headers = tuple(item.header_sha256 for item in (*self.segments, *self.posters, *self.sounds))
        distinct("segments, posters and sounds", headers)
        distinct("redacted", tuple(item.sent_payload_sha256 for item in self.redacted_items))
        if any(item.redacted is not None for item in self.posters):
            raise FormatError("posters: a still is shared as it was captured, or not at all.")
        # The still shows what the owner covered in the film.
        if {item.id for item in self.segments if item.redacted is not None} & {item.id for item in self.posters}:
            raise FormatError("posters: not of a segment that is redacted.")
        if self.contact is not None:
            strictjson.decode_base64(self.contact)

    @property
    def redacted_items(self) -> tuple[SealedItem, ...]:
        """Returns the items that the owner's client has redacted."""
        return tuple(item for item in (*self.segments, *self.sounds) if item.redacted is not None)


class Tip(OwnerStatement, frozen=True):
    """Tip: words, stills or segments that an owner sends to one requester unasked and anonymously."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("tip")

    tip: HexId
    """Id of the tip in transit, drawn by the owner's client."""
    trust_root: KeyId
    """The root under which the requester is trusted."""
    requester: RequesterId
    reply: HybridRecipientText
    """The requester's `tips` recipient, as its trust bundle has it."""
    message: Annotated[str, Meta(max_length=MAX_CONTACT_CHARACTERS)] | None = None
    """An age file sealed to `reply` holding a `disclosures.TipText`: device and broker cannot read it."""
    segments: Annotated[tuple[SealedItem, ...], Meta(max_length=MAX_SEGMENTS)] = ()
    posters: Annotated[tuple[SealedItem, ...], Meta(max_length=MAX_SEGMENTS)] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.message is None and not self.segments and not self.posters:
            raise FormatError("message: a tip needs a message or an item.")
        distinct("segments", tuple(item.id for item in self.segments))
        distinct("posters", tuple(item.id for item in self.posters))
        distinct("header_sha256", tuple(item.header_sha256 for item in (*self.segments, *self.posters)))
        if any(item.redacted is not None for item in (*self.segments, *self.posters)):
            raise FormatError("redacted: only in an approval.")
        if self.message is not None:
            strictjson.decode_base64(self.message)


class CoApproval(OwnerStatement, frozen=True):
    """A second owner's approval of exactly the same items, if the owners have agreed that it takes two."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("co-approval")

    request: Sha256
    approval: Sha256
    """SHA-256 of the first approval's payload: every segment and header in it."""


class Denial(OwnerStatement, frozen=True):
    """Denial of a request. It stays on the device, and the requester receives no answer."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("denial")

    request: Sha256


class Scope(enum.Enum):
    """Scope of an opt-out."""

    ALL = "all"
    REQUESTER = "requester"
    KIND = "kind"
    INCIDENT = "incident"
    HOURS = "hours"
    """Quiet hours: the owner is notified of a request when the hours end. `value` is `2200-0700`, local time."""
    BULLETINS = "bulletins"
    """Bulletins of one kind of requester: they are not listed. Requests are not concerned."""


_HOURS: Final = re.compile(r"([01]\d|2[0-3])[0-5]\d-([01]\d|2[0-3])[0-5]\d")
_VALUES_OF: Final[Mapping[Scope, frozenset[str]]] = {
    Scope.KIND: frozenset(kind.value for kind in Kind),
    Scope.INCIDENT: frozenset(incident.value for incident in Incident),
    Scope.BULLETINS: frozenset(kind.value for kind in Kind),
}


def _require_scope(scope: Scope, value: str | None, trust_root: str | None) -> None:
    if (trust_root is None) != (scope is not Scope.REQUESTER):
        raise FormatError("trust_root: present for the scope requester, absent for every other.")
    if (value is None) != (scope is Scope.ALL):
        raise FormatError("value: absent for the scope all, present for every other.")
    if value is not None and scope in _VALUES_OF and value not in _VALUES_OF[scope]:
        raise FormatError(f"value: requests have no such {scope.value}.")
    if value is not None and scope is Scope.HOURS and not _HOURS.fullmatch(value):
        raise FormatError("value: quiet hours are written 2200-0700.")


class OptOut(OwnerStatement, frozen=True):
    """Opt-out from requests: all, of one requester, of one kind, or for one kind of incident. Or quiet hours. Or an
    opt-out from the bulletins of one kind of requester.

    `trust_root` names the root of that one requester, because another root may give the same id to another requester.
    With `until_s` it ends at that time, otherwise it is permanent.
    """

    PAYLOAD_TYPE: ClassVar[str] = payload_type("opt-out")

    scope: Scope
    value: Label | None = None
    trust_root: KeyId | None = None
    until_s: UtcS | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_scope(self.scope, self.value, self.trust_root)


class OptIn(OwnerStatement, frozen=True):
    """Lifts the opt-out of the same scope, value and root."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("opt-in")

    scope: Scope
    value: Label | None = None
    trust_root: KeyId | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_scope(self.scope, self.value, self.trust_root)


class Revocation(OwnerStatement, frozen=True):
    """Revocation of an approval: no further upload starts. Data that has left the device cannot be called back."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("revocation")

    disclosure: HexId


HeldSegmentIds = Annotated[tuple[SegmentIdText, ...], Meta(min_length=1, max_length=MAX_KEPT)]


class Hold(OwnerStatement, frozen=True):
    """Hold: keeps these segments out of the rolling deletion until a time."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("hold")

    segments: HeldSegmentIds
    until_s: UtcS

    def __post_init__(self) -> None:
        super().__post_init__()
        distinct("segments", self.segments)


class Release(OwnerStatement, frozen=True):
    """Release of a hold: retention applies to these segments again."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("release")

    segments: HeldSegmentIds

    def __post_init__(self) -> None:
        super().__post_init__()
        distinct("segments", self.segments)


class Erasure(OwnerStatement, frozen=True):
    """Deletion of these segments now. Copies that were shared remain with their requesters."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("erasure")

    segments: HeldSegmentIds

    def __post_init__(self) -> None:
        super().__post_init__()
        distinct("segments", self.segments)


class TrustChange(OwnerStatement, frozen=True):
    """Change of the roots that may vouch for requesters at this door."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("trust-change")

    roots_added: Annotated[tuple[TrustKeyText, ...], Meta(max_length=_MAX_ROOTS_CHANGED)] = ()
    roots_removed: Annotated[tuple[TrustKeyText, ...], Meta(max_length=_MAX_ROOTS_CHANGED)] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.roots_added and not self.roots_removed:
            raise FormatError("roots_added: a trust change must add or remove a root.")
        distinct("roots_added and roots_removed", (*self.roots_added, *self.roots_removed))
        for root in self.roots_added:
            parse_trust_key(root)


TenThousandth = Annotated[int, Meta(ge=0, le=10_000)]
Minute = Annotated[int, Meta(ge=0, le=1439)]
Percent = Annotated[int, Meta(ge=10, le=1000)]
PersonHeight = Annotated[int, Meta(ge=0, le=8000)]
"""Height of the smallest person that counts, in ten-thousandths of the picture's. 0: anything that moves counts."""


class ZoneSetting(Message, frozen=True):
    """A polygon on the picture. Corners are (x, y) in ten-thousandths of its sides, from the top left."""

    name: str
    kind: ZoneKind
    corners: Annotated[tuple[tuple[TenThousandth, TenThousandth], ...], Meta(min_length=3, max_length=64)]
    sensitivity_percent: Percent = 100
    smallest_person: PersonHeight = 0

    def __post_init__(self) -> None:
        check_text("zones.name", self.name, MAX_SETTING_CHARACTERS)


class QuietHoursSetting(Message, frozen=True):
    """Quiet hours in minutes of the device's local day. They run over midnight if they end before they begin."""

    begins_minute: Minute
    ends_minute: Minute


class PrivateHoursSetting(Message, frozen=True):
    """Hours with the camera off. `days`: 0 is Monday. Hours over midnight belong to the day on which they begin."""

    days: Annotated[tuple[Annotated[int, Meta(ge=0, le=6)], ...], Meta(min_length=1, max_length=7)]
    begins_minute: Minute
    ends_minute: Minute

    def __post_init__(self) -> None:
        distinct("private.days", self.days)


class Settings(OwnerStatement, frozen=True):
    """Settings in place of the configuration's. The configuration's value applies to each absent field."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("settings")

    previous: Sha256 | None = None
    """SHA-256 of the payload this one follows. None for the first."""
    name: str | None = None
    position: Point | None = None
    sensitivity_percent: Percent | None = None
    smallest_person: PersonHeight | None = None
    zones: Annotated[tuple[ZoneSetting, ...], Meta(max_length=32)] | None = None
    max_bytes: Annotated[int, Meta(ge=10_000_000, le=10**15)] | None = None
    max_age_days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    quiet: QuietHoursSetting | None = None
    private: Annotated[tuple[PrivateHoursSetting, ...], Meta(max_length=16)] | None = None
    updates: Literal["ask", "security"] | None = None
    """"security": the device installs security updates without asking an owner. Absent or "ask": it asks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is not None:
            check_text("name", self.name, MAX_SETTING_CHARACTERS)
        distinct("zones", tuple(zone.name for zone in self.zones or ()))


class PushSubscription(OwnerStatement, frozen=True):
    """Web push subscription for notifications: the three values that the browser gives, and its glance key.

    `glance` opens the pictures of alerts, live view and the offers of a talk session, and nothing stored.
    `glance_signer` may open sessions of the link, in which it may call the operations with the access level
    `glance`."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("push-subscription")

    endpoint: Annotated[str, Meta(min_length=1, max_length=MAX_ENDPOINT_CHARACTERS)]
    p256dh: Annotated[str, Meta(max_length=_MAX_PUSH_KEY_CHARACTERS)]
    auth: Annotated[str, Meta(max_length=_MAX_PUSH_KEY_CHARACTERS)]
    glance: HybridRecipientText | None = None
    glance_signer: KeyText | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.glance_signer is not None:
            parse_public_key(self.glance_signer)


class PushUnsubscription(OwnerStatement, frozen=True):
    """End of the notifications to the browser with this endpoint."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("push-unsubscription")

    endpoint: Annotated[str, Meta(min_length=1, max_length=MAX_ENDPOINT_CHARACTERS)]


class UpdateChoice(OwnerStatement, frozen=True):
    """Choice of the update on offer: install exactly this package now."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("update-choice")

    version: Annotated[str, form(r"^[0-9]{1,5}(\.[0-9]{1,5}){2}\Z", "three numbers like 0.2.1")]
    sha256: Sha256


class UpdateReversal(OwnerStatement, frozen=True):
    """Choice to leave the running version and run the one before again. Root verifies this statement itself.

    `change` is an id that root drew when the running version began to run, or after the last such statement. So the
    statement counts once, and not for a later installation of the same version.
    """

    PAYLOAD_TYPE: ClassVar[str] = payload_type("update-reversal")

    version: Annotated[str, form(r"^[0-9]{1,5}(\.[0-9]{1,5}){2}\Z", "three numbers like 0.2.1")]
    """The running version."""
    before: Annotated[str, form(r"^[0-9]{1,5}(\.[0-9]{1,5}){2}\Z", "three numbers like 0.2.1")]
    """The version that ran before it."""
    change: HexId


class Stolen(OwnerStatement, frozen=True):
    """Report of a theft: from `since_s` on, requesters must distrust statements of this device about itself.

    It is for requesters. The device ignores it. It travels in a `StolenNotice`.
    """

    PAYLOAD_TYPE: ClassVar[str] = payload_type("stolen")

    since_s: UtcS


class StolenNotice(Message, frozen=True):
    """File that an owner gives to requesters: the owner's statement, and the device's enrolments that make them its
    owner."""

    v: Version1
    stolen: Annotated[str, Meta(max_length=STATEMENT_ENVELOPE_LIMIT_BYTES)]
    enrolments: Annotated[
        tuple[Annotated[str, Meta(max_length=STATEMENT_ENVELOPE_LIMIT_BYTES)], ...],
        Meta(min_length=1, max_length=MAX_ENROLMENTS),
    ]


def sign_statement(payload_type: str, payload: bytes, approval: Ed25519PrivateKey) -> bytes:
    """Returns the envelope of an owner's statement, signed with both keys. Its bytes differ each time (ML-DSA)."""
    return envelope.sign_hybrid(payload_type, payload, approval, approval_mldsa_key(approval))


def approval_mldsa(approval: Ed25519PrivateKey) -> str:
    """Returns the public ML-DSA-44 key beside an approval key, in base64."""
    return MldsaPublicKey.of(approval_mldsa_key(approval)).text


def read_statement(data: bytes) -> HybridSigned:
    """Splits the envelope of an owner's statement, and verifies *nothing*. Raises `FormatError`, and `OpenError` if
    the ML-DSA-44 signature is missing."""
    return envelope.read_hybrid(data, None, limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES)


def require_one_line(data: bytes) -> None:
    """Raises `FormatError` if readers of many statements, one envelope a line, would split the envelope `data`."""
    # Otherwise an owner could hide all later lists of owners from clients and from root.
    if b"\n" in data:
        raise FormatError("This statement is not one line.", remedy="Make a new one.")


def open_statement(data: bytes, payload_type: str, signers: Mapping[str, HybridKey]) -> VerifiedEnvelope:
    """Returns the payload of a statement if both keys of one of `signers` signed it. Raises `FormatError` or
    `OpenError`."""
    claimed = envelope.read_hybrid(data, payload_type, limit_bytes=STATEMENT_ENVELOPE_LIMIT_BYTES)
    return claimed.verify(signers)


def open_stolen(notice: StolenNotice) -> tuple[Stolen, Enrolment, str]:
    """Returns the statement, the enrolment it was made under, and the label of its signer.

    Raises `OpenError` unless a current owner signed it, and `FormatError` if it is about another device.
    """
    data = notice.stolen.encode()
    claimed = read_statement(data)
    stolen = strictjson.decode(claimed.payload, Stolen, limit_bytes=STATEMENT_LIMIT_BYTES)
    enrolment = open_chain([each.encode() for each in notice.enrolments], stolen.device)
    opened = open_statement(data, Stolen.PAYLOAD_TYPE, enrolment.signers)
    return stolen, enrolment, enrolment.name_of(opened.key_id)


def open_enrolment(data: bytes, previous: bytes | None) -> Enrolment:
    """Returns the enrolment in the envelope `data`, verified to follow the payload `previous` (None for the first).

    Raises `FormatError` if it follows another one, and `OpenError` if its signer is not entitled.
    """
    # Parsed before verification, because the first enrolment itself lists the keys that may sign it.
    claimed = read_statement(data)
    enrolment = strictjson.decode(claimed.payload, Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)
    if previous is None:
        entitled = enrolment
        follows = enrolment.epoch == 1
    else:
        entitled = strictjson.decode(previous, Enrolment, limit_bytes=STATEMENT_LIMIT_BYTES)
        follows = (
            enrolment.epoch == entitled.epoch + 1
            and enrolment.device == entitled.device
            and enrolment.device_mldsa == entitled.device_mldsa
            and enrolment.previous == hashlib.sha256(previous).hexdigest()
        )
    open_statement(data, Enrolment.PAYLOAD_TYPE, entitled.signers)
    if not follows:
        raise FormatError(
            "This enrolment does not follow the newest one of this device.", remedy="Make it from the device's newest."
        )
    return enrolment


def open_chain(envelopes: Sequence[bytes], device: str) -> Enrolment:
    """Returns the newest of the enrolments of `device` (public key as text), each verified to follow the one before it.

    `envelopes` begin with epoch 1. Raises the errors of `open_enrolment`.
    """
    previous: bytes | None = None
    enrolment: Enrolment | None = None
    for data in envelopes:
        enrolment = open_enrolment(data, previous)
        if enrolment.device != device:
            raise FormatError("This enrolment belongs to another device.")
        previous = read_statement(data).payload
    if enrolment is None:
        raise FormatError("The list of enrolments is empty.")
    return enrolment
