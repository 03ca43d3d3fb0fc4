"""`make desk`: one command fills a desk with real doorbells, whose owners share."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lengths import LONG, only
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


@LONG
@pytest.mark.broker
@pytest.mark.parametrize("doors", only([1], [1, 2]))
def test_make_desk_fills_three_cases_and_lets_four_people_in(tmp_path: Path, doors: int) -> None:
    if shutil.which("mosquitto") is None:
        pytest.skip("mosquitto is not installed")
    port = free_port()
    folder = tmp_path / "desk"
    words = ["--doors", str(doors), "--once", "--port", str(port), "--folder", str(folder)]
    done = subprocess.run([sys.executable, "-m", "demo.desk", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(rf"https://localhost:{port}/link/\S{{43}}", done.stdout)) == 4
    with sqlite3.connect(folder / "desk" / "data" / "desk.sqlite3") as database:
        states = [row[0] for row in database.execute("SELECT state FROM asking_draft ORDER BY state")]
        answers = [row[0] for row in database.execute("SELECT state FROM cases_answer")]
    database.close()
    assert states == ["draft", "published", "submitted"]
    assert answers == ["complete"] * doors
