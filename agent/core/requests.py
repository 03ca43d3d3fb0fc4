"""The device's view of a footage request: whether it concerns the device, the request as it is kept, and the history.

The device reads a requester's words (case, description, contact, area) once, on arrival, and then keeps them sealed to
the owners alone. `Terms` are the facts that the device itself needs. It deletes them when the request has ended.

A broker delivers retained messages in any order, so a sequence number may come late, but only once. The device
remembers the newest few thousand and refuses lower ones. Each kind of message has separate numbers. Gaps between them
carry no meaning: a requester uses one for each receipt, and an upload takes many. `core.admission` decides whether a
message may become a request.

`match` decides on the device, by window and by area, whether a request concerns it, and how certain that is:

- A segment matches if it overlaps the window. The camera matches if its position is in the area. Only the device knows
  both: the requester asks every device in the area and cannot interpret silence.
- A match is `certain` if the clock of every matching segment was known: `synced` or `held`, which is off by seconds.
  Otherwise it is `possible`, and the owner is told so. For example, a Pi without a battery may have had any date. A
  doubtful clock never widens the window.

Source: PROTOCOL.md, "footage-request"; docs/security/promises.md, promises 3, 4 and 6; docs/decisions/0014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from agent.core.alerts.policy import is_within, minute_of_day
from agent.core.consent import RequestState
from agent.core.timebase import NS_PER_S, ClockQuality, ClockReading
from agent.errors import RequestError
from agent.wire import strictjson
from agent.wire.fields import HybridRecipientText, Incident, KeyId, Kind, RequesterId, UtcS
from agent.wire.messages import Bulletin, Deletion, FootageRequest, Withdrawal
from agent.wire.statements import OptOut, Scope
from agent.wire.trust import TrustedRequester

__all__ = [
    "RESTORED",
    "SEQUENCE_WINDOW",
    "WAITING",
    "WITHOUT_ANSWER",
    "ActiveOptOut",
    "BlockedRequest",
    "History",
    "Match",
    "MatchedRequest",
    "OutboxPart",
    "OutboxRecord",
    "StoredFootage",
    "StoredRequest",
    "Terms",
    "TimeWindow",
    "is_replay",
    "match",
    "opted_out",
    "sequence_key",
    "trusted_seconds",
    "utc_minute",
]

_MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A span of UTC in milliseconds, start inclusive, end exclusive."""

    from_ms: int
    to_ms: int

    @classmethod
    def of_seconds(cls, from_s: int, to_s: int) -> TimeWindow:
        return cls(from_s * _MS_PER_S, to_s * _MS_PER_S)

    def overlaps(self, start_ms: int, end_ms: int) -> bool:
        # Half-open on both sides: a segment that ends when the window begins shows nothing of it.
        return start_ms < self.to_ms and end_ms > self.from_ms


class StoredFootage(Protocol):
    """The facts about a stored segment that matching needs."""

    @property
    def id(self) -> str: ...
    @property
    def start_ms(self) -> int: ...
    @property
    def end_ms(self) -> int: ...
    @property
    def quality(self) -> ClockQuality: ...


class Area(Protocol):
    """The requested area (`agent.wire.area`)."""

    def contains(self, lat: float, lon: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Match:
    """The match set, frozen: the device may release only a part of `segments`."""

    segments: tuple[str, ...]
    certain: bool

    def __bool__(self) -> bool:
        return bool(self.segments)


def match(
    window: TimeWindow,
    area: Area,
    position: tuple[float, float] | None,
    candidates: Sequence[StoredFootage],
    *,
    most: int,
) -> Match:
    """Returns the segments out of `candidates` (in order of time) that the request is about.

    `position` is the camera's (lat, lon) in degrees. If the device lacks a position, no request matches. The
    match has at most `most` segments, the earliest first, so that one request cannot hold the whole vault.
    """
    if position is None or not area.contains(*position):
        return Match((), certain=False)
    found = [footage for footage in candidates if window.overlaps(footage.start_ms, footage.end_ms)][:most]
    return Match(
        tuple(footage.id for footage in found),
        certain=bool(found) and all(footage.quality is not ClockQuality.UNKNOWN for footage in found),
    )


_MS_PER_MINUTE: Final = 60_000
_MINUTES_PER_DAY: Final = 24 * 60

WAITING: Final = tuple(state for state in RequestState if state.holds_footage)
"""The states in which a request waits for an owner."""
WITHOUT_ANSWER: Final = (
    RequestState.PENDING,
    RequestState.PARTIALLY_APPROVED,
    RequestState.DENIED,
    RequestState.OPTED_OUT,
    RequestState.EXPIRED,
    RequestState.WITHDRAWN,
)
"""The states without a yes: an owner was asked and has yet to approve, or has opted out beforehand."""
RESTORED: Final = "restored"
"""Name of a value that the journal in a backup has, until the first start with it."""
SEQUENCE_WINDOW: Final = 4096
"""The number of sequence numbers remembered for one key and kind."""


class History(Protocol):
    """The durable history of requests (`ports.Journal` has it)."""

    def has_request(self, whose: tuple[str, str], request: str) -> bool:
        """Returns whether one (root, requester) has used that id."""
        ...

    def has_sequence(self, numbers: str, seq: int) -> bool:
        """Returns whether `seq` was used. `numbers`: the key and kind (`sequence_key`)."""
        ...

    def oldest_sequence(self, numbers: str) -> int:
        """Returns the smallest remembered number, or 0 if all are still remembered."""
        ...

    # The next four count only requests that concern this place: their `asked_s` is known.
    def requests_in_case(self, case_mark: str) -> int: ...
    def requests_about(self, whose: tuple[str, str], from_s: int, to_s: int) -> int:
        """Counts those of one (root, requester) with an overlapping window that wait for an owner's approval or ended
        without it."""
        ...

    def requests_since(self, since_ms: int, whose: tuple[str, str] | None = None) -> int:
        """Counts all of them, or those of one (root, requester)."""
        ...

    def requests_elsewhere(self, since_ms: int, whose: tuple[str, str] | None = None) -> int:
        """Counts the recorded requests about other places."""
        ...

    def blocked_since(self, since_ms: int, whose: tuple[str, str]) -> int:
        """Counts those of one (root, requester) that were listed as blocked."""
        ...


@dataclass(frozen=True, slots=True)
class BlockedRequest:
    """One line of the owner's list of blocked messages."""

    payload_sha256: str
    root: str
    """Key id of the requester's root: another root may give the same name to another requester."""
    requester: str
    reason: str
    at_ms: int


class Terms(strictjson.Message, frozen=True, kw_only=True):
    """The facts of a request that the device needs until it has ended: recipient, window, and the values for
    opt-outs."""

    trust_root: KeyId
    requester: RequesterId
    kind: Kind
    incident: Incident
    from_s: UtcS
    to_s: UtcS
    reply: HybridRecipientText

    @classmethod
    def of(cls, request: FootageRequest) -> Terms:
        return cls(
            trust_root=request.trust_root,
            requester=request.requester,
            kind=request.kind,
            incident=request.incident,
            from_s=request.from_s,
            to_s=request.to_s,
            reply=request.reply,
        )


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request as the journal keeps it: sealed, and with its state.

    `id` is the device's name for it: the id its requester gave it, or `payload_sha256` if another requester has used
    that id already. Ids are readable at the broker. With the second name, a copied id cannot block a request.

    `sealed` is an age file to the owners of that moment around the signed bytes. `payload_sha256` names the content.
    `case_mark` counts it (`core.admission`). `kept` is None once the request has ended.
    """

    id: str
    sealed: bytes
    payload_sha256: str
    requester: str
    trust_root: str
    key_id: str
    seq: int
    case_mark: str
    state: RequestState
    certain: bool
    received_ms: int
    not_after_s: int
    kept: Terms | None
    disclosure: str | None = None
    asked_s: tuple[int, int] | None = None
    """The requested window, UTC s, if it concerns this place. It stays for counting after the rest is deleted."""
    given_id: str | None = None
    """The id its requester gave it, if the device uses another."""

    @property
    def said_id(self) -> str:
        """The id its requester gave it, for messages and ledger."""
        return self.given_id or self.id

    def is_from(self, requester: TrustedRequester) -> bool:
        """Returns whether that requester made it. An id is unique only below its root: two requesters may use the
        same."""
        return (self.trust_root, self.requester) == (requester.root, requester.id)

    @property
    def terms(self) -> Terms:
        """The kept terms. Raises `RequestError` once the request has ended."""
        if self.kept is None:
            raise RequestError("This request has ended.", remedy="Choose a request that is still open.")
        return self.kept


@dataclass(frozen=True, slots=True)
class MatchedRequest(StoredRequest):
    """A request with its frozen match set, which can be long: lists of requests omit it."""

    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActiveOptOut:
    """An owner's opt-out from certain requests, or quiet hours. It stays on the device.

    `value` is "" for `Scope.ALL`. `root` is the key id of the requester's root for `Scope.REQUESTER` and "" otherwise.
    """

    scope: Scope
    value: str = ""
    until_s: int | None = None
    root: str = ""

    @classmethod
    def of(cls, statement: OptOut) -> ActiveOptOut:
        return cls(statement.scope, statement.value or "", statement.until_s, statement.trust_root or "")

    def covers(self, terms: Terms, now_s: int | None) -> bool:
        """Returns whether it applies. `now_s` is None while the clock is untrusted: every opt-out then continues."""
        if self._is_over(now_s):
            return False
        match self.scope:
            case Scope.ALL:
                return True
            case Scope.REQUESTER:
                # An id is unique only below its root: a namesake below another root is another requester.
                return (self.root, self.value) == (terms.trust_root, terms.requester)
            case Scope.KIND:
                return self.value == terms.kind.value
            case Scope.INCIDENT:
                return self.value == terms.incident.value
            case Scope.HOURS | Scope.BULLETINS:  # pragma: no branch (there is no other)
                return False  # quiet hours delay only the alert: the request itself waits like any other

    def covers_bulletins(self, kind: Kind, now_s: int | None) -> bool:
        """Returns whether bulletins of this kind of requester are unlisted. `now_s`: as in `covers`."""
        return self.scope is Scope.BULLETINS and self.value == kind.value and not self._is_over(now_s)

    def is_quiet(self, now_s: int, minute: int) -> bool:
        """Returns whether these are quiet hours and `minute` of the local day is in them."""
        if self.scope is not Scope.HOURS or self._is_over(now_s):
            return False
        begins, ends = map(minute_of_day, self.value.split("-"))
        return is_within((begins, ends), minute)

    def _is_over(self, now_s: int | None) -> bool:
        return self.until_s is not None and now_s is not None and now_s >= self.until_s


@dataclass(frozen=True, slots=True)
class OutboxPart:
    """One file of an outbox object. Part 0 is the sealed disclosure manifest, with "" as its `segment`."""

    number: int
    segment: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """The outbox object of one approval, complete on disk."""

    disclosure: str
    request: str
    requester: str
    parts: tuple[OutboxPart, ...]

    @property
    def anonymous(self) -> bool:
        """True for a tip: a tip stands alone, and its topics keep the device anonymous."""
        return self.request == self.disclosure


SequencedMessage = FootageRequest | Withdrawal | Deletion | Bulletin


def sequence_key(key_id: str, message: SequencedMessage) -> str:
    """Returns the name under which the history remembers this key's numbers for messages of this kind."""
    return f"{key_id} {message.PAYLOAD_TYPE}"


def is_replay(history: History, requester: TrustedRequester, message: SequencedMessage) -> bool:
    """Returns whether this requester's key has already used the number for this kind, as far as is remembered."""
    numbers = sequence_key(requester.key.id, message)
    # Numbers below the window cannot be told from used ones, so they count as used.
    return message.seq < history.oldest_sequence(numbers) or history.has_sequence(numbers, message.seq)


def trusted_seconds(now: ClockReading) -> int | None:
    """Returns UTC seconds, or None while the clock is unknown (`ClockQuality.UNKNOWN`)."""
    return None if now.quality is ClockQuality.UNKNOWN else now.utc_ns // NS_PER_S


def utc_minute(utc_ms: int) -> int:
    """Returns the minute of the day if the local time is UTC."""
    return utc_ms // _MS_PER_MINUTE % _MINUTES_PER_DAY


def opted_out(terms: Terms, standing: tuple[ActiveOptOut, ...], now: ClockReading) -> bool:
    """Returns whether the owner has opted out from being asked for this."""
    return any(opt_out.covers(terms, trusted_seconds(now)) for opt_out in standing)
