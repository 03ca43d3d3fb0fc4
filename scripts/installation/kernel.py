"""Puts the motion detector's native passes into an environment: as they come in a wheelhouse, or compiled here.

Nothing depends on them: without them the same answers cost several times as much (`agent/recorder/motion_kernel.py`).
The library carries the hash of its source; one that was made from another source is neither put nor used.
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
"""Within an environment; in a wheelhouse, under its last name alone."""

FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra")


def put(tree: Path, environment: Path, wheelhouse: Path | None = None) -> str | None:
    """Take the wheelhouse's or compile; None when that went well, else why there is no kernel, in a few words."""
    ready = wheelhouse / LIBRARY.name if wheelhouse else None
    target = environment / LIBRARY
    if ready and ready.is_file() and _hash_of(tree).encode() in ready.read_bytes():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ready, target)
        return None
    return build(tree, target)


def build(tree: Path, target: Path, compiler: str | None = None, flags: tuple[str, ...] = FLAGS) -> str | None:
    """Compile to `target`, with `compiler`, or CC, or cc.  As `put`; what was at `target` is gone when it fails."""
    wanted = compiler or os.environ.get("CC") or "cc"
    found = shutil.which(wanted)
    if found is None:
        target.unlink(missing_ok=True)
        return f"there is no C compiler here ({wanted})"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    name = f'-DSOURCE_SHA256="{_hash_of(tree)}"'
    # From inside the tree: the library must not tell where it was built.
    command = [found, *flags, name, "-o", str(part.absolute()), str(SOURCE)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        part.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        return f"{found} could not compile it: {(done.stderr.strip() or '?').splitlines()[0]}"
    part.replace(target)
    return None


def _hash_of(tree: Path) -> str:
    return hashlib.sha256((tree / SOURCE).read_bytes()).hexdigest()
