"""`doorward requester` in an area with two brokers of two operators: real mosquittos, and one directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.clients.requester.identity import Requester
from agent.core.bus import MessageReceived
from tests.brokers import BrokerWithClients, broker_with_clients
from tests.clients.cli.test_requester import ASK, Street, window

pytestmark = pytest.mark.broker
HERE, NEXT = ("localhost", "284-369"), ("127.0.0.1", "285-369")
"""Name and cell of each broker. `ASK` asks in the first cell."""
LIST = """\
version = 1
[[requesters]]
id = "rijnstad-police"
name = "Rijnstad Police"
kind = "police"
regions = [{{ south = 52.1, west = 4.6, north = 52.9, east = 4.99 }}]
[[requesters.keys]]
key = "{key}"
from = 2020-01-01
until = 2099-12-31
[[brokers]]
host = "localhost"
port = {here}
areas = [{{ south = 52, west = 4.5, north = 52.5, east = 5 }}]
[[brokers]]
host = "127.0.0.1"
port = {next}
areas = [{{ south = 52.5, west = 4.5, north = 53, east = 5 }}]
[[brokers]]
host = "far.away.example"
port = 8884
areas = [{{ south = 40, west = 4.5, north = 41, east = 5 }}]
"""


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[dict[str, BrokerWithClients]]:
    with broker_with_clients(tmp_path / "here") as here, broker_with_clients(tmp_path / "next") as after:
        yield {HERE[0]: here, NEXT[0]: after}


@pytest.fixture
def police(tool: Callable[..., Any], tmp_path: Path, brokers: dict[str, BrokerWithClients]) -> Path:
    """A requester's folder with a certificate of each operator, and the root's bundle and directory."""
    root = json.loads(tool("requester", "keygen", "--root", "--key", tmp_path / "root.key", "--json").out)
    folder = tmp_path / "police"
    made = json.loads(
        tool(
            "requester", "keygen", "--folder", folder, "--id", "rijnstad-police", "--kind", "police",
            "--trust-root", root["key_id"], "--json",
        ).out
    )  # fmt: skip
    for host, world in brokers.items():
        settings, own = world.settings("rijnstad-police"), folder / "tls" / host
        own.mkdir(parents=True)
        for name, path in (("authority", settings.authority), ("certificate", settings.certificate)):
            shutil.copy(path, own / f"{name}.pem")
        shutil.copy(settings.key, own / "key.pem")
    ports = {name: world.broker.requester_port for name, world in brokers.items()}
    (tmp_path / "list.toml").write_text(LIST.format(key=made["key"], here=ports[HERE[0]], next=ports[NEXT[0]]))
    signed = tool(
        "requester", "bundle", tmp_path / "list.toml", "--root-key", tmp_path / "root.key", "--out",
        tmp_path / "bundle.dsse",
    )  # fmt: skip
    assert "lists the brokers" in signed.out, signed.err
    taken = tool(
        "requester", "root", root["key"], tmp_path / "bundle.dsse", "--brokers", tmp_path / "brokers.json", "--folder",
        folder,
    )  # fmt: skip
    assert f"localhost:{ports[HERE[0]]}, 127.0.0.1:{ports[NEXT[0]]}" in taken.out, taken.err
    assert "far.away.example" not in taken.out
    return folder


def test_a_request_reaches_the_door_at_the_broker_of_its_cell_and_the_answer_is_acknowledged_there(
    tool: Callable[..., Any], police: Path, brokers: dict[str, BrokerWithClients], tmp_path: Path
) -> None:
    asked = tool("requester", "request", "--folder", police, *window(), *ASK, "--json")
    assert asked.status == 0, asked.err
    [topic] = json.loads(asked.out)["topics"]
    assert HERE[1] in topic
    assert retained(brokers[NEXT[0]]) == []
    street = Street(brokers[HERE[0]], police)
    street.listen(topic)
    try:
        got = tool("requester", "receive", "--folder", police, "--count", "1")
        assert got.status == 0, got.err
        assert street.answered.wait(20), "the door was told that everything is here"
    finally:
        street.close()
    opened = tool("requester", "open", "--folder", police, "--out", tmp_path / "opened", "--json")
    assert json.loads(opened.out)["ok"]


def test_a_broker_that_is_dead_holds_up_no_request_for_another_cell(
    tool: Callable[..., Any], police: Path, brokers: dict[str, BrokerWithClients]
) -> None:
    brokers[NEXT[0]].broker.kill()
    asked = tool("requester", "request", "--folder", police, *window(), *ASK, "--json")
    assert asked.status == 0, asked.err
    assert retained(brokers[HERE[0]]) == json.loads(asked.out)["topics"]
    there = tool(
        "requester", "request", "--folder", police, *window(), "--circle", "52.7,4.8,300", *ASK[2:], "--timeout", "2"
    )
    assert there.status == 7
    assert "signed and kept, but not published yet" in there.err
    assert Requester.open(police).register.unsent()


def retained(world: BrokerWithClients) -> list[str]:
    """Topics of the requests that the broker retains."""
    bus = world.bus("b" * 16)
    bus.start()
    bus.subscribe("doorward/v1/areas/+/+/+/+")
    found: list[str] = []
    for _ in range(20):
        event = bus.next_event(0.2)
        if isinstance(event, MessageReceived):
            found.append(event.topic)
    return found
