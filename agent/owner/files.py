"""Reads and writes the owner's files: whole or not at all, secrets for their owner's eyes from their first byte on."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.errors import ConfigurationError, StorageError

__all__ = ["make_folder", "read", "read_private", "storage_errors", "write", "write_private"]

_SECRET_MODE = 0o600
_PLAIN_MODE = 0o644
_FOLDER_MODE = 0o700


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns an `OSError` into a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror or error}.", remedy="Check the path, its permissions and the free space."
        ) from error


def make_folder(path: Path) -> Path:
    """The folder at `path`, for its owner alone when it has to be made."""
    with storage_errors(path):
        path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    return path


def write(path: Path, data: bytes) -> None:
    """Put `data` at `path` in place of what was there."""
    _replace(path, data, _PLAIN_MODE)


def write_private(path: Path, data: bytes) -> None:
    """As `write`, mode 0600."""
    _replace(path, data, _SECRET_MODE)


def read(path: Path, limit_bytes: int) -> bytes:
    """What is at `path`.  Raises `StorageError`, also for more than `limit_bytes`."""
    with storage_errors(path), path.open("rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise StorageError(f"{path}: longer than {limit_bytes} bytes.", remedy="Check that it is the right file.")
    return data


def read_private(path: Path, limit_bytes: int) -> bytes:
    """As `read`.  Raises `ConfigurationError` when anybody but its owner may read it."""
    with storage_errors(path):
        mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"{path} can be read by others (mode {mode:04o}).", remedy=f"chmod 600 {path}")
    return read(path, limit_bytes)


def _replace(path: Path, data: bytes, mode: int) -> None:
    unfinished = path.with_name(f"{path.name}.new")
    with storage_errors(path):
        unfinished.unlink(missing_ok=True)
        # O_EXCL: the mode of a file that is already there would stay as it was.
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
