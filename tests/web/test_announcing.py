"""The page's name on the network: found by whoever asks, gone when the page is."""

from __future__ import annotations

import pytest
from zeroconf import IPVersion, Zeroconf

from agent.web.announcing import Announcement, own_addresses
from agent.web.authority import is_local


def test_the_name_is_found_while_the_page_runs() -> None:
    announced = Announcement("front-door-test.local", ("127.0.0.1",), 8443, interfaces=("127.0.0.1",))
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
    import ipaddress

    addresses = own_addresses()
    assert "127.0.0.1" in addresses
    assert all(is_local(ipaddress.ip_address(text)) for text in addresses)
