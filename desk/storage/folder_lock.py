"""Locks and files in a folder of the desk, if a command of root may have made them.

The service runs as the owner of its data folder. A file that root makes there is the owner's from then on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.platform import files

__all__ = ["folder_lock", "leave_to_owner"]

_MODE: Final = 0o644


@contextlib.contextmanager
def folder_lock(path: Path) -> Iterator[None]:
    """Holds the lock at `path`, and makes the file. Raises `StorageError`, which names it.

    The file is opened to read, so one serves that root made and kept.
    """
    with files.storage_errors(path):
        descriptor = _opened(path, os.O_CREAT)
    with os.fdopen(descriptor) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def leave_to_owner(path: Path) -> None:
    """Gives a file that root has just made to the owner of its folder. Raises `StorageError`."""
    with files.storage_errors(path):
        os.close(_opened(path))


def _opened(path: Path, more: int = 0) -> int:
    """Returns a descriptor of the lock's file. If root makes it, it goes to the owner of the folder."""
    # The owner may have put a link there, to get another file of root's, or a pipe, on which root would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | more, _MODE)
    found, folder = os.fstat(descriptor), path.parent.stat()
    # A second name would show a hard link to another file of root's.
    is_made_by_root = os.geteuid() == found.st_uid == 0 and stat.S_ISREG(found.st_mode) and found.st_nlink == 1
    if is_made_by_root and folder.st_uid != 0:
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    return descriptor
