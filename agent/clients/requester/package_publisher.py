"""Publishes a root's package on a broker: each chunk retained in its slot, and the slots behind it cleared.

A broker that is killed may lose what it acknowledged in its last minutes. `is_published` looks first, because connected
doorbells read each package that is published.

A root that was put back from a backup has an older list than its brokers. Doorbells that saw the newer one would refuse
it, but others would take it, and with it a key that was revoked. So `require_newest` comes before each publication.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from agent.clients.requester.root_news import JoinedChunks
from agent.core.bus import (
    BusDisconnected,
    BusEvent,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    Subscribed,
)
from agent.errors import ConfigurationError, DoorwardError, NetworkError, RequestError
from agent.ports import Bus
from agent.wire.topics import BrokersTopic, TrustTopic, trust_filter
from agent.wire.trust import TrustStore
from agent.wire.trust_keys import TrustKey
from agent.wire.trust_package import (
    DIRECTORY_SLOTS,
    MAX_CHUNK_BYTES,
    MAX_DIRECTORY_CHUNK_BYTES,
    TRUST_SLOTS,
    split_directory,
    split_package,
)

__all__ = ["is_published", "publish_package", "require_newest", "retained_directory", "retained_package"]

_WAIT_S: Final = 0.2
_QUIET_S: Final = 2.0
"""A broker sends what it retains right beside its answer to the subscription."""


def _ignore(_event: BusEvent | None) -> None:
    """Ignores the news."""


def publish_package(
    bus: Bus,
    root: str,
    package: bytes,
    timeout_s: float,
    directory: bytes | None = None,
    on_event: Callable[[BusEvent | None], None] = _ignore,
) -> int:
    """Publishes the package and waits for the broker's answers. Returns the number of its chunks.

    `directory`: the broker directory that its bundle names. It goes first, so that a reader of the package finds it.
    `on_event` is told each event of the bus.

    Raises `FormatError` if it is too long, `ConfigurationError` if the broker refuses a slot, and `NetworkError` if it
    fails to answer in time.
    """
    chunks, ends_s = split_package(package), time.monotonic() + timeout_s
    if directory is not None:
        pieces = dict(enumerate(split_directory(directory)))
        _publish(
            bus,
            {slot: (str(BrokersTopic(root, slot)), data) for slot, data in pieces.items()},
            len(pieces),
            ends_s,
            on_event,
        )
        ends_s = time.monotonic() + timeout_s
    # An empty retained message clears a slot. The root may have no right to slots that it never used.
    slots = {slot: chunks[slot] if slot < len(chunks) else b"" for slot in range(TRUST_SLOTS)}
    waiting = {slot: (str(TrustTopic(root, slot)), data) for slot, data in slots.items()}
    # The last chunk goes first. If the root has no right to its slot, the package before stays whole on the broker.
    last = len(chunks) - 1
    _publish(bus, {last: waiting.pop(last)}, len(chunks), ends_s, on_event)
    _publish(bus, waiting, len(chunks), ends_s, on_event)
    return len(chunks)


def is_published(
    bus: Bus, root: str, package: bytes, timeout_s: float, on_event: Callable[[BusEvent | None], None] = _ignore
) -> bool:
    """Returns whether the broker gives a doorbell the package: it asks with a wildcard, as a doorbell does.

    The caller must leave all events of the started `bus` to this, and unsubscribe if it stays connected. `on_event` is
    told each event.

    Raises `NetworkError` if the broker fails to answer in time.
    """
    wanted = {str(TrustTopic(root, slot)): chunk for slot, chunk in enumerate(split_package(package))}
    found: dict[str, bytes] = {}
    topic_filter, answered = trust_filter(root), False
    ends_s, fault = time.monotonic() + timeout_s, ""
    bus.hurry(True)
    bus.subscribe(topic_filter)
    while found != wanted:
        event = bus.next_event(_QUIET_S if answered else _WAIT_S)
        on_event(event)
        match event:
            case MessageReceived(topic=topic, payload=payload) if topic in wanted:
                found[topic] = payload
            case Subscribed():
                answered = True
            case BusDisconnected(error=error):
                fault = str(error)
            case None if answered:
                return False
        if time.monotonic() > ends_s:
            raise NetworkError(f"The broker does not say what it has. {fault}".strip(), remedy="Look again.")
    return True


def retained_package(
    bus: Bus, root: str, timeout_s: float, on_event: Callable[[BusEvent | None], None] = _ignore
) -> bytes | None:
    """Returns the package that the broker retains for this root, or None if it has no whole one. Nothing is verified.

    It asks for each slot, because some brokers give nothing for a wildcard. Raises as `is_published` does.
    """
    topics = {str(TrustTopic(root, slot)): slot for slot in range(TRUST_SLOTS)}
    return _retained(bus, topics, JoinedChunks(TRUST_SLOTS, MAX_CHUNK_BYTES), timeout_s, on_event)


def retained_directory(bus: Bus, root: str, timeout_s: float) -> bytes | None:
    """Returns the broker directory of this root that the broker retains, in the same way. `bus` must take messages of
    120 KiB."""
    topics = {str(BrokersTopic(root, slot)): slot for slot in range(DIRECTORY_SLOTS)}
    return _retained(bus, topics, JoinedChunks(DIRECTORY_SLOTS, MAX_DIRECTORY_CHUNK_BYTES), timeout_s, _ignore)


def require_newest(name_key: TrustKey, package: bytes, retained: bytes | None) -> None:
    """Raises `ConfigurationError` if a doorbell that has the `retained` package of the broker would refuse `package`.

    A retained package that the root's keys did not sign counts for nothing.
    """
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
        there, ours = (store.bundles[name_key.id].version for store in (seen, chosen.accept(package)[0]))
        raise ConfigurationError(
            f"The broker has newer news of this root: list {there} is there, and list {ours} here. What list {there} "
            "revoked would count again at some doorbells.",
            remedy="After a restored backup: doorward requester trust-root fetch, and sign the next list. Otherwise "
            "stamp again.",
        ) from error


def _retained(
    bus: Bus,
    topics: Mapping[str, int],
    chunks: JoinedChunks,
    timeout_s: float,
    on_event: Callable[[BusEvent | None], None],
) -> bytes | None:
    """Returns what the chunks in these topics (with their slots) make, or None if one is missing. Ends the
    subscriptions."""
    asked, ends_s, fault = set(topics), time.monotonic() + timeout_s, ""
    bus.hurry(True)
    for topic in topics:
        bus.subscribe(topic)
    try:
        while True:
            event = bus.next_event(_WAIT_S if asked else _QUIET_S)
            on_event(event)
            match event:
                case MessageReceived(topic=topic, payload=payload) if topic in topics:
                    whole = chunks.put(topics[topic], payload)
                    if whole is not None:
                        return whole
                case Subscribed(topic_filter=topic):
                    asked.discard(topic)
                case BusDisconnected(error=error):
                    fault = str(error)
                case None if not asked:
                    return None
            if time.monotonic() > ends_s:
                raise NetworkError(f"The broker does not say what it has. {fault}".strip(), remedy="Look again.")
    finally:
        for topic in topics:
            bus.unsubscribe(topic)


def _publish(
    bus: Bus,
    waiting: dict[int, tuple[str, bytes]],
    needed: int,
    ends_s: float,
    on_event: Callable[[BusEvent | None], None],
) -> None:
    """Publishes topics with their bytes, by slot. The first `needed` must not be refused. `ends_s`: on the monotonic
    clock."""
    in_flight: set[int] = set()
    fault = ""
    bus.hurry(True)
    while waiting:
        for slot in sorted(waiting.keys() - in_flight):
            topic, data = waiting[slot]
            if bus.publish(topic, data, token=slot, retain=True):
                in_flight.add(slot)
        event = bus.next_event(_WAIT_S)
        on_event(event)
        match event:
            case PublishAcknowledged(token=slot):
                waiting.pop(slot, None)
            case PublishRefused(token=slot) if slot < needed:
                raise ConfigurationError(
                    f"The broker refuses slot {slot} of this root.",
                    remedy="Ask its operator for more slots: doorward broker add-root --slots.",
                )
            case PublishRefused(token=slot):
                waiting.pop(slot, None)
            case PublishLost(token=slot):
                in_flight.discard(slot)
            case BusDisconnected(error=error):
                fault = str(error)
        if waiting and time.monotonic() > ends_s:
            raise NetworkError(f"The broker has not taken the package. {fault}".strip(), remedy="Publish it again.")
