"""A package archive of one dummy: a `python3-picamera2` that finds no camera, with the numpy that it would depend on.

Debian's archive lacks picamera2, and a container is offline. The numpy is the wheelhouse's, for the same Python.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from tests.install.container import wheelhouse

__all__ = ["make_archive"]

MODULE = """\
class Picamera2:
    def __init__(self, number=0):
        raise IndexError(number)

    @staticmethod
    def global_camera_info():
        return []
"""
CONTROL = """\
Package: python3-picamera2
Version: 0.0-dummy
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: stands in for picamera2 in a test
"""


_PYTHON = {"trixie": "cp313", "bookworm": "cp311"}


def make_archive(folder: Path, suite: str) -> None:
    """Makes an archive that `deb [trusted=yes] file:/FOLDER ./` reads."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="doorward-deb-") as name:
        root = Path(name) / "root"
        packages = root / "usr/lib/python3/dist-packages"
        (packages / "picamera2").mkdir(parents=True)
        (packages / "picamera2" / "__init__.py").write_text(MODULE)
        for wheel in wheelhouse().glob(f"numpy-*-{_PYTHON[suite]}-*.whl"):
            zipfile.ZipFile(wheel).extractall(packages)
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN" / "control").write_text(CONTROL)
        made = folder / "picamera2.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(root), str(made)], check=True, capture_output=True)
        shutil.rmtree(root)
    data = made.read_bytes()
    entry = f"{CONTROL}Filename: ./{made.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    (folder / "Packages").write_text(entry)
