"""A device reads what its broker retains page by page, within a budget, and reaches every page in the end."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agent.clients.broker.cell_digests import CellDigests
from agent.core.timebase import BootNs
from agent.uplink.cell_reading import BURST_BYTES, CellReading
from agent.wire.cell_digest import write_page
from agent.wire.topics import RequestTopic, cell_filter, in_cell, parse_topic

CELL = "287-379"
FILTER = cell_filter(CELL)
NEXT_FILTER = cell_filter("288-379")


@dataclass
class Broker:
    """The `Bus` as far as a reading uses it, with the pages that a broker retains."""

    pages: list[bytes] = field(default_factory=list)
    wishes: list[str] = field(default_factory=list)
    reading: set[str] = field(default_factory=set)

    def read_retained(self, topic_filter: str) -> None:
        self.wishes.append(topic_filter.removeprefix("doorward/v1/areas/"))
        self.reading.add(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        self.reading.discard(topic_filter)


@dataclass
class Device:
    """A reading, a clock, and all that it was given."""

    broker: Broker
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    read_bytes: int = 0
    now_s: float = 100.0

    def __post_init__(self) -> None:
        self.reading = CellReading(self.broker, FILTER, random.Random(7).uniform)  # type: ignore[arg-type]

    @property
    def now(self) -> BootNs:
        return BootNs(int(self.now_s * 1e9))

    def pass_time(self, duration_s: float, each: Callable[[], None] = lambda: None) -> None:
        ends_s = self.now_s + duration_s
        while self.now_s < ends_s:
            deadline_ns = self.reading.deadline_ns(self.now)
            self.now_s = min(self.now_s + 0.5, max(self.now_s + 0.001, (deadline_ns or 1 << 62) / 1e9))
            each()
            while (message := self.reading.turn(self.now)) is not None:
                self.heard.append(message)
            self._answer()

    def _answer(self) -> None:
        for topic in list(self.broker.reading):
            self.reading.subscribed(topic, self.now)
            number = int(topic.rpartition("/")[2]) if "/digest/" in topic else len(self.broker.pages)
            if number < len(self.broker.pages):
                page = self.broker.pages[number]
                self.read_bytes += len(page) + len(topic)
                assert self.reading.take(topic, page, self.now)


def digest(messages: int, size_bytes: int = 3500, requesters: int = 1) -> list[bytes]:
    digests = CellDigests()
    for number in range(messages):
        topic = RequestTopic(CELL, f"requester-{number % requesters}", number // requesters)
        digests.put(topic, f"message {number} ".encode().ljust(size_bytes, b"."), 1)
    return digests.pages(CELL)


@pytest.fixture
def device() -> Device:
    made = Device(Broker())
    made.reading.connected(made.now)
    return made


def test_a_digest_of_a_usual_cell_is_read_whole_and_at_once(device: Device) -> None:
    device.broker.pages = digest(10)
    assert len(device.broker.pages) == 3
    device.pass_time(10)
    assert device.broker.wishes == [f"{CELL}/digest/{number}" for number in range(3)]
    assert [data.split()[1] for _, data in device.heard] == [b"%d" % number for number in range(9, -1, -1)], "newest"
    assert all(str(parse_topic(topic)) == topic for topic, _ in device.heard)
    device.pass_time(1000)
    assert len(device.broker.wishes) == 3, "until it is asked to read again"
    device.reading.again(device.now)
    device.pass_time(10)
    assert len(device.broker.wishes) == 6


def test_no_more_than_the_budget_is_read_at_a_connection_and_every_page_comes_in_the_end(device: Device) -> None:
    device.broker.pages = digest(40, 12_000)
    device.pass_time(10)
    assert device.read_bytes <= BURST_BYTES
    assert len(device.broker.wishes) == 5
    device.pass_time(300)
    assert device.read_bytes <= BURST_BYTES + 11 * 16 * 1024, "a page in each half minute"
    device.pass_time(900)
    assert len({data for _, data in device.heard}) == 40
    assert len(device.broker.wishes) == 40


def test_what_trust_roots_retain_comes_first_and_leaves_less_room(device: Device) -> None:
    device.broker.pages = digest(10)
    device.reading.spent(BURST_BYTES, device.now)
    device.pass_time(29)
    assert device.broker.wishes == []
    device.pass_time(3)
    assert device.broker.wishes == [f"{CELL}/digest/0"]


def test_a_line_that_breaks_again_and_again_brings_every_page_in_the_end(device: Device) -> None:
    device.broker.pages = digest(40, 12_000)
    for _ in range(60):
        device.pass_time(70)
        device.reading.disconnected()
        device.broker.reading.clear()
        device.pass_time(5)
        device.reading.connected(device.now)
    assert len({data for _, data in device.heard}) == 40
    assert device.broker.wishes.count(f"{CELL}/digest/0") == 60, "the newest come first each time"


def test_a_reading_that_is_due_again_does_not_begin_before_the_last_page_of_the_one_before(device: Device) -> None:
    device.broker.pages = digest(40, 12_000)
    device.pass_time(1200, lambda: device.reading.again(device.now))
    assert len({data for _, data in device.heard}) == 40


def test_a_cell_without_a_digest_is_read_as_the_broker_retains_it(device: Device) -> None:
    device.pass_time(10)
    assert device.broker.wishes == [f"{CELL}/digest/0", f"{CELL}/+/+/+"]
    assert device.broker.reading == {FILTER}
    device.broker.reading.clear()
    device.reading.again(device.now)
    device.pass_time(10)
    assert len(device.broker.wishes) == 4


def test_a_digest_that_becomes_shorter_ends_the_round(device: Device) -> None:
    device.broker.pages = digest(40, 12_000)
    device.pass_time(10)
    device.broker.pages = digest(10)
    device.pass_time(100)
    wishes = len(device.broker.wishes)
    device.pass_time(1000)
    assert len(device.broker.wishes) == wishes
    device.reading.again(device.now)
    device.pass_time(10)
    assert device.broker.wishes[wishes:] == [f"{CELL}/digest/{number}" for number in range(3)]


@pytest.mark.parametrize("place", [0, 1])
def test_a_page_that_is_none_costs_that_page_only(device: Device, place: int) -> None:
    device.broker.pages = digest(10)
    device.broker.pages[place] = b"nothing\n"
    device.pass_time(10)
    assert len(device.heard) == (0, 6)[place]
    device.broker.pages = digest(10)
    device.reading.again(device.now)
    device.pass_time(10)
    assert len({data for _, data in device.heard}) == 10


def test_messages_of_a_page_are_handed_over_at_twenty_a_second(device: Device) -> None:
    device.broker.pages = [write_page(1, [(f"requests/r-{number}/0", b"x" * 100) for number in range(60)])]
    device.pass_time(1.5)
    assert 0 < len(device.heard) <= 31
    device.pass_time(5)
    assert len(device.heard) == 60


def test_a_device_that_was_moved_reads_the_digest_of_its_new_cell(device: Device) -> None:
    device.broker.pages = digest(40, 12_000)
    device.pass_time(2)
    device.reading.move(NEXT_FILTER, device.now)
    heard = len(device.heard)
    device.pass_time(60)
    assert {topic.split("/")[3] for topic, _ in device.heard[heard:]} == {"288-379"}
    device.reading.move(None, device.now)
    wishes = len(device.broker.wishes)
    device.pass_time(100)
    assert device.broker.wishes[wishes:] == []
    assert device.broker.reading == set()


def test_a_device_that_is_moved_while_its_link_is_down_asks_for_nothing(device: Device) -> None:
    device.pass_time(1.1)
    device.reading.disconnected()
    device.broker.reading.clear()
    wishes = list(device.broker.wishes)
    device.reading.move(NEXT_FILTER, device.now)
    device.reading.again(device.now)
    device.pass_time(50)
    assert device.broker.wishes == wishes
    device.reading.connected(device.now)
    device.pass_time(2)
    assert device.broker.wishes[-1] == "288-379/digest/0"


def test_a_device_that_was_never_connected_asks_for_nothing() -> None:
    device = Device(Broker())
    device.reading.again(device.now)
    device.reading.move(NEXT_FILTER, device.now)
    device.pass_time(5)
    assert device.broker.wishes == []


def test_a_page_that_was_not_asked_for_is_no_page(device: Device) -> None:
    device.pass_time(0.5)
    assert not device.reading.take(in_cell(FILTER, "digest/0"), write_page(1, []), device.now)


def test_a_broker_that_never_answers_a_subscription_is_as_one_without_a_digest() -> None:
    broker = Broker()
    reading = CellReading(broker, FILTER, lambda low, _: low)  # type: ignore[arg-type]
    reading.connected(BootNs(0))
    for at_s in (1, 2, 60, 61):
        reading.turn(BootNs(at_s * 10**9))
    assert broker.wishes == [f"{CELL}/digest/0", f"{CELL}/+/+/+"]


def busy_until_page(device: Device, late_s: float) -> None:
    """The broker answers the subscription at once, and its page waits behind a flood on a line that is full."""
    device.broker.reading.clear()
    asked_s = device.now_s
    while device.now_s < asked_s + late_s:
        device.now_s += 0.5
        device.reading.turn(device.now)
        for topic in device.broker.reading:
            device.reading.subscribed(topic, device.now)
        device.reading.heard(device.now)


def test_a_page_that_waits_behind_a_flood_is_waited_for(device: Device) -> None:
    """Otherwise a requester who fills the line makes a doorbell read all that its broker retains, without a bound."""
    device.broker.pages = digest(10)
    busy_until_page(device, 15)
    assert device.broker.wishes == [f"{CELL}/digest/0"]
    device.pass_time(20)
    assert device.broker.wishes == [f"{CELL}/digest/{number}" for number in range(3)]


def test_a_line_that_is_full_for_minutes_makes_no_doorbell_read_more_once_it_has_read_a_digest(device: Device) -> None:
    device.broker.pages = digest(10)
    device.pass_time(20)
    device.reading.disconnected()
    device.broker.reading.clear()
    device.reading.connected(device.now)
    device.now_s += 2
    busy_until_page(device, 300)
    assert set(device.broker.wishes) == {f"{CELL}/digest/{number}" for number in range(3)}
    device.pass_time(60)
    assert len(device.heard) == 20, "and it reads the digest again, once the line is free"


def test_a_digest_that_has_ended_is_noticed_on_a_free_line(device: Device) -> None:
    device.broker.pages = digest(10)
    device.pass_time(20)
    device.broker.pages = []
    device.reading.again(device.now)
    device.pass_time(10)
    assert device.broker.wishes[-1] == f"{CELL}/+/+/+"
