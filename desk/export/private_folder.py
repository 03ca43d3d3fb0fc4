"""A private folder for opened footage while an export is made: bounded, and wiped at its end.

Opened films are the only plaintext that the desk writes to a disk. The folder is readable by the desk only and has a
lock. A killed process cannot wipe its folder, so the next start, export and deletion of footage wipe each folder
of an ended process. A deletion also wipes each export with its footage that is still on its way (`forget_answer`).
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import IO, Final

from django.conf import settings

from agent.errors import StorageError
from agent.platform import files

__all__ = ["ANSWERS", "PrivateFolder", "forget_answer", "require_room", "wipe_orphans"]

_PREFIX: Final = "export-"
_LOCK: Final = "owner.lock"
_EXPORT: Final = "export"
ANSWERS: Final = "answers"
"""Folder of an export with a folder for each opened answer."""
MOST_BYTES: Final = 32 << 30
"""Most sealed bytes of one export. An opened export takes four times as much: the sealed files, segments, clips and the
film of all clips (`python -m bench credentials`)."""
_OPENED_TIMES: Final = 4
_COPIES_TIMES: Final = 5
"""Copies with Content Credentials, of the segments, clips and the film of all clips. c2pa-rs writes that film twice
more while it signs it, if it is larger than 512 MB."""


class PrivateFolder:
    """The folder of one export. `close` wipes it."""

    def __init__(self) -> None:
        root = files.make_folder(_root())
        with (root / _LOCK).open("wb") as making:  # so that no other export takes the new folder for an orphan
            fcntl.flock(making, fcntl.LOCK_EX)
            _wipe_orphans(root)
            self._top = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))  # mode 0700
            self._lock: IO[bytes] = (self._top / _LOCK).open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path = files.make_folder(self._top / _EXPORT)

    def close(self) -> None:
        """Wipes the folder. May be called twice."""
        shutil.rmtree(self._top, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> PrivateFolder:
        return self

    def __exit__(self, *_reason: object) -> None:
        self.close()


def require_room(sealed_bytes: int, *, copies: bool = False) -> None:
    """Raises `StorageError` if an export of that size is too large, or the disk has no room for it.

    `copies`: it also has copies with Content Credentials.
    """
    if sealed_bytes > MOST_BYTES:
        raise StorageError(
            f"This case holds {sealed_bytes >> 30} GiB. One export has at most {MOST_BYTES >> 30} GiB.",
            remedy="Export its answers in parts.",
        )
    root = files.make_folder(_root())
    with files.storage_errors(root):
        free = shutil.disk_usage(root).free
    needed = sealed_bytes * (_OPENED_TIMES + (_COPIES_TIMES if copies else 0))
    if free < needed:
        raise StorageError(
            "The disk of the desk has no room for this export.",
            remedy=f"Free {(needed - free) // 1_000_000 + 1} MB, or export fewer answers.",
        )


def forget_answer(disclosure: str) -> int:
    """Wipes each export of this desk that holds footage of the answer, also of another process, and returns the number
    of its files. Its download breaks off. Raises `StorageError`."""
    wipe_orphans()
    removed = 0
    for folder in {found.parents[1] for found in _root().glob(f"{_PREFIX}*/{_EXPORT}/{ANSWERS}/{disclosure}*")}:
        # All of the export goes, because its report shows stills.
        removed += len(files.below(folder))
        with files.storage_errors(folder), contextlib.suppress(FileNotFoundError):  # its export has just ended
            shutil.rmtree(folder)
    return removed


def wipe_orphans() -> None:
    """Wipes the folders of exports whose process was killed."""
    with (files.make_folder(_root()) / _LOCK).open("wb") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        _wipe_orphans(_root())


def _root() -> Path:
    root: Path = settings.DATA / "cache"
    return root


def _wipe_orphans(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel released the lock of a process that ended
            shutil.rmtree(folder, ignore_errors=True)
