"""Which addresses are local, and which a listener answers at."""

from __future__ import annotations

import ipaddress

import pytest

from agent.core.networks import dns_label, is_local, served_at

OWN = ("10.0.0.5", "127.0.0.1", "::1", "fd00::5")


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("0.0.0.0", ("10.0.0.5", "127.0.0.1")),
        ("::", OWN),
        ("10.0.0.5", ("10.0.0.5",)),
        ("127.0.0.1", ("127.0.0.1",)),
        ("fd00::5", ("fd00::5",)),
    ],
)
def test_a_listener_answers_at_these_of_a_machines_addresses(host: str, served: tuple[str, ...]) -> None:
    assert served_at(host, OWN) == served


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("100.63.255.255", False), ("100.64.0.0", True), ("100.127.255.255", True), ("100.128.0.0", False),
        ("fe80::1", True), ("203.0.113.7", False),
    ],
)  # fmt: skip
def test_a_vpn_is_local_and_the_internet_is_not(text: str, local: bool) -> None:
    assert is_local(ipaddress.ip_address(text)) is local


@pytest.mark.parametrize(("name", "label"), [("Front Door", "front-door"), ("門", None), ("a" * 64, None)])
def test_a_name_as_it_stands_in_an_address(name: str, label: str | None) -> None:
    assert dns_label(name) == label
