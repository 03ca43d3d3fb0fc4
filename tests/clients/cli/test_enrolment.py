"""Enrolment by the commands: tokens for a whole fleet file, the server beside a real broker, and `link enrol`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli import link
from agent.clients.broker.enrolment_tokens import EnrolmentTokens
from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.cli import broker as broker_command
from agent.config import load
from agent.core.bus import BusConnected
from agent.mqtt import BusSettings, MqttBus
from agent.wire.broker_enrolment import read_ticket
from tests.config.test_fleet import EXAMPLE
from tests.fleets import LightDoor
from tests.ports import free_port


@pytest.fixture
def folder(tmp_path: Path, tool: Callable[..., Any]) -> Path:
    made = tool("broker", "init", "--dir", tmp_path / "b", "--host", "localhost", "--host", "127.0.0.1")
    assert made.status == 0
    return tmp_path / "b"


@pytest.fixture
def door(tmp_path: Path) -> LightDoor:
    return LightDoor(tmp_path / "door", 1)


def is_served(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False


def test_a_fleets_doorbell_gets_a_ticket_enrols_and_reaches_the_broker(
    folder: Path, door: LightDoor, tool: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_command, "_LOOK_S", 0.05)
    monkeypatch.setattr(broker_command, "_GRACE_S", 0.1)
    shutil.copy(folder / "authorities" / "broker.pem", tmp_path / "broker.pem")
    (tmp_path / "fleet.toml").write_text(EXAMPLE)
    port = free_port()
    with PrivateBroker(folder) as running:
        made = tool("broker", "add-tokens", "--fleet", tmp_path / "fleet.toml", "--dir", folder, "--host", "localhost",
                    "--port", port, "--broker-port", running.device_port, "--out", tmp_path / "tickets")  # fmt: skip
        assert made.status == 0
        assert made.out.startswith("2 tickets are in")
        tickets = sorted((tmp_path / "tickets").iterdir())
        assert [path.name for path in tickets] == ["mill-lane-1.enrol", "mill-lane-3.enrol"]
        assert all(path.stat().st_mode & 0o077 == 0 for path in tickets)
        assert read_ticket(tickets[0].read_bytes()).port == port
        assert tool("broker", "remove-token", "mill-lane-3", "--dir", folder).status == 0

        def enrol() -> None:
            while not is_served(port):
                time.sleep(0.02)
            words = [str(tickets[0]), "--config", str(door.config), "--dir", str(door.tls)]
            link.enrol.main(words, standalone_mode=False)

        worker = threading.Thread(target=enrol)
        worker.start()
        served = tool("broker", "est", "--dir", folder, "--address", "127.0.0.1", "--port", port)
        worker.join()
        assert served.status == 0
        assert f"mill-lane-1: {door.device} is enrolled." in served.out
        assert served.out.rstrip().endswith("No token is open any more.")
        assert not tickets[0].exists()
        listed = json.loads(tool("broker", "tokens", "--dir", folder, "--json").out)["tokens"]
        assert [(each["name"], each["used"][0]["device"]) for each in listed] == [("mill-lane-1", door.device)]
        broker = load(door.config).broker
        assert broker is not None
        settings = BusSettings(broker.host, broker.port, door.device, broker.ca, broker.certificate, broker.key)
        bus = MqttBus(settings)
        bus.start()
        try:
            assert isinstance(bus.next_event(30.0), BusConnected)
        finally:
            bus.stop()


def test_a_server_that_is_kept_ends_at_sigterm(
    folder: Path, tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_command, "_LOOK_S", 0.05)
    port = free_port()

    def end() -> None:
        while not is_served(port):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    worker = threading.Thread(target=end)
    worker.start()
    served = tool("broker", "est", "--dir", folder, "--address", "127.0.0.1", "--port", port, "--keep")
    worker.join()
    assert served.status == 0
    assert "until Ctrl-C" in served.out


def test_tokens_are_listed_with_their_state_and_their_doorbells(
    folder: Path, tool: Callable[..., Any], tmp_path: Path
) -> None:
    assert "There are no tokens" in tool("broker", "tokens", "--dir", folder).out
    out = tmp_path / "t"
    made = tool("broker", "add-tokens", "lane", "--doorbells", 3, "--dir", folder, "--host", "localhost", "--out", out)
    assert made.status == 0
    listed = tool("broker", "tokens", "--dir", folder).out
    assert listed.split()[:5] == ["lane", "open", "0", "of", "3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "No doorbell is named."),
        (["a", "--host", "elsewhere.example"], "The broker's certificate is not for 'elsewhere.example'"),
        (["A"], "1 to 40 of a-z, 0-9 and inner -"),
        (["a", "a"], "There is a token with the name 'a' already."),
        (["a", "old"], "There is a token with the name 'old' already."),
        (["a", "B"], "1 to 40 of a-z, 0-9 and inner -"),
    ],
)
def test_a_wrong_call_says_what_to_give(
    folder: Path, tool: Callable[..., Any], tmp_path: Path, words: list[str], said: str
) -> None:
    """It makes no token and no ticket: half a fleet's would stand in the way of the next call."""
    host = [] if "--host" in words else ["--host", "localhost"]
    EnrolmentTokens(folder).add("old", doorbells=1, days=1)
    done = tool("broker", "add-tokens", *words, *host, "--dir", folder, "--out", tmp_path / "t")
    assert done.status == 2
    assert said in " ".join(done.err.split())
    assert [each.name for each in EnrolmentTokens(folder).list()] == ["old"]
    assert list((tmp_path / "t").glob("*")) == []


def test_without_a_ticket_nothing_is_changed(
    door: LightDoor, tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_ON_CARD", (door.root / "none",))
    done = tool("link", "enrol", "--config", door.config, "--dir", door.tls)
    assert (done.status, done.out) == (0, "There is no ticket; nothing is changed.\n")


def test_a_ticket_on_the_card_that_cannot_be_used_stays_there(
    door: LightDoor, tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = door.root / "doorward.enrol"
    ticket.write_text("{}")
    monkeypatch.setattr(link, "_ON_CARD", (ticket,))
    done = tool("link", "enrol", "--config", door.config, "--dir", door.tls)
    assert done.status == 4
    assert "doorward broker add-tokens" in " ".join(done.err.split())
    assert ticket.exists()
