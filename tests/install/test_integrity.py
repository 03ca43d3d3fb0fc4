"""The installed program against the hashes of its installation: each change is found, and nothing else."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation import __main__ as installer  # noqa: E402
from installation import integrity  # noqa: E402
from installation.integrity import add_hash, changes_of, keep_hashes, verify  # noqa: E402
from installation.places import ENABLED, UNITS, Places  # noqa: E402
from installation.versions import Versions  # noqa: E402
from installation.words import FailedError  # noqa: E402

from agent.core.program_changes import MAX_REPORT_BYTES, ProgramChanges  # noqa: E402
from agent.wire import strictjson  # noqa: E402


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A root with a version that runs."""
    found = Places(tmp_path)
    make(found, "0.1.0-abc")
    Versions(found).switch("0.1.0-abc")
    return found


def make(places: Places, name: str) -> Path:
    version = Versions(places).folder(name)
    for path, text in {
        "app/agent/__init__.py": "version", "app/agent/core/consent.py": "table", "venv/pyvenv.cfg": "home = /usr/bin",
        "bin/doorward": "#!/bin/sh",
    }.items():  # fmt: skip
        (version / path).parent.mkdir(parents=True, exist_ok=True)
        (version / path).write_text(text)
    (version / "venv/bin").mkdir()
    (version / "venv/bin/python").symlink_to("/usr/bin/python3")
    (version / "venv/lib64").symlink_to("lib")
    keep_hashes(version)
    Versions(places).complete(name)
    return version


def report(places: Places) -> ProgramChanges | None:
    path = places.runtime / "program" / "changed.json"
    if not path.exists():
        return None
    return strictjson.decode(path.read_bytes(), ProgramChanges, limit_bytes=MAX_REPORT_BYTES)


def test_a_program_that_is_as_it_was_installed_has_no_changes(places: Places) -> None:
    assert changes_of(places.current) == []
    assert not verify(places)
    assert report(places) is None
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=places.current, check=False)
    assert done.returncode == 0, "a person can repeat it with the system's tools"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda at: (at / "app/agent/core/consent.py").write_text("tablE"), "app/agent/core/consent.py"),
        (lambda at: (at / "app/agent/core/consent.py").unlink(), "app/agent/core/consent.py"),
        (lambda at: (at / "venv/sitecustomize.py").write_text("import evil"), "venv/sitecustomize.py"),
        (lambda at: relink(at / "venv/bin/python", "/tmp/python"), "venv/bin/python"),
        (lambda at: relink(at / "venv/lib64", "/tmp/lib"), "venv/lib64"),
        (lambda at: (at / "app/more").symlink_to("/tmp"), "app/more"),
        (lambda at: relink(at / "app/agent/__init__.py", "/tmp/module.py"), "app/agent/__init__.py"),
        (lambda at: fifo(at / "bin/doorward"), "bin/doorward"),
        (lambda at: (at / "app/agent/core/consent.py").rename(at / "app/agent/core/consent"), "app/agent/core/consent"),
        (lambda at: (at / "SHA256SUMS").unlink(), "SHA256SUMS"),
        (lambda at: (at / "SHA256SUMS").write_text("rubbish"), "SHA256SUMS"),
        (lambda at: (at / "LINKS").unlink(), "SHA256SUMS"),
    ],
)  # fmt: skip
def test_each_change_of_the_program_is_found_and_reported(
    places: Places, change: Callable[[Path], object], named: str
) -> None:
    change(places.current.resolve())
    assert verify(places), "the uplink has to begin again"
    found = report(places)
    assert found is not None
    assert found.files[0] == named
    assert found.count == len(changes_of(places.current))
    assert not verify(places), "the report stands already"
    assert report(places) == found, "with the time at which it began"


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_the_report_goes_once_the_program_is_as_it_was(places: Places) -> None:
    consent = places.current / "app/agent/core/consent.py"
    consent.write_text("tablE")
    verify(places)
    consent.write_text("table")
    assert verify(places)
    assert report(places) is None


@pytest.mark.parametrize("name", ["SHA256SUMS", "LINKS"])
def test_a_list_of_hashes_that_would_never_end_is_a_change(places: Places, name: str) -> None:
    """A thief would otherwise only have to make a FIFO of it."""
    fifo(places.current / name)
    assert changes_of(places.current) == ["SHA256SUMS"]


def test_a_file_that_is_too_large_to_compare_is_a_change(places: Places) -> None:
    path = places.current / "app/agent/core/consent.py"
    with path.open("r+b") as file:
        file.truncate(1 << 41)
    assert changes_of(places.current) == ["app/agent/core/consent.py"]


def test_a_comparison_that_does_not_end_is_reported(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing card reads one block for minutes. systemd would end the comparison without a word."""
    monkeypatch.setattr(integrity, "_MOST_S", 0.05)
    monkeypatch.setattr(integrity, "_sha256", lambda _: time.sleep(60))
    assert verify(places)
    found = report(places)
    assert found is not None
    assert (found.count, found.files) == (1, ("the comparison did not end",))
    unit = (ROOT / "systemd/doorward-integrity.service").read_text()
    assert "TimeoutStartSec=5min" in unit


def test_a_kernel_that_comes_later_is_known_before_it_is_in_its_place(places: Places, tmp_path: Path) -> None:
    version, made = places.current.resolve(), tmp_path / "motion-kernel.so"
    made.write_bytes(b"library")
    name = Path("venv/lib/motion-kernel.so")
    add_hash(version, name, made)
    assert changes_of(version) == [str(name)], "only a power cut at this moment leaves this"
    (version / "venv/lib").mkdir()
    made.rename(version / name)
    assert changes_of(version) == []
    (version / ".SHA256SUMS.new").touch()
    assert changes_of(version) == [], "a cut while the list was written leaves this"


def test_no_unit_of_root_adds_compiled_files_to_a_version() -> None:
    for path in (ROOT / "systemd").glob("*.service"):
        for line in re.findall(r"^ExecStart\w*=.*/usr/bin/python3.*$", path.read_text(), re.MULTILINE):
            assert "python3 -I -B /opt/doorward" in line, path.name


def test_many_changes_are_counted_and_the_first_are_named(places: Places) -> None:
    for number in range(300):
        (places.current / "app" / f"{number:03}.py").write_text("more")
    verify(places)
    found = report(places)
    assert found is not None
    assert (found.count, len(found.files), found.files[0]) == (300, 20, "app/000.py")


def test_an_installer_that_works_meanwhile_is_no_change(places: Places) -> None:
    (places.current / "app/agent/core/consent.py").write_text("tablE")
    places.lock.parent.mkdir()
    with places.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not verify(places)
    assert report(places) is None
    assert verify(places)


def test_without_a_version_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert not verify(Places(tmp_path))


def test_a_changed_version_is_made_again_beside_itself(places: Places) -> None:
    versions = Versions(places)
    assert installer._sound_name(versions, "0.1.0-abc") == "0.1.0-abc"
    assert installer._sound_name(versions, "0.2.0-new") == "0.2.0-new"
    (places.current / "app/agent/core/consent.py").write_text("tablE")
    assert installer._sound_name(versions, "0.1.0-abc") == "0.1.0-abc-2"
    shutil.copytree(versions.folder("0.1.0-abc"), versions.folder("0.1.0-abc-2"), symlinks=True)
    assert installer._sound_name(versions, "0.1.0-abc") == "0.1.0-abc-3", "that copy was changed, too"
    keep_hashes(versions.folder("0.1.0-abc-2"))
    assert installer._sound_name(versions, "0.1.0-abc") == "0.1.0-abc-2"
    for number in range(3, 100):
        (versions.folder(f"0.1.0-abc-{number}")).mkdir()
        (versions.folder(f"0.1.0-abc-{number}") / "complete").touch()
    (versions.folder("0.1.0-abc-2") / "more").touch()
    with pytest.raises(FailedError, match="Every copy of it was changed"):
        installer._sound_name(versions, "0.1.0-abc")


def test_the_comparison_runs_before_the_uplink_at_each_start_and_each_day() -> None:
    service = (ROOT / "systemd/doorward-integrity.service").read_text()
    assert "\nBefore=doorward-uplink.service\n" in service
    assert "\nWantedBy=doorward.target\n" in service
    assert "doorward-integrity.service" in (ROOT / "systemd/doorward-uplink.service").read_text()
    assert "\nOnUnitInactiveSec=24h\n" in (ROOT / "systemd/doorward-integrity.timer").read_text()
    assert {"doorward-integrity.service", "doorward-integrity.timer"} <= set(ENABLED) <= set(UNITS)


def test_root_s_report_is_readable_for_the_custodian(places: Places) -> None:
    (places.current / "app/agent/core/consent.py").write_text("tablE")
    verify(places)
    path = places.runtime / "program" / "changed.json"
    assert path.stat().st_mode & 0o777 == 0o644
    assert json.loads(path.read_text())["v"] == 1
