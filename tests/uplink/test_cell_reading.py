"""A device reads what its broker retains page by page, within a budget, and reaches every page in the end."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agent.clients.broker.cell_digests import CellDigests
from agent.core.timebase import BootNs
from agent.uplink.cell_reading import BURST_BYTES, CellReading
from agent.wire.cell_digest import MAX_PAGE_BYTES, write_page
from agent.wire.topics import RequestTopic, cell_filter, in_cell, parse_topic

CELL = "287-379"
FILTER = cell_filter(CELL)
NEXT_FILTER = cell_filter("288-379")
PAGE_BYTES = MAX_PAGE_BYTES + 512


@dataclass
class Broker:
    """The `Bus` as far as a reading uses it, with the pages that a broker retains."""

    pages: list[bytes] = field(default_factory=list)
    wishes: list[str] = field(default_factory=list)
    reading: set[str] = field(default_factory=set)
    due: list[str] = field(default_factory=list)
    """Topics of `reading` under which something comes now: a retained page, or a newer one."""

    def read_retained(self, topic_filter: str) -> None:
        self.wishes.append(topic_filter.removeprefix("doorward/v1/areas/"))
        self.reading.add(topic_filter)
        self.due.append(topic_filter)

    def lay_out(self, pages: list[bytes]) -> None:
        self.pages = pages
        self.due += [in_cell(FILTER, f"digest/{number}") for number in range(len(pages))]

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
        due, self.broker.due = self.broker.due, []
        for topic in (each for each in due if each in self.broker.reading):
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
    assert len(device.broker.wishes) == 4, "and room for a newer page 0"
    device.pass_time(300)
    assert device.read_bytes <= BURST_BYTES + 11 * 16 * 1024, "a page in each half minute"
    device.pass_time(900)
    assert len({data for _, data in device.heard}) == 40
    assert len(device.broker.wishes) == 40


def test_a_message_that_the_digest_lacked_at_the_connection_is_read_within_a_minute(device: Device) -> None:
    """It was published just before the connection, and the service laid it out after the first look."""
    device.broker.lay_out(digest(10))
    device.pass_time(25)
    device.broker.lay_out(digest(11))
    device.pass_time(2)
    assert [data.split()[1] for _, data in device.heard if b" 10 " in data] == [b"10"]
    assert device.reading.look_again(device.now)
    device.pass_time(28)
    device.broker.lay_out(digest(12))
    device.pass_time(10)
    assert [data.split()[1] for _, data in device.heard if b" 11 " in data] == [b"11"], "also 55 s later"
    assert device.broker.wishes == [f"{CELL}/digest/{number}" for number in range(3)], "page 0 is asked for once"
    device.pass_time(10)
    assert device.broker.reading == set(), "after a minute it has what came late"


def test_newer_pages_come_only_while_the_budget_has_room(device: Device) -> None:
    """A requester could otherwise publish every few seconds, and make each doorbell that connects read that often."""
    device.broker.lay_out(digest(3))
    for number in range(3, 30):
        device.pass_time(1)
        device.broker.lay_out(digest(number, 5000))
    assert device.read_bytes <= BURST_BYTES + 16 * 1024
    assert device.broker.reading == set()


def test_a_newer_page_that_is_none_changes_nothing(device: Device) -> None:
    device.broker.lay_out(digest(3))
    device.pass_time(5)
    device.broker.lay_out([b"nothing\n"])
    device.pass_time(5)
    assert len(device.heard) == 3


def little_room(device: Device) -> None:
    """Packages of roots leave room for one page."""
    device.reading.spent(BURST_BYTES - PAGE_BYTES - 1000, device.now)


def test_a_message_that_came_late_is_read_within_a_minute_also_without_room_for_newer_pages(device: Device) -> None:
    little_room(device)
    device.broker.pages = digest(3)
    device.pass_time(25)
    device.broker.lay_out(digest(4))
    device.pass_time(5)
    assert len(device.heard) == 3
    assert device.reading.look_again(device.now)
    device.pass_time(25)
    assert [data.split()[1] for _, data in device.heard if b" 3 " in data] == [b"3"]
    assert device.broker.wishes == [f"{CELL}/digest/0"] * 2


def test_the_second_look_cuts_no_round_short(device: Device) -> None:
    little_room(device)
    device.broker.pages = digest(40, 12_000)
    device.pass_time(25)
    assert device.reading.look_again(device.now)
    device.pass_time(65)
    again = device.broker.wishes.index(f"{CELL}/digest/0", 1)
    assert again in (1, 2), "the first for which there is room again"
    assert device.broker.wishes[again + 1] == f"{CELL}/digest/{again}", "and then where it was"
    device.pass_time(1500)
    assert len(device.broker.wishes) == 41, "all others once"
    assert len({data for _, data in device.heard}) == 40


@pytest.mark.parametrize("package_bytes", [BURST_BYTES - PAGE_BYTES - 1000, BURST_BYTES - 2 * PAGE_BYTES, 0])
def test_older_pages_make_no_second_look_late(device: Device, package_bytes: int) -> None:
    """In the long run 113 doorbells had read an older page half a minute after the connection, and heard a new request
    only after a whole minute."""
    device.broker.pages = digest(40, 12_000)
    device.reading.spent(package_bytes, device.now)
    device.pass_time(40)
    asked = device.broker.wishes
    assert asked[0] == f"{CELL}/digest/0"
    assert len(asked) > 1, "an older one took the room"
    device.broker.lay_out(digest(41, 12_000))
    asked.clear()
    assert device.reading.look_again(device.now)
    device.pass_time(2)
    assert [data.split()[1] for _, data in device.heard if b" 40 " in data] == [b"40"]
    assert asked in ([f"{CELL}/digest/0"], []), "asked for, or followed"
    device.pass_time(600)
    within_budget = BURST_BYTES - package_bytes + 642 / 30 * PAGE_BYTES
    assert device.read_bytes <= within_budget + PAGE_BYTES, "one page more than the budget of a connection"


def test_a_second_look_of_one_connection_gives_no_room_to_the_next(device: Device) -> None:
    device.broker.pages = digest(3)
    device.pass_time(10)
    device.reading.spent(BURST_BYTES, device.now)
    device.reading.look_again(device.now)
    device.reading.disconnected()
    device.reading.connected(device.now)
    device.broker.wishes.clear()
    device.reading.spent(BURST_BYTES, device.now)
    device.pass_time(25)
    assert device.broker.wishes == [f"{CELL}/digest/0"], "the connection's own page, once"


def test_a_second_look_asks_at_once_for_a_first_page_that_was_missing(steps: Steps) -> None:
    """A broker and its digest service were killed, and packages came. Then a doorbell heard a request after 56 s."""
    steps.asks(at(6))
    steps.answer(0, write_page(1, []), 6)
    steps.reading.disconnected()
    steps.reading.connected(at(100))
    assert steps.asks(at(101)) == [f"{CELL}/digest/0"]
    steps.reading.subscribed(in_cell(FILTER, "digest/0"), at(101))
    for moment_s in range(102, 122):
        steps.reading.heard(at(moment_s))
        assert steps.asks(at(moment_s)) == []
    due_ns = steps.reading.deadline_ns(at(122))
    assert due_ns is not None
    assert due_ns > at(150), "half a minute after it was found missing"
    assert steps.reading.look_again(at(135))
    assert steps.asks(at(135)) == [f"{CELL}/digest/0"]


def test_a_second_look_waits_for_a_page_that_is_on_its_way_and_for_its_messages(device: Device) -> None:
    little_room(device)
    device.broker.pages = digest(3)
    device.now_s += 1.1
    assert device.reading.turn(device.now) is None
    assert device.broker.wishes == [f"{CELL}/digest/0"]
    assert not device.reading.look_again(device.now)
    device._answer()
    assert not device.reading.look_again(device.now)
    device.pass_time(10)
    assert device.reading.look_again(device.now)


def test_a_second_look_without_a_line_asks_for_nothing(device: Device) -> None:
    device.broker.pages = digest(3)
    device.pass_time(10)
    device.reading.disconnected()
    assert device.reading.look_again(device.now)
    device.pass_time(100)
    assert len(device.broker.wishes) == 1


def test_a_second_look_before_the_first_one_changes_nothing(device: Device) -> None:
    device.broker.pages = digest(10)
    assert device.reading.look_again(device.now)
    device.pass_time(10)
    assert device.broker.wishes == [f"{CELL}/digest/{number}" for number in range(3)]


def test_a_cell_without_a_digest_is_read_once_at_a_connection(device: Device) -> None:
    device.pass_time(20)
    assert device.reading.look_again(device.now)
    device.pass_time(100)
    assert device.broker.wishes == [f"{CELL}/digest/0", FILTER.removeprefix("doorward/v1/areas/")]


def test_while_packages_are_read_page_0_waits_for_five_seconds_and_older_pages_until_they_are_there(
    device: Device,
) -> None:
    device.broker.pages = digest(10)
    device.reading.hold(True)
    device.pass_time(4.2)
    assert device.broker.wishes == []
    deadline_ns = device.reading.deadline_ns(device.now)
    assert deadline_ns is not None
    assert deadline_ns > device.now, "it is no loop without a pause"
    device.pass_time(60)
    assert device.broker.wishes == [f"{CELL}/digest/0"], "a new doorbell may read packages for minutes"
    assert device.reading.deadline_ns(device.now) is None, "older pages wait for the last piece"
    device.reading.hold(False)
    device.pass_time(5)
    assert device.broker.wishes == [f"{CELL}/digest/{number}" for number in range(3)]
    device.reading.hold(True)
    device.reading.again(device.now)
    device.pass_time(2)
    assert device.broker.wishes[3:] == [f"{CELL}/digest/0"], "a round waits for nothing"


def test_what_is_left_of_the_budget_is_known(device: Device) -> None:
    device.broker.pages = digest(4)
    device.pass_time(3)
    assert BURST_BYTES - device.read_bytes <= device.reading.room_bytes <= BURST_BYTES


@pytest.mark.parametrize("package_bytes", [BURST_BYTES, 2 * BURST_BYTES])
def test_what_trust_roots_retain_comes_first_and_leaves_room_for_the_newest_requests_alone(
    device: Device, package_bytes: int
) -> None:
    """With a list of 3 000 agencies, a doorbell heard half a minute after each connection what was published before."""
    device.broker.pages = digest(40, 12_000)
    assert device.reading.turn(device.now) is None
    device.reading.spent(package_bytes, device.now)
    device.pass_time(2)
    assert device.broker.wishes == [f"{CELL}/digest/0"]
    device.pass_time(15)
    assert device.broker.wishes == [f"{CELL}/digest/0"]
    assert device.read_bytes <= PAGE_BYTES
    device.pass_time(15)
    assert device.broker.wishes == [f"{CELL}/digest/0", f"{CELL}/digest/1"]


def test_a_root_that_publishes_all_the_time_does_not_keep_a_doorbell_from_its_pages(device: Device) -> None:
    """The page of the connection and of each half minute is the requests' own."""
    device.broker.pages = digest(40, 12_000)
    device.pass_time(605, lambda: device.reading.spent(30_000, device.now))
    asked = len(device.broker.wishes)
    assert asked >= 18, "one in each half minute"
    assert device.read_bytes <= (1 + 605 / 30) * PAGE_BYTES
    device.pass_time(60)
    assert len(device.broker.wishes) - asked <= 3, "nothing was saved up for later"


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


# -- step by step ------------------------------------------------------------------------------------------------------

SECOND = 10**9
CELL_ITSELF = f"{CELL}/+/+/+"


class Steps:
    """A reading at moments that the test gives, in seconds. Chance takes the shortest time."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.reading = CellReading(self.broker, FILTER, lambda low, _high: low)  # type: ignore[arg-type]
        self.reading.connected(at(5))

    def asks(self, moment_ns: BootNs) -> list[str]:
        """The filters that a turn at this moment asks the broker for."""
        before = len(self.broker.wishes)
        assert self.reading.turn(moment_ns) is None
        return self.broker.wishes[before:]

    def answer(self, number: int, page: bytes, at_s: float, cell: str = FILTER) -> None:
        assert self.reading.take(in_cell(cell, f"digest/{number}"), page, at(at_s))

    def asked_in_turn(self, from_s: float, pages: int, bad: tuple[int, ...] = ()) -> list[str]:
        """The numbers of the pages that are asked for until the round ends. Each is answered at once."""
        found = []
        now_ns = at(from_s)
        while (deadline_ns := self.reading.deadline_ns(now_ns)) is not None:
            now_ns = BootNs(max(now_ns, deadline_ns))
            (wish,) = self.asks(now_ns)
            found.append(wish.rpartition("/")[2])
            number = int(found[-1])
            data = b"nothing\n" if number in bad else write_page(pages, [])
            self.answer(number, data, now_ns / SECOND)
        return found


def at(moment_s: float) -> BootNs:
    return BootNs(round(moment_s * SECOND))


@pytest.fixture
def steps() -> Steps:
    return Steps()


def test_the_first_page_is_asked_for_one_second_after_the_connection(steps: Steps) -> None:
    """Packages of trust roots come first."""
    assert steps.reading.deadline_ns(at(5)) == at(6)
    assert steps.asks(BootNs(at(6) - 1)) == []
    assert steps.asks(at(6)) == [f"{CELL}/digest/0"]
    assert steps.reading.deadline_ns(at(6)) == at(66)


def test_a_page_is_absent_two_seconds_after_the_answer_to_the_subscription_or_after_a_minute_without_one(
    steps: Steps,
) -> None:
    steps.asks(at(6))
    steps.reading.subscribed("another filter", at(6))
    assert steps.asks(BootNs(at(66) - 1)) == []
    steps.reading.subscribed(in_cell(FILTER, "digest/0"), at(7))
    assert steps.reading.deadline_ns(at(7)) == at(9)
    steps.reading.subscribed(in_cell(FILTER, "digest/0"), at(8))
    assert steps.asks(BootNs(at(9) - 1)) == []
    assert steps.asks(at(9)) == [CELL_ITSELF]
    assert steps.reading.deadline_ns(at(9)) is None
    unanswered = Steps()
    unanswered.asks(at(6))
    assert unanswered.asks(BootNs(at(66) - 1)) == []
    assert unanswered.asks(at(66)) == [CELL_ITSELF]


def test_a_page_waits_two_seconds_behind_each_other_message_and_twenty_at_most(steps: Steps) -> None:
    steps.asks(at(6))
    steps.reading.subscribed(in_cell(FILTER, "digest/0"), at(7))
    for heard_s, absent_s in ((6.5, 9), (8.5, 10.5), (10, 12), (24, 26), (25, 26)):
        steps.reading.heard(at(heard_s))
        assert steps.reading.deadline_ns(at(heard_s)) == at(absent_s)
    steps.reading.subscribed(in_cell(FILTER, "digest/0"), at(30))
    assert steps.asks(BootNs(at(26) - 1)) == []
    assert steps.asks(at(26)) == [CELL_ITSELF]


def test_pages_follow_each_other_after_a_moment_and_a_round_ends_after_the_last(steps: Steps) -> None:
    steps.asks(at(6))
    steps.answer(0, write_page(4, []), 7)
    assert steps.broker.reading == {in_cell(FILTER, "digest/0")}, "newer ones come"
    assert steps.reading.deadline_ns(at(7)) == at(7.2)
    assert steps.asked_in_turn(7, 4) == ["1", "2", "3"]
    steps.reading.again(at(20))
    assert steps.asked_in_turn(20, 4) == ["0", "1", "2", "3"]


def test_a_round_goes_on_behind_the_page_that_was_read_last_and_comes_round_to_the_first_ones(steps: Steps) -> None:
    steps.asks(at(6))
    steps.answer(0, write_page(4, []), 7)
    assert steps.asks(at(7.2)) == [f"{CELL}/digest/1"]
    steps.answer(1, write_page(4, []), 7.5)
    steps.reading.disconnected()
    assert steps.reading.deadline_ns(at(8)) is None
    steps.reading.connected(at(9))
    assert steps.asked_in_turn(9, 4) == ["0", "2", "3", "1"]
    steps.reading.again(at(300))
    assert steps.asked_in_turn(300, 2) == ["0", "1"], "the digest is shorter now"


@pytest.mark.parametrize(("bad", "asked"), [((0,), ["0"]), ((1,), ["0", "1", "2", "3"]), ((3,), ["0", "1", "2", "3"])])
def test_a_page_that_is_none_counts_as_one_of_its_round(steps: Steps, bad: tuple[int, ...], asked: list[str]) -> None:
    assert steps.asked_in_turn(5, 4, bad) == asked
    assert steps.reading.deadline_ns(at(100)) is None


def test_a_page_that_tells_of_fewer_pages_shortens_the_round(steps: Steps) -> None:
    steps.asks(at(6))
    steps.answer(0, write_page(9, []), 7)
    steps.asks(at(7.2))
    steps.answer(1, write_page(3, []), 8)
    assert steps.asked_in_turn(8, 3) == ["2", "1"]


def test_a_page_that_is_gone_ends_the_round_and_the_next_one_begins_at_the_first(steps: Steps) -> None:
    steps.asks(at(6))
    steps.answer(0, write_page(4, []), 7)
    steps.asks(at(7.2))
    steps.answer(1, write_page(4, []), 7.5)
    assert steps.asks(at(7.7)) == [f"{CELL}/digest/2"]
    steps.reading.subscribed(in_cell(FILTER, "digest/2"), at(8))
    assert steps.asks(at(10)) == [], "the cell itself is not read: it has a digest"
    assert steps.reading.deadline_ns(at(10)) is None
    steps.reading.again(at(20))
    assert steps.asked_in_turn(20, 4) == ["0", "1", "2", "3"]


def test_a_doorbell_that_was_moved_begins_with_the_first_page_of_its_new_cell(steps: Steps) -> None:
    steps.asks(at(6))
    steps.answer(0, write_page(4, []), 7)
    steps.asks(at(7.2))
    steps.answer(1, write_page(4, []), 7.5)
    steps.reading.move(NEXT_FILTER, at(8))
    assert steps.reading.deadline_ns(at(8)) == at(9)
    assert steps.asks(at(9)) == ["288-379/digest/0"]
    steps.answer(0, write_page(4, []), 10, NEXT_FILTER)
    assert steps.asks(at(10.2)) == ["288-379/digest/1"]


@pytest.mark.parametrize("missing", [0, 1, PAGE_BYTES, BURST_BYTES])
def test_a_page_is_asked_for_if_the_budget_has_room_for_the_largest_one(steps: Steps, missing: int) -> None:
    steps.reading.spent(BURST_BYTES - PAGE_BYTES + missing, at(6))
    assert steps.asks(at(6)) == [f"{CELL}/digest/0"], "the first page has room, whatever roots have published"
    page = write_page(3, [])
    steps.answer(0, page, 6)
    # It took of the share and of what was left beside the packages.
    share = PAGE_BYTES - len(page) - len(in_cell(FILTER, "digest/0"))
    steps.reading.spent(0, at(6))
    steps.reading.spent(BURST_BYTES, at(6))
    due_ns = steps.reading.deadline_ns(at(6))
    assert due_ns == at(6) + max(round(0.2 * SECOND), (PAGE_BYTES - share) * 30 * SECOND // PAGE_BYTES)
    assert steps.asks(BootNs(due_ns + 1)) == [f"{CELL}/digest/1"]


def test_the_budget_grows_by_a_page_in_half_a_minute_to_its_limit_and_never_falls_below_nothing(steps: Steps) -> None:
    steps.reading.spent(10 * BURST_BYTES, at(6))
    assert steps.asks(at(6)) == [f"{CELL}/digest/0"]
    page = write_page(3, [])
    steps.answer(0, page + b"." * (PAGE_BYTES - len(page) - len(in_cell(FILTER, "digest/0"))), 6)
    steps.reading.again(at(7))
    steps.reading.spent(10 * BURST_BYTES, at(7))
    assert steps.reading.deadline_ns(at(7)) == at(36)
    steps.reading.spent(0, at(21))
    assert steps.reading.deadline_ns(at(21)) == at(36)
    steps.reading.spent(0, at(100_000))
    steps.reading.spent(BURST_BYTES - PAGE_BYTES + 1, at(100_000))
    assert steps.asks(at(100_000)) == [f"{CELL}/digest/0"], "a page is kept for pages"
    steps.answer(0, b"." * MAX_PAGE_BYTES, 100_000)
    steps.reading.again(at(100_000))
    missing = MAX_PAGE_BYTES + len(in_cell(FILTER, "digest/0"))
    assert steps.reading.deadline_ns(at(100_000)) == at(100_000) + missing * 30 * SECOND // PAGE_BYTES


@pytest.mark.parametrize(("heard_s", "asked"), [(8.001, []), (8, [CELL_ITSELF])])
def test_on_a_full_line_a_digest_that_was_read_before_is_asked_for_again_in_half_a_minute(
    steps: Steps, heard_s: float, asked: list[str]
) -> None:
    assert steps.asked_in_turn(5, 1) == ["0"]
    steps.reading.again(at(7 - 1))
    steps.asks(at(7))
    steps.reading.heard(at(heard_s))
    steps.reading.subscribed(in_cell(FILTER, "digest/0"), at(8))
    assert steps.asks(at(10)) == asked
    assert steps.reading.deadline_ns(at(10)) == (None if asked else at(40))


def test_a_digest_that_has_ended_is_not_waited_for_on_a_full_line(steps: Steps) -> None:
    assert steps.asked_in_turn(5, 1) == ["0"]
    for begins_s in (20, 200):
        steps.reading.again(at(begins_s))
        assert steps.asks(at(begins_s + 1)) == [f"{CELL}/digest/0"]
        steps.reading.subscribed(in_cell(FILTER, "digest/0"), at(begins_s + 1))
        if begins_s == 200:
            steps.reading.heard(at(begins_s + 2))
        assert steps.asks(at(begins_s + 4)) == [CELL_ITSELF]
        steps.broker.reading.clear()


def test_messages_of_a_page_are_due_one_by_one_and_the_next_page_waits_for_them(steps: Steps) -> None:
    steps.asks(at(6))
    steps.answer(0, write_page(2, [(f"requests/r-{number}/0", b"x") for number in range(22)]), 6)
    topic = in_cell(FILTER, "requests/r-0/0")
    assert steps.reading.turn(at(6.3)) == (topic, b"x")
    for _ in range(19):
        assert steps.reading.turn(at(6.3)) is not None
    assert steps.reading.turn(at(6.3)) is None
    assert steps.reading.deadline_ns(at(6.3)) == at(6.35)
    assert [steps.reading.turn(at(moment_s)) is not None for moment_s in (6.35, 6.4)] == [True, True]
    assert steps.asks(at(6.4)) == [f"{CELL}/digest/1"]


def test_a_digest_of_the_cell_before_is_none_of_the_new_one(steps: Steps) -> None:
    """On a full line a doorbell waits for the digest of its cell only if it has read one there."""
    assert steps.asked_in_turn(5, 1) == ["0"]
    steps.reading.move(NEXT_FILTER, at(6))
    assert steps.asks(at(7)) == ["288-379/digest/0"]
    steps.reading.heard(at(8.001))
    steps.reading.subscribed(in_cell(NEXT_FILTER, "digest/0"), at(8))
    assert steps.asks(at(10)) == ["288-379/+/+/+"]
    assert steps.reading.deadline_ns(at(10)) is None


def test_a_page_of_the_cell_before_is_asked_for_no_longer(steps: Steps) -> None:
    steps.asks(at(6))
    assert steps.broker.reading == {in_cell(FILTER, "digest/0")}
    steps.reading.move(NEXT_FILTER, at(7))
    assert steps.broker.reading == set()
    assert not steps.reading.take(in_cell(FILTER, "digest/0"), write_page(1, []), at(7))
    assert steps.reading.deadline_ns(at(7)) == at(8)


def test_newer_pages_come_until_one_minute_after_the_connection(steps: Steps) -> None:
    assert steps.asked_in_turn(5, 1) == ["0"]
    assert steps.asks(BootNs(at(65) - 1)) == []
    assert steps.broker.reading == {in_cell(FILTER, "digest/0")}
    assert steps.asks(at(65)) == []
    assert steps.broker.reading == set()


def test_if_only_the_other_connection_ends_no_page_stays_subscribed(device: Device) -> None:
    """With a session, pages have a separate connection. If that stays, its broker forgets nothing."""
    device.broker.pages = digest(1)
    device.pass_time(1.2)
    assert device.broker.reading == {in_cell(FILTER, "digest/0")}, "newer pages come for a minute"
    device.reading.disconnected()
    assert device.broker.reading == set()
