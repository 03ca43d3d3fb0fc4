"""Events of the `Bus` port, and the reasons for a broken link.

A bus may lose messages and reports exactly what the *broker* answered: an acknowledgement says that the broker has the
message, not that a client has read it. `core.transfer` builds a complete upload from that. Every accepted publication
is settled exactly once, by the first of `PublishAcknowledged`, `PublishRefused` and `PublishLost`. Source: MQTT 5.0
§3.4 (PUBACK), §3.2 (CONNACK), §3.14 (DISCONNECT).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from agent.errors import NetworkError

__all__ = [
    "QUOTA_EXCEEDED",
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


_PASSING_REFUSALS: Final = frozenset({0x80, 0x83})
"""MQTT's "unspecified error" and "implementation specific error" (MQTT 5.0 §3.4.2.1 and §3.9.3). RabbitMQ sends them
while a node of its cluster is away."""
QUOTA_EXCEEDED: Final = 0x97
"""MQTT's "quota exceeded"."""


class LinkFault(enum.Enum):
    """The reason for a missing link, sorted by who can repair it."""

    UNREACHABLE = "unreachable"
    """The route, name, port or answer in time is missing."""
    BROKER_NOT_TRUSTED = "broker not trusted"
    """The broker's certificate is from a foreign authority, or for another host name."""
    CLOCK = "clock"
    """A certificate is not valid at this machine's time."""
    CERTIFICATE_REFUSED = "certificate refused"
    """The broker refuses our certificate."""
    NOT_AUTHORISED = "not authorised"
    """The broker accepts the certificate and refuses the client, or what it asked for."""
    TAKEN_OVER = "taken over"
    """Another client connected with our name."""
    BUSY = "busy"
    """The broker is overloaded, shutting down or over its quota."""
    STALLED = "stalled"
    """The connection is silent: CONNACK, ping answer or progress is overdue."""
    PROTOCOL = "protocol"
    """The broker broke the protocol or one of our limits."""
    LOST = "lost"
    """The connection broke without a known reason."""


@dataclass(frozen=True, slots=True)
class BusConnected:
    """The broker accepted the connection. `packet_bytes`: its largest packet; `window`: unacknowledged publications
    that it allows."""

    packet_bytes: int
    window: int
    source: str = field(default="", compare=False)
    """The broker, if the bus has several."""


@dataclass(frozen=True, slots=True)
class BusDisconnected:
    """The link ended, or an attempt failed. The next attempt starts in `retry_in_s`. `others`: how many other brokers
    stay connected, if the bus has several."""

    fault: LinkFault
    error: NetworkError
    retry_in_s: float
    others: int = 0
    source: str = field(default="", compare=False)
    """The broker, if the bus has several."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker granted this filter.  It may still filter at delivery: mosquitto grants everything."""

    topic_filter: str
    source: str = field(default="", compare=False)
    """The broker that granted it, if the bus has several."""


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """The broker refused this filter with an MQTT reason code ≥ 0x80."""

    topic_filter: str
    code: int

    @property
    def may_pass(self) -> bool:
        """The broker may grant the filter later, and the bus asks again until it does. A quota is left to the
        caller."""
        return self.code in _PASSING_REFUSALS


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """One message from the broker, of at most the bus's inbound packet size."""

    topic: str
    payload: bytes
    properties: tuple[tuple[str, str], ...] = ()
    """User properties, in order."""
    source: str = field(default="", compare=False)
    """The broker that it came from, if the bus has several."""


@dataclass(frozen=True, slots=True)
class PublishAcknowledged:
    """The broker has it."""

    token: int
    heard: bool
    """False if the broker reported no subscriber (0x10). Wait before repeating."""
    lacking: tuple[str, ...] = ()
    """Brokers of the topic that are away and lack it, if the bus has several."""


@dataclass(frozen=True, slots=True)
class PublishRefused:
    """The broker refuses the message: an MQTT reason code ≥ 0x80 (0x87 not authorised, 0x95 too large, 0x97 quota
    …)."""

    token: int
    code: int
    reason: str

    @property
    def may_pass(self) -> bool:
        """The broker may take the same message later. For example, RabbitMQ answers 0x83 if a node with a subscriber's
        queue has just ended."""
        return self.code in _PASSING_REFUSALS or self.code == QUOTA_EXCEEDED


@dataclass(frozen=True, slots=True)
class PublishLost:
    """The link ended before the broker answered. The broker may have the message or not."""

    token: int


PublishResult: TypeAlias = PublishAcknowledged | PublishRefused | PublishLost
BusEvent: TypeAlias = (
    BusConnected | BusDisconnected | Subscribed | SubscriptionRefused | MessageReceived | PublishResult
)
