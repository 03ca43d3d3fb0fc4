"""Doorward at managed services: a peer enforces their limits, and the rights that config/mosquitto/README.md lists.

The real uplink, bus, receiving service and digest service do their main work there. The services themselves are not
reached. `service_profiles.py` names the pages that the limits are from.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agent.clients.broker import digest_service
from agent.clients.broker.broker_pki import DIGEST_CLIENT, BrokerPki, ClientFiles
from agent.clients.broker.digest_service import DigestService
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.package_keeper import PackageKeeper
from agent.clients.requester.package_publisher import retained_directory, retained_package
from agent.clients.requester.receiving_service import DisclosureReceiver, ReceivingLimits
from agent.core.bus import BusConnected, BusDisconnected, LinkFault, PublishRefused, SubscriptionRefused
from agent.core.requests import OutboxPart, OutboxRecord
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.transfer.values import LARGEST_CHUNK_BYTES
from agent.errors import ConfigurationError
from agent.mqtt import BusSettings, MqttBus, sessionless
from agent.mqtt.bus_settings import WATCHFUL_KEEPALIVE_S
from agent.platform.certificates import signing_request
from agent.uplink.uplink import Uplink
from agent.wire import envelope, strictjson
from agent.wire.cell_digest import MAX_PAGE_BYTES
from agent.wire.disclosures import Receipt, ReceiptState
from agent.wire.identities import private_key_from_seed
from agent.wire.topics import TopicClass, cell_filter, cell_of, sender_of
from agent.wire.trust_keys import trust_key_of_private
from agent.wire.trust_package import MAX_CHUNK_BYTES, MAX_DIRECTORY_CHUNK_BYTES, split_package
from tests.brokers import NOW, add_requester
from tests.clients.requester.conftest import NOW_S, asked, gops, house, requester, who_asked
from tests.clients.requester.house import Disclosure, House
from tests.mqtt.mqtt_peer import CONNECT, DISCONNECT, PINGREQ, SUBSCRIBE, Line, packet, publish
from tests.mqtt.service_broker import ServiceBroker
from tests.mqtt.service_profiles import (
    AWS_IOT_CORE,
    AZURE_EVENT_GRID,
    EMQX_SERVERLESS,
    HIVEMQ,
    PROFILES,
    ServiceProfile,
)

__all__ = ["asked", "gops", "house", "requester", "who_asked"]

DEVICE = "a1" * 8
CELL = cell_of(52.3702, 4.8952)
PATIENCE_S = 60.0
SESSION_S = 24 * 3600
CONNACK, PINGRESP = 0x20, 0xD0
TOPIC = f"doorward/v1/areas/{CELL}/requests/rijnstad-police"
UP = f"doorward/v1/up/rijnstad-police/{DEVICE}/{'cd' * 16}-0/init"


def until(holds: Callable[[], bool], what: str) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_s, what
        time.sleep(0.01)


def has_read(uplink: Uplink) -> bool:
    """Returns True once the doorbell has read what the broker retains for its cell."""
    reading = uplink._reading
    return reading._up and reading._asked is None and reading._due_ns is None and not reading._waiting


class Clock:
    """The time of the tests' requester passes, this many times as fast as here."""

    boot_id = "0b" * 16

    def __init__(self, times: int = 1) -> None:
        self._times = times

    def now(self) -> ClockReading:
        passed_ns = time.monotonic_ns() * self._times
        return ClockReading(BootNs(passed_ns), UtcNs(NOW_S * NS_PER_S + passed_ns % NS_PER_S), ClockQuality.SYNCED)


@dataclass
class Custody:
    """Takes each message as a custodian does. After its owner's yes, one answer is listed until it is delivered."""

    requester: Requester | None = None
    heard: list[bytes] = field(default_factory=list)
    answer: Disclosure | None = None
    delivered: bool = False

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        if sender_of(topic).kind is not TopicClass.RECEIPTS:
            self.heard.append(data)
            return None
        assert self.requester is not None
        key = self.requester.key
        opened = envelope.open_envelope(data, Receipt.PAYLOAD_TYPE, {key.id: key})
        receipt = strictjson.decode(opened.payload, Receipt)
        self.delivered |= receipt.state is ReceiptState.COMPLETE
        return receipt

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        if self.answer is None or self.delivered or self.requester is None:
            return []
        parts = tuple(OutboxPart(n, "", each.size_bytes, each.sha256) for n, each in enumerate(self.answer.sizes))
        return [(OutboxRecord(self.answer.id, "1" * 32, self.requester.id, parts), False)]

    def begin_sending(self, _disclosure: str) -> bool:
        return True

    def read(self, _disclosure: str, part: int, offset: int, length: int) -> bytes:
        assert self.answer is not None
        return self.answer.parts[part][offset : offset + length]


class World:
    """Certificates, and the clients that are started with them."""

    def __init__(self, pki: BrokerPki, ends: ExitStack) -> None:
        self.pki, self._ends = pki, ends
        self.peer: ServiceBroker
        self._passwords: dict[str, str] = {}

    def serve(self, profile: ServiceProfile) -> ServiceBroker:
        self.peer = self._ends.enter_context(ServiceBroker(self.pki.directory, profile, self._passwords))
        return self.peer

    def password_of(self, name: str) -> Path:
        """A file with the client's password, which the peer knows."""
        self._passwords[name] = f"the password of {name}"
        path = self.pki.directory / f"{name}.password"
        path.touch(0o600)
        path.write_text(self._passwords[name])
        return path

    def files_of(self, name: str) -> ClientFiles:
        """Those of a client, which is a doorbell if it has none yet."""
        files = self.pki.client(name)
        return files if files.certificate.exists() else self.pki.add_device(name, NOW)

    def settings(self, name: str, **changes: Any) -> BusSettings:
        files = self.files_of(name)
        settings = BusSettings("127.0.0.1", self.peer.port, name, files.authority, files.certificate, files.key)
        if not self.peer.profile.client_certificates:
            changes = {"certificate": None, "key": None, "password_file": self.password_of(name)} | changes
        return replace(settings, **changes)

    def bus(self, name: str, **changes: Any) -> MqttBus:
        return self._bus_with(self.settings(name, **changes))

    def _bus_with(self, settings: BusSettings) -> MqttBus:
        bus = MqttBus(settings)
        self._ends.callback(bus.stop)
        bus.hurry(True)
        return bus

    def connected(self, name: str, **changes: Any) -> MqttBus:
        bus = self.bus(name, **changes)
        bus.start()
        event = bus.next_event(PATIENCE_S)
        assert isinstance(event, BusConnected), event
        return bus

    def _run(self, run: Callable[[], None], stop: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=run, name=name)
        thread.start()
        self._ends.callback(thread.join)
        self._ends.callback(stop)

    def doorbell(self, custody: Custody, device: str = DEVICE, times: int = 1, **changes: Any) -> Uplink:
        uplink = self.started(custody, device, times, **changes)
        until(lambda: uplink.status().link == "connected", "the doorbell to connect")
        return uplink

    def with_session(self, custody: Custody, device: str = DEVICE, times: int = 1) -> Uplink:
        """A doorbell as its operator sets it up for a session: Azure Event Grid wants a user name."""
        user = device if self.peer.profile.second_by_user else ""
        uplink = self.doorbell(custody, device, times, session_s=SESSION_S, user=user)
        until(lambda: self.peer.hears(f"{TOPIC}/0"), "its subscription to the cell")
        return uplink

    def leave(self, uplink: Uplink, device: str = DEVICE) -> None:
        uplink.stop()
        until(lambda: device in self.peer.sessions, "the session of a doorbell that is away")

    def started(self, custody: Custody, device: str, times: int = 1, **changes: Any) -> Uplink:
        settings = self.settings(device, **changes)
        second = sessionless(settings)
        uplink = Uplink(
            self._bus_with(settings), custody, custody, Clock(times),  # type: ignore[arg-type]
            device=device, cell_filter=cell_filter(CELL), chunk_bytes=16 << 10,
            live=None if second is None else self._bus_with(second),
        )  # fmt: skip
        self._run(uplink.run, uplink.stop, "uplink")
        return uplink

    def receive(self, requester: Requester) -> None:
        bus = self.bus(
            requester.id, inbound_packet_bytes=160 << 10, inbound_beat_s=0.0, keepalive_s=WATCHFUL_KEEPALIVE_S
        )
        bus.start()
        stop = threading.Event()
        receiver = DisclosureReceiver(requester, bus, Clock(), ReceivingLimits(free_bytes=0))
        self._run(lambda: receiver.run(stop), stop.set, "receiver")

    def digest(self) -> DigestService:
        service = DigestService(self.bus(DIGEST_CLIENT, inbound_beat_s=0.0), time.monotonic)
        self._run(service.run, service.stop, "digest")
        return service


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> BrokerPki:
    made = BrokerPki.create(tmp_path_factory.mktemp("pki"), NOW)
    made.add_digest(NOW)
    add_requester(made, "rijnstad-police")
    name = f"{ROOT.id}.root"
    made.add_root(ROOT.id, NOW, request=signing_request(made.client(name).key, name), slots=3)
    return made


@pytest.fixture
def world(pki: BrokerPki) -> Iterator[World]:
    with ExitStack() as ends:
        yield World(pki, ends)


# Main work


@pytest.mark.parametrize("profile", PROFILES, ids=lambda each: each.name)
def test_a_doorbell_hears_a_request_and_its_answer_arrives_at_each_service(
    profile: ServiceProfile, world: World, requester: Requester, asked: SentRequest, house: House
) -> None:
    peer, disclosure = world.serve(profile), house.disclose(asked)
    custody = Custody(requester)
    # After a refusal, the sender waits for eight seconds.
    uplink = world.doorbell(custody, disclosure.device, times=8 if profile is EMQX_SERVERLESS else 1)
    world.receive(requester)
    until(lambda: custody.heard != [], "the doorbell to hear the request")
    custody.answer = disclosure
    uplink.wake()
    until(lambda: custody.delivered, "the last receipt")
    assert requester.answer(disclosure.id).sealed() == frozenset(range(len(disclosure.parts)))
    assert peer.taken[disclosure.device] > len(disclosure.parts), "more than one chunk, in more than one part"
    assert peer.ended == {}
    # A service that takes ten messages a second refuses some of an upload. They are sent again.
    assert peer.refused.keys() <= ({"publications a second"} if profile is EMQX_SERVERLESS else set())


@pytest.mark.parametrize("profile", PROFILES, ids=lambda each: each.name)
def test_a_doorbell_that_was_off_hears_the_request_by_a_wildcard_or_by_the_pages_of_a_digest(
    profile: ServiceProfile, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_service, "_PUBLISH_EVERY_S", 0.1)
    monkeypatch.setattr(digest_service, "REQUEST_SLOTS", 8)
    monkeypatch.setattr(digest_service, "_SLOTS", digest_service._SLOTS[:8])
    peer = world.serve(profile)
    world.digest()
    police = world.connected("rijnstad-police")
    until(lambda: peer.hears(f"{TOPIC}/3"), "the digest service to subscribe")
    assert police.publish(f"{TOPIC}/3", b"yesterday", token=1, retain=True, expiry_s=3600)
    until(lambda: f"doorward/v1/areas/{CELL}/digest/0" in peer.retained, "the first page of the digest")
    custody = Custody()
    world.doorbell(custody)
    until(lambda: custody.heard == [b"yesterday"], "the doorbell to hear what was asked before")
    assert peer.ended == {}


def test_without_a_digest_a_doorbell_that_was_off_hears_what_is_retained_but_not_at_aws(world: World) -> None:
    for profile in (AZURE_EVENT_GRID, EMQX_SERVERLESS):
        world.serve(profile).retained[f"{TOPIC}/3"] = b"yesterday", b""
        custody = Custody()
        world.doorbell(custody)
        until(lambda custody=custody: custody.heard == [b"yesterday"], f"a request at {profile.name}")  # type: ignore[misc]
    world.serve(AWS_IOT_CORE).retained[f"{TOPIC}/3"] = b"yesterday", b""
    custody = Custody()
    uplink = world.doorbell(custody)
    until(lambda: has_read(uplink), "the doorbell to have read its cell")
    assert world.connected("rijnstad-police").publish(f"{TOPIC}/4", b"now", token=1, retain=True)
    until(lambda: custody.heard != [], "the doorbell to hear")
    assert custody.heard == [b"now"]


# Trust roots

ROOT = trust_key_of_private(private_key_from_seed(bytes(32)))


def keeper_of_the_root(world: World) -> PackageKeeper:
    return PackageKeeper(lambda: world.connected(f"{ROOT.id}.root", keepalive_s=WATCHFUL_KEEPALIVE_S), ROOT)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda each: each.name)
def test_a_root_publishes_and_keeps_its_package_and_directory_at_each_service(
    profile: ServiceProfile, world: World
) -> None:
    peer, keeper = world.serve(profile), keeper_of_the_root(world)
    first, second = bytes(2 * MAX_CHUNK_BYTES + 1), b"x" * (2 * MAX_CHUNK_BYTES + 1)
    try:
        assert keeper.keep(first, b"brokers", PATIENCE_S, is_new=True) == 3
        # A service that gives nothing for wildcards gets it at each look. Doorbells hear the index alone.
        assert keeper.keep(first, b"brokers", PATIENCE_S, is_new=False) == (0 if profile.retained_by_wildcard else 3)
        assert keeper.keep(second, b"brokers", PATIENCE_S, is_new=True) == 3
    finally:
        keeper.stop()
    reading = world.connected(f"{ROOT.id}.root")
    assert retained_package(reading, ROOT.id, PATIENCE_S) == second
    assert retained_directory(reading, ROOT.id, PATIENCE_S) == b"brokers"
    assert peer.ended == {}
    assert peer.refused.keys() <= {"publications a second", "subscriptions a second"}


@pytest.mark.parametrize("is_new", [True, False])
def test_a_root_without_the_right_to_read_its_topics_names_the_right_at_once(is_new: bool, world: World) -> None:
    peer, keeper = world.serve(EMQX_SERVERLESS), keeper_of_the_root(world)
    del peer.rights["root"]["receive"]
    with pytest.raises(ConfigurationError, match=f"does not let this root read doorward/v1/trust/{ROOT.id}/") as raised:
        keeper.keep(b"x", None, 4 * PATIENCE_S, is_new=is_new)
    for needed in (f"{ROOT.id}.root", f"doorward/v1/trust/{ROOT.id}/+", f"doorward/v1/brokers/{ROOT.id}/+"):
        assert needed in str(raised.value.remedy)
    assert peer.retained == {}


# Sessions


@pytest.mark.parametrize("profile", PROFILES, ids=lambda each: each.name)
def test_a_doorbell_with_a_session_hears_what_was_asked_while_it_was_away_and_its_answer_arrives(
    profile: ServiceProfile, world: World, requester: Requester, asked: SentRequest, house: House
) -> None:
    peer, disclosure = world.serve(profile), house.disclose(asked)
    device, times = disclosure.device, 8 if profile is EMQX_SERVERLESS else 1
    world.leave(world.with_session(Custody(), device), device)
    assert peer.sessions[device].session_s == min(SESSION_S, profile.session_s or SESSION_S)
    world.receive(requester)
    until(lambda: peer.sessions[device].kept != [], "the request to wait")
    peer.retained.clear()
    custody = Custody(requester)
    uplink = world.with_session(custody, device, times)
    until(lambda: custody.heard != [], "the doorbell to hear the request")
    custody.answer = disclosure
    uplink.wake()
    until(lambda: custody.delivered, "the last receipt")
    until(lambda: not peer.hears(f"doorward/v1/receipts/{device}/{disclosure.id}"), "the end of a subscription")
    assert peer.ended == {}
    assert peer.refused.keys() <= ({"publications a second"} if profile is EMQX_SERVERLESS else set())


@pytest.mark.parametrize("profile", PROFILES, ids=lambda each: each.name)
def test_lists_reach_a_doorbell_with_a_session_and_do_not_wait_in_it(profile: ServiceProfile, world: World) -> None:
    peer, keeper, custody = world.serve(profile), keeper_of_the_root(world), Custody()
    first, second = bytes(2 * MAX_CHUNK_BYTES + 1), b"x" * (2 * MAX_CHUNK_BYTES + 1)
    uplink = world.with_session(custody)
    try:
        until(lambda: peer.hears(f"doorward/v1/trust/{ROOT.id}/0"), "its subscription to lists")
        assert keeper.keep(first, b"brokers", PATIENCE_S, is_new=True) == 3
        until(lambda: set(split_package(first)) <= set(custody.heard), "the list")
        world.leave(uplink)
        assert peer.sessions[DEVICE].filters == {cell_filter(CELL): 1}
        assert keeper.keep(second, b"brokers", PATIENCE_S, is_new=True) == 3
        assert peer.sessions[DEVICE].kept == []
    finally:
        keeper.stop()
    assert list(peer.sessions) == [DEVICE], "the second connection leaves nothing"
    assert peer.ended == {}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda each: each.name)
def test_a_doorbell_that_was_away_for_longer_than_its_session_hears_the_next_request(
    profile: ServiceProfile, world: World
) -> None:
    peer = world.serve(profile)
    world.leave(world.with_session(Custody()))
    del peer.sessions[DEVICE]
    custody = Custody()
    world.with_session(custody)
    assert world.connected("rijnstad-police").publish(f"{TOPIC}/3", b"now", token=1, retain=True)
    until(lambda: custody.heard == [b"now"], "the doorbell to hear")
    assert peer.ended == {}


def test_without_a_user_name_azure_takes_no_second_connection_and_the_doorbell_is_not_connected(world: World) -> None:
    peer = world.serve(AZURE_EVENT_GRID)
    uplink = world.started(Custody(), DEVICE, session_s=SESSION_S)
    until(lambda: peer.ended["client id"] > 0, "the refusal")
    until(lambda: uplink.status().remedy != "", "the doorbell to say so")
    assert uplink.status().link != "connected"


def test_a_filter_that_was_given_up_while_the_broker_was_away_leaves_the_session(world: World) -> None:
    """Otherwise each of them takes one of the ten places of EMQX Serverless for good, and a cell's messages wait."""
    peer = world.serve(EMQX_SERVERLESS)
    bus = world.connected(DEVICE, session_s=SESSION_S)
    kept, ended = (f"doorward/v1/receipts/{DEVICE}/{number:032x}" for number in range(2))
    for each in (kept, ended):
        bus.subscribe(each)
        until(lambda each=each: peer.hears(each), "a subscription")  # type: ignore[misc]
    peer.profile = replace(EMQX_SERVERLESS, client_id_bytes=1)
    (client,) = peer._clients
    client.sock.shutdown(socket.SHUT_RDWR)
    while not isinstance(bus.next_event(PATIENCE_S), BusDisconnected):
        pass
    bus.unsubscribe(ended)
    until(lambda: DEVICE in peer.sessions, "the session of a client that is away")
    assert peer.sessions[DEVICE].filters.keys() == {kept, ended}
    peer.profile = EMQX_SERVERLESS
    until(lambda: peer.hears(kept), "the session")
    until(lambda: not peer.hears(ended), "the end of a subscription")
    assert peer.hears(kept)


# Refusals


def test_a_service_without_client_certificates_refuses_with_a_remedy(world: World) -> None:
    world.serve(HIVEMQ)
    bus = world.bus(DEVICE, password_file=None)
    bus.start()
    event = bus.next_event(PATIENCE_S)
    assert isinstance(event, BusDisconnected)
    assert event.fault is LinkFault.NOT_AUTHORISED
    assert "0x86" in event.error.message
    assert event.error.remedy


BREACHES: tuple[tuple[ServiceProfile, str, int, str], ...] = (
    (AWS_IOT_CORE, UP, 128 * 1024 + 1, "payload size"),
    (EMQX_SERVERLESS, UP, (1 << 20) + 1, "payload size"),
    (AWS_IOT_CORE, f"{UP}/8/9", 1, "topic"),
    (AZURE_EVENT_GRID, f"{UP}/8/9", 1, "topic"),
    (EMQX_SERVERLESS, f"{UP}/8/9/10/11", 1, "topic"),
    (AWS_IOT_CORE, UP + "x" * 256, 1, "topic"),
)


@pytest.mark.parametrize(("profile", "topic", "size", "limit"), BREACHES)
def test_the_peer_ends_the_connection_that_breaks_a_limit_and_the_bus_says_why(
    profile: ServiceProfile, topic: str, size: int, limit: str, world: World
) -> None:
    peer = world.serve(profile)
    bus = world.connected(DEVICE)
    assert bus.publish(topic, bytes(size), token=1)
    while not isinstance(event := bus.next_event(PATIENCE_S), BusDisconnected):
        assert event is not None
    assert peer.ended == {limit: 1}
    assert "(0x" in event.error.message


def test_a_packet_over_the_largest_of_a_service_is_refused_here_and_the_link_lives(world: World) -> None:
    peer = world.serve(AZURE_EVENT_GRID)
    bus = world.connected(DEVICE)
    assert bus.publish(UP, bytes(512 * 1024), token=1)
    assert isinstance(event := bus.next_event(PATIENCE_S), PublishRefused)
    assert f"the broker takes {512 * 1024}" in event.reason
    assert peer.ended == {}


def test_more_subscriptions_than_a_service_allows_are_refused_one_by_one(world: World) -> None:
    peer = world.serve(EMQX_SERVERLESS)
    bus = world.connected(DEVICE)
    for number in range(12):
        bus.subscribe(f"doorward/v1/receipts/{DEVICE}/{number:032x}")
    events = [bus.next_event(PATIENCE_S) for _ in range(12)]
    assert [isinstance(each, SubscriptionRefused) for each in events] == [False] * 10 + [True] * 2
    assert peer.refused == {"subscriptions": 2}


def test_the_peer_refuses_topics_that_no_policy_of_the_readme_allows(world: World) -> None:
    peer = world.serve(AWS_IOT_CORE)
    bus = world.connected(DEVICE)
    assert bus.publish(UP.replace(DEVICE, "b2" * 8), b"as another", token=1)
    bus.subscribe("doorward/v1/up/#")
    events = [bus.next_event(PATIENCE_S) for _ in range(2)]
    assert {type(each) for each in events} == {PublishRefused, SubscriptionRefused}
    assert peer.refused == {"right to publish": 1, "right to receive": 1}


# Our clients never do this. Without these tests, a limit that the peer forgot would look like one that they keep.


@contextmanager
def spoken_to(world: World, keepalive_s: int = 60) -> Iterator[Line]:
    """A connection of a doorbell without our client."""
    files = world.files_of(DEVICE)
    context = ssl.create_default_context(cafile=str(files.authority))
    is_known = world.peer.profile.client_certificates
    if is_known:
        context.load_cert_chain(files.certificate, files.key)
    secret = b"" if is_known else _text(DEVICE) + _text(world.password_of(DEVICE).read_text())
    flags = 0x02 if is_known else 0xC2
    asked = _text("MQTT") + struct.pack("!BBHB", 5, flags, keepalive_s, 0) + _text(DEVICE) + secret
    with (
        socket.create_connection(("127.0.0.1", world.peer.port), PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
    ):
        line = Line(sock)
        line.send(packet(CONNECT, asked))
        yield line


def _text(words: str) -> bytes:
    return struct.pack("!H", len(words)) + words.encode()


def receipts(count: int, packets: int = 1) -> bytes:
    """Subscriptions to this many topics, in each of this many packets."""
    filters = b"".join(_text(f"doorward/v1/receipts/{DEVICE}/{number:032x}") + b"\x01" for number in range(count))
    return b"".join(packet(SUBSCRIBE | 2, struct.pack("!HB", number, 0) + filters) for number in range(1, packets + 1))


def uploads(count: int, size: int = 1, *, retain: bool = False) -> bytes:
    """Publications without an answer in between."""
    sent = [bytearray(publish(UP, bytes(size), number)) for number in range(1, count + 1)]
    for each in sent:
        each[0] |= retain
    return b"".join(sent)


ENFORCED: tuple[tuple[ServiceProfile, bytes, dict[str, int], dict[str, int]], ...] = (
    (AWS_IOT_CORE, receipts(8), {}, {}),
    (AWS_IOT_CORE, receipts(9), {"filters in a SUBSCRIBE": 1}, {}),
    (AZURE_EVENT_GRID, receipts(10), {}, {}),
    (AZURE_EVENT_GRID, receipts(11), {"filters in a SUBSCRIBE": 1}, {}),
    (AZURE_EVENT_GRID, receipts(1, packets=6), {}, {"subscriptions a second": 1}),
    (AWS_IOT_CORE, uploads(100), {}, {}),
    (AWS_IOT_CORE, uploads(101), {"receive maximum": 1}, {}),
    (HIVEMQ, uploads(10), {}, {}),
    (HIVEMQ, uploads(11), {"receive maximum": 1}, {}),
    (EMQX_SERVERLESS, uploads(11), {}, {"publications a second": 1}),
    (AZURE_EVENT_GRID, uploads(1, 64 << 10, retain=True), {}, {}),
    (AZURE_EVENT_GRID, uploads(1, (64 << 10) + 1, retain=True), {}, {"retained size": 1}),
    (AZURE_EVENT_GRID, uploads(1, 512 << 10), {"packet size": 1}, {}),
)


@pytest.mark.parametrize(("profile", "said", "ended", "refused"), ENFORCED)
def test_the_peer_notices_each_limit_that_our_clients_never_break(
    profile: ServiceProfile, said: bytes, ended: dict[str, int], refused: dict[str, int], world: World
) -> None:
    peer = world.serve(profile)
    with spoken_to(world) as line:
        assert line.read()[0] == CONNACK
        line.send(said)
        last = DISCONNECT if ended else PINGRESP
        if not ended:
            line.send(packet(PINGREQ, b""))
        while (first := line.read()[0]) != last:
            assert first, "the connection ended without a word"
        until(lambda: not any(client.owed for client in tuple(peer._clients)), "each answer")
    assert (peer.ended, peer.refused) == (ended, refused)


@pytest.mark.parametrize(("keepalive_s", "told"), [(4, b"\x13\x00\x05"), (5, b""), (1201, b"\x13\x04\xb0")])
def test_the_peer_tells_the_keep_alive_that_its_service_allows(keepalive_s: int, told: bytes, world: World) -> None:
    peer = world.serve(AWS_IOT_CORE)
    with spoken_to(world, keepalive_s) as line:
        first, body = line.read()
    assert first == CONNACK
    assert body.endswith(told)
    assert (b"\x13" in body[3:]) is bool(told)
    assert peer.refused == ({"keep-alive": 1} if told else {})


def test_the_peer_refuses_a_client_id_that_is_too_long(world: World) -> None:
    peer = world.serve(replace(AWS_IOT_CORE, client_id_bytes=len(DEVICE) - 1))
    with spoken_to(world) as line:
        assert line.read()[1][1] == 0x85
    assert peer.ended == {"client id": 1}


# Sizes


def test_what_doorward_retains_and_sends_fits_each_service_but_a_directory_at_azure() -> None:
    retained = {"package": MAX_CHUNK_BYTES, "page": MAX_PAGE_BYTES, "directory": MAX_DIRECTORY_CHUNK_BYTES}
    too_large = {
        (profile.name, what)
        for profile in PROFILES
        for what, size in retained.items()
        if size > (profile.retained_bytes or size) or size > (profile.payload_bytes or size)
    }
    assert too_large == {("Azure Event Grid", "directory")}
    for profile in PROFILES:
        assert (profile.payload_bytes or LARGEST_CHUNK_BYTES) >= LARGEST_CHUNK_BYTES
        assert (profile.keepalive_s or (0, 300))[0] <= 10
        assert (profile.keepalive_s or (0, 300))[1] >= 300
        assert (profile.topic_bytes or 256) >= 256
        assert (profile.topic_levels or 7) >= 7
        assert profile.sources
