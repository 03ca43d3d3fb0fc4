"""The relay of a doorbell is learnt at home, kept for its owner alone, and found by the doorbell's name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.clients.owner.relay_routes import RelayRoute, learn_route, reference_of, route_to
from agent.errors import ConfigurationError
from agent.ipc.control_operations import GetLinkAddress, GetStatus, LinkAddressAnswer, RelayAccount
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.clients.owner.conftest import Home
from tests.clients.owner.fake_device import FakeDevice

SECRET = "5e" * 32
RELAY = RelayAccount("wss://relay.example", "0123456789abcdef", "a word")


class WithRelay:
    """The channel to a doorbell of this name that has, or has no, relay."""

    def __init__(self, device: FakeDevice, name: str = "front door", relay: RelayAccount | None = RELAY) -> None:
        self._device, self._name, self._relay = device, name, relay
        self.fetch = device.fetch

    def ask(self, request: Any, *, body: bytes = b"") -> Any:
        if isinstance(request, GetLinkAddress):
            return LinkAddressAnswer(SECRET, self._relay)
        if isinstance(request, GetStatus):
            return type("Status", (), {"device": self._name})
        return self._device.ask(request, body=body)


def test_a_learnt_route_is_kept_for_its_owner_alone_and_found_by_its_name(home: Home) -> None:
    learnt = learn_route(WithRelay(home.device), home.keys, "authority.pem")
    assert learnt == RelayRoute(
        name="front door",
        device=home.device.key.text,
        secret=SECRET,
        url="wss://relay.example",
        account="0123456789abcdef",
        password="a word",
        ca="authority.pem",
    )
    assert (home.keys.folder / "relays.json").stat().st_mode & 0o777 == 0o600
    assert route_to(home.keys.folder, "front door") == learnt


def test_a_doorbell_that_was_renamed_keeps_one_route_and_the_others_keep_theirs(home: Home) -> None:
    other = RelayRoute(name="barn", device="ed25519:other", secret=SECRET, url="wss://b", account="b", password="c")
    learn_route(WithRelay(home.device), home.keys)
    path = home.keys.folder / "relays.json"
    path.write_bytes(path.read_bytes()[:-1] + b"," + msgspec.json.encode(other) + b"]")
    learn_route(WithRelay(home.device, "back door"), home.keys)
    assert route_to(home.keys.folder, "back door").device == home.device.key.text
    assert route_to(home.keys.folder, "barn") == other
    with pytest.raises(ConfigurationError, match=r"no relay for 'front door'; known doorbells: back door, barn\."):
        route_to(home.keys.folder, "front door")


def test_of_two_doorbells_with_one_name_neither_is_chosen(home: Home) -> None:
    path = home.keys.folder / "relays.json"
    keys = [public_key_of(private_key_from_seed(seed * 32)) for seed in (b"1", b"2")]
    twins = [
        RelayRoute(name="door", device=key.text, secret=SECRET, url="u", account="a", password="p") for key in keys
    ]
    path.write_bytes(b"[" + b",".join(map(msgspec.json.encode, twins)) + b"]")
    with pytest.raises(ConfigurationError, match="2 of your doorbells have the name 'door'") as told:
        route_to(home.keys.folder, "door")
    assert all(key.id in told.value.message for key in keys)
    assert f"--relay {min(key.id for key in keys)}" in (told.value.remedy or "")
    for key, route in zip(keys, twins, strict=True):
        assert route_to(home.keys.folder, key.id) == route
        assert reference_of(home.keys.folder, route) == key.id
    learnt = learn_route(WithRelay(home.device), home.keys)
    assert reference_of(home.keys.folder, learnt) == "front door"


def test_a_doorbell_that_is_called_like_the_id_of_another_is_found_by_its_name(home: Home) -> None:
    first = learn_route(WithRelay(home.device), home.keys)
    path = home.keys.folder / "relays.json"
    key = public_key_of(private_key_from_seed(b"3" * 32))
    other = RelayRoute(name=first.id, device=key.text, secret=SECRET, url="u", account="a", password="p")
    path.write_bytes(path.read_bytes()[:-1] + b"," + msgspec.json.encode(other) + b"]")
    assert route_to(home.keys.folder, first.id) == other


def test_a_doorbell_without_a_relay_teaches_none(home: Home) -> None:
    with pytest.raises(ConfigurationError, match="front door has no relay"):
        learn_route(WithRelay(home.device, relay=None), home.keys)
    with pytest.raises(ConfigurationError, match="known doorbells: none") as told:
        route_to(home.keys.folder, "front door")
    assert "doorward owner relay" in str(told.value.remedy)


def test_a_damaged_file_is_named_and_not_taken_for_an_empty_one(home: Home) -> None:
    (home.keys.folder / "relays.json").write_bytes(b"[")
    with pytest.raises(ConfigurationError, match=r"relays\.json cannot be read"):
        route_to(home.keys.folder, "front door")
