"""For any mutation of a file about a doorbell, the file is valid or refused by file, line and key, and has no
effect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.config.injuries import untrue
from tests.lengths import LONG

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("count", [600, pytest.param(1800, marks=LONG)])
def test_injured_files_run_nothing_write_nothing_and_are_refused_by_file_line_and_key(
    tmp_path: Path, count: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.config.audited", str(tmp_path), str(count)],
        capture_output=True, text=True, check=False, cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["seen"] == {}
    assert said["wrong"] == []
    assert sum(said["outcomes"].values()) == count
    refused = {name: count for name, count in said["outcomes"].items() if name.endswith("refused")}
    assert len(refused) == 3
    assert min(refused.values()) > count // 3 * 0.3, "mutations that break nothing test nothing"
    assert len(said["outcomes"]) == 6, "mutations that break everything test little"


@pytest.mark.parametrize(
    "message",
    [
        "/etc/d.toml, line 2, camera: nothing",
        "/etc/d.toml, line 9, camera.fps: nothing",
        "/etc/d.toml, line 3, the first key: nothing",
        "/etc/d.toml, line 0, camera.fps: nothing",
        "/etc/d.toml, camera.fps: nothing",
        "/etc/d.toml, line 3: nothing",
        "/etc/e.toml, line 3, camera.fps: nothing",
    ],
)
def test_the_check_itself_notices_a_place_that_is_not_true(message: str) -> None:
    path, data = Path("/etc/d.toml"), b"[device]\nname = 'a'\n[camera]\nfps = 3\n"
    assert untrue("/etc/d.toml, line 4, camera.fps: nothing", path, data) == ""
    assert untrue(message, path, data)
