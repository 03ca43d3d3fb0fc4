"""Damage that is always damage: a byte put in another's place is the same byte once in 256, and root reads any file."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def with_another_end(data: bytes) -> bytes:
    """The same bytes but for the last, which is surely another."""
    return data[:-1] + bytes([data[-1] ^ 1])


@contextlib.contextmanager
def unreadable(folder: Path) -> Iterator[None]:
    """Inside it, this thread may not look into the folder, not even as root."""
    of_files = ctypes.CDLL(None).setfsuid
    folder.chmod(0)
    of_files(65534)
    try:
        yield
    finally:
        of_files(os.geteuid())
        folder.chmod(0o700)


@contextlib.contextmanager
def listing(folder: Path, happens: Callable[[Path], object]) -> Iterator[None]:
    """Inside it, `happens(folder)` runs before the folder is listed. Other folders are listed as always."""
    scandir = os.scandir

    def instead(path: Any) -> Any:  # a string, a path, or the number of an open folder
        if not isinstance(path, int) and Path(path) == folder:
            happens(folder)
        return scandir(path)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "scandir", instead)
        yield


def refused(folder: Path) -> None:
    """Raises the error of the kernel for a user who may not list the folder."""
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
