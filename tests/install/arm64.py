"""`python -m tests.install.arm64 SUITE …`: the install and the tests that fit, on an arm64 root under qemu-user.

No systemd runs there, so units and watchdogs are not shown; the wheels, the users, the versions, the self-test (film,
seal, sign, open, verify) and the pure tests are, on real aarch64 code. A result is kept while its dependencies stay the
same (`.cache/install/arm64-SUITE.json`).
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.install.camera import DRAWN
from tests.install.container import CACHE, ENVIRONMENT, ROOT, base, copy_source, wheelhouse
from tests.install.run import RESULTS
from tests.install.story import ANSWERS

PACKAGES = "systemd,python3,python3-venv,ca-certificates,util-linux,passwd"
TESTS = (
    "tests/wire",
    "tests/core/vault",
    "tests/core/test_progress.py",
    "tests/core/motion/test_known_answers.py",
    "tests/ipc/test_rpc_client.py",
)
DEPENDENCIES = (
    *("agent", "firmware_bridge", "config", "systemd", "requirements", "scripts", "demo"),
    *("tests/install", "tests/conftest.py", "tests/skips.py", "tests/vectors", *TESTS),
)
PYTHONS = {"trixie": "3.13", "bookworm": "3.11"}
PYTEST = ("pytest", "pytest-timeout", "hypothesis")


REGISTRY = Path("/proc/sys/fs/binfmt_misc")
"""The kernel's list of interpreters."""


def main(suites: list[str]) -> int:
    register_emulator()
    return max([_suite(suite) for suite in suites], default=0)


def register_emulator() -> None:
    """Tells the kernel of qemu, which the Debian package leaves to systemd. A machine may run without systemd."""
    if (REGISTRY / "qemu-aarch64").exists():
        return
    if not (REGISTRY / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(REGISTRY)], check=True)
    if Path("/usr/lib/binfmt.d/qemu-aarch64.conf").exists():  # Debian 13
        subprocess.run(["/usr/lib/systemd/systemd-binfmt", "qemu-aarch64.conf"], check=True)
    else:
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], check=True)


def _suite(suite: str) -> int:
    kept = CACHE / f"arm64-{suite}.json"
    key = _key()
    if kept.exists() and json.loads(kept.read_text())["key"] == key:
        print(f"{suite} arm64: unchanged since {json.loads(kept.read_text())['date']}")
        return 0
    tar, wheels = base(suite, "arm64", PACKAGES), wheelhouse("arm64")
    folder = Path(tempfile.mkdtemp(prefix="doorward-arm64-"))
    root = folder / "root"
    root.mkdir()
    rows = []
    try:
        subprocess.run(["tar", "-xf", str(tar), "-C", str(root)], check=True)
        copy_source(root / "root" / "src", tests=True)
        shutil.copytree(wheels, root / "root" / "src" / "wheelhouse")
        (root / "root" / "answers.toml").write_text(ANSWERS.replace("CAMERA", DRAWN))
        subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
        rows.append(_timed("install, self-test included", lambda: _install(root)))
        rows.append(_timed("upgrade", lambda: _upgrade(root)))
        rows.append(_timed("tests", lambda: _tests(root, PYTHONS[suite])))
        rows.append(_timed("purge", lambda: _purge(root)))
    finally:
        subprocess.run(["umount", str(root / "proc")], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
    date = str(datetime.datetime.now(datetime.UTC).date())
    kept.write_text(json.dumps({"key": key, "date": date}))
    _write(suite, date, rows)
    return 0


def _timed(name: str, step: object) -> tuple[str, str, float]:
    started = time.monotonic()
    said = step()  # type: ignore[operator]
    print(f"{time.monotonic() - started:6.0f} s  {name}: {said}", flush=True)
    return name, said, time.monotonic() - started


def _in(root: Path, *words: str, check: bool = True) -> str:
    done = subprocess.run(
        ["chroot", str(root), "/usr/bin/env", "-i", *ENVIRONMENT, *words], capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def _install(root: Path) -> str:
    _in(root, "python3", "/root/src/scripts/installation", "install", "--answers", "/root/answers.toml")
    machine = _in(root, "uname", "-m").strip()
    key = root / "var/lib/doorward/custodian/device.key"
    assert not key.exists(), "an image must hold no key: each card would have the same"
    assert (root / "etc/systemd/system/doorward.target.wants/doorward-device-key.service").is_symlink()
    _in(root, "doorward", "self-test")  # not part of an installation into an image
    return f"{machine}, {_in(root, 'doorward', '--version').strip()}, units enabled, no key of a device in the image"


def _upgrade(root: Path) -> str:
    before = (root / "opt/doorward/current").readlink()
    path = root / "root/src/agent/__init__.py"
    path.write_text(re.sub(r'^__version__ = ".*"$', '__version__ = "0.1.1"', path.read_text(), flags=re.MULTILINE))
    _in(root, "python3", "/root/src/scripts/installation", "install")
    assert (root / "opt/doorward/current").readlink() != before
    return "switched, the old version kept"


def _tests(root: Path, python_version: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "--dest", folder]
        words += ["--python-version", python_version, "--implementation", "cp"]
        words += [word for minor in range(36, 16, -1) for word in ("--platform", f"manylinux_2_{minor}_aarch64")]
        subprocess.run([*words, "--platform", "manylinux2014_aarch64", *PYTEST], check=True)
        shutil.copytree(folder, root / "root" / "pytest")
    python = "/opt/doorward/current/venv/bin/python"
    _in(root, python, "-m", "pip", "install", "-q", "--no-index", "--find-links", "/root/pytest", *PYTEST)
    words = [python, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir=/root/src", "--import-mode=importlib"]
    paths = [f"/root/src/{test}" for test in TESTS]
    said = _in(root, "env", "PYTHONPATH=/root/src", *words, "-p", "no:cacheprovider", *paths, check=False)
    return outcome(said)


def outcome(said: str) -> str:
    """Returns pytest's summary. Raises AssertionError. Its last line, which `make prove` keeps, names what failed."""
    summary = said.strip().splitlines()[-1] if said.strip() else "no word from pytest"
    failed = re.findall(r"(?m)^(?:FAILED|ERROR) (?:[^\s:]*/)?(\S+)", said)
    assert re.search(r"\d+ passed", summary), f"{said[-6000:]}\n{summary}"
    assert not re.search(r"\d+ (failed|errors?)", summary), f"{said[-6000:]}\n{summary}: {', '.join(failed)}"
    return summary


def _purge(root: Path) -> str:
    _in(root, "doorward", "uninstall", "--purge", "--yes")
    left = [path for path in ("opt/doorward", "etc/doorward", "var/lib/doorward") if (root / path).exists()]
    assert not left, left
    return "nothing left"


def _key() -> str:
    total = hashlib.sha256()
    for name in DEPENDENCIES:
        for path in sorted((ROOT / name).rglob("*")) or [ROOT / name]:
            if path.is_file() and "__pycache__" not in path.parts and path != RESULTS:
                total.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return total.hexdigest()


def _write(suite: str, date: str, rows: list[tuple[str, str, float]]) -> None:
    text = RESULTS.read_text() if RESULTS.exists() else "# Installation, as measured\n"
    section = f"## {suite}, arm64, qemu-user, {date}\n\n| step | result | s |\n|---|---|---|\n"
    section += "".join(f"| {name} | {said} | {seconds:.0f} |\n" for name, said, seconds in rows)
    text = re.sub(rf"\n## {suite}, arm64, qemu-user.*?(?=\n## |\Z)", "", text, flags=re.DOTALL)
    RESULTS.write_text(text.rstrip() + "\n\n" + section)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or ["trixie", "bookworm"]))
