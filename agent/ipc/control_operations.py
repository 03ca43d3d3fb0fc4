"""The operations of the control socket and of the page: request, answer, access level and largest body of each.

`OPERATIONS` is the one table. The custodian reads requests by it (`read_request`), `DeviceLink` checks answers by it
(`check_answer`), the page's routes take their access levels and bounds from it, and `make page-types` writes it out for
the page's JavaScript. `docs/local-rpc.md` describes the messages, and a test compares its table with this one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

from agent.core.status import Count, Seconds, Status, UtcMs, fault_in
from agent.errors import NetworkError, RequestError
from agent.wire.statements import Scope

__all__ = [
    "CONTROL",
    "OPERATIONS",
    "PAGE",
    "AccessLevel",
    "ControlRequest",
    "Operation",
    "check_answer",
    "read_request",
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
    UNCLAIMED = "unclaimed"
    OWNER = "owner"


# --- Requests: the head of the frame. Its `op` names the operation.


class ControlRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A request without arguments, and the base of all others."""


class EnvelopeQuery(ControlRequest, frozen=True):
    """A signed statement, as it stands in its envelope."""

    envelope: Ascii


class StatementQuery(ControlRequest, frozen=True):
    """The body holds the re-wrapped headers one after the other. `sizes` has the length of each."""

    envelope: Ascii
    sizes: tuple[BlockSize, ...] = ()


class NameQuery(ControlRequest, frozen=True):
    name: Ascii


class TokensQuery(ControlRequest, frozen=True):
    """The opened tests of an enrolment: hex digits by the test's name."""

    tokens: dict[Ascii, Ascii]


class IdQuery(ControlRequest, frozen=True):
    id: Ascii


class DisclosureQuery(ControlRequest, frozen=True):
    disclosure: Ascii


class AfterQuery(ControlRequest, frozen=True):
    after: Number


class AllQuery(ControlRequest, frozen=True):
    """`all`: closed requests too."""

    all: bool = False


class SpanQuery(ControlRequest, frozen=True):
    """A span of UTC, its end excluded."""

    from_ms: Number
    to_ms: Number


class LeavesQuery(ControlRequest, frozen=True):
    """Entries of the ledger from `start` to before `end`."""

    start: Number
    end: Number


class SizeQuery(ControlRequest, frozen=True):
    """`old_size`: entries of the ledger that the client has verified."""

    old_size: Number


class CardQuery(ControlRequest, frozen=True):
    card: Card


# --- Answers: the `result` in the head of the frame.


class NoAnswer(Struct):
    """An answer of bytes alone, or of nothing."""


class DeviceAnswer(Struct):
    device: str
    device_id: str
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
    """The body holds the GOPs one after the other."""

    numbers: tuple[Count, ...]
    sizes: tuple[Count, ...]


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
    going: tuple[str, ...]


class SignedAnswer(Struct):
    envelope: str | None = None
    sha256: str | None = None


class VerdictAnswer(Struct):
    state: str | None = None
    request: str | None = None
    disclosure: str | None = None


class TrustAnswer(Struct):
    roots: tuple[str, ...]
    bundles: tuple[str, ...]


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


class ChannelsAnswer(Struct):
    channels: tuple[str, ...]


class KeyAnswer(Struct):
    key: str


class AuthorityAnswer(Struct):
    """The body is the authority's certificate in DER."""

    url: str
    urls: tuple[str, ...]
    install: str
    fingerprint: str


class PageCodeAnswer(AuthorityAnswer):
    code: str
    life_s: Seconds


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


# --- The table

_SMALL: Final = 64 << 10
_STATEMENT: Final = 32 << 20
"""The re-wrapped headers of a request of the most segments."""
_BUNDLE: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table. An operation without `access` is on the socket only."""

    request: type[ControlRequest]
    answer: type[Struct] | None
    access: AccessLevel | None
    body_bytes: int = _SMALL
    """The largest frame that the page accepts for it."""


_PAIRED, _OWNER = AccessLevel.PAIRED, AccessLevel.OWNER

CONTROL: Final[Mapping[str, Operation]] = {
    "device": Operation(ControlRequest, DeviceAnswer, _PAIRED),
    "enrolment": Operation(ControlRequest, SignedAnswer, _PAIRED),
    "enrolments": Operation(AfterQuery, NoAnswer, _PAIRED),
    # A nonce is useless without an owner's approval key.
    "nonce": Operation(ControlRequest, NonceAnswer, _PAIRED),
    "enrol": Operation(EnvelopeQuery, TestsAnswer, AccessLevel.UNCLAIMED),
    # A test is sealed to one recipient, and only that recipient can open it.
    "enrol_test": Operation(NameQuery, NoAnswer, _PAIRED),
    "enrol_confirm": Operation(TokensQuery, ConfirmedAnswer, _PAIRED),
    "status": Operation(ControlRequest, Status, _OWNER),
    "requests": Operation(AllQuery, RequestsAnswer, _OWNER),
    "request": Operation(IdQuery, RequestAnswer, _OWNER),
    "asked": Operation(IdQuery, AskedAnswer, _OWNER),
    "gaps": Operation(IdQuery, GapsAnswer, _OWNER),
    "place": Operation(ControlRequest, PlaceAnswer, _OWNER),
    "bulletins": Operation(ControlRequest, BulletinsAnswer, _OWNER),
    "tips": Operation(ControlRequest, TipsAnswer, _OWNER),
    "shared": Operation(DisclosureQuery, SharedAnswer, _OWNER),
    "segment": Operation(IdQuery, RecordAnswer, _OWNER),
    "poster": Operation(IdQuery, RecordAnswer, _OWNER),
    "sound": Operation(IdQuery, RecordAnswer, _OWNER),
    "live": Operation(AfterQuery, LiveAnswer, _OWNER),
    "list": Operation(SpanQuery, SegmentsAnswer, _OWNER),
    "kept": Operation(ControlRequest, KeptAnswer, _OWNER),
    "settings": Operation(ControlRequest, SignedAnswer, _OWNER),
    "statement": Operation(StatementQuery, VerdictAnswer, _OWNER, _STATEMENT),
    "trust": Operation(ControlRequest, TrustAnswer, _OWNER),
    "trust_bundle": Operation(ControlRequest, BundleAnswer, _OWNER, _BUNDLE),
    "checkpoint": Operation(SizeQuery, CheckpointAnswer, _OWNER),
    "ledger": Operation(LeavesQuery, LeavesAnswer, _OWNER),
    # Only a doorbell with [alerts] offers these two.
    "alerts_test": Operation(ControlRequest, ChannelsAnswer, _OWNER),
    "push_key": Operation(ControlRequest, KeyAnswer, _OWNER),
    # Only a doorbell with [page] offers these two, and only on the socket: a code lets a browser in.
    "page_authority": Operation(ControlRequest, AuthorityAnswer, None),
    "page_code": Operation(ControlRequest, PageCodeAnswer, None),
}
"""The operations of the control socket."""

PAGE: Final[Mapping[str, Operation]] = {
    "page_hello": Operation(ControlRequest, HelloAnswer, _PAIRED),
    "page_challenge": Operation(ControlRequest, ChallengeAnswer, _PAIRED),
    "page_prove": Operation(EnvelopeQuery, NoAnswer, _PAIRED),
    "page_leave": Operation(ControlRequest, EndedAnswer, _PAIRED),
    "page_card": Operation(CardQuery, NoAnswer, _PAIRED),
    "page_cards": Operation(ControlRequest, CardsAnswer, _OWNER),
    "page_invite": Operation(ControlRequest, InvitationAnswer, _OWNER),
    "page_browsers": Operation(ControlRequest, BrowsersAnswer, _OWNER),
    "page_end": Operation(IdQuery, EndedAnswer, _OWNER),
    # The settings of the configuration file, in the shape of that file.
    "page_facts": Operation(ControlRequest, None, _OWNER),
    "page_now": Operation(ControlRequest, NowAnswer, _OWNER),
    "events": Operation(SpanQuery, EventsAnswer, _OWNER),
}
"""The page's own operations. They touch no footage, request or consent."""

OPERATIONS: Final[Mapping[str, Operation]] = {**CONTROL, **PAGE}


def read_request(operation: str, head: Mapping[str, Any]) -> Any:
    """The typed request in a frame's head. Raises `RequestError` with the argument that is wrong."""
    arguments = {name: value for name, value in head.items() if name != "op"}
    try:
        return msgspec.convert(arguments, OPERATIONS[operation].request)
    except msgspec.ValidationError as error:
        raise RequestError(f"The arguments of '{operation}' cannot be used: {error}.") from error


def check_answer(operation: str, result: dict[str, Any]) -> None:
    """Raises `NetworkError` if the answer does not have its operation's shape.

    A device, or one process of it, may be altered. The error names the operation and the place in the answer.
    """
    known = OPERATIONS.get(operation)
    fault = fault_in(result, known.answer) if known is not None and known.answer is not None else None
    if fault is not None:
        raise NetworkError(
            f"The device's answer to '{operation}' cannot be used: {fault}.",
            remedy="Install the same version on the device and on this machine. "
            "If the versions are equal, a part of the device was altered.",
        )
