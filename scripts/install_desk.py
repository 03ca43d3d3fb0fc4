"""Installs the requester's desk on this machine, or upgrades it: `make install-desk`, as root.

    /opt/doorward-desk/<digest>/{app,venv,bin}    one version: the program and its pinned packages, hashes checked
    /opt/doorward-desk/current                    the version that runs
    /etc/doorward-desk/desk.toml                  made once, never overwritten
    /var/lib/doorward-desk                        data, readable by the desk's user only

A version is complete before `current` names it, and the one before stays. A version that does not start is rolled back.
`--root FOLDER` installs below a folder and starts nothing, for an image or a test.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

SOURCE = Path(__file__).resolve().parent.parent
PARTS = ("agent", "firmware_bridge", "desk", "config", "requirements")
LEFT_OUT = ("agent/web/src", "desk/web")
FILES = ("LICENSE", "README.md", "SECURITY.md", "CHANGELOG.md")
PYTHON = "/usr/bin/python3"
USER = "doorward-desk"
UNIT = "doorward-desk.service"
COMPLETE = "complete"
HEALTHY_S = 180
LONGEST_START_S = 3600
STEADY_S = 30
"""A broken version needs some time to fail: eight seconds, on a machine with much other work."""


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def fail(message: str, remedy: str) -> NoReturn:
    print(f"\nError: {message}\n  What to do: {remedy}", file=sys.stderr)
    raise SystemExit(1)


def files_of(source: Path) -> Iterator[Path]:
    """Yields what is installed, relative and sorted."""
    found = [Path(name) for name in FILES if (source / name).is_file()]
    apart = [Path(name) for name in LEFT_OUT]
    for part in PARTS:
        for path in (source / part).rglob("*"):
            name = path.relative_to(source)
            if path.is_symlink() or not path.is_file() or {"__pycache__", "node_modules"} & set(name.parts):
                continue
            if not any(name.is_relative_to(each) for each in apart):
                found.append(name)
    yield from sorted(found)


def digest_of(source: Path) -> str:
    """Returns a name for the version: the same tree and the same Python have the same one."""
    total = hashlib.sha256(sys.version.encode())
    for name in files_of(source):
        data = (source / name).read_bytes()
        total.update(f"{name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()[:12]


def build(version: Path) -> None:
    """Makes a complete version. An interrupted one is begun again."""
    if (version / COMPLETE).is_file():
        return
    shutil.rmtree(version, ignore_errors=True)
    for name in files_of(SOURCE):
        target = version / "app" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SOURCE / name, target)
        target.chmod(0o644)
    _run([PYTHON, "-m", "venv", "--clear", str(version / "venv")], "the virtual environment could not be made")
    python = str(version / "venv" / "bin" / "python")
    say("Installing the pinned packages, each checked against its hash (a minute)")
    words = [python, "-m", "pip", "install", "--no-input", "-q", "--disable-pip-version-check", "--no-deps"]
    words += ["--only-binary", ":all:", "--require-hashes", "-r", str(version / "app" / "requirements" / "desk.txt")]
    _run(words, "pip could not install the pinned packages")
    site = next((version / "venv" / "lib").glob("python3.*/site-packages"))
    (site / "doorward-desk.pth").write_text(f"{version / 'app'}\n")
    _run([python, "-m", "compileall", "-q", str(version / "app")], "the program could not be compiled")
    (version / "bin").mkdir()
    launcher = version / "bin" / "doorward-desk"
    # -I keeps the current folder and the user's environment variables out of the program.
    launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(python)} -I -m desk "$@"\n')
    launcher.chmod(0o755)
    # Before the mark: a power cut could leave it beside files without bytes, and the next run would trust them.
    os.sync()
    (version / COMPLETE).touch()


def switch(base: Path, version: str) -> str | None:
    """Lets `current` name a version. Returns the one before."""
    current = base / "current"
    before = current.readlink().name if current.is_symlink() else None
    made = base / ".current.new"
    made.unlink(missing_ok=True)
    made.symlink_to(version)
    # One rename, so that the unit always finds a program.
    made.replace(current)
    return before


def configure(root: Path, base: Path) -> None:
    """Writes the configuration once, and links unit and command."""
    etc = root / "etc/doorward-desk"
    etc.mkdir(parents=True, exist_ok=True)
    path = etc / "desk.toml"
    if not path.exists():
        text = (base / "current/app/desk/desk.toml").read_text()
        path.write_text(text.replace('data = "data"', 'data = "/var/lib/doorward-desk"'))
        path.chmod(0o640)
    for link, target in (
        (root / "etc/systemd/system" / UNIT, "/opt/doorward-desk/current/app/desk/systemd/" + UNIT),
        (root / "usr/local/bin/doorward-desk", "/opt/doorward-desk/current/bin/doorward-desk"),
    ):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def start(base: Path, before: str | None) -> None:
    """Starts the service. A version that does not come up is rolled back."""
    _run(["systemctl", "daemon-reload"], "systemd did not read the unit")
    _run(["systemctl", "enable", "--quiet", UNIT], "the unit could not be enabled")
    _restart("the desk could not be started")
    if _comes_up():
        return
    if before is not None:
        switch(base, before)
        _run(["systemctl", "daemon-reload"], "systemd did not read the unit")  # the unit is of the version, too
        _restart("the version before could not be started")
    fail(
        "The desk did not come up" + (", so the version before runs again." if before else "."),
        f"read why:  journalctl -u {UNIT} -b",
    )


def _restart(failure: str) -> None:
    # Without waiting: systemd would wait for READY=1 for ever if the desk hangs, and fail here if it ends before.
    _run(["systemctl", "restart", "--no-block", UNIT], failure)


def _comes_up() -> bool:
    """Returns True once the service has run for half a minute without a restart. A start may take long, because it
    brings the database to its form: that must not be cut."""
    began_s = waited_s = time.monotonic()
    since_s = None
    while True:
        done = subprocess.run(
            ["systemctl", "show", "-p", "ActiveState,NRestarts", "--value", UNIT],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found, now_s = set(done.stdout.split()), time.monotonic()
        since_s = (since_s or now_s) if found == {"active", "0"} else None
        if since_s is not None and now_s - since_s >= STEADY_S:
            return True
        if found == {"activating", "0"} and now_s - began_s < LONGEST_START_S:
            waited_s = now_s
        if now_s - waited_s >= HEALTHY_S:
            return False
        time.sleep(1)


def _run(words: list[str], failure: str) -> None:
    if subprocess.run(words, check=False).returncode:
        fail(f"{failure}.", "read the lines above, then run this command again: it goes on where it stopped")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="install_desk.py", description="Installs the requester's desk.")
    parser.add_argument("--root", type=Path, default=Path("/"), help="install below this folder and start nothing")
    root: Path = parser.parse_args(arguments).root
    here = root == Path("/")
    if here and os.geteuid() != 0:
        fail("This needs root.", "sudo make install-desk")
    base, version = root / "opt/doorward-desk", digest_of(SOURCE)
    say(f"Version {version}")
    build(base / version)
    before = switch(base, version)
    configure(root, base)
    if here:
        if subprocess.run(["id", USER], capture_output=True, check=False).returncode:
            _run(["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", USER],
                 "the desk's user could not be made")  # fmt: skip
        _run(["chgrp", "-R", USER, str(root / "etc/doorward-desk")], "the configuration's group could not be set")
        if Path("/run/systemd/system").is_dir():
            start(base, before if before != version else None)
    for old in base.iterdir():
        # The version before stays, for a way back by hand.
        if old.name not in ("current", version, before):
            shutil.rmtree(old, ignore_errors=True)
    say("The desk is installed. Its link for the first admin is in:  journalctl -u doorward-desk")
    say("Settings: /etc/doorward-desk/desk.toml   Data: /var/lib/doorward-desk   Guide: docs/desk.md")


if __name__ == "__main__":
    main(sys.argv[1:])
