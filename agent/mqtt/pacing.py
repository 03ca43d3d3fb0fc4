"""Limits in flight, pauses between tries, the moment to acknowledge inbound messages, and the queue in which they wait.

These are deciders without I/O. An acknowledgement is for the broker and independent of the outcome. Processing is fair
among senders (`FairQueue`):

- Senders take turns. For each sender the newest item comes first, so a sender who floods replaces only earlier items of
  the same sender. Items about one subject come in the order in which they were added, because a later one says what
  holds now.
- The queue is bounded. If it is full, the oldest item of the sender with the most bytes is dropped.

So a sender with few items is served after one turn of all others, independent of their number of items.

Receipts for the device's uploads, packages of trust roots, and messages to the whole cell are three classes, so that a
flood of one cannot delay another. The broker's access list binds the sender to the topic. Messages of one topic are
handed out as they came: a later index of a trust root says which list holds now, and a withdrawal ends the request that
stood in its place. The newest receipt alone counts, so it comes first.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from agent.core.bus import LinkFault, MessageReceived
from agent.mqtt.bus_settings import BusSettings
from agent.wire.topics import TopicClass, sender_of

__all__ = [
    "AcknowledgementBeat",
    "Backoff",
    "FairQueue",
    "InFlightWindow",
    "InboundQueue",
    "MessageRateLimiter",
    "RefusedFilters",
    "held_bytes",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Held(Generic[T]):
    item: T
    size_bytes: int
    subject: str | None


class FairQueue(Generic[T]):
    """`most_of_one`: items of one sender. `size_bytes`: of all items together; a larger item is stored alone."""

    def __init__(self, most_of_one: int, size_bytes: int) -> None:
        self._most_of_one = most_of_one
        self._size_bytes = size_bytes
        self._senders: OrderedDict[str, deque[_Held[T]]] = OrderedDict()
        """Senders in the order of their turns, each with items, oldest first."""
        self._held: dict[str, int] = {}
        self._total = 0

    def __len__(self) -> int:
        return sum(map(len, self._senders.values()))

    def put(self, sender: str, item: T, size_bytes: int, subject: str | None = None) -> int:
        """Adds an item. Returns the number of items that were dropped for it. `subject`: of this sender's items. None
        if the item stands alone."""
        items = self._senders.setdefault(sender, deque())
        items.append(_Held(item, size_bytes, subject))
        self._weigh(sender, size_bytes)
        dropped = 0
        if len(items) > self._most_of_one:
            self._drop_oldest(sender)
            dropped += 1
        while self._total > self._size_bytes and len(self) > 1:
            # By bytes, not by number of items: a flood of one sender makes room from that sender's own share.
            self._drop_oldest(max(self._held, key=self._held.__getitem__))
            dropped += 1
        return dropped

    def take(self) -> T | None:
        """Returns the newest item of the next sender in turn, or the oldest one about the same subject."""
        if not self._senders:
            return None
        sender, items = self._senders.popitem(last=False)
        # A later item about the same subject says what holds now, so it must not overtake the earlier ones.
        held = _first_about(items[-1], items)
        items.remove(held)
        if items:
            self._senders[sender] = items  # behind all others
        self._weigh(sender, -held.size_bytes)
        return held.item

    def _drop_oldest(self, sender: str) -> None:
        items = self._senders[sender]
        held = items.popleft()
        if not items:
            del self._senders[sender]
        self._weigh(sender, -held.size_bytes)

    def _weigh(self, sender: str, size_bytes: int) -> None:
        self._total += size_bytes
        self._held[sender] = self._held.get(sender, 0) + size_bytes
        if not self._held[sender]:
            del self._held[sender]


def _first_about(newest: _Held[T], items: deque[_Held[T]]) -> _Held[T]:
    """Returns the oldest of a sender's items about the newest one's subject."""
    if newest.subject is None:
        return newest
    return next(each for each in items if each.subject == newest.subject)


PENDING_CAP_S = 4.0
"""The longest pause before the next try while an upload waits."""
IDLE_CAP_S = 300.0
"""The same without an upload, or if a person must repair the fault."""
_PENDING_FIRST_S = 0.5
_IDLE_FIRST_S = 4.0
"""The longest pause after the first failure. It doubles with each failure, up to its cap."""
_MENDED_BY_A_PERSON = frozenset(
    {
        LinkFault.BROKER_NOT_TRUSTED,
        LinkFault.CERTIFICATE_REFUSED,
        LinkFault.NOT_AUTHORISED,
        LinkFault.TAKEN_OVER,
        LinkFault.PROTOCOL,
    }
)
_PERSON_FIRST_S = 60.0
_ROUNDING_S = 1e-6
_FILTER_FIRST_S = 1.0
_FILTER_CAP_S = 60.0
"""A node of a cluster is back within a minute, and the subscription with it soon after."""


class InFlightWindow:
    """Unsettled publications, bounded in number and in bytes.

    A message larger than the byte bound may go if it is alone; otherwise it would wait for ever.
    """

    def __init__(self, messages: int, size_bytes: int) -> None:
        self.messages = messages
        self._limit_bytes = size_bytes
        self._in_flight: dict[int, int] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._in_flight)

    def __contains__(self, token: int) -> bool:
        return token in self._in_flight

    def admits(self, size_bytes: int) -> bool:
        if not self._in_flight:
            return self.messages > 0
        return len(self._in_flight) < self.messages and self._bytes + size_bytes <= self._limit_bytes

    def add(self, token: int, size_bytes: int) -> None:
        self._in_flight[token] = size_bytes
        self._bytes += size_bytes

    def remove(self, token: int) -> None:
        self._bytes -= self._in_flight.pop(token)


class Backoff:
    """Growing pauses with full jitter, so that the reconnects of a fleet spread out.

    `uniform(low, high)` is the source of jitter. Faults that only a person can repair wait longer even if work is
    pending, because repeated attempts look like an attack to the broker.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self._failures = 0

    def reset(self) -> None:
        """The link has proved good."""
        self._failures = 0

    def next_s(self, fault: LinkFault, *, pending: bool) -> float:
        """Seconds to wait after this failure."""
        if fault in _MENDED_BY_A_PERSON:
            first, cap = _PERSON_FIRST_S, IDLE_CAP_S
        elif pending:
            first, cap = _PENDING_FIRST_S, PENDING_CAP_S
        else:
            first, cap = _IDLE_FIRST_S, IDLE_CAP_S
        # 2^16 is above each cap. Without this bound, 2.0 ** 1024 would raise OverflowError after some days offline.
        longest = min(cap, first * 2.0 ** min(self._failures, 16))
        self._failures += 1
        # A random pause spreads out a fleet after a broker's restart. A quarter is the least, so that one doorbell
        # leaves the broker time.
        return self._uniform(longest / 4, longest)


class RefusedFilters:
    """Subscriptions that a broker refused for now (`SubscriptionRefused.may_pass`), and when to ask again.

    Without another try, a doorbell hears no request until its next connection, and believes that it is connected.
    `uniform` as for `Backoff`. Times are of any clock that only goes forward.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self._tries: dict[str, int] = {}
        self._due_s: dict[str, float] = {}

    def refused(self, topic_filter: str, now_s: float) -> float:
        """Returns the seconds until the filter is due."""
        tries = self._tries.get(topic_filter, 0)
        self._tries[topic_filter] = tries + 1
        longest_s = min(_FILTER_CAP_S, _FILTER_FIRST_S * 2.0 ** min(tries, 16))
        pause_s = self._uniform(longest_s / 2, longest_s)
        self._due_s[topic_filter] = now_s + pause_s
        return pause_s

    def forget(self, topic_filter: str) -> None:
        """The broker has granted it, or it is no longer wanted."""
        self._tries.pop(topic_filter, None)
        self._due_s.pop(topic_filter, None)

    def clear(self) -> None:
        """The connection has ended. The next one asks for all filters."""
        self._tries.clear()
        self._due_s.clear()

    def wait_s(self, now_s: float) -> float:
        """Returns the seconds until `take_due` returns a filter, infinite without one."""
        return max(0.0, min(self._due_s.values(), default=math.inf) - now_s)

    def take_due(self, now_s: float) -> list[str]:
        """Returns the filters to ask for now. Each waits for its answer then."""
        due = [each for each, due_s in self._due_s.items() if due_s <= now_s]
        for each in due:
            del self._due_s[each]
        return due


class AcknowledgementBeat:
    """Decides when inbound messages are acknowledged: all of them at a beat of the clock (promise 3).

    An observer of the connection sees the time of an acknowledgement. If it depended on processing, it would show how
    long the doorbell computed: hardly at all for an untrusted sender, longer for more footage in the window. With a
    beat, "no footage" and a match look alike. The observer sees only the beat and the arrival, which they know.
    `length_s` 0: at once.

    All messages are acknowledged, so that a flood waits here, where it is sorted, instead of at the broker.
    """

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._due_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """Returns the seconds to wait before `taken`, if a message waits. `now_s`: of any clock that only goes
        forward."""
        if not self._length_s:
            return 0.0
        if self._due_s is None:
            self._due_s = (now_s // self._length_s + 1) * self._length_s
        return max(0.0, self._due_s - now_s)

    def taken(self) -> None:
        self._due_s = None


class MessageRateLimiter:
    """Allows this many a second, and as many at once after a second of rest. `per_s` 0: unlimited."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left = per_s
        self._seen_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """Until the next may come.  `now_s`: of any clock that only goes forward."""
        if not self._per_s:
            return 0.0
        if self._seen_s is not None:
            self._left = min(self._per_s, self._left + (now_s - self._seen_s) * self._per_s)
        self._seen_s = now_s
        left_s = (1.0 - self._left) / self._per_s
        # Floating point may leave some nanoseconds. A caller that waits for them would only take another turn.
        return left_s if left_s > _ROUNDING_S else 0.0

    def taken(self) -> None:
        """One came, after `wait_s` said 0."""
        self._left -= 1.0


_OBJECT_BYTES: Final = 512
"""Approximate memory of a message beside its text.  Otherwise empty messages would count as almost free."""
_TRUST_BYTES: Final = 512 << 10
"""Indexes and pieces of packages that wait. Pieces are asked for one by one."""


def held_bytes(message: MessageReceived) -> int:
    """Returns how much memory a waiting message is counted with."""
    text = sum(len(key) + len(value) for key, value in message.properties)
    return len(message.payload) + len(message.topic) + text + _OBJECT_BYTES


class InboundQueue:
    """Not thread-safe: the bus's lock guards it.  `now_s`: of one clock that only goes forward."""

    def __init__(self, settings: BusSettings) -> None:
        half = settings.inbound_bytes // 2
        # Each class has separate memory and a separate rate, so a flood of one takes neither from another.
        sizes = {TopicClass.RECEIPTS: half, TopicClass.TRUST: min(_TRUST_BYTES, half), TopicClass.CELL: half}
        self._classes = {
            kind: (
                FairQueue[MessageReceived](settings.inbound_of_one, size_bytes),
                MessageRateLimiter(settings.inbound_per_s),
            )
            for kind, size_bytes in sizes.items()
        }

    def put(self, message: MessageReceived) -> int:
        """Add one; how many were dropped for it."""
        sender = sender_of(message.topic)
        queue, _ = self._classes[sender.kind]
        # The newest receipt states everything, so it comes first. Messages of another topic keep their order: a
        # withdrawal that overtook its request would name nothing.
        subject = None if sender.kind is TopicClass.RECEIPTS else message.topic
        return queue.put(sender.name, message, held_bytes(message), subject)

    def take(self, now_s: float) -> MessageReceived | None:
        """The next that may be handed out now."""
        # Receipts come first in this order, because an upload waits for each. A class that has used up its rate lets
        # the next one go.
        for queue, pace in self._classes.values():
            if len(queue) and pace.wait_s(now_s) == 0:
                pace.taken()
                return queue.take()
        return None

    def wait_s(self, now_s: float) -> float | None:
        """Returns the seconds until a message may be taken; None if the queue is empty."""
        waits = [pace.wait_s(now_s) for queue, pace in self._classes.values() if len(queue)]
        return min(waits, default=None)
