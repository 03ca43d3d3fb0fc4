"""`python -m tests.releasing.two_debians [SUITE …]`: one commit built on fresh Debians, and every byte compared.

Each suite's root is made by mmdebstrap with git, make and python3-venv only. The last commit is cloned into it, and
`make release` runs there, in a container that shares this machine's network. The network of object detection is
lent, because its hash is pinned. Writes RESULTS.md.
"""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.install.clean import SUITES, lend
from tests.install.container import ENVIRONMENT, ROOT, base
from tests.releasing.release_folders import sha256

PACKAGES = "git,make,ca-certificates,python3,python3-venv"
RESULTS = ROOT / "tests" / "releasing" / "RESULTS.md"
ASK = (
    "import platform, subprocess, zlib; print(platform.python_version(), zlib.ZLIB_RUNTIME_VERSION, "
    "subprocess.run(['git', '--version'], capture_output=True, text=True).stdout.split()[2])"
)
ALONE = "## In unlike surroundings on one machine"
"""The section of `make reproduce`, which is kept."""
TOGETHER = """\
# One commit, two Debians, the same bytes

`make test-reproduce` (root, network, about half an hour) writes this: `make release` on a fresh Debian 13 and a fresh
Debian 12, amd64, from a clone of the last commit; the hash of every file of the release. `make reproduce` compares two
builds in unlike surroundings on one machine.

"""


def main(suites: list[str]) -> int:
    found: dict[str, dict[str, str]] = {}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commit = commit.strip()
    told: list[str] = []
    for suite in suites or SUITES:
        started = time.monotonic()
        found[suite], tools = build_on(suite, commit)
        told.append(f"| {suite} | {tools} | {time.monotonic() - started:.0f} |")
        print(told[-1], flush=True)
    first, *others = found.values()
    unlike = sorted({name for each in others for name in first | each if first.get(name) != each.get(name)})
    today = datetime.datetime.now(datetime.UTC).date()
    verdict = f"{len(unlike)} FILES DIFFER: {', '.join(unlike)}" if unlike else "the same bytes in every file"
    lines = [
        f"{today}, commit {commit}: {verdict}.",
        "",
        "| builder | Python, zlib, git | s |",
        "|---|---|---:|",
        *told,
    ]
    lines += ["", "| file | sha256 |", "|---|---|", *(f"| {name} | `{digest}` |" for name, digest in first.items())]
    kept = RESULTS.read_text().partition(ALONE)[2] if RESULTS.exists() else ""
    RESULTS.write_text(TOGETHER + "\n".join(lines) + (f"\n\n{ALONE}{kept}" if kept else "\n"))
    print(verdict)
    return 1 if unlike or len(found) < 2 else 0


def build_on(suite: str, commit: str) -> tuple[dict[str, str], str]:
    """Returns the hash of each file, and the versions of the tools there."""
    with tempfile.TemporaryDirectory(prefix="doorward-release-", dir=os.environ.get("DOORWARD_INSTALL_DIR")) as folder:
        root = Path(folder, "root")
        root.mkdir()
        subprocess.run(["tar", "-xf", str(base(suite, packages=PACKAGES)), "-C", str(root)], check=True)
        lent = lend(root)
        source = root / "root" / "doorward"
        subprocess.run(["git", "clone", "-q", f"file://{ROOT}", str(source)], check=True)
        subprocess.run(["git", "-C", str(source), "checkout", "-q", commit], check=True)
        shutil.copytree(ROOT / "models", source / "models")
        words = ["systemd-nspawn", "-q", "-D", str(root), "--as-pid2", "--pipe", "--register=no", "--keep-unit"]
        words += [f"--machine=doorward-release-{os.getpid()}", "--resolv-conf=copy-host", "--chdir=/root/doorward"]
        words += ["--", "/usr/bin/env", "-i", *ENVIRONMENT, *lent]
        done = subprocess.run([*words, "make", "release"], stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        if done.returncode:
            raise SystemExit(f"make release failed on {suite}.")
        tools = subprocess.run(
            [*words, "python3", "-c", ASK], capture_output=True, text=True, check=True
        ).stdout.strip()
        built = next((source / "dist").iterdir())
        return {path.name: sha256(path) for path in sorted(built.iterdir())}, tools


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
