"""`MqttBus`: the `Bus` port. One thread connects, reconnects and moves packets.

Rules:
- Callers return at once, whatever the network does: they leave publications, acknowledgements and wishes under one
  lock, and wake the thread.  Events wait in one queue: news of the link and of publications are bounded by the window
  (a slot is free once its event is *taken*); of inbound messages at most `inbound_queue` wait, more are dropped and
  counted.
- A publication is accepted only while connected and within the window, so the queue here stays short.  Publications
  that must survive wait in their owner's outbox on disk.
- With a beat, this thread acknowledges at each beat all messages that came, and offers them afterwards.  The
  acknowledgement goes out before a caller sees the message, so it cannot show how long the caller thought about it.  A
  receipt is for an upload on its way, which everyone on the network sees: it is offered as it comes, and acknowledged
  at the beat.
- A failed link reports each failure in an event with the remedy, pauses, and tries again for ever.
"""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

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
    SubscriptionRefused,
)
from agent.errors import ConfigurationError, InternalError
from agent.mqtt import tls
from agent.mqtt.bus_settings import BusSettings
from agent.mqtt.connection import Connection, ConnectionEvent
from agent.mqtt.faults import LinkError
from agent.mqtt.outbound_client import InboundPublish, OutboundPublish
from agent.mqtt.pacing import AcknowledgementBeat, Backoff, InboundQueue, InFlightWindow, RefusedFilters, held_bytes
from agent.wire.topics import TopicClass, sender_of

__all__ = ["MqttBus"]

_STEP_S = 5.0
_STABLE_AFTER_S = 10.0
"""A link that lived this many seconds, or acknowledged anything, resets the back-off."""
_MOST_ENDED = 64
"""Ended filters that a session is told again at each connection."""


def _ignore() -> None:
    """Ignores the news."""


class MqttBus:
    """See `agent.ports.Bus`."""

    def __init__(self, settings: BusSettings, on_event: Callable[[], None] = _ignore) -> None:
        """`on_event` is called after new events, from this bus's thread. It must return at once."""
        self._settings = settings
        self._on_event = on_event
        self._changed = threading.Condition()
        self._events: deque[tuple[BusEvent, int, int]] = deque()
        """(event, packet id to acknowledge or 0, the connection it came by)"""
        self._waiting_in = self._waiting_bytes = 0
        self._window = InFlightWindow(settings.window_messages, settings.window_bytes)
        self._unsettled: set[int] = set()
        self._outgoing: deque[OutboundPublish] = deque()
        self._taken: deque[tuple[int, int]] = deque()
        self._beat = AcknowledgementBeat(settings.inbound_beat_s)
        self._unacknowledged: deque[tuple[MessageReceived | None, int]] = deque()
        """(message, packet id): for the next beat to acknowledge and, if there is a message, to let in"""
        self._unacknowledged_bytes = 0
        self._inbound = InboundQueue(settings)
        """With a beat: what was acknowledged and waits to be taken."""
        self._filters: dict[str, bool] = {}
        """Filter → whether its retained messages are wanted."""
        self._filter_changes: deque[tuple[str, bool | None]] = deque()
        """The same; None: the filter is no longer wanted."""
        self._refused_filters = RefusedFilters(random.SystemRandom().uniform)
        self._told: set[str] = set()
        """With a session: wanted filters of which the broker has heard."""
        self._ended: OrderedDict[str, None] = OrderedDict()
        """With a session: the newest filters of which it has heard and that are no longer wanted. It keeps them if a
        connection ended before it heard that. A filter that came and went between two connections is not named."""
        self._connected = False
        self._connection_count = 0
        self._pending = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._backoff = Backoff(random.SystemRandom().uniform)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._woken = False
        self.dropped = 0
        """See the port. Without a beat also those that were left untaken for too long."""
        self.crowded_out = 0
        """With a beat: inbound messages that were acknowledged, and dropped while they waited to be taken. Their number
        depends on how long messages are processed, so nothing that the broker sees may depend on it (promise 3)."""

    # The port

    def start(self) -> None:
        tls.make_context(self._settings)
        if self._settings.password_file is not None:
            tls.read_password(self._settings.password_file)
        self._thread = threading.Thread(target=self._run, name=f"bus-{self._settings.name}", daemon=True)
        self._thread.start()

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
        # MQTT 5 §3.3.2.1 forbids wildcards in the topic of a PUBLISH, and a broker ends the connection for one.
        if not topic or any(character in topic for character in "+#\0"):
            raise InternalError(f"{topic!r} is no topic to publish to.")
        with self._changed:
            if token in self._window:
                raise InternalError(f"Publication {token} is in flight already.")
            # Refused instead of queued: chunks in a queue could leave after their owner has revoked the approval.
            if not self._connected or not self._window.admits(len(payload)):
                return False
            self._window.add(token, len(payload))
            self._unsettled.add(token)
            self._outgoing.append(OutboundPublish(token, topic, payload, retain, expiry_s, properties))
        self._wake()
        return True

    def lane(self, topic: str) -> str:  # noqa: ARG002 (one broker takes them all)
        return ""

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        with self._changed:
            self._filters[topic_filter] = retained
            if self._connected:
                self._filter_changes.append((topic_filter, retained))
        self._wake()

    def read_retained(self, topic_filter: str, source: str = "") -> None:  # noqa: ARG002 (there is one broker)
        with self._changed:
            if self._connected:
                self._filter_changes.append((topic_filter, True))
        self._wake()

    def unsubscribe(self, topic_filter: str, source: str = "") -> None:  # noqa: ARG002 (as above)
        with self._changed:
            self._filters.pop(topic_filter, None)
            self._refused_filters.forget(topic_filter)
            self._note_end(topic_filter)
            if self._connected:
                self._filter_changes.append((topic_filter, None))
        self._wake()

    def hurry(self, pending: bool) -> None:
        with self._changed:
            self._pending = pending
            self._changed.notify_all()

    def next_event(self, timeout_s: float, leave: Callable[[str], bool] | None = None) -> BusEvent | None:
        """See the port. Messages with topics for which `leave` is true wait for a call without it (`SharedBus`)."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while (place := self._oldest_event(leave)) is None:
                now_s = time.monotonic()
                message = self._inbound.take(now_s)
                if message is not None:
                    return message
                if self._stopping or now_s >= deadline_s:
                    return None
                paced_s = self._inbound.wait_s(now_s)
                self._changed.wait(min(deadline_s - now_s, deadline_s if paced_s is None else paced_s))
            event, packet_id, connection = self._events[place]
            del self._events[place]
            # The slot is free once its result is taken. If it were free on arrival, results could pile up here without
            # a bound.
            if isinstance(event, PublishResult):
                self._window.remove(event.token)
            # Without a beat the broker gets its acknowledgement now, so its receive maximum bounds the messages that
            # wait.
            if packet_id:
                self._taken.append((packet_id, connection))
            if isinstance(event, MessageReceived):
                self._waiting_in -= 1
                self._waiting_bytes -= held_bytes(event)
        if packet_id:
            self._wake()
        return event

    def _oldest_event(self, leave: Callable[[str], bool] | None) -> int | None:
        """Under the lock. Returns the place of the oldest event that is not left."""
        for place, (event, _, _) in enumerate(self._events):
            if leave is None or not isinstance(event, MessageReceived) or not leave(event.topic):
                return place
        return None

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._wake()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._wake_reader.close()
        self._wake_writer.close()

    # The thread

    def _run(self) -> None:
        while not self._stopping:
            started = time.monotonic()
            self._acknowledged_any = False
            try:
                self._serve_connection()
            except Exception as raised:  # noqa: BLE001 (a bug must not end the thread silently)
                error = raised if isinstance(raised, LinkError) else _internal(raised)
                # A connection that ends at once resets nothing. Otherwise a broker that accepts and then hangs up would
                # be tried at the shortest pause for ever.
                if self._acknowledged_any or time.monotonic() - started >= _STABLE_AFTER_S:
                    self._backoff.reset()
                pause_s = self._backoff.next_s(error.fault, pending=self._pending)
                self._on_link_ended(BusDisconnected(error.fault, error, pause_s))
                self._pause(error.fault, pause_s)
        self._on_link_ended(None)

    def _serve_connection(self) -> None:
        """Connect and move packets until `stop`.  Raises `LinkError` when the connection ends before."""
        connection = Connection(self._settings, self._context())
        self._connection_count += 1
        try:
            connection.open(self._wake_reader)
            while True:
                self._drain_wake()  # first: a wake that comes after it cuts the step short
                if self._stopping:
                    return
                self._pass_to_connection(connection)
                happened = connection.step(min(self._acknowledge_at_beat(connection), self._until_asked_again_s()))
                if happened:
                    self._on_connection_events(happened, connection)
        finally:
            self.dropped += connection.dropped
            connection.close()

    def _context(self) -> ssl.SSLContext:
        """Reads the files again for each connection, so that a renewed certificate works without a restart."""
        try:
            return tls.make_context(self._settings)
        except ConfigurationError as error:
            raise LinkError(LinkFault.CERTIFICATE_REFUSED, error.message, remedy=error.remedy) from error

    def _pass_to_connection(self, connection: Connection) -> None:
        """Give the connection what callers left since the last time."""
        with self._changed:
            if not self._connected:
                return
            outgoing, self._outgoing = self._outgoing, deque()
            taken, self._taken = self._taken, deque()
            changes, self._filter_changes = self._filter_changes, deque()
            changes.extend((each, self._filters[each]) for each in self._refused_filters.take_due(time.monotonic()))
            if self._settings.session_s:
                self._note_told(changes)
        for packet_id, number in taken:
            # A packet id of an earlier connection may name another message on this one (MQTT 5 §2.2.1).
            if number == self._connection_count:
                connection.acknowledge(packet_id)
        for topic_filter, retained in changes:
            if retained is None:
                connection.unsubscribe(topic_filter)
            else:
                connection.subscribe(topic_filter, retained=retained)
        for publication in outgoing:
            connection.publish(publication)

    def _until_asked_again_s(self) -> float:
        with self._changed:
            return self._refused_filters.wait_s(time.monotonic())

    def _note_told(self, changes: Iterable[tuple[str, bool | None]]) -> None:
        """Under the lock. The broker is about to hear of these."""
        for topic_filter, retained in changes:
            if retained is None:
                self._note_end(topic_filter)
            else:
                self._told.add(topic_filter)
                self._ended.pop(topic_filter, None)

    def _note_end(self, topic_filter: str) -> None:
        """Under the lock."""
        if topic_filter in self._told:
            self._told.remove(topic_filter)
            self._ended[topic_filter] = None
            if len(self._ended) > _MOST_ENDED:
                self._ended.popitem(last=False)

    def _acknowledge_at_beat(self, connection: Connection) -> float:
        """Runs a beat: acknowledges all messages that came, then offers them. Returns the seconds until the next
        one."""
        if not self._unacknowledged:
            return _STEP_S
        wait_s = self._beat.wait_s(time.monotonic())
        if wait_s:
            return min(_STEP_S, wait_s)
        # Before any caller sees a message: the time of an acknowledgement must not show how long a message is worked on
        # (promise 3).
        for _, packet_id in self._unacknowledged:
            connection.acknowledge(packet_id)
        self._beat.taken()
        with self._changed:
            self._offer_inbound()
            self._changed.notify_all()
        self._on_event()
        return _STEP_S

    def _offer_inbound(self) -> None:
        """Offers under the lock, after the acknowledgements, which makes them independent of the taker."""
        for message, _ in self._unacknowledged:
            if message is not None:
                self.crowded_out += self._inbound.put(message)
        self._unacknowledged.clear()
        self._unacknowledged_bytes = 0

    def _offer(self, message: MessageReceived, packet_id: int) -> bool:
        """Under the lock.  False when too many wait to be taken: it is dropped."""
        size_bytes = held_bytes(message)
        if self._is_full(self._waiting_in, self._waiting_bytes + size_bytes):
            self.dropped += 1
            return False
        self._waiting_in += 1
        self._waiting_bytes += size_bytes
        self._events.append((message, packet_id, self._connection_count))
        return True

    def _is_full(self, count: int, size_bytes: int) -> bool:
        return count >= self._settings.inbound_queue or (count > 0 and size_bytes > self._settings.inbound_bytes)

    def _on_connection_events(self, happened: list[ConnectionEvent], connection: Connection) -> None:
        """All that came at once, under one lock: told one by one, each would wake a caller to wait for the next."""
        with self._changed:
            for happening in happened:
                self._on_connection_event(happening, connection)
            self._changed.notify_all()
        self._on_event()

    def _on_connection_event(self, happening: ConnectionEvent, connection: Connection) -> None:
        """Under the lock."""
        match happening:
            case InboundPublish(message, packet_id) if self._settings.inbound_beat_s:
                size_bytes = held_bytes(message)
                # Only a broker that ignores the receive maximum fills it, or one that floods a client with QoS 0.
                if self._is_full(len(self._unacknowledged), self._unacknowledged_bytes + size_bytes):
                    self.dropped += 1
                    connection.acknowledge(packet_id)
                # The network sees this upload anyway, so its receipt is offered at once and uploads stay fast. The
                # acknowledgement waits for the beat like all others.
                elif sender_of(message.topic).kind is TopicClass.RECEIPTS:
                    self.crowded_out += self._inbound.put(message)
                    self._unacknowledged.append((None, packet_id))
                else:
                    self._unacknowledged.append((message, packet_id))
                    self._unacknowledged_bytes += size_bytes
            case InboundPublish(message, packet_id):
                if not self._offer(message, packet_id):
                    connection.acknowledge(packet_id)
            case BusConnected(_, window):
                self._connected = True
                self._window.messages = window
                # All filters again: this connection has no subscriptions, unless the broker kept a session, and it may
                # have lost that.
                self._filter_changes = deque([*((each, None) for each in self._ended), *self._filters.items()])
                self._events.append((happening, 0, 0))
            case PublishAcknowledged(token) | PublishRefused(token):
                self._acknowledged_any = True
                self._unsettled.discard(token)
                self._events.append((happening, 0, 0))
            case Subscribed(topic_filter):
                self._refused_filters.forget(topic_filter)
                self._events.append((happening, 0, 0))
            case SubscriptionRefused(topic_filter) if happening.may_pass and topic_filter in self._filters:
                self._refused_filters.refused(topic_filter, time.monotonic())
                self._events.append((happening, 0, 0))
            case _:
                self._events.append((happening, 0, 0))

    def _on_link_ended(self, news: BusDisconnected | None) -> None:
        with self._changed:
            self._connected = False
            self._outgoing.clear()
            self._taken.clear()
            # A broker without a session does not repeat a live message. So messages that waited for their beat are
            # offered without it.
            self._offer_inbound()
            self._filter_changes.clear()
            self._refused_filters.clear()
            # Each owner decides whether to send again. paho would resend all of them, also chunks of a transfer that
            # was revoked meanwhile.
            self._events.extend((PublishLost(token), 0, 0) for token in sorted(self._unsettled))
            self._unsettled.clear()
            if news is not None:
                if self._events and isinstance(self._events[-1][0], BusDisconnected):
                    self._events.pop()  # the last one is still untaken: the newest replaces it
                self._events.append((news, 0, 0))
            self._changed.notify_all()
        self._on_event()

    def _pause(self, fault: LinkFault, pause_s: float) -> None:
        """Waits, but no longer than a transfer that turns up meanwhile allows."""
        deadline = time.monotonic() + pause_s
        with self._changed:
            was_pending = self._pending
            while not self._stopping and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
                if self._pending and not was_pending:
                    was_pending = True
                    deadline = min(deadline, time.monotonic() + self._backoff.next_s(fault, pending=True))

    def _wake(self) -> None:
        """One byte is enough until the thread has seen it: a caller that leaves sixteen chunks rings once."""
        if self._woken:
            return
        self._woken = True
        try:
            self._wake_writer.send(b"\0")
        except OSError:  # full: it is awake already; closed: it has stopped
            return

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_reader.recv(4096):
                pass
        # Last. Callers that woke the thread before this line have left what `_pass_to_connection` finds. Later callers
        # see False and wake it again. The other order could lose the wake of a caller between the two.
        self._woken = False


def _internal(error: Exception) -> LinkError:
    made = LinkError(LinkFault.PROTOCOL, f"The bus failed ({error!r}).", remedy="This is a bug: please report it.")
    made.__cause__ = error
    return made
