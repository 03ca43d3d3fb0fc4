"""Local and VPN addresses, the addresses at which a listener answers, and names in DNS form.

Source: RFC 1918, RFC 3927, RFC 4193, RFC 4291; RFC 6598 (100.64.0.0/10); RFC 1035 §2.3.1 (labels).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

__all__ = ["LOCAL", "Address", "dns_label", "is_local", "served_at"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOCAL: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10",
                 "fc00::/7", "fe80::/10", "::1/128")
)  # fmt: skip
"""100.64.0.0/10 is routed nowhere on the internet.  VPNs such as Tailscale give their machines addresses of it."""

_MOST_LABEL: Final = 63


def is_local(address: Address) -> bool:
    """Returns true if the page's authority may vouch for `address`."""
    return any(address in network for network in LOCAL)


def served_at(host: str, addresses: Iterable[str]) -> tuple[str, ...]:
    """Returns those of a machine's `addresses` at which a listener on `host` answers.

    For example, a listener on 0.0.0.0 answers at no IPv6 address, and one on 192.168.1.20 at that address alone.
    """
    bound = ipaddress.ip_address(host)
    found = [text for text in addresses if _answers(bound, ipaddress.ip_address(text))]
    return tuple(found) if bound.is_unspecified else (host,)


def _answers(bound: Address, address: Address) -> bool:
    return bound.version == 6 or address.version == 4  # a listener on :: answers IPv4 as well


def dns_label(name: str) -> str | None:
    """Returns a doorbell's name as it appears in an address, such as `front-door`, or None if no character of it is
    allowed."""
    label = "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in name.lower()).split())
    return label if 1 <= len(label) <= _MOST_LABEL else None
