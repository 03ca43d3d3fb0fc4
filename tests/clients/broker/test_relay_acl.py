"""The relay's rights in `config/mosquitto/` on a real mosquitto: each household reaches its own doorbell only."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.broker.relay import set_account
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishRefused,
    Subscribed,
)
from agent.errors import ConfigurationError
from agent.mqtt import MqttBus
from agent.wire.link.topics import link_filter
from tests.brokers import OLD_MOSQUITTO, BrokerWithClients, mosquitto_version
from tests.relays import RelayBrowser

pytestmark = pytest.mark.broker

DEVICE, NEIGHBOUR = "a1" * 8, "b2" * 8
ADDRESS, SESSION = "cd" * 16, "ef" * 16
PATIENCE_S = 60.0


def topic(account: str, way: str) -> str:
    return f"doorward/v1/link/{account}/{ADDRESS}/{SESSION}/{way}"


@dataclass
class World:
    clients: BrokerWithClients
    doorbells: dict[str, MqttBus]
    browsers: dict[str, RelayBrowser]

    @property
    def broker(self) -> PrivateBroker:
        return self.clients.broker


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two doorbells and a browser of each, and each subscribes to everything it can think of."""
    clients = BrokerWithClients(tmp_path_factory.mktemp("relay"))
    clients.broker = PrivateBroker(clients.pki.directory, relay=True)
    made = World(clients, {}, {})
    try:
        with clients.broker as broker:
            passwords = {name: set_account(clients.pki, name) for name in (DEVICE, NEIGHBOUR)}
            broker.reload()
            for name, password in passwords.items():
                bus = made.doorbells[name] = linked(clients, name)
                made.browsers[name] = connected(broker, name, password)
                for wish in ("#", "doorward/v1/link/#", "doorward/v1/link/+/+/+/+"):
                    bus.subscribe(wish)
                    assert isinstance(bus.next_event(PATIENCE_S), Subscribed)
                    made.browsers[name].subscribe(wish)
            yield made
    finally:
        for browser in made.browsers.values():
            browser.close()
        for bus in made.doorbells.values():
            bus.stop()
        clients.close()


def linked(clients: BrokerWithClients, device: str) -> MqttBus:
    """A doorbell at the relay, under a random client id, as the uplink does it."""
    settings = clients.settings(device, port=clients.broker.link_port, inbound_beat_s=0.0)
    bus = MqttBus(dataclasses.replace(settings, name=secrets.token_hex(8)))
    bus.hurry(True)
    bus.start()
    assert isinstance(bus.next_event(PATIENCE_S), BusConnected)
    return bus


def settled(bus: MqttBus) -> object:
    while not isinstance(event := bus.next_event(PATIENCE_S), PublishAcknowledged | PublishRefused):
        assert event is not None
    return event


def connected(broker: PrivateBroker, account: str, password: str) -> RelayBrowser:
    """The relay reads a new account a moment after the signal."""
    deadline_s = time.monotonic() + PATIENCE_S
    while (browser := RelayBrowser(broker, account, password)).refusal is not None:
        browser.close()
        assert time.monotonic() < deadline_s, browser.refusal
        time.sleep(0.05)
    return browser


def hearers(world: World, payload: bytes, expected: set[str], way: str) -> set[str]:
    """Returns who got `payload`: waits for those expected, and a moment for the others."""
    found = set()
    for name, browser in world.browsers.items():
        patience_s = PATIENCE_S if way == "out" and name in expected else 0.1
        while (came := browser.take(patience_s)) is not None and came[1] != payload:
            continue
        if came is not None:
            found.add(f"browser {name}")
    for name, bus in world.doorbells.items():
        patience_s = PATIENCE_S if way == "in" and name in expected else 0.1
        while (event := bus.next_event(patience_s)) is not None:
            if isinstance(event, MessageReceived) and event.payload == payload:
                found.add(f"doorbell {name}")
                break
    return found


def test_a_frame_of_a_browser_reaches_its_doorbell_and_nobody_else(world: World) -> None:
    assert world.browsers[DEVICE].publish(topic(DEVICE, "in"), b"one")
    assert hearers(world, b"one", {DEVICE}, "in") == {f"doorbell {DEVICE}"}


def test_a_frame_of_a_doorbell_reaches_the_browsers_of_its_household_and_nobody_else(world: World) -> None:
    assert world.doorbells[DEVICE].publish(topic(DEVICE, "out"), b"two", token=2)
    assert isinstance(settled(world.doorbells[DEVICE]), PublishAcknowledged)
    assert hearers(world, b"two", {DEVICE}, "out") == {f"browser {DEVICE}"}


@pytest.mark.parametrize(
    "where",
    [
        topic(NEIGHBOUR, "in"),
        topic(NEIGHBOUR, "out"),
        topic(DEVICE, "out"),
        f"{topic(DEVICE, 'in')}/deeper",
        f"doorward/v1/receipts/{DEVICE}/{SESSION}",
        "doorward/v1/areas/283-375/requests/springfield-police/0",
        "anything/else",
    ],
)
def test_a_browser_may_send_nothing_else(world: World, where: str) -> None:
    assert not world.browsers[DEVICE].publish(where, b"three")
    assert hearers(world, b"three", set(), "in") == set()


@pytest.mark.parametrize(
    "where",
    [
        topic(NEIGHBOUR, "out"),
        topic(NEIGHBOUR, "in"),
        topic(DEVICE, "in"),
        f"doorward/v1/up/springfield-police/{DEVICE}/{SESSION}-0/init",
    ],
)
def test_a_doorbell_may_send_nothing_else_on_the_listener_of_the_relay(world: World, where: str) -> None:
    assert world.doorbells[DEVICE].publish(where, b"four", token=4)
    assert isinstance(settled(world.doorbells[DEVICE]), PublishRefused)
    assert hearers(world, b"four", set(), "in") == set()


def test_a_wrong_password_and_an_unknown_account_are_refused(world: World) -> None:
    for account, password in ((DEVICE, "not the password"), ("nobody", "not the password"), (DEVICE, "")):
        with RelayBrowser(world.broker, account, password) as browser:
            assert browser.refusal == "Not authorized"


def test_a_doorbell_keeps_its_connection_for_requests_beside_the_one_to_the_relay(world: World) -> None:
    requests = world.clients.bus(DEVICE)
    requests.hurry(True)
    requests.start()
    assert isinstance(requests.next_event(PATIENCE_S), BusConnected)
    link = linked(world.clients, DEVICE)
    link.subscribe(link_filter(DEVICE, ADDRESS))
    assert isinstance(link.next_event(PATIENCE_S), Subscribed)
    assert world.browsers[DEVICE].publish(topic(DEVICE, "in"), b"five")
    event = link.next_event(PATIENCE_S)
    link.stop()
    assert isinstance(event, MessageReceived)
    assert event.payload == b"five"
    assert requests.next_event(0.2) is None


def test_an_account_can_end_the_connection_of_another_client_and_hears_nothing_that_was_for_it(world: World) -> None:
    """A limit (docs/security/limits.md): MQTT has one set of client ids for all listeners of a broker."""
    requests = world.clients.bus(DEVICE)
    requests.hurry(True)
    requests.subscribe("doorward/v1/areas/+/requests/#")
    requests.start()
    assert isinstance(requests.next_event(PATIENCE_S), BusConnected)
    assert isinstance(requests.next_event(PATIENCE_S), Subscribed)
    password = set_account(world.clients.pki, "ad" * 8)
    world.broker.reload()
    connected(world.broker, "ad" * 8, password).close()
    with RelayBrowser(world.broker, "ad" * 8, password, client_id=DEVICE) as browser:
        lost = requests.next_event(PATIENCE_S)
        assert isinstance(lost, BusDisconnected)
        unnamed = LinkFault.LOST if mosquitto_version() <= OLD_MOSQUITTO else LinkFault.TAKEN_OVER
        assert lost.fault in (LinkFault.TAKEN_OVER, unnamed)
        police = world.clients.bus("springfield-police")
        police.hurry(True)
        police.start()
        assert isinstance(police.next_event(PATIENCE_S), BusConnected)
        assert police.publish("doorward/v1/areas/283-375/requests/springfield-police/0", b"six", token=6, retain=True)
        assert isinstance(settled(police), PublishAcknowledged)
        assert browser.take(0.5) is None
    requests.stop()


def test_a_new_password_ends_the_old_one(world: World) -> None:
    account = "ac" * 8
    first = set_account(world.clients.pki, account)
    world.broker.reload()
    with connected(world.broker, account, first):
        second = set_account(world.clients.pki, account)
        world.broker.reload()
        with connected(world.broker, account, second), RelayBrowser(world.broker, account, first) as lost:
            assert lost.refusal == "Not authorized"
    kept = (Path(world.clients.pki.directory) / "relay.passwords").read_text()
    assert kept.count(account) == 1
    assert second not in kept


@pytest.mark.parametrize("account", ["", "a/b", "+", "#", "a b", "a:b", "a\nb", "é", "x" * 65])
def test_a_name_that_would_widen_a_topic_is_no_account(world: World, account: str) -> None:
    with pytest.raises(ConfigurationError, match="not an account"):
        set_account(world.clients.pki, account)
