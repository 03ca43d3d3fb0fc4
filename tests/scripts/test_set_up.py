"""A newcomer's first command, before anything of ours can run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "scripts" / "system-packages.sh"
SET_UP = ROOT / "scripts" / "set_up.py"
WAITS = "-o DPkg::Lock::Timeout=300 "
BORROWED = ("sh", "mkdir", "find", "head", "tail", "rm", "env", "cat")


class Machine:
    """A folder that is the whole PATH: a few real tools and a false apt, dpkg and id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in BORROWED:
            (self.bin / name).symlink_to(shutil.which(name) or "/bin/false")
        self.has("dpkg", "echo amd64")
        self.has("id", "echo 0")
        self.has("apt-get", f'echo "$@" >> {folder}/apt.calls')
        browsers, root = ("chromium", "certutil"), ("systemd-nspawn", "mmdebstrap")
        for tool in (*browsers, *root, "mkfs.ext4", "strace", "gpg-agent", "softhsm2-util"):
            self.has(tool)

    def has(self, name: str, script: str = "true") -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def install_for(self, purpose: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "PYTHON": sys.executable}
        command = [shutil.which("sh") or "sh", str(PACKAGES), purpose]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    @property
    def apt_calls(self) -> list[str]:
        """Returns the calls of apt; each waits for another apt to end."""
        calls = self.folder / "apt.calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        assert all(WAITS in line for line in lines)
        return [line.replace(WAITS, "") for line in lines]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Has mosquitto; lacks age."""
    machine = Machine(tmp_path)
    machine.has("mosquitto")
    return machine


def test_a_machine_that_has_everything_is_not_touched(machine: Machine) -> None:
    machine.has("age")
    done = machine.install_for("test")
    assert (done.returncode, done.stdout, done.stderr, machine.apt_calls) == (0, "", "", [])


def test_only_what_is_missing_is_installed_and_said_before(machine: Machine) -> None:
    done = machine.install_for("test")
    assert done.returncode == 0
    assert "Installing them:  apt-get install --no-install-recommends age\n" in done.stdout
    assert machine.apt_calls[-1] == "-q install -y --no-install-recommends age"


def test_the_demo_does_not_ask_for_what_only_the_tests_need(machine: Machine) -> None:
    assert machine.install_for("demo").returncode == 0
    assert machine.apt_calls == []


def test_without_root_and_sudo_the_exact_line_is_shown_and_nothing_tried(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    done = machine.install_for("test")
    assert done.returncode == 1
    assert "As root, run:  apt-get update && apt-get install --no-install-recommends age\n" in done.stderr
    assert machine.apt_calls == []


def test_with_sudo_it_is_used_and_shown(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    machine.has("sudo", '"$@"')
    done = machine.install_for("test")
    assert done.returncode == 0
    assert "Installing them:  sudo apt-get install" in done.stdout
    assert machine.apt_calls[-1].endswith("age")


def test_lists_that_are_out_of_date_are_fetched_and_it_is_tried_again(machine: Machine) -> None:
    calls = machine.folder / "apt.calls"
    fails_until_updated = f'case "$*" in *update*) : > {calls}.new;; *) [ -e {calls}.new ];; esac'
    machine.has("apt-get", f'echo "$@" >> {calls}; {fails_until_updated}')

    assert machine.install_for("test").returncode == 0
    assert [call.split()[1] for call in machine.apt_calls][-2:] == ["update", "install"]


def test_an_apt_that_fails_is_quoted_with_the_line_to_run(machine: Machine) -> None:
    machine.has("apt-get", 'echo "E: no network"; false')
    done = machine.install_for("test")
    assert done.returncode == 1
    assert "E: no network" in done.stderr
    assert "As root, run:  apt-get update && apt-get install" in done.stderr


def test_a_32_bit_system_is_told_that_it_is_one(machine: Machine) -> None:
    machine.has("dpkg", "echo armhf")
    done = machine.install_for("run")
    assert done.returncode == 1
    assert "Install the 64-bit Raspberry Pi OS" in done.stderr


def test_a_system_without_apt_is_told_what_is_needed(machine: Machine) -> None:
    (machine.bin / "apt-get").unlink()
    done = machine.install_for("run")
    assert done.returncode == 1
    assert "Use Debian 12 or 13" in done.stderr


def test_set_up_wants_to_know_what_for() -> None:
    done = subprocess.run([sys.executable, str(SET_UP)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "say what for: run, demo, test, home-assistant, models, release" in done.stderr


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_help_lists_every_target_a_person_would_type() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "help"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    for target in ("demo", "test", "lint", "bench", "setup", "clean"):
        assert f"  make {target}" in done.stdout


def test_every_pin_has_a_hash() -> None:
    for name in ("run", "dev", "home-assistant"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        pins = [line for line in text.splitlines() if "==" in line]
        assert pins
        assert all(line.endswith("\\") for line in pins), "a pin without a hash line"


def test_the_tests_environment_has_all_that_running_has() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        # Without markers: a package that running needs on some Pythons, the tests may need on all.
        return {line.partition(" ")[0] for line in text.splitlines() if "==" in line}

    assert pins("run") <= pins("dev")


def test_a_browser_that_cannot_be_had_stops_nothing(machine: Machine) -> None:
    machine.has("age")
    (machine.bin / "chromium").unlink()
    machine.has("apt-get", "exit 100")
    done = machine.install_for("test")
    assert done.returncode == 0
    assert "will be skipped" in done.stdout
