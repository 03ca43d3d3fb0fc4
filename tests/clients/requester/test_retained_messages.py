"""Messages that a broker acknowledged and then forgot are published again, and only those."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.clients.requester import cell_brokers, messages, retained_messages
from agent.clients.requester.cell_brokers import CellBrokers
from agent.clients.requester.identity import Requester
from agent.clients.requester.publisher import PublishQueue, brokers_lacking, is_published, publish_pending
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.retained_messages import PublicationMonitor
from agent.core.bus import MessageReceived
from agent.core.timebase import NS_PER_S
from agent.wire.broker_directory import BrokerAddress, CellBroker, CellRange
from agent.wire.topics import BulletinTopic, RequestTopic, parse_topic
from tests.clients.requester.conftest import NOW_S, question
from tests.fake_bus import FakeBroker, FakeBus
from tests.vaults import SteppedClock
from tests.wire import samples

NORTH, SOUTH = (BrokerAddress(name, 8884) for name in ("north.example", "south.example"))


class Service:
    """A receiving service at a broker that can be made to forget."""

    def __init__(self, requester: Requester) -> None:
        self.broker, self.clock = FakeBroker(), SteppedClock(utc_offset_ns=NOW_S * 10**9)
        self.bus = FakeBus(self.broker, requester.id)
        self.receiver = DisclosureReceiver(requester, self.bus, self.clock)
        self.receiver.start()
        self.bus.start()

    def settle(self, seconds: int = 40) -> None:
        """Lets this much time pass, with all its effects."""
        for _ in range(seconds):
            self.clock.boot_ns += NS_PER_S
            while self.receiver.step(0.0) is not None:
                pass

    def forget(self) -> dict[str, bytes]:
        """Stops without writing, and starts again. Returns the state before."""
        had = {topic: message.payload for topic, message in self.broker.retained.items()}
        self.broker.kill()
        self.broker.retained.clear()
        self.broker.published.clear()
        self.broker.start()
        return had


@pytest.fixture
def service(requester: Requester) -> Iterator[Service]:
    made = Service(requester)
    yield made
    made.bus.stop()


def test_what_a_killed_broker_has_forgotten_is_published_again(service: Service, requester: Requester) -> None:
    request = messages.make_request(requester, question(), now_s=NOW_S)
    withdrawn = messages.make_request(requester, question(case="c2"), now_s=NOW_S)
    messages.make_withdrawal(requester, withdrawn.id)
    messages.make_bulletin(requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 9000, cells=("287-379",))
    service.settle()
    assert is_published(requester, request.id)
    had = service.forget()
    assert len(had) == 3
    service.settle()
    assert {topic: message.payload for topic, message in service.broker.retained.items()} == had
    assert is_published(requester, request.id)


def test_what_stands_is_not_published_a_second_time(service: Service, requester: Requester) -> None:
    messages.make_request(requester, question(), now_s=NOW_S)
    service.settle()
    published = len(service.broker.published)
    service.broker.kill()
    service.broker.start()
    service.settle()
    service.settle(60)
    assert len(service.broker.published) == published


def test_a_damaged_message_keeps_no_other_one_from_going_back_to_its_broker(
    service: Service, requester: Requester
) -> None:
    damaged = messages.make_request(requester, question(), now_s=NOW_S)
    sound = messages.make_request(requester, question(case="c2"), now_s=NOW_S)
    service.settle()
    service.forget()
    requester.notes.write(f"requests/{damaged.id}/request.dsse", b"damaged")
    service.settle()
    assert {each.payload for each in service.broker.retained.values()} == {sound.envelope}


def test_a_broker_that_sends_messages_as_ours_without_end_fills_no_memory_and_ours_go_out_again(
    service: Service, requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retained_messages, "_MOST_HEARD", 5)
    messages.make_request(requester, question(), now_s=NOW_S)
    service.settle()
    published = len(service.broker.published)
    service.broker.kill()
    for row in range(100, 150):
        topic = str(RequestTopic(f"{row}-379", requester.id, 0))
        service.broker.retained = {topic: MessageReceived(topic, b"x" * 4096), **service.broker.retained}
    service.broker.start()
    service.settle(2)
    assert sum(map(len, service.receiver._standing._heard.values())) <= 5 * 32
    service.settle()
    assert len(service.broker.published) == published + 1


class TwoShards(Service):
    """A receiving service at two brokers that share a cell."""

    def __init__(self, requester: Requester, shards: dict[BrokerAddress, FakeBroker] | None = None) -> None:
        self.shards = shards or {NORTH: FakeBroker(), SOUTH: FakeBroker()}
        self.clock = SteppedClock(utc_offset_ns=NOW_S * 10**9)
        ranges = (CellRange(south_west="280-365", north_east="290-380"),)
        brokers = tuple(CellBroker(host=at.host, port=at.port, cells=ranges) for at in self.shards)
        self.cells = CellBrokers(
            samples.directory(brokers=brokers), (NORTH, SOUTH), lambda at, _told: FakeBus(self.shards[at], requester.id)
        )
        self.receiver = DisclosureReceiver(requester, self.cells, self.clock)
        self.receiver.start()
        self.cells.start()

    def retained(self) -> list[set[str]]:
        return [set(each.retained) for each in self.shards.values()]


@pytest.fixture
def shards(requester: Requester) -> Iterator[TwoShards]:
    made = TwoShards(requester)
    yield made
    made.cells.stop()


def test_a_broker_that_lost_a_message_gets_it_again_though_another_one_of_its_cell_has_it(
    shards: TwoShards, requester: Requester
) -> None:
    request = messages.make_request(requester, question(), now_s=NOW_S)
    shards.settle()
    south = shards.shards[SOUTH]
    assert shards.retained() == [{request.topics[0]}] * 2
    south.kill()
    south.retained.clear()
    south.start()
    shards.settle()
    assert shards.retained() == [{request.topics[0]}] * 2
    assert is_published(requester, request.id)


def test_a_request_reaches_the_connected_broker_of_its_cell_and_the_other_one_once_it_is_back(
    shards: TwoShards, requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_brokers, "_PATIENCE_S", 0.0)
    shards.settle()
    shards.shards[SOUTH].kill()
    shards.settle()
    request = messages.make_request(requester, question(), now_s=NOW_S)
    shards.settle()
    assert shards.retained() == [{request.topics[0]}, set()]
    assert is_published(requester, request.id)
    assert brokers_lacking(requester, request.id) == {str(SOUTH)}
    published = len(shards.shards[NORTH].published)
    shards.settle()
    assert len(shards.shards[NORTH].published) == published, "it waits for the broker that lacks it"
    shards.shards[SOUTH].start()
    shards.settle(2)
    assert shards.retained() == [{request.topics[0]}] * 2
    assert brokers_lacking(requester, request.id) == frozenset()
    shards.settle()
    assert len(shards.shards[NORTH].published) == published + 1


def test_a_broker_gets_what_it_lacks_from_a_service_that_was_started_since(
    shards: TwoShards, requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service may end many times before the monitor has had its answer."""
    monkeypatch.setattr(cell_brokers, "_PATIENCE_S", 0.0)
    shards.shards[SOUTH].kill()
    request = messages.make_request(requester, question(), now_s=NOW_S)
    shards.settle()
    assert shards.retained() == [{request.topics[0]}, set()]
    shards.cells.stop()
    shards.shards[SOUTH].start()
    later = TwoShards(requester, shards.shards)
    later.settle(2)
    later.cells.stop()
    assert shards.retained() == [{request.topics[0]}] * 2


def test_what_a_broker_lacks_is_unsent_after_the_index_was_made_again(requester: Requester) -> None:
    both, one = (messages.make_request(requester, question(case=f"c{n}"), now_s=NOW_S) for n in range(2))
    both.mark_published()
    one.mark_published(["south.example:8884", "north.example:8884"])
    again = Requester.open(requester.folder)
    again.index._path = requester.folder / "made again"
    assert again.register.unsent() == [one.id]
    assert brokers_lacking(again, one.id) == {"north.example:8884", "south.example:8884"}


@pytest.mark.parametrize(("left_s", "waits"), [(1, True), (0, False)])
def test_what_a_broker_lacks_ends_with_its_time(requester: Requester, left_s: int, waits: bool) -> None:
    request = messages.make_request(requester, question(), now_s=NOW_S)
    request.mark_published([str(SOUTH)])
    queue = PublishQueue(FakeBus(FakeBroker(), requester.id))
    publish_pending(requester, queue, request.not_after_s - left_s, lambda *_: None, connected={str(NORTH)})
    assert (len(queue), requester.register.unsent()) == (0, [request.id] if waits else [])


def test_a_broker_that_comes_and_goes_does_not_delay_the_question_to_another_one(requester: Requester) -> None:
    request = messages.make_request(requester, question(), now_s=NOW_S)
    publish_all(requester)
    monitor = PublicationMonitor(requester, lambda _topic: f"{NORTH} {SOUTH}")
    monitor.connected(0, str(NORTH))
    found = None
    for second in range(20):
        now_ns = second * NS_PER_S
        if second % 3 == 0:
            monitor.connected(now_ns, str(SOUTH))
        for source in monitor.to_ask(now_ns):
            monitor.on_subscribed(now_ns, source)
        found = found or monitor.check(now_ns, NOW_S)
    assert found == [request.id]
    assert brokers_lacking(requester, request.id) == {str(NORTH)}
    monitor.on_subscribed(20 * NS_PER_S, str(SOUTH))
    assert monitor.check(28 * NS_PER_S, NOW_S) == [request.id]
    assert brokers_lacking(requester, request.id) == {str(NORTH), str(SOUTH)}


def test_a_broker_that_comes_and_goes_is_no_reason_for_another_one_to_deliver_again(
    shards: TwoShards, requester: Requester
) -> None:
    """One that had to deliver again every few seconds would never be quiet, and get nothing back."""
    request = messages.make_request(requester, question(), now_s=NOW_S)
    kept = messages.make_request(requester, question(case="c2"), now_s=NOW_S)
    shards.settle()
    north, south = shards.shards.values()
    north.kill()
    del north.retained[request.topics[0]]
    north.start()
    for _ in range(6):
        south.kill()
        south.start()
        shards.settle(1)
    assert set(north.retained) == {request.topics[0], kept.topics[0]}


def test_an_answer_reads_only_messages_for_the_cells_of_its_broker(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        messages.make_bulletin(
            requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 9000, cells=(cell,)
        ).id
        for cell in ("287-379", "288-379")
    ]
    publish_all(requester)
    monitor = PublicationMonitor(requester, lambda topic: str(NORTH) if "/288-379/" in topic else str(SOUTH))
    read: list[str] = []
    stored = messages.is_stored

    def is_stored(who: Requester, name: str) -> bool:
        read.append(name)
        return stored(who, name)

    monkeypatch.setattr(messages, "is_stored", is_stored)
    monitor.connected(0, str(NORTH))
    monitor.on_subscribed(0, str(NORTH))
    assert monitor.check(10 * NS_PER_S, NOW_S) == [names[1]]
    assert read == [names[1]]


def test_a_broker_that_is_away_is_not_taken_for_one_that_lost_its_messages(
    shards: TwoShards, requester: Requester
) -> None:
    request = messages.make_request(requester, question(), now_s=NOW_S)
    shards.settle()
    north, south = shards.shards.values()
    south.kill()
    north.kill()
    north.start()
    published = len(north.published)
    shards.settle(60)
    assert is_published(requester, request.id)
    assert len(north.published) == published


def test_what_has_ended_or_lost_its_slot_is_left_alone(service: Service, requester: Requester) -> None:
    request = messages.make_request(requester, question(), now_s=NOW_S)
    service.settle()
    service.clock.utc_offset_ns = request.not_after_s * 10**9
    service.forget()
    service.settle()
    assert service.broker.published == []


def test_it_looks_again_after_hours_on_one_connection(service: Service, requester: Requester) -> None:
    messages.make_request(requester, question(), now_s=NOW_S)
    service.settle()
    service.broker.retained.clear()
    service.settle()
    assert service.broker.retained == {}
    service.clock.boot_ns += 6 * 3600 * NS_PER_S
    service.settle()
    assert len(service.broker.retained) == 1


def test_the_broker_is_asked_at_each_connection_and_then_every_six_hours(requester: Requester) -> None:
    monitor = PublicationMonitor(requester)
    assert not monitor.to_ask(10**15)
    asked = 1000 * NS_PER_S
    monitor.connected(asked)
    assert monitor.to_ask(asked) == [""]
    assert not monitor.to_ask(asked)
    assert not monitor.to_ask(asked + 6 * 3600 * NS_PER_S - 1)
    assert monitor.to_ask(asked + 6 * 3600 * NS_PER_S) == [""]
    monitor.disconnected()
    assert not monitor.to_ask(10**18)
    assert monitor.check(10**18, NOW_S) is None


def test_an_answer_is_waited_for_four_seconds_and_two_after_each_message(requester: Requester) -> None:
    monitor = PublicationMonitor(requester)
    topic = RequestTopic("287-379", requester.id, 0)
    monitor.connected(0)
    assert monitor.check(10**15, NOW_S) is None
    asked = 2 * NS_PER_S
    assert monitor.to_ask(asked) == [""]
    assert monitor.check(10**15, NOW_S) is None, "the broker has not granted it yet"
    monitor.on_subscribed(asked)
    monitor.on_subscribed(asked + NS_PER_S)  # a repetition is no new question
    assert monitor.check(asked + 4 * NS_PER_S - 1, NOW_S) is None
    late = asked + 3 * NS_PER_S
    monitor.on_retained(topic, b"x", late)
    monitor.on_retained(RequestTopic("287-379", "other-police", 0), b"x", late + NS_PER_S)
    assert monitor.check(late + 2 * NS_PER_S - 1, NOW_S) is None
    assert monitor.take_answered() == []
    assert monitor.check(late + 2 * NS_PER_S, NOW_S) == []
    assert monitor.take_answered() == [""]
    assert monitor.take_answered() == []
    assert monitor.check(late + 2 * NS_PER_S, NOW_S) is None, "one answer to one question"


def publish_all(requester: Requester) -> None:
    for name in requester.register.unsent():
        messages.signed(requester, name).mark_published()
        requester.register.sent(name)


def heard_all(monitor: PublicationMonitor, requester: Requester, *names: str) -> None:
    for name in names:
        signed = messages.signed(requester, name)
        for topic in signed.topics:
            found = parse_topic(topic)
            assert isinstance(found, RequestTopic | BulletinTopic)
            monitor.on_retained(found, signed.envelope, 4 * NS_PER_S)


def asked_of(monitor: PublicationMonitor) -> int:
    """Returns a time at which the answer is there."""
    monitor.connected(0)
    assert monitor.to_ask(2 * NS_PER_S)
    monitor.on_subscribed(2 * NS_PER_S)
    return 2 * NS_PER_S + 4 * NS_PER_S


def test_messages_that_the_broker_lost_are_noted_as_lacking_there_and_no_others(requester: Requester) -> None:
    there, lost, old = (messages.make_request(requester, question(case=f"c{n}"), now_s=NOW_S) for n in range(3))
    bulletin = messages.make_bulletin(
        requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 9000, cells=("287-379", "287-380")
    )
    publish_all(requester)
    unsent = messages.make_request(requester, question(case="c9"), now_s=NOW_S)
    monitor = PublicationMonitor(requester)
    due = asked_of(monitor)
    heard_all(monitor, requester, there.id)
    found = parse_topic(old.topics[0])
    assert isinstance(found, RequestTopic)
    monitor.on_retained(found, b"an older message of this slot", 4 * NS_PER_S)
    assert monitor.check(due, NOW_S) == sorted({lost.id, old.id, bulletin.id})
    assert brokers_lacking(requester, there.id) == frozenset()
    assert all(brokers_lacking(requester, each.id) == {""} for each in (lost, old, bulletin))
    assert brokers_lacking(requester, unsent.id) is None
    assert set(requester.register.unsent()) == {lost.id, old.id, bulletin.id, unsent.id}


def test_a_message_with_a_cell_that_lost_it_is_published_again_in_all(requester: Requester) -> None:
    cells = ("287-379", "287-380")
    signed = messages.make_bulletin(
        requester, "Flood", "Stay in.", language="en", not_after_s=NOW_S + 9000, cells=cells
    )
    publish_all(requester)
    monitor = PublicationMonitor(requester)
    due = asked_of(monitor)
    monitor.on_retained(BulletinTopic(cells[0], requester.id, 0), signed.envelope, 4 * NS_PER_S)
    assert monitor.check(due, NOW_S) == [signed.id]


@pytest.mark.parametrize(("left_s", "lost"), [(1, True), (0, False)])
def test_a_message_that_has_ended_is_not_missed(requester: Requester, left_s: int, lost: bool) -> None:
    signed = messages.make_request(requester, question(), now_s=NOW_S)
    publish_all(requester)
    monitor = PublicationMonitor(requester)
    due = asked_of(monitor)
    assert monitor.check(due, signed.not_after_s - left_s) == ([signed.id] if lost else [])


def test_a_message_that_a_crash_kept_from_being_stored_is_not_missed(requester: Requester) -> None:
    signed = messages.make_request(requester, question(), now_s=NOW_S)
    publish_all(requester)
    (requester.folder / "requests" / signed.id / "request.dsse").unlink()
    monitor = PublicationMonitor(requester)
    assert monitor.check(asked_of(monitor), NOW_S) == []


def test_a_second_question_forgets_what_was_heard_before(requester: Requester) -> None:
    signed = messages.make_request(requester, question(), now_s=NOW_S)
    publish_all(requester)
    monitor = PublicationMonitor(requester)
    due = asked_of(monitor)
    heard_all(monitor, requester, signed.id)
    assert monitor.check(due, NOW_S) == []
    later = 2 * NS_PER_S + 6 * 3600 * NS_PER_S
    assert monitor.to_ask(later)
    monitor.on_subscribed(later)
    assert monitor.check(later + 4 * NS_PER_S, NOW_S) == [signed.id]


def test_a_lost_connection_ends_the_question(requester: Requester) -> None:
    messages.make_request(requester, question(), now_s=NOW_S)
    publish_all(requester)
    monitor = PublicationMonitor(requester)
    due = asked_of(monitor)
    monitor.disconnected()
    assert monitor.check(due, NOW_S) is None
    monitor.on_retained(RequestTopic("287-379", requester.id, 0), b"x", due)
    assert monitor.check(due + 10**12, NOW_S) is None


def test_the_broker_is_asked_for_all_messages_of_this_requester(requester: Requester) -> None:
    assert PublicationMonitor(requester).topic_filter == "doorward/v1/areas/+/+/rijnstad-police/+"
