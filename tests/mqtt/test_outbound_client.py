"""A process that only opens connections binds and listens to nothing: the sandbox forbids both, and the broker must be
reached in it."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from paho.mqtt.enums import CallbackAPIVersion
from urllib3.util import connection

from agent.core.bus import BusConnected
from agent.core.home_news import HomeAddress
from agent.errors import NetworkError
from agent.mqtt.outbound_client import PahoClient
from agent.uplink.apprise_sender import AppriseSender
from agent.uplink.home_mqtt import MqttHomeBus
from tests.brokers import broker_with_clients
from tests.home_brokers import PASSWORD, USER, HomeBroker

DEVICE = "ab" * 8


@contextmanager
def nothing_bound() -> Iterator[None]:
    """Every bind(2) of this process meanwhile is told; an audit hook stays for ever, so this one can be deaf."""
    bound: list[object] = []
    hears = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if hears and event == "socket.bind":
            bound.append(arguments[1])

    sys.addaudithook(hook)
    try:
        yield
    finally:
        hears = False
    assert bound == []


@pytest.mark.broker
def test_the_bus_for_footage_binds_nothing(tmp_path: Path) -> None:
    with broker_with_clients(tmp_path) as world:
        bus = world.bus(DEVICE)
        with nothing_bound():
            bus.start()
            assert isinstance(bus.next_event(10), BusConnected)


@pytest.mark.broker
def test_the_bus_for_the_home_binds_nothing(tmp_path: Path) -> None:
    with HomeBroker(tmp_path) as broker:
        bus = MqttHomeBus(HomeAddress("127.0.0.1", broker.port, USER, PASSWORD, device=DEVICE, name="n", version="1"))
        with nothing_bound():
            bus.start()
            bus.wait_connected(10)
        bus.stop()


def test_the_bus_for_the_home_takes_no_packet_larger_than_64_kib(monkeypatch: pytest.MonkeyPatch) -> None:
    """The household's broker may be anyone's: paho alone would take 1 MiB here, and 256 MB elsewhere."""
    largest, ended = 0, threading.Event()
    receive = PahoClient._sock_recv

    def measured(client: PahoClient, size_bytes: int) -> bytes:
        nonlocal largest
        data = receive(client, size_bytes)
        largest = max(largest, len(client._in_packet["packet"]) + len(data))
        return data

    monkeypatch.setattr(PahoClient, "_sock_recv", measured)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        bus = MqttHomeBus(HomeAddress("127.0.0.1", port, "", "", device=DEVICE, name="n", version="1"))
        monkeypatch.setattr(bus._client, "on_disconnect", lambda *_: ended.set())
        bus.start()
        line, _ = listening.accept()
        with line:
            line.recv(4096)
            line.sendall(bytes([0x20, 2, 0, 0]) + bytes([0x30, 0x80, 0x80, 0x40]))
            with suppress(OSError):
                line.sendall(bytes(1 << 20))
            assert ended.wait(60)
        bus.stop()
    assert largest <= 64 << 10


def test_the_courier_tries_ipv6_though_it_may_not_bind_to_find_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HAS_IPV6", False)  # as urllib3 concludes in the sandbox
    asked: list[int] = []

    def look_up(_host: str, _port: int, family: int = socket.AF_UNSPEC, **_: int) -> list[object]:
        asked.append(family)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(NetworkError, match="did not take it"):
        AppriseSender().send("ntfy://ntfy.example/door", "t", "b")
    assert asked == [socket.AF_UNSPEC]


def test_a_stop_bears_that_the_thread_ends_by_itself_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a disconnect paho's thread ends and forgets itself, also between the look at it and the wait for it."""
    client = PahoClient(CallbackAPIVersion.VERSION2)
    client._thread = threading.Thread(name="ended")

    def ends() -> threading.Thread:
        client._thread = None
        return threading.main_thread()

    monkeypatch.setattr("paho.mqtt.client.threading.current_thread", ends)
    client.loop_stop()
    assert client._thread is None


def test_a_client_that_was_stopped_has_closed_the_sockets_that_woke_its_thread() -> None:
    client = PahoClient(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda *_: client  # a circle, as most users of a client make
    client.loop_start()
    pair = (client._sockpairR, client._sockpairW)
    assert all(each is not None and each.fileno() >= 0 for each in pair)
    client.loop_stop()
    assert [each.fileno() for each in pair if each is not None] == [-1, -1]
