"""The page's name on the network: found by anyone who asks, gone when the page is."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog
from cryptography import x509
from zeroconf import IPVersion, Zeroconf

from agent.core.networks import is_local
from agent.custodian.page import mdns as module
from agent.custodian.page import server
from agent.custodian.page.mdns import MdnsAnnouncement, Network, network, own_addresses
from tests.custodian.page.door import CONFIGURATION, Door


def test_the_name_is_found_while_the_page_runs() -> None:
    announced = MdnsAnnouncement("front-door-test.local", ("127.0.0.1",), 8443, interfaces=("127.0.0.1",))
    announced.start()
    asking = Zeroconf(interfaces=["127.0.0.1"])
    try:
        name = "front-door-test._https._tcp.local."
        found = asking.get_service_info("_https._tcp.local.", name, timeout=3000)
        if found is None:
            pytest.skip("no multicast on this machine's loopback")
        assert found.server == "front-door-test.local."
        assert found.port == 8443
        assert found.parsed_addresses(IPVersion.V4Only) == ["127.0.0.1"]
    finally:
        asking.close()
        announced.stop()
        announced.stop()


def test_our_own_addresses_are_local_ones() -> None:
    addresses = own_addresses(network())
    assert "127.0.0.1" in addresses
    assert all(is_local(ipaddress.ip_address(text)) for text in addresses)


class Heard:
    """In the place of `MdnsAnnouncement`: what the network hears."""

    now: tuple[str, ...] | None = None
    first = threading.Event()

    def __init__(self, _name: str, addresses: tuple[str, ...], _port: int) -> None:
        self._addresses = addresses

    def start(self) -> None:
        Heard.now = self._addresses
        Heard.first.set()

    def stop(self) -> None:
        Heard.now = None


def test_a_network_that_comes_after_the_page_finds_it_by_name_and_by_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut the router takes longer than the doorbell; and next week it gives another address."""
    found: Network = frozenset()
    monkeypatch.setattr(server, "network", lambda: found)
    monkeypatch.setattr(server, "MdnsAnnouncement", Heard)
    monkeypatch.setattr(server, "_LOOK_S", 3600.0)
    monkeypatch.setattr(
        "tests.custodian.page.door.CONFIGURATION",
        CONFIGURATION.replace('addresses = ["127.0.0.1"]\nmdns = false\n', ""),
    )
    door = Door(tmp_path)
    # Configured to listen everywhere, which a test does not.
    door.page._settings = msgspec.structs.replace(door.page._settings, host="0.0.0.0")

    def status_at(host: str) -> int:
        connection = http.client.HTTPSConnection("127.0.0.1", door.port, context=trusting_nobody(), timeout=10)
        try:
            connection.request("GET", "/", headers={"Host": f"{host}:{door.port}"})
            return connection.getresponse().status
        finally:
            connection.close()

    def certified() -> list[str]:
        pem = ssl.get_server_certificate(("127.0.0.1", door.port))
        names = x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        return [str(address) for address in names.value.get_values_for_type(x509.IPAddress)]

    try:
        assert Heard.first.wait(30)
        for address in ("192.168.77.2", "192.168.77.9"):
            assert status_at(address) == 421
            found = frozenset({(2, address)})
            door.page._look()
            assert status_at(address) < 400
            assert certified() == [address]
            assert Heard.now == (address,)
        assert status_at("192.168.77.2") == 421, "another machine's by now"
        announced, Heard.now = Heard.now, ()
        door.page._look()
        assert Heard.now == (), "nothing new is told to nobody"
        Heard.now = announced
    finally:
        door.close()
    assert Heard.now is None


def trusting_nobody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_the_addresses_of_local_networks_are_ours_with_their_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    def adapter(index: int, *addresses: object) -> SimpleNamespace:
        return SimpleNamespace(index=index, ips=[SimpleNamespace(ip=each) for each in addresses])

    adapters = [
        adapter(1, "127.0.0.1", ("::1", 0, 0)),
        adapter(2, "192.168.1.20", "203.0.113.7", ("fd00::7", 0, 0), ("fe80::1", 0, 2), ("2001:db8::1", 0, 0)),
        adapter(3, "192.168.1.20", "169.254.3.4", "10.0.0.5"),
    ]
    monkeypatch.setattr(module.ifaddr, "get_adapters", lambda: adapters)
    found = network()
    assert found == {
        (1, "127.0.0.1"), (1, "::1"), (2, "192.168.1.20"), (2, "fd00::7"), (3, "192.168.1.20"), (3, "169.254.3.4"),
        (3, "10.0.0.5"),
    }  # fmt: skip
    assert own_addresses(found) == ("10.0.0.5", "127.0.0.1", "169.254.3.4", "192.168.1.20", "::1", "fd00::7")


class Multicast:
    """In the place of `Zeroconf`."""

    did: list[tuple[Any, ...]]

    def __init__(self, interfaces: object) -> None:
        self.did.append(("joins", interfaces))

    def register_service(self, info: Any, *, allow_name_change: bool) -> None:
        where = (info.type, info.name, info.server, info.port, info.addresses)
        self.did.append(("announces", *where, allow_name_change))

    def close(self) -> None:
        self.did.append(("leaves",))


@pytest.fixture
def multicast(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    did: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Multicast, "did", did, raising=False)
    monkeypatch.setattr(module, "Zeroconf", Multicast)
    return did


@pytest.mark.parametrize(("interfaces", "joined"), [((), module.InterfaceChoice.All), (("127.0.0.1",), ["127.0.0.1"])])
def test_name_addresses_and_port_are_announced_and_nothing_else(
    multicast: list[tuple[Any, ...]], interfaces: tuple[str, ...], joined: object
) -> None:
    announced = MdnsAnnouncement("front-door.local", ("10.0.0.5", "fd00::7"), 8443, interfaces=interfaces)
    announced.start()
    packed = [ipaddress.ip_address("10.0.0.5").packed, ipaddress.ip_address("fd00::7").packed]
    service = ("_https._tcp.local.", "front-door._https._tcp.local.", "front-door.local.", 8443, packed[:1])
    assert multicast == [("joins", joined), ("announces", *service, False)]
    assert announced._info.properties == {}
    announced.stop()
    announced.stop()
    assert multicast[2:] == [("leaves",)]


def test_a_network_without_multicast_costs_the_page_its_name_alone(
    multicast: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr(Multicast, "register_service", refused)
    announced = MdnsAnnouncement("front-door.local", ("10.0.0.5",), 8443)
    with structlog.testing.capture_logs() as lines:
        announced.start()
    assert lines == [{"event": "name_not_announced", "log_level": "warning", "reason": "OSError"}]
    announced.stop()
    assert multicast[1:] == [("leaves",)]
