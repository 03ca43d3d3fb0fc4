"""Three networks on one machine: a home behind NAT, a relay on the Internet, and a phone on a mobile network.

    home (doorbell 192.168.7.20) ─┐
                                  ├─ router, NAT ──┐
    phone, while on Wi-Fi ────────┘                ├─ relay 192.0.2.10
    phone, on the mobile network ──────────────────┘

Each is a network namespace. A connection into the home cannot begin: the router has no such route, and translates the
addresses of those that leave. The phone is one namespace that changes networks, as a phone does at the front door.

`within` moves the calling thread. Threads and processes that begin there stay there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["DOORBELL", "RELAY", "ROUTER", "Networks", "require_networks"]

DOORBELL = "192.168.7.20"
ROUTER = "203.0.113.2"
"""The home as the Internet sees it."""
RELAY = "192.0.2.10"
_CLONE_NEWNET = 0x40000000
_NAMES = ("home", "router", "relay", "phone")
_LINKS = (
    # from, its interface, to, its interface
    ("home", "lan", "router", "lan-home"),
    ("phone", "wifi", "router", "lan-phone"),
    ("router", "wan", "relay", "isp-home"),
    ("phone", "mobile", "relay", "isp-phone"),
)


def require_networks() -> None:
    """Skip, and say what is missing."""
    missing = [each for each in ("ip", "nft") if shutil.which(each, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        pytest.skip("no network namespaces here: apt-get install iproute2 nftables")
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("no network namespaces here: this needs root")
    if not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):  # a container
        pytest.skip("no network namespaces here: /proc/sys takes no settings")


class Networks:
    """A context manager. `prefix` keeps the names of two runs apart."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix or f"dw{os.getpid()}"

    def __enter__(self) -> Networks:
        for name in _NAMES:
            _run("ip", "netns", "add", self._named(name))
        try:
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in _NAMES:
            subprocess.run(["ip", "netns", "delete", self._named(name)], capture_output=True, check=False)

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """The calling thread is in this network, and what it starts."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(Path("/run/netns") / self._named(name), os.O_RDONLY)
        try:
            _enter(inside)
            try:
                yield
            finally:
                _enter(before)
        finally:
            os.close(before)
            os.close(inside)

    def leave_home(self) -> None:
        """The phone loses the Wi-Fi of the home, and finds the mobile network."""
        self._ip("phone", "link", "set", "wifi", "down")
        self._ip("phone", "link", "set", "mobile", "up")
        self._ip("phone", "route", "replace", "default", "via", "198.51.100.1")

    def come_home(self) -> None:
        self._ip("phone", "link", "set", "mobile", "down")
        self._ip("phone", "link", "set", "wifi", "up")
        self._ip("phone", "route", "replace", "default", "via", "192.168.7.1")

    def cut_off_home(self) -> None:
        """The home has no connection to the Internet."""
        self._ip("router", "link", "set", "wan", "down")

    def connect_home(self) -> None:
        self._ip("router", "link", "set", "wan", "up")
        self._ip("router", "route", "replace", "default", "via", "203.0.113.1")

    def take(self, device: str, name: str, address: str) -> None:
        """Moves a network device of this machine into a network."""
        _run("ip", "link", "set", device, "netns", self._named(name))
        self._address(name, device, address)

    def use_instead(self, name: str, device: str, via: str) -> None:
        """Everything in this network goes through another device from now on."""
        self._ip(name, "route", "replace", "default", "via", via, "dev", device)

    def _named(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _ip(self, name: str, *words: str) -> None:
        _run("ip", "-netns", self._named(name), *words)

    def _connect(self) -> None:
        for near, interface, far, far_interface in _LINKS:
            ends = ("netns", self._named(near), "type", "veth", "peer", "name", far_interface, "netns")
            _run("ip", "link", "add", interface, *ends, self._named(far))
        for name in _NAMES:
            self._ip(name, "link", "set", "lo", "up")
        self._ip("router", "link", "add", "lan", "type", "bridge")
        for each in ("lan-home", "lan-phone"):
            self._ip("router", "link", "set", each, "master", "lan", "up")
        self._address("router", "lan", "192.168.7.1/24")
        self._address("router", "wan", f"{ROUTER}/24")
        self._address("home", "lan", f"{DOORBELL}/24", via="192.168.7.1")
        self._address("phone", "wifi", "192.168.7.30/24")
        self._address("phone", "mobile", "198.51.100.7/24")
        self._address("relay", "isp-home", "203.0.113.1/24")
        self._address("relay", "isp-phone", "198.51.100.1/24")
        self._address("relay", "lo", f"{RELAY}/32")
        self._ip("router", "route", "add", "default", "via", "203.0.113.1")
        self.come_home()
        with self.within("router"):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        for words in (
            ("add", "table", "ip", "nat"),
            ("add", "chain", "ip", "nat", "out", "{ type nat hook postrouting priority 100; }"),
            ("add", "rule", "ip", "nat", "out", "oifname", "wan", "masquerade"),
        ):
            _run("ip", "netns", "exec", self._named("router"), "nft", *words)

    def _address(self, name: str, interface: str, address: str, *, via: str = "") -> None:
        self._ip(name, "address", "add", address, "dev", interface)
        self._ip(name, "link", "set", interface, "up")
        if via:
            self._ip(name, "route", "add", "default", "via", via)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, env=os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"})
