"""Measures the disk: how long a sync took, how many bytes were written, and how much of it the process has caused.

Writes wear a card out. For `wear` the kernel counts pages as they become dirty, so file system journals are left out;
FORMAT.md, "Figures", says how much they add. Where a file system caches files in large folios (ext4 since Linux 6.16),
the kernel counts a whole folio for one changed byte, so the figure may be too high. On a system that lacks these
counters the answer is 0.

Source: proc_pid_io(5), `write_bytes` and `cancelled_write_bytes`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from agent.ports import Disk, DiskFile

__all__ = ["TimedDisk", "wear"]

BOUNDS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class _LatencyHistogram:
    """For all files of one disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._syncs = [0] * (len(BOUNDS_S) + 1)
        self._seconds = 0.0
        self._written_bytes = 0

    def timed(self, sync: Callable[[], None]) -> None:
        began_s = time.perf_counter()
        try:
            sync()
        finally:
            took_s = time.perf_counter() - began_s
            with self._lock:
                self._syncs[sum(took_s > bound for bound in BOUNDS_S)] += 1
                self._seconds += took_s

    def wrote(self, size_bytes: int) -> None:
        with self._lock:
            self._written_bytes += size_bytes

    def shown(self) -> dict[str, Any]:
        with self._lock:
            totals = [sum(self._syncs[: n + 1]) for n in range(len(self._syncs))]
            buckets = [[str(bound), total] for bound, total in zip((*BOUNDS_S, "+Inf"), totals, strict=True)]
            return {
                "syncs": totals[-1],
                "seconds": round(self._seconds, 6),
                "written_bytes": self._written_bytes,
                "buckets": buckets,
            }


class _TimedFile:
    """`ports.DiskFile`."""

    def __init__(self, file: DiskFile, tally: _LatencyHistogram) -> None:
        self._file = file
        self._tally = tally
        self.close = file.close

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._tally.wrote(len(data))

    def sync_data(self) -> None:
        self._tally.timed(self._file.sync_data)

    def sync(self) -> None:
        self._tally.timed(self._file.sync)


class TimedDisk:
    """`ports.Disk` in front of another."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._tally = _LatencyHistogram()
        self.make_directory = disk.make_directory
        self.names = disk.names
        self.rename = disk.rename
        self.unlink = disk.unlink
        self.truncate = disk.truncate
        self.size = disk.size
        self.read = disk.read
        self.free_bytes = disk.free_bytes

    def create(self, path: Path) -> DiskFile:
        return _TimedFile(self._disk.create(path), self._tally)

    def append_to(self, path: Path) -> DiskFile:
        return _TimedFile(self._disk.append_to(path), self._tally)

    def sync_directory(self, path: Path) -> None:
        self._tally.timed(lambda: self._disk.sync_directory(path))

    def chunks(self, path: Path, offset: int = 0) -> Iterator[bytes]:
        return self._disk.chunks(path, offset)

    def shown(self) -> dict[str, Any]:
        """Syncs by duration (cumulative), their seconds, and bytes written, since the start."""
        return self._tally.shown()


_HOUR_S = 3600


def wear(recorded_s: float) -> dict[str, Any]:
    """For `doorward status`: bytes written since the process began, and per hour of footage recorded by it."""
    written = max(0, _written_bytes())
    return {
        "written_bytes": written,
        "recorded_s": round(recorded_s),
        "bytes_per_recorded_hour": round(written / recorded_s * _HOUR_S) if recorded_s else None,
    }


def _written_bytes() -> int:
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    found = dict(line.split(": ") for line in lines)
    return int(found.get("write_bytes", 0)) - int(found.get("cancelled_write_bytes", 0))
