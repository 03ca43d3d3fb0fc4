"""A root's package on a broker: each slot is written once, and a broken link, a refusal and a silence end in words."""

from __future__ import annotations

import itertools
from collections import deque
from types import SimpleNamespace

import pytest

from agent.clients.requester import package_publisher
from agent.clients.requester.package_publisher import INDEX, is_published, publish_package, retained_package
from agent.core.bus import (
    BusDisconnected,
    BusEvent,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    Subscribed,
    SubscriptionRefused,
)
from agent.errors import ConfigurationError, FormatError, NetworkError
from agent.wire.trust_package import MAX_CHUNK_BYTES, PUBLISHED_LIMIT_BYTES, TRUST_SLOTS, index_of, split_package

ROOT = "c3" * 8


class SlotBus:
    """Answers each publication with the next of the `answers` for its slot, or acknowledges it."""

    def __init__(self, **answers: list[BusEvent]) -> None:
        self.answers = {int(name.removeprefix("slot")): list(each) for name, each in answers.items()}
        self.published: list[tuple[str, bytes, bool]] = []
        self.events: deque[BusEvent] = deque()
        self.hurried = False
        self.full = False
        """Takes no publication, as a bus with a full window."""

    def hurry(self, on: bool) -> None:
        self.hurried = on

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool) -> bool:
        if self.full:
            return False
        self.published.append((topic, payload, retain))
        waiting = self.answers.get(token, [])
        self.events.append(waiting.pop(0) if waiting else PublishAcknowledged(token, heard=True))
        return True

    def next_event(self, _timeout_s: float) -> BusEvent | None:
        self.full = False
        return self.events.popleft() if self.events else None

    @property
    def slots(self) -> list[int]:
        ends = [topic.rpartition("/")[2] for topic, _, _ in self.published]
        return [INDEX if end == "index" else int(end) for end in ends]


@pytest.fixture
def package() -> bytes:
    """A package of two chunks."""
    return b"x" * (MAX_CHUNK_BYTES + 1)


def published(bus: SlotBus, package: bytes, timeout_s: float = 60.0) -> int:
    return publish_package(bus, ROOT, package, timeout_s)  # type: ignore[arg-type]


def test_each_chunk_is_retained_in_its_slot_and_the_slots_behind_are_cleared(package: bytes) -> None:
    bus = SlotBus()
    assert published(bus, package) == 2
    slots = [(f"{slot}", data) for slot, data in enumerate([*split_package(package), *[b""] * (TRUST_SLOTS - 2)])]
    wanted = [(f"doorward/v1/trust/{ROOT}/{end}", data, True) for end, data in (*slots, ("index", index_of(package)))]
    assert sorted(bus.published) == sorted(wanted)
    assert bus.published[-1] == wanted[-1], "who reads the index finds all its pieces"
    assert bus.hurried, "a person waits"


def test_a_slot_that_a_broken_link_lost_is_published_again_and_no_other(package: bytes) -> None:
    away = BusDisconnected(LinkFault.UNREACHABLE, NetworkError("away"), 1.0)
    bus = SlotBus(slot1=[PublishLost(1), PublishLost(1)])
    bus.events.append(away)
    assert published(bus, package) == 2
    assert sorted(bus.slots) == [0, 1, 1, 1, *range(2, TRUST_SLOTS), INDEX]


def test_a_slot_beyond_the_roots_right_is_left_alone_if_nothing_is_to_be_written_there(package: bytes) -> None:
    refused = {f"slot{slot}": [PublishRefused(slot, 0x87, "Not authorized")] for slot in range(2, TRUST_SLOTS)}
    assert published(SlotBus(**refused), package) == 2
    for slot in (0, 1):
        with pytest.raises(ConfigurationError, match=f"refuses slot {slot} "):
            published(SlotBus(**{f"slot{slot}": [PublishRefused(slot, 0x87, "Not authorized")]}), package)
    with pytest.raises(ConfigurationError, match="refuses the index "):
        published(SlotBus(**{f"slot{INDEX}": [PublishRefused(INDEX, 0x87, "Not authorized")]}), package)


@pytest.mark.parametrize("code", [0x80, 0x83, 0x97])
def test_a_refusal_that_may_pass_is_tried_again_in_a_second(
    code: int, package: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster of RabbitMQ answers 0x83 while a node with a subscriber's queue is away."""
    looks = itertools.count()
    monkeypatch.setattr(package_publisher, "time", SimpleNamespace(monotonic=lambda: next(looks) / 10))
    bus = SlotBus(slot1=[PublishRefused(1, code, "A node is away"), PublishRefused(1, code, "A node is away")])
    assert published(bus, package) == 2
    assert bus.slots.count(1) == 3
    ever = SlotBus(slot1=[PublishRefused(1, code, "A node is away")] * 99)
    with pytest.raises(NetworkError, match=r"has not taken the package\. A node is away"):
        published(ever, package, 5.0)


def test_a_package_that_needs_more_slots_than_the_root_has_leaves_the_one_before_on_the_broker() -> None:
    """A list that grew, or new keys, would else destroy the list that connecting doorbells read."""
    refused = {f"slot{slot}": [PublishRefused(slot, 0x87, "Not authorized")] for slot in range(2, TRUST_SLOTS)}
    bus = SlotBus(**refused)
    with pytest.raises(ConfigurationError, match="refuses slot 2 "):
        published(bus, b"x" * (2 * MAX_CHUNK_BYTES + 1))
    assert bus.slots == [2], "no slot of the package before was written"


def test_a_full_window_is_tried_again(package: bytes) -> None:
    bus = SlotBus()
    bus.full = True
    assert published(bus, package) == 2
    assert sorted(bus.slots) == [*range(TRUST_SLOTS), INDEX]


def test_a_broker_that_stays_away_is_named_with_its_fault(package: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_publisher, "_WAIT_S", 0.0)
    away = BusDisconnected(LinkFault.UNREACHABLE, NetworkError("No route to the broker."), 1.0)
    with pytest.raises(NetworkError, match=r"has not taken the package\. No route to the broker"):
        published(SlotBus(slot0=[away]), package, 0.0)
    silent = SlotBus()
    silent.next_event = lambda _timeout_s: None  # type: ignore[method-assign]
    with pytest.raises(NetworkError, match=r"has not taken the package\. Publish it again"):
        published(silent, package, 0.0)


def test_the_broker_has_its_time_to_the_last_moment(package: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(package_publisher, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    assert published(SlotBus(), package, 0.0) == 2
    bus = SlotBus(slot0=[PublishLost(0)] * 3)
    waited: list[float] = []
    taken = bus.next_event

    def later(timeout_s: float) -> BusEvent | None:
        waited.append(timeout_s)
        now_s[0] += 0.5
        return taken(timeout_s)

    monkeypatch.setattr(bus, "next_event", later)
    assert published(bus, package, (TRUST_SLOTS + 2) / 2) == 2
    assert set(waited) == {0.2}
    bus.answers = {0: [PublishLost(0)] * 3}
    with pytest.raises(NetworkError) as raised:
        published(bus, package, (TRUST_SLOTS + 2) / 2 - 0.01)
    assert (raised.value.message, raised.value.remedy) == (
        "The broker has not taken the package.",
        "Publish it again.",
    )


def test_a_connection_that_ends_after_the_message_was_given_up_counts_as_hung_up(
    package: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    monkeypatch.setattr(package_publisher, "time", SimpleNamespace(monotonic=lambda: next(looks) / 1000))
    bus = SlotBus(slot0=[PublishLost(0)] * 1000)
    taken = bus.next_event

    def hangs_up(timeout_s: float) -> BusEvent | None:
        event = taken(timeout_s)
        if isinstance(event, PublishLost):
            bus.events.appendleft(BusDisconnected(LinkFault.UNREACHABLE, NetworkError("The connection ended."), 1.0))
            bus.full = True  # nothing is taken without a connection
        return event

    monkeypatch.setattr(bus, "next_event", hangs_up)
    with pytest.raises(NetworkError, match="ends the connection instead of taking doorward/v1/trust/"):
        published(bus, package, 1.0)


def test_connections_that_end_while_no_message_waits_for_an_answer_are_not_hung_up(
    package: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a quota was used up, the client waits, and no message is under way."""
    looks = itertools.count()
    monkeypatch.setattr(package_publisher, "time", SimpleNamespace(monotonic=lambda: next(looks) / 1000))
    bus = SlotBus(slot0=[PublishRefused(0, 0x97, "The quota is used up")])
    taken, ended = bus.next_event, BusDisconnected(LinkFault.UNREACHABLE, NetworkError("The connection ended."), 1.0)
    monkeypatch.setattr(bus, "next_event", lambda timeout_s: taken(timeout_s) or ended)
    with pytest.raises(NetworkError, match="has not taken the package"):
        published(bus, package, 0.5)


class RetainedBus(SlotBus):
    """Answers a subscription with what the broker retains."""

    def __init__(self, retained: dict[str, bytes], *, answers: bool = True) -> None:
        super().__init__()
        self._retained, self._answers = retained, answers

    def subscribe(self, topic_filter: str) -> None:
        found = [MessageReceived(topic, data) for topic, data in self._retained.items()]
        self.events.extend([*found, *([Subscribed(topic_filter)] if self._answers else [])])


def test_a_package_is_on_the_broker_if_each_of_its_slots_is(package: bytes) -> None:
    chunks = {f"doorward/v1/trust/{ROOT}/{slot}": chunk for slot, chunk in enumerate(split_package(package))}
    (first, *_), other = chunks, split_package(b"y" * len(package))[0]
    index = f"doorward/v1/trust/{ROOT}/index"
    chunks[index] = index_of(package)

    def found(retained: dict[str, bytes]) -> bool:
        return is_published(RetainedBus(retained), ROOT, package, 60.0)  # type: ignore[arg-type]

    assert found(chunks)
    assert found(chunks | {f"doorward/v1/trust/{ROOT}/3": other}), "doorbells ignore a slot behind the last one"
    assert not found({})
    assert not found({first: chunks[first]})
    assert not found(chunks | {first: other})
    assert not found(chunks | {index: index_of(b"y" * len(package))})


def test_a_broker_that_keeps_nothing_for_wildcards_lacks_the_package(package: bytes) -> None:
    """It gives a doorbell nothing, so the package must go out again (decision 78). RabbitMQ is such a broker."""
    chunks = {f"doorward/v1/trust/{ROOT}/{slot}": chunk for slot, chunk in enumerate(split_package(package))}

    class WholeTopics(RetainedBus):
        def subscribe(self, topic_filter: str) -> None:
            found = [MessageReceived(topic, data) for topic, data in chunks.items() if topic == topic_filter]
            self.events.extend([*found, Subscribed(topic_filter)])

    assert not is_published(WholeTopics({}), ROOT, package, 60.0)  # type: ignore[arg-type]


def test_a_broker_that_does_not_say_what_it_has_is_named(package: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_publisher, "_WAIT_S", 0.0)
    with pytest.raises(NetworkError, match="does not say"):
        is_published(RetainedBus({}, answers=False), ROOT, package, 0.0)  # type: ignore[arg-type]


def test_a_package_that_no_broker_takes_is_refused_before_anything_is_published() -> None:
    bus = SlotBus()
    with pytest.raises(FormatError, match="can be published"):
        published(bus, b"x" * (PUBLISHED_LIMIT_BYTES + 1))
    assert bus.published == []


class ReadBus(RetainedBus):
    """Gives what it retains in the topic that is asked for, or the events of `instead` first, one list at each
    subscription."""

    def __init__(self, retained: dict[str, bytes], *instead: list[BusEvent]) -> None:
        super().__init__(retained)
        self.instead, self.asked = deque(instead), []  # type: ignore[var-annotated]

    def subscribe(self, topic_filter: str) -> None:
        self.asked.append(topic_filter)
        if self.instead:
            self.events.extend(self.instead.popleft())
            return
        found = [MessageReceived(topic, data) for topic, data in self._retained.items() if topic == topic_filter]
        self.events.extend([*found, Subscribed(topic_filter)])

    def unsubscribe(self, topic_filter: str) -> None:
        self.asked.remove(topic_filter)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_WAIT_S", "_QUIET_S", "_ASK_EVERY_S", "_AFTER_QUOTA_S"):
        monkeypatch.setattr(package_publisher, name, 0.0)


def slot(number: int) -> str:
    return f"doorward/v1/trust/{ROOT}/{number}"


@pytest.mark.usefixtures("quick")
def test_only_the_slots_that_the_first_one_names_are_asked_for(package: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = ReadBus({slot(number): chunk for number, chunk in enumerate(split_package(package))})
    monkeypatch.setattr(bus, "unsubscribe", lambda _topic_filter: None)
    assert retained_package(bus, ROOT, 60.0) == package  # type: ignore[arg-type]
    assert bus.asked == [slot(0), slot(1)], "EMQX Cloud Serverless allows ten subscriptions"
    empty = ReadBus({slot(1): split_package(package)[1]})
    assert retained_package(empty, ROOT, 60.0) is None  # type: ignore[arg-type]
    assert empty.asked == [], "no subscription stays"


@pytest.mark.usefixtures("quick")
def test_a_subscription_over_a_quota_is_asked_for_again(package: bytes) -> None:
    chunks = {slot(number): chunk for number, chunk in enumerate(split_package(package))}
    bus = ReadBus(chunks, [SubscriptionRefused(slot(0), 0x97)])
    assert retained_package(bus, ROOT, 60.0) == package  # type: ignore[arg-type]


@pytest.mark.usefixtures("quick")
def test_a_subscription_that_is_refused_for_now_is_waited_for(package: bytes) -> None:
    """RabbitMQ answers 0x80 while a node is away. The bus asks again; else the list waits for ten minutes."""
    chunks = {slot(number): chunk for number, chunk in enumerate(split_package(package))}
    first = MessageReceived(slot(0), chunks[slot(0)])
    bus = ReadBus(
        chunks, [SubscriptionRefused(slot(0), 0x80), SubscriptionRefused(slot(0), 0x83), first, Subscribed(slot(0))]
    )
    assert retained_package(bus, ROOT, 60.0) == package  # type: ignore[arg-type]
    ever = ReadBus(chunks, [SubscriptionRefused(slot(0), 0x80)] * 3)
    with pytest.raises(NetworkError, match=r"does not say what it has\. It refuses subscriptions for now"):
        retained_package(ever, ROOT, 0.2)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"does not let this root read .* \(0x87\)"):
        retained_package(ReadBus(chunks, [SubscriptionRefused(slot(0), 0x87)]), ROOT, 60.0)  # type: ignore[arg-type]


@pytest.mark.usefixtures("quick")
def test_a_connection_that_broke_after_the_answer_has_not_said_that_nothing_is_there(package: bytes) -> None:
    """Else an older list would go out in place of the one that the broker has."""
    away = BusDisconnected(LinkFault.UNREACHABLE, NetworkError("away"), 1.0)
    chunks = [MessageReceived(slot(number), chunk) for number, chunk in enumerate(split_package(package))]
    bus = ReadBus({}, [Subscribed(slot(0)), away], [])
    waited = [0]
    taken = bus.next_event

    def later(timeout_s: float) -> BusEvent | None:
        event = taken(timeout_s)
        waited[0] += event is None
        if waited[0] == 5:  # it is connected again, and its bus has asked again
            bus.events.extend([chunks[0], Subscribed(slot(0)), chunks[1], Subscribed(slot(1))])
        return event

    bus.next_event = later  # type: ignore[method-assign]
    assert retained_package(bus, ROOT, 60.0) == package  # type: ignore[arg-type]


@pytest.mark.usefixtures("quick")
def test_a_broker_that_ends_the_connection_at_each_question_gets_the_advice_of_a_refusal() -> None:
    """AWS IoT Core does so if its policy lacks the right to subscribe."""
    away = BusDisconnected(LinkFault.UNREACHABLE, NetworkError("It closed the connection."), 1.0)
    for cuts, advice in ((1, "Look again."), (2, f"{ROOT}.root the right to receive doorward/v1/trust/{ROOT}/+")):
        with pytest.raises(NetworkError, match=r"does not say what it has\. It closed the connection") as raised:
            retained_package(ReadBus({}, [away] * cuts), ROOT, 0.2)  # type: ignore[arg-type]
        assert advice in str(raised.value.remedy)


@pytest.mark.usefixtures("quick")
def test_a_broker_that_sends_on_and_on_ends_the_look_in_time(package: bytes) -> None:
    bus = ReadBus({})
    bus.next_event = lambda _timeout_s: MessageReceived(slot(3), b"junk")  # type: ignore[method-assign]
    with pytest.raises(NetworkError, match="does not say"):
        retained_package(bus, ROOT, 0.05)  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match="does not say"):
        is_published(bus, ROOT, package, 0.05)  # type: ignore[arg-type]


@pytest.mark.usefixtures("quick")
def test_a_slot_over_the_publications_of_a_second_is_published_again(package: bytes) -> None:
    quota = {f"slot{number}": [PublishRefused(number, 0x97, "Quota exceeded")] for number in range(TRUST_SLOTS)}
    bus = SlotBus(**quota)
    assert published(bus, package) == 2
    assert sorted(bus.slots) == sorted([*range(TRUST_SLOTS)] * 2 + [INDEX])
