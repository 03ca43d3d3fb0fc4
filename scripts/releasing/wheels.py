"""Wheels with bytes that depend only on the source: built by the pinned setuptools, then packed again.

Packed again: names sorted, one time, one mode, and stored without compression, because two versions of zlib need not
agree. RECORD lists the same hashes as before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from installation.words import fail

__all__ = ["DISTRIBUTIONS", "build", "repack"]

DISTRIBUTIONS = (".", "agent/clients", "desk")
"""Folders with a setup.cfg: the doorbell's, the clients' and the desk's."""
_BUILD = "from setuptools import build_meta; build_meta.build_wheel('dist')"
_OLDEST = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = ("dist", "build", "node_modules", "__pycache__", "*.egg-info", "wheelhouse", "models")


def build(tree: Path, out: Path, at_s: int) -> list[Path]:
    """Writes one wheel for each distribution of `tree` into `out`."""
    made = []
    for folder in DISTRIBUTIONS:
        with tempfile.TemporaryDirectory() as work:
            source = Path(work, "source")
            shutil.copytree(tree / folder, source, ignore=shutil.ignore_patterns(*_LEFT_OUT))
            environment = {**os.environ, "SOURCE_DATE_EPOCH": str(at_s), "PYTHONHASHSEED": "0"}
            # -P: the desk has a package `numbers`, which must not hide the standard one.
            words = [sys.executable, "-P", "-c", _BUILD]
            done = subprocess.run(words, cwd=source, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                print(done.stderr[-2000:], file=sys.stderr)
                fail(f"The wheel of {folder} could not be built.", "read the lines above.")
            raw = next((source / "dist").glob("*.whl"))
            made.append(repack(raw, out / raw.name, at_s))
    return made


def repack(raw: Path, target: Path, at_s: int) -> Path:
    at = max(_OLDEST, time.gmtime(at_s)[:6])
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as wheel:
        # PEP 427 wants the metadata at the end of the archive.
        for name in sorted(source.namelist(), key=lambda each: (".dist-info/" in each, each)):
            data = source.read(name)
            if name.endswith("/RECORD"):
                data = b"".join(sorted(data.splitlines(keepends=True)))
            entry = zipfile.ZipInfo(name, at)
            entry.external_attr, entry.create_system = 0o100644 << 16, 3
            wheel.writestr(entry, data)
    return target
