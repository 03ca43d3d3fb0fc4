"""What the device knows of a footage request: the request as it keeps it, what goes out for it, and what came before.

What a requester wrote (case, description, contact, area) is read once, when it comes in, and then kept sealed to the
owners alone.  `Terms` are what the device itself has to go by, and they go when the request has ended.

A broker hands over retained messages in any order, so a number may come late, but never twice: the newest few thousand
are remembered, and what lies below them is refused.  Each kind of message has numbers of its own, and how far apart two
of them are says nothing: a requester uses one for each receipt, and an upload takes many.  Whether a message may become
a request at all is `core.admission`'s to say.

Source: PROTOCOL.md, "Footage request"; SECURITY.md, promise 4; docs/decisions/0014.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from agent.core.alerts.policy import is_within
from agent.core.consent import RequestState
from agent.core.timebase import NS_PER_S, ClockQuality, ClockReading
from agent.errors import RequestError
from agent.wire import strictjson
from agent.wire.fields import HybridRecipientText, Incident, Kind, RequesterId, UtcS
from agent.wire.messages import Bulletin, Deletion, FootageRequest, Withdrawal
from agent.wire.statements import Scope
from agent.wire.trust import TrustedRequester

__all__ = [
    "SEQUENCE_WINDOW",
    "WAITING",
    "WITHOUT_ANSWER",
    "ActiveOptOut",
    "BlockedRequest",
    "History",
    "MatchedRequest",
    "OutboxPart",
    "OutboxRecord",
    "StoredRequest",
    "Terms",
    "is_replay",
    "opted_out",
    "sequence_key",
    "trusted_seconds",
    "utc_minute",
]

_MS_PER_MINUTE: Final = 60_000
_MINUTES_PER_DAY: Final = 24 * 60

WAITING: Final = tuple(state for state in RequestState if state.holds_footage)
"""For an owner."""
WITHOUT_ANSWER: Final = (
    RequestState.PENDING,
    RequestState.PARTIALLY_APPROVED,
    RequestState.DENIED,
    RequestState.OPTED_OUT,
    RequestState.EXPIRED,
    RequestState.WITHDRAWN,
)
"""An owner was asked and has not said yes, or has said beforehand that they do not want to be asked."""
SEQUENCE_WINDOW: Final = 4096
"""How many numbers of one key and kind are remembered."""


class History(Protocol):
    """What happened before, durably (`ports.Journal` has it)."""

    def has_request(self, whose: tuple[str, str], request: str) -> bool:
        """Whether one (root, requester) has used that id."""
        ...

    def has_sequence(self, numbers: str, seq: int) -> bool:
        """`numbers`: of which key and kind (`sequence_key`)."""
        ...

    def oldest_sequence(self, numbers: str) -> int:
        """The smallest it remembers, once that is not all there ever was; 0 before."""
        ...

    # The next four count only requests that concern this place: their `asked_s` is known.
    def requests_in_case(self, case_mark: str) -> int: ...
    def requests_about(self, whose: tuple[str, str], from_s: int, to_s: int) -> int:
        """Those of one (root, requester) whose window overlaps this one, that asked an owner and got no yes."""
        ...

    def requests_since(self, since_ms: int, whose: tuple[str, str] | None = None) -> int:
        """All of them, or those of one (root, requester)."""
        ...

    def requests_elsewhere(self, since_ms: int, whose: tuple[str, str] | None = None) -> int:
        """Those written down that do not concern this place."""
        ...

    def blocked_since(self, since_ms: int, whose: tuple[str, str]) -> int:
        """Those of one (root, requester) that were listed as blocked."""
        ...


@dataclass(frozen=True, slots=True)
class BlockedRequest:
    """One line of the owner's list of what was blocked."""

    payload_sha256: str
    root: str
    """Key id of the root that vouches for the requester: another root may give the same name to another requester."""
    requester: str
    reason: str
    at_ms: int


class Terms(strictjson.Message, frozen=True, kw_only=True):
    """What of a request the device goes by until it has ended: whom to answer, about when, and who may be opted out."""

    requester: RequesterId
    kind: Kind
    incident: Incident
    from_s: UtcS
    to_s: UtcS
    reply: HybridRecipientText

    @classmethod
    def of(cls, request: FootageRequest) -> Terms:
        return cls(
            requester=request.requester,
            kind=request.kind,
            incident=request.incident,
            from_s=request.from_s,
            to_s=request.to_s,
            reply=request.reply,
        )


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request as the journal keeps it: sealed, and where it stands.

    `id` is what the device calls it: the id its requester gave it, or `payload_sha256` where another requester has
    given that id to a request of theirs.  Ids are read by whoever hears the broker, so they keep nobody's request out.

    `sealed` is an age file to the owners of that moment around the signed bytes it came in; `payload_sha256` names
    what is inside.  `case_mark` counts it (`core.case_marks`).  `kept` is None once the request has ended.
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
    """The window it asks about, UTC s, where it concerns this place; kept for counting when the rest is forgotten."""
    given_id: str | None = None
    """The id its requester gave it, where the device calls it otherwise."""

    @property
    def said_id(self) -> str:
        """The id its requester gave it: for messages and ledger."""
        return self.given_id or self.id

    def is_from(self, requester: TrustedRequester) -> bool:
        """Whether that requester made it.  An id is unique only below its root: two may call theirs the same."""
        return (self.trust_root, self.requester) == (requester.root, requester.id)

    @property
    def terms(self) -> Terms:
        """Raises `RequestError` once the request has ended."""
        if self.kept is None:
            raise RequestError("This request has ended.", remedy="Nothing more comes of it.")
        return self.kept


@dataclass(frozen=True, slots=True)
class MatchedRequest(StoredRequest):
    """With its frozen match set, which can be long: whoever lists requests does without."""

    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActiveOptOut:
    """What the owner does not want to be asked, or when; never visible outside.  `value` is "" for `Scope.ALL`."""

    scope: Scope
    value: str = ""
    until_s: int | None = None

    def covers(self, terms: Terms, now_s: int | None) -> bool:
        """Whether it applies.  `now_s` is None while the clock is not trusted: no opt-out ends then."""
        if self._is_over(now_s):
            return False
        match self.scope:
            case Scope.ALL:
                return True
            case Scope.REQUESTER:
                return self.value == terms.requester
            case Scope.KIND:
                return self.value == terms.kind.value
            case Scope.INCIDENT:
                return self.value == terms.incident.value
            case Scope.HOURS:  # pragma: no branch (there is no other)
                return False  # it puts off the telling; the request itself waits like any other

    def is_quiet(self, now_s: int, minute: int) -> bool:
        """Whether these are quiet hours, and `minute` of the local day lies within them."""
        if self.scope is not Scope.HOURS or self._is_over(now_s):
            return False
        begins, ends = (int(at[:2]) * 60 + int(at[2:]) for at in self.value.split("-"))
        return is_within((begins, ends), minute)

    def _is_over(self, now_s: int | None) -> bool:
        return self.until_s is not None and now_s is not None and now_s >= self.until_s


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

    @property
    def anonymous(self) -> bool:
        """A tip: it answers no request and stands for itself, and its topics do not name the device."""
        return self.request == self.disclosure


SequencedMessage = FootageRequest | Withdrawal | Deletion | Bulletin


def sequence_key(key_id: str, message: SequencedMessage) -> str:
    """Under which name the numbers are remembered that this key has used for messages of this kind."""
    return f"{key_id} {message.PAYLOAD_TYPE}"


def is_replay(history: History, requester: TrustedRequester, message: SequencedMessage) -> bool:
    """Whether this requester's key has used the number for this kind already, or for all that is remembered."""
    numbers = sequence_key(requester.key.id, message)
    return message.seq < history.oldest_sequence(numbers) or history.has_sequence(numbers, message.seq)


def trusted_seconds(now: ClockReading) -> int | None:
    """UTC seconds, or None while nobody vouches for the clock."""
    return None if now.quality is ClockQuality.UNKNOWN else now.utc_ns // NS_PER_S


def utc_minute(utc_ms: int) -> int:
    """The minute of the day where the local time is UTC."""
    return utc_ms // _MS_PER_MINUTE % _MINUTES_PER_DAY


def opted_out(terms: Terms, standing: tuple[ActiveOptOut, ...], now: ClockReading) -> bool:
    """Whether the owner said beforehand that they do not want to be asked this."""
    return any(opt_out.covers(terms, trusted_seconds(now)) for opt_out in standing)
