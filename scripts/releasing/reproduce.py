"""Builds one commit twice, as unlike as one machine can make it, and compares every byte: `make reproduce`.

The second build has another path, time zone, locale, umask, home and host name, other users' variables, and where
there is room a folder in memory, which lists files in another order.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from installation.words import fail, say

from releasing.build import DESCRIPTION, copy_network, release_commit, sha256

__all__ = ["Surroundings", "clone", "differences", "hashes", "reproduce"]


@dataclass(frozen=True)
class Surroundings:
    """Everything that a build must not depend on."""

    name: str
    environment: Mapping[str, str]
    umask: int
    host: str
    parent: str | None = None
    """Folder for everything, or the usual one."""


PLAIN = Surroundings("plain", {"TZ": "UTC", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}, 0o022, "builder")
ODD = Surroundings(
    "odd",
    {
        # 14 hours ahead of UTC, so most hours of a day have another date.
        "TZ": "Pacific/Kiritimati",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "POSIX",
        "COLUMNS": "40",
        "USER": "other",
        "LINES": "9",
    },
    0o077,
    "another-host.example",
    "/dev/shm",  # noqa: S108 (the folders in it have random names)
)
_NEEDED_BYTES = 4 << 30


def reproduce(root: Path, *, keep: Path | None = None) -> dict[str, str]:
    """Returns the hash of each file, equal in both builds. Raises `FailedError` if one differs.

    `keep`: a folder for the files of the first build.
    """
    release_commit(root)
    found: list[dict[str, str]] = []
    for each in (PLAIN, ODD):
        say(f"Building in {each.name} surroundings")
        with tempfile.TemporaryDirectory(prefix=f"doorward-{each.name}-", dir=_room(each.parent)) as folder:
            built = _build_in(root, Path(folder), each)
            found.append(hashes(built))
            if keep is not None and each is PLAIN:
                shutil.copytree(built, keep, dirs_exist_ok=True)
    if unlike := differences(*found):
        fail(f"These files differ: {', '.join(unlike)}.", "compare them, for example with diffoscope.")
    return found[0]


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}


def differences(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def clone(root: Path, to: Path) -> None:
    """Clones the last commit, with the network of object detection if it is at hand, so a build needs no download."""
    subprocess.run(["git", "clone", "-q", f"file://{root}", str(to)], check=True)
    copy_network(root, to)


def _build_in(root: Path, folder: Path, surroundings: Surroundings) -> Path:
    made, out, home = folder / "a clone", folder / "out", folder / "home"
    home.mkdir()
    clone(root, made)
    kept = {name: value for name, value in os.environ.items() if name not in ("LANGUAGE", "SOURCE_DATE_EPOCH")}
    environment = {**kept, **surroundings.environment, "HOME": str(home), "TMPDIR": str(folder)}
    script = f'umask {surroundings.umask:04o}; exec "$@"'
    words = ["sh", "-c", script, "sh", sys.executable, str(made / "scripts/releasing"), "build", "--out", str(out)]
    # Only root can give a process its own host name.
    if os.geteuid() == 0 and surroundings.host != socket.gethostname() and shutil.which("unshare"):
        words = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', surroundings.host, *words]
    done = subprocess.run(words, cwd=folder, env=environment, check=False)
    if done.returncode:
        fail(f"The build in {surroundings.name} surroundings failed.", "read the lines above.")
    built = next(out.iterdir())
    if not (built / DESCRIPTION).is_file():
        fail("The build left no description.", "read the lines above.")
    return built


def _room(parent: str | None) -> str | None:
    if parent is None or not Path(parent).is_dir() or shutil.disk_usage(parent).free < _NEEDED_BYTES:
        return None
    return parent
