"""Reads and writes small files of a person's, so that what was said to be stored is there after a power cut.

A file appears under its name whole or not at all: temporary name, fsync, rename, fsync of the folder. Secrets are
readable by their owner alone from their first byte on. A failed fsync is final.
"""

from __future__ import annotations

import os
import stat
from contextlib import AbstractContextManager
from pathlib import Path

from agent.errors import ConfigurationError, StorageError

__all__ = [
    "below",
    "is_file",
    "is_folder",
    "is_there",
    "make_folder",
    "names_in",
    "read",
    "read_if_there",
    "read_private",
    "require_private",
    "storage_errors",
    "sync_folder",
    "write",
]

_SECRET_MODE = 0o600
_PLAIN_MODE = 0o644
_FOLDER_MODE = 0o700


class _StorageErrors:
    # No generator: `contextlib` would let the error refer to itself, so it, all callers and what they hold, such as a
    # key or an open index, would stay until the next collection. A missing file is nothing rare.
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError):
            raise StorageError(
                f"{self._path}: {error.strerror or error}.",
                remedy="Check the path, its permissions and the free space.",
            ) from error


def storage_errors(path: Path) -> AbstractContextManager[None]:
    """Turns an `OSError` into a `StorageError` that names `path`."""
    return _StorageErrors(path)


def make_folder(path: Path) -> Path:
    """The folder at `path`, for its owner alone, made durably when missing."""
    with storage_errors(path):
        if not path.is_dir():
            path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            sync_folder(path.parent)
    return path


def write(path: Path, data: bytes, *, secret: bool = False, like: Path | None = None) -> None:
    """Put `data` at `path`, durably and as a whole, in place of what was there.

    `secret`: mode 0600.  `like`: with the owner and mode of that file, where there is one, once it is written. Another
    user may own the folder, and exchange names in it while root writes. So both are set by the open file.
    """
    unfinished = path.with_name(f"{path.name}.new")
    with storage_errors(path):
        told = _regular(like) if like is not None else None
        unfinished.unlink(missing_ok=True)
        # O_EXCL: the mode of a file that is already there would stay as it was.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        mode = _SECRET_MODE if secret or like is not None else _PLAIN_MODE
        with os.fdopen(os.open(unfinished, flags, mode), "wb") as file:
            file.write(data)
            if told is not None:
                os.fchown(file.fileno(), told.st_uid, told.st_gid)
                # Without setuid and setgid bits, which the owner of the folder could have planted.
                os.fchmod(file.fileno(), told.st_mode & 0o777)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)


def _regular(path: Path) -> os.stat_result | None:
    """Returns what is told of a regular file, and None of a link or of nothing."""
    try:
        told = path.lstat()
    except FileNotFoundError:
        return None
    return told if stat.S_ISREG(told.st_mode) else None


def read(path: Path, limit_bytes: int) -> bytes:
    """Returns the content of `path`. Raises `StorageError`, also if it is larger than `limit_bytes`."""
    with storage_errors(path), path.open("rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise StorageError(f"{path}: longer than {limit_bytes} bytes.", remedy="Check that it is the right file.")
    return data


def read_if_there(path: Path, limit_bytes: int) -> bytes | None:
    """Like `read`. Returns None if there is no such file, and only then."""
    try:
        return read(path, limit_bytes)
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def is_there(path: Path) -> bool:
    """Returns whether anything is at `path`.

    Raises `StorageError` if that cannot be told. `Path.exists` raises a bare `PermissionError` then, and returns False
    from Python 3.14 on.
    """
    return _mode(path) is not None


def is_file(path: Path) -> bool:
    """Like `is_there`, for a regular file."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_folder(path: Path) -> bool:
    """Like `is_there`, for a folder."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(path: Path) -> int | None:
    with storage_errors(path):
        try:
            return path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None


def names_in(path: Path) -> list[str]:
    """Returns the sorted names in the folder at `path`, none if there is no such folder.

    Raises `StorageError` if it cannot be read: an unreadable folder is not an empty one.
    """
    with storage_errors(path):
        try:
            return sorted(each.name for each in path.iterdir())
        except FileNotFoundError:
            return []


def below(path: Path) -> list[Path]:
    """Returns the sorted paths of everything below the folder at `path` that is not a folder. Links are not followed.

    Raises `StorageError` if a folder cannot be read. `Path.rglob` and `os.walk` leave it out and say nothing, so that
    a copy lacks what is in it. A folder that another process deletes meanwhile holds nothing.
    """
    with storage_errors(path):
        return sorted(Path(folder) / name for folder, _, names in os.walk(path, onerror=_unless_gone) for name in names)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        with storage_errors(Path(error.filename)):
            raise error


def read_private(path: Path, limit_bytes: int) -> bytes:
    """Like `read`. Raises `ConfigurationError` if other users may read it."""
    require_private(path)
    return read(path, limit_bytes)


def require_private(path: Path) -> None:
    """Raises `ConfigurationError` if other users may read the secret at `path`."""
    with storage_errors(path):
        mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"{path} can be read by others (mode {mode:04o}).", remedy=f"chmod 600 {path}")


def sync_folder(path: Path) -> None:
    """Make names made, changed and removed in `path` durable.  Raises `OSError`."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
