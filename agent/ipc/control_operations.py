"""The operations of the control socket and of the page: request, answer, access level and largest body of each.

A client asks with a request of this module, and mypy knows its answer: `link.ask(GetStatus())` returns a `Status`.
`OPERATIONS` is the one table. The custodian reads requests by it, the page's routes take their access levels and bounds
from it, and `make page-types` writes it out for the page's JavaScript. `docs/local-rpc.md` describes the messages, and
a test compares its table with this one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from agent.core.status import Count, Seconds, Status, UtcMs
from agent.core.talk.offers import MOST_SENT_FRAMES, SessionId, TalkState
from agent.errors import RequestError
from agent.ipc.rpc import Request, operation_of, read_request
from agent.wire.control import Frame
from agent.wire.statements import Scope

__all__ = [
    "CONTROL",
    "MOST_STATEMENT_BYTES",
    "OPERATIONS",
    "PAGE",
    "AbsenceSummary",
    "AccessLevel",
    "AlertBrowser",
    "AlertBrowsersAnswer",
    "AskedAnswer",
    "AuthorityAnswer",
    "BeginTalk",
    "BlockedSummary",
    "BrowserSummary",
    "BrowsersAnswer",
    "BulletinsAnswer",
    "BundleAnswer",
    "CardsAnswer",
    "ChallengeAnswer",
    "ChannelsAnswer",
    "CheckpointAnswer",
    "ConfirmEnrolment",
    "ConfirmedAnswer",
    "DeviceAnswer",
    "EndSession",
    "EndTalk",
    "EndedAnswer",
    "EnrolmentTest",
    "EventSummary",
    "EventsAnswer",
    "GapsAnswer",
    "GetApproval",
    "GetChallenge",
    "GetCheckpoint",
    "GetDevice",
    "GetEnrolment",
    "GetEnrolmentTest",
    "GetEntries",
    "GetKept",
    "GetLinkAddress",
    "GetLiveGops",
    "GetNonce",
    "GetPageAuthority",
    "GetPageFacts",
    "GetPageNow",
    "GetPageSession",
    "GetPlace",
    "GetPoster",
    "GetPushKey",
    "GetRequest",
    "GetSealedRequest",
    "GetSegment",
    "GetSignedSettings",
    "GetSound",
    "GetStatus",
    "GetTimeOpening",
    "GetTrust",
    "GetUpdate",
    "HelloAnswer",
    "InvitationAnswer",
    "KeptAnswer",
    "KeyAnswer",
    "LeavePage",
    "LeavesAnswer",
    "LinkAddressAnswer",
    "ListAlertBrowsers",
    "ListBrowsers",
    "ListBulletins",
    "ListCards",
    "ListEnrolments",
    "ListEvents",
    "ListGaps",
    "ListRequests",
    "ListSegments",
    "ListTips",
    "ListTrustChanges",
    "LiveAnswer",
    "MakeInvitation",
    "MakePageCode",
    "NoAnswer",
    "NonceAnswer",
    "NowAnswer",
    "OfferAnswer",
    "OfferCard",
    "Operation",
    "OptOutSummary",
    "PageCodeAnswer",
    "PlaceAnswer",
    "Position",
    "ProposeEnrolment",
    "ProveOwner",
    "RecordAnswer",
    "RequestAnswer",
    "RequestSummary",
    "RequestsAnswer",
    "SegmentSummary",
    "SegmentsAnswer",
    "SendTalk",
    "SendTestAlert",
    "SharedAnswer",
    "SignedAnswer",
    "SubmitBundle",
    "SubmitStatement",
    "TalkOfferAnswer",
    "TalkStateAnswer",
    "TestsAnswer",
    "TimelineGap",
    "TipSummary",
    "TipsAnswer",
    "TrustAnswer",
    "UpdateAnswer",
    "UpdateOutcomeAnswer",
    "UseAlertBrowser",
    "VerdictAnswer",
    "read_operation",
]

Ascii = Annotated[str, Meta(pattern=r"^[\x00-\x7f]*\Z")]
"""All names and envelopes are ASCII. Other characters of JSON could reach an encoder that refuses them."""
Number = Annotated[int, Meta(ge=0, lt=2**62)]
BlockSize = Annotated[int, Meta(gt=0, lt=2**32)]
Card = Annotated[str, Meta(pattern=r"^[\x20-\x7e]*\Z", min_length=1, max_length=8192)]


class AccessLevel(enum.Enum):
    """The least that a browser must have shown before it reaches a route."""

    ANYONE = "anyone"
    PAIRED = "paired"
    GLANCE = "glance"
    """An owner, or in the link the glance key of a browser."""
    UNCLAIMED = "unclaimed"
    OWNER = "owner"


# --- Answers: the `result` in the head of the frame.


class NoAnswer(Struct):
    """An answer of bytes alone, or of nothing."""


class DeviceAnswer(Struct):
    device: str
    device_id: str
    device_mldsa: str
    """The device's ML-DSA-44 key in base64. An enrolment names its SHA-256."""
    epoch: Count
    enrolled: bool
    pending: bool
    broker_name: str | None = None


class NonceAnswer(Struct):
    nonce: str


class RequestSummary(Struct):
    """The device's own view of a request. The request itself is sealed to the owners."""

    id: str
    state: str
    requester_name: str
    segments: Count
    received_ms: UtcMs
    requester: str = ""
    root: str = ""
    kind: str | None = None
    incident: str | None = None
    begins_s: Seconds | None = field(default=None, name="from")
    ends_s: Seconds | None = field(default=None, name="to")
    not_after: Seconds | None = None
    certain: bool = False
    disclosure: str | None = None
    trusted: bool = False
    stated: str | None = None
    """Changes with each new statement by the requester: a receipt, or that it deleted what it got."""


class BlockedSummary(Struct):
    requester: str
    reason: str
    payload_sha256: str = ""
    root: str = ""
    at_ms: UtcMs | None = None


class OptOutSummary(Struct):
    scope: Scope
    value: str | None = None
    trust_root: str | None = None
    until_s: Seconds | None = None


class RequestsAnswer(Struct):
    requests: tuple[RequestSummary, ...]
    blocked: tuple[BlockedSummary, ...]
    counters: dict[str, Count]
    opt_outs: tuple[OptOutSummary, ...] = ()
    quiet_hours: tuple[OptOutSummary, ...] = ()


class RequestAnswer(Struct):
    """The body has the records instead if they are longer than 1 MiB."""

    state: str
    payload_sha256: str = ""
    certain: bool = False
    disclosure: str | None = None
    waits_s: Seconds | None = None
    receipt: str | None = None
    deletion: str | None = None
    sealed: str | None = None
    first: str | None = None
    segments: tuple[str, ...] = ()
    records: tuple[str, ...] = ()


class AskedAnswer(Struct):
    payload_sha256: str


class AbsenceSummary(Struct):
    from_ms: UtcMs
    to_ms: UtcMs
    reason: str


class GapsAnswer(Struct):
    gaps: tuple[AbsenceSummary, ...]


class Position(Struct):
    lat: float
    lon: float


class PlaceAnswer(Struct):
    position: Position | None = None


class TipSummary(Struct):
    id: str
    requester: str
    state: str
    root: str = ""


class TipsAnswer(Struct):
    tips: tuple[TipSummary, ...]


class SharedAnswer(Struct):
    kept: bool


class RecordAnswer(Struct):
    """The signed record of the segment that the body (file, poster or sound) belongs to."""

    record: str


class LiveAnswer(Struct):
    """The body holds the GOPs one after the other. `watching`: names of the owners who watch too, "" if unknown.
    `small`: small pictures, for a slow link. If that changes, the answer begins with a keyframe."""

    numbers: tuple[Count, ...]
    sizes: tuple[Count, ...]
    watching: tuple[str, ...] = ()
    small: bool = False


class TalkOfferAnswer(Struct):
    """The body holds the sealed part of the offer. `talker` has the floor, and then there is no offer."""

    state: TalkState
    talker: str | None = None
    envelope: str | None = None


class TalkStateAnswer(Struct):
    state: TalkState


class SegmentSummary(Struct):
    id: str
    event: str
    ordinal: Count
    start_ms: int
    end_ms: int
    quality: str
    size_bytes: Count
    poster: bool
    sound: bool
    whole: bool
    held_until_s: int | None = None


class SegmentsAnswer(Struct):
    """`more`: the span holds more segments than one answer lists."""

    segments: tuple[SegmentSummary, ...]
    more: bool


class KeptAnswer(Struct):
    """Ends of holds by segment, and the segments that are about to be deleted."""

    held: dict[str, int]
    being_deleted: tuple[str, ...]


class SignedAnswer(Struct):
    envelope: str | None = None
    sha256: str | None = None


class VerdictAnswer(Struct):
    state: str | None = None
    request: str | None = None
    disclosure: str | None = None


class TrustAnswer(Struct):
    """`bundles`: what owners agreed to, of each root. `heard`: newer packages that wait for an owner. `cell`: the
    doorbell's, because only requesters of lists' sections that may ask there count. `agreed_in`: by root, the cell in
    which an owner agreed to a list with sections."""

    roots: tuple[str, ...]
    bundles: tuple[str, ...]
    heard: tuple[str, ...]
    cell: str | None = None
    agreed_in: dict[str, str] = field(default_factory=dict)


class BundleAnswer(Struct):
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


class BulletinsAnswer(Struct):
    bulletins: tuple[str, ...]


class LeavesAnswer(Struct):
    entries: tuple[str, ...]


class CheckpointAnswer(Struct):
    checkpoint: str
    proof: tuple[str, ...]


class RelayAccount(Struct):
    """A relay for browsers: its `wss` address, and the account of this household there."""

    url: str
    account: str
    password: str


class LinkAddressAnswer(Struct):
    """`secret`: 32 bytes in hex digits, with which a client finds this doorbell and begins a session (LINK.md)."""

    secret: str
    relay: RelayAccount | None


class ChannelsAnswer(Struct):
    channels: tuple[str, ...]


class KeyAnswer(Struct):
    key: str


class AlertBrowser(Struct):
    """A browser that gets alerts. `pictures`: `shown`, `none` (it gave no glance key) or `resting` (not used)."""

    endpoint: str
    browser: str
    owner: str | None
    made_s: int
    used_s: int
    pictures: str


class AlertBrowsersAnswer(Struct):
    browsers: tuple[AlertBrowser, ...]


class AuthorityAnswer(Struct):
    """The body is the authority's certificate in DER."""

    url: str
    urls: tuple[str, ...]
    install: str
    fingerprint: str


class PageCodeAnswer(AuthorityAnswer):
    """`trusted`: `url` has a certificate of a public authority, so a phone installs nothing."""

    code: str
    life_s: Seconds
    trusted: bool = False


class EnrolmentTest(Struct):
    name: str
    recipient: str


class TestsAnswer(Struct):
    tests: tuple[EnrolmentTest, ...]
    epoch: Count = 0


class ConfirmedAnswer(Struct):
    epoch: Count
    waiting: tuple[str, ...] = ()


class HelloAnswer(Struct):
    claimed: bool
    device: str
    owner: bool
    session: str
    doorbell: str
    program: str


class ChallengeAnswer(Struct):
    challenge: str


class EndedAnswer(Struct):
    ended: bool


class CardsAnswer(Struct):
    cards: tuple[str, ...]


class InvitationAnswer(Struct):
    code: str
    life_s: Seconds
    install: str
    fingerprint: str


class BrowserSummary(Struct):
    id: str
    browser: str
    made_s: int
    seen_s: int
    this: bool
    owner: str | None = None


class BrowsersAnswer(Struct):
    browsers: tuple[BrowserSummary, ...]


class NowAnswer(Struct):
    """Text of fixed length: the length of the answer must not tell that a request waits."""

    waiting: str
    camera: str


class EventSummary(Struct):
    event: str
    start_ms: int
    end_ms: int
    kind: str
    segments: tuple[str, ...]
    poster: str | None


class TimelineGap(Struct):
    start_ms: int
    end_ms: int
    reason: str


class EventsAnswer(Struct):
    events: tuple[EventSummary, ...]
    gaps: tuple[TimelineGap, ...]
    rings: tuple[int, ...]
    """UTC ms of each press of the button, newest first."""


# --- Requests: the head of the frame. The tag is its `op`.


class GetDevice(Request[DeviceAnswer], frozen=True, tag="device"): ...


class GetEnrolment(Request[SignedAnswer], frozen=True, tag="enrolment"): ...


class ListEnrolments(Request[NoAnswer], frozen=True, tag="enrolments"):
    """The body of the answer has the envelopes after epoch `after`, one a line."""

    after: Number


class GetNonce(Request[NonceAnswer], frozen=True, tag="nonce"): ...


class ProposeEnrolment(Request[TestsAnswer], frozen=True, tag="enrol"):
    envelope: Ascii


class GetEnrolmentTest(Request[NoAnswer], frozen=True, tag="enrol_test"):
    name: Ascii


class ConfirmEnrolment(Request[ConfirmedAnswer], frozen=True, tag="enrol_confirm"):
    """The opened tests of an enrolment: hex digits by the test's name."""

    tokens: dict[Ascii, Ascii]


class GetStatus(Request[Status], frozen=True, tag="status"): ...


class ListRequests(Request[RequestsAnswer], frozen=True, tag="requests"):
    """`all`: closed requests too."""

    all: bool = False


class GetRequest(Request[RequestAnswer], frozen=True, tag="request"):
    id: Ascii


class GetSealedRequest(Request[AskedAnswer], frozen=True, tag="asked"):
    id: Ascii


class ListGaps(Request[GapsAnswer], frozen=True, tag="gaps"):
    id: Ascii


class GetPlace(Request[PlaceAnswer], frozen=True, tag="place"): ...


class ListBulletins(Request[BulletinsAnswer], frozen=True, tag="bulletins"): ...


class ListTips(Request[TipsAnswer], frozen=True, tag="tips"): ...


class GetApproval(Request[SharedAnswer], frozen=True, tag="shared"):
    disclosure: Ascii


class GetSegment(Request[RecordAnswer], frozen=True, tag="segment"):
    id: Ascii


class GetPoster(Request[RecordAnswer], frozen=True, tag="poster"):
    id: Ascii


class GetSound(Request[RecordAnswer], frozen=True, tag="sound"):
    id: Ascii


class GetLiveGops(Request[LiveAnswer], frozen=True, tag="live"):
    """`small`: the last answer had small pictures."""

    after: Number
    small: bool = False


class BeginTalk(Request[TalkOfferAnswer], frozen=True, tag="talk_begin"):
    """`to`: the age recipient that the offer is sealed to, an owner's or a glance key. `challenge`: random."""

    to: Annotated[str, Meta(pattern=r"^age1[0-9a-z]*\Z", max_length=4096)]
    challenge: SessionId


class SendTalk(Request[TalkStateAnswer], frozen=True, tag="talk_send"):
    """The body holds sealed frames one after the other. `sizes` has the length of each."""

    session: SessionId
    sizes: Annotated[tuple[BlockSize, ...], Meta(max_length=MOST_SENT_FRAMES)]


class EndTalk(Request[NoAnswer], frozen=True, tag="talk_end"):
    session: SessionId


class ListSegments(Request[SegmentsAnswer], frozen=True, tag="list"):
    """A span of UTC, its end excluded."""

    from_ms: Number
    to_ms: Number


class GetKept(Request[KeptAnswer], frozen=True, tag="kept"): ...


class GetSignedSettings(Request[SignedAnswer], frozen=True, tag="settings"): ...


class SubmitStatement(Request[VerdictAnswer], frozen=True, tag="statement"):
    """The body holds the re-wrapped headers one after the other, and the payloads of redacted files. `sizes` has the
    length of each."""

    envelope: Ascii
    sizes: tuple[BlockSize, ...] = ()


class GetTrust(Request[TrustAnswer], frozen=True, tag="trust"): ...


class OfferAnswer(Struct):
    """A verified package that an owner may choose. `notes`: what changes, by language.

    `withdrawn`: it was begun here before and does not run, so no automatic update installs it."""

    version: str
    sha256: str
    length: Count
    released: str
    security: bool = False
    rollout_hours: Count = 0
    notes: dict[str, str] = field(default_factory=dict)
    withdrawn: bool = False


class UpdateOutcomeAnswer(Struct):
    version: str
    result: str


class UpdateReversalAnswer(Struct):
    """The version before, and the change that an owner's statement names. `chosen`: it waits for root's step.

    `refused`: why an owner may not go back to it. "fault": it has a known vulnerability. "owners": root knows other
    owners. `ended`: why root did not carry out the newest statement (`core.updates.ReversalRefusal`)."""

    version: str
    change: str
    chosen: bool
    refused: str | None = None
    ended: str | None = None


class UpdateAnswer(Struct):
    """`looks`: this doorbell looks for updates. `chosen`: the offer waits for root's step.

    `trouble`: why the newest look found nothing out (`core.updates.UpdateTrouble`)."""

    running: str
    looks: bool
    automatic: bool
    chosen: bool
    checked_ms: UtcMs | None = None
    trouble: str | None = None
    offer: OfferAnswer | None = None
    outcome: UpdateOutcomeAnswer | None = None
    back: UpdateReversalAnswer | None = None


class GetUpdate(Request[UpdateAnswer], frozen=True, tag="update"): ...


class ListTrustChanges(Request[NoAnswer], frozen=True, tag="trust_changes"):
    """The body of the answer has the owners' signed changes of the trust roots, oldest first, one envelope a line.

    The ledger's last `trust-changed` entries without a version have the hashes of their payloads."""


class SubmitBundle(Request[BundleAnswer], frozen=True, tag="trust_bundle"):
    """The body is a signed trust bundle or a trust package. `cell`: that of the `trust` answer that the owner was shown
    the changes from, because the requesters of a package depend on it. In another cell, the doorbell refuses it."""

    cell: Ascii | None


class GetCheckpoint(Request[CheckpointAnswer], frozen=True, tag="checkpoint"):
    """`old_size`: entries of the ledger that the client has verified."""

    old_size: Number


class GetEntries(Request[LeavesAnswer], frozen=True, tag="ledger"):
    """Entries of the ledger from `start` to before `end`."""

    start: Number
    end: Number


class GetTimeOpening(Request[NoAnswer], frozen=True, tag="time_opening"):
    """Asks for proof that others confirmed the time of the ledger's first `size` entries: by `beat`, or by the first
    beat that did if it is 0. The body of the answer is a `wire.time_proofs.TimeOpening`, or empty if there is none."""

    size: Number
    beat: Number = 0


class GetLinkAddress(Request[LinkAddressAnswer], frozen=True, tag="link_address"): ...


class SendTestAlert(Request[ChannelsAnswer], frozen=True, tag="alerts_test"): ...


class GetPushKey(Request[KeyAnswer], frozen=True, tag="push_key"): ...


class ListAlertBrowsers(Request[AlertBrowsersAnswer], frozen=True, tag="push_browsers"): ...


class UseAlertBrowser(Request[NoAnswer], frozen=True, tag="push_used"):
    """An owner has unlocked the page in a browser that gets alerts, or has chosen another language there. `browser`
    names its make for other owners."""

    endpoint: Card
    browser: Annotated[str, Meta(pattern=r"^[ -~]*\Z", max_length=40)]
    language: Annotated[str, Meta(pattern=r"^[a-z]{2}\Z")]


class GetPageAuthority(Request[AuthorityAnswer], frozen=True, tag="page_authority"): ...


class MakePageCode(Request[PageCodeAnswer], frozen=True, tag="page_code"): ...


class GetPageSession(Request[HelloAnswer], frozen=True, tag="page_hello"): ...


class GetChallenge(Request[ChallengeAnswer], frozen=True, tag="page_challenge"): ...


class ProveOwner(Request[NoAnswer], frozen=True, tag="page_prove"):
    envelope: Ascii


class LeavePage(Request[EndedAnswer], frozen=True, tag="page_leave"): ...


class OfferCard(Request[NoAnswer], frozen=True, tag="page_card"):
    card: Card


class ListCards(Request[CardsAnswer], frozen=True, tag="page_cards"): ...


class MakeInvitation(Request[InvitationAnswer], frozen=True, tag="page_invite"): ...


class ListBrowsers(Request[BrowsersAnswer], frozen=True, tag="page_browsers"): ...


class EndSession(Request[EndedAnswer], frozen=True, tag="page_end"):
    id: Ascii


class GetPageFacts(Request[dict[str, Any]], frozen=True, tag="page_facts"):
    """The settings of the configuration file, in the shape of that file."""


class GetPageNow(Request[NowAnswer], frozen=True, tag="page_now"): ...


class ListEvents(Request[EventsAnswer], frozen=True, tag="events"):
    """A span of UTC, its end excluded."""

    from_ms: Number
    to_ms: Number


# --- The table

_SMALL: Final = 64 << 10
MOST_STATEMENT_BYTES: Final = 32 << 20
"""The re-wrapped headers of a request of the most segments, or headers and redacted films."""
_BUNDLE: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table. An operation without `access` is on the socket only."""

    request: type[Request[Any]]
    access: AccessLevel | None
    body_bytes: int = _SMALL
    """The largest frame that the page accepts for it, and the largest body on the socket."""

    @property
    def name(self) -> str:
        return operation_of(self.request)


def _by_name(*operations: Operation) -> Mapping[str, Operation]:
    return {each.name: each for each in operations}


_PAIRED, _OWNER = AccessLevel.PAIRED, AccessLevel.OWNER

CONTROL: Final = _by_name(
    Operation(GetDevice, _PAIRED),
    Operation(GetEnrolment, _PAIRED),
    Operation(ListEnrolments, _PAIRED),
    # A nonce is useless without an owner's approval key.
    Operation(GetNonce, _PAIRED),
    Operation(ProposeEnrolment, AccessLevel.UNCLAIMED),
    # A test is sealed to one recipient, and only that recipient can open it.
    Operation(GetEnrolmentTest, _PAIRED),
    Operation(ConfirmEnrolment, _PAIRED),
    Operation(GetStatus, _OWNER),
    Operation(ListRequests, _OWNER),
    Operation(GetRequest, _OWNER),
    Operation(GetSealedRequest, _OWNER),
    Operation(ListGaps, _OWNER),
    Operation(GetPlace, _OWNER),
    Operation(ListBulletins, _OWNER),
    Operation(ListTips, _OWNER),
    Operation(GetApproval, _OWNER),
    Operation(GetSegment, _OWNER),
    Operation(GetPoster, _OWNER),
    Operation(GetSound, _OWNER),
    Operation(GetLiveGops, AccessLevel.GLANCE),
    # Only a doorbell with [speaker] offers these three. They carry sealed frames to the recorder.
    Operation(BeginTalk, AccessLevel.GLANCE),
    Operation(SendTalk, AccessLevel.GLANCE),
    Operation(EndTalk, AccessLevel.GLANCE),
    Operation(ListSegments, _OWNER),
    Operation(GetKept, _OWNER),
    Operation(GetSignedSettings, _OWNER),
    Operation(SubmitStatement, _OWNER, MOST_STATEMENT_BYTES),
    Operation(GetTrust, _OWNER),
    Operation(ListTrustChanges, _OWNER),
    Operation(SubmitBundle, _OWNER, _BUNDLE),
    Operation(GetUpdate, _OWNER),
    Operation(GetCheckpoint, _OWNER),
    Operation(GetEntries, _OWNER),
    Operation(GetTimeOpening, _OWNER),
    # Only a doorbell with [page] offers this one.
    Operation(GetLinkAddress, AccessLevel.GLANCE),
    # Only a doorbell with [alerts] offers these four.
    Operation(SendTestAlert, _OWNER),
    Operation(GetPushKey, _OWNER),
    Operation(ListAlertBrowsers, _OWNER),
    Operation(UseAlertBrowser, _OWNER),
    # Only a doorbell with [page] offers these two, and only on the socket: a code lets a browser in.
    Operation(GetPageAuthority, None),
    Operation(MakePageCode, None),
)
"""The operations of the control socket."""

PAGE: Final = _by_name(
    Operation(GetPageSession, _PAIRED),
    Operation(GetChallenge, _PAIRED),
    Operation(ProveOwner, _PAIRED),
    Operation(LeavePage, _PAIRED),
    Operation(OfferCard, _PAIRED),
    Operation(ListCards, _OWNER),
    Operation(MakeInvitation, _OWNER),
    Operation(ListBrowsers, _OWNER),
    Operation(EndSession, _OWNER),
    Operation(GetPageFacts, _OWNER),
    Operation(GetPageNow, _OWNER),
    Operation(ListEvents, _OWNER),
)
"""The page's own operations. They touch no footage, request or consent."""

OPERATIONS: Final[Mapping[str, Operation]] = {**CONTROL, **PAGE}


def read_operation(name: str, frame: Frame) -> Any:
    """Returns the typed request in a frame. Raises `RequestError` with the argument that is wrong."""
    operation = OPERATIONS[name]
    if len(frame.body) > operation.body_bytes:
        raise RequestError(f"The body of '{name}' is larger than {operation.body_bytes} bytes.")
    return read_request({**frame.head, "op": name}, operation.request)
