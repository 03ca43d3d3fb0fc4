"""`doorward support` with canaries in the configuration, in the log and in what the system says: none comes through."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli import doctor, support
from agent.cli.checks.finding import bad, fine

EXAMPLE = Path(__file__).parents[2] / "config" / "doorward.toml"
CANARY = "Kanarienvogel"
CONFIGURATION = f"""
[device]
name = "{CANARY}-deur"
state_dir = "/srv/{CANARY}/state"
position = {{ latitude = 52.09027, longitude = 5.11153 }}
[camera]
kind = "rtsp"
url = "rtsp://{CANARY}:{CANARY}@192.168.17.4/stream"
[[motion.zones]]
name = "{CANARY}'s window"
corners = [[0.8, 0.0], [1.0, 0.0], [1.0, 0.25]]
[broker]
host = "{CANARY}.example"
ca = "/etc/doorward/tls/{CANARY}.pem"
certificate = "{CANARY}.pem"
key = "{CANARY}.key"
[[alerts.channels]]
name = "{CANARY}"
url = "ntfys://{CANARY}@push.example/{CANARY}"
[home_assistant]
host = "{CANARY}.lan"
user = "{CANARY}"
password = "{CANARY}"
"""
LOG = [
    {"event": "link_down", "level": "warning", "fault": "unreachable", "error": CANARY, "retry_in_s": 4},
    {"event": "request_moved", "level": "info", "request": "ab" * 16, "state": "matched", "requester": CANARY},
    {"event": "transfer_begins", "level": "info", "disclosure": "cd" * 16},
    {"event": CANARY, "level": "info"},
]


def journal() -> str:
    rows = [json.dumps(each) for each in LOG] + [f"{CANARY} says: {CANARY}", "Traceback\nValueError: " + CANARY]
    made = [{"MESSAGE": row, "__REALTIME_TIMESTAMP": "1795892232123456", "_SYSTEMD_UNIT": "doorward-uplink.service",
             "_HOSTNAME": CANARY} for row in rows]  # fmt: skip
    return "\n".join([*map(json.dumps, made), "no JSON", "3"])


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of the system that say what a test puts beside them, and a doctor that quotes everything."""
    for name, said in (
        ("journalctl", journal()),
        ("systemctl", f"Id=doorward-uplink.service\nNRestarts=2\nX={CANARY}/\n"),
    ):
        (tmp_path / f"{name}.said").write_text(said)
        (tmp_path / name).write_text(f"#!/bin/sh\ncat {tmp_path}/{name}.said\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(support, "_JOURNALCTL", str(tmp_path / "journalctl"))
    monkeypatch.setattr(support, "_SYSTEMCTL", str(tmp_path / "systemctl"))
    return tmp_path


def written(system: Path, tool: Callable[..., Any], configuration: str) -> str:
    config = system / "doorward.toml"
    config.write_text(configuration)
    done = tool("support", system / "out.txt", "--config", config)
    assert done.status == 0, done.err
    path = system / "out.txt"
    assert path.stat().st_mode & 0o077 == 0
    return path.read_text()


def test_no_canary_comes_through_and_what_helps_does(system: Path, tool: Callable[..., Any]) -> None:
    """The real doctor looks at a camera, a broker and a folder that are missing, and names each of them."""
    text = written(system, tool, CONFIGURATION)
    for secret in (CANARY, "52.09", "5.1115", "192.168.17.4", "push.example", "abab", "cdcd", "request", str(system)):
        assert secret not in text, secret
    for helpful in (
        "doorward 0.1.0", "camera.kind = rtsp", "device.name = ‹left out›", "link_down retry_in_s=4 fault=unreachable",
        "Id=doorward-uplink.service  NRestarts=2", "== doctor",
    ):  # fmt: skip
        assert helpful in text, helpful


def test_a_doctor_that_quotes_each_setting_tells_none(
    system: Path, tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def quoting(_config: Path) -> Any:
        for table in tomllib.loads(CONFIGURATION).values():
            yield bad("camera", f"It is {json.dumps(table)}", f"Change {table}.")
        yield fine("disk", "3.4 GB of 29 GB are free.")

    monkeypatch.setattr(doctor, "examine", quoting)
    text = written(system, tool, CONFIGURATION)
    assert CANARY not in text
    assert "3.4 GB of 29 GB are free." in text


@pytest.mark.parametrize("broken", [f'{CANARY} = "{CANARY}"\n', f'[device]\nname = "{CANARY}', f"[{CANARY}]\nx = 1\n"])
def test_a_configuration_that_cannot_be_read_tells_nothing(system: Path, tool: Callable[..., Any], broken: str) -> None:
    assert CANARY not in written(system, tool, broken)


def test_every_text_of_a_whole_configuration_is_left_out(system: Path, tool: Callable[..., Any]) -> None:
    whole = "".join(f"{line.removeprefix('#: ')}\n" for line in EXAMPLE.read_text().splitlines())
    lines = written(system, tool, whole).partition("== units")[0].splitlines()
    shown = {line.partition(" = ")[2] for line in lines if " = " in line}
    keys, words = support._vocabulary()
    assert "fps" in keys
    for value in shown:
        for each in value.strip("[]").split(", "):
            assert each in words | {"‹left out›", "true", "false", ""} or float(each) is not None


def test_an_existing_file_is_not_replaced(system: Path, tool: Callable[..., Any]) -> None:
    (system / "out.txt").write_text("mine")
    done = tool("support", system / "out.txt", "--config", system / "none.toml")
    assert done.status == 2
    assert (system / "out.txt").read_text() == "mine"


def test_a_system_without_systemd_gives_a_shorter_file(
    system: Path, tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "_JOURNALCTL", str(system / "none"))
    monkeypatch.setattr(support, "_SYSTEMCTL", str(system / "none"))
    assert written(system, tool, "").endswith("== log\n")
