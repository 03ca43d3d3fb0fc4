"""Keeps outbox objects as files written once: `outbox/<disclosure>/<part number>`, whole before they count.

One approval makes one object; every retry reads the same file, so it sends the same bytes.  The copy costs a few
megabytes of card per approval and buys three things: eviction may go on, the uplink needs to see nothing but this
folder, and "drop it" is deleting a folder.

    begin → parts, each fsynced → rename(folder) → fsync(outbox) → the journal's row → the ledger's `sending` → readable

A folder the journal does not name (a cut before the row, or after its removal) is swept at start.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from agent.core.requests import OutboxPart
from agent.errors import StorageError

__all__ = ["DiskOutbox", "DiskOutboxDraft"]

_HIDDEN: Final = 0o700
_SHOWN: Final = 0o750
"""Where roles have users, the outbox has a default ACL for the uplink's group. A folder's group bits are the mask of
that entry (acl(5))."""


class DiskOutboxDraft:
    """An object being written.  Leaving the `with` block without `commit` removes it."""

    def __init__(self, folder: Path, disclosure: str) -> None:
        self._folder = folder
        self._final = folder / disclosure
        self._making = folder / f"{disclosure}.making"
        # The remains of an attempt that a crash ended.
        shutil.rmtree(self._making, ignore_errors=True)
        with _told():
            # Hidden until the ledger says that the first byte is about to leave (`show_to_uplink`). Otherwise an uplink
            # that was taken over could send an answer that its owner takes back.
            self._making.mkdir(mode=_HIDDEN)

    def __enter__(self) -> DiskOutboxDraft:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        shutil.rmtree(self._making, ignore_errors=True)

    def write(self, number: int, segment: str, pieces: Iterable[bytes]) -> OutboxPart:
        """Part `number`, synced.  Raises `StorageError`."""
        digest, size = hashlib.sha256(), 0
        with _told(), (self._making / str(number)).open("xb") as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(file.fileno())
        return OutboxPart(number, segment, size, digest.hexdigest())

    def commit(self) -> None:
        """From here on it has its final name.  Raises `StorageError`."""
        with _told():
            # The names of the parts first: otherwise a cut could leave the final name of the folder without them.
            _sync(self._making)
            self._making.rename(self._final)
            _sync(self._folder)


class DiskOutbox:
    """`ports.Outbox` under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The outbox {folder} cannot be made: {error.strerror or error}.", remedy="Check device.state_dir."
            ) from error

    def begin(self, disclosure: str) -> DiskOutboxDraft:
        """A new object.  Raises `StorageError`."""
        return DiskOutboxDraft(self._folder, disclosure)

    def read(self, disclosure: str, number: int, offset: int, size: int) -> bytes:
        """Returns bytes of a part. Raises `StorageError` if the part is missing or was deleted."""
        try:
            data = _read_at(f"{self._folder}/{disclosure}/{number}", offset, size)
        except OSError as error:
            raise StorageError(f"Part {number} of disclosure {disclosure} is not in the outbox.") from error
        if len(data) != size:
            raise StorageError(f"Part {number} of disclosure {disclosure} is shorter than it was.")
        return data

    def show_to_uplink(self, disclosure: str) -> None:
        """Lets the uplink's user read an object. Idempotent. Raises `StorageError`."""
        folder = self._folder / disclosure
        try:
            if stat.S_IMODE(folder.stat().st_mode) != _SHOWN:
                folder.chmod(_SHOWN)
        except OSError as error:
            raise StorageError(f"Disclosure {disclosure} cannot be handed to the uplink.") from error

    def has(self, disclosure: str) -> bool:
        """Returns whether the object is here. Raises `StorageError` if that cannot be told."""
        try:
            return stat.S_ISDIR((self._folder / disclosure).stat().st_mode)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"Disclosure {disclosure} cannot be looked for: {error.strerror or error}.") from error

    def remove(self, disclosure: str) -> None:
        """Idempotent."""
        shutil.rmtree(self._folder / disclosure, ignore_errors=True)

    def sweep(self, known: frozenset[str]) -> None:
        """Remove what no journal row names."""
        with _told():
            strangers = [found for found in self._folder.iterdir() if found.name not in known]
        for found in strangers:
            shutil.rmtree(found, ignore_errors=True)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"The approved footage cannot be copied to the outbox: {error.strerror or error}.",
            remedy="Free some space and approve again; nothing was sent.",
        ) from error


def _read_at(path: str, offset: int, size: int) -> bytes:
    """Three system calls for a chunk: a file object makes more, and takes twice the CPU.

    Opens the file again for each chunk, so that a revocation takes effect at the next one.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(handle, size, offset)
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
