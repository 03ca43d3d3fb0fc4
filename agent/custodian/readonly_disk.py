"""A read-only `Disk`, through which the custodian sees the recorder's vault."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from agent.ports import Disk, DiskFile

__all__ = ["ReadOnlyDisk"]


class ReadOnlyDisk:
    """Passes reads to `disk`.  Everything else raises the error of a read-only file system."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def names(self, path: Path) -> list[str]:
        return self._disk.names(path)

    def size(self, path: Path) -> int | None:
        return self._disk.size(path)

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        return self._disk.read(path, offset, size_bytes)

    def chunks(self, path: Path, offset: int = 0) -> Iterator[bytes]:
        return self._disk.chunks(path, offset)

    def free_bytes(self, path: Path) -> int:
        return self._disk.free_bytes(path)

    def truncate(self, path: Path, size_bytes: int) -> None:
        """Does nothing. A reader beside a writer sometimes sees half a line, and must leave it alone."""

    def make_directory(self, path: Path) -> None:
        raise _refused(path)

    def create(self, path: Path) -> DiskFile:
        raise _refused(path)

    def append_to(self, path: Path) -> DiskFile:
        raise _refused(path)

    def rename(self, old: Path, new: Path) -> None:  # noqa: ARG002 — the port's
        raise _refused(new)

    def unlink(self, path: Path) -> None:
        raise _refused(path)

    def sync_directory(self, path: Path) -> None:
        raise _refused(path)


def _refused(path: Path) -> OSError:
    return OSError(errno.EROFS, "this role only reads", str(path))
