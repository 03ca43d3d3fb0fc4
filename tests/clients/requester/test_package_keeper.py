"""A connection that stays: each return of a broker is seen, and a package that broke off half-way is looked for."""

from __future__ import annotations

from collections import deque

import pytest

from agent.clients.requester.package_keeper import PackageKeeper
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    Subscribed,
)
from agent.errors import ConfigurationError, NetworkError
from agent.wire.identities import private_key_from_seed
from agent.wire.trust_keys import trust_key_of_private
from agent.wire.trust_package import MAX_CHUNK_BYTES, split_package

ROOT = trust_key_of_private(private_key_from_seed(bytes(32)))
UP = BusConnected(1 << 20, 16)
AWAY = BusDisconnected(LinkFault.LOST, NetworkError("The connection broke."), 1.0)


class Broker:
    """A broker and the connection to it. It dies, with all that it has, before it answers publication `dies_at`."""

    def __init__(self, dies_at: int = 0) -> None:
        self.retained: dict[str, bytes] = {}
        self.events: deque[BusEvent] = deque([UP])
        self.published = self.opened = self.stopped = 0
        self.dies_at = dies_at

    def open(self) -> Broker:
        self.opened += 1
        return self

    def hurry(self, _pending: bool) -> None:
        """It has no pauses."""

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool) -> bool:
        assert retain
        self.published += 1
        if self.published == self.dies_at:
            self.die()
            self.events.extend([PublishLost(token), UP])
            return True
        self.retained[topic] = payload
        self.events.append(PublishAcknowledged(token, heard=True))
        return True

    def die(self) -> None:
        self.retained.clear()
        self.events.append(AWAY)

    def subscribe(self, topic_filter: str) -> None:
        found = [MessageReceived(topic, data) for topic, data in self.retained.items() if data]
        self.events.extend([*found, Subscribed(topic_filter)])

    def unsubscribe(self, _topic_filter: str) -> None:
        """Nothing more comes."""

    def next_event(self, _timeout_s: float) -> BusEvent | None:
        return self.events.popleft() if self.events else None

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def package() -> bytes:
    """A package of two chunks."""
    return b"x" * (MAX_CHUNK_BYTES + 1)


def keeper_at(broker: Broker) -> PackageKeeper:
    return PackageKeeper(broker.open, ROOT)  # type: ignore[arg-type]


def is_whole(broker: Broker, package: bytes) -> bool:
    return [data for _, data in sorted(broker.retained.items()) if data] == split_package(package)


def test_each_return_of_a_broker_is_seen_once_and_what_it_lost_is_put_back(package: bytes) -> None:
    broker = Broker()
    keeper = keeper_at(broker)
    assert keeper.keep(package, None, 60.0, is_new=False) == 2
    assert not keeper.has_returned()
    broker.die()
    assert not keeper.has_returned(), "it is away"
    broker.events.append(UP)
    assert keeper.has_returned()
    assert keeper.keep(package, None, 60.0, is_new=False) == 2
    assert is_whole(broker, package)
    assert not keeper.has_returned()
    broker.events.extend([AWAY, UP])
    assert keeper.has_returned()
    assert keeper.keep(package, None, 60.0, is_new=False) == 0, "a network that broke loses nothing"
    assert broker.opened == 1


@pytest.mark.parametrize("dies_at", range(1, 9))
def test_a_broker_that_dies_amid_a_publication_is_looked_at_again(package: bytes, dies_at: int) -> None:
    """The chunks that it had acknowledged before are gone, although the publication ends without an error."""
    broker = Broker(dies_at)
    keeper = keeper_at(broker)
    keeper.keep(package, None, 60.0, is_new=True)
    assert keeper.has_returned()
    keeper.keep(package, None, 60.0, is_new=False)
    assert is_whole(broker, package)
    assert not keeper.has_returned()


def test_a_broker_that_is_away_is_named_at_once_and_seen_when_it_is_back(package: bytes) -> None:
    broker = Broker()
    keeper = keeper_at(broker)
    keeper.keep(package, None, 60.0, is_new=True)
    broker.die()
    with pytest.raises(NetworkError, match="The connection broke"):
        keeper.keep(package, None, 60.0, is_new=False)
    assert not broker.stopped
    broker.events.append(UP)
    assert keeper.has_returned()


def test_a_fault_ends_the_connection_and_the_next_one_is_watched(package: bytes) -> None:
    broker = Broker()
    keeper = keeper_at(broker)
    broker.publish = lambda *_, **__: False  # type: ignore[method-assign]
    with pytest.raises(NetworkError, match="does not say what it has"):
        keeper.keep(package, None, 0.0, is_new=True)
    assert (broker.opened, broker.stopped) == (1, 1)
    assert not keeper.has_returned()
    keeper.watch()
    broker.events.append(UP)
    assert keeper.has_returned()


def test_a_missing_file_is_named_and_the_next_call_tries_again(package: bytes) -> None:
    broker, faults = Broker(), [ConfigurationError("tls/key.pem is missing.")]

    def open_bus() -> Broker:
        if faults:
            raise faults.pop()
        return broker.open()

    keeper = PackageKeeper(open_bus, ROOT)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"key\.pem"):
        keeper.keep(package, None, 60.0, is_new=True)
    assert not keeper.has_returned()
    assert keeper.keep(package, None, 60.0, is_new=True) == 2
    keeper.stop()
    assert broker.stopped == 1


def test_a_broker_that_sends_on_and_on_holds_up_no_other(package: bytes) -> None:
    broker = Broker()
    keeper = keeper_at(broker)
    keeper.keep(package, None, 60.0, is_new=True)
    broker.next_event = lambda _timeout_s: MessageReceived("x", b"x")  # type: ignore[method-assign]
    assert not keeper.has_returned()
