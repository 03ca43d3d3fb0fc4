"""The release: two builds of a commit are the same bytes, and the list of parts names every pinned one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def packaging(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "release.py"), *words],
        capture_output=True, text=True, check=True, env={"SOURCE_DATE_EPOCH": "1780000000", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return done.stdout


def test_two_builds_of_a_commit_are_identical(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        packaging("deb", "arm64", "--out", str(tmp_path / folder))
    first, second = (next((tmp_path / folder).glob("*.deb")).read_bytes() for folder in ("a", "b"))
    assert first == second


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_dpkg_reads_the_package_and_finds_the_installer_in_it(tmp_path: Path) -> None:
    packaging("deb", "arm64", "--out", str(tmp_path))
    made = next(tmp_path.glob("*.deb"))
    fields = subprocess.run(["dpkg-deb", "--field", str(made)], capture_output=True, text=True, check=True).stdout
    assert "Package: doorward\n" in fields
    assert "Architecture: arm64\n" in fields
    inside = subprocess.run(["dpkg-deb", "--contents", str(made)], capture_output=True, text=True, check=True).stdout
    for name in ("scripts/installation/__main__.py", "systemd/doorward-uplink.service", "requirements/run.txt"):
        assert f"./usr/lib/doorward/{name}\n" in inside
    assert "__pycache__" not in inside


def test_the_parts_list_names_every_pinned_package_with_its_hashes() -> None:
    document = json.loads(packaging("sbom"))
    assert document["bomFormat"] == "CycloneDX"
    text = (ROOT / "requirements" / "run.txt").read_text()
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    listed = {(part["name"], part.get("version")): part for part in document["components"]}
    for name, version in pins:
        assert listed[name.lower(), version]["hashes"]
    assert packaging("sbom") == packaging("sbom")
