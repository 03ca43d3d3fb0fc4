"""A device reads of the packages of trust roots what it lacks, within a budget, and of all roots alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agent.core.timebase import BootNs
from agent.core.trust_chunks import TrustChunks
from agent.uplink.trust_reading import TRUST_BURST_BYTES, TrustReading
from agent.wire.topics import TrustIndexTopic, TrustTopic, parse_topic
from agent.wire.trust_package import MAX_CHUNK_BYTES, PublishedChunk, index_of, split_package

ROOT, OTHER, THIRD = ("ab" * 8, "cd" * 8, "ef" * 8)
PIECE_BYTES = MAX_CHUNK_BYTES + 512
KIB_PER_S = 1024


def package(bundle_bytes: int, *, roots: bytes = b"r" * 20_000, rest: bytes = b"", seed: int = 1) -> bytes:
    bundle = random.Random(seed).randbytes(bundle_bytes // 2).hex().encode()
    return b'{"bundle":"' + bundle + b'","roots":["' + roots + b'"],"timestamp":"' + rest + b't","v":1}'


@dataclass
class Broker:
    """The `Bus` as far as a reading uses it, with what roots have published."""

    retained: dict[str, bytes] = field(default_factory=dict)
    wishes: list[str] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    due: list[str] = field(default_factory=list)

    def read_retained(self, topic_filter: str) -> None:
        self.wishes.append(topic_filter.removeprefix("doorward/v1/trust/"))
        self.open.add(topic_filter)
        self.due.append(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        self.open.discard(topic_filter)

    def publish(self, root: str, data: bytes) -> None:
        self.retained |= {str(TrustTopic(root, slot)): chunk for slot, chunk in enumerate(split_package(data))}
        self.retained[str(TrustIndexTopic(root))] = index_of(data)


@dataclass
class Device:
    """A reading, a clock, and the packages that the custodian got."""

    broker: Broker = field(default_factory=Broker)
    read_bytes: int = 0
    now_s: float = 100.0
    times: dict[bytes, float] = field(default_factory=dict)
    """When each package came to the custodian first."""
    handed: int = 0

    hears_pieces: bool = False

    def __post_init__(self) -> None:
        self.reading = TrustReading(
            self.broker,  # type: ignore[arg-type]
            random.Random(7).uniform,
            hears_pieces=self.hears_pieces,
        )

    @property
    def now(self) -> BootNs:
        return BootNs(int(self.now_s * 1e9))

    def connect(self, indexes: bool = True) -> None:
        self.reading.disconnected()
        self.broker.open.clear()
        self.read_bytes = 0
        self.broker.wishes.clear()
        self.reading.connected(self.now)
        for topic in sorted(each for each in self.broker.retained if each.endswith("/index") and indexes):
            self.give(topic, self.broker.retained[topic])

    def ask_first(self) -> str:
        """Connects. Returns the topic of the first piece, once the broker has taken its subscription."""
        self.connect()
        self.reading.turn(self.now)
        (topic,) = self.broker.due
        self.broker.due.clear()
        self.reading.subscribed(topic, self.now)
        return topic

    def give(self, topic: str, data: bytes) -> None:
        self.read_bytes += len(topic) + len(data)
        self.reading.heard(self.now)
        chunks = self.reading.take(topic, data, self.now)
        assert chunks is not None
        self.hand_over(chunks)

    def hand_over(self, chunks: tuple[tuple[str, bytes], ...]) -> None:
        if chunks:
            self.handed += 1
            joined = TrustChunks()
            for name, chunk in chunks:
                where = parse_topic(name)
                assert isinstance(where, TrustTopic)
                joined.put(where, chunk, ())
            whole = joined.whole(where.root)
            if whole is not None:
                self.times.setdefault(whole, self.now_s)

    def pass_time(self, duration_s: float, each: Callable[[], None] = lambda: None) -> None:
        ends_s = self.now_s + duration_s
        while self.now_s < ends_s:
            deadline_ns = self.reading.deadline_ns(self.now)
            self.now_s = min(self.now_s + 0.5, max(self.now_s + 0.001, (deadline_ns or 1 << 62) / 1e9))
            each()
            self.hand_over(self.reading.turn(self.now))
            due, self.broker.due = self.broker.due, []
            for topic in (each for each in due if each in self.broker.open):
                self.reading.subscribed(topic, self.now)
                if topic in self.broker.retained:
                    self.give(topic, self.broker.retained[topic])


@pytest.fixture
def device() -> Device:
    return Device()


def test_a_new_doorbell_reads_a_package_piece_by_piece(device: Device) -> None:
    data = package(18_000)
    device.broker.publish(ROOT, data)
    device.connect()
    device.pass_time(10)
    assert device.broker.wishes == [f"{ROOT}/{slot}" for slot in range(5)], "two, two and one of three runs"
    assert list(device.times) == [data]
    assert device.broker.open == set(), "each subscription ends"


def test_at_a_reconnection_after_which_nothing_is_new_it_reads_the_index_alone(device: Device) -> None:
    device.broker.publish(ROOT, package(18_000))
    device.connect()
    device.pass_time(60)
    device.connect()
    device.pass_time(60)
    assert device.broker.wishes == []
    assert device.read_bytes < 600
    assert device.handed == 2, "the custodian may have been restarted"


def test_a_broker_that_comes_back_with_an_older_list_makes_no_doorbell_read_the_newer_one_again(
    device: Device,
) -> None:
    older, newer = package(18_000), package(18_200, seed=2)
    device.broker.publish(ROOT, newer)
    device.connect()
    device.pass_time(60)
    device.broker.publish(ROOT, older)
    device.connect()
    device.pass_time(2)
    assert device.broker.wishes, "it reads the older one"
    device.broker.publish(ROOT, newer)
    asked, began_s = len(device.broker.wishes), device.now_s
    device.times.clear()
    device.give(str(TrustIndexTopic(ROOT)), index_of(newer))
    assert device.times == {newer: began_s}
    device.pass_time(10)
    assert len(device.broker.wishes) == asked


def test_a_changed_list_is_read_without_the_root_files_and_a_new_timestamp_alone(device: Device) -> None:
    device.broker.publish(ROOT, package(18_000))
    device.connect()
    device.pass_time(60)
    changed = package(18_200, seed=2)
    device.broker.publish(ROOT, changed)
    device.connect()
    device.pass_time(10)
    assert device.broker.wishes == [f"{ROOT}/0", f"{ROOT}/1"]
    stamped = package(18_200, seed=2, rest=b"new")
    device.broker.publish(ROOT, stamped)
    device.connect()
    device.pass_time(10)
    assert device.broker.wishes == [f"{ROOT}/4"]
    assert list(device.times)[1:] == [changed, stamped]


def test_whatever_roots_publish_a_connection_reads_no_more_than_its_budget_and_the_rest_in_time(
    device: Device,
) -> None:
    data = [package(95_000), package(25_000, roots=b"", seed=2)]
    for root, each in zip((ROOT, OTHER), data, strict=True):
        device.broker.publish(root, each)
    device.connect()
    device.pass_time(8)
    assert TRUST_BURST_BYTES - PIECE_BYTES < device.read_bytes <= TRUST_BURST_BYTES + 8 * KIB_PER_S
    assert list(device.times) == data[1:], "the shorter one first"
    began_s = device.now_s
    device.pass_time(200)
    assert list(device.times) == data[::-1]
    assert device.times[data[0]] - began_s < sum(map(len, data)) / KIB_PER_S


def test_a_change_is_read_within_a_minute_also_right_after_the_budget_was_used_up(device: Device) -> None:
    device.broker.publish(ROOT, package(28_000))
    device.connect()
    device.pass_time(100)
    device.broker.publish(OTHER, package(90_000, seed=3))
    device.connect()
    device.pass_time(9)
    assert not device.reading.is_busy(), "there is no room now"
    revoked = package(44_000, seed=2)
    device.broker.publish(ROOT, revoked)
    device.give(str(TrustIndexTopic(ROOT)), index_of(revoked))
    began_s = device.now_s
    device.pass_time(60)
    assert device.times[revoked] - began_s <= 60


def test_a_root_that_publishes_all_the_time_delays_no_other_one(device: Device) -> None:
    quiet = package(20_000)
    device.broker.publish(ROOT, quiet)
    device.connect()
    seeds = iter(range(10, 10_000))

    def noise() -> None:
        data = package(14_000, roots=b"", seed=next(seeds))
        device.broker.publish(OTHER, data)
        device.give(str(TrustIndexTopic(OTHER)), index_of(data))

    device.pass_time(300, noise)
    revoked = package(40_000, seed=2)
    device.broker.publish(ROOT, revoked)
    device.give(str(TrustIndexTopic(ROOT)), index_of(revoked))
    began_s = device.now_s
    device.pass_time(60, noise)
    assert device.times[revoked] - began_s <= 60


def test_a_root_whose_indexes_name_pieces_that_do_not_exist_delays_no_other_one(device: Device) -> None:
    """An index of one piece has 150 bytes, and each wait for a missing piece takes three seconds and more."""
    device.broker.publish(ROOT, package(20_000))
    device.connect()
    device.pass_time(300)
    lies = iter(range(10_000))

    def lie() -> None:
        device.give(str(TrustIndexTopic(OTHER)), f"{next(lies):064x}\n{next(lies):064x} 1\n".encode())

    lie()
    revoked = package(40_000, seed=2)
    device.broker.publish(ROOT, revoked)
    device.give(str(TrustIndexTopic(ROOT)), index_of(revoked))
    began_s = device.now_s
    device.pass_time(60, lie)
    assert device.times[revoked] - began_s <= 60


def test_a_large_index_takes_of_the_budget(device: Device) -> None:
    """Junk is no index, and its bytes count."""
    device.broker.publish(ROOT, package(60_000))
    device.connect(indexes=False)
    assert device.reading.take(str(TrustIndexTopic(OTHER)), b"x" * 15_000, device.now) is None
    assert device.reading.take("doorward/v1/trust/none/0", b"x", device.now) is None
    device.give(str(TrustIndexTopic(ROOT)), index_of(package(60_000)))
    device.pass_time(8)
    assert device.read_bytes + 15_000 <= TRUST_BURST_BYTES + 8 * KIB_PER_S


def test_a_slot_without_its_piece_is_left_until_the_next_index(device: Device) -> None:
    old, new = package(18_000), package(18_000, seed=2)
    device.broker.publish(ROOT, old)
    index = index_of(new)
    device.connect(indexes=False)
    device.give(str(TrustIndexTopic(ROOT)), index)
    device.pass_time(8)
    assert device.broker.wishes == [f"{ROOT}/0"], "it is of another package"
    del device.broker.retained[str(TrustTopic(ROOT, 0))]
    device.give(str(TrustIndexTopic(ROOT)), index)
    device.pass_time(8)
    assert device.broker.wishes == [f"{ROOT}/0"] * 2, "and now it is gone"
    assert device.broker.open == set()
    device.broker.publish(ROOT, new)
    device.give(str(TrustIndexTopic(ROOT)), index)
    device.pass_time(8)
    assert list(device.times) == [new]


def test_a_piece_that_a_root_published_before_its_index_is_read_once(device: Device) -> None:
    old, new = package(18_000), package(18_000, seed=2)
    device.broker.publish(ROOT, new)
    device.connect(indexes=False)
    device.give(str(TrustIndexTopic(ROOT)), index_of(old))
    device.pass_time(5)
    assert device.broker.wishes == [f"{ROOT}/0"], "it is of the new list"
    device.give(str(TrustIndexTopic(ROOT)), index_of(new))
    device.pass_time(10)
    assert device.broker.wishes == [f"{ROOT}/{slot}" for slot in range(5)]
    assert list(device.times) == [new]


def test_a_slot_without_its_piece_is_asked_for_again_after_longer_and_longer_pauses(device: Device) -> None:
    data = package(18_000)
    device.broker.publish(ROOT, data)
    piece = device.broker.retained.pop(str(TrustTopic(ROOT, 0)))
    device.connect()
    device.pass_time(3600)
    assert device.broker.wishes == [f"{ROOT}/0"] * 11, "after 10 s, 20 s and so on, to ten minutes"
    device.broker.retained[str(TrustTopic(ROOT, 0))] = piece
    device.pass_time(601)
    assert list(device.times) == [data]


def test_a_process_that_stood_still_takes_what_came_meanwhile(device: Device) -> None:
    """It finds that the broker answered long ago, before it reads what came with the answer."""
    data = package(18_000)
    device.broker.publish(ROOT, data)
    topic = device.ask_first()
    device.now_s += 30
    device.reading.turn(device.now)
    assert topic in device.broker.open, "it reads its line first"
    device.give(topic, device.broker.retained[topic])
    device.pass_time(10)
    assert device.broker.wishes == [f"{ROOT}/{slot}" for slot in range(5)]
    assert list(device.times) == [data]


def test_on_a_slow_line_a_piece_that_was_given_up_is_taken_when_it_comes_and_the_next_one_asked_for(
    device: Device,
) -> None:
    """At 16 kbit/s a piece of 15 kB takes 8 s."""
    data = package(18_000)
    device.broker.publish(ROOT, data)
    device.connect()
    coming: list[tuple[float, str]] = []
    began_s = device.now_s

    def line() -> None:
        while coming and coming[0][0] <= device.now_s:
            topic = coming.pop(0)[1]
            device.give(topic, device.broker.retained[topic])
        coming.extend((device.now_s + 8, topic) for topic in device.broker.due)
        for topic in device.broker.due:
            device.reading.subscribed(topic, device.now)
        device.broker.due.clear()

    while device.now_s < began_s + 60:
        device.reading.turn(device.now)
        line()
        device.now_s += 0.1
    assert device.broker.wishes == [f"{ROOT}/{slot}" for slot in range(5)], "no piece is read twice"
    assert device.times.get(data, 1000.0) - began_s <= 45


def test_a_list_is_read_within_a_minute_although_a_broker_forgets_a_subscription(device: Device) -> None:
    data = package(18_000)
    device.broker.publish(ROOT, data)
    device.connect()
    device.reading.turn(device.now)
    device.broker.due.clear()
    began_s = device.now_s
    device.pass_time(60)
    assert device.times[data] - began_s <= 60


def test_a_piece_that_waits_behind_a_flood_is_not_given_up(device: Device) -> None:
    data = package(1_000, roots=b"")
    device.broker.publish(ROOT, data)
    topic = device.ask_first()
    device.pass_time(15, lambda: device.reading.heard(device.now))
    device.give(topic, device.broker.retained[topic])
    assert len(device.broker.wishes) == 1
    device.pass_time(5)
    assert list(device.times) == [data]


def test_a_line_that_breaks_reads_on_where_it_was(device: Device) -> None:
    data = package(60_000)
    device.broker.publish(ROOT, data)
    device.connect()
    device.pass_time(1.5)
    got = len(device.broker.wishes)
    assert 1 <= got < 5
    device.connect()
    device.pass_time(40)
    assert f"{ROOT}/0" not in device.broker.wishes
    assert list(device.times) == [data]
    device.reading.disconnected()
    device.broker.publish(OTHER, data)
    assert device.reading.deadline_ns(device.now) is None
    assert not device.reading.is_busy()


def test_the_same_index_again_and_again_gives_the_custodian_the_package_every_ten_seconds_at_most(
    device: Device,
) -> None:
    data = package(1_000)
    device.broker.publish(ROOT, data)
    device.connect()
    device.pass_time(10)
    assert device.handed == 1
    device.pass_time(20, lambda: device.give(str(TrustIndexTopic(ROOT)), index_of(data)))
    assert 2 <= device.handed <= 4


def test_a_root_that_changes_its_index_all_the_time_gives_the_custodian_three_packages_in_ten_seconds(
    device: Device,
) -> None:
    """An index has 300 bytes, and the package that it makes the uplink hand over up to 180 KiB."""
    data = package(18_000)
    device.broker.publish(ROOT, data)
    device.connect()
    device.pass_time(60)
    device.handed = 0
    index, names = index_of(data).partition(b"\n"), iter(range(10_000))
    device.pass_time(100, lambda: device.give(str(TrustIndexTopic(ROOT)), f"{next(names):064x}\n".encode() + index[2]))
    assert 10 <= device.handed <= 33
    began_s, newest = device.now_s, package(18_000, rest=b"new")
    device.broker.publish(ROOT, newest)
    device.give(str(TrustIndexTopic(ROOT)), index_of(newest))
    device.pass_time(20)
    assert device.times[newest] - began_s <= 15, "the newest one comes in any case"


def test_a_broker_with_endless_roots_fills_no_memory(device: Device) -> None:
    device.connect()
    for number in range(1_000):
        data = package(3_000, roots=b"", seed=number)
        device.broker.publish(f"{number:016x}", data)
        device.give(str(TrustIndexTopic(f"{number:016x}")), index_of(data))
    assert len(device.reading._roots) == 8
    device.pass_time(120)
    assert len(device.times) == 8, "the last ones"


def test_a_page_leaves_the_rest_of_the_common_budget(device: Device) -> None:
    device.broker.publish(ROOT, package(60_000))
    device.connect()
    device.reading.cap_budget(PIECE_BYTES + 100, device.now)
    device.pass_time(2)
    assert len(device.broker.wishes) == 1


def test_a_doorbell_that_is_connected_reads_the_largest_list_at_once_also_beside_pages(device: Device) -> None:
    device.connect()
    device.pass_time(120)
    device.reading.cap_budget(0, device.now)
    largest = package(95_000)
    device.broker.publish(ROOT, largest)
    device.give(str(TrustIndexTopic(ROOT)), index_of(largest))
    began_s = device.now_s
    device.pass_time(20)
    assert device.times[largest] - began_s < 10
    device.pass_time(3600)
    device.connect()
    assert device.reading._level <= TRUST_BURST_BYTES, "a new connection begins with less"


def test_a_piece_is_taken_as_it_hashes_whatever_its_line_says(device: Device) -> None:
    """The line names the package, so it changes with each one, and a piece need not."""
    data = package(1_000, roots=b"")
    device.broker.publish(ROOT, data)
    for slot, chunk in enumerate(split_package(data)):
        device.broker.retained[str(TrustTopic(ROOT, slot))] = b"0" * 64 + b" 9" + chunk[chunk.index(b"\n") :]
    device.connect()
    device.pass_time(10)
    assert list(device.times) == [data]


def hear(device: Device, root: str, data: bytes) -> None:
    """A node of a cluster passes on what is published at another one, and retains none of it."""
    for slot, chunk in enumerate(split_package(data)):
        device.give(str(TrustTopic(root, slot)), chunk)
    device.give(str(TrustIndexTopic(root)), index_of(data))


def test_a_doorbell_with_a_session_takes_pieces_as_they_are_published() -> None:
    device = Device(hears_pieces=True)
    device.connect()
    first, second = package(18_000), package(18_200, seed=2)
    hear(device, ROOT, first)
    assert list(device.times) == [first]
    device.pass_time(600)
    hear(device, ROOT, first)
    assert not device.reading._early, "what is held is not kept twice"
    hear(device, ROOT, second)
    assert list(device.times) == [first, second]
    assert device.broker.wishes == [], "no node would have them"


def test_a_doorbell_without_a_session_keeps_no_piece_that_it_did_not_ask_for(device: Device) -> None:
    device.connect()
    hear(device, ROOT, package(18_000))
    assert (device.times, device.reading._early) == ({}, {})


def test_pieces_that_no_index_names_fill_no_memory() -> None:
    device = Device(hears_pieces=True)
    device.connect()
    for number in range(1_000):
        for slot in range(12):
            topic = str(TrustTopic(f"{number:016x}", slot))
            device.give(topic, PublishedChunk("ab" * 32, 12, bytes([number % 256]) * 100).to_bytes())
    assert sum(len(each) for each in device.reading._early.values()) == 8 * 12
    last = f"{999:016x}"
    data = package(3_000, roots=b"")
    hear(device, last, data)
    assert list(device.times) == [data], "the newest piece of a slot counts"


def test_if_only_the_other_connection_ends_no_piece_stays_subscribed(device: Device) -> None:
    device.broker.publish(ROOT, package(18_000))
    device.connect()
    device.reading.turn(device.now)
    assert device.broker.open == {str(TrustTopic(ROOT, 0))}
    device.reading.disconnected()
    assert device.broker.open == set()
