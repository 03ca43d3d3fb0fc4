"""The bus against brokers, networks and certificates that misbehave: each fault has a name, a remedy and an end."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import paho.mqtt.client
import pytest

from agent.clients.broker.broker_pki import BrokerPki
from agent.core.bus import (
    BusConnected,
    BusDisconnected,
    LinkFault,
    MessageReceived,
    PublishAcknowledged,
    PublishLost,
    PublishRefused,
    Subscribed,
    SubscriptionRefused,
)
from agent.errors import ConfigurationError, NetworkError
from agent.mqtt import BusSettings, MqttBus, connection, tls
from agent.mqtt.outbound_client import PahoClient
from agent.mqtt.pacing import held_bytes
from tests.brokers import NOW, BrokerWithClients, broker_with_clients
from tests.mqtt.mqtt_peer import (
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBLISH,
    Line,
    ScriptedPeer,
    connack,
    packet,
    puback,
    publish,
    suback,
)

DEVICE = "a1" * 8
TOPIC = f"doorward/v1/up/springfield/{DEVICE}/{'cd' * 16}-0/init"
PATIENCE_S = 60.0

Event = TypeVar("Event")
StartBus = Callable[[BusSettings], MqttBus]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> BrokerPki:
    pki = BrokerPki.create(tmp_path_factory.mktemp("pki"), NOW)
    pki.add_device(DEVICE, NOW)
    return pki


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerWithClients]:
    with broker_with_clients(tmp_path_factory.mktemp("broker")) as world:
        world.pki.add_device(DEVICE, NOW)
        yield world


@pytest.fixture(autouse=True)
def a_refusal_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that gets no processor for two seconds refuses in any case."""
    monkeypatch.setattr(tls, "_PROBE_S", PATIENCE_S)


@pytest.fixture
def start() -> Iterator[StartBus]:
    """Start buses that are stopped at the end; none may leave its thread behind."""
    buses: list[MqttBus] = []

    def start(settings: BusSettings) -> MqttBus:
        bus = MqttBus(settings)
        buses.append(bus)
        bus.hurry(True)
        bus.start()
        return bus

    yield start
    for bus in buses:
        bus.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bus-")]


def settings_for(pki: BrokerPki, port: int, **changes: object) -> BusSettings:
    files = pki.client(DEVICE)
    settings = BusSettings("127.0.0.1", port, DEVICE, files.authority, files.certificate, files.key)
    return replace(settings, **changes)  # type: ignore[arg-type]


def expect(bus: MqttBus, kind: type[Event]) -> Event:
    event = bus.next_event(PATIENCE_S)
    assert isinstance(event, kind), f"expected {kind.__name__}, got {event}"
    return event


def expect_fault(bus: MqttBus, fault: LinkFault) -> BusDisconnected:
    event = expect(bus, BusDisconnected)
    assert event.fault is fault, event.error
    assert isinstance(event.error, NetworkError)
    return event


class ClockAhead:
    """The clock by which a connection measures patience: that of this machine, and what the test adds."""

    def __init__(self, patch: pytest.MonkeyPatch, *, keep_alive: bool = False) -> None:
        """`keep_alive`: also the clock by which paho sends a ping."""
        self._added_s = 0.0
        patch.setattr(connection, "time", SimpleNamespace(monotonic=self._now_s))
        if keep_alive:
            patch.setattr(paho.mqtt.client, "time_func", self._now_s)

    def _now_s(self) -> float:
        return time.monotonic() + self._added_s

    def pass_over(self, seconds: float, bus: MqttBus) -> None:
        """Lets this many seconds pass at once, and has the bus look at its clock."""
        self._added_s += seconds
        bus._wake()


def silent(line: Line) -> None:
    line.wait_for_end()


# Trust


def test_a_broker_of_another_authority_is_not_trusted_and_nothing_is_told_to_it(
    pki: BrokerPki, tmp_path: Path, start: StartBus
) -> None:
    other = BrokerPki.create(tmp_path / "other", NOW)
    with ScriptedPeer(other.directory, lambda line: peer.notes.put(line.read())) as peer:
        event = expect_fault(start(settings_for(pki, peer.port)), LinkFault.BROKER_NOT_TRUSTED)
        assert str(pki.client(DEVICE).authority) in str(event.error)
        assert event.error.remedy
        assert event.retry_in_s >= 15
        assert peer.notes.empty() or peer.notes.get() == (0, b"")


def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path, start: StartBus) -> None:
    pki = BrokerPki.create(tmp_path, NOW, hosts=("broker.example",))
    pki.add_device(DEVICE, NOW)
    with ScriptedPeer(pki.directory, silent) as peer:
        assert "name" in str(expect_fault(start(settings_for(pki, peer.port)), LinkFault.BROKER_NOT_TRUSTED).error)


@pytest.mark.parametrize("days", [+10, -4000], ids=["not yet valid", "expired"])
def test_a_certificate_of_another_time_points_at_the_clock(days: int, tmp_path: Path, start: StartBus) -> None:
    pki = BrokerPki.create(tmp_path, NOW + datetime.timedelta(days=days))
    pki.add_device(DEVICE, NOW)
    with ScriptedPeer(pki.directory, silent) as peer:
        assert "clock" in str(expect_fault(start(settings_for(pki, peer.port)), LinkFault.CLOCK).error)


@pytest.mark.broker
def test_a_refused_certificate_is_told_apart_and_not_retried_in_a_hurry(
    world: BrokerWithClients, start: StartBus
) -> None:
    for _ in range(3):  # the broker's reset may or may not overtake its alert
        bus = start(settings_for(world.pki, world.broker.requester_port))
        event = expect_fault(bus, LinkFault.CERTIFICATE_REFUSED)
        assert str(world.pki.client(DEVICE).certificate) in str(event.error)
        assert event.retry_in_s >= 15
        bus.stop()


@pytest.mark.broker
def test_an_expired_client_certificate_is_refused_with_its_name(world: BrokerWithClients, start: StartBus) -> None:
    long_ago = NOW - datetime.timedelta(days=500)
    files = world.pki.add_device("0e" * 8, long_ago)
    settings = replace(
        settings_for(world.pki, world.broker.device_port), certificate=files.certificate, key=files.key, name=files.name
    )
    assert "expired" in str(expect_fault(start(settings), LinkFault.CERTIFICATE_REFUSED).error)


@pytest.mark.broker
def test_somebody_with_our_certificate_takes_over_and_we_say_so(world: BrokerWithClients, start: StartBus) -> None:
    settings = settings_for(world.pki, world.broker.device_port)
    first = start(settings)
    expect(first, BusConnected)
    second = start(settings)
    expect(second, BusConnected)
    event = expect(first, BusDisconnected)
    if event.fault is LinkFault.LOST:
        pytest.skip("this mosquitto closes the old connection without saying why; 2.0.11, of Debian 12, does")
    assert event.fault is LinkFault.TAKEN_OVER
    assert "own" in event.error.remedy


@pytest.mark.parametrize("lost", ["authority", "certificate", "key"])
def test_a_file_that_cannot_be_used_is_named_at_the_start(lost: str, pki: BrokerPki, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not a PEM file\n")
    bus = MqttBus(settings_for(pki, 1, **{lost: wrong}))
    with pytest.raises(ConfigurationError, match=r"wrong\.pem"):
        bus.start()
    bus.stop()


def test_a_renewed_certificate_needs_no_restart(tmp_path: Path, start: StartBus) -> None:
    pki, other = BrokerPki.create(tmp_path / "good", NOW), BrokerPki.create(tmp_path / "bad", NOW)
    good, bad = pki.add_device(DEVICE, NOW), other.add_device(DEVICE, NOW)
    for name in ("certificate", "key"):
        shutil.copyfile(getattr(bad, name), tmp_path / name)

    def hang_up_then_accept(line: Line) -> None:
        line.accept()
        line.wait_for_end()

    with ScriptedPeer(pki.directory, hang_up_then_accept) as peer:
        settings = settings_for(pki, peer.port, certificate=tmp_path / "certificate", key=tmp_path / "key")
        bus = MqttBus(settings)
        bus._backoff.next_s = lambda fault, pending: 0.1  # type: ignore[method-assign]
        bus.start()
        try:
            expect_fault(bus, LinkFault.CERTIFICATE_REFUSED)
            for name in ("certificate", "key"):
                shutil.copyfile(getattr(good, name), tmp_path / name)
            while isinstance(event := bus.next_event(PATIENCE_S), BusDisconnected):
                pass
            assert isinstance(event, BusConnected)
        finally:
            bus.stop()


# Presence


def test_nobody_on_the_port_is_unreachable_and_tried_again_soon_while_work_is_pending(
    pki: BrokerPki, start: StartBus
) -> None:
    with socket.socket() as held:  # keeps the port taken and silent
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        event = expect_fault(start(settings_for(pki, port)), LinkFault.UNREACHABLE)
    assert f"127.0.0.1:{port}" in str(event.error)
    assert event.retry_in_s <= 4


def test_a_name_that_does_not_exist_is_unreachable(pki: BrokerPki, start: StartBus) -> None:
    expect_fault(start(settings_for(pki, 1, host="doorward.invalid")), LinkFault.UNREACHABLE)


def test_a_port_without_tls_is_not_the_brokers(pki: BrokerPki, start: StartBus) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            sock, _ = server.accept()
            with sock:
                sock.recv(1)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                sock.recv(4096)

        thread = threading.Thread(target=answer)
        thread.start()
        assert "TLS" in expect_fault(start(settings_for(pki, server.getsockname()[1])), LinkFault.PROTOCOL).error.remedy
        thread.join()


def test_a_broker_that_cannot_tls_1_3_is_refused(pki: BrokerPki, start: StartBus) -> None:
    with ScriptedPeer(pki.directory, silent, version=ssl.TLSVersion.TLSv1_2) as peer:
        assert "TLS 1.3" in str(expect_fault(start(settings_for(pki, peer.port)), LinkFault.PROTOCOL).error)


def test_a_broker_that_says_nothing_is_given_up(
    pki: BrokerPki, start: StartBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hear_and_say_nothing(line: Line) -> None:
        peer.notes.put(line.read()[0])
        line.wait_for_end()

    clock = ClockAhead(monkeypatch)
    with ScriptedPeer(pki.directory, hear_and_say_nothing) as peer:
        bus = start(settings_for(pki, peer.port, connect_s=30.0))
        assert peer.note() == CONNECT
        event = None
        while event is None:  # the first time may pass before the connection begins to measure
            clock.pass_over(31, bus)
            event = bus.next_event(0.5)
        assert isinstance(event, BusDisconnected)
        assert event.fault is LinkFault.STALLED, event.error


@pytest.mark.parametrize(
    ("code", "fault"),
    [(0x87, LinkFault.NOT_AUTHORISED), (0x88, LinkFault.BUSY), (0x84, LinkFault.PROTOCOL), (0x97, LinkFault.BUSY)],
)
def test_a_refusal_in_the_connack_is_told_by_its_reason(
    code: int, fault: LinkFault, pki: BrokerPki, start: StartBus
) -> None:
    def refuse(line: Line) -> None:
        line.read()
        line.send(connack(code))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, refuse) as peer:
        assert f"0x{code:02x}" in str(expect_fault(start(settings_for(pki, peer.port)), fault).error)


def test_a_broker_that_acknowledges_nothing_is_of_no_use(pki: BrokerPki, start: StartBus) -> None:
    def without_qos(line: Line) -> None:
        line.accept(b"\x24\x00")
        line.wait_for_end()

    with ScriptedPeer(pki.directory, without_qos) as peer:
        expect_fault(start(settings_for(pki, peer.port)), LinkFault.PROTOCOL)


def test_a_broker_that_shuts_down_is_heard(pki: BrokerPki, start: StartBus) -> None:
    def shut_down(line: Line) -> None:
        line.accept()
        line.send(packet(DISCONNECT, b"\x8b\x00"))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, shut_down) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        expect_fault(bus, LinkFault.BUSY)


# Outbound


def test_we_announce_our_limits_and_take_no_topic_alias(pki: BrokerPki, start: StartBus) -> None:
    with ScriptedPeer(pki.directory, lambda line: peer.notes.put(line.accept())) as peer:
        start(settings_for(pki, peer.port))
        connect = peer.note()
        assert isinstance(connect, bytes)
        assert b"\x21" + struct.pack("!H", 128) in connect
        assert b"\x27" + struct.pack("!I", 16 << 10) in connect
        assert b"\x22" + struct.pack("!H", 0) in connect
        assert connect.endswith(DEVICE.encode())


def test_the_brokers_receive_maximum_is_kept(pki: BrokerPki, start: StartBus) -> None:
    def take_two(line: Line) -> None:
        line.accept(b"\x21" + struct.pack("!H", 2))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, take_two) as peer:
        bus = start(settings_for(pki, peer.port))
        assert expect(bus, BusConnected).window == 2
        assert [bus.publish(TOPIC, b"x", token=n) for n in range(4)] == [True, True, False, False]


def test_a_refused_publication_is_told_once_and_never_repeated(pki: BrokerPki, start: StartBus) -> None:
    def refuse_all(line: Line) -> None:
        line.accept()
        while (read := line.read())[0]:
            peer.notes.put(read[0])
            packet_id = struct.unpack_from("!H", read[1], 2 + len(TOPIC))[0]
            line.send(puback(packet_id, 0x97))

    with ScriptedPeer(pki.directory, refuse_all) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        assert bus.publish(TOPIC, b"x", token=5)
        refused = expect(bus, PublishRefused)
        assert (refused.token, refused.code) == (5, 0x97)
        assert bus.next_event(0.3) is None
        assert peer.notes.qsize() == 1


def test_after_a_reconnect_nothing_is_sent_by_itself(pki: BrokerPki, start: StartBus) -> None:
    def hang_up_after_two(line: Line) -> None:
        line.accept()
        for _ in range(2):
            peer.notes.put(line.read()[0] & 0xF0)
        if peer.notes.qsize() > 2:
            line.wait_for_end()

    with ScriptedPeer(pki.directory, hang_up_after_two) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        for token in (1, 2, 3):
            assert bus.publish(TOPIC, b"x", token=token)
        assert [expect(bus, PublishLost).token for _ in range(3)] == [1, 2, 3]
        expect(bus, BusDisconnected)
        expect(bus, BusConnected)
        assert bus.next_event(0.3) is None
        assert [peer.note(), peer.note()] == [PUBLISH, PUBLISH]
        assert peer.notes.empty()


def test_no_answer_to_a_publication_replaces_the_connection(
    pki: BrokerPki, start: StartBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallow(line: Line) -> None:
        line.accept()
        while kind := line.read()[0]:
            peer.notes.put(kind & 0xF0)

    clock = ClockAhead(monkeypatch)
    with ScriptedPeer(pki.directory, swallow) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        assert bus.publish(TOPIC, b"x", token=1)
        assert peer.note() == PUBLISH
        clock.pass_over(61, bus)
        expect(bus, PublishLost)
        expect_fault(bus, LinkFault.STALLED)
        expect(bus, BusConnected)


def test_an_idle_link_is_not_taken_for_a_stalled_one(
    pki: BrokerPki, start: StartBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def polite(line: Line) -> None:
        line.accept()
        while (read := line.read())[0] & 0xF0 == PUBLISH:
            line.send(puback(struct.unpack_from("!H", read[1], 2 + len(TOPIC))[0], 0))

    clock = ClockAhead(monkeypatch)
    with ScriptedPeer(pki.directory, polite) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        clock.pass_over(61, bus)
        assert bus.next_event(0.3) is None
        clock.pass_over(61, bus)
        assert bus.publish(TOPIC, b"x", token=1)
        expect(bus, PublishAcknowledged)


def test_a_doorbell_that_only_listens_leaves_a_broker_that_hangs_after_two_keep_alives(
    pki: BrokerPki, start: StartBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel takes the ping, so TCP_USER_TIMEOUT never ends the connection."""

    def swallow(line: Line) -> None:
        line.accept()
        while kind := line.read()[0]:
            peer.notes.put(kind & 0xF0)

    clock = ClockAhead(monkeypatch, keep_alive=True)
    with ScriptedPeer(pki.directory, swallow) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        clock.pass_over(58, bus)
        assert bus.next_event(0.05) is None
        assert peer.notes.empty()
        clock.pass_over(2, bus)
        assert peer.note() == PINGREQ
        clock.pass_over(58, bus)
        assert bus.next_event(0.05) is None
        clock.pass_over(2, bus)
        expect_fault(bus, LinkFault.LOST)


def test_a_broker_that_retains_nothing_is_not_asked_to(pki: BrokerPki, start: StartBus) -> None:
    def no_retain(line: Line) -> None:
        line.accept(b"\x25\x00")
        line.wait_for_end()

    with ScriptedPeer(pki.directory, no_retain) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        assert bus.publish(TOPIC, b"x", token=1, retain=True)
        assert expect(bus, PublishRefused).code == 0x9A


def test_a_refused_subscription_is_told(pki: BrokerPki, start: StartBus) -> None:
    def refuse(line: Line) -> None:
        line.accept()
        _, body = line.read()
        line.send(suback(struct.unpack_from("!H", body)[0], 0x87))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, refuse) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        bus.subscribe("doorward/v1/#")
        assert expect(bus, SubscriptionRefused) == SubscriptionRefused("doorward/v1/#", 0x87)


_SUBSCRIBE, _UNSUBSCRIBE, _PUBLISH = 8, 10, 3
"""Types of packets."""


@pytest.mark.parametrize("code", [0x80, 0x83])
def test_a_subscription_that_is_refused_for_now_is_asked_for_again(
    pki: BrokerPki, start: StartBus, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """RabbitMQ answers so while a node of its cluster is away. Else the client hears nothing, and seems connected."""
    monkeypatch.setattr("agent.mqtt.pacing._FILTER_FIRST_S", 0.02)

    def refuse_twice(line: Line) -> None:
        line.accept()
        for answer in (code, code, 0x01):
            kind, body = line.read()
            assert kind >> 4 == _SUBSCRIBE, "it asks for the filter"
            line.send(suback(struct.unpack_from("!H", body)[0], answer))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, refuse_twice) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        bus.subscribe("doorward/v1/#")
        for _ in range(2):
            assert expect(bus, SubscriptionRefused) == SubscriptionRefused("doorward/v1/#", code)
        assert expect(bus, Subscribed).topic_filter == "doorward/v1/#"


def test_a_filter_that_is_no_longer_wanted_or_refused_for_good_is_not_asked_for_again(
    pki: BrokerPki, start: StartBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.mqtt.pacing._FILTER_FIRST_S", 0.05)
    kinds: list[int] = []

    def refuse(line: Line) -> None:
        line.accept()
        while kind := line.read():
            if not kind[0]:
                return
            kinds.append(kind[0] >> 4)
            if kinds[-1] == _SUBSCRIBE:
                packet_id = struct.unpack_from("!H", kind[1])[0]
                line.send(suback(packet_id, 0x83 if b"a/+" in kind[1] else 0x87))

    with ScriptedPeer(pki.directory, refuse) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        bus.subscribe("a/+")
        assert expect(bus, SubscriptionRefused) == SubscriptionRefused("a/+", 0x83)
        bus.unsubscribe("a/+")
        bus.subscribe("b/+")
        assert expect(bus, SubscriptionRefused) == SubscriptionRefused("b/+", 0x87)
        assert bus.next_event(0.3) is None
        bus.publish(TOPIC, b"x", token=1)
        assert bus.next_event(0.3) is None
    assert kinds[:4] == [_SUBSCRIBE, _UNSUBSCRIBE, _SUBSCRIBE, _PUBLISH]


# Inbound


@pytest.mark.parametrize(
    "bytes_sent",
    [
        publish("", b"x", 7, b"\x23\x00\x01"),
        packet(PUBLISH | 4, b"\x00\x01t\x00\x07\x00x"),
        publish("some/topic", b"x", 7, b"\x23\x00\x01"),
        packet(PUBLISH, b"\x00\x01t\x00", length=100 << 20) + bytes(1000),
        packet(PUBLISH, b"\xff\xff"),
        packet(PUBLISH | 2, b""),
        packet(PUBLISH, b"\x00\x01t\x7f\x7f\x7f"),
        packet(0x40, b""),
        packet(0x90, b"\x00"),
        packet(CONNECT, b""),
        packet(0xF0, b""),
        packet(0x20, b""),
        b"\x30\xff\xff\xff\xff\xff",
        b"\x00" * 64,
    ],
    ids=[
        "alias without topic", "QoS 2", "alias with topic", "100 MB announced", "topic beyond the end", "empty publish",
        "properties beyond the end", "empty puback", "short suback", "connect", "auth", "short connack",
        "endless length", "zeros",
    ],
)  # fmt: skip
def test_hostile_bytes_end_the_connection_and_not_the_bus(bytes_sent: bytes, pki: BrokerPki, start: StartBus) -> None:
    def attack(line: Line) -> None:
        line.accept()
        line.send(bytes_sent)
        line.wait_for_end()

    with ScriptedPeer(pki.directory, attack) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        expect_fault(bus, LinkFault.PROTOCOL)


def test_a_flood_that_nobody_takes_is_dropped_and_counted_and_blocks_nothing(pki: BrokerPki, start: StartBus) -> None:
    def flood(line: Line) -> None:
        line.accept()
        for number in range(500):
            line.send(publish("doorward/v1/areas/1-1/requests/x", b"%d" % number))
        _, body = line.read()
        line.send(puback(struct.unpack_from("!H", body, 2 + len(TOPIC))[0], 0))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, flood) as peer:
        bus = start(settings_for(pki, peer.port, inbound_beat_s=0.0, inbound_queue=64))
        expect(bus, BusConnected)
        assert bus.publish(TOPIC, b"x", token=1)
        while not (isinstance(bus._events[-1][0], PublishAcknowledged) if bus._events else False):
            threading.Event().wait(0.01)
        assert [int(expect(bus, MessageReceived).payload) for _ in range(64)] == list(range(64))
        expect(bus, PublishAcknowledged)
        assert bus.dropped == 500 - 64


def test_all_that_came_is_acknowledged_at_the_beat_though_nobody_takes_it_and_what_is_ours_does_not_wait(
    pki: BrokerPki, start: StartBus
) -> None:
    acknowledged: list[tuple[int, float]] = []
    sent_s: list[float] = []
    beat_s = 0.4

    def send_three(line: Line) -> None:
        line.accept()
        sent_s.append(time.monotonic())
        for number in (1, 2, 3):
            line.send(publish("doorward/v1/areas/1-1/requests/x", b"%d" % number, packet_id=number))
        while True:
            kind, body = line.read()
            if not kind:
                return
            if kind == PUBACK:
                acknowledged.append((struct.unpack_from("!H", body)[0], time.monotonic()))
                if len(acknowledged) == 3:  # for the next beat
                    line.send(publish("doorward/v1/areas/1-1/requests/x", b"4", packet_id=4))
            elif kind & 0xF0 == PUBLISH:
                line.send(puback(struct.unpack_from("!H", body, 2 + len(TOPIC))[0], 0))

    with ScriptedPeer(pki.directory, send_three) as peer:
        bus = start(settings_for(pki, peer.port, inbound_beat_s=beat_s))
        expect(bus, BusConnected)
        assert bus.publish(TOPIC, b"x", token=1)
        deadline = time.monotonic() + PATIENCE_S
        while len(acknowledged) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert [number for number, _ in acknowledged] == [1, 2, 3, 4]
        assert all(at // beat_s > sent_s[0] // beat_s for _, at in acknowledged), "before a beat had come"
        happened = [bus.next_event(PATIENCE_S) for _ in range(5)]
        assert [int(event.payload) for event in happened if isinstance(event, MessageReceived)] == [1, 2, 3, 4]
        assert sum(isinstance(event, PublishAcknowledged) for event in happened) == 1


def test_a_receipt_is_handed_out_as_it_comes_and_acknowledged_at_the_beat_like_the_rest(
    pki: BrokerPki, start: StartBus
) -> None:
    acknowledged: list[int] = []

    def send_both(line: Line) -> None:
        line.accept()
        line.send(publish("doorward/v1/areas/1-1/requests/x/0", b"request", packet_id=1))
        line.send(publish(f"doorward/v1/receipts/{'a1' * 8}/{'cd' * 16}", b"receipt", packet_id=2))
        while True:
            kind, body = line.read()
            if not kind:
                return
            if kind == PUBACK:
                acknowledged.append(struct.unpack_from("!H", body)[0])

    with ScriptedPeer(pki.directory, send_both) as peer:
        bus = start(settings_for(pki, peer.port, inbound_beat_s=3600.0))
        expect(bus, BusConnected)
        assert expect(bus, MessageReceived).payload == b"receipt"
        assert acknowledged == []


def test_with_a_beat_too_a_flood_that_nobody_takes_is_dropped_and_counted(pki: BrokerPki, start: StartBus) -> None:
    def flood(line: Line) -> None:
        line.accept()
        for number in range(100):
            line.send(publish("doorward/v1/areas/1-1/requests/x", b"%d" % number))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, flood) as peer:
        bus = start(settings_for(pki, peer.port, inbound_beat_s=0.001, inbound_of_one=8))
        expect(bus, BusConnected)
        deadline = time.monotonic() + PATIENCE_S
        while bus.crowded_out < 100 - 8:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert [int(expect(bus, MessageReceived).payload) for _ in range(8)] == list(range(92, 100))
        assert bus.next_event(0.05) is None
        assert bus.crowded_out == 100 - 8
        assert bus.dropped == 0, "the uplink subscribes again soon after such a message, which the broker sees"


def test_what_waits_for_its_beat_when_the_link_ends_can_still_be_taken(pki: BrokerPki, start: StartBus) -> None:
    def send_two_and_leave(line: Line) -> None:
        line.accept()
        for number in (1, 2):
            line.send(publish("doorward/v1/areas/1-1/requests/x", b"%d" % number, packet_id=number))
        time.sleep(0.2)

    with ScriptedPeer(pki.directory, send_two_and_leave) as peer:
        bus = start(settings_for(pki, peer.port, inbound_beat_s=60.0))
        expect(bus, BusConnected)
        happened = [bus.next_event(PATIENCE_S) for _ in range(3)]
        assert {int(event.payload) for event in happened if isinstance(event, MessageReceived)} == {1, 2}


def test_a_message_of_the_announced_size_is_taken_whole(pki: BrokerPki, start: StartBus) -> None:
    def send_large(line: Line) -> None:
        line.accept()
        line.send(publish("t/large", bytes((16 << 10) - 11)) + publish("t/small", b"x"))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, send_large) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        assert {expect(bus, MessageReceived).topic, expect(bus, MessageReceived).topic} == {"t/large", "t/small"}


@pytest.mark.parametrize("beat_s", [0.0, 3600.0], ids=["without a beat", "with a beat"])
def test_large_messages_that_nobody_takes_are_bounded_in_bytes(beat_s: float, pki: BrokerPki, start: StartBus) -> None:
    """256 of 12 kB would be three times as much as this bus may hold."""

    def flood(line: Line) -> None:
        line.accept()
        for _ in range(256):
            line.send(publish("doorward/v1/areas/1-1/requests/x", bytes(12_000)))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, flood) as peer:
        bus = start(settings_for(pki, peer.port, inbound_beat_s=beat_s, inbound_bytes=1 << 20))
        expect(bus, BusConnected)
        deadline = time.monotonic() + PATIENCE_S
        while bus.dropped < 256 - (1 << 20) // 12_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        held = [message for message, _ in bus._unacknowledged] if beat_s else [event for event, _, _ in bus._events]
        assert 70 < len(held) <= (1 << 20) // 12_000
        assert sum(map(held_bytes, held)) <= 1 << 20


def test_of_a_large_packet_that_comes_at_once_nothing_is_taken(
    pki: BrokerPki, start: StartBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast broker: the whole packet lies in the socket before the first read of it."""
    largest = 0
    receive = PahoClient._sock_recv

    def measured(client: PahoClient, size_bytes: int) -> bytes:
        nonlocal largest
        data = receive(client, size_bytes)
        largest = max(largest, len(client._in_packet["packet"]) + len(data))
        return data

    monkeypatch.setattr(PahoClient, "_sock_recv", measured)

    def attack(line: Line) -> None:
        line.accept()
        with contextlib.suppress(OSError):
            line.send(publish("t/large", bytes(1 << 20)))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, attack) as peer:
        bus = start(settings_for(pki, peer.port))
        expect(bus, BusConnected)
        expect_fault(bus, LinkFault.PROTOCOL)
    assert largest <= (16 << 10) + 5


def test_a_broker_that_sends_and_never_reads_is_left(
    pki: BrokerPki, start: StartBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unread messages wait here.  The socket refuses data after the connection is made."""
    monkeypatch.setattr(connection, "MOST_UNSENT", 100)
    send = PahoClient._sock_send

    def full(client: PahoClient, data: bytes) -> int:
        if client.is_connected():
            raise BlockingIOError
        return send(client, data)

    monkeypatch.setattr(PahoClient, "_sock_send", full)

    def flood(line: Line) -> None:
        line.accept()
        with contextlib.suppress(OSError):
            for number in range(1, 2000):
                line.send(publish("doorward/v1/areas/1-1/requests/x", b"x", packet_id=number))
        line.wait_for_end()

    with ScriptedPeer(pki.directory, flood) as peer:
        bus = start(settings_for(pki, peer.port, inbound_beat_s=0.001))
        expect(bus, BusConnected)
        while isinstance(fault := bus.next_event(PATIENCE_S), MessageReceived):
            pass
        assert isinstance(fault, BusDisconnected)
        assert fault.fault is LinkFault.PROTOCOL
    assert "reads no acknowledgement" in str(fault.error)


# The socket


@pytest.mark.parametrize(
    "error",
    [TimeoutError("user timeout"), ConnectionResetError("reset"), ssl.SSLError(1, "[SYS] unknown error"), OSError()],
)
def test_a_link_that_breaks_on_its_way_is_lost_and_soon_tried_again(error: OSError, pki: BrokerPki) -> None:
    assert tls.explain(error, settings_for(pki, 1), established=True).fault is LinkFault.LOST


def test_the_socket_is_tuned_where_the_kernel_can_and_silently_not_where_it_cannot(pki: BrokerPki) -> None:
    settings = settings_for(pki, 1)
    with socket.socket() as sock:
        tls.tune(sock, settings)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 8000
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        usual = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        tls.tune(sock, replace(settings, congestion=b"nosuchthing", user_timeout_ms=1))
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16) == usual


def test_each_control_of_congestion_that_the_kernel_has_is_in_force_after_it_was_asked_for(pki: BrokerPki) -> None:
    """bbr is among them where the installer could load it."""
    there = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    assert there
    for name in there:
        with socket.socket() as sock:
            tls.tune(sock, replace(settings_for(pki, 1), congestion=name.encode()))
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == name.encode()


# The bell


def test_who_leaves_many_chunks_rings_once(pki: BrokerPki) -> None:
    bus = MqttBus(settings_for(pki, 1))
    for _ in range(16):
        bus._wake()
    assert bus._wake_reader.recv(16) == b"\0"
    bus._drain_wake()
    bus._wake()
    assert bus._wake_reader.recv(16) == b"\0"
    bus.stop()


def test_who_rings_while_the_thread_hears_the_one_before_does_not_silence_the_next(pki: BrokerPki) -> None:
    bus = MqttBus(settings_for(pki, 1))
    bell, woken = bus._wake_reader, []

    def recv(size: int) -> bytes:
        heard = bell.recv(size)
        if not woken:
            woken.append(True)
            bus._wake()
        return heard

    bus._wake()
    bus._wake_reader = SimpleNamespace(recv=recv)  # type: ignore[assignment]
    bus._drain_wake()
    bus._wake_reader = bell
    bus._wake()
    assert bell.recv(16) == b"\0"
    bus.stop()
