"""`doorward requests`, on the doorbell itself: who asks and where it stands, and no word that was written."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.ipc.rpc_server import control_server
from agent.wire.messages import FootageRequest
from tests.cli.conftest import Seen
from tests.custodians import Door

Tool = Callable[..., Seen]


@pytest.fixture
def asked() -> Iterator[tuple[Door, Path, FootageRequest]]:
    door = Door.enrolled()
    request = door.ask(case="Kanarienzaak", description="Kanarientekst.")
    with tempfile.TemporaryDirectory() as short:  # a socket's path is limited to 107 bytes
        config = Path(short) / "doorward.toml"
        config.write_text(f'[device]\nstate_dir = "{short}"\n')
        control = control_server(Path(short) / "control.sock", door.custodian.control.answer)
        control.start()
        yield door, config, request
        control.stop()
    door.close()


def test_who_asks_about_when_is_listed_and_what_was_written_is_not(
    tool: Tool, asked: tuple[Door, Path, FootageRequest]
) -> None:
    door, config, request = asked
    waiting = tool("requests", "--config", config).out
    assert f"{request.id}  pending" in waiting
    assert "Harbour Police (police), burglary" in waiting
    assert "3 segments match" in waiting
    door.deny(request)
    assert "No request is waiting for you." in tool("requests", "--config", config).out
    over = tool("requests", "--all", "--config", config).out
    assert f"{request.id}  denied" in over
    assert "Harbour Police, received 20" in over
    told = tool("requests", "--all", "--json", "--config", config).out
    assert json.loads(told)["requests"][0]["id"] == request.id
    assert not [word for word in ("Kanarien", "burglary") if word in over + told]
    assert "Kanarien" not in waiting
