"""The digest service: its pages follow what the broker retains, over losses, restarts and expiry.

`tests/uplink/test_reading_at_a_reconnect.py` runs it on a real mosquitto.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.clients.broker import digest_service
from agent.clients.broker.broker_pki import DIGEST_CLIENT
from agent.clients.broker.digest_service import DigestService
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishRefused,
    Subscribed,
    SubscriptionRefused,
)
from agent.mqtt.faults import LinkError
from agent.wire.cell_digest import read_page
from agent.wire.topics import REQUEST_SLOTS, BulletinTopic, DigestTopic, RequestTopic
from tests.fake_bus import FakeBroker, FakeBus

CELL, NEXT_CELL = "287-379", "288-379"
PATIENCE_S = 60.0


def until(holds: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_s, "it did not happen in time"
        time.sleep(0.005)


class World:
    """A broker in memory, its digest service, and a requester."""

    def __init__(self, times: float = 100.0) -> None:
        self.broker = FakeBroker()
        self.police = FakeBus(self.broker, "harbour-police")
        self.police.start()
        self._tokens = 0
        self.times = times
        self._began_s = time.monotonic()

    def start(self, bus: FakeBus | None = None) -> None:
        self.service = DigestService(bus or FakeBus(self.broker, DIGEST_CLIENT), self.clock)
        self._thread = threading.Thread(target=self.service.run, name="digest")
        self._thread.start()

    def stop(self) -> None:
        self.service.stop()
        self._thread.join()

    def clock(self) -> float:
        return (time.monotonic() - self._began_s) * self.times

    def publish(self, topic: object, data: bytes) -> None:
        self._tokens += 1
        while self.police.next_event(0) is not None:
            pass
        assert self.police.publish(str(topic), data, token=self._tokens, retain=True)

    def pages(self, cell: str = CELL) -> list[bytes]:
        with self.broker.lock:
            retained = dict(self.broker.retained)
        found, number = [], 0
        while (page := retained.get(str(DigestTopic(cell, number)))) is not None:
            found.append(page.payload)
            number += 1
        return found

    def shows(self, *messages: bytes, cell: str = CELL) -> bool:
        return [data for page in self.pages(cell) for _, data in read_page(page).messages] == list(messages)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(digest_service, "_WAIT_S", 0.001)
    made = World()
    yield made
    made.stop()


def asked(slot: int, cell: str = CELL) -> RequestTopic:
    return RequestTopic(cell, "harbour-police", slot)


def test_messages_from_before_and_after_its_start_are_in_the_pages_of_their_cells(world: World) -> None:
    world.publish(asked(0), b"before")
    world.publish(BulletinTopic(NEXT_CELL, "harbour-police", 15), b"a bulletin")
    world.start()
    until(lambda: world.shows(b"before") and world.shows(b"a bulletin", cell=NEXT_CELL))
    world.publish(asked(1), b"after")
    until(lambda: world.shows(b"after", b"before"))
    world.publish(asked(0), b"")
    until(lambda: world.shows(b"after"))
    until(lambda: world.service.is_current)


def test_a_cell_that_has_become_empty_keeps_an_empty_page_and_no_other(world: World) -> None:
    world.start()
    for slot in range(3):
        world.publish(asked(slot), b"x" * 12_000)
    until(lambda: len(world.pages()) == 3)
    for slot in range(3):
        world.publish(asked(slot), b"")
    until(lambda: world.pages() == [b"1\n"])


def test_a_message_that_expired_at_the_broker_leaves_the_pages(world: World) -> None:
    world.times = 3000
    world.start()
    world.publish(asked(0), b"expires")
    world.publish(asked(1), b"stays")
    until(lambda: world.shows(b"stays", b"expires"))
    with world.broker.lock:
        del world.broker.retained[str(asked(0))]
    until(lambda: world.shows(b"stays"))


def test_a_broker_that_comes_back_without_its_pages_gets_them_again(world: World) -> None:
    world.start()
    world.publish(asked(0), b"one")
    until(lambda: world.shows(b"one"))
    world.broker.kill()
    with world.broker.lock:
        del world.broker.retained[str(DigestTopic(CELL, 0))]
    world.broker.start()
    until(lambda: world.shows(b"one"))


def test_a_message_that_was_published_while_its_link_was_down_is_found(world: World) -> None:
    world.start()
    until(lambda: world.service.is_current)
    world.broker.kill()
    message = MessageReceived(str(asked(7)), b"meanwhile")
    with world.broker.lock:
        world.broker.retained[message.topic] = message
    world.broker.start()
    until(lambda: world.shows(b"meanwhile"))


class ReadingBus(FakeBus):
    """Notes the most slots of one kind that were read at once."""

    most = 0
    reading: frozenset[str] = frozenset()

    def read_retained(self, topic_filter: str, source: str = "") -> None:
        self.reading |= {topic_filter}
        if "/requests/" in topic_filter:
            self.most = max(self.most, len(self.reading))
        super().read_retained(topic_filter, source)

    def unsubscribe(self, topic_filter: str, source: str = "") -> None:
        self.reading -= {topic_filter}
        super().unsubscribe(topic_filter, source)


@pytest.mark.parametrize(("room", "most"), [(1000, 16), (9, 3), (2, 1)])
def test_as_many_slots_are_read_at_once_after_a_connection_as_have_room_in_the_brokers_queue(
    world: World, monkeypatch: pytest.MonkeyPatch, room: int, most: int
) -> None:
    """A doorbell that connects before all are read may get a page without the newest message."""
    monkeypatch.setattr(digest_service, "_MOST_MESSAGES", room)
    for slot in range(REQUEST_SLOTS):
        for column in range(3):
            world.publish(asked(slot, f"287-{column}"), b"%d" % slot)
    world.publish(BulletinTopic(CELL, "harbour-police", 15), b"a bulletin")
    bus = ReadingBus(world.broker, DIGEST_CLIENT)
    monkeypatch.setattr("tests.clients.broker.test_digest_service.FakeBus", lambda *_: bus)
    world.start()
    until(lambda: world.service.is_current)
    assert bus.most == most
    slots = [b"%d" % slot for slot in reversed(range(REQUEST_SLOTS))]
    assert all(world.shows(*slots, cell=f"287-{column}") for column in range(3))
    assert world.shows(b"a bulletin")


def test_slots_with_more_messages_than_the_brokers_queue_has_room_for_are_read_again_fewer_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A requester may fill later slots only. Then messages of the others would be missing for up to 20 minutes."""
    room = 10
    monkeypatch.setattr(digest_service, "_MOST_MESSAGES", room - 2)
    for slot in range(1, 24):
        for column in range(3):
            world.publish(asked(slot, f"287-{column}"), b"%d" % slot)

    class SmallQueue(FakeBus):
        def _tell(self, event: BusEvent) -> None:
            waiting = sum(isinstance(each, MessageReceived) for each in self._events)
            if not isinstance(event, MessageReceived) or waiting < room:
                super()._tell(event)

    bus = SmallQueue(world.broker, DIGEST_CLIENT)
    monkeypatch.setattr("tests.clients.broker.test_digest_service.FakeBus", lambda *_: bus)
    world.start()
    until(lambda: world.service.is_current)
    slots = [b"%d" % slot for slot in reversed(range(1, 24))]
    assert all(world.shows(*slots, cell=f"287-{column}") for column in range(3))


def test_pages_are_published_again_before_they_expire(world: World) -> None:
    world.start()
    world.publish(asked(0), b"one")
    until(lambda: world.shows(b"one"))
    world.times = 20_000
    sent = len([topic for _, topic, _ in world.broker.published if topic == str(DigestTopic(CELL, 0))])
    until(
        lambda: len([topic for _, topic, _ in world.broker.published if topic == str(DigestTopic(CELL, 0))]) > sent + 1
    )


def test_what_is_neither_request_nor_bulletin_is_left_out(world: World) -> None:
    world.start()
    until(lambda: world.service.is_current)
    for topic in ("doorward/v1/areas/287-379/requests/harbour-police/64", str(DigestTopic(CELL, 5))):
        world.service._on_event(MessageReceived(topic, b"noise"), 0.0)
    assert world.service.is_current
    assert world.pages() == []


class StrictBus(FakeBus):
    """A managed broker that refuses some of what it gets, and counts it."""

    def __init__(self, broker: FakeBroker, refuses: Callable[[str, int], bool]) -> None:
        super().__init__(broker, DIGEST_CLIENT)
        self._refuses = refuses
        self.tries: Counter[str] = Counter()

    def _tell(self, event: BusEvent) -> None:
        if isinstance(event, PublishAcknowledged) and self.published[event.token] is None:
            event = PublishRefused(event.token, 0x97, "quota exceeded")
        if isinstance(event, Subscribed) and self._is_refused(event.topic_filter):
            event = SubscriptionRefused(event.topic_filter, 0x97)
        super()._tell(event)

    def _is_refused(self, topic: str) -> bool:
        self.tries[topic] += 1
        return self._refuses(topic, self.tries[topic])

    published: dict[int, str | None]

    def publish(self, topic: str, payload: bytes, *, token: int, **others: Any) -> bool:
        self.published = {**getattr(self, "published", {}), token: None if self._is_refused(topic) else topic}
        return super().publish(topic, payload, token=token, **others)


def test_a_page_that_the_broker_refuses_is_sent_again_and_the_digest_is_behind_meanwhile(world: World) -> None:
    """A managed broker refuses the eleventh message of a second."""
    page = str(DigestTopic(CELL, 0))
    bus = StrictBus(world.broker, lambda topic, tries: topic == page and tries < 5)
    world.times = 10
    world.publish(asked(0), b"one")
    world.start(bus)
    until(lambda: bus.tries[page] == 2)
    assert not world.service.is_current
    until(lambda: bus.tries[page] == 5 and world.service.is_current)
    assert world.shows(b"one")


def test_pages_that_are_always_refused_are_tried_each_minute(world: World) -> None:
    page = str(DigestTopic(CELL, 0))
    bus = StrictBus(world.broker, lambda topic, _: topic == page)
    world.times = 2000
    world.publish(asked(0), b"one")
    world.start(bus)
    began_s = world.clock()
    until(lambda: world.clock() > began_s + 1200)
    assert 5 <= bus.tries[page] <= 7 + 1200 / 60
    assert not world.service.is_current


def test_a_slot_that_is_always_refused_is_asked_for_each_minute_and_told_once(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = "doorward/v1/areas/+/requests/+/0"
    bus = StrictBus(world.broker, lambda topic, _: topic == refused)
    world.times = 2000
    world.start(bus)
    began_s = world.clock()
    until(lambda: world.clock() > began_s + 1200)
    assert 5 <= bus.tries[refused] <= 8 + 1200 / 60
    assert capsys.readouterr().out.count("subscription_refused") <= 1


def test_a_broker_that_stays_away_is_told_once_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    service = DigestService(FakeBus(FakeBroker(), DIGEST_CLIENT), time.monotonic)
    away = LinkError(LinkFault.UNREACHABLE, "No program listens.", remedy="Check host and port.")
    for event in (away, away, None, away):
        told = BusConnected(65_536, 20) if event is None else BusDisconnected(event.fault, event, 1.0)
        service._on_event(told, 0.0)
    said = capsys.readouterr().out
    assert said.count("link_down") == said.count("Check host and port.") == 2, "again after a connection in between"


def test_without_the_subscription_to_new_messages_the_digest_is_not_current(world: World) -> None:
    live = "doorward/v1/areas/+/requests/+/+"
    bus = StrictBus(world.broker, lambda topic, _: topic == live)
    world.publish(asked(0), b"one")
    world.start(bus)
    until(lambda: world.shows(b"one"))
    assert not world.service.is_current
