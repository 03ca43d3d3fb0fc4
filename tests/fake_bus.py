"""A broker in memory and the `Bus` that speaks to it: same contract suite as the real pair, without threads and
network.

It enforces the very ACL files of `config/mosquitto/`.  `FakeBroker.lose` may drop deliveries the way a real broker
does: after it has acknowledged them.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from agent.clients.broker.broker_pki import DIGEST_CLIENT
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    PublishResult,
    Subscribed,
)
from agent.errors import InternalError, NetworkError

CONFIGURATION = Path(__file__).resolve().parents[1] / "config" / "mosquitto"
PACKET_BYTES = 147456
RECEIVE_MAXIMUM = 16


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT 5.0 §4.7.1."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given) or level not in ("+", given[index]):
            return False
    return len(wanted) == len(given)


def _rules(file_name: str) -> list[tuple[str, str]]:
    lines = (CONFIGURATION / file_name).read_text().splitlines()
    words = [line.split() for line in lines if line.startswith("pattern")]
    return [(access, pattern) for _, access, pattern in words]


class FakeBroker:
    """Retained messages, subscriptions, rights.  All under one lock."""

    def __init__(self, lose: Callable[[MessageReceived], bool] = lambda _: False) -> None:
        self.lock = threading.RLock()
        self.lose = lose
        self.running = True
        self.frozen = False
        self.retained: dict[str, MessageReceived] = {}
        self.clients: list[FakeBus] = []
        self.published: list[tuple[str, str, bytes]] = []
        """Everything anyone ever published: (who, topic, payload)."""
        self._devices, self._requesters = _rules("devices.acl"), _rules("requesters.acl")

    def may(self, name: str, access: str, topic: str) -> bool:
        """A device is named by 16 hex digits, everybody else is a requester."""
        if name == DIGEST_CLIENT:  # its rights are written for its name (test_broker_acl.py)
            return topic.startswith("doorward/v1/areas/")
        rules = self._devices if re.fullmatch(r"[0-9a-f]{16}", name) else self._requesters
        return any(allowed == access and matches(rule.replace("%u", name), topic) for allowed, rule in rules)

    def freeze(self) -> None:
        """Stop answering, keep the connections."""
        self.frozen = True

    def kill(self) -> None:
        """Die: every connection breaks, unacknowledged publications are lost."""
        with self.lock:
            self.running = self.frozen = False
            for client in self.clients:
                client.link_ended()

    def start(self) -> None:
        with self.lock:
            self.running = True
            for client in self.clients:
                client.link_made()

    def take(self, sender: FakeBus, token: int, message: MessageReceived, retain: bool) -> PublishResult:
        """One PUBLISH, answered as mosquitto answers."""
        if len(message.payload) + len(message.topic) > PACKET_BYTES:
            return PublishRefused(token, 0x95, "Packet too large")
        if not self.may(sender.name, "write", message.topic):
            return PublishRefused(token, 0x87, "Not authorized")
        self.published.append((sender.name, message.topic, message.payload))
        if retain:
            self.retained.pop(message.topic, None)
            if message.payload:
                self.retained[message.topic] = message
        hearers = [each for each in self.clients if each.hears(message.topic)]
        for hearer in hearers:
            if not self.lose(message):
                hearer.deliver(message)
        return PublishAcknowledged(token, heard=bool(hearers))


class FakeBus:
    """See `agent.ports.Bus`."""

    def __init__(
        self, broker: FakeBroker, name: str, window_messages: int = RECEIVE_MAXIMUM, window_bytes: int = 1 << 20
    ) -> None:
        self.name = name
        self.dropped = 0
        self.hurried = False
        self._broker = broker
        self._changed = threading.Condition(broker.lock)
        self._limits = (min(window_messages, RECEIVE_MAXIMUM), window_bytes)
        self._events: deque[BusEvent] = deque()
        self._filters: dict[str, bool] = {}
        self._reading: set[str] = set()
        self._in_flight: dict[int, int] = {}
        self._unanswered: list[int] = []
        self._connected = False
        self._stopped = False

    def start(self) -> None:
        with self._changed:
            self._broker.clients.append(self)
            if self._broker.running:
                self.link_made()
            else:
                self.link_ended()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        token: int,
        retain: bool = False,
        expiry_s: int | None = None,
        properties: tuple[tuple[str, str], ...] = (),
    ) -> bool:
        with self._changed:
            if token in self._in_flight:
                raise InternalError(f"Publication {token} is in flight already.")
            if not self._connected or not self._admits(len(payload)):
                return False
            self._in_flight[token] = len(payload)
            if self._broker.frozen:
                self._unanswered.append(token)
            else:
                message = MessageReceived(topic, payload, properties=properties)
                self._tell(self._broker.take(self, token, message, retain))
            return True

    def lane(self, topic: str) -> str:
        return ""

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        with self._changed:
            self._filters[topic_filter] = retained
            if self._connected:
                self._subscribed(topic_filter, retained)

    def read_retained(self, topic_filter: str, source: str = "") -> None:
        with self._changed:
            if self._connected:
                self._reading.add(topic_filter)
                self._subscribed(topic_filter, True)

    def unsubscribe(self, topic_filter: str, source: str = "") -> None:
        with self._changed:
            self._filters.pop(topic_filter, None)
            self._reading.discard(topic_filter)

    def hurry(self, pending: bool) -> None:
        """There are no pauses here."""
        self.hurried = pending

    def next_event(self, timeout_s: float, leave: Callable[[str], bool] | None = None) -> BusEvent | None:
        def taken() -> BusEvent | None:
            for event in self._events:
                if leave is None or not isinstance(event, MessageReceived) or not leave(event.topic):
                    return event
            return None

        with self._changed:
            self._changed.wait_for(lambda: taken() or self._stopped, timeout_s)
            event = taken()
            if event is None:
                return None
            self._events.remove(event)
            if isinstance(event, PublishResult):
                del self._in_flight[event.token]
            return event

    def stop(self) -> None:
        with self._changed:
            if not self._stopped:
                self._stopped = True
                self._lose_unanswered()
                if self in self._broker.clients:
                    self._broker.clients.remove(self)
            self._connected = False

    # The broker's side

    def hears(self, topic: str) -> bool:
        return (
            self._connected
            and self._broker.may(self.name, "read", topic)
            and any(matches(each, topic) for each in (*self._filters, *self._reading))
        )

    def deliver(self, message: MessageReceived) -> None:
        self._tell(message)

    def link_made(self) -> None:
        self._connected = True
        self._tell(BusConnected(PACKET_BYTES, self._limits[0]))
        for each, retained in self._filters.items():
            self._subscribed(each, retained)

    def link_ended(self) -> None:
        self._connected = False
        self._reading.clear()
        self._lose_unanswered()
        error = NetworkError("No program listens.", remedy="Start the broker.")
        self._tell(BusDisconnected(LinkFault.UNREACHABLE, error, retry_in_s=0.0))

    def _admits(self, size_bytes: int) -> bool:
        messages, limit_bytes = self._limits
        fits = sum(self._in_flight.values()) + size_bytes <= limit_bytes
        return len(self._in_flight) < messages and (fits or not self._in_flight)

    def _lose_unanswered(self) -> None:
        for token in self._unanswered:
            self._tell(PublishLost(token))
        self._unanswered.clear()

    def _subscribed(self, topic_filter: str, retained: bool) -> None:
        self._tell(Subscribed(topic_filter))
        if not retained:
            return
        for topic, message in self._broker.retained.items():
            if matches(topic_filter, topic) and self._broker.may(self.name, "read", topic):
                self._tell(MessageReceived(topic, message.payload, properties=message.properties))

    def _tell(self, event: BusEvent) -> None:
        self._events.append(event)
        self._changed.notify_all()
