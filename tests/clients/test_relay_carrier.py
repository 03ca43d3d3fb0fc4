"""`doorward owner … --relay`: the owner's computer in another network, over a real relay."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients import relay_carrier
from agent.clients.owner.relay_routes import route_to
from agent.clients.relay_carrier import RelayCarrier, RelayPlace
from agent.custodian.state_folder import StateFolder
from agent.errors import ConfigurationError, NetworkError
from agent.uplink import relay_connection
from agent.wire.link.schedule import address_of
from tests.uplink.test_link_over_a_relay import World

pytestmark = pytest.mark.broker


@dataclass(frozen=True)
class Computer:
    """The owner's keys, with a doorbell that was met at home."""

    world: World
    folder: Path
    capture: pytest.CaptureFixture[str]

    def run(self, *words: str) -> tuple[int, str]:
        """Returns the exit status and all that was said."""
        self.capture.readouterr()
        status = run(doorward, ["owner", *words, "--keys", str(self.folder)])
        return status, "".join(self.capture.readouterr())

    @property
    def authority(self) -> str:
        return str(self.world.broker.directory / "authorities" / "broker.pem")


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Computer]:
    monkeypatch.setattr(relay_connection, "_LOOK_S", 0.2)
    world = World(tmp_path)
    try:
        world.until(lambda: world.relay_status() == "connected", "the relay")
        found = Computer(world, world.keys.folder, capsys)
        socket = StateFolder(tmp_path / "door" / "device").control
        learnt = found.run("relay", "--device", str(socket), "--ca", found.authority)
        assert learnt[0] == 0, learnt
        relay = world.door.solo._relay
        assert relay is not None
        world.until(lambda: relay._addresses == world.door.solo.link.addresses(), "its address")  # type: ignore[union-attr]
        yield found
    finally:
        world.close()


def test_commands_go_through_the_relay_that_was_learnt_at_home(computer: Computer) -> None:
    route = route_to(computer.folder, "front-door")
    assert route.url == f"wss://127.0.0.1:{computer.world.broker.web_port}"
    assert (computer.folder / "relays.json").stat().st_mode & 0o777 == 0o600
    shown = computer.run("status", "--relay", "front-door", "--json")
    assert shown[0] == 0, shown
    assert computer.world.door.solo.device.id in shown[1]
    signed = computer.run("settings", "--name", "back door", "--yes", "--relay", "front-door")
    assert signed[0] == 0, signed
    assert computer.world.door.solo.status()["device"] == "back door"


def test_a_session_learns_the_address_again_because_it_changes_with_the_owners(computer: Computer) -> None:
    before = route_to(computer.folder, "front-door")
    stale = msgspec.structs.replace(before, password="an older one")
    (computer.folder / "relays.json").write_bytes(msgspec.json.encode([before]))
    assert computer.run("status", "--relay", "front-door")[0] == 0
    assert route_to(computer.folder, "front-door") == before
    (computer.folder / "relays.json").write_bytes(msgspec.json.encode([stale]))
    refused = computer.run("status", "--relay", "front-door")
    assert refused[0] != 0
    assert "refuses this account" in refused[1]
    assert "doorward owner relay" in refused[1]


def first_frame(route: RelayPlace) -> bytes | None:
    carrier = RelayCarrier(route)
    carrier.send(b"x")
    return carrier.receive(10.0)


def test_each_fault_of_the_relay_is_told_in_words(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    known = route_to(computer.folder, "front-door")
    address = address_of(bytes.fromhex(known.secret))
    place = RelayPlace(known.url, known.account, known.password, address, known.ca)

    def fault(**changes: str) -> str:
        with pytest.raises(NetworkError) as told:
            first_frame(replace(place, **changes))
        return f"{told.value.message} {told.value.remedy}"

    assert "not connected to it" in fault(address="00" * 16)
    assert "refuses this account" in fault(password="guessed")
    assert "is not trusted" in fault(ca="")
    assert "cannot be reached" in fault(url="wss://127.0.0.1:1")
    silent = socket.create_server(("127.0.0.1", 0))  # established by the kernel, never answered
    monkeypatch.setattr(relay_carrier, "_CONNECT_S", 0.5)
    with silent:
        assert "cannot be reached" in fault(url=f"wss://127.0.0.1:{silent.getsockname()[1]}")


def test_an_unknown_name_is_told_with_those_that_are_known(computer: Computer) -> None:
    with pytest.raises(ConfigurationError, match="known doorbells: front-door"):
        route_to(computer.folder, "back-door")
    (computer.folder / "relays.json").write_text("damaged")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        route_to(computer.folder, "front-door")
