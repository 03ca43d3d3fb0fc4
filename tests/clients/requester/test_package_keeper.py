"""A connection that stays: each return of a broker is seen, and a package that broke off half-way is looked for."""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.requester.package_keeper import BrokerWatch, KeptPackage, PackageKeeper, RootKeeping
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    Subscribed,
)
from agent.errors import ConfigurationError, NetworkError
from agent.wire.broker_directory import BrokerAddress
from agent.wire.identities import private_key_from_seed
from agent.wire.topics import BrokersTopic, TrustIndexTopic, TrustTopic
from agent.wire.trust_keys import trust_key_of_private
from agent.wire.trust_package import (
    MAX_CHUNK_BYTES,
    MAX_DIRECTORY_CHUNK_BYTES,
    index_of,
    split_directory,
    split_package,
)

ROOT = trust_key_of_private(private_key_from_seed(bytes(32)))
UP = BusConnected(1 << 20, 16)
AWAY = BusDisconnected(LinkFault.LOST, NetworkError("The connection broke."), 1.0)
ADDRESS = BrokerAddress("broker.example.org", 8884)
DIRECTORY = b"d" * (3 * MAX_DIRECTORY_CHUNK_BYTES)
HOUR_S = 3600.0


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


class RefusingBroker(Broker):
    """A broker that refuses some topics. Each new connection works at once."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.events.clear()
        self.refused, self.code = set(refused), 0x87
        self.sent: list[tuple[str, int]] = []
        """Topics and lengths of publications."""

    def open(self) -> Broker:
        self.events.clear()
        self.events.append(UP)
        return super().open()

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool) -> bool:
        if payload:
            self.sent.append((topic, len(payload)))
        if topic in self.refused:
            self.events.append(PublishRefused(token, self.code, "Not authorized"))
            return True
        return super().publish(topic, payload, token=token, retain=retain)

    def directory_bytes(self) -> int:
        return sum(length for topic, length in self.sent if "/brokers/" in topic)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Watched:
    """A broker under the watch of `trust-root keep`."""

    def __init__(self, broker: Broker, package: bytes) -> None:
        self.clock, self.told, self.package = Clock(), list[KeptPackage](), package
        self.root: Any = SimpleNamespace(
            name_key=ROOT, package_for=lambda _address: self.package, directory=lambda: DIRECTORY
        )
        self.watch = BrokerWatch(self.root, ADDRESS, broker.open, self.told.append, self.clock)  # type: ignore[arg-type]

    def run(self, for_s: float) -> None:
        """Takes each step that is due. A step takes a second at least, so that a loop without a pause ends."""
        ends_s = self.clock.now_s + for_s
        while self.clock.now_s < ends_s:
            self.clock.now_s += max(1.0, self.watch.step(self.package))


def keeper_at(broker: Broker, clock: Clock | None = None) -> PackageKeeper:
    return PackageKeeper(broker.open, ROOT, clock or Clock())  # type: ignore[arg-type]


def published(package: bytes) -> list[bytes]:
    """The messages of a package, in the order of their topics."""
    return [*split_package(package), index_of(package)]


def is_whole(broker: Broker, package: bytes) -> bool:
    return [data for _, data in sorted(broker.retained.items()) if data] == published(package)


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


@pytest.mark.parametrize("dies_at", range(1, 14))
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


def test_a_broker_that_was_back_and_is_away_again_has_not_returned(package: bytes) -> None:
    """Its publisher would try again without a pause until it is back."""
    broker = Broker()
    keeper = keeper_at(broker)
    keeper.keep(package, None, 60.0, is_new=True)
    broker.events.extend([AWAY, UP, AWAY])
    assert not keeper.has_returned()
    broker.events.append(UP)
    assert keeper.has_returned()


def test_a_fault_ends_the_connection_and_the_next_one_is_watched(package: bytes) -> None:
    broker, clock = Broker(), Clock()
    keeper = keeper_at(broker, clock)
    broker.publish = lambda *_, **__: False  # type: ignore[method-assign]
    with pytest.raises(NetworkError, match="does not say what it has"):
        keeper.keep(package, None, 0.0, is_new=True)
    assert (broker.opened, broker.stopped) == (1, 1)
    assert not keeper.has_returned()
    keeper.watch()
    broker.events.append(UP)
    assert not keeper.has_returned(), "the fault was at a connected broker, so a pause comes first"
    clock.now_s += 5.0
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


@pytest.mark.parametrize(
    ("refused", "again_bytes"),
    [
        (TrustTopic(ROOT.id, 1), 0),
        (TrustTopic(ROOT.id, 0), 0),
        (TrustIndexTopic(ROOT.id), 0),
        (BrokersTopic(ROOT.id, 2), 5 * 130_000),
    ],
)
def test_a_broker_that_refuses_a_slot_gets_nothing_large_again_and_is_asked_every_ten_minutes(
    package: bytes, refused: TrustTopic | TrustIndexTopic | BrokersTopic, again_bytes: int
) -> None:
    """The list has grown, and its operator has not. All connected requesters get each directory."""
    broker = RefusingBroker(str(refused))
    watched = Watched(broker, package)
    watched.run(30.0)
    once = broker.directory_bytes()
    assert once >= len(DIRECTORY)
    assert broker.opened <= 2, "one that was refused, and one that waits"
    watched.run(HOUR_S - 31.0)
    assert broker.directory_bytes() <= once + again_bytes
    assert 5 <= broker.opened - 1 <= 7
    assert len(watched.told) == 1, "it is told once"
    broker.refused.clear()
    watched.run(600.0)
    assert watched.told[-1].fault is None
    assert is_whole_beside_a_directory(broker, package)


class PassingBroker(RefusingBroker):
    """Refuses some topics for a moment, as a cluster does while a node is away. Its clock goes on while a client
    waits."""

    def __init__(self, clock: Clock, *refused: str) -> None:
        super().__init__(*refused)
        self.clock, self.ends_s, self.code = clock, math.inf, 0x87

    def next_event(self, timeout_s: float) -> BusEvent | None:
        if self.clock.now_s >= self.ends_s:
            self.refused.clear()
        event = super().next_event(timeout_s)
        self.clock.now_s += timeout_s if event is None else 0.0
        return event


@pytest.mark.parametrize("refused", [TrustTopic(ROOT.id, 1), TrustIndexTopic(ROOT.id), BrokersTopic(ROOT.id, 2)])
def test_a_topic_that_was_refused_is_tried_again_after_a_refusal_that_may_pass(
    package: bytes, refused: TrustTopic | TrustIndexTopic | BrokersTopic
) -> None:
    clock = Clock()
    broker = PassingBroker(clock, str(refused))
    keeper = keeper_at(broker, clock)
    with pytest.raises(ConfigurationError):
        keeper.keep(package, DIRECTORY, 60.0, is_new=True)
    # A person has given it the right, and then a node of the cluster has ended.
    broker.code, broker.ends_s, tries = 0x83, clock.now_s + 20.0, len(broker.sent)
    keeper.keep(package, DIRECTORY, 60.0, is_new=True)
    assert is_whole_beside_a_directory(broker, package)
    assert [topic for topic, _ in broker.sent[tries : tries + 4]] == [str(refused)] * 4, "one try in five seconds"


def test_a_refusal_that_does_not_pass_in_time_is_a_fault_of_the_network(package: bytes) -> None:
    clock, topic = Clock(), str(TrustTopic(ROOT.id, 1))
    broker = PassingBroker(clock, topic)
    keeper = keeper_at(broker, clock)
    with pytest.raises(ConfigurationError):
        keeper.keep(package, None, 60.0, is_new=True)
    broker.code = 0x83
    with pytest.raises(NetworkError, match="has not taken the package"):
        keeper.keep(package, None, 60.0, is_new=True)
    assert keeper.pause_s <= 5.0, "another try may help"


def test_a_change_is_looked_after_soon_and_every_40_s_for_ten_minutes_and_then_every_ten(package: bytes) -> None:
    """A doorbell of a RabbitMQ cluster misses it if its node has died, and hears it within a minute of its return."""
    watched = Watched(RefusingBroker(), package)
    watched.run(30.0)
    assert len(watched.told) == 1, "the first look of a program is no change"
    watched.package = b"another list"
    began_s, looks = watched.clock.now_s, len(watched.told)
    times_s = []
    while watched.clock.now_s < began_s + 1300.0:
        watched.run(1.0)
        if len(watched.told) > looks:
            looks = len(watched.told)
            times_s.append(watched.clock.now_s - began_s)
    assert times_s == pytest.approx([1.0, *(11.0 + 40.0 * each for each in range(15)), 1171.0], abs=6.0)


class SlowBroker(RefusingBroker):
    """Needs `slow_s` for each reading, and is then found to lack the list. So does a cluster that has not noticed yet
    that a node has died."""

    def __init__(self, clock: Clock, slow_s: float) -> None:
        super().__init__()
        self.clock, self.slow_s = clock, slow_s

    def subscribe(self, topic_filter: str) -> None:
        self.clock.now_s += self.slow_s
        self.retained.clear()
        super().subscribe(topic_filter)


def test_a_list_that_one_node_took_alone_is_everywhere_within_a_minute_though_a_look_takes_half_of_it(
    package: bytes,
) -> None:
    clock = Clock()
    broker = SlowBroker(clock, 0.0)
    keeper = keeper_at(broker, clock)
    keeper.keep(package, None, 30.0, is_new=False)
    broker.slow_s = 14.0
    keeper.keep(package, None, 30.0, is_new=True)
    published_s = clock.now_s
    clock.now_s += keeper.look_s
    sent = len(broker.sent)
    assert keeper.keep(package, None, 30.0, is_new=False) > 0
    assert len(broker.sent) > sent
    assert clock.now_s - published_s < 60.0
    # The next one is counted from the begin of this look, not from its end.
    assert keeper.look_s <= 40.0 - 2 * 14.0


def test_a_new_package_waits_for_no_pause(package: bytes) -> None:
    broker = RefusingBroker(str(TrustTopic(ROOT.id, 1)))
    watched = Watched(broker, package)
    watched.run(30.0)
    watched.package = b"a shorter list"
    watched.run(2.0)
    assert watched.told[-1].chunks == 1


def test_a_fault_of_a_connected_broker_that_stays_has_a_growing_pause_with_a_bound(
    package: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = RefusingBroker()
    watched = Watched(broker, package)
    tries: list[float] = []

    def fail(*_args: object) -> None:
        tries.append(watched.clock.now_s)
        raise NetworkError("The broker has not taken the package.")

    with monkeypatch.context() as broken:
        broken.setattr("agent.clients.requester.package_keeper.publish_package", fail)
        watched.run(HOUR_S)
    pauses_s = [after - before for before, after in itertools.pairwise(tries)]
    assert pauses_s == sorted(pauses_s)
    assert (pauses_s[0], pauses_s[-1]) == (5.0, 300.0)
    watched.run(301.0)
    assert watched.told[-1].chunks == 2
    broker.die()
    broker.events.append(UP)
    watched.run(2.0)
    assert is_whole_beside_a_directory(broker, package), "after a success its return waits for nothing again"


class HangingUpBroker(RefusingBroker):
    """A broker that ends the connection at these topics, and lets the client in again at once."""

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool) -> bool:
        if topic not in self.refused:
            return super().publish(topic, payload, token=token, retain=retain)
        self.sent.append((topic, len(payload)))
        self.events.extend([PublishLost(token), AWAY, UP])
        return True


def fails(keeper: PackageKeeper, package: bytes) -> None:
    with pytest.raises(NetworkError, match="ends the connection instead of taking doorward/v1/") as raised:
        keeper.keep(package, DIRECTORY, 2.0, is_new=True)
    assert "Its log says why" in str(raised.value.remedy)


@pytest.mark.parametrize("topic", [TrustTopic(ROOT.id, 1), TrustIndexTopic(ROOT.id), BrokersTopic(ROOT.id, 2)])
@pytest.mark.parametrize("has_died", [False, True])
def test_a_broker_that_hangs_up_instead_of_refusing_gets_each_message_of_a_directory_once(
    package: bytes, topic: TrustTopic | TrustIndexTopic | BrokersTopic, has_died: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All connected requesters get each piece of the directory. A broker that died gets again what it lost."""
    looks = itertools.count()
    ticking = SimpleNamespace(monotonic=lambda: next(looks) / 1000)  # a millisecond for each look at the clock
    monkeypatch.setattr("agent.clients.requester.package_publisher.time", ticking)
    broker, clock, pauses_s = HangingUpBroker(str(topic)), Clock(), []
    keeper = keeper_at(broker, clock)
    for _ in range(8):
        fails(keeper, package)
        pauses_s.append(keeper.pause_s)
        clock.now_s += keeper.pause_s
    taken = [each for each, _ in broker.sent if "/brokers/" in each and each not in broker.refused]
    assert len(taken) == len(set(taken)) > 0
    assert (pauses_s[:2], pauses_s[-1], pauses_s) == ([5.0, 10.0], 600.0, sorted(pauses_s))
    broker.refused.clear()
    broker.sent.clear()
    if has_died:
        broker.retained.clear()
    keeper.keep(package, DIRECTORY, 60.0, is_new=True)
    assert is_whole_beside_a_directory(broker, package)
    assert [len(data) for each, data in sorted(broker.retained.items()) if "/brokers/" in each and data] == [
        len(each) for each in split_directory(DIRECTORY)
    ]
    if not has_died:
        again = [each for each, _ in broker.sent if "/brokers/" in each]
        assert not set(again) & set(taken), "it has them"
    broker.die()
    broker.events.append(UP)
    assert keeper.keep(package, DIRECTORY, 60.0, is_new=False) == 2, "after a success nothing counts as taken"
    assert is_whole_beside_a_directory(broker, package)


def is_whole_beside_a_directory(broker: Broker, package: bytes) -> bool:
    kept = [data for topic, data in sorted(broker.retained.items()) if data and "/trust/" in topic]
    return kept == published(package)


def test_a_killed_broker_that_stays_away_for_long_is_looked_at_as_soon_as_it_is_back(package: bytes) -> None:
    broker = RefusingBroker()
    watched = Watched(broker, package)
    watched.run(5.0)
    broker.die()
    watched.run(2 * HOUR_S)
    assert watched.told[-1].fault is not None
    assert broker.opened == 1
    broker.events.append(UP)
    watched.run(1.0)
    assert is_whole_beside_a_directory(broker, package)


def test_an_unexpected_error_of_a_broker_ends_the_command_with_it(package: bytes) -> None:
    """A closed pipe at its output, for example. A service that ran on would publish no revocation at this broker."""
    broker = RefusingBroker()
    root: Any = SimpleNamespace(
        name_key=ROOT, package=lambda: package, package_for=lambda _address: package, directory=lambda: None
    )

    def tell(_kept: KeptPackage) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    def open_bus(_address: BrokerAddress, _news: object) -> Any:
        return broker.open()

    keeping = RootKeeping(root, (ADDRESS,), open_bus, tell)
    late = threading.Timer(20.0, keeping.stop)  # without the cure it runs on
    late.start()
    try:
        with pytest.raises(BrokenPipeError):
            keeping.run()
    finally:
        late.cancel()
    assert broker.stopped == 1
