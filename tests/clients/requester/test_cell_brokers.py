"""One bus over the brokers of several cells: what goes where, and what a broker that is away delays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.clients.requester import cell_brokers
from agent.clients.requester.cell_brokers import CellBrokers, _worse
from agent.clients.requester.publisher import PublishQueue
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    BusEvent,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    PublishResult,
    Subscribed,
)
from agent.errors import ConfigurationError, DoorwardError, InternalError, StorageError
from agent.mqtt import MqttBus
from agent.ports import Bus
from agent.wire.broker_directory import BrokerAddress, CellBroker, CellRange
from tests.brokers import BrokerWithClients, broker_with_clients
from tests.fake_bus import FakeBroker, FakeBus
from tests.wire import samples

REQUESTER, DEVICE = "harbour-police", "a1" * 8
NORTH, SOUTH, AWAY = (BrokerAddress(name, 8884) for name in ("north.example", "south.example", "away.example"))
IN_NORTH, IN_SOUTH, IN_BOTH, IN_NONE = "300-375", "280-375", "290-375", "100-100"
RECEIPT = f"doorward/v1/receipts/{DEVICE}/{'0d' * 16}"
UPLOAD = f"doorward/v1/up/{REQUESTER}/{DEVICE}/{'0d' * 16}-0/init"
PATIENCE_S = 30.0


def broker(address: BrokerAddress, *cells: str) -> CellBroker:
    ranges = tuple(CellRange(south_west=cell, north_east=cell) for cell in cells)
    return CellBroker(host=address.host, port=address.port, cells=ranges)


def directory_of(north: BrokerAddress, south: BrokerAddress) -> samples.BrokerDirectory:
    return samples.directory(brokers=(broker(north, IN_NORTH, IN_BOTH), broker(south, IN_SOUTH, IN_BOTH)))


def request(cell: str, slot: int = 0) -> str:
    return f"doorward/v1/areas/{cell}/requests/{REQUESTER}/{slot}"


class TwoBrokers:
    """Two brokers in memory, and a requester that is connected to both."""

    def __init__(self) -> None:
        self.brokers = {NORTH: FakeBroker(), SOUTH: FakeBroker()}
        self.bus = CellBrokers(
            directory_of(NORTH, SOUTH), (NORTH, SOUTH), lambda at, _told: FakeBus(self.brokers[at], REQUESTER)
        )
        self.bus.start()

    def device_at(self, address: BrokerAddress) -> FakeBus:
        device = FakeBus(self.brokers[address], DEVICE)
        device.start()
        return device

    def retained_at(self, address: BrokerAddress) -> set[str]:
        return set(self.brokers[address].retained)

    def answers(self) -> list[BusEvent]:
        found = []
        while (event := self.bus.next_event(0)) is not None:
            if isinstance(event, PublishResult):
                found.append(event)
        return found


@pytest.fixture
def two() -> Iterator[TwoBrokers]:
    world = TwoBrokers()
    world.answers()  # both connections are told
    try:
        yield world
    finally:
        world.bus.stop()


def test_a_request_goes_to_the_broker_of_its_cell_only(two: TwoBrokers) -> None:
    assert two.bus.publish(request(IN_NORTH), b"request", token=5, retain=True)
    assert (two.retained_at(NORTH), two.retained_at(SOUTH)) == ({request(IN_NORTH)}, set())
    assert two.answers() == [PublishAcknowledged(5, heard=False)]


def test_a_request_for_a_split_cell_goes_to_both_and_counts_once_both_have_it(two: TwoBrokers) -> None:
    two.brokers[SOUTH].freeze()
    assert two.bus.publish(request(IN_BOTH), b"request", token=5, retain=True)
    assert two.answers() == [], "one of the two has not answered"
    two.brokers[SOUTH].kill()
    assert two.answers() == [PublishLost(5)]
    two.brokers[SOUTH].start()
    assert two.answers() == []
    assert two.bus.publish(request(IN_BOTH), b"request", token=5, retain=True)
    assert two.retained_at(NORTH) == two.retained_at(SOUTH) == {request(IN_BOTH)}
    assert two.answers() == [PublishAcknowledged(5, heard=False)]


def test_a_message_for_a_broker_that_is_away_is_not_sent_to_the_others_with_each_try(two: TwoBrokers) -> None:
    two.brokers[SOUTH].kill()
    two.answers()
    queue = PublishQueue(two.bus)
    queue.put(request(IN_BOTH), b"request", retain=True)
    queue.put(RECEIPT, b"receipt")
    for _ in range(5):
        queue.pump()
    assert two.brokers[NORTH].published == []
    two.brokers[SOUTH].start()
    two.answers()
    queue.pump()
    assert [topic for _, topic, _ in two.brokers[NORTH].published] == [request(IN_BOTH), RECEIPT]


@pytest.mark.parametrize("topic", [request(IN_BOTH), RECEIPT])
def test_a_message_waits_ten_seconds_for_a_broker_that_is_away_and_then_goes_to_the_others(
    two: TwoBrokers, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doorbells of the other broker of a split cell must not wait for an outage of days."""
    now_s = time.monotonic()
    monkeypatch.setattr(cell_brokers, "time", SimpleNamespace(monotonic=lambda: now_s))
    two.brokers[SOUTH].kill()
    two.answers()
    for seconds in (0.0, 9.0):
        now_s += seconds
        assert not two.bus.publish(topic, b"message", token=5, retain=True)
    two.answers()  # a further failed attempt does not begin the time again
    now_s += 1.5
    assert two.bus.publish(topic, b"message", token=5, retain=True)
    lacking = (str(SOUTH),) if topic != RECEIPT else ()
    assert two.answers() == [PublishAcknowledged(5, heard=False, lacking=lacking)]
    assert (two.retained_at(NORTH), two.retained_at(SOUTH)) == ({topic}, set())
    two.brokers[SOUTH].start()
    two.answers()
    assert two.bus.publish(topic, b"message", token=6, retain=True)
    assert two.retained_at(SOUTH) == {topic}, "a broker that is back gets each message"
    two.brokers[SOUTH].kill()
    two.answers()
    assert not two.bus.publish(topic, b"message", token=7), "a second outage has its own ten seconds"


def test_a_message_waits_as_long_as_no_broker_of_its_cell_is_connected(
    two: TwoBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.monotonic()
    monkeypatch.setattr(cell_brokers, "time", SimpleNamespace(monotonic=lambda: now_s))
    for each in two.brokers.values():
        each.kill()
    two.answers()
    now_s += 3600.0
    assert not two.bus.publish(request(IN_BOTH), b"request", token=5, retain=True)


def test_one_broker_that_refuses_makes_the_whole_message_refused(two: TwoBrokers) -> None:
    two.brokers[SOUTH].may = lambda *_: False  # type: ignore[method-assign]
    assert two.bus.publish(request(IN_BOTH), b"request", token=5)
    [refused] = two.answers()
    assert isinstance(refused, PublishRefused)
    assert (refused.token, refused.code) == (5, 0x87)


def test_a_cell_without_a_broker_is_refused_with_the_reason(two: TwoBrokers) -> None:
    assert two.bus.publish(request(IN_NONE), b"request", token=5)
    assert two.answers() == [PublishRefused(5, 0x90, "no broker of the directory serves this cell")]


def test_a_receipt_goes_where_the_upload_came_from(two: TwoBrokers) -> None:
    two.bus.subscribe(f"doorward/v1/up/{REQUESTER}/#")
    devices = {address: two.device_at(address) for address in (NORTH, SOUTH)}
    assert devices[SOUTH].publish(UPLOAD, b"init", token=1)
    while not isinstance(two.bus.next_event(1), MessageReceived):
        pass
    assert two.bus.publish(RECEIPT, b"receipt", token=1)
    heard = {at: [topic for name, topic, _ in each.published if name == REQUESTER] for at, each in two.brokers.items()}
    assert heard == {NORTH: [], SOUTH: [RECEIPT]}


def test_a_receipt_for_a_doorbell_that_has_sent_nothing_yet_goes_to_all(two: TwoBrokers) -> None:
    assert two.bus.publish(RECEIPT, b"receipt", token=1)
    assert all((REQUESTER, RECEIPT, b"receipt") in each.published for each in two.brokers.values())
    assert two.answers() == [PublishAcknowledged(1, heard=False)]


def test_the_doorbell_that_was_silent_longest_is_forgotten_first(
    two: TwoBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.clients.requester.cell_brokers._MOST_DEVICES", 2)
    two.bus.subscribe(f"doorward/v1/up/{REQUESTER}/#")
    devices = {name: FakeBus(two.brokers[SOUTH], name * 8) for name in ("1a", "2b", "3c")}
    for device in devices.values():
        device.start()
    for number, name in enumerate(("1a", "2b", "1a", "3c")):
        assert devices[name].publish(UPLOAD.replace(DEVICE, name * 8), b"init", token=number)
        while not isinstance(two.bus.next_event(1), MessageReceived):
            pass
    lanes = {name: two.bus.lane(RECEIPT.replace(DEVICE, name * 8)) for name in devices}
    everywhere = f"{NORTH} {SOUTH}"
    assert lanes == {"1a": str(SOUTH), "2b": everywhere, "3c": str(SOUTH)}


def test_a_broker_that_is_away_delays_only_what_is_for_its_cells(two: TwoBrokers) -> None:
    two.brokers[SOUTH].kill()
    queue, done = PublishQueue(two.bus), []
    for number, cell in enumerate((IN_SOUTH, IN_BOTH, IN_NORTH, IN_SOUTH)):
        topic = request(cell, number)
        queue.put(topic, b"x", retain=True, done=lambda _, topic=topic: done.append(topic))
    queue.pump()
    for event in two.answers():
        queue.settled(event)
    assert done == [request(IN_NORTH, 2)]
    two.brokers[SOUTH].start()
    two.answers()
    queue.pump()
    for event in two.answers():
        queue.settled(event)
    assert set(done) == {request(IN_SOUTH, 0), request(IN_BOTH, 1), request(IN_NORTH, 2), request(IN_SOUTH, 3)}


def test_the_end_of_one_link_says_how_many_others_stay(two: TwoBrokers) -> None:
    two.brokers[NORTH].kill()
    first = two.bus.next_event(1)
    two.brokers[SOUTH].kill()
    last = two.bus.next_event(1)
    assert isinstance(first, BusDisconnected)
    assert isinstance(last, BusDisconnected)
    assert (first.others, last.others) == (1, 0)


def test_a_busy_broker_does_not_hide_the_other_one(two: TwoBrokers) -> None:
    two.bus.subscribe(f"doorward/v1/up/{REQUESTER}/#")
    for address, times in ((NORTH, 10), (SOUTH, 1)):
        device = two.device_at(address)
        for number in range(times):
            assert device.publish(UPLOAD, address.host.encode(), token=number)
    came = []
    while len(came) < 4:
        event = two.bus.next_event(1)
        if isinstance(event, MessageReceived):
            came.append(event.payload.decode())
    assert SOUTH.host in came


def test_a_broker_of_the_directory_that_is_not_connected_gets_nothing() -> None:
    broker = FakeBroker()
    bus = CellBrokers(directory_of(NORTH, SOUTH), (NORTH,), lambda *_: FakeBus(broker, REQUESTER))
    bus.start()
    assert bus.lane(request(IN_BOTH)) == bus.lane(request(IN_NORTH)) == str(NORTH)
    assert bus.lane(request(IN_SOUTH)) == ""
    bus.stop()


class Certificates:
    """Two brokers in memory. That of the south has no certificate yet, or none that a connection starts with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, at_start: bool) -> None:
        self.brokers, self.is_there, self.now_s = {NORTH: FakeBroker(), SOUTH: FakeBroker()}, False, 100.0
        self.stopped: list[FakeBus] = []
        self.links: dict[BrokerAddress, FakeBus] = {}
        self.hurried: list[tuple[BrokerAddress, bool]] = []
        self.error: DoorwardError = ConfigurationError("There is no certificate.", remedy="Make a signing request.")
        monkeypatch.setattr(cell_brokers, "time", SimpleNamespace(monotonic=lambda: self.now_s))

        def connect(at: BrokerAddress, _told: object) -> FakeBus:
            if at == SOUTH and not at_start:
                self.require()
            link = self.links[at] = FakeBus(self.brokers[at], REQUESTER)
            monkeypatch.setattr(link, "hurry", lambda pending: self.hurried.append((at, pending)))
            if at == SOUTH and at_start:
                start = link.start
                monkeypatch.setattr(link, "start", lambda: (self.require(), start()))
                monkeypatch.setattr(link, "stop", lambda: self.stopped.append(link))
            return link

        self.connect = connect
        self.bus = CellBrokers(directory_of(NORTH, SOUTH), (NORTH, SOUTH), connect)
        self.bus.start()

    def require(self) -> None:
        if not self.is_there:
            raise self.error

    def events(self) -> list[BusEvent]:
        return list(iter(lambda: self.bus.next_event(0), None))


@pytest.fixture(params=[False, True], ids=["unmade", "unstarted"])
def certificates(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    return Certificates(monkeypatch, at_start=request.param)


def test_a_broker_without_a_certificate_is_left_out_and_told_after_each_connection(certificates: Certificates) -> None:
    for _ in range(2):
        told = [each for each in certificates.events() if not isinstance(each, Subscribed)]
        assert isinstance(told[0], BusConnected)
        [away] = told[1:]
        assert isinstance(away, BusDisconnected)
        assert away.others == 1, "a receiver goes on"
        assert str(away.error) == (
            "The broker south.example:8884 is left out: There is no certificate. Make a signing request."
        )
        certificates.brokers[NORTH].kill()
        assert [type(each) for each in certificates.events()] == [BusDisconnected]
        certificates.brokers[NORTH].start()


def test_a_message_waits_for_a_broker_that_is_left_out_only_if_no_other_one_serves_its_cell(
    certificates: Certificates,
) -> None:
    bus = certificates.bus
    assert bus.publish(request(IN_NORTH), b"request", token=1, retain=True)
    assert bus.publish(request(IN_BOTH), b"request", token=2, retain=True)
    assert bus.publish(RECEIPT, b"receipt", token=3)
    assert not bus.publish(request(IN_SOUTH), b"request", token=4, retain=True)
    assert bus.lane(request(IN_SOUTH)) == str(SOUTH) != bus.lane(request(IN_BOTH)) == str(NORTH)
    lacking = {each.token: each.lacking for each in certificates.events() if isinstance(each, PublishAcknowledged)}
    assert lacking == {1: (), 2: (str(SOUTH),), 3: ()}, "it gets the request of both cells once it is there"


def test_a_broker_whose_certificate_comes_later_is_taken_in_with_all_subscriptions(certificates: Certificates) -> None:
    bus = certificates.bus
    bus.subscribe("doorward/v1/up/#", retained=False)
    bus.subscribe("gone/#")
    bus.unsubscribe("gone/#")
    bus.hurry(True)
    assert not bus.publish(request(IN_SOUTH), b"request", token=4, retain=True)
    certificates.is_there = True
    certificates.now_s += 9
    certificates.events()
    assert not bus.publish(request(IN_SOUTH), b"request", token=4, retain=True), "it is tried every ten seconds"
    certificates.now_s += 1
    assert any(isinstance(each, BusConnected) for each in certificates.events())
    assert certificates.links[SOUTH]._filters == {"doorward/v1/up/#": False}
    assert certificates.hurried[-1] == (SOUTH, True)
    assert bus.publish(request(IN_SOUTH), b"request", token=4, retain=True)
    assert set(certificates.brokers[SOUTH].retained) == {request(IN_SOUTH)}
    device = FakeBus(certificates.brokers[SOUTH], DEVICE)
    device.start()
    assert device.publish(UPLOAD, b"init", token=1)
    [came] = [each for each in certificates.events() if isinstance(each, MessageReceived)]
    assert came.source == str(SOUTH)
    assert not any(isinstance(each, BusDisconnected) for each in certificates.events())


def test_a_broker_that_is_taken_in_while_another_thread_stops_the_bus_is_stopped_too(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, connect = certificates.bus, certificates.bus._connect

    def stopped_meanwhile(address: BrokerAddress, told: Callable[[], None]) -> Bus:
        bus.stop()
        return connect(address, told)

    monkeypatch.setattr(bus, "_connect", stopped_meanwhile)
    certificates.is_there = True
    certificates.now_s += 10
    certificates.events()
    link = certificates.links[SOUTH]
    assert link._stopped or link in certificates.stopped


def test_a_certificate_that_this_user_may_not_read_leaves_its_broker_out_too(certificates: Certificates) -> None:
    """For example one that root has copied into the folder while the receiver runs."""
    certificates.events()
    certificates.error = StorageError("south.example/certificate.pem: Permission denied.", remedy="Check who owns it.")
    certificates.now_s += 10
    assert certificates.events() == []
    certificates.brokers[NORTH].kill()
    certificates.brokers[NORTH].start()
    [said] = [each for each in certificates.events() if isinstance(each, BusDisconnected) and each.others]
    assert "Permission denied. Check who owns it." in str(said.error)
    certificates.is_there = True
    certificates.now_s += 10
    assert any(isinstance(each, BusConnected) for each in certificates.events())


@pytest.mark.parametrize("at_start", [False, True])
def test_if_no_broker_has_a_certificate_the_reason_is_raised(monkeypatch: pytest.MonkeyPatch, at_start: bool) -> None:
    certificates = Certificates(monkeypatch, at_start=at_start)
    reason = pytest.raises(ConfigurationError, match="There is no certificate")
    if at_start:
        bus = CellBrokers(directory_of(NORTH, SOUTH), (SOUTH,), certificates.connect)
        with reason:
            bus.start()
    else:
        with reason:
            CellBrokers(directory_of(NORTH, SOUTH), (SOUTH,), certificates.connect)


def test_a_broker_that_stays_without_a_certificate_keeps_no_other_one_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, there = 100.0, {NORTH}
    monkeypatch.setattr(cell_brokers, "time", SimpleNamespace(monotonic=lambda: now_s))

    def connect(at: BrokerAddress, _told: object) -> FakeBus:
        if at not in there:
            raise ConfigurationError("There is no certificate.", remedy="Make a signing request.")
        return FakeBus(FakeBroker(), REQUESTER)

    bus = CellBrokers(directory_of(NORTH, SOUTH), (AWAY, NORTH, SOUTH), connect)
    bus.start()
    there.add(SOUTH)
    now_s += 10
    while bus.next_event(0) is not None:
        pass
    assert str(SOUTH) in bus.lane(RECEIPT).split()
    bus.stop()


def test_a_topic_that_is_not_of_the_protocol_gets_the_answer_of_all_brokers(two: TwoBrokers) -> None:
    topic = "doorward/v1/other"
    assert two.bus.lane(topic) == f"{NORTH} {SOUTH}"
    assert two.bus.publish(topic, b"message", token=1, retain=True)
    assert two.answers() == [PublishRefused(1, 0x87, "Not authorized")]


def test_a_message_is_heard_if_a_client_of_any_broker_hears_it(two: TwoBrokers) -> None:
    device = two.device_at(NORTH)
    device.subscribe(f"doorward/v1/receipts/{DEVICE}/+")
    assert two.bus.publish(RECEIPT, b"receipt", token=1)
    assert two.answers() == [PublishAcknowledged(1, heard=True)]


ACKNOWLEDGED, HEARD = PublishAcknowledged(7, heard=False), PublishAcknowledged(7, heard=True)
REFUSED, REFUSED_LATER, LOST = PublishRefused(7, 0x87, "no"), PublishRefused(7, 0x95, "too large"), PublishLost(7)


@pytest.mark.parametrize(
    ("one", "other", "worse"),
    [
        (ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED),
        (ACKNOWLEDGED, HEARD, HEARD),
        (HEARD, ACKNOWLEDGED, HEARD),
        (ACKNOWLEDGED, LOST, LOST),
        (LOST, ACKNOWLEDGED, LOST),
        (LOST, REFUSED, REFUSED),
        (REFUSED, LOST, REFUSED),
        (REFUSED, ACKNOWLEDGED, REFUSED),
        (ACKNOWLEDGED, REFUSED, REFUSED),
        (REFUSED, REFUSED_LATER, REFUSED),
    ],
)
def test_a_refusal_counts_more_than_a_loss_and_a_loss_more_than_an_acknowledgement(
    one: PublishResult, other: PublishResult, worse: PublishResult
) -> None:
    assert _worse(one, other) == worse


def test_a_token_is_used_again_only_after_it_was_settled(two: TwoBrokers) -> None:
    two.brokers[SOUTH].freeze()
    assert two.bus.publish(request(IN_SOUTH), b"request", token=5)
    with pytest.raises(InternalError, match="Publication 5 is in flight already"):
        two.bus.publish(request(IN_NORTH), b"request", token=5)
    two.brokers[SOUTH].kill()
    assert two.answers() == [PublishLost(5)]
    for _ in range(2):
        assert two.bus.publish(request(IN_SOUTH), b"request", token=5) is False, "its broker is away"
    assert two.bus.publish(request(IN_NORTH), b"request", token=5) is True
    assert two.bus.publish(request(IN_NONE), b"request", token=6) is True


class Link:
    """A connection that notes what is asked of it and hands out these events, one a look."""

    def __init__(self) -> None:
        self.events: list[BusEvent | None] = []
        self.asked: list[object] = []
        self.dropped = 3

    def next_event(self, timeout_s: float, leave: object = None) -> BusEvent | None:
        self.asked.append(timeout_s)
        return self.events.pop(0) if self.events else None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values, **options: self.asked.append((name, values, options))


class TwoLinks:
    """A bus over two such connections, at a time that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.links = {NORTH: Link(), SOUTH: Link()}
        self.bus = CellBrokers(directory_of(NORTH, SOUTH), (NORTH, SOUTH), lambda at, _told: self.links[at])  # type: ignore[arg-type, return-value]
        monkeypatch.setattr(cell_brokers, "time", SimpleNamespace(monotonic=lambda: 100.0))
        self.waits: list[float] = []
        self.cleared = 0

    def count_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(self.bus._news, "wait", self.waits.append)
        monkeypatch.setattr(self.bus._news, "clear", self._count)

    def _count(self) -> None:
        self.cleared += 1


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> TwoLinks:
    return TwoLinks(monkeypatch)


def test_what_is_for_all_brokers_goes_to_each_connection(links: TwoLinks) -> None:
    links.bus.start()
    links.bus.subscribe("a/#", retained=False)
    links.bus.read_retained("b/#")
    links.bus.unsubscribe("a/#")
    links.bus.hurry(True)
    links.bus.stop()
    for link in links.links.values():
        assert link.asked == [
            ("start", (), {}),
            ("subscribe", ("a/#",), {"retained": False}),
            ("read_retained", ("b/#",), {}),
            ("unsubscribe", ("a/#",), {}),
            ("hurry", (True,), {}),
            ("stop", (), {}),
        ]
    assert links.bus.dropped == 6


def test_a_wait_for_an_event_looks_again_now_and_then_and_ends_with_its_time(
    links: TwoLinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    links.count_waits(monkeypatch)
    south, event = links.links[SOUTH], MessageReceived(UPLOAD, b"init")
    south.events = [None, event]
    assert links.bus.next_event(0) is None
    assert links.waits == []
    assert links.bus.next_event(0) == event
    south.events = [None, None, event]
    assert links.bus.next_event(1) == event
    assert links.waits == [0.2, 0.2], "at most this long, in case a connection does not call"
    assert links.cleared == 5, "before each look"
    south.events = [None, event]
    assert links.bus.next_event(0.125) == event
    assert links.waits[2:] == [0.125]
    assert set(south.asked) == {0}, "a look does not wait"
    links.bus.stop()
    assert links.bus.next_event(60) is None
    assert len(links.waits) == 3


def test_a_wait_ends_with_a_refusal_and_with_the_stop(links: TwoLinks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_brokers, "_LOOK_S", 600.0)
    found: list[BusEvent | None] = []
    looked = threading.Event()
    monkeypatch.setattr(links.links[SOUTH], "next_event", lambda _timeout_s, _leave: looked.set())

    def waiting(ends: Callable[[], object]) -> None:
        looked.clear()
        thread = threading.Thread(target=lambda: found.append(links.bus.next_event(600)), daemon=True)
        thread.start()
        assert looked.wait(PATIENCE_S)
        ends()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()

    waiting(lambda: links.bus.publish(request(IN_NONE), b"request", token=5))
    waiting(links.bus.stop)
    assert found == [PublishRefused(5, 0x90, "no broker of the directory serves this cell"), None]


def test_each_broker_that_has_an_event_gets_its_turn(links: TwoLinks) -> None:
    for address, link in links.links.items():
        link.events = [MessageReceived(f"{address.host}/{number}", b"") for number in range(3)]
    came = [links.bus.next_event(0) for _ in range(6)]
    assert {each.source: each.topic.split("/")[0] for each in came if isinstance(each, MessageReceived)} == {
        str(address): address.host for address in links.links
    }
    assert [each.topic for each in came if isinstance(each, MessageReceived)] == [
        f"{host}/{number}" for number in range(3) for host in (NORTH.host, SOUTH.host)
    ]


@pytest.mark.broker
def test_two_real_brokers_serve_one_requester_and_one_may_die(tmp_path: Path) -> None:
    with broker_with_clients(tmp_path / "north") as north, broker_with_clients(tmp_path / "south") as south:
        worlds = {BrokerAddress("127.0.0.1", each.broker.requester_port): each for each in (north, south)}
        first, second = worlds
        settings = {at: each.settings_of(REQUESTER) for at, each in worlds.items()}
        bus = CellBrokers(directory_of(first, second), (first, second), lambda at, told: MqttBus(settings[at], told))
        bus.hurry(True)
        bus.start()
        try:
            _wait_for(bus, BusConnected, 2)
            bus.subscribe(f"doorward/v1/up/{REQUESTER}/#")
            _both_answer(bus, worlds)
            south.broker.kill()
            _until(bus, lambda event: isinstance(event, BusDisconnected) and event.others == 1)
            assert bus.publish(request(IN_NORTH), b"request", token=1, retain=True)
            assert not bus.publish(request(IN_SOUTH), b"request", token=2, retain=True)
            _until(bus, lambda event: event == PublishAcknowledged(1, heard=False))
            south.broker.start()
            _until(bus, lambda event: isinstance(event, BusConnected))
            assert bus.publish(request(IN_SOUTH), b"request", token=2, retain=True)
            _until(bus, lambda event: isinstance(event, PublishAcknowledged) and event.token == 2)
        finally:
            bus.stop()


def _both_answer(bus: CellBrokers, worlds: dict[BrokerAddress, BrokerWithClients]) -> None:
    """A device at each broker sends something, and gets a receipt over the same one."""
    for number, world in enumerate(worlds.values()):
        name = f"{number}a" * 8
        device, receipt = world.bus(name), f"doorward/v1/receipts/{name}/{'0d' * 16}"
        device.hurry(True)
        device.start()
        device.subscribe(f"doorward/v1/receipts/{name}/+")
        _wait_for(device, BusConnected, 1)
        assert device.publish(UPLOAD.replace(DEVICE, name), b"init", token=1)
        _until(bus, lambda event: isinstance(event, MessageReceived))
        assert bus.publish(receipt, b"receipt", token=100 + number)
        _until(device, lambda event: isinstance(event, MessageReceived) and event.payload == b"receipt")


def _wait_for(bus: CellBrokers | object, kind: type[BusEvent], times: int) -> None:
    for _ in range(times):
        _until(bus, lambda event: isinstance(event, kind))


def _until(bus: object, is_it: Callable[[BusEvent], bool]) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_s:
        event = bus.next_event(0.5)  # type: ignore[attr-defined]
        if event is not None and is_it(event):
            return
    raise AssertionError("it never came")
