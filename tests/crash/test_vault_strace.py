"""The system's own calls fail, under strace: what the disk model says of errors is what a real process meets.

Skipped visibly where strace may not be used.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.power.workload import broken_promises

STRACE = shutil.which("strace")


def may_trace() -> bool:
    if STRACE is None:
        return False
    return subprocess.run([STRACE, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not may_trace(), reason="strace is not installed, or may not be used here"),
]


AT_LENGTH = pytest.mark.at_length("make prove-crash")


@pytest.mark.parametrize(
    ("calls", "error", "when"),
    [
        ("fdatasync", "EIO", "30"),
        pytest.param("fdatasync", "EIO", "30+40", marks=AT_LENGTH),
        pytest.param("fdatasync", "ENOSPC", "41", marks=AT_LENGTH),
        pytest.param("fsync", "EIO", "37", marks=AT_LENGTH),
        ("fsync", "EROFS", "40+13"),
        pytest.param("rename,renameat,renameat2", "ENOSPC", "2", marks=AT_LENGTH),
        pytest.param("rename,renameat,renameat2", "EROFS", "4+5", marks=AT_LENGTH),
        ("unlink,unlinkat", "EIO", "2"),
    ],
)
def test_a_real_call_that_fails_loses_nothing(tmp_path: Path, calls: str, error: str, when: str) -> None:
    assert STRACE is not None
    files, marks = tmp_path / "files", tmp_path / "marks"
    files.mkdir()
    marks.touch()
    command = [
        STRACE, "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", f"trace={calls}",
        "-e", f"inject={calls}:error={error}:when={when}",
        sys.executable, "-m", "tests.crash.power.workload", str(files), str(marks), "3", "--go-on",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(INJECTED)" in (tmp_path / "trace").read_text()
    told = [json.loads(line) for line in marks.read_bytes().splitlines()]
    assert sum("acknowledged" in mark for mark in told) > 10, "it went on"
    broken_promises(files, told)
