"""The page at the addresses that a VPN gives to a machine, in a separate network namespace."""

from __future__ import annotations

import ctypes
import ssl
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.away_networks import require_networks
from tests.custodian.page.door import CONFIGURATION, Door, a_door

TAILSCALE, PHONE = "100.101.102.103", "100.64.0.7"
WIREGUARD, OTHER_PHONE = "fd7a:115c:a1e0::1", "fd7a:115c:a1e0::7"
INTERNET = "203.0.113.7"


def in_a_network(*addresses: str, act: Callable[[], None]) -> None:
    """Runs `act` in a thread with a separate network, which has these addresses only."""

    def within() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(0x40000000) == 0, "CLONE_NEWNET"
        for words in (("link", "set", "lo", "up"), *(("address", "add", each, "dev", "lo") for each in addresses)):
            subprocess.run(["ip", *words], check=True, capture_output=True)
        act()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(within).result()


def through(door: Door, own: str, called: str) -> Door:
    door.address, door.called = own, called
    door.host = f"[{called}]:{door.port}" if ":" in called else f"{called}:{door.port}"
    return door


def test_an_owner_comes_in_at_an_address_of_a_vpn_that_the_doorbell_found_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_networks()
    without_addresses = CONFIGURATION.replace('host = "127.0.0.1"', 'host = "::"').replace(
        'addresses = ["127.0.0.1"]\n', ""
    )
    monkeypatch.setattr("tests.custodian.page.door.CONFIGURATION", without_addresses)

    def come_in() -> None:
        with a_door(tmp_path) as door:
            keys = door.claim()
            for own, called in ((PHONE, TAILSCALE), (OTHER_PHONE, WIREGUARD)):
                cookie = through(door, own, called).owner(keys)
                assert door.op("status", cookie).status == 200
            with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
                through(door, INTERNET, INTERNET).ask("GET", "/")
            door._context.check_hostname = False
            assert door.ask("GET", "/").status == 421, "an address of the internet"

    in_a_network(
        f"{TAILSCALE}/32", f"{PHONE}/32", f"{WIREGUARD}/128", f"{OTHER_PHONE}/128", f"{INTERNET}/32", act=come_in
    )
