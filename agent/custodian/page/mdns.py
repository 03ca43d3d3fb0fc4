"""Announces the page's name on the local network (multicast DNS), so that phones find it by name.

Announced only while the page runs, and only name, addresses and port. Model, owner and version stay private. Source:
RFC 6762 (multicast DNS), RFC 6763 (service discovery).
"""

from __future__ import annotations

import ipaddress
from typing import Final

import ifaddr
import structlog
from zeroconf import InterfaceChoice, ServiceInfo, Zeroconf

from agent.core.networks import is_local

__all__ = ["MdnsAnnouncement", "Network", "network", "own_addresses"]

_SERVICE: Final = "_https._tcp.local."


Network = frozenset[tuple[int | None, str]]


def network() -> Network:
    """The number of an interface and an address of it, for each of this machine's on local networks.

    Includes loopback. Excludes link-local IPv6, which needs a scope.
    """
    found = set()
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            address = ipaddress.ip_address(each.ip if isinstance(each.ip, str) else each.ip[0])
            if is_local(address) and not (address.version == 6 and address.is_link_local):
                found.add((adapter.index, str(address)))
    return frozenset(found)


def own_addresses(found: Network) -> tuple[str, ...]:
    """This machine's addresses there."""
    return tuple(sorted({address for _interface, address in found}))


class MdnsAnnouncement:
    """Announces from `start` to `stop`.  `name`: such as `front-door.local`."""

    def __init__(self, name: str, addresses: tuple[str, ...], port: int, *, interfaces: tuple[str, ...] = ()) -> None:
        packed = [ipaddress.ip_address(text).packed for text in addresses]
        self._info = ServiceInfo(
            _SERVICE, f"{name.removesuffix('.local')}.{_SERVICE}", addresses=packed, port=port, server=f"{name}."
        )
        self._interfaces = list(interfaces)
        self._zeroconf: Zeroconf | None = None

    def start(self) -> None:
        """Begins to announce. If the network lacks multicast, the page runs without its name."""
        try:
            self._zeroconf = Zeroconf(interfaces=self._interfaces or InterfaceChoice.All)
            # The certificate has this name alone, so under another name browsers would warn.
            self._zeroconf.register_service(self._info, allow_name_change=False)
        except Exception as error:  # noqa: BLE001 — the library raises many kinds; none may stop the page
            structlog.get_logger("page").warning("name_not_announced", reason=type(error).__name__)

    def stop(self) -> None:
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is not None:
            zeroconf.close()
