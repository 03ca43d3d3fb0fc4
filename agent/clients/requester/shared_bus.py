"""`SharedBus`: one connection for two users in two threads, because a broker knows one connection by each certificate.

One user publishes requests, the other one receives uploads. The receiver may wait for a slow store for half a minute.
Then its uploads wait at the broker, as with one user, and the publisher's events go on.

    with SharedBus(bus) as shared:
        publisher, receiver = shared.port(), shared.port(uploads=True)
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Final, Protocol, Self

from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    MessageReceived,
    PublishResult,
)
from agent.ports import Bus
from agent.wire.topics import is_upload

__all__ = ["BusShare", "RequesterBus", "SharedBus"]

_MOST_WAITING: Final = 256
"""Messages that wait for one user here, of 128 KiB at most. More wait in the connection, which slows the broker down.
Then it delivers nothing else, either, and our messages there seem lost and are published once more."""
_WAIT_S: Final = 0.2
_FULL_WAIT_S: Final = 0.02
"""Time after which the connection is asked again for messages that it holds."""


class RequesterBus(Bus, Protocol):
    """A bus that may have several brokers. Events name theirs in `source`."""

    def read_retained(self, topic_filter: str, source: str = "") -> None:
        """As `Bus`. `source`: asks this broker alone."""
        ...

    def unsubscribe(self, topic_filter: str, source: str = "") -> None:
        """As `Bus`. `source`: ends what this broker alone was asked for with `read_retained`."""
        ...

    def next_event(self, timeout_s: float, leave: Callable[[str], bool] | None = None) -> BusEvent | None:
        """As `Bus`. Messages with topics for which `leave` is true wait for a call without it."""
        ...


class SharedBus:
    """Takes the events of a started `bus` in a thread, and hands them to its shares. The caller stops the bus."""

    def __init__(self, bus: RequesterBus) -> None:
        self._bus = bus
        self._lock = threading.Lock()
        self._shares: tuple[BusShare, ...] = ()
        self._owners: dict[int, tuple[BusShare, int]] = {}
        """Publication in flight → the share that made it, and the share's token."""
        self._numbers = itertools.count(1)
        self._up: dict[str, BusConnected] = {}
        """Connected broker → its news, for a share that comes later."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shared-bus", daemon=True)
        self.failed: Exception | None = None
        """The bug that ended the thread."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        for each in self._shares:
            each._end()

    @property
    def is_connected(self) -> bool:
        """True if a broker is connected."""
        return bool(self._up)

    def port(self, *, uploads: bool = False) -> BusShare:
        """Returns a new share, which hears at once of the brokers that are connected. `uploads`: it takes them."""
        made = BusShare(self, uploads=uploads)
        # Events are given out under the same lock, or the share would miss a broker that comes at this moment.
        with self._lock:
            self._shares = (*self._shares, made)
            for news in self._up.values():
                made._put(news)
        return made

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                leave = _left_by({each.takes_uploads for each in self._shares if each.is_full})
                event = self._bus.next_event(_WAIT_S if leave is None else _FULL_WAIT_S, leave)
                if event is not None:
                    self._hand_out(event)
        except Exception as error:  # noqa: BLE001 (its users raise it)
            self.failed = error
            for each in self._shares:
                each._end()

    def _hand_out(self, event: BusEvent) -> None:
        with self._lock:
            if isinstance(event, PublishResult):
                share, own = self._owners.pop(event.token, (None, 0))
                if share is not None:
                    share._put(replace(event, token=own))
                return
            match event:
                case MessageReceived(topic=topic):
                    uploads = is_upload(topic)
                    for each in self._shares:
                        if each.takes_uploads == uploads:
                            each._put(event)
                    return
                case BusConnected(source=source):
                    self._up[source] = event
                case BusDisconnected(source=source):
                    self._up.pop(source, None)
            for each in self._shares:
                each._put(event)

    def _number(self, share: BusShare, token: int) -> int:
        """Returns the number by which the connection knows a publication of this share."""
        with self._lock:
            number = next(self._numbers)
            self._owners[number] = (share, token)
        return number

    def _forget(self, number: int) -> None:
        with self._lock:
            del self._owners[number]

    def _in_flight(self, share: BusShare) -> int:
        with self._lock:
            return sum(each is share for each, _ in self._owners.values())

    def _leave(self, share: BusShare) -> None:
        with self._lock:
            self._shares = tuple(each for each in self._shares if each is not share)


class BusShare:
    """See `RequesterBus`. `close` ends its subscriptions, and the connection goes on."""

    def __init__(self, shared: SharedBus, *, uploads: bool) -> None:
        self._shared = shared
        self.takes_uploads = uploads
        self._changed = threading.Condition()
        self._events: deque[BusEvent] = deque()
        self._messages = 0
        self._filters: set[str] = set()
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def dropped(self) -> int:
        return self._shared._bus.dropped

    @property
    def is_open(self) -> bool:
        """False once the shared connection has ended."""
        return not self._ended

    @property
    def is_full(self) -> bool:
        """True if its messages wait in the connection: a broker must not fill the memory while its user waits."""
        return self._messages >= _MOST_WAITING

    @property
    def in_flight(self) -> int:
        """Returns the number of its publications that no broker has answered."""
        return self._shared._in_flight(self)

    def start(self) -> None:
        """Does nothing: the shared connection has started."""

    def stop(self) -> None:
        self.close()

    def close(self) -> None:
        self._shared._leave(self)
        self._end()
        for each in tuple(self._filters):
            self.unsubscribe(each)

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
        number = self._shared._number(self, token)  # before its answer may come
        taken = self._shared._bus.publish(
            topic, payload, token=number, retain=retain, expiry_s=expiry_s, properties=properties
        )
        if not taken:
            self._shared._forget(number)
        return taken

    def lane(self, topic: str) -> str:
        return self._shared._bus.lane(topic)

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        self._filters.add(topic_filter)
        self._shared._bus.subscribe(topic_filter, retained=retained)

    def read_retained(self, topic_filter: str, source: str = "") -> None:
        self._filters.add(topic_filter)
        self._shared._bus.read_retained(topic_filter, source)

    def unsubscribe(self, topic_filter: str, source: str = "") -> None:
        if not source:
            self._filters.discard(topic_filter)
        self._shared._bus.unsubscribe(topic_filter, source)

    def hurry(self, pending: bool) -> None:
        self._shared._bus.hurry(pending)

    def next_event(self, timeout_s: float, leave: Callable[[str], bool] | None = None) -> BusEvent | None:  # noqa: ARG002 (nothing waits behind an upload here)
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._ended, timeout_s)
            if not self._events:
                return None
            event = self._events.popleft()
            self._messages -= isinstance(event, MessageReceived)
            return event

    def _put(self, event: BusEvent) -> None:
        with self._changed:
            if not self._ended:
                self._events.append(event)
                self._messages += isinstance(event, MessageReceived)
                self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _left_by(full: set[bool]) -> Callable[[str], bool] | None:
    """Returns whether messages of a topic wait in the connection. `full`: True for uploads, False for all others."""
    return (lambda topic: is_upload(topic) in full) if full else None
