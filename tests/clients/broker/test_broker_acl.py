"""The closed ACL of `config/mosquitto/` on a real mosquitto: what each role may do, and that it may do nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count

import pytest

from agent.clients.broker.broker_pki import DIGEST_CLIENT
from agent.core.bus import BusConnected, MessageReceived, PublishAcknowledged, PublishRefused, Subscribed
from agent.mqtt import MqttBus
from agent.wire.topics import BULLETIN_SLOTS, REQUEST_SLOTS, cell_filter
from tests.brokers import BrokerWithClients, broker_with_clients

pytestmark = pytest.mark.broker

DEVICE, NEIGHBOUR = "a1" * 8, "b2" * 8
POLICE, INSURER = "springfield-police", "shelbyville-insurance"
DISCLOSURE = "cd" * 16
PATIENCE_S = 60.0

REQUEST_TOPIC = f"doorward/v1/areas/283-375/requests/{POLICE}/0"
RECEIPT = f"doorward/v1/receipts/{DEVICE}/{DISCLOSURE}"

DIGEST = "doorward/v1/areas/283-375/digest/0"
BULLETIN = f"doorward/v1/areas/283-375/bulletins/{POLICE}/0"


def up(requester: str, device: str) -> str:
    return f"doorward/v1/up/{requester}/{device}/{DISCLOSURE}-0/init"


ALLOWED = [
    (DEVICE, up(POLICE, DEVICE)),
    (DEVICE, up(INSURER, DEVICE)),
    (POLICE, REQUEST_TOPIC),
    (POLICE, RECEIPT),
    (POLICE, BULLETIN),
    (DEVICE, f"doorward/v1/health/{DEVICE}"),
    (DIGEST_CLIENT, DIGEST),
    (DIGEST_CLIENT, "doorward/v1/areas/0-719/digest/9998"),
    (POLICE, f"doorward/v1/areas/0-719/requests/{POLICE}/{REQUEST_SLOTS - 1}"),
    (POLICE, f"doorward/v1/areas/0-719/bulletins/{POLICE}/{BULLETIN_SLOTS - 1}"),
]
FORBIDDEN = [
    (DEVICE, up(POLICE, NEIGHBOUR)),
    (DEVICE, f"doorward/v1/up/{POLICE}/{DEVICE}"),
    (DEVICE, f"{up(POLICE, DEVICE)}/deeper"),
    (DEVICE, REQUEST_TOPIC),
    (DEVICE, RECEIPT),
    (DEVICE, BULLETIN),
    (DEVICE, f"doorward/v1/areas/283-375/bulletins/{DEVICE}/0"),
    (DEVICE, f"doorward/v1/devices/{DEVICE}/camera"),
    (DEVICE, f"doorward/v1/health/{NEIGHBOUR}"),
    (DEVICE, "anything/else"),
    (POLICE, f"doorward/v1/health/{DEVICE}"),
    (DIGEST_CLIENT, f"doorward/v1/health/{DEVICE}"),
    (DEVICE, "$SYS/broker/uptime"),
    (DEVICE, DIGEST),
    (POLICE, DIGEST),
    (DIGEST_CLIENT, REQUEST_TOPIC),
    (DIGEST_CLIENT, BULLETIN),
    (DIGEST_CLIENT, REQUEST_TOPIC.replace(POLICE, DIGEST_CLIENT)),
    (DIGEST_CLIENT, RECEIPT),
    (DIGEST_CLIENT, up(POLICE, DEVICE)),
    (DIGEST_CLIENT, f"doorward/v1/trust/{'c3' * 8}/0"),
    (POLICE, up(POLICE, DEVICE)),
    (POLICE, up(INSURER, DEVICE)),
    (POLICE, up(POLICE, POLICE)),
    (POLICE, f"doorward/v1/areas/283-375/bulletins/{INSURER}/0"),
    (POLICE, f"doorward/v1/areas/283-375/bulletins/{POLICE}/{BULLETIN_SLOTS}"),
    (POLICE, f"doorward/v1/areas/283-375/requests/{POLICE}/{REQUEST_SLOTS}"),
    (POLICE, f"doorward/v1/areas/283-375/requests/{POLICE}/{'ef' * 16}"),
    (POLICE, f"doorward/v1/areas/283-375/requests/{POLICE}/00"),
    (POLICE, f"doorward/v1/bulletins/{POLICE}"),
    (POLICE, "doorward/v1/areas/283-375"),
    (POLICE, f"doorward/v1/areas/283-375/requests/{INSURER}/0"),
    (POLICE, "doorward/v1/areas/283-375/commands/0"),
    (POLICE, f"doorward/v1/devices/{DEVICE}/camera"),
    (POLICE, "anything/else"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerWithClients]:
    with broker_with_clients(tmp_path_factory.mktemp("broker")) as world:
        yield world


@pytest.fixture(scope="module")
def buses(world: BrokerWithClients) -> dict[str, MqttBus]:
    """One connected bus for each of the five, listening to everything it can think of."""
    found = {}
    for name in (DEVICE, NEIGHBOUR, POLICE, INSURER, DIGEST_CLIENT):
        bus = world.bus(name, inbound_beat_s=0.0)
        bus.hurry(True)
        bus.start()
        assert isinstance(bus.next_event(PATIENCE_S), BusConnected)
        for topic_filter in ("#", "doorward/v1/#", "+/+/+/+/+/+/+"):
            bus.subscribe(topic_filter)
            assert isinstance(bus.next_event(PATIENCE_S), Subscribed)
        found[name] = bus
    return found


TOKENS = count(1)


def answer(
    buses: dict[str, MqttBus], sender: str, topic: str, expected: Collection[str] = ()
) -> tuple[PublishAcknowledged | PublishRefused, set[str]]:
    """Returns the broker's answer and the receivers: waits for those `expected`, and listens to the others for a
    moment."""
    payload = str(next(TOKENS)).encode()
    assert buses[sender].publish(topic, payload, token=int(payload))
    answer, hearers = None, set()
    for name in sorted(buses, key=lambda name: name != sender):
        bus = buses[name]
        while True:
            waits = answer is None if name == sender else name in expected and name not in hearers
            event = bus.next_event(PATIENCE_S if waits else 0.05)
            if event is None:
                break
            if isinstance(event, PublishAcknowledged | PublishRefused):
                answer = event
            elif (
                isinstance(event, MessageReceived) and event.payload == payload and name != sender
            ):  # its own it may see
                hearers.add(name)
    assert answer is not None
    return answer, hearers


@pytest.mark.parametrize(("sender", "topic"), ALLOWED)
def test_what_a_role_needs_it_may_publish(sender: str, topic: str, buses: dict[str, MqttBus]) -> None:
    assert isinstance(answer(buses, sender, topic)[0], PublishAcknowledged)


@pytest.mark.parametrize(("sender", "topic"), FORBIDDEN)
def test_everything_else_is_refused_and_nobody_hears_it(sender: str, topic: str, buses: dict[str, MqttBus]) -> None:
    said, hearers = answer(buses, sender, topic)
    assert isinstance(said, PublishRefused)
    assert said.code == 0x87
    assert hearers == set()


@pytest.mark.parametrize(
    ("sender", "topic", "hearers"),
    [
        (DEVICE, up(POLICE, DEVICE), {POLICE}),
        (DEVICE, up(INSURER, DEVICE), {INSURER}),
        (POLICE, REQUEST_TOPIC, {DEVICE, NEIGHBOUR, DIGEST_CLIENT}),
        (POLICE, RECEIPT, {DEVICE}),
        (POLICE, BULLETIN, {DEVICE, NEIGHBOUR, DIGEST_CLIENT}),
        (DIGEST_CLIENT, DIGEST, {DEVICE, NEIGHBOUR}),
    ],
    ids=["upload to police", "upload to insurer", "request", "receipt", "bulletin", "digest"],
)
def test_a_filter_for_everything_hears_only_what_concerns_its_role(
    sender: str, topic: str, hearers: set[str], buses: dict[str, MqttBus]
) -> None:
    assert answer(buses, sender, topic, hearers)[1] == hearers


def test_the_one_filter_that_a_device_asks_for_hears_what_is_said_to_its_cell_and_to_no_other(
    world: BrokerWithClients, buses: dict[str, MqttBus]
) -> None:
    bus = world.bus("d4" * 8, inbound_beat_s=0.0)
    bus.subscribe(cell_filter("283-375"))
    bus.start()
    assert isinstance(bus.next_event(PATIENCE_S), BusConnected)
    assert isinstance(bus.next_event(PATIENCE_S), Subscribed)
    topics = [REQUEST_TOPIC, BULLETIN]
    for topic in (*topics, REQUEST_TOPIC.replace("283-375", "283-376"), BULLETIN.replace("283-375", "283-376")):
        assert isinstance(answer(buses, POLICE, topic)[0], PublishAcknowledged)
    heard = [bus.next_event(PATIENCE_S) for _ in topics]
    assert [event.topic for event in heard if isinstance(event, MessageReceived)] == topics
    assert bus.next_event(0.5) is None
    bus.stop()


def test_the_broker_takes_no_aliases_and_says_how_much_it_takes(world: BrokerWithClients) -> None:
    bus = world.bus("c3" * 8)
    bus.start()
    event = bus.next_event(PATIENCE_S)
    assert event == BusConnected(packet_bytes=147_456, window=16)


def test_a_retained_request_outlives_its_requesters_connection_and_the_brokers_restart(
    world: BrokerWithClients,
) -> None:
    topic = "doorward/v1/areas/283-375/requests/ogdenville-fire/3"
    requester = world.bus("ogdenville-fire")
    requester.start()
    assert isinstance(requester.next_event(PATIENCE_S), BusConnected)
    assert requester.publish(topic, b"still here", token=1, retain=True, expiry_s=3600)
    assert isinstance(requester.next_event(PATIENCE_S), PublishAcknowledged)
    requester.stop()
    world.broker.stop()
    world.broker.start()
    device = world.bus("d4" * 8)
    device.subscribe(cell_filter("283-375"))
    device.start()
    assert isinstance(device.next_event(PATIENCE_S), BusConnected)
    assert isinstance(device.next_event(PATIENCE_S), Subscribed)
    assert device.next_event(PATIENCE_S) == MessageReceived(topic, b"still here")


def test_the_broker_keeps_no_more_of_one_requester_in_a_cell_than_there_are_slots(world: BrokerWithClients) -> None:
    """For everything it publishes: its list of permissions is the list of messages that can be retained."""
    requester, kept = world.bus("capital-city-police"), REQUEST_SLOTS + BULLETIN_SLOTS
    requester.start()
    assert isinstance(requester.next_event(PATIENCE_S), BusConnected)
    answers: list[PublishAcknowledged | PublishRefused] = []
    for number in range(200):
        kind = "requests" if number % 2 else "bulletins"
        topic = f"doorward/v1/areas/283-377/{kind}/capital-city-police/{number // 2}"
        assert requester.publish(topic, b"junk", token=number, retain=True, expiry_s=3600)
        event = requester.next_event(PATIENCE_S)
        assert isinstance(event, PublishAcknowledged | PublishRefused)
        answers.append(event)
    assert sum(isinstance(answer, PublishAcknowledged) for answer in answers) == kept
    device = world.bus("d4" * 8, inbound_beat_s=0.0)
    device.subscribe(cell_filter("283-377"))
    device.start()
    heard = 0
    while heard < kept:
        heard += isinstance(device.next_event(PATIENCE_S), MessageReceived)
    assert device.next_event(0.5) is None


# -- workers of a requester --------------------------------------------------------------------------------------------

DESK_1, DESK_2, OTHERS = f"{POLICE}.desk-1", f"{POLICE}.desk-2", f"{INSURER}.desk-1"
WORKERS_MAY = [
    (DESK_1, REQUEST_TOPIC),
    (DESK_1, RECEIPT),
    (DESK_2, BULLETIN),
    (DESK_2, f"doorward/v1/areas/0-719/requests/{POLICE}/{REQUEST_SLOTS - 1}"),
    (DEVICE, up(POLICE, DEVICE)),
]
WORKERS_MAY_NOT = [
    (DESK_1, f"doorward/v1/areas/283-375/requests/{INSURER}/0"),
    (DESK_1, f"doorward/v1/areas/283-375/bulletins/{INSURER}/0"),
    (DESK_1, f"doorward/v1/areas/283-375/requests/{POLICE}/{REQUEST_SLOTS}"),
    (DESK_1, f"doorward/v1/areas/283-375/requests/{DESK_1}/0"),
    (DESK_1, f"doorward/v1/areas/283-375/bulletins/{DESK_1}/0"),
    (DESK_1, f"doorward/v1/areas/283-375/requests/{DESK_2}/0"),
    (DESK_1, up(POLICE, DEVICE)),
    (OTHERS, REQUEST_TOPIC),
    (OTHERS, BULLETIN),
    (POLICE, f"doorward/v1/areas/283-375/requests/{DESK_1}/0"),
]


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MqttBus]]:
    """The workers of two requesters, and one requester without a worker's name, all connected at once."""
    with broker_with_clients(tmp_path_factory.mktemp("desks"), DESK_1, DESK_2, OTHERS) as world:
        found = {}
        for name in (DEVICE, POLICE, DESK_1, DESK_2, OTHERS):
            bus = world.bus(name, inbound_beat_s=0.0)
            bus.hurry(True)
            bus.start()
            assert isinstance(bus.next_event(PATIENCE_S), BusConnected)
            for topic_filter in ("#", "doorward/v1/#", "+/+/+/+/+/+/+"):
                bus.subscribe(topic_filter)
                assert isinstance(bus.next_event(PATIENCE_S), Subscribed)
            found[name] = bus
        yield found


@pytest.mark.parametrize(("sender", "topic"), WORKERS_MAY)
def test_a_worker_has_the_rights_of_its_requester(sender: str, topic: str, desks: dict[str, MqttBus]) -> None:
    assert isinstance(answer(desks, sender, topic)[0], PublishAcknowledged)


@pytest.mark.parametrize(("sender", "topic"), WORKERS_MAY_NOT)
def test_a_worker_speaks_neither_for_another_requester_nor_under_its_own_name(
    sender: str, topic: str, desks: dict[str, MqttBus]
) -> None:
    said, hearers = answer(desks, sender, topic)
    assert isinstance(said, PublishRefused)
    assert (said.code, hearers) == (0x87, set())


def test_an_answer_reaches_all_workers_of_its_requester_and_no_worker_of_another(desks: dict[str, MqttBus]) -> None:
    mine = {POLICE, DESK_1, DESK_2}
    assert answer(desks, DEVICE, up(POLICE, DEVICE), mine)[1] == mine
    assert answer(desks, DEVICE, up(INSURER, DEVICE), {OTHERS})[1] == {OTHERS}


def test_a_doorbell_that_writes_to_a_workers_name_is_heard_by_no_one(desks: dict[str, MqttBus]) -> None:
    assert answer(desks, DEVICE, up(DESK_1, DEVICE))[1] == set()


def test_workers_of_one_requester_are_connected_at_once_and_none_is_thrown_off(desks: dict[str, MqttBus]) -> None:
    for turn in range(3):
        for sender in (POLICE, DESK_1, DESK_2):
            assert isinstance(answer(desks, sender, REQUEST_TOPIC)[0], PublishAcknowledged), (turn, sender)
    assert [bus.next_event(0.5) for bus in desks.values()] == [None] * len(desks), "no connection has ended"
