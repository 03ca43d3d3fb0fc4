"""A home's broker that lets us in and acknowledges nothing: a hung one, or a network that swallows what is sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from agent.core.home_news import HomeAddress
from agent.uplink import home_mqtt
from agent.uplink.home_mqtt import MqttHomeBus

_CONNACK = b"\x20\x02\x00\x00"


class SilentBroker:
    """`heard` is what came over each connection, in their order."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.heard: list[bytearray] = []
        self._peers: list[socket.socket] = []
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def wait_for(self, words: bytes, connection: int) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: len(self.heard) > connection and words in self.heard[connection], 30
            ), self.heard

    def hang_up(self) -> None:
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            self._threads.append(threading.Thread(target=self._hear, args=(peer,)))
            self._threads[-1].start()

    def _hear(self, peer: socket.socket) -> None:
        heard = bytearray()
        with peer, suppress(OSError):
            peer.sendall(_CONNACK)
            with self._changed:
                self.heard.append(heard)
            while data := peer.recv(4096):
                with self._changed:
                    heard += data
                    self._changed.notify_all()


@pytest.fixture
def broker() -> Iterator[SilentBroker]:
    broker = SilentBroker()
    yield broker
    broker.close()


@pytest.fixture
def bus(broker: SilentBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[MqttHomeBus]:
    monkeypatch.setattr(home_mqtt, "_SETTLE_S", 0.01)
    monkeypatch.setattr(home_mqtt, "_PAUSES_S", (1, 1))
    bus = MqttHomeBus(HomeAddress("127.0.0.1", broker.port, "", "", device="ab" * 8, name="n", version="1"))
    bus.start()
    bus.wait_connected(30)
    yield bus
    bus.stop()


def test_a_press_that_a_silent_broker_did_not_take_is_not_told_to_it_later(
    bus: MqttHomeBus, broker: SilentBroker
) -> None:
    bus.publish("home/button", b"a press of yesterday", retain=False)
    broker.wait_for(b"of yesterday", 0)
    broker.hang_up()
    while bus.connection in (None, 1):
        time.sleep(0.01)
    bus.publish("home/button", b"a press of today", retain=False)
    broker.wait_for(b"of today", 1)
    assert b"of yesterday" not in broker.heard[1]


def test_what_a_silent_broker_does_not_take_is_not_kept_for_ever(bus: MqttHomeBus) -> None:
    for number in range(100):
        bus.publish("home/state", b"%d" % number, retain=True)
    assert len(bus._client._out_messages) <= 20
