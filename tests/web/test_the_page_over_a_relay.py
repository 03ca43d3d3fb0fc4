"""The page's program in a session over a real relay, in node: it asks the doorbell, and says why when it cannot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.uplink import relay_connection
from agent.wire.control import Frame
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


def told(world: World, asked: list[Any], **changes: Any) -> list[Any]:
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


def test_a_wrong_password_and_a_doorbell_that_is_not_there_are_told_in_words(world: World) -> None:
    named = world.door.solo.custodian.control.answer(Frame({"op": "link_address"})).head["result"]["relay"]
    assert told(world, [], relay={**named, "password": "guessed by a stranger"}) == [{"error": "error.relay-account"}]
    assert told(world, [], secret="00" * 32) == [{"error": "error.relay-alone"}]
    assert told(world, [], relay={**named, "url": "wss://127.0.0.1:1"}) == [{"error": "error.relay-away"}]
