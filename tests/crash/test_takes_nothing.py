"""A doorbell that starts on a full or read-only disk serves what is stored, says why, and records once it can."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.takes_nothing import KINDS

ROOT = Path(__file__).parents[2]
AT_LENGTH = pytest.mark.at_length("make prove-crash")


def why_not(kind: str) -> str:
    if os.geteuid() != 0:
        return "mounting needs root"
    system = kind.split()[0]
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    if system != "tmpfs" and not shutil.which(f"mkfs.{system}", path=path):
        return f"mkfs.{system} is not installed"
    if f"\t{system}\n" not in Path("/proc/filesystems").read_text():
        return f"this kernel has no {system}"
    allowed = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0
    return "" if allowed else "no mount namespaces here"


IN_EVERY_RUN = ("tmpfs read-only", "ext4 full")
"""One of each fault, on two file systems. `make prove-crash` has them all."""
ALL = [kind if kind in IN_EVERY_RUN else pytest.param(kind, marks=AT_LENGTH) for kind in KINDS]


@pytest.mark.parametrize("kind", ALL)
def test_a_doorbell_starts_on_a_disk_that_takes_nothing(kind: str, tmp_path: Path) -> None:
    if reason := why_not(kind):
        pytest.skip(reason)
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-m", "tests.crash.takes_nothing", kind, str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout)
    assert seen["owners"] == ["owner"]
    assert seen["stored"] >= seen["stored before"] >= 3
    assert seen["page"] == 200
    assert seen["records again"]
    assert seen["decides again"]
    assert seen["hole_s"] < 0.5, "the time without footage is a gap with its reason"
    if "read-only" in kind:
        assert seen["state"] == "not recording"
        assert "read-only" in seen["detail"]
    else:
        assert seen["records meanwhile"]
