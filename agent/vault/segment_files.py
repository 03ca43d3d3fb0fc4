"""Keeps segments as files and the manifest as a log in chapters, below the vault's directory.

    segments/<first digit of the id>/<id>.age · .part · .cut · .poster.age
    manifest.<n>              one line per record, one file per chapter; only the newest grows
    manifest.<n>.part         a chapter that is being opened
    reserve                   space for the tombstones that relieve a full disk
    aside/                    foreign files: moved here, never deleted

Which call follows which, and why, is FORMAT.md's "Procedures"; the order *between* the files is the service's.  Every
`OSError` becomes a `StorageError` that names the place and the remedy.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from agent.core.vault.fields import SHARDS, VaultFile
from agent.core.vault.manifest import RawLine, chapter_name, chapter_number, chapter_of, chapter_start, split_lines
from agent.errors import StorageError
from agent.ports import Disk, DiskFile

__all__ = ["DiskManifestLog", "DiskSegmentStore"]

_RESERVE_BYTES: Final = 1 << 20
"""Some hundred tombstones and the index pages they touch."""

_REMEDIES: Final = {
    errno.ENOSPC: "Free space on this disk, or lower the vault's limits.",
    errno.EDQUOT: "Raise the quota of the recorder's user, or lower the vault's limits.",
    errno.EROFS: "The disk has become read-only, often because it is failing: check the system log, replace the card.",
    errno.EIO: "The disk is failing: check the system log, replace the card.",
    errno.EACCES: "Give this directory to the user that Doorward runs as.",
    errno.EPERM: "Give this directory to the user that Doorward runs as.",
}


@contextmanager
def _at(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "Check the disk and the system log.")
        raise StorageError(f"{path}: {error.strerror or error}.", remedy=remedy) from error


class _PartFile:
    """A file that grows under its `.part` name."""

    def __init__(self, disk: Disk, path: Path, file: DiskFile) -> None:
        self._disk = disk
        self._path = path
        self._file = file
        self._named = False

    def append(self, data: bytes) -> None:
        with _at(self._path):
            self._file.write(data)

    def sync(self) -> None:
        with _at(self._path):
            self._file.sync_data()
            if not self._named:
                # Once is enough, and only now is it worth it: recovery has no use for a name without bytes.
                self._disk.sync_directory(self._path.parent)
                self._named = True

    def finish(self) -> None:
        with _at(self._path):
            self._file.sync()
            self._file.close()

    def abandon(self) -> None:
        with suppress(OSError):
            self._file.close()


class DiskSegmentStore:
    """The `SegmentStore` port on a `Disk`, below `root` (the vault's own directory)."""

    def __init__(self, disk: Disk, root: Path) -> None:
        self._disk = disk
        self._root = root
        self._segments = root / "segments"
        self._shards = {shard: self._segments / shard for shard in SHARDS}
        self._aside = root / "aside"

    def prepare(self) -> None:
        with _at(self._root):
            for directory in (*self._shards.values(), self._aside):
                self._disk.make_directory(directory)
            # A directory's name is in its parent: without these syncs a power cut could lose all of them.
            for parent in (self._segments, self._root, self._root.parent):
                self._disk.sync_directory(parent)

    def create(self, file: VaultFile) -> _PartFile:
        path = self._path(file)
        with _at(path):
            return _PartFile(self._disk, path, self._disk.create(path))

    def rename(self, changes: Sequence[tuple[VaultFile, VaultFile]]) -> None:
        for old, new in changes:
            with _at(self._path(new)):
                self._disk.rename(self._path(old), self._path(new))
        shard = self._shards[changes[0][1].shard]
        with _at(shard):
            self._disk.sync_directory(shard)

    def confirm(self, file: VaultFile) -> None:
        path = self._path(file)
        with _at(path):
            opened = self._disk.append_to(path)
            try:
                opened.sync()
            finally:
                opened.close()
            self._disk.sync_directory(path.parent)

    def remove(self, files: Sequence[VaultFile]) -> None:
        for file in files:
            with _at(self._path(file)), suppress(FileNotFoundError):
                self._disk.unlink(self._path(file))

    def settle_removals(self) -> None:
        for shard in self._shards.values():
            with _at(shard):
                self._disk.sync_directory(shard)

    def quarantine(self, shard: str, name: str) -> None:
        old = self._shards[shard] / name
        with _at(old):
            # A second file of the same name must not replace the first: nothing in `aside/` may be lost.
            taken = set(self._disk.names(self._aside))
            new = next(
                candidate
                for candidate in (name, *(f"{name}.{number}" for number in range(1, len(taken) + 2)))
                if candidate not in taken
            )
            self._disk.rename(old, self._aside / new)
            # The new name is made durable first: a cut between the two syncs may leave both names, and never none.
            self._disk.sync_directory(self._aside)
            self._disk.sync_directory(old.parent)

    def names(self, shard: str) -> list[str]:
        with _at(self._shards[shard]):
            return sorted(self._disk.names(self._shards[shard]))

    def size(self, file: VaultFile) -> int | None:
        with _at(self._path(file)):
            return self._disk.size(self._path(file))

    def read(self, file: VaultFile, offset: int, size_bytes: int) -> bytes:
        with _at(self._path(file)):
            return self._disk.read(self._path(file), offset, size_bytes)

    def chunks(self, file: VaultFile) -> Iterator[bytes]:
        with _at(self._path(file)):
            yield from self._disk.chunks(self._path(file))

    def free_bytes(self) -> int:
        with _at(self._root):
            return self._disk.free_bytes(self._root)

    def quarantined(self) -> tuple[int, int]:
        with _at(self._aside):
            sizes = [self._disk.size(self._aside / name) or 0 for name in self._disk.names(self._aside)]
        return len(sizes), sum(sizes)

    def _path(self, file: VaultFile) -> Path:
        return self._shards[file.shard] / file.name


class DiskManifestLog:
    """The `ManifestLog` port on a `Disk`: the files `manifest.<n>` below `root`."""

    def __init__(self, disk: Disk, root: Path) -> None:
        self._disk = disk
        self._root = root
        self._reserve = root / "reserve"
        self._path = root / chapter_name(0)
        """The newest chapter, once `recover` or `begin_chapter` has opened it."""
        self._file: DiskFile | None = None

    def recover(self) -> None:
        self.close()
        newest = max(self.chapters(), default=0)
        with _at(self._root), suppress(FileNotFoundError):
            self._disk.unlink(self._part(newest + 1))
        self._open(newest)

    def append(self, line: bytes) -> None:
        if self._file is None:
            raise StorageError(f"{self._path}: an earlier write failed.", remedy="Recording resumes automatically.")
        try:
            with _at(self._path):
                self._file.write(line + b"\n")
                self._file.sync_data()
        except StorageError:
            # After a failed write or sync the end of the file is unknown. Only `recover` opens it again.
            self.close()
            raise

    def cut(self, position: int) -> None:
        path = self._chapter(chapter_of(position))
        with _at(path):
            self._disk.truncate(path, position - chapter_start(chapter_of(position)))

    def chapters(self) -> tuple[int, ...]:
        with _at(self._root), suppress(FileNotFoundError):
            numbers = map(chapter_number, self._disk.names(self._root))
            return tuple(sorted(number for number in numbers if number is not None))
        return ()

    def end(self) -> int:
        newest = max(self.chapters(), default=0)
        return chapter_start(newest) + self._size(newest)

    def sizes(self) -> dict[int, int]:
        return {chapter: self._size(chapter) for chapter in self.chapters()}

    def read(self, position: int, size_bytes: int) -> bytes:
        path = self._chapter(chapter_of(position))
        with _at(path), suppress(FileNotFoundError):
            return self._disk.read(path, position - chapter_start(chapter_of(position)), size_bytes)
        return b""

    def raw_lines(self, position: int = 0) -> Iterator[RawLine]:
        first = chapter_of(position)
        for chapter in self.chapters():
            if chapter >= first:
                start = max(position, chapter_start(chapter))
                with _at(self._chapter(chapter)):
                    chunks = self._disk.chunks(self._chapter(chapter), start - chapter_start(chapter))
                    yield from split_lines(chunks, start)

    def lines(self, position: int = 0) -> Iterator[bytes]:
        for raw in self.raw_lines(position):
            yield raw.data + b"\n" if raw.whole else raw.data

    def prepare_chapter(self, chapter: int, lines: Iterable[bytes]) -> None:
        part = self._part(chapter)
        with _at(part):
            with suppress(FileNotFoundError):
                self._disk.unlink(part)
            file = self._disk.create(part)
            try:
                for line in lines:
                    file.write(line + b"\n")
                file.sync()
            finally:
                file.close()

    def begin_chapter(self, chapter: int) -> None:
        self.close()
        with _at(self._chapter(chapter)):
            self._disk.rename(self._part(chapter), self._chapter(chapter))
        self._open(chapter)

    def remove_chapters(self, chapters: Iterable[int]) -> None:
        for chapter in chapters:
            with _at(self._chapter(chapter)), suppress(FileNotFoundError):
                self._disk.unlink(self._chapter(chapter))

    def _open(self, chapter: int) -> None:
        self._path = self._chapter(chapter)
        with _at(self._path):
            file = self._disk.append_to(self._path)
            try:
                # Before a line is read: one that is in the cache alone would be relied on, and lost by the next power
                # cut.
                file.sync()
                self._disk.sync_directory(self._root)
            except OSError:
                file.close()
                raise
        self._file = file

    def _size(self, chapter: int) -> int:
        with _at(self._chapter(chapter)):
            return self._disk.size(self._chapter(chapter)) or 0

    def _chapter(self, chapter: int) -> Path:
        return self._root / chapter_name(chapter)

    def _part(self, chapter: int) -> Path:
        return self._root / f"{chapter_name(chapter)}.part"

    def spend_reserve(self) -> None:
        with _at(self._reserve), suppress(FileNotFoundError):
            self._disk.unlink(self._reserve)

    def keep_reserve(self) -> None:
        # A reserve that cannot be written costs nothing now: the next eviction tries it again.
        with suppress(OSError, StorageError):
            missing = self.missing_reserve_bytes()
            if not missing:
                return
            file = self._disk.append_to(self._reserve)
            try:
                # Zeros are written, because a hole would reserve no blocks.
                file.write(bytes(missing))
                file.sync()
            finally:
                file.close()

    def missing_reserve_bytes(self) -> int:
        with _at(self._reserve):
            return max(0, _RESERVE_BYTES - (self._disk.size(self._reserve) or 0))

    def close(self) -> None:
        """Closes the file; `recover` opens it again."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
