"""What a message bus can say: the events of the `Bus` port, and the reasons a link fails.

A bus is a lossy pipe with honest news.  It reports what the *broker* answered to each publication, never more: an
acknowledgement says the broker has the message, not that anybody read it.  `core.transfer` makes a whole of it.
Every accepted publication is settled exactly once, by the first of `PublishAcknowledged`, `PublishRefused` and
`PublishLost`. Source: MQTT 5.0 §3.4 (PUBACK), §3.2 (CONNACK), §3.14 (DISCONNECT).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from agent.errors import NetworkError

__all__ = [
    "BusConnected",
    "BusDisconnected",
    "BusEvent",
    "LinkFault",
    "MessageReceived",
    "PublishAcknowledged",
    "PublishLost",
    "PublishRefused",
    "PublishResult",
    "Subscribed",
    "SubscriptionRefused",
]


class LinkFault(enum.Enum):
    """Why there is no link, by who can mend it."""

    UNREACHABLE = "unreachable"
    """No route, no such name, nobody listens on the port, or no answer in time."""
    BROKER_NOT_TRUSTED = "broker not trusted"
    """The broker's certificate is not from our authority, or not for this host name."""
    CLOCK = "clock"
    """A certificate is not valid at the time this machine believes it is."""
    CERTIFICATE_REFUSED = "certificate refused"
    """The broker does not accept our certificate."""
    NOT_AUTHORISED = "not authorised"
    """The broker accepts the certificate and refuses the client, or what it asked for."""
    TAKEN_OVER = "taken over"
    """Somebody else connected with our name."""
    BUSY = "busy"
    """The broker is overloaded, shutting down or over its quota."""
    STALLED = "stalled"
    """Connected, and then silence: no CONNACK, no ping answer or no progress in time."""
    PROTOCOL = "protocol"
    """The broker broke the protocol or one of our limits."""
    LOST = "lost"
    """The connection broke for no reason of its own."""


@dataclass(frozen=True, slots=True)
class BusConnected:
    """The broker took us in.  `packet_bytes`: its largest packet; `window`: publications it takes unacknowledged."""

    packet_bytes: int
    window: int


@dataclass(frozen=True, slots=True)
class BusDisconnected:
    """The link ended, or an attempt to make it failed; the next attempt starts `retry_in_s` from now."""

    fault: LinkFault
    error: NetworkError
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker granted this filter.  It may still filter at delivery: mosquitto grants everything."""

    topic_filter: str


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """The broker refused this filter with an MQTT reason code ≥ 0x80."""

    topic_filter: str
    code: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """One message from the broker, of at most the bus's inbound packet size."""

    topic: str
    payload: bytes
    retained: bool
    """The broker kept it for us from earlier."""
    properties: tuple[tuple[str, str], ...] = ()
    """User properties, in order."""


@dataclass(frozen=True, slots=True)
class PublishAcknowledged:
    """The broker has it."""

    token: int
    heard: bool
    """False when the broker said that nobody is subscribed (0x10): worth waiting, not worth repeating at once."""


@dataclass(frozen=True, slots=True)
class PublishRefused:
    """The broker will not take it: an MQTT reason code ≥ 0x80 (0x87 not authorised, 0x95 too large, 0x97 quota …)."""

    token: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class PublishLost:
    """The link ended before the broker answered: it may or may not have the message."""

    token: int


PublishResult: TypeAlias = PublishAcknowledged | PublishRefused | PublishLost
BusEvent: TypeAlias = (
    BusConnected | BusDisconnected | Subscribed | SubscriptionRefused | MessageReceived | PublishResult
)
