"""A doorbell asks its broker for a session only if its settings do, and takes what the broker kept for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clients.broker.broker_pki import BrokerPki
from agent.core.bus import BusConnected, MessageReceived
from agent.mqtt import BusSettings, MqttBus
from tests.brokers import NOW
from tests.mqtt.mqtt_peer import PUBACK, Line, ScriptedPeer, packet, publish

DEVICE, TOPIC = "a1" * 8, "doorward/v1/areas/283-375/requests/springfield-police/0"
PATIENCE_S = 60.0
CLEAN_START = 0x02
_FLAGS, _EXPIRY = 7, b"\x11"


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
