"""Lets root work in a folder that another user owns, without lending that user root's rights.

A role that an attacker has taken over owns its folder.  Each name in the folder can then be a link to a file of root's,
a pipe, or a file with a hole of a terabyte.  A root command uses one of two tools there:

    with as_owner_of(folder): ...      calls in the block have exactly the rights of the folder's owner
    with PrivilegedFolder(path) as folder: ...   reads, writes and removes by descriptor and never follows a link

Why there are two: docs/decisions/0018-root-in-folders-of-roles.md.  Source: openat(2), credentials(7), symlink(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

__all__ = ["PrivilegedFolder", "as_owner_of", "as_self", "read_regular"]

_CHUNK: Final = bytes(1 << 20)
_PIECE_BYTES: Final = 1 << 20
_MOST_OVERWRITTEN_BYTES: Final = 64 << 20
"""A sparse file of an attacker's claims any size."""
_NO_LINK: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: opening a pipe would wait for ever."""
_NO_FOLDER: Final = (errno.ENOTDIR, errno.ELOOP)


@contextlib.contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """Gives the block the rights of the owner of `folder`, if root runs it. Otherwise it changes nothing.

    The effective ids are those of the whole process: use it in a command, not in a service with threads. The real user
    stays root, so the owner can neither signal nor trace the process.
    """
    try:
        owner = folder.stat()
    except OSError:
        owner = None
    if os.geteuid() != 0 or owner is None or owner.st_uid == 0:
        yield
        return
    before = (0, os.getegid(), os.getgroups())
    _become(*_ids_of(owner))
    try:
        yield
    finally:
        _become(*before)


@contextlib.contextmanager
def as_self() -> Iterator[None]:
    """Has root's rights again, inside a block of `as_owner_of`."""
    if os.geteuid() == os.getuid():
        yield
        return
    before = (os.geteuid(), os.getegid(), os.getgroups())
    _become(os.getuid(), os.getgid(), before[2])
    try:
        yield
    finally:
        _become(*before)


def _become(uid: int, gid: int, groups: Sequence[int]) -> None:
    os.seteuid(0)  # the groups are root's to set
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)


def _ids_of(owner: os.stat_result) -> tuple[int, int, list[int]]:
    """The owner's user, group and further groups."""
    try:
        user = pwd.getpwuid(owner.st_uid)
    except KeyError:
        return owner.st_uid, owner.st_gid, [owner.st_gid]
    return user.pw_uid, user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid)


def read_regular(path: Path | str, limit_bytes: int, *, folder: int | None = None) -> bytes:
    """Returns the content of a regular file.  `folder`: the descriptor that `path` starts from.

    Raises `OSError` for a link, a pipe, a device or a file of more than `limit_bytes`.
    """
    descriptor = os.open(path, os.O_RDONLY | _NO_LINK, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        # Asked of the open file: the owner of the folder can exchange a name between a look at it and its opening.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "It is no regular file", str(path))
        pieces, left = [], limit_bytes + 1
        while left and (piece := file.read(min(left, _PIECE_BYTES))):  # `read` makes room for all that it is asked for
            pieces.append(piece)
            left -= len(piece)
    if not left:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return b"".join(pieces)


class PrivilegedFolder:
    """An open folder; names in it are single names, and links among them are never followed.

    Files and folders that root makes in it belong to the owner of the folder.
    """

    def __init__(self, path: Path) -> None:
        """Raises `OSError`. `path` is followed: name a folder with a trustworthy parent."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @classmethod
    def _of(cls, descriptor: int) -> PrivilegedFolder:
        made = cls.__new__(cls)
        made._descriptor = descriptor
        return made

    def __enter__(self) -> PrivilegedFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._descriptor)

    def names(self) -> list[str]:
        return sorted(os.listdir(self._descriptor))  # noqa: PTH208 — of a descriptor

    def inside(self, name: str, *, make: bool = False) -> PrivilegedFolder:
        """Opens the folder `name`.  Raises `OSError` for anything else, and for a link to a folder."""
        made = False
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=self._descriptor)
                made = True
        found = self._of(self._open_folder(name))
        if made:
            self._give(found._descriptor)
        return found

    def read(self, name: str, limit_bytes: int) -> bytes:
        """As `read_regular`."""
        return read_regular(name, limit_bytes, folder=self._descriptor)

    def put(self, name: str, data: bytes) -> None:
        """Makes the file `name` with mode 0600, whole and durable, in place of what has that name."""
        # The owner of the folder cannot foresee this name, so a link that waits there is unlikely. O_EXCL refuses it.
        making = f".{name}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
        with os.fdopen(os.open(making, flags, 0o600, dir_fd=self._descriptor), "wb") as file:
            self._give(file.fileno())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(making, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        os.fsync(self._descriptor)

    def remove(self, name: str, *, overwrite: bool) -> None:
        """Removes `name`, and everything in it if it is a folder.  A link goes, its target stays.

        Folders inside a folder are moved up before they are emptied, so that no depth uses up descriptors.
        `overwrite`: regular files are written over once, which helps on a disk and may help on a card.
        """
        going = [name]
        while going:
            going += self._remove_one(going.pop(), overwrite=overwrite)

    def clear(self, *, overwrite: bool, keep: Sequence[str] = (), first: Sequence[str] = ()) -> list[str]:
        """Removes all but `keep`, `first` first. Returns the names that could not be removed; after a failure it goes
        on with the rest."""
        failed = []
        names = [name for name in self.names() if name not in keep]
        for name in sorted(names, key=lambda each: (each not in first, each)):
            try:
                self.remove(name, overwrite=overwrite)
            except OSError:
                failed.append(name)
        return failed

    def _remove_one(self, name: str, *, overwrite: bool) -> list[str]:
        """Removes `name`; returns the names of the folders that were in it and are now beside it."""
        try:
            inner = self._open_folder(name)
        except FileNotFoundError:
            return []
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            self._remove_file(name, overwrite=overwrite)
            return []
        moved = []
        with self._of(inner) as folder:
            if os.geteuid():
                os.fchmod(inner, 0o700)
            for each in folder.names():
                if stat.S_ISDIR(os.stat(each, dir_fd=inner, follow_symlinks=False).st_mode):
                    beside = f".going-{secrets.token_hex(8)}"
                    os.rename(each, beside, src_dir_fd=inner, dst_dir_fd=self._descriptor)
                    moved.append(beside)
                else:
                    folder._remove_file(each, overwrite=overwrite)
        os.rmdir(name, dir_fd=self._descriptor)
        return moved

    def _remove_file(self, name: str, *, overwrite: bool) -> None:
        if overwrite:
            # A full disk, a link, or a file that this user may not write: it is removed in any case.
            with contextlib.suppress(OSError):
                self._overwrite(name)
        os.unlink(name, dir_fd=self._descriptor)

    def _overwrite(self, name: str) -> None:
        descriptor = os.open(name, os.O_WRONLY | _NO_LINK, dir_fd=self._descriptor)
        try:
            told = os.fstat(descriptor)
            if not stat.S_ISREG(told.st_mode) or told.st_nlink != 1:  # one of two names may belong to another user
                return
            left = min(told.st_size, _MOST_OVERWRITTEN_BYTES)
            while left > 0:
                left -= os.write(descriptor, _CHUNK[:left])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _open_folder(self, name: str) -> int:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK, dir_fd=self._descriptor)

    def _give(self, descriptor: int) -> None:
        """Gives what root has just made to the owner of this folder."""
        owner = os.fstat(self._descriptor)
        if os.geteuid() == 0 and os.fstat(descriptor).st_uid == 0 != owner.st_uid:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
