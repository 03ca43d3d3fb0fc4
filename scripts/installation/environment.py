"""The virtual environment of a version: the pinned packages, each checked against its hash, on the system's own Python.

If Debian's camera packages are installed, the environment sees them and takes numpy from there: a newer numpy beside
them breaks python3-picamera2 and python3-simplejpeg (`_ARRAY_API not found`). Debian 12 has numpy 1, which also
excludes an OpenCV for numpy 2; requirements/debian-12-camera.txt pins the last OpenCV for numpy 1.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from installation import kernel
from installation.words import fail, run, say

__all__ = ["build", "foundation", "pins_for", "put_kernel"]

PYTHON = "/usr/bin/python3"
_NAME = re.compile(r"^([A-Za-z0-9_.-]+)==")


def foundation() -> str:
    """Returns the environment's dependencies besides the source: the system's Python, and the system packages it sees.

    They are part of a version's name. If they change, a new environment is built, and the old one stays for a
    roll-back.
    """
    question = "import sysconfig; print(sysconfig.get_config_var('SOABI'))"
    python = subprocess.run([PYTHON, "-I", "-c", question], capture_output=True, text=True, check=False).stdout.strip()
    return f"{python}\nnumpy {_systems_numpy()}\n"


def build(version: Path, wheelhouse: Path | None) -> None:
    """Builds `venv/` and `bin/` of a version that has its `app/`."""
    numpy = _systems_numpy()
    words = [PYTHON, "-m", "venv", "--clear"]
    if numpy:
        say(f"Debian's camera packages are here: their numpy {numpy} is used")
        words.append("--system-site-packages")
    run([*words, str(version / "venv")], "the virtual environment could not be made")
    pins = version / "pins.txt"
    pins.write_text(pins_for(version / "app" / "requirements", numpy))
    say(f"Installing the pinned packages {'from the wheelhouse' if wheelhouse else 'from the package index'}")
    words = [str(version / "venv" / "bin" / "python"), "-m", "pip", "install", "--no-input", "-q"]
    # A source package would run its own build script, as root. Without `--no-deps`, pip would also take packages that
    # no file pins.
    words += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    if wheelhouse:
        words += ["--no-index", "--find-links", str(wheelhouse)]
    run([*words, "-r", str(pins)], "pip could not install the pinned packages")
    site = next((version / "venv" / "lib").glob("python3.*/site-packages"))
    (site / "doorward.pth").write_text(f"{version / 'app'}\n")
    run(
        # Compiled before the hashes are kept: roles cannot write here, and root's launchers leave no compiled file
        # behind.
        [str(version / "venv" / "bin" / "python"), "-m", "compileall", "-q", str(version / "app")],
        "the program could not be compiled",
    )
    put_kernel(version, wheelhouse)
    _launchers(version)


def put_kernel(
    version: Path, wheelhouse: Path | None, announce: Callable[[Path, Path], None] = lambda _name, _made: None
) -> None:
    """Adds the motion detector's native kernel if `version` has none, because a compiler may have been installed since.

    It is made elsewhere. `announce` gets its name below the version and the file, before that comes to its place.
    """
    name = Path("venv") / kernel.LIBRARY
    if (version / name).is_file():
        return
    # Beside the versions: the next run sweeps what a kill leaves.
    with tempfile.TemporaryDirectory(dir=version.parent, prefix=".kernel-") as folder:
        missing = kernel.put(version / "app", Path(folder), wheelhouse)
        if missing is None:
            announce(name, Path(folder) / kernel.LIBRARY)
            (version / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / kernel.LIBRARY).replace(version / name)
            return
    say(f"Motion detection runs without its native kernel, at several times its cost: {missing}")
    say("To have it:  sudo apt-get install gcc libc6-dev, then this command again")


def _launchers(version: Path) -> None:
    (version / "bin").mkdir()
    for name, module in (("doorward", "agent.cli"), ("doorward-bridge", "firmware_bridge")):
        # -I: keeps the current folder and the user's environment variables out of the program. -B: root, too, adds no
        # compiled file to a version (installation/integrity.py).
        launcher = version / "bin" / name
        launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(str(version / "venv/bin/python"))} -I -B -m {module} "$@"\n')
        launcher.chmod(0o755)


def pins_for(requirements: Path, numpy: str | None) -> str:
    """requirements/run.txt, less what the system brings."""
    blocks = list(_blocks((requirements / "run.txt").read_text()))
    if numpy is None:
        return "".join(blocks)
    left = [block for block in blocks if _name(block) != "numpy"]
    if numpy.startswith("1."):
        left = [block for block in left if _name(block) != "opencv-python-headless"]
        left.append((requirements / "debian-12-camera.txt").read_text())
    return "".join(left)


def _blocks(text: str) -> Iterator[str]:
    """A pin, its hashes and its comments, one at a time."""
    block = ""
    for line in text.splitlines(keepends=True):
        if _NAME.match(line) and block:
            yield block
            block = ""
        block += line
    if block:
        yield block


def _name(block: str) -> str:
    found = next((_NAME.match(line) for line in block.splitlines() if _NAME.match(line)), None)
    return found[1].lower() if found else ""


def _systems_numpy() -> str | None:
    """Returns the version of the system's numpy if the system also has picamera2; else None."""
    question = "import importlib.util as u, numpy; print(numpy.__version__ if u.find_spec('picamera2') else '')"
    done = subprocess.run([PYTHON, "-I", "-c", question], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


if __name__ == "__main__":
    fail("This is a part of the installer.", "run:  make install")
