"""Power cuts on a real ext4: a workload's writes are logged below the file system, then cut at many points and mounted.

    python -m tests.crash.power.cuts --points 1000

Content of the disk after a cut: everything before the last flush, and of later writes any part, in any order, the
pieces whole or torn at a 512-byte sector. For each point one such disk is made, mounted (ext4 replays its journal), the
vault started on it, and compared with the promises (`workload.broken_promises`). Needs root.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.power.fuse_log import FLUSH, MARK, WRITE, read_log
from tests.crash.power.loop import mounted, unmount, why_not
from tests.crash.power.workload import broken_promises

__all__ = ["SUPERBLOCK", "Result", "cut_everywhere", "main", "put_image", "surviving", "written_by"]

_IMAGE_BYTES = 24 << 20
_SECTOR_BYTES = 512
SUPERBLOCK = (1024, 1024)
"""Offset and size of a write of ext4's superblock. Source: the kernel's documentation, ext4, "Super Block"."""
_MEMORY = Path("/dev/shm")


@dataclass
class Result:
    """`written_bytes`: what the whole workload wrote to the disk, its file system's journal included."""

    points: int = 0
    writes: int = 0
    flushes: int = 0
    written_bytes: int = 0
    with_pending: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


def cut_everywhere(points: int, seed: int, without: tuple[str, ...] = ()) -> Result:
    """Record one life, then cut it at `points` places.

    `without`: calls of the disk (`sync`, `sync_data`, `sync_directory`) that do nothing, to see that a test notices.
    """
    place = Path(tempfile.mkdtemp(prefix="doorward-power-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        log = _record(place, seed, without)
        return _replay(place, log, points, seed)
    finally:
        shutil.rmtree(place)


def written_by(command: list[str], image_bytes: int) -> tuple[int, int]:
    """Run `command` with a fresh ext4's path behind it; the bytes its disk was sent, and the number it prints last."""
    place = Path(tempfile.mkdtemp(prefix="doorward-wear-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        said: list[str] = []
        log = _logged(place, image_bytes, lambda files, _marks: said.append(_run([*command, str(files)])))
        return sum(len(data) for kind, _offset, data in log if kind == WRITE), int(said[0].split()[-1])
    finally:
        shutil.rmtree(place)


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _record(place: Path, seed: int, without: tuple[str, ...]) -> list[tuple[int, int, bytes]]:
    worker = [sys.executable, "-m", "tests.crash.power.workload"]
    return _logged(
        place, _IMAGE_BYTES, lambda files, marks: _run([*worker, str(files), str(marks), str(seed), *without])
    )


def _logged(place: Path, image_bytes: int, work: Callable[[Path, Path], object]) -> list[tuple[int, int, bytes]]:
    """Returns the writes that reach a disk below an ext4 while `work(files, marks)` runs on it."""
    mount, files, image, log = place / "mount", place / "files", place / "image", place / "log"
    mount.mkdir()
    files.mkdir()
    with image.open("wb") as made:
        made.truncate(image_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    (place / "begin").write_bytes(image.read_bytes())
    command = [sys.executable, "-m", "tests.crash.power.fuse_log", str(mount), str(image), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as disk:
        assert disk.stdout is not None
        assert disk.stdout.readline() == b"mounted\n"
        try:
            with mounted(mount / "image", files):
                work(files, mount / "marks")
        finally:
            _unmount_soon(mount)
    return read_log(log)


def put_image(image: Path, disk: bytes | bytearray) -> None:
    """Writes the disk into a new file.

    The one before may still be mounted for a moment, because a file is open on it, or a namespace of another test has
    it. Its last writes must not reach the next disk.
    """
    image.unlink(missing_ok=True)
    image.write_bytes(disk)


def _unmount_soon(mount: Path) -> None:
    for _ in range(100):
        try:
            unmount(mount)
        except OSError:  # the loop device lets go of its file a moment after it is told to
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{mount} stays busy.")


def _replay(place: Path, log: list[tuple[int, int, bytes]], points: int, seed: int) -> Result:
    kinds = Counter(kind for kind, _offset, _data in log)
    written = sum(len(data) for kind, _offset, data in log if kind == WRITE)
    result = Result(writes=kinds[WRITE], flushes=kinds[FLUSH], written_bytes=written)
    chance = random.Random(seed)
    began = time.monotonic()
    first = next(at for at, (kind, _offset, _data) in enumerate(log) if kind == MARK)
    wanted = sorted(chance.choices(range(first, len(log) + 1), k=points))
    for at, disk, marks in _disks(place / "begin", log, wanted, chance, result):
        image = place / "cut"
        put_image(image, disk)
        result.points += 1
        try:
            with mounted(image, place / "files") as files:
                broken_promises(files, marks)
        except Exception as error:  # noqa: BLE001 — whatever it is, it is what a user would meet
            where = traceback.extract_tb(error.__traceback__)[-1]
            result.violations.append(f"cut at {at}: {type(error).__name__}: {error} ({where.name}:{where.lineno})")
    result.seconds = time.monotonic() - began
    return result


def _disks(
    begin: Path, log: list[tuple[int, int, bytes]], wanted: list[int], chance: random.Random, result: Result
) -> Iterator[tuple[int, bytearray, list[dict[str, Any]]]]:
    """For each cut before log entry `at`: the disk it leaves, and what had been told."""
    durable = bytearray(begin.read_bytes())
    pending: list[tuple[int, bytes]] = []
    marks: list[dict[str, Any]] = []
    done = 0
    for at in wanted:
        for kind, offset, data in log[done:at]:
            if kind == MARK:
                marks.append(json.loads(data))
            elif kind == WRITE:
                pending.append((offset, data))
            else:
                for before, piece in pending:
                    durable[before : before + len(piece)] = piece
                pending.clear()
        done = at
        disk = durable.copy()
        result.with_pending += bool(pending)
        for offset, data in surviving(pending, chance):
            disk[offset : offset + len(data)] = data
        yield at, disk, marks


def surviving(pending: list[tuple[int, bytes]], chance: random.Random) -> Iterator[tuple[int, bytes]]:
    """Any part of what was not flushed, in any order: whole, torn, or with sectors missing.

    ext4's superblock is never torn: ext4 does not mount a torn one ("Bad message"), and e2fsck restores it from its
    copy before a boot mounts the disk.
    """
    share = chance.choice((0.0, 0.2, 0.5, 0.8, 1.0))
    for offset, data in chance.sample(pending, len(pending)):
        if chance.random() >= share:
            continue
        if share == 1.0 or (offset, len(data)) == SUPERBLOCK or chance.random() < 0.6:
            yield offset, data
            continue
        for start in range(0, len(data), _SECTOR_BYTES):
            if chance.random() < 0.5:
                yield offset + start, data[start : start + _SECTOR_BYTES]


def main() -> int:
    parser = argparse.ArgumentParser(description="Power cuts on a real ext4.")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--lives", type=int, default=4, help="so many recordings share the points")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    if reason := why_not():
        print(f"Not possible here: {reason}.")
        return 2
    violations = 0
    for life in range(wanted.lives):
        result = cut_everywhere(-(-wanted.points // wanted.lives), wanted.seed + life)
        violations += len(result.violations)
        print(
            f"life {life + 1}: {result.points} cuts ({result.with_pending} with unflushed writes) among"
            f" {result.writes} writes and {result.flushes} flushes, {result.written_bytes / 1e6:.1f} MB,"
            f" in {result.seconds:.0f} s: {len(result.violations)} violations"
        )
        for violation in result.violations[:10]:
            print("  " + violation)
    return 1 if violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
