"""`doorward config show`: which value is in force, and who says so."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.ipc.rpc_server import control_server
from agent.wire import strictjson
from agent.wire.control import Frame
from agent.wire.statements import QuietHoursSetting, Settings, sign_statement
from tests.custodians import APPROVER, stated

Tool = Callable[..., object]
HOURS = (
    '[[privacy.hours]]\ndays = ["sat"]\nbegins = "10:00"\nends = "12:00"\n'
    '[[privacy.hours]]\nbegins = "22:00"\nends = "06:00"\n'
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as short:  # a socket's path is limited to 107 bytes
        path = Path(short)
        (path / "doorward.toml").write_text(f'[device]\nstate_dir = "{path}"\n[vault]\nmax_age_days = 20\n{HOURS}')
        yield path


def test_while_no_device_runs_the_file_is_shown_and_said_to_be_alone(tool: Tool, folder: Path) -> None:
    done = tool("config", "show", "--config", folder / "doorward.toml")
    assert done.status == 0
    assert "vault.max_age_days   20  (from" in done.out
    assert "privacy.hours        sat 10:00–12:00; every day 22:00–06:00  (from" in done.out
    assert "this shows the file only" in done.err


def test_what_an_owner_has_set_is_shown_beside_what_the_file_says(tool: Tool, folder: Path) -> None:
    payload = strictjson.encode(
        Settings(**stated(), max_age_days=7, quiet=QuietHoursSetting(begins_minute=0, ends_minute=60))
    )
    signed = sign_statement(Settings.PAYLOAD_TYPE, payload, APPROVER).decode()
    control = control_server(
        folder / "control.sock", lambda _frame: Frame({"ok": True, "result": {"envelope": signed, "sha256": "0" * 64}})
    )
    control.start()
    try:
        done = tool("config", "show", "--config", folder / "doorward.toml")
        found = json.loads(tool("config", "show", "--config", folder / "doorward.toml", "--json").out)
    finally:
        control.stop()
    assert "vault.max_age_days   7  (set by an owner; the file has 20)" in done.out
    assert "alerts.quiet         -  (set by an owner; it has no effect, because the file has no [alerts])" in done.out
    assert found["device_asked"]
    by_key = {line["key"]: line for line in found["settings"]}
    assert by_key["vault.max_age_days"] == {"key": "vault.max_age_days", "value": "7", "from": "owner", "file": "20"}
    assert by_key["motion.zones"]["from"] == "file"
