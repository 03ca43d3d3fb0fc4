"""A file system in memory that forgets what no one synced: a power cut at any call, and any call made to fail.

The model is weaker than ext4: contents survive only through their file's sync, names only through their directory's,
in any order and torn, whatever else was synced.  It passes the same contract as the real disk.
"""

from __future__ import annotations

import enum
import errno
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Cut", "FakeDisk", "Survival"]


class Cut(BaseException):
    """The power is gone. A `BaseException`, so that the code under test cannot catch it."""


class Survival(enum.Enum):
    """Share of the unsynced data found after a cut."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    """A killed process: the system lives on and writes it all."""
    NAMES = "names without contents"
    CONTENTS = "contents without names"
    SOME = "any part of either, torn"


@dataclass(eq=False)
class _Inode:
    data: bytes = b""
    durable: bytes = b""


_Key = tuple[str, str]
"""Directory and name."""
_Tree = dict[str, dict[str, _Inode]]
"""For each directory, the files of its names."""


@dataclass(eq=False)
class _Change:
    """One change of names, atomic: (directory, name) → inode, or None for gone."""

    names: dict[_Key, _Inode | None]


@dataclass
class _FakeFile:
    disk: FakeDisk
    inode: _Inode
    path: Path
    open: bool = True

    def write(self, data: bytes) -> None:
        assert self.open

        def partly() -> None:
            self.inode.data += data[: len(data) // 2]

        self.disk.call("write", self.path, partly)
        if len(self.inode.data) + len(data) > len(self.inode.data) + self.disk.free_bytes(self.path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.inode.data += bytes(data)

    def sync_data(self) -> None:
        self._sync("sync_data")

    def sync(self) -> None:
        self._sync("sync")

    def _sync(self, name: str) -> None:
        assert self.open

        def lose_the_dirty_pages() -> None:
            # Linux may drop them and call the next sync a success.
            self.inode.data = self.inode.durable + bytes(len(self.inode.data) - len(self.inode.durable))

        self.disk.call(name, self.path, lose_the_dirty_pages)
        if name not in self.disk.without_effect:
            self.inode.durable = self.inode.data

    def close(self) -> None:
        self.open = False
        self.disk.open_files.discard(self.path)


@dataclass
class FakeDisk:
    """The `Disk` port in memory.

    `before`: called with the number and name of each changing call; may raise `Cut` or `OSError`.  `without_effect`:
    names of calls that change nothing durable, to plant a defect.  `unreadable`: files with a bad block at their end,
    and folders that cannot be listed.
    """

    capacity_bytes: int = 1 << 40
    before: Callable[[int, str], None] | None = None
    without_effect: frozenset[str] = frozenset()
    unreadable: frozenset[Path] = frozenset()
    calls: list[tuple[str, str]] = field(default_factory=list)
    open_files: set[Path] = field(default_factory=set)
    _directories: set[str] = field(default_factory=lambda: {"/"})
    _names: _Tree = field(default_factory=dict)
    _durable_names: _Tree = field(default_factory=dict)
    _changes: list[_Change] = field(default_factory=list)

    def call(self, name: str, path: Path, when_failing: Callable[[], None] | None = None) -> None:
        """Note a changing call and let `before` stop it."""
        self.calls.append((name, path.name))
        if self.before is not None:
            try:
                self.before(len(self.calls), name)
            except OSError:
                if when_failing is not None:
                    when_failing()
                raise

    def after_cut(self, survival: Survival, chance: random.Random) -> FakeDisk:
        """The disk as the next start finds it: everything on it is durable."""
        names = _copied(self._durable_names)
        for change in self._changes:
            if survival in (Survival.EVERYTHING, Survival.NAMES) or (
                survival is Survival.SOME and chance.random() < 0.5
            ):
                _apply(change, names)
        copies: dict[_Inode, _Inode] = {}
        for directory in names.values():
            for name, inode in directory.items():
                if inode not in copies:
                    data = _surviving(inode, survival, chance)
                    copies[inode] = _Inode(data, data)
                directory[name] = copies[inode]
        return FakeDisk(
            self.capacity_bytes,
            without_effect=self.without_effect,
            _directories=set(self._directories),
            _names=names,
            _durable_names=_copied(names),
        )

    def state(self) -> tuple[tuple[str, str, bytes], ...]:
        """Everything on it, to tell two disks apart."""
        return tuple(
            (directory, name, inode.data)
            for directory in sorted(self._names)
            for name, inode in sorted(self._names[directory].items(), key=lambda item: item[0])
        )

    def make_directory(self, path: Path) -> None:
        if str(path) not in self._directories:
            self.call("make_directory", path)
            # Durable at once: set-up makes them before there is anything to lose, and syncs them.
            self._directories.update(str(one) for one in (path, *path.parents))

    def names(self, path: Path) -> list[str]:
        self._in(path)
        self._require_readable(path)
        return list(self._names.get(str(path), ()))

    def create(self, path: Path) -> _FakeFile:
        self._in(path.parent)
        if self._found(path) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self.call("create", path)
        return self._open(path)

    def append_to(self, path: Path) -> _FakeFile:
        self._in(path.parent)
        if self._found(path) is None:
            self.call("create", path)
        return self._open(path)

    def rename(self, old: Path, new: Path) -> None:
        inode = self._inode(old)
        self.call("rename", new)
        self._change({self._key(old): None, self._key(new): inode})

    def unlink(self, path: Path) -> None:
        self._inode(path)
        self.call("unlink", path)
        self._change({self._key(path): None})

    def truncate(self, path: Path, size_bytes: int) -> None:
        inode = self._inode(path)
        self.call("truncate", path)
        inode.data = inode.durable = inode.data[:size_bytes].ljust(size_bytes, b"\0")

    def sync_directory(self, path: Path) -> None:
        self._in(path)
        self.call("sync_directory", path)
        if "sync_directory" in self.without_effect:
            return
        for change in [change for change in self._changes if any(key[0] == str(path) for key in change.names)]:
            _apply(change, self._durable_names)
            self._changes.remove(change)

    def size(self, path: Path) -> int | None:
        inode = self._found(path)
        return None if inode is None else len(inode.data)

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        self._require_readable(path)
        return self._inode(path).data[offset : offset + size_bytes]

    def chunks(self, path: Path, offset: int = 0) -> Iterator[bytes]:
        data = self._inode(path).data
        for start in range(offset, len(data), 1000):
            yield data[start : min(start + 1000, len(data))]
        self._require_readable(path)

    def free_bytes(self, path: Path) -> int:
        inodes = {inode for directory in self._names.values() for inode in directory.values()}
        return max(0, self.capacity_bytes - sum(len(inode.data) for inode in inodes))

    def flip_bit(self, path: Path, bit: int) -> None:
        """Rot: what no one wrote."""
        inode = self._inode(path)
        data = bytearray(inode.data)
        data[bit // 8] ^= 1 << bit % 8
        inode.data = inode.durable = bytes(data)

    def _require_readable(self, path: Path) -> None:
        if path in self.unreadable:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _open(self, path: Path) -> _FakeFile:
        inode = self._found(path)
        if inode is None:
            inode = _Inode()
            self._change({self._key(path): inode})
        self.open_files.add(path)
        return _FakeFile(self, inode, path)

    def _change(self, names: dict[_Key, _Inode | None]) -> None:
        change = _Change(names)
        _apply(change, self._names)
        self._changes.append(change)

    def _inode(self, path: Path) -> _Inode:
        inode = self._found(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return inode

    def _found(self, path: Path) -> _Inode | None:
        directory, name = self._key(path)
        return self._names.get(directory, {}).get(name)

    def _in(self, directory: Path) -> None:
        if str(directory) not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    @staticmethod
    def _key(path: Path) -> _Key:
        directory, _, name = str(path).rpartition("/")
        return directory or "/", name


def _apply(change: _Change, names: _Tree) -> None:
    for (directory, name), inode in change.names.items():
        if inode is None:
            names.get(directory, {}).pop(name, None)
        else:
            names.setdefault(directory, {})[name] = inode


def _copied(names: _Tree) -> _Tree:
    return {directory: dict(found) for directory, found in names.items()}


def _surviving(inode: _Inode, survival: Survival, chance: random.Random) -> bytes:
    if survival in (Survival.EVERYTHING, Survival.CONTENTS):
        return inode.data
    if survival is not Survival.SOME:
        return inode.durable
    more = inode.data[len(inode.durable) :]
    kept = more[: chance.randint(0, len(more))]
    if chance.random() < 0.3:  # the size was written, the blocks were not
        kept = bytes(len(kept))
    return inode.durable + kept
