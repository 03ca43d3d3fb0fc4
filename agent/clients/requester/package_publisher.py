"""Publishes a root's package on a broker: each chunk retained in its slot, the slots behind it cleared, and the index
last, from which doorbells see what they have yet to read.

A broker that is killed may lose what it acknowledged in its last minutes. `is_published` looks first, because connected
doorbells read each package that is published.

A root that was put back from a backup has an older list than its brokers. Doorbells that saw the newer one would refuse
it, but others would take it, and with it a key that was revoked. So `require_newest` comes before each publication.

So the root must have the right to receive its own topics. Managed services allow few subscriptions and few requests in
a second, so it asks for one slot after another, and for those only that slot 0 names.

A service may end the connection instead of refusing a message. `acknowledged` keeps what it took over earlier
connections, so that it does not get the directory of up to 1 MiB, which goes on to all requesters, again and again.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from agent.clients.requester.root_news import JoinedChunks, number_of_chunks
from agent.core.bus import (
    QUOTA_EXCEEDED,
    BusDisconnected,
    BusEvent,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    Subscribed,
    SubscriptionRefused,
)
from agent.errors import ConfigurationError, DoorwardError, NetworkError, RequestError
from agent.ports import Bus
from agent.wire.topics import BrokersTopic, TrustIndexTopic, TrustTopic, brokers_filter, trust_filter
from agent.wire.trust import OpenedBundle, SeenVersion, TrustStore
from agent.wire.trust_keys import TrustKey
from agent.wire.trust_package import (
    DIRECTORY_SLOTS,
    MAX_CHUNK_BYTES,
    MAX_DIRECTORY_CHUNK_BYTES,
    TRUST_SLOTS,
    index_of,
    split_directory,
    split_package,
)

__all__ = [
    "HANGS_UP",
    "INDEX",
    "is_published",
    "publish_package",
    "require_newest",
    "retained_directory",
    "retained_package",
]

_WAIT_S: Final = 0.2
_QUIET_S: Final = 2.0
"""A broker sends what it retains right beside its answer to the subscription."""
_ASK_EVERY_S: Final = 0.25
"""Between two subscriptions. Azure Event Grid takes five in a second."""
_AFTER_QUOTA_S: Final = 1.0
INDEX: Final = TRUST_SLOTS
"""Stands for the index among the slots."""
HANGS_UP: Final = 2
"""Connections that end in one attempt if a broker hangs up at a message. A network that breaks ends one."""


def _ignore(_event: BusEvent | None) -> None:
    """Ignores the news."""


def publish_package(
    bus: Bus,
    root: str,
    package: bytes,
    timeout_s: float,
    directory: bytes | None = None,
    on_event: Callable[[BusEvent | None], None] = _ignore,
    acknowledged: dict[str, bytes] | None = None,
) -> int:
    """Publishes the package and waits for the broker's answers. Returns the number of its chunks.

    `directory`: the broker directory that its bundle names. `on_event` is told each event of the bus. `acknowledged`:
    by topic, the SHA-256 of what this broker took in earlier attempts, which stays out of this one. Messages that it
    takes now are added. A broker that died since may have lost them, so the caller looks afterwards.

    Raises `FormatError` if it is too long, `ConfigurationError` if the broker refuses a slot, and `NetworkError` if it
    fails to answer in time.
    """
    chunks, ends_s = split_package(package), time.monotonic() + timeout_s
    known = {} if acknowledged is None else acknowledged
    # The directory goes first, so that a reader of the package finds it.
    if directory is not None:
        pieces = dict(enumerate(split_directory(directory)))
        _publish(
            bus,
            {slot: (str(BrokersTopic(root, slot)), data) for slot, data in pieces.items()},
            len(pieces),
            ends_s,
            on_event,
            known,
        )
        ends_s = time.monotonic() + timeout_s
    # An empty retained message clears a slot. The root may have no right to slots that it never used.
    slots = {slot: chunks[slot] if slot < len(chunks) else b"" for slot in range(TRUST_SLOTS)}
    waiting = {slot: (str(TrustTopic(root, slot)), data) for slot, data in slots.items()}
    # The last chunk goes first. If the root has no right to its slot, the package before stays whole on the broker.
    last = len(chunks) - 1
    _publish(bus, {last: waiting.pop(last)}, len(chunks), ends_s, on_event, known)
    _publish(bus, waiting, len(chunks), ends_s, on_event, known)
    # A doorbell that reads the new index finds all its pieces.
    _publish(bus, {INDEX: (str(TrustIndexTopic(root)), index_of(package))}, INDEX + 1, ends_s, on_event, known)
    return len(chunks)


def is_published(
    bus: Bus, root: str, package: bytes, timeout_s: float, on_event: Callable[[BusEvent | None], None] = _ignore
) -> bool:
    """Returns whether the broker gives a doorbell the package and its index.

    It asks with a wildcard, as a doorbell asks for the index.

    The caller must leave all events of the started `bus` to this, and unsubscribe if it stays connected. `on_event` is
    told each event.

    Raises `ConfigurationError` if the broker does not let the root read its own topics, and `NetworkError` if the
    broker fails to answer in time.
    """
    wanted = {str(TrustTopic(root, slot)): chunk for slot, chunk in enumerate(split_package(package))}
    wanted[str(TrustIndexTopic(root))] = index_of(package)
    found: dict[str, bytes] = {}
    reading = _RetainedReading(bus, root, timeout_s, on_event)
    reading.ask(trust_filter(root))
    while found != wanted:
        message = reading.next_message()
        if message is None:
            return False
        if message.topic in wanted:
            found[message.topic] = message.payload
    return True


def retained_package(
    bus: Bus, root: str, timeout_s: float, on_event: Callable[[BusEvent | None], None] = _ignore
) -> bytes | None:
    """Returns the package that the broker retains for this root, or None if it has no whole one.

    The caller verifies it. Raises as `is_published` does.
    """
    # Slot by slot, because some brokers give nothing for a wildcard.
    topics = [str(TrustTopic(root, slot)) for slot in range(TRUST_SLOTS)]
    reading = _RetainedReading(bus, root, timeout_s, on_event)
    return reading.joined(topics, JoinedChunks(TRUST_SLOTS, MAX_CHUNK_BYTES))


def retained_directory(
    bus: Bus, root: str, timeout_s: float, on_event: Callable[[BusEvent | None], None] = _ignore
) -> bytes | None:
    """Returns the broker directory of this root that the broker retains, in the same way. `bus` must take messages of
    120 KiB."""
    topics = [str(BrokersTopic(root, slot)) for slot in range(DIRECTORY_SLOTS)]
    reading = _RetainedReading(bus, root, timeout_s, on_event)
    return reading.joined(topics, JoinedChunks(DIRECTORY_SLOTS, MAX_DIRECTORY_CHUNK_BYTES))


def require_newest(name_key: TrustKey, package: bytes, retained: bytes | None) -> None:
    """Raises `ConfigurationError` if a doorbell with the `retained` package of the broker would refuse `package`."""
    if retained is None or retained == package:
        return
    chosen = TrustStore().with_root(name_key)
    try:
        seen, _ = chosen.accept(retained)
    except DoorwardError:
        return
    try:
        seen.accept(package)
    except RequestError as error:
        raise _refusal(chosen.open(retained).seen, chosen.open(package)) from error


def _refusal(there: SeenVersion, package: OpenedBundle) -> ConfigurationError:
    """Returns why doorbells that saw a broker's package `there` would refuse `package`, and the way out."""
    ours = package.seen
    if there.version == ours.version and there.sha256 != ours.sha256:
        return ConfigurationError(
            f"The broker has another list {there.version} of this root than the one here.",
            remedy="doorward requester trust-root fetch --replace takes the broker's and keeps yours beside it. Then "
            f"sign list {there.version + 1}, with what both revoke.",
        )
    if there.root_version <= ours.root_version and not package.has_root_files_of(there):
        return ConfigurationError(
            f"The broker has another set of keys {there.root_version} of this root than the one here.",
            remedy="If you signed the broker's, take it back: doorward requester trust-root fetch --replace. If not, "
            "keys of the root are stolen: found a new root.",
        )
    if there.root_version < ours.root_version:  # its list is newer, so `fetch` would lose the keys
        return ConfigurationError(
            f"The broker has a newer list of this root than list {ours.version} here, and older keys.",
            remedy=f"Sign list {there.version + 1} with the keys of now, then stamp and publish it.",
        )
    if there.version <= ours.version and there.root_version == ours.root_version:
        return ConfigurationError(
            "The broker has a newer stamp of this root than the one here.",
            remedy="Compare the clock of this computer, and stamp again.",
        )
    if there.version <= ours.version:
        return ConfigurationError(
            "The broker has a newer set of keys of this root than the one here.",
            remedy="Take it back: doorward requester trust-root fetch. Then stamp again.",
        )
    return ConfigurationError(
        f"The broker has newer news of this root: list {there.version} is there, and list {ours.version} here. What "
        f"list {there.version} revoked would count again at some doorbells.",
        remedy="After a restored backup: doorward requester trust-root fetch, and sign the next list. If a thief "
        "signed the broker's: doorward requester trust-root publish --replace.",
    )


class _RetainedReading:
    """Reads what a broker retains for a root: one subscription after another, until the broker has sent all.

    `joined` ends its subscriptions.
    """

    def __init__(self, bus: Bus, root: str, timeout_s: float, on_event: Callable[[BusEvent | None], None]) -> None:
        self._bus, self._root, self._on_event = bus, root, on_event
        self._ends_s = time.monotonic() + timeout_s
        self._to_ask: deque[str] = deque()
        self._asked: list[str] = []
        self._open: set[str] = set()
        """Those of `_asked` that wait for the broker's answer."""
        self._next_s = 0.0
        self._fault, self._cut_off = "", 0
        bus.hurry(True)

    def ask(self, topic_filter: str) -> None:
        if topic_filter not in self._asked and topic_filter not in self._to_ask:
            self._to_ask.append(topic_filter)

    def joined(self, topics: Sequence[str], chunks: JoinedChunks) -> bytes | None:
        """Returns what the chunks in these topics, by slot, make. None if one is missing."""
        self.ask(topics[0])
        try:
            while (message := self.next_message()) is not None:
                if message.topic not in topics:
                    continue
                slot = topics.index(message.topic)
                whole = chunks.put(slot, message.payload)
                if whole is not None:
                    return whole
                for topic in topics[1 : number_of_chunks(message.payload) if slot == 0 else 0]:
                    self.ask(topic)
            return None
        finally:
            for topic in self._asked:
                self._bus.unsubscribe(topic)

    def next_message(self) -> MessageReceived | None:
        """Returns the next message, or None once the broker has answered all and is quiet. Raises as `is_published`."""
        while True:
            now_s = time.monotonic()
            if now_s > self._ends_s:
                raise self._silence()
            wait_s = _WAIT_S if self._open else _QUIET_S
            if self._to_ask and not self._open:
                wait_s = min(_WAIT_S, self._next_s - now_s)
                if wait_s <= 0.0:
                    self._subscribe(now_s)
                    wait_s = _WAIT_S
            event = self._bus.next_event(wait_s)
            self._on_event(event)
            match event:
                case MessageReceived():
                    return event
                case Subscribed(topic_filter=topic_filter):
                    self._open.discard(topic_filter)
                case SubscriptionRefused() as refused if refused.may_pass:
                    self._fault = "It refuses subscriptions for now."  # the bus asks again, and the time goes on
                case SubscriptionRefused(topic_filter=topic_filter, code=code) if topic_filter in self._open:
                    self._refused(topic_filter, code)
                case BusDisconnected(error=error):
                    self._fault, self._cut_off = str(error), self._cut_off + bool(self._open)
                    self._open.update(self._asked)  # the next connection asks for all again
                case None if not self._open and not self._to_ask:
                    return None

    def _subscribe(self, now_s: float) -> None:
        topic_filter = self._to_ask.popleft()
        if topic_filter not in self._asked:
            self._asked.append(topic_filter)
        self._open.add(topic_filter)
        self._next_s = now_s + _ASK_EVERY_S
        self._bus.subscribe(topic_filter)

    def _refused(self, topic_filter: str, code: int) -> None:
        if code != QUOTA_EXCEEDED:
            raise ConfigurationError(
                f"The broker does not let this root read {topic_filter} (0x{code:02x}), so an older list could go out "
                "in place of a newer one.",
                remedy=self._right(),
            )
        self._fault = "It takes no further subscription."
        self._open.discard(topic_filter)
        self._to_ask.appendleft(topic_filter)
        self._next_s = time.monotonic() + _AFTER_QUOTA_S

    def _silence(self) -> NetworkError:
        # A service may end the connection of a client that asks for what it must not read.
        return NetworkError(
            f"The broker does not say what it has. {self._fault}".strip(),
            remedy=self._right() if self._cut_off > 1 else "Look again.",
        )

    def _right(self) -> str:
        return (
            f"Its operator gives {self._root}.root the right to receive {trust_filter(self._root)} and "
            f"{brokers_filter(self._root)} (config/mosquitto/README.md, Managed brokers)."
        )


def _publish(
    bus: Bus,
    waiting: dict[int, tuple[str, bytes]],
    needed: int,
    ends_s: float,
    on_event: Callable[[BusEvent | None], None],
    acknowledged: dict[str, bytes],
) -> None:
    """Publishes topics with their bytes, by slot, but those that `acknowledged` has. The first `needed` must not be
    refused. `ends_s`: on the monotonic clock."""
    digests = {slot: hashlib.sha256(data).digest() for slot, (_, data) in waiting.items()}
    waiting = {slot: each for slot, each in waiting.items() if acknowledged.get(each[0]) != digests[slot]}
    in_flight: set[int] = set()
    fault, from_s, cut_off, has_lost = "", 0.0, 0, False
    bus.hurry(True)
    while waiting:
        for slot in sorted(waiting.keys() - in_flight) if time.monotonic() >= from_s else ():
            topic, data = waiting[slot]
            if bus.publish(topic, data, token=slot, retain=True):
                in_flight.add(slot)
        event = bus.next_event(_WAIT_S)
        on_event(event)
        match event:
            case PublishAcknowledged(token=slot) if slot in waiting:
                in_flight.discard(slot)
                acknowledged[waiting.pop(slot)[0]] = digests[slot]
            case PublishRefused(token=slot, reason=reason) as refused if refused.may_pass:
                # A service that takes ten in a second has fewer than the slots of a list and a directory, and a
                # cluster refuses for a moment when one of its nodes ends.
                in_flight.discard(slot)
                fault, from_s = f"{reason}.", time.monotonic() + _AFTER_QUOTA_S
            case PublishRefused(token=slot) if slot < needed:
                raise _refused_slot(slot)
            case PublishRefused(token=slot):
                in_flight.discard(slot)
                waiting.pop(slot, None)
            case PublishLost(token=slot):
                in_flight.discard(slot)
                has_lost = True
            case BusDisconnected(error=error):
                # Only an end while a message waited counts: it is the sign of a broker that hangs up at this message.
                fault, cut_off, has_lost = str(error), cut_off + (has_lost or bool(in_flight)), False
        if waiting and time.monotonic() > ends_s:
            raise _not_taken(fault, cut_off, waiting[min(waiting)][0])


def _refused_slot(slot: int) -> ConfigurationError:
    if slot == INDEX:
        return ConfigurationError(
            "The broker refuses the index of this root.",
            remedy="Ask its operator for the rights in config/mosquitto/README.md, Managed brokers.",
        )
    return ConfigurationError(
        f"The broker refuses slot {slot} of this root.",
        remedy="Ask its operator for more slots: doorward broker add-root --slots.",
    )


def _not_taken(fault: str, cut_off: int, topic: str) -> NetworkError:
    """`cut_off`: how many connections ended while a message waited for its answer."""
    if cut_off < HANGS_UP:
        return NetworkError(f"The broker has not taken the package. {fault}".strip(), remedy="Publish it again.")
    return NetworkError(
        f"The broker ends the connection instead of taking {topic}. {fault}".strip(),
        remedy="Its log says why. Its rights or limits may forbid the message: config/mosquitto/README.md, Managed "
        "brokers.",
    )
