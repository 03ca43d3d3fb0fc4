"""`python -m tests.install.clean [SUITE …] [demo|test|install …]`: the README's commands on a fresh Debian.

Each suite's root is made again by mmdebstrap and holds only git, make and the suite's needs. The last commit is cloned
into it, and `make demo` and `make test` run there as they stand, each from a separate fresh clone, in a container
(systemd-nspawn) that shares only this machine's network. This machine's means to reach a mirror (its authorities,
settings of apt, pip and npm, proxies) are lent to it. `install` is a newcomer's run, to the first clip (`newcomer.py`).
Writes CLEAN.md.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.install import newcomer
from tests.install.container import ENVIRONMENT, ROOT, Container, base

SUITES = ("trixie", "bookworm")
COMMANDS = ("demo", "test", "install")
PACKAGES = "git,make,ca-certificates"
RESULTS = ROOT / "tests" / "install" / "CLEAN.md"
LENT_FILES = ("etc/pip.conf", "etc/npmrc", "etc/xdg/pip", "etc/apt/apt.conf.d", "usr/local/share/ca-certificates")
LENT_WORDS = re.compile(r"(?i)(PIP|NPM_CONFIG|NODE_EXTRA_CA)_\w*|(http|https|no)_proxy")
HEAD = """\
# The README's commands on a fresh machine

`make test-clean` (root, about half an hour) writes this: a Debian root with only git and make, the last commit cloned,
then the command, set-up and downloads included.  `make install` is a newcomer's whole run: the section "Install it"
typed as it stands in a booted system, the installer's questions answered, keys made, the doorbell enrolled, until the
owner has opened the first sealed clip.

| system | command | result | s | when |
|---|---|---|---|---|
"""


def main(arguments: list[str]) -> int:
    suites = [word for word in arguments if word in SUITES] or list(SUITES)
    commands = [word for word in arguments if word in COMMANDS] or list(COMMANDS)
    if set(arguments) - set(SUITES) - set(COMMANDS):
        raise SystemExit(__doc__)
    well = True
    for suite in suites:
        for command in commands:
            row, good = _install(suite) if command == "install" else _try(suite, command)
            print(row, flush=True)
            _write(suite, command, row)
            well = well and good
    return 0 if well else 1


def _try(suite: str, command: str) -> tuple[str, bool]:
    """One command in one fresh root: the line of the table, and whether it ended well."""
    with tempfile.TemporaryDirectory(prefix="doorward-clean-", dir=os.environ.get("DOORWARD_INSTALL_DIR")) as folder:
        root = Path(folder, "root")
        root.mkdir()
        subprocess.run(["tar", "-xf", str(base(suite, packages=PACKAGES)), "-C", str(root)], check=True)
        lent = lend(root)
        source = root / "root" / "doorward"
        subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{ROOT}", str(source)], check=True)
        started = time.monotonic()
        words = ["systemd-nspawn", "-q", "-D", str(root), "--as-pid2", "--pipe", "--register=no", "--keep-unit"]
        words += [f"--machine=doorward-clean-{os.getpid()}", "--resolv-conf=copy-host", "--chdir=/root/doorward"]
        # As root on a machine. Without all rights, a container makes no network namespace of the tests.
        words += ["--capability=all"]
        words += ["--", "/usr/bin/env", "-i", *ENVIRONMENT, *lent, "make", command]
        log = ROOT / ".cache" / "install" / f"clean-{suite}-{command}.log"
        with log.open("wb") as file:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False)
        seconds = time.monotonic() - started
        said = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace"))
        if done.returncode:
            print(said[-6000:], file=sys.stderr)
        result = "ended well" if done.returncode == 0 else f"FAILED ({done.returncode})"
        counted = re.findall(r"\d+ passed[^\n=]*", said)
        result += f": {counted[-1].strip()}" if counted and command == "test" else ""
        today = datetime.datetime.now(datetime.UTC).date()
        return f"| {suite} | `make {command}` | {result} | {seconds:.0f} | {today} |", done.returncode == 0


def _install(suite: str) -> tuple[str, bool]:
    """A newcomer's run, in a fresh booted system."""
    log = ROOT / ".cache" / "install" / f"clean-{suite}-install.log"
    started = time.monotonic()
    with Container(suite, newcomer.PACKAGES, network=True) as box:
        lent = lend(box.root)
        source = box.root / "root" / "doorward"
        subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{ROOT}", str(source)], check=True)
        try:
            result, good = f"ended well: {newcomer.first_clip(box, log, lent)}", True
        except AssertionError as error:
            print(error, file=sys.stderr)
            result, good = f"FAILED: {str(error).splitlines()[0]}", False
    seconds = time.monotonic() - started
    today = datetime.datetime.now(datetime.UTC).date()
    return f"| {suite} | `make install` | {result} | {seconds:.0f} | {today} |", good


def lend(root: Path) -> list[str]:
    """Give the root this machine's way to the mirrors; the environment's part of it comes back."""
    # A machine has it from its installation; a root of mmdebstrap does not.
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    for name in LENT_FILES:
        source = Path("/", name)
        if source.is_dir():
            shutil.copytree(source, root / name, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copyfile(source, root / name)
    # Debian's container images speed up dpkg and clean up after apt by hooks that a fresh machine lacks.
    for path in (root / "etc/apt/apt.conf.d").glob("docker-*"):
        path.unlink()
    subprocess.run(["chroot", str(root), "update-ca-certificates"], check=True, capture_output=True)
    return [f"{name}={value}" for name, value in os.environ.items() if LENT_WORDS.fullmatch(name)]


def _write(suite: str, command: str, row: str) -> None:
    rows = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    others = ("| system", f"| {suite} | `make {command}`")
    kept = [line for line in rows if line.startswith("| ") and not line.startswith(others)]
    RESULTS.write_text(HEAD + "\n".join([*kept, row]) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise SystemExit(main(sys.argv[1:]))
