"""Puts a camera into a container: Debian's own libcamera with its virtual pipeline, picamera2, and footage to see.

picamera2 and its companions lie among the system's packages, as apt would put them on a Pi, so the installer takes its
way for a Pi: an environment that sees the system's, and the system's numpy. A drop-in lends the recorder's unit the
missing parts of the pipeline (tests/hardware/virtual_camera.c, virtual_picamera2.py); its sandbox stays as it is.
Debian 12 lacks libcamera's binding: there the environment is a Pi's, with numpy 1, and the scene is a drawn one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.hardware.test_on_libcamera import PIPELINE, SHIM, reel
from tests.install.container import CACHE, ROOT

__all__ = ["CAMERAS", "DRAWN", "put_camera"]

CAMERAS = {"trixie": "Debian's libcamera, its virtual pipeline", "bookworm": "a drawn scene"}
HARDWARE = ROOT / "tests" / "hardware"
VENV = ROOT / ".cache" / "camera-venv"
DRAWN = 'kind = "scripted"\nsize = [320, 240]\nfps = 10\n'
FRAMES = "/usr/share/doorward-frames"
PICTURES = 15
"""The pipeline holds each of them unpacked in memory, 1.4 MB: few, so that the recorder's weight is its own."""
PIPELINE_PLACE = "usr/share/libcamera/pipeline/virtual/virtual.yaml"
DROPIN = """\
[Service]
Environment=LD_PRELOAD=/usr/local/lib/virtual_camera.so
Environment=LIBCAMERA_LOG_LEVELS=*:ERROR
"""
HOOK = """
from virtual_picamera2 import VirtualPicamera2 as Picamera2
"""


def put_camera(suite: str, root: Path) -> str:
    """Into the container's file system at `root`; the `[camera]` table for it."""
    packages = root / "usr/lib/python3/dist-packages"
    site = next((VENV / "lib").glob("python3.*/site-packages"), None)
    if site is None:
        raise FileNotFoundError(f"{VENV} is not there: make setup-test prepares it.")
    for name in ("picamera2", "simplejpeg", "videodev2", "piexif", "PIL", "pillow.libs"):
        shutil.copytree(site / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    if suite == "bookworm":
        return DRAWN
    shutil.copytree(HARDWARE / "stubs", packages, ignore=shutil.ignore_patterns("*.md"), dirs_exist_ok=True)
    shutil.copyfile(HARDWARE / "virtual_picamera2.py", packages / "virtual_picamera2.py")
    with (packages / "picamera2" / "__init__.py").open("a") as module:
        module.write(HOOK)
    (root / "usr/local/lib").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SHIM, root / "usr/local/lib/virtual_camera.so")
    _show(root)
    dropin = root / "etc/systemd/system/doorward-recorder.service.d/virtual.conf"
    dropin.parent.mkdir(parents=True)
    dropin.write_text(DROPIN)
    return 'kind = "pi"\nsize = [640, 360]\nfps = 15\n'


def _show(root: Path) -> None:
    """Real footage where it is there, else the drawn porch."""
    footage = CACHE.parent / "vtest.avi"
    reel(root / FRAMES.lstrip("/"), footage if footage.exists() else None, PICTURES)
    pipeline = root / PIPELINE_PLACE
    pipeline.parent.mkdir(parents=True, exist_ok=True)
    pipeline.write_text(PIPELINE.format(frames=FRAMES))
