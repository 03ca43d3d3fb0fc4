"""The files of an installed version against the hashes that the installer kept: `SHA256SUMS`, and `LINKS` for links.

`doorward-integrity.service` compares them at each start and each day. If anything was changed, removed or added, it
says so to the custodian, which alerts the owners and gives the uplink no broker until root installs again. `SHA256SUMS`
is in the form of sha256sum(1), so a person can repeat it:

    cd /opt/doorward/current && sha256sum --check --quiet SHA256SUMS

Not covered: the system's own Python and libraries, and a root that rewrites the hashes too (docs/security/limits.md).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installation.places import Places
from installation.versions import Versions

__all__ = ["add_hash", "changes_of", "keep_hashes", "verify"]

_SUMS = "SHA256SUMS"
_LINKS = "LINKS"
_OWN = frozenset({_SUMS, _LINKS, f".{_SUMS}.new", f".{_LINKS}.new", "complete"})
_UNFINISHED = "the comparison did not end"
_MOST_NAMED = 20
_CHUNK = 1 << 20
_LARGEST_BYTES = 1 << 30
_MOST_S = 240
"""The comparison ends by then, before systemd ends it without a word. A failing card can read one block for minutes."""


def keep_hashes(version: Path) -> None:
    """Writes the hashes of a complete version. Call it before the version counts as complete."""
    files, links = _now(version)
    _write(version / _SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items())))
    _write(version / _LINKS, "".join(f"{name}\t{target}\n" for name, target in sorted(links.items())))


def add_hash(version: Path, name: Path, made: Path) -> None:
    """Adds the hash of a file that comes to a complete version as `name`. `made`: the file, which is synced first."""
    with made.open("rb") as file:
        os.fsync(file.fileno())
    _write(version / _SUMS, f"{(version / _SUMS).read_text()}{_sha256(made)}  {name}\n")


def changes_of(version: Path) -> list[str]:
    """Returns the files and links that differ from their hashes, are missing or were added. Sorted."""
    try:
        files = {name: digest for digest, name in _lines(version / _SUMS, "  ")}
        links = dict(_lines(version / _LINKS, "\t"))
    except (OSError, ValueError):
        return [_SUMS]
    files_now, links_now = _now(version)
    return sorted(_differences(files, files_now) | _differences(links, links_now))


def verify(places: Places) -> bool:
    """Compares the running version, and reports to the custodian. Returns whether its report has changed."""
    versions = Versions(places)
    name = versions.current()
    if name is None:
        return False
    try:
        with _alarm(_MOST_S):
            found = changes_of(versions.folder(name))
    except TimeoutError:
        found = [_UNFINISHED]
    # An installer changes these files meanwhile, and the next start compares them again.
    if found and (versions.current() != name or _is_installing(places)):
        return False
    for each in found[:_MOST_NAMED]:
        print(f"Changed since it was installed: {each!r} of {versions.folder(name)}")
    return _report(places.runtime / "program" / "changed.json", found)


def _lines(path: Path, between: str) -> list[tuple[str, str]]:
    """Returns the two parts of each line. Raises `OSError`, and `ValueError` for another line."""
    if path.is_symlink() or not path.is_file():  # a FIFO would wait for ever
        raise ValueError(path)
    parted = [line.partition(between) for line in path.read_text().splitlines()]
    if not all(middle for _, middle, _ in parted):
        raise ValueError(path)
    return [(first, last) for first, _, last in parted]


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raises `TimeoutError` inside the block after that time."""

    def end(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _write(path: Path, text: str) -> None:
    """Writes the file completely or not at all."""
    making = path.with_name(f".{path.name}.new")
    with making.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)


def _report(path: Path, found: list[str]) -> bool:
    """Writes or removes the report. One that says the same stays, with the time at which it began."""
    said = {"count": len(found), "files": found[:_MOST_NAMED]}
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        before = None
    if not found:
        path.unlink(missing_ok=True)
        return before is not None
    if before is not None and {key: before.get(key) for key in said} == said:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(".changed.json.new")
    making.write_text(json.dumps({"v": 1, "since_ms": int(time.time() * 1000), **said}))
    making.chmod(0o644)
    making.replace(path)
    return True


def _now(version: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the hash of each file and the target of each link, by the name below `version`."""
    files, links = {}, {}
    for path in _walk(version):
        name = str(path.relative_to(version))
        if path.is_symlink():
            links[name] = str(path.readlink())
        elif name not in _OWN:
            files[name] = _sha256(path)
    return files, links


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        # `os.walk` enters no linked folder and lists it among the folders. Its target is compared, as with every link.
        for name in (*names, *(each for each in folders if (Path(place) / each).is_symlink())):
            yield Path(place) / name


def _sha256(path: Path) -> str:
    """Returns the hash, or a word for a file that gives no bytes, such as a FIFO, or too many."""
    total = hashlib.sha256()
    try:
        if not path.is_file():
            return "no file"
        if path.stat().st_size > _LARGEST_BYTES:
            return "too large"
        with path.open("rb") as file:
            while data := file.read(_CHUNK):
                total.update(data)
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return total.hexdigest()


def _differences(kept: dict[str, str], now: dict[str, str]) -> set[str]:
    return {name for name in kept.keys() | now.keys() if kept.get(name) != now.get(name)}


def _is_installing(places: Places) -> bool:
    try:
        with places.lock.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
