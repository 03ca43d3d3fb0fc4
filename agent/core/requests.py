"""Decides whether a verified message may become a footage request, before anybody is asked and anything is changed.

`agent.wire.inbound` has already seen to it that a key of a requester in a bundle whose root *the owner* chose signed
these bytes, and that they parse.  What is left, in this order:

1. it was not seen before: its id is new, and so is its sequence number under that key;
2. it keeps the owner's limits, tightened by what the root lays on this requester;
3. it asks about a region that requester is responsible for;
4. an answer could be sealed to the key it names.

What fails is `Blocked`, which changes nothing but a counter and, because its sender is known, the list of blocked
requests the owner can look at.  There is no emergency bypass and no standing approval.

Sequence numbers work as a window (RFC 4303, section 3.4.3): a broker hands over retained messages in any order, so a
number may come late, but never twice and never from far behind.

Source: PROTOCOL.md, "Footage request"; ARCHITECTURE, invariant 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from agent.core.consent import State
from agent.core.timebase import NS_PER_MS, NS_PER_S, ClockQuality, Moment
from agent.core.vault.age.recipients import parse_recipient
from agent.errors import FormatError, InternalError
from agent.wire import strictjson
from agent.wire.envelope import read_unverified
from agent.wire.inbound import Inbound
from agent.wire.limits import Earlier, Limits, check
from agent.wire.messages import FootageRequest
from agent.wire.statements import Scope
from agent.wire.trust import TrustedRequester

__all__ = [
    "SEQUENCE_WINDOW",
    "Accepted",
    "Blocked",
    "BlockedRequest",
    "History",
    "OutboxPart",
    "OutboxRecord",
    "Replayed",
    "StandingOptOut",
    "StoredRequest",
    "admit",
    "is_replay",
    "opted_out",
    "trusted_seconds",
]

SEQUENCE_WINDOW: Final = 4096
"""How far behind its key's newest a message may arrive."""

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """Seen before, or too far behind to tell."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Over a limit, or outside its region.  The owner is not asked; they can see that it happened and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """It may be matched."""


class History(Protocol):
    """What happened before, durably (`ports.Journal` has it)."""

    def has_request(self, request: str) -> bool: ...
    def has_sequence(self, key_id: str, seq: int) -> bool: ...
    def highest_sequence(self, key_id: str) -> int:
        """0 before the first."""
        ...

    def requests_in_case(self, requester: str, case: str) -> int: ...
    def requests_since(self, since_ms: int, requester: str | None = None) -> int: ...
    def blocked_since(self, since_ms: int, requester: str) -> int: ...


@dataclass(frozen=True, slots=True)
class BlockedRequest:
    """One line of the owner's list of what was blocked."""

    payload_sha256: str
    requester: str
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request as the journal keeps it: the signed bytes, where it stands, and its frozen match set."""

    id: str
    envelope: bytes
    payload_sha256: str
    requester: str
    key_id: str
    seq: int
    case: str
    state: State
    certain: bool
    received_ms: int
    not_after_s: int
    segments: tuple[str, ...] = ()
    disclosure: str | None = None

    def is_from(self, requester: TrustedRequester) -> bool:
        """Whether that requester made it.  An id is unique only below its root: two may call theirs the same."""
        return (self.request.audience, self.requester) == (requester.root, requester.id)

    @property
    def request(self) -> FootageRequest:
        """Parsed again from the bytes that were verified when it came in."""
        payload = read_unverified(self.envelope).payload
        return strictjson.decode(payload, FootageRequest)


@dataclass(frozen=True, slots=True)
class StandingOptOut:
    """What the owner does not want to be asked; never visible outside.  `value` is "" for `Scope.ALL`."""

    scope: Scope
    value: str = ""
    until_s: int | None = None

    def covers(self, request: FootageRequest, now_s: int) -> bool:
        """Whether it applies; one that ends is judged by the device's clock, however good that is."""
        if self.until_s is not None and now_s >= self.until_s:
            return False
        match self.scope:
            case Scope.ALL:
                return True
            case Scope.REQUESTER:
                return self.value == request.requester
            case Scope.KIND:
                return self.value == request.kind.value
            case Scope.INCIDENT:
                return self.value == request.incident.value


@dataclass(frozen=True, slots=True)
class OutboxPart:
    """One file of an outbox object.  Part 0 is the sealed disclosure manifest, its `segment` is ""."""

    number: int
    segment: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """One approval's outbox object, complete on disk."""

    disclosure: str
    request: str
    requester: str
    parts: tuple[OutboxPart, ...]


def admit(inbound: Inbound, limits: Limits, history: History, now: Moment) -> Accepted | Blocked | Replayed:
    """The gate above."""
    request = inbound.message
    if not isinstance(request, FootageRequest):
        raise InternalError("Only footage requests are admitted.")
    if history.has_request(request.id) or is_replay(history, inbound.requester, request.seq):
        return Replayed()
    limits = inbound.requester.limits.applied_to(limits)
    over = check(request, limits, trusted_seconds(now), _earlier(request, history, now))
    if over is not None:
        return Blocked(over.value)
    if not inbound.requester.may_ask_about(request.area):
        return Blocked("outside the region of this requester")
    try:
        parse_recipient(request.reply)
    except FormatError:
        return Blocked("a reply key that nothing can be sealed to")
    return Accepted()


def is_replay(history: History, requester: TrustedRequester, seq: int) -> bool:
    """Whether this requester's key has used `seq` already, or it lies behind the window."""
    key_id = requester.key.id
    return seq <= history.highest_sequence(key_id) - SEQUENCE_WINDOW or history.has_sequence(key_id, seq)


def trusted_seconds(now: Moment) -> int | None:
    """UTC seconds, or None while nobody vouches for the clock."""
    return None if now.quality is ClockQuality.UNKNOWN else now.utc_ns // NS_PER_S


def _earlier(request: FootageRequest, history: History, now: Moment) -> Earlier:
    since_ms = now.utc_ns // NS_PER_MS - _DAY_MS
    return Earlier(
        for_case=history.requests_in_case(request.requester, request.case),
        from_requester=history.requests_since(since_ms, request.requester),
        in_all=history.requests_since(since_ms),
    )


def opted_out(request: FootageRequest, standing: tuple[StandingOptOut, ...], now: Moment) -> bool:
    """Whether the owner said beforehand that they do not want to be asked this."""
    return any(opt_out.covers(request, now.utc_ns // NS_PER_S) for opt_out in standing)
