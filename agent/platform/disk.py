"""The operating system's files behind the `Disk` port: thin calls, so that a test can replace all of them.

- Files are 0640 and directories 0750, so the custodian reads the recorder's vault through its group.
- `write` continues after a short write. Python retries after a signal (PEP 475).

Source: open(2), fsync(2), rename(2), posix_fadvise(2).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Final

__all__ = ["RealDisk"]

_CHUNK_BYTES: Final = 1 << 18
_FILE_MODE: Final = 0o640
_DIRECTORY_MODE: Final = 0o750


class _RealFile:
    def __init__(self, path: Path, flags: int) -> None:
        # Without O_NONBLOCK a foreign pipe under a file's name would block the open for ever.
        flags |= os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = os.open(path, flags, _FILE_MODE)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def sync_data(self) -> None:
        os.fdatasync(self._descriptor)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RealDisk:
    """The `Disk` port on the file system of this machine."""

    def make_directory(self, path: Path) -> None:
        # One by one: with `parents=True` those above would get the mode that everybody may read.
        missing = [each for each in (path, *path.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(_DIRECTORY_MODE, exist_ok=True)

    def names(self, path: Path) -> list[str]:
        return os.listdir(path)  # noqa: PTH208 — names, not one Path object for each of 10 000 files

    def create(self, path: Path) -> _RealFile:
        return _RealFile(path, os.O_CREAT | os.O_EXCL)

    def append_to(self, path: Path) -> _RealFile:
        return _RealFile(path, os.O_CREAT)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def truncate(self, path: Path, size_bytes: int) -> None:
        with path.open("r+b") as file:
            file.truncate(size_bytes)
            # A manifest that was cut must not get its damaged end back with a power cut.
            os.fsync(file.fileno())

    def sync_directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def size(self, path: Path) -> int | None:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        with _opened(path) as file:
            file.seek(offset)
            parts: list[bytes] = []
            while size_bytes > 0 and (part := file.read(size_bytes)):
                parts.append(part)
                size_bytes -= len(part)
        return b"".join(parts)

    def chunks(self, path: Path, offset: int = 0) -> Iterator[bytes]:
        with _opened(path) as file:
            # Drop clean pages first, so that the read returns what the medium holds: pages whose write failed are also
            # marked clean. This also keeps a scrub from filling the cache.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(offset)
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def free_bytes(self, path: Path) -> int:
        status = os.statvfs(path)
        # `f_bavail`, not `f_bfree`: ext4 keeps blocks for root, which the recorder is not.
        return status.f_bavail * status.f_frsize


def _opened(path: Path) -> FileIO:
    """Opens for reading. Raises `OSError`.

    The custodian reads the recorder's files. A taken-over recorder may plant a link to a file of the custodian, or a
    pipe that would block the open for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    return FileIO(descriptor, "rb")
