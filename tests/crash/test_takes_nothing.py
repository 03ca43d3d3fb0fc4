"""A doorbell that starts on a full or read-only disk serves what is stored, says why, and records once it can."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

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
    if system != "tmpfs" and not os.access("/dev/loop-control", os.W_OK):
        return "this machine has no /dev/loop-control"
    allowed = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0
    return "" if allowed else "no mount namespaces here"


def all_kinds(in_every_run: str) -> list[Any]:
    """`make test` has one fault with all roles in one process, and the other one with each role a separate process.
    `make prove-crash` has them all."""
    return [kind if kind == in_every_run else pytest.param(kind, marks=AT_LENGTH) for kind in KINDS]


def seen_on(kind: str, story: str, folder: Path) -> dict[str, Any]:
    if reason := why_not(kind):
        pytest.skip(reason)
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-m", f"tests.crash.{story}", kind, str(folder)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize("kind", all_kinds("ext4 full"))
def test_a_doorbell_starts_on_a_disk_that_takes_nothing(kind: str, tmp_path: Path) -> None:
    seen = seen_on(kind, "takes_nothing", tmp_path)
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


@pytest.mark.parametrize("kind", all_kinds("tmpfs read-only"))
def test_with_roles_apart_each_starts_on_such_a_disk_and_the_page_says_why_nothing_is_recorded(
    kind: str, tmp_path: Path
) -> None:
    seen = seen_on(kind, "takes_nothing_apart", tmp_path)
    assert seen["serves"]
    assert (seen["lets its owner in"], seen["owners"]) == (200, ["owner"])
    assert seen["records again"]
    assert seen["answers the owner's client again"]
    assert seen["roles that ended"] == []
    assert seen["ended"] == [0, 0, 0]
    if "read-only" in kind:
        assert seen["stored"] == seen["stored before"] >= 3
        assert seen["state"] == "not recording"
        assert "read-only" in seen["detail"]
        assert "The disk is read-only" in seen["an owner's client is told"]
    else:
        assert seen["records meanwhile"], "in the place of the oldest"
        # btrfs says that space is free which it then refuses, so no floor is missed there.
        assert "Other files fill the disk" in seen["detail"] or kind == "btrfs full"
