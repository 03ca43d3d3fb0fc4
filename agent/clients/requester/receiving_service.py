"""The receiving service: passes bus messages to `incoming`, and answers with signed receipts.

A receipt states only what is on the disk, and a complete one repeats for how long the request promised to keep it. The
request is unknown until part 0 is open. So the first receipts omit the request, and one is made for each root under
which the requester has asked.

Runs on one thread: `run`, or `step` by step. Source: PROTOCOL.md, "Upload" and "Receipt".
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from agent.clients.requester.identity import Requester
from agent.clients.requester.incoming import AddressedRequest, IncomingDisclosures
from agent.clients.requester.messages import SignedMessage
from agent.clients.requester.news import ReceiverEvent, ReceiverEventKind, ReceivingLimits
from agent.clients.requester.pending_questions import PendingQuestions
from agent.clients.requester.publisher import PublishQueue, publish_pending
from agent.clients.requester.retained_messages import PublicationMonitor
from agent.clients.requester.root_news import RootNews, StoredNews
from agent.clients.requester.roots import KnownRoots
from agent.clients.requester.shared_bus import RequesterBus
from agent.clients.requester.upload_share import UploadShare
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    MessageReceived,
    PublishAcknowledged,
    PublishRefused,
    Subscribed,
)
from agent.core.timebase import NS_PER_MS, NS_PER_S
from agent.core.transfer import TransferProgress
from agent.core.transfer.values import receipt_for
from agent.errors import DoorwardError, FormatError
from agent.ports import Clock
from agent.wire import strictjson
from agent.wire.disclosures import Receipt, ReceiptState
from agent.wire.topics import (
    BrokersTopic,
    BulletinTopic,
    ChunkVerb,
    ReceiptTopic,
    RequestTopic,
    Topic,
    TrustIndexTopic,
    TrustTopic,
    UploadTopic,
    UploadVerb,
    parse_topic,
)
from agent.wire.uploads import UPLOAD_NOTE_LIMIT_BYTES, UploadNote

__all__ = ["DisclosureReceiver", "ReceiverEvent", "ReceiverEventKind", "ReceivingLimits"]

_STEP_S: Final = 0.5
_LOOK_FOR_REQUESTS_NS: Final = NS_PER_S
_LOOK_FOR_ROOT_NS: Final = 10 * NS_PER_S
"""A person imports a bundle while the receiver runs."""
_EVENTS_BEFORE_A_QUESTION: Final = 16
"""While data comes on and on, the next question has its turn after this many events."""


def _ignore(_news: ReceiverEvent) -> None:
    """Ignores the event."""


def _count_not(_disclosures: int) -> None:
    """Ignores the count."""


class DisclosureReceiver:
    """The receiving service of one requester over `bus`, which the caller starts and stops.

    It must be the only reader of the bus's events. It also publishes messages that are signed but unpublished.
    `answered` receives the number of disclosures that are complete and acknowledged at the broker.
    """

    def __init__(
        self,
        requester: Requester,
        bus: RequesterBus,
        clock: Clock,
        limits: ReceivingLimits | None = None,
        *,
        tell: Callable[[ReceiverEvent], None] = _ignore,
        answered: Callable[[int], None] = _count_not,
        receives: bool = True,
        publishes: bool = True,
    ) -> None:
        """`receives`: whether it takes answers. Without, it publishes and hears the root alone, and needs no store of
        sealed parts. `publishes`: the same for the rest, if another one publishes over the same connection
        (`SharedBus`)."""
        self._requester = requester
        self._bus = bus
        self._clock = clock
        self._tell = tell
        self._answered = answered
        self._receives, self._publishes = receives, publishes
        self._share = UploadShare(requester.claims, bus, requester.id)
        self._arrivals = IncomingDisclosures(
            requester, clock, limits or ReceivingLimits(), tell, self._reply, self._share
        )
        self._connected: set[str] = set()
        """The brokers that are connected. A bus with one broker has the name ""."""
        self._questions = PendingQuestions()
        """Those about uploads that are not open. They wait for data of others."""
        self._events_since_question = 0
        self._outgoing = PublishQueue(bus)
        self._complete: set[str] = set()
        self._not_taken: set[str] = set()
        self._looked_ns = -_LOOK_FOR_REQUESTS_NS
        self._standing = PublicationMonitor(requester, bus.lane)
        self._root_news = RootNews(KnownRoots(requester), self._now_s)
        self._root_refused = ""
        self._root_looked_ns = self._clock.now().boot_ns
        self.dropped = 0
        """Number of malformed messages."""

    def run(self, stop: threading.Event) -> None:
        """Receives until `stop` is set. Raises `StorageError` if the disk fails. Then start again: stored data is kept.

        The caller must hold `publisher.connection_lock` from before it connects.
        """
        self.start()
        while not stop.is_set():
            self.step(_STEP_S)

    def start(self) -> None:
        """Cleans up after a crash, and subscribes."""
        if self._receives:
            self._arrivals.sweep()
        if self._requester.index.rebuilt:
            self._say(ReceiverEvent(ReceiverEventKind.REBUILT, detail=self._requester.index.rebuilt))
        # Doorbells wait for receipts, and people for their requests: after an outage no pause of up to 5 min.
        self._bus.hurry(True)
        if self._receives:
            self._share.subscribe()
        for topic_filter in self._root_news.filters if self._publishes else ():
            self._bus.subscribe(topic_filter)

    def step(self, timeout_s: float) -> BusEvent | None:
        """Takes one event, waiting at most `timeout_s`, and handles it completely.

        Raises `NetworkError` if other receivers may have taken over what this one had claimed.
        """
        # First: if the session with the database has died, another receiver may work on these uploads already.
        self._requester.claims.check()
        self._look()
        self._outgoing.pump()
        event = self._next_event(timeout_s)
        if event is None and (question := self._questions.take()) is not None:
            self._events_since_question = 0
            event = question
            self._received(question, has_waited=True)
        else:
            self._handle(event)
        if self._until_due_s() == 0:
            self._arrivals.answer_what_is_due()
        self._outgoing.pump()
        return event

    def _next_event(self, timeout_s: float) -> BusEvent | None:
        """Returns the next event. None if there is none, or if a question has waited for long enough."""
        if not self._questions:
            return self._bus.next_event(min(timeout_s, self._until_due_s()))
        self._events_since_question += 1
        return None if self._events_since_question > _EVENTS_BEFORE_A_QUESTION else self._bus.next_event(0.0)

    def _handle(self, event: BusEvent | None) -> None:
        match event:
            case MessageReceived():
                self._received(event)
            case BusConnected(source=source):
                self._connected.add(source)
                self._say(ReceiverEvent(ReceiverEventKind.CONNECTED))
                self._standing.connected(self._clock.now().boot_ns, source)
            case BusDisconnected(error=error, others=others, source=source) if others:
                self._lost(source)
                self._say(ReceiverEvent(ReceiverEventKind.BROKER_AWAY, detail=str(error)))
            case BusDisconnected(error=error, source=source):
                self._lost(source)
                if self._share.shared:  # another worker may still be connected
                    self._arrivals.leave_all()
                    self._requester.claims.step_down()
                self._say(ReceiverEvent(ReceiverEventKind.DISCONNECTED, detail=str(error)))
            case Subscribed(topic_filter=granted, source=source) if granted == self._standing.topic_filter:
                self._standing.on_subscribed(self._clock.now().boot_ns, source)
            case None:
                pass
            case _:
                self._outgoing.settled(event)

    def _lost(self, source: str) -> None:
        """Forgets what a broker said that is out of reach. It repeats its retained questions."""
        self._connected.discard(source)
        self._standing.disconnected(source)
        self._questions.forget(source)

    def _until_due_s(self) -> float:
        deadline_ns = self._arrivals.deadline_ns
        return _STEP_S if deadline_ns is None else max(0.0, (deadline_ns - self._clock.now().boot_ns) / NS_PER_S)

    # Incoming

    def _received(self, message: MessageReceived, *, has_waited: bool = False) -> None:
        """`has_waited`: it is a question, and its turn has come."""
        try:
            topic = parse_topic(message.topic)
            note = _note(topic, message.payload)
        except FormatError:
            self.dropped += 1
            return
        if isinstance(topic, RequestTopic | BulletinTopic):
            self._standing.on_retained(topic, message.payload, self._clock.now().boot_ns, message.source)
            return
        if isinstance(topic, TrustTopic | BrokersTopic):
            self._hear_root(topic, message)
            return
        if isinstance(topic, TrustIndexTopic):
            return  # for doorbells, which read only the pieces that they lack
        if not isinstance(topic, UploadTopic) or topic.requester != self._requester.id:
            self.dropped += 1
            return
        if not self._receives:
            return  # from a session of before: its doorbell asks again
        device, disclosure, part = topic.device, topic.disclosure, topic.part
        match topic.verb:
            case ChunkVerb(offset, sha256):
                self._arrivals.chunk(device, disclosure, part, offset, message.payload, sha256)
            case UploadVerb.FIN:
                self._arrivals.fin(device, disclosure, part, note)
            case UploadVerb.ABORT:
                self._questions.drop(device, disclosure)
                self._arrivals.abort(device, disclosure)
            case UploadVerb.INIT if note is not None and (has_waited or not self._arrivals.may_wait(disclosure)):
                self._arrivals.init(device, disclosure, note)
            case UploadVerb.INIT if note is not None:
                # Until no data waits. A receiver that starts hears the questions of all waiting uploads, and then data
                # of those that it answered. Each question asks database and store, so with hundreds of them the data
                # would come too late for a doorbell, or after the next fault.
                self._questions.put(device, disclosure, message)
            case UploadVerb.INIT:
                self._questions.drop(device, disclosure)  # its device clears the retained one: it has ended

    def _hear_root(self, topic: TrustTopic | BrokersTopic, message: MessageReceived) -> None:
        try:
            stored = self._root_news.take(topic, message.payload, self._now_s, message.source)
        except DoorwardError as error:
            if str(error) != self._root_refused:  # a broker may repeat it for ever
                self._root_refused = str(error)
                self._say(ReceiverEvent(ReceiverEventKind.ROOT_REFUSED, detail=str(error)))
            return
        self._say_root(stored)

    def _look_for_root(self) -> None:
        before = self._root_news.filters
        stored = self._root_news.look(self._now_s)
        after = self._root_news.filters
        for topic_filter in before if after != before else ():
            self._bus.unsubscribe(topic_filter)
        for topic_filter in after if after != before else ():
            self._bus.subscribe(topic_filter)
        self._say_root(stored)

    def _say_root(self, stored: StoredNews) -> None:
        if stored is not StoredNews.NOTHING:
            is_list = stored is StoredNews.LIST
            self._say(ReceiverEvent(ReceiverEventKind.ROOT_LIST if is_list else ReceiverEventKind.ROOT_BROKERS))

    # Outgoing

    def _reply(self, device: str, disclosure: str, held: TransferProgress, named: AddressedRequest | None) -> None:
        trust_roots = {named.trust_root} if named else self._requester.trust_roots()
        for trust_root in sorted(trust_roots):
            receipt = self._requester.sign(Receipt.PAYLOAD_TYPE, self._receipt(disclosure, held, named, trust_root))
            if held.state is ReceiptState.COMPLETE:
                self._requester.answer(disclosure).keep_receipt(receipt)
            self._outgoing.put(
                str(ReceiptTopic(device, disclosure)),
                receipt,
                slot=f"{disclosure} {trust_root}",
                done=functools.partial(self._receipt_sent, disclosure, held.state),
            )
        self._outgoing.pump()  # before the claim is released: a device drops a receipt with an older number

    def _receipt(
        self, disclosure: str, held: TransferProgress, named: AddressedRequest | None, trust_root: str
    ) -> Receipt:
        complete = held.state is ReceiptState.COMPLETE
        return receipt_for(
            held,
            disclosure=disclosure,
            request=named.request if named else None,
            requester=self._requester.id,
            trust_root=trust_root,
            seq=self._requester.next_number(),
            time_s=self._now_s,
            retention_days=named.retention_days if named and complete else None,
            unopened=self._unopened(disclosure) if complete else (),
        )

    def _unopened(self, disclosure: str) -> tuple[tuple[int, int], ...]:
        outcome = self._requester.answer(disclosure).outcome()
        return outcome.unopened if outcome is not None else ()

    def _receipt_sent(self, disclosure: str, state: ReceiptState, answer: PublishAcknowledged | PublishRefused) -> None:
        if state is ReceiptState.COMPLETE and isinstance(answer, PublishAcknowledged):
            self._complete.add(disclosure)
            self._answered(len(self._complete))

    def _look(self) -> None:
        """Runs once a second."""
        now_ns = self._clock.now().boot_ns
        if now_ns - self._looked_ns < _LOOK_FOR_REQUESTS_NS:
            return
        self._looked_ns = now_ns
        if self._share.shared:
            self._arrivals.leave_silent()
            self._arrivals.sweep_on()
        if not self._publishes:
            return
        if now_ns - self._root_looked_ns >= _LOOK_FOR_ROOT_NS:
            self._root_looked_ns = now_ns
            self._look_for_root()
        # Another process may have signed a request, for example the page of a desk.
        if not self._share.shared or (self._connected and self._requester.claims.claim_duty("publish")):
            self._publish_requests(now_ns)

    def _publish_requests(self, now_ns: int) -> None:
        for source in self._standing.to_ask(now_ns):
            self._bus.read_retained(self._standing.topic_filter, source)
        self._standing.check(now_ns, self._now_s)
        for source in self._standing.take_answered():
            self._bus.unsubscribe(self._standing.topic_filter, source)
        publish_pending(
            self._requester,
            self._outgoing,
            self._now_s,
            self._not_published,
            self._not_taken,
            self._published,
            self._connected,
        )

    def _say(self, event: ReceiverEvent) -> None:
        """Passes on an event that concerns no disclosure."""
        self._tell(replace(event, at_ms=self._clock.now().utc_ns // NS_PER_MS))

    def _published(self, signed: SignedMessage) -> None:
        self._say(ReceiverEvent(ReceiverEventKind.PUBLISHED, request=signed.id, detail=signed.kind))

    def _not_published(self, request_id: str, error: DoorwardError) -> None:
        self._not_taken.add(request_id)  # skip it until the next start: an immediate retry would fail again
        self._say(ReceiverEvent(ReceiverEventKind.NOT_PUBLISHED, request=request_id, detail=str(error)))

    @property
    def _now_s(self) -> int:
        return self._clock.now().utc_ns // NS_PER_S


def _note(topic: Topic, payload: bytes) -> UploadNote | None:
    """Returns the content of an init or fin. None for other messages, and for an empty init, which only clears a
    retained one.

    Raises `FormatError` for a malformed init. A malformed fin still ends its part.
    """
    if not isinstance(topic, UploadTopic) or not payload:
        return None
    if topic.verb is UploadVerb.FIN:
        with suppress(FormatError):
            return strictjson.decode(payload, UploadNote, limit_bytes=UPLOAD_NOTE_LIMIT_BYTES)
        return None
    if topic.verb is not UploadVerb.INIT or topic.part != 0:
        return None
    return strictjson.decode(payload, UploadNote, limit_bytes=UPLOAD_NOTE_LIMIT_BYTES)
