"""The broker the demo and the tests start for themselves."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from agent.clients.broker.broker_pki import BrokerPki
from agent.clients.broker.private_broker import PrivateBroker
from agent.errors import ConfigurationError, NetworkError
from tests.brokers import NOW


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return BrokerPki.create(tmp_path / "broker", NOW).directory


@pytest.mark.broker
def test_it_listens_on_loopback_while_it_runs_and_on_the_same_ports_again(directory: Path) -> None:
    broker = PrivateBroker(directory)
    for _ in range(2):
        with broker:
            for port in (broker.device_port, broker.requester_port):
                socket.create_connection((broker.host, port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((broker.host, broker.device_port), timeout=5)
    assert broker.pid is None


def test_nobody_is_lent_its_ports_before_it_starts_or_while_it_is_stopped(directory: Path) -> None:
    lent_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if lent_from < 32_768:
        pytest.skip(f"this machine lends ports from {lent_from} on")
    brokers = [PrivateBroker(directory) for _ in range(20)]
    assert max(port for each in brokers for port in (each.device_port, each.requester_port)) < lent_from


@pytest.mark.broker
def test_a_broker_that_does_not_start_says_why(directory: Path) -> None:
    (directory / "devices.acl").write_text("pattern fly doorward/#\n")
    with pytest.raises(NetworkError, match=r"mosquitto did not start: .*Error") as caught, PrivateBroker(directory):
        pass
    assert str(directory / "mosquitto.log") in str(caught.value)


def test_without_mosquitto_it_says_what_to_install(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.clients.broker.private_broker.shutil.which", lambda *_args, **_options: None)
    with pytest.raises(ConfigurationError, match="apt install mosquitto"):
        PrivateBroker(directory).start()
