"""Keeps the link: hands inbound messages to the custodian, carries outbox objects to their requesters.

It has no part in consent and cannot open footage: it sends only the custodian's list, byte for byte, and a receipt
counts only after the custodian has verified it. One thread takes the bus's events and runs every transfer.

    bus event ──▶ custodian.on_message ──▶ (a receipt) ──▶ the transfer it belongs to ──▶ bus.publish

A device with a session at its broker has a second connection, without one. Over it come lists of trust roots and pages
of digests. They are published again and again, and would push requests out of the session's queue while the device is
away. The session has the subscriptions to requests, bulletins and receipts alone.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import structlog

from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    Subscribed,
    SubscriptionRefused,
)
from agent.core.requests import OutboxRecord
from agent.core.timebase import NS_PER_S, BootNs, seconds
from agent.core.transfer import (
    ClearInit,
    Finished,
    MarkBegun,
    PartSize,
    SendAbort,
    SendChunk,
    SenderEffect,
    SendFin,
    SendInit,
    UploadSender,
    progress_from_receipt,
)
from agent.core.transfer.values import LARGEST_CHUNK_BYTES
from agent.errors import DoorwardError, StorageError
from agent.mqtt.faults import REMEDIES
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.ports import Bus, Clock, CustodyPort, Outbox
from agent.uplink.cell_reading import CellReading
from agent.uplink.trust_reading import TrustReading
from agent.wire import strictjson
from agent.wire.disclosures import Receipt
from agent.wire.topics import (
    ANONYMOUS,
    TRUST_FILTER,
    TRUST_PIECES_FILTER,
    BulletinTopic,
    ChunkVerb,
    HealthTopic,
    ReceiptTopic,
    RequestTopic,
    TopicClass,
    UploadTopic,
    UploadVerb,
    sender_of,
    topic_of,
)
from agent.wire.topics import cell_filter as filter_of_cell
from agent.wire.uploads import UploadNote

__all__ = ["Uplink", "UplinkStatus"]

_IDLE_S: Final = 0.5
_LOOK_NS: Final = seconds(30)
"""Interval at which the custodian's lists are polled even if nothing announces news."""
_REREAD_S: Final = (900.0, 2700.0)
"""Time between two readings of what the broker retains for the cell and of all trust roots. Messages that a full
queue dropped come again, and not sooner: the queue fills if messages are about this door and take long. The time is
random, so that a sender cannot send just before it, and a street does not subscribe at one moment."""
_SECOND_LOOK_S: Final = (30.0, 45.0)
"""Time from a connection to a second look at page 0 of the digest. A request must be heard within 60 s."""
_SOON_S: Final = (20.0, 60.0)
"""The same when it is known that something was missed."""
_KEPT_NS: Final = seconds(30)
"""Messages that a session has kept come within this time after a connection, and take of what is read then."""
_EVENTS_AT_ONCE: Final = 16
"""A window of acknowledgements.  Then it looks at the custodian's list again, so that a revocation waits no longer."""
_TOKENS_PER_TRANSFER: Final = 1 << 32
_FIRST_QUESTIONS: Final = 1 << 48
_INIT_EXPIRY_S: Final = 3600
"""The broker drops a question this long after the last one. A question is repeated every two minutes while its answer
waits (`core.transfer.sender.LONGEST_ASK_NS`). If the doorbell goes for good, or its owner takes the answer back while
this process is off, a requester that comes later must not read of it for a month."""
_REPORT_S: Final = (840.0, 960.0)
"""Time between two reports of health to the installer. It depends on nothing but chance."""
_FIRST_REPORT_S: Final = (5.0, 30.0)
"""The same after a connection."""
_REPORT_EXPIRY_S: Final = 30 * 86_400
_MOST_STRANGE: Final = 16
"""Filters of a session that are noted until the next look at them. More are noted after it."""
_REPORT_TOKEN: Final = -1
"""Tokens of transfers are not negative."""


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """`link` is the word a person reads, `remedy` what to do when it is down."""

    link: str
    remedy: str
    transfers: int
    sent_bytes: int
    received_messages: int


@dataclass(slots=True)
class _Transfer:
    record: OutboxRecord
    sender: UploadSender
    topic: str


class Uplink(ThreadOwned):
    """`run` blocks until `stop`.  `device` is the device's user name at the broker."""

    WRITTEN_BY: ClassVar = {
        "_wanted_filter": AttributeOwner.LOCK,
        **dict.fromkeys(
            (
                "turned_ns", "_link", "_remedy", "_look_ns", "_received", "_packet_bytes", "_reread_ns",
                "_second_look_ns", "_refused_filters", "_dropped", "_cell_filter", "_sent_bytes", "_report_ns",
                "_report_in_flight", "_is_live_up", "_connected_ns", "_kept_bytes",
            ),
            AttributeOwner.UPLINK,
        ),
    }  # fmt: skip

    def __init__(
        self,
        bus: Bus,
        custody: CustodyPort,
        outbox: Outbox,
        clock: Clock,
        *,
        device: str,
        cell_filter: str | None,
        chunk_bytes: int = LARGEST_CHUNK_BYTES,
        uniform: Callable[[float, float], float] | None = None,
        health: Callable[[], bytes] | None = None,
        live: Bus | None = None,
    ) -> None:
        """`cell_filter`: the topics of a large cell around the device; the uplink does not know where that is.
        `health` returns the sealed report to the installer. `live`: the device's second connection, without a session.
        With it, `bus` has a session, and the broker may retain nothing for the device."""
        self._health = health
        self._report_ns: int | None = None
        self._report_in_flight = False
        self._bus = bus
        self._live = bus if live is None else live
        self._has_session = live is not None
        self._is_live_up = False
        self._connected_ns = 0
        self._kept_bytes = 0
        """Since the connection: what came over the session, which has kept it or most of it."""
        self.lock = threading.RLock()
        self._custody = custody
        self._outbox = outbox
        self._clock = clock
        self._device = device
        self._chunk_bytes = chunk_bytes
        self._cell_filter = self._wanted_filter = cell_filter
        self._log = structlog.get_logger("uplink")
        self._transfers: dict[str, _Transfer] = {}
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._changed = threading.Event()
        self._packet_bytes: int | None = None
        self._link, self._remedy = "connecting", ""
        self._refused_filters: dict[str, LinkFault] = {}
        """Those of requests and lists that the broker refuses on this connection, and why."""
        self._sent_bytes = 0
        self._received = 0
        self._look_ns = 0
        self._dropped = 0
        self._uniform = uniform or random.SystemRandom().uniform
        self._reread_ns = self._after(_REREAD_S)
        self._second_look_ns: int | None = None
        """When to look at page 0 of the digest once more. None: it was done since the connection."""
        self._reading = CellReading(bus, cell_filter, self._uniform, pages=live)
        self._trust = TrustReading(self._live, self._uniform, hears_pieces=self._has_session)
        self._strange: set[str] = set()
        """Filters that the session has, as messages show, since the last look at them."""
        self.turned_ns = 0
        """When its loop last came round, on the boot clock."""

    def wake(self) -> None:
        """The custodian's list of outgoing disclosures changed.  From any thread."""
        self._changed.set()

    def listen_to(self, cell_filter: str | None) -> None:
        """The device stands elsewhere now: in another large cell.  From any thread."""
        with self.lock:
            self._wanted_filter = cell_filter
        self._changed.set()

    def stop(self) -> None:
        self._stopping.set()

    def status(self) -> UplinkStatus:
        return UplinkStatus(self._link, self._remedy, len(self._transfers), self._sent_bytes, self._received)

    def run(self) -> None:
        try:
            for each in self._buses:
                each.start()
            self._subscribe()
            while not self._stopping.is_set():
                self._step()
        finally:
            self._link, self._remedy = "stopped", ""
            for each in self._buses:
                each.stop()

    @property
    def _buses(self) -> tuple[Bus, ...]:
        return (self._bus, self._live) if self._has_session else (self._bus,)

    def _subscribe(self) -> None:
        self._live.subscribe(TRUST_FILTER)
        if self._has_session:  # a node of a RabbitMQ cluster does not give it what another node retains
            self._live.subscribe(TRUST_PIECES_FILTER, retained=False)
        if self._cell_filter is not None:
            self._bus.subscribe(self._cell_filter, retained=False)

    def _step(self) -> None:
        """Does what is due, then waits for events of the bus."""
        self.turned_ns = self._now()
        if self._changed.is_set() or self.turned_ns >= self._look_ns:
            # Before the list is read. News that comes while it is read then causes another reading.
            self._changed.clear()
            self._look_ns = self.turned_ns + _LOOK_NS
            self._poll_outgoing()
        self._refresh_subscriptions()
        self._report_health()
        self._read_retained()
        self._send_pending()
        self._handle_events()

    # -- events --------------------------------------------------------------------------------------------------------

    def _handle_events(self) -> None:
        """Wait for one, and take the others that have come with it: a window is refilled in one go."""
        patience_s = self._patience_s()
        if self._has_session:  # what comes over it while this thread waits for the session is taken with the next turn
            for _ in range(_EVENTS_AT_ONCE):
                live_event = self._live.next_event(0.0)
                if live_event is None:
                    break
                self._on_live_event(live_event)
                patience_s = 0.0
        for _ in range(_EVENTS_AT_ONCE):
            event = self._bus.next_event(patience_s)
            if event is None:
                return
            self._on_event(event)
            patience_s = 0.0

    def _on_event(self, event: object) -> None:
        now = self._now()
        match event:
            case BusConnected(packet_bytes=packet_bytes):
                self._packet_bytes, self._connected_ns, self._kept_bytes = packet_bytes, now, 0
                self._refused_filters.clear()
                # Without a session there is one connection, which has both parts.
                self._is_live_up |= not self._has_session
                self._begin_reading(now)
                self._report_ns = self._after(_FIRST_REPORT_S)
                for transfer in self._transfers.values():
                    transfer.sender.connected(packet_bytes)
            case BusDisconnected(fault=fault, error=error, retry_in_s=retry_in_s):
                self._link, self._remedy, self._packet_bytes = fault.value, str(error), None
                self._is_live_up &= self._has_session
                self._end_reading()
                self._report_ns = None
                self._log.warning("link_down", fault=fault.value, error=error.message, retry_in_s=round(retry_in_s, 1))
                for transfer in self._transfers.values():
                    transfer.sender.disconnected(fault)
            case MessageReceived(topic=topic, payload=payload):
                # Messages that a session kept come right after the connection, and count towards the 64 KiB that a
                # connection reads.
                if self._has_session and now - self._connected_ns < _KEPT_NS:
                    self._kept_bytes += len(topic) + len(payload)
                    self._spend_kept(len(topic) + len(payload), now)
                self._on_message(topic, payload, now)
            case PublishAcknowledged(token=token) | PublishRefused(token=token) | PublishLost(token=token) if (
                token == _REPORT_TOKEN
            ):
                self._report_in_flight = False
            case PublishAcknowledged() | PublishRefused() | PublishLost():
                for transfer in self._transfers.values():
                    # Each sender knows its own range of tokens, and ignores the others.
                    transfer.sender.settled(event, now)
            case SubscriptionRefused(topic_filter=topic_filter, code=code, may_pass=may_pass):
                self._log.warning("subscription_refused", filter=topic_filter, code=code)
                if topic_filter in (self._cell_filter, TRUST_FILTER):
                    # A connection over which no request comes must not look like a good one to the owner.
                    self._refused_filters[topic_filter] = LinkFault.BUSY if may_pass else LinkFault.NOT_AUTHORISED
                    self._show_link()
            case Subscribed(topic_filter=topic_filter):
                self._forget_refusal(topic_filter)
                self._reading.subscribed(topic_filter, now)
                self._trust.subscribed(topic_filter, now)

    def _on_live_event(self, event: object) -> None:
        """Takes an event of the connection without a session. Nothing is published over it."""
        now = self._now()
        match event:
            case BusConnected():
                self._is_live_up = True
                self._begin_reading(now)
            case BusDisconnected(fault=fault, error=error, retry_in_s=retry_in_s):
                self._is_live_up = False
                if self._packet_bytes is not None:
                    self._link, self._remedy = fault.value, str(error)
                self._end_reading()
                self._log.warning("lists_down", fault=fault.value, error=error.message, retry_in_s=round(retry_in_s, 1))
            case MessageReceived(topic=topic, payload=payload):
                self._on_message(topic, payload, now)
            case _:
                self._on_event(event)

    def _show_link(self) -> None:
        """Sets the state of the link for the owner, while the broker is connected."""
        if self._packet_bytes is None:
            return
        self._link, self._remedy = "connected" if self._is_live_up else "connecting", ""
        if faults := set(self._refused_filters.values()):
            # A refusal that a person must mend comes before one that passes.
            fault = LinkFault.NOT_AUTHORISED if LinkFault.NOT_AUTHORISED in faults else LinkFault.BUSY
            self._link, self._remedy = fault.value, REMEDIES[fault]

    def _forget_refusal(self, topic_filter: str) -> None:
        if self._refused_filters.pop(topic_filter, None) is not None:
            self._show_link()

    def _begin_reading(self, now: BootNs) -> None:
        """Begins to read lists and pages, once both connections are up."""
        if self._packet_bytes is None:
            return
        self._show_link()
        if not self._is_live_up:
            return
        self._reading.connected(now)
        self._trust.connected(now)
        self._second_look_ns = self._after(_SECOND_LOOK_S)
        if now - self._connected_ns < _KEPT_NS:
            self._spend_kept(self._kept_bytes, now)

    def _end_reading(self) -> None:
        self._reading.disconnected()
        self._trust.disconnected()
        self._second_look_ns = None

    def _spend_kept(self, size_bytes: int, now: BootNs) -> None:
        """Takes what a session had kept from the bytes that are read at a connection."""
        if size_bytes:
            self._reading.spent(size_bytes, now)
            self._trust.cap_budget(self._reading.room_bytes, now)

    def _on_message(self, topic: str, payload: bytes, now: BootNs) -> None:
        self._received += 1
        if self._reading.take(topic, payload, now):
            self._trust.cap_budget(self._reading.room_bytes, now)
            return
        self._reading.heard(now)
        self._trust.heard(now)
        kind = sender_of(topic).kind
        self._note_strange(topic, kind)
        if kind is TopicClass.RECEIPTS and all(topic != each.topic for each in self._transfers.values()):
            # The custodian answers a receipt when it has worked on it, and on what it works on now. A broker could send
            # one behind a request, and see in the next question how long the request took (promise 3).
            return
        if kind is TopicClass.TRUST:
            self._reading.spent(len(topic) + len(payload), now)
            # Charged before it is parsed, because malformed bytes have used the line, too.
            chunks = self._trust.take(topic, payload, now)
            if chunks is not None:
                for chunk in chunks:
                    self._to_custodian(*chunk)
                return
        receipt = self._to_custodian(topic, payload)
        if receipt is not None and receipt.disclosure in self._transfers:
            self._transfers[receipt.disclosure].sender.receipt(progress_from_receipt(receipt), now)

    def _note_strange(self, topic: str, kind: TopicClass) -> None:
        """Notes a subscription, which may be one that an earlier process left in the session: to another cell, or to an
        answer that has ended meanwhile. Such ones are given up at a moment that depends on chance (promise 3)."""
        if not self._has_session or len(self._strange) >= _MOST_STRANGE:
            return
        if kind is TopicClass.RECEIPTS:
            self._strange.add(topic)
            return
        match topic_of(topic):
            case RequestTopic(cell=cell) | BulletinTopic(cell=cell):
                self._strange.add(filter_of_cell(cell))

    def _read_retained(self) -> None:
        """Asks for pieces of packages and for pages. Delivers the messages of a page, as far as their rate allows."""
        for chunk in self._trust.turn(self._now()):
            self._to_custodian(*chunk)
        self._reading.hold(self._trust.is_busy())
        while (message := self._reading.turn(self._now())) is not None:
            self._received += 1
            self._to_custodian(*message)

    def _to_custodian(self, topic: str, payload: bytes) -> Receipt | None:
        try:
            return self._custody.on_message(topic, payload)
        except DoorwardError as error:
            # It is restarting, or the disk takes no receipt.  Requests are retained: the broker gives them again.
            self._reread_ns = min(self._reread_ns, self._after(_SOON_S))
            self._log.warning("message_not_taken", error=error.message)
            return None

    # -- transfers -----------------------------------------------------------------------------------------------------

    def _poll_outgoing(self) -> None:
        """Begins and stops transfers by the custodian's list. If the custodian is away, the next look asks again."""
        try:
            outgoing = self._custody.outgoing()
        except DoorwardError as error:
            self._log.warning("custodian_not_heard", error=error.message)
            return
        self._sync_transfers(outgoing)

    def _refresh_subscriptions(self) -> None:
        """Subscribes to the new cell if the device was moved, and reads cell and trust roots again from time to time.

        It does so sooner if a message was missed. The moment depends on chance, never on the content of a message.
        """
        dropped = sum(each.dropped for each in self._buses)
        if dropped != self._dropped:
            self._dropped = dropped
            self._reread_ns = min(self._reread_ns, self._after(_SOON_S))
        before, self._cell_filter = self._cell_filter, self._wanted_filter
        moved = self._cell_filter != before
        if moved and before is not None:
            self._bus.unsubscribe(before)
            self._forget_refusal(before)
        is_due = self._now() >= self._reread_ns
        if is_due:
            self._live.subscribe(TRUST_FILTER)
            for strange in self._strange - {self._cell_filter, *(each.topic for each in self._transfers.values())}:
                self._bus.unsubscribe(strange)
            self._strange.clear()
        if self._cell_filter is not None and moved:
            # Without retained messages: a flood would bring up to 64 MiB at each connection. `CellReading` asks for
            # pages within a budget instead.
            self._bus.subscribe(self._cell_filter, retained=False)
        if moved:
            self._reading.move(self._cell_filter, self._now())
            self._second_look_ns = self._after(_SECOND_LOOK_S)
        elif is_due:
            self._reading.again(self._now())
        is_late = self._second_look_ns is not None and self._now() >= self._second_look_ns
        if is_late and self._reading.look_again(self._now()):
            self._second_look_ns = None
        if is_due or (moved and self._cell_filter is not None):
            self._reread_ns = self._after(_REREAD_S)

    def _report_health(self) -> None:
        """Publishes the report of health when its time has come. If the custodian is away, the next report is later."""
        if self._health is None or self._report_ns is None or self._report_in_flight:
            return
        if self._now() < self._report_ns:
            return
        # Before the custodian is asked, so that one that is away is not asked again in each turn.
        self._report_ns = self._after(_REPORT_S)
        try:
            sealed = self._health()
        except DoorwardError as error:
            self._log.warning("health_not_reported", error=error.message)
            return
        topic = str(HealthTopic(self._device))
        self._report_in_flight = bool(sealed) and self._bus.publish(
            topic, sealed, token=_REPORT_TOKEN, retain=True, expiry_s=_REPORT_EXPIRY_S
        )

    def _after(self, between_s: tuple[float, float]) -> int:
        return self._now() + int(self._uniform(*between_s) * NS_PER_S)

    def _sync_transfers(self, outgoing: list[tuple[OutboxRecord, bool]]) -> None:
        """Begins what is new on the list, and stops what has left it."""
        listed = {record.disclosure: (record, begun) for record, begun in outgoing}
        for disclosure, transfer in self._transfers.items():
            if disclosure not in listed:
                transfer.sender.stop()
        for disclosure, (record, begun) in listed.items():
            if disclosure not in self._transfers:
                self._begin(record, begun)
        self._bus.hurry(bool(self._transfers))

    def _begin(self, record: OutboxRecord, begun: bool) -> None:
        sender = UploadSender(
            tuple(PartSize(part.size_bytes, part.sha256) for part in record.parts),
            begun=begun,
            first_token=next(self._numbers) * _TOKENS_PER_TRANSFER,
            chunk_bytes=self._chunk_bytes,
            # A late receipt for the sender before a restart then answers none of this one's questions.
            first_question=random.SystemRandom().randrange(_FIRST_QUESTIONS),
        )
        topic = str(ReceiptTopic(self._name_for(record), record.disclosure))
        self._transfers[record.disclosure] = _Transfer(record, sender, topic)
        # Before the first question leaves: its answer may come at once, and would be lost without a subscription.
        self._bus.subscribe(topic)
        if self._packet_bytes is not None:
            sender.connected(self._packet_bytes)
        self._log.info("transfer_begins", disclosure=record.disclosure, parts=len(record.parts))

    def _send_pending(self) -> None:
        """Sends for each transfer until its window or the bus' is full. Acknowledgements make room."""
        # A copy, because `Finished` removes the transfer.
        for disclosure, transfer in list(self._transfers.items()):
            while (effect := transfer.sender.next_effect(self._now())) is not None:
                if not self._apply_effect(disclosure, transfer, effect):
                    break

    def _apply_effect(self, disclosure: str, transfer: _Transfer, effect: SenderEffect) -> bool:
        """False when the bus is full for now, or the transfer is over."""
        if isinstance(effect, MarkBegun):
            # The custodian makes the beginning durable before the first chunk leaves. After a crash, no revocation may
            # then claim that nothing had left.
            if not self._may_begin(disclosure):
                transfer.sender.stop()
            return True
        if isinstance(effect, Finished):
            self._bus.unsubscribe(transfer.topic)
            del self._transfers[disclosure]
            self._bus.hurry(bool(self._transfers))
            self._log.info("transfer_ends", disclosure=disclosure, outcome=effect.outcome.value)
            return False
        try:
            taken = self._publish(transfer.record, effect)
        except StorageError:
            transfer.sender.stop()  # its folder is gone: it was revoked a moment ago
            return True
        if not taken:
            transfer.sender.put_back(effect.token)
        return taken

    def _may_begin(self, disclosure: str) -> bool:
        """A transfer starts only after its beginning is durable. If that fails, the next look retries it."""
        try:
            return self._custody.begin_sending(disclosure)
        except DoorwardError as error:
            self._log.warning("not_begun", disclosure=disclosure, error=error.message)
            return False

    def _publish(self, record: OutboxRecord, effect: SendInit | SendChunk | SendFin | SendAbort | ClearInit) -> bool:
        token = effect.token
        match effect:
            case SendInit(manifest=manifest, question=question):
                # Retained, so that a requester that is away finds the question when it connects.
                topic, note = self._topic(record, 0, UploadVerb.INIT), _note(record, manifest, question)
                return self._bus.publish(topic, note, token=token, retain=True, expiry_s=_INIT_EXPIRY_S)
            case SendChunk(part=part, offset=offset, length=length):
                data = self._outbox.read(record.disclosure, part, offset, length)
                # The topic carries the chunk's hash, so the requester drops a damaged chunk before it writes a byte.
                verb = ChunkVerb(offset, hashlib.sha256(data).hexdigest())
                taken = self._bus.publish(self._topic(record, part, verb), data, token=token)
                self._sent_bytes += length if taken else 0
                return taken
            case SendFin(part=part, size=size):
                return self._bus.publish(self._topic(record, part, UploadVerb.FIN), _note(record, size), token=token)
            case SendAbort():
                return self._bus.publish(self._topic(record, 0, UploadVerb.ABORT), b"", token=token)
            case ClearInit():
                # An empty retained message removes the retained question (MQTT 5 §3.3.1.3).
                return self._bus.publish(self._topic(record, 0, UploadVerb.INIT), b"", token=token, retain=True)

    def _topic(self, record: OutboxRecord, part: int, verb: UploadVerb | ChunkVerb) -> str:
        return str(UploadTopic(record.requester, self._name_for(record), record.disclosure, part, verb))

    def _name_for(self, record: OutboxRecord) -> str:
        return ANONYMOUS if record.anonymous else self._device

    def _patience_s(self) -> float:
        """Until the next event, deadline, or look at the custodian's list."""
        now = self._now()
        deadlines = [d for t in self._transfers.values() if (d := t.sender.deadline_ns) is not None]
        deadlines += self._reads_ns(now)
        wait_s = min([(deadline - now) / 1e9 for deadline in deadlines], default=_IDLE_S)
        return 0.0 if self._changed.is_set() else max(0.0, min(wait_s, _IDLE_S))

    def _reads_ns(self, now: BootNs) -> list[BootNs]:
        """Returns the moments of the next turns that read."""
        moments = (self._trust.deadline_ns(now), self._reading.deadline_ns(now))
        return [each for each in moments if each is not None]

    def _now(self) -> BootNs:
        return self._clock.now().boot_ns


def _note(record: OutboxRecord, part: PartSize, question: int | None = None) -> bytes:
    parts = len(record.parts)
    return strictjson.encode(
        UploadNote(v=1, parts=parts, size_bytes=part.size_bytes, sha256=part.sha256, question=question)
    )
