"""The page's program in a session over a real relay, in node: it asks the doorbell, and says why when it cannot."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.clients.owner.keys import OwnerKeys
from agent.custodian.state_folder import StateFolder
from agent.uplink import relay_connection
from agent.wire.control import Frame
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.away_networks import DOORBELL, Networks, require_networks
from tests.browser.away_home import Relay
from tests.custodian.page.door import CONFIGURATION, Door, a_door
from tests.lengths import LONG
from tests.uplink.test_link_over_a_relay import World

pytestmark = [pytest.mark.broker, pytest.mark.interop]

HERE = Path(__file__).parent


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(relay_connection, "_LOOK_S", 0.2)
    found = World(tmp_path)
    try:
        found.until(lambda: "result" in told(found, [["device", {}]])[0], "the doorbell at its address")
        yield found
    finally:
        found.close()


@dataclass
class Away:
    """A doorbell with an owner, and a relay elsewhere."""

    door: Door
    keys: OwnerKeys
    broker: Relay


def told(world: World | Away, asked: list[Any], **changes: Any) -> list[Any]:
    """Runs the page's client with the relay that the doorbell names, with `changes`."""
    node = shutil.which("node") or "node"
    if subprocess.run([node, "--experimental-websocket", "-e", "0"], capture_output=True, check=False).returncode:
        pytest.skip("this node has no WebSocket")
    named = world.door.solo.custodian.control.answer(Frame({"op": "link_address"})).head["result"]
    given = {
        "relay": named["relay"],
        "secret": named["secret"],
        "device": world.door.solo.device.text,
        "seed": world.keys.approval.private_bytes_raw().hex(),
        "asked": asked,
    } | changes
    authority = world.broker.directory / "authorities" / "broker.pem"
    done = subprocess.run(
        [node, "--experimental-websocket", "--no-warnings", HERE / "over_a_relay.mjs", json.dumps(given)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"NODE_EXTRA_CA_CERTS": str(authority)},
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def test_it_asks_the_doorbell_through_the_relay(world: World) -> None:
    device, status, segments = told(world, [["device", {}], ["status", {}], ["list", {"from_ms": 0, "to_ms": 10**13}]])
    assert device["result"]["device"] == world.door.solo.device.text
    assert status["result"]["device"] == "front-door"
    assert segments["result"]["segments"] == []


@LONG
def test_a_wrong_password_and_a_doorbell_that_is_not_there_are_told_in_words(world: World) -> None:
    named = world.door.solo.custodian.control.answer(Frame({"op": "link_address"})).head["result"]["relay"]
    assert told(world, [], relay={**named, "password": "guessed by a stranger"}) == [{"error": "error.relay-account"}]
    assert told(world, [], secret="00" * 32) == [{"error": "error.relay-alone"}]
    assert told(world, [], relay={**named, "url": "wss://127.0.0.1:1"}) == [{"error": "error.relay-away"}]


def test_a_phone_in_another_network_comes_in_through_the_relay_and_by_no_other_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three networks of tests/browser, without a browser: home behind NAT, relay, and phone."""
    require_networks()
    monkeypatch.setattr(relay_connection, "_LOOK_S", 0.2)
    on_the_lan = CONFIGURATION.replace('host = "127.0.0.1"', 'host = "0.0.0.0"')
    monkeypatch.setattr(
        "tests.custodian.page.door.CONFIGURATION", on_the_lan.replace('["127.0.0.1"]', f'["{DOORBELL}"]')
    )
    seed = private_key_from_seed(secrets.token_bytes(32))
    StateFolder(tmp_path / "door" / "device").initialise(seed)

    def knocks(port: int) -> bool:
        with networks.within("phone"):
            try:
                socket.create_connection((DOORBELL, port), timeout=0.5).close()
            except OSError:
                return False
            return True

    with ExitStack() as stack:
        networks = stack.enter_context(Networks())
        relay = Relay(tmp_path / "relay", networks)
        stack.callback(relay.stop)
        section = relay.section(public_key_of(seed).id)
        relay.start()
        with networks.within("home"):
            door = stack.enter_context(a_door(tmp_path / "door", sections=section))
        away = Away(door, door.claim(), relay)
        assert knocks(door.port)
        networks.leave_home()
        assert not knocks(door.port)
        deadline = iter(range(20))
        with networks.within("phone"):
            while "result" not in (answers := told(away, [["status", {}]]))[0]:
                assert next(deadline, None) is not None, answers
        assert answers[0]["result"]["device"] == "front-door"
