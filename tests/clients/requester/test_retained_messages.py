"""Messages that a broker acknowledged and then forgot are published again, and only those."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.publisher import is_published
from agent.clients.requester.receiving_service import DisclosureReceiver
from agent.clients.requester.retained_messages import PublicationMonitor
from agent.core.timebase import NS_PER_S
from agent.wire.topics import RequestTopic
from tests.clients.requester.conftest import NOW_S, question
from tests.fake_bus import FakeBroker, FakeBus
from tests.vaults import SteppedClock


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


def test_the_broker_is_asked_five_seconds_after_a_connect_and_then_every_six_hours(requester: Requester) -> None:
    monitor = PublicationMonitor(requester)
    assert not monitor.unanswered(10**15)
    start = 1000 * NS_PER_S
    monitor.connected(start)
    assert not monitor.unanswered(start + 5 * NS_PER_S - 1)
    asked = start + 5 * NS_PER_S
    assert monitor.unanswered(asked)
    assert not monitor.unanswered(asked)
    assert not monitor.unanswered(asked + 6 * 3600 * NS_PER_S - 1)
    assert monitor.unanswered(asked + 6 * 3600 * NS_PER_S)
    monitor.disconnected()
    assert not monitor.unanswered(10**18)
    assert monitor.check(10**18, NOW_S) is None


def test_an_answer_is_waited_for_fifteen_seconds_and_five_after_each_message(requester: Requester) -> None:
    monitor = PublicationMonitor(requester)
    topic = RequestTopic("287-379", requester.id, 0)
    monitor.connected(0)
    assert monitor.check(10**15, NOW_S) is None
    asked = 5 * NS_PER_S
    assert monitor.unanswered(asked)
    assert monitor.check(asked + 15 * NS_PER_S - 1, NOW_S) is None
    late = asked + 14 * NS_PER_S
    monitor.on_retained(topic, b"x", late)
    monitor.on_retained(RequestTopic("287-379", "other-police", 0), b"x", late + 4 * NS_PER_S)
    assert monitor.check(late + 5 * NS_PER_S - 1, NOW_S) is None
    assert monitor.check(late + 5 * NS_PER_S, NOW_S) == []
    assert monitor.check(late + 5 * NS_PER_S, NOW_S) is None, "one answer to one question"
