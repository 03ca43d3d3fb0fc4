"""Where a web hook may go: HTTPS only, and to no address of this computer or of a private network.

The desk stands in an agency's network, so an address that a person writes must not turn the desk into a way to other
machines there. The operator names exceptions in desk.toml. A name is resolved once for each delivery, every address
that it has is judged, and the connection goes to the judged address, even if the name changes in between.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from agent.errors import ConfigurationError

__all__ = ["HookAddress", "parse_address", "resolve"]

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]{1,500}")
_HTTPS_PORT: Final = 443
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_IPV4_MASK: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class HookAddress:
    """The parts of `https://host:port/target`."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Returns the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _HTTPS_PORT else f"{host}:{self.port}"


def parse_address(text: str) -> HookAddress:
    """Raises `ConfigurationError` unless the text is a plain https address."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or _HTTPS_PORT
    except ValueError as error:
        raise _wrong("This is no address.") from error
    if not _PRINTABLE.fullmatch(text) or parts.scheme != "https" or not host:
        raise _wrong("A web hook needs an https address.")
    if "@" in parts.netloc or parts.fragment:
        raise _wrong("A web hook's address has no password and no fragment.")
    return HookAddress(host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def resolve(address: HookAddress, private: Collection[str]) -> list[str]:
    """Returns the addresses to connect to, the preferred one first.

    Raises `ConfigurationError` if any address of the host is not allowed.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{address.host} has no address.", remedy="Check the name.") from error
    numbers = list(dict.fromkeys(str(each[4][0]) for each in found))
    if address.host not in private:
        for number in numbers:
            _require_public(address.host, number)
    return numbers


def _require_public(host: str, number: str) -> None:
    parsed = ipaddress.ip_address(number.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        # These lead to the IPv4 address inside them, which may be private.
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & _IPV4_MASK)
        if inner is not None:
            _require_public(host, str(inner))
            return
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved:
        raise ConfigurationError(
            f"{host} has an address of this computer or of a private network ({number}).",
            remedy="The operator of the desk allows a host under [hooks] in desk.toml.",
        )


def _wrong(message: str) -> ConfigurationError:
    return ConfigurationError(message, remedy="Write it as https://host/path.")
