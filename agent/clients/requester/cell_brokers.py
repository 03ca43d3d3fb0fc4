"""`CellBrokers`: one `Bus` over several brokers, each of which serves some cells (`wire.broker_directory`).

Rules:
- A message for a cell goes to each broker that serves it. It counts as acknowledged once all of them have acknowledged
  it, and as refused or lost if one of them says so.
- A receipt goes to the broker from which the doorbell's last message came, or to all if it has sent none yet.
- Subscriptions go to all brokers.
- A broker that is out of reach delays only the messages for its cells: `lane` tells which messages wait together. They
  wait ten seconds for it, and then go to the other brokers of the cell. The acknowledgement names the broker that lacks
  the message, so that the caller publishes it once more when that broker is back.
- A broker for which a file is missing, such as its operator's certificate, is left out. The caller is told of it after
  each connection to another one, and it is tried again every ten seconds. A message goes to the other brokers of its
  cell at once, and once more when this one is there. If there are no others, the message waits.

Each broker has its own connection, with its own pauses and limits. A message is acknowledged to its broker as the
caller takes it, so a slow caller slows all brokers down.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from agent.clients.requester.shared_bus import RequesterBus
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
from agent.errors import ConfigurationError, DoorwardError, InternalError, NetworkError, StorageError
from agent.wire.broker_directory import BrokerAddress, BrokerDirectory
from agent.wire.topics import BulletinTopic, ReceiptTopic, RequestTopic, UploadTopic, topic_of

__all__ = ["CellBrokers", "Connect"]

Connect = Callable[[BrokerAddress, Callable[[], None]], RequesterBus]
"""Makes the connection to one broker. It calls its second argument after each new event, from any thread.

It or the connection's `start` may raise `ConfigurationError` if a file is missing or does not fit, and `StorageError`
if it cannot be read.
"""

_MOST_DEVICES: Final = 65_536
"""Doorbells of which the broker is remembered. The oldest is forgotten first, and its receipts go to all brokers."""
_LOOK_S: Final = 0.2
"""Longest wait before all brokers are asked again, in case a connection does not call."""
_AGAIN_S: Final = 10.0
_PATIENCE_S: Final = 10.0
"""Longer than all brokers take to connect at a start, so that each of them gets a message at once."""
_UNUSABLE: Final = (ConfigurationError, StorageError)
"""A file for one broker that this user may not read must not end the connections to all others."""
_NO_BROKER: Final = 0x90
"""MQTT 5.0, "Topic Name invalid": no broker of the directory serves the cell."""


@dataclass(slots=True)
class _Publication:
    """A message on its way. `waiting`: brokers that have not answered; `answer`: the worst answer so far; `lacking`:
    brokers of its cell that are away."""

    token: int
    waiting: set[BrokerAddress]
    answer: PublishResult
    lacking: tuple[str, ...]


class CellBrokers:
    """See `agent.ports.Bus`."""

    def __init__(self, directory: BrokerDirectory, brokers: tuple[BrokerAddress, ...], connect: Connect) -> None:
        """`brokers`: those of the directory to connect to, at least one.

        Raises `ConfigurationError` or `StorageError`, as `start` does, if none of them can be connected to.
        """
        self._directory = directory
        self._connect = connect
        self._news = threading.Event()
        self._links: dict[BrokerAddress, RequesterBus] = {}
        """Is replaced and never changed: other threads go through it."""
        self._left_out: dict[BrokerAddress, DoorwardError] = {}
        self._untold: deque[BrokerAddress] = deque()
        """Brokers that were left out, and that the caller has to be told of."""
        self._tried_s = time.monotonic()
        self._filters: dict[str, bool] = {}
        """Filter → whether its retained messages are wanted, for a broker that comes later."""
        self._hurries = False
        self._lock = threading.Lock()
        self._publications: dict[int, _Publication] = {}
        """By the number that all brokers know it under."""
        self._numbers = itertools.count()
        self._in_flight: set[int] = set()
        """The callers' tokens that no event has settled."""
        self._refused: deque[PublishRefused] = deque()
        self._came_by: OrderedDict[str, BrokerAddress] = OrderedDict()
        """Device → the broker of its last message."""
        self._brokers_of: dict[str, tuple[BrokerAddress, ...]] = {}
        """Cell → its brokers, once looked up."""
        self._connected: set[BrokerAddress] = set()
        self._away_since_s: dict[BrokerAddress, float] = {}
        """Broker with a connection that is not up → since when, in seconds of the monotonic clock."""
        self._turns: list[BrokerAddress] = []
        """The brokers in the order in which they are asked for an event: the last one that had one comes last."""
        self._stopping = False
        for address in brokers:
            self._make(address)
        self._require_one()

    @property
    def dropped(self) -> int:
        return sum(link.dropped for link in self._links.values())

    def start(self) -> None:
        for address in self._links:
            self._begin(address)
        self._require_one()

    def lane(self, topic: str) -> str:
        return " ".join(map(str, self._route(topic)))

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
        route = self._within_reach(self._route(topic))
        if route is None:
            return False
        lacking = tuple(str(address) for address in self._serving(topic) if address not in route)
        with self._lock:
            if token in self._in_flight:
                raise InternalError(f"Publication {token} is in flight already.")
            self._in_flight.add(token)
            number = next(self._numbers)
            self._publications[number] = _Publication(
                token, set(route), PublishAcknowledged(token, heard=False), lacking
            )
        if not route:
            self._refused.append(PublishRefused(number, _NO_BROKER, "no broker of the directory serves this cell"))
            self._news.set()
            return True
        for address in route:
            if not self._links[address].publish(
                topic, payload, token=number, retain=retain, expiry_s=expiry_s, properties=properties
            ):
                # A broker that took it before will answer to a number that is forgotten. It gets the message once more.
                with self._lock:
                    del self._publications[number]
                    self._in_flight.remove(token)
                return False
        return True

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        self._filters[topic_filter] = retained
        for link in self._links.values():
            link.subscribe(topic_filter, retained=retained)

    def read_retained(self, topic_filter: str, source: str = "") -> None:
        """See the port. `source`: asks this broker alone, so that the answers of the others do not begin again."""
        for address, link in self._links.items():
            if not source or source == str(address):
                link.read_retained(topic_filter)

    def unsubscribe(self, topic_filter: str, source: str = "") -> None:
        """See the port. `source`: ends what this broker alone was asked for with `read_retained`."""
        if not source:
            self._filters.pop(topic_filter, None)
        for address, link in self._links.items():
            if not source or source == str(address):
                link.unsubscribe(topic_filter)

    def hurry(self, pending: bool) -> None:
        self._hurries = pending
        for link in self._links.values():
            link.hurry(pending)

    def next_event(self, timeout_s: float, leave: Callable[[str], bool] | None = None) -> BusEvent | None:
        """See the port. Messages with topics for which `leave` is true wait for a call without it (`SharedBus`)."""
        ends_s = time.monotonic() + timeout_s
        while True:
            self._news.clear()  # before the look: an event that comes after it ends the wait
            event = self._look(leave)
            left_s = ends_s - time.monotonic()
            if event is not None or left_s <= 0 or self._stopping:
                return event
            self._news.wait(min(left_s, _LOOK_S))

    def stop(self) -> None:
        self._stopping = True
        for link in self._links.values():
            link.stop()
        self._news.set()

    def _make(self, address: BrokerAddress) -> bool:
        """Makes a connection, or notes why it cannot be made."""
        try:
            link = self._connect(address, self._news.set)
        except _UNUSABLE as error:
            self._left_out[address] = error
            return False
        self._links = {**self._links, address: link}
        self._turns.append(address)
        return True

    def _begin(self, address: BrokerAddress) -> bool:
        """Starts a connection, or leaves it out."""
        link = self._links[address]
        self._away_since_s.setdefault(address, time.monotonic())
        try:
            link.start()
        except _UNUSABLE as error:
            link.stop()
            self._links = {other: each for other, each in self._links.items() if other != address}
            self._turns.remove(address)
            self._left_out[address] = error
            return False
        return True

    def _require_one(self) -> None:
        if not self._links:
            raise next(iter(self._left_out.values()))

    def _try_again(self) -> None:
        """Takes in brokers with files that are there now."""
        now_s = time.monotonic()
        if not self._left_out or now_s - self._tried_s < _AGAIN_S:
            return
        self._tried_s = now_s
        for address in tuple(self._left_out):
            if not (self._make(address) and self._begin(address)):
                continue
            link = self._links[address]
            for topic_filter, retained in tuple(self._filters.items()):
                link.subscribe(topic_filter, retained=retained)
            link.hurry(self._hurries)
            del self._left_out[address]
            # `stop` may have run since this link was made, and did not see it.
            if self._stopping:
                link.stop()

    def _route(self, topic: str) -> tuple[BrokerAddress, ...]:
        """Returns the brokers to which a message of this topic goes. If one is left out, all are."""
        match topic_of(topic):
            case RequestTopic() | BulletinTopic():
                found, links = self._serving(topic), self._links
                return tuple(each for each in found if each in links) or found
            case ReceiptTopic(device=device) if device in self._came_by:
                return (self._came_by[device],)
            case _:
                return tuple(self._links)

    def _serving(self, topic: str) -> tuple[BrokerAddress, ...]:
        """Returns the brokers that serve the cell of a request or bulletin, also those that are left out."""
        parsed = topic_of(topic)
        if not isinstance(parsed, RequestTopic | BulletinTopic):
            return ()
        if parsed.cell not in self._brokers_of:
            self._brokers_of[parsed.cell] = self._directory.brokers_of(parsed.cell)
        links, left_out = self._links, self._left_out
        return tuple(each for each in self._brokers_of[parsed.cell] if each in links or each in left_out)

    def _within_reach(self, route: tuple[BrokerAddress, ...]) -> tuple[BrokerAddress, ...] | None:
        """Returns the brokers of a route that get a message now, or None if it has to wait, as a whole."""
        if any(address in self._left_out for address in route):
            return None
        if len(route) < 2:
            return route
        # As a whole: otherwise the brokers that are connected would get the message again with each try.
        late_s = time.monotonic() - _PATIENCE_S
        away = [address for address in route if address not in self._connected]
        # Another thread takes the events: a broker may be back since the line above.
        if len(away) == len(route) or any(self._away_since_s.get(address, 0.0) > late_s for address in away):
            return None
        return tuple(address for address in route if address not in away)

    def _look(self, leave: Callable[[str], bool] | None) -> BusEvent | None:
        """Returns an event of the next broker that has one."""
        if self._refused:
            return self._answered(None, self._refused.popleft())
        self._try_again()
        while self._untold and self._connected:
            address = self._untold.popleft()
            if address in self._left_out:
                return self._absence(address)
        for address in self._turns:
            while (event := self._links[address].next_event(0, leave)) is not None:
                told = self._told(address, event)
                if told is not None:
                    # To the end of the line, so that a busy broker hides no other one.
                    self._turns = [*(each for each in self._turns if each != address), address]
                    return told
        return None

    def _told(self, address: BrokerAddress, event: BusEvent) -> BusEvent | None:
        """Returns what a caller learns of one broker's event, or None if other brokers have not answered yet."""
        match event:
            case PublishAcknowledged() | PublishRefused() | PublishLost():
                return self._answered(address, event)
            case MessageReceived(topic=topic):
                self._note_sender(address, topic)
                return replace(event, source=str(address))
            case Subscribed():
                return replace(event, source=str(address))
            case BusConnected():
                self._connected.add(address)
                self._away_since_s.pop(address, None)
                self._untold = deque(self._left_out)
                return replace(event, source=str(address))
            case BusDisconnected():
                self._connected.discard(address)
                self._away_since_s.setdefault(address, time.monotonic())  # each failed attempt tells it again
                return replace(event, others=len(self._connected), source=str(address))
        return event

    def _absence(self, address: BrokerAddress) -> BusDisconnected:
        error = self._left_out[address]
        said = NetworkError(f"The broker {address} is left out: {error.message}", remedy=error.remedy)
        others = len(self._connected)
        return BusDisconnected(LinkFault.CERTIFICATE_REFUSED, said, _AGAIN_S, others=others, source=str(address))

    def _answered(self, address: BrokerAddress | None, answer: PublishResult) -> PublishResult | None:
        with self._lock:
            publication = self._publications.get(answer.token)
            # The answer belongs to a number that `publish` has taken back, because another broker of the cell had no
            # room.
            if publication is None:
                return None
            if address is not None:
                publication.waiting.discard(address)
            publication.answer = _worse(publication.answer, answer)
            if publication.waiting:
                return None
            del self._publications[answer.token]
            self._in_flight.remove(publication.token)
        found = replace(publication.answer, token=publication.token)
        return replace(found, lacking=publication.lacking) if isinstance(found, PublishAcknowledged) else found

    def _note_sender(self, address: BrokerAddress, topic: str) -> None:
        parsed = topic_of(topic)  # the reader drops one of no shape, and counts it
        if isinstance(parsed, UploadTopic):
            self._came_by[parsed.device] = address
            self._came_by.move_to_end(parsed.device)
            if len(self._came_by) > _MOST_DEVICES:
                self._came_by.popitem(last=False)


def _worse(one: PublishResult, other: PublishResult) -> PublishResult:
    """A refusal counts more than a loss, because a repetition cannot help. `heard`: by a client of any broker."""
    match one, other:
        case PublishAcknowledged(heard=before), PublishAcknowledged(heard=heard):
            return replace(other, heard=before or heard)
        case (PublishRefused(), _) | (PublishLost(), PublishAcknowledged()):
            return one
    return other
