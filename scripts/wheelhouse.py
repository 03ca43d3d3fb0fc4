"""Fetches the wheels of requirements/run.txt for a machine without a network: `wheelhouse.py ARCHITECTURE FOLDER`.

If zig (requirements/release.txt) or Debian's compiler for that architecture is installed, it adds the motion detector's
native kernel.

It serves both Pythons of Debian (12: 3.11, 13: 3.13) and checks each wheel against its pinned hash. pip evaluates
markers for the Python that runs it, so this module evaluates them for the target Python instead.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from installation import kernel

ROOT = Path(__file__).resolve().parent.parent
COMPILERS = {"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}
"""As Debian names them on any machine: the packages gcc-x86-64-linux-gnu and gcc-aarch64-linux-gnu."""
ZIG_TARGETS = {"amd64": "x86_64-linux-gnu.2.36", "arm64": "aarch64-linux-gnu.2.36"}
"""Debian 12's glibc. One pinned compiler gives the same bytes on every machine; two Debians' compilers do not."""
ZIG_FLAGS = ("-g0", "-s", "-Wno-bitwise-conditional-parentheses")
PLATFORMS = {
    "amd64": (*(f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)), "manylinux2014_x86_64"),
    "arm64": (*(f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)), "manylinux2014_aarch64"),
}
"""Debian 12 has glibc 2.36. A wheel for an older glibc also runs."""
PYTHONS = ("3.11", "3.13")
_BOUND = re.compile(r"python_full_version (<|>=) '(\d+)\.(\d+)'")


def pins_of(text: str, python: str) -> str:
    """Returns the lines of a pip-compiled file for `python`, without markers on its version."""
    version = tuple(map(int, python.split(".")))
    kept, keeping = [], True
    for line in text.splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            bounds = _BOUND.findall(line)
            keeping = all((version < (int(a), int(b))) == (op == "<") for op, a, b in bounds)
            line = re.sub(r"^([^;\\]+?)\s*;.*?(\\?)$", r"\1 \2", line)  # noqa: PLW2901 — without its marker
        if keeping:
            kept.append(line)
    return "\n".join(kept) + "\n"


def fetch(architecture: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for python in PYTHONS:
        files = [ROOT / "requirements" / "run.txt"]
        if python == "3.11":
            files.append(ROOT / "requirements" / "debian-12-camera.txt")
        for file in files:
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
                pins.write(pins_of(file.read_text(), python))
                pins.flush()
                command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
                command += ["--only-binary", ":all:", "--disable-pip-version-check", "--dest", str(folder)]
                command += ["--implementation", "cp", "--python-version", python]
                command += [word for abi in (f"cp{python.replace('.', '')}", "abi3", "none") for word in ("--abi", abi)]
                command += [word for name in (*PLATFORMS[architecture], "any") for word in ("--platform", name)]
                subprocess.run([*command, "-r", pins.name], check=True)
    missing = build_kernel(architecture, folder / kernel.LIBRARY.name)
    if missing:
        print(f"Without the motion detector's native kernel for {architecture}: {missing}.")


def build_kernel(architecture: str, target: Path) -> str | None:
    """Compiles the motion detector's kernel. Returns None, or why it is missing."""
    if importlib.util.find_spec("ziglang") is None:
        return kernel.build(ROOT, target, COMPILERS[architecture])
    words = (sys.executable, "-m", "ziglang", "cc", "-target", ZIG_TARGETS[architecture])
    with tempfile.TemporaryDirectory() as cache:
        # zig keeps what it has compiled, and would otherwise look for a home folder.
        os.environ |= {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        return kernel.build(ROOT, target, words, (*kernel.FLAGS, *ZIG_FLAGS))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PLATFORMS:
        raise SystemExit("usage: wheelhouse.py amd64|arm64 FOLDER")
    fetch(sys.argv[1], Path(sys.argv[2]))
