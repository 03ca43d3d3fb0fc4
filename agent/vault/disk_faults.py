"""Decides from an error of the disk whether the medium has lost data, for recovery, verification and scrub.

Other errors may pass (too many open files, no memory) or have another cause (permissions). They say nothing about the
file, so they are raised: no file counts as damaged because of them.
"""

from __future__ import annotations

import errno
from typing import Final

from agent.errors import StorageError

__all__ = ["is_damage", "is_lost"]

_LOST: Final = frozenset(
    {
        errno.EIO,  # a block cannot be read, or btrfs finds a wrong checksum
        errno.ENODATA,  # the device reports an error of its medium
        errno.EBADMSG,  # ext4, XFS and F2FS: a wrong checksum of metadata
        errno.EUCLEAN,  # ext4, XFS, btrfs and F2FS: damaged metadata
    }
)
"""Errors of a medium or a file system that has lost data. Source: `blk_errors` in Linux' block/blk-core.c, and
EFSBADCRC and EFSCORRUPTED of its file systems."""

_NO_FILE: Final = frozenset({errno.EISDIR, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ESPIPE})
"""Errors of opening or reading a folder, link, socket or pipe that has a file's name."""


def is_lost(error: StorageError) -> bool:
    """Returns whether `error` says that the medium has lost the data."""
    return _code(error) in _LOST


def is_damage(error: StorageError) -> bool:
    """Returns whether the file itself is the cause of `error`: its data is lost, or its name belongs to no file."""
    return is_lost(error) or _code(error) in _NO_FILE


def _code(error: StorageError) -> int | None:
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None
