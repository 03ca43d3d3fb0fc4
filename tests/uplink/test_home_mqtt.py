"""The connection to a home's broker: what it asks of the library, and a broker that acknowledges nothing."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from msgspec.structs import replace
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from agent.core.home_news import HomeAddress
from agent.custodian.page.certificate_authority import PageCertificates
from agent.errors import ConfigurationError, NetworkError
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


def test_a_connection_begins_with_nothing_on_its_way() -> None:
    client = home_mqtt._HomeAssistantClient(CallbackAPIVersion.VERSION2)
    client._inflight_messages = 3
    client._out_messages[7] = mock.Mock()
    client._messages_reconnect_reset_out()
    assert (client._inflight_messages, list(client._out_messages)) == (0, [])


# -- what is asked of the library --------------------------------------------------------------------------------------

ADDRESS = HomeAddress("home.example", 1884, "", "", device="ab" * 8, name="n", version="1")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    made = mock.Mock()
    monkeypatch.setattr(home_mqtt, "_HomeAssistantClient", made)
    return made


def test_the_client_has_a_name_of_its_own_bounded_queues_and_credentials_only_if_there_are_any(
    client: mock.Mock,
) -> None:
    MqttHomeBus(ADDRESS)
    assert client.call_args == mock.call(
        CallbackAPIVersion.VERSION2, client_id=f"doorward-home-{'ab' * 8}", protocol=mqtt.MQTTv311
    )
    made = client.return_value
    made.reconnect_delay_set.assert_called_once_with(1, 60)
    made.max_queued_messages_set.assert_called_once_with(20)
    made.username_pw_set.assert_not_called()
    made.tls_set_context.assert_not_called()
    for password, given in (("secret", "secret"), ("", None)):
        MqttHomeBus(replace(ADDRESS, user="ann", password=password))
        assert made.username_pw_set.call_args == mock.call("ann", given)


def test_with_an_authority_the_brokers_certificate_is_checked(client: mock.Mock, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used") as refused:
        MqttHomeBus(replace(ADDRESS, ca=str(tmp_path / "missing.pem")))
    assert "home_assistant.ca" in refused.value.remedy
    client.return_value.tls_set_context.assert_not_called()
    authority = PageCertificates(tmp_path / "page", "home.local", (), datetime.datetime.now(datetime.UTC)).authority_der
    (tmp_path / "ca.pem").write_text(ssl.DER_cert_to_PEM_cert(authority))
    MqttHomeBus(replace(ADDRESS, ca=str(tmp_path / "ca.pem")))
    ((context,), _) = client.return_value.tls_set_context.call_args
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1, "no other authority counts"


def test_a_last_will_is_kept_by_the_broker_and_the_connection_is_probed(client: mock.Mock) -> None:
    made = client.return_value
    MqttHomeBus(ADDRESS).start()
    made.will_set.assert_not_called()
    MqttHomeBus(ADDRESS).start(("door/status", b"offline"))
    made.will_set.assert_called_once_with("door/status", b"offline", qos=1, retain=True)
    assert made.connect_async.call_args == mock.call("home.example", 1884, 30)
    assert made.loop_start.call_count == 2


def test_a_broker_that_refuses_us_is_no_connection_and_each_new_one_has_a_number(client: mock.Mock) -> None:
    bus = MqttHomeBus(ADDRESS)
    refused, taken = SimpleNamespace(is_failure=True), SimpleNamespace(is_failure=False)
    bus._connected(None, None, None, refused, None)  # type: ignore[arg-type]
    assert bus.connection is None
    bus.publish("t", b"nothing", retain=True)
    client.return_value.publish.assert_not_called()
    with pytest.raises(NetworkError, match=r"home\.example:1884 does not let us in"):
        bus.wait_connected(0)
    for number in (1, 2):
        bus._connected(None, None, None, taken, None)  # type: ignore[arg-type]
        bus.wait_connected(0)
        assert bus.connection == number
        bus._disconnected()
        assert bus.connection is None


def test_a_message_is_sent_once_and_waited_for_unless_it_was_not_taken(client: mock.Mock) -> None:
    bus = MqttHomeBus(ADDRESS)
    bus._connected(None, None, None, SimpleNamespace(is_failure=False), None)  # type: ignore[arg-type]
    publish = client.return_value.publish
    publish.return_value.rc = MQTTErrorCode.MQTT_ERR_SUCCESS
    bus.publish("t", b"one", retain=True)
    publish.assert_called_once_with("t", b"one", qos=1, retain=True)
    publish.return_value.wait_for_publish.assert_called_once_with(5.0)
    publish.return_value.wait_for_publish.side_effect = RuntimeError
    bus.publish("t", b"two", retain=False)
    publish.return_value.rc = MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
    bus.publish("t", b"three", retain=False)
    assert publish.return_value.wait_for_publish.call_count == 2
    bus.stop()
    client.return_value.disconnect.assert_called_once_with()
    client.return_value.loop_stop.assert_called_once_with()
