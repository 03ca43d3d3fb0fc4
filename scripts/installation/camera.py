"""A Raspberry Pi camera's needs: its system packages, and the list of cameras from libcamera.

Raspberry Pi OS Lite has libcamera and its tools, but not picamera2.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib

from installation.words import fail, say

__all__ = ["configured_kind", "install_packages", "pi_cameras"]

PACKAGE = "python3-picamera2"
_PYTHON = "/usr/bin/python3"
_LISTERS = ("rpicam-hello", "libcamera-hello")
"""The tool's name on Raspberry Pi OS since 12, and before."""
_LISTED = re.compile(r"^\s*\d+ : .*\((?P<id>/[^()]*)\)\s*$", re.MULTILINE)
_ASK = "import json, libcamera; print(json.dumps([each.id for each in libcamera.CameraManager.singleton().cameras]))"
_PATIENCE_S = 30.0


def pi_cameras() -> tuple[str, ...]:
    """Returns the ribbon cameras that libcamera names. It leaves out USB cameras, which libcamera lists too.

    The result is empty if libcamera is not installed.
    """
    return tuple(name for name in _listed_by_tool() or _listed_by_library() if "usb" not in name.lower())


def configured_kind(text: str) -> str | None:
    """Returns `camera.kind` of a configuration; None if it is missing or unreadable (a later step reports that)."""
    try:
        camera = tomllib.loads(text).get("camera", {})
    except tomllib.TOMLDecodeError:
        return None
    kind = camera.get("kind") if isinstance(camera, dict) else None
    return kind if isinstance(kind, str) else None


def install_packages(kind: str | None) -> None:
    """Installs picamera2 if the camera is "pi" and the system's Python has none."""
    if kind != "pi" or _has_picamera2():
        return
    if "DPKG_MAINTSCRIPT_NAME" in os.environ:  # apt waits for the lock that this very dpkg holds
        say(f'The camera is "pi", and {PACKAGE} is missing.  Install it, then:  sudo dpkg-reconfigure doorward')
        return
    say(f"Installing what the Raspberry Pi camera needs:  apt-get install --no-install-recommends {PACKAGE}")
    if not _apt("install", "-y", "--no-install-recommends", PACKAGE):
        _apt("update")
        if not _apt("install", "-y", "--no-install-recommends", PACKAGE):
            fail(
                f'The camera is "pi", and apt could not install {PACKAGE}.',
                "use Raspberry Pi OS, which has that package, with a network; or choose another camera.kind.",
            )
    if not _has_picamera2():
        fail(f"{PACKAGE} is installed, and {_PYTHON} cannot import it.", f"look at:  {_PYTHON} -c 'import picamera2'")


def _has_picamera2() -> bool:
    question = "import importlib.util as u, sys; sys.exit(u.find_spec('picamera2') is None)"
    return subprocess.run([_PYTHON, "-I", "-c", question], capture_output=True, check=False).returncode == 0


def _apt(*words: str) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    # After a boot, Debian's own updates may hold dpkg's lock for minutes, and apt-get alone fails at once.
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *words]
    return subprocess.run(command, capture_output=True, check=False, env=environment).returncode == 0


def _listed_by_tool() -> list[str]:
    tool = next(filter(None, map(shutil.which, _LISTERS)), None)
    return _LISTED.findall(_said([tool, "--list-cameras"])) if tool else []


def _listed_by_library() -> list[str]:
    """Returns the list of libcamera's binding. Its log goes to standard error."""
    lines = _said([_PYTHON, "-I", "-c", _ASK]).splitlines()
    try:
        found = json.loads(lines[-1]) if lines else []
    except ValueError:
        return []
    return [str(each) for each in found]


def _said(words: list[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
