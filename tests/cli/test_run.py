"""`doorward run`: a role that cannot start ends, so that its supervisor can try again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Seen
from tests.scenarios.street import ROOT


@pytest.mark.parametrize("role", ["solo", "custodian"])
def test_a_role_that_cannot_start_ends_although_parts_of_it_have_started(
    tmp_path: Path, tool: Callable[..., Seen], role: str
) -> None:
    configuration = tmp_path / "doorward.toml"
    configuration.write_text(
        f"""
[device]
name = "Door"
state_dir = "{tmp_path / "state"}"

[camera]
kind = "scripted"

[metrics]
socket = "{tmp_path / "nowhere" / "metrics.sock"}"

[[alerts.channels]]
name = "phone"
url = "ntfy://localhost:1/door"
"""
    )
    assert tool("init", "--config", configuration).status == 0
    ended = subprocess.run(
        [sys.executable, "-m", "agent.cli", "run", "--role", role, "--config", str(configuration)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "Metrics cannot be served" in ended.stderr
    assert "Traceback" not in ended.stderr
