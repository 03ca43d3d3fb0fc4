"""Puts the motion detector's native passes into an environment: from a wheelhouse, or compiled here.

They are optional: without them the same answers cost several times as much CPU time
(`agent/recorder/motion_kernel.py`). The library carries the hash of its source. A library of another source is ignored.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["FLAGS", "LIBRARY", "SOURCE", "build", "put"]

SOURCE = Path("agent") / "core" / "motion" / "passes" / "kernel.c"
"""Within a source tree."""

LIBRARY = Path("lib") / "doorward" / "motion-kernel.so"
"""Inside an environment; in a wheelhouse only its last name."""

# Without -ffp-contract=off, arm64 fuses a product and a sum into one rounding, and the answers differ from the Python
# passes.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra")


def put(tree: Path, environment: Path, wheelhouse: Path | None = None) -> str | None:
    """Takes the library from the wheelhouse or compiles it. Returns None on success, otherwise the reason in a few
    words."""
    ready = wheelhouse / LIBRARY.name if wheelhouse else None
    target = environment / LIBRARY
    if ready and ready.is_file() and _hash_of(tree).encode() in ready.read_bytes():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ready, target)
        return None
    return build(tree, target)


def build(
    tree: Path, target: Path, compiler: str | tuple[str, ...] | None = None, flags: tuple[str, ...] = FLAGS
) -> str | None:
    """Compiles to `target`, with `compiler` (its words), or CC, or cc. Returns as `put` does. A failure removes the old
    `target`."""
    wanted, *words = (compiler,) if isinstance(compiler, str) else compiler or (os.environ.get("CC") or "cc",)
    found = shutil.which(wanted)
    if found is None:
        target.unlink(missing_ok=True)
        return f"there is no C compiler here ({wanted})"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    name = f'-DSOURCE_SHA256="{_hash_of(tree)}"'
    # Compile inside the tree, so that the library does not contain the build path.
    command = [found, *words, *flags, name, "-o", str(part.absolute()), str(SOURCE)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        part.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        return f"{found} could not compile it: {(done.stderr.strip() or '?').splitlines()[0]}"
    part.replace(target)
    return None


def _hash_of(tree: Path) -> str:
    return hashlib.sha256((tree / SOURCE).read_bytes()).hexdigest()
