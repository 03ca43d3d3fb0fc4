"""A doorbell asks its broker for a session only if its settings do, and takes what the broker kept for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.clients.broker.broker_pki import BrokerPki
from agent.core.bus import BusConnected, MessageReceived
from agent.mqtt import BusSettings, MqttBus, sessionless
from tests.brokers import NOW
from tests.mqtt.mqtt_peer import PUBACK, Line, ScriptedPeer, packet, publish

DEVICE, TOPIC = "a1" * 8, "doorward/v1/areas/283-375/requests/springfield-police/0"
PATIENCE_S = 60.0
CLEAN_START = 0x02
_FLAGS, _EXPIRY = 7, b"\x11"
DISCONNECT = 0xE0


@pytest.mark.parametrize("session_s", [0, 7200])
def test_a_doorbell_with_a_session_takes_what_the_broker_kept_and_another_one_begins_anew(
    session_s: int, tmp_path: Path
) -> None:
    pki = BrokerPki.create(tmp_path, NOW)
    files = pki.add_device(DEVICE, NOW)

    def keep(line: Line) -> None:
        _, asked = line.read()
        peer.notes.put(asked)
        kept = not asked[_FLAGS] & CLEAN_START
        line.send(packet(0x20, bytes([kept, 0, 0])))
        if kept:
            line.send(publish(TOPIC, b"asked while it was away", packet_id=9))
        peer.notes.put(line.read())
        line.wait_for_end()

    with ScriptedPeer(pki.directory, keep) as peer:
        bus = MqttBus(
            BusSettings(
                "127.0.0.1", peer.port, DEVICE, files.authority, files.certificate, files.key, session_s=session_s
            )
        )
        bus.start()
        try:
            assert isinstance(bus.next_event(PATIENCE_S), BusConnected)
            asked = peer.note()
            assert isinstance(asked, bytes)
            assert (_EXPIRY + session_s.to_bytes(4, "big")) in asked[10:]
            assert bool(asked[_FLAGS] & CLEAN_START) == (session_s == 0)
            if session_s:
                event = bus.next_event(PATIENCE_S)
                assert event == MessageReceived(TOPIC, b"asked while it was away")
                assert peer.note() == (PUBACK, b"\x00\x09")
        finally:
            bus.stop()


def test_the_second_connection_has_another_client_id_and_no_session_and_subscribes_with_qos_0(tmp_path: Path) -> None:
    pki = BrokerPki.create(tmp_path, NOW)
    files = pki.add_device(DEVICE, NOW)

    def answer(line: Line) -> None:
        peer.notes.put(line.accept())
        kind, asked = line.read()
        peer.notes.put((kind, asked))
        line.send(packet(0x90, asked[:2] + b"\0\0"))
        line.send(publish(TOPIC, b"live"))
        peer.notes.put(line.read()[0])
        line.wait_for_end()

    with ScriptedPeer(pki.directory, answer) as peer:
        first = BusSettings(
            "127.0.0.1", peer.port, DEVICE, files.authority, files.certificate, files.key, session_s=7200
        )
        second = sessionless(first)
        assert second is not None
        assert (second.user, sessionless(second)) == ("", None), "RabbitMQ takes no user name beside a certificate"
        bus = MqttBus(second)
        bus.subscribe("doorward/v1/trust/+/+")
        bus.start()
        try:
            connect = peer.note()
            assert isinstance(connect, bytes)
            assert connect[_FLAGS] & CLEAN_START
            assert re.search(rb"\0\x1e%b\.live\.[0-9a-f]{8}" % DEVICE.encode(), connect), "another id each time"
            assert (_EXPIRY + bytes(4)) in connect[10:]
            kind, asked = peer.note()  # type: ignore[misc]
            assert (kind & 0xF0, asked[-1]) == (0x80, 0), "QoS 0, retained messages first"
            while not isinstance(event := bus.next_event(PATIENCE_S), MessageReceived):
                assert event is not None
            assert event == MessageReceived(TOPIC, b"live")
        finally:
            bus.stop()
        assert peer.note() == DISCONNECT, "no acknowledgement"


class Heard:
    """In place of a connection: the changes of subscriptions that a broker hears, since it was asked last."""

    def __init__(self) -> None:
        self._changes: list[str] = []

    def subscribe(self, topic_filter: str, *, retained: bool) -> None:
        self._changes.append(f"+{topic_filter}")
        assert retained

    def unsubscribe(self, topic_filter: str) -> None:
        self._changes.append(f"-{topic_filter}")

    def said(self) -> list[str]:
        said, self._changes = self._changes, []
        return said


@pytest.mark.parametrize("session_s", [0, 7200])
def test_a_session_hears_of_each_end_that_it_missed_and_of_nothing_that_it_never_had(
    session_s: int, tmp_path: Path
) -> None:
    """A receipts topic that a broker never heard of would tell it of an answer that its owner took back."""
    bus, broker = MqttBus(BusSettings("127.0.0.1", 8883, DEVICE, tmp_path, session_s=session_s)), Heard()

    def connect() -> list[str]:
        bus._on_connection_events([BusConnected(1 << 20, 16)], broker)  # type: ignore[arg-type]
        bus._pass_to_connection(broker)  # type: ignore[arg-type]
        return broker.said()

    for wanted in ("cell", "answer", "other answer"):
        bus.subscribe(wanted)
    assert connect() == ["+cell", "+answer", "+other answer"]
    bus.unsubscribe("answer")
    bus._pass_to_connection(broker)  # type: ignore[arg-type]
    assert broker.said() == ["-answer"]
    bus._on_link_ended(None)
    bus.unsubscribe("other answer")
    bus.subscribe("taken back")
    bus.unsubscribe("taken back")
    missed = ["-answer", "-other answer"] if session_s else []
    assert connect() == [*missed, "+cell"], "the first may not have arrived"
    bus.subscribe("answer")
    bus._pass_to_connection(broker)  # type: ignore[arg-type]
    assert broker.said() == ["+answer"]
    bus._on_link_ended(None)
    assert connect() == [*missed[1:], "+cell", "+answer"]
    bus._wake_reader.close()
    bus._wake_writer.close()
