"""The player's clock, run in node: places in films and capture times agree with a count of milliseconds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop


def test_the_players_clock_agrees_with_a_count_of_milliseconds() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node or the page's packages are missing: run `npm ci` in agent/web/src")
    script = Path(__file__).with_name("capture_clock.mjs")
    done = subprocess.run([node, script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "400"
